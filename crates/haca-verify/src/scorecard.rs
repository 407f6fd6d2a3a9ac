//! The scorecard: one file that proves how many samples of a committed test set a model labels right. Steps S1 to S8
//! of `spec/verify.md`.
//!
//! It holds the verifying key, the registration proof, the quantised samples with their labels, the model's outputs
//! and the proofs for them. Each proof absorbs the root of the whole test set, its size and the range of samples that
//! the proof covers, so that it stands for these samples with these labels at this place and for nothing else.

mod verification;

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use haca_graph::Graph;
use haca_wire::codec::{put_bytes, put_list};
use haca_wire::limit::{BUNDLE_BYTES, PROOF_BYTES, TENSORS, VERIFYING_KEY_BYTES};
use haca_wire::{Decode, DecodeError, Encode, Reader, Tensor, TensorSpec, codec_struct};
use haca_zk::VerifyingKey;
use haca_zk::public::arg_max;

use crate::VerifyError;

pub use verification::{ScoredModel, hint, verify};

/// The first bytes of every scorecard: what it is, and version 1 of the form.
pub const MAGIC: [u8; 8] = *b"HACASCR1";
/// What all versions of the form begin with.
const KIND: &[u8] = b"HACASCR";
/// Bytes of a scorecard.
pub const BYTES: usize = BUNDLE_BYTES;
/// Samples of a test set.
pub const SAMPLES: usize = 1 << 17;

/// The commitment to a test set: samples and labels, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestSetRoot(pub [u8; 32]);

impl fmt::Display for TestSetRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl FromStr for TestSetRoot {
    type Err = VerifyError;

    /// 64 hexadecimal digits, with or without `0x`.
    fn from_str(text: &str) -> Result<Self, VerifyError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = [0; 32];
        match hex::decode_to_slice(digits, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(VerifyError::TestSetRoot {
                found: digits.len(),
                expected: 64,
            }),
        }
    }
}

/// A sample as the model reads it, and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestSample {
    /// Input tensors, in the order of the graph.
    pub inputs: Vec<Tensor>,
    /// The class that is right. One that the model has no output for counts as never predicted.
    pub label: i64,
}

impl Encode for TestSample {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.inputs);
        self.label.encode_into(out);
    }
}

impl Decode for TestSample {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            inputs: reader.list("input tensors", TENSORS)?,
            label: i64::decode(reader)?,
        })
    }
}

/// Step S4: the root of a test set. The inputs are integers in steps of the model's input scales.
pub fn test_set_root(samples: &[TestSample]) -> TestSetRoot {
    let mut hasher = blake3::Hasher::new_derive_key("haca v1 test set");
    hasher.update(&u32::try_from(samples.len()).unwrap_or(u32::MAX).to_le_bytes());
    let mut bytes = Vec::new();
    for sample in samples {
        bytes.clear();
        sample.encode_into(&mut bytes);
        hasher.update(&bytes);
    }
    TestSetRoot(*hasher.finalize().as_bytes())
}

/// Step S6: what the proof of a range of samples absorbs.
pub fn context(root: &TestSetRoot, total: u32, range: &Range<u32>) -> [u8; 32] {
    let mut bytes = root.0.to_vec();
    total.encode_into(&mut bytes);
    range.start.encode_into(&mut bytes);
    range.end.encode_into(&mut bytes);
    blake3::derive_key("haca v1 scorecard", &bytes)
}

/// Step S3: how many classes a graph tells apart: the elements of its first output, which lie along one axis. `None`
/// when the first output is no such vector of two elements or more.
pub fn class_count(graph: &Graph) -> Option<usize> {
    let (_, spec) = graph.outputs().first()?;
    let longest = spec.shape.dims().iter().max().copied()?;
    let elements = spec.shape.elements();
    (elements > 1 && usize::try_from(longest) == Ok(elements)).then_some(elements)
}

/// Whether bytes begin as a scorecard of any version does.
pub fn is_scorecard(bytes: &[u8]) -> bool {
    bytes.starts_with(KIND)
}

