//! The audit finds money that is not where the books say, and the export shows all of it.

use haca_ledger::{Audit, AuditError, audit, export};
use haca_wire::state::{BondRecord, Queue, key};
use haca_wire::{Amount, AssetId, Encode, EvidenceKind, Height, Message};
use serde_json::Value;

use crate::world::{OPG, State, USD, World, alice, bob, node};

fn recount(state: &State) -> Result<Audit, AuditError> {
    audit(state.iter().map(|(key, value)| (&key[..], &value[..])))
}

/// A state with something in every place.
fn full() -> World {
    let (mut world, channel) = World::with_channel();
    world.open(&bob());
    let message = world.settle_one(world.item(channel, 0, EvidenceKind::Signed));
    world.ok(&node(), message);
    world.ok(
        &node(),
        Message::Unbond {
            asset: USD,
            amount: Amount(100),
        },
    );
    world.ok(
        &alice(),
        Message::CloseChannel {
            channel,
            consent: None,
        },
    );
    world
}

#[test]
fn the_audit_recounts_every_part() {
    let world = full();
    let audit = recount(&world.state).unwrap();
    let usd = audit.supplies[&USD];
    assert_eq!(usd, world.supply(USD));
    assert_eq!(
        (usd.escrow, usd.bonds, usd.unbonding),
        (Amount(990), Amount(900), Amount(100))
    );
    assert_eq!(audit.entries, world.state.len() as u64);
    assert!(audit.supplies[&OPG].burned.0 > 0);
}

#[test]
fn the_audit_finds_a_balance_from_nowhere() {
    let mut world = full();
    let key = key::balance(alice().address(), USD);
    world.state.insert(key, Amount(7).encode());
    assert!(matches!(
        recount(&world.state),
        Err(AuditError::Part { part: "balances", .. })
    ));
}

#[test]
fn the_audit_finds_books_that_agree_with_themselves_only() {
    let mut world = full();
    let mut supply = world.supply(USD);
    supply.burned = Amount(5);
    world.state.insert(key::supply(USD), supply.encode());
    assert!(matches!(recount(&world.state), Err(AuditError::Issued { .. })));
    supply.issued = Amount(supply.issued.0 + 5);
    world.state.insert(key::supply(USD), supply.encode());
    assert!(
        recount(&world.state).is_ok(),
        "issued is what genesis says: compare it there"
    );
    world.state.remove(&key::supply(USD));
    assert_eq!(recount(&world.state), Err(AuditError::NoSupply { asset: USD }));
}

#[test]
fn the_audit_finds_a_reserve_without_channel() {
    let mut world = full();
    let bond = world.bond();
    let key = key::bond(node().address(), USD);
    let wrong = BondRecord {
        reserved: Amount(bond.reserved.0 - 1),
        ..bond
    };
    world.state.insert(key, wrong.encode());
    assert!(matches!(recount(&world.state), Err(AuditError::Reserved { .. })));
}

#[test]
fn the_audit_finds_a_queue_that_lost_an_entry() {
    let mut world = full();
    world
        .state
        .insert(key::CLOSING_QUEUE.to_vec(), Queue { head: 0, tail: 2 }.encode());
    assert!(matches!(
        recount(&world.state),
        Err(AuditError::QueueLength { queue: "closing", .. })
    ));
}

#[test]
fn the_audit_names_an_entry_that_is_none() {
    let mut world = full();
    world.state.insert(b"mystery/1".to_vec(), vec![1]);
    assert!(matches!(recount(&world.state), Err(AuditError::Entry { .. })));
    world.state.remove(&b"mystery/1"[..]);
    world.state.insert(key::receipts(Height(1)), vec![0; 31]);
    assert!(matches!(recount(&world.state), Err(AuditError::Entry { .. })));
}

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

/// The sum of `field` over a list of the export, for one asset.
fn sum(export: &Value, list: &str, field: &str, asset: AssetId) -> u128 {
    let entries = export[list].as_array().unwrap().iter();
    entries
        .filter(|entry| entry["asset"] == asset.0)
        .map(|entry| number(&entry[field]))
        .sum()
}

#[test]
fn the_supply_can_be_recomputed_from_the_export_alone() {
    let world = full();
    let export = export(world.state.iter().map(|(key, value)| (&key[..], &value[..]))).unwrap();
    for asset in [OPG, USD] {
        let supply = &export["supplies"][asset.0 as usize];
        let opg = u128::from(asset == OPG);
        let stakes: u128 = export["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .chain(export["validators"].as_array().unwrap())
            .map(|holder| number(&holder["stake"]))
            .sum();
        let parts = [
            sum(&export, "balances", "amount", asset),
            sum(&export, "channels", "deposit", asset),
            sum(&export, "bonds", "total", asset),
            sum(&export, "unbonding", "amount", asset),
            stakes * opg,
            number(&export["pool"]) * opg,
            number(&supply["burned"]),
        ];
        assert_eq!(parts.iter().sum::<u128>(), number(&supply["issued"]));
        assert_eq!(
            number(&supply["existing"]),
            number(&supply["issued"]) - number(&supply["burned"])
        );
    }
    let raw = export["raw"].as_object().unwrap();
    assert_eq!(raw.len(), world.state.len());
    for (key, value) in &world.state {
        assert_eq!(raw[&hex::encode(key)], hex::encode(value));
    }
}

#[test]
fn the_export_of_a_state_is_one_text() {
    let world = full();
    let entries = || world.state.iter().map(|(key, value)| (&key[..], &value[..]));
    let text = export(entries()).unwrap().to_string();
    assert_eq!(text, export(entries()).unwrap().to_string());
    assert!(text.contains("\"closing\""));
}
