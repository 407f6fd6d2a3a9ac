//! A model that is quick to register and to prove.

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId};
use haca_wire::{DType, Encode as _, Name, Scale, Shape, Tensor, TensorSpec};

/// Elements of the input `x`.
pub(crate) const INPUTS: u32 = 4;

fn spec(name: &str, dtype: DType, elements: u32) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(vec![elements]).unwrap(),
        scale: Scale::ONE,
    }
}

fn param(dtype: DType, dims: Vec<u32>, bound: i64) -> ParamSpec {
    let shape = Shape::new(dims).unwrap();
    let (low, high) = (-bound, bound);
    ParamSpec {
        dtype,
        shape,
        low,
        high,
    }
}

/// One layer of weights that follow from `seed`, as the bytes of a `.haca` file.
pub(crate) fn file(seed: i64) -> Vec<u8> {
    let outputs = 3;
    let params = vec![
        param(DType::I8, vec![outputs, INPUTS], 127),
        param(DType::I32, vec![outputs], 1000),
    ];
    let weights = (0..i64::from(outputs * INPUTS))
        .map(|i| (i * 37 + seed * 11) % 100)
        .collect();
    let tensors = vec![
        Tensor::new(DType::I8, params[0].shape.clone(), weights).unwrap(),
        Tensor::new(DType::I32, params[1].shape.clone(), vec![5, -6, 7]).unwrap(),
    ];
    let layer = Op::Linear {
        input: ValueId(0),
        weight: ParamId(0),
        bias: ParamId(1),
    };
    let graph = Graph::new(
        vec![spec("x", DType::I8, INPUTS)],
        params,
        vec![layer],
        vec![(ValueId(1), spec("y", DType::I32, outputs))],
    )
    .unwrap();
    let parameters = Parameters::new(&graph, tensors).unwrap();
    let manifest = Manifest {
        name: Name::new("linear").unwrap(),
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    ModelFile { manifest, parameters }.encode()
}
