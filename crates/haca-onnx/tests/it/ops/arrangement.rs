//! Ops that move elements, and arithmetic on shapes.

use super::*;

#[test]
fn squeeze_and_excitation_broadcasts() {
    let nodes = vec![
        node("GlobalAveragePool", "h", "p", &[]),
        node("Sigmoid", "p", "s", &[]),
        node("Mul", "h s", "y", &[]),
    ];
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let expected = move |h: &Array| {
        let gate = reduce(h, mean).map(sigmoid).reshaped(&[4, 1, 1]);
        zip(h, &gate, |x, y| x * y)
    };
    check(&case(
        "gate",
        nodes,
        vec![],
        expected,
        &[
            "Requantise",
            "Reshape",
            "WindowSum",
            "Activate",
            "Expand",
            "Product",
            "Requantise",
            "Transpose",
        ],
    ));
}

#[test]
fn arrangements_move_what_they_have_to() {
    let of = |op: &str, inputs: &str, attributes: &[Vec<u8>]| vec![node(op, inputs, "y", attributes)];
    let [c, h, w] = IMAGE;
    let moved = &["Requantise", "Slice", "Transpose"];
    for case in [
        case(
            "identity",
            of("Identity", "h", &[]),
            vec![],
            Array::clone,
            &["Requantise", "Transpose"],
        ),
        case(
            "dropout",
            of("Dropout", "h", &[]),
            vec![],
            Array::clone,
            &["Requantise", "Transpose"],
        ),
        // Channels last is how the value lies.
        case(
            "transpose",
            of("Transpose", "h", &[list("perm", &[0, 2, 3, 1])]),
            vec![],
            |x| x.transposed(&[1, 2, 0]),
            &[],
        ),
        case(
            "reshape",
            of("Reshape", "h s", &[]),
            vec![ints("s", &[0, 4, -1])],
            move |x| x.reshaped(&[c, h * w]),
            &["Requantise", "Reshape", "Transpose"],
        ),
        case(
            "slice",
            of("Slice", "h from to on by", &[]),
            vec![
                ints("from", &[1, -1]),
                ints("to", &[4, -100]),
                ints("on", &[1, 3]),
                ints("by", &[2, -2]),
            ],
            move |x| Array::from_fn(&[2, h, 3], |i| x.at(&[1 + 2 * i[0], i[1], 5 - 2 * i[2]])),
            moved,
        ),
        case(
            "gather",
            of("Gather", "h i", &[int("axis", 1)]),
            vec![tensor("i", &[], 7, &2i64.to_le_bytes())],
            move |x| Array::from_fn(&[h, w], |i| x.at(&[2, i[0], i[1]])),
            &["Requantise", "Slice", "Reshape"],
        ),
        case(
            "gather some",
            of("Gather", "h i", &[int("axis", 1)]),
            vec![ints("i", &[3, 0, 1])],
            move |x| Array::from_fn(&[3, h, w], |i| x.at(&[[3, 0, 1][i[0]], i[1], i[2]])),
            &["Requantise", "Slice", "Slice", "Concat", "Transpose"],
        ),
        case(
            "pad",
            of("Pad", "h p v", &[]),
            vec![ints("p", &[0, 0, 1, 0, 0, 1, 0, 2]), floats("v", &[], &[0.5])],
            move |x| {
                Array::from_fn(&[c + 1, h + 1, w + 2], |i| {
                    if i[0] < c && i[1] >= 1 && i[2] < w {
                        x.at(&[i[0], i[1] - 1, i[2]])
                    } else {
                        0.5
                    }
                })
            },
            &["Requantise", "Pad", "Transpose"],
        ),
        case(
            "resize",
            of(
                "Resize",
                "h _ by",
                &[
                    text("coordinate_transformation_mode", "asymmetric"),
                    text("nearest_mode", "floor"),
                ],
            ),
            vec![floats("by", &[4], &[1.0, 1.0, 2.0, 3.0])],
            move |x| Array::from_fn(&[c, 2 * h, 3 * w], |i| x.at(&[i[0], i[1] / 2, i[2] / 3])),
            &[
                "Requantise",
                "Reshape",
                "Expand",
                "Reshape",
                "Transpose",
                "Reshape",
            ],
        ),
        case(
            "concat",
            vec![
                node("Relu", "h", "r", &[]),
                node("Concat", "r h", "y", &[int("axis", 1)]),
            ],
            vec![],
            move |x| {
                Array::from_fn(&[2 * c, h, w], |i| {
                    if i[0] < c {
                        x.at(i).max(0.0)
                    } else {
                        x.at(&[i[0] - c, i[1], i[2]])
                    }
                })
            },
            &["Requantise", "Requantise", "Concat", "Transpose"],
        ),
        case(
            "split",
            vec![
                node("Split", "h s", "a b", &[int("axis", 1)]),
                node("Sub", "b a", "y", &[]),
            ],
            vec![ints("s", &[2, 2])],
            move |x| Array::from_fn(&[2, h, w], |i| x.at(&[i[0] + 2, i[1], i[2]]) - x.at(i)),
            &["Requantise", "Slice", "Slice", "Sum", "Requantise", "Transpose"],
        ),
        case(
            "squeeze",
            vec![
                node("Unsqueeze", "h i", "u", &[]),
                node("Squeeze", "u i", "y", &[]),
            ],
            vec![ints("i", &[2])],
            Array::clone,
            &["Requantise", "Transpose"],
        ),
        case(
            "depth to space",
            of("DepthToSpace", "h", &[int("blocksize", 2)]),
            vec![],
            move |x| {
                Array::from_fn(&[1, 2 * h, 2 * w], |i| {
                    x.at(&[2 * (i[1] % 2) + i[2] % 2, i[1] / 2, i[2] / 2])
                })
            },
            &["Requantise", "Reshape", "Transpose", "Reshape"],
        ),
        case(
            "expand",
            vec![
                node("GlobalMaxPool", "h", "m", &[]),
                node("Expand", "m s", "y", &[]),
            ],
            vec![ints("s", &[1, 4, 2, 1])],
            |x| {
                Array::from_fn(&[4, 2, 1], |i| {
                    reduce(x, |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)).at(&[i[0]])
                })
            },
            &[
                "Requantise",
                "Reshape",
                "WindowMax",
                "Reshape",
                "Expand",
                "Reshape",
            ],
        ),
    ] {
        check(&case);
    }
}

#[test]
fn shape_arithmetic_folds() {
    // Flatten as exporters write it: the shape of h, its first dimension, and -1.
    let nodes = vec![
        node("Shape", "h", "s", &[]),
        node("Gather", "s zero", "n", &[]),
        node("Unsqueeze", "n first", "n1", &[]),
        node(
            "ConstantOfShape",
            "one",
            "m",
            &[tensor_attribute("value", &ints("", &[-1]))],
        ),
        node("Concat", "n1 m", "t", &[int("axis", 0)]),
        node("Cast", "t", "t64", &[int("to", 7)]),
        node("Reshape", "h t64", "f", &[]),
        node("MatMul", "f w1", "y", &[]),
    ];
    let (w1, w1_array) = constant("w1", &[144, 5], 9);
    let tensors = vec![
        w1,
        tensor("zero", &[], 7, &0i64.to_le_bytes()),
        ints("first", &[0]),
        ints("one", &[1]),
    ];
    // No Transpose: the columns of the dense layer follow the layout.
    check(&case(
        "flatten",
        nodes,
        tensors,
        move |h| mat_mul(&h.reshaped(&[144]), &w1_array),
        &["Requantise", "Reshape", "Linear", "ArgMax"],
    ));
}
