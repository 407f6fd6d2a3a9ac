//! Render v1: request bytes to tensors, tensors to response bytes.

use haca_wire::render::{
    self, Decimal, InferRequest, RenderError, parse_request, request_hash, response_hash, to_tensors,
};
use haca_wire::*;
use proptest::prelude::*;

use crate::sample::Sample;

const MODEL: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn spec(name: &str, dtype: DType, dims: &[u32], mantissa: u32, shift: u8) -> TensorSpec {
    TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(dims.to_vec()).unwrap(),
        scale: Scale::new(mantissa, shift).unwrap(),
    }
}

/// A body with these inputs, as JSON text.
fn body(inputs: &str) -> String {
    format!("{{\"model\":\"{MODEL}\",\"inputs\":[{inputs}]}}")
}

fn one(data: &str) -> Result<InferRequest, RenderError> {
    parse_request(body(&format!("{{\"name\":\"x\",\"data\":[{data}]}}")).as_bytes())
}

fn code(text: &str) -> &'static str {
    parse_request(text.as_bytes()).unwrap_err().code()
}

#[test]
fn a_request_becomes_tensors_in_the_order_of_the_model() {
    let text =
        body("{\"name\":\"b\",\"data\":[1,-1]},\n {\"data\" : [ 0.25 , 1e0, -3.0E-1] , \"name\":\"a\"}");
    let request = parse_request(format!(" {text}\r\n\t").as_bytes()).unwrap();
    assert_eq!(request.model, MODEL.parse().unwrap());
    let specs = [
        spec("a", DType::I8, &[3], 1, 4),
        spec("b", DType::I32, &[1, 2], 3, 0),
    ];
    let tensors = to_tensors(&request, &specs).unwrap();
    assert_eq!(tensors[0].values(), [4, 16, -5]);
    assert_eq!(tensors[1].values(), [0, 0]);
    assert_eq!(
        (tensors[1].dtype(), tensors[1].shape().dims()),
        (DType::I32, &[1, 2][..])
    );
}

#[test]
fn numbers_are_read_as_written() {
    let cases = [
        ("0", (false, 0, 0)),
        ("-0", (true, 0, 0)),
        ("-0.0e-0", (true, 0, -1)),
        ("12.50", (false, 1250, -2)),
        ("9999999999999999999", (false, 9_999_999_999_999_999_999, 0)),
        ("0.0000000000000000000000000000001", (false, 1, -31)),
        ("1e9999", (false, 1, 9999)),
        ("1.5E+0007", (false, 15, 6)),
        ("-1.25e-9999", (true, 125, -10_001)),
    ];
    for (text, (negative, digits, exponent)) in cases {
        let request = one(text).unwrap();
        assert_eq!(
            request.inputs[0].1,
            [Decimal::new(negative, digits, exponent)],
            "{text}"
        );
    }
}

#[test]
fn what_is_not_a_json_number_is_refused() {
    for text in [
        "",
        "1,",
        ",1",
        "1 2",
        "+1",
        ".5",
        "1.",
        "01",
        "-01",
        "00",
        "-",
        "1e",
        "1e+",
        "1e5.0",
        "1e12345",
        "1e00001",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "true",
        "\"1\"",
        "[1]",
        "{}",
        "1_0",
        "1e1e1",
        "--1",
        "- 1",
        "1 .5",
        "10000000000000000000",
        "1.0000000000000000000",
        "18446744073709551615",
        "99999999999999999999",
        "1f",
        "\u{663}",
    ] {
        // An empty list is JSON; every other text is not a list of numbers.
        let expected = if text.is_empty() {
            None
        } else {
            Some("render.syntax")
        };
        assert_eq!(one(text).err().map(|e| e.code()), expected, "{text}");
    }
}

