//! What wallets are tested with: `wallets write FILE` writes values of every kind that accounts sign, each with its
//! typed data document and our signature; `wallets check FILE SIGNATURES...` reads what wallet libraries signed of them
//! and ends with the line `N passed, M failed`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's program")]
#![allow(dead_code, reason = "the samples of the tests have more than this needs")]

#[path = "../tests/it/sample.rs"]
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use haca_wire::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sample::Sample;
use serde_json::{Value, json};

/// Values of each kind.
const VALUES: usize = 3;
/// Transactions drawn until there are enough of each message.
const DRAWS: usize = 20_000;
/// Chain ids: one that a JSON number holds, and one that it does not.
const CHAIN_IDS: [u64; 2] = [7410, u64::MAX - 7];

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failed = match arguments.as_slice() {
        ["write", file] => {
            std::fs::write(file, serde_json::to_vec_pretty(&cases()).unwrap()).unwrap();
            0
        }
        ["check", file, signatures @ ..] => {
            let cases: Vec<Value> = read(file);
            let (mut passed, mut failed) = (0, 0);
            for signatures in signatures {
                for (what, holds) in check(&cases, &read::<BTreeMap<String, Value>>(signatures)) {
                    if holds {
                        passed += 1;
                    } else {
                        failed += 1;
                        println!("{signatures}: {what}");
                    }
                }
            }
            println!("{passed} passed, {failed} failed");
            failed
        }
        _ => {
            println!("usage: wallets write FILE | wallets check FILE SIGNATURES...");
            2
        }
    };
    std::process::ExitCode::from(u8::from(failed > 0))
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Whether the codec knows a message with this tag: an empty body of an unknown one is refused for its tag.
fn is_message(tag: u8) -> bool {
    !matches!(
        Message::decode_all(&[tag]),
        Err(DecodeError::BadTag { what: "message", .. })
    )
}

fn cases() -> Vec<Value> {
    let seed = [7; 32];
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let mut cases = Vec::new();
    for number in 0..VALUES {
        cases.push(case("Quote", number, &Quote::draw(&mut runner), &mut runner));
        cases.push(case("Order", number, &Order::draw(&mut runner), &mut runner));
        cases.push(case("Receipt", number, &Receipt::draw(&mut runner), &mut runner));
        cases.push(case("Close", number, &Close::draw(&mut runner), &mut runner));
    }
    let wanted: BTreeSet<u8> = (0..=u8::MAX).filter(|tag| is_message(*tag)).collect();
    let mut found: BTreeMap<u8, usize> = BTreeMap::new();
    for _ in 0..DRAWS {
        if wanted.iter().all(|tag| found.get(tag) == Some(&VALUES)) {
            return cases;
        }
        let message = Message::draw(&mut runner);
        let tag = *message.encode().first().unwrap();
        let number = found.entry(tag).or_default();
        if *number < VALUES {
            let transaction = Transaction {
                meta: TxMeta::draw(&mut runner),
                message,
            };
            let name = transaction.message.name();
            cases.push(case(name, *number, &transaction, &mut runner));
            *number += 1;
        }
    }
    panic!(
        "no samples of some messages: the codec has {wanted:?}, `Sample for Message` in tests/it/sample.rs draws {found:?}"
    );
}

fn case<T: TypedDocument + Encode>(kind: &str, number: usize, value: &T, runner: &mut TestRunner) -> Value {
    let key = SecretKey::draw(runner);
    let domain = Domain {
        chain_id: ChainId(CHAIN_IDS[number % CHAIN_IDS.len()]),
        genesis: GenesisHash::draw(runner),
    };
    let digest = value.digest(&domain);
    json!({
        "name": format!("{kind} {number}"),
        "encoding": hex::encode(value.encode()),
        "chain_id": domain.chain_id.0.to_string(),
        "genesis": domain.genesis.to_string(),
        "typed_data": value.typed_data(&domain),
        "digest": hex0x(&digest),
        "key": hex0x(&key.to_bytes()),
        "address": key.address().to_string(),
        "signature": hex0x(key.sign(&digest).unwrap().as_bytes()),
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a wallet library signed, held against what the ledger accepts: the signature of the document itself is the one
/// that our key makes, bit for bit; those of altered documents name other accounts; the other form of a signature is
/// none.
fn check(cases: &[Value], signed: &BTreeMap<String, Value>) -> Vec<(String, bool)> {
    let mut checks = Vec::new();
    for case in cases {
        let name = text(case, "name");
        let mut hold = |what: &str, holds: bool| checks.push((format!("{name}: {what}"), holds));
        let Some(signed) = signed.get(name) else {
            hold("not signed", false);
            continue;
        };
        let digest = <[u8; 32]>::try_from(bytes(text(case, "digest"))).unwrap();
        let address: Address = text(case, "address").parse().unwrap();
        let signature = |key: &str| Signature::decode_all(&bytes(text(signed, key))).ok();
        let honest = signature("signature");
        hold(
            "a wallet's signature is accepted",
            honest.is_some_and(|signature| signature.check(&digest, address).is_ok()),
        );
        hold(
            "it is the one that our key makes",
            text(signed, "signature") == text(case, "signature"),
        );
        hold(
            "its form with high s is refused",
            !text(signed, "high_s").is_empty() && signature("high_s").is_none(),
        );
        for altered in ["other_chain", "other_salt", "other_member"] {
            hold(
                altered,
                signature(altered).is_some_and(|signature| signature.check(&digest, address).is_err()),
            );
        }
    }
    checks
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.trim_start_matches("0x")).unwrap_or_default()
}
