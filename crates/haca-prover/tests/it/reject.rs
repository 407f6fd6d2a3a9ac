//! Statements, keys and proofs that differ in anything are refused, and no bytes make the verifier panic.

use haca_graph::ModelFile;
use haca_prover::{Execution, ProvingKey, Registration};
use haca_wire::{Decode, Encode, Tensor};
use haca_zk::{Inference, ProofRejection, Statement, VerifyingKey, verify, verify_registration};

use crate::model::{Build, Random, inputs, mlp};

struct Proven {
    model: ModelFile,
    registration: Registration,
    inferences: Vec<Inference>,
    executions: Vec<Execution>,
    proof: Vec<u8>,
}

const CONTEXT: [u8; 32] = [9; 32];

fn proven(build: &Build, batch: usize) -> Proven {
    let model = mlp(build);
    let registration = ProvingKey::register(model.clone()).unwrap();
    let mut random = Random::new(build.seed + 1);
    let run = |_| {
        registration
            .proving_key
            .infer(inputs(&model, &mut random))
            .unwrap()
    };
    let executions: Vec<Execution> = (0..batch).map(run).collect();
    let inferences = executions.iter().map(|e| e.inference.clone()).collect();
    let (proof, _) = registration.proving_key.prove(CONTEXT, &executions).unwrap();
    Proven {
        model,
        registration,
        inferences,
        executions,
        proof,
    }
}

fn build() -> Build {
    Build {
        per_channel: true,
        arg_max: true,
        ..Build::new(11, &[12, 9, 8, 5])
    }
}

fn check(proven: &Proven, inferences: &[Inference], proof: &[u8]) -> Result<(), ProofRejection> {
    verify(
        &proven.registration.verifying_key,
        &Statement {
            context: CONTEXT,
            inferences,
        },
        proof,
    )
}

/// The tensor with one value moved by one.
fn nudge(tensor: &Tensor, index: usize) -> Tensor {
    let mut values = tensor.values().to_vec();
    values[index] += if values[index] == tensor.dtype().range().1 {
        -1
    } else {
        1
    };
    Tensor::new(tensor.dtype(), tensor.shape().clone(), values).unwrap()
}

#[test]
fn every_public_value_is_bound() {
    let proven = proven(&build(), 3);
    check(&proven, &proven.inferences, &proven.proof).unwrap();
    for i in 0..3 {
        let inference = &proven.inferences[i];
        for index in 0..inference.inputs[0].values().len() {
            let mut changed = proven.inferences.clone();
            changed[i].inputs[0] = nudge(&changed[i].inputs[0], index);
            check(&proven, &changed, &proven.proof).unwrap_err();
        }
        for output in 0..inference.outputs.len() {
            for index in 0..inference.outputs[output].values().len() {
                let mut changed = proven.inferences.clone();
                changed[i].outputs[output] = nudge(&changed[i].outputs[output], index);
                check(&proven, &changed, &proven.proof).unwrap_err();
            }
        }
    }
}

#[test]
fn order_number_and_shape_of_inferences_are_bound() {
    let proven = proven(&build(), 3);
    let refuse = |inferences: &[Inference]| check(&proven, inferences, &proven.proof).unwrap_err();
    let mut swapped = proven.inferences.clone();
    swapped.swap(0, 1);
    refuse(&swapped);
    refuse(&proven.inferences[..2]);
    // The padding repeats the last inference; saying so is another statement.
    let mut longer = proven.inferences.clone();
    longer.push(longer[2].clone());
    refuse(&longer);
    let max_batch = proven.registration.verifying_key.max_batch();
    assert!(matches!(refuse(&[]), ProofRejection::BatchSize { found: 0, .. }));
    let many = vec![proven.inferences[0].clone(); max_batch + 1];
    assert!(matches!(refuse(&many), ProofRejection::BatchSize { .. }));
    let mut missing = proven.inferences.clone();
    missing[1].inputs.clear();
    assert!(matches!(
        refuse(&missing),
        ProofRejection::TensorShape {
            inference: 1,
            what: "input",
            index: 0
        }
    ));
    let mut extra = proven.inferences.clone();
    let tensor = extra[2].outputs[0].clone();
    extra[2].outputs.push(tensor);
    assert!(matches!(
        refuse(&extra),
        ProofRejection::TensorShape {
            inference: 2,
            what: "output",
            index: 2
        }
    ));
}

#[test]
fn the_context_is_bound() {
    let proven = proven(&build(), 1);
    let key = &proven.registration.verifying_key;
    for bit in 0..256 {
        let mut context = CONTEXT;
        context[bit / 8] ^= 1 << (bit % 8);
        verify(
            key,
            &Statement {
                context,
                inferences: &proven.inferences,
            },
            &proven.proof,
        )
        .unwrap_err();
    }
}

#[test]
fn another_model_of_the_same_shape_is_refused() {
    let one = proven(&build(), 2);
    let other = proven(&Build { seed: 12, ..build() }, 2);
    let statement = Statement {
        context: CONTEXT,
        inferences: &one.inferences,
    };
    verify(&other.registration.verifying_key, &statement, &one.proof).unwrap_err();
    verify_registration(&other.registration.verifying_key, &one.registration.proof).unwrap_err();
    assert_ne!(
        one.registration.verifying_key.model_id(),
        other.registration.verifying_key.model_id()
    );
    other
        .registration
        .proving_key
        .prove(CONTEXT, &one.executions)
        .unwrap_err();
}

