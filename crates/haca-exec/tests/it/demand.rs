//! Receipts settled as `Optimistic`: the fee waits, the payer demands a proof, and the node answers, whatever happens to
//! it meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use haca_client::{Settleable, Standing};
use haca_exec::{ExecConfig, InferenceNode, Journal};
use haca_wire::state::{HeldKey, HeldRecord};
use haca_wire::{Amount, ChannelId, EvidenceKind, Item, Message, Order, OrderHash, Sequence};

use crate::crash::crash;
use crate::gate::{Action, Gate};
use crate::world::{DUSD, FEE, Serving, World, code, wait};

/// Price of an inference that is proven on demand.
pub(crate) const PRICE: u128 = 1_000;

pub(crate) fn config(world: &World, node_url: &str) -> ExecConfig {
    ExecConfig {
        optimistic_price: Some(Amount(PRICE)),
        // Blocks come as fast as the test sends transactions.
        least_tick_ms: 1_000,
        ..world.config(node_url)
    }
}

pub(crate) fn serve<'a>(world: &'a World, gate: &Gate) -> Serving<'a> {
    world.serve_with(config(world, gate.url()))
}

impl Serving<'_> {
    pub(crate) fn optimistic(&self, channel: ChannelId, sequence: u64) -> Order {
        Order {
            evidence: EvidenceKind::Optimistic,
            max_fee: Amount(PRICE),
            ..self.order(channel, sequence, &self.body())
        }
    }

    /// Answers and settles an order, and returns its hash with the demand of its proof.
    pub(crate) fn doubted(&self, channel: ChannelId, sequence: u64) -> (OrderHash, Message) {
        let order = self.optimistic(channel, sequence);
        let answered = self.infer(&self.body(), &order).unwrap();
        let hash = order.hash(&self.world.domain);
        self.wait_for(hash, "held");
        let demand = haca_client::demand(&answered.receipt, &self.world.domain);
        (hash, demand)
    }
}

pub(crate) fn held(world: &World, channel: ChannelId, sequence: u64) -> Option<HeldRecord> {
    let first = Sequence(sequence);
    world.client().held(HeldKey { channel, first }).unwrap().0
}

/// Waits until the proven state shows the fee, letting blocks pass.
pub(crate) fn held_fee(world: &World, channel: ChannelId, sequence: u64) -> HeldRecord {
    wait("the fee in proven state", || {
        world.pass_a_block();
        held(world, channel, sequence)
    })
}

fn operator_dusd(world: &World) -> u128 {
    let operator = haca_client::Wallet::load(&world.home().join("account.key")).unwrap();
    world.client().balance(operator.address(), DUSD).unwrap().0
}

#[test]
fn a_fee_that_nobody_doubts_waits_for_its_window_and_is_paid_without_a_proof() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let before = operator_dusd(&world);
    let (order, _) = serving.doubted(channel, 0);
    let record = held_fee(&world, channel, 0);
    assert_eq!((record.fee, record.warranty), (Amount(PRICE), Amount(100)));
    assert_eq!(operator_dusd(&world), before);
    world.pass_tick(record.matures.0 + 1);
    let settled = serving.wait_for(order, "settled");
    assert!(settled.proof.is_none());
    assert_eq!(operator_dusd(&world), before + PRICE);
}

#[test]
fn a_demand_is_answered_with_a_proof_and_brings_fee_and_deposit_at_once() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let (order, demand) = serving.doubted(channel, 0);
    let (dusd, opg) = (operator_dusd(&world), world.operator_opg());
    let matures = held_fee(&world, channel, 0).matures;
    world.send(&world.user, demand);
    let settled = serving.wait_for(order, "settled");
    assert_eq!(settled.proof.unwrap().batch, 1);
    wait("the fee", || {
        world.pass_a_block();
        (operator_dusd(&world) == dusd + PRICE).then_some(())
    });
    assert!(world.operator_opg() > opg, "the deposit is more than the gas");
    assert!(world.tick() <= matures.0, "paid before the window ends");
    assert!(held(&world, channel, 0).is_none());
}

#[test]
fn demands_that_come_together_share_a_proof() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(3 * PRICE, 1_000);
    let all = [0, 1, 2].map(|sequence| serving.doubted(channel, sequence));
    gate.freeze();
    for (_, demand) in &all {
        world.send(&world.user, demand.clone());
    }
    world.pass_a_block();
    let sent = gate.submitted();
    gate.open();
    for (order, _) in &all {
        let settled = serving.wait_for(*order, "settled");
        assert_eq!(settled.proof.unwrap().batch, 3);
    }
    assert_eq!(gate.submitted(), sent + 1);
}

