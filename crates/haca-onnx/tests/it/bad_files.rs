//! Networks with numbers that fit nothing: each is refused with a code and a hint, none makes import panic or take
//! much memory.

use haca_onnx::{BatchAxis, FloatModel, Options, ReadOptions, quantise_model};
use proptest::prelude::*;

use crate::fixtures::random_samples;
use crate::network::residual;
use crate::onnx_file::{OnnxFile, float, floats, int, ints, list, node, tensor, text};

/// `x [2, 6, 6]` through one node to `y`.
fn image(op: &str, inputs: &str, attributes: &[Vec<u8>], tensors: Vec<Vec<u8>>) -> OnnxFile {
    OnnxFile::of(
        vec![node(op, inputs, "y", attributes)],
        tensors,
        &[("x", &[2, 6, 6])],
    )
}

fn refuse(file: &OnnxFile, code: &str) {
    let error = FloatModel::read(&file.bytes()).expect_err(code);
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.hint().is_empty() && !error.to_string().is_empty());
}

fn filters() -> Vec<Vec<u8>> {
    vec![floats("w", &[4, 2, 3, 3], &[0.1; 72])]
}

#[test]
fn windows_that_do_not_fit() {
    let huge = i64::MAX;
    for (attribute, code) in [
        (list("strides", &[0, 1]), "onnx.attribute"),
        (list("strides", &[1]), "onnx.attribute"),
        (list("strides", &[huge, 1]), "onnx.attribute"),
        (list("dilations", &[1, -1]), "onnx.attribute"),
        (list("dilations", &[3, 1]), "onnx.attribute"),
        (list("pads", &[-1, 0, 0, 0]), "onnx.attribute"),
        (list("pads", &[3, 0, 0, 0]), "onnx.attribute"),
        (list("pads", &[huge, huge, huge, huge]), "onnx.attribute"),
        (list("kernel_shape", &[2, 2]), "onnx.attribute"),
        (text("auto_pad", "SOMEHOW"), "onnx.attribute"),
        (int("group", 0), "onnx.shape"),
        (int("group", -2), "onnx.shape"),
        (int("group", 2), "onnx.shape"),
        (int("group", huge), "onnx.shape"),
    ] {
        refuse(&image("Conv", "x w", &[attribute], filters()), code);
    }
    for kernel in [
        vec![],
        vec![0, 2],
        vec![7, 7],
        vec![2],
        vec![-1, 2],
        vec![huge, huge],
        vec![2, 2, 2],
    ] {
        refuse(
            &image("MaxPool", "x", &[list("kernel_shape", &kernel)], vec![]),
            "onnx.attribute",
        );
        refuse(
            &image("AveragePool", "x", &[list("kernel_shape", &kernel)], vec![]),
            "onnx.attribute",
        );
    }
    let dims = |dims: &[i64]| {
        let count = dims.iter().product::<i64>() as usize;
        image("Conv", "x w", &[], vec![floats("w", dims, &vec![0.1; count])])
    };
    for wrong in [
        &[4, 3, 3, 3][..],
        &[4, 2, 3],
        &[0, 2, 3, 3],
        &[4, 2, 7, 7],
        &[4],
        &[],
        &[4, 2, 3, 3, 1],
    ] {
        let code = if wrong == [4, 2, 7, 7] {
            "onnx.attribute"
        } else {
            "onnx.shape"
        };
        refuse(&dims(wrong), code);
    }
    refuse(
        &image(
            "Conv",
            "x w b",
            &[],
            [filters(), vec![floats("b", &[3], &[0.0; 3])]].concat(),
        ),
        "onnx.shape",
    );
    refuse(&image("Conv", "x x", &[], vec![]), "onnx.unsupported_use");
    refuse(&image("Conv", "x w b", &[], filters()), "onnx.missing_tensor");
}

