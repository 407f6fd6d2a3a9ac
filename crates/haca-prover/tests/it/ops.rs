//! Honest proofs of graphs of all ops verify, and no others.

use std::collections::BTreeMap;

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamSpec, Parameters, evaluate};
use haca_prover::{Execution, ProverError, ProvingKey};
use haca_wire::{Decode, Name, Tensor};
use haca_zk::{Inference, Statement, VerifyingKey, verify, verify_registration};
use serde_json::Value as Json;

use crate::growth::Growth;
use crate::model::Random;

const ACCEPT: &str = include_str!("../../../../spec/vectors/graph/accept.json");

/// A model of random parameters.
pub(crate) fn model(graph: Graph, random: &mut Random) -> ModelFile {
    let of = |p: &ParamSpec| {
        let values = (0..p.shape.elements())
            .map(|_| random.range(p.low, p.high))
            .collect();
        Tensor::new(p.dtype, p.shape.clone(), values).unwrap()
    };
    let tensors = graph.params().iter().map(of).collect();
    let parameters = Parameters::new(&graph, tensors).unwrap();
    let manifest = Manifest {
        name: Name::new("ops").unwrap(),
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    ModelFile { manifest, parameters }
}

/// Random inputs of a graph.
pub(crate) fn inputs(graph: &Graph, random: &mut Random) -> Vec<Tensor> {
    let specs = graph.inputs().iter();
    let tensor = |spec: &haca_wire::TensorSpec| {
        let values = (0..spec.shape.elements())
            .map(|_| random.range(-128, 127))
            .collect();
        Tensor::new(spec.dtype, spec.shape.clone(), values).unwrap()
    };
    specs.map(tensor).collect()
}

/// Registers a model, proves a batch of random inputs in one proof, and verifies. False when no parameters fit.
fn round_trip(model: ModelFile, batch: usize, random: &mut Random, what: &str) -> bool {
    let graph = model.manifest.graph.clone();
    let parameters = model.parameters.clone();
    let registration = match ProvingKey::register(model) {
        Ok(registration) => registration,
        Err(ProverError::NoParameters { .. }) => return false,
        Err(error) => panic!("{what}: {error}"),
    };
    let key = &registration.verifying_key;
    verify_registration(key, &registration.proof).unwrap();
    let batch = batch.min(key.max_batch());
    let run = |_| {
        let inputs = inputs(&graph, random);
        let execution = registration.proving_key.infer(&inputs).unwrap();
        let reference = evaluate(&graph, &parameters, &inputs).unwrap();
        assert_eq!(execution.inference.outputs, reference.outputs, "{what}");
        execution
    };
    let executions: Vec<Execution> = (0..batch).map(run).collect();
    let inferences: Vec<Inference> = executions.iter().map(|e| e.inference.clone()).collect();
    let (proof, _) = registration.proving_key.prove([7; 32], &executions).unwrap();
    assert!(proof.len() <= key.proof_bytes_bound(batch), "{what}");
    let statement = Statement {
        context: [7; 32],
        inferences: &inferences,
    };
    if let Err(refusal) = verify(key, &statement, &proof) {
        panic!("{what}: {refusal}, {:#?}", graph.nodes());
    }
    refuse_others(key, &inferences, &proof, random, what);
    let budget = key.security(batch);
    assert!(budget.round_by_round_bits >= 128.0, "{what}: {budget:?}");
    assert!(budget.union_bits >= 124.0, "{what}: {budget:?}");
    true
}

/// A tensor with one element moved by one.
fn moved(tensor: &Tensor, index: usize) -> Tensor {
    let mut values = tensor.values().to_vec();
    let most = tensor.dtype().range().1;
    values[index] += if values[index] == most { -1 } else { 1 };
    Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap()
}

/// One element of each public tensor, one bit and one word of the proof are altered: each is refused.
fn refuse_others(
    key: &VerifyingKey,
    inferences: &[Inference],
    proof: &[u8],
    random: &mut Random,
    what: &str,
) {
    let mut pick = |count: usize| random.next() as usize % count;
    let refused = |inferences: &[Inference], proof: &[u8], how: &str| {
        let statement = Statement {
            context: [7; 32],
            inferences,
        };
        assert!(verify(key, &statement, proof).is_err(), "{what}: {how}");
    };
    let which = pick(inferences.len());
    for index in 0..inferences[which].inputs.len() {
        let mut others = inferences.to_vec();
        let tensor = &mut others[which].inputs[index];
        *tensor = moved(tensor, pick(tensor.values().len()));
        refused(&others, proof, "another input");
    }
    for index in 0..inferences[which].outputs.len() {
        let mut others = inferences.to_vec();
        let tensor = &mut others[which].outputs[index];
        *tensor = moved(tensor, pick(tensor.values().len()));
        refused(&others, proof, "another output");
    }
    let mut altered = proof.to_vec();
    altered[pick(proof.len())] ^= 1 << pick(8);
    refused(inferences, &altered, "another bit");
    // The values of our own protocol stand in front; most words of the rest are hashes.
    let mut altered = proof.to_vec();
    let word = 8 * pick(proof.len().min(6000) / 8);
    let byte = altered[word];
    altered[word] = byte.wrapping_add(1);
    refused(inferences, &altered, "another word");
}

#[test]
fn random_graphs_of_all_ops() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut proven, mut without) = (0, 0);
    for seed in 0..200 {
        let Ok(graph) = Growth::graph(seed, 7) else {
            continue;
        };
        let names: Vec<&str> = graph.nodes().iter().map(Op::name).collect();
        let mut random = Random::new(seed);
        let batch = [1, 1, 2, 3][seed as usize % 4];
        let model = model(graph, &mut random);
        if round_trip(model, batch, &mut random, &format!("seed {seed}")) {
            proven += 1;
            names
                .into_iter()
                .for_each(|name| *seen.entry(name).or_default() += 1);
        } else {
            without += 1;
        }
    }
    assert_eq!(seen.len(), 15, "{seen:?}");
    assert!(
        proven > 60 && without * 4 < proven,
        "{proven} proven, {without} without parameters"
    );
}

/// The graphs of the vectors of the specification.
#[test]
fn graphs_of_the_specification() {
    let vectors: Json = serde_json::from_str(ACCEPT).unwrap();
    let mut proven = 0;
    for vector in vectors.as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let graph = hex::decode(vector["encoding"].as_str().unwrap()).unwrap();
        let graph = Graph::decode_all(&graph).unwrap();
        let mut random = Random::new(proven);
        let model = model(graph, &mut random);
        proven += u64::from(round_trip(model, 1, &mut random, name));
    }
    assert!(proven > 40, "{proven}");
}
