//! Layers with weights, quantised files and the end of a network.

use super::*;

#[test]
fn normalisation_joins_the_convolution() {
    let tensors = vec![
        floats("scale", &[4], &[1.0, 0.5, 2.0, 1.5]),
        floats("offset", &[4], &[0.1, -0.2, 0.0, 0.3]),
        floats("mean", &[4], &[0.5, 0.0, -0.5, 0.25]),
        floats("variance", &[4], &[1.0, 4.0, 0.25, 2.0]),
    ];
    let nodes = vec![
        node("BatchNormalization", "h scale offset mean variance", "n", &[]),
        node("Relu", "n", "y", &[]),
    ];
    let expected = |h: &Array| {
        let (s, o, m, v) = (
            [1.0, 0.5, 2.0, 1.5],
            [0.1, -0.2, 0.0, 0.3],
            [0.5, 0.0, -0.5, 0.25],
            [1.0f64, 4.0, 0.25, 2.0],
        );
        Array::from_fn(&h.dims, |i| {
            ((h.at(i) - m[i[0]]) / (v[i[0]] + 1e-5).sqrt() * s[i[0]] + o[i[0]]).max(0.0)
        })
    };
    check(&case("batch normalisation", nodes, tensors, expected, CLAMPED));
}

#[test]
fn dense_layers_over_other_axes() {
    let (right, right_array) = constant("w1", &[6, 3], 9);
    let (left, left_array) = constant("w2", &[3, 6], 10);
    let columns = move |h: &Array| {
        mat_mul(&h.transposed(&[0, 2, 1]), &left_array.transposed(&[1, 0])).transposed(&[0, 2, 1])
    };
    for case in [
        case(
            "right",
            vec![node("MatMul", "h w1", "y", &[])],
            vec![right],
            move |h| mat_mul(h, &right_array),
            &[
                "Requantise",
                "Transpose",
                "Reshape",
                "Linear",
                "Requantise",
                "Reshape",
                "Transpose",
            ],
        ),
        case(
            "left",
            vec![node("MatMul", "w2 h", "y", &[])],
            vec![left],
            columns,
            &[
                "Requantise",
                "Transpose",
                "Reshape",
                "Linear",
                "Requantise",
                "Reshape",
                "Transpose",
                "Reshape",
            ],
        ),
    ] {
        check(&case);
    }
}

