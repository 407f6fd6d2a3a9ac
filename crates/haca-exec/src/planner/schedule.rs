//! One prover, many deadlines: the latest time at which work has to begin so that no receipt is late.
//!
//! Batches of a kind take its receipts in the order of their deadlines; swapping two receipts of a kind between batches
//! helps nobody. What is left is in which order the kinds take turns, with how many receipts each time. Backwards over the
//! counts of receipts already settled, `latest[state]` is the largest over the possible next batches of
//! `min(its deadline, latest[state after it]) - its time`. That is exact. Where there are too many states, batches as
//! large as possible go by deadline.

use std::collections::BTreeMap;

use super::cost::Rates;
use super::{Kind, Situation, Waiting};
use crate::entry::Place;

/// States times batch sizes up to which the schedule is exact.
const STEPS: usize = 1 << 18;

/// Receipts that may share batches, by deadline.
pub(super) struct Family<'a> {
    pub(super) kind: Kind,
    pub(super) rates: &'a Rates,
    pub(super) members: Vec<&'a Waiting>,
    largest: usize,
}

impl<'a> Family<'a> {
    /// The receipts of each kind; a receipt that settles alone is a family of its own.
    pub(super) fn all(situation: &Situation<'a>, waiting: &[&'a Waiting]) -> Vec<Self> {
        let mut families: BTreeMap<(Kind, Option<Place>), Vec<&'a Waiting>> = BTreeMap::new();
        for receipt in waiting {
            let alone = receipt.is_alone.then_some(receipt.place);
            families.entry((receipt.kind, alone)).or_default().push(receipt);
        }
        let made = families.into_iter().filter_map(|((kind, alone), mut members)| {
            let rates = situation.rates.get(&kind)?;
            members.sort_by_key(|receipt| (receipt.settle_by, receipt.place));
            let largest = if alone.is_some() {
                1
            } else {
                rates.batch_within(kind, situation.longest_proofs_ms)
            };
            Some(Self {
                kind,
                rates,
                members,
                largest,
            })
        });
        let mut families: Vec<Self> = made.collect();
        families.sort_by_key(|family| family.members.first().map(|first| (first.settle_by, first.place)));
        families
    }

    /// The most receipts of the next batch.
    pub(super) fn most(&self) -> usize {
        self.members.len().min(self.largest)
    }

    /// Whether more receipts could join a batch of this many.
    pub(super) const fn has_room(&self, count: usize) -> bool {
        count < self.largest
    }

    /// The largest batch, whether there are receipts for it or not.
    pub(super) const fn largest(&self) -> usize {
        self.largest
    }

    pub(super) fn bytes(&self, count: usize) -> usize {
        self.rates.group_bytes(count)
    }

    /// Leaves the first `count` members out.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.members.drain(..count.clamp(1, self.members.len()));
    }
}

/// The times of a family, relative to now.
struct Line {
    /// Of each member: when its transaction has to be in a block at the latest.
    due: Vec<i64>,
    /// Of each batch size from 1: from the start of its proof to its inclusion.
    takes: Vec<i64>,
}

impl Line {
    fn of(situation: &Situation<'_>, family: &Family<'_>) -> Self {
        let due = family.members.iter().map(|receipt| due_ms(situation, receipt));
        let takes = (1..=family.largest.min(family.members.len()))
            .map(|count| takes_ms(situation, family.rates.prove_ms(family.kind, count)));
        Self {
            due: due.collect(),
            takes: takes.collect(),
        }
    }
}

fn takes_ms(situation: &Situation<'_>, prove_ms: u64) -> i64 {
    i64::try_from(prove_ms.saturating_add(situation.inclusion_ms)).unwrap_or(i64::MAX / 4)
}

fn safety_ms(situation: &Situation<'_>) -> i64 {
    let ms = situation.policy.safety_ticks.saturating_mul(situation.tick_ms);
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}

/// Milliseconds from now by which a receipt's transaction is to be in a block.
pub(super) fn due_ms(situation: &Situation<'_>, receipt: &Waiting) -> i64 {
    let ticks = i128::from(receipt.settle_by.0)
        - i128::from(situation.now.0)
        - i128::from(situation.policy.safety_ticks);
    let ms = ticks.saturating_mul(i128::from(situation.tick_ms));
    let most = i128::from(i64::MAX / 4);
    // In range by the clamp.
    ms.clamp(-most, most) as i64
}

/// When to begin, and with what.
pub(super) struct Schedule {
    /// Milliseconds from now at which the first batch has to begin at the latest.
    slack_ms: i64,
    /// Family and size of the batch that comes first.
    first: (usize, usize),
    /// Per family and batch size from 1: the latest start if that batch comes first.
    starts: Vec<Vec<i64>>,
    tick_ms: i64,
}

