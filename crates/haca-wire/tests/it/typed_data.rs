//! The EIP-712 digests, signatures and addresses of `eth_account`.

use haca_wire::codec::put_list;
use haca_wire::*;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../../spec/vectors/wire/eip712.json");

/// The `message` of a typed data document, member by member.
trait Document {
    fn document(&self) -> Value;
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The lower-case form, as the generator writes accounts.
fn account(address: &Address) -> String {
    hex0x(address.as_bytes())
}

fn content(bytes: &[u8]) -> String {
    hex0x(blake3::hash(bytes).as_bytes())
}

fn kind(evidence: EvidenceKind) -> String {
    (evidence as u8).to_string()
}

impl Document for Quote {
    fn document(&self) -> Value {
        json!({
            "node": account(&self.node), "payer": account(&self.payer), "asset": self.asset.to_string(),
            "deposit": self.deposit.to_string(), "warranty": self.warranty.to_string(),
            "offerVersion": self.offer_version.to_string(), "expires": self.expires.to_string(),
            "nonce": self.nonce.to_string(),
        })
    }
}

impl Document for Order {
    fn document(&self) -> Value {
        json!({
            "channel": self.channel.to_string(), "sequence": self.sequence.to_string(),
            "request": self.request.to_string(), "inputRoot": self.input_root.to_string(),
            "model": self.model.to_string(), "evidence": kind(self.evidence),
            "offerVersion": self.offer_version.to_string(), "maxFee": self.max_fee.to_string(),
            "warranty": self.warranty.to_string(), "settleBy": self.settle_by.to_string(),
        })
    }
}

impl Document for Receipt {
    fn document(&self) -> Value {
        json!({
            "channel": self.channel.to_string(), "sequence": self.sequence.to_string(), "order": self.order.to_string(),
            "inputRoot": self.input_root.to_string(), "outputRoot": self.output_root.to_string(),
            "response": self.response.to_string(), "render": self.render.0.to_string(),
            "parameters": hex0x(&self.parameters), "seed": self.seed.to_string(), "units": self.units.to_string(),
            "fee": self.fee.to_string(), "blockHeight": self.block_height.to_string(),
            "blockHash": self.block_hash.to_string(), "signer": account(&self.signer),
        })
    }
}

impl Document for Close {
    fn document(&self) -> Value {
        json!({ "channel": self.channel.to_string(), "expires": self.expires.to_string() })
    }
}

impl Document for TxMeta {
    fn document(&self) -> Value {
        json!({
            "sender": account(&self.sender), "expiry": self.expiry.to_string(), "nonce": self.nonce.to_string(),
            "maxBaseFee": self.max_base_fee.to_string(), "tip": self.tip.to_string(), "sponsor": account(&self.sponsor),
        })
    }
}

impl Document for Offer {
    fn document(&self) -> Value {
        json!({
            "model": self.model.to_string(), "evidence": kind(self.evidence), "asset": self.asset.to_string(),
            "basePrice": self.base_price.to_string(), "unitPrice": self.unit_price.to_string(),
        })
    }
}

impl Document for Message {
    fn document(&self) -> Value {
        match self {
            Self::Transfer { to, asset, amount } => {
                json!({ "to": account(to), "asset": asset.to_string(), "amount": amount.to_string() })
            }
            Self::RegisterModel { verifying_key, proof } => {
                json!({ "verifyingKey": content(verifying_key), "proof": content(proof) })
            }
            Self::RegisterNode {
                endpoint,
                payout,
                signer,
                offers,
            } => json!({
                "endpoint": endpoint, "payout": account(payout), "signer": account(signer),
                "offers": offers.iter().map(Document::document).collect::<Vec<_>>(),
            }),
            Self::Bond { asset, amount } | Self::Unbond { asset, amount } => {
                json!({ "asset": asset.to_string(), "amount": amount.to_string() })
            }
            Self::OpenChannel { quote } => {
                json!({ "quote": quote.value.document(), "signature": hex0x(quote.signature.as_bytes()) })
            }
            Self::TopUp { channel, amount } => {
                json!({ "channel": channel.to_string(), "amount": amount.to_string() })
            }
            Self::CloseChannel { channel, consent } => {
                json!({ "channel": channel.to_string(), "consent": content(&consent.encode()) })
            }
            Self::SettleBatch { groups } => {
                let mut bytes = Vec::new();
                put_list(&mut bytes, groups);
                json!({ "groups": content(&bytes) })
            }
            Self::ClaimMissed { order, receipt } => {
                json!({ "order": content(&order.encode()), "receipt": content(&receipt.encode()) })
            }
            Self::ClaimEquivocation { order, first, second } => json!({
                "order": content(&order.encode()), "first": content(&first.encode()),
                "second": content(&second.encode()),
            }),
        }
    }
}

impl Document for Transaction {
    fn document(&self) -> Value {
        json!({ "meta": self.meta.document(), "message": self.message.document() })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn check<T: TypedData + Document + Encode + Decode>(case: &Value) {
    let name = text(case, "name");
    let bytes = hex::decode(text(case, "encoding")).unwrap();
    let value = T::decode_all(&bytes).unwrap();
    assert_eq!(value.encode(), bytes, "{name}");
    assert_eq!(value.document(), case["typed_data"]["message"], "{name}");

    let document = &case["typed_data"]["domain"];
    let domain = Domain {
        chain_id: text(document, "chainId").parse().unwrap(),
        genesis: text(document, "salt").parse().unwrap(),
    };
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
            "Transaction" => {
                check::<Transaction>(case);
                let members = case["typed_data"]["types"]["Transaction"].as_array().unwrap();
                messages.insert(text(&members[1], "type").to_owned());
            }
            other => panic!("unknown type {other}"),
        }
    }
    assert_eq!(messages.len(), 11, "a transaction of each message: {messages:?}");
}

/// `encodeType` of EIP-712: the primary type, then the types it refers to, by name.
fn encode_type(types: &Value, primary: &str) -> String {
    let one = |name: &str| {
        let members: Vec<_> = types[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|member| format!("{} {}", text(member, "type"), text(member, "name")))
            .collect();
        format!("{name}({})", members.join(","))
    };
    let names = types.as_object().unwrap().keys();
    let mut referred: Vec<_> = names
        .filter(|name| *name != primary && *name != "EIP712Domain")
        .collect();
    referred.sort();
    let referred: String = referred.into_iter().map(|name| one(name)).collect();
    one(primary) + &referred
}

#[test]
fn type_strings_are_those_of_the_documents() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for case in &cases {
        let primary = text(case, "type");
        let expected = encode_type(&case["typed_data"]["types"], primary);
        let found = match primary {
            "Quote" => Quote::TYPE.to_owned(),
            "Order" => Order::TYPE.to_owned(),
            "Receipt" => Receipt::TYPE.to_owned(),
            "Close" => Close::TYPE.to_owned(),
            _ => {
                let bytes = hex::decode(text(case, "encoding")).unwrap();
                Transaction::decode_all(&bytes).unwrap().type_string()
            }
        };
        assert_eq!(found, expected);
    }
}
