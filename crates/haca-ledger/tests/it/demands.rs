//! Receipts settled as `Optimistic`: the fee waits, the payer may demand a proof, and the node answers or loses.

use haca_ledger::{CheckMode, Effect, Refusal, check_proposal, check_tx, query};
use haca_wire::order::Signed;
use haca_wire::state::{Calendar, ClaimKind, HeldKey, HeldRecord};
use haca_wire::*;

use crate::script::Key;
use crate::world::{OPG, RICH, STAKE, USD, World, alice, bob, node, other_node, payout, signer, test_params};

/// The gas of the largest answer at a base fee of 1 (10 flat, 2^20 bytes, two signatures of 20, and 100 of the proof), and
/// 1,001 units at 1,000,000 a million.
pub(crate) const DEPOSIT: u128 = 1_049_727;

pub(crate) fn place(item: &Item) -> HeldKey {
    HeldKey {
        channel: item.order.value.channel,
        first: item.order.value.sequence,
    }
}

pub(crate) fn demand(world: &World, item: &Item) -> Message {
    let HeldKey { channel, first } = place(item);
    Message::Demand {
        channel,
        first,
        sequence: first,
        receipt: item.receipt.value.hash(&world.domain),
        path: Vec::new(),
    }
}

/// The honest answer to demands of these receipts, each settled from the sequence beside it on.
pub(crate) fn respond(world: &World, receipts: &[(Sequence, &Receipt)]) -> Message {
    let inferences: Vec<_> = receipts
        .iter()
        .map(|(_, receipt)| world.inference(receipt.sequence.0))
        .collect();
    let hashes: Vec<_> = receipts
        .iter()
        .map(|(_, receipt)| receipt.hash(&world.domain))
        .collect();
    let proof = Key::new(1).settlement_proof(&proof_context(&world.domain, &hashes), &inferences);
    let answers = receipts
        .iter()
        .map(|(first, receipt)| Answer {
            first: *first,
            receipt: (*receipt).clone(),
        })
        .collect();
    Message::Respond {
        answers,
        inferences,
        proof,
    }
}

pub(crate) fn answer_to(world: &World, items: &[&Item]) -> Message {
    let receipts: Vec<_> = items
        .iter()
        .map(|item| (item.order.value.sequence, &item.receipt.value))
        .collect();
    respond(world, &receipts)
}

impl World {
    /// Settles receipts as `Optimistic`.
    pub(crate) fn hold(&mut self, items: Vec<Item>) {
        let evidence = Evidence::Optimistic;
        let groups = vec![Group { items, evidence }];
        self.ok(&node(), Message::SettleBatch { groups });
    }

    pub(crate) fn held(&self, held_key: HeldKey) -> Option<HeldRecord> {
        query::held(&self.state, held_key).unwrap()
    }
}

/// A channel with one receipt of a fee of 10 and a warranty of 50, settled as `Optimistic`.
fn doubted() -> (World, ChannelId, Item) {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Optimistic);
    world.hold(vec![item.clone()]);
    (world, channel, item)
}

#[test]
fn the_fee_waits_for_the_demand_window_and_is_paid_without_anybody_asking() {
    let (mut world, channel, item) = doubted();
    let held = world.held(place(&item)).unwrap();
    assert_eq!((held.fee, held.warranty), (Amount(10), Amount(50)));
    assert_eq!(
        held.matures,
        Tick(world.tick().0 - 1 + test_params().demand_window)
    );
    assert_eq!(world.supply(USD).held, Amount(10));
    assert_eq!(world.balance(payout(), USD), 0);
    assert_eq!(world.channel(channel).deposit, Amount(490));
    assert_eq!(world.channel(channel).reserve, Amount(250));
    assert_eq!(world.bond().reserved, Amount(300), "the warranty stays reserved");
    world.wait_for_tick(held.matures.0 + 1);
    assert_eq!(world.balance(payout(), USD), 0, "not before its tick has passed");
    let outcome = world.block(&[]);
    assert!(matches!(
        outcome.swept[..],
        [Effect::HeldPaid { fee: Amount(10), .. }]
    ));
    assert_eq!(world.balance(payout(), USD), 10);
    assert_eq!(world.supply(USD).held, Amount(0));
    assert_eq!(world.bond().reserved, Amount(250));
    assert!(world.held(place(&item)).is_none());
}