#[test]
fn an_answer_that_the_full_node_forgot_is_sent_again() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let (order, demand) = serving.doubted(channel, 0);
    gate.transactions(Action::Lose);
    world.send(&world.user, demand);
    world.pass_a_block();
    let sent = gate.submitted();
    wait("another sending", || (gate.submitted() > sent + 1).then_some(()));
    gate.open();
    serving.wait_for(order, "settled");
}

/// Settlements go on while an answer is on its way.
#[test]
fn an_answer_that_no_block_takes_keeps_no_receipt_from_settling() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE + 500, 1_000);
    let (order, demand) = serving.doubted(channel, 0);
    let first = AtomicBool::new(true);
    gate.set(move |method, _| {
        if method == "POST" && first.swap(false, Ordering::SeqCst) {
            Action::Lose
        } else {
            Action::Pass
        }
    });
    world.send(&world.user, demand);
    world.pass_a_block();
    let other = serving.answer(&serving.order(channel, 1, &serving.body()));
    serving.wait_for(other, "settled");
    serving.wait_for(order, "settled");
}

#[test]
fn killed_before_its_answer_left_it_sends_that_one() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let (order, demand) = serving.doubted(channel, 0);
    let proved = |home: &Path| crate::crash::entry(home, &world, order).proof.is_some();
    gate.transactions(Action::Shut);
    world.send(&world.user, demand);
    world.pass_a_block();
    wait("the proof", || {
        serving.status(order).proof.is_some().then_some(())
    });
    let stake = world.stake();
    let serving = crash(serving, &gate, |image| assert!(proved(image)));
    serving.wait_for(order, "settled");
    assert_eq!(world.stake(), stake);
}

#[test]
fn killed_after_its_answer_was_included_it_burns_no_gas_again() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let (order, demand) = serving.doubted(channel, 0);
    let dusd = operator_dusd(&world);
    // The answer passes, and then nobody says what became of it.
    let passed = AtomicBool::new(false);
    gate.set(move |method, path| {
        if method == "POST" {
            passed.store(true, Ordering::SeqCst);
        }
        if path.starts_with("/v1/tx/") && passed.load(Ordering::SeqCst) {
            Action::Shut
        } else {
            Action::Pass
        }
    });
    world.send(&world.user, demand);
    wait("the fee", || {
        world.pass_a_block();
        (operator_dusd(&world) == dusd + PRICE).then_some(())
    });
    let before = world.operator_opg();
    assert_eq!(serving.status(order).status, "held");
    let serving = crash(serving, &gate, |_| {});
    serving.wait_for(order, "settled");
    world.pass_a_block();
    assert_eq!(world.operator_opg(), before);
}

/// The node was away when the demand came, and finds it when it starts.
#[test]
fn a_demand_that_came_while_the_node_was_away_is_answered_after_the_start() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let (order, demand) = serving.doubted(channel, 0);
    serving.node.shutdown();
    world.send(&world.user, demand);
    let serving = serve(&world, &gate);
    serving.wait_for(order, "settled");
    assert!(world.stake().0 > 0);
}

/// The payer knew of the settlement before the node did: the docket that the node had seen by then tells of the demand.
#[test]
fn a_demand_that_came_before_the_settlement_was_noticed_is_answered() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(2 * PRICE, 1_000);
    serving.doubted(channel, 0);
    let docket = docket_path(&world);
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&looks);
    gate.set(move |method, path| {
        if path.contains(&docket) {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        if method == "GET" && path.starts_with("/v1/tx/") {
            Action::Answer(404, "node.unknown_tx")
        } else {
            Action::Pass
        }
    });
    let order = serving.optimistic(channel, 1);
    let answered = serving.infer(&serving.body(), &order).unwrap();
    held_fee(&world, channel, 1);
    world.send(&world.user, haca_client::demand(&answered.receipt, &world.domain));
    world.pass_a_block();
    let before = looks.load(Ordering::SeqCst);
    wait("looks at the docket", || {
        (looks.load(Ordering::SeqCst) > before + 3).then_some(())
    });
    gate.open();
    serving.wait_for(order.hash(&world.domain), "settled");
    assert!(world.stake().0 > 0);
}

/// The key of the node's docket, as it stands in paths.
pub(crate) fn docket_path(world: &World) -> String {
    let operator = haca_client::Wallet::load(&world.home().join("account.key")).unwrap();
    hex::encode(haca_wire::state::key::docket(operator.address()))
}

