//! Sample files: `.npy`, `.npz` and JSON, told apart by their first bytes.

use std::collections::BTreeMap;

use haca_wire::TensorSpec;
use serde::Deserialize;

use crate::npy::{self, Array};
use crate::{OnnxError, Sample, limit, npz};

/// Name and size of one input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Its name in the ONNX file or the graph.
    pub name: String,
    /// Elements of one inference.
    pub elements: usize,
}

impl From<&TensorSpec> for InputSpec {
    fn from(spec: &TensorSpec) -> Self {
        Self {
            name: spec.name.as_str().to_owned(),
            elements: spec.shape.elements(),
        }
    }
}

/// The samples of a file, and their labels where it has them.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSet {
    /// The samples, in the order of the file.
    pub samples: Vec<Sample>,
    /// The label of each sample: array `y` of an `.npz` file.
    pub labels: Option<Vec<i64>>,
}

/// The JSON form. Other keys are ignored, as files for other tools have them.
#[derive(Deserialize)]
struct JsonFile {
    input_data: Vec<Vec<f64>>,
}

impl SampleSet {
    /// Reads a file.
    ///
    /// * `.npy`: one array, for a model with one input; it holds one sample or several, one after the other.
    /// * `.npz`: array `x` for a model with one input, or one array per input under the input's name; array `y`,
    ///   where present, holds one integer label per sample.
    /// * JSON: `{"input_data": [[...], ...]}` with one flat list per input. More lists than inputs are further
    ///   samples; a list that is a multiple of its input's size holds several samples one after the other.
    ///
    /// # Errors
    ///
    /// Damaged or oversized files, and sizes that are no multiple of the inputs'.
    pub fn read(file: &[u8], inputs: &[InputSpec]) -> Result<Self, OnnxError> {
        npy::check_size(file.len())?;
        let (lists, labels) = if file.starts_with(npy::MAGIC) {
            (vec![npy::read(file)?.values], None)
        } else if file.starts_with(npz::MAGIC) {
            named(npz::read(file)?, inputs)?
        } else {
            let parsed: Result<JsonFile, _> = serde_json::from_slice(file);
            let reason = |error: serde_json::Error| OnnxError::SampleFile {
                reason: format!("JSON: {error}"),
            };
            (parsed.map_err(reason)?.input_data, None)
        };
        let samples = split(&lists, inputs)?;
        if let Some(labels) = &labels
            && labels.len() != samples.len()
        {
            let (found, expected) = (labels.len(), samples.len());
            return Err(OnnxError::SampleSize {
                what: "labels".to_owned(),
                found,
                expected,
            });
        }
        for sample in &samples {
            sample.check(inputs)?;
        }
        Ok(Self { samples, labels })
    }
}

type Named = (Vec<Vec<f64>>, Option<Vec<i64>>);

fn named(mut arrays: BTreeMap<String, Array>, inputs: &[InputSpec]) -> Result<Named, OnnxError> {
    let mut lists = Vec::new();
    for input in inputs {
        let by_name = arrays.remove(&input.name);
        let array = if inputs.len() == 1 {
            by_name.or_else(|| arrays.remove("x"))
        } else {
            by_name
        };
        let missing = || {
            let wanted = if inputs.len() == 1 {
                "\"x\"".to_owned()
            } else {
                format!("\"{}\"", input.name.escape_debug())
            };
            OnnxError::SampleFile {
                reason: format!("npz: there is no array {wanted}"),
            }
        };
        lists.push(array.ok_or_else(missing)?.values);
    }
    let labels = arrays.remove("y").map(|array| labels(&array)).transpose()?;
    Ok((lists, labels))
}

fn labels(array: &Array) -> Result<Vec<i64>, OnnxError> {
    let label = |(index, value): (usize, &f64)| {
        let whole = value.fract() == 0.0 && value.abs() < 9.0e15;
        let reason = || {
            format!(
                "npz: label {index} of shape {:?} is {value}, not an integer",
                array.dims
            )
        };
        if whole {
            Ok(*value as i64)
        } else {
            Err(OnnxError::SampleFile { reason: reason() })
        }
    };
    array.values.iter().enumerate().map(label).collect()
}

/// Cuts lists into samples: list `i` belongs to input `i` modulo the number of inputs.
fn split(lists: &[Vec<f64>], inputs: &[InputSpec]) -> Result<Vec<Sample>, OnnxError> {
    if inputs.is_empty() || lists.is_empty() {
        return Err(OnnxError::NoSamples);
    }
    let mut samples = Vec::new();
    for group in lists.chunks(inputs.len()) {
        if group.len() != inputs.len() {
            let what = "lists for the inputs of the last sample".to_owned();
            return Err(OnnxError::SampleSize {
                what,
                found: group.len(),
                expected: inputs.len(),
            });
        }
        let rows = rows_in(&group[0], &inputs[0])?;
        for (list, input) in group.iter().zip(inputs).skip(1) {
            let (found, expected) = (rows_in(list, input)?, rows);
            if found != expected {
                let what = format!("samples of input \"{}\"", input.name.escape_debug());
                return Err(OnnxError::SampleSize {
                    what,
                    found,
                    expected,
                });
            }
        }
        let found = samples.len().saturating_add(rows);
        if found > limit::SAMPLES {
            return Err(OnnxError::TooLarge {
                what: "samples",
                found,
                expected: limit::SAMPLES,
            });
        }
        let part = |(list, input): (&Vec<f64>, &InputSpec), row: usize| {
            list[row * input.elements..(row + 1) * input.elements].to_vec()
        };
        samples.extend(
            (0..rows).map(|row| Sample(group.iter().zip(inputs).map(|pair| part(pair, row)).collect())),
        );
    }
    Ok(samples)
}

/// How many samples a list holds, at least one.
fn rows_in(list: &[f64], input: &InputSpec) -> Result<usize, OnnxError> {
    let (found, expected) = (list.len(), input.elements);
    if found == 0 || expected == 0 || !found.is_multiple_of(expected) {
        let what = format!("input \"{}\" (or a multiple)", input.name.escape_debug());
        return Err(OnnxError::SampleSize {
            what,
            found,
            expected,
        });
    }
    Ok(found / expected)
}
