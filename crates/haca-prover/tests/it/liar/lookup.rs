//! Multiplicities, tables, and the two trees of the lookup argument.

use std::sync::Arc;

use haca_prover::adversary::{Trees, Witness};
use haca_zk::ProofRejection;
use haca_zk::field::{Base, Extension, base};
use haca_zk::table::{LARGER_TABLE, MAPPING_TABLE, SIDE_TABLE};
use haca_zk::value::Source;
use haca_zk::witness::Table;
use p3_field::{Field, PrimeCharacteristicRing};

use crate::liar::{BALANCE, LAYER, LOOKUP_LEAVES, Liar, Stage, TABLE_LEAVES, build, get, image, liar, set};
use crate::model::Build;

/// Publishes a result that is not the clamped quotient. Nothing but the lookup argument notices.
pub(crate) fn falsify(stage: &Stage, witness: &mut Witness) {
    let cell = stage.public_cell();
    let result = get(witness, "result", cell);
    set(witness, "result", cell, result + 1);
    stage.finish(witness);
}

/// The leaf of the mapping lookup of the falsified cell.
fn false_leaf(stage: &Stage) -> usize {
    stage.layout().lookups[1].offset + stage.public_cell()
}

/// The index, in the mapping table, of the row that the public cell looks up when it is honest.
fn honest_row(stage: &Stage, witness: &mut Witness) -> usize {
    let cell = stage.public_cell();
    let layout = stage.layout();
    let (low, side) = (
        crate::liar::integer(witness.low[cell]),
        get(witness, "side", cell),
    );
    let mapping = crate::liar::integer(witness.mappings[cell]);
    (((mapping << 2) | side) << layout.parameters.window_bits | low) as usize
}

#[test]
fn multiplicity_off_by_one() {
    for stage in [image::stage(), Stage::new(&build())] {
        for table in 0..stage.layout().tables.len() {
            for index in [0, 1, 7] {
                for delta in [-1, 1] {
                    let lie = |witness: &mut Witness| {
                        Witness::nudge(&mut witness.multiplicities[table], index, delta)
                    };
                    stage.refuses(liar!(witness: lie), BALANCE);
                }
            }
        }
    }
}

#[test]
fn multiplicity_of_another_row() {
    for stage in [image::stage(), Stage::new(&build())] {
        for table in 0..stage.layout().tables.len() {
            let lie = |witness: &mut Witness| {
                Witness::nudge(&mut witness.multiplicities[table], 2, 1);
                Witness::nudge(&mut witness.multiplicities[table], 3, -1);
            };
            stage.refuses(liar!(witness: lie), BALANCE);
        }
    }
}

#[test]
fn range_table_of_the_liar() {
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let (name, size) = stage.top_limb();
        let cell = stage.public_cell();
        let quotient = stage.quotient(witness, cell);
        stage.set_quotient(witness, cell, quotient - 1);
        let limb = get(witness, &name, cell) + size;
        set(witness, &name, cell, limb);
        // A value that no limb has makes room for the one that is needed.
        let free = witness.multiplicities[0].iter().position(|m| *m == Base::ZERO);
        Arc::make_mut(&mut witness.tables)[0][free.unwrap()][0] = base(limb);
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: lie), TABLE_LEAVES);
}

#[test]
fn side_table_of_the_liar() {
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let cell = stage.public_cell();
        set(witness, "side", cell, 2);
        set(witness, "result", cell, 127);
        let high = base(get(witness, "high", cell));
        let free = witness.multiplicities[1].iter().position(|m| *m == Base::ZERO);
        let row = [high, Base::TWO, Base::ZERO, base(SIDE_TABLE)];
        Arc::make_mut(&mut witness.tables)[1][free.unwrap()] = row;
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: lie), TABLE_LEAVES);
}

#[test]
fn mapping_table_of_the_liar() {
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let row = honest_row(&stage, witness);
        Arc::make_mut(&mut witness.tables)[2][row][2] += Base::ONE;
        // Every cell that looks this row up follows.
        let rows = witness.tables[2][row];
        for cell in 0..witness.low.len() {
            let same = witness.low[cell] == rows[0]
                && witness.columns[2].1[cell] == rows[1]
                && witness.mappings[cell] + base(MAPPING_TABLE) == rows[3];
            if same {
                let result = get(witness, "result", cell);
                set(witness, "result", cell, result + 1);
            }
        }
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: lie), TABLE_LEAVES);
}

#[test]
fn larger_table_of_the_liar() {
    // A public maximum that is larger than both operands, with a row for it.
    let stage = image::stage();
    let cell = stage.cell_of(Source::Stage(image::PUBLIC[2]), 1, 1).unwrap();
    let lie = |witness: &mut Witness| {
        let stages = witness.stages.as_mut().unwrap();
        let result = crate::liar::integer(stages.results[cell]);
        stages.results[cell] += base(if result > 0 { -100 } else { 100 });
        let (first, second, result) = (stages.first[cell], stages.second[cell], stages.results[cell]);
        let row = [first - second, result - second, Base::ZERO, base(LARGER_TABLE)];
        let free = witness.multiplicities[stage.table(Table::Larger)]
            .iter()
            .position(|m| *m == Base::ZERO);
        Arc::make_mut(&mut witness.tables)[stage.table(Table::Larger)][free.unwrap()] = row;
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: lie), TABLE_LEAVES);
}