#[test]
fn a_receipt_settled_as_optimistic_settles_once_and_misses_nothing() {
    let (mut world, channel, item) = doubted();
    let group = Group {
        items: vec![item.clone()],
        evidence: Evidence::Optimistic,
    };
    let again = Message::SettleBatch { groups: vec![group] };
    assert!(matches!(
        world.refused(&node(), again),
        Refusal::SequenceUsed { .. }
    ));
    let proven = world.zk_group(vec![world.item(channel, 1, EvidenceKind::Optimistic)]);
    let message = Message::SettleBatch { groups: vec![proven] };
    assert!(matches!(
        world.refused(&node(), message),
        Refusal::EvidenceKind { .. }
    ));
    let opens = item.order.value.settle_by.0 + test_params().grace;
    world.wait_for_tick(opens + 1);
    let claim = Message::ClaimMissed {
        order: item.order,
        receipt: item.receipt,
    };
    assert!(matches!(
        world.refused(&alice(), claim),
        Refusal::SequenceUsed { .. }
    ));
}

#[test]
fn an_honest_node_answers_and_has_fee_and_deposit_at_once() {
    let (mut world, _, item) = doubted();
    let model = item.order.value.model;
    let price = query::deposit_of_demand(&world.state, model).unwrap();
    assert_eq!(price, Some(Amount(DEPOSIT)), "known before");
    world.ok(&alice(), demand(&world, &item));
    assert_eq!(world.supply(OPG).held, Amount(DEPOSIT));
    let (payer, prover) = (
        world.balance(alice().address(), OPG),
        world.balance(node().address(), OPG),
    );
    let message = answer_to(&world, &[&item]);
    let outcome = world.run(&node(), message);
    assert_eq!(outcome.refusal, None);
    assert_eq!(world.balance(payout(), USD), 10);
    assert_eq!(world.supply(OPG).held, Amount(0));
    assert_eq!(
        world.balance(node().address(), OPG) + outcome.burned.0,
        prover + DEPOSIT,
        "the deposit pays gas and proving"
    );
    assert!(outcome.burned.0 < DEPOSIT);
    assert_eq!(world.balance(alice().address(), OPG), payer);
    assert_eq!(world.bond().reserved, Amount(250));
    world.wait(30);
    assert_eq!(world.balance(payout(), USD), 10, "paid once");
    assert_eq!(world.node().stake, Amount(STAKE));
}

#[test]
fn a_cheating_node_loses_fee_warranty_and_stake_and_the_payer_has_its_deposit_back() {
    let (mut world, channel, item) = doubted();
    let usd = world.balance(alice().address(), USD);
    world.ok(&alice(), demand(&world, &item));
    let before = world.balance(alice().address(), OPG);
    let due = world.held(place(&item)).unwrap().due();
    assert_eq!(due, Tick(world.tick().0 - 1 + test_params().respond_window));
    world.wait_for_tick(due.0 + 1);
    assert_eq!(world.node().stake, Amount(STAKE));
    let outcome = world.block(&[]);
    assert!(matches!(
        outcome.swept[..],
        [Effect::DemandUnanswered {
            fee: Amount(10),
            paid: Amount(50),
            burned: Amount(STAKE),
            ..
        }]
    ));
    assert_eq!(world.balance(alice().address(), USD), usd + 60);
    assert_eq!(world.balance(alice().address(), OPG), before + DEPOSIT);
    assert_eq!(world.balance(payout(), USD), 0);
    assert!(world.node().jailed && world.node().stake == Amount(0));
    assert_eq!(world.bond().total, Amount(950));
    assert_eq!(world.bond().reserved, Amount(250));
    let claim = query::claim(&world.state, channel, Sequence(0)).unwrap().unwrap();
    assert_eq!((claim.kind, claim.paid), (ClaimKind::Unanswered, Amount(50)));
}

