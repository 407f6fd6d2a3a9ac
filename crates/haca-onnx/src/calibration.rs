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
    /// The magnitude with which rounding to 127 steps and saturating lose least, as the mean of squared errors.
    LeastSquares,
}

/// Magnitudes that [`Calibration::LeastSquares`] tries, as shares of the largest one out of [`SHARES`].
const TRIED: core::ops::RangeInclusive<u32> = 16..=SHARES;
const SHARES: u32 = 64;
/// Values that it looks at, evenly spaced over all.
const OBSERVED: usize = 1 << 15;

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
            Self::MinMax | Self::Percentile(_) | Self::LeastSquares => Ok(()),
        }
    }

    /// The range of values whose magnitudes are given; 0 for none.
    fn range(self, mut magnitudes: Vec<f32>) -> f32 {
        match self {
            Self::MinMax => magnitudes.into_iter().fold(0.0, f32::max),
            Self::LeastSquares => least_squares(&magnitudes),
            Self::Percentile(percent) => {
                magnitudes.sort_unstable_by(f32::total_cmp);
                let rank = (magnitudes.len() as f64 * percent / 100.0).ceil() as usize;
                magnitudes
                    .get(rank.clamp(1, magnitudes.len().max(1)) - 1)
                    .copied()
                    .unwrap_or(0.0)
            }
        }
    }
}

fn least_squares(magnitudes: &[f32]) -> f32 {
    let largest = magnitudes.iter().copied().fold(0.0, f32::max);
    let stride = magnitudes.len().div_ceil(OBSERVED).max(1);
    let loss = |range: f32| {
        let step = f64::from(range) / 127.0;
        let error = |v: &f32| {
            let v = f64::from(*v);
            let rounded = (v / step).round().min(127.0) * step;
            (v - rounded) * (v - rounded)
        };
        magnitudes.iter().step_by(stride).map(error).sum::<f64>()
    };
    let mut best = (largest, f64::INFINITY);
    for share in TRIED.rev() {
        let range = largest * share as f32 / SHARES as f32;
        if range > 0.0 {
            let loss = loss(range);
            if loss < best.1 {
                best = (range, loss);
            }
        }
    }
    best.0
}

/// What calibration saw of each value of a float model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranges {
    /// Magnitude that the int8 range of each value holds.
    pub(crate) magnitude: Vec<f32>,
    /// Least and largest element of each value.
    pub(crate) ends: Vec<(f32, f32)>,
    /// Mean of each index of the last axis of each value.
    pub(crate) means: Vec<Vec<f64>>,
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
    let affordable = limit::CALIBRATION_WORK / model.work().max(1);
    let affordable = usize::try_from(affordable).unwrap_or(usize::MAX).max(1);
    let rows = samples
        .len()
        .min(limit::CALIBRATION_SAMPLES)
        .min(fit)
        .min(affordable);
    let mut magnitudes: Vec<Vec<f32>> = vec![Vec::new(); model.shapes.len()];
    let mut ends = vec![(f32::INFINITY, f32::NEG_INFINITY); model.shapes.len()];
    let last = |value: usize| model.shapes[value].dims().last().map_or(1, |d| *d as usize);
    let mut means: Vec<Vec<f64>> = (0..model.shapes.len())
        .map(|value| vec![0.0; last(value)])
        .collect();
    for sample in &samples[..rows] {
        for (value, elements) in model.evaluate(sample)?.into_iter().enumerate() {
            if let Some(index) = elements.iter().position(|v| !v.is_finite()) {
                let what = format!("value {value} on a calibration sample");
                return Err(OnnxError::NotFinite {
                    what,
                    index,
                    found: f64::from(elements[index]),
                });
            }
            let weight = 1.0 / (rows * elements.len() / means[value].len()) as f64;
            let width = means[value].len();
            for (index, v) in elements.iter().enumerate() {
                means[value][index % width] += f64::from(*v) * weight;
                ends[value] = (ends[value].0.min(*v), ends[value].1.max(*v));
            }
            magnitudes[value].extend(elements.iter().map(|v| v.abs()));
        }
    }
    let magnitude = magnitudes.into_iter().map(|all| calibration.range(all)).collect();
    Ok(Ranges {
        magnitude,
        ends,
        means,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::Calibration;

    #[test]
    fn least_squares_weighs_an_outlier_against_all_others() {
        // Rounding 32,000 values in 0 to 1 costs about 0.17 times the square of the range, the outlier its distance.
        let mut magnitudes: Vec<f32> = (0..32_000u16).map(|i| f32::from(i) / 32_000.0).collect();
        magnitudes.push(1.5);
        let range = Calibration::LeastSquares.range(magnitudes.clone());
        assert!(range > 1.1 && range < 1.45, "{range}");
        assert_eq!(Calibration::MinMax.range(magnitudes), 1.5);
        assert_eq!(Calibration::LeastSquares.range(vec![0.0; 4]), 0.0);
    }
}
