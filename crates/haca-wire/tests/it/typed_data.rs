//! The EIP-712 digests, signatures and addresses of `eth_account`.

use haca_wire::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../../spec/vectors/wire/eip712.json");

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn check<T: TypedDocument + Encode + Decode>(case: &Value) {
    let name = text(case, "name");
    let bytes = hex::decode(text(case, "encoding")).unwrap();
    let value = T::decode_all(&bytes).unwrap();
    assert_eq!(value.encode(), bytes, "{name}");
    let document = &case["typed_data"]["domain"];
    let domain = Domain {
        chain_id: text(document, "chainId").parse().unwrap(),
        genesis: text(document, "salt").parse().unwrap(),
    };
    let mut typed_data = value.typed_data(&domain);
    // The vectors write every integer as a string.
    if let Some(number) = typed_data["domain"]["chainId"].as_u64() {
        typed_data["domain"]["chainId"] = Value::from(number.to_string());
    }
    assert_eq!(typed_data, case["typed_data"], "{name}");
    assert_eq!(hex0x(&domain.separator()), text(case, "separator"), "{name}");
    let digest = value.digest(&domain);
    assert_eq!(hex0x(&digest), text(case, "digest"), "{name}");

    let secret = hex::decode(&text(case, "key")[2..]).unwrap();
    let key = SecretKey::from_bytes(&secret.try_into().unwrap()).unwrap();
    assert_eq!(key.address().to_string(), text(case, "address"), "{name}");
    let signature = key.sign(&digest).unwrap();
    assert_eq!(hex0x(signature.as_bytes()), text(case, "signature"), "{name}");
    assert_eq!(signature.recover(&digest), Ok(key.address()), "{name}");
}

#[test]
fn digests_signatures_and_addresses_are_those_of_eth_account() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let mut messages = std::collections::BTreeSet::new();
    for case in &cases {
        match text(case, "type") {
            "Quote" => check::<Quote>(case),
            "Order" => check::<Order>(case),
            "Receipt" => check::<Receipt>(case),
            "Close" => check::<Close>(case),
            "Voucher" => check::<Voucher>(case),
            "ReceiptRoot" => check::<ReceiptRoot>(case),
            "Transaction" => {
                check::<Transaction>(case);
                let members = case["typed_data"]["types"]["Transaction"].as_array().unwrap();
                messages.insert(text(&members[1], "type").to_owned());
            }
            other => panic!("unknown type {other}"),
        }
    }
    assert_eq!(messages.len(), 20, "a transaction of each message: {messages:?}");
}
