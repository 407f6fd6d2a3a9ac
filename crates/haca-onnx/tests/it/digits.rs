//! The digits model of `models/`.

use std::path::Path;

use haca_graph::{ModelFile, evaluate};
use haca_onnx::{FloatModel, Options, SampleSet, fidelity, quantise, quantise_sample};
use haca_wire::{Decode, Encode, Name};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../models/digits")
            .join(name),
    )
    .unwrap()
}

fn samples(name: &str) -> SampleSet {
    let model = FloatModel::read(&file("digits.onnx")).unwrap();
    SampleSet::read(&file(name), &model.inputs()).unwrap()
}

fn options() -> Options {
    Options {
        name: Name::new("digits"),
        ..Options::default()
    }
}

#[test]
fn committed_graph_is_what_import_makes() {
    let (made, report) = quantise(
        &file("digits.onnx"),
        &samples("calibration.npz").samples,
        &options(),
    )
    .unwrap();
    assert_eq!(
        made.encode(),
        file("digits.haca"),
        "run the example quantise of haca-onnx"
    );
    assert_eq!((report.params, report.macs), (2410, 2368));
    assert_eq!(report.calibration_rows, 256);
}

#[test]
fn integer_accuracy_is_within_half_a_point_of_float_on_held_back_digits() {
    let float = FloatModel::read(&file("digits.onnx")).unwrap();
    let integer = ModelFile::decode_all(&file("digits.haca")).unwrap();
    let test = samples("test.npz");
    let found = fidelity(&float, &integer, &test.samples, test.labels.as_deref()).unwrap();
    assert_eq!(found.rows, 450);
    let (of_float, of_integer) = (found.accuracy_float.unwrap(), found.accuracy_integer.unwrap());
    assert!(of_float > 0.95, "{found:?}");
    assert!((of_float - of_integer).abs() <= 0.005, "{found:?}");
    assert!(found.argmax_agree >= 0.99, "{found:?}");
    assert!(found.mean_abs_err < 0.2, "{found:?}");
}

#[test]
fn held_back_digits_are_not_in_the_calibration_set() {
    let (calibration, test) = (samples("calibration.npz"), samples("test.npz"));
    assert!(
        test.samples
            .iter()
            .all(|sample| !calibration.samples.contains(sample))
    );
}

#[test]
fn class_is_the_largest_logit() {
    let integer = ModelFile::decode_all(&file("digits.haca")).unwrap();
    let graph = &integer.manifest.graph;
    let names: Vec<&str> = graph
        .outputs()
        .iter()
        .map(|(_, spec)| spec.name.as_str())
        .collect();
    assert_eq!(names, ["logits", "class"]);
    for sample in samples("test.npz").samples.iter().take(20) {
        let inputs = quantise_sample(graph.inputs(), sample).unwrap();
        let outputs = evaluate(graph, &integer.parameters, &inputs).unwrap().outputs;
        let logits = outputs[0].values();
        let class = usize::try_from(outputs[1].values()[0]).unwrap();
        assert!(logits.iter().all(|l| *l <= logits[class]));
    }
}
