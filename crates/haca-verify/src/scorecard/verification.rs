//! From the bytes of a scorecard to a report: steps S1 to S8 of `spec/verify.md`.

use std::collections::{BTreeMap, BTreeSet};

use haca_wire::{Decode, Inference, ModelId, Name};
use haca_zk::VerifyingKey;

use super::{Batch, Score, Scorecard, TestSample, TestSetRoot, class_count, context, score, test_set_root};
use crate::evidence::check_security_bits;
use crate::policy::Policy;
use crate::report::{Checks, Report};
use crate::{check_id, zk};

/// A score of which every required check passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoredModel {
    /// The model.
    pub model: ModelId,
    /// Its name, for people.
    pub name: Name,
    /// The test set.
    pub test_set: TestSetRoot,
    /// How many of its samples the model labels right.
    pub score: Score,
    /// Classes that the model tells apart.
    pub classes: usize,
    /// Proofs that were verified, the registration proof not counted.
    pub proofs: usize,
}

/// Verifies a scorecard. Of the policy, the model and the bits of security count; `test_set` is the root that the
/// test set must have, where the verifier knows it.
///
/// Every byte string leads to a report; none to a panic.
pub fn verify(bytes: &[u8], policy: &Policy, test_set: Option<TestSetRoot>) -> Report<ScoredModel> {
    let mut checks = Checks::default();
    let mut required = check_id::REQUIRED_SCORECARD.to_vec();
    if test_set.is_some() {
        required.push(check_id::SCORECARD_EXPECTED_SET);
    }
    // S1
    let id = check_id::SCORECARD_ENCODING;
    let scored = match Scorecard::decode_all(bytes) {
        Ok(scorecard) => {
            checks.pass(id, format_args!("{} bytes, version 1", bytes.len()), "");
            check(scorecard, policy, test_set, &mut checks)
        }
        Err(error) => {
            checks.fail(
                id,
                error,
                "a scorecard of version 1 in canonical form",
                error.code(),
            );
            None
        }
    };
    checks.finish(&required, scored)
}

fn check(
    scorecard: Scorecard,
    policy: &Policy,
    expected: Option<TestSetRoot>,
    checks: &mut Checks,
) -> Option<ScoredModel> {
    // S2
    let key = match VerifyingKey::decode_all(&scorecard.verifying_key) {
        Ok(key) => key,
        Err(error) => {
            checks.fail(check_id::SCORECARD_KEY, error, "a verifying key", error.code());
            return None;
        }
    };
    if !check_work(&key, &scorecard.batches, checks) {
        return None;
    }
    let (model, name) = (key.model_id(), key.manifest().name.clone());
    checks.pass(
        check_id::SCORECARD_KEY,
        format_args!("{name} {model}"),
        "the name is the owner's word; the id covers graph and weights",
    );
    match policy.model {
        Some(wanted) => {
            checks.equal(check_id::POLICY_MODEL, model, wanted, "the model you expect");
        }
        None => checks.not_checked(check_id::POLICY_MODEL, "any model is accepted"),
    }
    if !check_registration(&key, &scorecard.registration, checks) {
        return None;
    }
    // S3
    let Some(classes) = class_count(&key.manifest().graph) else {
        checks.fail(
            check_id::SCORECARD_CLASSES,
            "a model without",
            "a first output with one element per class",
            "",
        );
        return None;
    };
    checks.pass(
        check_id::SCORECARD_CLASSES,
        classes,
        "elements of the first output",
    );
    let total = check_test_set(&scorecard, expected, checks)?;
    if !check_batches(&scorecard.batches, total, checks) {
        return None;
    }
    check_security(&key, &scorecard.batches, policy, checks);
    let (claimed, score) = (scorecard.score, score(&scorecard.samples, &scorecard.batches));
    let (root, proofs) = (scorecard.root, scorecard.batches.len());
    check_proofs(&key, &root, total, scorecard.samples, scorecard.batches, checks);
    // S7
    checks.equal(
        check_id::SCORECARD_SCORE,
        claimed,
        score,
        "what the file claims, and what its outputs and labels say",
    );
    checks.not_checked(
        check_id::SCORECARD_SELECTION,
        "who chose samples and labels, and when: compare the root with one published before",
    );
    Some(ScoredModel {
        model,
        name,
        test_set: root,
        score,
        classes,
        proofs,
    })
}

/// The work that the proofs of one scorecard may ask for, in units of gas: some minutes.
const WORK: u64 = 200_000_000_000;

/// S2: weights and biases lie in their declared ranges.
fn check_registration(key: &VerifyingKey, proof: &[u8], checks: &mut Checks) -> bool {
    let id = check_id::SCORECARD_REGISTRATION;
    match haca_zk::verify_registration(key, proof) {
        Ok(()) => {
            checks.pass(
                id,
                format_args!("{} bytes", proof.len()),
                "the committed weights lie in their declared ranges",
            );
            true
        }
        Err(rejection) => {
            checks.fail(id, rejection, "a proof that verifies", rejection.code());
            false
        }
    }
}

/// S2: what the verifying key says that the proofs cost is within what a file may ask of whoever checks it.
fn check_work(key: &VerifyingKey, batches: &[Batch], checks: &mut Checks) -> bool {
    // Counting the gas of a size is work itself: once for each of the few padded sizes, not for each batch.
    let mut sizes = BTreeMap::new();
    for batch in batches {
        let size = batch.outputs.len().max(1).checked_next_power_of_two();
        let count: &mut u64 = sizes.entry(size.unwrap_or(usize::MAX)).or_default();
        *count = count.saturating_add(1);
    }
    let gas = sizes
        .into_iter()
        .map(|(size, count)| key.verification_gas(size).0.saturating_mul(count))
        .fold(key.registration_gas().0, u64::saturating_add);
    if gas <= WORK {
        return true;
    }
    checks.fail(
        check_id::SCORECARD_KEY,
        format_args!("proofs of {gas} units of work"),
        format_args!("at most {WORK} units, of about a nanosecond each"),
        "scorecard.work",
    );
    false
}

