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
