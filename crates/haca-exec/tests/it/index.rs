//! A full node that has the state and not the index of a settlement: it joined by a snapshot, or keeps a short history. Fees that
//! wait are found by the state, since a demand nobody looks for costs the stake.

use haca_client::{Settleable, voucher};
use haca_wire::{Amount, Item, Order, OrderHash, Receipt, Signed, SignedTransaction, Tick, TxHash};

use crate::demand::{PRICE, held, held_fee, serve};
use crate::gate::{Action, Gate};
use crate::world::{Serving, World, wait};

/// What the full node's index lacks.
#[derive(Clone, Copy)]
enum Missing {
    /// Every transaction.
    Transactions,
    /// Every transaction, and every receipt and voucher.
    All,
    /// This transaction, and every receipt and voucher.
    This(TxHash),
}

fn hide(gate: &Gate, missing: Missing) {
    let prefix = match missing {
        Missing::Transactions | Missing::All => "/v1/tx/".to_owned(),
        Missing::This(tx) => format!("/v1/tx/{tx}"),
    };
    let has_receipts = matches!(missing, Missing::Transactions);
    gate.set(move |method, path| {
        let is_hidden = path.starts_with(&prefix) || (path.starts_with("/v1/receipts/") && !has_receipts);
        if method == "GET" && is_hidden {
            Action::Answer(404, "node.unknown_tx")
        } else {
            Action::Pass
        }
    });
}

/// A node that has answered so many orders, which are to settle in so many ticks, and settles nothing.
fn answered<'a>(world: &'a World, gate: &Gate, count: u64, ticks: u64) -> (Serving<'a>, Vec<Item>) {
    let serving = serve(world, gate);
    let channel = serving.channel(u128::from(count) * PRICE, 1_000);
    gate.freeze();
    let settle_by = Tick(world.tick() + ticks);
    let order = |sequence| Order {
        settle_by,
        ..serving.optimistic(channel, sequence)
    };
    let items = (0..count)
        .map(|sequence| serving.item(&order(sequence)))
        .collect();
    (serving, items)
}

/// One receipt of such a node, which settles it before a full node whose index has none of it.
fn unseen<'a>(world: &'a World, gate: &Gate) -> (Serving<'a>, Signed<Receipt>) {
    let (serving, items) = answered(world, gate, 1, 1_000);
    hide(gate, Missing::All);
    (serving, items[0].receipt.clone())
}

/// The transaction that settled something, once its block is proven.
fn settlement(world: &World, wanted: &Settleable) -> TxHash {
    let settled = wait("the settlement", || {
        world.pass_a_block();
        world.client().settlement_of(wanted).unwrap()
    });
    settled.settlement.tx
}

/// Waits until the node knows what became of a receipt.
fn end(serving: &Serving<'_>, order: OrderHash) -> String {
    wait("an end", || {
        let status = serving.status(order).status;
        (status == "refused" || status == "held").then_some(status)
    })
}

/// Demands the proof of a fee that was found, and waits until it is paid for it.
fn demanded(world: &World, serving: &Serving<'_>, receipt: &Signed<Receipt>) {
    let order = receipt.value.order;
    let demand = haca_client::demand(receipt, &world.domain);
    assert_eq!(serving.status(order).tx, None, "nobody named the transaction");
    world.send(&world.user, demand);
    world.pass_a_block();
    assert!(serving.wait_for(order, "settled").proof.is_some());
    assert!(world.stake() > Amount(0));
}

#[test]
fn a_fee_that_waits_is_found_at_once_though_the_index_does_not_have_its_settlement() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, receipt) = unseen(&world, &gate);
    let order = receipt.value.order;
    serving.wait_for(order, "submitted");
    held_fee(&world, receipt.value.channel, 0);
    // Without the transaction in its index, a full node knows only that its nonce is used.
    gate.set(|method, path| {
        if method == "POST" {
            Action::Answer(422, "ledger.nonce_used")
        } else if path.starts_with("/v1/tx/") || path.starts_with("/v1/receipts/") {
            Action::Answer(404, "node.unknown_tx")
        } else {
            Action::Pass
        }
    });
    assert_eq!(end(&serving, order), "held");
    gate.open();
    demanded(&world, &serving, &receipt);
}

#[test]
fn a_fee_that_waits_is_found_after_its_transaction_expired_unseen() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, receipt) = unseen(&world, &gate);
    let order = receipt.value.order;
    let first = settlement(&world, &Settleable::receipt(&receipt.value, &world.domain));
    gate.set(|_, _| Action::Shut);
    let bytes = world.client().transaction_bytes(first).unwrap().unwrap();
    let tx = <SignedTransaction as haca_wire::Decode>::decode_all(&bytes).unwrap();
    while world.client().status().unwrap().height <= tx.transaction.meta.expiry {
        world.pass_a_block();
    }
    hide(&gate, Missing::This(first));
    assert_eq!(end(&serving, order), "held");
    demanded(&world, &serving, &receipt);
}

/// Away from the settlement of a range until expiry and settle-by are behind, then before a full node whose index lacks it.
fn range_is_found(missing: Missing) {
    let world = World::start();
    let gate = Gate::before(world.url());
    let (serving, items) = answered(&world, &gate, 3, 55);
    let settle_by = items[0].order.value.settle_by;
    let voucher = voucher(&items, &world.domain, settle_by).unwrap();
    serving.cover(&voucher).unwrap();
    hide(&gate, Missing::All);
    settlement(&world, &Settleable::voucher(&voucher, &world.domain));
    gate.set(|_, _| Action::Shut);
    world.pass_tick(settle_by.0 + 1);
    hide(&gate, missing);
    for order in serving.orders(&items) {
        assert_eq!(end(&serving, order), "held");
    }
    let record = held(&world, voucher.channel, 0).unwrap();
    assert_eq!((record.count, record.fee), (3, Amount(3 * PRICE)));
    gate.open();
    serving.proven(&items, 2);
    assert!(world.stake() > Amount(0));
}

#[test]
fn a_range_is_found_whose_own_transaction_was_away() {
    range_is_found(Missing::Transactions);
}

#[test]
fn a_range_is_found_by_the_state_alone() {
    range_is_found(Missing::All);
}