/// What no node can answer: the model is gone. The payer has fee and warranty, and the node knows that it lost.
#[test]
fn a_demand_that_was_not_answered_is_booked_as_lost() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    let (order, demand) = serving.doubted(channel, 0);
    serving.node.shutdown();
    let models = world.home().join("models");
    std::fs::remove_file(models.join("linear.haca")).unwrap();
    std::fs::write(models.join("other.haca"), crate::model::file(2)).unwrap();
    let config = config(&world, gate.url());
    let node = InferenceNode::start(config).unwrap();
    let client = haca_client::InferenceClient::new(node.url());
    let user = world.client().balance(world.user.address(), DUSD).unwrap().0;
    world.send(&world.user, demand);
    world.pass_a_block();
    let due = held(&world, channel, 0).unwrap().due();
    world.pass_tick(due.0 + 1);
    wait("the loss", || {
        world.pass_a_block();
        (client.receipt(order).unwrap().unwrap().status == "forfeited").then_some(())
    });
    let after = world.client().balance(world.user.address(), DUSD).unwrap().0;
    assert_eq!(after, user + PRICE + 100, "fee and warranty");
    assert_eq!(world.stake(), Amount(0));
    drop(node);
}

#[test]
fn nobody_who_set_no_price_offers_proofs_on_demand() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(PRICE, 100);
    let order = serving.optimistic(channel, 0);
    assert_eq!(code(serving.infer(&serving.body(), &order)), "exec.not_offered");
}

/// Starts the node again as one whose proofs were measured to take so long.
pub(crate) fn with_slow_proofs<'a>(serving: Serving<'a>, prove_ms: u64) -> Serving<'a> {
    let (world, model, account) = (serving.world, serving.model(), serving.node.account());
    let config = serving.config.clone();
    serving.node.shutdown();
    let journal = Journal::open(&config.journal(), world.domain, account).unwrap();
    let mut facts = journal.facts(model).unwrap().unwrap();
    assert!(
        !facts.prove_times.is_empty(),
        "measured before anything is promised"
    );
    facts.prove_times.learn(1, prove_ms);
    journal.set_facts(&facts).unwrap();
    drop(journal);
    world.serve_with(config)
}

/// Whoever collects receipts and demands all their proofs at once takes an honest node's stake, if it has promised more
/// proofs than it makes in the response window. Here 120 s, 40 s of it for a settlement; a proof counts 42 s.
#[test]
fn a_node_promises_no_more_proofs_than_it_makes_in_time() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), 20_000);
    let channel = serving.channel(4 * PRICE, 1_000);
    let refused = |serving: &Serving<'_>, sequence| {
        let order = serving.optimistic(channel, sequence);
        code(serving.infer(&serving.body(), &order))
    };
    let (first, _) = serving.doubted(channel, 0);
    assert_eq!(refused(&serving, 1), "exec.proofs_outstanding");
    let signed = serving.order(channel, 2, &serving.body());
    let signed = serving.answer(&Order {
        max_fee: Amount(FEE),
        ..signed
    });
    serving.wait_for(signed, "settled");
    // What is out counts after a start as before.
    let config = serving.config.clone();
    serving.node.shutdown();
    let serving = world.serve_with(config);
    assert_eq!(refused(&serving, 1), "exec.proofs_outstanding");
    world.pass_tick(held_fee(&world, channel, 0).matures.0 + 1);
    serving.wait_for(first, "settled");
    serving.doubted(channel, 1);
}

/// A proof fits a transaction; an answer may have more bytes, and a sponsor.
#[test]
fn answers_that_may_not_fit_a_transaction_are_not_offered_on_demand() {
    let world = World::start_where(|params| params["tx_gas"] = 11_000_000.into());
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let models = serving.client.models().unwrap();
    let offers = models["data"][0]["offers"].as_array().unwrap();
    let offered = |evidence: &str| offers.iter().any(|offer| offer["evidence"] == evidence);
    assert!(offered("zk") && !offered("optimistic"), "{offers:?}");
}

#[test]
fn proofs_that_do_not_fit_the_window_are_not_offered_on_demand() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), 50_000);
    let channel = serving.channel(PRICE, 100);
    let order = serving.optimistic(channel, 0);
    assert_eq!(code(serving.infer(&serving.body(), &order)), "exec.not_offered");
    let models = serving.client.models().unwrap();
    let offers = models["data"][0]["offers"].as_array().unwrap();
    assert!(
        offers.iter().all(|offer| offer["evidence"] != "optimistic"),
        "{offers:?}"
    );
}

impl World {
    /// The operator's stake.
    pub(crate) fn stake(&self) -> Amount {
        let operator = haca_client::Wallet::load(&self.home().join("account.key")).unwrap();
        self.client().node(operator.address()).unwrap().unwrap().stake
    }
}

