//! Matrices in several tiles, and matrices in groups.

use haca_prover::adversary::{Channel, Witness};
use haca_zk::field::{Base, Extension};
use haca_zk::uses::{Folded, channel_entries, chunk_openings, product_chunks};
use p3_field::PrimeCharacteristicRing;

use crate::liar::{CHANNELS, GATHER, Heard, Liar, PRODUCT, Stage, WEIGHT_OPENING, liar};
use crate::model::{Build, mlp};
use crate::sketch::{Sketch, axis, square};

/// A layer that is cut into the given number of pieces along both axes: 32 + 8, 32 + 16 + 4, 128 + 64 + 32 + 8.
fn stage(pieces: u8, per_channel: bool) -> Stage {
    stage_with(pieces, per_channel, &mut Liar::default())
}

fn stage_with(pieces: u8, per_channel: bool, liar: &mut Liar<'_>) -> Stage {
    let size = [40, 52, 232][usize::from(pieces) - 2];
    let model = mlp(&Build {
        per_channel,
        requantised_output: true,
        ..Build::new(51, &[size, size])
    });
    let stage = Stage::of(&model, 2, liar);
    assert_eq!(stage.registration.verifying_key.parameters().pieces, pieces);
    assert_eq!(stage.weights().weights.len(), usize::from(pieces).pow(2));
    stage
}

#[test]
fn who_alters_nothing_in_tiles_is_accepted() {
    for pieces in 2..=4 {
        for per_channel in [false, true] {
            stage(pieces, per_channel).outcome(Liar::default()).unwrap();
        }
    }
}

#[test]
fn tiles_that_are_not_the_committed_ones() {
    for pieces in 2..=4u8 {
        for tile in 0..=usize::from(pieces).pow(2) {
            let mut liar = liar!(weights: |tables: &mut [Vec<Base>]| Witness::nudge(&mut tables[tile], 0, 1));
            let per_channel = tile % 2 == 0;
            let stage = stage_with(pieces, per_channel, &mut liar);
            stage.refuses(Liar::default(), WEIGHT_OPENING);
        }
    }
}

/// Alters the values sent for the tiles, given the weight of the rows of each, tile by tile of each column span.
fn refuses(
    stage: &Stage,
    per_channel: bool,
    lie: impl Fn(&[Extension], &mut [Extension]) + Send + Sync,
    check: haca_zk::ProofRejection,
) {
    let key = &stage.registration.verifying_key;
    let (chunks, _) = product_chunks(stage.circuit(), stage.weights());
    let entries = channel_entries(stage.circuit(), &chunks).0;
    let heard = Heard::default();
    let rows = std::sync::Mutex::new(Vec::new());
    let mut liar = liar!(biases: |uses: &[haca_zk::uses::UsePoint], _: &mut [Extension]| {
        *rows.lock().unwrap() = uses[0].row_point.to_vec();
    });
    liar.heard = Some(Box::new(|name, transcript| heard.note(name, transcript)));
    liar.sends = Some(Box::new(|name, values: &mut [Extension]| {
        let product = heard.challenges("product");
        let mut weights = Vec::new();
        match (name, per_channel) {
            ("weights", false) => {
                for chunk in &chunks {
                    let place = chunk.block.weight(&product);
                    let tiles = chunk_openings(key, chunk, &rows.lock().unwrap(), &product);
                    weights.extend(tiles.into_iter().map(|(weight, _)| place * weight));
                }
            }
            ("channel openings", true) => {
                let [mix] = heard.after("weights", Some("channels"));
                let channels = heard.challenges("channels");
                let mut power = Extension::ONE;
                for entry in &entries {
                    let place = entry.block.weight(&channels) * power;
                    power *= mix;
                    match entry.folded {
                        Folded::Weights(chunk) => {
                            let inner = entry.block.inner(&channels);
                            let tiles = chunk_openings(key, &chunks[chunk], inner, &product);
                            weights.extend(tiles.into_iter().map(|(weight, _)| place * weight));
                        }
                        Folded::Bias => weights.push(place),
                    }
                }
            }
            _ => return,
        }
        assert_eq!(weights.len(), values.len());
        lie(&weights, values);
    }));
    stage.refuses(liar, check);
}

