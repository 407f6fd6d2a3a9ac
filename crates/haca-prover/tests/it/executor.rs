//! The fast executor computes what the reference interpreter does, with every family of kernels of this processor.

use std::collections::BTreeSet;

use haca_graph::{Graph, Op, ParamSpec, Parameters, evaluate};
use haca_prover::{Executor, ProverError};
use haca_wire::{DType, Decode, Shape, Tensor};
use serde_json::Value as Json;

use crate::growth::Growth;
use crate::model::Random;

const ACCEPT: &str = include_str!("../../../../spec/vectors/graph/accept.json");

/// Runs all kernels and the reference, alone and in a batch with other inputs.
fn check(graph: &Graph, parameters: &Parameters, inputs: &[Tensor], what: &str) {
    let reversed = |tensor: &Tensor| {
        let values = tensor.values().iter().rev().copied().collect();
        Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap()
    };
    let others: Vec<Tensor> = inputs.iter().map(reversed).collect();
    let expected = evaluate(graph, parameters, inputs).unwrap().values;
    let of_others = evaluate(graph, parameters, &others).unwrap().values;
    for (kernels, executor) in Executor::for_all_kernels(graph, parameters).iter().enumerate() {
        let alone = executor.run(graph, inputs).unwrap();
        let together = executor.run_batch(graph, &[&others, inputs, &others]).unwrap();
        let runs = [(&expected, alone)].into_iter();
        let batch = [&of_others, &expected, &of_others].into_iter().zip(together);
        for (run, (expected, found)) in runs.chain(batch).enumerate() {
            assert_eq!(found.count(), expected.len(), "{what}");
            for (id, expected) in expected.iter().enumerate() {
                let op = id.checked_sub(inputs.len()).map(|node| &graph.nodes()[node]);
                assert!(
                    found.integers(id) == *expected,
                    "{what}, kernels {kernels}, run {run}, value {id} of {op:?}"
                );
            }
        }
        assert_eq!(executor.run_batch::<&[Tensor]>(graph, &[]).unwrap().count(), 0);
    }
}

fn parameters(graph: &Graph, mut pick: impl FnMut(i64, i64) -> i64) -> Parameters {
    let of = |p: &ParamSpec| {
        let values = (0..p.shape.elements()).map(|_| pick(p.low, p.high)).collect();
        Tensor::new(p.dtype, p.shape.clone(), values).unwrap()
    };
    let tensors = graph.params().iter().map(of).collect();
    Parameters::new(graph, tensors).unwrap()
}

fn inputs(graph: &Graph, mut pick: impl FnMut() -> i64) -> Vec<Tensor> {
    let mut of = |shape: &Shape| {
        let values = (0..shape.elements()).map(|_| pick()).collect();
        Tensor::new(DType::I8, shape.clone(), values).unwrap()
    };
    graph.inputs().iter().map(|spec| of(&spec.shape)).collect()
}

/// Random elements, then elements at the ends of their ranges, where sums are largest.
#[test]
fn random_graphs_of_all_ops() {
    let mut names = BTreeSet::new();
    let mut accepted = 0;
    for seed in 0..400 {
        let Ok(graph) = Growth::graph(seed, 7) else {
            continue;
        };
        accepted += 1;
        names.extend(graph.nodes().iter().map(Op::name));
        let what = format!("seed {seed}");
        let mut random = Random::new(seed);
        let weights = parameters(&graph, |low, high| random.range(low, high));
        check(
            &graph,
            &weights,
            &inputs(&graph, || random.range(-128, 127)),
            &what,
        );
        let weights = parameters(&graph, |low, high| [low, high][random.range(0, 1) as usize]);
        check(
            &graph,
            &weights,
            &inputs(&graph, || [-128, 127][random.range(0, 1) as usize]),
            &what,
        );
        for low_end in [true, false] {
            let weights = parameters(&graph, |low, high| if low_end { low } else { high });
            for x in [-128, 127] {
                check(&graph, &weights, &inputs(&graph, || x), &what);
            }
        }
    }
    assert!(accepted > 200, "{accepted} accepted");
    assert_eq!(names.len(), 15, "{names:?}");
}

#[test]
fn vectors_of_the_specification() {
    let cases: Vec<Json> = serde_json::from_str(ACCEPT).unwrap();
    let mut runs = 0;
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let graph = Graph::decode_all(&hex::decode(case["encoding"].as_str().unwrap()).unwrap()).unwrap();
        let tensor = |json: &Json, dtype, shape: &Shape| {
            let mut values: Vec<i64> = serde_json::from_value(json.clone()).unwrap();
            if values.len() == 1 {
                values = vec![values[0]; shape.elements()];
            }
            Tensor::new(dtype, shape.clone(), values).unwrap()
        };
        let given = case["parameters"].as_array().unwrap().iter().zip(graph.params());
        let tensors = given
            .map(|(json, spec)| tensor(json, spec.dtype, &spec.shape))
            .collect();
        let parameters = Parameters::new(&graph, tensors).unwrap();
        for run in case["runs"].as_array().unwrap() {
            let given = run["inputs"].as_array().unwrap().iter().zip(graph.inputs());
            let inputs: Vec<Tensor> = given
                .map(|(json, spec)| tensor(json, spec.dtype, &spec.shape))
                .collect();
            let expected: Vec<Vec<i64>> = serde_json::from_value(run["values"].clone()).unwrap();
            for executor in Executor::for_all_kernels(&graph, &parameters) {
                let values = executor.run(&graph, &inputs).unwrap();
                let found: Vec<Vec<i64>> = (0..values.count()).map(|value| values.integers(value)).collect();
                assert_eq!(found, expected, "{name}");
            }
            runs += 1;
        }
    }
    assert!(runs >= 200);
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let graph = Growth::graph(1, 3).unwrap();
    let weights = parameters(&graph, |low, _| low);
    let executor = Executor::new(&graph, &weights);
    let good = inputs(&graph, || 1);
    assert!(executor.run(&graph, &good).is_ok());
    let refused = |inputs: &[Tensor], expected: usize| {
        let found = executor.run(&graph, inputs);
        assert!(matches!(found, Err(ProverError::Input { index }) if index == expected));
    };
    refused(&good[..good.len() - 1], good.len() - 1);
    refused(&[good.clone(), good.clone()].concat(), good.len());
    let mut other = good.clone();
    other[0] = Tensor::new(DType::I8, Shape::new(vec![1, 1, 1, 1]).unwrap(), vec![0]).unwrap();
    refused(&other, 0);
    other[0] = Tensor::new(DType::I32, good[0].shape().clone(), good[0].values().to_vec()).unwrap();
    refused(&other, 0);
}