#[test]
fn arrangements_that_do_not_fit() {
    let min = i64::MIN;
    for (op, inputs, attributes, values, code) in [
        (
            "Transpose",
            "x",
            vec![list("perm", &[0, 1, 2])],
            vec![],
            "onnx.attribute",
        ),
        (
            "Transpose",
            "x",
            vec![list("perm", &[0, 1, 1, 2])],
            vec![],
            "onnx.attribute",
        ),
        (
            "Transpose",
            "x",
            vec![list("perm", &[0, 1, 2, min])],
            vec![],
            "onnx.attribute",
        ),
        ("Reshape", "x s", vec![], vec![1, -1, min], "onnx.shape"),
        ("Reshape", "x s", vec![], vec![0, 72, 0, 0, 0], "onnx.shape"),
        ("Squeeze", "x s", vec![], vec![1], "onnx.attribute"),
        ("Squeeze", "x s", vec![], vec![min], "onnx.attribute"),
        ("Unsqueeze", "x s", vec![], vec![9], "onnx.attribute"),
        ("Unsqueeze", "x s", vec![], vec![2, 2], "onnx.attribute"),
        ("Flatten", "x", vec![int("axis", min)], vec![], "onnx.attribute"),
        ("Gather", "x s", vec![int("axis", 1)], vec![2], "onnx.shape"),
        ("Gather", "x s", vec![int("axis", 1)], vec![min], "onnx.shape"),
        ("Gather", "x s", vec![int("axis", 4)], vec![0], "onnx.attribute"),
        ("Slice", "x s s s s", vec![], vec![min, min], "onnx.attribute"),
        ("Slice", "x s s", vec![], vec![1, 1, 1, 1, 1], "onnx.attribute"),
        ("Split", "x s", vec![int("axis", 1)], vec![3, -1], "onnx.shape"),
        (
            "Split",
            "x s",
            vec![int("axis", 1)],
            vec![i64::MAX, i64::MAX],
            "onnx.shape",
        ),
        ("Pad", "x s", vec![], vec![0; 7], "onnx.shape"),
        ("Pad", "x s", vec![], vec![0, 0, min, 0, 0, 0, 0, 0], "onnx.shape"),
        ("Pad", "x s", vec![], vec![0, 0, -6, 0, 0, 0, 0, 0], "onnx.shape"),
        (
            "Pad",
            "x s",
            vec![],
            vec![0, 0, 1 << 20, 0, 0, 0, 0, 0],
            "onnx.shape",
        ),
        (
            "Pad",
            "x s",
            vec![text("mode", "reflect")],
            vec![0; 8],
            "onnx.attribute",
        ),
        ("Expand", "x s", vec![], vec![1, 2, 6, min], "onnx.shape"),
        ("Expand", "x s", vec![], vec![1 << 40, 1, 1, 1, 1], "onnx.shape"),
        ("Concat", "x x", vec![int("axis", 7)], vec![], "onnx.attribute"),
        ("Resize", "x", vec![], vec![], "onnx.attribute"),
        (
            "DepthToSpace",
            "x",
            vec![int("blocksize", 2)],
            vec![],
            "onnx.shape",
        ),
        (
            "DepthToSpace",
            "x",
            vec![int("blocksize", min)],
            vec![],
            "onnx.attribute",
        ),
        (
            "SpaceToDepth",
            "x",
            vec![int("blocksize", 4)],
            vec![],
            "onnx.shape",
        ),
        ("ReduceSum", "x s", vec![], vec![4], "onnx.attribute"),
        ("ArgMax", "x", vec![int("axis", min)], vec![], "onnx.attribute"),
        (
            "HardSigmoid",
            "x",
            vec![float("alpha", -1.0)],
            vec![],
            "onnx.attribute",
        ),
        (
            "LeakyRelu",
            "x",
            vec![float("alpha", f32::INFINITY)],
            vec![],
            "onnx.attribute",
        ),
        (
            "Clip",
            "x",
            vec![float("min", 2.0), float("max", 1.0)],
            vec![],
            "onnx.attribute",
        ),
        ("Cast", "x", vec![int("to", 7)], vec![], "onnx.attribute"),
        ("Dropout", "x _ s", vec![], vec![1], "onnx.unsupported_use"),
        ("Sum", "", vec![], vec![], "onnx.shape"),
        (
            "BatchNormalization",
            "x s s s s",
            vec![],
            vec![1, 1],
            "onnx.unsupported_use",
        ),
    ] {
        let file = image(op, inputs, &attributes, vec![ints("s", &values)]);
        let error = FloatModel::read(&file.bytes()).expect_err(op);
        assert_eq!(error.code(), code, "{op} {values:?}: {error}");
    }
}