#[test]
fn tiles_that_make_up_for_each_other() {
    // Of one column span and of two.
    for per_channel in [false, true] {
        for pieces in 2..=4u8 {
            let stage = stage(pieces, per_channel);
            let tiles = usize::from(pieces).pow(2);
            for (one, other) in [
                (0, 1),
                (0, usize::from(pieces)),
                (1, tiles - 1),
                (tiles - 2, tiles - 1),
            ] {
                let lie = |weights: &[Extension], values: &mut [Extension]| {
                    values[one] += weights[other];
                    values[other] -= weights[one];
                };
                refuses(&stage, per_channel, lie, WEIGHT_OPENING);
            }
        }
    }
}

#[test]
fn tiles_in_the_place_of_others() {
    for (per_channel, check) in [(false, PRODUCT), (true, CHANNELS)] {
        let stage = stage(3, per_channel);
        for (one, other) in [(0, 1), (0, 3), (4, 8), (2, 6)] {
            let lie = |_: &[Extension], values: &mut [Extension]| values.swap(one, other);
            refuses(&stage, per_channel, lie, check);
        }
    }
}

#[test]
fn folded_weights_of_another_column_span() {
    // Two chunks of one use: the inputs of one make up for the weights of another.
    for (per_channel, check) in [(true, CHANNELS), (false, PRODUCT)] {
        let stage = stage(2, per_channel);
        let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
            weights[0][0] += inputs[1][0];
            weights[1][0] -= inputs[0][0];
        };
        stage.refuses(liar!(products: lie), check);
        let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
            inputs[0][0] += weights[1][0];
            inputs[1][0] -= weights[0][0];
        };
        stage.refuses(liar!(products: lie), GATHER);
    }
}

#[test]
fn inputs_behind_the_last_column_of_a_span() {
    // 43 columns are spans of 32, of 8, and of 3 padded to 4.
    let model = mlp(&Build {
        requantised_output: true,
        ..Build::new(52, &[43, 43])
    });
    let stage = Stage::of(&model, 2, &mut Liar::default());
    let last = stage.weights().tilings[0].columns[2];
    assert_eq!((last.len, last.variables), (3, 2));
    let lie = |inputs: &mut [Vec<Extension>], _: &mut [Vec<Extension>]| inputs[2][3] = Extension::ONE;
    stage.refuses(liar!(products: lie), GATHER);
}

/// Two inferences of convolutions in groups: of two channels each, and of one.
fn grouped(groups: u32, per_channel: bool) -> Stage {
    let mut sketch = Sketch::new(53, &[&[3, 3, 6]]);
    let value = sketch.convolve(0, 6, square(axis(2, 1)), groups);
    let value = sketch.requantise(value, per_channel);
    let stage = Stage::of(&sketch.ending(value), 2, &mut Liar::default());
    stage.outcome(Liar::default()).unwrap();
    stage
}

#[test]
fn folded_weights_of_another_group() {
    for (groups, per_channel) in [(3, false), (3, true), (6, false)] {
        let stage = grouped(groups, per_channel);
        let chunk = product_chunks(stage.circuit(), stage.weights()).0[0];
        let width = 1usize << chunk.column_variables;
        // Of one group, and across two.
        for other in [1, width] {
            let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                weights[0][0] += inputs[0][other];
                weights[0][other] -= inputs[0][0];
            };
            stage.refuses(liar!(products: lie), CHANNELS);
            let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                inputs[0][0] += weights[0][other];
                inputs[0][other] -= weights[0][0];
            };
            stage.refuses(liar!(products: lie), GATHER);
        }
        // The weights of two groups exchanged, with their inputs: the sum stays.
        let lie = |inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
            for cells in [&mut inputs[0], &mut weights[0]] {
                let (one, other) = cells.split_at_mut(width);
                one.swap_with_slice(&mut other[..width]);
            }
        };
        stage.refuses(liar!(products: lie), CHANNELS);
        // Cells of a group that there is not.
        let beyond = usize::try_from(groups).unwrap() * width;
        if beyond < 1 << chunk.block.variables {
            let lie = |_: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]| {
                weights[0][beyond] = Extension::ONE;
            };
            stage.refuses(liar!(products: lie), CHANNELS);
        }
    }
}

#[test]
fn rows_of_another_group() {
    // In the channel sumcheck a row counts for its own group only.
    let stage = grouped(3, true);
    for entry in [0, 1] {
        let rows = |channels: &mut [Channel]| channels[entry].rows.swap(0, 5);
        stage.refuses(liar!(channels: rows), CHANNELS);
        let values = |channels: &mut [Channel]| {
            let Channel { rows, values } = &mut channels[entry];
            values[0] += rows[5];
            values[5] -= rows[0];
        };
        stage.refuses(liar!(channels: values), WEIGHT_OPENING);
    }
}
