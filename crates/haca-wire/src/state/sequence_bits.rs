//! One bit for each of 1,024 sequences.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::id::Sequence;

use super::window::SEQUENCE_WINDOW;

const WORDS: usize = 16;

/// A bit for each sequence modulo [`SEQUENCE_WINDOW`]: sequence s is bit `s mod 64` of word `(s mod 1024) / 64`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SequenceBits([u64; WORDS]);

impl SequenceBits {
    /// Whether the sequence's bit is set.
    pub fn contains(&self, sequence: Sequence) -> bool {
        let (word, mask) = position(sequence);
        self.0.get(word).is_some_and(|bits| bits & mask != 0)
    }

    /// Sets or clears the sequence's bit.
    pub fn set(&mut self, sequence: Sequence, to: bool) {
        let (word, mask) = position(sequence);
        if let Some(bits) = self.0.get_mut(word) {
            *bits = if to { *bits | mask } else { *bits & !mask };
        }
    }

    /// The remainders, modulo [`SEQUENCE_WINDOW`], of the bits that are set, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        (0..SEQUENCE_WINDOW).filter(|slot| self.contains(Sequence(*slot)))
    }

    /// Whether no bit is set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// Word and mask of a sequence.
fn position(sequence: Sequence) -> (usize, u64) {
    let slot = sequence.0 % SEQUENCE_WINDOW;
    let word = usize::try_from(slot / 64).unwrap_or(usize::MAX);
    (word, 1u64.rotate_left((slot % 64) as u32))
}

impl Encode for SequenceBits {
    fn encode_into(&self, out: &mut Vec<u8>) {
        for word in self.0 {
            word.encode_into(out);
        }
    }
}

impl Decode for SequenceBits {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut bits = [0; WORDS];
        for word in &mut bits {
            *word = u64::decode(reader)?;
        }
        Ok(Self(bits))
    }
}
