//! Random graphs of all ops against the reference in i128, and extreme weights and inputs against the static ranges.

use haca_graph::{Graph, Op, Outline, ParamSpec, Parameters, evaluate};
use haca_wire::{DType, Decode, Encode, Tensor};
use proptest::prelude::*;

use crate::growth::{Draw, Growth, grown};
use crate::reference::{self, Wide, fill};

/// Evaluates the graph both ways.
fn check(
    growth: &Growth,
    graph: &Graph,
    elements: &[Vec<i64>],
    input: Vec<i64>,
) -> Result<(), TestCaseError> {
    let tensor = |(p, e): (&ParamSpec, &Vec<i64>)| Tensor::new(p.dtype, p.shape.clone(), e.clone()).unwrap();
    let tensors = graph.params().iter().zip(elements).map(tensor).collect();
    let parameters = Parameters::new(graph, tensors).unwrap();
    let wide: Vec<Wide> = growth
        .params
        .iter()
        .zip(elements)
        .map(|(p, e)| Wide::new(p.shape.dims(), e))
        .collect();
    let mut values = vec![Wide::new(&growth.dims(0), &input)];
    for op in &growth.nodes {
        values.push(reference::evaluate(op, &values, &wide));
    }
    let x = Tensor::new(DType::I8, graph.inputs()[0].shape.clone(), input).unwrap();
    let found = evaluate(graph, &parameters, &[x]).unwrap();
    for ((found, expected), kind) in found.values.iter().zip(&values).zip(graph.values()) {
        prop_assert_eq!(&Wide::new(kind.shape.dims(), found), expected);
        prop_assert!(
            found.iter().all(|v| (kind.low..=kind.high).contains(v)),
            "{:?} {:?}",
            found,
            kind
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn all_ops_agree_with_i128_and_stay_in_the_static_ranges(seed in any::<u64>(), steps in 1usize..8) {
        let growth = grown(seed, steps);
        let Ok(graph) = growth.graph() else { return Ok(()) };
        for (value, kind) in growth.values.iter().zip(graph.values()) {
            prop_assert_eq!(&value.dims, &Wide::new(kind.shape.dims(), &[]).dims);
        }
        let mut draw = Draw(seed ^ 1);
        let count = graph.inputs()[0].shape.elements();
        let elements = fill(graph.params(), |low, high| draw.next(low, high));
        check(&growth, &graph, &elements, (0..count).map(|_| draw.next(-128, 127)).collect())?;
        // Adversarial: every weight and bias at an end of its range, every input at an end of int8.
        for _ in 0..3 {
            let elements = fill(graph.params(), |low, high| if draw.next(0, 1) == 0 { low } else { high });
            check(&growth, &graph, &elements, (0..count).map(|_| [-128, 127][draw.next(0, 1) as usize]).collect())?;
        }
        for (all, x) in [(true, -128), (true, 127), (false, -128), (false, 127)] {
            let elements = fill(graph.params(), |low, high| if all { low } else { high });
            check(&growth, &graph, &elements, vec![x; count])?;
        }
        let bytes = graph.encode();
        let outline = Outline::decode_all(&bytes).unwrap();
        prop_assert_eq!(outline.params(), graph.params());
        prop_assert_eq!(outline.nodes(), graph.nodes().len() as u64);
        prop_assert!(outline.moved() >= moved(&graph));
        prop_assert_eq!(Graph::decode_all(&bytes).unwrap(), graph);
    }
}

/// Elements of all values that ops make which only move elements, Reshape aside.
fn moved(graph: &Graph) -> u64 {
    let nodes = graph.nodes().iter().enumerate();
    let moving =
        nodes.filter(|(node, op)| graph.arrangement(*node).is_some() && !matches!(op, Op::Reshape { .. }));
    moving
        .map(|(node, _)| graph.value_type(graph.node_value(node)).unwrap().shape.elements() as u64)
        .sum()
}

/// The property above is about graphs that are accepted: most are, and every op is among them.
#[test]
fn random_graphs_have_every_op() {
    let mut names = std::collections::BTreeSet::new();
    let (mut accepted, total) = (0, 300);
    for seed in 0..total {
        let growth = grown(seed * 7919, 6);
        if growth.graph().is_ok() {
            accepted += 1;
            names.extend(growth.nodes.iter().map(Op::name));
        }
    }
    assert!(
        accepted > total / 2 && accepted < total,
        "{accepted} of {total} accepted"
    );
    assert_eq!(names.len(), 14, "all but ArgMax: {names:?}");
}
