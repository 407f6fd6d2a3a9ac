//! One encoding per value: bytes that decode re-encode to themselves, whatever they are.

use haca_wire::{Decode, Encode};
use haca_zk::VerifyingKey;
use haca_zk::field::{CHARACTERISTIC, from_coefficients};
use haca_zk::proof::{InferenceProof, RegistrationProof};

use crate::fuzz::Corpus;

#[test]
fn coefficients_are_below_the_characteristic() {
    let last = CHARACTERISTIC - 1;
    assert!(from_coefficients([last; 3]).is_some());
    for place in 0..3 {
        for beyond in [CHARACTERISTIC, CHARACTERISTIC + 1, u64::MAX] {
            let mut coefficients = [last; 3];
            coefficients[place] = beyond;
            assert!(from_coefficients(coefficients).is_none(), "{place} {beyond}");
        }
    }
}

/// Writes the characteristic, which stands for zero as zero does, over each place of `bytes` (over one in `step` where
/// there are many) and counts what is refused. What is not has to encode to itself.
fn refusals(bytes: &[u8], step: usize, reencoded: impl Fn(&[u8]) -> Option<Vec<u8>>) -> usize {
    assert_eq!(reencoded(bytes).as_deref(), Some(bytes));
    let places = (0..bytes.len() - 7).step_by(step);
    let altered = places.map(|place| {
        let mut altered = bytes.to_vec();
        altered[place..place + 8].copy_from_slice(&CHARACTERISTIC.to_le_bytes());
        altered
    });
    let refused = altered.filter(|altered| match reencoded(altered) {
        Some(found) => {
            assert_eq!(found, *altered);
            false
        }
        None => true,
    });
    refused.count()
}

#[test]
fn no_element_has_a_second_encoding() {
    let corpus = Corpus::read();
    let case = corpus.named("convolve");
    let key = VerifyingKey::decode_all(&case.key).unwrap();
    let of_key = |bytes: &[u8]| VerifyingKey::decode_all(bytes).ok().map(|key| key.encode());
    assert!(refusals(&case.key, 1, of_key) > 100);
    let variables = key.batch_variables(case.inferences.len()).unwrap();
    let of_proof = |bytes: &[u8]| {
        let proof = InferenceProof::decode_for(&key, variables, bytes).ok()?;
        Some(proof.encode())
    };
    assert!(refusals(&case.proof, 1, of_proof) > case.proof.len() / 16);
    let of_registration = |bytes: &[u8]| {
        let proof = RegistrationProof::decode_for(&key, bytes).ok()?;
        Some(proof.encode())
    };
    // Seven is prime to the width of an element: each of its places comes up.
    let registration = &case.registration;
    assert!(refusals(registration, 7, of_registration) > registration.len() / 7 / 16);
}
