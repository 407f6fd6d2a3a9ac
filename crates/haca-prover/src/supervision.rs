//! How long work is watched and ended: progress, cancellation, and a limit of memory.
//!
//! Every message of an honest proof goes past the [`Watched`] observer, and so does every stage. A cancelled proof is
//! left by unwinding from there, past arithmetic that has no other way to fail, and ends where it was started:
//! [`catch`] turns it into [`ProverError::Cancelled`]. No panic hook sees it.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haca_zk::field::Extension;

use crate::ProverError;
use crate::adversary::Tamper;
use crate::stages::{Stage, Stages, Stopwatch};

/// Ends work in progress from another thread. Clones are the same token; once cancelled, it stays so.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels what holds this token.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far a proof or a registration is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The stage it is in.
    pub stage: Stage,
    /// How much of the stage is done, by work, from 0 to 1. A stage that can't be looked into stays at 0.
    pub fraction: f64,
}

/// What a caller wants of long work. The default neither limits, nor cancels, nor watches.
#[derive(Default)]
pub struct Supervision<'a> {
    /// Ends the work with [`ProverError::Cancelled`]. It is looked at between stages, at each message of a sumcheck or
    /// of the lookup argument, and at each table of a registration; not within a commitment or an opening.
    pub cancellation: Cancellation,
    /// Bytes of memory that the work may need; more is refused with [`ProverError::Memory`] before it begins.
    pub memory_limit_bytes: Option<u64>,
    /// Is told of progress, on the thread of the prover: at each stage, and some times within the longest.
    pub observer: Option<&'a mut (dyn FnMut(Progress) + Send)>,
}

impl fmt::Debug for Supervision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("cancellation", &self.cancellation)
            .field("memory_limit_bytes", &self.memory_limit_bytes)
            .finish_non_exhaustive()
    }
}

/// The payload of an unwinding that is a cancellation.
struct Cancelled;

/// Runs work that may be cancelled.
pub(crate) fn catch<T>(work: impl FnOnce() -> Result<T, ProverError>) -> Result<T, ProverError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) if payload.is::<Cancelled>() => Err(ProverError::Cancelled),
        Err(payload) => resume_unwind(payload),
    }
}

/// Alters nothing; measures, reports and cancels.
pub(crate) struct Watched<'a, 'b> {
    supervision: &'a mut Supervision<'b>,
    stopwatch: Stopwatch,
    /// Variables of the lookup tree, and layers of it that are proven.
    layers: (usize, usize),
}

impl<'a, 'b> Watched<'a, 'b> {
    pub(crate) fn new(supervision: &'a mut Supervision<'b>) -> Self {
        Self {
            supervision,
            stopwatch: Stopwatch::default(),
            layers: (0, 0),
        }
    }

    /// The time of each stage.
    pub(crate) fn stop(self) -> Stages {
        self.stopwatch.stop()
    }

    fn check(&self) {
        if self.supervision.cancellation.is_cancelled() {
            resume_unwind(Box::new(Cancelled));
        }
    }

    fn report(&mut self, stage: Stage, fraction: f64) {
        if let Some(observer) = &mut self.supervision.observer {
            observer(Progress { stage, fraction });
        }
    }
}

impl Tamper for Watched<'_, '_> {
    fn reaches(&mut self, stage: Stage, (part, parts): (usize, usize)) {
        self.check();
        self.stopwatch.enter(stage);
        self.report(stage, part as f64 / parts.max(1) as f64);
    }

    fn trees(&mut self, _: Extension, trees: &mut crate::adversary::Trees) {
        self.layers = (trees.lookups.len().trailing_zeros() as usize, 0);
    }

    fn sends(&mut self, name: &'static str, values: &mut [Extension]) {
        self.check();
        // A layer of the tree ends with four values, and takes twice the time of the one before.
        if name == "lookup tree" && values.len() == 4 {
            let (variables, done) = &mut self.layers;
            *done += 1;
            let rest = variables.saturating_sub(*done) as i32;
            if rest < 5 {
                self.report(Stage::Lookups, 0.5_f64.powi(rest));
            }
        }
    }
}
