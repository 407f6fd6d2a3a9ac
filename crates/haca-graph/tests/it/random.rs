//! Random multilayer graphs against arithmetic in i128, and extreme weights against the static ranges.

use haca_graph::{Graph, GraphError, Op, ParamId, ParamSpec, Parameters, ValueId, evaluate, requantise};
use haca_wire::{DType, Decode, Encode, Name, Scale, Shape, Tensor, TensorSpec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// One Linear and the requantisation behind it; the last layer of a network ends with its accumulators.
#[derive(Clone, Debug)]
struct Layer {
    n: u32,
    weight: (i64, i64),
    bias: (i64, i64),
    multipliers: Vec<u32>,
    shift: u8,
    clamp: (i8, i8),
}

#[derive(Clone, Debug)]
struct Network {
    k: u32,
    layers: Vec<Layer>,
}

fn ordered<T: Ord + Copy>((a, b): (T, T)) -> (T, T) {
    (a.min(b), a.max(b))
}

fn layer() -> impl Strategy<Value = Layer> {
    (1u32..6).prop_flat_map(|n| {
        let count = prop_oneof![Just(1), Just(n as usize)];
        let multipliers = count.prop_flat_map(|c| proptest::collection::vec(0u32..1 << 31, c));
        let weight = prop_oneof![Just((-128i64, 127i64)), (-128i64..128, -128i64..128)];
        let bias = (-(1i64 << 22)..1 << 22, -(1i64 << 22)..1 << 22);
        let clamp = prop_oneof![Just((0i8, 127i8)), any::<(i8, i8)>()];
        (weight, bias, multipliers, 20u8..50, clamp).prop_map(
            move |(weight, bias, multipliers, shift, clamp)| {
                let (weight, bias, clamp) = (ordered(weight), ordered(bias), ordered(clamp));
                Layer {
                    n,
                    weight,
                    bias,
                    multipliers,
                    shift,
                    clamp,
                }
            },
        )
    })
}

fn network() -> impl Strategy<Value = Network> {
    (1u32..9, proptest::collection::vec(layer(), 1..4)).prop_map(|(k, layers)| Network { k, layers })
}

fn spec(name: &str, dtype: DType, dims: &[u32]) -> TensorSpec {
    let shape = Shape::new(dims.to_vec()).unwrap();
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape,
        scale: Scale::ONE,
    }
}

impl Network {
    fn graph(&self) -> Result<Graph, GraphError> {
        let (mut params, mut nodes) = (Vec::new(), Vec::new());
        let (mut k, mut value) = (self.k, 0);
        for (index, layer) in self.layers.iter().enumerate() {
            let id = u32::try_from(params.len()).unwrap();
            let param = |dtype, dims: Vec<u32>, (low, high)| ParamSpec {
                dtype,
                shape: Shape::new(dims).unwrap(),
                low,
                high,
            };
            params.push(param(DType::I8, vec![layer.n, k], layer.weight));
            params.push(param(DType::I32, vec![layer.n], layer.bias));
            nodes.push(Op::Linear {
                input: ValueId(value),
                weight: ParamId(id),
                bias: ParamId(id + 1),
            });
            value += 1;
            if index + 1 < self.layers.len() {
                nodes.push(Op::Requantise {
                    input: ValueId(value),
                    multipliers: layer.multipliers.clone(),
                    shift: layer.shift,
                    low: layer.clamp.0,
                    high: layer.clamp.1,
                });
                value += 1;
            }
            k = layer.n;
        }
        nodes.push(Op::ArgMax {
            input: ValueId(value),
        });
        let outputs = vec![
            (ValueId(value), spec("logits", DType::I32, &[k])),
            (ValueId(value + 1), spec("class", DType::I32, &[])),
        ];
        Graph::new(vec![spec("x", DType::I8, &[self.k])], params, nodes, outputs)
    }
}

/// The same network, straight from the formulas of `spec/graph.md`, in i128.
fn reference(network: &Network, parameters: &[Vec<i64>], input: &[i64]) -> Vec<Vec<i64>> {
    let mut values = vec![input.to_vec()];
    let mut x: Vec<i128> = input.iter().map(|v| i128::from(*v)).collect();
    for (index, layer) in network.layers.iter().enumerate() {
        let (w, b) = (&parameters[2 * index], &parameters[2 * index + 1]);
        let mut acc = Vec::new();
        for i in 0..layer.n as usize {
            let mut sum = i128::from(b[i]);
            for j in 0..x.len() {
                sum += i128::from(w[i * x.len() + j]) * x[j];
            }
            acc.push(sum);
        }
        values.push(acc.iter().map(|v| i64::try_from(*v).unwrap()).collect());
        if index + 1 < network.layers.len() {
            let step = |(i, a): (usize, &i128)| {
                let m = i128::from(layer.multipliers[if layer.multipliers.len() == 1 { 0 } else { i }]);
                let divisor = 1i128 << layer.shift;
                let y = (a * m + divisor / 2).div_euclid(divisor);
                y.clamp(i128::from(layer.clamp.0), i128::from(layer.clamp.1))
            };
            x = acc.iter().enumerate().map(step).collect();
            values.push(x.iter().map(|v| i64::try_from(*v).unwrap()).collect());
        }
    }
    let last = values.last().unwrap();
    let best = last.iter().max().unwrap();
    values.push(vec![
        i64::try_from(last.iter().position(|v| v == best).unwrap()).unwrap(),
    ]);
    values
}

