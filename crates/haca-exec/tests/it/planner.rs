//! The settlement planner: exhaustive over small queues, random over large ones.

mod admission;
mod answer;
mod demandable;
mod queue;
mod simulation;

use haca_exec::planner::{Action, Cause, ProveTimes, Reason, Reprice, plan, reprice};
use haca_wire::{Amount, EvidenceKind, Tick};

use queue::{Case, MODEL_A, MODEL_B, chosen, gas_of, kind, receipt, worth_of};

/// Every sequence of `length` choices.
fn sequences<T: Copy>(choices: &[T], length: usize) -> Vec<Vec<T>> {
    (0..length).fold(vec![Vec::new()], |sequences, _| {
        let longer = sequences
            .iter()
            .flat_map(|sequence| choices.iter().map(|choice| [&sequence[..], &[*choice]].concat()));
        longer.collect()
    })
}

#[test]
fn no_choice_of_receipts_saves_more_and_nothing_is_settled_at_a_loss() {
    for base_fee in [1, 3, 40] {
        for values in sequences(&[0, 700_000, 2_500_000, 60_000_000], 4) {
            let mut case = Case::priced();
            case.base_fee = Amount(base_fee);
            case.policy.max_base_fee = Amount(1_000);
            case.now = Tick(95);
            for (index, value) in values.iter().enumerate() {
                let mut one = receipt(index as u64, kind(MODEL_A, EvidenceKind::Signed), 100);
                (one.fee, one.warranty) = (Amount(value / 2), Amount(value - value / 2));
                case.queue.push(one);
            }
            let nets = (1u32..16).map(|set| {
                let subset: Vec<u128> = (0..4)
                    .filter(|bit| set & (1 << bit) != 0)
                    .map(|bit| values[bit as usize])
                    .collect();
                let gas = case.rates[&case.queue[0].kind].transaction_gas(&case.gas, subset.len());
                subset.iter().sum::<u128>() as i128 - (u128::from(gas) * base_fee) as i128
            });
            let best = nets.max().unwrap();
            let made = plan(&case.situation());
            match &made.action {
                Action::Settle(settlement) => {
                    let (worth, gas) = (worth_of(&case, settlement), gas_of(&case, settlement));
                    assert_eq!(
                        worth as i128 - (gas * base_fee) as i128,
                        best,
                        "{values:?} at {base_fee}"
                    );
                    assert!(
                        gas * settlement.max_base_fee.0 <= worth,
                        "the chain bounds what it burns"
                    );
                    assert!(settlement.max_base_fee >= case.base_fee);
                    assert!(gas <= u128::from(settlement.gas));
                }
                Action::Wait { reason, until } => {
                    assert!(best < 0, "{values:?} at {base_fee}: {made:?}");
                    assert_eq!((*reason, *until), (Reason::Worthless, Tick(100)));
                }
                Action::Idle => panic!("there is a queue"),
            }
        }
    }
}

#[test]
fn a_warranty_worth_more_than_the_gas_is_never_given_up() {
    for base_fee in [1u128, 50, 10_000] {
        let mut case = Case::priced();
        case.base_fee = Amount(base_fee);
        case.policy.max_base_fee = Amount(5);
        let one = receipt(0, kind(MODEL_A, EvidenceKind::Zk), 100);
        let gas = case.rates[&one.kind].transaction_gas(&case.gas, 1);
        for (warranty, pays) in [
            (u128::from(gas) * base_fee, true),
            (u128::from(gas) * base_fee - 1, false),
        ] {
            case.queue = vec![one];
            case.queue[0].warranty = Amount(warranty);
            case.queue[0].fee = Amount(0);
            let settles: Vec<u64> = (0..=100)
                .filter(|now| {
                    case.now = Tick(*now);
                    matches!(plan(&case.situation()).action, Action::Settle(_))
                })
                .collect();
            if !pays {
                assert!(settles.is_empty(), "{settles:?}");
            } else if base_fee > 5 {
                // Put off to the latest safe time, and not beyond: from there to the last tick.
                assert_eq!(settles, (settles[0]..=100).collect::<Vec<_>>());
                assert!(settles[0] > 80 && settles[0] <= 93, "{settles:?}");
            } else {
                assert_eq!(settles.len(), 101, "nothing is gained by waiting at the floor");
            }
        }
        case.now = Tick(101);
        let late = plan(&case.situation());
        assert_eq!(
            (late.action, late.late),
            (Action::Idle, vec![case.queue[0].place])
        );
    }
}

