//! Scorecards made by the real prover: honest ones, and every way to make a model look better than it is.

use std::sync::LazyLock;

use haca_graph::{
    Graph, Manifest, ModelFile, Op, ParamId, ParamSpec, Parameters, ValueId, Window, WindowAxis,
};
use haca_prover::{ProvingKey, Registration};
use haca_verify::scorecard::{
    Batch, Outputs, SAMPLES, Scorecard, ScoredModel, TestSample, TestSetRoot, class_count, context, hint,
    is_scorecard, predicted_class, score, test_set_root, verify,
};
use haca_verify::{CheckState, Outcome, Policy, Report, check_id};
use haca_wire::{DType, Decode as _, Encode as _, ModelId, Name, Scale, Shape, Tensor, TensorSpec};
use haca_zk::VerifyingKey;
use proptest::prelude::*;

use crate::mutation::{Random, mutate};
use crate::proof::model_file;

/// Samples of the test set, and how they are cut into proofs.
const TOTAL: usize = 10;
const CUTS: [usize; 3] = [4, 4, 2];

fn vector(dtype: DType, values: Vec<i64>) -> Tensor {
    Tensor::new(dtype, Shape::new(vec![values.len() as u32]).unwrap(), values).unwrap()
}

/// Random inputs. Labels are what the model answers, but for each third sample.
fn samples(model: &ProvingKey, seed: u64) -> Vec<TestSample> {
    let mut random = Random(seed);
    let sample = |index| {
        let values = (0..16).map(|_| random.below(255) as i64 - 127).collect();
        let inputs = vec![vector(DType::I8, values)];
        let outputs = model.infer(&inputs).unwrap().inference.outputs;
        let class = predicted_class(&outputs).unwrap();
        let label = if index % 3 == 0 { (class + 1) % 4 } else { class };
        TestSample { inputs, label }
    };
    (0..TOTAL).map(sample).collect()
}

/// A batch over samples, proven for a context that need not be theirs.
fn batch(model: &ProvingKey, start: usize, samples: &[TestSample], context: [u8; 32]) -> Batch {
    let executions: Vec<_> = samples
        .iter()
        .map(|sample| model.infer(&sample.inputs).unwrap())
        .collect();
    let (proof, _) = model.prove(context, &executions).unwrap();
    let outputs = executions.into_iter().map(|e| Outputs(e.inference.outputs));
    Batch {
        start: start as u32,
        outputs: outputs.collect(),
        proof,
    }
}

fn scorecard(registration: &Registration, samples: Vec<TestSample>, cuts: &[usize]) -> Scorecard {
    let root = test_set_root(&samples);
    let (mut start, mut batches) = (0, Vec::new());
    for count in cuts {
        let end = start + count;
        let context = context(&root, samples.len() as u32, &(start as u32..end as u32));
        batches.push(batch(
            &registration.proving_key,
            start,
            &samples[start..end],
            context,
        ));
        start = end;
    }
    Scorecard {
        verifying_key: registration.verifying_key.encode(),
        registration: registration.proof.clone(),
        root,
        score: score(&samples, &batches),
        samples,
        batches,
    }
}

static MODEL: LazyLock<Registration> = LazyLock::new(|| ProvingKey::register(model_file(1)).unwrap());
static OTHER: LazyLock<Registration> = LazyLock::new(|| ProvingKey::register(model_file(2)).unwrap());
static HONEST: LazyLock<Scorecard> =
    LazyLock::new(|| scorecard(&MODEL, samples(&MODEL.proving_key, 1), &CUTS));

fn verified(scorecard: &Scorecard) -> Report<ScoredModel> {
    verify(&scorecard.encode(), &Policy::default(), None)
}

/// The liar's last step: root and claim follow from what the file holds.
fn consistent(mut scorecard: Scorecard) -> Scorecard {
    scorecard.root = test_set_root(&scorecard.samples);
    scorecard.score = score(&scorecard.samples, &scorecard.batches);
    scorecard
}

#[track_caller]
fn assert_rejected(report: &Report<ScoredModel>, id: &str) {
    assert_eq!(report.outcome(), Outcome::Rejected, "{:#?}", report.checks());
    assert!(report.verified().is_none());
    let first = report.failures().next().unwrap();
    assert_eq!(first.id, id, "{first:?}");
    assert_ne!(hint(id), hint("no such check"), "{id} has a hint of its own");
}

