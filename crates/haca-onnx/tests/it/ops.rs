//! Each op behind a convolution: the float model against plain loops, the integer graph against the float model.

mod arrangement;
mod layer;

use haca_graph::{Op, evaluate};
use haca_onnx::{FloatModel, Options, Sample, fidelity, quantise_model, quantise_sample};

use crate::fixtures::random_samples;
use crate::onnx_file::{OnnxFile, float, floats, int, ints, list, node, tensor, tensor_attribute, text};
use crate::reference::{
    Array, Window, average_pool, conv, erf, gelu, gelu_tanh, mat_mul, max_pool, reduce, sigmoid, zip,
};

/// Channels, height and width of the image behind the first convolution.
const IMAGE: [usize; 3] = [4, 6, 6];

/// A fixed sequence in -1 to 1.
pub(crate) fn sequence(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1u32 << 23) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn constant(name: &str, dims: &[usize], seed: u64) -> (Vec<u8>, Array) {
    let data = sequence(dims.iter().product(), seed);
    let narrow: Vec<f32> = data.iter().map(|v| *v as f32).collect();
    let wide: Vec<i64> = dims.iter().map(|d| *d as i64).collect();
    let array = Array::new(dims, narrow.iter().map(|v| f64::from(*v)).collect());
    (floats(name, &wide, &narrow), array)
}

/// What a network has beside the first convolution `x -> h`.
struct Case {
    name: &'static str,
    nodes: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    expected: Box<dyn Fn(&Array) -> Array>,
    /// Ops of the integer graph behind the first convolution.
    ops: &'static [&'static str],
}

fn case(
    name: &'static str,
    nodes: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    expected: impl Fn(&Array) -> Array + 'static,
    ops: &'static [&'static str],
) -> Case {
    Case {
        name,
        nodes,
        tensors,
        expected: Box::new(expected),
        ops,
    }
}

/// Runs a case: `x [3, 8, 8]`, a convolution to `h [4, 6, 6]`, and the nodes of the case to `y`.
fn check(case: &Case) {
    let (w, w_array) = constant("w0", &[4, 3, 3, 3], 1);
    let (b, b_array) = constant("b0", &[4], 2);
    let mut nodes = vec![node("Conv", "x w0 b0", "h", &[])];
    nodes.extend(case.nodes.clone());
    let tensors = [vec![w, b], case.tensors.clone()].concat();
    let file = OnnxFile {
        opset: 20,
        ..OnnxFile::of(nodes, tensors, &[("x", &[3, 8, 8])])
    };
    let model = FloatModel::read(&file.bytes()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let samples = random_samples(&model, 24, 7);
    let mut largest = 0.0f64;
    for sample in &samples {
        let h = conv(
            &Array::new(&[3, 8, 8], sample.0[0].clone()),
            &w_array,
            &b_array.data,
            &Window::of(3),
            1,
        );
        let expected = (case.expected)(&h);
        let found = model.infer(sample).unwrap().remove(0);
        assert_eq!(found.len(), expected.data.len(), "{}", case.name);
        for (f, e) in found.iter().zip(&expected.data) {
            assert!(
                (f64::from(*f) - e).abs() <= 1e-4 * (1.0 + e.abs()),
                "{}: {f} for {e}",
                case.name
            );
            largest = largest.max(e.abs());
        }
    }
    let (integer, _) = quantise_model(&model, &samples, &Options::default())
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let ops: Vec<&str> = integer.manifest.graph.nodes().iter().map(Op::name).collect();
    let behind: Vec<&str> = ops
        .iter()
        .skip_while(|op| **op != "Convolve")
        .skip(1)
        .copied()
        .collect();
    assert_eq!(behind, case.ops, "{}", case.name);
    let found = fidelity(&model, &integer, &samples, None).unwrap();
    assert!(
        found.max_abs_err <= 0.05 * largest,
        "{}: {found:?} of {largest}",
        case.name
    );
    assert!(
        found.mean_abs_err <= 0.012 * largest,
        "{}: {found:?} of {largest}",
        case.name
    );
}

fn unary(
    op: &'static str,
    attributes: &[Vec<u8>],
    of: impl Fn(f64) -> f64 + Copy + 'static,
    ops: &'static [&'static str],
) -> Case {
    case(
        op,
        vec![node(op, "h", "y", attributes)],
        vec![],
        move |h| h.map(of),
        ops,
    )
}

const FUSED: &[&str] = &["Activate", "Transpose"];
const CLAMPED: &[&str] = &["Requantise", "Transpose"];