#[test]
fn without_a_price_warranties_are_paid_for_and_fees_alone_up_to_the_maximum() {
    let mut case = Case::unpriced();
    case.policy.max_base_fee = Amount(5);
    case.now = Tick(99);
    let mut bare = receipt(0, kind(MODEL_A, EvidenceKind::Signed), 100);
    bare.warranty = Amount(0);
    let backed = receipt(1, bare.kind, 100);
    case.queue = vec![bare, backed];
    case.base_fee = Amount(5);
    assert_eq!(chosen(&plan(&case.situation())).len(), 2);
    case.base_fee = Amount(6);
    assert_eq!(chosen(&plan(&case.situation())), vec![backed.place]);
}

#[test]
fn a_batch_waits_for_the_margin_and_a_full_one_is_settled() {
    let mut case = Case::priced();
    case.policy.margin_bp = 2_000;
    let zk = kind(MODEL_A, EvidenceKind::Zk);
    let full = case.rates[&zk].max_batch;
    let gas = case.rates[&zk].transaction_gas(&case.gas, full);
    // Eight of them pay for themselves with the margin, fewer do not.
    let fee = Amount((u128::from(gas) * 12 / 10).div_ceil(full as u128));
    for count in 1..=full {
        case.queue = (0..count as u64).map(|index| receipt(index, zk, 1_000)).collect();
        case.queue.iter_mut().for_each(|one| one.fee = fee);
        let action = plan(&case.situation()).action;
        match action {
            Action::Settle(settlement) => {
                assert_eq!((count, settlement.cause), (full, Cause::Profitable));
            }
            Action::Wait { reason, until } => {
                assert!(count < full && until.0 > 900);
                assert_eq!(reason, Reason::LargerBatch);
                case.now = until;
                let Action::Settle(urgent) = plan(&case.situation()).action else {
                    panic!("the latest safe time is the latest");
                };
                assert_eq!(urgent.cause, Cause::Urgent);
                case.now = Tick(0);
            }
            Action::Idle => panic!("there is a queue"),
        }
    }
}

#[test]
fn a_spike_is_waited_out_and_a_lasting_price_is_not() {
    let mut case = Case::unpriced();
    case.queue = vec![receipt(0, kind(MODEL_A, EvidenceKind::Signed), 1_000)];
    case.base_fee = Amount(300);
    case.recent = vec![Amount(100); 20];
    let Action::Wait { reason, .. } = plan(&case.situation()).action else {
        panic!("three times the usual base fee");
    };
    assert_eq!(reason, Reason::LowerBaseFee);
    case.recent = vec![Amount(300); 20];
    assert!(matches!(plan(&case.situation()).action, Action::Settle(_)));
}

#[test]
fn receipts_wait_for_company_as_long_as_the_operator_says() {
    let mut case = Case::unpriced();
    case.policy.batch_wait_ms = 5_000;
    let signed = kind(MODEL_A, EvidenceKind::Signed);
    case.queue = vec![receipt(0, signed, 1_000), receipt(1, signed, 1_000)];
    case.queue[0].waited_ms = 4_999;
    let Action::Wait { reason, .. } = plan(&case.situation()).action else {
        panic!("not yet");
    };
    assert_eq!(reason, Reason::LargerBatch);
    case.queue[0].waited_ms = 5_000;
    assert_eq!(chosen(&plan(&case.situation())).len(), 2);
}

