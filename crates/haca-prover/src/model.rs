//! Weights and biases in the form that kernels and commitments want.

use std::sync::Arc;

use haca_graph::Parameters;
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, base};
use haca_zk::weight::{WeightLayout, WeightTable};
use p3_field::PrimeCharacteristicRing;

use crate::commitment::Columns;
use crate::integer_layout::Cells;

/// Weights and biases.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    /// The tiles of the weight commitment, row-major, rows and columns padded to powers of two.
    pub(crate) tiles: Vec<Arc<Vec<i8>>>,
    /// Biases, not padded.
    pub(crate) biases: Vec<Vec<i32>>,
}

impl Weights {
    pub(crate) fn new(circuit: &Circuit, layout: &WeightLayout, parameters: &Parameters) -> Self {
        let values = |param: usize| parameters.tensors()[param].values();
        let tile = |table: &WeightTable| {
            let width = 1usize << table.columns.variables;
            let mut cells = vec![0i8; width << table.rows.variables];
            let rows = values(table.param.param)
                .chunks_exact(table.param.columns)
                .skip(table.rows.start)
                .take(table.rows.len);
            for (row, values) in cells.chunks_exact_mut(width).zip(rows) {
                let values = &values[table.columns.start..][..table.columns.len];
                row.iter_mut()
                    .zip(values)
                    .for_each(|(cell, value)| *cell = *value as i8);
            }
            Arc::new(cells)
        };
        let vector =
            |param: &haca_zk::circuit::Param| values(param.param).iter().map(|v| *v as i32).collect();
        Self {
            tiles: layout.weights.iter().map(tile).collect(),
            biases: circuit.biases.iter().map(vector).collect(),
        }
    }

    /// The tables of the weight commitment: the tiles, then the biases.
    pub(crate) fn tables(&self, layout: &WeightLayout) -> Vec<Vec<Base>> {
        let mut tables: Vec<Vec<Base>> = Vec::new();
        for (tile, table) in self.tiles.iter().zip(&layout.weights) {
            let mut cells: Vec<Base> = tile.iter().map(|w| base(i64::from(*w))).collect();
            cells.resize(1 << table.variables, Base::ZERO);
            tables.push(cells);
        }
        let mut biases = vec![Base::ZERO; 1 << layout.bias_variables];
        for (values, (_, block)) in self.biases.iter().zip(&layout.biases) {
            for (cell, value) in biases[block.range()].iter_mut().zip(values) {
                *cell = base(i64::from(*value));
            }
        }
        tables.push(biases);
        tables
    }

    /// The tables of the weight commitment in compact form.
    pub(crate) fn cells(&self, layout: &WeightLayout, tables: &[Vec<Base>]) -> Vec<Cells> {
        let tile = |(tile, table): (&Arc<Vec<i8>>, &WeightTable)| {
            if tile.len() == 1 << table.variables {
                return Cells::Int8(Arc::clone(tile));
            }
            let mut cells = tile.to_vec();
            cells.resize(1 << table.variables, 0);
            Cells::Int8(Arc::new(cells))
        };
        let mut cells: Vec<Cells> = self.tiles.iter().zip(&layout.weights).map(tile).collect();
        cells.extend(tables.last().map(|biases| Cells::Field(Arc::new(biases.clone()))));
        cells
    }
}

/// Tables of one column each.
pub(crate) fn columns(tables: Vec<Vec<Base>>) -> Vec<Columns> {
    tables
        .into_iter()
        .map(|cells| Columns {
            height: cells.len(),
            cells,
        })
        .collect()
}
