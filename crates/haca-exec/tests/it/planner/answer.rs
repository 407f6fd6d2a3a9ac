//! Which demands are answered now, and at what price.

use haca_exec::Place;
use haca_exec::planner::{AnswerPlan, Answering, Docket, OpenDemand, Rates, plan_answers, reprice_answer};
use haca_wire::{Amount, ChannelId, EvidenceKind, ModelId, Sequence, Tick};

use super::queue::{ASSET, Case, INCLUSION_MS, MODEL_A, MODEL_B, TICK_MS, kind};

/// The node loses this with an unanswered demand.
const STAKE: u128 = 1_000_000_000_000;
/// Ticks before the end up to which a lower base fee is waited for.
const PATIENCE: u64 = 900;

fn demand(sequence: u64, model: ModelId, due: u64, deposit: u128) -> OpenDemand {
    OpenDemand {
        place: Place {
            channel: ChannelId([3; 32]),
            sequence: Sequence(sequence),
        },
        model,
        due: Tick(due),
        deposit: Amount(deposit),
        fee: Amount(0),
        warranty: Amount(0),
        asset: ASSET,
        is_alone: false,
    }
}

fn docket<'a>(case: &'a Case, demands: &'a [OpenDemand]) -> Docket<'a> {
    Docket {
        now: case.now,
        tick_ms: TICK_MS,
        inclusion_ms: INCLUSION_MS,
        base_fee: case.base_fee,
        gas: case.gas,
        patience_ticks: PATIENCE,
        stake: Amount(STAKE),
        policy: &case.policy,
        rates: &case.rates,
        demands,
    }
}

fn plan(case: &Case, demands: &[OpenDemand]) -> AnswerPlan {
    plan_answers(&docket(case, demands))
}

fn answering(plan: AnswerPlan) -> Answering {
    match plan {
        AnswerPlan::Answer(answering) => answering,
        other => panic!("{other:?}"),
    }
}

fn sequences(answering: &Answering) -> Vec<u64> {
    answering.places.iter().map(|place| place.sequence.0).collect()
}

/// The gas of an answer for so many receipts.
fn gas(case: &Case, count: usize) -> u64 {
    let rates: &Rates = &case.rates[&kind(MODEL_A, EvidenceKind::Zk)];
    rates.answer_gas(&case.gas, count)
}

#[test]
fn what_is_due_first_goes_first_with_all_of_its_model_that_one_proof_covers() {
    let case = Case::unpriced();
    let mut demands: Vec<OpenDemand> = (0..10)
        .map(|number| demand(number, MODEL_A, 3_000 - number, 1 << 40))
        .collect();
    demands.push(demand(20, MODEL_B, 2_995, 1 << 40));
    let first = answering(plan(&case, &demands));
    assert_eq!(first.model, MODEL_A);
    assert_eq!(sequences(&first), [9, 8, 7, 6, 5, 4, 3, 2]);
    demands.reverse();
    assert_eq!(
        answering(plan(&case, &demands)),
        first,
        "in whatever order they came"
    );
}

/// Whoever demands many proofs of one model must not push another's behind them.
#[test]
fn later_demands_of_a_model_go_first_only_while_the_others_have_time() {
    let mut case = Case::unpriced();
    let demands = [
        demand(0, MODEL_A, 3_000, 1 << 40),
        demand(1, MODEL_B, 3_001, 1 << 40),
        demand(2, MODEL_A, 3_002, 1 << 40),
    ];
    assert_eq!(sequences(&answering(plan(&case, &demands))), [0, 2]);
    case.now = Tick(3_000 - PATIENCE);
    let first = answering(plan(&case, &demands));
    assert_eq!(sequences(&first), [0]);
    assert_eq!(first.slack_ms, 1_000 * PATIENCE as i64 + 2_000 - 3 * 5_250);
}

#[test]
fn a_deposit_that_pays_the_gas_is_taken_at_once_and_one_that_does_not_is_waited_for() {
    let mut case = Case::unpriced();
    case.base_fee = Amount(7);
    let gas = u128::from(gas(&case, 1));
    let pays = [demand(0, MODEL_A, 3_000, 7 * gas)];
    assert_eq!(answering(plan(&case, &pays)).max_base_fee, Amount(7));
    let short = [demand(0, MODEL_A, 3_000, 7 * gas - 1)];
    // 3 s and 250 ms of proof, 2 s of inclusion, and half the window.
    assert_eq!(plan(&case, &short), AnswerPlan::Wait(Tick(3_000 - 6 - PATIENCE)));
    case.now = Tick(3_000 - 5 - PATIENCE);
    let pressing = answering(plan(&case, &short));
    assert_eq!(
        pressing.max_base_fee,
        Amount((7 * gas - 1 + STAKE) / gas),
        "all that is at stake"
    );
    // Above that, losing is cheaper.
    case.base_fee = Amount((7 * gas - 1 + STAKE) / gas + 1);
    assert!(matches!(plan(&case, &short), AnswerPlan::Wait(_)));
}

