//! Whole networks, and what options change about them.

use haca_graph::{ModelFile, Op, evaluate};
use haca_onnx::{
    BatchAxis, FloatModel, InputLayout, Options, ReadOptions, Sample, explain, fidelity, quantise_model,
    quantise_sample,
};
use haca_wire::{Decode, Encode};

use crate::fixtures::random_samples;
use crate::onnx_file::{OnnxFile, floats, int, list, node, value};
use crate::ops::sequence;

/// A float tensor from a fixed sequence, `factor` times -1 to 1.
fn random(name: &str, dims: &[usize], seed: u64, factor: f64) -> Vec<u8> {
    let data: Vec<f32> = sequence(dims.iter().product(), seed)
        .iter()
        .map(|v| (v * factor) as f32)
        .collect();
    floats(name, &dims.iter().map(|d| *d as i64).collect::<Vec<_>>(), &data)
}

/// A residual network with depthwise convolutions, ReLU6 and a pool, on images of `channels`.
pub(crate) fn residual(channels: usize) -> OnnxFile {
    let pads = || list("pads", &[1, 1, 1, 1]);
    let nodes = vec![
        node("Conv", "x w0 b0", "c0", &[pads()]),
        node("BatchNormalization", "c0 g s m v", "n0", &[]),
        node("Clip", "n0 zero six", "r0", &[]),
        node("Conv", "r0 w1 _", "c1", &[pads(), int("group", 8)]),
        node("Relu", "c1", "r1", &[]),
        node("Conv", "r1 w2 b2", "c2", &[]),
        node("Add", "c2 r0", "a", &[]),
        node("Relu", "a", "ra", &[]),
        node(
            "MaxPool",
            "ra",
            "p",
            &[list("kernel_shape", &[2, 2]), list("strides", &[2, 2])],
        ),
        node("Flatten", "p", "f", &[]),
        node("Gemm", "f w3 b3", "y", &[int("transB", 1)]),
    ];
    let tensors = vec![
        random("w0", &[8, channels, 3, 3], 1, 0.3),
        random("b0", &[8], 2, 0.2),
        floats("g", &[8], &[1.0; 8]),
        floats("s", &[8], &[0.1; 8]),
        floats("m", &[8], &[0.05; 8]),
        floats("v", &[8], &[0.8; 8]),
        floats("zero", &[], &[0.0]),
        floats("six", &[], &[6.0]),
        random("w1", &[8, 1, 3, 3], 3, 0.4),
        random("w2", &[8, 8, 1, 1], 4, 0.5),
        random("b2", &[8], 5, 0.2),
        random("w3", &[5, 128], 6, 0.2),
        random("b3", &[5], 7, 0.2),
    ];
    OnnxFile::of(nodes, tensors, &[("x", &[channels as i64, 8, 8])])
}

fn ops(file: &ModelFile) -> Vec<&'static str> {
    file.manifest.graph.nodes().iter().map(Op::name).collect()
}

/// The residual network from its first convolution on.
const RESIDUAL: [&str; 12] = [
    "Convolve",
    "Requantise",
    "Convolve",
    "Requantise",
    "Convolve",
    "Requantise",
    "Sum",
    "Requantise",
    "WindowMax",
    "Reshape",
    "Linear",
    "ArgMax",
];

#[test]
fn an_ordinary_network_needs_no_transpose() {
    // A grey image lies the same way in both layouts.
    let model = FloatModel::read(&residual(1).bytes()).unwrap();
    let samples = random_samples(&model, 30, 1);
    let (file, report) = quantise_model(&model, &samples, &Options::default()).unwrap();
    assert_eq!(ops(&file)[..2], ["Reshape", "Convolve"]);
    assert_eq!(ops(&file)[1..], RESIDUAL);
    assert_eq!(report.layers.len(), 4);
    let found = fidelity(&model, &file, &random_samples(&model, 100, 2), None).unwrap();
    assert!(
        found.argmax_agree > 0.95 && found.mean_abs_err < 0.05,
        "{found:?}"
    );
    assert_eq!(ModelFile::decode_all(&file.encode()).unwrap(), file);
}

