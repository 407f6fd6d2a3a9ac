//! How weights and biases are laid out in the commitment of a model.

use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableShape, TableSpec};

use crate::ProofRejection;
use crate::block::{Block, log2_ceil, place};
use crate::circuit::{Circuit, Param};
use crate::field::{Base, Challenger, Extension};
use crate::multilinear::{below, corner};
use crate::schedule::{Config, Schedule, VARIABLES};

/// A range of rows or columns, padded to a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub start: usize,
    /// How many there are.
    pub len: usize,
    /// Base-two logarithm of the padded number.
    pub variables: usize,
}

/// Cuts `count` rows or columns into at most `pieces` spans: the largest power of two that fits, again and again, and
/// the rest padded. Each starts at a multiple of its padded size.
pub fn spans(count: usize, pieces: u8) -> Vec<Span> {
    let (mut start, mut spans) = (0usize, Vec::new());
    while start < count {
        let rest = count - start;
        let last = spans.len() + 1 >= usize::from(pieces);
        let variables = if last {
            log2_ceil(rest)
        } else {
            rest.ilog2() as usize
        };
        let len = rest.min(1 << variables);
        spans.push(Span {
            start,
            len,
            variables,
        });
        start += len;
    }
    spans
}

/// One committed tile of a weight matrix: row-major, rows and columns padded to powers of two with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightTable {
    /// The matrix.
    pub param: Param,
    /// Its rows.
    pub rows: Span,
    /// Its columns.
    pub columns: Span,
    /// Variables of the table; above rows and columns there is only padding.
    pub variables: usize,
}

impl WeightTable {
    /// The point of the table for a point of the rows of the matrix and one of the columns of the tile.
    pub fn point(&self, rows: &[Extension], columns: &[Extension]) -> Vec<Extension> {
        let rows = self.row_block().inner(rows);
        let mut point = corner(0, self.variables.saturating_sub(rows.len() + columns.len()));
        point.extend_from_slice(rows);
        point.extend_from_slice(columns);
        point
    }

    /// The weight of the rows of the tile at a point of the rows of the matrix.
    pub fn row_weight(&self, rows: &[Extension]) -> Extension {
        self.row_block().weight(rows)
    }

    const fn row_block(&self) -> Block {
        Block {
            offset: self.rows.start,
            variables: self.rows.variables,
        }
    }

    /// The extension of the indicator of real cells.
    pub fn indicator(&self, point: &[Extension]) -> Extension {
        let block = Block {
            offset: 0,
            variables: self.rows.variables + self.columns.variables,
        };
        let inner = block.inner(point);
        let (rows, columns) = inner.split_at(self.rows.variables.min(inner.len()));
        block.weight(point) * below(rows, self.rows.len).0 * below(columns, self.columns.len).0
    }
}

/// The tiles of one matrix: row spans times column spans, row spans first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Row spans.
    pub rows: Vec<Span>,
    /// Column spans.
    pub columns: Vec<Span>,
    /// Index of the first tile among the tables.
    pub first: usize,
}

impl Tiling {
    /// The tables that hold the tiles of column span `column`, one for each row span.
    pub fn tables(&self, column: usize) -> impl Iterator<Item = usize> {
        let (first, columns) = (self.first, self.columns.len());
        (0..self.rows.len()).map(move |row| first + row * columns + column)
    }
}

/// The layout of the weight commitment: one table for each tile of each matrix, and one for all biases.
#[derive(Clone, Debug)]
pub struct WeightLayout {
    /// The tiles of each matrix.
    pub tilings: Vec<Tiling>,
    /// The tiles.
    pub weights: Vec<WeightTable>,
    /// The biases, as blocks of the bias table.
    pub biases: Vec<(Param, Block)>,
    /// Variables of the bias table.
    pub bias_variables: usize,
    /// Variables of the whole commitment.
    pub variables: usize,
    /// Variables folded in the first phase of its opening.
    pub fold: usize,
    /// Base-two logarithm of the inverse rate of its code.
    pub log_inverse_rate: u8,
    pub(crate) config: Config,
}

/// Spans that rows or columns may be cut into.
pub const PIECES: u8 = 4;

impl WeightLayout {
    /// Step R2 of `spec/zk.md`: matrices are cut into at most `pieces` spans of rows and of columns.
    pub fn new(circuit: &Circuit, pieces: u8, schedule: &Schedule) -> Result<Self, ProofRejection> {
        Self::of(&circuit.weights, &circuit.biases, pieces, schedule)
    }

    /// The layout of these matrices and vectors.
    pub(crate) fn of(
        matrices: &[Param],
        vectors: &[Param],
        pieces: u8,
        schedule: &Schedule,
    ) -> Result<Self, ProofRejection> {
        if !(1..=PIECES).contains(&pieces) {
            return Err(ProofRejection::Parameter { what: "pieces" });
        }
        let fold = schedule.first_fold();
        let (tilings, weights) = tiles(matrices, pieces, fold);
        let sizes: Vec<usize> = vectors.iter().map(|param| log2_ceil(param.columns)).collect();
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
            tilings,
            weights,
            biases: vectors.iter().copied().zip(blocks).collect(),
            bias_variables,
            variables,
            fold,
            log_inverse_rate: schedule.log_inverse_rates.first().copied().unwrap_or(0),
            config,
        })
    }

    /// Variables of each table: the tiles, then the biases. Also the variables of the out-of-domain points.
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

/// The tiles of all matrices. A table has at least as many variables as the first fold.
pub fn tiles(matrices: &[Param], pieces: u8, fold: usize) -> (Vec<Tiling>, Vec<WeightTable>) {
    let (mut tilings, mut weights) = (Vec::new(), Vec::new());
    for param in matrices {
        let tiling = Tiling {
            rows: spans(param.rows, pieces),
            columns: spans(param.columns, pieces),
            first: weights.len(),
        };
        for rows in &tiling.rows {
            weights.extend(tiling.columns.iter().map(|columns| WeightTable {
                param: *param,
                rows: *rows,
                columns: *columns,
                variables: (rows.variables + columns.variables).max(fold),
            }));
        }
        tilings.push(tiling);
    }
    (tilings, weights)
}
