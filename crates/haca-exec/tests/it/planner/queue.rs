//! Queues for the planner, and what its transactions cost and are worth.

use std::collections::BTreeMap;

use haca_exec::Place;
use haca_exec::planner::{
    Action, Due, GasPrices, Kind, Market, Plan, Policy, Price, ProveTimes, Rates, Settlement, Situation,
    Waiting,
};
use haca_wire::{Amount, AssetId, ChannelId, EvidenceKind, Gas, ModelId, Sequence, Tick};

pub(crate) const MODEL_A: ModelId = ModelId([1; 32]);
pub(crate) const MODEL_B: ModelId = ModelId([2; 32]);
pub(crate) const ASSET: AssetId = AssetId(1);
/// Milliseconds of a tick.
pub(crate) const TICK_MS: u64 = 1_000;
/// Milliseconds until a transaction is included.
pub(crate) const INCLUSION_MS: u64 = 2_000;

/// A situation with everything that it refers to.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) now: Tick,
    pub(crate) base_fee: Amount,
    pub(crate) recent: Vec<Amount>,
    pub(crate) gas: GasPrices,
    pub(crate) longest_proofs_ms: u64,
    pub(crate) policy: Policy,
    pub(crate) rates: BTreeMap<Kind, Rates>,
    pub(crate) queue: Vec<Waiting>,
}

pub(crate) const fn kind(model: ModelId, evidence: EvidenceKind) -> Kind {
    Kind { model, evidence }
}

/// A receipt with a fee of 1,000,000 and a warranty of ten times that.
pub(crate) fn receipt(sequence: u64, kind: Kind, settle_by: u64) -> Waiting {
    Waiting {
        place: Place {
            channel: ChannelId([3; 32]),
            sequence: Sequence(sequence),
        },
        kind,
        asset: ASSET,
        fee: Amount(1_000_000),
        warranty: Amount(10_000_000),
        settle_by: Tick(settle_by),
        waited_ms: 0,
        is_alone: false,
    }
}

impl Case {
    /// Without a price of the asset. Proofs of up to eight take 3 s and 250 ms for each inference.
    pub(crate) fn unpriced() -> Self {
        let gas = GasPrices {
            flat: 50_000,
            byte: 10,
            signature: 300_000,
            tx_gas: 400_000_000,
            own_signatures: 1,
        };
        let mut rates = BTreeMap::new();
        for model in [MODEL_A, MODEL_B] {
            let proofs =
                (1..=8u64).map(|count| (Gas(1_000_000 + 50_000 * count.next_power_of_two()), 60_000));
            let mut times = ProveTimes::default();
            (1..=8u32).for_each(|count| times.learn(count, 3_000 + 250 * u64::from(count)));
            let zk = Rates::new(&gas, 8, 2_000, proofs.collect(), times);
            rates.insert(kind(model, EvidenceKind::Zk), zk);
            for evidence in [EvidenceKind::Signed, EvidenceKind::Optimistic] {
                rates.insert(kind(model, evidence), Rates::unproven(&gas, 8, evidence));
            }
        }
        Self {
            now: Tick(0),
            base_fee: Amount(1),
            recent: Vec::new(),
            gas,
            longest_proofs_ms: u64::MAX,
            policy: Policy::default(),
            rates,
            queue: Vec::new(),
        }
    }

    /// One unit of the asset is worth one of OPG.
    pub(crate) fn priced() -> Self {
        let mut case = Self::unpriced();
        case.policy.prices.insert(ASSET, Price { opg: 1, units: 1 });
        case
    }

    pub(crate) fn situation(&self) -> Situation<'_> {
        Situation {
            now: self.now,
            tick_ms: TICK_MS,
            inclusion_ms: INCLUSION_MS,
            market: Market {
                base_fee: self.base_fee,
                recent: &self.recent,
            },
            gas: self.gas,
            longest_proofs_ms: self.longest_proofs_ms,
            policy: &self.policy,
            rates: &self.rates,
            queue: &self.queue,
        }
    }
}

/// The receipts that a plan settles now.
pub(crate) fn chosen(plan: &Plan) -> Vec<Place> {
    match &plan.action {
        Action::Settle(settlement) => settled(settlement),
        _ => Vec::new(),
    }
}

pub(crate) fn settled(settlement: &Settlement) -> Vec<Place> {
    settlement
        .groups
        .iter()
        .flat_map(|group| group.places.clone())
        .collect()
}

/// Gas of a transaction, by the rules of the chain.
pub(crate) fn gas_of(case: &Case, settlement: &Settlement) -> u128 {
    let empty = case.rates.values().next().unwrap();
    let frame = empty.transaction_gas(&case.gas, 1) - empty.group_gas(&case.gas, 1);
    let groups = settlement.groups.iter().map(|group| {
        assert!(group.places.len() <= case.rates[&group.kind].max_batch);
        u128::from(case.rates[&group.kind].group_gas(&case.gas, group.places.len()))
    });
    u128::from(frame) + groups.sum::<u128>()
}

/// Fees and warranties of what a transaction settles, in OPG.
pub(crate) fn worth_of(case: &Case, settlement: &Settlement) -> u128 {
    let price = case.policy.prices[&ASSET];
    let of_place: BTreeMap<Place, &Waiting> = case.queue.iter().map(|one| (one.place, one)).collect();
    let worth = settled(settlement).into_iter().map(|place| {
        let one = of_place[&place];
        price.opg(one.fee.0 + one.warranty.0)
    });
    worth.sum()
}

/// How many are due, by deadline and kind.
pub(crate) fn count_due(all: impl Iterator<Item = Due>) -> BTreeMap<Due, usize> {
    let mut counts = BTreeMap::new();
    for due in all {
        *counts.entry(due).or_default() += 1;
    }
    counts
}
