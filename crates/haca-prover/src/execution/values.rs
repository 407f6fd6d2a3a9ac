//! All values of a batch of runs, in two allocations.

use std::sync::Arc;

/// The elements of one value of one run, among all elements of its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    is_wide: bool,
    start: usize,
    length: usize,
}

/// Where the values of a graph stand: inputs first, then one per node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    slots: Vec<Slot>,
    /// Int8 elements of one run.
    narrow: usize,
    /// Int32 elements of one run.
    wide: usize,
}

impl Places {
    /// Adds an int8 value.
    pub(crate) fn add_narrow(&mut self, length: usize) {
        let start = self.narrow;
        self.narrow += length;
        self.slots.push(Slot {
            is_wide: false,
            start,
            length,
        });
    }

    /// Adds an int32 value.
    pub(crate) fn add_wide(&mut self, length: usize) {
        let start = self.wide;
        self.wide += length;
        self.slots.push(Slot {
            is_wide: true,
            start,
            length,
        });
    }

    /// Adds a value that has the elements of another.
    pub(crate) fn add_same(&mut self, value: usize) {
        self.slots.push(self.slots[value]);
    }

    /// Elements of a value.
    pub(crate) fn length(&self, value: usize) -> usize {
        self.slots[value].length
    }

    /// Whether a value is of int32.
    pub(crate) fn is_wide(&self, value: usize) -> bool {
        self.slots[value].is_wide
    }
}

/// The values of a batch: each value of all runs, run by run, before the next value.
#[derive(Debug)]
pub(crate) struct Batch {
    places: Arc<Places>,
    runs: usize,
    narrow: Vec<i8>,
    wide: Vec<i32>,
}

/// The values before one that is being computed, and the elements of that one: of all runs of a batch.
pub(crate) struct Step<'a, T> {
    places: &'a Places,
    /// Runs of the batch.
    pub(crate) runs: usize,
    narrow: &'a [i8],
    wide: &'a [i32],
    /// Zeros until they are computed.
    pub(crate) out: &'a mut [T],
}

impl<'a, T> Step<'a, T> {
    /// The elements of an int8 value; empty for others.
    pub(crate) fn narrow(&self, value: usize) -> &'a [i8] {
        self.places.slots[value].of(false, self.narrow, self.runs)
    }

    /// The elements of an int32 value; empty for others.
    pub(crate) fn wide(&self, value: usize) -> &'a [i32] {
        self.places.slots[value].of(true, self.wide, self.runs)
    }
}

impl Slot {
    fn range(self, runs: usize) -> core::ops::Range<usize> {
        self.start * runs..(self.start + self.length) * runs
    }

    fn of<T>(self, is_wide: bool, elements: &[T], runs: usize) -> &[T] {
        if self.is_wide == is_wide {
            &elements[self.range(runs)]
        } else {
            &[]
        }
    }
}

impl Batch {
    /// Zeros for `runs` runs.
    pub(crate) fn new(places: &Arc<Places>, runs: usize) -> Self {
        Self {
            runs,
            narrow: vec![0; places.narrow * runs],
            wide: vec![0; places.wide * runs],
            places: Arc::clone(places),
        }
    }

    /// The elements of an int8 value of one run.
    pub(crate) fn narrow_mut(&mut self, value: usize, run: usize) -> &mut [i8] {
        let slot = self.places.slots[value];
        let first = slot.start * self.runs + run * slot.length;
        &mut self.narrow[first..first + slot.length]
    }

    /// To compute an int8 value.
    pub(crate) fn narrow_step(&mut self, value: usize) -> Step<'_, i8> {
        let range = self.places.slots[value].range(self.runs);
        let (before, out) = self.narrow.split_at_mut(range.start);
        Step {
            places: &self.places,
            runs: self.runs,
            narrow: before,
            wide: &self.wide,
            out: &mut out[..range.len()],
        }
    }

    /// To compute an int32 value.
    pub(crate) fn wide_step(&mut self, value: usize) -> Step<'_, i32> {
        let range = self.places.slots[value].range(self.runs);
        let (before, out) = self.wide.split_at_mut(range.start);
        Step {
            places: &self.places,
            runs: self.runs,
            narrow: &self.narrow,
            wide: before,
            out: &mut out[..range.len()],
        }
    }
}

/// The values of one run, inputs first, then one per node: elements row-major, not padded. Clones share them, and so do
/// the runs of one batch.
#[derive(Clone, Debug)]
pub struct Values {
    batch: Arc<Batch>,
    run: usize,
}

impl Values {
    /// The values of each run of a batch.
    pub(crate) fn of_all(batch: Batch) -> impl Iterator<Item = Self> {
        let batch = Arc::new(batch);
        (0..batch.runs).map(move |run| Self {
            batch: Arc::clone(&batch),
            run,
        })
    }

    /// How many values.
    pub fn count(&self) -> usize {
        self.batch.places.slots.len()
    }

    /// The elements of an int8 value; empty for others.
    pub fn narrow(&self, value: usize) -> &[i8] {
        self.of(
            value,
            self.batch.places.slots[value].of(false, &self.batch.narrow, self.batch.runs),
        )
    }

    /// The elements of an int32 value; empty for others.
    pub fn wide(&self, value: usize) -> &[i32] {
        self.of(
            value,
            self.batch.places.slots[value].of(true, &self.batch.wide, self.batch.runs),
        )
    }

    /// The part of this run.
    fn of<'a, T>(&self, value: usize, elements: &'a [T]) -> &'a [T] {
        let length = self.batch.places.length(value);
        elements
            .get(self.run * length..(self.run + 1) * length)
            .unwrap_or(&[])
    }

    /// The elements, as tensors hold them.
    pub fn integers(&self, value: usize) -> Vec<i64> {
        if self.batch.places.is_wide(value) {
            self.wide(value).iter().map(|v| i64::from(*v)).collect()
        } else {
            self.narrow(value).iter().map(|v| i64::from(*v)).collect()
        }
    }
}
