//! Registrations and proofs of a command: drawn while they run, refused when they do not fit into memory, and ended
//! when the command is interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haca_graph::ModelFile;
use haca_prover::{
    Cancellation, Execution, Progress, ProverError, ProvingKey, Registration, Stages, Supervision,
};
use haca_wire::Tensor;

use crate::args::Memory;
use crate::failure::{Exit, Failure};
use crate::screen::{Screen, Step};
use crate::signals::Signals;

/// What supervises the work of one command.
pub(crate) struct Work<'a> {
    pub(crate) screen: &'a Screen,
    memory_limit_mb: Option<u64>,
    cancellation: Cancellation,
    is_supervised: Arc<AtomicBool>,
}

impl<'a> Work<'a> {
    /// Catches interrupts from now on. They cancel what is proven or registered, and end the process at any other time,
    /// or when they come twice.
    pub(crate) fn start(memory: &Memory, screen: &'a Screen) -> Result<Self, Failure> {
        let work = Self {
            screen,
            memory_limit_mb: memory.memory_limit_mb,
            cancellation: Cancellation::new(),
            is_supervised: Arc::default(),
        };
        let mut signals = Signals::catch()?;
        let (cancellation, is_supervised) = (work.cancellation.clone(), Arc::clone(&work.is_supervised));
        std::thread::spawn(move || {
            loop {
                signals.wait();
                if cancellation.is_cancelled() || !is_supervised.load(Ordering::SeqCst) {
                    std::process::exit(Exit::Interrupted as i32);
                }
                cancellation.cancel();
            }
        });
        Ok(work)
    }

    /// Bytes that one registration or proof may take now.
    fn memory_limit_bytes(&self) -> Option<u64> {
        match self.memory_limit_mb {
            Some(mb) => Some(mb.saturating_mul(1_000_000)),
            None => haca_exec::available_bytes(),
        }
    }

    /// The largest batch that the key allows and that fits into memory; 1 when nothing fits, to be refused with the
    /// number.
    pub(crate) fn largest_batch(&self, key: &ProvingKey) -> usize {
        let most = key.verifying_key().max_batch();
        match self.memory_limit_bytes() {
            Some(limit) => key.batch_within(most, limit).max(1),
            None => most,
        }
    }

    /// Registers a model, as a step of its own.
    pub(crate) fn register(&self, model: ModelFile) -> Result<Registration, Failure> {
        let mut step = self.screen.step("register");
        let registration = self.supervised(Some(&mut step), |supervision| {
            ProvingKey::register_supervised(model, supervision)
        })?;
        step.done(&registration.verifying_key.model_id().to_string());
        Ok(registration)
    }

    /// Runs the model on rows of inputs that are to be proven next. From here until the end of the proof an interrupt
    /// cancels: what has been inferred is told to be lost like a proof that is not made to the end.
    pub(crate) fn infer(&self, key: &ProvingKey, rows: Vec<Vec<Tensor>>) -> Result<Vec<Execution>, Failure> {
        self.is_supervised.store(true, Ordering::SeqCst);
        key.infer_batch(rows).map_err(prover)
    }

    /// Proves executions; draws the progress of `step`, if any.
    pub(crate) fn prove(
        &self,
        key: &ProvingKey,
        context: [u8; 32],
        executions: &[Execution],
        step: Option<&mut Step<'_>>,
    ) -> Result<(Vec<u8>, Stages), Failure> {
        self.supervised(step, |supervision| {
            key.prove_supervised(context, executions, supervision)
        })
    }

    fn supervised<T>(
        &self,
        mut step: Option<&mut Step<'_>>,
        work: impl FnOnce(&mut Supervision<'_>) -> Result<T, ProverError>,
    ) -> Result<T, Failure> {
        let mut observer = step
            .as_mut()
            .map(|step| move |progress: Progress| step.progress(progress.stage.name(), progress.fraction));
        let mut supervision = Supervision {
            cancellation: self.cancellation.clone(),
            memory_limit_bytes: self.memory_limit_bytes(),
            observer: observer
                .as_mut()
                .map(|observer| observer as &mut (dyn FnMut(Progress) + Send)),
        };
        self.is_supervised.store(true, Ordering::SeqCst);
        let done = work(&mut supervision);
        self.is_supervised.store(false, Ordering::SeqCst);
        // An interrupt at the very end counts as well: it was not taken for one outside of the work.
        match done {
            Ok(_) if self.cancellation.is_cancelled() => Err(prover(ProverError::Cancelled)),
            done => done.map_err(prover),
        }
    }
}

/// A prover's error as the command's failure.
pub(crate) fn prover(error: ProverError) -> Failure {
    let exit = match &error {
        ProverError::Cancelled => Exit::Interrupted,
        _ => Exit::Failure,
    };
    Failure::new(exit, error.code(), &error, error.hint())
}
