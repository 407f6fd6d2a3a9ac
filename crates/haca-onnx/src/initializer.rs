//! Constants of an ONNX file: initializers and Constant nodes.

use crate::OnnxError;
use crate::proto::{TensorProto, data_type};

/// A constant tensor: the float kinds as f32, the integer kinds as i64.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    /// Dimensions, at most 8, with at most [`haca_wire::limit::TENSOR_ELEMENTS`] elements.
    pub(crate) dims: Vec<usize>,
    pub(crate) elements: Elements,
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
        let raw = proto.raw_data;
        let elements_of = match proto.data_type {
            data_type::FLOAT if raw.is_empty() => Elements::Float(proto.float_data),
            data_type::FLOAT => Elements::Float(words(&raw).map(f32::from_le_bytes).collect()),
            data_type::DOUBLE if raw.is_empty() => {
                Elements::Float(proto.double_data.iter().map(|v| *v as f32).collect())
            }
            data_type::DOUBLE => Elements::Float(words(&raw).map(|w| f64::from_le_bytes(w) as f32).collect()),
            data_type::INT64 if raw.is_empty() => Elements::Int(proto.int64_data),
            data_type::INT64 => Elements::Int(words(&raw).map(i64::from_le_bytes).collect()),
            _ => return Err(refuse("its element type is not float32, float64 or int64")),
        };
        let constant = Self {
            dims,
            elements: elements_of,
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
        }
    }

    /// A vector of floats, as attributes hold them.
    pub(crate) fn floats(name: &str, values: Vec<f32>) -> Result<Self, OnnxError> {
        let constant = Self {
            dims: vec![values.len()],
            elements: Elements::Float(values),
        };
        constant.check_finite(name)?;
        Ok(constant)
    }

    /// The same element without axes.
    pub(crate) fn scalar(mut self) -> Self {
        self.dims = Vec::new();
        self
    }

    /// The transpose of a matrix; `None` for other shapes.
    pub(crate) fn transposed(&self) -> Option<Self> {
        let &[rows, columns] = self.dims.as_slice() else {
            return None;
        };
        let elements = match &self.elements {
            Elements::Float(v) => Elements::Float(transpose(v, rows, columns)),
            Elements::Int(v) => Elements::Int(transpose(v, rows, columns)),
        };
        Some(Self {
            dims: vec![columns, rows],
            elements,
        })
    }

    fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(v) => v.len(),
            Elements::Int(v) => v.len(),
        }
    }

    fn check_finite(&self, name: &str) -> Result<(), OnnxError> {
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

/// Number of elements; `None` above the limits of the wire format.
fn element_count(dims: &[usize]) -> Option<usize> {
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
