//! Columns, helpers and padding of the witness.

use haca_prover::adversary::Witness;
use haca_zk::ProofRejection;
use haca_zk::field::base;

use crate::liar::{BALANCE, LOOKUP_LEAVES, PRODUCT, Stage, build, get, liar, set, whole};

/// A liar about one cell of the public requantisation; counts and statement follow the lie.
fn refuses(lie: impl Fn(&Stage, &mut Witness, usize) + Send + Sync, check: ProofRejection) {
    let stage = Stage::new(&build());
    refuses_at(&stage, stage.public_cell(), lie, check);
}

/// The same, also where quotients have one part.
fn refuses_always(lie: impl Fn(&Stage, &mut Witness, usize) + Send + Sync, check: ProofRejection) {
    for (build, is_split) in [(build(), true), (whole(), false)] {
        let stage = Stage::new(&build);
        assert_eq!(stage.layout().parameters.is_split(), is_split);
        refuses_at(&stage, stage.public_cell(), &lie, check);
    }
}

fn refuses_at(
    stage: &Stage,
    cell: usize,
    lie: impl Fn(&Stage, &mut Witness, usize) + Send + Sync,
    check: ProofRejection,
) {
    let alter = |witness: &mut Witness| {
        lie(stage, witness, cell);
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: alter), check);
}

#[test]
fn result_that_is_not_the_clamped_quotient() {
    for delta in [-1, 1] {
        refuses_always(
            |_, witness, cell| {
                let result = get(witness, "result", cell);
                set(witness, "result", cell, result + delta);
            },
            BALANCE,
        );
    }
}

#[test]
fn high_part_of_another_quotient() {
    refuses(
        |stage, witness, cell| {
            let quotient = stage.quotient(witness, cell);
            stage.set_quotient(
                witness,
                cell,
                quotient + (1 << stage.layout().parameters.window_bits),
            );
        },
        PRODUCT,
    );
}

#[test]
fn low_part_of_another_quotient() {
    for delta in [-1, 1] {
        refuses_always(
            |stage, witness, cell| {
                let quotient = stage.quotient(witness, cell);
                stage.set_quotient(witness, cell, quotient + delta);
            },
            PRODUCT,
        );
    }
}

#[test]
fn side_that_the_high_part_is_not_on() {
    for (side, result) in [(0, -128), (2, 127), (3, 127)] {
        refuses(
            |_, witness, cell| {
                set(witness, "side", cell, side);
                set(witness, "result", cell, result);
            },
            BALANCE,
        );
    }
}

#[test]
fn limb_of_another_remainder() {
    let limbs = usize::from(Stage::new(&build()).layout().parameters.limbs);
    for limb in 0..limbs {
        refuses_always(
            |_, witness, cell| {
                let name = format!("limb{limb}");
                let value = get(witness, &name, cell);
                set(witness, &name, cell, value ^ 1);
            },
            PRODUCT,
        );
    }
}

#[test]
fn remainder_beyond_its_range_that_moves_the_quotient() {
    for delta in [-1, 1] {
        refuses_always(
            |stage, witness, cell| {
                let (name, size) = stage.top_limb();
                let quotient = stage.quotient(witness, cell);
                stage.set_quotient(witness, cell, quotient + delta);
                let limb = get(witness, &name, cell);
                set(witness, &name, cell, limb - delta * size);
            },
            BALANCE,
        );
    }
}

#[test]
fn limb_beyond_its_range_that_its_neighbour_makes_up_for() {
    let limbs = usize::from(Stage::new(&build()).layout().parameters.limbs);
    for limb in 0..limbs - 1 {
        refuses_always(
            |stage, witness, cell| {
                let size = stage.top_limb().1;
                let (one, next) = (format!("limb{limb}"), format!("limb{}", limb + 1));
                let (low, high) = (get(witness, &one, cell), get(witness, &next, cell));
                set(witness, &one, cell, low + size);
                set(witness, &next, cell, high - 1);
            },
            BALANCE,
        );
    }
}

#[test]
fn quotient_split_with_a_low_part_beyond_the_window() {
    refuses(
        |stage, witness, cell| {
            let size = 1 << stage.layout().parameters.window_bits;
            let high = get(witness, "high", cell);
            set(witness, "high", cell, high - 1);
            set(witness, "side", cell, 0);
            set(witness, "result", cell, -128);
            Witness::nudge(&mut witness.low, cell, size);
        },
        BALANCE,
    );
}

