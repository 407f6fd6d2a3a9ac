//! The vectors of `spec/graph.md`.

use std::collections::BTreeSet;

use haca_graph::{Graph, Manifest, Parameters, ValueId, evaluate};
use haca_wire::{Decode, Encode, Tensor};
use serde_json::Value;

use crate::build;

const ACCEPT: &str = include_str!("../../../../spec/vectors/graph/accept.json");
const REJECT: &str = include_str!("../../../../spec/vectors/graph/reject.json");

fn accept() -> Vec<Value> {
    serde_json::from_str(ACCEPT).unwrap()
}

#[test]
fn accepted_graphs_have_the_stated_encoding_and_ranges() {
    let cases = accept();
    assert!(cases.len() >= 45);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let graph = build::graph(&case["graph"]).unwrap();
        let bytes = hex::decode(case["encoding"].as_str().unwrap()).unwrap();
        assert_eq!(graph.encode(), bytes, "{name}");
        assert_eq!(Graph::decode_all(&bytes).unwrap(), graph, "{name}");
        assert_eq!(graph.macs(), case["macs"].as_u64().unwrap(), "{name}");
        assert_eq!(
            graph.param_count(),
            case["param_count"].as_u64().unwrap(),
            "{name}"
        );
        for (id, range) in (0..).zip(build::list(&case["ranges"])) {
            let found = graph.value_type(ValueId(id)).unwrap();
            assert_eq!(
                vec![found.low, found.high],
                build::integers(range),
                "{name} value {id}"
            );
        }
        for (node, range) in build::list(&case["quotients"]).iter().enumerate() {
            let expected = (!range.is_null()).then(|| build::integers(range));
            let found = graph.requantise_range(node).map(|(low, high)| vec![low, high]);
            assert_eq!(found, expected, "{name} node {node}");
        }
    }
}

#[test]
fn accepted_manifests_decode_and_re_encode() {
    for case in accept() {
        let bytes = hex::decode(case["manifest"].as_str().unwrap()).unwrap();
        let manifest = Manifest::decode_all(&bytes).unwrap();
        assert_eq!(manifest.name.as_str(), case["name"].as_str().unwrap());
        assert_eq!((manifest.render, manifest.tokenizer), (1, [0; 32]));
        assert_eq!(manifest.graph, build::graph(&case["graph"]).unwrap());
        assert_eq!(manifest.encode(), bytes);
    }
}

#[test]
fn evaluation_gives_every_value_of_every_run() {
    let mut runs = 0;
    for case in accept() {
        let name = case["name"].as_str().unwrap();
        let graph = build::graph(&case["graph"]).unwrap();
        let tensors = build::list(&case["parameters"])
            .iter()
            .zip(graph.params())
            .map(|(json, spec)| build::tensor(spec.dtype, &spec.shape, json))
            .collect();
        let parameters = Parameters::new(&graph, tensors).unwrap();
        for run in build::list(&case["runs"]) {
            let inputs: Vec<Tensor> = build::list(&run["inputs"])
                .iter()
                .zip(graph.inputs())
                .map(|(json, spec)| build::tensor(spec.dtype, &spec.shape, json))
                .collect();
            let found = evaluate(&graph, &parameters, &inputs).unwrap();
            let expected: Vec<_> = build::list(&run["values"]).iter().map(build::integers).collect();
            assert_eq!(found.values, expected, "{name}");
            for ((id, spec), tensor) in graph.outputs().iter().zip(&found.outputs) {
                assert_eq!(tensor.values(), expected[id.0 as usize], "{name}");
                assert_eq!(
                    (tensor.dtype(), tensor.shape()),
                    (spec.dtype, &spec.shape),
                    "{name}"
                );
            }
            runs += 1;
        }
    }
    assert!(runs >= 200);
}

#[test]
fn refused_graphs_name_the_rule_they_break() {
    let reject: Value = serde_json::from_str(REJECT).unwrap();
    let mut codes = BTreeSet::new();
    for case in build::list(&reject["graphs"]) {
        let (name, code) = (case["name"].as_str().unwrap(), case["code"].as_str().unwrap());
        let error = build::graph(&case["graph"]).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(!error.hint().is_empty());
        codes.insert(code.to_owned());
        let bytes = hex::decode(case["encoding"].as_str().unwrap()).unwrap();
        let error = Graph::decode_all(&bytes).unwrap_err();
        assert_eq!(error.code(), case["decode"].as_str().unwrap(), "{name}: {error}");
    }
    assert_eq!(
        codes.len(),
        19,
        "one vector at least for each code of a graph: {codes:?}"
    );
}

#[test]
fn refused_bytes_name_the_rule_they_break() {
    let reject: Value = serde_json::from_str(REJECT).unwrap();
    let cases = build::list(&reject["bytes"]);
    assert!(cases.len() >= 10);
    for case in cases {
        let bytes = hex::decode(case["encoding"].as_str().unwrap()).unwrap();
        let error = Graph::decode_all(&bytes).unwrap_err();
        assert_eq!(
            error.code(),
            case["code"].as_str().unwrap(),
            "{}: {error}",
            case["name"]
        );
    }
}
