//! Weights and biases in the form that kernels and commitments want.

use std::sync::Arc;

use haca_graph::Parameters;
use haca_zk::block::log2_ceil;
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, base};
use haca_zk::weight::WeightLayout;
use p3_field::PrimeCharacteristicRing;

use crate::commitment::Columns;
use crate::integer_layout::Cells;

/// Weights and biases.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    /// Matrices, row-major, rows and columns padded to powers of two.
    pub(crate) matrices: Vec<Arc<Vec<i8>>>,
    /// Biases, not padded.
    pub(crate) biases: Vec<Vec<i32>>,
}

impl Weights {
    pub(crate) fn new(circuit: &Circuit, parameters: &Parameters) -> Self {
        let values = |param: usize| parameters.tensors()[param].values();
        let matrix = |param: &haca_zk::circuit::Param| {
            let width = 1usize << log2_ceil(param.columns);
            let mut cells = vec![0i8; width << log2_ceil(param.rows)];
            let rows = cells
                .chunks_exact_mut(width)
                .zip(values(param.param).chunks_exact(param.columns));
            for (row, values) in rows {
                row.iter_mut()
                    .zip(values)
                    .for_each(|(cell, value)| *cell = *value as i8);
            }
            Arc::new(cells)
        };
        let vector =
            |param: &haca_zk::circuit::Param| values(param.param).iter().map(|v| *v as i32).collect();
        Self {
            matrices: circuit.weights.iter().map(matrix).collect(),
            biases: circuit.biases.iter().map(vector).collect(),
        }
    }

    /// The tables of the weight commitment: the matrices, then the biases.
    pub(crate) fn tables(&self, layout: &WeightLayout) -> Vec<Vec<Base>> {
        let mut tables: Vec<Vec<Base>> = Vec::new();
        for (matrix, table) in self.matrices.iter().zip(&layout.weights) {
            let mut cells: Vec<Base> = matrix.iter().map(|w| base(i64::from(*w))).collect();
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
}

impl Weights {
    /// The tables of the weight commitment in compact form.
    pub(crate) fn cells(&self, layout: &WeightLayout, tables: &[Vec<Base>]) -> Vec<Cells> {
        let matrix = |(matrix, table): (&Arc<Vec<i8>>, &haca_zk::weight::WeightTable)| {
            if matrix.len() == 1 << table.variables {
                return Cells::Int8(Arc::clone(matrix));
            }
            let mut cells = matrix.to_vec();
            cells.resize(1 << table.variables, 0);
            Cells::Int8(Arc::new(cells))
        };
        let mut cells: Vec<Cells> = self.matrices.iter().zip(&layout.weights).map(matrix).collect();
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