/// What a demand may hold back is not at the disposal of whoever withdraws: the bond behind the warranty stays reserved.
#[test]
fn a_held_warranty_stays_reserved_in_the_bond() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(PRICE, 100);
    serving.doubted(channel, 0);
    held_fee(&world, channel, 0);
    let operator = haca_client::Wallet::load(&world.home().join("account.key")).unwrap();
    let key = haca_wire::state::key::bond(operator.address(), DUSD);
    let bond: haca_wire::state::BondRecord = world.client().record(&key).unwrap().unwrap();
    assert_eq!(bond.reserved, Amount(100));
    assert_eq!(world.record(channel).reserve, Amount(0));
}

impl Serving<'_> {
    /// Answers orders while nothing is settled, covers them, and lets the voucher settle.
    fn covered(&self, gate: &Gate, channel: ChannelId, count: u64) -> Vec<Item> {
        gate.freeze();
        let items: Vec<Item> = (0..count)
            .map(|sequence| self.item(&self.optimistic(channel, sequence)))
            .collect();
        let voucher = self.voucher(&items);
        assert_eq!(
            (voucher.total, voucher.warranty),
            (Amount(u128::from(count) * PRICE), Amount(u128::from(count) * 100))
        );
        let mut greedy = voucher.clone();
        greedy.warranty.0 += 1;
        assert_eq!(code(self.cover(&greedy)), "exec.voucher");
        let coverage = self.cover(&voucher).unwrap();
        gate.open();
        for order in self.orders(&items) {
            self.wait_for(order, "held");
            let message = Message::SettleVouchers {
                coverages: vec![coverage.clone()],
            };
            assert_eq!(self.message_of(order), message);
        }
        items
    }

    /// Demands one of the receipts under a voucher, and waits for its proof.
    pub(crate) fn proven(&self, items: &[Item], index: usize) {
        let demand = haca_client::demand_under(items, index, &self.world.domain).unwrap();
        self.world.send(&self.world.user, demand);
        let order = self.orders(items)[index];
        // Each block takes a tick of the demand window.
        self.world.pass_a_block();
        wait("the proof", || self.status(order).proof.map(drop));
        let channel = items[index].order.value.channel;
        wait("the end of the demand", || {
            self.world.pass_a_block();
            held_fee(self.world, channel, 0).demand.is_none().then_some(())
        });
        assert_eq!(self.status(order).status, "held", "the fee of the range waits on");
    }
}

#[test]
fn the_fee_of_a_voucher_waits_as_one_and_each_of_its_receipts_can_be_demanded() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(4 * PRICE, 1_000);
    let before = operator_dusd(&world);
    let items = serving.covered(&gate, channel, 4);
    let record = held_fee(&world, channel, 0);
    assert_eq!(
        (record.count, record.fee, record.warranty),
        (4, Amount(4 * PRICE), Amount(400))
    );
    let opg = world.operator_opg();
    serving.proven(&items, 2);
    assert!(world.operator_opg() > opg, "the deposit is more than the gas");
    // Another one, and after a crash a third.
    serving.proven(&items, 0);
    let serving = crash(serving, &gate, |_| {});
    serving.proven(&items, 3);
    assert_eq!(operator_dusd(&world), before);
    world.pass_tick(record.matures.0 + 1);
    for order in serving.orders(&items) {
        serving.wait_for(order, "settled");
    }
    assert_eq!(operator_dusd(&world), before + 4 * PRICE);
    assert!(world.stake().0 > 0);
}

/// A full node that is some blocks behind still shows the demand after the answer is in a block.
#[test]
fn a_demand_that_was_answered_is_not_answered_again() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(2 * PRICE, 1_000);
    let items = serving.covered(&gate, channel, 2);
    let sent = gate.submitted();
    let demand = haca_client::demand_under(&items, 1, &world.domain).unwrap();
    world.send(&world.user, demand);
    let first = Sequence(0);
    let behind = wait("the demand", || {
        let (record, height) = world.client().held(HeldKey { channel, first }).unwrap();
        record?.demand.map(|_| height.0)
    });
    let held_path = hex::encode(haca_wire::state::key::held(HeldKey { channel, first }));
    let docket = docket_path(&world);
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&looks);
    gate.set(move |_, path| {
        if path.contains(&held_path) || path.contains(&docket) {
            seen.fetch_add(1, Ordering::SeqCst);
            Action::StateAt(behind)
        } else {
            Action::Pass
        }
    });
    wait("the answer", || (gate.submitted() > sent).then_some(()));
    let before = looks.load(Ordering::SeqCst);
    wait("looks at the fee", || {
        (looks.load(Ordering::SeqCst) > before + 12).then_some(())
    });
    assert_eq!(gate.submitted(), sent + 1);
    gate.open();
    world.pass_tick(held_fee(&world, channel, 0).matures.0 + 1);
    serving.wait_for(serving.orders(&items)[1], "settled");
}