/// A jailed node has no stake left to lose. Fee and warranty of each demand it still has.
#[test]
fn a_node_without_stake_still_bids_what_it_loses() {
    let mut case = Case::priced();
    case.base_fee = Amount(7);
    case.now = Tick(2_500);
    let gas = u128::from(gas(&case, 1));
    let mut demands = [demand(0, MODEL_A, 3_000, gas)];
    let bid = |case: &Case, demands: &[OpenDemand]| {
        let jailed = Docket {
            stake: Amount(0),
            ..docket(case, demands)
        };
        match plan_answers(&jailed) {
            AnswerPlan::Answer(answering) => Some(answering.max_base_fee),
            _ => None,
        }
    };
    assert_eq!(bid(&case, &demands), None, "nothing is lost but the deposit");
    (demands[0].fee, demands[0].warranty) = (Amount(2 * gas), Amount(5 * gas));
    assert_eq!(bid(&case, &demands), Some(Amount(8)), "deposit, fee and warranty");
    case.base_fee = Amount(9);
    assert_eq!(bid(&case, &demands), None, "losing is cheaper");
    // What is worth nobody knows how much is bid for as a settlement is.
    case.policy.prices.clear();
    case.policy.max_base_fee = Amount(20);
    assert_eq!(bid(&case, &demands), Some(Amount(36)));
    case.base_fee = Amount(3);
    assert_eq!(bid(&case, &demands), Some(Amount(20)));
}

/// Two proofs take twice as long: the first has to begin earlier for the second to be in time.
#[test]
fn the_time_of_all_proofs_counts_against_the_first() {
    let case = Case::unpriced();
    let one = [demand(0, MODEL_A, 3_000, 1 << 40)];
    let both = [one[0], demand(1, MODEL_B, 3_000, 1 << 40)];
    let slack = |demands: &[OpenDemand]| answering(plan(&case, demands)).slack_ms;
    assert_eq!(slack(&one), 3_000_000 - 5_250);
    assert_eq!(slack(&both), 3_000_000 - 2 * 5_250);
}

/// What settles before an answer leaves every demand twice the time of its proof, not the first alone.
#[test]
fn settlements_before_an_answer_leave_twice_the_time_to_all_proofs() {
    let case = Case::unpriced();
    let one = [demand(0, MODEL_A, 3_000, 1 << 40)];
    let both = [one[0], demand(1, MODEL_B, 3_000, 1 << 40)];
    let slack = |demands: &[OpenDemand]| answering(plan(&case, demands)).safe_slack_ms;
    assert_eq!(slack(&one), 3_000_000 - (2 * 3_250 + 2_000));
    assert_eq!(slack(&both), 3_000_000 - 2 * (2 * 3_250 + 2_000));
}

#[test]
fn what_failed_together_is_answered_alone() {
    let case = Case::unpriced();
    let mut demands = [0, 1, 2].map(|number| demand(number, MODEL_A, 3_000 + number, 1 << 40));
    demands[0].is_alone = true;
    assert_eq!(sequences(&answering(plan(&case, &demands))), [0]);
}

#[test]
fn a_model_that_can_not_be_proven_here_holds_up_no_other() {
    let case = Case::unpriced();
    let demands = [
        demand(0, ModelId([9; 32]), 100, 1 << 40),
        demand(1, MODEL_A, 3_000, 1 << 40),
    ];
    assert_eq!(sequences(&answering(plan(&case, &demands))), [1]);
    assert_eq!(plan(&case, &demands[..1]), AnswerPlan::Idle);
}

#[test]
fn an_answer_is_raised_only_above_what_it_is_signed_for_and_only_when_it_pays_or_presses() {
    let mut case = Case::unpriced();
    case.base_fee = Amount(9);
    let gas = u128::from(gas(&case, 1));
    let demands = [demand(0, MODEL_A, 3_000, 8 * gas)];
    assert_eq!(reprice_answer(&docket(&case, &demands), Amount(9)), None);
    assert_eq!(
        reprice_answer(&docket(&case, &demands), Amount(8)),
        None,
        "there is time"
    );
    case.now = Tick(2_500);
    let raised = reprice_answer(&docket(&case, &demands), Amount(8));
    assert_eq!(raised, Some(Amount((8 * gas + STAKE) / gas)));
}

/// A third signature pays for the block that pays the fee.
#[test]
fn a_receipt_whose_fee_waits_takes_the_gas_of_three_signatures() {
    let case = Case::unpriced();
    let of = |evidence| &case.rates[&kind(MODEL_A, evidence)];
    let more = of(EvidenceKind::Optimistic).group_gas(&case.gas, 5)
        - of(EvidenceKind::Signed).group_gas(&case.gas, 5);
    assert_eq!(more, 5 * case.gas.signature);
}
