//! As many proofs may be demanded as are made in time, however the demands are timed.

use haca_exec::Place;
use haca_exec::planner::{
    AnswerPlan, AnswerTime, Docket, GasPrices, Kind, OpenDemand, Overload, ProveTimes, Rates, count_models,
    plan_answers,
};
use haca_wire::{Amount, ChannelId, EvidenceKind, Gas, ModelId, Sequence, Tick};

use super::queue::{ASSET, Case, INCLUSION_MS, MODEL_A, MODEL_B, TICK_MS, kind};

/// Ticks of the standard parameters.
const WINDOW: u64 = 1_800;
const STEP: u64 = 30;
/// Batches of one proof.
const MOST: u32 = 4;

fn time(settlement_ms: u64) -> AnswerTime {
    AnswerTime {
        window_ms: WINDOW * TICK_MS,
        step_ms: STEP * TICK_MS,
        inclusion_ms: INCLUSION_MS,
        settlement_ms,
        look_ms: 0,
    }
}

/// Who has more fees waiting than can be asked for in a window promises no more.
#[test]
fn the_time_to_find_a_demand_leaves_less_of_the_window() {
    let looking = AnswerTime {
        look_ms: 50,
        ..time(10_000)
    };
    let fits = |count: u64| looking.check([(1, count)].into_iter()).is_ok();
    // Two settlements of twice 10 s, and a step of 2,002 ms, in 1,800 s.
    assert!(fits(17_579) && !fits(17_580));
}

#[test]
fn slow_proofs_fill_the_window_and_fast_ones_never_do() {
    let fits = |each_ms: u64, count: u64| time(0).check([(each_ms, count)].into_iter());
    // Twice 14 s and the inclusion are a step.
    assert_eq!(fits(14_000, 1_000_000), Ok(()));
    // Of 100 s, eight: 8 x 202 s are below 1,800 s.
    assert_eq!(fits(100_000, 8), Ok(()));
    let overload = Overload {
        found_ms: 9 * 202_000,
        expected_ms: 1_800_000,
    };
    assert_eq!(fits(100_000, 9), Err(overload));
    assert!(fits(899_000, 1).is_ok() && fits(899_001, 1).is_err());
    // One slow proof among fast ones: they count all together.
    let mixed = |fast| time(0).check([(100_000, 1), (14_000, fast)].into_iter());
    assert!(mixed(53).is_ok() && mixed(54).is_err());
}

/// The figures of the documents: of 100 s six, of 450 s none, at the standard windows of 1,800 and 30 s.
#[test]
fn a_model_of_slow_proofs_is_offered_for_few_receipts_or_none() {
    let most = |each_ms: u64| {
        let mut times = ProveTimes::default();
        times.learn(1, each_ms);
        let gas = Case::unpriced().gas;
        let proofs = (1..=32).map(|_| (Gas(1_000_000), 60_000));
        let made = Rates::new(&gas, 32, 2_000, proofs.collect(), times);
        let rates = [(kind(MODEL_A, EvidenceKind::Zk), made)].into();
        let time = AnswerTime::new(TICK_MS, (WINDOW, STEP), &rates, 0);
        (0..100)
            .rev()
            .find(|count| time.check([(each_ms, *count)].into_iter()).is_ok())
    };
    assert_eq!(
        [14_000, 100_000, 449_000, 450_000].map(most),
        [Some(99), Some(6), Some(1), Some(0)]
    );
}

#[test]
fn the_longest_proof_of_a_settlement_leaves_less_of_the_window() {
    let with = |settlement_ms: u64| time(settlement_ms).check([(14_000, 1)].into_iter());
    assert!(with(885_000).is_ok());
    assert!(with(885_001).is_err(), "also for what fits a step");
    // While something can be demanded, batches of settlements are no longer than an eighth of the window.
    let case = Case::unpriced();
    let of = |window| AnswerTime::new(TICK_MS, (window, STEP), &case.rates, 0).settlement_ms;
    assert_eq!((of(1_800), of(36), of(8)), (5_000, 4_500, 3_250));
    let waiting = AnswerTime::new(TICK_MS, (36, STEP), &case.rates, u64::MAX);
    assert_eq!(waiting.settlement_ms, 9_000, "with groups of other models");
}

/// Proofs of up to four inferences: `base_ms`, and a tenth of it for each inference.
fn rates(gas: &GasPrices, base_ms: u64) -> Rates {
    let mut times = ProveTimes::default();
    (1..=MOST).for_each(|count| times.learn(count, base_ms + base_ms / 10 * u64::from(count)));
    let proofs = (1..=MOST).map(|_| (Gas(1_000_000), 60_000));
    Rates::new(gas, MOST as usize, 2_000, proofs.collect(), times)
}

/// A payer who orders whenever the node answers, and demands whenever that hurts most.
struct Attack {
    seed: u64,
    case: Case,
    time: AnswerTime,
    now: u64,
    sequence: u64,
    /// Receipts that nobody has doubted yet.
    settled: Vec<(Place, ModelId)>,
    demands: Vec<OpenDemand>,
    last_due: u64,
    /// What the prover works on, and up to which millisecond.
    proving: Vec<Place>,
    busy_until_ms: u64,
    /// Answers on their way, with the tick of their block.
    sent: Vec<(u64, Vec<Place>)>,
    answered: u64,
}

