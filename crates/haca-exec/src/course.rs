//! What the node has seen of the chain's pace and prices. May be lost: it is seen again.

use std::collections::VecDeque;
use std::time::Instant;

use haca_wire::state::Clock;
use haca_wire::{Amount, Tick};

/// Ticks that are looked back at.
const SEEN: usize = 64;
/// What a tick takes before any was seen, and at most: rather too little than too much.
const TICK_MS: u64 = 1_000;

/// Recent ticks with their base fees.
#[derive(Debug)]
pub(crate) struct Course {
    /// What a tick takes at least.
    least_tick_ms: u64,
    ticks: VecDeque<(Tick, Instant)>,
    base_fees: VecDeque<Amount>,
}

impl Course {
    pub(crate) fn new(least_tick_ms: u64) -> Self {
        Self {
            least_tick_ms: least_tick_ms.min(TICK_MS),
            ticks: VecDeque::new(),
            base_fees: VecDeque::new(),
        }
    }

    /// Learns the clock of the next block.
    pub(crate) fn observe(&mut self, clock: &Clock) {
        if self.ticks.back().is_some_and(|(tick, _)| *tick >= clock.tick) {
            return;
        }
        if self.ticks.len() >= SEEN {
            self.ticks.pop_front();
            self.base_fees.pop_front();
        }
        self.ticks.push_back((clock.tick, Instant::now()));
        self.base_fees.push_back(clock.base_fee);
    }

    /// Base fees as they were seen.
    pub(crate) fn base_fees(&self) -> Vec<Amount> {
        self.base_fees.iter().copied().collect()
    }

    /// Milliseconds of a tick.
    pub(crate) fn tick_ms(&self) -> u64 {
        let (Some((first, begin)), Some((last, end))) = (self.ticks.front(), self.ticks.back()) else {
            return TICK_MS;
        };
        let elapsed = u64::try_from(end.duration_since(*begin).as_millis()).unwrap_or(u64::MAX);
        let ticks = last.0.saturating_sub(first.0);
        elapsed
            .checked_div(ticks)
            .unwrap_or(TICK_MS)
            .clamp(self.least_tick_ms, TICK_MS)
    }
}
