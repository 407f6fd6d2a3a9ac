//! Covering vouchers: what waits is settled by two signatures, and whatever is wrong with a voucher, no receipt is lost.

use std::sync::atomic::{AtomicBool, Ordering};

use haca_client::{ClientError, Settleable, Wallet, check_coverage, voucher};
use haca_wire::{
    Amount, ChannelId, Coverage, Decode as _, EvidenceKind, Item, Message, ModelId, OrderHash, ReceiptRoot,
    Sequence, Signed, SignedTransaction, Tick, Voucher,
};

use crate::crash::crash;
use crate::gate::{Action, Gate};
use crate::world::{FEE, Serving, World, code, wait};

/// A frozen node with so many answered receipts, in the order of their sequences.
fn waiting<'a>(world: &'a World, gate: &Gate, count: u64) -> (Serving<'a>, ChannelId, Vec<Item>) {
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(u128::from(count) * FEE, 1_000);
    gate.freeze();
    let items = (0..count)
        .map(|sequence| item(&serving, channel, sequence))
        .collect();
    (serving, channel, items)
}

fn item(serving: &Serving<'_>, channel: ChannelId, sequence: u64) -> Item {
    serving.item(&serving.order(channel, sequence, &serving.body()))
}

impl Serving<'_> {
    pub(crate) fn voucher(&self, items: &[Item]) -> Voucher {
        let settle_by = Tick(self.world.tick() + 500);
        voucher(items, &self.world.domain, settle_by).unwrap()
    }

    fn sign_voucher(&self, voucher: &Voucher) -> Signed<Voucher> {
        self.world.user.sign(voucher.clone(), &self.world.domain).unwrap()
    }

    pub(crate) fn cover(&self, voucher: &Voucher) -> Result<haca_wire::Coverage, ClientError> {
        let signer = haca_client::Wallet::load(&self.config.home.join("receipt.key")).unwrap();
        let signed = self.sign_voucher(voucher);
        self.client.cover(&signed, signer.address(), &self.world.domain)
    }

    pub(crate) fn orders(&self, items: &[Item]) -> Vec<OrderHash> {
        let hash = |item: &Item| item.order.value.hash(&self.world.domain);
        items.iter().map(hash).collect()
    }

    /// Waits until one transaction has settled exactly these receipts, as pairs of one group.
    fn settled_in_one_batch(&self, items: &[Item]) {
        for order in self.orders(items) {
            let Message::SettleBatch { groups } = self.settled_by(order) else {
                panic!("settled under a voucher")
            };
            assert_eq!(groups[0].items, items);
        }
    }

    /// The message of the transaction that settled an order.
    fn settled_by(&self, order: OrderHash) -> Message {
        self.wait_for(order, "settled");
        self.message_of(order)
    }

    /// The message of the transaction that a receipt names.
    pub(crate) fn message_of(&self, order: OrderHash) -> Message {
        let tx = self.status(order).tx.unwrap();
        let bytes = self.world.client().transaction_bytes(tx.parse().unwrap());
        let bytes = bytes.unwrap().unwrap();
        SignedTransaction::decode_all(&bytes).unwrap().transaction.message
    }
}

#[test]
fn a_voucher_settles_all_its_receipts_with_two_signatures() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, channel, items) = waiting(&world, &gate, 6);
    let voucher = serving.voucher(&items);
    assert_eq!((voucher.count, voucher.total), (6, Amount(6 * FEE)));
    let coverage = serving.cover(&voucher).unwrap();
    assert_eq!(
        serving.cover(&voucher).unwrap(),
        coverage,
        "asked again, the same"
    );
    let before = world.operator_opg();
    gate.open();
    for order in serving.orders(&items) {
        let Message::SettleVouchers { coverages } = serving.settled_by(order) else {
            panic!("settled one by one")
        };
        assert_eq!(coverages, std::slice::from_ref(&coverage));
    }
    assert_eq!(world.record(channel).paid, Amount(6 * FEE));
    assert_eq!(world.record(channel).deposit, Amount(0));
    // A base fee of 1: three signatures, against two for each receipt.
    assert!(before - world.operator_opg() < 4 * 300_000);
    let wanted = Settleable::voucher(&voucher, &world.domain);
    assert!(world.client().settlement_of(&wanted).unwrap().is_some());
    let root = haca_wire::ReceiptHash(voucher.root);
    assert!(
        world.client().settled(root).unwrap().is_none(),
        "a root stands for nothing"
    );
}