#[test]
fn functions_and_clamps_are_part_of_the_requantisation() {
    let bounds = || vec![floats("low", &[], &[-0.5]), floats("high", &[], &[0.75])];
    for case in [
        unary("Relu", &[], |v| v.max(0.0), CLAMPED),
        unary("Sigmoid", &[], sigmoid, FUSED),
        unary("Tanh", &[], f64::tanh, FUSED),
        unary("Softplus", &[], |v| v.exp().ln_1p(), FUSED),
        unary(
            "LeakyRelu",
            &[float("alpha", 0.1)],
            |v| if v < 0.0 { 0.1 * v } else { v },
            FUSED,
        ),
        unary(
            "HardSigmoid",
            &[float("alpha", 0.25), float("beta", 0.4)],
            |v| (0.25 * v + 0.4).clamp(0.0, 1.0),
            FUSED,
        ),
        unary("HardSwish", &[], |v| v * (v / 6.0 + 0.5).clamp(0.0, 1.0), FUSED),
        unary("Gelu", &[], gelu, FUSED),
        unary("Gelu", &[text("approximate", "tanh")], gelu_tanh, FUSED),
        case(
            "Clip",
            vec![node("Clip", "h low high", "y", &[])],
            bounds(),
            |h| h.map(|v| v.clamp(-0.5, 0.75)),
            CLAMPED,
        ),
        case(
            "Min",
            vec![node("Min", "h high", "y", &[])],
            bounds()[1..].to_vec(),
            |h| h.map(|v| v.min(0.75)),
            CLAMPED,
        ),
        case(
            "Max",
            vec![node("Max", "low h", "y", &[])],
            bounds()[..1].to_vec(),
            |h| h.map(|v| v.max(-0.5)),
            CLAMPED,
        ),
    ] {
        check(&case);
    }
}

#[test]
fn functions_that_a_file_spells_out_are_recognised() {
    let number = |name: &str, v: f32| floats(name, &[], &[v]);
    let erf_gelu = vec![
        node("Div", "h root", "a", &[]),
        node("Erf", "a", "b", &[]),
        node("Add", "b one", "c", &[]),
        node("Mul", "h c", "d", &[]),
        node("Mul", "d half", "y", &[]),
    ];
    let half_first = vec![
        node("Mul", "h half", "g", &[]),
        node("Div", "h root", "a", &[]),
        node("Erf", "a", "b", &[]),
        node("Add", "b one", "c", &[]),
        node("Mul", "c g", "y", &[]),
    ];
    let constants = || {
        vec![
            number("root", std::f32::consts::SQRT_2),
            number("one", 1.0),
            number("half", 0.5),
        ]
    };
    let tanh_gelu = vec![
        node("Pow", "h three", "p", &[]),
        node("Mul", "p cubic", "q", &[]),
        node("Add", "h q", "r", &[]),
        node("Mul", "r factor", "s", &[]),
        node("Tanh", "s", "t", &[]),
        node("Add", "t one", "u", &[]),
        node("Mul", "h half", "v", &[]),
        node("Mul", "v u", "y", &[]),
    ];
    let of_tanh = vec![
        number("three", 3.0),
        number("cubic", 0.044715),
        number("factor", 0.797_884_6),
        number("one", 1.0),
        number("half", 0.5),
    ];
    let silu = vec![node("Sigmoid", "h", "s", &[]), node("Mul", "h s", "y", &[])];
    let quick = vec![
        node("Mul", "h f", "g", &[]),
        node("Sigmoid", "g", "s", &[]),
        node("Mul", "s h", "y", &[]),
    ];
    let hard = vec![
        node("HardSigmoid", "h", "s", &[float("alpha", 1.0 / 6.0)]),
        node("Mul", "h s", "y", &[]),
    ];
    let relu6 = vec![
        node("Add", "h three", "a", &[]),
        node("Clip", "a zero six", "b", &[]),
        node("Mul", "h b", "c", &[]),
        node("Div", "c six", "y", &[]),
    ];
    let swish = |v: f64| v * (v / 6.0 + 0.5).clamp(0.0, 1.0);
    for case in [
        case("erf", erf_gelu, constants(), |h| h.map(gelu), FUSED),
        case("half first", half_first, constants(), |h| h.map(gelu), FUSED),
        case("tanh", tanh_gelu, of_tanh, |h| h.map(gelu_tanh), FUSED),
        case("silu", silu, vec![], |h| h.map(|v| v * sigmoid(v)), FUSED),
        case("hard swish", hard, vec![], move |h| h.map(swish), FUSED),
        case(
            "relu6",
            relu6,
            vec![number("three", 3.0), number("zero", 0.0), number("six", 6.0)],
            move |h| h.map(swish),
            FUSED,
        ),
        case(
            "quick gelu",
            quick,
            vec![number("f", 1.702)],
            |h| h.map(|v| v * sigmoid(1.702 * v)),
            &["Activate", "Sum", "Requantise", "Transpose"],
        ),
    ] {
        check(&case);
    }
    assert!((erf(1.0) - 0.842_700_792_9).abs() < 1e-9);
}