#[test]
fn an_honest_scorecard_verifies_without_weights() {
    let report = verified(&HONEST);
    assert_eq!(report.outcome(), Outcome::Verified, "{:#?}", report.checks());
    let scored = report.verified().unwrap().get();
    // Samples 0, 3, 6 and 9 are labelled wrong.
    assert_eq!((scored.score.correct, scored.score.total), (6, 10));
    assert_eq!(scored.model, MODEL.verifying_key.model_id());
    assert_eq!(
        (scored.name.as_str(), scored.classes, scored.proofs),
        ("two-layers", 4, 3)
    );
    assert_eq!(scored.test_set, test_set_root(&HONEST.samples));
    let selection = report.check(check_id::SCORECARD_SELECTION).unwrap();
    assert_eq!(
        selection.state,
        CheckState::NotChecked,
        "nothing says who chose the samples"
    );
    assert!(is_scorecard(&HONEST.encode()));
    // One proof for all, and one for each.
    for cuts in [&[TOTAL][..], &[1; TOTAL]] {
        let whole = scorecard(&MODEL, HONEST.samples.clone(), cuts);
        assert_eq!(verified(&whole).outcome(), Outcome::Verified);
    }
}

#[test]
fn rejects_a_changed_label() {
    let mut changed = HONEST.clone();
    changed.samples[0].label = predicted_class(&changed.batches[0].outputs[0].0).unwrap();
    assert_rejected(&verified(&changed), check_id::SCORECARD_TEST_SET);
    let changed = consistent(changed);
    assert_eq!(changed.score.correct, HONEST.score.correct + 1);
    assert_rejected(&verified(&changed), check_id::SCORECARD_PROOFS);
    // Labels that change nothing about the score are bound, too.
    let mut changed = HONEST.clone();
    changed.samples[0].label = -1;
    assert_rejected(&verified(&consistent(changed)), check_id::SCORECARD_PROOFS);
}

#[test]
fn rejects_a_changed_sample() {
    let mut changed = HONEST.clone();
    let mut values = changed.samples[5].inputs[0].values().to_vec();
    values[3] ^= 1;
    changed.samples[5].inputs[0] = vector(DType::I8, values);
    assert_rejected(&verified(&changed), check_id::SCORECARD_TEST_SET);
    assert_rejected(&verified(&consistent(changed)), check_id::SCORECARD_PROOFS);
    let mut changed = HONEST.clone();
    changed.samples[5].inputs.clear();
    assert_rejected(&verified(&consistent(changed)), check_id::SCORECARD_PROOFS);
}

#[test]
fn rejects_changed_outputs() {
    // The right class for sample 0, in logits and in the class that follows from them.
    let mut changed = HONEST.clone();
    let label = changed.samples[0].label;
    let outputs = &mut changed.batches[0].outputs[0].0;
    let mut logits = outputs[0].values().to_vec();
    logits[label as usize] = logits.iter().max().unwrap() + 1;
    outputs[0] = vector(DType::I32, logits);
    outputs[1] = Tensor::new(DType::I32, Shape::new(Vec::new()).unwrap(), vec![label]).unwrap();
    let changed = consistent(changed);
    assert_eq!(changed.score.correct, HONEST.score.correct + 1);
    assert_rejected(&verified(&changed), check_id::SCORECARD_PROOFS);
    // No outputs at all for one sample.
    let mut changed = HONEST.clone();
    changed.batches[2].outputs[1].0.clear();
    assert_rejected(&verified(&consistent(changed)), check_id::SCORECARD_PROOFS);
    // Another proof of the same length.
    let mut changed = HONEST.clone();
    changed.batches[1].proof = changed.batches[0].proof.clone();
    assert_rejected(&verified(&changed), check_id::SCORECARD_PROOFS);
}

#[test]
fn rejects_a_dropped_batch() {
    for index in 0..CUTS.len() {
        let mut dropped = HONEST.clone();
        dropped.batches.remove(index);
        assert_rejected(&verified(&dropped), check_id::SCORECARD_BATCHES);
    }
    // The samples with it: what is left was proven as part of a larger set.
    let mut dropped = HONEST.clone();
    dropped.batches.pop();
    dropped.samples.truncate(8);
    assert_rejected(&verified(&consistent(dropped)), check_id::SCORECARD_PROOFS);
}

#[test]
fn rejects_a_duplicated_batch() {
    let mut twice = HONEST.clone();
    twice.batches.insert(1, twice.batches[0].clone());
    assert_rejected(&verified(&twice), check_id::SCORECARD_BATCHES);
    twice.batches[1].start = 4;
    twice.batches[2].start = 8;
    twice.batches[3].start = 12;
    assert_rejected(&verified(&twice), check_id::SCORECARD_BATCHES);
    let again = twice.samples[..4].to_vec();
    drop(twice.samples.splice(4..4, again));
    assert_rejected(&verified(&consistent(twice)), check_id::SCORECARD_PROOFS);
}

