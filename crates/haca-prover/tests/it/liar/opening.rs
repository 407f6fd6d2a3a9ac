//! What is committed is what is proven.

use haca_prover::adversary::Witness;
use haca_zk::field::Extension;
use p3_field::PrimeCharacteristicRing;

use crate::liar::{Liar, Stage, WEIGHT_OPENING, WITNESS_OPENING, build, liar};
use crate::model::Build;

#[test]
fn columns_that_are_not_the_committed_ones() {
    let stage = Stage::new(&build());
    let mut names = Vec::new();
    let look = |witness: &mut Witness| names = witness.column_names();
    stage.outcome(liar!(witness: look)).unwrap();
    for name in names {
        let lie = |witness: &mut Witness| {
            let cell = stage.public_cell();
            Witness::nudge(witness.column(&name).unwrap(), cell, 1);
        };
        stage.refuses(liar!(committed: lie), WITNESS_OPENING);
    }
}

#[test]
fn results_that_are_not_those_looked_up() {
    // The tree and the claims are about the true result; the committed and published one is another.
    let stage = Stage::new(&build());
    let cell = stage.public_cell();
    let lie = |witness: &mut Witness| Witness::nudge(witness.column("result").unwrap(), cell, 1);
    let publish = |witness: &mut Witness| {
        let honest = witness.clone();
        lie(witness);
        stage.finish(witness);
        let published = std::mem::take(&mut witness.inferences);
        *witness = honest;
        witness.inferences = published;
    };
    stage.refuses(liar!(witness: publish, committed: lie), WITNESS_OPENING);
}

#[test]
fn multiplicities_that_are_not_the_committed_ones() {
    let stage = Stage::new(&build());
    for table in 0..3 {
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