#[test]
fn a_longer_voucher_replaces_the_one_before_it_and_no_other_overlaps() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, _, items) = waiting(&world, &gate, 6);
    serving.cover(&serving.voucher(&items[..2])).unwrap();
    let longer = serving.voucher(&items[..4]);
    serving.cover(&longer).unwrap();
    for other in [&items[..3], &items[1..5], &items[3..6], &items[1..3]] {
        assert_eq!(code(serving.cover(&serving.voucher(other))), "exec.voucher");
    }
    // An overlap is refused as one before any receipt is looked at.
    let mut unanswered = serving.voucher(&items[3..6]);
    (unanswered.count, unanswered.root) = (1_000, [7; 32]);
    let Err(ClientError::Refused { message, .. }) = serving.cover(&unanswered) else {
        panic!("a root over nothing")
    };
    assert!(
        message.contains("another voucher covers some of them"),
        "{message}"
    );
    serving.cover(&serving.voucher(&items[4..])).unwrap();
    gate.open();
    let orders = serving.orders(&items);
    let Message::SettleVouchers { coverages } = serving.settled_by(orders[0]) else {
        panic!("settled one by one")
    };
    let counts: Vec<u32> = coverages.iter().map(|one| one.voucher.value.count).collect();
    assert_eq!(counts, [4, 2], "both in one transaction");
    for order in orders {
        serving.wait_for(order, "settled");
    }
}

/// Each voucher that replaces another costs a durable write. A payer who signs again and again gives the node nothing more.
#[test]
fn another_voucher_over_the_same_receipts_gets_the_same_root_and_replaces_nothing() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, _, items) = waiting(&world, &gate, 3);
    let first = serving.cover(&serving.voucher(&items)).unwrap();
    for later in 1..4 {
        let mut again = first.voucher.value.clone();
        again.settle_by.0 += later;
        assert_eq!(serving.cover(&again).unwrap().root, first.root);
    }
    let mut wrong = first.voucher.value.clone();
    wrong.total.0 += 1;
    assert_eq!(code(serving.cover(&wrong)), "exec.voucher");
    wrong = first.voucher.value.clone();
    wrong.warranty.0 += 1;
    assert_eq!(code(serving.cover(&wrong)), "exec.voucher");
    gate.open();
    let Message::SettleVouchers { coverages } = serving.settled_by(serving.orders(&items)[0]) else {
        panic!("settled one by one")
    };
    assert_eq!(coverages, [first]);
}

/// A transaction settles all of its vouchers or none: one payer's worthless voucher must not ride on another's, nor one
/// that the chain refuses keep the others from settling.
#[test]
fn vouchers_that_are_worth_nothing_or_can_not_settle_are_left_out() {
    let world = World::start();
    let gate = Gate::before(world.url());
    // 600 of fee and warranty are worth 240,000 OPG: less than half of what a voucher's two signatures take.
    let config = haca_exec::ExecConfig {
        opg_prices: [(crate::world::DUSD, "400".parse().unwrap())].into(),
        ..world.config(gate.url())
    };
    let serving = world.serve_with(config);
    let (good, closed) = (serving.channel(8 * FEE, 1_000), serving.channel(6 * FEE, 1_000));
    gate.freeze();
    let items = |channel, sequences: std::ops::Range<u64>| -> Vec<Item> {
        sequences
            .map(|sequence| item(&serving, channel, sequence))
            .collect()
    };
    let (worthy, worthless, moot) = (items(good, 0..6), items(good, 6..8), items(closed, 0..6));
    let expected = serving.cover(&serving.voucher(&worthy)).unwrap();
    serving.cover(&serving.voucher(&worthless)).unwrap();
    serving.cover(&serving.voucher(&moot)).unwrap();
    serving.close(closed);
    let sent = gate.submitted();
    gate.open();
    for order in serving.orders(&worthy) {
        let Message::SettleVouchers { coverages } = serving.settled_by(order) else {
            panic!("settled one by one")
        };
        assert_eq!(coverages, std::slice::from_ref(&expected));
    }
    assert_eq!(gate.submitted(), sent + 1);
    assert_eq!(serving.status(serving.orders(&worthless)[0]).status, "answered");
}

