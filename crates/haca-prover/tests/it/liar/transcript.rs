//! Challenges come after what they depend on: whoever changes a value draws other challenges. A liar who could change
//! a value and keep the challenge would solve the next equation for that value.

use std::sync::Mutex;

use haca_graph::ModelFile;
use haca_prover::adversary::{RegistrationWitness, Witness};
use haca_prover::{Execution, ProvingKey};
use haca_zk::field::Extension;
use haca_zk::fraction::FractionProof;
use haca_zk::proof::{InferenceProof, RegistrationProof};
use haca_zk::transcript::{Committed, Transcript};
use p3_field::PrimeCharacteristicRing;

use crate::liar::{CONTEXT, Liar, Stage, build, liar};
use crate::model::{Build, mlp};
use crate::sketch::{Sketch, axis, square};

/// The challenge that would be drawn next.
fn next(transcript: &Transcript<Committed>) -> Extension {
    let mut transcript = transcript.clone();
    transcript.challenge()
}

/// Runs a prover. Returns, for each message: its values, and the challenge that follows. Value `change` of all that
/// are sent is altered.
fn conversation(
    change: Option<usize>,
    prove: &dyn Fn(&mut Liar<'_>),
    liar: Liar<'_>,
) -> Vec<(Vec<Extension>, Extension)> {
    let log = Mutex::new(Vec::new());
    let (mut before, mut values) = (0, Vec::new());
    let last = Mutex::new(Vec::new());
    let sends = |_: &'static str, sent: &mut [Extension]| {
        if let Some(value) = change.and_then(|change: usize| sent.get_mut(change.checked_sub(before)?)) {
            *value += Extension::ONE;
        }
        before += sent.len();
        *last.lock().unwrap() = sent.to_vec();
    };
    let heard = |_: &'static str, transcript: &Transcript<Committed>| {
        values = std::mem::take(&mut *last.lock().unwrap());
        log.lock().unwrap().push((values.clone(), next(transcript)));
    };
    let mut liar = Liar {
        sends: Some(Box::new(sends)),
        heard: Some(Box::new(heard)),
        ..liar
    };
    prove(&mut liar);
    drop(liar);
    log.into_inner().unwrap()
}