#[test]
fn rejects_swapped_batches() {
    let mut swapped = HONEST.clone();
    swapped.batches.swap(0, 1);
    assert_rejected(&verified(&swapped), check_id::SCORECARD_BATCHES);
    (swapped.batches[0].start, swapped.batches[1].start) = (0, 4);
    assert_rejected(
        &verified(&consistent(swapped.clone())),
        check_id::SCORECARD_PROOFS,
    );
    // The samples with them.
    swapped.samples[..8].rotate_left(4);
    assert_rejected(&verified(&consistent(swapped)), check_id::SCORECARD_PROOFS);
}

#[test]
fn rejects_other_borders_and_empty_batches() {
    let mut moved = HONEST.clone();
    let last = moved.batches[0].outputs.pop().unwrap();
    moved.batches[1].outputs.insert(0, last);
    moved.batches[1].start = 3;
    assert_rejected(&verified(&moved), check_id::SCORECARD_PROOFS);
    let mut empty = HONEST.clone();
    let nothing = Batch {
        start: TOTAL as u32,
        outputs: Vec::new(),
        proof: Vec::new(),
    };
    empty.batches.push(nothing);
    assert_rejected(&verified(&empty), check_id::SCORECARD_BATCHES);
    let mut none = HONEST.clone();
    none.samples.clear();
    none.batches.clear();
    assert_rejected(&verified(&consistent(none)), check_id::SCORECARD_TEST_SET);
}

/// The same samples with the same outputs, proven for another test set, size or range.
#[test]
fn rejects_proofs_made_for_another_set() {
    let (model, all) = (&MODEL.proving_key, &HONEST.samples);
    let (root, total) = (HONEST.root, TOTAL as u32);
    let other = TestSetRoot([7; 32]);
    let contexts = [
        context(&root, total, &(0..total)),
        context(&other, total, &(0..total)),
        context(&root, total + 1, &(0..total)),
        context(&root, total, &(1..total)),
        context(&root, total, &(0..total + 1)),
        [0; 32],
    ];
    for (index, context) in contexts.into_iter().enumerate() {
        let mut moved = HONEST.clone();
        moved.batches = vec![batch(model, 0, all, context)];
        match index {
            0 => assert_eq!(verified(&moved).outcome(), Outcome::Verified),
            _ => assert_rejected(&verified(&moved), check_id::SCORECARD_PROOFS),
        }
    }
}

#[test]
fn rejects_another_key() {
    let other = &*OTHER;
    let mut moved = HONEST.clone();
    moved.verifying_key = other.verifying_key.encode();
    assert_rejected(&verified(&moved), check_id::SCORECARD_REGISTRATION);
    moved.registration = other.proof.clone();
    assert_rejected(&verified(&moved), check_id::SCORECARD_PROOFS);
    let mut moved = HONEST.clone();
    moved.registration = other.proof.clone();
    assert_rejected(&verified(&moved), check_id::SCORECARD_REGISTRATION);
    let mut moved = HONEST.clone();
    moved.verifying_key.push(0);
    assert_rejected(&verified(&moved), check_id::SCORECARD_KEY);
}

#[test]
fn rejects_a_claim_that_is_off_by_one() {
    for (correct, total) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
        let mut wrong = HONEST.clone();
        wrong.score.correct = wrong.score.correct.wrapping_add_signed(correct);
        wrong.score.total = wrong.score.total.wrapping_add_signed(total);
        assert_rejected(&verified(&wrong), check_id::SCORECARD_SCORE);
    }
}

#[test]
fn rejects_other_bytes() {
    let honest = HONEST.encode();
    let rejected = |bytes: &[u8], code: &str| {
        let report = verify(bytes, &Policy::default(), None);
        assert_rejected(&report, check_id::SCORECARD_ENCODING);
        assert_eq!(report.failures().next().unwrap().note, code);
    };
    rejected(&[honest.as_slice(), &[0]].concat(), "wire.trailing");
    for length in [0, 7, 8, 100, honest.len() / 2, honest.len() - 1] {
        rejected(&honest[..length], "wire.truncated");
    }
    let mut version = honest.clone();
    version[7] = b'2';
    rejected(&version, "wire.invalid");
    assert!(is_scorecard(&version) && !is_scorecard(b"HACABND1"));
    // Lengths above their limits are refused before anything is reserved.
    let tail = [&(SAMPLES as u32 + 1).to_le_bytes()[..], &[0; 64]].concat();
    let mut head = HONEST.clone();
    (head.samples, head.batches) = (Vec::new(), Vec::new());
    let head = head.encode();
    rejected(&[&head[..head.len() - 8], &tail[..]].concat(), "wire.too_long");
    rejected(&[&head[..head.len() - 4], &tail[..]].concat(), "wire.too_long");
}

