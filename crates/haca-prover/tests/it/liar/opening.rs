//! What is committed is what is proven.

use haca_prover::adversary::{Trees, Witness};
use haca_zk::field::Extension;
use haca_zk::multilinear::eq_index;
use p3_field::PrimeCharacteristicRing;

use crate::liar::{Heard, Liar, Stage, WEIGHT_OPENING, WITNESS_OPENING, build, image, liar};
use crate::model::Build;

#[test]
fn columns_that_are_not_the_committed_ones() {
    let stage = Stage::new(&build());
    stage.refuses_other_columns(WITNESS_OPENING);
}

#[test]
fn results_that_are_not_those_looked_up() {
    // The lookups are about the true result; the committed, published and gathered one is another.
    let stage = Stage::new(&build());
    let cell = stage.public_cell();
    let heard = Heard::default();
    let publish = |witness: &mut Witness| {
        let counts = witness.multiplicities.clone();
        Witness::nudge(witness.column("result").unwrap(), cell, 1);
        stage.finish(witness);
        witness.multiplicities = counts;
    };
    let mut liar = liar!(witness: publish);
    liar.trees = Some(Box::new(|_, altered: &mut Trees| {
        // One unit of a result weighs the square of the second challenge.
        let [_, beta] = heard.after("root", Some("lookups"));
        let leaf = stage.layout().lookups[1].offset + cell;
        altered.lookups[leaf] += beta * beta;
    }));
    liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        if name == "columns" {
            let point = heard.leaf("lookup tree", stage.layout().lookup_variables);
            let cells = &point[point.len() - stage.layout().variables..];
            values[0] -= eq_index(cells, cell);
        }
    }));
    stage.refuses(liar, WITNESS_OPENING);
}

#[test]
fn multiplicities_that_are_not_the_committed_ones() {
    let stage = image::stage();
    for table in 0..stage.layout().tables.len() {
        let lie = |witness: &mut Witness| Witness::nudge(&mut witness.multiplicities[table], 1, 1);
        stage.refuses(liar!(committed: lie), WITNESS_OPENING);
    }
}

#[test]
fn weights_and_biases_that_are_not_the_committed_ones() {
    for per_channel in [false, true] {
        let build = Build {
            per_channel,
            ..build()
        };
        // Three matrices, then the biases.
        for table in 0..4 {
            let mut liar = liar!(weights: |tables: &mut [Vec<haca_zk::field::Base>]| {
                Witness::nudge(&mut tables[table], 0, 1);
            });
            let stage = Stage::with(&build, 3, &mut liar);
            stage.refuses(Liar::default(), WEIGHT_OPENING);
        }
    }
}

#[test]
fn answers_that_are_not_those_of_the_commitment() {
    for answer in 0..4 {
        let mut liar = liar!(answers: |answers: &mut [Extension]| answers[answer] += Extension::ONE);
        let stage = Stage::with(&build(), 3, &mut liar);
        stage.refuses(Liar::default(), WEIGHT_OPENING);
    }
}