#[test]
fn tables_with_any_value_moved() {
    for stage in [image::stage(), Stage::new(&build())] {
        for table in 0..stage.layout().tables.len() {
            for value in 0..4 {
                let lie = |witness: &mut Witness| {
                    let free = witness.multiplicities[table]
                        .iter()
                        .position(|m| *m == Base::ZERO);
                    Arc::make_mut(&mut witness.tables)[table][free.unwrap()][value] += Base::ONE;
                };
                stage.refuses(liar!(witness: lie), TABLE_LEAVES);
            }
        }
    }
}

#[test]
fn lookups_of_something_else_than_the_columns() {
    let stage = Stage::new(&build());
    let mut row = 0;
    let witness = |witness: &mut Witness| {
        row = honest_row(&stage, witness);
        falsify(&stage, witness);
        Witness::nudge(&mut witness.multiplicities[2], row, 1);
    };
    let mut liar = liar!(witness: witness);
    // The tree looks up the true row; the committed result is another.
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        let honest = trees.tables[stage.layout().tables[2].1.offset + honest(&stage)];
        trees.lookups[false_leaf(&stage)] = honest;
    }));
    stage.refuses(liar, LOOKUP_LEAVES);
}

/// [`honest_row`] of an honest witness.
fn honest(stage: &Stage) -> usize {
    let mut row = 0;
    let look = |witness: &mut Witness| row = honest_row(stage, witness);
    stage.outcome(liar!(witness: look)).unwrap();
    row
}

#[test]
fn lookups_that_count_nothing() {
    let stage = Stage::new(&build());
    let mut liar = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        let mut numerators = vec![Base::ONE; trees.lookups.len()];
        numerators[false_leaf(&stage)] = Base::ZERO;
        trees.lookup_numerators = Some(numerators);
    }));
    stage.refuses(liar, LOOKUP_LEAVES);
}

#[test]
fn padding_of_the_lookup_tree_that_makes_up_for_a_false_lookup() {
    // Another shift takes another number of limbs, and the tree is not full.
    let stage = Stage::new(&Build { shift: 22, ..build() });
    let end = stage.layout().lookups.iter().map(|block| block.range().end).max();
    let padding = end.unwrap();
    assert!(padding < 1 << stage.layout().lookup_variables);
    let mut liar = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
    liar.trees = Some(Box::new(|alpha, trees: &mut Trees| {
        let missing = trees.lookups[false_leaf(&stage)].inverse();
        trees.lookups[padding] = (alpha.inverse() - missing).inverse();
    }));
    stage.refuses(liar, LOOKUP_LEAVES);
}

#[test]
fn padding_of_the_table_tree_that_holds_a_false_row() {
    let stage = Stage::new(&build());
    let end = stage
        .layout()
        .tables
        .iter()
        .map(|(_, block)| block.range().end)
        .max();
    let padding = end.unwrap();
    assert!(padding < 1 << stage.layout().table_variables);
    let mut liar = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        trees.table_numerators[padding] = -Base::ONE;
        trees.tables[padding] = trees.lookups[false_leaf(&stage)];
    }));
    stage.refuses(liar, TABLE_LEAVES);
    // A denominator alone changes nothing in the sum, and is refused all the same.
    let lie = |_, trees: &mut Trees| trees.tables[padding] = Extension::TWO;
    stage.refuses(liar!(trees: lie), TABLE_LEAVES);
}

#[test]
fn numerators_that_are_not_the_multiplicities() {
    // The tree is right, the committed multiplicities are not.
    for stage in [image::stage(), Stage::new(&build())] {
        for table in 0..stage.layout().tables.len() {
            let witness = |witness: &mut Witness| Witness::nudge(&mut witness.multiplicities[table], 1, 1);
            let mut liar = liar!(witness: witness);
            liar.trees = Some(Box::new(|_, trees: &mut Trees| {
                trees.table_numerators[stage.layout().tables[table].1.offset + 1] += Base::ONE;
            }));
            stage.refuses(liar, TABLE_LEAVES);
        }
    }
}

/// Sends a root of the table tree that balances: with another numerator, or with another denominator.
pub(crate) fn balance<'a>(numerator: bool) -> impl FnMut(&'static str, &mut [Extension]) + Send + 'a {
    let mut roots = Vec::new();
    move |name, values: &mut [Extension]| {
        if name == "lookup tree" && values.len() == 2 && roots.is_empty() {
            roots.push([values[0], values[1]]);
        } else if name == "table tree" && values.len() == 2 && roots.len() == 1 {
            let ratio = -roots[0][0] * roots[0][1].inverse();
            if numerator {
                values[0] = values[1] * ratio;
            } else {
                values[1] = values[0] * ratio.inverse();
            }
            roots.push([values[0], values[1]]);
        }
    }
}

