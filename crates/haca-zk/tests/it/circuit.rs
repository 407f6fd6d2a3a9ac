//! What a graph asks the proof to show.

use haca_graph::{Graph, Op, ParamId, ParamSpec, ValueId};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};
use haca_zk::circuit::{Circuit, Role};

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

fn param(dtype: DType, dims: &[u32]) -> ParamSpec {
    ParamSpec {
        dtype,
        shape: shape(dims),
        low: -10,
        high: 10,
    }
}

/// Step R1.6: public accumulators are claimed in the order of the outputs, each once.
#[test]
fn public_accumulators_are_used_in_the_order_of_the_outputs() {
    let linear = |weight: u32| Op::Linear {
        input: ValueId(0),
        weight: ParamId(weight),
        bias: ParamId(weight + 1),
    };
    let reshape = Op::Reshape {
        input: ValueId(2),
        shape: shape(&[1, 3]),
    };
    let params = [2, 3].map(|rows| [param(DType::I8, &[rows, 4]), param(DType::I32, &[rows])]);
    let outputs = vec![
        (ValueId(3), spec("c", DType::I32, &[1, 3])),
        (ValueId(1), spec("a", DType::I32, &[2])),
        (ValueId(2), spec("b", DType::I32, &[3])),
    ];
    let graph = Graph::new(
        vec![spec("x", DType::I8, &[4])],
        params.concat(),
        vec![linear(0), linear(2), reshape],
        outputs,
    );
    let circuit = Circuit::new(&graph.unwrap()).unwrap();
    let uses: Vec<(usize, Role)> = circuit.uses.iter().map(|of| (of.accumulator, of.role)).collect();
    assert_eq!(uses, [(1, Role::Output(0)), (0, Role::Output(1))]);
}
