//! RegisterNode, Bond and Unbond.

use haca_ledger::{Effect, Refusal};
use haca_wire::{Address, Amount, AssetId, EvidenceKind, Message, ModelId, Offer, Tick};

use crate::script::Key;
use crate::world::{OPG, RICH, STAKE, USD, VALIDATOR_STAKE, World, alice, node, signer, test_params};

fn bond(amount: u128) -> Message {
    Message::Bond {
        asset: USD,
        amount: Amount(amount),
    }
}

fn unbond(amount: u128) -> Message {
    Message::Unbond {
        asset: USD,
        amount: Amount(amount),
    }
}

fn offer() -> Offer {
    Offer {
        model: Key::new(1).model,
        evidence: EvidenceKind::Zk,
        asset: USD,
        base_price: Amount(1),
        unit_price: Amount(2),
    }
}

fn with_offers(world: &World, new: Vec<Offer>) -> Message {
    let mut terms = world.terms();
    if let Message::RegisterNode { offers, .. } = &mut terms {
        *offers = new;
    }
    terms
}

#[test]
fn registration_escrows_the_stake_once() {
    let mut world = World::new();
    let terms = world.terms();
    let first = world.run(&node(), terms.clone());
    assert_eq!(
        world.balance(node().address(), OPG),
        RICH - STAKE - first.burned.0
    );
    assert_eq!(world.supply(OPG).stakes, Amount(STAKE + VALIDATOR_STAKE));
    let effects = world.ok(&node(), terms);
    assert!(matches!(
        effects[..],
        [Effect::NodeRegistered { offer_version: 2, .. }]
    ));
    assert_eq!(
        world.supply(OPG).stakes,
        Amount(STAKE + VALIDATOR_STAKE),
        "only once"
    );
    assert_eq!(world.node().stake, Amount(STAKE));
}

#[test]
fn rejects_a_node_that_cannot_stake() {
    let mut world = World::new();
    let rest = world.balance(alice().address(), OPG) - STAKE;
    world.ok(
        &alice(),
        Message::Transfer {
            to: node().address(),
            asset: OPG,
            amount: Amount(rest),
        },
    );
    let terms = world.terms();
    assert!(matches!(
        world.refused(&alice(), terms),
        Refusal::InsufficientBalance { asset: OPG, .. }
    ));
    assert_eq!(world.supply(OPG).stakes, Amount(VALIDATOR_STAKE));
}

#[test]
fn rejects_terms_that_nobody_could_use() {
    let mut world = World::with_node();
    let register = |endpoint: &str, payout: Address, signer: Address| Message::RegisterNode {
        endpoint: endpoint.to_owned(),
        payout,
        signer,
        offers: Vec::new(),
    };
    let (good, zero) = (signer().address(), Address::default());
    for endpoint in ["", "ftp://x", "http://", "https:// x", "127.0.0.1"] {
        assert_eq!(
            world.refused(&node(), register(endpoint, good, good)),
            Refusal::Endpoint,
            "{endpoint}"
        );
    }
    assert_eq!(
        world.refused(&node(), register("http://x", zero, good)),
        Refusal::ZeroAddress
    );
    assert_eq!(
        world.refused(&node(), register("http://x", good, zero)),
        Refusal::ZeroAddress
    );
}

#[test]
fn rejects_offers_of_what_cannot_be_settled() {
    let mut world = World::with_node();
    let mut wrong = offer();
    wrong.model = ModelId([0xEE; 32]);
    let message = with_offers(&world, vec![wrong]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::UnknownModel { .. }
    ));
    let mut wrong = offer();
    wrong.asset = AssetId(9);
    let message = with_offers(&world, vec![wrong]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::UnknownAsset { .. }
    ));
    let mut wrong = offer();
    wrong.evidence = EvidenceKind::Tee;
    let message = with_offers(&world, vec![wrong]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::UnsupportedEvidence { .. }
    ));
    let mut dearer = offer();
    dearer.base_price = Amount(7);
    let message = with_offers(&world, vec![offer(), dearer]);
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::DuplicateOffer { .. }
    ));
    let message = with_offers(&world, vec![offer()]);
    world.ok(&node(), message);
    assert_eq!(world.node().offers, [offer()]);
}

#[test]
fn only_nodes_bond() {
    let mut world = World::with_node();
    assert!(matches!(
        world.refused(&alice(), bond(1)),
        Refusal::UnknownNode { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), unbond(1)),
        Refusal::UnknownNode { .. }
    ));
    assert_eq!(world.refused(&node(), bond(0)), Refusal::ZeroAmount);
    assert_eq!(world.refused(&node(), unbond(0)), Refusal::ZeroAmount);
    assert!(matches!(
        world.refused(&node(), bond(RICH)),
        Refusal::InsufficientBalance { .. }
    ));
}

#[test]
fn unbonded_amounts_come_back_after_every_window() {
    let mut world = World::with_node();
    let before = world.balance(node().address(), USD);
    let start = world.tick().0;
    let effects = world.ok(&node(), unbond(400));
    let matures = start + test_params().unbonding;
    assert!(matches!(effects[..], [Effect::Unbonding { matures: Tick(m), .. }] if m == matures));
    world.wait_for_tick(matures + 1);
    assert_eq!(world.balance(node().address(), USD), before, "not a tick early");
    let outcome = world.block(&[]);
    assert!(matches!(
        outcome.swept[..],
        [Effect::Unbonded {
            amount: Amount(400),
            ..
        }]
    ));
    assert_eq!(world.balance(node().address(), USD), before + 400);
    assert_eq!(world.bond().total, Amount(600));
}

#[test]
fn rejects_unbonding_more_than_the_bond() {
    let mut world = World::with_node();
    for amount in [1_001, u128::MAX] {
        assert!(matches!(
            world.refused(&node(), unbond(amount)),
            Refusal::InsufficientBond { .. }
        ));
    }
    world.ok(&node(), unbond(1_000));
    assert!(matches!(
        world.refused(&node(), unbond(1)),
        Refusal::InsufficientBond { .. }
    ));
}

#[test]
fn rejects_unbonding_what_a_channel_has_reserved() {
    let (mut world, _) = World::with_channel();
    assert_eq!(world.bond().reserved, Amount(300));
    assert!(matches!(
        world.refused(&node(), unbond(701)),
        Refusal::InsufficientBond {
            found: Amount(700),
            ..
        }
    ));
    world.ok(&node(), unbond(700));
    assert!(matches!(
        world.refused(&node(), unbond(1)),
        Refusal::InsufficientBond { .. }
    ));
}

#[test]
fn many_matured_amounts_are_paid_in_bounded_steps() {
    let mut world = World::with_node();
    let (asset, amount) = (USD, Amount(10_000));
    world.ok(&node(), Message::Bond { asset, amount });
    let per_block = usize::try_from(haca_ledger::sweep::PER_BLOCK).unwrap();
    let txs: Vec<_> = (0..per_block + 6).map(|_| world.tx(&node(), unbond(1))).collect();
    let outcome = world.block(&txs);
    assert!(outcome.txs.iter().all(|tx| tx.refusal.is_none()));
    world.wait_for_tick(outcome.tick.0 + test_params().unbonding + 1);
    assert_eq!(world.block(&[]).swept.len(), per_block);
    assert_eq!(world.block(&[]).swept.len(), 6);
    assert_eq!(world.block(&[]).swept.len(), 0);
    assert_eq!(world.supply(USD).unbonding, Amount(0));
}
