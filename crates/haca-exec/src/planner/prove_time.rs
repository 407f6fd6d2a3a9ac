//! How long the prover takes, by what it took before.

use std::collections::BTreeMap;

use haca_wire::codec::put_list;
use haca_wire::{Decode, DecodeError, Encode, Reader, codec_struct};

/// Batch sizes that are remembered: one proof covers no more.
const SIZES: usize = 4096;

/// The last measured time of each batch size, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProveTimes(BTreeMap<u32, u64>);

#[derive(Clone, Copy)]
struct Measured {
    batch: u32,
    ms: u64,
}
codec_struct!(Measured { batch, ms });

impl Encode for ProveTimes {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let list = self.0.iter().map(|(batch, ms)| Measured {
            batch: *batch,
            ms: *ms,
        });
        put_list(out, &list.collect::<Vec<_>>());
    }
}

impl Decode for ProveTimes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let list: Vec<Measured> = reader.list("prove times", SIZES)?;
        Ok(Self(list.into_iter().map(|one| (one.batch, one.ms)).collect()))
    }
}

impl ProveTimes {
    /// Remembers a measured time. A time far below the one before is taken for an average of both: the machine may
    /// be as busy again as it was.
    pub fn learn(&mut self, batch: u32, ms: u64) {
        let known = self.0.get(&batch).copied().unwrap_or(ms);
        if self.0.len() < SIZES || self.0.contains_key(&batch) {
            self.0.insert(batch, ms.max(known.midpoint(ms)));
        }
    }

    /// Whether nothing was measured yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known, by batch size.
    pub fn measured(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.0.iter().map(|(batch, ms)| (*batch, *ms))
    }

    /// Time for `count` inferences in one proof, rather too long than too short: that of the next larger batch that was
    /// measured, else that of the largest one in proportion. `None` before the first measurement.
    pub fn estimate_ms(&self, count: usize) -> Option<u64> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some((_, ms)) = self.0.range(count..).next() {
            return Some(*ms);
        }
        let (batch, ms) = self.0.last_key_value()?;
        let scaled = u128::from(*ms)
            .saturating_mul(u128::from(count))
            .div_ceil(u128::from((*batch).max(1)));
        Some(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_as_long_as_the_next_larger_one() {
        let mut times = ProveTimes::default();
        assert_eq!(times.estimate_ms(1), None);
        times.learn(1, 100);
        times.learn(8, 200);
        assert_eq!(times.estimate_ms(1), Some(100));
        assert_eq!(times.estimate_ms(2), Some(200));
        assert_eq!(times.estimate_ms(8), Some(200));
        assert_eq!(times.estimate_ms(32), Some(800));
    }

    #[test]
    fn a_slow_proof_counts_at_once_and_a_fast_one_by_half() {
        let mut times = ProveTimes::default();
        times.learn(1, 100);
        times.learn(1, 500);
        assert_eq!(times.estimate_ms(1), Some(500));
        times.learn(1, 100);
        assert_eq!(times.estimate_ms(1), Some(300));
    }
}
