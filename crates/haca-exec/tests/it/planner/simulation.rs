//! Queues played to their end: one prover, one transaction at a time, a base fee that moves.

use std::collections::{BTreeMap, BTreeSet};

use haca_exec::Place;
use haca_exec::planner::{Action, Due, Kind, LastWork, Waiting, earliest_signed, plan, rest_ms};
use haca_wire::{Amount, EvidenceKind, Tick};
use proptest::prelude::*;

use super::queue::{
    Case, INCLUSION_MS, MODEL_A, MODEL_B, TICK_MS, count_due, gas_of, kind, receipt, settled, worth_of,
};

/// What became of a queue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Played {
    settled: BTreeSet<Place>,
    late: BTreeSet<Place>,
    burned: u128,
    saved: u128,
    /// Burned for receipts that are tried though the estimate leaves no time for them, as estimates may be wrong: here they never
    /// are.
    risked: u128,
}

/// Plays a queue; `arrivals` join at their time in milliseconds, and `base_fee` says the price of each tick.
fn play(case: &mut Case, arrivals: Vec<(u64, Waiting)>, base_fee: impl Fn(u64) -> u128) -> Played {
    play_where(case, arrivals, base_fee, |_, _, _| true)
}

/// The same; of the arrivals, those join that `joins` says of at their time, which it gets with what is left of a proof
/// then, and of a transaction.
fn play_where(
    case: &mut Case,
    mut arrivals: Vec<(u64, Waiting)>,
    base_fee: impl Fn(u64) -> u128,
    joins: impl Fn(&Case, u64, &Waiting) -> bool,
) -> Played {
    let mut played = Played::default();
    let (mut began_ms, mut proved_ms) = (0, 0);
    arrivals.sort_by_key(|(at, one)| (*at, one.place));
    let mut arrivals = arrivals.into_iter().peekable();
    let mut time_ms = 0u64;
    loop {
        while let Some((at, one)) = arrivals.next_if(|(at, _)| *at <= time_ms) {
            case.now = Tick(at / TICK_MS);
            let ended_ms = began_ms + proved_ms;
            let running_ms = if at < ended_ms {
                rest_ms(proved_ms, at - began_ms, TICK_MS)
            } else {
                0
            };
            if joins(case, running_ms, &one) {
                case.queue.push(one);
            }
        }
        case.now = Tick(time_ms / TICK_MS);
        case.base_fee = Amount(base_fee(case.now.0));
        case.recent.push(case.base_fee);
        let first = case.recent.len().saturating_sub(64);
        case.recent.drain(..first);
        let made = plan(&case.situation());
        for place in &made.late {
            played.late.insert(*place);
            case.queue.retain(|one| one.place != *place);
        }
        match made.action {
            Action::Settle(settlement) => {
                let longest = settlement
                    .groups
                    .iter()
                    .map(|group| case.rates[&group.kind].prove_ms(group.kind, group.places.len()));
                (began_ms, proved_ms) = (time_ms, longest.sum::<u64>());
                time_ms += proved_ms + INCLUSION_MS;
                let at = Tick(time_ms / TICK_MS);
                let price = base_fee(at.0);
                let places = settled(&settlement);
                // A transaction that was signed for less than the base fee is not included.
                if price <= settlement.max_base_fee.0 {
                    let in_time = |place: &Place| {
                        case.queue
                            .iter()
                            .any(|one| one.place == *place && at <= one.settle_by)
                    };
                    let (paid, late): (Vec<Place>, Vec<Place>) =
                        places.iter().partition(|place| in_time(place));
                    let (burned, worth) = (gas_of(case, &settlement) * price, worth_of(case, &settlement));
                    if places.iter().any(|place| is_hopeless(case, *place, began_ms)) {
                        assert!(burned <= worth, "{settlement:?}");
                        played.risked += burned;
                    } else {
                        played.saved += if late.is_empty() { worth } else { 0 };
                        played.burned += burned;
                    }
                    played.settled.extend(paid);
                    played.late.extend(late);
                    case.queue.retain(|one| !places.contains(&one.place));
                }
            }
            Action::Wait { until, .. } => {
                assert!(until >= case.now);
                time_ms = (time_ms / TICK_MS + 1) * TICK_MS;
            }
            Action::Idle if arrivals.peek().is_none() => return played,
            Action::Idle => time_ms = (time_ms / TICK_MS + 1) * TICK_MS,
        }
    }
}