#[test]
fn nothing_is_dropped_silently() {
    let good = "{\"name\":\"x\",\"data\":[1]}";
    assert!(parse_request(body(good).as_bytes()).is_ok());
    let cases = [
        (
            format!("{{\"model\":\"{MODEL}\",\"inputs\":[],\"stream\":true}}"),
            "render.unknown_key",
        ),
        (
            body("{\"name\":\"x\",\"data\":[1],\"shape\":[1]}"),
            "render.unknown_key",
        ),
        (
            format!("{{\"model\":\"{MODEL}\",\"model\":\"{MODEL}\",\"inputs\":[]}}"),
            "render.duplicate",
        ),
        (
            format!("{{\"model\":\"{MODEL}\",\"inputs\":[],\"inputs\":[]}}"),
            "render.duplicate",
        ),
        (
            body("{\"name\":\"x\",\"name\":\"x\",\"data\":[1]}"),
            "render.duplicate",
        ),
        (
            body("{\"name\":\"x\",\"data\":[1],\"data\":[1]}"),
            "render.duplicate",
        ),
        (format!("{{\"model\":\"{MODEL}\"}}"), "render.missing"),
        ("{\"inputs\":[]}".to_owned(), "render.missing"),
        (body("{\"data\":[1]}"), "render.missing"),
        (body("{\"name\":\"x\"}"), "render.missing"),
        ("{}".to_owned(), "render.missing"),
    ];
    for (text, expected) in cases {
        assert_eq!(code(&text), expected, "{text}");
    }
}

#[test]
fn what_is_not_the_expected_json_is_refused() {
    let good = body("{\"name\":\"x\",\"data\":[1]}");
    let cases = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("\u{feff}{good}"),
        format!("{good}\0"),
        format!("//\n{good}"),
        good.replace("]}", "],}"),
        good.replace('"', "'"),
        good.replace("0x11", "0x1g"),
        good.replace("0x11", "0x1"),
        good.replace("\"x\"", "\"\\u0078\""),
        good.replace("\"x\"", "\"é\""),
        good.replace("\"x\"", "\"\""),
        good.replace("\"x\"", "\"a b\""),
        good.replace("\"x\"", "7"),
        good.replace("\"x\"", &format!("\"{}\"", "x".repeat(65))),
        good.replace("\"x\"", &format!("\"{}\"", "x".repeat(5000))),
        good.replace("[1]", "1"),
        good.replace("[1]", "[1"),
        good.replace("[{", "{"),
        good.replace("{\"name\"", &format!("{}{{\"name\"", "[".repeat(100_000))),
    ];
    for text in cases {
        assert_eq!(
            code(&text),
            "render.syntax",
            "{}",
            text.get(..200).unwrap_or(&text)
        );
    }
    assert_eq!(parse_request(b"\xff").unwrap_err().code(), "render.syntax");
    let raw = good.replace("\"x\"", "\"\u{1}\"");
    assert_eq!(code(&raw), "render.syntax");
}

#[test]
fn a_request_is_bounded() {
    let padded = |len: usize| {
        let good = body("{\"name\":\"x\",\"data\":[1]}");
        format!("{}{good}", " ".repeat(len - good.len()))
    };
    assert!(parse_request(padded(limit::BODY_BYTES).as_bytes()).is_ok());
    let error = parse_request(padded(limit::BODY_BYTES + 1).as_bytes()).unwrap_err();
    let (found, expected) = (limit::BODY_BYTES + 1, limit::BODY_BYTES);
    assert_eq!(error, RenderError::TooLong { found, expected });

    let inputs = |count: usize| {
        let list: Vec<_> = (0..count)
            .map(|i| format!("{{\"name\":\"x{i}\",\"data\":[]}}"))
            .collect();
        parse_request(body(&list.join(",")).as_bytes())
    };
    assert_eq!(inputs(limit::TENSORS).unwrap().inputs.len(), limit::TENSORS);
    assert_eq!(inputs(limit::TENSORS + 1).unwrap_err().code(), "render.syntax");
}

