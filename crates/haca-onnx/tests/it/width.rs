//! Activations of 12 bits.

use haca_graph::{FunctionKind, ModelFile, Op};
use haca_onnx::{Activations, FloatModel, ImportReport, Options, Sample, explain, fidelity, quantise_model};

use crate::fixtures::random_samples;
use crate::network::residual;
use crate::onnx_file::{OnnxFile, floats, int, list, node};
use crate::ops::sequence;

fn options(activations: Activations) -> Options {
    Options {
        activations,
        ..Options::default()
    }
}

fn import(model: &FloatModel, samples: &[Sample], activations: Activations) -> (ModelFile, ImportReport) {
    quantise_model(model, samples, &options(activations)).unwrap()
}

/// The nodes that make low digits, as bits and the clamp.
fn digits(file: &ModelFile) -> Vec<(u8, i16, i16)> {
    let nodes = file.manifest.graph.nodes().iter();
    let digit = |op: &Op| match op {
        Op::Activate { function, .. } => match function.kind {
            FunctionKind::LowDigit { bits } => Some((bits, function.low, function.high)),
            _ => None,
        },
        _ => None,
    };
    nodes.filter_map(digit).collect()
}

/// Layers `w0`, `w1` and so on with what stands between them: `fn(previous) -> nodes`.
fn dense(sizes: &[usize], scale: impl Fn(usize, usize, usize) -> f32) -> FloatModel {
    let (mut nodes, mut tensors, mut input) = (Vec::new(), Vec::new(), "x".to_owned());
    for (i, pair) in sizes.windows(2).enumerate() {
        let (k, n) = (pair[0], pair[1]);
        let drawn = sequence(n * k, i as u64 + 1);
        let weights: Vec<f32> = drawn
            .iter()
            .enumerate()
            .map(|(at, v)| *v as f32 * scale(i, at / k, at % k))
            .collect();
        tensors.push(floats(&format!("w{i}"), &[n as i64, k as i64], &weights));
        let is_last = i + 2 == sizes.len();
        let sum = if is_last { "y".to_owned() } else { format!("s{i}") };
        let operands = format!("{input} w{i} _");
        nodes.push(node("Gemm", &operands, &sum, &[int("transB", 1)]));
        if !is_last {
            input = format!("a{i}");
            nodes.push(node("Relu", &sum, &input, &[]));
        }
    }
    let file = OnnxFile::of(nodes, tensors, &[("x", &[sizes[0] as i64])]);
    FloatModel::read(&file.bytes()).unwrap()
}

#[test]
fn wide_activations_bring_a_network_closer_to_its_floats() {
    let model = FloatModel::read(&residual(1).bytes()).unwrap();
    let samples = random_samples(&model, 40, 1);
    let (narrow, _) = import(&model, &samples, Activations::Int8);
    let (wide, report) = import(&model, &samples, Activations::Int12);
    assert_eq!(digits(&narrow), []);
    // ReLU6 and ReLU have no sign; the sum of the residual has. What a maximum reads stays int8.
    let found = digits(&wide);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found.iter().filter(|d| **d == (4, -2048, 2047)).count(), 1);
    assert!(found.contains(&(5, 0, 4095)));
    let bits: Vec<u8> = report.activations.iter().map(|a| a.bits).collect();
    assert_eq!(bits, [12, 12, 12, 8]);
    assert!(report.activations[3].reason.contains("WindowMax"), "{report:?}");
    let tests = random_samples(&model, 60, 2);
    let error = |file| fidelity(&model, file, &tests, None).unwrap().mean_abs_err;
    assert!(
        error(&wide) < 0.9 * error(&narrow),
        "{} {}",
        error(&wide),
        error(&narrow)
    );
    // Beside the floats, value by value.
    let sqnr = |activations| {
        let explained = explain(&model, &samples, &options(activations)).unwrap();
        let layers = explained
            .layers
            .iter()
            .filter(|layer| layer.op.starts_with("Clamp"));
        layers
            .map(|layer| (layer.bits, layer.sqnr_db))
            .collect::<Vec<_>>()
    };
    let (narrow, wide) = (sqnr(Activations::Int8), sqnr(Activations::Int12));
    assert!(narrow.iter().all(|(bits, _)| *bits == 8), "{narrow:?}");
    assert_eq!(
        wide.iter().map(|(bits, _)| *bits).collect::<Vec<_>>(),
        [12, 12, 8]
    );
    assert!(wide[1].1 > narrow[1].1 + 1.0, "{wide:?} {narrow:?}");
}