/// Whether a receipt would be late even if it was proven at once and alone.
fn is_hopeless(case: &Case, place: Place, time_ms: u64) -> bool {
    let mut queue = case.queue.iter();
    let one = queue.find(|one| one.place == place).expect("it waits");
    let included_ms = time_ms + case.rates[&one.kind].prove_ms(one.kind, 1) + INCLUSION_MS;
    Tick(included_ms / TICK_MS) > one.settle_by
}

/// Whether some order of batches meets every deadline, by trying all of them.
fn can_all_be_met(case: &Case, left: &[Waiting], time_ms: u64) -> bool {
    if left.is_empty() {
        return true;
    }
    (1u32..1 << left.len()).any(|set| {
        let (batch, rest): (Vec<_>, Vec<_>) = left
            .iter()
            .enumerate()
            .partition(|(index, _)| set & (1 << index) != 0);
        let kind = batch[0].1.kind;
        let rates = &case.rates[&kind];
        if batch.len() > rates.max_batch || batch.iter().any(|(_, one)| one.kind != kind) {
            return false;
        }
        let end = time_ms + rates.prove_ms(kind, batch.len()) + INCLUSION_MS;
        let in_time =
            |one: &Waiting| end <= one.settle_by.0.saturating_sub(case.policy.safety_ticks) * TICK_MS;
        batch.iter().all(|(_, one)| in_time(one))
            && can_all_be_met(
                case,
                &rest.into_iter().map(|(_, one)| *one).collect::<Vec<_>>(),
                end,
            )
    })
}

fn kinds() -> [Kind; 3] {
    [
        kind(MODEL_A, EvidenceKind::Zk),
        kind(MODEL_B, EvidenceKind::Zk),
        kind(MODEL_A, EvidenceKind::Signed),
    ]
}

fn due(case: &Case) -> BTreeMap<Due, usize> {
    count_due(case.queue.iter().map(|one| Due {
        by: one.settle_by,
        kind: one.kind,
    }))
}

/// What is to be done besides a receipt that could be signed now.
fn last_work<'a>(case: &'a Case, running_ms: u64, signed: &'a BTreeMap<Due, usize>) -> LastWork<'a> {
    LastWork {
        now: case.now,
        tick_ms: TICK_MS,
        safety_ticks: case.policy.safety_ticks,
        min_settle_ticks: 20,
        longest_proofs_ms: case.longest_proofs_ms,
        running_ms,
        signed,
        demands: const { &BTreeMap::new() },
        rates: &case.rates,
    }
}

/// Plays orders whose inference took so long that hardly any time is left: of each its kind, when its answer is ready, and the ticks to
/// its deadline then. A patient node puts off all that it can.
fn play_signed(orders: &[(usize, u64, u64)], is_patient: bool) -> Played {
    let arrivals = orders.iter().enumerate().map(|(index, (kind, at, ticks))| {
        let one = receipt(index as u64, kinds()[*kind], at / TICK_MS + ticks);
        (*at, one)
    });
    let mut case = Case::priced();
    case.policy.batch_wait_ms = if is_patient { u64::MAX } else { 0 };
    let is_signed = |case: &Case, running_ms: u64, one: &Waiting| {
        earliest_signed(&last_work(case, running_ms, &due(case)), one.kind, one.settle_by) <= one.settle_by
    };
    play_where(&mut case, arrivals.collect(), |_| 1, is_signed)
}

/// A tick that ends before the settler looks; a receipt without a proof that is at its latest; a transaction on its way to its
/// block; a receipt that needs a part of the safety ticks.
#[test]
fn a_receipt_that_is_signed_in_the_last_moment_is_not_late() {
    let orders: [&[_]; 4] = [
        &[(2, 15_001, 5), (0, 6_000, 20)],
        &[(0, 19_000, 10), (2, 13_000, 11), (1, 8_000, 26)],
        &[(0, 9_000, 20), (1, 8_000, 16), (2, 18_250, 6)],
        &[
            (1, 0, 31),
            (1, 0, 31),
            (1, 14_250, 12),
            (0, 3_000, 17),
            (0, 15_750, 15),
            (1, 0, 36),
        ],
    ];
    for (orders, is_patient) in orders.into_iter().zip([false, true, false, false]) {
        let played = play_signed(orders, is_patient);
        assert!(played.late.is_empty(), "{orders:?}: {played:?}");
        assert!(!played.settled.is_empty());
    }
}

