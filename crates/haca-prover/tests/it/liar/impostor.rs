//! Impostors: honest provers of another model, who say that it is the registered one. The two models differ in one
//! detail, have the same weights, and their proofs the same shape, so that only the check that knows the detail can
//! tell them apart.

use haca_graph::{Function, FunctionKind, ModelFile, WindowAxis};
use haca_prover::{Execution, ProvingKey};
use haca_wire::Scale;
use haca_zk::field::Extension;
use haca_zk::{Inference, ProofRejection, Statement, verify};

use crate::liar::{
    CHANNELS, CONTEXT, GATHER, LOOKUP_LEAVES, PRODUCT, PRODUCTS_OF_VALUES, TABLE_LEAVES, liar,
};
use crate::model::{Random, inputs};
use crate::sketch::{Sketch, axis, function, padded, square};

/// What the verifier of one model says to a proof of another.
fn outcome(claimed: &ModelFile, other: &ModelFile, batch: usize) -> Result<(), ProofRejection> {
    let (claimed, other) = (
        ProvingKey::register(claimed.clone()).unwrap().proving_key,
        (ProvingKey::register(other.clone()).unwrap().proving_key, other),
    );
    let key = claimed.verifying_key();
    let mut random = Random::new(22);
    let runs: Vec<_> = (0..batch).map(|_| inputs(other.1, &mut random)).collect();
    let other = other.0;
    let executions: Vec<Execution> = runs.iter().map(|inputs| other.infer(inputs).unwrap()).collect();
    let inferences: Vec<Inference> = executions.iter().map(|e| e.inference.clone()).collect();
    if key.model_id() != other.verifying_key().model_id() {
        let honest = |(inputs, lie): (&Vec<haca_wire::Tensor>, &Inference)| {
            claimed.infer(inputs).unwrap().inference == *lie
        };
        assert!(!runs.iter().zip(&inferences).all(honest), "the models agree");
    }
    let statement = Statement {
        context: CONTEXT,
        inferences: &inferences,
    };
    let digest = statement.digest(key);
    let points = [other.verifying_key().points(), key.points()];
    let mut liar = liar!(digest: |of: &mut [u8; 32]| *of = digest);
    liar.weight_points = Some(Box::new(|asked: &mut [Vec<Extension>]| {
        for asked in asked {
            if let Some(table) = points[0].iter().position(|point| point == asked) {
                asked.clone_from(&points[1][table]);
            }
        }
    }));
    let (proof, _) = other.prove_tampered(CONTEXT, &executions, &mut liar).unwrap();
    verify(key, &statement, &proof)
}

/// The impostor is refused by `check`, alone and in a batch.
fn refuses(build: impl Fn(bool) -> ModelFile, check: ProofRejection) {
    let models = [build(false), build(true)];
    for batch in [1, 3] {
        assert_eq!(outcome(&models[0], &models[0], batch), Ok(()));
        assert_eq!(outcome(&models[0], &models[1], batch), Err(check));
        assert_eq!(outcome(&models[1], &models[0], batch), Err(check));
    }
}

/// Refuses impostors about an op on committed values, and about the same op on an input.
fn refuses_on(dims: &[u32], ops: impl Fn(&mut Sketch, u32, bool) -> u32, check: ProofRejection) {
    for is_committed in [true, false] {
        let build = |lie| {
            let mut sketch = Sketch::new(5, &[dims]);
            let mut value = 0;
            if is_committed {
                value = sketch.linear(value, dims[dims.len() - 1]);
                value = sketch.requantise(value, false);
            } else {
                // A model has parameters.
                let aside = sketch.linear(value, 1);
                sketch.output(aside);
            }
            let value = ops(&mut sketch, value, lie);
            sketch.ending(value)
        };
        refuses(build, check);
    }
}

/// A convolution, requantised.
fn convolved(sketch: &mut Sketch, value: u32, height: WindowAxis, width: WindowAxis, groups: u32) -> u32 {
    let accumulators = sketch.convolve(value, 4, haca_graph::Window { height, width }, groups);
    sketch.requantise(accumulators, false)
}

#[test]
fn convolutions_over_other_windows() {
    // Each pair has as many windows over six elements.
    let dilated = |dilation| WindowAxis {
        dilation,
        ..axis(2, 3)
    };
    for [honest, lie] in [
        [padded(2, 2, 0, 1), padded(2, 2, 1, 0)],
        [padded(3, 1, 1, 1), padded(3, 1, 2, 0)],
        [axis(3, 3), axis(3, 2)],
        [dilated(1), dilated(2)],
    ] {
        for is_height in [true, false] {
            let window = |sketch: &mut Sketch, value, is_lie| {
                let moved = if is_lie { lie } else { honest };
                let (height, width) = if is_height {
                    (moved, axis(2, 2))
                } else {
                    (axis(2, 2), moved)
                };
                convolved(sketch, value, height, width, 1)
            };
            refuses_on(&[6, 6, 2], window, GATHER);
        }
    }
}

