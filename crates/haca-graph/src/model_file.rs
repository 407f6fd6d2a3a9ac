//! The `.haca` file: manifest, weights and biases.

use haca_wire::{Decode, DecodeError, Encode, Reader};

use crate::{Manifest, Parameters};

/// The bytes a model file begins with.
const MAGIC: [u8; 8] = *b"HACAMDL1";

/// A model with its weights. The owner keeps it; only the manifest and commitments are published.
///
/// The encoding is `HACAMDL1`, the manifest, the parameters, and the BLAKE3 hash of all these bytes, so that a
/// damaged file is told from a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// What is public.
    pub manifest: Manifest,
    /// The weights and biases.
    pub parameters: Parameters,
}

impl Encode for ModelFile {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let start = out.len();
        MAGIC.encode_into(out);
        self.manifest.encode_into(out);
        self.parameters.encode_into(out);
        let hash = blake3::hash(out.get(start..).unwrap_or_default());
        hash.as_bytes().encode_into(out);
    }
}

impl Decode for ModelFile {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut whole = reader.clone();
        if reader.array()? != MAGIC {
            return Err(DecodeError::Invalid {
                what: "model file magic",
            });
        }
        let manifest = Manifest::decode(reader)?;
        let parameters = Parameters::decode_for(&manifest.graph, reader)?;
        let body = whole.take(whole.remaining().saturating_sub(reader.remaining()))?;
        if reader.array()? != *blake3::hash(body).as_bytes() {
            return Err(DecodeError::Invalid {
                what: "model file checksum",
            });
        }
        Ok(Self { manifest, parameters })
    }
}