/// Step S7: the class that outputs say: the index of the largest element of the first one; ties go to the lowest.
pub fn predicted_class(outputs: &[Tensor]) -> Option<i64> {
    let values = outputs.first()?.values();
    arg_max(values, values.len()).first().copied()
}

/// The outputs of one inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs(pub Vec<Tensor>);

impl Encode for Outputs {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.0);
    }
}

impl Decode for Outputs {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.list("output tensors", TENSORS)?))
    }
}

/// Outputs for consecutive samples, and one proof for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Index of the first sample.
    pub start: u32,
    /// One entry per sample.
    pub outputs: Vec<Outputs>,
    /// The proof, in the context of [`context`].
    pub proof: Vec<u8>,
}

impl Encode for Batch {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.start.encode_into(out);
        put_list(out, &self.outputs);
        put_bytes(out, &self.proof);
    }
}

impl Decode for Batch {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            start: u32::decode(reader)?,
            outputs: reader.list("outputs of a batch", haca_wire::limit::ITEMS)?,
            proof: reader.bytes("proof", PROOF_BYTES)?,
        })
    }
}

/// What a scorecard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Samples whose label the model predicts.
    pub correct: u32,
    /// Samples.
    pub total: u32,
}
codec_struct!(Score { correct, total });

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.correct, self.total)
    }
}

/// Step S7: what outputs and labels say. The outputs of the batches are those of the samples, in order.
pub fn score(samples: &[TestSample], batches: &[Batch]) -> Score {
    let outputs = batches.iter().flat_map(|batch| &batch.outputs);
    let right = samples
        .iter()
        .zip(outputs)
        .filter(|(sample, outputs)| predicted_class(&outputs.0) == Some(sample.label));
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Score {
        correct: number(right.count()),
        total: number(samples.len()),
    }
}

/// The file. Decoding bounds every length; it does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scorecard {
    /// Encoded verifying key of the model.
    pub verifying_key: Vec<u8>,
    /// Proof that the committed weights lie in their declared ranges.
    pub registration: Vec<u8>,
    /// Root of the samples.
    pub root: TestSetRoot,
    /// The claim.
    pub score: Score,
    /// The test set.
    pub samples: Vec<TestSample>,
    /// The samples `0..total`, in order, cut into batches.
    pub batches: Vec<Batch>,
}

impl Scorecard {
    /// Step S1, then the inputs of the model that the scorecard is about.
    ///
    /// # Errors
    ///
    /// When scorecard or verifying key is not the canonical encoding of one.
    pub fn inputs(bytes: &[u8]) -> Result<Vec<TensorSpec>, DecodeError> {
        let scorecard = Self::decode_all(bytes)?;
        let key = VerifyingKey::decode_all(&scorecard.verifying_key)?;
        Ok(key.manifest().graph.inputs().to_vec())
    }
}

impl Encode for Scorecard {
    fn encode_into(&self, out: &mut Vec<u8>) {
        MAGIC.encode_into(out);
        put_bytes(out, &self.verifying_key);
        put_bytes(out, &self.registration);
        self.root.0.encode_into(out);
        self.score.encode_into(out);
        put_list(out, &self.samples);
        put_list(out, &self.batches);
    }
}

impl Decode for Scorecard {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let found = reader.remaining();
        if found > BYTES {
            return Err(DecodeError::TooLong {
                what: "scorecard",
                found,
                expected: BYTES,
            });
        }
        if reader.array()? != MAGIC {
            return Err(DecodeError::Invalid {
                what: "magic of a scorecard of version 1",
            });
        }
        Ok(Self {
            verifying_key: reader.bytes("verifying key", VERIFYING_KEY_BYTES)?,
            registration: reader.bytes("registration proof", PROOF_BYTES)?,
            root: TestSetRoot(reader.array()?),
            score: Score::decode(reader)?,
            samples: reader.list("samples", SAMPLES)?,
            batches: reader.list("batches", SAMPLES)?,
        })
    }
}
