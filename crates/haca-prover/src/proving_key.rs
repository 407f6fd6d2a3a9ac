//! The proving key: a registered model, ready to run and to prove.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use haca_graph::{Manifest, ModelFile};
use haca_wire::Tensor;
use haca_zk::field::Extension;
use haca_zk::multilinear::evaluate;
use haca_zk::{Layouts, VerifyingKey, out_of_domain_points};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::adversary::{Honest, Joining, Row, Tamper};
use haca_zk::witness::WitnessLayout;

use crate::commitment::{WeightCommitment, WitnessCommitter};
use crate::execution::Executor;
use crate::model::{Weights, columns};
use crate::schedules::Aim;
use crate::stages::Stage;
use crate::supervision::{Watched, catch};
use crate::trace::Trace;
use crate::{
    Execution, ProverError, Stages, Supervision, inference, memory, parameters, registration, witness,
};

/// A registered model with its weights. It is rebuilt from the model file and always comes out the same.
pub struct ProvingKey {
    verifying_key: VerifyingKey,
    weights: Weights,
    executor: Executor,
    trace: Trace,
    commitment: WeightCommitment,
    batches: Vec<OnceLock<WitnessCommitter>>,
    tables: Vec<OnceLock<Arc<Vec<Vec<Row>>>>>,
    pool: Arc<ThreadPool>,
}

/// What registration makes.
pub struct Registration {
    /// For the node that runs and proves the model.
    pub proving_key: ProvingKey,
    /// For everybody else.
    pub verifying_key: VerifyingKey,
    /// The proof that weights and biases lie in their declared ranges.
    pub proof: Vec<u8>,
}

impl ProvingKey {
    /// Registers a model: chooses parameters, commits to the weights, and proves their ranges (steps R1 to R7 and G1
    /// to G8 of `spec/zk.md`).
    ///
    /// # Errors
    ///
    /// When no parameters of the proof system fit the graph.
    pub fn register(model: ModelFile) -> Result<Registration, ProverError> {
        Self::register_supervised(model, &mut Supervision::default())
    }

    /// [`ProvingKey::register`] with progress, cancellation and a limit of memory.
    pub fn register_supervised(
        model: ModelFile,
        supervision: &mut Supervision<'_>,
    ) -> Result<Registration, ProverError> {
        let limit = supervision.memory_limit_bytes;
        Self::register_with(model, &mut Watched::new(supervision), limit, true)
    }

    /// [`ProvingKey::register`] with a lying prover.
    pub fn register_tampered(
        model: ModelFile,
        tamper: &mut (dyn Tamper + Send),
    ) -> Result<Registration, ProverError> {
        Self::register_with(model, tamper, None, false)
    }

    fn register_with(
        model: ModelFile,
        tamper: &mut (dyn Tamper + Send),
        memory_limit_bytes: Option<u64>,
        is_honest: bool,
    ) -> Result<Registration, ProverError> {
        let pool = pool()?;
        let shared = Arc::clone(&pool);
        let work = || {
            let (key, tables) = Self::build(&model, shared, tamper, memory_limit_bytes, is_honest)?;
            let proof = registration::prove(&key.verifying_key, &tables, &key.commitment, tamper)?;
            Ok(Registration {
                verifying_key: key.verifying_key.clone(),
                proving_key: key,
                proof,
            })
        };
        pool.install(|| catch(work))
    }

    /// Rebuilds the key of a model that has been registered before, without proving its ranges again.
    pub fn load(model: &ModelFile) -> Result<Self, ProverError> {
        let pool = pool()?;
        let shared = Arc::clone(&pool);
        pool.install(|| Ok(Self::build(model, shared, &mut Honest, None, true)?.0))
    }

    /// An upper bound of the bytes that registering a model takes at its peak, beyond the model file itself.
    ///
    /// # Errors
    ///
    /// When no parameters of the proof system fit the graph.
    pub fn registration_memory_bytes(manifest: &Manifest) -> Result<u64, ProverError> {
        let parameters = parameters::choose(manifest, Aim::Balanced, Joining::Cheaper)?;
        let layouts = Layouts::new(manifest, &parameters)?;
        Ok(memory::of_registration(&layouts, &parameters))
    }

