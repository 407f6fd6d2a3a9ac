//! The headers that a light client has verified, on disk: where it starts next time.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use haca_verify::{Checkpoint, header_facts};
use haca_wire::bundle::LightBlock;
use haca_wire::codec::{Decode, DecodeError, Encode, Reader, put_list};
use haca_wire::{GenesisHash, limit};

use crate::ClientError;

/// The first bytes of every trust store, version 1.
const MAGIC: [u8; 8] = *b"HACATRS1";
/// Headers kept, the newest. More than one, so that a fork below the newest can still be traced to a header from before.
const KEPT: usize = 8;

/// Verified headers of one network, the newest last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustStore {
    path: PathBuf,
    trust: GenesisHash,
    blocks: Vec<LightBlock>,
}

/// What the file holds.
struct Content {
    trust: GenesisHash,
    blocks: Vec<LightBlock>,
}

impl Encode for Content {
    fn encode_into(&self, out: &mut Vec<u8>) {
        MAGIC.encode_into(out);
        self.trust.encode_into(out);
        put_list(out, &self.blocks);
    }
}

impl Decode for Content {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if <[u8; 8]>::decode(reader)? != MAGIC {
            return Err(DecodeError::Invalid { what: "magic" });
        }
        Ok(Self {
            trust: Decode::decode(reader)?,
            blocks: reader.list("light blocks", KEPT)?,
        })
    }
}

impl TrustStore {
    /// Reads the store of a network; an empty one where there is no file yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::TrustStore`] when the file can't be read, is damaged, or belongs to another network. A damaged
    /// store is never taken for an empty one: that would start trust anew without a word.
    pub fn open(path: &Path, trust: GenesisHash) -> Result<Self, ClientError> {
        let failed = |reason: String| ClientError::TrustStore {
            path: path.display().to_string(),
            reason,
        };
        let mut store = Self {
            path: path.to_owned(),
            trust,
            blocks: Vec::new(),
        };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(store),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut bytes = Vec::new();
        let most = limit::BUNDLE_BYTES as u64;
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(error.to_string()))?;
        let content = Content::decode_all(&bytes).map_err(|error| failed(error.to_string()))?;
        if content.trust != trust {
            return Err(failed(format!(
                "it is of the network {}, not {trust}",
                content.trust
            )));
        }
        for block in &content.blocks {
            header_facts(block).map_err(|error| failed(error.to_string()))?;
        }
        store.blocks = content.blocks;
        Ok(store)
    }

    /// The newest verified header.
    pub fn head(&self) -> Option<Checkpoint> {
        self.blocks.last().and_then(checkpoint)
    }

    /// The verified headers, oldest first.
    pub fn blocks(&self) -> &[LightBlock] {
        &self.blocks
    }

    /// Adds a header that was verified from the newest, and writes the file; does nothing when it is not newer.
    pub fn remember(&mut self, block: &LightBlock) -> Result<(), ClientError> {
        let Some(new) = checkpoint(block) else {
            return Ok(());
        };
        if self.head().is_some_and(|head| head.height >= new.height) {
            return Ok(());
        }
        let drop = (self.blocks.len() + 1).saturating_sub(KEPT);
        self.blocks.drain(..drop);
        self.blocks.push(block.clone());
        self.write().map_err(|error| ClientError::TrustStore {
            path: self.path.display().to_string(),
            reason: error.to_string(),
        })
    }

    /// Writes under another name first: whoever is killed leaves the old store or the new one.
    fn write(&self) -> std::io::Result<()> {
        let content = Content {
            trust: self.trust,
            blocks: self.blocks.clone(),
        };
        let fresh = self.path.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&content.encode())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)
    }
}

pub(crate) fn checkpoint(block: &LightBlock) -> Option<Checkpoint> {
    let (height, hash, _) = header_facts(block).ok()?;
    Some(Checkpoint { height, hash })
}
