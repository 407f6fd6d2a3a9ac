//! The committed ONNX files against onnxruntime, and their integer graphs against the float networks.

use std::path::{Path, PathBuf};

use haca_graph::Op;
use haca_onnx::{Calibration, FloatModel, Options, Sample, fidelity, quantise, quantise_model};
use haca_wire::{DType, Decode, Encode};
use proptest::prelude::*;
use serde_json::Value;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn onnx(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.onnx"))).unwrap()
}

fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text)
        .unwrap()
        .as_object()
        .unwrap()
        .clone()
}

fn lists(json: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(json.clone()).unwrap()
}

/// Samples in -1 to 1 from a fixed generator.
pub(crate) fn random_samples(model: &FloatModel, count: usize, mut state: u64) -> Vec<Sample> {
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1u32 << 23) - 1.0
    };
    let inputs = model.inputs();
    let mut sample = || {
        Sample(
            inputs
                .iter()
                .map(|i| (0..i.elements).map(|_| next()).collect())
                .collect(),
        )
    };
    (0..count).map(|_| sample()).collect()
}

#[test]
fn float_model_computes_what_onnxruntime_computes() {
    let expected = expected();
    assert!(expected.len() >= 24);
    for (name, case) in &expected {
        let model = FloatModel::read(&onnx(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (inputs, outputs) = (
            case["inputs"].as_array().unwrap(),
            case["outputs"].as_array().unwrap(),
        );
        assert!(!inputs.is_empty(), "{name}");
        for (sample, wanted) in inputs.iter().zip(outputs) {
            let found = model.infer(&Sample(lists(sample))).unwrap();
            let wanted = lists(wanted);
            assert_eq!(found.len(), wanted.len(), "{name}");
            for (f, w) in found.iter().flatten().zip(wanted.iter().flatten()) {
                assert!(
                    (f64::from(*f) - w).abs() <= 1e-5 * (1.0 + w.abs()),
                    "{name}: {f} for {w}"
                );
            }
        }
    }
}

#[test]
fn integer_graphs_are_close_to_the_float_networks() {
    for name in expected().keys() {
        let model = FloatModel::read(&onnx(name)).unwrap();
        let samples = random_samples(&model, 300, 11);
        for (bits, tolerance) in [(1, 0.06), (4, 0.05), (8, 0.05), (16, 0.05)] {
            let options = Options {
                multiplier_bits: bits,
                ..Options::default()
            };
            let (file, report) = quantise_model(&model, &samples, &options).unwrap();
            // The same samples, so that nothing saturates and only rounding is left.
            let found = fidelity(&model, &file, &samples, None).unwrap();
            assert_eq!((found.rows, found.accuracy_float), (300, None));
            // Outputs reach about 3; weights, inputs and activations are all rounded to 127 steps.
            assert!(found.max_abs_err < tolerance, "{name}, {bits} bits: {found:?}");
            assert!(found.argmax_agree > 0.95, "{name}, {bits} bits: {found:?}");
            assert_eq!(report.calibration_rows, 300);
            assert_eq!(report.macs, file.manifest.graph.macs());
            for layer in &report.layers {
                assert!(layer.multiplier.unwrap_or(0) < 1 << 16, "{name} {layer:?}");
                assert!(
                    layer.quotient.is_none_or(|(low, high)| high - low < 1 << 24),
                    "{name} {layer:?}"
                );
            }
            assert_eq!(haca_graph::ModelFile::decode_all(&file.encode()).unwrap(), file);
        }
    }
}

#[test]
fn small_multipliers_are_exact() {
    // With the multiplier in the weight scale, four bits are all a multiplier needs.
    let model = FloatModel::read(&onnx("gemm_transb1")).unwrap();
    let samples = random_samples(&model, 50, 3);
    let (file, report) = quantise_model(&model, &samples, &Options::default()).unwrap();
    let multipliers = file.manifest.graph.nodes().iter().find_map(|op| match op {
        Op::Requantise {
            multipliers,
            low: 0,
            high: 127,
            ..
        } => Some(multipliers.clone()),
        _ => None,
    });
    let multipliers = multipliers.unwrap();
    assert_eq!(multipliers.len(), 5, "one per channel");
    assert!(multipliers.iter().all(|m| (1..16).contains(m)), "{multipliers:?}");
    assert_eq!(report.layers.len(), 2);
    assert_eq!((report.layers[0].inputs, report.layers[0].outputs), (6, 5));
    assert_eq!(report.layers[1].shift, None);
    assert_eq!(report.params, 6 * 5 + 5 + 5 * 3 + 3);
}

#[test]
fn layouts_of_one_layer_give_one_graph() {
    // Gemm with transposed weights, MatMul with Add in either order: the ops of the integer graph are the same.
    let ops = |name: &str| {
        let model = FloatModel::read(&onnx(name)).unwrap();
        let (file, _) = quantise_model(&model, &random_samples(&model, 50, 3), &Options::default()).unwrap();
        file.manifest
            .graph
            .nodes()
            .iter()
            .map(Op::name)
            .collect::<Vec<_>>()
    };
    let dense = ["Linear", "Requantise", "Linear", "ArgMax"];
    for name in [
        "gemm_transb1",
        "gemm_transb0",
        "gemm_alpha_beta",
        "matmul_add",
        "matmul_add_turned",
        "gemm_add",
        "matmul_transpose",
        "float_data",
        "initializers_as_inputs",
        "dead_node",
    ] {
        assert_eq!(ops(name), dense, "{name}");
    }
    assert_eq!(ops("flatten"), [&["Reshape"], &dense[..]].concat());
    assert_eq!(ops("linear_linear"), dense);
    // The Reshape is a view of the dense layer's output, which the next layer reads as it lies.
    assert_eq!(ops("relu_behind_reshape"), dense);
}

#[test]
fn outputs_are_the_logits_and_the_class() {
    let outputs = |name: &str| {
        let model = FloatModel::read(&onnx(name)).unwrap();
        let (file, _) = quantise_model(&model, &random_samples(&model, 50, 3), &Options::default()).unwrap();
        let spec =
            |(_, s): &(_, haca_wire::TensorSpec)| (s.name.to_string(), s.dtype, s.shape.dims().to_vec());
        file.manifest.graph.outputs().iter().map(spec).collect::<Vec<_>>()
    };
    let output = |name: &str, dtype, dims: &[u32]| (name.to_owned(), dtype, dims.to_vec());
    let class = output("class", DType::I32, &[]);
    assert_eq!(
        outputs("gemm_transb1"),
        [output("y", DType::I32, &[3]), class.clone()]
    );
    assert_eq!(
        outputs("argmax"),
        [output("logits", DType::I32, &[5]), output("c", DType::I32, &[])]
    );
    assert_eq!(outputs("relu_last"), [output("y", DType::I8, &[5]), class]);
    let both = [output("p", DType::I32, &[5]), output("q", DType::I32, &[2])];
    assert_eq!(outputs("two_inputs"), both);
    assert_eq!(
        outputs("hidden_output"),
        [output("h", DType::I32, &[5]), output("y", DType::I32, &[3])]
    );
}

#[test]
fn percentile_gives_finer_steps_and_saturates() {
    let model = FloatModel::read(&onnx("gemm_transb1")).unwrap();
    let mut samples = random_samples(&model, 200, 5);
    samples[0].0[0][0] = 40.0;
    let quantised = |calibration| {
        let options = Options {
            calibration,
            ..Options::default()
        };
        quantise_model(&model, &samples, &options).unwrap().0
    };
    let test = random_samples(&model, 200, 6);
    let coarse = fidelity(&model, &quantised(Calibration::MinMax), &test, None).unwrap();
    let fine = fidelity(&model, &quantised(Calibration::Percentile(99.5)), &test, None).unwrap();
    assert!(
        fine.mean_abs_err * 4.0 < coarse.mean_abs_err,
        "{fine:?} {coarse:?}"
    );
}

#[test]
fn labels_give_accuracies() {
    let model = FloatModel::read(&onnx("gemm_transb1")).unwrap();
    let samples = random_samples(&model, 40, 5);
    let (file, _) = quantise_model(&model, &samples, &Options::default()).unwrap();
    let largest = |sample| {
        let logits = model.infer(sample).unwrap().remove(0);
        (0..3).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
    };
    let right: Vec<i64> = samples
        .iter()
        .map(|s| i64::try_from(largest(s)).unwrap())
        .collect();
    let found = fidelity(&model, &file, &samples, Some(&right)).unwrap();
    assert_eq!(found.accuracy_float, Some(1.0));
    assert_eq!(found.accuracy_integer, Some(found.argmax_agree));
    let wrong = vec![-1; samples.len()];
    assert_eq!(
        fidelity(&model, &file, &samples, Some(&wrong))
            .unwrap()
            .accuracy_integer,
        Some(0.0)
    );
    assert_eq!(
        fidelity(&model, &file, &samples, Some(&right[1..]))
            .unwrap_err()
            .code(),
        "onnx.sample_size"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn damaged_files_never_panic(
        index in 0usize..64,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
    ) {
        let names: Vec<String> = expected().keys().cloned().collect();
        let mut bytes = onnx(&names[index % names.len()]);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(model) = FloatModel::read(&bytes) {
            // A flipped dimension may ask for a large input; small ones go all the way.
            if model.inputs().iter().all(|input| input.elements < 10_000) {
                let samples = random_samples(&model, 2, 9);
                if let Ok((file, _)) = quantise(&bytes, &samples, &Options::default()) {
                    fidelity(&model, &file, &samples, None).unwrap();
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(FloatModel::read(&bytes).is_err());
    }
}
