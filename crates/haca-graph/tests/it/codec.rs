//! Encoding of model files, and tensors that do not fit a graph.

use std::sync::LazyLock;

use haca_graph::{
    Cell, Graph, GraphError, Manifest, ModelFile, Op, Outline, ParamId, ParamSpec, Parameters, ValueId,
    evaluate,
};
use haca_wire::{DType, Decode, Encode, Name, Scale, Shape, Tensor, TensorSpec};
use proptest::prelude::*;
use serde_json::Value;

fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims.to_vec()).unwrap()
}

fn spec(name: &str, dtype: DType, dims: &[u32]) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: shape(dims),
        scale: Scale::ONE,
    }
}

fn graph() -> Graph {
    Graph::new(
        vec![spec("x", DType::I8, &[2])],
        vec![
            ParamSpec {
                dtype: DType::I8,
                shape: shape(&[3, 2]),
                low: -100,
                high: 100,
            },
            ParamSpec {
                dtype: DType::I32,
                shape: shape(&[3]),
                low: -1000,
                high: 999,
            },
        ],
        vec![
            Op::Linear {
                input: ValueId(0),
                weight: ParamId(0),
                bias: ParamId(1),
            },
            Op::ArgMax { input: ValueId(1) },
        ],
        vec![
            (ValueId(1), spec("logits", DType::I32, &[3])),
            (ValueId(2), spec("class", DType::I32, &[])),
        ],
    )
    .unwrap()
}

fn tensors() -> Vec<Tensor> {
    vec![
        Tensor::new(DType::I8, shape(&[3, 2]), vec![1, -2, 3, -4, 100, -100]).unwrap(),
        Tensor::new(DType::I32, shape(&[3]), vec![-1000, 0, 999]).unwrap(),
    ]
}

fn model() -> ModelFile {
    let graph = graph();
    let parameters = Parameters::new(&graph, tensors()).unwrap();
    let name = Name::new("tiny").unwrap();
    ModelFile {
        manifest: Manifest {
            name,
            graph,
            render: 1,
            tokenizer: [0; 32],
        },
        parameters,
    }
}

#[test]
fn model_file_re_encodes_to_itself() {
    let bytes = model().encode();
    assert_eq!(&bytes[..8], b"HACAMDL1");
    let (body, hash) = bytes.split_at(bytes.len() - 32);
    assert_eq!(blake3::hash(body).as_bytes(), hash);
    assert_eq!(ModelFile::decode_all(&bytes).unwrap(), model());
    // Behind other bytes, the checksum covers the model file alone.
    let mut list = vec![9];
    list.extend_from_slice(&bytes);
    let mut reader = haca_wire::Reader::new(&list);
    assert_eq!(u8::decode(&mut reader).unwrap(), 9);
    assert_eq!(ModelFile::decode(&mut reader).unwrap(), model());
}

#[test]
fn every_flipped_bit_of_a_model_file_is_refused() {
    let bytes = model().encode();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            assert!(ModelFile::decode_all(&flipped).is_err(), "byte {index} bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_extension_of_a_model_file_is_refused() {
    let bytes = model().encode();
    for len in 0..bytes.len() {
        assert!(ModelFile::decode_all(&bytes[..len]).is_err(), "{len} bytes");
    }
    let error = ModelFile::decode_all(&[bytes, vec![0]].concat()).unwrap_err();
    assert_eq!(error.code(), "wire.trailing");
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let graph = graph();
    let refuse = |tensors: Vec<Tensor>| Parameters::new(&graph, tensors).unwrap_err();
    let with = |index: usize, tensor: Option<Tensor>| {
        let mut all = tensors();
        all[index] = tensor.unwrap();
        all
    };
    assert_eq!(refuse(tensors()[..1].to_vec()).code(), "graph.length");
    let wide = with(0, Tensor::new(DType::I16, shape(&[3, 2]), vec![0; 6]));
    assert_eq!(refuse(wide).code(), "graph.element_type");
    let turned = with(0, Tensor::new(DType::I8, shape(&[2, 3]), vec![0; 6]));
    assert_eq!(refuse(turned).code(), "graph.shape");
    let outside = with(
        0,
        Tensor::new(DType::I8, shape(&[3, 2]), vec![0, 0, 0, 0, 0, 101]),
    );
    assert!(matches!(
        refuse(outside),
        GraphError::Range {
            found: 101,
            low: -100,
            high: 100,
            ..
        }
    ));
    let outside = with(1, Tensor::new(DType::I32, shape(&[3]), vec![0, 1000, 0]));
    assert!(matches!(refuse(outside), GraphError::Range { found: 1000, .. }));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let model = model();
    let run = |inputs: &[Tensor]| {
        evaluate(&model.manifest.graph, &model.parameters, inputs)
            .unwrap_err()
            .code()
    };
    let good = Tensor::new(DType::I8, shape(&[2]), vec![1, 2]).unwrap();
    assert_eq!(run(&[]), "graph.length");
    assert_eq!(run(&[good.clone(), good]), "graph.length");
    assert_eq!(
        run(&[Tensor::new(DType::I32, shape(&[2]), vec![1, 2]).unwrap()]),
        "graph.element_type"
    );
    assert_eq!(
        run(&[Tensor::new(DType::I8, shape(&[1, 2]), vec![1, 2]).unwrap()]),
        "graph.shape"
    );
}

#[test]
fn parameters_of_another_graph_are_refused() {
    let mut other = tensors();
    other.pop();
    let model = model();
    let small = Graph::new(
        vec![spec("x", DType::I8, &[2])],
        vec![
            ParamSpec {
                dtype: DType::I8,
                shape: shape(&[1, 2]),
                low: 0,
                high: 1,
            },
            ParamSpec {
                dtype: DType::I32,
                shape: shape(&[1]),
                low: 0,
                high: 1,
            },
        ],
        vec![Op::Linear {
            input: ValueId(0),
            weight: ParamId(0),
            bias: ParamId(1),
        }],
        vec![(ValueId(1), spec("y", DType::I32, &[1]))],
    )
    .unwrap();
    let input = Tensor::new(DType::I8, shape(&[2]), vec![1, 2]).unwrap();
    let error = evaluate(&small, &model.parameters, &[input]).unwrap_err();
    assert_eq!(error.code(), "graph.shape");
}

#[test]
fn bytes_that_are_no_graph_never_reach_an_allocation_of_their_own_size() {
    // A list of 2^22 multipliers is announced, four bytes follow.
    let mut bytes = graph().encode();
    let node = bytes.windows(5).position(|w| w == [3, 1, 0, 0, 0]).unwrap();
    bytes.truncate(node);
    bytes.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 64, 0, 1, 2, 3, 4]);
    assert_eq!(Graph::decode_all(&bytes).unwrap_err().code(), "wire.truncated");
}