#[test]
fn convolutions_with_taps_exchanged() {
    // One window for each row, whose two elements change places.
    let ops = |sketch: &mut Sketch, mut value, is_lie| {
        if is_lie {
            value = sketch.reverse(value, 1);
        }
        convolved(sketch, value, axis(1, 1), axis(2, 1), 1)
    };
    refuses_on(&[3, 2, 3], ops, GATHER);
}

#[test]
fn convolutions_with_something_in_the_padding() {
    let ops = |sketch: &mut Sketch, value, is_lie| {
        if is_lie {
            let value = sketch.pad(value, &[1, 1, 0], &[1, 1, 0], -128);
            convolved(sketch, value, axis(3, 1), axis(3, 1), 1)
        } else {
            convolved(sketch, value, padded(3, 1, 1, 1), padded(3, 1, 1, 1), 1)
        }
    };
    refuses_on(&[3, 3, 2], ops, GATHER);
}

#[test]
fn convolutions_over_the_channels_of_another_group() {
    for (groups, channels) in [(2, 4), (4, 4)] {
        let ops = |sketch: &mut Sketch, mut value, is_lie| {
            if is_lie {
                value = sketch.reverse(value, 2);
            }
            convolved(sketch, value, axis(2, 1), axis(2, 1), groups)
        };
        refuses_on(&[3, 3, channels], ops, GATHER);
    }
}

#[test]
fn maxima_over_other_windows() {
    for [honest, lie] in [[padded(2, 2, 0, 1), padded(2, 2, 1, 0)], [axis(3, 3), axis(3, 2)]] {
        let ops = |sketch: &mut Sketch, value, is_lie| {
            let moved = if is_lie { lie } else { honest };
            let (height, width) = (axis(2, 2), moved);
            sketch.window_max(value, haca_graph::Window { height, width })
        };
        refuses_on(&[6, 6, 2], ops, GATHER);
    }
}

#[test]
fn maxima_of_other_channels() {
    let ops = |sketch: &mut Sketch, mut value, is_lie| {
        if is_lie {
            value = sketch.reverse(value, 2);
        }
        sketch.window_max(value, square(axis(2, 2)))
    };
    refuses_on(&[4, 4, 3], ops, GATHER);
}

#[test]
fn maxima_with_something_in_the_padding() {
    let ops = |sketch: &mut Sketch, value, is_lie| {
        if is_lie {
            let value = sketch.pad(value, &[1, 1, 0], &[1, 1, 0], 0);
            sketch.window_max(value, square(axis(2, 2)))
        } else {
            sketch.window_max(value, square(padded(2, 2, 1, 1)))
        }
    };
    refuses_on(&[4, 4, 3], ops, GATHER);
}

#[test]
fn sums_over_other_windows() {
    let ops = |sketch: &mut Sketch, value, is_lie| {
        let moved = if is_lie {
            padded(3, 1, 2, 0)
        } else {
            padded(3, 1, 1, 1)
        };
        let sums = sketch.window_sum(value, square(moved));
        sketch.requantise(sums, false)
    };
    refuses_on(&[4, 4, 3], ops, GATHER);
}

#[test]
fn sums_with_another_coefficient_or_term() {
    for terms in [[(0, 1), (0, 0), (1, 1)], [(1, 0), (0, -3), (0, 0)]] {
        let ops = |sketch: &mut Sketch, value, is_lie| {
            let other = sketch.linear(value, 3);
            let other = sketch.requantise(other, true);
            let values = [value, other];
            let mut sum = [(value, 30), (other, -17), (value, 9)];
            if is_lie {
                for (term, (which, by)) in sum.iter_mut().zip(terms) {
                    term.1 += by;
                    if which == 1 {
                        term.0 = values[1 - usize::from(term.0 == other)];
                    }
                }
            }
            let sum = sketch.sum(&sum);
            sketch.scaled(sum, vec![1501], -128)
        };
        refuses_on(&[2, 2, 3], ops, GATHER);
    }
}

/// A sum of two layers over the digits of a wide activation, of a product and of a value.
#[test]
fn sums_of_accumulators_with_another_coefficient() {
    for (term, by, check) in [
        (0, 1, PRODUCT),
        (1, 3, PRODUCT),
        (2, -2, PRODUCTS_OF_VALUES),
        (3, 900, GATHER),
    ] {
        let ops = |sketch: &mut Sketch, value, is_lie| {
            let hidden = sketch.linear(value, 3);
            let bits = 4;
            let digit = |kind| Function {
                argument: Scale::ONE,
                result: Scale::ONE,
                ..function(kind, -2048, 2047)
            };
            let high = sketch.activate(hidden, digit(FunctionKind::HighDigit { bits }));
            let low = sketch.activate(hidden, digit(FunctionKind::LowDigit { bits }));
            let first = sketch.linear(high, 3);
            let second = sketch.linear(low, 3);
            let product = sketch.product(value, value);
            let mut sum = [(first, 16), (second, 1), (product, -3), (value, 40)];
            if is_lie {
                sum[term].1 += by;
            }
            let sum = sketch.sum(&sum);
            sketch.scaled(sum, vec![7], -128)
        };
        refuses_on(&[2, 2, 3], ops, check);
    }
}

