//! What is public about a model.

use haca_wire::{Name, codec_struct};

use crate::Graph;

/// The public description of a model: everything but its weights. Scales stand in the graph's inputs and outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the model, for people.
    pub name: Name,
    /// The integer graph.
    pub graph: Graph,
    /// Version of the render: how request bytes become input tensors, and output tensors response bytes.
    pub render: u16,
    /// BLAKE3 of the tokenizer; all zero when the model has none.
    pub tokenizer: [u8; 32],
}
codec_struct!(Manifest {
    name,
    graph,
    render,
    tokenizer
});