impl Attack {
    fn new(seed: u64, slow_ms: u64, fast_ms: u64) -> Self {
        let mut case = Case::unpriced();
        for (model, ms) in [(MODEL_A, slow_ms), (MODEL_B, fast_ms)] {
            let made = rates(&case.gas, ms);
            case.rates.insert(kind(model, EvidenceKind::Zk), made);
        }
        let time = AnswerTime::new(TICK_MS, (WINDOW, STEP), &case.rates, 0);
        Self {
            seed,
            case,
            time,
            now: 0,
            sequence: 0,
            settled: Vec::new(),
            demands: Vec::new(),
            last_due: 0,
            proving: Vec::new(),
            busy_until_ms: 0,
            sent: Vec::new(),
            answered: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        // Numerical Recipes' generator.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % below
    }

    fn order(&mut self, model: ModelId) {
        let open = self.demands.iter().map(|demand| demand.model);
        let models = self
            .settled
            .iter()
            .map(|(_, model)| *model)
            .chain(open)
            .chain([model]);
        let rates = &self.case.rates;
        let each = |model: ModelId| {
            let kind: Kind = kind(model, EvidenceKind::Zk);
            rates[&kind].prove_each_ms(kind)
        };
        let proofs = count_models(models)
            .into_iter()
            .map(|(model, count)| (each(model), count));
        if self.settled.len() + self.demands.len() < 120 && self.time.check(proofs).is_ok() {
            let place = Place {
                channel: ChannelId([3; 32]),
                sequence: Sequence(self.sequence),
            };
            self.sequence += 1;
            self.settled.push((place, model));
        }
    }

    /// By the rule of the chain.
    fn demand(&mut self, (place, model): (Place, ModelId)) {
        let mut due = self.now + WINDOW;
        if !self.demands.is_empty() {
            due = due.max(self.last_due + STEP);
        }
        self.last_due = due;
        self.demands.push(OpenDemand {
            place,
            model,
            due: Tick(due),
            deposit: Amount(0),
            fee: Amount(1),
            warranty: Amount(1),
            asset: ASSET,
            is_alone: false,
        });
    }

    fn answer(&mut self) {
        let tick = self.now;
        for (at, places) in std::mem::take(&mut self.sent) {
            if at > tick {
                self.sent.push((at, places));
                continue;
            }
            for place in places {
                let index = self.demands.iter().position(|demand| demand.place == place);
                let demand = self.demands.remove(index.unwrap());
                assert!(tick <= demand.due.0, "due at {}, answered at {tick}", demand.due);
                self.answered += 1;
            }
        }
        if self.busy_until_ms > tick * TICK_MS {
            return;
        }
        if !self.proving.is_empty() {
            let included = (self.busy_until_ms + INCLUSION_MS).div_ceil(TICK_MS);
            self.sent.push((included, std::mem::take(&mut self.proving)));
        }
        let on_the_way = |place: &Place| self.sent.iter().any(|(_, places)| places.contains(place));
        let demands: Vec<OpenDemand> = self
            .demands
            .iter()
            .copied()
            .filter(|one| !on_the_way(&one.place))
            .collect();
        let docket = Docket {
            now: Tick(tick),
            tick_ms: TICK_MS,
            inclusion_ms: INCLUSION_MS,
            base_fee: Amount(1),
            gas: self.case.gas,
            patience_ticks: WINDOW / 2,
            stake: Amount(1 << 60),
            policy: &self.case.policy,
            rates: &self.case.rates,
            demands: &demands,
        };
        // A busy machine takes half as long again as was measured.
        let slowly = |ms: u64| ms + ms / 2;
        match plan_answers(&docket) {
            AnswerPlan::Answer(answering) => {
                let kind = kind(answering.model, EvidenceKind::Zk);
                let ms = self.case.rates[&kind].prove_ms(kind, answering.places.len());
                self.busy_until_ms = tick * TICK_MS + slowly(ms);
                self.proving = answering.places;
            }
            AnswerPlan::Wait(_) => {}
            // Nothing is demanded: a settlement begins, and can't be interrupted.
            AnswerPlan::Idle if self.random(3) == 0 => {
                self.busy_until_ms = tick * TICK_MS + slowly(self.time.settlement_ms);
            }
            AnswerPlan::Idle => {}
        }
    }

    fn run(mut self, ticks: u64) -> u64 {
        let patience = 1 + self.random(2_000);
        for tick in 0..ticks {
            self.now = tick;
            for _ in 0..4 {
                let model = if self.random(2) == 0 { MODEL_A } else { MODEL_B };
                self.order(model);
            }
            // All at once now and then, or one after the other.
            let count = match self.random(patience) {
                0 => self.settled.len() as u64,
                1..8 => 1,
                _ => 0,
            };
            for _ in 0..count.min(self.settled.len() as u64) {
                let index = self.random(self.settled.len() as u64) as usize;
                let one = self.settled.swap_remove(index);
                self.demand(one);
            }
            self.answer();
        }
        self.answered
    }
}

#[test]
fn no_times_of_demands_make_an_answer_late() {
    for (slow_ms, fast_ms) in [
        (100_000, 100_000),
        (60_000, 3_000),
        (3_000, 3_000),
        (200_000, 30_000),
        (12_000, 1_000),
    ] {
        for seed in 0..4 {
            let answered = Attack::new(seed, slow_ms, fast_ms).run(10_000);
            assert!(
                answered > 20,
                "{slow_ms} and {fast_ms} ms, seed {seed}: {answered} answers"
            );
        }
    }
}
