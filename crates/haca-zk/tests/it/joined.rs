//! The joined polynomial, cell by cell, against the points that a column is opened at.

use haca_zk::ProofRejection;
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, base};
use haca_zk::joined::{JoinedLayout, Part};
use haca_zk::multilinear::evaluate;
use haca_zk::schedule::Schedule;
use haca_zk::weight::WeightLayout;
use p3_sumcheck::TableShape;

use crate::closed_form::point;
use crate::parameters::manifest;

const RATE: u8 = 5;

fn schedule(fold: usize) -> Schedule {
    Schedule {
        folds: vec![u8::try_from(fold).unwrap()],
        log_inverse_rates: vec![RATE],
        grinding_bits: 0,
    }
}

/// The weights of two small layers.
fn weights() -> WeightLayout {
    let circuit = Circuit::new(&manifest(&[(0, 127), (-128, 127)]).graph).unwrap();
    WeightLayout::new(&circuit, 1, &schedule(4)).unwrap()
}

/// Some cells for each column of each table.
fn cells(shapes: &[TableShape]) -> Vec<Vec<Vec<Base>>> {
    let column = |table: usize, column: usize, variables: usize| {
        let cell = |index: usize| base((index * index + 31 * table + 7 * column + 1) as i64);
        (0..1 << variables).map(cell).collect()
    };
    let table = |(table, shape): (usize, &TableShape)| {
        let columns = 0..shape.width();
        columns
            .map(|index| column(table, index, shape.num_variables()))
            .collect()
    };
    shapes.iter().enumerate().map(table).collect()
}

/// Step J1 and the order of the variables of J2: the cells of the joined polynomial.
fn joined(layout: &JoinedLayout, parts: [&[Vec<Vec<Base>>]; 2]) -> Vec<Base> {
    let (columns, fold) = (layout.column_variables, layout.row.fold);
    let mut polynomial = vec![base(0); 1 << (fold + columns)];
    for (part, tables) in parts.into_iter().enumerate() {
        let (variables, places) = &layout.stacks[part];
        let behind = variables - layout.row.parts[part];
        for place in places {
            for (cell, value) in tables[place.table][place.column].iter().enumerate() {
                let stacked = (cell << place.variables) + place.index;
                let (column, row) = (stacked >> behind, stacked & ((1 << behind) - 1));
                let at = (part << (fold - 1 + columns)) + (column << columns) + row;
                assert_eq!(std::mem::replace(&mut polynomial[at], *value), base(0));
            }
        }
    }
    polynomial
}

#[test]
fn a_column_is_opened_where_its_cells_are() {
    let weights = weights();
    let of_weights: Vec<TableShape> = weights
        .tables()
        .into_iter()
        .map(|v| TableShape::new(v, 1))
        .collect();
    let of_witness = [
        TableShape::new(2, 3),
        TableShape::new(2, 1),
        TableShape::new(3, 1),
    ];
    let mut padding = Vec::new();
    for fold in 0..=2 {
        let of_both = schedule(1 + weights.fold.max(fold));
        let Ok(layout) = JoinedLayout::new(&weights, &of_witness, fold, &of_both) else {
            continue;
        };
        padding.push(layout.column_variables + fold - layout.stacks[1].0);
        let tables = [cells(&of_weights), cells(&of_witness)];
        let polynomial = joined(&layout, [&tables[0], &tables[1]]);
        for (part, tables) in [Part::Weights, Part::Witness].into_iter().zip(&tables) {
            for (table, columns) in tables.iter().enumerate() {
                for (column, cells) in columns.iter().enumerate() {
                    let local = point(cells.len().ilog2() as usize, 11 + column as u64);
                    let joined = layout.point(part, table, column, &local).unwrap();
                    assert_eq!(
                        evaluate(&polynomial, &joined),
                        evaluate(cells, &local),
                        "{part:?} {table} {column} {fold}"
                    );
                }
            }
        }
        assert_eq!(layout.point(Part::Witness, 3, 0, &point(2, 1)), None);
    }
    // The columns of the witness are as long as those of the weights, or shorter.
    assert_eq!(padding, [0, 1]);
}

#[test]
fn both_parts_have_one_code() {
    let weights = weights();
    let refused = |witness: TableShape, fold: usize, schedule: &Schedule| {
        JoinedLayout::new(&weights, &[witness], fold, schedule).err()
    };
    let what = Some(ProofRejection::Parameter {
        what: "joined opening",
    });
    let columns = weights.variables - weights.fold;
    let fits = TableShape::new(columns + 1, 1);
    assert_eq!(refused(fits, 1, &schedule(5)), None);
    assert_eq!(refused(fits, 0, &schedule(5)), what);
    assert_eq!(refused(fits, columns + 2, &schedule(5)), what);
    assert_eq!(refused(fits, 1, &schedule(6)), what);
    let other_rate = Schedule {
        log_inverse_rates: vec![RATE + 1],
        ..schedule(5)
    };
    assert_eq!(refused(fits, 1, &other_rate), what);
}
