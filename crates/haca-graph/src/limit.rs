//! Every bound of a graph in one place. Decoders refuse what exceeds them before allocating.

/// Nodes of a graph.
pub const NODES: usize = 1024;
/// Parameters of a graph.
pub const PARAMS: usize = 1024;
/// Elements of all parameters of a graph together.
pub const PARAM_ELEMENTS: usize = 1 << 26;
/// Elements of all values of one evaluation together.
pub const VALUE_ELEMENTS: usize = 1 << 24;
/// Smallest shift of a requantisation: the rounding constant is `2^(shift-1)`.
pub const SHIFT_MIN: u8 = 1;
/// Largest shift of a requantisation.
pub const SHIFT_MAX: u8 = 60;
/// Bits of a requantisation multiplier.
pub const MULTIPLIER_BITS: u32 = 31;
/// Both sides of the requantisation identity stay below `2^PRODUCT_BITS` in magnitude.
pub const PRODUCT_BITS: u32 = 62;
/// The unsaturated quotient of a requantisation takes at most `2^QUOTIENT_BITS` consecutive values.
pub const QUOTIENT_BITS: u32 = 24;
/// Largest kernel, stride or dilation of a window, and the largest reach of its taps.
pub const WINDOW: u32 = 1 << 10;
/// Values that one op reads.
pub const OPERANDS: usize = 16;
/// Arguments that a function has a table for, as a power of two.
pub const TABLE_BITS: u32 = 12;
/// Bits of the low digit of a wide integer: a digit is int8.
pub const DIGIT_BITS: u8 = 7;
/// Arguments of all tables of a graph together: checking a graph computes each entry.
pub const TABLE_ARGUMENTS: usize = 1 << 17;
/// Products and window taps of one inference: what evaluation takes beyond a few steps per element.
pub const WORK: u64 = 1 << 40;
