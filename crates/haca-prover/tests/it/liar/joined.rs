//! Weights and witness opened as one: what either commitment holds is what is proven.

use haca_prover::adversary::{Joining, Witness};
use haca_zk::field::{Base, Extension};
use haca_zk::gather::{BatchPoint, GatherPoint};
use haca_zk::proof::InferenceProof;
use haca_zk::witness::WitnessParameters;
use haca_zk::{Layouts, ProofRejection, verify};
use p3_field::PrimeCharacteristicRing;

use crate::liar::gather::{refuses_other_factors, sending};
use crate::liar::{GATHER, Heard, JOINED_OPENING, Liar, Stage, liar, statement};
use crate::model::{Build, mlp};
use crate::sketch::Sketch;

/// Three inferences of a model that is opened as one.
fn stage() -> Stage {
    let stage = joined(&mut Liar::default());
    assert!(stage.layout().joined().is_some());
    stage
}

fn joined(liar: &mut Liar<'_>) -> Stage {
    liar.joining = Joining::Always;
    // Columns of the weights are long enough for the witness.
    let build = Build {
        per_channel: true,
        requantised_output: true,
        ..Build::new(21, &[90, 40, 30, 3])
    };
    Stage::of(&mlp(&build), 3, liar)
}

#[test]
fn who_alters_nothing_is_accepted() {
    assert_eq!(stage().outcome(Liar::default()), Ok(()));
}

/// Three inferences of a model that multiplies values, opened as one: results are claimed at two batch points.
fn products() -> Stage {
    let mut sketch = Sketch::new(23, &[&[150]]);
    let [left, right] = [(); 2].map(|()| {
        let sums = sketch.linear(0, 80);
        sketch.requantise(sums, false)
    });
    let product = sketch.product(left, right);
    let product = sketch.requantise(product, false);
    let sums = sketch.linear(product, 10);
    let mut liar = Liar {
        joining: Joining::Always,
        ..Liar::default()
    };
    Stage::of(&sketch.ending(sums), 3, &mut liar)
}

#[test]
fn who_alters_nothing_of_products_is_accepted() {
    let stage = products();
    let layout = stage.layout();
    assert!(layout.joined().is_some());
    assert_eq!((layout.batch_points, layout.gathered()), (2, 1));
    assert_eq!(stage.outcome(Liar::default()), Ok(()));
}

#[test]
fn factors_of_products_of_values() {
    refuses_other_factors(&products());
}

#[test]
fn gathered_values_at_both_batch_points() {
    let stage = products();
    for value in 0..2 {
        stage.refuses(
            sending("gathered", |values| values[value] += Extension::ONE),
            GATHER,
        );
        stage.refuses(
            sending("gathered", |values| values[value] = values[1 - value]),
            GATHER,
        );
    }
    stage.refuses(sending("gathered", |values| values.swap(0, 1)), GATHER);
    // Both altered, the same sum: only the opening can tell.
    let heard = Heard::default();
    let layout = stage.layout();
    let mut liar = sending("gathered", |values| {
        let at = GatherPoint::new(layout, &heard.challenges("gather"));
        values[0] += at.weight(BatchPoint::Product, 0);
        values[1] -= at.weight(BatchPoint::Lookup, 0);
    });
    liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
    stage.refuses(liar, JOINED_OPENING);
}

#[test]
fn results_opened_at_the_other_batch_point() {
    let stage = products();
    // The columns, then the results at the batch point of the lookups and at that of the products, then the tables.
    let lies: [fn(&mut [Vec<Extension>]); 3] = [
        |points| points.swap(1, 2),
        |points| points[2] = points[1].clone(),
        |points| points[1] = points[2].clone(),
    ];
    for lie in lies {
        stage.refuses(liar!(witness_points: lie), JOINED_OPENING);
    }
}

#[test]
fn results_of_products_that_are_not_the_committed_ones() {
    // A cell of each requantisation: both operands, and the product.
    let stage = products();
    for requantise in 0..3 {
        let cell = stage.cell(requantise, 1, 7);
        let lie = |witness: &mut Witness| {
            Witness::nudge(witness.column("result").unwrap(), cell, 1);
        };
        stage.refuses(liar!(committed: lie), JOINED_OPENING);
    }
}