#[test]
fn images_of_several_channels_lie_as_asked() {
    let bytes = residual(3).bytes();
    let first = FloatModel::read(&bytes).unwrap();
    let options = ReadOptions {
        input_layout: InputLayout::ChannelsLast,
        ..ReadOptions::default()
    };
    let last = FloatModel::read_with(&bytes, &options).unwrap();
    let samples = random_samples(&first, 20, 1);
    let turned = |sample: &Sample| {
        let x = &sample.0[0];
        Sample(vec![(0..192).map(|i| x[i % 3 * 64 + i / 3]).collect()])
    };
    let turned: Vec<Sample> = samples.iter().map(turned).collect();
    let (a, _) = quantise_model(&first, &samples, &Options::default()).unwrap();
    let (b, _) = quantise_model(&last, &turned, &Options::default()).unwrap();
    assert_eq!(ops(&a)[0], "Transpose");
    assert_eq!(ops(&a)[1..], RESIDUAL);
    assert_eq!(ops(&b), RESIDUAL);
    assert_eq!(b.manifest.graph.inputs()[0].shape.dims(), [8, 8, 3]);
    for (x, y) in samples.iter().zip(&turned) {
        let run = |file: &ModelFile, sample| {
            let inputs = quantise_sample(file.manifest.graph.inputs(), sample).unwrap();
            evaluate(&file.manifest.graph, &file.parameters, &inputs)
                .unwrap()
                .outputs
        };
        assert_eq!(run(&a, x), run(&b, y));
    }
}

#[test]
fn symbolic_dimensions_are_fixed_by_name() {
    let nodes = vec![
        node("Conv", "x w _", "c", &[]),
        node("GlobalAveragePool", "c", "y", &[]),
    ];
    let named = OnnxFile {
        inputs: vec![value("x", 1, &[0, 2, 0, 0])],
        ..OnnxFile::of(nodes, vec![random("w", &[3, 2, 2, 2], 1, 1.0)], &[])
    };
    let error = FloatModel::read(&named.bytes()).unwrap_err();
    assert_eq!(error.code(), "onnx.interface");
    assert!(error.to_string().contains("fix it by its name"), "{error}");
    // All of them are called n; a batch of 5 is a batch all the same.
    let options = ReadOptions {
        dimensions: vec![("n".to_owned(), 5)],
        ..ReadOptions::default()
    };
    let model = FloatModel::read_with(&named.bytes(), &options).unwrap();
    assert_eq!(model.inputs()[0].elements, 50);
}

#[test]
fn without_a_batch_axis_all_axes_are_one_inference() {
    let nodes = vec![
        node("MatMul", "x w", "h", &[]),
        node("ReduceSum", "h", "y", &[int("keepdims", 0)]),
    ];
    let file = OnnxFile {
        inputs: vec![value("x", 1, &[3, 2])],
        ..OnnxFile::of(nodes, vec![random("w", &[2, 2], 1, 1.0)], &[])
    };
    assert_eq!(
        FloatModel::read(&file.bytes()).unwrap_err().code(),
        "onnx.unsupported_use"
    );
    let options = ReadOptions {
        batch: BatchAxis::Absent,
        ..ReadOptions::default()
    };
    let model = FloatModel::read_with(&file.bytes(), &options).unwrap();
    assert_eq!(model.inputs()[0].elements, 6);
}

#[test]
fn old_and_new_operator_sets_say_the_same() {
    let old = vec![
        node("Conv", "x w _", "c", &[]),
        node("Squeeze", "c", "q", &[list("axes", &[3])]),
        node("ReduceSum", "q", "y", &[list("axes", &[2]), int("keepdims", 0)]),
    ];
    let new = vec![
        node("Conv", "x w _", "c", &[]),
        node("Squeeze", "c three", "q", &[]),
        node("ReduceSum", "q two", "y", &[int("keepdims", 0)]),
    ];
    let of = |opset, nodes| {
        let tensors = vec![
            random("w", &[3, 2, 2, 2], 1, 1.0),
            crate::onnx_file::ints("three", &[3]),
            crate::onnx_file::ints("two", &[2]),
        ];
        let file = OnnxFile {
            opset,
            ..OnnxFile::of(nodes, tensors, &[("x", &[2, 4, 2])])
        };
        FloatModel::read(&file.bytes()).unwrap()
    };
    assert_eq!(of(9, old), of(20, new));
}

