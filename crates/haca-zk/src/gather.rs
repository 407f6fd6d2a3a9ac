//! All claims about committed values, brought to one: the gather sumcheck.
//!
//! Whatever the protocol needs of committed values is a [`Functional`] of them. The claims are mixed with the powers
//! of a challenge, and one sumcheck over the columns of results and stages ends in one opening of each (step P10 of
//! `spec/zk.md`). Shared with the prover.

use p3_field::PrimeCharacteristicRing;

use crate::block::Block;
use crate::cell::BlockWeights;
use crate::circuit::{Circuit, Stage};
use crate::field::Extension;
use crate::functional::{Folded, Functional, Taps};
use crate::multilinear::eq_table;
use crate::product::ProductSpace;
use crate::uses::{Chunk, OutputPoint, UsePoint, own_chunks, tiling};
use crate::value::Source;
use crate::weight::WeightLayout;
use crate::windows::Windows;
use crate::witness::WitnessLayout;

/// The batch point of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchPoint {
    /// That of the lookup point.
    Lookup,
    /// That of the sumcheck over products of values.
    Product,
}

/// What a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The folded inputs of all matrix products at the point of their sumcheck.
    Inputs,
    /// The combinations of values that requantisations and outputs use.
    Combinations,
    /// The left operands of the products of values, at the point of their sumcheck.
    Left,
    /// The right ones.
    Right,
    /// The first operands of all stages at the lookup point.
    First,
    /// The second ones.
    Second,
    /// A public value, by its place among [`Circuit::public_values`].
    Public(usize),
}

/// One claim: a sum of functionals.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// What it is about.
    pub of: Claimed,
    /// The functionals.
    pub functionals: Vec<Functional<'a>>,
    /// The batch point.
    pub batch: BatchPoint,
}

impl Claim<'_> {
    /// The part of the claim that the verifier knows.
    pub fn public_part(&self, circuit: &Circuit, inputs: &[Folded]) -> Extension {
        let parts = self.functionals.iter();
        parts.map(|f| f.public_part(circuit, inputs)).sum()
    }
}

/// The points that the claims are about.
pub struct ClaimPoints<'a> {
    /// The circuit.
    pub circuit: &'a Circuit,
    /// The layout of the weights.
    pub weights: &'a WeightLayout,
    /// The uses at their points.
    pub uses: &'a [UsePoint],
    /// The chunks of the matrix products.
    pub chunks: &'a [Chunk],
    /// The point of the matrix product sumcheck.
    pub product: &'a [Extension],
    /// The space of products of values and its weights at the point of their sumcheck, block by block.
    pub products: &'a ProductSpace,
    /// Those weights.
    pub product_weights: &'a [BlockWeights],
    /// The weights of the cells of all stages at the lookup point.
    pub stages: &'a [BlockWeights],
    /// The weights of public values, in the order of [`Circuit::public_values`].
    pub outputs: &'a [BlockWeights],
}

impl<'a> ClaimPoints<'a> {
    /// The weights of all public values.
    pub fn output_weights(circuit: &Circuit, outputs: &OutputPoint) -> Vec<BlockWeights> {
        let values = circuit.public_values().iter();
        let values = values.filter_map(|(_, value)| circuit.values.get(*value));
        values.map(|v| outputs.weights(v.positions, v.channels)).collect()
    }

