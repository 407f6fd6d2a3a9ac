//! Files, networks and calibration data that are refused, each with the node, the op and the reason.

use haca_onnx::{Calibration, FloatModel, OnnxError, Options, Sample, quantise};

use crate::onnx_file::{OnnxFile, float, floats, int, ints, node, tensor, value};

fn weights() -> Vec<Vec<u8>> {
    vec![
        floats("w", &[3, 2], &[1.0, -1.0, 0.5, 0.25, 2.0, 0.0]),
        floats("b", &[3], &[0.0, 1.0, -1.0]),
    ]
}

fn gemm() -> Vec<u8> {
    node("Gemm", "x w b", "y", &[int("transB", 1)])
}

fn file() -> OnnxFile {
    OnnxFile::new(vec![gemm()], weights())
}

fn with_nodes(nodes: Vec<Vec<u8>>) -> OnnxFile {
    OnnxFile::new(nodes, weights())
}

fn with_weights(w: Vec<u8>, b: Vec<u8>) -> OnnxFile {
    OnnxFile::new(vec![gemm()], vec![w, b])
}

fn refuse(file: &OnnxFile, code: &str, parts: &[&str]) {
    let error = FloatModel::read(&file.bytes()).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    let text = format!("{error} / {}", error.hint());
    for part in parts {
        assert!(text.contains(part), "\"{part}\" is not in: {text}");
    }
    assert!(!error.hint().is_empty());
}

fn calibrate(file: &OnnxFile, samples: &[Sample], options: &Options) -> Result<(), OnnxError> {
    quantise(&file.bytes(), samples, options).map(|_| ())
}

fn sample(a: f64, b: f64) -> Sample {
    Sample(vec![vec![a, b]])
}

#[test]
fn the_file_that_the_others_change_is_accepted() {
    let model = FloatModel::read(&file().bytes()).unwrap();
    assert_eq!(model.infer(&sample(2.0, 1.0)).unwrap(), [[1.0, 2.25, 3.0]]);
    calibrate(&file(), &[sample(2.0, 1.0)], &Options::default()).unwrap();
}

#[test]
fn bytes_that_are_no_onnx_file() {
    for bytes in [
        &b""[..],
        b"not an onnx file",
        b"\x3a\x02\x0a",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ] {
        let error = FloatModel::read(bytes).unwrap_err();
        let code = if bytes.is_empty() {
            "onnx.operator_set"
        } else {
            "onnx.damaged"
        };
        assert_eq!(error.code(), code, "{error}");
    }
    let whole = file().bytes();
    let code = FloatModel::read(&whole[..whole.len() - 20]).unwrap_err().code();
    assert_eq!(code, "onnx.damaged");
}

#[test]
fn empty_entries_are_counted_before_they_are_allocated() {
    // 100,000 empty nodes take 200 kB in the file.
    let bytes = [vec![0x3a, 0xc0, 0x9a, 0x0c], [0x0a, 0x00].repeat(100_000)].concat();
    assert_eq!(FloatModel::read(&bytes).unwrap_err().code(), "onnx.too_large");
}

#[test]
fn operator_sets_outside_the_range() {
    for opset in [0, 6, 29] {
        refuse(
            &OnnxFile { opset, ..file() },
            "onnx.operator_set",
            &["7 to 28", "opset_version"],
        );
    }
}

#[test]
fn unsupported_ops_name_node_op_and_what_is_missing() {
    for (op, part) in [
        ("ConvTranspose", "a transposed convolution"),
        ("LayerNormalization", "division by a value"),
        ("LSTM", "control flow"),
        ("TreeEnsembleClassifier", "comparisons of values"),
        ("Einsum", "two activations"),
        ("Exp", "a table of that function"),
        ("Erf", "table of the error function"),
        ("FancyOp", "of that meaning"),
    ] {
        let nodes = vec![
            node("Gemm", "x w b", "h", &[int("transB", 1)]),
            node(op, "h", "y", &[]),
        ];
        let name = format!("the_{}", op.to_lowercase());
        refuse(
            &with_nodes(nodes),
            "onnx.unsupported_op",
            &[&name, op, part, "supported: dense"],
        );
    }
}

