//! Receipts that wait for their settlement and orders that are being answered, counted as they come and go: what is asked of
//! them for each signature takes no longer the more of them there are.

use std::collections::BTreeMap;

use haca_wire::Tick;

use crate::entry::Place;
use crate::planner::{Due, Kind};

/// How far an order is that waits for its settlement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Being answered; its deadline is looked at again before its receipt is signed.
    Admitted,
    /// Its receipt is signed, and maybe not in the journal yet.
    Signed,
    /// Its receipt is in the journal.
    Answered,
}

/// A receipt, or an order that is being answered.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) kind: Kind,
    pub(super) settle_by: Tick,
    pub(super) stage: Stage,
}

impl Waiting {
    const fn due(&self) -> Due {
        Due {
            by: self.settle_by,
            kind: self.kind,
        }
    }
}

/// What waits, with its numbers.
#[derive(Default)]
pub(super) struct Queue {
    places: BTreeMap<Place, Waiting>,
    kinds: BTreeMap<Kind, usize>,
    signed: BTreeMap<Due, usize>,
    /// Receipts that are signed, and maybe not in the journal yet.
    unjournalled: usize,
}

impl Queue {
    pub(super) fn insert(&mut self, place: Place, waiting: Waiting) {
        self.remove(place);
        self.places.insert(place, waiting);
        increase(&mut self.kinds, waiting.kind);
        if waiting.stage != Stage::Admitted {
            increase(&mut self.signed, waiting.due());
        }
        self.unjournalled += usize::from(waiting.stage == Stage::Signed);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Waiting> {
        let waiting = self.places.remove(&place)?;
        decrease(&mut self.kinds, waiting.kind);
        if waiting.stage != Stage::Admitted {
            decrease(&mut self.signed, waiting.due());
        }
        self.unjournalled -= usize::from(waiting.stage == Stage::Signed);
        Some(waiting)
    }

    /// What waits there, if anything, is this far from now on.
    pub(super) fn reach(&mut self, place: Place, stage: Stage) {
        if let Some(waiting) = self.remove(place) {
            self.insert(place, Waiting { stage, ..waiting });
        }
    }

    pub(super) fn stage(&self, place: Place) -> Option<Stage> {
        self.places.get(&place).map(|waiting| waiting.stage)
    }

    /// Whether a receipt is signed and on its way into the journal.
    pub(super) const fn has_unjournalled(&self) -> bool {
        self.unjournalled > 0
    }

    /// What is in the journal, or may be.
    pub(super) fn answered(&self) -> Vec<Place> {
        let answered = self.places.iter().filter(|(_, one)| one.stage == Stage::Answered);
        answered.map(|(place, _)| *place).collect()
    }

    /// Receipts that are signed, by deadline and kind.
    pub(super) const fn signed(&self) -> &BTreeMap<Due, usize> {
        &self.signed
    }

    /// All that waits, by kind.
    pub(super) const fn kinds(&self) -> &BTreeMap<Kind, usize> {
        &self.kinds
    }
}

fn increase<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn decrease<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use haca_wire::{ChannelId, EvidenceKind, ModelId, Sequence};

    use super::*;

    const KIND: Kind = Kind {
        model: ModelId([1; 32]),
        evidence: EvidenceKind::Zk,
    };

    #[test]
    fn numbers_are_those_of_what_waits() {
        let place = |sequence| Place {
            channel: ChannelId([2; 32]),
            sequence: Sequence(sequence),
        };
        let waiting = |stage, tick| Waiting {
            kind: KIND,
            settle_by: Tick(tick),
            stage,
        };
        let mut queue = Queue::default();
        for sequence in 0..3 {
            queue.insert(place(sequence), waiting(Stage::Admitted, 9));
        }
        assert!(queue.signed().is_empty() && !queue.has_unjournalled());
        queue.reach(place(0), Stage::Signed);
        queue.reach(place(1), Stage::Signed);
        queue.reach(place(7), Stage::Signed);
        let due = |tick| Due {
            by: Tick(tick),
            kind: KIND,
        };
        assert_eq!(queue.signed(), &[(due(9), 2)].into());
        queue.reach(place(0), Stage::Answered);
        assert!(queue.has_unjournalled());
        // As the journal is read.
        queue.insert(place(1), waiting(Stage::Answered, 8));
        assert!(!queue.has_unjournalled());
        assert_eq!(queue.signed(), &[(due(8), 1), (due(9), 1)].into());
        assert_eq!(queue.kinds(), &[(KIND, 3)].into());
        assert_eq!(queue.answered(), [place(0), place(1)]);
        for sequence in 0..8 {
            queue.remove(place(sequence));
        }
        assert!(queue.signed().is_empty() && queue.kinds().is_empty());
    }
}