    /// An upper bound of the bytes that proving `inferences` at once takes at its peak, beyond this key: running them
    /// included.
    pub fn memory_bytes(&self, inferences: usize) -> u64 {
        memory::of_proof(&self.verifying_key, inferences)
    }

    /// The largest batch, up to `wanted` inferences, whose proof needs no more than `limit_bytes`; 0 when not even one
    /// fits.
    pub fn batch_within(&self, wanted: usize, limit_bytes: u64) -> usize {
        let wanted = wanted.min(self.verifying_key.max_batch());
        (1..=wanted)
            .rev()
            .find(|count| self.memory_bytes(*count) <= limit_bytes)
            .unwrap_or(0)
    }

    fn build(
        model: &ModelFile,
        pool: Arc<ThreadPool>,
        tamper: &mut dyn Tamper,
        memory_limit_bytes: Option<u64>,
        is_honest: bool,
    ) -> Result<(Self, Vec<Vec<haca_zk::field::Base>>), ProverError> {
        tamper.reaches(Stage::Weights, (0, 1));
        let manifest = model.manifest.clone();
        let parameters = parameters::choose(&manifest, Aim::Balanced, tamper.joining())?;
        let layouts = Layouts::new(&manifest, &parameters)?;
        let needed = memory::of_registration(&layouts, &parameters);
        memory::check("the registration", needed, memory_limit_bytes)?;
        let weights = Weights::new(&layouts.circuit, &layouts.weights, &model.parameters);
        let mut tables = weights.tables(&layouts.weights);
        tamper.weights(&mut tables);
        let cells = is_honest.then(|| weights.cells(&layouts.weights, &tables));
        let config = layouts.weights.configuration();
        let commitment = WeightCommitment::new(config, columns(tables.clone()), cells)?;
        let variables = layouts.weights.tables();
        let points = out_of_domain_points(&manifest, &parameters, &commitment.root(), &variables);
        let mut answers: Vec<Extension> = Vec::new();
        for (index, (cells, point)) in tables.iter().zip(&points).enumerate() {
            tamper.reaches(Stage::Folds, (index, points.len()));
            answers.push(evaluate(cells, point));
        }
        tamper.answers(&mut answers);
        let executor = Executor::new(&manifest.graph, &model.parameters);
        let trace = Trace::new(&layouts.circuit);
        let verifying_key = VerifyingKey::new(manifest, parameters, commitment.root(), answers)?;
        let classes = verifying_key.parameters().batches.len();
        let key = Self {
            verifying_key,
            weights,
            executor,
            trace,
            commitment,
            batches: (0..classes).map(|_| OnceLock::new()).collect(),
            tables: (0..classes).map(|_| OnceLock::new()).collect(),
            pool,
        };
        Ok((key, tables))
    }

    /// The key that verifies this key's proofs.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// What is public about the model.
    pub const fn manifest(&self) -> &Manifest {
        self.verifying_key.manifest()
    }

