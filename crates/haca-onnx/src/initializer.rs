//! Constants of an ONNX file: initializers and Constant nodes.

use crate::OnnxError;
use crate::proto::{TensorProto, data_type};

/// A constant tensor: the float kinds as f32, the integer kinds as i64.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    /// Dimensions, at most 8, with at most [`haca_wire::limit::TENSOR_ELEMENTS`] elements.
    pub(crate) dims: Vec<usize>,
    pub(crate) elements: Elements,
    /// Element type in the file.
    pub(crate) kind: i32,
    /// Real value of one integer step of dequantised weights: one for all, or one per index of an axis.
    pub(crate) step: Option<Vec<f32>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Elements {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Constant {
    /// Reads a tensor and checks its size; float elements must be finite.
    pub(crate) fn read(name: &str, proto: TensorProto) -> Result<Self, OnnxError> {
        let refuse = |reason| OnnxError::Constant {
            name: name.to_owned(),
            reason,
        };
        if proto.data_location != 0 {
            return Err(refuse("its data is in another file"));
        }
        let dims: Option<Vec<usize>> = proto.dims.iter().map(|d| usize::try_from(*d).ok()).collect();
        let dims = dims.ok_or_else(|| refuse("it has a negative dimension"))?;
        let elements = element_count(&dims).ok_or_else(|| refuse("it has too many axes or elements"))?;
        let (kind, raw) = (proto.data_type, proto.raw_data);
        let narrow = |raw: &[u8], from: fn(u8) -> i64| -> Vec<i64> {
            if raw.is_empty() {
                proto.int32_data.iter().map(|v| i64::from(*v)).collect()
            } else {
                raw.iter().map(|byte| from(*byte)).collect()
            }
        };
        let elements_of = match proto.data_type {
            data_type::FLOAT if raw.is_empty() => Elements::Float(proto.float_data),
            data_type::FLOAT => Elements::Float(words(&raw).map(f32::from_le_bytes).collect()),
            data_type::DOUBLE if raw.is_empty() => {
                Elements::Float(proto.double_data.iter().map(|v| *v as f32).collect())
            }
            data_type::DOUBLE => Elements::Float(words(&raw).map(|w| f64::from_le_bytes(w) as f32).collect()),
            data_type::INT64 if raw.is_empty() => Elements::Int(proto.int64_data),
            data_type::INT64 => Elements::Int(words(&raw).map(i64::from_le_bytes).collect()),
            data_type::INT32 if raw.is_empty() => Elements::Int(narrow(&raw, i64::from)),
            data_type::INT32 => {
                Elements::Int(words(&raw).map(|w| i64::from(i32::from_le_bytes(w))).collect())
            }
            data_type::INT8 => Elements::Int(narrow(&raw, |byte| i64::from(byte.cast_signed()))),
            data_type::UINT8 | data_type::BOOL => Elements::Int(narrow(&raw, i64::from)),
            data_type::FLOAT16 if raw.is_empty() => {
                Elements::Float(proto.int32_data.iter().map(|v| half(*v as u16)).collect())
            }
            data_type::FLOAT16 => Elements::Float(words(&raw).map(|w| half(u16::from_le_bytes(w))).collect()),
            _ => {
                return Err(refuse(
                    "its element type is not a float, int or bool type that import reads",
                ));
            }
        };
        let constant = Self {
            dims,
            elements: elements_of,
            kind,
            step: None,
        };
        if constant.len() != elements {
            return Err(refuse("its data does not fill its shape"));
        }
        constant.check_finite(name)?;
        Ok(constant)
    }

    /// A vector of integers, as attributes hold them.
    pub(crate) fn ints(values: Vec<i64>) -> Self {
        Self {
            dims: vec![values.len()],
            elements: Elements::Int(values),
            kind: data_type::INT64,
            step: None,
        }
    }

    /// A vector of floats, as attributes hold them.
    pub(crate) fn floats(name: &str, values: Vec<f32>) -> Result<Self, OnnxError> {
        let constant = Self {
            dims: vec![values.len()],
            elements: Elements::Float(values),
            kind: data_type::FLOAT,
            step: None,
        };
        constant.check_finite(name)?;
        Ok(constant)
    }

    /// The same element without axes.
    pub(crate) fn scalar(mut self) -> Self {
        self.dims = Vec::new();
        self
    }

    pub(crate) fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(v) => v.len(),
            Elements::Int(v) => v.len(),
        }
    }

    pub(crate) fn check_finite(&self, name: &str) -> Result<(), OnnxError> {
        let Elements::Float(values) = &self.elements else {
            return Ok(());
        };
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(index) => Err(OnnxError::NotFinite {
                what: format!("constant \"{}\"", name.escape_debug()),
                index,
                found: f64::from(values[index]),
            }),
        }
    }
}

/// Turns a row-major matrix.
pub(crate) fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns)
        .flat_map(|c| (0..rows).map(move |r| values[r * columns + c]))
        .collect()
}

/// The value of a float16.
fn half(bits: u16) -> f32 {
    let fraction = f32::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// Number of elements; `None` above the limits of the wire format.
pub(crate) fn element_count(dims: &[usize]) -> Option<usize> {
    if dims.len() > haca_wire::limit::RANK {
        return None;
    }
    let count = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    (count <= haca_wire::limit::TENSOR_ELEMENTS).then_some(count)
}

/// Whole words of `N` bytes. A rest is no word; the caller finds that the data does not fill the shape.
fn words<const N: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    let exact = if raw.len().is_multiple_of(N) { raw } else { &[] };
    exact.chunks_exact(N).map(|chunk| {
        let mut word = [0; N];
        word.copy_from_slice(chunk);
        word
    })
}
