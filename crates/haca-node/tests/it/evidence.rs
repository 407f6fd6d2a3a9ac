//! The verifier behind the ledger: what it keeps changes no answer.

use haca_ledger::CheckProof as _;
use haca_node::{evidence::ZkEvidence, key_memory::KeyLimits};
use haca_verify::ZkChecker;
use haca_wire::{Decode as _, Gas, Inference, ModelId, codec::Reader};
use serde_json::Value;

/// Proofs of `spec/zk.md`.
const ACCEPT: &[u8] = include_bytes!("../../../../spec/vectors/zk/accept.json.gz");
/// Head and tail of a gzip file without a name.
const HEAD: usize = 10;
const TAIL: usize = 8;

struct Case {
    key: Vec<u8>,
    registration: Vec<u8>,
    context: [u8; 32],
    inferences: Vec<Inference>,
    proof: Vec<u8>,
}

/// The smallest cases.
fn cases(count: usize) -> Vec<Case> {
    let json = miniz_oxide::inflate::decompress_to_vec(&ACCEPT[HEAD..ACCEPT.len() - TAIL]).unwrap();
    let vectors: Vec<Value> = serde_json::from_slice(&json).unwrap();
    let bytes = |vector: &Value, name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
    let case = |vector: &Value| {
        let encoded = bytes(vector, "inferences");
        let mut reader = Reader::new(&encoded);
        let inferences = u32::decode(&mut reader).unwrap();
        Case {
            key: bytes(vector, "key"),
            registration: bytes(vector, "registration"),
            context: bytes(vector, "context").try_into().unwrap(),
            inferences: (0..inferences)
                .map(|_| Inference::decode(&mut reader).unwrap())
                .collect(),
            proof: bytes(vector, "proof"),
        }
    };
    let mut cases: Vec<Case> = vectors.iter().map(case).collect();
    cases.sort_by_key(|case| case.proof.len());
    cases.dedup_by(|a, b| a.key == b.key);
    cases.truncate(count);
    assert_eq!(cases.len(), count);
    cases
}

/// All that can be asked about a case.
type Answers = (
    Result<(ModelId, Vec<Gas>), &'static str>,
    Result<Gas, &'static str>,
    Result<(), &'static str>,
    Result<(), &'static str>,
);

fn ask(evidence: &ZkEvidence, case: &Case) -> Answers {
    (
        evidence
            .facts(&case.key)
            .map(|facts| (facts.model, facts.batch_gas)),
        evidence.registration_gas(&case.key),
        evidence.registration(&case.key, &case.registration),
        evidence.settlement(&case.key, &case.context, &case.inferences, &case.proof),
    )
}

fn ask_anew(case: &Case) -> Answers {
    (
        ZkChecker
            .facts(&case.key)
            .map(|facts| (facts.model, facts.batch_gas)),
        ZkChecker.registration_gas(&case.key),
        ZkChecker.registration(&case.key, &case.registration),
        ZkChecker.settlement(&case.key, &case.context, &case.inferences, &case.proof),
    )
}

const fn limits(keys: usize, bytes: usize, answers: usize) -> KeyLimits {
    KeyLimits { keys, bytes, answers }
}

#[test]
fn answers_do_not_depend_on_the_keys_that_are_kept() {
    let mut cases = cases(3);
    let mut forged = cases[0].proof.clone();
    forged[40] ^= 1;
    let first = &cases[0];
    let honest = ask_anew(first);
    assert!(
        honest.0.is_ok() && honest.2.is_ok() && honest.3.is_ok(),
        "{honest:?}"
    );
    let with = |key: &[u8], proof: &[u8]| Case {
        key: key.to_vec(),
        registration: first.registration.clone(),
        context: first.context,
        inferences: first.inferences.clone(),
        proof: proof.to_vec(),
    };
    let mut malformed = first.key.clone();
    malformed.push(0);
    let altered = [
        with(&first.key, &forged),
        with(&cases[1].key, &first.proof),
        with(&malformed, &first.proof),
    ];
    cases.extend(altered);
    let expected: Vec<Answers> = cases.iter().map(ask_anew).collect();
    assert!(expected[3].3.is_err() && expected[4].3.is_err() && expected[5].1.is_err());
    for limits in [
        limits(0, 0, 0),
        limits(1, 1 << 30, 1),
        limits(8, 1, 0),
        limits(0, 0, 8),
        KeyLimits::default(),
    ] {
        let evidence = ZkEvidence::new(limits);
        for _ in 0..2 {
            let found: Vec<Answers> = cases.iter().map(|case| ask(&evidence, case)).collect();
            assert_eq!(found, expected, "{limits:?}");
        }
    }
}
