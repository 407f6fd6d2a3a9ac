//! Every bound of import in one place.

/// Bytes of an ONNX file.
pub const ONNX_BYTES: usize = 512 << 20;
/// Nodes, initializers, inputs and outputs of an ONNX graph, and attributes, inputs and outputs of its nodes, all
/// together.
pub const ENTRIES: usize = 1 << 16;
/// Bytes that describe one input or output of an ONNX graph.
pub const INTERFACE_BYTES: usize = 1 << 16;
/// Oldest and newest operator set whose ops mean what import takes them to mean.
pub const OPSETS: core::ops::RangeInclusive<i64> = 7..=28;
/// Samples that calibration reads; further ones are ignored.
pub const CALIBRATION_SAMPLES: usize = 512;
/// Activations that calibration keeps.
pub const CALIBRATION_VALUES: usize = 1 << 25;
/// Bytes of a sample file, and of one array after decompression.
pub const SAMPLE_BYTES: usize = 1 << 30;
/// Arrays in an `.npz` file.
pub const ARRAYS: usize = 64;
/// Samples of one file.
pub const SAMPLES: usize = 1 << 22;
/// Bits of a requantisation multiplier that [`Options`](crate::Options) may ask for.
pub const MULTIPLIER_BITS: core::ops::RangeInclusive<u8> = 1..=16;
/// Arguments of the table of a function that [`Options`](crate::Options) may ask for, as a power of two.
pub const TABLE_BITS: core::ops::RangeInclusive<u8> = 8..=12;
/// Elements of all values of a float model together.
pub const FLOAT_ELEMENTS: usize = 1 << 26;
/// Ops of a float model.
pub const FLOAT_OPS: usize = 1 << 13;
/// Elements of all constants that import computes from others.
pub const FOLDED_ELEMENTS: usize = 1 << 26;
/// Products and sums of one inference of a float model.
pub const FLOAT_WORK: u64 = haca_graph::limit::WORK;
/// Products and sums that calibration may take.
pub const CALIBRATION_WORK: u64 = 1 << 40;
/// Products of float networks that the choice of the widths of activations may take.
pub const WIDTH_WORK: u64 = 1 << 34;
/// Samples that an explanation compares; further ones are ignored.
pub const EXPLAINED_SAMPLES: usize = 32;
