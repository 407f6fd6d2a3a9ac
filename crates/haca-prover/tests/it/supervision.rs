//! Progress and cancellation of proofs and registrations.

use haca_prover::{Cancellation, Execution, Progress, ProverError, ProvingKey, Stage, Supervision};

use crate::model::{Build, Random, inputs, mlp};

/// A model with a run of it.
fn run() -> (ProvingKey, Vec<Execution>) {
    let model = mlp(&Build::new(5, &[64, 32, 10]));
    let inputs = inputs(&model, &mut Random::new(1));
    let key = ProvingKey::register(model).unwrap().proving_key;
    let execution = key.infer(&inputs).unwrap();
    (key, vec![execution])
}

/// Proves and cancels at the first progress that `at` picks.
fn cancel_at(
    key: &ProvingKey,
    executions: &[Execution],
    at: impl Fn(Progress) -> bool + Sync,
) -> Result<Vec<u8>, ProverError> {
    let cancellation = Cancellation::new();
    let token = cancellation.clone();
    let mut observer = |progress: Progress| {
        if at(progress) {
            token.cancel();
        }
    };
    let mut supervision = Supervision {
        cancellation,
        observer: Some(&mut observer),
        ..Supervision::default()
    };
    key.prove_supervised([7; 32], executions, &mut supervision)
        .map(|(proof, _)| proof)
}

#[test]
fn progress_goes_through_every_stage_and_changes_no_byte() {
    let (key, executions) = run();
    let mut seen: Vec<Progress> = Vec::new();
    let mut observer = |progress| seen.push(progress);
    let mut supervision = Supervision {
        observer: Some(&mut observer),
        ..Supervision::default()
    };
    let (watched, _) = key
        .prove_supervised([7; 32], &executions, &mut supervision)
        .unwrap();
    assert_eq!(watched, key.prove([7; 32], &executions).unwrap().0);
    for stage in [
        Stage::Witness,
        Stage::Commit,
        Stage::Lookups,
        Stage::Folds,
        Stage::Sumchecks,
        Stage::Openings,
        Stage::Encode,
        Stage::Release,
    ] {
        assert!(seen.iter().any(|p| p.stage == stage), "{stage:?}: {seen:?}");
    }
    assert!(seen.iter().all(|p| (0.0..=1.0).contains(&p.fraction)), "{seen:?}");
    let lookups: Vec<f64> = seen
        .iter()
        .filter(|p| p.stage == Stage::Lookups)
        .map(|p| p.fraction)
        .collect();
    assert!(lookups.windows(2).all(|pair| pair[0] < pair[1]), "{lookups:?}");
    assert_eq!(lookups.last(), Some(&1.0));
}

#[test]
fn a_proof_is_cancelled_in_every_stage_and_can_be_made_again() {
    let (key, executions) = run();
    let whole = key.prove([7; 32], &executions).unwrap().0;
    for stage in [
        Stage::Witness,
        Stage::Commit,
        Stage::Lookups,
        Stage::Folds,
        Stage::Sumchecks,
        Stage::Openings,
    ] {
        let cancelled = cancel_at(&key, &executions, |p| p.stage == stage);
        assert!(matches!(cancelled, Err(ProverError::Cancelled)), "{stage:?}");
        assert_eq!(key.prove([7; 32], &executions).unwrap().0, whole, "{stage:?}");
    }
    // Within the lookups, from one message to the next.
    let within = cancel_at(&key, &executions, |p| {
        p.stage == Stage::Lookups && p.fraction > 0.4
    });
    assert_eq!(within.unwrap_err().code(), "prover.cancelled");
    // Nothing looks after the last stage has begun.
    let late = cancel_at(&key, &executions, |p| p.stage == Stage::Release);
    assert_eq!(late.unwrap(), whole);
}

#[test]
fn a_registration_is_cancelled_in_every_stage() {
    let model = mlp(&Build::new(6, &[20, 12, 4]));
    for stage in [
        Stage::Weights,
        Stage::Witness,
        Stage::Commit,
        Stage::Lookups,
        Stage::Folds,
        Stage::Openings,
    ] {
        let cancellation = Cancellation::new();
        let token = cancellation.clone();
        let mut observer = |progress: Progress| {
            if progress.stage == stage {
                token.cancel();
            }
        };
        let mut supervision = Supervision {
            cancellation,
            observer: Some(&mut observer),
            ..Supervision::default()
        };
        let cancelled = ProvingKey::register_supervised(model.clone(), &mut supervision);
        assert!(
            matches!(cancelled.err(), Some(ProverError::Cancelled)),
            "{stage:?}"
        );
    }
}

#[test]
fn a_panic_of_the_observer_is_not_taken_for_a_cancellation() {
    let (key, executions) = run();
    let mut observer = |progress: Progress| {
        if progress.stage == Stage::Lookups {
            std::panic::resume_unwind(Box::new("mine"));
        }
    };
    let mut supervision = Supervision {
        observer: Some(&mut observer),
        ..Supervision::default()
    };
    let work = std::panic::AssertUnwindSafe(|| {
        let _ = key.prove_supervised([7; 32], &executions, &mut supervision);
    });
    let payload = std::panic::catch_unwind(work).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"mine"));
}
