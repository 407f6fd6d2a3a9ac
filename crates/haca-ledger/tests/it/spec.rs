//! `spec/ledger.md` and the code say the same.

use std::collections::BTreeSet;

use haca_ledger::Refusal;

const SPEC: &str = include_str!("../../../../spec/ledger.md");

#[test]
fn every_result_code_stands_in_the_spec() {
    for (number, code, _) in Refusal::TABLE {
        let row = format!("| {number} | `{code}` |");
        assert!(SPEC.contains(&row), "spec/ledger.md lacks the row {row}");
    }
    let rows = SPEC.lines().filter(|line| line.contains("| `ledger."));
    assert_eq!(rows.count(), Refusal::TABLE.len(), "and no others");
}

#[test]
fn numbers_and_codes_are_unique_and_hints_say_something() {
    let numbers: BTreeSet<_> = Refusal::TABLE.iter().map(|row| row.0).collect();
    let codes: BTreeSet<_> = Refusal::TABLE.iter().map(|row| row.1).collect();
    assert_eq!(numbers.len(), Refusal::TABLE.len());
    assert_eq!(codes.len(), Refusal::TABLE.len());
    assert!(!numbers.contains(&0), "0 is success");
    assert!(Refusal::TABLE.iter().all(|row| row.2.len() > 10));
}

#[test]
fn every_kind_of_state_key_stands_in_the_spec() {
    use haca_wire::state::key;
    let kinds = [
        key::ASSET,
        key::BALANCE,
        key::BOND,
        key::CHAIN,
        key::CHANNEL,
        key::CLAIM,
        key::CLOCK,
        key::CLOSING,
        key::CLOSING_QUEUE,
        key::DOCKET,
        key::DUE,
        key::DUE_QUEUE,
        key::DUES,
        key::GOVERNANCE,
        key::HELD,
        key::MODEL,
        key::NODE,
        key::NONCE,
        key::PARAMS,
        key::POOL,
        key::PROPOSAL,
        key::RANGES,
        key::RECEIPTS,
        key::SPENT,
        key::SUPPLY,
        key::TERMS,
        key::UNBONDING,
        key::UNBONDING_QUEUE,
        key::UNSTAKING,
        key::UNSTAKING_QUEUE,
        key::VALIDATOR,
        key::VALIDATORS,
    ];
    for kind in kinds {
        let text = std::str::from_utf8(kind).unwrap();
        assert!(
            SPEC.contains(&format!("| `{text}")),
            "spec/ledger.md lacks key {text}"
        );
    }
}