#[test]
fn convolutions() {
    let wide = |dims: &[usize]| dims.iter().map(|d| *d as i64).collect::<Vec<_>>();
    for (kernel, stride, dilation, pads, groups, n) in [
        ([3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 1, 5),
        ([3, 2], [2, 1], [1, 1], [1, 0, 0, 1], 1, 3),
        ([2, 2], [1, 1], [2, 3], [0, 0, 0, 0], 2, 6),
        ([3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 4, 4),
        ([1, 1], [2, 2], [1, 1], [0, 0, 0, 0], 4, 8),
    ] {
        let (w, w_array) = constant("w1", &[n, 4 / groups, kernel[0], kernel[1]], 11);
        let (b, b_array) = constant("b1", &[n], 12);
        let attributes = [
            list("strides", &wide(&stride)),
            list("dilations", &wide(&dilation)),
            list("pads", &wide(&pads)),
            int("group", groups as i64),
        ];
        let window = Window {
            kernel,
            stride,
            dilation,
            pads,
        };
        let nodes = vec![
            node("Conv", "h w1 b1", "g", &attributes),
            node("Relu", "g", "y", &[]),
        ];
        check(&case(
            "conv",
            nodes,
            vec![w, b],
            move |h| conv(h, &w_array, &b_array.data, &window, groups).map(|v| v.max(0.0)),
            &["Requantise", "Convolve", "Requantise", "Transpose"],
        ));
    }
}

#[test]
fn one_dimensional_convolutions() {
    let (w, w_array) = constant("w", &[4, 2, 3], 13);
    let nodes = vec![
        node("Conv", "x w", "c", &[list("pads", &[1, 1])]),
        node("Relu", "c", "r", &[]),
        node(
            "MaxPool",
            "r",
            "y",
            &[list("kernel_shape", &[2]), list("strides", &[2])],
        ),
    ];
    let file = OnnxFile::of(nodes, vec![w], &[("x", &[2, 10])]);
    let model = FloatModel::read(&file.bytes()).unwrap();
    let samples = random_samples(&model, 10, 3);
    let window = Window {
        kernel: [1, 3],
        pads: [0, 1, 0, 1],
        ..Window::of(1)
    };
    let pool = Window {
        kernel: [1, 2],
        stride: [1, 2],
        ..Window::of(1)
    };
    for sample in &samples {
        let x = Array::new(&[2, 1, 10], sample.0[0].clone());
        let c = conv(&x, &w_array.reshaped(&[4, 2, 1, 3]), &[0.0; 4], &window, 1);
        let expected = max_pool(&c.map(|v| v.max(0.0)), &pool);
        let found = model.infer(sample).unwrap().remove(0);
        assert!(
            found
                .iter()
                .zip(&expected.data)
                .all(|(f, e)| (f64::from(*f) - e).abs() < 1e-4)
        );
        assert_eq!(found.len(), 20);
    }
    let (integer, _) = quantise_model(&model, &samples, &Options::default()).unwrap();
    assert!(fidelity(&model, &integer, &samples, None).unwrap().max_abs_err < 0.08);
}

#[test]
fn quantised_files_keep_their_scales() {
    // x to int8 steps of 1/64, a dense layer with int8 weights in steps of 1/32, y to steps of 1/16.
    let scalar = |name: &str, v: f32| floats(name, &[], &[v]);
    let zero = |name: &str| tensor(name, &[], 3, &[0]);
    let weights: Vec<u8> = (0..12i32).map(|i| (i * 9 - 50) as i8 as u8).collect();
    let tensors = || {
        vec![
            scalar("xs", 1.0 / 64.0),
            scalar("ws", 1.0 / 32.0),
            scalar("ys", 1.0 / 16.0),
            zero("xz"),
            zero("wz"),
            zero("yz"),
            tensor("w", &[4, 3], 3, &weights),
        ]
    };
    let spelled = vec![
        node("QuantizeLinear", "x xs xz", "q", &[]),
        node("DequantizeLinear", "q xs xz", "d", &[]),
        node("DequantizeLinear", "w ws wz", "v", &[]),
        node("MatMul", "d v", "m", &[]),
        node("QuantizeLinear", "m ys yz", "p", &[]),
        node("DequantizeLinear", "p ys yz", "y", &[]),
    ];
    let fused = vec![
        node("QuantizeLinear", "x xs xz", "q", &[]),
        node("QLinearMatMul", "q xs xz w ws wz ys yz", "p", &[]),
        node("DequantizeLinear", "p ys yz", "y", &[]),
    ];
    for nodes in [spelled, fused] {
        let file = OnnxFile::of(nodes, tensors(), &[("x", &[4])]);
        let model = FloatModel::read(&file.bytes()).unwrap();
        let samples = random_samples(&model, 30, 4);
        let (integer, _) = quantise_model(&model, &samples, &Options::default()).unwrap();
        let graph = &integer.manifest.graph;
        let steps: Vec<(u32, u8)> = graph
            .inputs()
            .iter()
            .chain(graph.outputs().iter().map(|(_, spec)| spec))
            .map(|spec| (spec.scale.mantissa(), spec.scale.shift()))
            .take(2)
            .collect();
        assert_eq!(steps, [(1, 6), (1, 4)]);
        let stored: Vec<i64> = integer.parameters.tensors()[0].values().to_vec();
        let expected: Vec<i64> = (0..3)
            .flat_map(|n| (0..4).map(move |k| i64::from((k * 3 + n) * 9 - 50)))
            .collect();
        assert_eq!(stored, expected, "the weights of the file, a row per output");
        for sample in &samples {
            let outputs = evaluate(
                graph,
                &integer.parameters,
                &quantise_sample(graph.inputs(), sample).unwrap(),
            )
            .unwrap()
            .outputs;
            for (q, f) in outputs[0].values().iter().zip(&model.infer(sample).unwrap()[0]) {
                // Only halves round differently.
                assert!((*q as f64 / 16.0 - f64::from(*f)).abs() <= 1.0 / 16.0 + 1e-6);
            }
        }
    }
}

#[test]
fn a_final_softmax_is_left_out_with_a_note() {
    let (w, _) = constant("w", &[4, 3], 14);
    let nodes = vec![
        node("MatMul", "x w", "l", &[]),
        node("Softmax", "l", "y", &[int("axis", 1)]),
    ];
    let model = FloatModel::read(&OnnxFile::of(nodes, vec![w], &[("x", &[4])]).bytes()).unwrap();
    assert_eq!(model.notes().len(), 1);
    assert!(model.notes()[0].contains("the_softmax"), "{:?}", model.notes());
    let (integer, report) =
        quantise_model(&model, &[Sample(vec![vec![0.5; 4]])], &Options::default()).unwrap();
    assert_eq!(report.notes, model.notes());
    assert_eq!(integer.manifest.graph.outputs()[0].1.name.as_str(), "y");
}
