//! How weights and biases are laid out in the commitment of a model.

use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableShape, TableSpec};

use crate::ProofRejection;
use crate::block::{Block, log2_ceil, place};
use crate::circuit::{Circuit, Param};
use crate::field::{Base, Challenger, Extension};
use crate::multilinear::{below, corner};
use crate::schedule::{Config, Schedule, VARIABLES};

/// One committed weight matrix: row-major, rows and columns padded to powers of two with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightTable {
    /// What it holds.
    pub param: Param,
    /// Variables that index rows.
    pub row_variables: usize,
    /// Variables that index columns.
    pub column_variables: usize,
    /// Variables of the table; above rows and columns there is only padding.
    pub variables: usize,
}

impl WeightTable {
    /// The point of the table for a point of the rows and one of the columns.
    pub fn point(&self, rows: &[Extension], columns: &[Extension]) -> Vec<Extension> {
        let mut point = corner(0, self.variables.saturating_sub(rows.len() + columns.len()));
        point.extend_from_slice(rows);
        point.extend_from_slice(columns);
        point
    }

    /// The extension of the indicator of real cells.
    pub fn indicator(&self, point: &[Extension]) -> Extension {
        let block = Block {
            offset: 0,
            variables: self.row_variables + self.column_variables,
        };
        let inner = block.inner(point);
        let (rows, columns) = inner.split_at(self.row_variables.min(inner.len()));
        block.weight(point) * below(rows, self.param.rows).0 * below(columns, self.param.columns).0
    }
}

/// The layout of the weight commitment: one table for each matrix, and one for all biases.
#[derive(Clone, Debug)]
pub struct WeightLayout {
    /// The matrices.
    pub weights: Vec<WeightTable>,
    /// The biases, as blocks of the bias table.
    pub biases: Vec<(Param, Block)>,
    /// Variables of the bias table.
    pub bias_variables: usize,
    /// Variables of the whole commitment.
    pub variables: usize,
    pub(crate) config: Config,
}

impl WeightLayout {
    /// Step R2 of `spec/zk.md`.
    pub fn new(circuit: &Circuit, schedule: &Schedule) -> Result<Self, ProofRejection> {
        let fold = schedule.first_fold();
        let weights: Vec<WeightTable> = circuit
            .weights
            .iter()
            .map(|param| {
                let (row_variables, column_variables) = (log2_ceil(param.rows), log2_ceil(param.columns));
                WeightTable {
                    param: *param,
                    row_variables,
                    column_variables,
                    variables: (row_variables + column_variables).max(fold),
                }
            })
            .collect();
        let sizes: Vec<usize> = circuit
            .biases
            .iter()
            .map(|param| log2_ceil(param.columns))
            .collect();
        let (blocks, needed) = place(&sizes);
        let bias_variables = needed.max(fold);
        let cells = weights
            .iter()
            .map(|table| table.variables)
            .chain([bias_variables])
            .fold(0usize, |sum, v| {
                sum.saturating_add(1usize.checked_shl(v as u32).unwrap_or(usize::MAX))
            });
        let variables = log2_ceil(cells.min(1 << (VARIABLES + 1)));
        let config = schedule.config(variables)?;
        Ok(Self {
            weights,
            biases: circuit.biases.iter().copied().zip(blocks).collect(),
            bias_variables,
            variables,
            config,
        })
    }

    /// Variables of each table: the matrices, then the biases. Also the variables of the out-of-domain points.
    pub fn tables(&self) -> Vec<usize> {
        self.weights
            .iter()
            .map(|table| table.variables)
            .chain([self.bias_variables])
            .collect()
    }

    /// An opening of `counts[i]` points of table `i`.
    pub fn protocol(&self, counts: &[usize]) -> OpeningProtocol {
        let spec = |(variables, count): (usize, &usize)| {
            let points = (0..*count).map(|_| OpeningBatch::new(vec![0], vec![])).collect();
            TableSpec::new(TableShape::new(variables, 1), points)
        };
        OpeningProtocol::new(self.tables().into_iter().zip(counts).map(spec).collect())
    }

    /// The configuration of the weight commitment.
    pub const fn configuration(&self) -> &p3_whir::WhirConfig<Extension, Base, Challenger> {
        &self.config
    }
}
