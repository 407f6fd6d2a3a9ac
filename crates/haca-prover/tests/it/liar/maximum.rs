//! Window maxima: the stages and their operands.

use haca_prover::adversary::{StageColumns, Trees, Witness};
use haca_zk::ProofRejection;
use haca_zk::field::{Extension, base};
use haca_zk::multilinear::eq_index;
use haca_zk::value::Source;
use p3_field::PrimeCharacteristicRing;

use crate::liar::image::{HIDDEN, PUBLIC, stage};
use crate::liar::{BALANCE, GATHER, Heard, LOOKUP_LEAVES, Liar, Stage, WITNESS_OPENING, integer, liar};
use crate::sketch::{Sketch, axis, padded, square};

/// A liar about the stages; counts and statement follow.
fn refuses(stage: &Stage, lie: impl Fn(&mut StageColumns) + Send + Sync, check: ProofRejection) {
    let alter = |witness: &mut Witness| {
        lie(witness.stages.as_mut().unwrap());
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: alter), check);
}

fn cell(stage: &Stage, index: usize, element: usize, inference: usize) -> usize {
    stage.cell_of(Source::Stage(index), element, inference).unwrap()
}

/// A cell of the last stage over the input, where the operands lie apart and inside their type.
fn public_cell(stage: &Stage) -> usize {
    let mut found = None;
    let look = |witness: &mut Witness| {
        let stages = witness.stages.as_ref().unwrap();
        let apart = |cell: &usize| {
            let [first, second] = [stages.first[*cell], stages.second[*cell]].map(integer);
            first.abs_diff(second) > 4 && first.max(second) < 120
        };
        found = (0..12)
            .map(|element| cell(stage, PUBLIC[2], element, 1))
            .find(apart);
    };
    stage.outcome(liar!(witness: look)).unwrap();
    found.unwrap()
}

#[test]
fn maxima_that_are_not_the_larger_operand() {
    let stage = stage();
    let cell = public_cell(&stage);
    let lies: [fn(i64, i64) -> i64; 5] = [
        |first, second| first.min(second),
        |first, second| first.max(second) + 1,
        |first, second| first.max(second) - 1,
        |first, second| (first + second).div_euclid(2),
        |first, second| first.min(second) - 1,
    ];
    for lie in lies {
        let alter = |stages: &mut StageColumns| {
            let [first, second] = [stages.first[cell], stages.second[cell]].map(integer);
            stages.results[cell] = base(lie(first, second));
        };
        refuses(&stage, alter, BALANCE);
    }
}

#[test]
fn operands_that_are_not_the_elements() {
    // Of the input and of hidden values, in the first and in a later stage; the result follows. Nothing
    // but stages and the statement reads these results.
    let stage = stage();
    for index in [PUBLIC[0], PUBLIC[2], HIDDEN[0], HIDDEN[1]] {
        let cell = cell(&stage, index, 4, 1);
        for delta in [-3, 3] {
            for which in [0, 1, 2] {
                let lie = |stages: &mut StageColumns| {
                    let StageColumns {
                        first,
                        second,
                        results,
                    } = stages;
                    let operands: &mut [_] = match which {
                        0 => &mut [first],
                        1 => &mut [second],
                        // Both, with the same difference.
                        _ => &mut [first, second],
                    };
                    operands
                        .iter_mut()
                        .for_each(|column| Witness::nudge(column, cell, delta));
                    results[cell] = base(integer(stages.first[cell]).max(integer(stages.second[cell])));
                };
                refuses(&stage, lie, GATHER);
            }
        }
    }
}

#[test]
fn operands_exchanged() {
    let stage = stage();
    let cell = public_cell(&stage);
    let lie = |stages: &mut StageColumns| std::mem::swap(&mut stages.first[cell], &mut stages.second[cell]);
    refuses(&stage, lie, GATHER);
}

#[test]
fn stages_in_the_place_of_others() {
    // Another stage, another element, another inference; all columns move together.
    let stage = stage();
    let own = cell(&stage, PUBLIC[2], 3, 0);
    for other in [
        cell(&stage, PUBLIC[1], 3, 0),
        cell(&stage, HIDDEN[0], 3, 0),
        cell(&stage, PUBLIC[2], 4, 0),
        cell(&stage, PUBLIC[2], 3, 1),
    ] {
        let lie = |stages: &mut StageColumns| {
            let StageColumns {
                first,
                second,
                results,
            } = stages;
            for column in [first, second, results] {
                column.swap(own, other);
            }
        };
        refuses(&stage, lie, GATHER);
    }
}

/// Cells of no stage: padded channels, the repeated inference, behind all blocks.
fn padding(stage: &Stage) -> [usize; 4] {
    let layout = stage.layout();
    let batch = layout.batch_variables;
    let beyond = layout.stages.cells << batch;
    assert!(beyond < 1 << layout.stage_variables.unwrap());
    [
        layout.stages.blocks[HIDDEN[2]].cell(3, 7) << batch,
        layout.stages.blocks[PUBLIC[2]].cell(3, 3) << batch,
        cell(stage, PUBLIC[2], 3, 3),
        beyond,
    ]
}

