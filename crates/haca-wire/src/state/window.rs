//! Which sequences of a channel are used: an anti-replay window that slides with the highest one.

use crate::codec_struct;
use crate::id::Sequence;

use super::sequence_bits::SequenceBits;

/// How many sequences, counted back from the highest used one, can still be told apart.
pub const SEQUENCE_WINDOW: u64 = 1024;

/// What a window says of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceState {
    /// Neither settled nor claimed.
    Unused,
    /// Settled, claimed or void.
    Used,
    /// So far behind the highest used sequence that it is void, or beyond the last usable number.
    OutOfWindow,
}

/// The used sequences of one channel. A sequence may be used in any order while it is fewer than
/// [`SEQUENCE_WINDOW`] behind the highest used one; below that it is void. Source: RFC 4303, section 3.4.3.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SequenceWindow {
    next: u64,
    bits: SequenceBits,
}
codec_struct!(SequenceWindow { next, bits });

impl SequenceWindow {
    /// One above the highest used sequence; 0 when none is used.
    pub const fn next(&self) -> Sequence {
        Sequence(self.next)
    }

    /// The lowest sequence that is not void.
    pub const fn lowest(&self) -> Sequence {
        Sequence(self.next.saturating_sub(SEQUENCE_WINDOW))
    }

    /// Whether the sequence can still be used.
    pub fn state(&self, sequence: Sequence) -> SequenceState {
        if sequence.0 == u64::MAX || sequence < self.lowest() {
            SequenceState::OutOfWindow
        } else if sequence.0 < self.next && self.bits.contains(sequence) {
            SequenceState::Used
        } else {
            SequenceState::Unused
        }
    }

    /// Uses an unused sequence. Any other state is returned and nothing changes.
    pub fn mark(&mut self, sequence: Sequence) -> Result<(), SequenceState> {
        let state = self.state(sequence);
        if state != SequenceState::Unused {
            return Err(state);
        }
        if sequence.0 >= self.next {
            self.advance(sequence.0);
        }
        self.bits.set(sequence, true);
        Ok(())
    }

    /// Uses `count` sequences from `first`, all of which must be unused. Otherwise the first that is not, and its state,
    /// are returned and nothing changes. A range is no longer than the window.
    pub fn mark_range(&mut self, first: Sequence, count: u32) -> Result<(), (Sequence, SequenceState)> {
        let count = u64::from(count);
        let end = first.0.checked_add(count).filter(|_| count <= SEQUENCE_WINDOW);
        let end = end.ok_or((first, SequenceState::OutOfWindow))?;
        for sequence in (first.0..end).map(Sequence) {
            match self.state(sequence) {
                SequenceState::Unused => {}
                state => return Err((sequence, state)),
            }
        }
        for sequence in (first.0..end).map(Sequence) {
            self.mark(sequence).map_err(|state| (sequence, state))?;
        }
        Ok(())
    }

    /// Moves the window so that `highest` is its last sequence; sequences that enter it are unused.
    fn advance(&mut self, highest: u64) {
        if highest.saturating_sub(self.next) >= SEQUENCE_WINDOW {
            self.bits = SequenceBits::default();
        } else {
            for sequence in self.next..=highest {
                self.bits.set(Sequence(sequence), false);
            }
        }
        self.next = highest.saturating_add(1);
    }
}
