//! Structured fuzzing of the verifier: honest keys, statements and proofs are taken apart, altered and put together
//! again. Nothing that comes out may panic, allocate without bound, have two encodings, or be accepted.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the test and the runner use different parts"
)]

mod key;
mod proof;
mod random;
mod statement;

use haca_wire::codec::Reader;
use haca_wire::{Decode, Encode, Inference};
use haca_zk::proof::{InferenceProof, RegistrationProof};
use haca_zk::{ProofRejection, Statement, VerifyingKey, verify, verify_registration};

use key::KeyFields;
use random::{Random, edit_bytes};

const ACCEPT: &[u8] = include_bytes!("../../../../spec/vectors/zk/accept.json.gz");
/// Head and tail of a gzip file without a name.
const HEAD: usize = 10;
const TAIL: usize = 8;
/// Edits of one case at most.
pub const EDITS: usize = 4;

/// What a verifier is given, as bytes where they come from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    pub key: Vec<u8>,
    pub context: [u8; 32],
    pub inferences: Vec<Inference>,
    pub proof: Vec<u8>,
    pub registration: Vec<u8>,
}

impl Case {
    /// Bytes of everything together.
    pub fn len(&self) -> usize {
        let statement: usize = self
            .inferences
            .iter()
            .map(|inference| inference.encode().len())
            .sum();
        self.key.len() + self.proof.len() + self.registration.len() + statement
    }
}

/// An honest case, decoded.
struct Honest {
    case: Case,
    key: VerifyingKey,
    proof: InferenceProof,
    registration: RegistrationProof,
}

/// The honest cases: the accepted vectors of `spec/zk.md`, which use every op.
pub struct Corpus(Vec<Honest>);

impl Corpus {
    pub fn read() -> Self {
        let json = miniz_oxide::inflate::decompress_to_vec(&ACCEPT[HEAD..ACCEPT.len() - TAIL]).unwrap();
        let vectors: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
        let honest = vectors.iter().map(|vector| {
            let field = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
            let inferences = field("inferences");
            let mut reader = Reader::new(&inferences);
            let count = u32::decode(&mut reader).unwrap();
            let case = Case {
                name: vector["name"].as_str().unwrap().to_owned(),
                key: field("key"),
                context: field("context").try_into().unwrap(),
                inferences: (0..count)
                    .map(|_| Inference::decode(&mut reader).unwrap())
                    .collect(),
                proof: field("proof"),
                registration: field("registration"),
            };
            let key = VerifyingKey::decode_all(&case.key).unwrap();
            let variables = key.batch_variables(case.inferences.len()).unwrap();
            Honest {
                proof: InferenceProof::decode_for(&key, variables, &case.proof).unwrap(),
                registration: RegistrationProof::decode_for(&key, &case.registration).unwrap(),
                key,
                case,
            }
        });
        Self(honest.collect())
    }

    /// The honest case of a name.
    pub fn named(&self, name: &str) -> &Case {
        let honest = self.0.iter().find(|honest| honest.case.name == name);
        &honest.unwrap().case
    }

    /// The case of a seed and an index, and how many edits it has. Edits whose bit in `mask` is 0 are left out.
    pub fn altered(&self, seed: u64, index: u64, mask: u32) -> (Case, &Case) {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index);
        let honest = random.pick(&self.0);
        let donor = random.pick(&self.0);
        let mut case = honest.case.clone();
        let target = random.below(20);
        let mut edits = 1;
        while edits < EDITS && random.one_in(3) {
            edits += 1;
        }
        let mut kept: Vec<Random> = Vec::new();
        for edit in 0..edits {
            let own = Random::new(random.next());
            if mask >> edit & 1 == 1 {
                kept.push(own);
            }
        }
        match target {
            0..=6 => {
                let mut proof = honest.proof.clone();
                kept.iter_mut()
                    .for_each(|random| proof::edit_inference(random, &mut proof, &donor.proof));
                case.proof = proof.encode();
            }
            7..=10 => {
                let mut proof = honest.registration.clone();
                kept.iter_mut()
                    .for_each(|random| proof::edit_registration(random, &mut proof, &donor.registration));
                case.registration = proof.encode();
            }
            11..=14 => {
                let mut fields = KeyFields::of(&honest.key);
                let others = KeyFields::of(&donor.key);
                kept.iter_mut().for_each(|random| fields.edit(random, &others));
                case.key = fields.encode();
            }
            15 | 16 => kept.iter_mut().for_each(|random| {
                statement::edit(random, &mut case.inferences, &donor.case.inferences);
            }),
            17 => kept
                .iter_mut()
                .for_each(|random| case.context[random.below(32)] ^= 1 << random.below(8)),
            _ => kept.iter_mut().for_each(|random| match random.below(3) {
                0 => edit_bytes(random, &mut case.key, &donor.case.key),
                1 => edit_bytes(random, &mut case.proof, &donor.case.proof),
                _ => edit_bytes(random, &mut case.registration, &donor.case.registration),
            }),
        }
        (case, &honest.case)
    }
}

/// What the verifier said of the proof and of the registration; `None` when nothing of it was altered.
pub struct Verdict {
    pub proof: Option<Result<(), ProofRejection>>,
    pub registration: Option<Result<(), ProofRejection>>,
    /// Whether the key was one.
    pub has_key: bool,
}

/// Checks an altered case.
///
/// # Panics
///
/// If something is accepted that is not the honest case, refused although it is, or has another encoding.
pub fn check(case: &Case, honest: &Case) -> Verdict {
    let same_key = case.key == honest.key;
    let Ok(key) = VerifyingKey::decode_all(&case.key) else {
        assert!(!same_key, "an honest key is refused");
        return Verdict {
            proof: None,
            registration: None,
            has_key: false,
        };
    };
    assert_eq!(key.encode(), case.key, "a key has another encoding");
    if !same_key {
        for batch in [0, 1, 2, key.max_batch(), usize::MAX] {
            let _ = (
                key.security(batch),
                key.verification_gas(batch),
                key.proof_bytes_bound(batch),
            );
        }
        let _ = (key.registration_security(), key.registration_gas());
    }
    let same_statement = case.context == honest.context && case.inferences == honest.inferences;
    let same_proof = same_key && same_statement && case.proof == honest.proof;
    let same_registration = same_key && case.registration == honest.registration;
    let nothing = same_proof && same_registration;
    let proof = (nothing || !same_proof).then(|| {
        if let Ok(variables) = key.batch_variables(case.inferences.len())
            && let Ok(proof) = InferenceProof::decode_for(&key, variables, &case.proof)
        {
            assert_eq!(proof.encode(), case.proof, "a proof has another encoding");
            assert!(
                case.proof.len() <= key.proof_bytes_bound(case.inferences.len()),
                "a proof beyond its bound"
            );
        }
        let statement = Statement {
            context: case.context,
            inferences: &case.inferences,
        };
        let found = verify(&key, &statement, &case.proof);
        assert_eq!(found.is_ok(), same_proof, "verdict on a proof: {found:?}");
        found
    });
    let registration = (nothing || !same_registration).then(|| {
        if let Ok(proof) = RegistrationProof::decode_for(&key, &case.registration) {
            assert_eq!(
                proof.encode(),
                case.registration,
                "a registration has another encoding"
            );
        }
        let found = verify_registration(&key, &case.registration);
        assert_eq!(
            found.is_ok(),
            same_registration,
            "verdict on a registration: {found:?}"
        );
        found
    });
    Verdict {
        proof,
        registration,
        has_key: true,
    }
}
