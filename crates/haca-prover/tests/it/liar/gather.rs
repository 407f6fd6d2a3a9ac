//! The gather sumcheck: claims about committed values, and the values at its end.

use haca_zk::field::Extension;
use haca_zk::gather::{BatchPoint, GatherPoint};
use p3_field::{Field, PrimeCharacteristicRing};

use crate::liar::image::stage;
use crate::liar::{GATHER, Heard, Liar, PRODUCT, PRODUCTS_OF_VALUES, Stage, WITNESS_OPENING, liar};
use crate::model::Build;

/// Alters what is sent under one name.
pub(crate) fn sending<'a>(what: &'static str, mut lie: impl FnMut(&mut [Extension]) + Send + 'a) -> Liar<'a> {
    liar!(sends: move |name: &'static str, values: &mut [Extension]| {
        if name == what {
            lie(values);
        }
    })
}

#[test]
fn gathered_values_that_are_not_those_of_the_claims() {
    // Results and stages at the point of the lookups, then at that of the products of values.
    let stage = stage();
    for value in 0..4 {
        stage.refuses(
            sending("gathered", |values| values[value] += Extension::ONE),
            GATHER,
        );
        for other in 0..value {
            stage.refuses(sending("gathered", |values| values.swap(value, other)), GATHER);
            stage.refuses(
                sending("gathered", |values| values[value] = values[other]),
                GATHER,
            );
        }
    }
}

#[test]
fn gathered_values_with_one_sum() {
    let stage = stage();
    let layout = stage.layout();
    for (one, other) in [(0, 1), (1, 2), (2, 3), (0, 3)] {
        let heard = Heard::default();
        let mut liar = sending("gathered", |values| {
            let at = GatherPoint::new(layout, &heard.challenges("gather"));
            let weight = |index: usize| {
                let batch = [BatchPoint::Lookup, BatchPoint::Product][index / 2];
                at.weight(batch, index % 2)
            };
            values[one] += weight(other);
            values[other] -= weight(one);
        });
        liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
        stage.refuses(liar, WITNESS_OPENING);
    }
}

#[test]
fn rounds_of_the_gather_sumcheck() {
    let stage = stage();
    for round in 0..stage.layout().gather_variables {
        for value in 0..2 {
            let mut seen = 0;
            let lie = |values: &mut [Extension]| {
                if seen == round {
                    values[value] += Extension::ONE;
                }
                seen += 1;
            };
            stage.refuses(sending("gather", lie), GATHER);
        }
    }
}

#[test]
fn values_and_weights_of_the_gather_sumcheck() {
    // Values that are not the committed ones, and weights that are not those of the claims; also where nothing stands.
    let stage = stage();
    let layout = stage.layout();
    let size = 1usize << layout.gather_variables;
    let last = layout.gather.iter().map(|block| block.range().end).max().unwrap();
    for cell in [0, 1, size / 2, last.min(size - 1), size - 1] {
        for side in 0..2 {
            let lie = |name: &'static str, values: &mut [Extension], weights: &mut [Extension]| {
                if name == "gather" {
                    [values, weights][side][cell] += Extension::ONE;
                }
            };
            stage.refuses(liar!(factors: lie), GATHER);
        }
    }
}

/// Alters the factors of products of values that are sent: each alone, both so that their product stays, and their order.
pub(crate) fn refuses_other_factors(stage: &Stage) {
    for factor in 0..2 {
        let lie = |values: &mut [Extension]| values[factor] += Extension::ONE;
        stage.refuses(sending("factors", lie), PRODUCTS_OF_VALUES);
    }
    // The same product; exchanged, the same sum as well.
    let scale = |values: &mut [Extension]| {
        values[0] *= Extension::TWO;
        values[1] *= Extension::TWO.inverse();
    };
    stage.refuses(sending("factors", scale), GATHER);
    stage.refuses(sending("factors", |values| values.swap(0, 1)), GATHER);
}

#[test]
fn factors_of_the_products_of_values() {
    refuses_other_factors(&stage());
}

#[test]
fn combinations_that_do_not_make_the_claim() {
    let stage = stage();
    stage.refuses(
        sending("combinations", |values| values[0] += Extension::ONE),
        PRODUCT,
    );
}

#[test]
fn layers_without_a_witness() {
    // Nothing is committed, and the claim about the folded inputs is about public ones.
    for batch in [1, 3] {
        let stage = Stage::with(&Build::new(37, &[6, 4]), batch, &mut Liar::default());
        stage.outcome(Liar::default()).unwrap();
        let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
            inputs[0][0] += weights[0][1];
            inputs[0][1] -= weights[0][0];
        };
        stage.refuses(liar!(products: lie), GATHER);
        let key = &stage.registration.verifying_key;
        let (inferences, proof) = stage.prove(&mut Liar::default());
        for element in 0..6 {
            let mut other = inferences.clone();
            let input = &mut other[0].inputs[0];
            let mut values = input.values().to_vec();
            values[element] ^= 1;
            *input = haca_wire::Tensor::new(input.dtype(), input.shape().clone(), values).unwrap();
            let digest = crate::liar::statement(&inferences).digest(key);
            assert_ne!(crate::liar::statement(&other).digest(key), digest);
            haca_zk::verify(key, &crate::liar::statement(&other), &proof).unwrap_err();
            // The same, with a transcript of the altered statement.
            let digest = crate::liar::statement(&other).digest(key);
            let mut liar = liar!(digest: |of: &mut [u8; 32]| *of = digest);
            let (_, proof) = stage.prove(&mut liar);
            let refused = haca_zk::verify(key, &crate::liar::statement(&other), &proof);
            assert_eq!(refused, Err(GATHER));
        }
    }
}
