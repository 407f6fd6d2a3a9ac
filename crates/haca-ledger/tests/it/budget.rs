//! The block's verification budget, the base fee that follows it, and the clock that stops when it is exhausted.

use haca_ledger::{BASE_FEE_FLOOR, Refusal, next_base_fee, usable_gas};
use haca_wire::state::Params;
use haca_wire::{Amount, Encode, EvidenceKind, Gas, Message, Tick};

use crate::script::Key;
use crate::world::{USD, World, alice, bob, node, test_params};

/// A network whose blocks hold a handful of transfers.
fn tight() -> Params {
    Params {
        block_gas: Gas(5_000),
        tx_gas: Gas(1_000),
        ..test_params()
    }
}

fn transfers(world: &mut World, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|_| {
            let message = Message::Transfer {
                to: bob().address(),
                asset: USD,
                amount: Amount(1),
            };
            world.tx(&alice(), message)
        })
        .collect()
}

#[test]
fn a_fifth_of_the_budget_is_kept_for_answers_to_demands() {
    let mut world = World::under(tight());
    assert_eq!(usable_gas(&tight()), Gas(4_000));
    let txs = transfers(&mut world, 40);
    let outcome = world.block(&txs);
    assert!(outcome.gas_used.0 <= 4_000);
    let refused = outcome.txs.iter().find_map(|tx| tx.refusal.clone()).unwrap();
    assert!(matches!(refused, Refusal::BlockFull { .. }));
    let full = outcome.txs.iter().filter(|tx| tx.refusal.is_some());
    assert!(full.clone().count() > 0);
    assert!(full.into_iter().all(|tx| tx.burned.0 == 0), "no room, no charge");
}

#[test]
fn a_transaction_that_found_no_room_can_come_again() {
    let mut world = World::under(tight());
    let txs = transfers(&mut world, 40);
    let outcome = world.block(&txs);
    let index = outcome.txs.iter().position(|tx| tx.refusal.is_some()).unwrap();
    let again = world.block(&txs[index..=index]).txs.remove(0);
    assert_eq!(again.refusal, None);
}

#[test]
fn the_clock_stands_still_when_the_budget_is_exhausted() {
    let mut world = World::under(tight());
    world.block(&[]);
    assert_eq!(world.tick(), Tick(1));
    let txs = transfers(&mut world, 40);
    assert!(world.block(&txs).exhausted);
    assert_eq!(world.tick(), Tick(1));
    assert!(!world.block(&[]).exhausted);
    assert_eq!(world.tick(), Tick(2));
    assert_eq!(world.height().0, 3);
}

#[test]
fn a_block_with_too_little_room_for_the_largest_transaction_counts_as_exhausted() {
    let mut world = World::under(tight());
    let one = transfers(&mut world, 1);
    let gas = world.block(&one).gas_used.0;
    let fits = usize::try_from((4_000 - 1_000) / gas).unwrap();
    let txs = transfers(&mut world, fits);
    assert!(!world.block(&txs).exhausted);
    let txs = transfers(&mut world, fits + 1);
    assert!(world.block(&txs).exhausted);
}

#[test]
fn flooding_by_bytes_stops_the_clock_too() {
    // The least that a genesis may have. Each of two transactions takes half of what may be used before it is exhausted.
    let params = Params {
        block_bytes: 3_495_254,
        ..test_params()
    };
    let mut world = World::with_params(params);
    let before = (world.tick(), world.base_fee());
    let txs = transfers(&mut world, 1);
    assert!(!world.block(&txs).exhausted, "one transfer stops no clock");
    assert_eq!(world.tick(), Tick(before.0.0 + 1));
    let half = 1_747_628 / 2;
    let fits = [junk(&mut world, half), junk(&mut world, half)];
    assert!(!world.block(&fits).exhausted);
    let before = (world.tick(), world.base_fee());
    let more = [junk(&mut world, half), junk(&mut world, half + 1)];
    assert!(
        world.block(&more).exhausted,
        "less than a largest transaction is left"
    );
    assert_eq!(world.tick(), before.0);
    assert!(world.base_fee() > before.1, "and the next such block is dearer");
}

/// A transaction of so many bytes that costs little.
fn junk(world: &mut World, bytes: usize) -> Vec<u8> {
    let message = |proof: usize| Message::RegisterModel {
        verifying_key: Key::new(9).encode(),
        proof: vec![0; proof],
    };
    let frame = world.tx(&alice(), message(0)).len();
    let tx = world.tx(&alice(), message(bytes - frame));
    assert_eq!(tx.len(), bytes);
    tx
}