/// More receipts than a few transactions settle, none of them with a proof: whoever is refused gives a later deadline.
#[test]
fn no_receipt_without_a_proof_is_signed_that_is_late_behind_others() {
    let orders: Vec<(usize, u64, u64)> = (0..200).map(|number| (2, number * 10, 20 + number % 5)).collect();
    let played = play_signed(&orders, false);
    assert!(played.late.is_empty(), "{played:?}");
    assert!(
        (64..200).contains(&played.settled.len()),
        "{}",
        played.settled.len()
    );
}

/// Every queue of four receipts of these kinds and deadlines: whatever makes the planner wait, all deadlines that some
/// order meets are met.
#[test]
fn no_deadline_is_missed_that_some_order_of_batches_meets() {
    let choices: Vec<(Kind, u64)> = kinds()
        .into_iter()
        .flat_map(|kind| [9, 12, 15, 19].map(|settle_by| (kind, settle_by)))
        .collect();
    let (mut met, mut missed) = (0, 0);
    for mut number in 0..choices.len().pow(4) {
        let mut picks = Vec::new();
        for _ in 0..4 {
            picks.push(number % choices.len());
            number /= choices.len();
        }
        // A queue has no order: one of each set of picks is enough.
        if !picks.is_sorted() {
            continue;
        }
        let queue = picks.iter().enumerate().map(|(index, pick)| {
            let (kind, settle_by) = choices[*pick];
            receipt(index as u64, kind, settle_by)
        });
        let mut case = Case::priced();
        // Two of a kind fill a batch; everything is waited for as long as it may be.
        case.rates.values_mut().for_each(|rates| rates.max_batch = 2);
        case.policy.batch_wait_ms = u64::MAX;
        case.policy.safety_ticks = 1;
        case.queue = queue.collect();
        let possible = can_all_be_met(&case, &case.queue, 0);
        let queue = case.queue.clone();
        let played = play(&mut case, Vec::new(), |_| 1);
        assert!(!possible || played.late.is_empty(), "{queue:?}: {played:?}");
        assert_eq!(played.settled.len() + played.late.len(), 4);
        met += u32::from(possible);
        missed += u32::from(!possible);
    }
    assert!(met > 500 && missed > 200, "{met} {missed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn large_queues_are_settled_in_time_and_never_at_a_loss(
        seeds in prop::collection::vec((0usize..3, 0u64..600_000, 0u64..300, 0u128..100_000_000), 1..60),
        prices in prop::collection::vec(1u128..60, 32),
        max_base_fee in 1u128..60,
        batch_wait_ms in 0u64..60_000,
        margin_bp in 0u32..20_000,
    ) {
        let arrivals = || seeds.iter().enumerate().map(|(index, (kind, at, more, warranty))| {
            // Long enough for all others to be proven before.
            let settle_by = at / TICK_MS + 700 + more;
            let mut one = receipt(index as u64, kinds()[*kind], settle_by);
            one.warranty = Amount(*warranty);
            (*at, one)
        }).collect::<Vec<_>>();
        let base_fee = |tick: u64| prices[(tick / 40) as usize % prices.len()];
        let mut case = Case::priced();
        case.policy.max_base_fee = Amount(max_base_fee);
        case.policy.batch_wait_ms = batch_wait_ms;
        case.policy.margin_bp = margin_bp;
        let played = play(&mut case.clone(), arrivals(), base_fee);
        prop_assert!(played.burned <= played.saved, "{played:?}");
        // What is worth its gas alone at every price is never missed.
        let of_place: BTreeMap<Place, Waiting> = arrivals().into_iter().map(|(_, one)| (one.place, one)).collect();
        for place in &played.late {
            let one = of_place[place];
            let gas = case.rates[&one.kind].transaction_gas(&case.gas, 1);
            prop_assert!(one.fee.0 + one.warranty.0 < u128::from(gas) * 60, "{one:?}");
        }
        prop_assert_eq!(&play(&mut case, arrivals(), base_fee), &played);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_receipt_is_late_that_is_signed_with_all_that_waits(
        orders in prop::collection::vec((0usize..3, 0u64..20_000, 3u64..30), 1..8),
        is_patient in any::<bool>(),
    ) {
        let played = play_signed(&orders, is_patient);
        prop_assert!(played.late.is_empty(), "{played:?}");
    }
}