#[test]
fn pools_are_windows() {
    let kernel = |k: i64, more: &[Vec<u8>]| [vec![list("kernel_shape", &[k, k])], more.to_vec()].concat();
    let stride = || vec![list("strides", &[2, 2])];
    let padded = || vec![list("strides", &[2, 2]), list("pads", &[1, 1, 1, 1])];
    let two = Window {
        stride: [2; 2],
        ..Window::of(2)
    };
    let three = Window {
        stride: [2; 2],
        pads: [1; 4],
        ..Window::of(3)
    };
    let dilated = Window {
        dilation: [2; 2],
        ..Window::of(2)
    };
    // Ceiling: 6 elements, kernel 3, stride 2 give a third window that hangs over by one.
    let hanging = Window {
        stride: [2; 2],
        pads: [0, 0, 1, 1],
        ..Window::of(3)
    };
    let max = &["Requantise", "WindowMax", "Transpose"];
    let mean = &["Requantise", "WindowSum", "Requantise", "Transpose"];
    let uneven = &[
        "Requantise",
        "WindowSum",
        "Requantise",
        "Reshape",
        "Convolve",
        "Requantise",
        "Reshape",
        "Transpose",
    ];
    let pool = |op: &str, attributes: Vec<Vec<u8>>| vec![node(op, "h", "y", &attributes)];
    for case in [
        case(
            "max",
            pool("MaxPool", kernel(2, &stride())),
            vec![],
            move |h| max_pool(h, &two),
            max,
        ),
        case(
            "max padded",
            pool("MaxPool", kernel(3, &padded())),
            vec![],
            move |h| max_pool(h, &three),
            max,
        ),
        case(
            "max dilated",
            pool("MaxPool", kernel(2, &[list("dilations", &[2, 2])])),
            vec![],
            move |h| max_pool(h, &dilated),
            max,
        ),
        case(
            "max ceil",
            pool(
                "MaxPool",
                kernel(3, &[stride(), vec![int("ceil_mode", 1)]].concat()),
            ),
            vec![],
            move |h| max_pool(h, &hanging),
            max,
        ),
        case(
            "mean",
            pool("AveragePool", kernel(2, &stride())),
            vec![],
            move |h| average_pool(h, &two, false),
            mean,
        ),
        case(
            "mean with padding",
            pool(
                "AveragePool",
                kernel(3, &[padded(), vec![int("count_include_pad", 1)]].concat()),
            ),
            vec![],
            move |h| average_pool(h, &three, true),
            mean,
        ),
        case(
            "mean without padding",
            pool("AveragePool", kernel(3, &padded())),
            vec![],
            move |h| average_pool(h, &three, false),
            uneven,
        ),
        case(
            "mean ceil",
            pool(
                "AveragePool",
                kernel(
                    3,
                    &[stride(), vec![int("ceil_mode", 1), int("count_include_pad", 1)]].concat(),
                ),
            ),
            vec![],
            move |h| average_pool(h, &hanging, false),
            uneven,
        ),
        case(
            "same",
            pool(
                "MaxPool",
                kernel(3, &[stride(), vec![text("auto_pad", "SAME_UPPER")]].concat()),
            ),
            vec![],
            move |h| max_pool(h, &hanging),
            max,
        ),
    ] {
        check(&case);
    }
}

