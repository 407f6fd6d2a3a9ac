//! How the inputs of a file are read.

/// What the first axis of each input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchAxis {
    /// It counts inferences, and is left out of the graph; inputs of one axis have none.
    #[default]
    First,
    /// It is part of one inference.
    Absent,
}

/// In which order an input `[batch, channels, ..]` lies in samples and in the integer graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputLayout {
    /// As in the file. An image of several channels is transposed once, behind the input.
    #[default]
    AsInFile,
    /// `[.., channels]`, as pictures are stored; nothing is transposed.
    ChannelsLast,
}

/// How a file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Sizes of dimensions that the file names only, by name.
    pub dimensions: Vec<(String, u32)>,
    /// What the first axis of each input is.
    pub batch: BatchAxis,
    /// In which order inputs lie.
    pub input_layout: InputLayout,
}
