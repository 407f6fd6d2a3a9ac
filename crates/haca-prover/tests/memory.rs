//! Memory against an allocator that counts. A binary of its own, with one test at a time: whatever allocates meanwhile
//! is counted, too.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; an allocator is unsafe to implement"
)]

#[allow(dead_code, reason = "models of other tests")]
#[path = "it/model.rs"]
mod model;
#[path = "../examples/networks/network.rs"]
mod network;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use haca_graph::ModelFile;
use haca_prover::{ProverError, ProvingKey, Supervision};
use haca_zk::{Statement, verify, verify_registration};

use crate::model::sums;
use crate::network::{cnn, dense};

/// Counts the bytes that are allocated, and the most there were.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may be there while the bytes move.
        grow(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by the test that runs.
static ALONE: Mutex<()> = Mutex::new(());

/// What work needs at its peak beyond what is there before.
fn peak<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    ((PEAK.load(Ordering::Relaxed) - before) as u64, done)
}

/// What estimates may add to a multiple of the peak: stacks and tables whatever the size.
const SMALL: u64 = 33 << 20;

/// Work with its estimate and its peak, in bytes.
#[derive(Debug)]
struct Measured {
    what: String,
    estimate: u64,
    peak: u64,
}

impl Measured {
    const fn is_bound(&self) -> bool {
        self.estimate >= self.peak && self.estimate <= 2 * self.peak + self.peak / 4 + SMALL
    }
}

/// Registers a model and proves batches of these sizes.
fn measure(name: &str, model: ModelFile, batches: &[usize]) -> Vec<Measured> {
    let estimate = ProvingKey::registration_memory_bytes(&model.manifest).unwrap();
    let input = network::input(&model);
    let (bytes, registration) = peak(|| ProvingKey::register(model).unwrap());
    let mut all = vec![Measured {
        what: format!("registration of {name}"),
        estimate,
        peak: bytes,
    }];
    let key = &registration.proving_key;
    for batch in batches {
        let estimate = key.memory_bytes(*batch);
        let (bytes, ()) = peak(|| {
            let run = |_| key.infer(std::slice::from_ref(&input)).unwrap();
            let executions: Vec<_> = (0..*batch).map(run).collect();
            key.prove([0; 32], &executions).unwrap();
        });
        all.push(Measured {
            what: format!("proof of {batch} of {name}"),
            estimate,
            peak: bytes,
        });
    }
    refuse(&registration.proving_key, input);
    all
}

/// A limit one byte below the estimate refuses, and the estimate itself does not.
fn refuse(key: &ProvingKey, input: haca_wire::Tensor) {
    let executions = [key.infer(&[input]).unwrap()];
    let limited = |limit| {
        let mut supervision = Supervision {
            memory_limit_bytes: Some(limit),
            ..Supervision::default()
        };
        key.prove_supervised([0; 32], &executions, &mut supervision)
    };
    let needed = key.memory_bytes(1);
    match limited(needed - 1) {
        Err(error @ ProverError::Memory { found, expected, .. }) => {
            assert_eq!((found, expected), (needed, needed - 1));
            assert_eq!(error.code(), "prover.memory");
        }
        other => panic!("{other:?}"),
    }
    limited(needed).unwrap();
    assert_eq!(key.batch_within(1, needed), 1);
    assert_eq!(key.batch_within(1, needed - 1), 0);
}

#[test]
fn estimates_are_above_the_peak_and_about_twice_of_it_at_most() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let lenet = cnn([28, 28, 1], &[&[(6, 5, 2)], &[(16, 5, 0)]], &[120, 84, 10]);
    let deep: &[&[(u32, u32, u32)]] = &[
        &[(32, 3, 1), (32, 3, 1)],
        &[(64, 3, 1), (64, 3, 1)],
        &[(64, 3, 1), (64, 3, 1)],
    ];
    let measured = [
        measure("a small network", dense(&[64, 32, 10]), &[1, 3, 64, 256]),
        measure("a dense network", dense(&[784, 512, 512, 10]), &[1, 16]),
        measure("a convolutional network", lenet, &[1, 8]),
        measure("a deep one", cnn([32, 32, 3], deep, &[128, 10]), &[1]),
    ];
    let measured: Vec<Measured> = measured.into_iter().flatten().collect();
    let wrong: Vec<String> = measured
        .iter()
        .filter(|one| !one.is_bound())
        .map(|one| format!("{}: {} bytes, estimated {}", one.what, one.peak, one.estimate))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What verifying the registration and a proof of one inference needs at their peaks, and the claims on accumulators.
fn verification(model: ModelFile) -> (u64, u64) {
    let input = network::input(&model);
    let registration = ProvingKey::register(model).unwrap();
    let key = &registration.verifying_key;
    let execution = registration.proving_key.infer(&[input]).unwrap();
    let inferences = [execution.inference.clone()];
    let (proof, _) = registration.proving_key.prove([0; 32], &[execution]).unwrap();
    let statement = Statement {
        context: [0; 32],
        inferences: &inferences,
    };
    let (registering, ()) = peak(|| verify_registration(key, &registration.proof).unwrap());
    let (verifying, ()) = peak(|| verify(key, &statement, &proof).unwrap());
    (registering, verifying)
}

#[test]
fn a_verifier_keeps_the_weights_of_a_claim_once_whatever_uses_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (positions, claims) = (4096u32, 16u32);
    let (_, found) = verification(sums(positions, claims));
    // An element of the field of challenges for each position of each claim.
    let points = u64::from(positions) * u64::from(claims) * 24;
    assert!(found < 8 * points, "{found} bytes for points of {points}");
}

#[test]
fn a_verifier_keeps_no_list_of_tables_for_each_claim() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let layers = |count: usize| verification(dense(&vec![1; count + 1]));
    let (few, many) = (layers(60), layers(240));
    // Four times the layers are four times the claims, and four times the tables.
    assert!(many.0 < 8 * few.0 && many.1 < 8 * few.1, "{few:?} {many:?}");
}
