//! Where the time of a proof goes.

use std::time::Instant;

/// Milliseconds of each stage of one proof.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages {
    /// Running the model, when the caller asked for that as well.
    pub infer: f64,
    /// Filling the witness.
    pub witness: f64,
    /// Committing to it.
    pub commit: f64,
    /// The lookup argument.
    pub lookups: f64,
    /// Folding weights and inputs, and the sumchecks over them.
    pub sumchecks: f64,
    /// Opening both commitments.
    pub openings: f64,
    /// Encoding the proof.
    pub encode: f64,
}

/// A stopwatch for [`Stages`].
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since the last call.
    pub(crate) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let elapsed = now.duration_since(self.0).as_secs_f64() * 1e3;
        self.0 = now;
        elapsed
    }
}