/// S4, and S8 for the test set. Returns the number of samples.
fn check_test_set(scorecard: &Scorecard, expected: Option<TestSetRoot>, checks: &mut Checks) -> Option<u32> {
    let id = check_id::SCORECARD_TEST_SET;
    let total = u32::try_from(scorecard.samples.len()).ok()?;
    if total == 0 {
        checks.fail(id, "no samples", "one sample or more", "");
        return None;
    }
    let same = checks.equal(
        id,
        scorecard.root,
        test_set_root(&scorecard.samples),
        "the root that the file states, and that of its samples and labels",
    );
    match expected {
        Some(expected) => {
            checks.equal(
                check_id::SCORECARD_EXPECTED_SET,
                scorecard.root,
                expected,
                "the test set of the file, and yours",
            );
        }
        None => checks.not_checked(check_id::SCORECARD_EXPECTED_SET, "any test set is accepted"),
    }
    same.then_some(total)
}

/// S5: the batches are the samples from first to last, none missing, none twice.
fn check_batches(batches: &[Batch], total: u32, checks: &mut Checks) -> bool {
    let id = check_id::SCORECARD_BATCHES;
    let mut next = 0u32;
    for (index, batch) in batches.iter().enumerate() {
        let count = u32::try_from(batch.outputs.len()).unwrap_or(u32::MAX);
        if batch.start != next || count == 0 {
            checks.fail(
                id,
                format_args!("batch {index}: {count} samples from {}", batch.start),
                format_args!("samples from {next}"),
                "",
            );
            return false;
        }
        next = next.saturating_add(count);
    }
    if next != total {
        checks.fail(
            id,
            format_args!("{next} samples"),
            format_args!("{total} samples"),
            "",
        );
        return false;
    }
    checks.pass(
        id,
        format_args!("{total} samples in {} batches", batches.len()),
        "",
    );
    true
}

/// S6: how hard it would be to forge the weakest of the proofs.
fn check_security(key: &VerifyingKey, batches: &[Batch], policy: &Policy, checks: &mut Checks) {
    let sizes: BTreeSet<usize> = batches
        .iter()
        .map(|batch| {
            batch
                .outputs
                .len()
                .checked_next_power_of_two()
                .unwrap_or(usize::MAX)
        })
        .collect();
    let bits = sizes.into_iter().map(|size| zk::security_bits(key, size));
    let weakest = bits
        .reduce(|(a, b), (c, d)| (a.min(c), b.min(d)))
        .unwrap_or((0, 0));
    check_security_bits(check_id::SCORECARD_SECURITY, weakest, policy, checks);
}

/// S6: the model maps each sample to its outputs, in the context of this test set.
fn check_proofs(
    key: &VerifyingKey,
    root: &TestSetRoot,
    total: u32,
    samples: Vec<TestSample>,
    batches: Vec<Batch>,
    checks: &mut Checks,
) {
    let id = check_id::SCORECARD_PROOFS;
    let mut inputs = samples.into_iter().map(|sample| sample.inputs);
    let (mut bytes, mut end, count) = (0usize, 0u32, batches.len());
    for (index, batch) in batches.into_iter().enumerate() {
        let pairs = batch.outputs.into_iter().zip(inputs.by_ref());
        let inferences: Vec<Inference> = pairs
            .map(|(outputs, inputs)| Inference {
                inputs,
                outputs: outputs.0,
            })
            .collect();
        let start = end;
        end = end.saturating_add(u32::try_from(inferences.len()).unwrap_or(u32::MAX));
        let context = context(root, total, &(start..end));
        if let Err(rejection) = zk::verify(key, &context, &inferences, &batch.proof) {
            checks.fail(
                id,
                format_args!("batch {index}: {rejection}"),
                "a proof that verifies",
                rejection.code(),
            );
            return;
        }
        bytes = bytes.saturating_add(batch.proof.len());
    }
    checks.pass(
        id,
        format_args!("{count} proofs, {bytes} bytes"),
        "the model produced the outputs; made for this test set",
    );
}

/// What to do about a check of a scorecard that did not pass.
pub fn hint(id: &str) -> &'static str {
    match id {
        check_id::SCORECARD_ENCODING => "the file is damaged, cut, or of another version: fetch it again",
        check_id::SCORECARD_KEY | check_id::SCORECARD_CLASSES => {
            "a scorecard is about one classifier: ask for one made by `haca model score`"
        }
        check_id::SCORECARD_REGISTRATION => "do not rely on this model: its weights may be out of range",
        check_id::SCORECARD_TEST_SET => "a sample or label was changed after the proof was made",
        check_id::SCORECARD_BATCHES => "samples are missing, repeated or in another order",
        check_id::SCORECARD_SECURITY => "ask for a proof under stronger parameters",
        check_id::SCORECARD_PROOFS => {
            "the outputs are not proven for this model, these samples and these labels: do not rely on them"
        }
        check_id::SCORECARD_SCORE => "do not rely on the claim; the report has the score that is proven",
        check_id::SCORECARD_EXPECTED_SET => {
            "the score is of other samples, labels or order than yours; check the file and the name of its labels"
        }
        check_id::POLICY_MODEL => "the score is of another model",
        _ => "see spec/verify.md",
    }
}
