//! The written form and the vectors agree with the code.

use std::fs;
use std::path::PathBuf;

use haca_verify::{CheckState, Policy, Report, SettledInference, verify_bundle};
use haca_wire::{Encode as _, EvidenceKind};
use serde_json::{Value, json};

use crate::network::{NOW_S, Network, signed};

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

fn vector(
    report: &Report<SettledInference>,
    name: &str,
    trust: haca_wire::GenesisHash,
    policy: &Policy,
) -> Value {
    let states: serde_json::Map<String, Value> = report
        .checks()
        .iter()
        .map(|check| (check.id.to_owned(), json!(check.state.name())))
        .collect();
    json!({
        "name": name,
        "bundle": format!("{name}.bundle.hex"),
        "trust": trust.to_string(),
        "now_unix_s": NOW_S,
        "accepts_signed": policy.accepted.contains(&EvidenceKind::Signed),
        "outcome": report.outcome().name(),
        "checks": states,
    })
}

/// The committed vectors are what the code gives. `HACA_WRITE_VECTORS=1` writes them anew, which approves a change of
/// the format.
#[test]
fn vectors_are_current() {
    let write = std::env::var_os("HACA_WRITE_VECTORS").is_some();
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
        let path = spec("vectors/verify").join(format!("{name}.bundle.hex"));
        let text = format!("{}\n", hex::encode(&bytes));
        if write {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name}");
    }
    let path = spec("vectors/verify/vectors.json");
    let vectors = Value::from(vectors);
    if write {
        fs::write(&path, format!("{vectors:#}\n")).unwrap();
    }
    let committed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(committed, vectors);
}