/// One receipt that nobody can prove costs the fees of all.
#[test]
fn a_range_of_which_one_receipt_was_not_proven_is_booked_as_lost() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let channel = serving.channel(3 * PRICE, 1_000);
    let items = serving.covered(&gate, channel, 3);
    let orders = serving.orders(&items);
    let Message::SettleVouchers { coverages } = serving.message_of(orders[0]) else {
        panic!("no voucher")
    };
    held_fee(&world, channel, 0);
    serving.node.shutdown();
    let models = world.home().join("models");
    std::fs::remove_file(models.join("linear.haca")).unwrap();
    std::fs::write(models.join("other.haca"), crate::model::file(2)).unwrap();
    let node = InferenceNode::start(config(&world, gate.url())).unwrap();
    let client = haca_client::InferenceClient::new(node.url());
    let user = world.client().balance(world.user.address(), DUSD).unwrap().0;
    let demand = haca_client::demand_under(&items, 1, &world.domain).unwrap();
    world.send(&world.user, demand);
    world.pass_a_block();
    let due = held(&world, channel, 0).unwrap().due();
    world.pass_tick(due.0 + 1);
    for order in orders {
        wait("the loss", || {
            world.pass_a_block();
            (client.receipt(order).unwrap().unwrap().status == "forfeited").then_some(())
        });
    }
    let after = world.client().balance(world.user.address(), DUSD).unwrap().0;
    assert_eq!(after, user + 3 * PRICE + 300, "fees and warranties of all");
    let settled = Settleable::voucher(&coverages[0].voucher.value, &world.domain);
    let settled = world.client().settlement_of(&settled).unwrap().unwrap();
    for sequence in 0..3 {
        let standing = world.client().standing_of_settled(&settled, Sequence(sequence));
        let Standing::Forfeited(claim) = standing.unwrap() else {
            panic!("sequence {sequence}")
        };
        assert_eq!(
            claim.map(|claim| claim.paid),
            (sequence == 1).then_some(Amount(300))
        );
    }
    drop(node);
}

/// Of a range, one receipt at a time can be demanded: it takes the place of one proof. Here two proofs of 32 s fit.
#[test]
fn a_range_counts_as_one_proof() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = with_slow_proofs(serve(&world, &gate), 15_000);
    let channel = serving.channel(4 * PRICE, 1_000);
    serving.covered(&gate, channel, 2);
    serving.doubted(channel, 2);
    let order = serving.optimistic(channel, 3);
    let refused = serving.infer(&serving.body(), &order);
    assert_eq!(code(refused), "exec.proofs_outstanding");
}

/// Any number of fees may wait: one demand among them must not keep settlements waiting until all were asked for.
#[test]
fn one_demand_among_many_fees_delays_no_settlement_by_all_their_questions() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = serve(&world, &gate);
    let count = 200;
    let channel = serving.channel(u128::from(count) * PRICE + FEE, 50_000);
    gate.freeze();
    let orders: Vec<Order> = (0..count)
        .map(|sequence| serving.optimistic(channel, sequence))
        .collect();
    let receipts: Vec<_> = orders
        .iter()
        .map(|order| serving.infer(&serving.body(), order).unwrap().receipt)
        .collect();
    gate.open();
    for order in &orders {
        serving.wait_for(order.hash(&world.domain), "held");
    }
    gate.freeze();
    let signed = serving.answer(&serving.order(channel, count, &serving.body()));
    let last = receipts.last().unwrap();
    world.send(&world.user, haca_client::demand(last, &world.domain));
    world.pass_a_block();
    let prefix = hex::encode([haca_wire::state::key::HELD, &channel.0[..]].concat());
    let (looks, sent) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(usize::MAX)),
    );
    let (counted, first) = (Arc::clone(&looks), Arc::clone(&sent));
    gate.set(move |method, path| {
        if path.contains(&prefix) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        if method == "POST" {
            first.fetch_min(counted.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        Action::Pass
    });
    serving.wait_for(signed, "settled");
    assert!(sent.load(Ordering::SeqCst) <= 32, "{sent:?} questions");
    serving.wait_for(last.value.order, "settled");
    assert!(looks.load(Ordering::SeqCst) >= usize::try_from(count).unwrap());
}