#[test]
fn constants_that_grow_are_counted() {
    // Each node makes 2^22 elements from a few bytes.
    let mut nodes: Vec<Vec<u8>> = (0..64)
        .map(|i| node("ConstantOfShape", "s", &format!("c{i}"), &[]))
        .collect();
    nodes.push(node(
        "Sum",
        &(0..64).map(|i| format!("c{i}")).collect::<Vec<_>>().join(" "),
        "z",
        &[],
    ));
    nodes.push(node("Add", "x z", "y", &[]));
    let bomb = OnnxFile::of(nodes, vec![ints("s", &[1 << 22])], &[("x", &[2, 6, 6])]);
    refuse(&bomb, "onnx.too_large");
    refuse(
        &OnnxFile::of(
            vec![
                node("ConstantOfShape", "s", "c", &[]),
                node("Add", "x c", "y", &[]),
            ],
            vec![ints("s", &[1 << 40, 1 << 40])],
            &[("x", &[2, 6, 6])],
        ),
        "onnx.shape",
    );
    for (a, b, op) in [
        (i64::MAX, 2, "Mul"),
        (i64::MIN, -1, "Div"),
        (1, 0, "Div"),
        (i64::MIN, -1, "Mod"),
        (2, -1, "Pow"),
    ] {
        let nodes = vec![node(op, "a b", "c", &[]), node("Reshape", "x c", "y", &[])];
        let file = OnnxFile::of(
            nodes,
            vec![ints("a", &[a]), ints("b", &[b])],
            &[("x", &[2, 6, 6])],
        );
        assert!(FloatModel::read(&file.bytes()).is_err(), "{op}");
    }
    let divided = vec![node("Div", "a zero", "c", &[]), node("Mul", "x c", "y", &[])];
    let file = OnnxFile::of(
        divided,
        vec![floats("a", &[1], &[1.0]), floats("zero", &[1], &[0.0])],
        &[("x", &[2])],
    );
    refuse(&file, "onnx.not_finite");
}

#[test]
fn values_that_grow_are_counted() {
    // Each node doubles a side.
    let nodes: Vec<Vec<u8>> = (0..20)
        .map(|i| {
            let (from, to) = (
                if i == 0 { "x".to_owned() } else { format!("v{i}") },
                if i == 19 {
                    "y".to_owned()
                } else {
                    format!("v{}", i + 1)
                },
            );
            node(
                "Resize",
                &format!("{from} _ by"),
                &to,
                &[
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ],
            )
        })
        .collect();
    let file = OnnxFile::of(
        nodes,
        vec![floats("by", &[4], &[1.0, 1.0, 2.0, 2.0])],
        &[("x", &[2, 6, 6])],
    );
    refuse(&file, "onnx.shape");
    // Many ops on one large value.
    let nodes: Vec<Vec<u8>> = (0..40)
        .map(|i| {
            let (from, to) = (
                if i == 0 { "x".to_owned() } else { format!("v{i}") },
                if i == 39 {
                    "y".to_owned()
                } else {
                    format!("v{}", i + 1)
                },
            );
            node("Sigmoid", &from, &to, &[])
        })
        .collect();
    refuse(
        &OnnxFile::of(nodes, vec![], &[("x", &[1 << 21])]),
        "onnx.too_large",
    );
    // A pool that looks at each element a million times.
    let pool = vec![node("MaxPool", "x", "y", &[list("kernel_shape", &[1024, 1024])])];
    refuse(
        &OnnxFile::of(pool, vec![], &[("x", &[1, 2048, 2048])]),
        "onnx.too_large",
    );
}

#[test]
fn networks_that_the_graph_has_no_form_for() {
    // Everything is read, but a graph has parameters.
    let model = FloatModel::read(&image("Relu", "x", &[], vec![]).bytes()).unwrap();
    let error = quantise_model(&model, &random_samples(&model, 2, 1), &Options::default()).unwrap_err();
    assert_eq!(error.code(), "graph.count", "{error}");
    for options in [
        Options {
            table_bits: 7,
            ..Options::default()
        },
        Options {
            table_bits: 13,
            ..Options::default()
        },
    ] {
        let error = quantise_model(&model, &random_samples(&model, 2, 1), &options).unwrap_err();
        assert_eq!(error.code(), "onnx.option");
    }
    let scale = |zero: Vec<u8>, step: f32| {
        let nodes = vec![
            node("QuantizeLinear", "x s z", "q", &[]),
            node("DequantizeLinear", "q s z", "y", &[]),
        ];
        OnnxFile::of(nodes, vec![floats("s", &[], &[step]), zero], &[("x", &[4])])
    };
    refuse(&scale(tensor("z", &[], 3, &[0]), 0.0), "onnx.attribute");
    refuse(&scale(tensor("z", &[], 3, &[0]), -1.0), "onnx.attribute");
    refuse(&scale(tensor("z", &[], 6, &[0; 4]), 1.0), "onnx.unsupported_use");
    refuse(&scale(tensor("z", &[2], 3, &[0; 2]), 1.0), "onnx.shape");
}

