//! How large activations become on real data.

use crate::{FloatModel, InputSpec, OnnxError, limit};

/// One sample: a flat list per input of the model, in the order of the inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample(pub Vec<Vec<f64>>);

impl Sample {
    /// The sizes are those of `inputs`, and every value is finite.
    pub(crate) fn check(&self, inputs: &[InputSpec]) -> Result<(), OnnxError> {
        let (found, expected) = (self.0.len(), inputs.len());
        if found != expected {
            return Err(OnnxError::SampleSize {
                what: "lists in a sample".to_owned(),
                found,
                expected,
            });
        }
        for (values, input) in self.0.iter().zip(inputs) {
            let what = || format!("input \"{}\"", input.name.escape_debug());
            let (found, expected) = (values.len(), input.elements);
            if found != expected {
                return Err(OnnxError::SampleSize {
                    what: what(),
                    found,
                    expected,
                });
            }
            // A float32 network sees a larger value as infinite.
            if let Some(index) = values.iter().position(|v| !(*v as f32).is_finite()) {
                return Err(OnnxError::NotFinite {
                    what: what(),
                    index,
                    found: values[index],
                });
            }
        }
        Ok(())
    }
}

/// How the range of an activation follows from its values on the calibration samples. Ranges are symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Calibration {
    /// The largest magnitude.
    #[default]
    MinMax,
    /// The magnitude that this percentage of the values does not exceed, above 50 and at most 100. Larger values
    /// saturate.
    Percentile(f64),
}

impl Calibration {
    fn check(self) -> Result<(), OnnxError> {
        match self {
            Self::Percentile(found) if !(found > 50.0 && found <= 100.0) => {
                let (option, expected) = ("percentile", "above 50, at most 100");
                Err(OnnxError::Option {
                    option,
                    found,
                    expected,
                })
            }
            Self::MinMax | Self::Percentile(_) => Ok(()),
        }
    }

    /// The range of values whose magnitudes are given; 0 for none.
    fn range(self, mut magnitudes: Vec<f32>) -> f32 {
        let Self::Percentile(percent) = self else {
            return magnitudes.into_iter().fold(0.0, f32::max);
        };
        magnitudes.sort_unstable_by(f32::total_cmp);
        let rank = (magnitudes.len() as f64 * percent / 100.0).ceil() as usize;
        magnitudes
            .get(rank.clamp(1, magnitudes.len().max(1)) - 1)
            .copied()
            .unwrap_or(0.0)
    }
}

/// The range of each value of a float model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranges {
    /// Largest magnitude per value.
    pub(crate) magnitude: Vec<f32>,
    /// How many samples were read.
    pub(crate) rows: usize,
}

/// Runs the model on the samples, up to the limits, and takes the range of each value.
pub(crate) fn calibrate(
    model: &FloatModel,
    samples: &[Sample],
    calibration: Calibration,
) -> Result<Ranges, OnnxError> {
    calibration.check()?;
    if samples.is_empty() {
        return Err(OnnxError::NoSamples);
    }
    let elements: usize = model.shapes.iter().map(haca_wire::Shape::elements).sum();
    let fit = (limit::CALIBRATION_VALUES / elements.max(1)).max(1);
    let rows = samples.len().min(limit::CALIBRATION_SAMPLES).min(fit);
    let mut magnitudes: Vec<Vec<f32>> = vec![Vec::new(); model.shapes.len()];
    for sample in &samples[..rows] {
        for (value, (all, elements)) in magnitudes.iter_mut().zip(model.evaluate(sample)?).enumerate() {
            if let Some(index) = elements.iter().position(|v| !v.is_finite()) {
                let what = format!("value {value} on a calibration sample");
                return Err(OnnxError::NotFinite {
                    what,
                    index,
                    found: f64::from(elements[index]),
                });
            }
            all.extend(elements.iter().map(|v| v.abs()));
        }
    }
    let magnitude = magnitudes.into_iter().map(|all| calibration.range(all)).collect();
    Ok(Ranges { magnitude, rows })
}