#[test]
fn the_last_tick_of_each_window_counts_and_the_next_does_not() {
    let (mut world, _, item) = doubted();
    let matures = world.held(place(&item)).unwrap().matures;
    let mut late = World {
        state: world.state.clone(),
        ..World::new()
    };
    late.domain = world.domain;
    late.nonces = world.nonces;
    late.wait_for_tick(matures.0 + 1);
    let refused = late.run(&alice(), demand(&late, &item)).refusal;
    assert_eq!(
        refused,
        Some(Refusal::NothingHeld { first: Sequence(0) }),
        "it was paid at the start of the block"
    );

    world.wait_for_tick(matures.0);
    world.ok(&alice(), demand(&world, &item));
    let due = world.held(place(&item)).unwrap().due();
    assert_eq!(due, Tick(matures.0 + test_params().respond_window));
    let message = answer_to(&world, &[&item]);
    world.wait_for_tick(due.0);
    world.ok(&node(), message);
    assert_eq!(world.balance(payout(), USD), 10);
    assert_eq!(world.node().stake, Amount(STAKE));
}

#[test]
fn deadlines_hold_exactly_even_while_the_sweep_is_behind() {
    let (mut world, channel) = World::with_channel();
    let items = [0, 1].map(|sequence| world.item(channel, sequence, EvidenceKind::Optimistic));
    world.hold(items.to_vec());
    world.ok(&alice(), demand(&world, &items[0]));
    let held = items.clone().map(|item| world.held(place(&item)).unwrap());
    let answer = answer_to(&world, &[&items[0]]);
    // More stale entries at the calendar's oldest tick than one block takes.
    let bytes = world.state.get(state::key::DUE_QUEUE).unwrap();
    let calendar = Calendar::decode_all(bytes).unwrap();
    assert_eq!(calendar.position, 0);
    let stale = haca_ledger::sweep::CALENDAR_STEPS * 2;
    let nothing = HeldKey {
        channel,
        first: Sequence(999),
    };
    for position in 0..stale {
        let entry = state::key::due(calendar.tick, position);
        world.state.insert(entry, nothing.encode());
    }
    let dues = state::key::dues(calendar.tick);
    world.state.insert(dues, stale.encode());
    let mut clock = query::clock(&world.state).unwrap();
    clock.tick = Tick(held[0].due().max(held[1].due()).0 + 1);
    world.state.insert(state::key::CLOCK.to_vec(), clock.encode());
    let late = demand(&world, &items[1]);
    let txs = [world.tx(&alice(), late), world.tx(&node(), answer)];
    let outcome = world.block(&txs);
    assert_eq!(outcome.swept, []);
    assert!(matches!(
        outcome.txs[0].refusal,
        Some(Refusal::DemandTooLate { .. })
    ));
    assert!(matches!(
        outcome.txs[1].refusal,
        Some(Refusal::AnswerTooLate { .. })
    ));
    world.wait(2);
    assert_eq!(world.balance(payout(), USD), 10, "the one that nobody doubted");
    assert!(world.node().jailed);
}

