//! The prover of products of values (step P7 of `spec/zk.md`).

use haca_zk::circuit::Circuit;
use haca_zk::field::{Extension, base};
use haca_zk::multilinear::eq_table;
use haca_zk::product::ProductSpace;
use haca_zk::proof::ProductProof;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::UsePoint;
use p3_field::PrimeCharacteristicRing;

use crate::Execution;
use crate::adversary::{Tamper, Witness, send};
use crate::sumcheck;
use crate::trace::{Run, Trace};
use haca_zk::value::{Element, Origin, Source};
use haca_zk::witness::WitnessLayout;

/// The weights and both factors over all cells and inferences.
pub(crate) struct Factors {
    weights: Vec<Extension>,
    sides: [Vec<Extension>; 2],
}

impl Factors {
    pub(crate) fn new(
        circuit: &Circuit,
        trace: &Trace,
        space: &ProductSpace,
        (batch, altered): (&[&Execution], Option<(&WitnessLayout, &Witness)>),
        uses: &[UsePoint],
        lookup: &[Extension],
    ) -> Self {
        let batch_variables = lookup.len();
        let eq = eq_table(lookup);
        let zeros = || vec![Extension::ZERO; 1 << (space.cells.variables + batch_variables)];
        let (mut weights, mut sides) = (zeros(), [zeros(), zeros()]);
        for (inference, (execution, weight)) in batch.iter().zip(&eq).enumerate() {
            let run = Run::new(circuit, trace, execution);
            for (of, block) in space.uses.iter().zip(&space.cells.blocks) {
                let at = &uses[*of];
                let operands = circuit.product(&at.of).unwrap_or_default();
                let values = operands.map(|value| elements(circuit, &run, altered, inference, value));
                for (position, p) in at.positions.iter().enumerate() {
                    let scale = at.scale * *weight * *p;
                    for (channel, row) in at.rows.iter().enumerate() {
                        let cell = (block.cell(position, channel) << batch_variables) | inference;
                        let element = position * block.channels + channel;
                        weights[cell] = scale * *row;
                        for (side, values) in sides.iter_mut().zip(&values) {
                            side[cell] = values[element];
                        }
                    }
                }
            }
        }
        Self { weights, sides }
    }

    /// The sum of the products.
    pub(crate) fn sum(&self) -> Extension {
        let [left, right] = &self.sides;
        let cells = self.weights.iter().zip(left).zip(right);
        cells.map(|((w, l), r)| *w * *l * *r).sum()
    }

    pub(crate) fn alter(&mut self, tamper: &mut dyn Tamper) {
        let [left, right] = &mut self.sides;
        tamper.elementwise(&mut self.weights, [left, right]);
    }

    /// Step P7: the proof and the point.
    pub(crate) fn prove(
        self,
        sum: Extension,
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) -> (ProductProof, Vec<Extension>) {
        transcript.step("products of values");
        let [left, right] = self.sides;
        let (rounds, point, mut factors) = sumcheck::prove_cubic(
            "products of values",
            self.weights,
            [left, right],
            tamper,
            transcript,
        );
        send("factors", &mut factors, tamper, transcript);
        (ProductProof { sum, rounds, factors }, point)
    }
}

/// The elements of a value in one inference: those of the run, or those of an altered witness.
fn elements(
    circuit: &Circuit,
    run: &Run<'_>,
    altered: Option<(&WitnessLayout, &Witness)>,
    inference: usize,
    index: usize,
) -> Vec<Extension> {
    let honest = run.value(index);
    let value = &circuit.values[index];
    let element = |at: usize| {
        let source = match (&value.origin, altered) {
            (_, None) => None,
            (Origin::Whole(source), Some(altered)) => Some((*source, at, altered)),
            (Origin::Arranged(elements), Some(altered)) => match elements[at] {
                Element::Constant(_) => None,
                Element::Of(source, index) => Some((source, index as usize, altered)),
            },
        };
        let committed = source.and_then(|(source, at, (layout, witness))| {
            let column = match source {
                Source::Input(_) => return None,
                Source::Requantise(_) => &witness.columns[0].1,
                Source::Stage(_) => &witness.stages.as_ref()?.results,
            };
            let block = layout.block(source)?;
            let cell = block.cell(at / block.channels, at % block.channels);
            Some(column[(cell << layout.batch_variables) | inference])
        });
        Extension::from(committed.unwrap_or_else(|| base(i64::from(honest[at]))))
    };
    (0..value.elements()).map(element).collect()
}
