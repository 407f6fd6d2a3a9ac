//! Samples to send to a model: from a file, or from the built-in digits.

use std::path::Path;

use haca_onnx::{InputSpec, Sample as Values, SampleSet, quantise_sample};
use haca_wire::{Tensor, TensorSpec};

use crate::failure::Failure;
use crate::picture;
use crate::proof::read as read_file;
use crate::screen::Screen;

/// Bytes of a sample file.
const FILE_BYTES: usize = 1 << 30;
/// The held-back split of the digits.
const DIGITS: &[u8] = include_bytes!("../../../models/digits/test.npz");
/// Pixels of a digit's row.
const DIGIT_WIDTH: usize = 8;

/// One sample of a model with one input.
pub(crate) struct Sample {
    /// Real values, row-major.
    pub(crate) values: Vec<f64>,
    /// Its label, where the file has one.
    pub(crate) label: Option<i64>,
}

impl Sample {
    /// The sample as a picture, where it is one of a digit.
    pub(crate) fn picture(&self, screen: &Screen) -> Option<String> {
        let grey = self.values.iter().all(|value| (0.0..=1.0).contains(value));
        (self.values.len() == DIGIT_WIDTH * DIGIT_WIDTH && grey)
            .then(|| picture::draw(&self.values, DIGIT_WIDTH, screen.has_colour()))
    }

    /// The sample as input tensors.
    pub(crate) fn tensors(&self, specs: &[TensorSpec]) -> Result<Vec<Tensor>, Failure> {
        quantise_sample(specs, &Values(vec![self.values.clone()])).map_err(onnx)
    }
}

/// A row of the built-in digits' held-back split.
pub(crate) fn digit(row: usize) -> Result<Sample, Failure> {
    let specs = [InputSpec {
        name: "image".to_owned(),
        elements: DIGIT_WIDTH * DIGIT_WIDTH,
    }];
    pick(set(DIGITS, &specs)?, row)
}

/// A row of a file, for a model with one input of `elements` elements.
pub(crate) fn read(path: &Path, row: usize, specs: &[InputSpec]) -> Result<Sample, Failure> {
    pick(read_set(path, specs)?, row)
}

/// All samples of a file.
pub(crate) fn read_set(path: &Path, specs: &[InputSpec]) -> Result<SampleSet, Failure> {
    set(&read_file(path, FILE_BYTES)?, specs)
}

/// All samples of an `.npz` file and their labels, which stand in array `key`.
pub(crate) fn read_labelled(path: &Path, inputs: &[InputSpec], key: &str) -> Result<Labelled, Failure> {
    let bytes = read_file(path, FILE_BYTES)?;
    // As one more input, labels can have any name. A model's only input may be called `x` in the file.
    let label = InputSpec {
        name: key.to_owned(),
        elements: 1,
    };
    let with = |inputs: &[InputSpec]| {
        let specs: Vec<InputSpec> = core::iter::once(&label).chain(inputs).cloned().collect();
        SampleSet::read(&bytes, &specs)
    };
    let set = match inputs {
        _ if !bytes.starts_with(b"PK") => return Err(no_labels(path, key)),
        [input] => with(inputs).or_else(|_| {
            with(&[InputSpec {
                name: "x".to_owned(),
                elements: input.elements,
            }])
        }),
        _ => with(inputs),
    };
    let (mut samples, mut labels) = (Vec::new(), Vec::new());
    for (index, sample) in set.map_err(onnx)?.samples.into_iter().enumerate() {
        let mut lists = sample.0.into_iter();
        let label = lists
            .next()
            .and_then(|list| list.first().copied())
            .unwrap_or(f64::NAN);
        if label.fract() != 0.0 || label.abs() > LABEL_MAX {
            return Err(Failure::usage(
                "cli.label",
                format!("label {index} of {} is {label}, not a class", path.display()),
                "labels are whole numbers: name the right array with --key",
            ));
        }
        labels.push(label as i64);
        samples.push(Values(lists.collect()));
    }
    Ok(Labelled { samples, labels })
}

/// Samples, and the label of each.
pub(crate) struct Labelled {
    /// The samples, in the order of the file.
    pub(crate) samples: Vec<Values>,
    /// As many.
    pub(crate) labels: Vec<i64>,
}

/// The largest magnitude up to which all whole numbers of a file are told apart.
const LABEL_MAX: f64 = 9.0e15;

fn no_labels(path: &Path, key: &str) -> Failure {
    Failure::usage(
        "cli.no_labels",
        format!(
            "{} is no .npz file, so it has no array \"{key}\" of labels",
            path.display()
        ),
        "a test set is an .npz file with samples in `x` and labels in `y`; --key names other labels",
    )
}

fn set(bytes: &[u8], specs: &[InputSpec]) -> Result<SampleSet, Failure> {
    SampleSet::read(bytes, specs).map_err(onnx)
}

fn pick(set: SampleSet, row: usize) -> Result<Sample, Failure> {
    let count = set.samples.len();
    let label = set.labels.as_ref().and_then(|labels| labels.get(row)).copied();
    let sample = set.samples.into_iter().nth(row).ok_or_else(|| {
        Failure::usage(
            "cli.no_such_row",
            format!("there is no row {row}"),
            format!("rows are numbered 0 to {}", count.saturating_sub(1)),
        )
    })?;
    let values = sample.0.into_iter().next().unwrap_or_default();
    Ok(Sample { values, label })
}

/// An importer's error as the command's failure.
pub(crate) fn onnx(error: haca_onnx::OnnxError) -> Failure {
    Failure::usage(error.code(), &error, error.hint())
}