#[test]
fn nobody_but_the_payer_demands_and_only_of_what_was_settled() {
    let (mut world, channel, item) = doubted();
    let honest = demand(&world, &item);
    for stranger in [bob(), node(), other_node()] {
        assert!(matches!(
            world.refused(&stranger, honest.clone()),
            Refusal::NotThePayer { .. }
        ));
    }
    let receipt = item.receipt.value.hash(&world.domain);
    let altered = |sequence: u64, receipt, path| Message::Demand {
        channel,
        first: Sequence(0),
        sequence: Sequence(sequence),
        receipt,
        path,
    };
    for wrong in [
        altered(1, receipt, Vec::new()),
        altered(0, ReceiptHash([1; 32]), Vec::new()),
        altered(0, receipt, vec![[0; 32]]),
    ] {
        assert!(matches!(world.refused(&alice(), wrong), Refusal::NotALeaf { .. }));
    }
    let nothing = Message::Demand {
        channel,
        first: Sequence(1),
        sequence: Sequence(1),
        receipt,
        path: Vec::new(),
    };
    assert!(matches!(
        world.refused(&alice(), nothing),
        Refusal::NothingHeld { .. }
    ));
    world.ok(&alice(), honest.clone());
    assert!(matches!(
        world.refused(&alice(), honest),
        Refusal::DemandOpen { .. }
    ));
}

#[test]
fn a_demand_without_its_deposit_is_refused() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Optimistic);
    world.hold(vec![item.clone()]);
    let left = world.balance(alice().address(), OPG) - DEPOSIT;
    world.ok(
        &alice(),
        Message::Transfer {
            to: bob().address(),
            asset: OPG,
            amount: Amount(left),
        },
    );
    assert!(matches!(
        world.refused(&alice(), demand(&world, &item)),
        Refusal::InsufficientBalance { .. }
    ));
}

/// The thief sees the answer in the mempool, and has a receipt key of its own.
#[test]
fn a_copy_of_an_answer_from_the_mempool_does_nothing_for_the_thief() {
    let (mut world, _, item) = doubted();
    world.ok(&alice(), demand(&world, &item));
    let message = answer_to(&world, &[&item]);
    for thief in [bob(), alice(), other_node()] {
        let tx = world.tx(&thief, message.clone());
        let found = check_tx(&world.state, &tx, CheckMode::New, &|_| Amount(0), &world.script).unwrap();
        assert!(matches!(found, Err(Refusal::NotTheNode { .. })));
        assert!(
            check_proposal(&world.state, core::slice::from_ref(&tx), &world.script)
                .unwrap()
                .is_err()
        );
        let outcome = world.block(&[tx]).txs.remove(0);
        assert!(matches!(outcome.refusal, Some(Refusal::NotTheNode { .. })));
        assert_eq!(
            outcome.burned,
            Amount(0),
            "not admitted: the kept budget is not for it"
        );
    }
    // For a receipt of its own the proof does not hold: it absorbs the receipts it was made for.
    let mut other = item.receipt.value.clone();
    other.fee = Amount(9);
    let Message::Respond {
        inferences, proof, ..
    } = message.clone()
    else {
        panic!()
    };
    let answers = vec![Answer {
        first: Sequence(0),
        receipt: other,
    }];
    let moved = Message::Respond {
        answers,
        inferences,
        proof,
    };
    let outcome = world.run(&node(), moved);
    assert!(matches!(outcome.refusal, Some(Refusal::NoDemand { .. })));
    // The node's receipt key may send it, too.
    let funds = Message::Transfer {
        to: signer().address(),
        asset: OPG,
        amount: Amount(1_000_000),
    };
    world.ok(&alice(), funds);
    world.ok(&signer(), message.clone());
    let again = world.run(&node(), message);
    assert!(matches!(again.refusal, Some(Refusal::NoDemand { .. })));
}

