//! The proving key: a registered model, ready to run and to prove.

use std::sync::{Arc, OnceLock};

use haca_graph::{Manifest, ModelFile};
use haca_wire::Tensor;
use haca_zk::field::Extension;
use haca_zk::multilinear::evaluate;
use haca_zk::opening::OpeningProof;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::{Layouts, VerifyingKey, out_of_domain_points};
use p3_sumcheck::OpeningProtocol;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::adversary::{Honest, Row, Tamper};
use crate::commitment::{Committer, WeightCommitment};
use crate::execution::Executor;
use crate::model::{Weights, columns};
use crate::schedules::Objective;
use crate::trace::Trace;
use crate::{Execution, ProverError, Stages, inference, parameters, registration, witness};

/// A registered model with its weights. It is rebuilt from the model file and always comes out the same.
pub struct ProvingKey {
    verifying_key: VerifyingKey,
    weights: Weights,
    executor: Executor,
    trace: Trace,
    commitment: WeightCommitment,
    batches: Vec<OnceLock<Committer>>,
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
        Self::register_with(model, &mut Honest, true)
    }

    /// [`ProvingKey::register`] with a lying prover.
    pub fn register_tampered(
        model: ModelFile,
        tamper: &mut (dyn Tamper + Send),
    ) -> Result<Registration, ProverError> {
        Self::register_with(model, tamper, false)
    }

    fn register_with(
        model: ModelFile,
        tamper: &mut (dyn Tamper + Send),
        is_honest: bool,
    ) -> Result<Registration, ProverError> {
        let pool = pool()?;
        let shared = Arc::clone(&pool);
        pool.install(|| {
            let (key, tables) = Self::build(&model, shared, tamper, is_honest)?;
            let proof = registration::prove(&key.verifying_key, &tables, &key.commitment, tamper)?;
            Ok(Registration {
                verifying_key: key.verifying_key.clone(),
                proving_key: key,
                proof,
            })
        })
    }

    /// Rebuilds the key of a model that has been registered before, without proving its ranges again.
    pub fn load(model: &ModelFile) -> Result<Self, ProverError> {
        let pool = pool()?;
        let shared = Arc::clone(&pool);
        pool.install(|| Ok(Self::build(model, shared, &mut Honest, true)?.0))
    }

    fn build(
        model: &ModelFile,
        pool: Arc<ThreadPool>,
        tamper: &mut dyn Tamper,
        is_honest: bool,
    ) -> Result<(Self, Vec<Vec<haca_zk::field::Base>>), ProverError> {
        let manifest = model.manifest.clone();
        let parameters = parameters::choose(&manifest, Objective::BALANCED)?;
        let layouts = Layouts::new(&manifest, &parameters)?;
        let weights = Weights::new(&layouts.circuit, &layouts.weights, &model.parameters);
        let mut tables = weights.tables(&layouts.weights);
        tamper.weights(&mut tables);
        let cells = is_honest.then(|| weights.cells(&layouts.weights, &tables));
        let config = layouts.weights.configuration();
        let commitment = WeightCommitment::new(config, columns(tables.clone()), cells)?;
        let variables = layouts.weights.tables();
        let points = out_of_domain_points(&manifest, &parameters, &commitment.root(), &variables);
        let mut answers: Vec<Extension> = tables
            .iter()
            .zip(&points)
            .map(|(cells, point)| evaluate(cells, point))
            .collect();
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

    /// Runs the model.
    ///
    /// # Errors
    ///
    /// When the tensors do not fit the graph.
    pub fn infer(&self, inputs: &[Tensor]) -> Result<Execution, ProverError> {
        let key = &self.verifying_key;
        Execution::new(&self.executor, &key.manifest().graph, key.model_id(), inputs)
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
        self.pool
            .install(|| self.prove_with(context, executions, &mut Honest, true))
    }

    /// [`ProvingKey::prove`] with a lying prover.
    pub fn prove_tampered(
        &self,
        context: [u8; 32],
        executions: &[Execution],
        tamper: &mut (dyn Tamper + Send),
    ) -> Result<(Vec<u8>, Stages), ProverError> {
        self.pool
            .install(|| self.prove_with(context, executions, tamper, false))
    }

    fn prove_with(
        &self,
        context: [u8; 32],
        executions: &[Execution],
        tamper: &mut dyn Tamper,
        is_honest: bool,
    ) -> Result<(Vec<u8>, Stages), ProverError> {
        let (found, expected) = (executions.len(), self.verifying_key.max_batch());
        let Some(last) = executions.last().filter(|_| found <= expected) else {
            return Err(ProverError::BatchSize { found, expected });
        };
        let model = self.verifying_key.model_id();
        if let Some(index) = executions.iter().position(|execution| execution.model != model) {
            return Err(ProverError::ForeignExecution { index });
        }
        let mut batch: Vec<&Execution> = executions.iter().collect();
        batch.resize(found.next_power_of_two(), last);
        inference::prove(self, context, &batch, found, tamper, is_honest)
    }

    pub(crate) const fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The committer of the witness of a padded batch size. Only asked for sizes that have one.
    pub(crate) fn committer(&self, batch_variables: usize) -> &Committer {
        self.batches[batch_variables].get_or_init(|| match self.verifying_key.witness(batch_variables) {
            Some(layout) => Committer::new(layout.configuration()),
            None => Committer::new(self.verifying_key.weights().configuration()),
        })
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

    pub(crate) fn open_weights(
        &self,
        protocol: &OpeningProtocol,
        points: &[Vec<Extension>],
        transcript: &mut Transcript<Committed>,
    ) -> Result<OpeningProof, ProverError> {
        self.commitment.open(protocol, points, transcript)
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
