//! Verifies the evidence of transactions before their block is executed, in the background and in parallel.
//!
//! The mempool only queues: its answer never waits for a proof and never depends on one. What is found out goes to the
//! [`EvidenceMemory`], where execution finds it; whatever is left then is verified by execution itself.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use haca_ledger::{evidence_job, evidence_places};
use haca_wire::SignedTransaction;

use crate::{evidence_memory::EvidenceMemory, ledger_app::Committed, store::StateView};

/// One place for a proof in a transaction, to be verified against the models of a state.
struct Task {
    view: Arc<StateView>,
    tx: Arc<SignedTransaction>,
    place: usize,
}

impl Task {
    /// Verifies what stands there; the answer stays with `evidence`. A damaged store is execution's to report.
    fn run(&self, evidence: &EvidenceMemory) {
        if let Ok(Some(job)) = evidence_job(&Committed(&self.view), &self.tx, self.place) {
            let _ = job.run(evidence);
        }
    }
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

    /// Queues the evidence of a transaction.
    pub fn push(&self, view: &Arc<StateView>, tx: SignedTransaction) {
        let tx = Arc::new(tx);
        let tasks = (0..evidence_places(&tx)).map(|place| Task {
            view: Arc::clone(view),
            tx: Arc::clone(&tx),
            place,
        });
        self.shared.lock().tasks.extend(tasks);
        self.shared.wake.notify_all();
    }

    /// Forgets what has not begun.
    pub fn clear(&self) {
        self.shared.lock().tasks.clear();
    }

    /// Verifies the evidence of a whole block on all threads, and returns when all is done.
    pub fn run_all(&self, view: &Arc<StateView>, txs: Vec<SignedTransaction>) {
        let tasks: Vec<Task> = txs
            .into_iter()
            .flat_map(|tx| {
                let tx = Arc::new(tx);
                (0..evidence_places(&tx)).map(move |place| Task {
                    view: Arc::clone(view),
                    tx: Arc::clone(&tx),
                    place,
                })
            })
            .collect();
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
