//! Arrays in NumPy's `.npy` format, versions 1 to 3.

use crate::{OnnxError, limit};

/// An array: its dimensions and its elements, row-major, as f64.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// The bytes a `.npy` file begins with.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

fn refuse(reason: &str) -> OnnxError {
    OnnxError::SampleFile {
        reason: format!("npy: {reason}"),
    }
}

/// Reads one array and refuses trailing bytes.
pub(crate) fn read(bytes: &[u8]) -> Result<Array, OnnxError> {
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| refuse("it does not begin as NumPy files do"))?;
    let (version, rest) = rest
        .split_at_checked(2)
        .ok_or_else(|| refuse("the header is cut off"))?;
    let width = match version {
        [1, 0] => 2,
        [2 | 3, 0] => 4,
        _ => return Err(refuse("the version is not 1.0, 2.0 or 3.0")),
    };
    let (len, rest) = rest
        .split_at_checked(width)
        .ok_or_else(|| refuse("the header is cut off"))?;
    let len = len.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let (header, data) = rest
        .split_at_checked(len)
        .ok_or_else(|| refuse("the header is cut off"))?;
    let header = core::str::from_utf8(header).map_err(|_| refuse("the header is not text"))?;
    let header = Header::parse(header)?;
    let values = header.elements(data)?;
    Ok(Array {
        dims: header.dims,
        values,
    })
}

struct Header {
    /// Type code of NumPy without the byte order: `f4`, `i8`, `b1`, ...
    kind: String,
    big_endian: bool,
    dims: Vec<usize>,
}

impl Header {
    /// Parses the Python dictionary that NumPy writes: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Result<Self, OnnxError> {
        let descr = field(text, "descr").ok_or_else(|| refuse("the header has no descr"))?;
        let descr = descr
            .strip_prefix(['\'', '"'])
            .and_then(|d| d.split(['\'', '"']).next());
        let descr = descr.ok_or_else(|| refuse("structured element types are not supported"))?;
        let (order, kind) = descr
            .split_at_checked(1)
            .ok_or_else(|| refuse("the element type is empty"))?;
        let big_endian = match order {
            "<" | "|" | "=" => false,
            ">" => true,
            _ => return Err(refuse("the byte order is unknown")),
        };
        match field(text, "fortran_order") {
            Some(order) if order.starts_with("False") => {}
            _ => {
                return Err(refuse(
                    "the array is in column-major order: save numpy.ascontiguousarray(x)",
                ));
            }
        }
        let shape = field(text, "shape")
            .and_then(|s| s.strip_prefix('('))
            .and_then(|s| s.split(')').next());
        let shape = shape.ok_or_else(|| refuse("the header has no shape"))?;
        let dims = shape
            .split(',')
            .map(str::trim)
            .filter(|d| !d.is_empty())
            .map(str::parse);
        let dims = dims
            .collect::<Result<Vec<usize>, _>>()
            .map_err(|_| refuse("the shape is not a list of numbers"))?;
        Ok(Self {
            kind: kind.to_owned(),
            big_endian,
            dims,
        })
    }

    fn elements(&self, data: &[u8]) -> Result<Vec<f64>, OnnxError> {
        let count = self.dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let count = count.ok_or_else(|| refuse("the shape is too large"))?;
        match self.kind.as_str() {
            "f4" => self.words(data, count, |w| f64::from(f32::from_le_bytes(w))),
            "f8" => self.words(data, count, f64::from_le_bytes),
            "i1" => self.words(data, count, |w| f64::from(i8::from_le_bytes(w))),
            "i2" => self.words(data, count, |w| f64::from(i16::from_le_bytes(w))),
            "i4" => self.words(data, count, |w| f64::from(i32::from_le_bytes(w))),
            "i8" => self.words(data, count, |w| i64::from_le_bytes(w) as f64),
            "u1" | "b1" => self.words(data, count, |[w]: [u8; 1]| f64::from(w)),
            "u2" => self.words(data, count, |w| f64::from(u16::from_le_bytes(w))),
            "u4" => self.words(data, count, |w| f64::from(u32::from_le_bytes(w))),
            "u8" => self.words(data, count, |w| u64::from_le_bytes(w) as f64),
            other => Err(refuse(&format!(
                "the element type {} is not a real number",
                other.escape_debug()
            ))),
        }
    }

    fn words<const N: usize>(
        &self,
        data: &[u8],
        count: usize,
        convert: impl Fn([u8; N]) -> f64,
    ) -> Result<Vec<f64>, OnnxError> {
        if Some(data.len()) != count.checked_mul(N) {
            return Err(refuse("the data does not fill the shape"));
        }
        let word = |chunk: &[u8]| {
            let mut word = [0; N];
            word.copy_from_slice(chunk);
            if self.big_endian {
                word.reverse();
            }
            convert(word)
        };
        Ok(data.chunks_exact(N).map(word).collect())
    }
}

/// The text behind `'name':` in a Python dictionary.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("'{name}':"))?;
    Some(rest.trim_start())
}

/// Refuses what is too large for a sample file before it is read.
pub(crate) fn check_size(found: usize) -> Result<(), OnnxError> {
    let expected = limit::SAMPLE_BYTES;
    if found <= expected {
        Ok(())
    } else {
        Err(OnnxError::TooLarge {
            what: "bytes of samples",
            found,
            expected,
        })
    }
}
