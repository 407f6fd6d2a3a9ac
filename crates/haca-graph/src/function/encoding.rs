//! Functions as bytes: step G9 of `spec/graph.md`.

use haca_wire::{Decode, DecodeError, Encode, Reader, Scale};

use super::{Function, FunctionKind};

impl Encode for FunctionKind {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sigmoid => out.push(1),
            Self::Tanh => out.push(2),
            Self::Silu => out.push(3),
            Self::Gelu => out.push(4),
            Self::GeluTanh => out.push(5),
            Self::Softplus => out.push(6),
            Self::LeakyRelu { slope } => {
                out.push(7);
                slope.encode_into(out);
            }
            Self::HardSigmoid { alpha, beta } => {
                out.push(8);
                alpha.encode_into(out);
                beta.encode_into(out);
            }
            Self::HardSwish => out.push(9),
            Self::HighDigit { bits } => out.extend([10, *bits]),
            Self::LowDigit { bits } => out.extend([11, *bits]),
        }
    }
}

impl Decode for FunctionKind {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Sigmoid),
            2 => Ok(Self::Tanh),
            3 => Ok(Self::Silu),
            4 => Ok(Self::Gelu),
            5 => Ok(Self::GeluTanh),
            6 => Ok(Self::Softplus),
            7 => Ok(Self::LeakyRelu {
                slope: Scale::decode(reader)?,
            }),
            8 => Ok(Self::HardSigmoid {
                alpha: Scale::decode(reader)?,
                beta: Scale::decode(reader)?,
            }),
            9 => Ok(Self::HardSwish),
            10 => Ok(Self::HighDigit {
                bits: u8::decode(reader)?,
            }),
            11 => Ok(Self::LowDigit {
                bits: u8::decode(reader)?,
            }),
            found => Err(DecodeError::BadTag {
                what: "function",
                found: u64::from(found),
            }),
        }
    }
}

haca_wire::codec_struct!(Function {
    kind,
    argument,
    result,
    low,
    high
});
