//! Integer tensors as they stand in requests, proofs and receipts, and the root that binds them.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_list};
use crate::id::TensorRoot;
use crate::limit;

/// Element type of a tensor. The discriminant is the tag on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DType {
    /// Signed 8-bit integer.
    I8 = 1,
    /// Signed 16-bit integer.
    I16 = 2,
    /// Signed 32-bit integer.
    I32 = 3,
    /// Signed 64-bit integer.
    I64 = 4,
}

impl DType {
    /// Bytes of one element.
    pub const fn width(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    /// Smallest and largest element.
    pub const fn range(self) -> (i64, i64) {
        match self {
            Self::I8 => (i8::MIN as i64, i8::MAX as i64),
            Self::I16 => (i16::MIN as i64, i16::MAX as i64),
            Self::I32 => (i32::MIN as i64, i32::MAX as i64),
            Self::I64 => (i64::MIN, i64::MAX),
        }
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
        }
    }
}

impl Encode for DType {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl Decode for DType {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::I8),
            2 => Ok(Self::I16),
            3 => Ok(Self::I32),
            4 => Ok(Self::I64),
            found => Err(DecodeError::BadTag {
                what: "dtype",
                found: u64::from(found),
            }),
        }
    }
}

/// Dimensions of a tensor, outermost first, row-major. At most [`limit::RANK`] of them, each at least 1, with
/// at most [`limit::TENSOR_ELEMENTS`] elements together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(Vec<u32>);

impl Shape {
    /// Checks the limits.
    pub fn new(dims: Vec<u32>) -> Option<Self> {
        if dims.len() > limit::RANK || dims.contains(&0) {
            return None;
        }
        let mut elements = 1usize;
        for dim in &dims {
            elements = elements.checked_mul(usize::try_from(*dim).ok()?)?;
            if elements > limit::TENSOR_ELEMENTS {
                return None;
            }
        }
        Some(Self(dims))
    }

    /// The dimensions.
    pub fn dims(&self) -> &[u32] {
        &self.0
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.0.iter().fold(1, |n, dim| n.saturating_mul(*dim as usize))
    }
}

impl Encode for Shape {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.0);
    }
}

impl Decode for Shape {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(reader.list("dimensions", limit::RANK)?).ok_or(DecodeError::Invalid { what: "shape" })
    }
}

/// An integer tensor: element type, shape, row-major values, each inside the element type's range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    values: Vec<i64>,
}

impl Tensor {
    /// `None` when the number of values is not the shape's, or a value is outside the element type's range.
    pub fn new(dtype: DType, shape: Shape, values: Vec<i64>) -> Option<Self> {
        let (low, high) = dtype.range();
        let in_range = values.iter().all(|v| (low..=high).contains(v));
        (values.len() == shape.elements() && in_range).then_some(Self { dtype, shape, values })
    }

    /// Element type.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Shape.
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Values, row-major.
    pub fn values(&self) -> &[i64] {
        &self.values
    }
}

impl Encode for Tensor {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.dtype.encode_into(out);
        self.shape.encode_into(out);
        for value in &self.values {
            let bytes = value.to_le_bytes();
            out.extend_from_slice(bytes.get(..self.dtype.width()).unwrap_or(&bytes));
        }
    }
}

impl Decode for Tensor {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let dtype = DType::decode(reader)?;
        let shape = Shape::decode(reader)?;
        let bytes = reader.take(shape.elements().saturating_mul(dtype.width()))?;
        let values = bytes
            .chunks_exact(dtype.width())
            .map(|chunk| {
                let negative = chunk.last().is_some_and(|b| b & 0x80 != 0);
                let mut wide = if negative { [0xff; 8] } else { [0; 8] };
                for (to, from) in wide.iter_mut().zip(chunk) {
                    *to = *from;
                }
                i64::from_le_bytes(wide)
            })
            .collect();
        Ok(Self { dtype, shape, values })
    }
}

/// The root that a receipt carries for a list of tensors: BLAKE3 in key-derivation mode over the encoding of the
/// list (`spec/wire.md`, step W5).
pub fn tensor_root(tensors: &[Tensor]) -> TensorRoot {
    let mut bytes = Vec::new();
    put_list(&mut bytes, tensors);
    TensorRoot(blake3::derive_key("haca v1 tensor root", &bytes))
}