/// The accepted graphs of the vectors, but those whose tables take long.
static VECTORS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let accept: Value =
        serde_json::from_str(include_str!("../../../../spec/vectors/graph/accept.json")).unwrap();
    let quick = |case: &&Value| !case["name"].as_str().unwrap().starts_with("functions-");
    let encoding = |case: &Value| hex::decode(case["encoding"].as_str().unwrap()).unwrap();
    accept
        .as_array()
        .unwrap()
        .iter()
        .filter(quick)
        .map(encoding)
        .collect()
});

/// Small numbers, numbers around the limits, and any.
fn bytes_of_interest() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0u8), 4 => 0u8..5, 1 => prop_oneof![Just(127u8), Just(128), Just(255)], 1 => any::<u8>()]
}

fn cell_exists(graph: &Graph, operands: &[ValueId], cell: Cell) -> bool {
    match cell {
        Cell::Constant(_) => true,
        Cell::Element(operand, index) => {
            let value = operands
                .get(usize::from(operand))
                .and_then(|id| graph.value_type(*id));
            value.is_some_and(|value| (index as usize) < value.shape.elements())
        }
    }
}

proptest! {
    #[test]
    fn accepted_bytes_re_encode_to_themselves(
        index in 0usize..200,
        byte in any::<u8>(),
        cut in proptest::option::of(0usize..200),
    ) {
        let mut bytes = graph().encode();
        let place = index % bytes.len();
        bytes[place] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        if let Ok(graph) = Graph::decode_all(&bytes) {
            prop_assert_eq!(graph.encode(), bytes);
        }
    }

    #[test]
    fn mutated_vectors_re_encode_to_themselves(
        case in any::<proptest::sample::Index>(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), bytes_of_interest()), 1..4),
    ) {
        let mut bytes = case.get(&VECTORS).clone();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        // Whatever is a graph has an outline.
        let outline = Outline::decode_all(&bytes);
        if let Ok(graph) = Graph::decode_all(&bytes) {
            prop_assert_eq!(graph.encode(), bytes);
            prop_assert_eq!(outline.unwrap().nodes(), graph.nodes().len() as u64);
            for (node, op) in graph.nodes().iter().enumerate() {
                let value = graph.value_type(graph.node_value(node)).unwrap();
                let operands = op.inputs();
                if let Some(cells) = graph.arrangement(node) {
                    prop_assert_eq!(cells.len(), value.shape.elements());
                    prop_assert!(cells.iter().all(|cell| cell_exists(&graph, &operands, *cell)));
                }
            }
        }
    }

    #[test]
    fn random_nodes_never_panic(
        tag in 1u8..=16,
        body in proptest::collection::vec(bytes_of_interest(), 0..80),
    ) {
        // In place of the first node of a graph, so that the check of the op is reached when the body decodes.
        let bytes = graph().encode();
        let node = bytes.windows(5).position(|w| w == [1, 0, 0, 0, 0]).unwrap();
        let bytes = [&bytes[..node], &[tag], &body[..], &bytes[node + 13..]].concat();
        if let Ok(graph) = Graph::decode_all(&bytes) {
            prop_assert_eq!(graph.encode(), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Outline::decode_all(&bytes);
        let _ = Graph::decode_all(&bytes);
        let _ = ModelFile::decode_all(&[b"HACAMDL1".to_vec(), bytes].concat());
    }
}