#[test]
fn a_wrong_proof_burns_its_gas_and_leaves_the_demand_open() {
    let (mut world, _, item) = doubted();
    world.ok(&alice(), demand(&world, &item));
    let honest = answer_to(&world, &[&item]);
    let mut wrong = honest.clone();
    if let Message::Respond { proof, .. } = &mut wrong {
        proof[0] ^= 1;
    }
    assert!(matches!(world.refused(&node(), wrong), Refusal::Evidence { .. }));
    let mut other = honest.clone();
    if let Message::Respond { inferences, .. } = &mut other {
        inferences[0].outputs = inferences[0].inputs.clone();
    }
    assert_eq!(world.refused(&node(), other), Refusal::OutputRoot { index: 0 });
    let mut none = honest.clone();
    if let Message::Respond { inferences, .. } = &mut none {
        inferences.clear();
    }
    assert!(matches!(
        world.refused(&node(), none),
        Refusal::InferenceCount { .. }
    ));
    world.ok(&node(), honest);
}

/// A payer, or many payers together, can't demand more than a node can prove: each further demand has a later deadline,
/// and one proof answers several.
#[test]
fn demands_on_many_receipts_at_once_are_due_one_after_the_other() {
    let (mut world, channel) = World::with_channel();
    let items: Vec<_> = (0..4)
        .map(|sequence| {
            let mut order = world.order(channel, sequence, EvidenceKind::Optimistic);
            order.warranty = Amount(5);
            let receipt = world.receipt(&order);
            world.sign_item(order, receipt)
        })
        .collect();
    world.hold(items.clone());
    let txs: Vec<_> = items
        .iter()
        .map(|item| {
            let message = demand(&world, item);
            world.tx(&alice(), message)
        })
        .collect();
    let tick = world.tick().0;
    assert!(world.block(&txs).txs.iter().all(|tx| tx.refusal.is_none()));
    let (window, step) = (test_params().respond_window, test_params().respond_step);
    for (index, item) in (0..).zip(&items) {
        let due = world.held(place(item)).unwrap().due();
        assert_eq!(due, Tick(tick + window + index * step));
    }
    let all: Vec<_> = items.iter().collect();
    let message = answer_to(&world, &all[..3]);
    world.ok(&node(), message);
    assert_eq!(world.balance(payout(), USD), 30);
    // The docket shortens only when it is empty.
    world.wait_for_tick(tick + window + 3 * step);
    let message = answer_to(&world, &all[3..]);
    world.ok(&node(), message);
    assert_eq!(world.balance(payout(), USD), 40);
    assert_eq!(world.supply(OPG).held, Amount(0));
}

#[test]
fn answers_of_two_models_share_no_proof() {
    let (mut world, channel) = World::with_channel();
    world.register_model(&Key::new(2));
    let first = world.item(channel, 0, EvidenceKind::Optimistic);
    let mut order = world.order(channel, 1, EvidenceKind::Optimistic);
    order.model = Key::new(2).model;
    let mut receipt = world.receipt(&order);
    receipt.units = Key::new(2).units;
    let second = world.sign_item(order, receipt);
    world.hold(vec![first.clone()]);
    world.hold(vec![second.clone()]);
    for item in [&first, &second] {
        world.ok(&alice(), demand(&world, item));
    }
    let both = answer_to(&world, &[&first, &second]);
    assert!(matches!(
        world.refused(&node(), both),
        Refusal::MixedModels { .. }
    ));
}

/// Closing takes nothing from what is held, so neither side closes to get out of a demand.
#[test]
fn a_channel_closes_while_a_demand_is_open_and_the_demand_goes_on() {
    let (mut world, channel, item) = doubted();
    world.ok(&alice(), demand(&world, &item));
    let close = Close {
        channel,
        expires: Height(world.height().0 + 5),
    };
    let consent = Some(Signed::new(close, &world.domain, &alice()).unwrap());
    world.ok(&node(), Message::CloseChannel { channel, consent });
    assert_eq!(world.supply(USD).escrow, Amount(0));
    assert_eq!(world.bond().reserved, Amount(50), "the warranty of the held fee");
    let due = world.held(place(&item)).unwrap().due();
    let unbond = Message::Unbond {
        asset: USD,
        amount: Amount(951),
    };
    assert!(matches!(
        world.refused(&node(), unbond),
        Refusal::InsufficientBond { .. }
    ));
    world.wait_for_tick(due.0 + 2);
    assert_eq!(world.balance(alice().address(), USD), RICH + 50);
    assert_eq!(world.supply(USD).held, Amount(0));
    assert_eq!(world.bond().total, Amount(950));
}