#[test]
fn options_change_what_they_say() {
    let model = FloatModel::read(&residual(3).bytes()).unwrap();
    let samples = random_samples(&model, 40, 1);
    let quantised = |options: &Options| quantise_model(&model, &samples, options).unwrap().0;
    let multipliers = |file: &ModelFile| -> Vec<Vec<u32>> {
        let of = |op: &Op| match op {
            Op::Requantise { multipliers, .. } => Some(multipliers.clone()),
            _ => None,
        };
        file.manifest.graph.nodes().iter().filter_map(of).collect()
    };
    let usual = quantised(&Options::default());
    assert!(multipliers(&usual).iter().any(|m| m.len() == 8));
    let tensor = quantised(&Options {
        per_channel: false,
        ..Options::default()
    });
    assert!(multipliers(&tensor).iter().all(|m| m.len() == 1));
    let shifts = quantised(&Options {
        multiplier_bits: 1,
        ..Options::default()
    });
    assert!(multipliers(&shifts).iter().flatten().all(|m| *m == 1));
    for file in [usual, tensor, shifts] {
        let found = fidelity(&model, &file, &samples, None).unwrap();
        assert!(found.argmax_agree >= 0.9, "{found:?}");
    }
}

#[test]
fn bias_correction_moves_the_mean_to_that_of_the_float_network() {
    // Inputs with a mean, and small weights that one large one makes coarse.
    let mut weights: Vec<f32> = sequence(200, 3).iter().map(|v| (v * 0.02) as f32).collect();
    weights[0] = 4.0;
    let tensors = vec![floats("w", &[4, 50], &weights), floats("b", &[4], &[0.5; 4])];
    let nodes = vec![node("Gemm", "x w b", "y", &[int("transB", 1)])];
    let model = FloatModel::read(&OnnxFile::of(nodes, tensors, &[("x", &[50])]).bytes()).unwrap();
    let positive = |sample: Sample| Sample(vec![sample.0[0].iter().map(|v| v.abs()).collect()]);
    let samples: Vec<Sample> = random_samples(&model, 200, 1).into_iter().map(positive).collect();
    // The largest mean difference of an output.
    let bias = |bias_correction| {
        let options = Options {
            bias_correction,
            ..Options::default()
        };
        let file = quantise_model(&model, &samples, &options).unwrap().0;
        let graph = &file.manifest.graph;
        let scale = graph.outputs()[0].1.scale;
        let step = f64::from(scale.mantissa()) / 2f64.powi(i32::from(scale.shift()));
        let mut sums = [0.0f64; 4];
        for sample in &samples {
            let inputs = quantise_sample(graph.inputs(), sample).unwrap();
            let outputs = evaluate(graph, &file.parameters, &inputs).unwrap().outputs;
            let floats = model.infer(sample).unwrap().remove(0);
            let pairs = outputs[0].values().iter().zip(floats);
            sums.iter_mut()
                .zip(pairs)
                .for_each(|(sum, (q, f))| *sum += *q as f64 * step - f64::from(f));
        }
        sums.iter().fold(0.0f64, |m, sum| m.max((sum / 200.0).abs()))
    };
    let (without, with) = (bias(false), bias(true));
    assert!(with * 10.0 < without, "{with} after {without}");
}

#[test]
fn an_explanation_has_every_layer() {
    let model = FloatModel::read(&residual(3).bytes()).unwrap();
    let samples = random_samples(&model, 40, 1);
    let found = explain(&model, &samples, &Options::default()).unwrap();
    assert_eq!((found.rows, found.inputs.len()), (32, 1));
    let of = |op: &str| {
        found
            .layers
            .iter()
            .filter(|layer| layer.op.starts_with(op))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of("Clamp").len(), of("WindowMax").len(), of("Linear").len()),
        (3, 1, 1)
    );
    for layer in &found.layers {
        assert!(layer.sqnr_db > 20.0, "{layer:?}");
        assert!(layer.saturated < 0.1 && layer.scale > 0.0, "{layer:?}");
    }
    assert!(
        of("Clamp")
            .iter()
            .all(|layer| layer.requantisation.is_some() && layer.remainder_bits.is_some())
    );
    assert_eq!(
        of("Linear")[0].requantisation,
        None,
        "its accumulators are the output"
    );
    // A line for each activation, with a number unless there is no other width.
    let reason = |activation: &haca_onnx::ActivationReport| {
        let measured = activation.reason.contains("12 bits would change the mean error");
        activation.bits == 8 && (measured || activation.reason == "WindowMax reads it")
    };
    assert!(found.activations.iter().all(reason), "{:?}", found.activations);
    let text = found.to_string();
    let lines = found.layers.len() + found.activations.len() + 2;
    assert!(
        found.activations.len() == 4 && text.lines().count() == lines,
        "{text}"
    );
    assert!(text.contains("the_gemm"), "{text}");
}
