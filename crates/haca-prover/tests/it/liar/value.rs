//! Products and combinations of values.

use std::sync::Mutex;

use haca_zk::field::Extension;
use haca_zk::uses::UsePoint;
use p3_field::{Field, PrimeCharacteristicRing};

use crate::liar::image::stage;
use crate::liar::{CHANNELS, GATHER, Liar, PRODUCT, PRODUCTS_OF_VALUES, Stage, liar};
use crate::sketch::Sketch;

#[test]
fn sums_and_rounds_of_the_products_of_values() {
    // The sum is sent first, then the rounds.
    let stage = stage();
    let mut count = 0;
    let look = |name: &'static str, values: &mut [Extension]| {
        count += usize::from(name == "products of values") * values.len();
    };
    stage.outcome(liar!(sends: look)).unwrap();
    assert!(count > 20 && count % 3 == 1);
    for altered in 0..count {
        let mut seen = 0;
        let lie = |name: &'static str, values: &mut [Extension]| {
            if name == "products of values" {
                for value in values {
                    if seen == altered {
                        *value += Extension::ONE;
                    }
                    seen += 1;
                }
            }
        };
        stage.refuses(liar!(sends: lie), PRODUCTS_OF_VALUES);
    }
}

#[test]
fn factors_and_weights_that_are_not_those_of_the_values() {
    // An element of a factor, with the sum that follows: the accumulators are others. A factor of weight zero, beyond
    // all elements: the sum stays.
    let stage = stage();
    for side in 0..2 {
        let real = |weights: &mut [Extension], left: &mut [Extension], right: &mut [Extension]| {
            let cell = (0..weights.len())
                .find(|cell| weights[*cell] * left[*cell] * right[*cell] != Extension::ZERO)
                .unwrap();
            [left, right][side][cell] += Extension::ONE;
        };
        stage.refuses(liar!(elementwise: real), PRODUCT);
        let padding = |weights: &mut [Extension], left: &mut [Extension], right: &mut [Extension]| {
            let cell = weights.len() - 1;
            assert_eq!(weights[cell], Extension::ZERO);
            [left, right][side][cell] += Extension::ONE;
        };
        stage.refuses(liar!(elementwise: padding), GATHER);
    }
    let weights = |weights: &mut [Extension], _: &mut [Extension], _: &mut [Extension]| {
        *weights.last_mut().unwrap() += Extension::ONE;
    };
    stage.refuses(liar!(elementwise: weights), PRODUCTS_OF_VALUES);
}

#[test]
fn products_of_other_factors_with_one_sum() {
    let stage = stage();
    for side in 0..2 {
        let lie = |weights: &mut [Extension], left: &mut [Extension], right: &mut [Extension]| {
            let [moved, fixed] = if side == 0 { [left, right] } else { [right, left] };
            let worth: Vec<Extension> = weights.iter().zip(fixed).map(|(w, x)| *w * *x).collect();
            let mut cells = (0..worth.len()).filter(|cell| worth[*cell] != Extension::ZERO);
            let (one, other) = (cells.next().unwrap(), cells.next().unwrap());
            moved[one] += worth[other];
            moved[other] -= worth[one];
        };
        stage.refuses(liar!(elementwise: lie), GATHER);
    }
}

#[test]
fn combinations_that_products_make_up_for() {
    let stage = stage();
    let mut liar = Liar::default();
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        if name == "combinations" {
            values[0] += Extension::ONE;
        }
    }));
    liar.elementwise = Some(Box::new(
        |weights, left: &mut [Extension], right: &mut [Extension]| {
            let worth = |cell: usize| weights[cell] * right[cell];
            let cell = (0..weights.len())
                .find(|cell| worth(*cell) != Extension::ZERO)
                .unwrap();
            left[cell] -= worth(cell).inverse();
        },
    ));
    stage.refuses(liar, GATHER);
}

#[test]
fn combinations_that_folded_inputs_make_up_for() {
    // The matrix product takes what the combination gains: both claims end in the gather sumcheck.
    let stage = stage();
    let mut liar = Liar::default();
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        if name == "combinations" {
            values[0] += Extension::ONE;
        }
    }));
    liar.products = Some(Box::new(
        |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
            inputs[0][0] -= weights[0][0].inverse();
        },
    ));
    stage.refuses(liar, GATHER);
}

#[test]
fn combinations_that_biases_make_up_for() {
    for (per_channel, check) in [(true, CHANNELS), (false, GATHER)] {
        let mut sketch = Sketch::new(35, &[&[3, 4]]);
        let value = sketch.linear(0, 4);
        let value = sketch.requantise(value, per_channel);
        let sum = sketch.sum(&[(value, 3), (0, -5)]);
        let value = sketch.scaled(sum, vec![9001], -128);
        let stage = Stage::of(&sketch.ending(value), 3, &mut Liar::default());
        let moved = Mutex::new(Extension::ZERO);
        let mut liar = Liar::default();
        liar.biases = Some(Box::new(|uses: &[UsePoint], biases: &mut [Extension]| {
            biases[0] += Extension::ONE;
            *moved.lock().unwrap() = uses[0].scale * uses[0].total;
        }));
        liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
            if name == "combinations" {
                values[0] -= *moved.lock().unwrap();
            }
        }));
        stage.refuses(liar, check);
    }
}

#[test]
fn combinations_of_public_values_alone() {
    // No committed value takes part: the claim is about the inputs.
    let mut sketch = Sketch::new(36, &[&[3, 4], &[3, 4]]);
    let sum = sketch.sum(&[(0, 3), (1, -5)]);
    let sums = sketch.linear(0, 2);
    for output in [sum, sums] {
        sketch.output(output);
    }
    let stage = Stage::of(&sketch.model(), 3, &mut Liar::default());
    stage.outcome(Liar::default()).unwrap();
    let mut liar = Liar::default();
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        if name == "combinations" {
            values[0] += Extension::ONE;
        }
    }));
    liar.products = Some(Box::new(
        |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
            inputs[0][0] -= weights[0][0].inverse();
        },
    ));
    stage.refuses(liar, GATHER);
}