/// Whoever alters a value, at whatever place, meets another challenge right after it.
fn every_value_counts(prove: &dyn Fn(&mut Liar<'_>)) -> Vec<Extension> {
    let honest = conversation(None, prove, Liar::default());
    let sent: Vec<Extension> = honest.iter().flat_map(|(values, _)| values.clone()).collect();
    let owner = |change: usize| {
        let mut end = 0;
        honest.iter().position(|(values, _)| {
            end += values.len();
            change < end
        })
    };
    for change in 0..sent.len() {
        let message = owner(change).unwrap();
        let altered = conversation(Some(change), prove, Liar::default());
        assert_eq!(altered[..message], honest[..message]);
        assert_ne!(altered[message].0, honest[message].0);
        assert_ne!(
            altered[message].1, honest[message].1,
            "value {change}, message {message}"
        );
    }
    sent
}

fn tree(tree: &FractionProof) -> Vec<Extension> {
    let mut values = tree.root.to_vec();
    for layer in &tree.layers {
        values.extend(layer.rounds.iter().flatten());
        values.extend(layer.ends);
    }
    values
}

fn small() -> Build {
    Build {
        per_channel: true,
        requantised_output: true,
        accumulators: true,
        ..Build::new(31, &[3, 3, 2])
    }
}

/// A model whose proofs have values of every kind.
fn every() -> ModelFile {
    let mut sketch = Sketch::new(32, &[&[2, 2]]);
    let value = sketch.linear(0, 2);
    let value = sketch.requantise(value, true);
    let product = sketch.product(value, 0);
    let product = sketch.requantise(product, false);
    let sum = sketch.sum(&[(product, 2), (value, -3)]);
    let value = sketch.reshape(value, &[2, 2, 1]);
    let largest = sketch.window_max(value, square(axis(2, 1)));
    for output in [sum, largest] {
        sketch.output(output);
    }
    sketch.model()
}

#[test]
fn values_chosen_after_the_challenge() {
    let stage = Stage::of(&every(), 2, &mut Liar::default());
    let sent = every_value_counts(&|liar| {
        stage.prove(liar);
    });
    // Nothing stands in a proof, openings aside, that is not sent this way.
    let (_, proof) = stage.prove(&mut Liar::default());
    let proof = InferenceProof::decode_for(&stage.registration.verifying_key, 1, &proof).unwrap();
    let (witness, matrices) = (proof.witness.unwrap(), proof.matrices);
    let channels = matrices.channels.unwrap();
    let mut expected = [tree(&witness.lookups), tree(&witness.tables), witness.columns].concat();
    expected.push(witness.low);
    expected.extend(witness.stages.iter().flatten());
    expected.extend(witness.multiplicities);
    expected.extend(matrices.biases);
    expected.extend(proof.combinations);
    let products = proof.products.unwrap();
    expected.push(products.sum);
    expected.extend(products.rounds.iter().flatten());
    expected.extend(products.factors);
    expected.extend(matrices.rounds.iter().flatten());
    expected.push(matrices.inputs);
    expected.extend(matrices.weights);
    expected.extend(channels.rounds.iter().flatten());
    expected.extend(channels.openings);
    expected.extend(witness.gather.iter().flatten());
    expected.extend(witness.gathered);
    assert_eq!(sent, expected);
}

#[test]
fn values_of_a_registration_chosen_after_the_challenge() {
    let register = |liar: &mut Liar<'_>| ProvingKey::register_tampered(mlp(&small()), liar).unwrap();
    let sent = every_value_counts(&|liar| {
        register(liar);
    });
    let honest = register(&mut Liar::default());
    let proof = RegistrationProof::decode_for(&honest.verifying_key, &honest.proof).unwrap();
    let mut expected = [
        tree(&proof.lookups),
        tree(&proof.tables),
        proof.cells,
        proof.limbs,
    ]
    .concat();
    expected.push(proof.multiplicity);
    assert_eq!(sent, expected);
}

/// The first challenge of a proof.
fn first(prove: &dyn Fn(&mut Liar<'_>), liar: Liar<'_>) -> Extension {
    conversation(None, prove, liar)[0].1
}

#[test]
fn witnesses_chosen_after_the_challenge() {
    let stage = Stage::new(&build());
    let prove: &dyn Fn(&mut Liar<'_>) = &|liar| {
        stage.prove(liar);
    };
    let honest = first(prove, Liar::default());
    let cell = stage.public_cell();
    let lie = |witness: &mut Witness| Witness::nudge(witness.column("limb0").unwrap(), cell, 1);
    assert_ne!(first(prove, liar!(committed: lie)), honest);
    let lie = |witness: &mut Witness| Witness::nudge(&mut witness.multiplicities[2], 0, 1);
    assert_ne!(first(prove, liar!(committed: lie)), honest);
    let register: &dyn Fn(&mut Liar<'_>) = &|liar| {
        ProvingKey::register_tampered(mlp(&build()), liar).unwrap();
    };
    let lie = |witness: &mut RegistrationWitness| Witness::nudge(&mut witness.limbs[0], 0, 1);
    assert_ne!(
        first(register, liar!(registration_committed: lie)),
        first(register, Liar::default())
    );
}

#[test]
fn statements_chosen_after_the_challenge() {
    let stage = Stage::new(&build());
    let at = |key: &ProvingKey, context: [u8; 32], executions: &[Execution], liar: Liar<'_>| {
        let prove: &dyn Fn(&mut Liar<'_>) = &|liar| {
            key.prove_tampered(context, executions, liar).unwrap();
        };
        first(prove, liar)
    };
    let key = &stage.registration.proving_key;
    let honest = at(key, CONTEXT, &stage.executions, Liar::default());
    assert_eq!(at(key, CONTEXT, &stage.executions, Liar::default()), honest);
    assert_ne!(at(key, [2; 32], &stage.executions, Liar::default()), honest);
    // The witness stays; only the public tensors change.
    for inference in 0..3 {
        let output = |witness: &mut Witness| {
            let other = witness.inferences[(inference + 1) % 3].outputs[0].clone();
            assert_ne!(witness.inferences[inference].outputs[0], other);
            witness.inferences[inference].outputs[0] = other;
        };
        assert_ne!(
            at(key, CONTEXT, &stage.executions, liar!(witness: output)),
            honest
        );
        let input = |witness: &mut Witness| {
            let other = witness.inferences[(inference + 1) % 3].inputs[0].clone();
            witness.inferences[inference].inputs[0] = other;
        };
        assert_ne!(at(key, CONTEXT, &stage.executions, liar!(witness: input)), honest);
    }
}

#[test]
fn models_chosen_after_the_challenge() {
    // The liars commit to one witness; their keys differ in one answer, or in weights that no result shows.
    let stage = Stage::new(&build());
    let inputs: Vec<_> = stage
        .executions
        .iter()
        .map(|e| e.inference.inputs.clone())
        .collect();
    let at = |liar: &mut Liar<'_>| {
        let key = Stage::with(&build(), 0, liar).registration.proving_key;
        let executions: Vec<Execution> = inputs.iter().map(|inputs| key.infer(inputs).unwrap()).collect();
        let prove: &dyn Fn(&mut Liar<'_>) = &|liar| {
            key.prove_tampered(CONTEXT, &executions, liar).unwrap();
        };
        first(prove, Liar::default())
    };
    let honest = at(&mut Liar::default());
    assert_eq!(at(&mut Liar::default()), honest);
    let mut liar = liar!(answers: |answers: &mut [Extension]| answers[0] += Extension::ONE);
    assert_ne!(at(&mut liar), honest);
    let mut liar = liar!(weights: |tables: &mut [Vec<haca_zk::field::Base>]| {
        Witness::nudge(&mut tables[0], 12, 1);
    });
    assert_ne!(at(&mut liar), honest);
}

#[test]
fn transcripts_of_other_purposes_steps_and_roots_differ() {
    let start = |purpose, statement: u8, root: Option<&[u8; 32]>| {
        Transcript::new(purpose, &[statement; 32]).commit(root)
    };
    let one = next(&start("haca v1 zk inference", 1, None));
    assert_eq!(one, next(&start("haca v1 zk inference", 1, None)));
    assert_ne!(one, next(&start("haca v1 zk registration", 1, None)));
    assert_ne!(one, next(&start("haca v1 zk inference", 2, None)));
    assert_ne!(one, next(&start("haca v1 zk inference", 1, Some(&[0; 32]))));
    let mut step = start("haca v1 zk inference", 1, None);
    step.step("lookups");
    assert_ne!(one, next(&step));
    let mut other = start("haca v1 zk inference", 1, None);
    other.step("channels");
    assert_ne!(next(&step), next(&other));
}
