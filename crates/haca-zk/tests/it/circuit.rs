//! What a graph asks the proof to show.

use haca_graph::{Graph, Op, ParamId, ParamSpec, Term, ValueId};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};
use haca_zk::circuit::{Circuit, Form, Role};

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

/// `count` requantisations of one sum of 16 terms of a layer, put together until few outputs are left.
fn sums(count: u32, columns: u32) -> Graph {
    let linear = Op::Linear {
        input: ValueId(0),
        weight: ParamId(0),
        bias: ParamId(1),
    };
    let term = Term {
        value: ValueId(1),
        coefficient: 3,
    };
    let mut nodes = vec![
        linear,
        Op::Sum {
            terms: vec![term; 16],
        },
    ];
    nodes.extend((0..count).map(|_| Op::Requantise {
        input: ValueId(2),
        multipliers: vec![1],
        shift: 20,
        low: -128,
        high: 127,
    }));
    let mut level: Vec<(ValueId, u32)> = (0..count).map(|index| (ValueId(3 + index), 2)).collect();
    while level.len() > 16 {
        let mut next = Vec::new();
        for operands in level.chunks(16) {
            nodes.push(Op::Concat {
                inputs: operands.iter().map(|(value, _)| *value).collect(),
                axis: 0,
            });
            let length = operands.iter().map(|(_, length)| length).sum();
            next.push((ValueId(u32::try_from(nodes.len()).unwrap()), length));
        }
        level = next;
    }
    let output = |(value, length): &(ValueId, u32)| {
        let name = format!("y{}", value.0);
        (*value, spec(&name, DType::I8, &[*length]))
    };
    let params = vec![param(DType::I8, &[2, columns]), param(DType::I32, &[2])];
    let inputs = vec![spec("x", DType::I8, &[columns])];
    Graph::new(inputs, params, nodes, level.iter().map(output).collect()).unwrap()
}

/// Step R1.6: a claim about a sum makes a use of each part, and all claims together make 4096 at most.
#[test]
fn parts_of_sums_are_uses() {
    let circuit = Circuit::new(&sums(256, 4)).unwrap();
    assert_eq!(circuit.uses.len(), 4096);
    let of = circuit.uses[17];
    assert_eq!(
        (of.accumulator, of.coefficient, of.role),
        (0, 3, Role::Requantise(1))
    );
    let code = Circuit::new(&sums(257, 4)).unwrap_err().code();
    assert_eq!(code, "zk.graph");
}

/// Step R1.6: the columns that all uses read are bounded, however often one matrix is used.
#[test]
fn matrices_of_all_uses_have_a_bounded_number_of_columns() {
    Circuit::new(&sums(256, 1024)).unwrap();
    assert_eq!(
        Circuit::new(&sums(256, 1025)).unwrap_err(),
        haca_zk::ProofRejection::Graph {
            what: "more than 2^22 columns of the matrices of all uses"
        }
    );
}

/// `count` results of a sum of 16 times one product of 2^14 positions and 5 channels.
fn summed_products(count: u32) -> Graph {
    let term = Term {
        value: ValueId(2),
        coefficient: 1,
    };
    let mut nodes = vec![
        Op::Product {
            left: ValueId(0),
            right: ValueId(0),
        },
        Op::Sum {
            terms: vec![term; 16],
        },
        // A graph has parameters.
        Op::Linear {
            input: ValueId(1),
            weight: ParamId(0),
            bias: ParamId(1),
        },
    ];
    nodes.extend((0..count).map(|_| Op::Requantise {
        input: ValueId(3),
        multipliers: vec![1],
        shift: 20,
        low: -128,
        high: 127,
    }));
    let result = |index: u32| {
        let name = format!("y{index}");
        (ValueId(5 + index), spec(&name, DType::I8, &[1 << 14, 5]))
    };
    let outputs = core::iter::once((ValueId(4), spec("z", DType::I32, &[1]))).chain((0..count).map(result));
    let params = vec![param(DType::I8, &[1, 1]), param(DType::I32, &[1])];
    let inputs = vec![spec("x", DType::I8, &[1 << 14, 5]), spec("w", DType::I8, &[1])];
    Graph::new(inputs, params, nodes, outputs.collect()).unwrap()
}

/// Step R1.6: the cells of all products, with their padding, are bounded: 5 channels take 8 cells.
#[test]
fn products_of_values_have_a_bounded_number_of_cells() {
    let circuit = Circuit::new(&summed_products(8)).unwrap();
    assert_eq!(circuit.uses.len(), 8 * 16 + 1);
    assert_eq!(
        Circuit::new(&summed_products(9)).unwrap_err(),
        haca_zk::ProofRejection::Graph {
            what: "more than 2^24 cells of products of values"
        }
    );
}

/// Step R1.3: int8 values among the terms of a sum make one accumulator, which is the first part.
#[test]
fn values_in_a_sum_are_its_first_part() {
    let term = |value: u32, coefficient| Term {
        value: ValueId(value),
        coefficient,
    };
    let graph = |terms: Vec<Term>| {
        let linear = Op::Linear {
            input: ValueId(0),
            weight: ParamId(0),
            bias: ParamId(1),
        };
        let params = vec![param(DType::I8, &[4, 4]), param(DType::I32, &[4])];
        let outputs = vec![
            (ValueId(2), spec("sum", DType::I32, &[4])),
            (ValueId(1), spec("layer", DType::I32, &[4])),
        ];
        let inputs = vec![spec("x", DType::I8, &[4])];
        let graph = Graph::new(inputs, params, vec![linear, Op::Sum { terms }], outputs);
        Circuit::new(&graph.unwrap()).unwrap()
    };
    let uses = |circuit: &Circuit| -> Vec<(usize, i64)> {
        let sum = circuit.uses.iter().filter(|of| of.role == Role::Output(0));
        sum.map(|of| (of.accumulator, of.coefficient)).collect()
    };
    let mixed = graph(vec![term(1, 5), term(0, 2), term(1, -1)]);
    assert!(matches!(mixed.accumulators[1].form, Form::Combination(_)));
    assert_eq!(uses(&mixed), [(1, 1), (0, 5), (0, -1)]);
    // Nothing but values: the combination is the sum.
    let values = graph(vec![term(0, 2), term(0, 3)]);
    assert_eq!((values.accumulators.len(), uses(&values)), (2, vec![(1, 1)]));
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
