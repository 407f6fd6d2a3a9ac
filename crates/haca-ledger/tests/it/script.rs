//! A proof system of the tests' own: a proof is the hash of what it proves, so it holds for that and nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};

use haca_ledger::{CheckProof, ModelFacts};
use haca_wire::Decode;
use haca_wire::{DType, Encode, Gas, Inference, ModelId, Name, Scale, Shape, TensorSpec, codec_struct};
use sha2::{Digest, Sha256};

/// The gas of a key whose outline is that of one, and which is none.
pub(crate) const HOLLOW: Gas = Gas(999);

/// The tests' verifying key. An answer has as many bytes as the model has units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) model: ModelId,
    pub(crate) units: u64,
    pub(crate) max_batch: u32,
    pub(crate) gas: Gas,
}
codec_struct!(Key {
    model,
    units,
    max_batch,
    gas
});

impl Key {
    pub(crate) fn new(tag: u8) -> Self {
        Self {
            model: ModelId([tag; 32]),
            units: 1_000 + u64::from(tag),
            max_batch: 4,
            gas: Gas(100),
        }
    }

    pub(crate) fn registration_proof(&self) -> Vec<u8> {
        hash(&[b"registration", &self.encode()])
    }

    pub(crate) fn settlement_proof(&self, context: &[u8; 32], inferences: &[Inference]) -> Vec<u8> {
        let tensors: Vec<u8> = inferences.iter().flat_map(Encode::encode).collect();
        hash(&[b"settlement", &self.encode(), context, &tensors])
    }
}

/// The outputs of every model here.
pub(crate) fn outputs() -> Vec<TensorSpec> {
    vec![TensorSpec {
        name: Name::new("y").unwrap(),
        dtype: DType::I8,
        shape: Shape::new(vec![1]).unwrap(),
        scale: Scale::ONE,
    }]
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

/// Verifies the tests' proofs and counts how often it is asked to.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) verified: AtomicUsize,
    pub(crate) decoded: AtomicUsize,
}

impl Script {
    pub(crate) fn count(&self) -> usize {
        self.verified.load(Ordering::Relaxed)
    }

    /// How often it decoded a verifying key to tell what it says.
    pub(crate) fn decoded(&self) -> usize {
        self.decoded.load(Ordering::Relaxed)
    }

    fn decode(&self, verifying_key: &[u8]) -> Option<Key> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        Key::decode_all(verifying_key).ok()
    }
}

impl CheckProof for Script {
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str> {
        let key = self.decode(verifying_key).ok_or("script.key")?;
        if key.gas == HOLLOW {
            return Err("script.hollow");
        }
        Ok(ModelFacts {
            model: key.model,
            units: key.units,
            max_batch: key.max_batch as usize,
            batch_gas: (0..3)
                .map(|class| Gas(key.gas.0.saturating_mul(1 << class)))
                .collect(),
            answer_bytes: key.units,
            outputs: outputs(),
        })
    }

    fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, &'static str> {
        let key = Key::decode_all(verifying_key).map_err(|_| "script.key")?;
        Ok(key.gas)
    }

    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        self.verified.fetch_add(1, Ordering::Relaxed);
        let key = Key::decode_all(verifying_key).map_err(|_| "script.key")?;
        (proof == key.registration_proof())
            .then_some(())
            .ok_or("script.proof")
    }

    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str> {
        self.verified.fetch_add(1, Ordering::Relaxed);
        let key = Key::decode_all(verifying_key).map_err(|_| "script.key")?;
        (proof == key.settlement_proof(context, inferences))
            .then_some(())
            .ok_or("script.proof")
    }
}
