//! Linear functionals of int8 values: what all claims about committed values are brought to.
//!
//! A functional weights each window of a value, and each channel under each tap. Its sum splits into a public part
//! (elements of inputs, constants, padding), which the verifier adds up itself, and a committed part, which the gather
//! sumcheck proves.

use core::ops::Mul;

use p3_field::PrimeCharacteristicRing;

use crate::cell::BlockWeights;
use crate::circuit::Circuit;
use crate::field::{Base, Extension, base};
use crate::multilinear::dot;
use crate::value::{Element, Origin, Source, Value};
use crate::windows::Windows;

/// The weights of the channels under the taps.
#[derive(Clone, Debug)]
pub enum Taps<'a> {
    /// One tap alone.
    One(usize, &'a [Extension]),
    /// All taps, each with weights of its own behind those of the one before, and how many channels there are.
    Each(Vec<Extension>, usize),
    /// The same weights under each tap.
    All(&'a [Extension]),
}

/// `scale * sum over windows p, taps t, channels c of positions(p) taps(t, c) x(element of p under t, c)`.
#[derive(Clone, Debug)]
pub struct Functional<'a> {
    /// The value, by index.
    pub value: usize,
    /// The windows over it.
    pub windows: Windows,
    /// One weight for each window.
    pub positions: &'a [Extension],
    /// The weights of the channels.
    pub taps: Taps<'a>,
    /// What the sum is multiplied by: functionals of one claim share their weights and differ in this.
    pub scale: Extension,
    /// What stands in the padding.
    pub padding: i64,
}

/// The elements of an input, summed over the inferences with the weights of a batch point.
#[derive(Clone, Debug)]
pub enum Folded {
    /// One inference: the elements themselves.
    Plain(Vec<Base>),
    /// Several.
    Mixed(Vec<Extension>),
}

impl Folded {
    fn get(&self, index: usize) -> Extension {
        match self {
            Self::Plain(elements) => elements
                .get(index)
                .map_or(Extension::ZERO, |x| Extension::from(*x)),
            Self::Mixed(elements) => elements.get(index).copied().unwrap_or(Extension::ZERO),
        }
    }
}