#[test]
fn reductions() {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let largest = |v: &[f64]| v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let axes = || vec![ints("axes", &[2, 3])];
    let sums = &["Requantise", "Reshape", "WindowSum", "Requantise", "Reshape"];
    let maxima = &["Requantise", "Reshape", "WindowMax", "Reshape"];
    let keep = |op: &str, inputs: &str| vec![node(op, inputs, "y", &[int("keepdims", 0)])];
    for case in [
        case(
            "global mean",
            vec![
                node("GlobalAveragePool", "h", "p", &[]),
                node("Flatten", "p", "y", &[]),
            ],
            vec![],
            move |h| reduce(h, mean),
            &[
                "Requantise",
                "Reshape",
                "WindowSum",
                "Requantise",
                "Reshape",
                "ArgMax",
            ],
        ),
        case(
            "global max",
            vec![node("GlobalMaxPool", "h", "y", &[])],
            vec![],
            move |h| reduce(h, largest),
            maxima,
        ),
        case(
            "mean",
            vec![node("ReduceMean", "h axes", "y", &[])],
            axes(),
            move |h| reduce(h, mean),
            sums,
        ),
        case(
            "sum",
            vec![node("ReduceSum", "h axes", "y", &[])],
            axes(),
            move |h| reduce(h, |v| v.iter().sum()),
            sums,
        ),
        case(
            "max",
            vec![node("ReduceMax", "h axes", "y", &[])],
            axes(),
            move |h| reduce(h, largest),
            maxima,
        ),
        case(
            "channels",
            keep("ReduceMean", "h one"),
            vec![ints("one", &[1])],
            move |h| reduce(&h.reshaped(&[4, 36]).transposed(&[1, 0]), mean),
            &["Requantise", "Reshape", "Linear", "Reshape"],
        ),
    ] {
        check(&case);
    }
}

#[test]
fn sums_and_products_of_elements() {
    let second = || node("Conv", "h w1", "g", &[]);
    let (w1, w1_array) = constant("w1", &[4, 4, 1, 1], 5);
    let other = move |h: &Array| conv(h, &w1_array, &[0.0; 4], &Window::of(1), 1);
    let (gate, gate_array) = constant("c", &[4, 1, 1], 6);
    let (full, full_array) = constant("f", &[6, 6], 8);
    let of = |op: &str, inputs: &str| vec![second(), node(op, inputs, "y", &[])];
    let joined = &[
        "Requantise",
        "Convolve",
        "Requantise",
        "Sum",
        "Requantise",
        "Transpose",
    ];
    let times = &[
        "Requantise",
        "Convolve",
        "Requantise",
        "Product",
        "Requantise",
        "Transpose",
    ];
    let (a, b, c, d) = (other.clone(), other.clone(), other.clone(), other.clone());
    let (g1, g2, g3) = (gate_array.clone(), gate_array.clone(), gate_array);
    let alone = &["Requantise", "Transpose"];
    let spread = &[
        "Requantise",
        "Reshape",
        "Convolve",
        "Requantise",
        "Reshape",
        "Transpose",
    ];
    for case in [
        case(
            "add",
            of("Add", "h g"),
            vec![w1.clone()],
            move |h| zip(h, &a(h), |x, y| x + y),
            joined,
        ),
        case(
            "sub",
            of("Sub", "h g"),
            vec![w1.clone()],
            move |h| zip(h, &b(h), |x, y| x - y),
            joined,
        ),
        case(
            "mul",
            of("Mul", "h g"),
            vec![w1.clone()],
            move |h| zip(h, &c(h), |x, y| x * y),
            times,
        ),
        case(
            "sum",
            of("Sum", "h g h"),
            vec![w1.clone()],
            move |h| zip(h, &d(h), |x, y| 2.0 * x + y),
            joined,
        ),
        // Constants join the convolution.
        case(
            "add constant",
            vec![node("Add", "h c", "y", &[])],
            vec![gate.clone()],
            move |h| zip(h, &g1, |x, y| x + y),
            alone,
        ),
        case(
            "mul constant",
            vec![node("Mul", "c h", "y", &[])],
            vec![gate.clone()],
            move |h| zip(h, &g2, |x, y| x * y),
            alone,
        ),
        case(
            "constant less",
            vec![node("Sub", "c h", "y", &[])],
            vec![gate.clone()],
            move |h| zip(&g3, h, |x, y| x - y),
            alone,
        ),
        case(
            "div",
            vec![node("Div", "h two", "y", &[])],
            vec![floats("two", &[], &[2.5])],
            |h| h.map(|v| v / 2.5),
            alone,
        ),
        case(
            "neg",
            vec![node("Neg", "h", "y", &[])],
            vec![],
            |h| h.map(|v| -v),
            alone,
        ),
        case(
            "add everywhere",
            vec![node("Add", "h f", "y", &[])],
            vec![full],
            move |h| zip(h, &full_array, |x, y| x + y),
            spread,
        ),
        case(
            "square",
            vec![node("Pow", "h two", "y", &[])],
            vec![floats("two", &[], &[2.0])],
            |h| h.map(|v| v * v),
            &["Requantise", "Product", "Requantise", "Transpose"],
        ),
    ] {
        check(&case);
    }
}
