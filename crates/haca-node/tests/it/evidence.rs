//! The verifier behind the ledger: what it keeps changes no answer.

use std::sync::Arc;

use haca_ledger::{BlockContext, CheckProof, LATEST_VERSION, ModelFacts, execute_block};
use haca_node::{
    application::{Application as _, InitChain},
    evidence::ZkEvidence,
    evidence_ahead::EvidenceAhead,
    evidence_memory::{EvidenceLimits, EvidenceMemory},
    key_memory::KeyLimits,
    ledger_app::Committed,
};
use haca_verify::ZkChecker;
use haca_wire::{Decode as _, Gas, Height, Inference, Message, ModelId, SignedTransaction, codec::Reader};
use serde_json::Value;

use super::ledger::{app, network, signed};

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

/// The verifier of a node, which the test looks into.
struct Watched(Arc<ZkEvidence>);

impl CheckProof for Watched {
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str> {
        self.0.facts(verifying_key)
    }
    fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, &'static str> {
        self.0.registration_gas(verifying_key)
    }
    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        self.0.registration(verifying_key, proof)
    }
    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        self.0.settlement(verifying_key, context, inferences, proof)
    }
}

/// What is done ahead of a block, on all threads, is all that there is to do about keys, even if none has room.
#[test]
fn executing_registrations_decodes_no_key_again() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path(), 1);
    let app = app(directory.path(), &genesis);
    let start = InitChain {
        chain_id: genesis.chain_id.to_string(),
        initial_height: 1,
        validators: genesis.validators.members(),
    };
    app.init_chain(&start).unwrap();
    let view = app.store().view().unwrap();
    let txs: Vec<Vec<u8>> = cases(2)
        .into_iter()
        .zip(1..)
        .map(|(case, number)| {
            let message = Message::RegisterModel {
                verifying_key: case.key,
                proof: case.registration,
            };
            signed(&genesis, [number; 32], 300, message)
        })
        .collect();
    let decoded = txs.iter().map(|tx| SignedTransaction::decode_all(tx).unwrap());

    let zk = Arc::new(ZkEvidence::new(limits(256, 0, 256)));
    let checker = Box::new(Watched(Arc::clone(&zk)));
    let memory = EvidenceMemory::new(checker, Arc::default(), EvidenceLimits::default());
    let memory = Arc::new(memory);
    EvidenceAhead::start(Arc::clone(&memory), 2).run_all(&view, decoded.collect());
    let ahead = zk.decoded();
    assert!(ahead >= 2, "{ahead} keys");
    let context = BlockContext {
        height: Height(1),
        proposer: [0; 20],
        time_unix_s: 1,
        votes: Vec::new(),
        misbehaviour: Vec::new(),
        known_version: LATEST_VERSION,
    };
    let outcome = execute_block(&Committed(&view), &context, &txs, memory.as_ref()).unwrap();
    for tx in &outcome.txs {
        assert_eq!(tx.code(), 0, "{}", tx.log());
    }
    assert_eq!(zk.decoded(), ahead, "keys were decoded again");
}