#[test]
fn a_node_jailed_in_between_still_answers_and_still_loses() {
    let (mut world, channel, item) = doubted();
    let other = world.item(channel, 1, EvidenceKind::Optimistic);
    world.hold(vec![other.clone()]);
    let order = world.order(channel, 7, EvidenceKind::Signed);
    let mut receipts = [world.receipt(&order), world.receipt(&order)];
    receipts[1].seed = 1;
    let [first, second] = receipts.map(|receipt| Signed::new(receipt, &world.domain, &signer()).unwrap());
    let order = Signed::new(order, &world.domain, &alice()).unwrap();
    let report = Message::ClaimEquivocation { order, first, second };
    world.ok(&bob(), report);
    assert!(world.node().jailed);
    for item in [&item, &other] {
        world.ok(&alice(), demand(&world, item));
    }
    let message = answer_to(&world, &[&item]);
    world.ok(&node(), message);
    assert_eq!(world.balance(payout(), USD), 10);
    let usd = world.balance(alice().address(), USD);
    let due = world.held(place(&other)).unwrap().due();
    world.wait_for_tick(due.0 + 2);
    assert_eq!(world.balance(alice().address(), USD), usd + 60);
}

#[test]
fn the_warranty_of_a_held_receipt_is_paid_once_whichever_fault_comes_first() {
    for unanswered_first in [false, true] {
        let (mut world, channel, item) = doubted();
        let mut second = item.receipt.value.clone();
        second.response = ResponseHash([9; 32]);
        let report = Message::ClaimEquivocation {
            order: item.order.clone(),
            first: item.receipt.clone(),
            second: Signed::new(second, &world.domain, &signer()).unwrap(),
        };
        let usd = world.balance(alice().address(), USD);
        if !unanswered_first {
            world.ok(&bob(), report.clone());
            assert_eq!(world.balance(alice().address(), USD), usd + 50);
            assert_eq!(world.held(place(&item)).unwrap().warranty, Amount(0));
        }
        world.ok(&alice(), demand(&world, &item));
        let due = world.held(place(&item)).unwrap().due();
        world.wait_for_tick(due.0 + 2);
        if unanswered_first {
            world.ok(&bob(), report);
        }
        assert_eq!(
            world.balance(alice().address(), USD),
            usd + 60,
            "fee and warranty"
        );
        assert_eq!(world.channel(channel).reserve, Amount(250));
        assert_eq!(world.supply(OPG).stakes, Amount(crate::world::VALIDATOR_STAKE));
    }
}

#[test]
fn a_warranty_beyond_the_reserve_puts_aside_what_is_there() {
    let (mut world, channel) = World::with_channel();
    let mut order = world.order(channel, 0, EvidenceKind::Optimistic);
    order.warranty = Amount(1_000);
    let receipt = world.receipt(&order);
    let item = world.sign_item(order, receipt);
    world.hold(vec![item.clone()]);
    assert_eq!(world.held(place(&item)).unwrap().warranty, Amount(300));
    assert_eq!(world.channel(channel).reserve, Amount(0));
}