#[test]
fn columns_that_are_not_the_committed_ones() {
    let stage = stage();
    stage.refuses_other_columns(JOINED_OPENING);
    for table in 0..stage.layout().tables.len() {
        let lie = |witness: &mut Witness| Witness::nudge(&mut witness.multiplicities[table], 1, 1);
        stage.refuses(liar!(committed: lie), JOINED_OPENING);
    }
}

#[test]
fn weights_and_biases_that_are_not_the_committed_ones() {
    let tables = stage().weights().tables().len();
    for table in 0..tables {
        // The tables are altered behind the back of the executor, and the answers follow them.
        let lie = |tables: &mut [Vec<Base>]| tables[table][0] += Base::ONE;
        let stage = joined(&mut liar!(weights: lie));
        stage.refuses(Liar::default(), JOINED_OPENING);
        let lie = |answers: &mut [Extension]| answers[table] += Extension::ONE;
        let stage = joined(&mut liar!(answers: lie));
        stage.refuses(Liar::default(), JOINED_OPENING);
    }
}

#[test]
fn openings_at_other_points() {
    let stage = stage();
    let asked = stage.weights().tables().len() * 2;
    for at in 0..asked {
        let lie = |points: &mut [Vec<Extension>]| {
            if let Some(first) = points[at].first_mut() {
                *first += Extension::ONE;
            }
        };
        stage.refuses(liar!(weight_points: lie), JOINED_OPENING);
    }
    let mut asked = 0;
    let look = |points: &mut [Vec<Extension>]| asked = points.len();
    stage.outcome(liar!(witness_points: look)).unwrap();
    assert!(asked > 1, "{asked}");
    for at in 0..asked {
        let lie = |points: &mut [Vec<Extension>]| {
            if let Some(last) = points[at].last_mut() {
                *last += Extension::ONE;
            }
        };
        stage.refuses(liar!(witness_points: lie), JOINED_OPENING);
    }
}

/// A proof with the opening of another proof, or with an opening for each commitment, under a key that joins them.
#[test]
fn openings_of_another_proof() {
    let stage = stage();
    let key = &stage.registration.verifying_key;
    let (inferences, proof) = stage.prove(&mut Liar::default());
    let variables = stage.layout().batch_variables;
    let decoded = InferenceProof::decode_for(key, variables, &proof).unwrap();
    let other = {
        let lie = |digest: &mut [u8; 32]| digest[0] ^= 1;
        let (_, proof) = stage.prove(&mut liar!(digest: lie));
        InferenceProof::decode_for(key, variables, &proof).unwrap()
    };
    let mut swapped = decoded.clone();
    swapped.opening = other.opening;
    let found = verify(key, &statement(&inferences), &swapped.encode());
    assert_eq!(found, Err(JOINED_OPENING));
    let mut both = decoded;
    if let Some(witness) = &mut both.witness {
        witness.opening = Some(both.opening.clone());
    }
    let found = verify(key, &statement(&inferences), &both.encode());
    assert!(matches!(found, Err(ProofRejection::Encoding(_))), "{found:?}");
}

#[test]
fn joined_openings_fit_the_weights() {
    let stage = stage();
    let key = &stage.registration.verifying_key;
    let class = stage.layout().batch_variables;
    let found = |change: fn(&mut WitnessParameters)| {
        let mut parameters = key.parameters().clone();
        change(parameters.batches[class].witness.as_mut().unwrap());
        Layouts::new(key.manifest(), &parameters)
    };
    let layouts = found(|_| {}).unwrap();
    let joined = layouts.witnesses[class].as_ref().unwrap().joined().unwrap();
    let variables = joined.column_variables + joined.row.fold;
    assert_eq!(joined.configuration().num_variables(), variables);
    let of_column = layouts.weights.variables - layouts.weights.fold;
    assert_eq!(joined.column_variables, of_column);
    // A witness that is longer than a column of the weights, another code than theirs, rows of another width.
    let changes: [fn(&mut WitnessParameters); 5] = [
        |w| w.joined = w.joined.map(|fold| fold - 1),
        |w| w.schedule.log_inverse_rates[0] += 1,
        |w| w.schedule.log_inverse_rates[0] -= 1,
        |w| w.schedule.folds[0] += 1,
        |w| w.schedule.folds[0] -= 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let expected = ProofRejection::Parameter {
            what: "joined opening",
        };
        assert_eq!(found(change).err(), Some(expected), "{index}");
    }
}