#[test]
fn padding_of_stages_with_operands_or_results_of_its_own() {
    let stage = stage();
    for cell in padding(&stage) {
        let operands = |first, second| {
            move |stages: &mut StageColumns| {
                let other = integer(stages.results[cell]) + 2;
                let cells = [(&mut stages.first, first), (&mut stages.second, second)];
                for (column, is_altered) in cells {
                    if is_altered {
                        column[cell] = base(other);
                    }
                }
                stages.results[cell] = base(integer(stages.first[cell]).max(integer(stages.second[cell])));
            }
        };
        for (first, second) in [(true, false), (false, true), (true, true)] {
            refuses(&stage, operands(first, second), GATHER);
        }
        refuses(
            &stage,
            |stages| Witness::nudge(&mut stages.results, cell, 1),
            BALANCE,
        );
    }
}

#[test]
fn operands_sent_with_one_fingerprint() {
    // A first operand that makes up for the second in the leaf.
    let stage = stage();
    let heard = Heard::default();
    for moved in [0, 1] {
        let mut liar = Liar::default();
        liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
        liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
            if name == "stages" {
                let [_, beta] = heard.after("root", Some("lookups"));
                match moved {
                    0 => {
                        values[1] += Extension::ONE + beta;
                        values[2] += Extension::ONE;
                    }
                    _ => {
                        values[0] += Extension::ONE;
                        values[1] -= beta;
                    }
                }
            }
        }));
        stage.refuses(liar, GATHER);
    }
    for value in 0..3 {
        let lie = |name: &'static str, values: &mut [Extension]| {
            if name == "stages" {
                values[value] += Extension::ONE;
            }
        };
        stage.refuses(liar!(sends: lie), LOOKUP_LEAVES);
    }
}

#[test]
fn stages_that_are_not_the_committed_ones() {
    let stage = stage();
    for cell in [cell(&stage, HIDDEN[1], 7, 0), cell(&stage, PUBLIC[2], 3, 1)] {
        let lie = |witness: &mut Witness| {
            Witness::nudge(&mut witness.stages.as_mut().unwrap().results, cell, 1);
        };
        stage.refuses(liar!(committed: lie), WITNESS_OPENING);
    }
}

#[test]
fn maxima_that_are_not_those_looked_up() {
    // The lookups are about the true maximum; the committed, published and gathered one is another.
    let stage = stage();
    let cell = public_cell(&stage);
    let heard = Heard::default();
    let publish = |witness: &mut Witness| {
        let counts = witness.multiplicities.clone();
        Witness::nudge(&mut witness.stages.as_mut().unwrap().results, cell, 1);
        stage.finish(witness);
        witness.multiplicities = counts;
    };
    let mut liar = liar!(witness: publish);
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        let [_, beta] = heard.after("root", Some("lookups"));
        let block = stage.layout().lookups.last().unwrap();
        trees.lookups[block.offset + cell] += beta;
    }));
    liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        if name == "stages" {
            let layout = stage.layout();
            let point = heard.leaf("lookup tree", layout.lookup_variables);
            let cells = &point[point.len() - layout.stage_variables.unwrap()..];
            values[0] -= eq_index(cells, cell);
        }
    }));
    stage.refuses(liar, WITNESS_OPENING);
}

#[test]
fn maxima_of_a_graph_without_requantisation() {
    // The columns of requantisations hold padding only.
    let mut sketch = Sketch::new(34, &[&[3, 3, 2]]);
    let sums = sketch.linear(0, 2);
    let first = sketch.window_max(0, square(padded(2, 2, 1, 0)));
    let second = sketch.window_max(first, square(axis(2, 1)));
    for output in [sums, second] {
        sketch.output(output);
    }
    let stage = Stage::of(&sketch.model(), 3, &mut Liar::default());
    assert!(stage.circuit().requantises.is_empty());
    stage.outcome(Liar::default()).unwrap();
    let last = stage.circuit().stages.len() - 1;
    let cell = stage.cell_of(Source::Stage(last), 1, 1).unwrap();
    let other = |stages: &mut StageColumns| Witness::nudge(&mut stages.results, cell, 1);
    refuses(&stage, other, BALANCE);
    let operand = |stages: &mut StageColumns| {
        for column in [&mut stages.first, &mut stages.results] {
            column[cell] = base(127);
        }
    };
    refuses(&stage, operand, GATHER);
    // A cell of a requantisation that there is not.
    let lie = |witness: &mut Witness| {
        let quotient = stage.quotient(witness, 3);
        stage.set_quotient(witness, 3, quotient);
        crate::liar::set(witness, "result", 3, 1);
        stage.finish(witness);
    };
    stage.refuses(liar!(witness: lie), BALANCE);
}