#[test]
fn uses_that_are_not_covered() {
    let h = |op: &str| node(op, "x w b", "h", &[int("transB", 1)]);
    for (nodes, parts) in [
        (
            vec![node("MatMul", "w x", "y", &[])],
            vec!["the_matmul", "on the left"],
        ),
        (
            vec![node("Reshape", "x x", "y", &[])],
            vec!["the_reshape", "while the model runs"],
        ),
        (vec![node("Gemm", "x s", "y", &[])], vec!["weights are integers"]),
        (vec![node("Gemm", "w w b", "y", &[])], vec!["is a constant"]),
        (
            vec![node("ArgMax", "x", "y", &[int("axis", 1)])],
            vec!["behind no layer"],
        ),
        (
            vec![h("Gemm"), node("Div", "h h", "y", &[])],
            vec!["the_div", "a value that depends on inputs"],
        ),
        (
            vec![h("Gemm"), node("Max", "h h", "y", &[])],
            vec!["the_max", "two values"],
        ),
        (
            vec![h("Gemm"), node("MatMul", "h h", "y", &[])],
            vec!["the_matmul", "depends on inputs"],
        ),
        (
            vec![
                h("Gemm"),
                node("Softmax", "h", "p", &[]),
                node("Relu", "p", "y", &[]),
            ],
            vec!["the_softmax", "not the last op"],
        ),
        (
            vec![node("ReduceSum", "x a0", "y", &[])],
            vec!["the_reducesum", "batch axis"],
        ),
        (
            vec![node("Transpose", "x", "y", &[])],
            vec!["the_transpose", "moves the batch axis"],
        ),
        (
            vec![node("Squeeze", "x a0", "y", &[])],
            vec!["the_squeeze", "drops the batch axis"],
        ),
        (
            vec![node("Concat", "x x", "y", &[int("axis", 0)])],
            vec!["the_concat", "joins inferences"],
        ),
        (
            vec![node("DequantizeLinear", "x one", "y", &[])],
            vec!["the_dequantizelinear", "not made by a QuantizeLinear"],
        ),
    ] {
        let mut file = with_nodes(nodes);
        file.initializers.extend([
            floats("b2", &[2], &[1.0, 2.0]),
            ints("s", &[2, 3]),
            ints("a0", &[0]),
        ]);
        file.initializers.push(floats("one", &[], &[1.0]));
        refuse(&file, "onnx.unsupported_use", &parts);
    }
}

#[test]
fn attributes_that_are_not_covered() {
    let h = node("Gemm", "x w b", "h", &[int("transB", 1)]);
    for (nodes, parts) in [
        (
            vec![node("Gemm", "x w b", "y", &[int("transA", 1)])],
            ["transA", "expected 0"],
        ),
        (
            vec![node("Gemm", "x w b", "y", &[float("alpha", f32::NAN)])],
            ["alpha", "finite"],
        ),
        (
            vec![h.clone(), node("ArgMax", "h", "y", &[])],
            ["axis is 0", "last axis"],
        ),
        (
            vec![
                h.clone(),
                node("ArgMax", "h", "y", &[int("axis", 1), int("select_last_index", 1)]),
            ],
            ["select_last_index", "0"],
        ),
        (
            vec![h.clone(), node("Flatten", "h", "y", &[int("axis", 0)])],
            ["axis is 0", "batch axis"],
        ),
        (vec![node("Constant", "", "y", &[])], ["one of 0", "exactly one"]),
    ] {
        refuse(&with_nodes(nodes), "onnx.attribute", &parts);
    }
}

#[test]
fn shapes_that_do_not_fit() {
    let reshape = vec![node("Reshape", "x s", "y", &[])];
    for target in [
        vec![2, 1],
        vec![0, 3],
        vec![-1, -1],
        vec![],
        vec![0, -1, 3],
        vec![0, i64::MAX, i64::MAX],
        vec![0, -2],
    ] {
        let mut file = with_nodes(reshape.clone());
        file.initializers.push(ints("s", &target));
        refuse(&file, "onnx.shape", &["the_reshape", "the target"]);
    }
    let b = || floats("b", &[3], &[0.0; 3]);
    refuse(
        &with_weights(floats("w", &[2, 3], &[0.0; 6]), b()),
        "onnx.shape",
        &["[2, 3]", "[n, 2]"],
    );
    refuse(
        &with_weights(floats("w", &[6], &[0.0; 6]), b()),
        "onnx.shape",
        &["a matrix"],
    );
    refuse(
        &with_weights(floats("w", &[0, 2], &[]), b()),
        "onnx.shape",
        &["[n, 2]"],
    );
    let w = || floats("w", &[3, 2], &[0.0; 6]);
    refuse(
        &with_weights(w(), floats("b", &[2], &[0.0; 2])),
        "onnx.shape",
        &["the constant", "[3]"],
    );
    refuse(
        &with_weights(w(), floats("b", &[3, 1], &[0.0; 3])),
        "onnx.shape",
        &["the constant"],
    );
    let deep = OnnxFile {
        inputs: vec![value("x", 1, &[0, 2, 2])],
        ..file()
    };
    refuse(&deep, "onnx.shape", &["the_gemm", "Flatten"]);
}

