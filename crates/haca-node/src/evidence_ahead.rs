//! Verifies the evidence of transactions, and recovers who signed what stands in them, before their block is executed, in
//! the background and in parallel.
//!
//! The mempool only queues: its answer never waits for a proof or for a signature inside a message, and never depends on one. What is found out goes to the
//! [`EvidenceMemory`], where execution finds it; whatever is left then is verified by execution itself.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use haca_ledger::{CheckProof as _, evidence_job, evidence_places, query, signatures};
use haca_wire::SignedTransaction;

use crate::{evidence_memory::EvidenceMemory, ledger_app::Committed, store::StateView};

/// Signatures that a thread takes at once: a millisecond or two.
const SIGNATURES_PER_TASK: usize = 32;

/// A part of the work on a transaction.
#[derive(Clone, Copy)]
enum Part {
    /// The proof at a place, to be verified against the models of the state.
    Proof(usize),
    /// The signatures from this one on.
    Signatures(usize),
}

/// A part of the work on a transaction over a state.
struct Task {
    view: Arc<StateView>,
    tx: Arc<SignedTransaction>,
    part: Part,
}

impl Task {
    /// Verifies what stands there; the answer stays with `evidence`. A damaged store is execution's to report.
    fn run(&self, evidence: &EvidenceMemory) {
        let state = Committed(&self.view);
        match self.part {
            Part::Proof(place) => {
                if let Ok(Some(job)) = evidence_job(&state, &self.tx, place) {
                    let _ = job.run(evidence);
                }
            }
            Part::Signatures(first) => {
                let Ok(domain) = query::chain(&state).map(|chain| chain.domain()) else {
                    return;
                };
                for (value, signature) in signatures(&self.tx).skip(first).take(SIGNATURES_PER_TASK) {
                    let _ = evidence.signer(signature, &value.digest(&domain));
                }
            }
        }
    }
}

/// The work on a transaction: of its own signatures, those of sender and sponsor, `from` on.
fn tasks(view: &Arc<StateView>, tx: SignedTransaction, from: usize) -> impl Iterator<Item = Task> + use<> {
    let (view, tx) = (Arc::clone(view), Arc::new(tx));
    let count = signatures(&tx).count();
    let proofs = (0..evidence_places(&tx)).map(Part::Proof);
    let signatures = (from..count).step_by(SIGNATURES_PER_TASK).map(Part::Signatures);
    signatures.chain(proofs).map(move |part| Task {
        view: Arc::clone(&view),
        tx: Arc::clone(&tx),
        part,
    })
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    stop: bool,
}

struct Shared {
    evidence: Arc<EvidenceMemory>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Task> {
        let mut queue = self.lock();
        loop {
            if queue.stop {
                return None;
            }
            if let Some(task) = queue.tasks.pop_front() {
                return Some(task);
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The threads that verify ahead. Dropping it stops them.
pub struct EvidenceAhead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl EvidenceAhead {
    /// Starts `threads` threads.
    pub fn start(evidence: Arc<EvidenceMemory>, threads: usize) -> Self {
        let shared = Arc::new(Shared {
            evidence,
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let worker = |number| {
            let shared = Arc::clone(&shared);
            let work = move || {
                while let Some(task) = shared.next() {
                    task.run(&shared.evidence);
                }
            };
            // Without threads everything is verified by execution.
            thread::Builder::new()
                .name(format!("evidence-{number}"))
                .spawn(work)
                .ok()
        };
        let threads = (0..threads).filter_map(worker).collect();
        Self { shared, threads }
    }

    /// Queues what a message holds: its proofs and the signatures in it. Those of sender and sponsor are the mempool's and
    /// the proposal's own business.
    pub fn push(&self, view: &Arc<StateView>, tx: SignedTransaction) {
        if !Self::has_work(&tx) {
            return;
        }
        let outer = 1 + usize::from(tx.sponsor_signature.is_some());
        let tasks = tasks(view, tx, outer);
        self.shared.lock().tasks.extend(tasks);
        self.shared.wake.notify_all();
    }

    /// Whether [`Self::push`] finds anything in `tx`.
    pub fn has_work(tx: &SignedTransaction) -> bool {
        let outer = 1 + usize::from(tx.sponsor_signature.is_some());
        evidence_places(tx) > 0 || signatures(tx).nth(outer).is_some()
    }

    /// Forgets what has not begun.
    pub fn clear(&self) {
        self.shared.lock().tasks.clear();
    }

    /// Verifies the evidence of a whole block and recovers all its signers on all threads, and returns when all is done.
    pub fn run_all(&self, view: &Arc<StateView>, txs: Vec<SignedTransaction>) {
        let tasks: Vec<Task> = txs.into_iter().flat_map(|tx| tasks(view, tx, 0)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                task.run(&self.shared.evidence);
            }
        };
        let threads = self.threads.len().min(tasks.len());
        if threads < 2 {
            return work();
        }
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }
}

impl Drop for EvidenceAhead {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.lock();
            queue.stop = true;
            queue.tasks.clear();
        }
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