#[test]
fn groups_share_a_transaction_but_never_with_a_receipt_that_settles_alone() {
    let mut case = Case::unpriced();
    let (zk, signed) = (
        kind(MODEL_A, EvidenceKind::Zk),
        kind(MODEL_B, EvidenceKind::Signed),
    );
    case.queue = vec![
        receipt(0, zk, 1_000),
        receipt(1, signed, 2_000),
        receipt(2, signed, 2_000),
    ];
    let Action::Settle(both) = plan(&case.situation()).action else {
        panic!("nothing to wait for");
    };
    let sizes: Vec<_> = both
        .groups
        .iter()
        .map(|group| (group.kind, group.places.len()))
        .collect();
    assert_eq!(sizes, vec![(zk, 1), (signed, 2)]);
    assert_eq!(gas_of(&case, &both), u128::from(both.gas));
    case.queue[1].is_alone = true;
    let Action::Settle(first) = plan(&case.situation()).action else {
        panic!("nothing to wait for");
    };
    assert!(
        first
            .groups
            .iter()
            .all(|group| !group.places.contains(&case.queue[1].place))
    );
    // Proofs of two models are made one after the other: they share only what patience there is.
    case.queue = vec![
        receipt(0, zk, 1_000),
        receipt(1, kind(MODEL_B, EvidenceKind::Zk), 1_000),
    ];
    let Action::Settle(one) = plan(&case.situation()).action else {
        panic!("nothing to wait for");
    };
    assert_eq!(one.groups.len(), 1);
    case.policy.batch_wait_ms = 10_000;
    case.queue
        .iter_mut()
        .for_each(|receipt| receipt.waited_ms = 10_000);
    let Action::Settle(two) = plan(&case.situation()).action else {
        panic!("nothing to wait for");
    };
    assert_eq!(two.groups.len(), 2);
}

#[test]
fn a_proof_whose_time_nobody_knows_is_made_at_once() {
    let mut case = Case::unpriced();
    case.policy.batch_wait_ms = 60_000;
    let zk = kind(MODEL_A, EvidenceKind::Zk);
    case.queue = vec![receipt(0, zk, 1_000)];
    assert!(matches!(plan(&case.situation()).action, Action::Wait { .. }));
    case.rates.get_mut(&zk).unwrap().prove_times = ProveTimes::default();
    assert!(matches!(plan(&case.situation()).action, Action::Settle(_)));
}

#[test]
fn a_transaction_that_was_signed_too_low_is_raised_when_its_receipts_are_due_and_worth_it() {
    let mut case = Case::priced();
    let mut one = receipt(0, kind(MODEL_A, EvidenceKind::Signed), 100);
    (one.fee, one.warranty) = (Amount(0), Amount(30_000_000));
    case.queue = vec![one];
    case.base_fee = Amount(20);
    let gas = 1_000_000;
    assert_eq!(
        reprice(&case.situation(), gas, Amount(10)),
        Reprice::Keep,
        "there is time"
    );
    case.now = Tick(96);
    assert_eq!(
        reprice(&case.situation(), gas, Amount(10)),
        Reprice::Raise(Amount(30))
    );
    assert_eq!(
        reprice(&case.situation(), gas, Amount(20)),
        Reprice::Keep,
        "signed for enough"
    );
    case.base_fee = Amount(31);
    assert_eq!(
        reprice(&case.situation(), gas, Amount(10)),
        Reprice::Keep,
        "worth less than the gas"
    );
}

#[test]
fn the_order_of_the_queue_says_nothing() {
    let mut case = Case::priced();
    let kinds = [
        kind(MODEL_A, EvidenceKind::Zk),
        kind(MODEL_B, EvidenceKind::Zk),
        kind(MODEL_A, EvidenceKind::Signed),
    ];
    for index in 0..9u64 {
        case.queue
            .push(receipt(index, kinds[index as usize % 3], 90 + index * 7 % 20));
    }
    let first = plan(&case.situation());
    assert_eq!(plan(&case.situation()), first);
    for turn in 1..9 {
        case.queue.rotate_left(turn);
        assert_eq!(plan(&case.situation()), first);
    }
}