#[test]
fn what_the_verifier_knows_is_compared() {
    let bytes = HONEST.encode();
    let root = Some(HONEST.root);
    let report = verify(&bytes, &Policy::default(), root);
    assert_eq!(report.outcome(), Outcome::Verified);
    assert_eq!(
        report.check(check_id::SCORECARD_EXPECTED_SET).unwrap().state,
        CheckState::Pass
    );
    let report = verify(&bytes, &Policy::default(), Some(TestSetRoot([1; 32])));
    assert_rejected(&report, check_id::SCORECARD_EXPECTED_SET);
    assert!(!report.only_policy_failed());
    for (model, same) in [(MODEL.verifying_key.model_id(), true), (ModelId([1; 32]), false)] {
        let policy = Policy {
            model: Some(model),
            ..Policy::default()
        };
        let report = verify(&bytes, &policy, root);
        assert_eq!(report.outcome() == Outcome::Verified, same);
        assert_eq!(report.only_policy_failed(), !same);
    }
    let strict = Policy {
        security_bits: 4096,
        ..Policy::default()
    };
    assert_rejected(&verify(&bytes, &strict, root), check_id::SCORECARD_SECURITY);
    assert_eq!(HONEST.root.to_string().parse(), Ok(HONEST.root));
    for wrong in ["", "0x", "0x12", &"g".repeat(64)] {
        assert_eq!(
            wrong.parse::<TestSetRoot>().unwrap_err().code(),
            "verify.test_set_root"
        );
    }
}

/// A graph whose first output is the class, not the logits.
#[test]
fn rejects_a_model_without_logits() {
    let ModelFile {
        mut manifest,
        parameters,
    } = model_file(1);
    let graph = &manifest.graph;
    assert_eq!(class_count(graph), Some(4));
    let outputs = graph.outputs().iter().rev().cloned().collect();
    let (inputs, params, nodes) = (graph.inputs(), graph.params(), graph.nodes());
    let graph = Graph::new(inputs.to_vec(), params.to_vec(), nodes.to_vec(), outputs).unwrap();
    assert_eq!(class_count(&graph), None);
    let parameters = Parameters::new(&graph, parameters.tensors().to_vec()).unwrap();
    manifest.graph = graph;
    let registration = ProvingKey::register(ModelFile { manifest, parameters }).unwrap();
    let report = verified(&scorecard(&registration, HONEST.samples.clone(), &[TOTAL]));
    assert_rejected(&report, check_id::SCORECARD_CLASSES);
}

/// Sums over windows of an image, and a layer of one weight.
fn sums(side: u32, kernel: u32) -> Graph {
    let axis = WindowAxis {
        kernel,
        stride: 1,
        dilation: 1,
        before: 0,
        after: 0,
    };
    let spec = |name: &str, dtype, dims: &[u32]| TensorSpec {
        name: Name::new(name).unwrap(),
        dtype,
        shape: Shape::new(dims.to_vec()).unwrap(),
        scale: Scale::ONE,
    };
    let param = |dtype, dims: &[u32]| ParamSpec {
        dtype,
        shape: Shape::new(dims.to_vec()).unwrap(),
        low: -1,
        high: 1,
    };
    let nodes = vec![
        Op::WindowSum {
            input: ValueId(0),
            window: Window {
                height: axis,
                width: axis,
            },
        },
        Op::Linear {
            input: ValueId(0),
            weight: ParamId(0),
            bias: ParamId(1),
        },
    ];
    let windows = side - kernel + 1;
    let outputs = vec![
        (ValueId(1), spec("sums", DType::I32, &[windows, windows, 1])),
        (ValueId(2), spec("layer", DType::I32, &[side, side, 1])),
    ];
    let inputs = vec![spec("image", DType::I8, &[side, side, 1])];
    let params = vec![param(DType::I8, &[1, 1]), param(DType::I32, &[1])];
    Graph::new(inputs, params, nodes, outputs).unwrap()
}

