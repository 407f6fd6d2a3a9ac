//! What a graph becomes before it is proven (step R1 of `spec/zk.md`).

use haca_graph::{Graph, Op, Outline, ParamId, ParamSpec, Stretch, ValueId};
use haca_wire::{DType, Decode, Encode, Name, Scale, Shape, TensorSpec};
use haca_zk::cell::BlockWeights;
use haca_zk::circuit::{Circuit, Site};
use haca_zk::field::{Extension, extension};
use haca_zk::functional::{Functional, Taps};
use haca_zk::value::{Origin, Source};
use haca_zk::windows::Windows;

fn spec(name: &str, dtype: DType, shape: &[u32]) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(shape.to_vec()).unwrap(),
        scale: Scale::ONE,
    }
}

/// A layer from one channel to four, requantised to value 2, and `rest` behind it, whose last node is the output.
fn circuit(multipliers: &[u32], shift: u8, rest: Vec<Op>, output: &[u32]) -> Circuit {
    layer([3, 4], multipliers, shift, rest, output)
}

/// The same with other positions and channels.
fn layer(
    [positions, channels]: [u32; 2],
    multipliers: &[u32],
    shift: u8,
    rest: Vec<Op>,
    output: &[u32],
) -> Circuit {
    let param = |dtype, shape: Vec<u32>| ParamSpec {
        dtype,
        shape: Shape::new(shape).unwrap(),
        low: -1,
        high: 1,
    };
    let params = vec![
        param(DType::I8, vec![channels, 1]),
        param(DType::I32, vec![channels]),
    ];
    let mut nodes = vec![
        Op::Linear {
            input: ValueId(0),
            weight: ParamId(0),
            bias: ParamId(1),
        },
        Op::Requantise {
            input: ValueId(1),
            multipliers: multipliers.to_vec(),
            shift,
            low: -128,
            high: 127,
        },
    ];
    nodes.extend(rest);
    let outputs = vec![(ValueId(nodes.len() as u32), spec("y", DType::I8, output))];
    let graph = Graph::new(
        vec![spec("x", DType::I8, &[positions, 1])],
        params,
        nodes,
        outputs,
    )
    .unwrap();
    let circuit = Circuit::new(&graph).unwrap();
    // What a registration is priced by misses nothing.
    let outline = Outline::decode_all(&graph.encode()).unwrap();
    assert!(outline.moved() >= circuit.arranged as u64);
    assert_eq!(outline.stages(), circuit.stages.len() as u64);
    assert!(outline.uses() >= circuit.uses.len() as u64);
    circuit
}

#[test]
fn multipliers_lose_common_factors_and_copies() {
    let requantise = |multipliers: &[u32], shift| {
        let circuit = circuit(multipliers, shift, vec![], &[3, 4]);
        let [requantise] = circuit.requantises.as_slice() else {
            panic!("one requantisation");
        };
        (requantise.multipliers.clone(), requantise.shift)
    };
    assert_eq!(requantise(&[6], 5), (vec![3], 4));
    assert_eq!(requantise(&[5], 5), (vec![5], 5));
    // The shift stays at least 1.
    assert_eq!(requantise(&[16], 3), (vec![4], 1));
    assert_eq!(requantise(&[16], 1), (vec![16], 1));
    // One for all, when all are equal; a common factor is one of all.
    assert_eq!(requantise(&[12; 4], 6), (vec![3], 4));
    assert_eq!(requantise(&[12, 12, 12, 8], 6), (vec![3, 3, 3, 2], 4));
    assert_eq!(requantise(&[8, 12, 12, 12], 6), (vec![2, 3, 3, 3], 4));
    assert_eq!(requantise(&[12, 6, 12, 12], 6), (vec![6, 3, 6, 6], 5));
}

#[test]
fn only_all_elements_in_their_order_are_whole() {
    let slice = |start, step, count| Op::Slice {
        input: ValueId(2),
        stretches: vec![
            Stretch { start, step, count },
            Stretch {
                start: 0,
                step: 1,
                count: 4,
            },
        ],
    };
    let origin = |op: Op, rows: u32| {
        let circuit = circuit(&[3], 5, vec![op], &[rows, 4]);
        let Some(Site::Value(value)) = circuit.outputs.first() else {
            panic!("an int8 output");
        };
        circuit.values[*value].origin.clone()
    };
    let whole = Origin::Whole(Source::Requantise(0));
    assert_eq!(origin(slice(0, 1, 3), 3), whole);
    // The first rows, the last rows, and all rows in another order.
    for (slice, rows) in [(slice(0, 1, 2), 2), (slice(1, 1, 2), 2), (slice(2, -1, 3), 3)] {
        assert!(
            matches!(origin(slice, rows), Origin::Arranged(elements) if elements.len() == 4 * rows as usize)
        );
    }
}

#[test]
fn values_in_another_shape_weigh_each_cell_of_their_source() {
    let numbers =
        |count: usize, from: i64| -> Vec<Extension> { (from..).take(count).map(extension).collect() };
    for (source, shape) in [
        ([4, 1], [2, 2]),
        ([4, 2], [2, 4]),
        ([2, 4], [8, 1]),
        ([6, 2], [3, 4]),
    ] {
        let op = Op::Reshape {
            input: ValueId(2),
            shape: Shape::new(shape.to_vec()).unwrap(),
        };
        let circuit = layer(source, &[3], 5, vec![op], &shape);
        let Some(Site::Value(value)) = circuit.outputs.first() else {
            panic!("an int8 output");
        };
        let [positions, channels] = shape.map(|dim| dim as usize);
        let weights = numbers(positions, 3);
        let functional = Functional {
            value: *value,
            windows: Windows::each(positions),
            positions: &weights,
            taps: Taps::Each(numbers(channels, 11), channels),
            scale: numbers(1, 13)[0],
            padding: 0,
        };
        let [rows, columns] = source.map(|dim| dim as usize);
        let cells = BlockWeights {
            positions: numbers(rows, 23),
            channels: numbers(columns, 37),
            channel_point: Vec::new(),
        };
        let found = functional.committed_part(&circuit, |_| Some((&cells, columns)));
        let weight = |element: usize| {
            functional.scale
                * extension((3 + element / channels) as i64)
                * extension((11 + element % channels) as i64)
                * cells.positions[element / columns]
                * cells.channels[element % columns]
        };
        assert_eq!(
            found,
            (0..rows * columns).map(weight).sum::<Extension>(),
            "{source:?}"
        );
    }
}
