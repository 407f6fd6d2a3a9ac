//! Transfer, and the arithmetic under it.

use haca_ledger::{Effect, Refusal};
use haca_wire::{Address, Amount, AssetId, Message};

use crate::world::{OPG, RICH, USD, World, alice, bob, pauper};

fn transfer(to: Address, asset: AssetId, amount: u128) -> Message {
    Message::Transfer {
        to,
        asset,
        amount: Amount(amount),
    }
}

#[test]
fn transfer_moves_the_amount() {
    let mut world = World::new();
    let effects = world.ok(&alice(), transfer(bob().address(), USD, 40));
    assert!(matches!(
        effects[..],
        [Effect::Transferred {
            amount: Amount(40),
            ..
        }]
    ));
    assert_eq!(world.balance(alice().address(), USD), RICH - 40);
    assert_eq!(world.balance(bob().address(), USD), RICH + 40);
}

#[test]
fn rejects_transfer_above_balance() {
    let mut world = World::new();
    for amount in [RICH + 1, u128::MAX] {
        let refusal = world.refused(&alice(), transfer(bob().address(), USD, amount));
        assert!(
            matches!(refusal, Refusal::InsufficientBalance { .. }),
            "{refusal}"
        );
    }
}

#[test]
fn rejects_transfer_of_what_gas_has_taken() {
    let mut world = World::new();
    let all = world.balance(alice().address(), OPG);
    let refusal = world.refused(&alice(), transfer(bob().address(), OPG, all));
    assert!(matches!(refusal, Refusal::InsufficientBalance { .. }));
}

#[test]
fn transfer_to_oneself_creates_nothing() {
    let mut world = World::new();
    world.ok(&alice(), transfer(alice().address(), USD, RICH));
    assert_eq!(world.balance(alice().address(), USD), RICH);
}

#[test]
fn rejects_zero_amount_zero_address_and_unknown_asset() {
    let mut world = World::new();
    assert_eq!(
        world.refused(&alice(), transfer(bob().address(), USD, 0)),
        Refusal::ZeroAmount
    );
    assert_eq!(
        world.refused(&alice(), transfer(Address::default(), USD, 1)),
        Refusal::ZeroAddress
    );
    assert_eq!(
        world.refused(&alice(), transfer(bob().address(), AssetId(2), 1)),
        Refusal::UnknownAsset { asset: AssetId(2) }
    );
}

#[test]
fn an_account_can_be_emptied_and_filled_again() {
    let mut world = World::new();
    world.ok(&alice(), transfer(pauper().address(), USD, 5));
    world.ok(&alice(), transfer(pauper().address(), OPG, 100_000));
    world.ok(&pauper(), transfer(alice().address(), USD, 5));
    assert_eq!(world.balance(pauper().address(), USD), 0);
    world.ok(&alice(), transfer(pauper().address(), USD, 7));
    assert_eq!(world.balance(pauper().address(), USD), 7);
}
