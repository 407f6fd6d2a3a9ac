//! What receipts earned and cost, summed up by month, model, evidence and asset. Survives the receipts themselves.

use std::collections::BTreeMap;

use haca_wire::codec::put_list;
use haca_wire::{
    Amount, AssetId, Decode, DecodeError, Encode, EvidenceKind, ModelId, Reader, codec_struct,
    codec_struct_tuple,
};

/// Buckets of a histogram: eight for each doubling.
const BUCKETS: usize = 64 * 8;

/// A month of the Gregorian calendar, in UTC: years since 0 times 12 plus months since January.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(pub u32);
codec_struct_tuple!(Month);

impl Month {
    /// The month of a time since 1970.
    pub fn of_unix_ms(unix_ms: u64) -> Self {
        // Days from civil, turned around: eras of 400 years begin in March. Source: H. Hinnant, "chrono-compatible
        // low-level date algorithms".
        let days = unix_ms / 86_400_000 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let (month, carry) = if shifted < 10 {
            (shifted + 2, 0)
        } else {
            (shifted - 10, 1)
        };
        let months = (era * 400 + year + carry) * 12 + month;
        Self(u32::try_from(months).unwrap_or(u32::MAX))
    }
}

impl core::fmt::Display for Month {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

/// What one row of totals is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TotalsKey {
    /// When it happened.
    pub month: Month,
    /// The model.
    pub model: ModelId,
    /// The evidence.
    pub evidence: EvidenceKind,
    /// The asset of fees and warranties.
    pub asset: AssetId,
}
codec_struct!(TotalsKey {
    month,
    model,
    evidence,
    asset
});

/// Sums over receipts of one month, model, evidence and asset. Amounts of gas are OPG in its smallest unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Receipts signed.
    pub answered: u64,
    /// Receipts settled.
    pub settled: u64,
    /// Receipts given up.
    pub missed: u64,
    /// Demands of a proof that were answered.
    pub proven: u64,
    /// Receipts whose demand was not answered in time.
    pub forfeited: u64,
    /// Missed receipts whose warranty was claimed.
    pub claimed: u64,
    /// Missed receipts whose warranty nobody can claim any more.
    pub void: u64,
    /// Fees paid. Of `Optimistic` receipts, once nobody can demand a proof any more.
    pub fees: Amount,
    /// Warranties claimed, or lost with an unanswered demand.
    pub warranties: Amount,
    /// OPG received for answers to demands.
    pub deposits: Amount,
    /// OPG burned by settlements and answers, those that failed included.
    pub burned: Amount,
    /// The part of it that settlements burned which failed.
    pub burned_in_vain: Amount,
    /// The part of it that a sponsor paid.
    pub sponsored: Amount,
    /// Tips paid to proposers.
    pub tips: Amount,
    /// Gas of settlements and answers.
    pub gas: u64,
    /// Groups settled: receipts over groups is the average batch.
    pub groups: u64,
    /// Time spent proving, in milliseconds.
    pub prove_ms: u64,
    /// From answer to settlement.
    pub delays: Histogram,
}
codec_struct!(Totals {
    answered,
    settled,
    missed,
    proven,
    forfeited,
    claimed,
    void,
    fees,
    warranties,
    deposits,
    burned,
    burned_in_vain,
    sponsored,
    tips,
    gas,
    groups,
    prove_ms,
    delays
});

impl Totals {
    /// Adds other totals.
    pub fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.answered, other.answered),
            (&mut self.settled, other.settled),
            (&mut self.missed, other.missed),
            (&mut self.proven, other.proven),
            (&mut self.forfeited, other.forfeited),
            (&mut self.claimed, other.claimed),
            (&mut self.void, other.void),
            (&mut self.gas, other.gas),
            (&mut self.groups, other.groups),
            (&mut self.prove_ms, other.prove_ms),
        ];
        for (sum, more) in counts {
            *sum = sum.saturating_add(more);
        }
        let amounts = [
            (&mut self.fees, other.fees),
            (&mut self.warranties, other.warranties),
            (&mut self.deposits, other.deposits),
            (&mut self.burned, other.burned),
            (&mut self.burned_in_vain, other.burned_in_vain),
            (&mut self.sponsored, other.sponsored),
            (&mut self.tips, other.tips),
        ];
        for (sum, more) in amounts {
            *sum = Amount(sum.0.saturating_add(more.0));
        }
        self.delays.add(&other.delays);
    }
}