#[test]
fn root_of_a_tree_that_balances() {
    let stage = Stage::new(&build());
    for numerator in [false, true] {
        let mut liar = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
        liar.sends = Some(Box::new(balance(numerator)));
        stage.refuses(liar, LAYER);
    }
}

#[test]
fn halves_of_a_layer_that_are_not_those_of_the_claim() {
    // A layer may be swapped without changing its own sum; what follows from it is not the next layer.
    let stage = Stage::new(&build());
    for (tree, last) in [("lookup tree", LOOKUP_LEAVES), ("table tree", TABLE_LEAVES)] {
        for layer in [0, 1, 2] {
            let mut seen = 0;
            let lie = |name: &'static str, values: &mut [Extension]| {
                if name == tree && values.len() == 4 {
                    if seen == layer {
                        values.rotate_left(2);
                    }
                    seen += 1;
                }
            };
            stage.refuses(liar!(sends: lie), LAYER);
        }
        let layers = match tree {
            "lookup tree" => stage.layout().lookup_variables,
            _ => stage.layout().table_variables,
        };
        let mut seen = 0;
        let lie = |name: &'static str, values: &mut [Extension]| {
            if name == tree && values.len() == 4 {
                seen += 1;
                if seen == layers {
                    values.rotate_left(2);
                }
            }
        };
        stage.refuses(liar!(sends: lie), last);
    }
}

#[test]
fn fractions_without_denominator() {
    // A leaf of 0/0 makes the whole sum 0/0, which balances with everything.
    let stage = Stage::new(&build());
    let refused = ProofRejection::Lookup { what: "denominator" };
    let mut liar = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        let mut numerators = vec![Base::ONE; trees.lookups.len()];
        numerators[false_leaf(&stage)] = Base::ZERO;
        trees.lookup_numerators = Some(numerators);
        trees.lookups[false_leaf(&stage)] = Extension::ZERO;
    }));
    stage.refuses(liar, refused);
    let mut liar: Liar<'_> = liar!(witness: |witness: &mut Witness| falsify(&stage, witness));
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        trees.table_numerators[3] = Base::ZERO;
        trees.tables[3] = Extension::ZERO;
    }));
    stage.refuses(liar, refused);
}

#[test]
fn rows_of_two_tables_taken_for_each_other() {
    // With a high part `h`, the pair `(h, 0)` stands in no row of the side table, but `(h, 0, 0)` is a row of the
    // mapping table of the first layers.
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let cell = stage.public_cell();
        set(witness, "side", cell, 0);
        set(witness, "result", cell, -128);
        stage.finish(witness);
        let high = get(witness, "high", cell);
        assert!(high < 1 << stage.layout().parameters.window_bits);
        Witness::nudge(&mut witness.multiplicities[2], high as usize, 1);
    };
    stage.refuses(liar!(witness: lie), BALANCE);
}

#[test]
fn rows_of_two_sides_taken_for_each_other() {
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let cell = stage.public_cell();
        set(witness, "side", cell, 2);
        set(witness, "result", cell, 127);
        stage.finish(witness);
        let high = get(witness, "high", cell);
        Witness::nudge(&mut witness.multiplicities[1], high as usize, 1);
    };
    stage.refuses(liar!(witness: lie), BALANCE);
}

#[test]
fn rows_of_two_mappings_taken_for_each_other() {
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let cells = (0..2).flat_map(|inference| (0..3).map(move |channel| (inference, channel)));
        let mut cells = cells.map(|(inference, channel)| stage.cell(2, inference, channel));
        let inside = |witness: &mut Witness, cell| (-128..0).contains(&stage.quotient(witness, cell));
        let cell = cells.find(|cell| inside(witness, *cell)).unwrap();
        set(witness, "result", cell, 0);
        stage.finish(witness);
        let low = crate::liar::integer(witness.low[cell]) as usize;
        let row = (1 << stage.layout().parameters.window_bits) | low;
        Witness::nudge(&mut witness.multiplicities[2], row, 1);
    };
    stage.refuses(liar!(witness: lie), BALANCE);
}

#[test]
fn rows_of_one_sum_taken_for_each_other() {
    // `(l, 1, q + 2)` is no row, but `(l + 1, 1, q + 1)` is, and the sum of the three values is the same.
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let row = honest_row(&stage, witness);
        let cell = stage.public_cell();
        let result = get(witness, "result", cell);
        set(witness, "result", cell, result + 2);
        stage.finish(witness);
        Witness::nudge(&mut witness.multiplicities[2], row + 1, 1);
    };
    stage.refuses(liar!(witness: lie), BALANCE);
}
