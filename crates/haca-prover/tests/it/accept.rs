//! Honest proofs verify, whatever the shape of the model, the batch and the input.

use haca_graph::{Graph, Op, ParamId, ParamSpec, ValueId};
use haca_prover::{Execution, ProvingKey, Registration};
use haca_wire::{DType, Decode, Encode, Scale, Shape, Tensor, TensorSpec};
use haca_zk::{Inference, Statement, VerifyingKey, WORK_LIMIT, verify, verify_registration};
use proptest::prelude::*;

use crate::model::{Build, PARTS, Random, inputs, mlp, sums};
use crate::sketch::{Sketch, axis, padded, square};

/// Registers, runs, proves and verifies; the executor must agree with the reference interpreter.
fn round_trip(build: &Build, batch: usize) -> (Registration, Vec<Execution>, Vec<u8>) {
    let model = mlp(build);
    let mut random = Random::new(build.seed + 1);
    let batch: Vec<Vec<Tensor>> = (0..batch).map(|_| inputs(&model, &mut random)).collect();
    round_trip_of(build, &batch)
}

fn round_trip_of(build: &Build, batch: &[Vec<Tensor>]) -> (Registration, Vec<Execution>, Vec<u8>) {
    let model = mlp(build);
    let registration = ProvingKey::register(model.clone()).unwrap();
    let key = &registration.verifying_key;
    verify_registration(key, &registration.proof).unwrap();
    let run = |inputs: &Vec<Tensor>| {
        let execution = registration.proving_key.infer(inputs).unwrap();
        let reference = haca_graph::evaluate(&model.manifest.graph, &model.parameters, inputs).unwrap();
        assert_eq!(execution.inference.outputs, reference.outputs);
        execution
    };
    let executions: Vec<Execution> = batch.iter().map(run).collect();
    let inferences: Vec<Inference> = executions.iter().map(|e| e.inference.clone()).collect();
    let (proof, _) = registration.proving_key.prove([7; 32], &executions).unwrap();
    assert!(proof.len() <= key.proof_bytes_bound(batch.len()));
    verify(
        key,
        &Statement {
            context: [7; 32],
            inferences: &inferences,
        },
        &proof,
    )
    .unwrap();
    let budget = key.security(batch.len());
    assert!(budget.round_by_round_bits >= 128.0, "{budget:?}");
    assert!(budget.union_bits >= 124.0, "{budget:?}");
    (registration, executions, proof)
}

#[test]
fn a_small_network_is_proven() {
    round_trip(&Build::new(1, &[64, 32, 10]), 1);
}

#[test]
fn sizes_that_are_no_powers_of_two() {
    for sizes in [
        &[5, 3, 7, 2][..],
        &[1, 1, 1],
        &[33, 17, 65, 9],
        &[100, 1, 3],
        &[3, 130, 2],
    ] {
        round_trip(&Build::new(2, sizes), 1);
    }
}

#[test]
fn a_single_layer_commits_to_nothing() {
    for batch in [1, 3] {
        let (registration, ..) = round_trip(&Build::new(3, &[20, 7]), batch);
        assert!(registration.verifying_key.witness(0).is_none());
    }
}

#[test]
fn a_single_requantised_layer() {
    let build = Build {
        requantised_output: true,
        ..Build::new(4, &[20, 7])
    };
    round_trip(&build, 1);
    round_trip(
        &Build {
            per_channel: true,
            ..build
        },
        5,
    );
}

#[test]
fn every_channel_has_its_own_multiplier() {
    let build = Build {
        per_channel: true,
        shift: 18,
        ..Build::new(5, &[40, 24, 13, 6])
    };
    round_trip(&build, 1);
    round_trip(&build, 3);
}

#[test]
fn the_index_of_the_largest_output_is_public() {
    round_trip(
        &Build {
            arg_max: true,
            ..Build::new(6, &[16, 8, 10])
        },
        2,
    );
    round_trip(
        &Build {
            arg_max: true,
            requantised_output: true,
            ..Build::new(6, &[16, 8, 10])
        },
        2,
    );
}

