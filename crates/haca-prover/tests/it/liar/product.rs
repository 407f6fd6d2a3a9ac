//! Accumulators: folded inputs, weights and biases, public accumulators, and the channels.

use std::sync::Mutex;

use haca_prover::adversary::{Channel, Witness};
use haca_wire::Tensor;
use haca_zk::field::Extension;
use haca_zk::multilinear::eq_index;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::UsePoint;
use p3_field::{Field, PrimeCharacteristicRing};

use crate::liar::{CHANNELS, PRODUCT, Stage, WEIGHT_OPENING, WITNESS_OPENING, build, liar};
use crate::model::Build;

fn shared() -> Build {
    Build {
        per_channel: false,
        ..build()
    }
}

/// The last layer is not requantised: its accumulators are public.
fn public() -> Build {
    Build {
        requantised_output: false,
        ..build()
    }
}

/// Two vectors with one inner product with `other`: the second cell makes up for the first.
fn compensate(cells: &mut [Extension], other: &[Extension]) {
    cells[0] += other[1];
    cells[1] -= other[0];
}

#[test]
fn folded_inputs_of_other_results() {
    // The first use reads the input, which the verifier knows; the others read committed results.
    for build in [build(), shared(), public()] {
        let stage = Stage::new(&build);
        for (of, check) in [(0, PRODUCT), (1, WITNESS_OPENING), (2, WITNESS_OPENING)] {
            let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                compensate(&mut inputs[of], &weights[of]);
            };
            stage.refuses(liar!(products: lie), check);
        }
    }
}

#[test]
fn folded_weights_of_another_matrix() {
    let (one, other) = (CHANNELS, WEIGHT_OPENING);
    for (build, checks) in [
        (build(), [one; 3]),
        (shared(), [other; 3]),
        (public(), [one, one, other]),
    ] {
        let stage = Stage::new(&build);
        for (of, check) in checks.into_iter().enumerate() {
            let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                compensate(&mut weights[of], &inputs[of]);
            };
            stage.refuses(liar!(products: lie), check);
        }
    }
}

#[test]
fn products_that_do_not_make_the_claim() {
    let stage = Stage::new(&build());
    for of in 0..3 {
        for cell in [0, 3] {
            let lie = |inputs: &mut [Vec<Extension>], _: &mut [Vec<Extension>]| {
                inputs[of][cell] += Extension::ONE;
            };
            stage.refuses(liar!(products: lie), PRODUCT);
            let lie = |_: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                weights[of][cell] += Extension::ONE;
            };
            stage.refuses(liar!(products: lie), PRODUCT);
        }
    }
}

#[test]
fn folded_biases_that_do_not_make_the_claim() {
    for build in [build(), shared(), public()] {
        let stage = Stage::new(&build);
        for of in 0..3 {
            let lie = |_: &[UsePoint], biases: &mut [Extension]| biases[of] += Extension::ONE;
            stage.refuses(liar!(biases: lie), PRODUCT);
        }
    }
}

#[test]
fn folded_biases_of_other_vectors() {
    let (one, other) = (CHANNELS, WEIGHT_OPENING);
    for (build, pairs) in [
        (build(), [(0, 1, one), (1, 2, one)]),
        (shared(), [(0, 1, other), (1, 2, other)]),
        (public(), [(0, 1, one), (1, 2, one)]),
    ] {
        let stage = Stage::new(&build);
        for (first, second, check) in pairs {
            let lie = |uses: &[UsePoint], biases: &mut [Extension]| {
                biases[first] += uses[first].coefficient.inverse();
                biases[second] -= uses[second].coefficient.inverse();
            };
            stage.refuses(liar!(biases: lie), check);
        }
    }
    // Only public accumulators: their biases are opened, not mixed.
    let stage = Stage::new(&two_outputs());
    let lie = |uses: &[UsePoint], biases: &mut [Extension]| {
        biases[2] += uses[2].coefficient.inverse();
        biases[3] -= uses[3].coefficient.inverse();
    };
    stage.refuses(liar!(biases: lie), WEIGHT_OPENING);
}

#[test]
fn folded_biases_with_one_sum() {
    // Three biases move so that both their sum and their sum with coefficients stay.
    let stage = Stage::new(&build());
    let lie = |uses: &[UsePoint], biases: &mut [Extension]| {
        let c: Vec<Extension> = uses.iter().map(|at| at.coefficient).collect();
        biases[0] += c[1] - c[2];
        biases[1] += c[2] - c[0];
        biases[2] += c[0] - c[1];
    };
    stage.refuses(liar!(biases: lie), CHANNELS);
}