#[test]
fn whole_quotient_beyond_the_window() {
    let stage = Stage::new(&whole());
    let size = 1i64 << stage.layout().parameters.window_bits;
    for low in [-1, size, 2 * size] {
        let lie = |_: &Stage, witness: &mut Witness, cell: usize| {
            witness.low[cell] = base(low);
            set(witness, "result", cell, if low < 0 { -128 } else { 127 });
        };
        refuses_at(&stage, stage.public_cell(), lie, BALANCE);
    }
}

#[test]
fn mapping_of_another_layer() {
    // The first layers clamp at zero, the last at -128.
    let stage = Stage::new(&build());
    let lie = |witness: &mut Witness| {
        let cells = (0..2).flat_map(|inference| (0..3).map(move |channel| (inference, channel)));
        let mut cells = cells.map(|(inference, channel)| stage.cell(2, inference, channel));
        let cell = cells.find(|cell| stage.quotient(witness, *cell) < 0).unwrap();
        Witness::nudge(&mut witness.mappings, cell, -1);
        set(witness, "result", cell, 0);
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: lie), LOOKUP_LEAVES);
}

#[test]
fn hidden_results_that_were_not_computed() {
    // What the next layer reads is another result, with its own quotient.
    let stage = Stage::new(&build());
    for requantise in 0..2 {
        refuses_at(
            &stage,
            stage.cell(requantise, 1, 2),
            |stage, witness, cell| {
                let quotient = stage.quotient(witness, cell);
                stage.set_quotient(witness, cell, if quotient == 5 { 6 } else { 5 });
            },
            PRODUCT,
        );
    }
}

/// Cells of padding: channels of a requantisation beyond the last, the repeated inference, beyond all blocks.
fn padding(stage: &Stage) -> [usize; 4] {
    let beyond = stage.layout().cells.cells << stage.layout().batch_variables;
    assert!(beyond < 1 << stage.layout().variables);
    [
        stage.cell(0, 0, 9),
        stage.cell(2, 1, 3),
        stage.cell(2, 3, 0),
        beyond,
    ]
}

#[test]
fn padding_with_a_quotient_of_its_own() {
    let stage = Stage::new(&build());
    for cell in padding(&stage) {
        refuses_at(
            &stage,
            cell,
            |stage, witness, cell| {
                let quotient = stage.quotient(witness, cell);
                stage.set_quotient(witness, cell, if quotient == 1 { 2 } else { 1 });
            },
            PRODUCT,
        );
    }
}

#[test]
fn padding_with_a_result_of_its_own() {
    let stage = Stage::new(&build());
    for cell in padding(&stage) {
        refuses_at(
            &stage,
            cell,
            |_, witness, cell| {
                let result = get(witness, "result", cell);
                set(witness, "result", cell, if result == 3 { 4 } else { 3 });
            },
            BALANCE,
        );
    }
}

#[test]
fn padding_under_another_mapping() {
    let stage = Stage::new(&build());
    for (cell, mapping) in padding(&stage).into_iter().zip([1, -1, -1, 1]) {
        refuses_at(
            &stage,
            cell,
            |stage, witness, cell| {
                Witness::nudge(&mut witness.mappings, cell, mapping);
                let quotient = stage.quotient(witness, cell);
                stage.set_quotient(witness, cell, quotient);
            },
            LOOKUP_LEAVES,
        );
    }
}

#[test]
fn every_cell_of_every_column_matters() {
    let stage = Stage::new(&build());
    let (mut names, mut cells) = (Vec::new(), 0);
    let look = |witness: &mut Witness| (names, cells) = (witness.column_names(), witness.low.len());
    stage.outcome(liar!(witness: look)).unwrap();
    assert!(names.len() >= 4);
    for index in (0..cells).step_by(5) {
        for name in &names {
            let lie = |witness: &mut Witness| Witness::nudge(witness.column(name).unwrap(), index, 1);
            stage.outcome(liar!(witness: lie)).unwrap_err();
        }
        let lie = |witness: &mut Witness| Witness::nudge(&mut witness.low, index, 1);
        stage.outcome(liar!(witness: lie)).unwrap_err();
        let lie = |witness: &mut Witness| Witness::nudge(&mut witness.mappings, index, 1);
        stage.outcome(liar!(witness: lie)).unwrap_err();
    }
}
