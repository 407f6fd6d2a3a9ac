//! Products of values, element by element: the sumcheck of step P7 of `spec/zk.md`.

use crate::cell::{BlockWeights, CellSpace};
use crate::circuit::Circuit;
use crate::field::Extension;
use crate::multilinear::{dot, eq_points};
use crate::uses::UsePoint;

/// The space of all products of values: a block of cells for each use that is one, then the inferences.
#[derive(Clone, Debug)]
pub struct ProductSpace {
    /// The uses, by index.
    pub uses: Vec<usize>,
    /// Their cells.
    pub cells: CellSpace,
}

impl ProductSpace {
    /// The space of a circuit.
    pub fn new(circuit: &Circuit) -> Self {
        let (mut uses, mut shapes) = (Vec::new(), Vec::new());
        for (index, of) in circuit.uses.iter().enumerate() {
            if let Some(accumulator) = circuit.accumulator(of).filter(|_| circuit.product(of).is_some()) {
                uses.push(index);
                shapes.push((accumulator.positions, accumulator.channels));
            }
        }
        Self {
            uses,
            cells: CellSpace::new(&shapes, 0),
        }
    }

    /// Whether there is any.
    pub const fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// The weights of the cells of each use at the cells of a point.
    pub fn weights(&self, cells: &[Extension]) -> Vec<BlockWeights> {
        self.cells
            .blocks
            .iter()
            .map(|block| block.weights(cells))
            .collect()
    }

    /// The extension of the weights of all uses at a point of `cells` and `batch`; `lookup` is the batch point of the
    /// uses. The weights of one use's cells at a time are in memory.
    pub fn extension(
        &self,
        uses: &[UsePoint],
        cells: &[Extension],
        batch: &[Extension],
        lookup: &[Extension],
    ) -> Extension {
        let blocks = self.uses.iter().zip(&self.cells.blocks);
        let sum: Extension = blocks
            .filter_map(|(of, block)| {
                let (at, cells) = (uses.get(*of)?, block.weights(cells));
                Some(at.scale * dot(&at.positions, &cells.positions) * dot(&at.rows, &cells.channels))
            })
            .sum();
        sum * eq_points(batch, lookup)
    }
}