#[test]
fn a_voucher_that_is_wrong_in_one_field_gets_no_root() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, _, items) = waiting(&world, &gate, 3);
    let good = serving.voucher(&items);
    let altered = |alter: fn(&mut Voucher)| {
        let mut voucher = good.clone();
        alter(&mut voucher);
        code(serving.cover(&voucher))
    };
    assert_eq!(
        altered(|voucher| voucher.channel.0[0] ^= 1),
        "exec.unknown_channel"
    );
    assert_eq!(altered(|voucher| voucher.first = Sequence(1)), "exec.voucher");
    assert_eq!(altered(|voucher| voucher.count = 2), "exec.voucher");
    assert_eq!(
        altered(|voucher| voucher.count = 4),
        "exec.voucher",
        "one was not answered"
    );
    assert_eq!(altered(|voucher| voucher.count = u32::MAX), "exec.voucher");
    assert_eq!(altered(|voucher| voucher.root[0] ^= 1), "exec.voucher");
    assert_eq!(altered(|voucher| voucher.model.0[0] ^= 1), "exec.voucher");
    assert_eq!(
        altered(|voucher| voucher.evidence = EvidenceKind::Optimistic),
        "exec.voucher"
    );
    assert_eq!(altered(|voucher| voucher.total.0 -= 1), "exec.voucher");
    assert_eq!(altered(|voucher| voucher.total.0 += 1), "exec.voucher");
    assert_eq!(altered(|voucher| voucher.settle_by = Tick(0)), "exec.settle_by");
    assert_eq!(
        altered(|voucher| voucher.settle_by.0 += 100_000),
        "exec.settle_by"
    );
    let stranger = haca_client::Wallet::generate().unwrap();
    let signed = stranger.sign(good.clone(), &world.domain).unwrap();
    let refused = serving.client.cover(&signed, stranger.address(), &world.domain);
    assert_eq!(code(refused), "exec.voucher");
    // A root of another key than the node's is no root.
    let signed = serving.sign_voucher(&good);
    let refused = serving.client.cover(&signed, stranger.address(), &world.domain);
    assert!(matches!(refused, Err(ClientError::Voucher { .. })));
    gate.open();
    for order in serving.orders(&items) {
        serving.wait_for(order, "settled");
    }
}

#[test]
fn killed_after_it_signed_the_root_it_settles_by_the_voucher() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, _, items) = waiting(&world, &gate, 3);
    serving.cover(&serving.voucher(&items)).unwrap();
    let serving = crash(serving, &gate, |_| {});
    for order in serving.orders(&items) {
        let message = serving.settled_by(order);
        assert!(matches!(message, Message::SettleVouchers { .. }));
    }
}

#[test]
fn receipts_of_a_voucher_that_the_chain_refuses_settle_as_others_do() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, channel, items) = waiting(&world, &gate, 3);
    serving.cover(&serving.voucher(&items)).unwrap();
    let first = AtomicBool::new(true);
    gate.set(move |method, _| {
        if method == "POST" && first.swap(false, Ordering::SeqCst) {
            Action::Answer(422, "ledger.voucher_signature")
        } else {
            Action::Pass
        }
    });
    serving.settled_in_one_batch(&items);
    assert_eq!(world.record(channel).paid, Amount(3 * FEE));
}

/// The prover was busy, or the base fee too high, until the voucher's own tick had passed.
#[test]
fn receipts_of_a_voucher_whose_time_has_passed_settle_as_others_do_and_burn_nothing_in_vain() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, channel, items) = waiting(&world, &gate, 3);
    let short = Voucher {
        settle_by: Tick(world.tick() + 10),
        ..serving.voucher(&items)
    };
    serving.cover(&short).unwrap();
    world.pass_tick(short.settle_by.0 + 1);
    let sent = gate.submitted();
    gate.open();
    serving.settled_in_one_batch(&items);
    assert_eq!(gate.submitted(), sent + 1);
    assert_eq!(world.record(channel).paid, Amount(3 * FEE));
}

/// The full node forgot for a while that a voucher's transaction is in a block, and the node made another one.
#[test]
fn a_voucher_that_an_earlier_transaction_settled_counts_as_settled() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, _, items) = waiting(&world, &gate, 2);
    let voucher = serving.voucher(&items);
    serving.cover(&voucher).unwrap();
    let hide = |prefix: String| {
        gate.set(move |method, path| {
            if method == "GET" && path.starts_with(&prefix) {
                Action::Answer(404, "node.unknown_tx")
            } else {
                Action::Pass
            }
        });
    };
    hide("/v1/tx/".to_owned());
    let wanted = Settleable::voucher(&voucher, &world.domain);
    let settled = || world.client().settlement_of(&wanted).unwrap();
    let first = wait("the settlement", settled).settlement.tx;
    hide(format!("/v1/tx/{first}"));
    let bytes = world.client().transaction_bytes(first).unwrap().unwrap();
    let expiry = SignedTransaction::decode_all(&bytes)
        .unwrap()
        .transaction
        .meta
        .expiry;
    while world.client().status().unwrap().height <= expiry {
        world.pass_a_block();
    }
    for order in serving.orders(&items) {
        assert_eq!(serving.wait_for(order, "settled").tx, Some(first.to_string()));
    }
}

#[test]
fn what_is_settled_is_covered_no_more() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(2 * FEE, 1_000);
    let items = [0, 1].map(|sequence| item(&serving, channel, sequence));
    for order in serving.orders(&items) {
        serving.wait_for(order, "settled");
    }
    assert_eq!(code(serving.cover(&serving.voucher(&items))), "exec.voucher");
}

