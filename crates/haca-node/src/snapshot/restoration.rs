//! A snapshot of others on its way into the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use haca_wire::GenesisHash;

use super::{
    Applied, Offered, Snapshot,
    chunk::{self, FORMAT, Metadata},
};
use crate::{
    application::AppHash,
    error::NodeError,
    store::{RestoreError, Store, Tip, TreeRestore},
};

/// The restoration in progress, if there is one.
#[derive(Debug, Default)]
pub struct Restoration(Mutex<Option<Progress>>);

#[derive(Debug)]
struct Progress {
    chunks: Vec<chunk::ChunkHash>,
    next: usize,
    tree: TreeRestore,
}

impl Restoration {
    fn lock(&self) -> MutexGuard<'_, Option<Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an offer. `app_hash` is what the chain agreed on for the height, as a light client has verified it. An
    /// offer that is accepted drops whatever an earlier one has brought.
    pub fn offer(
        &self,
        store: &Store,
        genesis: GenesisHash,
        snapshot: &Snapshot,
        app_hash: &[u8],
    ) -> Result<Offered, NodeError> {
        if snapshot.format != FORMAT {
            return Ok(Offered::RejectFormat);
        }
        let Ok(trusted) = AppHash::try_from(app_hash) else {
            return Ok(Offered::Reject);
        };
        let metadata = match Metadata::decode(&snapshot.metadata) {
            Some(metadata) if *blake3::hash(&snapshot.metadata).as_bytes() == snapshot.hash => metadata,
            _ => return Ok(Offered::RejectSender),
        };
        let counted = u32::try_from(metadata.chunks.len()) == Ok(snapshot.chunks);
        if !counted || metadata.genesis != genesis || metadata.app_hash != trusted {
            return Ok(Offered::RejectSender);
        }
        let tip = Tip {
            height: snapshot.height,
            app_hash: trusted,
        };
        let mut progress = self.lock();
        *progress = None;
        let Some(tree) = store.begin_restore(tip)? else {
            return Ok(Offered::Abort);
        };
        *progress = Some(Progress {
            chunks: metadata.chunks,
            next: 0,
            tree,
        });
        Ok(Offered::Accept)
    }

    /// Stores a chunk. The last one makes the state whole; its root is compared before the node uses it.
    pub fn apply(&self, store: &Store, index: u32, bytes: &[u8]) -> Result<Applied, NodeError> {
        let mut place = self.lock();
        let Some(progress) = place.as_mut() else {
            return Ok(Applied::Abort);
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index < progress.next {
            return Ok(Applied::Accept);
        }
        let Some(expected) = progress.chunks.get(index) else {
            return Ok(Applied::Refetch);
        };
        if index > progress.next {
            return Ok(Applied::Needs(u32::try_from(progress.next).unwrap_or(u32::MAX)));
        }
        if blake3::hash(bytes).as_bytes() != expected {
            return Ok(Applied::Refetch);
        }
        // From here on the bytes are what the snapshot announced: a fault is the snapshot's.
        let Some((entries, proof)) = chunk::decode(bytes) else {
            return reject(&mut place, store);
        };
        match store.restore_chunk(&progress.tree, entries, &proof) {
            Ok(()) => progress.next = progress.next.saturating_add(1),
            Err(RestoreError::Untrue) => return reject(&mut place, store),
            Err(RestoreError::Store(error)) => return Err(error),
        }
        if progress.next < progress.chunks.len() {
            return Ok(Applied::Accept);
        }
        match store.finish_restore(&progress.tree) {
            Ok(()) => {
                *place = None;
                Ok(Applied::Accept)
            }
            Err(RestoreError::Untrue) => reject(&mut place, store),
            Err(RestoreError::Store(error)) => Err(error),
        }
    }
}

fn reject(place: &mut Option<Progress>, store: &Store) -> Result<Applied, NodeError> {
    *place = None;
    store.abandon_restore()?;
    Ok(Applied::RejectSnapshot)
}
