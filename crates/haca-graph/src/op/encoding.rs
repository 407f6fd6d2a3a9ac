//! Ops as bytes: step G9 of `spec/graph.md`.

use haca_wire::codec::put_list;
use haca_wire::limit::{RANK, TENSOR_ELEMENTS};
use haca_wire::{Decode, DecodeError, Encode, Reader, Shape};

use super::{Op, ParamId, ValueId, Window};
use crate::{Function, limit};

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
            other => encode_more(other, out),
        }
    }
}

/// The ops that shapes of more than one axis bring.
fn encode_more(op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::Convolve {
            input,
            weight,
            bias,
            window,
            groups,
        } => {
            out.push(5);
            input.encode_into(out);
            weight.encode_into(out);
            bias.encode_into(out);
            window.encode_into(out);
            groups.encode_into(out);
        }
        Op::WindowSum { input, window } => {
            out.push(6);
            input.encode_into(out);
            window.encode_into(out);
        }
        Op::WindowMax { input, window } => {
            out.push(7);
            input.encode_into(out);
            window.encode_into(out);
        }
        Op::Sum { terms } => {
            out.push(8);
            put_list(out, terms);
        }
        Op::Product { left, right } => {
            out.push(9);
            left.encode_into(out);
            right.encode_into(out);
        }
        Op::Activate {
            input,
            multipliers,
            shift,
            function,
        } => {
            out.push(10);
            input.encode_into(out);
            put_list(out, multipliers);
            shift.encode_into(out);
            function.encode_into(out);
        }
        other => encode_arrangement(other, out),
    }
}

fn encode_arrangement(op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::Transpose { input, axes } => {
            out.push(11);
            input.encode_into(out);
            put_list(out, axes);
        }
        Op::Slice { input, stretches } => {
            out.push(12);
            input.encode_into(out);
            put_list(out, stretches);
        }
        Op::Concat { inputs, axis } => {
            out.push(13);
            put_list(out, inputs);
            axis.encode_into(out);
        }
        Op::Pad {
            input,
            before,
            after,
            value,
        } => {
            out.push(14);
            input.encode_into(out);
            put_list(out, before);
            put_list(out, after);
            value.encode_into(out);
        }
        Op::Expand { input, shape } => {
            out.push(15);
            input.encode_into(out);
            shape.encode_into(out);
        }
        // Written by the callers.
        _ => {}
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
            5 => Ok(Self::Convolve {
                input: ValueId::decode(reader)?,
                weight: ParamId::decode(reader)?,
                bias: ParamId::decode(reader)?,
                window: Window::decode(reader)?,
                groups: u32::decode(reader)?,
            }),
            6 => Ok(Self::WindowSum {
                input: ValueId::decode(reader)?,
                window: Window::decode(reader)?,
            }),
            7 => Ok(Self::WindowMax {
                input: ValueId::decode(reader)?,
                window: Window::decode(reader)?,
            }),
            8 => Ok(Self::Sum {
                terms: reader.list("terms", limit::OPERANDS)?,
            }),
            9 => Ok(Self::Product {
                left: ValueId::decode(reader)?,
                right: ValueId::decode(reader)?,
            }),
            10 => Ok(Self::Activate {
                input: ValueId::decode(reader)?,
                multipliers: reader.list("multipliers", TENSOR_ELEMENTS)?,
                shift: u8::decode(reader)?,
                function: Function::decode(reader)?,
            }),
            tag => decode_arrangement(tag, reader),
        }
    }
}

fn decode_arrangement(tag: u8, reader: &mut Reader<'_>) -> Result<Op, DecodeError> {
    match tag {
        11 => Ok(Op::Transpose {
            input: ValueId::decode(reader)?,
            axes: reader.list("axes", RANK)?,
        }),
        12 => Ok(Op::Slice {
            input: ValueId::decode(reader)?,
            stretches: reader.list("stretches", RANK)?,
        }),
        13 => Ok(Op::Concat {
            inputs: reader.list("operands", limit::OPERANDS)?,
            axis: u8::decode(reader)?,
        }),
        14 => Ok(Op::Pad {
            input: ValueId::decode(reader)?,
            before: reader.list("padding", RANK)?,
            after: reader.list("padding", RANK)?,
            value: i8::decode(reader)?,
        }),
        15 => Ok(Op::Expand {
            input: ValueId::decode(reader)?,
            shape: Shape::decode(reader)?,
        }),
        found => Err(DecodeError::BadTag {
            what: "op",
            found: u64::from(found),
        }),
    }
}