impl Serving<'_> {
    /// Settles a voucher for nothing whose root is any hash, in a channel of its own.
    fn shadow(&self, channel: ChannelId, first: u64, model: ModelId, root: [u8; 32]) {
        let (world, first, count) = (self.world, Sequence(first), 2);
        let key = Wallet::load(&self.config.home.join("receipt.key")).unwrap();
        let head = world.client().status().unwrap();
        let voucher = Voucher {
            channel,
            first,
            count,
            root,
            model,
            evidence: EvidenceKind::Signed,
            total: Amount(0),
            warranty: Amount(0),
            settle_by: Tick(world.tick() + 100),
        };
        let signed = ReceiptRoot {
            channel,
            first,
            count,
            root,
            block_height: head.height,
            block_hash: head.block_hash,
            signer: key.address(),
        };
        let coverage = Coverage {
            voucher: self.sign_voucher(&voucher),
            root: key.sign(signed, &world.domain).unwrap(),
        };
        let operator = Wallet::load(&self.config.account_key()).unwrap();
        let coverages = vec![coverage];
        world.send(&operator, Message::SettleVouchers { coverages });
    }
}

/// A refused transaction makes the node look for another that settled the same. A voucher of somebody else's channel with
/// the receipt's digest, or the voucher's root, as its root is none.
#[test]
fn what_has_the_same_root_in_another_channel_settles_nothing() {
    let world = World::start();
    let gate = Gate::before(world.url());
    for is_covered in [false, true] {
        let (serving, channel, items) = waiting(&world, &gate, 2);
        let sham = serving.channel(FEE, 1_000);
        let model = items[0].order.value.model;
        let receipts = items.iter().map(|item| item.receipt.value.hash(&world.domain).0);
        let mut roots: Vec<[u8; 32]> = receipts.collect();
        if is_covered {
            let voucher = serving.voucher(&items);
            serving.cover(&voucher).unwrap();
            roots.push(voucher.root);
        }
        for (index, root) in roots.into_iter().enumerate() {
            serving.shadow(sham, 2 * index as u64, model, root);
        }
        let standing = |item: &Item| world.client().standing(&item.order, &item.receipt).unwrap();
        for item in &items {
            assert_eq!(standing(item).name(), "waiting");
        }
        let refused = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&refused);
        gate.set(move |method, _| {
            if method == "POST" && !seen.swap(true, Ordering::SeqCst) {
                Action::Answer(422, "ledger.outbid")
            } else {
                Action::Pass
            }
        });
        for order in serving.orders(&items) {
            let message = serving.settled_by(order);
            let is_voucher = matches!(message, Message::SettleVouchers { .. });
            assert_eq!(is_voucher, is_covered);
        }
        assert!(refused.load(Ordering::SeqCst));
        assert_eq!(world.record(channel).paid, Amount(2 * FEE));
        assert_eq!(world.record(sham).paid, Amount(0));
        serving.node.shutdown();
    }
}

/// The payer's side signs nothing that it has not got.
#[test]
fn a_payer_makes_no_voucher_over_receipts_that_do_not_fit() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, _, items) = waiting(&world, &gate, 3);
    let refused = |items: &[Item]| {
        let made = voucher(items, &world.domain, Tick(500));
        assert!(matches!(made, Err(ClientError::Voucher { .. })), "{made:?}");
    };
    refused(&[]);
    refused(&items[..1]);
    refused(&[items[0].clone(), items[2].clone()]);
    refused(&[items[1].clone(), items[0].clone()]);
    let with = |alter: fn(&mut Item)| {
        let mut altered = items.clone();
        alter(&mut altered[1]);
        altered
    };
    refused(&with(|item| item.receipt.value.fee.0 += 1));
    refused(&with(|item| item.receipt.value.fee.0 -= 1));
    refused(&with(|item| item.receipt.value.seed += 1));
    refused(&with(|item| item.receipt.value.order.0[0] ^= 1));
    refused(&with(|item| item.order.value.max_fee.0 -= 1));
    refused(&with(|item| item.order.value.evidence = EvidenceKind::Zk));
    refused(&with(|item| item.order.value.model.0[0] ^= 1));
    refused(&with(|item| item.order.value.input_root.0[0] ^= 1));
    // Nobody has longer for a voucher than for the first of its receipts.
    let first = items.iter().map(|item| item.order.value.settle_by).min();
    let late = voucher(&items, &world.domain, Tick(100_000)).unwrap();
    assert_eq!(Some(late.settle_by), first);
    let mut coverage = serving.cover(&serving.voucher(&items)).unwrap();
    let signer = coverage.root.value.signer;
    check_coverage(&coverage, signer, &world.domain).unwrap();
    coverage.root.value.root[0] ^= 1;
    assert!(check_coverage(&coverage, signer, &world.domain).is_err());
}
