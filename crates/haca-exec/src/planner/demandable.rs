//! How many receipts may be out whose proofs can be demanded.
//!
//! The chain makes a demand due a response window after it, and a step after the one before while one is open. The node
//! answers in that order. Whoever times the demands, every proof is in time when either
//!
//! * the proofs of all that is out take no longer than the window: a demand waits for what is open, which is no more; or
//! * each of these proofs fits a step: then no demand brings less time than its proof takes.
//!
//! The window counts less the longest proof of a settlement, which is not interrupted, and a measured time twice; and less the
//! time to find what is demanded among all fees that wait, during which another settlement may begin.

use std::collections::BTreeMap;

use haca_wire::ModelId;

use super::{Kind, Rates};

/// How much longer than measured a proof is reckoned to take.
pub const SAFETY: u64 = 2;
/// What a question about one fee is reckoned to take, in milliseconds.
const LOOK_MS: u64 = 50;
/// Fees that are looked at before other work is done, whatever is due or demanded.
pub const LOOKS: usize = 16;
/// One part in this many of the response window is left to the proofs of a settlement.
const SETTLEMENT_SHARE: u64 = 8;

/// What the chain gives for answers, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerTime {
    /// From a demand to its last tick, when none was open.
    pub window_ms: u64,
    /// From there to the last tick of the next.
    pub step_ms: u64,
    /// From sending a transaction to its inclusion.
    pub inclusion_ms: u64,
    /// Longest time for the proofs of one settlement.
    pub settlement_ms: u64,
    /// To ask the chain about one fee that waits.
    pub look_ms: u64,
}

/// More proofs can be demanded than are made in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// What all proofs are reckoned to take.
    pub found_ms: u64,
    /// What they may take.
    pub expected_ms: u64,
}

impl AnswerTime {
    /// Windows of so many ticks, beside settlements of the models with these rates.
    pub fn new(
        tick_ms: u64,
        (window, step): (u64, u64),
        rates: &BTreeMap<Kind, Rates>,
        wait_ms: u64,
    ) -> Self {
        let window_ms = window.saturating_mul(tick_ms);
        let most_ms = longest_proofs_ms(window_ms);
        let longest = |(kind, rates): (&Kind, &Rates)| {
            let batch = rates.batch_within(*kind, most_ms);
            rates.prove_ms(*kind, batch)
        };
        let proofs: Vec<u64> = rates.iter().map(longest).filter(|ms| *ms > 0).collect();
        let longest = proofs.iter().copied().max().unwrap_or(0);
        // Groups of other models join as long as that takes no longer than this.
        let joined = if proofs.len() > 1 { wait_ms.min(most_ms) } else { 0 };
        Self {
            window_ms,
            step_ms: step.saturating_mul(tick_ms),
            inclusion_ms: tick_ms.saturating_mul(2),
            settlement_ms: longest.saturating_add(joined),
            look_ms: LOOK_MS,
        }
    }

    /// That every demand of these proofs can be answered: of each model, what one proof takes and how many there are.
    ///
    /// # Errors
    ///
    /// When some times of demands would make an answer late.
    pub fn check(&self, proofs: impl Iterator<Item = (u64, u64)>) -> Result<(), Overload> {
        let (mut found_ms, mut longest, mut fees) = (0u64, 0u64, 0u64);
        for (each_ms, count) in proofs {
            let each = SAFETY.saturating_mul(each_ms).saturating_add(self.inclusion_ms);
            found_ms = found_ms.saturating_add(each.saturating_mul(count));
            longest = longest.max(each);
            fees = fees.saturating_add(count);
        }
        let settlements = if fees > LOOKS as u64 && self.look_ms > 0 {
            2
        } else {
            1
        };
        let reserved = SAFETY
            .saturating_mul(self.settlement_ms)
            .saturating_mul(settlements);
        // Half of the time of a search is spent on other work.
        let search_ms = self.look_ms.saturating_mul(2).saturating_mul(fees);
        let expected_ms = self.window_ms.saturating_sub(reserved).saturating_sub(search_ms);
        if found_ms <= expected_ms || longest <= self.step_ms.min(expected_ms) {
            return Ok(());
        }
        Err(Overload {
            found_ms,
            expected_ms,
        })
    }
}

/// Longest time for the proofs of one settlement while a proof can be demanded, in a response window. A proof that takes
/// longer by itself is made by itself.
pub fn longest_proofs_ms(window_ms: u64) -> u64 {
    window_ms / SETTLEMENT_SHARE
}

/// Receipts by model.
pub fn count_models(models: impl Iterator<Item = ModelId>) -> BTreeMap<ModelId, u64> {
    let mut counts = BTreeMap::new();
    for model in models {
        let count: &mut u64 = counts.entry(model).or_default();
        *count = count.saturating_add(1);
    }
    counts
}
