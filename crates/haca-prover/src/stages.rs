//! The stages of proofs and registrations, and where the time of a proof goes.

use std::time::{Duration, Instant};

/// A stage of a proof or a registration. A stage may be entered several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Laying out the weights and committing to them; only in a registration.
    Weights,
    /// Filling the witness.
    Witness,
    /// Committing to it.
    Commit,
    /// The lookup argument.
    Lookups,
    /// Folding weights and values at the points of the sumchecks.
    Folds,
    /// The sumchecks over weights and values.
    Sumchecks,
    /// Opening the commitments.
    Openings,
    /// Encoding the proof.
    Encode,
    /// Giving back the memory that the proof was made in.
    Release,
}

impl Stage {
    /// Its name for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Witness => "witness",
            Self::Commit => "commit",
            Self::Lookups => "lookups",
            Self::Folds => "folds",
            Self::Sumchecks => "sumchecks",
            Self::Openings => "openings",
            Self::Encode => "encode",
            Self::Release => "release",
        }
    }
}

/// Milliseconds of each stage of one proof.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages {
    /// Filling the witness.
    pub witness: f64,
    /// Committing to it.
    pub commit: f64,
    /// The lookup argument.
    pub lookups: f64,
    /// Folding weights and values.
    pub folds: f64,
    /// The sumchecks over them.
    pub sumchecks: f64,
    /// Opening both commitments.
    pub openings: f64,
    /// Encoding the proof.
    pub encode: f64,
    /// Giving back the memory that it was made in.
    pub release: f64,
}

impl Stages {
    fn add(&mut self, stage: Stage, time: Duration) {
        let of = match stage {
            Stage::Witness => &mut self.witness,
            Stage::Commit => &mut self.commit,
            Stage::Lookups => &mut self.lookups,
            Stage::Folds => &mut self.folds,
            Stage::Sumchecks => &mut self.sumchecks,
            Stage::Openings => &mut self.openings,
            Stage::Encode => &mut self.encode,
            Stage::Release => &mut self.release,
            // The time of a registration is the caller's to measure.
            Stage::Weights => return,
        };
        *of += time.as_secs_f64() * 1e3;
    }
}

/// A stopwatch for [`Stages`].
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    running: Option<(Stage, Instant)>,
    stages: Stages,
}

impl Stopwatch {
    /// Ends the running stage and starts another.
    pub(crate) fn enter(&mut self, stage: Stage) {
        let now = Instant::now();
        if let Some((stage, since)) = self.running.replace((stage, now)) {
            self.stages.add(stage, now.duration_since(since));
        }
    }

    /// Ends the last stage.
    pub(crate) fn stop(mut self) -> Stages {
        if let Some((stage, since)) = self.running {
            self.stages.add(stage, since.elapsed());
        }
        self.stages
    }
}