#[test]
fn pools_and_arrangements_take_digits() {
    let pool = [list("kernel_shape", &[2, 2]), list("strides", &[2, 2])];
    let nodes = vec![
        node("Conv", "x w0 _", "c", &[list("pads", &[1, 1, 1, 1])]),
        node("Relu", "c", "r", &[]),
        node("AveragePool", "r", "p", &pool),
        node("Transpose", "p", "t", &[list("perm", &[0, 3, 2, 1])]),
        node("Flatten", "t", "f", &[]),
        node("Gemm", "f w1 _", "y", &[int("transB", 1)]),
    ];
    let draw = |count, seed| {
        sequence(count, seed)
            .iter()
            .map(|v| *v as f32 * 0.4)
            .collect::<Vec<_>>()
    };
    let tensors = vec![
        floats("w0", &[6, 1, 3, 3], &draw(54, 1)),
        floats("w1", &[4, 96], &draw(384, 2)),
    ];
    let file = OnnxFile::of(nodes, tensors, &[("x", &[1, 8, 8])]);
    let model = FloatModel::read(&file.bytes()).unwrap();
    let samples = random_samples(&model, 40, 3);
    let error = |activations| {
        let (file, _) = import(&model, &samples, activations);
        let tests = random_samples(&model, 60, 4);
        (
            digits(&file).len(),
            fidelity(&model, &file, &tests, None).unwrap().mean_abs_err,
        )
    };
    let (narrow, wide) = (error(Activations::Int8), error(Activations::Int12));
    assert_eq!((narrow.0, wide.0), (0, 2));
    assert!(wide.1 < 0.9 * narrow.1, "{wide:?} {narrow:?}");
}

#[test]
fn only_what_pays_is_widened() {
    // One hidden channel is a hundred times as large as the others and counts a hundredth: int8 drowns the others. The
    // layer behind it reads all alike.
    let model = dense(&[16, 24, 24, 3], |layer, row, column| {
        match (layer, row, column) {
            (0, 0, _) => 100.0,
            (1, _, 0) => 0.01,
            _ => 1.0,
        }
    });
    let samples = random_samples(&model, 40, 5);
    let (narrow, _) = import(&model, &samples, Activations::Int8);
    let (auto, report) = import(&model, &samples, Activations::Auto);
    let bits: Vec<u8> = report.activations.iter().map(|a| a.bits).collect();
    assert_eq!(bits[0], 12, "{:?}", report.activations);
    assert!(
        report.activations[0].reason.contains("8 bits would change"),
        "{report:?}"
    );
    let tests = random_samples(&model, 60, 6);
    let error = |file| fidelity(&model, file, &tests, None).unwrap().mean_abs_err;
    assert!(
        error(&auto) < 0.5 * error(&narrow),
        "{} {}",
        error(&auto),
        error(&narrow)
    );
    // Nothing is gained before a layer that ignores what it reads.
    let model = dense(&[16, 24, 24, 3], |layer, _, _| if layer == 2 { 0.0 } else { 1.0 });
    let (file, report) = import(&model, &samples, Activations::Auto);
    assert_eq!(digits(&file), []);
    assert!(report.activations.iter().all(|a| a.bits == 8), "{report:?}");
}

#[test]
fn sums_that_would_leave_int32_stay_narrow() {
    let model = dense(&[4, 4000, 2], |_, _, _| 1.0);
    let samples = random_samples(&model, 4, 7);
    let (file, report) = import(&model, &samples, Activations::Int12);
    assert_eq!(digits(&file), []);
    let reason = &report.activations[0].reason;
    assert!(reason.contains("4000 products would leave int32"), "{reason}");
}