/// Elements of each parameter: `pick(low, high)` for every one.
fn fill(graph: &Graph, mut pick: impl FnMut(i64, i64) -> i64) -> Vec<Vec<i64>> {
    let of = |p: &ParamSpec| (0..p.shape.elements()).map(|_| pick(p.low, p.high)).collect();
    graph.params().iter().map(of).collect()
}

fn check(
    network: &Network,
    graph: &Graph,
    elements: &[Vec<i64>],
    input: &[i64],
) -> Result<(), TestCaseError> {
    let tensor = |(p, e): (&ParamSpec, &Vec<i64>)| Tensor::new(p.dtype, p.shape.clone(), e.clone()).unwrap();
    let tensors = graph.params().iter().zip(elements).map(tensor).collect();
    let parameters = Parameters::new(graph, tensors).unwrap();
    let shape = graph.inputs()[0].shape.clone();
    let x = Tensor::new(DType::I8, shape, input.to_vec()).unwrap();
    let found = evaluate(graph, &parameters, &[x]).unwrap();
    prop_assert_eq!(&found.values, &reference(network, elements, input));
    for (values, kind) in found.values.iter().zip(graph.values()) {
        prop_assert!(
            values.iter().all(|v| (kind.low..=kind.high).contains(v)),
            "{:?} {:?}",
            values,
            kind
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn evaluation_agrees_with_i128_and_stays_in_the_static_ranges(network in network(), seed in any::<u64>()) {
        let Ok(graph) = network.graph() else { return Ok(()) };
        let mut state = seed | 1;
        let mut next = |low: i64, high: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            low + i64::try_from((state >> 33) % u64::try_from(high - low + 1).unwrap()).unwrap()
        };
        let elements = fill(&graph, &mut next);
        let input: Vec<i64> = (0..network.k).map(|_| next(-128, 127)).collect();
        check(&network, &graph, &elements, &input)?;
        // Adversarial: every weight and bias at an end of its range, every input at an end of int8.
        let elements = fill(&graph, |low, high| if next(0, 1) == 0 { low } else { high });
        let input: Vec<i64> = (0..network.k).map(|_| [-128, -127, 127][next(0, 2) as usize]).collect();
        check(&network, &graph, &elements, &input)?;
        for (all, x) in [(true, -128), (true, 127), (false, -128), (false, 127)] {
            let elements = fill(&graph, |low, high| if all { low } else { high });
            check(&network, &graph, &elements, &vec![x; network.k as usize])?;
        }
        prop_assert_eq!(Graph::decode_all(&graph.encode()).unwrap(), graph);
    }

    #[test]
    fn requantise_agrees_with_euclidean_division(
        acc in any::<i32>(),
        multiplier in 0u32..1 << 31,
        shift in 1u8..=60,
        clamp in any::<(i8, i8)>(),
    ) {
        let (low, high) = ordered(clamp);
        let divisor = 1i128 << shift;
        let y = (i128::from(acc) * i128::from(multiplier) + divisor / 2).div_euclid(divisor);
        let expected = y.clamp(i128::from(low), i128::from(high));
        let found = requantise(i64::from(acc), multiplier, shift, low, high);
        prop_assert_eq!(i128::from(found), expected);
    }
}

/// The strategy makes graphs of both kinds, so that neither half of the property is empty.
#[test]
fn random_networks_are_both_accepted_and_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut accepted = 0;
    for _ in 0..200 {
        let tree = network().new_tree(&mut runner).unwrap();
        accepted += usize::from(tree.current().graph().is_ok());
    }
    assert!((20..200).contains(&accepted), "{accepted} of 200 accepted");
}

#[test]
fn static_ranges_are_reached() {
    // Ranges that are never reached would refuse graphs for nothing.
    let network = Network {
        k: 5,
        layers: vec![Layer {
            n: 1,
            weight: (-128, 127),
            bias: (-7, 9),
            multipliers: vec![1],
            shift: 1,
            clamp: (0, 127),
        }],
    };
    let graph = network.graph().unwrap();
    let kind = graph.value_type(ValueId(1)).unwrap();
    let highest = reference(&network, &[vec![-128; 5], vec![9]], &[-128; 5]);
    let lowest = reference(&network, &[vec![127; 5], vec![-7]], &[-128; 5]);
    assert_eq!((lowest[1][0], highest[1][0]), (kind.low, kind.high));
}

#[test]
fn origin_and_producer_follow_reshapes() {
    let graph = Graph::new(
        vec![spec("x", DType::I8, &[2, 2])],
        vec![
            ParamSpec {
                dtype: DType::I8,
                shape: Shape::new(vec![2, 4]).unwrap(),
                low: 0,
                high: 1,
            },
            ParamSpec {
                dtype: DType::I32,
                shape: Shape::new(vec![2]).unwrap(),
                low: 0,
                high: 1,
            },
        ],
        vec![
            Op::Reshape {
                input: ValueId(0),
                shape: Shape::new(vec![1, 4]).unwrap(),
            },
            Op::Reshape {
                input: ValueId(1),
                shape: Shape::new(vec![4]).unwrap(),
            },
            Op::Linear {
                input: ValueId(2),
                weight: ParamId(0),
                bias: ParamId(1),
            },
        ],
        vec![(ValueId(3), spec("y", DType::I32, &[2]))],
    )
    .unwrap();
    assert_eq!(graph.origin(ValueId(2)), ValueId(0));
    assert_eq!(graph.origin(ValueId(3)), ValueId(3));
    assert_eq!(graph.producer(ValueId(0)), None);
    assert_eq!(graph.producer(ValueId(3)), Some(2));
    assert_eq!(graph.producer(ValueId(4)), None);
    assert_eq!(graph.node_value(2), ValueId(3));
}