#[test]
fn constants_that_cannot_be_read() {
    let b = || floats("b", &[3], &[0.0; 3]);
    for (w, part) in [
        (floats("w", &[3, 2], &[0.0; 5]), "does not fill its shape"),
        (tensor("w", &[3, 2], 1, &[0; 23]), "does not fill its shape"),
        (floats("w", &[-3, -2], &[0.0; 6]), "negative dimension"),
        (floats("w", &[1 << 40, 1 << 40], &[]), "too many axes or elements"),
        (floats("w", &[1; 9], &[0.0]), "too many axes or elements"),
        (
            tensor("w", &[3, 2], 16, &[0; 12]),
            "not a float, int or bool type",
        ),
        (
            [floats("w", &[3, 2], &[0.0; 6]), vec![0x70, 1]].concat(),
            "another file",
        ),
    ] {
        refuse(&with_weights(w, b()), "onnx.constant", &["\"w\"", part]);
    }
}

#[test]
fn weights_that_are_not_finite() {
    let b = || floats("b", &[3], &[0.0; 3]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let w = floats("w", &[3, 2], &[0.0, 0.0, bad, 0.0, 0.0, 0.0]);
        refuse(&with_weights(w, b()), "onnx.not_finite", &["\"w\"", "element 2"]);
    }
    // Finite weights whose product with alpha is not.
    let big = OnnxFile::new(
        vec![node(
            "Gemm",
            "x w b",
            "y",
            &[int("transB", 1), float("alpha", 1e30)],
        )],
        vec![floats("w", &[3, 2], &[1e30; 6]), b()],
    );
    refuse(&big, "onnx.not_finite", &["weights of node \"the_gemm\""]);
}

#[test]
fn tensors_that_nothing_defines() {
    refuse(
        &with_nodes(vec![node("Gemm", "x nowhere b", "y", &[])]),
        "onnx.missing_tensor",
        &["input 1", "nowhere"],
    );
    refuse(
        &with_nodes(vec![node("Gemm", "x", "y", &[])]),
        "onnx.missing_tensor",
        &["input 1"],
    );
    // A node that stands behind its reader, and one that reads itself.
    let late = vec![
        node("Relu", "h", "y", &[]),
        node("Gemm", "x w b", "h", &[int("transB", 1)]),
    ];
    refuse(&with_nodes(late), "onnx.missing_tensor", &["the_relu", "\"h\""]);
    refuse(
        &with_nodes(vec![node("Relu", "y", "y", &[])]),
        "onnx.missing_tensor",
        &["\"y\""],
    );
    let twice = vec![gemm(), node("Relu", "y", "y", &[])];
    refuse(&with_nodes(twice), "onnx.damaged", &["\"y\" is defined twice"]);
}

#[test]
fn interfaces_that_are_not_covered() {
    for (input, part) in [
        (value("x", 7, &[0, 2]), "not float32"),
        (value("x", 1, &[]), "scalar"),
        (value("x", 1, &[0, 0]), "has no number"),
        (value("x", 1, &[0, 1 << 31]), "too many axes or elements"),
        (
            value("x", 1, &[0, 1, 1, 1, 1, 1, 1, 1, 1, 2]),
            "too many axes or elements",
        ),
    ] {
        refuse(
            &OnnxFile {
                inputs: vec![input],
                ..file()
            },
            "onnx.interface",
            &["input \"x\"", part],
        );
    }
    let other = OnnxFile {
        inputs: vec![value("x", 1, &[0, 2]), value("z", 1, &[4, 2])],
        ..file()
    };
    refuse(&other, "onnx.interface", &["input \"z\"", "batch axis differs"]);
    let unused = OnnxFile {
        inputs: vec![value("x", 1, &[0, 2]), value("z", 1, &[0, 2])],
        ..file()
    };
    refuse(
        &unused,
        "onnx.interface",
        &["input \"z\"", "no output depends on it"],
    );
    for (name, part) in [
        ("x", "it is an input"),
        ("w", "it is a constant"),
        ("q", "no node makes it"),
    ] {
        let shown = OnnxFile {
            outputs: vec![value(name, 1, &[0, 3])],
            ..file()
        };
        refuse(&shown, "onnx.interface", &["output", part]);
    }
    refuse(
        &OnnxFile {
            outputs: vec![],
            ..file()
        },
        "onnx.damaged",
        &["no outputs"],
    );
}

