//! The written form and the vectors agree with the code.

use std::fs;
use std::path::PathBuf;

use haca_verify::{CheckState, Policy, Report, SettledInference, verify_attack, verify_bundle, verify_state};
use haca_wire::state::key;
use haca_wire::{Address, AssetId, Encode as _, EvidenceKind};
use serde_json::{Value, json};

use crate::network::{NOW_S, Network, signed};
use crate::{attack, state_file};

pub(crate) fn spec(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../spec")
        .join(path)
}

/// Each identifier stands in the table of `spec/verify.md` exactly once, and no other does.
#[test]
fn the_spec_lists_every_check() {
    let source = include_str!("../../src/check_id.rs");
    let mut in_code: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1))
        .collect();
    let text = fs::read_to_string(spec("verify.md")).unwrap();
    let mut in_spec: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|id| id.contains('.'))
        .collect();
    in_code.sort_unstable();
    in_spec.sort_unstable();
    assert_eq!(in_spec, in_code);
}

/// Name, bundle, trusted hash, policy.
fn cases() -> Vec<(&'static str, Vec<u8>, haca_wire::GenesisHash, Policy)> {
    let network = Network::new();
    let other = Network {
        number: 7411,
        ..Network::new()
    };
    let honest = network.bundle();
    let mut forged_response = honest.clone();
    forged_response.response.push(b' ');
    let mut other_order = honest.clone();
    other_order.item = other.item();
    let mut moved = honest.clone();
    moved.branch.steps.pop();
    let mut trailing = honest.encode();
    trailing.push(0);
    let covered = Network::covered();
    let mut moved_in_range = covered.clone();
    moved_in_range.order.sequence.0 += 1;
    moved_in_range.receipt.sequence.0 += 1;
    let mut elsewhere = covered.bundle();
    elsewhere.item = moved_in_range.item();
    let mut dearer = covered.bundle();
    dearer.covering.as_mut().unwrap().voucher.total.0 += 1;
    let trust = network.trust();
    vec![
        ("signed", honest.encode(), trust, signed()),
        ("signed-unaccepted", honest.encode(), trust, Policy::default()),
        ("other-genesis", honest.encode(), other.trust(), signed()),
        ("forged-response", forged_response.encode(), trust, signed()),
        ("transplanted-receipt", other_order.encode(), trust, signed()),
        ("branch-cut", moved.encode(), trust, signed()),
        ("trailing-byte", trailing, trust, signed()),
        ("covered", covered.bundle().encode(), trust, signed()),
        ("covered-elsewhere", elsewhere.encode(), trust, signed()),
        ("covered-dearer", dearer.encode(), trust, signed()),
    ]
}

/// The state of every check, by its identifier.
fn states<T>(report: &Report<T>) -> serde_json::Map<String, Value> {
    let checks = report.checks().iter();
    checks
        .map(|check| (check.id.to_owned(), json!(check.state.name())))
        .collect()
}

fn vector(
    report: &Report<SettledInference>,
    name: &str,
    trust: haca_wire::GenesisHash,
    policy: &Policy,
) -> Value {
    json!({
        "name": name,
        "bundle": format!("{name}.bundle.hex"),
        "trust": trust.to_string(),
        "now_unix_s": NOW_S,
        "accepts_signed": policy.accepted.contains(&EvidenceKind::Signed),
        "outcome": report.outcome().name(),
        "checks": states(report),
    })
}

/// The committed vectors are what the code gives. `HACA_WRITE_VECTORS=1` writes them anew, which approves a change of
/// the format.
#[test]
fn vectors_are_current() {
    let mut vectors = Vec::new();
    for (name, bytes, trust, policy) in cases() {
        let report = verify_bundle(&bytes, trust, NOW_S, &policy);
        assert!(
            report
                .checks()
                .iter()
                .any(|check| check.state != CheckState::NotChecked)
        );
        vectors.push(vector(&report, name, trust, &policy));
        assert_committed(&format!("{name}.bundle.hex"), &hex::encode(&bytes));
    }
    assert_committed("vectors.json", &format!("{:#}", Value::from(vectors)));
}

/// The same for the files of the light client: what state files prove, and whom attack files accuse.
#[test]
fn vectors_of_light_files_are_current() {
    let mut vectors = Vec::new();
    for (name, bytes) in light_files() {
        let trust = Network::new().trust();
        let mut case = json!({ "name": name, "trust": trust.to_string(), "now_unix_s": NOW_S });
        let (file, outcome, checks) = if haca_verify::is_state_file(&bytes) {
            let report = verify_state(&bytes, trust, NOW_S, &Policy::default());
            if let Some(proven) = report.verified() {
                let proven = proven.get();
                case["proven"] = json!({
                    "key": hex::encode(&proven.key),
                    "height": proven.height.0,
                    "is_present": proven.entry.is_some(),
                    "shows_a_settlement": proven.settlement.is_some(),
                });
            }
            (format!("{name}.state.hex"), report.outcome(), states(&report))
        } else {
            let report = verify_attack(&bytes, trust, NOW_S, &Policy::default());
            if let Some(proven) = report.verified() {
                let attack = proven.get();
                let addresses = |accused: &[haca_verify::Accused]| -> Vec<String> {
                    accused.iter().map(|one| hex::encode(one.address)).collect()
                };
                case["proven"] = json!({
                    "kind": attack.kind.name(),
                    "height": attack.height.0,
                    "accused_by_first": addresses(&attack.sides[0].accused),
                    "accused_by_second": addresses(&attack.sides[1].accused),
                    "double_signed": addresses(&attack.double_signed),
                });
            }
            (format!("{name}.attack.hex"), report.outcome(), states(&report))
        };
        assert_committed(&file, &hex::encode(&bytes));
        case["file"] = file.into();
        case["outcome"] = outcome.name().into();
        case["checks"] = checks.into();
        vectors.push(case);
    }
    assert_committed("light.json", &format!("{:#}", Value::from(vectors)));
}

/// State and attack files of one network, by name.
fn light_files() -> Vec<(&'static str, Vec<u8>)> {
    let network = Network::new();
    let balance = |account| key::balance(Address([account; 20]), AssetId(0));
    let present = state_file::file(&network, &balance(7));
    let mut other_key = present.clone();
    other_key.key = balance(8);
    let mut other_leaf = state_file::settled(&network);
    other_leaf.leaf.as_mut().unwrap().settlement.fee.0 += 1;
    let mut second = network.block(attack::FORK, vec![2; 32]);
    second.data = 44;
    let twice = attack::file(&network, attack::honest(&network), second.build());
    let liar = network.block(attack::FORK, vec![66; 32]).build();
    let lunatic = attack::file(&network, attack::honest(&network), liar);
    let same = attack::file(&network, attack::honest(&network), attack::honest(&network));
    vec![
        ("balance", present.encode()),
        ("absent", state_file::file(&network, &balance(100)).encode()),
        ("settled-receipt", state_file::settled(&network).encode()),
        ("other-key", other_key.encode()),
        ("other-leaf", other_leaf.encode()),
        ("signed-twice", twice.encode()),
        ("lunatic", lunatic.encode()),
        ("same-header", same.encode()),
    ]
}

/// The committed file is this text and a line feed; written anew when that is asked for.
fn assert_committed(name: &str, text: &str) {
    let path = spec("vectors/verify").join(name);
    let text = format!("{text}\n");
    if std::env::var_os("HACA_WRITE_VECTORS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}");
}