/// A key whose proofs would take minutes to verify: nothing of it is begun.
#[test]
fn rejects_more_work_than_a_file_may_ask_for() {
    let small = sums(4, 2);
    let tensor = |dtype, dims: &[u32]| {
        let shape = Shape::new(dims.to_vec()).unwrap();
        Tensor::new(dtype, shape, vec![1]).unwrap()
    };
    let tensors = vec![tensor(DType::I8, &[1, 1]), tensor(DType::I32, &[1])];
    let parameters = Parameters::new(&small, tensors).unwrap();
    let mut manifest = model_file(1).manifest;
    manifest.graph = small;
    let file = ModelFile {
        manifest: manifest.clone(),
        parameters,
    };
    let key = ProvingKey::register(file).unwrap().verifying_key;
    let report = |graph: Graph| {
        let manifest = Manifest {
            graph,
            ..manifest.clone()
        };
        let (parameters, answers) = (key.parameters().clone(), key.answers().to_vec());
        let key = VerifyingKey::new(manifest, parameters, *key.root(), answers).unwrap();
        let mut file = HONEST.clone();
        file.verifying_key = key.encode();
        verified(&file)
    };
    let report_of_much = report(sums(512, 192));
    assert_rejected(&report_of_much, check_id::SCORECARD_KEY);
    assert_eq!(report_of_much.failures().next().unwrap().note, "scorecard.work");
    let registration = report_of_much.check(check_id::SCORECARD_REGISTRATION);
    assert!(registration.is_none_or(|check| check.state == CheckState::NotChecked));
    // What is within the bound is looked at further.
    assert_rejected(&report(sums(8, 4)), check_id::SCORECARD_REGISTRATION);
}

#[test]
fn classes_lie_along_one_axis() {
    let ModelFile { manifest, .. } = model_file(1);
    let graph = &manifest.graph;
    let classes = |dims: &[u32]| {
        let shape = Shape::new(dims.to_vec()).unwrap();
        let mut nodes = graph.nodes().to_vec();
        nodes.push(Op::Reshape {
            input: ValueId(3),
            shape: shape.clone(),
        });
        let mut first = graph.outputs()[0].1.clone();
        (first.name, first.shape) = (Name::new("first").unwrap(), shape);
        let mut outputs = graph.outputs().to_vec();
        outputs.insert(0, (ValueId(5), first));
        let (inputs, params) = (graph.inputs().to_vec(), graph.params().to_vec());
        class_count(&Graph::new(inputs, params, nodes, outputs).unwrap())
    };
    assert_eq!([classes(&[1, 4]), classes(&[4, 1])], [Some(4), Some(4)]);
    assert_eq!([classes(&[2, 2]), classes(&[2, 1, 2])], [None, None]);
}

#[test]
fn ties_go_to_the_lowest_class() {
    let class = |values: &[i64]| predicted_class(&[vector(DType::I32, values.to_vec())]);
    assert_eq!(class(&[3, 7, 7]), Some(1));
    assert_eq!(class(&[-3, -7, -3]), Some(0));
    assert_eq!(predicted_class(&[]), None);
}

/// Samples, labels and their order are in the root.
#[test]
fn the_root_binds_order_and_labels() {
    let mut roots = vec![HONEST.root];
    let mut add = |change: &dyn Fn(&mut Vec<TestSample>)| {
        let mut samples = HONEST.samples.clone();
        change(&mut samples);
        roots.push(test_set_root(&samples));
    };
    add(&|samples| samples.swap(0, 1));
    add(&|samples| samples[9].label += 1);
    add(&|samples| samples.truncate(9));
    add(&|samples| samples.push(samples[0].clone()));
    add(&|samples| (samples[0].label, samples[1].label) = (samples[1].label + 5, samples[0].label));
    let all: std::collections::BTreeSet<_> = roots.iter().collect();
    assert_eq!(all.len(), roots.len());
}

#[test]
fn random_changes_are_never_verified() {
    let honest = scorecard(&MODEL, HONEST.samples[..2].to_vec(), &[2]).encode();
    let outcome = |bytes: &[u8]| verify(bytes, &Policy::default(), None).outcome();
    assert_eq!(outcome(&honest), Outcome::Verified);
    let mut random = Random(5);
    for round in 0..500 {
        let changed = mutate(&honest, &mut random);
        if changed != honest {
            assert_ne!(outcome(&changed), Outcome::Verified, "round {round}");
        }
    }
}

proptest! {
    /// What decodes re-encodes to itself.
    #[test]
    fn scorecards_have_one_encoding(seed: u64) {
        let honest = HONEST.encode();
        prop_assert_eq!(&Scorecard::decode_all(&honest).unwrap(), &*HONEST);
        let changed = mutate(&honest, &mut Random(seed));
        if let Ok(other) = Scorecard::decode_all(&changed) {
            prop_assert_eq!(other.encode(), changed);
        }
    }
}