/// Files of many ops, for damage.
fn wide() -> Vec<Vec<u8>> {
    let mut all = vec![residual(1).bytes(), residual(3).bytes()];
    let scale = || floats("by", &[4], &[1.0, 1.0, 2.0, 2.0]);
    for (op, inputs, attributes, tensors) in [
        (
            "Conv",
            "x w",
            vec![
                list("pads", &[1, 1, 1, 1]),
                list("strides", &[2, 1]),
                list("dilations", &[1, 2]),
            ],
            filters(),
        ),
        (
            "AveragePool",
            "x",
            vec![
                list("kernel_shape", &[3, 3]),
                list("pads", &[1, 1, 1, 1]),
                int("ceil_mode", 1),
            ],
            vec![],
        ),
        (
            "MaxPool",
            "x",
            vec![
                list("kernel_shape", &[2, 3]),
                list("strides", &[2, 2]),
                int("ceil_mode", 1),
            ],
            vec![],
        ),
        (
            "Slice",
            "x a b c d",
            vec![],
            vec![
                ints("a", &[1, 0]),
                ints("b", &[5, 2]),
                ints("c", &[2, 1]),
                ints("d", &[2, 1]),
            ],
        ),
        ("Pad", "x p", vec![], vec![ints("p", &[0, 0, 1, 2, 0, 0, 1, 0])]),
        (
            "Resize",
            "x _ by",
            vec![
                text("coordinate_transformation_mode", "asymmetric"),
                text("nearest_mode", "floor"),
            ],
            vec![scale()],
        ),
        ("Reshape", "x s", vec![], vec![ints("s", &[0, 3, -1, 2])]),
        (
            "Gather",
            "x s",
            vec![int("axis", 2)],
            vec![ints("s", &[0, 2, 4, 1])],
        ),
        ("Split", "x s", vec![int("axis", 2)], vec![ints("s", &[6])]),
        ("Transpose", "x", vec![list("perm", &[0, 3, 1, 2])], vec![]),
        (
            "ReduceMean",
            "x s",
            vec![int("keepdims", 0)],
            vec![ints("s", &[2])],
        ),
        ("SpaceToDepth", "x", vec![int("blocksize", 2)], vec![]),
        ("PRelu", "x s", vec![], vec![floats("s", &[2, 1, 1], &[0.1, 0.2])]),
        ("Expand", "x s", vec![], vec![ints("s", &[2, 1, 2, 6, 6])]),
    ] {
        let nodes = vec![
            node("Conv", "x v _", "x1", &[]),
            node(op, &inputs.replacen('x', "x1", 1), "y", &attributes),
        ];
        let tensors = [
            tensors,
            vec![floats("v", &[2, 2, 1, 1], &[0.5, -0.25, 0.125, 1.0])],
        ]
        .concat();
        all.push(
            OnnxFile {
                opset: 18,
                ..OnnxFile::of(nodes, tensors, &[("x", &[2, 6, 6])])
            }
            .bytes(),
        );
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_networks_never_panic(
        which in any::<proptest::sample::Index>(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        whole in any::<bool>(),
    ) {
        let files = wide();
        let mut bytes = files[which.index(files.len())].clone();
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= byte;
        }
        let batch = if whole { BatchAxis::Absent } else { BatchAxis::First };
        let options = ReadOptions { batch, ..ReadOptions::default() };
        if let Ok(model) = FloatModel::read_with(&bytes, &options) {
            // A flipped dimension may ask for a large input; small networks go all the way.
            let size = |value| model.shape(value).map_or(0, |shape| shape.elements());
            let elements: usize = (0..model.inputs().len() + model.ops().len()).map(size).sum();
            if elements < 20_000 {
                let samples = random_samples(&model, 2, 9);
                if let Ok((file, _)) = quantise_model(&model, &samples, &Options::default()) {
                    haca_onnx::fidelity(&model, &file, &samples, None).unwrap();
                }
            }
        }
    }
}
