//! The vectors of `spec/wire.md`: codec, hashes, render.

use haca_wire::render::{parse_request, request_hash, response, response_hash, to_tensors};
use haca_wire::*;
use serde_json::Value;

macro_rules! files {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../../spec/vectors/wire/accept/", $name, ".json")),
            include_str!(concat!("../../../../spec/vectors/wire/reject/", $name, ".json"))),)*]
    };
}
const CODEC: [(&str, &str, &str); 7] = files!(
    "tensor",
    "scale",
    "signature",
    "order",
    "receipt",
    "evidence",
    "transaction"
);
const HASHES: &str = include_str!("../../../../spec/vectors/wire/hashes.json");
const RENDER: &str = include_str!("../../../../spec/vectors/wire/render.json");

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// Decodes as `T` and encodes again.
fn again<T: Encode + Decode>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    T::decode_all(bytes).map(|value| value.encode())
}

fn decode(kind: &str, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match kind {
        "Tensor" => again::<Tensor>(bytes),
        "Scale" => again::<Scale>(bytes),
        "TensorSpec" => again::<TensorSpec>(bytes),
        "Signature" => again::<Signature>(bytes),
        "SignedQuote" => again::<Signed<Quote>>(bytes),
        "SignedOrder" => again::<Signed<Order>>(bytes),
        "SignedClose" => again::<Signed<Close>>(bytes),
        "SignedReceipt" => again::<Signed<Receipt>>(bytes),
        "Evidence" => again::<Evidence>(bytes),
        "Group" => again::<Group>(bytes),
        "SignedTransaction" => again::<SignedTransaction>(bytes),
        other => panic!("unknown type {other}"),
    }
}

#[test]
fn accepted_bytes_decode_and_re_encode() {
    for (file, accept, _) in CODEC {
        let cases = cases(accept);
        assert!(cases.len() >= 5, "{file}");
        for case in cases {
            let bytes = hex::decode(text(&case, "hex")).unwrap();
            let found = decode(text(&case, "type"), &bytes);
            assert_eq!(found, Ok(bytes), "{file}: {}", case["name"]);
        }
    }
}

#[test]
fn rejected_bytes_are_refused_with_their_code() {
    for (file, _, reject) in CODEC {
        let cases = cases(reject);
        assert!(cases.len() >= 5, "{file}");
        for case in cases {
            let bytes = hex::decode(text(&case, "hex")).unwrap();
            let found = decode(text(&case, "type"), &bytes).map_err(|e| e.code());
            assert_eq!(found, Err(text(&case, "code")), "{file}: {}", case["name"]);
        }
    }
}

fn dtype(name: &str) -> DType {
    [DType::I8, DType::I16, DType::I32, DType::I64]
        .into_iter()
        .find(|dtype| dtype.name() == name)
        .unwrap()
}

fn shape(value: &Value) -> Shape {
    let dims = value["shape"].as_array().unwrap();
    Shape::new(
        dims.iter()
            .map(|d| d.as_u64().unwrap().try_into().unwrap())
            .collect(),
    )
    .unwrap()
}

fn tensors(value: &Value) -> Vec<Tensor> {
    let tensor = |value: &Value| {
        let data = value["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_i64().unwrap())
            .collect();
        Tensor::new(dtype(text(value, "dtype")), shape(value), data).unwrap()
    };
    value.as_array().unwrap().iter().map(tensor).collect()
}

fn specs(value: &Value) -> Vec<TensorSpec> {
    let spec = |value: &Value| {
        let (mantissa, shift) = (
            value["mantissa"].as_u64().unwrap(),
            value["shift"].as_u64().unwrap(),
        );
        TensorSpec {
            name: Name::new(text(value, "name")).unwrap(),
            dtype: dtype(text(value, "dtype")),
            shape: shape(value),
            scale: Scale::new(mantissa.try_into().unwrap(), shift.try_into().unwrap()).unwrap(),
        }
    };
    value.as_array().unwrap().iter().map(spec).collect()
}

#[test]
fn tensor_roots_proof_contexts_and_content_hashes() {
    let vectors: Value = serde_json::from_str(HASHES).unwrap();
    for case in vectors["tensor_roots"].as_array().unwrap() {
        let tensors = tensors(&case["tensors"]);
        assert_eq!(
            tensor_root(&tensors).to_string(),
            text(case, "root"),
            "{}",
            case["tensors"]
        );
    }
    for case in vectors["proof_contexts"].as_array().unwrap() {
        let domain = Domain {
            chain_id: text(case, "chain_id").parse().unwrap(),
            genesis: text(case, "genesis").parse().unwrap(),
        };
        let receipts = case["receipts"].as_array().unwrap();
        let receipts: Vec<ReceiptHash> = receipts
            .iter()
            .map(|r| r.as_str().unwrap().parse().unwrap())
            .collect();
        let hex0x = |bytes: [u8; 32]| format!("0x{}", hex::encode(bytes));
        assert_eq!(hex0x(domain.separator()), text(case, "separator"));
        assert_eq!(hex0x(proof_context(&domain, &receipts)), text(case, "context"));
    }
    for case in vectors["contents"].as_array().unwrap() {
        let bytes = hex::decode(text(case, "bytes")).unwrap();
        assert_eq!(request_hash(&bytes).to_string(), text(case, "hash"));
        assert_eq!(response_hash(&bytes).to_string(), text(case, "hash"));
    }
}

#[test]
fn requests_become_the_stated_tensors_or_the_stated_error() {
    let vectors: Value = serde_json::from_str(RENDER).unwrap();
    for case in vectors["accept"].as_array().unwrap() {
        let request = parse_request(text(case, "request").as_bytes()).unwrap();
        assert_eq!(request.model.to_string(), text(case, "model"));
        let found = to_tensors(&request, &specs(&case["specs"])).unwrap();
        assert_eq!(found, tensors(&case["tensors"]), "{}", case["name"]);
    }
    for case in vectors["reject"].as_array().unwrap() {
        let found = parse_request(text(case, "request").as_bytes())
            .and_then(|request| to_tensors(&request, &specs(&case["specs"])))
            .map_err(|e| e.code());
        assert_eq!(found, Err(text(case, "code")), "{}", case["name"]);
    }
}

#[test]
fn outputs_become_the_stated_response() {
    let vectors: Value = serde_json::from_str(RENDER).unwrap();
    for case in vectors["responses"].as_array().unwrap() {
        let model = text(case, "model").parse().unwrap();
        let bytes = response(model, &specs(&case["specs"]), &tensors(&case["tensors"]));
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), text(case, "response"));
        assert_eq!(response_hash(&bytes).to_string(), text(case, "hash"));
    }
}