impl Schedule {
    /// The schedule of families, none of them empty.
    pub(super) fn of(situation: &Situation<'_>, families: &[Family<'_>]) -> Self {
        let lines: Vec<Line> = families
            .iter()
            .map(|family| Line::of(situation, family))
            .collect();
        let starts = exact(&lines).unwrap_or_else(|| by_deadline(&lines));
        let all = starts.iter().enumerate().flat_map(|(family, starts)| {
            starts
                .iter()
                .enumerate()
                .map(move |(size, start)| (*start, family, size + 1))
        });
        let slack_ms = all.clone().map(|(start, ..)| start).max().unwrap_or(0);
        let first = if slack_ms >= 0 {
            // Of what makes nobody late, the family that is due first, with as many receipts as possible.
            let safe = all.filter(|(start, ..)| *start >= 0);
            safe.min_by_key(|(_, family, size)| (*family, usize::MAX - size))
        } else {
            None
        };
        let first = first.map(|(_, family, size)| (family, size));
        Self {
            slack_ms,
            first: first.unwrap_or_else(|| rescue(&lines, safety_ms(situation))),
            starts,
            tick_ms: i64::try_from(situation.tick_ms).unwrap_or(i64::MAX),
        }
    }

    pub(super) const fn first(&self) -> (usize, usize) {
        self.first
    }

    pub(super) const fn slack_ms(&self) -> i64 {
        self.slack_ms
    }

    /// Whether waiting for another tick would make some receipt late.
    pub(super) const fn is_urgent(&self) -> bool {
        self.slack_ms < self.tick_ms
    }

    /// The most receipts, up to `wanted`, of a family that may go first without making anybody late.
    pub(super) fn most_now(&self, family: usize, wanted: usize) -> usize {
        let sizes = self.starts.get(family).map_or(&[][..], Vec::as_slice);
        let fits = |size: &usize| sizes.get(size - 1).is_some_and(|start| *start >= 0);
        (1..=wanted).rev().find(fits).unwrap_or(0)
    }
}

/// When not all can be in time: the receipt that is due first of those that still can, with as many others as that
/// leaves time for. The ticks that are kept free are for this. When none can by the estimate, the first with all others:
/// estimates may be wrong.
fn rescue(lines: &[Line], safety_ms: i64) -> (usize, usize) {
    let savable = lines.iter().enumerate().filter_map(|(index, line)| {
        let due = line.due.first()?.saturating_add(safety_ms);
        let size = line.takes.iter().rposition(|takes| *takes <= due)?;
        Some((due, index, size + 1))
    });
    let saved = savable.min_by_key(|(due, index, _)| (*due, *index));
    saved.map_or_else(
        || (0, lines.first().map_or(1, |line| line.takes.len().max(1))),
        |(_, index, size)| (index, size),
    )
}

/// Latest starts by each first batch, over all orders of batches; `None` when there are too many.
fn exact(lines: &[Line]) -> Option<Vec<Vec<i64>>> {
    let mut states = 1usize;
    let mut strides = Vec::with_capacity(lines.len());
    for line in lines {
        strides.push(states);
        states = states.checked_mul(line.due.len() + 1)?;
    }
    let sizes: usize = lines.iter().map(|line| line.takes.len()).sum();
    if states.checked_mul(sizes)? > STEPS {
        return None;
    }
    let mut latest = vec![i64::MAX / 4; states];
    let start = |latest: &[i64], state: usize, family: usize, size: usize| {
        let line = &lines[family];
        let done = state / strides[family] % (line.due.len() + 1);
        let due = *line.due.get(done)?;
        (done + size <= line.due.len())
            .then(|| due.min(latest[state + size * strides[family]]) - line.takes[size - 1])
    };
    for state in (0..states - 1).rev() {
        let mut best = i64::MIN;
        for (family, line) in lines.iter().enumerate() {
            for size in 1..=line.takes.len() {
                best = best.max(start(&latest, state, family, size).unwrap_or(i64::MIN));
            }
        }
        latest[state] = best;
    }
    let of_family = |(family, line): (usize, &Line)| {
        let starts = (1..=line.takes.len()).map(|size| start(&latest, 0, family, size).unwrap_or(i64::MIN));
        starts.collect()
    };
    Some(lines.iter().enumerate().map(of_family).collect())
}

/// Latest starts if batches as large as possible go by deadline, the given one before all others.
fn by_deadline(lines: &[Line]) -> Vec<Vec<i64>> {
    let mut chunks: Vec<(i64, i64, usize)> = Vec::new();
    for (family, line) in lines.iter().enumerate() {
        let largest = line.takes.len().max(1);
        for chunk in line.due.chunks(largest) {
            let takes = line.takes.get(chunk.len() - 1).copied().unwrap_or(0);
            chunks.push((chunk[0], takes, family));
        }
    }
    chunks.sort_unstable();
    let after = |left_out: usize| {
        let mut skipped = false;
        let rest = chunks.iter().filter(|(_, _, family)| {
            let is_first = !skipped && *family == left_out;
            skipped |= is_first;
            !is_first
        });
        let rest: Vec<_> = rest.collect();
        rest.iter()
            .rev()
            .fold(i64::MAX / 4, |next, (due, takes, _)| (*due).min(next) - takes)
    };
    let of_family = |(family, line): (usize, &Line)| {
        let next = after(family);
        let due = line.due.first().copied().unwrap_or(i64::MAX / 4);
        // A smaller first batch leaves a part of the chunk for later: only the whole one is reckoned with.
        let whole = line.takes.len();
        (1..=whole)
            .map(|size| {
                if size == whole {
                    due.min(next) - line.takes[size - 1]
                } else {
                    i64::MIN
                }
            })
            .collect()
    };
    lines.iter().enumerate().map(of_family).collect()
}
