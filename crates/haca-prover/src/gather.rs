//! The prover of the gather sumcheck (step P10 of `spec/zk.md`).

use haca_zk::circuit::Circuit;
use haca_zk::field::Extension;
use haca_zk::functional::Functional;
use haca_zk::gather::{BatchPoint, Claim};
use haca_zk::multilinear::{dot, eq_table};
use haca_zk::sumcheck::powers;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::value::{Element, Origin, Source};
use haca_zk::witness::WitnessLayout;
use p3_field::PrimeCharacteristicRing;

use crate::adversary::{Tamper, send};
use crate::folding::FoldedValues;
use crate::sumcheck;

/// The gather sumcheck.
pub(crate) struct Gathered {
    pub(crate) rounds: Vec<[Extension; 2]>,
    pub(crate) point: Vec<Extension>,
    /// The committed values at the point.
    pub(crate) values: Vec<Extension>,
}

/// Step P10. `folded` are the values at each batch point.
pub(crate) fn prove(
    circuit: &Circuit,
    layout: &WitnessLayout,
    claims: &[Claim<'_>],
    folded: &[&FoldedValues<'_>],
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> Gathered {
    transcript.step("gather");
    let mix = transcript.challenge();
    let gathered = layout.gathered();
    let mut values = vec![Extension::ZERO; 1 << layout.gather_variables];
    for (index, block) in layout.gather.iter().enumerate() {
        let folded = folded[index / gathered];
        let column = [&folded.results, &folded.stages][index % gathered];
        values[block.range()].copy_from_slice(column);
    }
    let mut weights = vec![Extension::ZERO; 1 << layout.gather_variables];
    for (claim, power) in claims.iter().zip(powers(mix)) {
        let first = match claim.batch {
            BatchPoint::Lookup => 0,
            BatchPoint::Product => gathered,
        };
        for functional in &claim.functionals {
            let offset = |source: Source| {
                let column = usize::from(matches!(source, Source::Stage(_)));
                layout.gather[first + column].offset
            };
            scatter(circuit, layout, functional, power, offset, &mut weights);
        }
    }
    let ends: Vec<Vec<Extension>> = layout
        .gather
        .iter()
        .map(|block| values[block.range()].to_vec())
        .collect();
    let (rounds, point) = sumcheck::prove("gather", values, weights, tamper, transcript);
    let at = |(column, block): (&Vec<Extension>, &haca_zk::block::Block)| {
        dot(column, &eq_table(block.inner(&point)))
    };
    let mut values: Vec<Extension> = ends.iter().zip(&layout.gather).map(at).collect();
    send("gathered", &mut values, tamper, transcript);
    Gathered {
        rounds,
        point,
        values,
    }
}

/// Adds the weights of a functional to the cells that it reads. `offset` is where the column of a source begins.
fn scatter(
    circuit: &Circuit,
    layout: &WitnessLayout,
    functional: &Functional<'_>,
    power: Extension,
    offset: impl Fn(Source) -> usize,
    weights: &mut [Extension],
) {
    let value = &circuit.values[functional.value];
    match &value.origin {
        Origin::Whole(source) => {
            let Some(block) = layout.block(*source) else {
                return;
            };
            let start = offset(*source);
            if block.channels == value.channels {
                let scale = power * functional.scale;
                for (tap, channels) in functional.taps() {
                    let channels: Vec<Extension> = channels.iter().map(|c| scale * *c).collect();
                    functional.windows.under(tap, |position, from| {
                        let weight = functional.positions[position];
                        let cells = &mut weights[start + block.cell(from, 0)..][..channels.len()];
                        cells
                            .iter_mut()
                            .zip(&channels)
                            .for_each(|(cell, c)| *cell += weight * *c);
                    });
                }
            } else {
                for (element, weight) in functional.dense(value).into_iter().enumerate() {
                    let cell = block.cell(element / block.channels, element % block.channels);
                    weights[start + cell] += power * weight;
                }
            }
        }
        Origin::Arranged(elements) => {
            for (element, weight) in elements.iter().zip(functional.dense(value)) {
                let Element::Of(source, index) = element else {
                    continue;
                };
                let Some(block) = layout.block(*source) else {
                    continue;
                };
                let index = *index as usize;
                let cell = block.cell(index / block.channels, index % block.channels);
                weights[offset(*source) + cell] += power * weight;
            }
        }
    }
}
