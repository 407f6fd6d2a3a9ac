//! Graphs at the limits of what a proof can be about, and one step beyond.

use haca_graph::{Graph, Op, ParamId, ParamSpec, Stretch, ValueId, Window, WindowAxis};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};
use haca_zk::ProofRejection;
use haca_zk::circuit::Circuit;

fn spec(name: &str, dtype: DType, shape: &[u32]) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(shape.to_vec()).unwrap(),
        scale: Scale::ONE,
    }
}

/// Why a graph of `nodes` over an input of `shape`, which is value 0, cannot be proven. Its outputs are the int8 values
/// of the last nodes. A small layer over another input stands behind them, since a graph has parameters.
fn refusal(shape: &[u32], mut nodes: Vec<Op>, outputs: &[&[u32]]) -> Option<&'static str> {
    let param = |dtype, shape: Vec<u32>| ParamSpec {
        dtype,
        shape: Shape::new(shape).unwrap(),
        low: -1,
        high: 1,
    };
    let params = vec![param(DType::I8, vec![1, 1]), param(DType::I32, vec![1])];
    let inputs = vec![spec("x", DType::I8, shape), spec("w", DType::I8, &[1])];
    let first = 2 + nodes.len() - outputs.len();
    let int8 = |(index, shape): (usize, &&[u32])| {
        let name = format!("y{index}");
        (ValueId((first + index) as u32), spec(&name, DType::I8, shape))
    };
    let mut outputs: Vec<(ValueId, TensorSpec)> = outputs.iter().enumerate().map(int8).collect();
    nodes.push(Op::Linear {
        input: ValueId(1),
        weight: ParamId(0),
        bias: ParamId(1),
    });
    let layer = ValueId(1 + nodes.len() as u32);
    outputs.push((layer, spec("z", DType::I32, &[1])));
    let graph = Graph::new(inputs, params, nodes, outputs).unwrap();
    match Circuit::new(&graph) {
        Ok(_) => None,
        Err(ProofRejection::Graph { what }) => Some(what),
        Err(other) => panic!("{other:?}"),
    }
}

fn reversed(count: u32) -> Op {
    let stretch = Stretch {
        start: count - 1,
        step: -1,
        count,
    };
    Op::Slice {
        input: ValueId(0),
        stretches: vec![stretch],
    }
}

#[test]
fn arranged_elements() {
    let what = Some("more than 2^20 arranged elements");
    let most = 1u32 << 20;
    assert_eq!(refusal(&[most], vec![reversed(most)], &[&[most]]), None);
    assert_eq!(
        refusal(&[most + 1], vec![reversed(most + 1)], &[&[most + 1]]),
        what
    );
    // An arranged value in another shape is looked at once more.
    let reshaped = |count: u32| {
        let shape = Shape::new(vec![1, count]).unwrap();
        let input = ValueId(2);
        refusal(
            &[count],
            vec![reversed(count), Op::Reshape { input, shape }],
            &[&[1, count]],
        )
    };
    assert_eq!(reshaped(most / 2), None);
    assert_eq!(reshaped(most / 2 + 1), what);
    // An arrangement that changes nothing counts; its reshape does not.
    let same = Op::Transpose {
        input: ValueId(0),
        axes: vec![0],
    };
    let shape = Shape::new(vec![1, most]).unwrap();
    let input = ValueId(2);
    let nodes = vec![same.clone(), Op::Reshape { input, shape }];
    assert_eq!(refusal(&[most], nodes, &[&[1, most]]), None);
    assert_eq!(refusal(&[most + 1], vec![same], &[&[most + 1]]), what);
}

fn maximum(height: u32, width: u32) -> Op {
    let axis = |kernel| WindowAxis {
        kernel,
        stride: 1,
        dilation: 1,
        before: 0,
        after: 0,
    };
    Op::WindowMax {
        input: ValueId(0),
        window: Window {
            height: axis(height),
            width: axis(width),
        },
    }
}

#[test]
fn elements_of_window_maxima_of_one_tap() {
    let what = Some("more than 2^20 arranged elements");
    let picked = |rows| refusal(&[rows, 1024, 2], vec![maximum(1, 1)], &[&[rows, 1024, 2]]);
    assert_eq!(picked(512), None);
    assert_eq!(picked(513), what);
}

#[test]
fn taps_of_window_maxima() {
    let what = Some("more than 4096 taps of window maxima");
    assert_eq!(refusal(&[64, 64, 1], vec![maximum(64, 64)], &[&[1, 1, 1]]), None);
    assert_eq!(
        refusal(&[17, 241, 1], vec![maximum(17, 241)], &[&[1, 1, 1]]),
        what
    );
    // 4095 taps make 4094 stages.
    let second = |taps| {
        let nodes = vec![maximum(63, 65), maximum(1, taps)];
        refusal(&[63, 65, 1], nodes, &[&[1, 1, 1], &[63, 66 - taps, 1]])
    };
    assert_eq!(second(2), None);
    assert_eq!(second(3), what);
}

/// Two taps make one stage of as many positions as the result has.
#[test]
fn positions_of_stages() {
    let what = Some("more than 2^22 positions of all stages of window maxima");
    let maxima = |rows: u32| {
        let nodes = vec![maximum(1, 2), maximum(1, 2)];
        refusal(&[rows, 1025, 1], nodes, &[&[rows, 1024, 1][..]; 2])
    };
    assert_eq!(maxima(2048), None);
    assert_eq!(maxima(2049), what);
}

#[test]
fn positions_of_requantisations() {
    let what = Some("more than 2^22 positions of all requantisations");
    let requantise = Op::Requantise {
        input: ValueId(2),
        multipliers: vec![1],
        shift: 8,
        low: -128,
        high: 127,
    };
    let product = Op::Product {
        left: ValueId(0),
        right: ValueId(0),
    };
    let squares = |rows: u32| {
        let nodes = vec![product.clone(), requantise.clone(), requantise.clone()];
        refusal(&[rows, 1024, 1], nodes, &[&[rows, 1024, 1][..]; 2])
    };
    assert_eq!(squares(2048), None);
    assert_eq!(squares(2049), what);
}