/// Counts of times, in buckets that are an eighth of their doubling wide: a quantile is at most 12.5 % too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<u16, u64>);

#[derive(Clone, Copy)]
struct Bucket {
    number: u16,
    count: u64,
}
codec_struct!(Bucket { number, count });

impl Encode for Histogram {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let list = self.0.iter().map(|(number, count)| Bucket {
            number: *number,
            count: *count,
        });
        put_list(out, &list.collect::<Vec<_>>());
    }
}

impl Decode for Histogram {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let list: Vec<Bucket> = reader.list("histogram", BUCKETS)?;
        Ok(Self(
            list.into_iter()
                .map(|bucket| (bucket.number, bucket.count))
                .collect(),
        ))
    }
}

impl Histogram {
    /// Counts a time.
    pub fn count(&mut self, ms: u64) {
        let count = self.0.entry(Self::bucket(ms)).or_default();
        *count = count.saturating_add(1);
    }

    fn add(&mut self, other: &Self) {
        for (number, more) in &other.0 {
            let count = self.0.entry(*number).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// The doubling in the high bits, its eighth in the low ones; times under 8 ms each by itself.
    fn bucket(ms: u64) -> u16 {
        if ms < 8 {
            return ms as u16;
        }
        let doubling = 63 - ms.leading_zeros();
        let eighth = (ms >> (doubling - 3)) & 7;
        (doubling * 8 + eighth as u32) as u16
    }

    /// The longest time of a bucket.
    fn longest(bucket: u16) -> u64 {
        let (doubling, eighth) = (u32::from(bucket) / 8, u64::from(bucket) % 8);
        if doubling < 3 {
            return u64::from(bucket);
        }
        let width = 1u64 << (doubling - 3);
        ((8 + eighth) * width).saturating_add(width - 1)
    }

    /// The time that `per_cent` of all times do not exceed; `None` without any.
    pub fn quantile_ms(&self, per_cent: u64) -> Option<u64> {
        let total: u64 = self.0.values().fold(0, |sum, count| sum.saturating_add(*count));
        let wanted = (u128::from(total) * u128::from(per_cent)).div_ceil(100).max(1);
        let mut seen = 0u128;
        self.0.iter().find_map(|(bucket, count)| {
            seen += u128::from(*count);
            (seen >= wanted).then(|| Self::longest(*bucket))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        let of = |unix_s: u64| Month::of_unix_ms(unix_s * 1_000).to_string();
        assert_eq!(of(0), "1970-01");
        assert_eq!(of(951_782_399), "2000-02");
        assert_eq!(of(951_868_800), "2000-03");
        assert_eq!(of(1_798_761_599), "2026-12");
        assert_eq!(of(1_798_761_600), "2027-01");
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_long() {
        for ms in (0..5_000).chain([1 << 20, (1 << 33) + 7, u64::MAX]) {
            let mut one = Histogram::default();
            one.count(ms);
            let found = one.quantile_ms(50).unwrap();
            assert!(found >= ms && found - ms <= ms / 8, "{ms} {found}");
        }
        let mut many = Histogram::default();
        (1..=100).for_each(|second| many.count(second * 1_000));
        let (half, most) = (many.quantile_ms(50).unwrap(), many.quantile_ms(99).unwrap());
        assert!((50_000..=56_250).contains(&half), "{half}");
        assert!((99_000..=112_500).contains(&most), "{most}");
        assert_eq!(Histogram::default().quantile_ms(50), None);
    }

    #[test]
    fn totals_survive_their_encoding() {
        let mut totals = Totals {
            settled: 3,
            fees: Amount(7),
            ..Totals::default()
        };
        totals.delays.count(900);
        let mut sum = Totals::decode_all(&totals.encode()).unwrap();
        assert_eq!(sum, totals);
        sum.add(&totals);
        assert_eq!((sum.settled, sum.fees), (6, Amount(14)));
    }
}
