//! The op set, and how ops name values and parameters.

use haca_wire::codec::put_list;
use haca_wire::limit::TENSOR_ELEMENTS;
use haca_wire::{Decode, DecodeError, Encode, Reader, Shape};

/// A value by index: the inputs first, then the value of each node in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

/// A parameter by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub u32);

/// One op. The semantics are those of `spec/graph.md`; each makes exactly one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `acc_i = bias_i + sum_j weight_ij * input_j`, exact: int8 `[k]` to int32 `[n]`.
    Linear {
        /// An int8 vector `[k]`.
        input: ValueId,
        /// An int8 matrix `[n, k]`.
        weight: ParamId,
        /// An int32 vector `[n]`.
        bias: ParamId,
    },
    /// `q_i = clamp((acc_i * M_i + 2^(shift-1)) >> shift, low, high)`: int32 accumulators to int8. The shift is
    /// arithmetic, so the rounding is half up. `low = 0` makes it a ReLU.
    Requantise {
        /// The value of a [`Op::Linear`] node.
        input: ValueId,
        /// One multiplier for all channels, or one per channel; each below `2^31`.
        multipliers: Vec<u32>,
        /// Common right shift, 1 to 60.
        shift: u8,
        /// Smallest result.
        low: i8,
        /// Largest result.
        high: i8,
    },
    /// Index of the largest element along the last axis, the lowest index on a tie: `[.., n]` to int32 `[..]`.
    ArgMax {
        /// A value that is an output of the graph, so that a verifier recomputes the index from it.
        input: ValueId,
    },
    /// The same elements, row-major, under another shape.
    Reshape {
        /// Any value.
        input: ValueId,
        /// A shape with as many elements.
        shape: Shape,
    },
}

impl Op {
    /// The value the op reads.
    pub const fn input(&self) -> ValueId {
        match self {
            Self::Linear { input, .. }
            | Self::Requantise { input, .. }
            | Self::ArgMax { input }
            | Self::Reshape { input, .. } => *input,
        }
    }

    /// The name of the op in `spec/graph.md` and in messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "Linear",
            Self::Requantise { .. } => "Requantise",
            Self::ArgMax { .. } => "ArgMax",
            Self::Reshape { .. } => "Reshape",
        }
    }
}

impl Encode for ValueId {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.0.encode_into(out);
    }
}

impl Decode for ValueId {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(u32::decode(reader)?))
    }
}

impl Encode for ParamId {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.0.encode_into(out);
    }
}

impl Decode for ParamId {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(u32::decode(reader)?))
    }
}

impl Encode for Op {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Linear { input, weight, bias } => {
                out.push(1);
                input.encode_into(out);
                weight.encode_into(out);
                bias.encode_into(out);
            }
            Self::Requantise {
                input,
                multipliers,
                shift,
                low,
                high,
            } => {
                out.push(2);
                input.encode_into(out);
                put_list(out, multipliers);
                shift.encode_into(out);
                low.encode_into(out);
                high.encode_into(out);
            }
            Self::ArgMax { input } => {
                out.push(3);
                input.encode_into(out);
            }
            Self::Reshape { input, shape } => {
                out.push(4);
                input.encode_into(out);
                shape.encode_into(out);
            }
        }
    }
}

impl Decode for Op {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Linear {
                input: ValueId::decode(reader)?,
                weight: ParamId::decode(reader)?,
                bias: ParamId::decode(reader)?,
            }),
            2 => Ok(Self::Requantise {
                input: ValueId::decode(reader)?,
                multipliers: reader.list("multipliers", TENSOR_ELEMENTS)?,
                shift: u8::decode(reader)?,
                low: i8::decode(reader)?,
                high: i8::decode(reader)?,
            }),
            3 => Ok(Self::ArgMax {
                input: ValueId::decode(reader)?,
            }),
            4 => Ok(Self::Reshape {
                input: ValueId::decode(reader)?,
                shape: Shape::decode(reader)?,
            }),
            found => Err(DecodeError::BadTag {
                what: "op",
                found: u64::from(found),
            }),
        }
    }
}
