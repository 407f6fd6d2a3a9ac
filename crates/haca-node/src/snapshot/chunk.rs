//! The bytes of a snapshot: metadata and chunks. Step numbers are those of `spec/snapshot.md`.

use haca_wire::GenesisHash;

use crate::application::AppHash;

/// Number of this encoding.
pub const FORMAT: u32 = 1;
/// Largest chunk in bytes; CometBFT hands on 16,000,000.
pub const MAX_CHUNK_BYTES: usize = 8 << 20;
/// Most chunks of a snapshot: 256 GiB of state in the usual chunks, 2 MiB of metadata.
pub const MAX_CHUNKS: usize = 1 << 16;
/// Largest proof of a chunk: 256 siblings, each with its kind and two hashes.
const MAX_PROOF_BYTES: usize = 256 * 80;
/// Digest of a chunk.
pub(super) type ChunkHash = [u8; 32];
/// A key with its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// What a snapshot's chunks have to be (S2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The network.
    pub genesis: GenesisHash,
    /// Root of the state.
    pub app_hash: AppHash,
    /// BLAKE3 of each chunk.
    pub chunks: Vec<ChunkHash>,
}

impl Metadata {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.genesis.0.to_vec();
        bytes.extend_from_slice(&self.app_hash);
        bytes.extend(self.chunks.iter().flatten());
        bytes
    }

    /// Reads the bytes; `None` if they are no metadata.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (genesis, rest) = bytes.split_first_chunk::<32>()?;
        let (app_hash, rest) = rest.split_first_chunk::<32>()?;
        let (chunks, rest) = rest.as_chunks::<32>();
        if !rest.is_empty() || chunks.is_empty() || chunks.len() > MAX_CHUNKS {
            return None;
        }
        Some(Self {
            genesis: GenesisHash(*genesis),
            app_hash: *app_hash,
            chunks: chunks.to_vec(),
        })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (part, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// Bytes that an entry takes in a chunk.
pub(super) const fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    8 + key.len() + value.len()
}

/// Writes a chunk (S3).
pub(super) fn encode(entries: &[Entry], proof: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, proof);
    for (key, value) in entries {
        put(&mut bytes, key);
        put(&mut bytes, value);
    }
    bytes
}

/// Reads a chunk: its entries and the proof; `None` if the bytes are no chunk.
pub(super) fn decode(mut bytes: &[u8]) -> Option<(Vec<Entry>, Vec<u8>)> {
    if bytes.len() > MAX_CHUNK_BYTES {
        return None;
    }
    let proof = take(&mut bytes).filter(|proof| proof.len() <= MAX_PROOF_BYTES)?;
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let key = take(&mut bytes).filter(|key| !key.is_empty())?;
        entries.push((key.to_vec(), take(&mut bytes)?.to_vec()));
    }
    (!entries.is_empty()).then(|| (entries, proof.to_vec()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_decodes_is_what_was_encoded(
            entries in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 1..9), proptest::collection::vec(any::<u8>(), 0..9)),
                1..9,
            ),
            proof in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let bytes = encode(&entries, &proof);
            prop_assert_eq!(decode(&bytes), Some((entries, proof)));
            // The last entry has a length, so that nothing shorter or longer passes.
            prop_assert_eq!(decode(bytes.get(..bytes.len() - 1).unwrap()), None);
            prop_assert_eq!(decode(&[bytes, vec![0]].concat()), None);
        }

        #[test]
        fn accepted_bytes_are_encoded_again_in_the_same_way(bytes in proptest::collection::vec(0..4_u8, 0..64)) {
            if let Some((entries, proof)) = decode(&bytes) {
                prop_assert_eq!(encode(&entries, &proof), bytes.clone());
            }
            if let Some(metadata) = Metadata::decode(&bytes) {
                prop_assert_eq!(metadata.encode(), bytes);
            }
        }
    }

    #[test]
    fn metadata_has_whole_hashes_and_at_least_one_chunk() {
        let metadata = Metadata {
            genesis: GenesisHash([1; 32]),
            app_hash: [2; 32],
            chunks: vec![[3; 32], [4; 32]],
        };
        let bytes = metadata.encode();
        assert_eq!(Metadata::decode(&bytes), Some(metadata));
        assert_eq!(Metadata::decode(bytes.get(..64).unwrap()), None);
        assert_eq!(Metadata::decode(bytes.get(..100).unwrap()), None);
        assert_eq!(Metadata::decode(&vec![0; 64 + 32 * (MAX_CHUNKS + 1)]), None);
    }
}