    /// Runs the model. Inputs that are given away are not copied.
    ///
    /// # Errors
    ///
    /// When the tensors do not fit the graph.
    pub fn infer<'a>(&self, inputs: impl Into<Cow<'a, [Tensor]>>) -> Result<Execution, ProverError> {
        let (key, inputs) = (&self.verifying_key, inputs.into().into_owned());
        Execution::new(&self.executor, &key.manifest().graph, key.model_id(), inputs)
    }

    /// Runs the model on each of several lists of inputs, together, which takes less time than one by one. The
    /// executions share memory, which is free again when the last of them is gone.
    ///
    /// # Errors
    ///
    /// When the tensors of a list do not fit the graph.
    pub fn infer_batch(&self, runs: Vec<Vec<Tensor>>) -> Result<Vec<Execution>, ProverError> {
        let key = &self.verifying_key;
        Execution::all(&self.executor, &key.manifest().graph, key.model_id(), runs)
    }

    /// Proves one to [`VerifyingKey::max_batch`] executions in one proof, made for `context`.
    ///
    /// # Errors
    ///
    /// An empty or too large batch, or an execution of another model.
    pub fn prove(
        &self,
        context: [u8; 32],
        executions: &[Execution],
    ) -> Result<(Vec<u8>, Stages), ProverError> {
        self.prove_supervised(context, executions, &mut Supervision::default())
    }

    /// [`ProvingKey::prove`] with progress, cancellation and a limit of memory.
    pub fn prove_supervised(
        &self,
        context: [u8; 32],
        executions: &[Execution],
        supervision: &mut Supervision<'_>,
    ) -> Result<(Vec<u8>, Stages), ProverError> {
        let limit = supervision.memory_limit_bytes;
        let mut watched = Watched::new(supervision);
        let work = || {
            self.check_batch(executions)?;
            memory::check("the proof", self.memory_bytes(executions.len()), limit)?;
            self.prove_with(context, executions, &mut watched, true)
        };
        let proof = self.pool.install(|| catch(work))?;
        Ok((proof, watched.stop()))
    }

    /// [`ProvingKey::prove`] with a lying prover.
    pub fn prove_tampered(
        &self,
        context: [u8; 32],
        executions: &[Execution],
        tamper: &mut (dyn Tamper + Send),
    ) -> Result<(Vec<u8>, Stages), ProverError> {
        self.check_batch(executions)?;
        let proof = self
            .pool
            .install(|| self.prove_with(context, executions, tamper, false))?;
        Ok((proof, Stages::default()))
    }

    /// Refuses an empty or too large batch, and executions of another model.
    fn check_batch(&self, executions: &[Execution]) -> Result<(), ProverError> {
        let (found, expected) = (executions.len(), self.verifying_key.max_batch());
        if found == 0 || found > expected {
            return Err(ProverError::BatchSize { found, expected });
        }
        let model = self.verifying_key.model_id();
        let foreign = executions.iter().position(|execution| execution.model != model);
        foreign.map_or(Ok(()), |index| Err(ProverError::ForeignExecution { index }))
    }

    fn prove_with(
        &self,
        context: [u8; 32],
        executions: &[Execution],
        tamper: &mut dyn Tamper,
        is_honest: bool,
    ) -> Result<Vec<u8>, ProverError> {
        let found = executions.len();
        let mut batch: Vec<&Execution> = executions.iter().collect();
        let padding = executions.last().into_iter().cycle();
        batch.extend(padding.take(found.next_power_of_two() - found));
        inference::prove(self, context, &batch, found, tamper, is_honest)
    }

    pub(crate) const fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The committer of the witness of a padded batch size.
    pub(crate) fn committer(&self, batch_variables: usize, layout: &WitnessLayout) -> &WitnessCommitter {
        self.batches[batch_variables].get_or_init(|| WitnessCommitter::new(layout))
    }

    /// The weight commitment.
    pub(crate) const fn commitment(&self) -> &WeightCommitment {
        &self.commitment
    }

    /// The table rows of a padded batch size.
    pub(crate) fn tables(&self, batch_variables: usize) -> Arc<Vec<Vec<Row>>> {
        let rows = self.tables[batch_variables].get_or_init(|| {
            let layout = self.verifying_key.witness(batch_variables);
            layout.map_or_else(Arc::default, |layout| {
                witness::tables(self.verifying_key.circuit(), layout)
            })
        });
        Arc::clone(rows)
    }
}

impl core::fmt::Debug for ProvingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProvingKey")
            .field("model_id", &self.verifying_key.model_id())
            .finish_non_exhaustive()
    }
}

/// The pool that all work of a key runs in: calls from outside a pool would pay for a switch at each parallel loop.
fn pool() -> Result<Arc<ThreadPool>, ProverError> {
    let name = |index| format!("haca-prover-{index}");
    let pool = ThreadPoolBuilder::new().thread_name(name).build();
    pool.map(Arc::new)
        .map_err(|error| ProverError::Threads(error.to_string()))
}