#[test]
fn flooding_the_chain_slashes_nobody() {
    let (mut world, channel) = World::with_channel();
    let mut params = world.params();
    params.block_gas = Gas(5_000);
    params.tx_gas = Gas(2_000);
    world.state.insert(
        haca_wire::state::key::PARAMS.to_vec(),
        haca_wire::Encode::encode(&params),
    );
    let item = world.item(channel, 0, EvidenceKind::Signed);
    let deadline = item.order.value.settle_by;
    for _ in 0..60 {
        let txs = transfers(&mut world, 10);
        world.block(&txs);
    }
    assert!(
        world.tick() < deadline,
        "60 flooded blocks later the order still settles"
    );
    let claim = Message::ClaimMissed {
        order: item.order.clone(),
        receipt: item.receipt.clone(),
    };
    assert!(matches!(
        world.refused(&alice(), claim),
        Refusal::ClaimTooEarly { .. }
    ));
    let message = world.settle_one(item);
    world.ok(&node(), message);
}

#[test]
fn the_base_fee_rises_under_load_and_falls_back_to_its_floor() {
    let mut world = World::under(tight());
    assert_eq!(world.base_fee(), BASE_FEE_FLOOR);
    let mut last = world.base_fee();
    for _ in 0..20 {
        let txs = transfers(&mut world, 14);
        world.block(&txs);
        assert!(world.base_fee() > last, "each full block raises it by at least 1");
        last = world.base_fee();
    }
    for _ in 0..40 {
        world.block(&[]);
        assert!(world.base_fee() < last || last == BASE_FEE_FLOOR);
        last = world.base_fee();
    }
    assert_eq!(last, BASE_FEE_FLOOR);
}

/// Bytes alone can exhaust a block and hold the clock, so they alone make the next one dearer.
#[test]
fn a_block_full_of_cheap_bytes_raises_the_base_fee() {
    let mut world = World::with_params(Params {
        block_gas: Gas(100_000_000),
        tx_gas: Gas(2_000_000),
        block_bytes: 3_495_254,
        gas_byte: Gas(0),
        ..test_params()
    });
    let before = world.base_fee();
    let txs = [junk(&mut world, 900_000), junk(&mut world, 900_000)];
    let outcome = world.block(&txs);
    assert!(outcome.gas_used.0 < 4_000, "{:?}", outcome.txs);
    assert!(world.base_fee() > before, "a few gas, and most of the bytes");
}

#[test]
fn the_base_fee_follows_eip_1559_around_half_of_the_budget() {
    let params = Params {
        block_gas: Gas(1_000),
        ..test_params()
    };
    let next = |base_fee: u128, used: u64| next_base_fee(&params, Amount(base_fee), Gas(used)).0;
    assert_eq!(next(8_000, 500), 8_000, "half the budget");
    assert_eq!(next(8_000, 1_000), 9_000, "an eighth up");
    assert_eq!(next(8_000, 0), 7_000, "an eighth down");
    assert_eq!(next(8_000, 750), 8_500);
    assert_eq!(next(1, 501), 2, "a step is at least 1");
    assert_eq!(next(2, 499), 1, "down as well");
    assert_eq!(next(1, 0), 1, "the floor");
    assert_eq!(next(0, 500), 1, "the floor holds for any start");
    assert_eq!(next(u128::MAX, 1_000), u128::MAX, "no overflow");
    assert_eq!(next(u128::MAX, 0), u128::MAX - u128::MAX / 8);
}

#[test]
fn the_base_fee_of_a_block_is_known_before_it() {
    let mut world = World::under(tight());
    for _ in 0..5 {
        let txs = transfers(&mut world, 14);
        let announced = world.base_fee();
        let outcome = world.block(&txs);
        assert_eq!(outcome.base_fee, announced);
        for tx in outcome.txs.iter().filter(|tx| tx.refusal.is_none()) {
            assert_eq!(tx.burned.0, announced.0 * u128::from(tx.gas_used.0));
        }
        assert_eq!(outcome.next_base_fee, world.base_fee());
    }
}

#[test]
fn rejects_a_transaction_above_the_gas_of_one() {
    let params = Params {
        tx_gas: Gas(100),
        ..test_params()
    };
    let mut world = World::under(params);
    let txs = transfers(&mut world, 1);
    let outcome = world.block(&txs).txs.remove(0);
    assert!(matches!(outcome.refusal, Some(Refusal::TxGas { .. })));
    assert_eq!(outcome.burned.0, 0);
}