#[test]
fn products_with_another_factor() {
    for side in [0, 1] {
        let ops = |sketch: &mut Sketch, value, is_lie| {
            let other = sketch.linear(value, 3);
            let other = sketch.requantise(other, true);
            let mut factors = [value, other];
            if is_lie {
                factors[side] = sketch.reverse(factors[side], 1);
            }
            let product = sketch.product(factors[0], factors[1]);
            sketch.requantise(product, false)
        };
        refuses_on(&[2, 2, 3], ops, GATHER);
    }
}

#[test]
fn public_values_in_another_arrangement() {
    let ops = |sketch: &mut Sketch, value, is_lie| {
        let value = sketch.window_max(value, square(axis(2, 1)));
        let value = sketch.transpose(value, &[1, 0, 2]);
        if is_lie {
            sketch.reverse(value, 0)
        } else {
            sketch.transpose(value, &[0, 1, 2])
        }
    };
    refuses_on(&[4, 4, 3], ops, GATHER);
    // Results of a requantisation, in two dimensions and in one.
    let build = |lie| {
        let mut sketch = Sketch::new(6, &[&[2, 3]]);
        let value = sketch.linear(0, 4);
        let value = sketch.requantise(value, false);
        let value = if lie {
            sketch.reshape(value, &[4, 2])
        } else {
            sketch.transpose(value, &[1, 0])
        };
        let value = sketch.reshape(value, &[8]);
        sketch.ending(value)
    };
    refuses(build, GATHER);
}

#[test]
fn layers_that_read_another_value() {
    let ops = |sketch: &mut Sketch, value, is_lie| {
        let hidden = sketch.linear(value, 3);
        let hidden = sketch.clamp(hidden, true, 0);
        let other = sketch.linear(value, 3);
        let other = sketch.clamp(other, true, 0);
        sketch.output(hidden);
        sketch.output(other);
        let value = sketch.linear(if is_lie { other } else { hidden }, 2);
        sketch.requantise(value, false)
    };
    refuses_on(&[2, 2, 3], ops, GATHER);
}

#[test]
fn functions_of_another_table() {
    let tanh = |low, high| function(FunctionKind::Tanh, low, high);
    for lie in [function(FunctionKind::Silu, -40, 40), tanh(-40, 30), tanh(-3, 40)] {
        let ops = |sketch: &mut Sketch, value, is_lie| {
            // The window of all mappings is that of the clamp.
            let value = sketch.linear(value, 3);
            let value = sketch.requantise(value, false);
            let value = sketch.linear(value, 3);
            sketch.activate(value, if is_lie { lie } else { tanh(-40, 40) })
        };
        refuses_on(&[2, 2, 3], ops, TABLE_LEAVES);
    }
}

#[test]
fn functions_of_another_layer() {
    let ops = |sketch: &mut Sketch, value, is_lie| {
        let mut functions = [FunctionKind::Silu, FunctionKind::Tanh];
        let first = sketch.linear(value, 3);
        let first = sketch.activate(first, function(functions[0], -100, 100));
        let second = sketch.linear(first, 3);
        let second = sketch.activate(second, function(functions[1], -100, 100));
        if is_lie {
            functions.reverse();
        }
        let third = sketch.linear(second, 3);
        let third = sketch.activate(third, function(functions[0], -100, 100));
        sketch.sum(&[(third, 1)])
    };
    refuses_on(&[2, 2, 3], ops, LOOKUP_LEAVES);
}

#[test]
fn multipliers_of_another_channel_or_layer() {
    let ops = |multipliers: [Vec<u32>; 2]| {
        move |sketch: &mut Sketch, value: u32, is_lie: bool| {
            let value = sketch.linear(value, 3);
            // The largest quotients are those of another requantisation.
            let wide = sketch.scaled(value, vec![2001], -128);
            sketch.output(wide);
            sketch.scaled(value, multipliers[usize::from(is_lie)].clone(), -128)
        }
    };
    refuses_on(
        &[2, 2, 3],
        ops([vec![501, 801, 301], vec![801, 501, 301]]),
        CHANNELS,
    );
    refuses_on(&[2, 2, 3], ops([vec![501], vec![601]]), PRODUCT);
}