#[test]
fn batches_of_every_size() {
    let build = Build::new(7, &[24, 16, 12, 4]);
    for batch in [1, 2, 3, 4, 5, 8, 9, 31, 64] {
        round_trip(&build, batch);
    }
}

#[test]
fn extreme_weights_and_inputs_have_a_proof() {
    for (low, high) in [(-128, -128), (127, 127), (-128, 127)] {
        for value in [-128, 127, 0] {
            let build = Build {
                weights: (low, high),
                shift: 6,
                ..Build::new(8, &[64, 20, 10])
            };
            let model = mlp(&build);
            let spec = &model.manifest.graph.inputs()[0];
            let extreme = Tensor::new(spec.dtype, spec.shape.clone(), vec![value; 64]).unwrap();
            round_trip_of(&build, &[vec![extreme]]);
        }
    }
}

#[test]
fn wide_layers_fold_their_weights_as_integers() {
    // Above 2^14 cells the prover opens weights without field elements; several claims on one table included.
    round_trip(&Build::new(10, &[130, 120, 10]), 1);
    let build = Build {
        per_channel: true,
        requantised_output: true,
        ..Build::new(10, &[70, 200, 64, 3])
    };
    let (registration, ..) = round_trip(&build, 3);
    assert!(registration.verifying_key.weights().variables >= 15);
}

#[test]
fn registration_is_deterministic_and_the_key_has_one_encoding() {
    let model = mlp(&Build {
        per_channel: true,
        ..Build::new(9, &[30, 20, 10])
    });
    let one = ProvingKey::register(model.clone()).unwrap();
    let two = ProvingKey::register(model.clone()).unwrap();
    assert_eq!(one.proof, two.proof);
    let bytes = one.verifying_key.encode();
    assert_eq!(bytes, two.verifying_key.encode());
    assert_eq!(ProvingKey::load(&model).unwrap().verifying_key().encode(), bytes);
    let decoded = VerifyingKey::decode_all(&bytes).unwrap();
    assert_eq!(decoded.encode(), bytes);
    assert_eq!(decoded.model_id(), one.verifying_key.model_id());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_networks(
        seed in any::<u32>(),
        sizes in prop::collection::vec(1u32..40, 2..5),
        batch in 1usize..6,
        per_channel: bool,
        requantised_output: bool,
        arg_max: bool,
        shift in 4u8..22,
    ) {
        let build = Build {
            per_channel,
            requantised_output,
            arg_max,
            shift,
            ..Build::new(u64::from(seed), &sizes)
        };
        round_trip(&build, batch);
    }
}

/// The backend lists all tables for each claim, so an opening of many small layers by themselves grows with their square.
/// Gas that did not would sell it far below its work. Joined openings have one table.
#[test]
fn gas_grows_with_tables_times_claims() {
    let gas = |layers: usize| {
        let build = Build::new(5, &vec![1; layers + 1]);
        let key = ProvingKey::register(mlp(&build)).unwrap().verifying_key;
        (key.registration_gas().0, key.verification_gas(1).0)
    };
    let (few, many) = (gas(60), gas(120));
    assert!(many.0 > 2 * few.0 && many.1 > few.1, "{few:?} {many:?}");
}

/// Each claim of an opening starts a transcript of its own: about five microseconds, whatever the sizes.
#[test]
fn gas_counts_each_claim_of_an_opening() {
    let gas = |count: u32| {
        let key = ProvingKey::register(sums(1, count)).unwrap().verifying_key;
        key.verification_gas(1).0
    };
    // Each part of a sum asks for its weight and for its bias.
    let claims = u64::from(2 * PARTS * (16 - 1));
    assert!(gas(16) - gas(1) > claims * 5_000);
}