#[test]
fn a_flood_leaves_room_for_answers_and_stops_the_clock() {
    let (mut world, channel) = World::with_channel();
    let item = world.item(channel, 0, EvidenceKind::Optimistic);
    world.hold(vec![item.clone()]);
    let message = demand(&world, &item);
    world.ok(&alice(), message);
    let mut params = world.params();
    params.block_gas = Gas(10_000);
    params.tx_gas = Gas(2_000);
    world.state.insert(state::key::PARAMS.to_vec(), params.encode());
    let due = world.held(place(&item)).unwrap().due();
    let flood = |world: &mut World, count: usize| -> Vec<Vec<u8>> {
        (0..count)
            .map(|_| {
                let message = Message::Transfer {
                    to: bob().address(),
                    asset: USD,
                    amount: Amount(1),
                };
                world.tx(&bob(), message)
            })
            .collect()
    };
    let tick = world.tick();
    for _ in 0..20 {
        let txs = flood(&mut world, 40);
        assert!(world.block(&txs).exhausted);
    }
    assert_eq!(world.tick(), tick, "nobody misses a deadline in a flood");
    assert!(tick < due);
    // The answer comes last of all, and finds its fifth.
    let mut txs = flood(&mut world, 40);
    let answer = answer_to(&world, &[&item]);
    txs.push(world.tx(&node(), answer));
    let outcome = world.block(&txs);
    assert!(
        outcome.txs[..40].iter().any(|tx| tx.refusal.is_some()),
        "the rest is full"
    );
    assert_eq!(outcome.txs[40].refusal, None);
    assert_eq!(world.balance(payout(), USD), 10);
}

/// Answers, too, can fill a block: then the clock stands for them as for everybody.
#[test]
fn a_block_full_of_answers_stops_the_clock() {
    let (mut world, channel) = World::with_channel();
    let items: Vec<_> = (0..8)
        .map(|sequence| {
            let mut order = world.order(channel, sequence, EvidenceKind::Optimistic);
            order.warranty = Amount(5);
            let receipt = world.receipt(&order);
            world.sign_item(order, receipt)
        })
        .collect();
    world.hold(items.clone());
    let txs: Vec<_> = items
        .iter()
        .map(|item| {
            let message = demand(&world, item);
            world.tx(&alice(), message)
        })
        .collect();
    world.block(&txs);
    let mut params = world.params();
    params.block_gas = Gas(5_000);
    params.tx_gas = Gas(1_000);
    world.state.insert(state::key::PARAMS.to_vec(), params.encode());
    let txs: Vec<_> = items
        .iter()
        .map(|item| {
            let answer = answer_to(&world, &[item]);
            world.tx(&node(), answer)
        })
        .collect();
    let tick = world.tick();
    let outcome = world.block(&txs);
    let answered = outcome.txs.iter().filter(|tx| tx.refusal.is_none()).count();
    assert!(
        outcome.gas_used.0 > 4_000,
        "answers use what nobody else uses: {answered}"
    );
    assert!(outcome.exhausted);
    assert_eq!(world.tick(), tick);
}

/// The held fees of one tick are more than a block pays: the rest follows, in order, and none is paid twice.
#[test]
fn many_held_fees_are_paid_in_bounded_steps() {
    let (mut world, channel) = World::with_channel();
    let batch = 60;
    let mut txs = Vec::new();
    for first in [0, batch] {
        let items = (first..first + batch)
            .map(|sequence| {
                let mut order = world.order(channel, sequence, EvidenceKind::Optimistic);
                order.warranty = Amount(1);
                let mut receipt = world.receipt(&order);
                receipt.fee = Amount(1);
                world.sign_item(order, receipt)
            })
            .collect();
        let groups = vec![Group {
            items,
            evidence: Evidence::Optimistic,
        }];
        txs.push(world.tx(&node(), Message::SettleBatch { groups }));
    }
    assert!(world.block(&txs).txs.iter().all(|tx| tx.refusal.is_none()));
    assert_eq!(world.supply(USD).held, Amount(2 * u128::from(batch)));
    world.wait(test_params().demand_window + 2);
    assert_eq!(world.balance(payout(), USD), 2 * u128::from(batch));
    assert_eq!(world.bond().reserved, Amount(300 - 2 * u128::from(batch)));
    let calendar = haca_ledger::sweep::CALENDAR_STEPS;
    assert!(
        calendar > 888,
        "more than half a block's budget adds at three signatures each"
    );
}