#[test]
fn the_same_weights_under_another_manifest_are_another_model() {
    let one = proven(&build(), 1);
    let mut model = one.model.clone();
    model.manifest.tokenizer = [1; 32];
    let other = ProvingKey::register(model).unwrap().verifying_key;
    assert_ne!(one.registration.verifying_key.model_id(), other.model_id());
    let statement = Statement {
        context: CONTEXT,
        inferences: &one.inferences,
    };
    verify(&other, &statement, &one.proof).unwrap_err();
}

#[test]
fn flipped_truncated_and_extended_proofs_are_refused() {
    let proven = proven(&build(), 2);
    let mut random = Random::new(5);
    for _ in 0..1500 {
        let mut proof = proven.proof.clone();
        let index = random.next() as usize % proof.len();
        proof[index] ^= 1 << (random.next() % 8);
        check(&proven, &proven.inferences, &proof).unwrap_err();
    }
    // The head of a proof, where the values of our own protocol stand, byte by byte.
    for index in 0..2048.min(proven.proof.len()) {
        let mut proof = proven.proof.clone();
        proof[index] = proof[index].wrapping_add(0x55);
        check(&proven, &proven.inferences, &proof).unwrap_err();
    }
    for len in (0..proven.proof.len()).step_by(53) {
        check(&proven, &proven.inferences, &proven.proof[..len]).unwrap_err();
    }
    for extra in [&[0u8][..], &[0; 24], &[0xff; 100]] {
        let longer = [&proven.proof[..], extra].concat();
        check(&proven, &proven.inferences, &longer).unwrap_err();
    }
}

#[test]
fn field_elements_have_one_encoding() {
    let proven = proven(&build(), 1);
    let modulus = haca_zk::field::CHARACTERISTIC;
    let mut tried = 0;
    // Any aligned word of the head that stands for a small number could also be written with the modulus added.
    for start in (32..proven.proof.len() - 8).step_by(8) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&proven.proof[start..start + 8]);
        let Some(other) = u64::from_le_bytes(bytes).checked_add(modulus) else {
            continue;
        };
        let mut proof = proven.proof.clone();
        proof[start..start + 8].copy_from_slice(&other.to_le_bytes());
        check(&proven, &proven.inferences, &proof).unwrap_err();
        tried += 1;
    }
    assert!(tried > 0);
}

#[test]
fn random_bytes_are_refused() {
    let proven = proven(&build(), 1);
    let mut random = Random::new(6);
    for len in [0, 1, 31, 32, 1000, proven.proof.len()] {
        let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        check(&proven, &proven.inferences, &bytes).unwrap_err();
        // Words below the modulus get further.
        bytes.iter_mut().skip(7).step_by(8).for_each(|byte| *byte &= 0x7f);
        check(&proven, &proven.inferences, &bytes).unwrap_err();
        verify_registration(&proven.registration.verifying_key, &bytes).unwrap_err();
    }
}

#[test]
fn altered_keys_are_refused_or_are_other_models() {
    let proven = proven(&build(), 1);
    let statement = Statement {
        context: CONTEXT,
        inferences: &proven.inferences,
    };
    let bytes = proven.registration.verifying_key.encode();
    let mut decoded = 0;
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1 << (index % 8);
        let Ok(key) = VerifyingKey::decode_all(&altered) else {
            continue;
        };
        assert_eq!(key.encode(), altered);
        assert_ne!(key.model_id(), proven.registration.verifying_key.model_id());
        verify(&key, &statement, &proven.proof).unwrap_err();
        verify_registration(&key, &proven.registration.proof).unwrap_err();
        decoded += 1;
    }
    assert!(decoded > 50);
    for len in 0..bytes.len() {
        VerifyingKey::decode_all(&bytes[..len]).unwrap_err();
    }
}

#[test]
fn registration_proofs_are_bound_to_every_byte() {
    let proven = proven(&build(), 1);
    let key = &proven.registration.verifying_key;
    let proof = &proven.registration.proof;
    verify_registration(key, proof).unwrap();
    let mut random = Random::new(7);
    for _ in 0..800 {
        let mut altered = proof.clone();
        let index = random.next() as usize % altered.len();
        altered[index] ^= 1 << (random.next() % 8);
        verify_registration(key, &altered).unwrap_err();
    }
    for len in (0..proof.len()).step_by(211) {
        verify_registration(key, &proof[..len]).unwrap_err();
    }
    verify_registration(key, &[&proof[..], &[0]].concat()).unwrap_err();
    check(&proven, &proven.inferences, proof).unwrap_err();
}

#[test]
fn the_prover_refuses_bad_batches_and_inputs() {
    let proven = proven(&build(), 1);
    let key = &proven.registration.proving_key;
    assert_eq!(key.prove(CONTEXT, &[]).unwrap_err().code(), "prover.batch_size");
    let many = vec![proven.executions[0].clone(); key.verifying_key().max_batch() + 1];
    assert_eq!(key.prove(CONTEXT, &many).unwrap_err().code(), "prover.batch_size");
    assert_eq!(key.infer(&[]).unwrap_err().code(), "prover.input");
    let two = [
        proven.inferences[0].inputs[0].clone(),
        proven.inferences[0].inputs[0].clone(),
    ];
    assert_eq!(key.infer(&two).unwrap_err().code(), "prover.input");
    let second_is_bad = vec![two[..1].to_vec(), two.to_vec()];
    assert_eq!(key.infer_batch(second_is_bad).unwrap_err().code(), "prover.input");
    assert_eq!(
        key.infer(&proven.inferences[0].outputs[..1]).unwrap_err().code(),
        "prover.input"
    );
}