#[test]
fn channels_of_other_weights_and_biases() {
    let stage = Stage::new(&build());
    for of in 0..3 {
        let weights = |channels: &mut [Channel]| {
            let channel = &mut channels[of];
            compensate(&mut channel.weights, &channel.rows);
        };
        stage.refuses(liar!(channels: weights), WEIGHT_OPENING);
        let biases = |channels: &mut [Channel]| {
            let channel = &mut channels[of];
            compensate(&mut channel.biases, &channel.rows);
        };
        stage.refuses(liar!(channels: biases), WEIGHT_OPENING);
        let multipliers = |channels: &mut [Channel]| channels[of].rows[1] += Extension::ONE;
        stage.refuses(liar!(channels: multipliers), CHANNELS);
    }
}

#[test]
fn multipliers_beyond_the_last_channel() {
    // The second layer has five channels, padded to eight. A multiplier in the padding, over weights that are zero
    // there, changes no sum.
    let stage = Stage::new(&build());
    let lie = |channels: &mut [Channel]| channels[1].rows[7] = Extension::ONE;
    stage.refuses(liar!(channels: lie), CHANNELS);
}

#[test]
fn padding_columns_of_inputs_and_weights() {
    // The input has twelve elements, padded to sixteen. One factor alone changes no sum.
    let stage = Stage::new(&build());
    let inputs = |inputs: &mut [Vec<Extension>], _: &mut [Vec<Extension>]| inputs[0][13] = Extension::ONE;
    stage.refuses(liar!(products: inputs), PRODUCT);
    let weights = |_: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| weights[0][13] = Extension::ONE;
    stage.refuses(liar!(products: weights), CHANNELS);
}

#[test]
fn padding_of_the_product_that_makes_up_for_a_false_output() {
    let stage = Stage::new(&public());
    let excess = Mutex::new(Extension::ZERO);
    let publish = |witness: &mut Witness| {
        let tensor = &mut witness.inferences[0].outputs[0];
        let mut values = tensor.values().to_vec();
        values[0] += 1;
        *tensor = Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap();
    };
    let mut liar = liar!(witness: publish);
    liar.biases = Some(Box::new(|uses: &[UsePoint], _: &mut [Extension]| {
        let at = &uses[2];
        *excess.lock().unwrap() = at.coefficient * eq_index(&at.batch, 0) * eq_index(&at.rows, 0);
    }));
    // The columns of the three uses fill 16 + 16 + 8 of 64 cells.
    liar.factors = Some(Box::new(|name, f: &mut [Extension], g: &mut [Extension]| {
        if name == "product" {
            assert_eq!((f[40], g[40]), (Extension::ZERO, Extension::ZERO));
            (f[40], g[40]) = (*excess.lock().unwrap(), Extension::ONE);
        }
    }));
    stage.refuses(liar, PRODUCT);
}

#[test]
fn padding_of_the_channels_that_makes_up_for_false_biases() {
    let stage = Stage::new(&build());
    let moved = Mutex::new([Extension::ZERO; 2]);
    let mix = Mutex::new(Extension::ZERO);
    let mut liar = liar!(biases: |uses: &[UsePoint], biases: &mut [Extension]| {
        let moves = [uses[0].coefficient.inverse(), -uses[1].coefficient.inverse()];
        biases[0] += moves[0];
        biases[1] += moves[1];
        *moved.lock().unwrap() = moves;
    });
    liar.heard = Some(Box::new(|name, transcript: &Transcript<Committed>| {
        if name == "weights" {
            let mut transcript = transcript.clone();
            transcript.step("channels");
            *mix.lock().unwrap() = transcript.challenge();
        }
    }));
    // The rows of the three uses fill 16 + 8 + 4 of 32 cells.
    liar.factors = Some(Box::new(|name, f: &mut [Extension], g: &mut [Extension]| {
        if name == "channels" {
            assert_eq!((f[28], g[28]), (Extension::ZERO, Extension::ZERO));
            let (mix, moved) = (*mix.lock().unwrap(), *moved.lock().unwrap());
            (f[28], g[28]) = (mix * moved[0] + mix.cube() * moved[1], Extension::ONE);
        }
    }));
    stage.refuses(liar, CHANNELS);
}

/// Two layers of three channels whose accumulators are both public.
pub(crate) fn two_outputs() -> Build {
    Build {
        requantised_output: true,
        accumulators: true,
        ..Build::new(24, &[6, 3, 3])
    }
}