    /// All claims, in the order in which they are mixed. Kinds that the circuit does not have are left out.
    pub fn claims(&self) -> Vec<Claim<'a>> {
        let lookup = |of, functionals: Vec<Functional<'a>>| Claim {
            of,
            functionals,
            batch: BatchPoint::Lookup,
        };
        let mut claims = vec![
            lookup(Claimed::Inputs, self.inputs()),
            lookup(Claimed::Combinations, self.combinations()),
        ];
        for (of, side) in [(Claimed::Left, 0), (Claimed::Right, 1)] {
            claims.push(Claim {
                of,
                functionals: self.factors(side),
                batch: BatchPoint::Product,
            });
        }
        claims.push(lookup(Claimed::First, self.operands(|stage| stage.operands[0])));
        claims.push(lookup(Claimed::Second, self.operands(|stage| stage.operands[1])));
        claims.retain(|claim| !claim.functionals.is_empty());
        let public = self.circuit.public_values().iter().zip(self.outputs);
        claims.extend(public.enumerate().map(|(index, ((_, value), weights))| {
            let functional = self.each(*value, weights);
            lookup(Claimed::Public(index), vec![functional])
        }));
        claims
    }

    /// A functional of a value, element by element.
    fn each(&self, value: usize, weights: &'a BlockWeights) -> Functional<'a> {
        let of = self.circuit.values.get(value);
        Functional {
            value,
            windows: Windows::each(weights.positions.len()),
            positions: &weights.positions,
            taps: Taps::One(0, first(weights, of.map_or(0, |value| value.channels))),
            scale: Extension::ONE,
            padding: 0,
        }
    }

    /// The folded inputs of each matrix: taps and channels weighted as the columns are at the product point.
    fn inputs(&self) -> Vec<Functional<'a>> {
        let functional = |(of, at): (usize, &'a UsePoint)| {
            let (matrix, tiling) = tiling(self.circuit, self.weights, &at.of)?;
            let mut columns = vec![Extension::ZERO; matrix.columns.saturating_mul(matrix.groups)];
            for chunk in self.chunks.get(own_chunks(self.chunks, of)).unwrap_or_default() {
                let span = tiling.columns.get(chunk.span)?;
                let (groups, inner) = chunk.split(self.product);
                let scale = chunk.block.weight(self.product);
                let (groups, inner) = (eq_table(groups), eq_table(inner));
                for (row, group) in columns.chunks_mut(matrix.columns.max(1)).zip(groups) {
                    let cells = row.iter_mut().skip(span.start).zip(&inner).take(span.len);
                    cells.for_each(|(cell, weight)| *cell = scale * group * *weight);
                }
            }
            // Columns of a group are taps times its channels; the channels of a tap are those of all groups.
            let taps = matrix.windows.taps();
            let width = matrix.columns / taps.max(1);
            if matrix.groups > 1 {
                let tap = |tap: usize| {
                    let groups = columns.chunks(matrix.columns.max(1));
                    groups.flat_map(move |row| row.iter().skip(tap * width).take(width).copied())
                };
                columns = (0..taps).flat_map(tap).collect();
            }
            Some(Functional {
                value: matrix.value,
                windows: matrix.windows,
                positions: &at.positions,
                taps: Taps::Each(columns, width * matrix.groups),
                scale: at.scale,
                padding: 0,
            })
        };
        self.uses.iter().enumerate().filter_map(functional).collect()
    }

    fn combinations(&self) -> Vec<Functional<'a>> {
        let of_use = |at: &'a UsePoint| {
            let addends = self.circuit.combination(&at.of).unwrap_or_default();
            addends.iter().map(move |addend| Functional {
                value: addend.value,
                windows: addend.windows,
                positions: &at.positions,
                taps: Taps::All(&at.rows),
                scale: at.scale * crate::field::base(addend.coefficient),
                padding: 0,
            })
        };
        self.uses.iter().flat_map(of_use).collect()
    }

    fn factors(&self, side: usize) -> Vec<Functional<'a>> {
        let blocks = self.products.uses.iter().zip(self.product_weights);
        let functional = |(of, weights): (&usize, &'a BlockWeights)| {
            let operands = self.circuit.product(&self.uses.get(*of)?.of)?;
            let value = *operands.get(side)?;
            Some(self.each(value, weights))
        };
        blocks.filter_map(functional).collect()
    }

    fn operands(&self, side: impl Fn(&Stage) -> crate::circuit::Operand) -> Vec<Functional<'a>> {
        let stages = self.circuit.stages.iter().zip(self.stages);
        let functional = |(stage, weights): (&Stage, &'a BlockWeights)| {
            let operand = side(stage);
            Functional {
                value: operand.value,
                windows: operand.windows,
                positions: &weights.positions,
                taps: Taps::One(operand.tap, first(weights, stage.channels)),
                scale: Extension::ONE,
                padding: i64::from(i8::MIN),
            }
        };
        stages.map(functional).collect()
    }
}

/// The weights of the first `count` channels of a block: without its padding.
fn first(weights: &BlockWeights, count: usize) -> &[Extension] {
    weights.channels.get(..count).unwrap_or(&weights.channels)
}

/// The committed values at the end of the gather sumcheck: the cells of all blocks at its point.
pub struct GatherPoint {
    /// For each column of one batch point: the point of its cells.
    points: Vec<Vec<Extension>>,
    /// The weights of the cells of requantisations.
    requantises: Vec<BlockWeights>,
    /// The weights of the cells of stages.
    stages: Vec<BlockWeights>,
    /// The weight of each block of the space.
    blocks: Vec<Extension>,
    gathered: usize,
}

impl GatherPoint {
    /// The weights of all cells at a point of the sumcheck.
    pub fn new(layout: &WitnessLayout, point: &[Extension]) -> Self {
        let gathered = layout.gathered();
        let inner = |block: &Block| block.inner(point).to_vec();
        let points: Vec<Vec<Extension>> = layout.gather.iter().take(gathered).map(inner).collect();
        let weights = |space: &crate::cell::CellSpace, column: usize| {
            let point = points.get(column).map_or(&[][..], Vec::as_slice);
            space.blocks.iter().map(|block| block.weights(point)).collect()
        };
        Self {
            requantises: weights(&layout.cells, 0),
            stages: weights(&layout.stages, 1),
            blocks: layout.gather.iter().map(|block| block.weight(point)).collect(),
            points,
            gathered,
        }
    }

    /// The point of the cells of column `column`: results, then stages.
    pub fn column(&self, column: usize) -> &[Extension] {
        self.points.get(column).map_or(&[], Vec::as_slice)
    }

    /// The weight of column `column` of a batch point.
    pub fn weight(&self, batch: BatchPoint, column: usize) -> Extension {
        let first = match batch {
            BatchPoint::Lookup => 0,
            BatchPoint::Product => self.gathered,
        };
        self.blocks
            .get(first + column)
            .copied()
            .unwrap_or(Extension::ZERO)
    }

    /// The extension of the weights of a claim.
    pub fn claim(&self, circuit: &Circuit, layout: &WitnessLayout, claim: &Claim<'_>) -> Extension {
        let columns = (0..self.gathered).map(|column| {
            let weights = |source: Source| {
                let (of, index) = match source {
                    Source::Input(_) => return None,
                    Source::Requantise(index) => (0, index),
                    Source::Stage(index) => (1, index),
                };
                let cells = [&self.requantises, &self.stages]
                    .into_iter()
                    .nth(of)?
                    .get(index)?;
                let channels = layout.block(source)?.channels;
                (of == column).then_some((cells, channels))
            };
            let parts = claim
                .functionals
                .iter()
                .map(|f| f.committed_part(circuit, weights));
            self.weight(claim.batch, column) * parts.sum::<Extension>()
        });
        columns.sum()
    }
}