/// A value that has other channels than its cells is weighted element by element under each tap.
#[test]
fn gas_counts_each_tap_over_a_value_in_another_shape() {
    let gas = |made: u32| {
        let mut sketch = Sketch::new(6, &[&[64 * 32 / made, 3]]);
        let value = sketch.linear(0, made);
        let value = sketch.requantise(value, false);
        let value = sketch.reshape(value, &[8, 8, 32]);
        let value = sketch.convolve(value, 1, square(padded(5, 1, 2, 2)), 1);
        let key = ProvingKey::register(sketch.ending(value)).unwrap().verifying_key;
        key.verification_gas(1).0
    };
    let elements = 64 * 25 * 32;
    assert!(gas(16) > gas(32) + elements * 12, "{} {}", gas(16), gas(32));
}

/// Each use of a layer in groups weights all rows, once for each of its column spans and once for its bias.
#[test]
fn gas_counts_the_rows_of_each_entry_of_channels() {
    let rows = 2048;
    let gas = |uses: usize| {
        let mut sketch = Sketch::new(7, &[&[1, 1, 6]]);
        let value = sketch.convolve(0, rows, square(axis(1, 1)), 2);
        let sum = sketch.sum(&vec![(value, 1); uses]);
        let value = sketch.requantise(sum, false);
        let key = ProvingKey::register(sketch.ending(value)).unwrap().verifying_key;
        key.verification_gas(1).0
    };
    let (few, many) = (gas(2), gas(9));
    assert!(many > few + 7 * 2 * u64::from(rows) * 5 * 12, "{few} {many}");
}

/// Each public element of each inference is weighted: a wide input leaves fewer inferences to a proof.
#[test]
fn batches_that_nobody_would_verify_are_left_out() {
    let max_batch = |inputs: u32| {
        let mut sketch = Sketch::new(8, &[&[inputs]]);
        let value = sketch.linear(0, 2);
        let key = ProvingKey::register(sketch.ending(value)).unwrap().verifying_key;
        assert!(key.verification_gas(key.max_batch()) <= WORK_LIMIT);
        key.max_batch()
    };
    assert_eq!((max_batch(1 << 10), max_batch(1 << 17)), (1024, 512));
}

/// Decoding a key looks at each element that is moved, although nothing of it is proven.
#[test]
fn gas_counts_the_elements_that_decoding_arranges() {
    let shape = |dims: &[u32]| Shape::new(dims.to_vec()).unwrap();
    let spec = |name: &str, dtype, dims: &[u32]| TensorSpec {
        name: crate::model::name(name),
        dtype,
        shape: shape(dims),
        scale: Scale::ONE,
    };
    let param = |dtype, dims: &[u32]| ParamSpec {
        dtype,
        shape: shape(dims),
        low: -9,
        high: 9,
    };
    let gas = |transposes: u32| {
        let moved = |node| Op::Transpose {
            input: ValueId(node),
            axes: vec![1, 0],
        };
        let mut nodes: Vec<Op> = (0..transposes).map(moved).collect();
        nodes.push(Op::Linear {
            input: ValueId(transposes),
            weight: ParamId(0),
            bias: ParamId(1),
        });
        let params = vec![param(DType::I8, &[1, 64]), param(DType::I32, &[1])];
        let outputs = vec![(ValueId(transposes + 1), spec("y", DType::I32, &[64, 1]))];
        let graph = Graph::new(vec![spec("x", DType::I8, &[64, 64])], params, nodes, outputs).unwrap();
        let model = crate::ops::model(graph, &mut Random::new(1));
        let key = ProvingKey::register(model).unwrap().verifying_key;
        (key.registration_gas().0, key.verification_gas(1).0)
    };
    let (few, many) = (gas(1), gas(3));
    let moved = 2 * 64 * 64 * 80;
    assert!(
        many.0 > few.0 + moved && many.1 > few.1 + moved,
        "{few:?} {many:?}"
    );
}