#[test]
fn a_request_fits_its_model() {
    let specs = [spec("a", DType::I8, &[2], 1, 0), spec("b", DType::I8, &[], 1, 0)];
    let a = "{\"name\":\"a\",\"data\":[1,2]}";
    let b = "{\"name\":\"b\",\"data\":[3]}";
    let run = |inputs: &str| to_tensors(&parse_request(body(inputs).as_bytes()).unwrap(), &specs);
    assert_eq!(run(&format!("{a},{b}")).unwrap()[1].values(), [3]);
    let cases = [
        (a.to_owned(), "render.missing"),
        (String::new(), "render.missing"),
        (format!("{a},{b},{a}"), "render.duplicate"),
        (
            format!("{a},{b},{}", a.replace("\"a\"", "\"c\"")),
            "render.unknown_input",
        ),
        (format!("{a},{}", b.replace('3', "")), "render.element_count"),
        (format!("{a},{}", b.replace('3', "3,3")), "render.element_count"),
        (format!("{b},{}", a.replace("1,2", "1")), "render.element_count"),
    ];
    for (inputs, expected) in cases {
        assert_eq!(run(&inputs).unwrap_err().code(), expected, "{inputs}");
    }
    let error = run(&format!("{a},{}", b.replace('3', "3,3"))).unwrap_err();
    assert_eq!(
        error,
        RenderError::ElementCount {
            name: "b".to_owned(),
            found: 2,
            expected: 1
        }
    );
}

#[test]
fn values_beyond_the_element_type_saturate() {
    let specs = [spec("x", DType::I8, &[4], 1, 0)];
    let tensors = to_tensors(&one("127.5, -128.5, 1e9999, -1e9999").unwrap(), &specs).unwrap();
    assert_eq!(tensors[0].values(), [127, -128, 127, -128]);
}

#[test]
fn a_response_is_one_form_of_json() {
    let specs = [
        spec("logits", DType::I32, &[1, 2], 3, 7),
        spec("label", DType::I32, &[], 1, 0),
    ];
    let outputs = [
        Tensor::new(DType::I32, specs[0].shape.clone(), vec![-5, 2_147_483_647]).unwrap(),
        Tensor::new(DType::I32, specs[1].shape.clone(), vec![1]).unwrap(),
    ];
    let bytes = render::response(MODEL.parse().unwrap(), &specs, &outputs);
    let expected = format!(
        "{{\"model\":\"{MODEL}\",\"outputs\":[\
         {{\"name\":\"logits\",\"dtype\":\"int32\",\"shape\":[1,2],\"scale\":{{\"mantissa\":3,\"shift\":7}},\
         \"data\":[-5,2147483647]}},\
         {{\"name\":\"label\",\"dtype\":\"int32\",\"shape\":[],\"scale\":{{\"mantissa\":1,\"shift\":0}},\"data\":[1]}}]}}"
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn hashes_cover_the_exact_bytes() {
    // BLAKE3 of the empty input, from the official test vectors.
    let empty = "0xaf1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(request_hash(b"").to_string(), empty);
    assert_eq!(response_hash(b"").to_string(), empty);
    assert_ne!(request_hash(b"{}"), request_hash(b"{ }"));
}

#[test]
fn every_error_has_a_code_and_a_hint() {
    for text in ["", "{}", "{\"a\":1}"] {
        let error = parse_request(text.as_bytes()).unwrap_err();
        assert!(
            error.code().starts_with("render.") && !error.hint().is_empty() && !error.to_string().is_empty()
        );
    }
}

/// Text that a parser of requests is likely to misread.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "-",
            "+",
            ".",
            "e",
            "E",
            "0",
            "1",
            "9",
            " ",
            "\n",
            "model",
            "inputs",
            "name",
            "data",
            "\"model\":",
            "\"inputs\":[",
            "\"name\":\"x\"",
            "\"data\":[",
            "null",
            "\u{0}",
            "é",
            "1e9999",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ]
}

