//! A model that is quick to register and to prove.

use haca_graph::{Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId};
use haca_wire::{DType, Encode as _, Name, Scale, Shape, Tensor, TensorSpec};

/// Elements of the input `x`.
pub(crate) const INPUTS: u32 = 4;

/// Rows and columns of the input `x` of the [wide](wide) model.
pub(crate) const WIDE: [u32; 2] = [64, 512];

fn spec(name: &str, dtype: DType, dims: Vec<u32>) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(dims).unwrap(),
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
    layer("linear", &[INPUTS], 3, seed)
}

/// A model whose inference is shared by the threads of the global pool.
pub(crate) fn wide() -> Vec<u8> {
    layer("wide", &WIDE, 128, 1)
}

fn layer(name: &str, input: &[u32], outputs: u32, seed: i64) -> Vec<u8> {
    let columns = *input.last().unwrap();
    let params = vec![
        param(DType::I8, vec![outputs, columns], 127),
        param(DType::I32, vec![outputs], 1000),
    ];
    let weights = (0..i64::from(outputs * columns))
        .map(|i| (i * 37 + seed * 11) % 100)
        .collect();
    let biases = (0..i64::from(outputs))
        .map(|i| (i + 5) * (1 - i % 2 * 2))
        .collect();
    let tensors = vec![
        Tensor::new(DType::I8, params[0].shape.clone(), weights).unwrap(),
        Tensor::new(DType::I32, params[1].shape.clone(), biases).unwrap(),
    ];
    let layer = Op::Linear {
        input: ValueId(0),
        weight: ParamId(0),
        bias: ParamId(1),
    };
    let mut output = input.to_vec();
    *output.last_mut().unwrap() = outputs;
    let graph = Graph::new(
        vec![spec("x", DType::I8, input.to_vec())],
        params,
        vec![layer],
        vec![(ValueId(1), spec("y", DType::I32, output))],
    )
    .unwrap();
    let parameters = Parameters::new(&graph, tensors).unwrap();
    let manifest = Manifest {
        name: Name::new(name).unwrap(),
        graph,
        render: 1,
        tokenizer: [0; 32],
    };
    ModelFile { manifest, parameters }.encode()
}
