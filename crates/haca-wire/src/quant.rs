//! Exact scales between reals and integers, without floating point (`spec/wire.md`, step W5.5).

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::tensor::{DType, Shape};
use crate::{codec_struct, limit};

/// A positive scale `mantissa * 2^-shift`: the real value of the integer `q` is `q * mantissa / 2^shift`.
///
/// Canonical: the mantissa is odd, or the shift is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale {
    mantissa: u32,
    shift: u8,
}

impl Scale {
    /// The largest shift.
    pub const MAX_SHIFT: u8 = 62;
    /// One.
    pub const ONE: Self = Self {
        mantissa: 1,
        shift: 0,
    };

    /// Brings the pair to canonical form; `None` when the mantissa is zero or the shift too large.
    pub fn new(mut mantissa: u32, mut shift: u8) -> Option<Self> {
        if mantissa == 0 || shift > Self::MAX_SHIFT {
            return None;
        }
        while mantissa.is_multiple_of(2) && shift > 0 {
            mantissa /= 2;
            shift = shift.saturating_sub(1);
        }
        Some(Self { mantissa, shift })
    }

    /// The integer factor.
    pub const fn mantissa(self) -> u32 {
        self.mantissa
    }

    /// The negative power of two.
    pub const fn shift(self) -> u8 {
        self.shift
    }
}

impl Encode for Scale {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.mantissa.encode_into(out);
        self.shift.encode_into(out);
    }
}

impl Decode for Scale {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mantissa, shift) = (u32::decode(reader)?, u8::decode(reader)?);
        let scale = Self::new(mantissa, shift).ok_or(DecodeError::Invalid { what: "scale" })?;
        let canonical = scale == Self { mantissa, shift };
        canonical
            .then_some(scale)
            .ok_or(DecodeError::Invalid { what: "scale" })
    }
}

/// Name, element type, shape (without the batch axis) and scale of one input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name, as in the model file.
    pub name: Name,
    /// Element type.
    pub dtype: DType,
    /// Shape of one inference.
    pub shape: Shape,
    /// Real value of the integer 1.
    pub scale: Scale,
}
codec_struct!(TensorSpec {
    name,
    dtype,
    shape,
    scale
});

impl TensorSpec {
    /// Bytes of an encoded [`Tensor`](crate::Tensor) of this type and shape: a tag, the dimensions, the values.
    pub fn tensor_bytes(&self) -> usize {
        let dimensions = self.shape.dims().len().saturating_mul(4);
        let values = self.shape.elements().saturating_mul(self.dtype.width());
        values.saturating_add(dimensions).saturating_add(5)
    }
}

/// A name of 1 to [`limit::NAME_BYTES`] bytes of printable ASCII without quotes, backslashes or spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// `None` when the text is not a name.
    pub fn new(text: &str) -> Option<Self> {
        let printable = text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        (printable && (1..=limit::NAME_BYTES).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Encode for Name {
    fn encode_into(&self, out: &mut Vec<u8>) {
        crate::codec::put_bytes(out, self.0.as_bytes());
    }
}

impl Decode for Name {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = reader.string("name", limit::NAME_BYTES)?;
        Self::new(&text).ok_or(DecodeError::Invalid { what: "name" })
    }
}