fn outputs() -> impl Strategy<Value = Vec<(TensorSpec, Tensor)>> {
    let pair = (Name::any(), Scale::any(), Tensor::any()).prop_map(|(name, scale, tensor)| {
        let spec = TensorSpec {
            name,
            dtype: tensor.dtype(),
            shape: tensor.shape().clone(),
            scale,
        };
        (spec, tensor)
    });
    prop::collection::vec(pair, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        let _ = parse_request(&bytes);
    }

    #[test]
    fn random_tokens_never_panic(tokens in prop::collection::vec(token(), 0..60)) {
        let _ = parse_request(tokens.concat().as_bytes());
        let _ = parse_request(body(&tokens.concat()).as_bytes());
    }

    #[test]
    fn changed_requests_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let good = body("{\"name\":\"x\",\"data\":[1.5e-3,-2,0]},{\"name\":\"y\",\"data\":[1]}").into_bytes();
        let mut changed = good.clone();
        changed[at.index(good.len())] = byte;
        if let Ok(request) = parse_request(&changed) {
            let _ = to_tensors(&request, &[spec("x", DType::I8, &[3], 1, 7), spec("y", DType::I64, &[], 9, 62)]);
        }
        prop_assert!(parse_request(&good[..cut.index(good.len())]).is_err());
    }

    /// Every list of numbers that another JSON reader takes, short enough, is taken and means the same.
    #[test]
    fn numbers_agree_with_another_reader(text in "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?") {
        let request = one(&text).unwrap();
        let [Decimal { .. }] = request.inputs[0].1[..] else { panic!("one number") };
        let float: f64 = serde_json::from_str(&text).unwrap();
        let nearest = (float * 4096.0).round().clamp(i64::MIN as f64, i64::MAX as f64);
        let specs = [spec("x", DType::I64, &[1], 1, 12)];
        let q = to_tensors(&request, &specs).unwrap()[0].values()[0];
        // Equal up to the rounding of a float of 53 bits, and saturated alike.
        prop_assert!((q as f64 - nearest).abs() <= nearest.abs() * 1e-15 + 1.0, "{text}: {q} and {nearest}");
    }

    /// Whatever grammar the text follows, this reader takes no more than a JSON reader does.
    #[test]
    fn nothing_but_json_is_read(text in "[-+.eE0-9 ]{1,8}") {
        if one(&text).is_ok() {
            let json = serde_json::from_str::<serde_json::Value>(&format!("[{text}]"));
            // JSON bounds no exponent; a reader into floats does.
            let beyond_floats = |error: &serde_json::Error| error.to_string().starts_with("number out of range");
            prop_assert!(json.as_ref().err().is_none_or(beyond_floats), "{text}: {json:?}");
        }
    }

    #[test]
    fn responses_are_json_that_says_the_outputs(model in ModelId::any(), outputs in outputs()) {
        let (specs, tensors): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
        let bytes = render::response(model, &specs, &tensors);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(json["model"].as_str().unwrap(), model.to_string());
        prop_assert_eq!(json["outputs"].as_array().unwrap().len(), specs.len());
        for ((spec, tensor), json) in specs.iter().zip(&tensors).zip(json["outputs"].as_array().unwrap()) {
            prop_assert_eq!(json["name"].as_str().unwrap(), spec.name.as_str());
            prop_assert_eq!(json["dtype"].as_str().unwrap(), spec.dtype.name());
            prop_assert_eq!(json["scale"]["mantissa"].as_u64().unwrap(), u64::from(spec.scale.mantissa()));
            prop_assert_eq!(json["scale"]["shift"].as_u64().unwrap(), u64::from(spec.scale.shift()));
            let data: Vec<i64> = json["data"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
            prop_assert_eq!(data, tensor.values());
        }
        // No white space, no key beyond those the reader kept.
        prop_assert_eq!(serde_json::to_vec(&json).unwrap().len(), bytes.len());
    }
}