#[test]
fn calibration_data_that_is_refused() {
    let code = |samples: &[Sample]| {
        calibrate(&file(), samples, &Options::default())
            .unwrap_err()
            .code()
    };
    assert_eq!(code(&[]), "onnx.no_samples");
    assert_eq!(code(&[sample(1.0, f64::NAN)]), "onnx.not_finite");
    assert_eq!(
        code(&[sample(1.0, 0.0), sample(f64::INFINITY, 0.0)]),
        "onnx.not_finite"
    );
    assert_eq!(code(&[sample(1e39, 0.0)]), "onnx.not_finite");
    assert_eq!(code(&[Sample(vec![vec![1.0]])]), "onnx.sample_size");
    assert_eq!(code(&[Sample(vec![])]), "onnx.sample_size");
    // Finite inputs that make an activation overflow float32.
    assert_eq!(code(&[sample(3e38, -3e38)]), "onnx.not_finite");
    assert_eq!(code(&[sample(1e20, 0.0)]), "onnx.scale");
    assert_eq!(code(&[sample(1e-30, 0.0)]), "onnx.scale");
}

#[test]
fn options_outside_their_range() {
    for multiplier_bits in [0, 17] {
        let options = Options {
            multiplier_bits,
            ..Options::default()
        };
        assert_eq!(
            calibrate(&file(), &[sample(1.0, 1.0)], &options)
                .unwrap_err()
                .code(),
            "onnx.option"
        );
    }
    for percent in [50.0, 100.5, f64::NAN] {
        let options = Options {
            calibration: Calibration::Percentile(percent),
            ..Options::default()
        };
        assert_eq!(
            calibrate(&file(), &[sample(1.0, 1.0)], &options)
                .unwrap_err()
                .code(),
            "onnx.option"
        );
    }
}

#[test]
fn a_layer_that_could_overflow_is_refused() {
    // 140,000 products of int8 can leave int32.
    let k = 140_000;
    let inputs = vec![value("x", 1, &[0, k])];
    let w = floats("w", &[3, k], &vec![0.5; 3 * 140_000]);
    let wide = OnnxFile {
        inputs,
        ..with_weights(w, floats("b", &[3], &[0.0; 3]))
    };
    let samples = [Sample(vec![vec![1.0; 140_000]])];
    let error = quantise(&wide.bytes(), &samples, &Options::default()).unwrap_err();
    assert_eq!(error.code(), "graph.accumulator_overflow", "{error}");
    assert!(error.to_string().contains("node 0"), "{error}");
}

#[test]
fn layers_of_zeros_and_dead_activations_are_quantised() {
    let nodes = || {
        vec![
            node("Gemm", "x w b", "h", &[int("transB", 1)]),
            node("Relu", "h", "a", &[]),
            node("Gemm", "a v c", "y", &[int("transB", 1)]),
        ]
    };
    for (w, b, v) in [
        ([0.0; 6], [0.0; 3], [0.0; 9]),
        ([1.0; 6], [-50.0; 3], [1.0; 9]),
        ([0.0; 6], [1e6; 3], [1e-6; 9]),
    ] {
        let tensors = vec![
            floats("w", &[3, 2], &w),
            floats("b", &[3], &b),
            floats("v", &[3, 3], &v),
            floats("c", &[3], &[0.0, 1e5, -1e-5]),
        ];
        let file = OnnxFile::new(nodes(), tensors);
        calibrate(
            &file,
            &[sample(1.0, -1.0), sample(0.5, 0.25)],
            &Options::default(),
        )
        .unwrap();
        calibrate(&file, &[sample(0.0, 0.0)], &Options::default()).unwrap();
    }
}
