//! Accumulators: folded inputs, weights and biases, public accumulators, and the channels.

use std::sync::Mutex;

use haca_prover::adversary::{Channel, Witness};
use haca_wire::Tensor;
use haca_zk::field::Extension;
use haca_zk::multilinear::{dot, eq_table};
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::{UsePoint, product_chunks};
use p3_field::{Field, PrimeCharacteristicRing};

use crate::liar::{CHANNELS, GATHER, Heard, Liar, PRODUCT, Stage, WEIGHT_OPENING, build, liar};
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

/// What one unit of the folded bias of a use weighs in the claim.
fn worth(at: &UsePoint) -> Extension {
    at.scale * at.total
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
        for of in 0..3 {
            let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                compensate(&mut inputs[of], &weights[of]);
            };
            stage.refuses(liar!(products: lie), GATHER);
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
            let chunk = product_chunks(stage.circuit(), stage.weights()).0[of];
            let (heard, moved) = (Heard::default(), Mutex::new(Vec::new()));
            let mut liar = liar!(products: |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                *moved.lock().unwrap() = vec![inputs[of][1], -inputs[of][0]];
                compensate(&mut weights[of], &inputs[of]);
            });
            liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
            // Where multipliers are shared, the tile is sent, and the liar sends that of the other matrix.
            liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
                if name == "weights" && check == WEIGHT_OPENING {
                    let eq = eq_table(chunk.block.inner(&heard.challenges("product")));
                    values[of] += dot(&moved.lock().unwrap(), &eq);
                }
            }));
            stage.refuses(liar, check);
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
                biases[first] += worth(&uses[first]).inverse();
                biases[second] -= worth(&uses[second]).inverse();
            };
            stage.refuses(liar!(biases: lie), check);
        }
    }
    // Only public accumulators: their biases are opened, not mixed.
    let stage = Stage::new(&two_outputs());
    let lie = |uses: &[UsePoint], biases: &mut [Extension]| {
        biases[2] += worth(&uses[2]).inverse();
        biases[3] -= worth(&uses[3]).inverse();
    };
    stage.refuses(liar!(biases: lie), WEIGHT_OPENING);
}

#[test]
fn folded_biases_with_one_sum() {
    // Three biases move so that both their sum and their sum with coefficients stay.
    let stage = Stage::new(&build());
    let lie = |uses: &[UsePoint], biases: &mut [Extension]| {
        let c: Vec<Extension> = uses.iter().map(worth).collect();
        biases[0] += c[1] - c[2];
        biases[1] += c[2] - c[0];
        biases[2] += c[0] - c[1];
    };
    stage.refuses(liar!(biases: lie), CHANNELS);
}

#[test]
fn channels_of_other_weights_and_biases() {
    // Three uses, each with an entry for its weights and one for its bias.
    let stage = Stage::new(&build());
    for entry in 0..6 {
        let values = |channels: &mut [Channel]| {
            let channel = &mut channels[entry];
            compensate(&mut channel.values, &channel.rows);
        };
        stage.refuses(liar!(channels: values), WEIGHT_OPENING);
        let multipliers = |channels: &mut [Channel]| channels[entry].rows[1] += Extension::ONE;
        stage.refuses(liar!(channels: multipliers), CHANNELS);
    }
}

#[test]
fn multipliers_beyond_the_last_channel() {
    // The second layer has five channels, padded to eight. A multiplier in the padding, over weights that are zero
    // there, changes no sum.
    let stage = Stage::new(&build());
    for entry in [2, 3] {
        let lie = |channels: &mut [Channel]| {
            channels[entry].rows.resize(8, Extension::ZERO);
            channels[entry].rows[7] = Extension::ONE;
        };
        stage.refuses(liar!(channels: lie), CHANNELS);
    }
}

#[test]
fn padding_columns_of_inputs_and_weights() {
    // The input has twelve elements, padded to sixteen. One factor alone changes no sum.
    let stage = Stage::new(&build());
    let inputs = |inputs: &mut [Vec<Extension>], _: &mut [Vec<Extension>]| inputs[0][13] = Extension::ONE;
    stage.refuses(liar!(products: inputs), GATHER);
    let weights = |_: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| weights[0][13] = Extension::ONE;
    stage.refuses(liar!(products: weights), CHANNELS);
}

#[test]
fn padding_of_the_product_that_makes_up_for_a_false_output() {
    // One inference: the weight of its output is that of the position and the channel.
    let stage = Stage::with(&public(), 1, &mut Liar::default());
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
        *excess.lock().unwrap() = at.scale * at.positions[0] * at.rows[0];
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
        let moves = [worth(&uses[0]).inverse(), -worth(&uses[1]).inverse()];
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
    // Weights and biases of the three uses fill twice 16 + 8 + 4 of 64 cells.
    liar.factors = Some(Box::new(|name, f: &mut [Extension], g: &mut [Extension]| {
        if name == "channels" {
            assert_eq!((f[56], g[56]), (Extension::ZERO, Extension::ZERO));
            let (mix, moved) = (*mix.lock().unwrap(), *moved.lock().unwrap());
            (f[56], g[56]) = (mix * moved[0] + mix.cube() * moved[1], Extension::ONE);
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
