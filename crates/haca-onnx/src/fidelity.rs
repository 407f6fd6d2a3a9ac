//! How faithful an integer graph is to the float network it came from.

use haca_graph::{ModelFile, evaluate};
use haca_wire::Tensor;

use crate::float_model::{FloatOp, arg_max};
use crate::quantisation::shown;
use crate::scale::{quantise_sample, scale_to_f64};
use crate::{FloatModel, OnnxError, Sample};

/// Comparison of integer graph and float network on test samples. Errors are in real units, over all outputs but
/// classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Fidelity {
    /// Samples compared.
    pub rows: usize,
    /// Share of samples on which the largest element of the first output is at the same place.
    pub argmax_agree: f64,
    /// Largest difference of an output element.
    pub max_abs_err: f64,
    /// Mean difference of output elements.
    pub mean_abs_err: f64,
    /// Share of samples that the float network labels right; `None` without labels.
    pub accuracy_float: Option<f64>,
    /// Share of samples that the integer graph labels right; `None` without labels.
    pub accuracy_integer: Option<f64>,
}

#[derive(Default)]
struct Sums {
    agree: usize,
    elements: usize,
    max: f64,
    total: f64,
    right_float: usize,
    right_integer: usize,
}

/// Runs both on each sample.
///
/// # Errors
///
/// No samples, samples that do not fit, or a model file of another network.
pub fn fidelity(
    float: &FloatModel,
    integer: &ModelFile,
    samples: &[Sample],
    labels: Option<&[i64]>,
) -> Result<Fidelity, OnnxError> {
    if samples.is_empty() {
        return Err(OnnxError::NoSamples);
    }
    if let Some(labels) = labels.filter(|labels| labels.len() != samples.len()) {
        let (found, expected) = (labels.len(), samples.len());
        return Err(OnnxError::SampleSize {
            what: "labels".to_owned(),
            found,
            expected,
        });
    }
    let is_class = |value: usize| matches!(float.producer(value), Some(FloatOp::ArgMax { .. }));
    let compared: Vec<usize> = shown(float)
        .into_iter()
        .map(|(v, _)| v)
        .filter(|v| !is_class(*v))
        .collect();
    let mut sums = Sums::default();
    for (row, sample) in samples.iter().enumerate() {
        let values = float.evaluate(sample)?;
        let inputs = quantise_sample(integer.manifest.graph.inputs(), sample)?;
        let outputs = evaluate(&integer.manifest.graph, &integer.parameters, &inputs)?.outputs;
        let label = labels.and_then(|labels| labels.get(row)).copied();
        for (index, value) in compared.iter().enumerate() {
            let real = reals(integer, &outputs, index, values[*value].len())?;
            sums.add(&values[*value], &real);
            if index == 0 {
                sums.classify(arg_max(&values[*value]), arg_max(&real), label);
            }
        }
    }
    Ok(sums.finish(samples.len(), labels.is_some()))
}

/// The elements of an output in real units.
fn reals(
    integer: &ModelFile,
    outputs: &[Tensor],
    index: usize,
    expected: usize,
) -> Result<Vec<f64>, OnnxError> {
    let spec = integer.manifest.graph.outputs().get(index).map(|(_, spec)| spec);
    let pair = outputs
        .get(index)
        .zip(spec)
        .filter(|(tensor, _)| tensor.values().len() == expected);
    let found = outputs.get(index).map_or(0, |tensor| tensor.values().len());
    let (tensor, spec) = pair.ok_or(OnnxError::SampleSize {
        what: format!("output {index}"),
        found,
        expected,
    })?;
    let step = scale_to_f64(spec.scale);
    Ok(tensor.values().iter().map(|q| *q as f64 * step).collect())
}

impl Sums {
    fn add(&mut self, float: &[f32], integer: &[f64]) {
        for (f, q) in float.iter().zip(integer) {
            let error = (f64::from(*f) - q).abs();
            self.max = self.max.max(error);
            self.total += error;
            self.elements += 1;
        }
    }

    fn classify(&mut self, float: usize, integer: usize, label: Option<i64>) {
        let right = |class: usize| usize::from(label.is_some_and(|l| usize::try_from(l) == Ok(class)));
        self.agree += usize::from(float == integer);
        self.right_float += right(float);
        self.right_integer += right(integer);
    }

    fn finish(self, rows: usize, labelled: bool) -> Fidelity {
        let share = |count: usize| count as f64 / rows as f64;
        Fidelity {
            rows,
            argmax_agree: share(self.agree),
            max_abs_err: self.max,
            mean_abs_err: self.total / self.elements.max(1) as f64,
            accuracy_float: labelled.then(|| share(self.right_float)),
            accuracy_integer: labelled.then(|| share(self.right_integer)),
        }
    }
}