impl Functional<'_> {
    /// Each tap with the weights of its channels, not scaled.
    pub fn taps(&self) -> Vec<(usize, &[Extension])> {
        match &self.taps {
            Taps::One(tap, channels) => vec![(*tap, *channels)],
            Taps::Each(weights, channels) => weights.chunks((*channels).max(1)).enumerate().collect(),
            Taps::All(channels) => (0..self.windows.taps()).map(|tap| (tap, *channels)).collect(),
        }
    }

    /// The part of the sum that is not committed: inputs, constants and padding. `inputs` are folded over the batch.
    pub fn public_part(&self, circuit: &Circuit, inputs: &[Folded]) -> Extension {
        let Some(value) = circuit.values.get(self.value) else {
            return Extension::ZERO;
        };
        let elements = match &value.origin {
            Origin::Whole(Source::Input(index)) => match inputs.get(*index) {
                Some(Folded::Plain(elements)) => self.scale * self.weigh(value, elements),
                Some(Folded::Mixed(elements)) => self.scale * self.weigh(value, elements),
                None => Extension::ZERO,
            },
            Origin::Whole(_) => Extension::ZERO,
            Origin::Arranged(elements) => {
                let dense = self.dense(value);
                let public = dense.iter().zip(elements).map(|(weight, element)| match element {
                    Element::Constant(constant) => *weight * base(i64::from(*constant)),
                    Element::Of(Source::Input(index), element) => {
                        let input = inputs.get(*index);
                        input.map_or(Extension::ZERO, |input| *weight * input.get(*element as usize))
                    }
                    Element::Of(..) => Extension::ZERO,
                });
                public.sum()
            }
        };
        elements + self.padding_part()
    }

    /// What the padding contributes.
    fn padding_part(&self) -> Extension {
        if self.padding == 0 {
            return Extension::ZERO;
        }
        let all: Extension = self.positions.iter().copied().sum();
        let outside = |(tap, channels): (usize, &[Extension])| {
            let mut rest = all;
            self.windows
                .under(tap, |position, _| rest -= at(self.positions, position));
            rest * channels.iter().copied().sum::<Extension>()
        };
        self.taps().into_iter().map(outside).sum::<Extension>() * self.scale * base(self.padding)
    }

    /// The sum over elements that are all at hand, not scaled.
    fn weigh<T: Copy>(&self, value: &Value, elements: &[T]) -> Extension
    where
        Extension: Mul<T, Output = Extension>,
    {
        let mut total = Extension::ZERO;
        let mut sums = vec![Extension::ZERO; value.channels];
        let taps = self.taps();
        let alike = matches!(self.taps, Taps::All(_));
        for (index, (tap, channels)) in taps.iter().enumerate() {
            self.windows.runs(*tap, |run| {
                let weights = self.positions.get(run.position..).unwrap_or_default();
                let start = run.from.saturating_mul(value.channels);
                let pixels = elements.get(start..).unwrap_or_default();
                let pixels = pixels.chunks((run.step * value.channels).max(1));
                for (weight, pixel) in weights.iter().take(run.count).zip(pixels) {
                    sums.iter_mut()
                        .zip(pixel)
                        .for_each(|(sum, x)| *sum += *weight * *x);
                }
            });
            // Where all taps weigh alike, their sums are weighted once.
            if !alike || index + 1 == taps.len() {
                total += dot(&sums, channels);
                sums.fill(Extension::ZERO);
            }
        }
        total
    }

    /// The weight of each element of the value.
    pub fn dense(&self, value: &Value) -> Vec<Extension> {
        let mut dense = vec![Extension::ZERO; value.elements()];
        for (tap, channels) in self.taps() {
            self.windows.under(tap, |position, from| {
                let weight = self.scale * at(self.positions, position);
                let start = from.saturating_mul(value.channels);
                let pixel = dense.get_mut(start..).unwrap_or_default();
                pixel
                    .iter_mut()
                    .zip(channels)
                    .for_each(|(sum, channel)| *sum += weight * *channel);
            });
        }
        dense
    }

    /// The extension of the committed part at a point: the sum over committed elements of their weight times the weight
    /// of their cell. `weights` gives the cells of a source that is committed, and its channels.
    pub fn committed_part<'w>(
        &self,
        circuit: &Circuit,
        weights: impl Fn(Source) -> Option<(&'w BlockWeights, usize)>,
    ) -> Extension {
        let Some(value) = circuit.values.get(self.value) else {
            return Extension::ZERO;
        };
        match &value.origin {
            Origin::Whole(source) => match weights(*source) {
                None => Extension::ZERO,
                Some((cells, channels)) if channels == value.channels => self.scale * self.separable(cells),
                Some((cells, channels)) => {
                    let rows = self.dense(value);
                    let rows = rows.chunks(channels.max(1)).zip(&cells.positions);
                    rows.map(|(row, position)| dot(row, &cells.channels) * *position)
                        .sum()
                }
            },
            Origin::Arranged(elements) => {
                let dense = self.dense(value);
                let committed = dense.iter().zip(elements).filter_map(|(weight, element)| {
                    let Element::Of(source, index) = element else {
                        return None;
                    };
                    let (cells, channels) = weights(*source)?;
                    let (position, channel) = (
                        *index as usize / channels.max(1),
                        *index as usize % channels.max(1),
                    );
                    Some(*weight * at(&cells.positions, position) * at(&cells.channels, channel))
                });
                committed.sum()
            }
        }
    }

    /// The committed part where the value has the positions and channels of its cells, not scaled.
    fn separable(&self, cells: &BlockWeights) -> Extension {
        let over_windows = |tap: usize| {
            let mut sum = Extension::ZERO;
            self.windows.runs(tap, |run| {
                let weights = self.positions.get(run.position..).unwrap_or_default();
                let cells = cells.positions.get(run.from..).unwrap_or_default();
                let cells = cells.iter().step_by(run.step.max(1));
                let pairs = weights.iter().take(run.count).zip(cells);
                sum += pairs.map(|(weight, cell)| *weight * *cell).sum::<Extension>();
            });
            sum
        };
        match &self.taps {
            Taps::All(channels) => {
                let windows: Extension = (0..self.windows.taps()).map(over_windows).sum();
                dot(channels, &cells.channels) * windows
            }
            Taps::One(..) | Taps::Each(..) => {
                let taps = self.taps().into_iter();
                taps.map(|(tap, channels)| dot(channels, &cells.channels) * over_windows(tap))
                    .sum()
            }
        }
    }
}

fn at(values: &[Extension], index: usize) -> Extension {
    values.get(index).copied().unwrap_or(Extension::ZERO)
}
