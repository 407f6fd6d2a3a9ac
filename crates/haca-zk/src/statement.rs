//! What a proof is about.

use haca_wire::codec::put_list;
use haca_wire::{Encode, Inference};

use crate::VerifyingKey;

/// The public side of one proof: inferences of one model, in a context.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// What the proof is made for, such as a network and the digests of the receipts it covers, in the order of the
    /// inferences. A proof made in one context verifies in no other.
    pub context: [u8; 32],
    /// Input and output tensors of each inference.
    pub inferences: &'a [Inference],
}

impl Statement<'_> {
    /// Step P1 of `spec/zk.md`: the digest that starts the transcript.
    pub fn digest(&self, key: &VerifyingKey) -> [u8; 32] {
        let mut bytes = key.model_id().encode();
        bytes.extend_from_slice(&self.context);
        put_list(&mut bytes, self.inferences);
        blake3::derive_key("haca v1 zk inference statement", &bytes)
    }
}
