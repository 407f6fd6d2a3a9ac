//! The snapshots that a node has taken: one directory each, written beside the running chain.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use haca_wire::GenesisHash;

use super::{
    Snapshot,
    chunk::{self, Entry, FORMAT, MAX_CHUNK_BYTES, MAX_CHUNKS, Metadata},
};
use crate::{error::NodeError, metrics::Metrics, store::StateView};

/// First height of a snapshot: a young network has one before anybody can miss it.
const FIRST: u64 = 8;
/// Blocks that have to follow before a snapshot is offered: the next headers prove its application hash and validators.
const SETTLED: u64 = 2;
/// Name of the file that is written last.
const METADATA: &str = "metadata";

/// When snapshots are taken, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Blocks between snapshots; 0 takes none, and keeps none of before. Before the first of them, snapshots are taken at
    /// powers of two.
    pub interval_blocks: u64,
    /// Snapshots kept, at least one.
    pub keep: usize,
    /// Bytes of entries after which a chunk is closed, at most half of [`MAX_CHUNK_BYTES`].
    pub chunk_bytes: usize,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            interval_blocks: 1_000,
            keep: 3,
            chunk_bytes: 4 << 20,
        }
    }
}

impl SnapshotPolicy {
    /// Whether a snapshot is taken at a height. It depends on the height alone, so that all nodes have the same ones.
    pub const fn is_due(&self, height: u64) -> bool {
        if self.interval_blocks == 0 || height == 0 {
            return false;
        }
        let early = height >= FIRST && height < self.interval_blocks && height.is_power_of_two();
        early || height.is_multiple_of(self.interval_blocks)
    }

    /// Whether a node at height `tip` still offers the snapshot of a height, and keeps the blocks after it. One that is
    /// twice as old as the oldest ought to be is of no use, and blocks must not pile up behind it where new ones fail.
    const fn is_current(&self, height: u64, tip: u64) -> bool {
        let kept = if self.keep == 0 { 1 } else { self.keep as u64 };
        let span = self.interval_blocks.saturating_mul(kept.saturating_add(1));
        tip.saturating_sub(height) <= span.saturating_mul(2)
    }
}

/// The snapshots in a directory.
#[derive(Debug)]
pub struct Archive {
    directory: PathBuf,
    genesis: GenesisHash,
    policy: SnapshotPolicy,
    stopping: Arc<AtomicBool>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Archive {
    /// The snapshots in `directory`, which is made when the first is taken. What an earlier run did not finish is
    /// removed, and so is every snapshot where the policy is to take none.
    pub fn open(directory: &Path, genesis: GenesisHash, policy: SnapshotPolicy) -> Self {
        let archive = Self {
            directory: directory.to_owned(),
            genesis,
            policy,
            stopping: Arc::default(),
            worker: Mutex::default(),
        };
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|name| name == "partial") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        if policy.interval_blocks == 0 {
            for height in heights(directory) {
                remove(directory, height);
            }
        }
        archive
    }

    /// Takes a snapshot beside the running chain if one is due at this height and none is being taken. The state is
    /// read from a view of the store, which later blocks do not change.
    pub fn take_if_due(&self, view: &Arc<StateView>, metrics: &Arc<Metrics>) {
        if !self.policy.is_due(view.tip().height) {
            return;
        }
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.as_ref().is_some_and(|worker| !worker.is_finished()) {
            return;
        }
        let (view, counter) = (Arc::clone(view), Arc::clone(metrics));
        let stopping = Arc::clone(&self.stopping);
        let (directory, genesis, policy) = (self.directory.clone(), self.genesis, self.policy);
        // Without a thread, or without space, there is no snapshot at this height, and the chain goes on.
        *worker = std::thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(
                move || match take(&directory, genesis, policy, &view, &stopping) {
                    Ok(()) => counter.snapshot(true),
                    Err(NodeError::EngineStopped) => {}
                    Err(error) => {
                        counter.snapshot(false);
                        report(view.tip().height, &error);
                    }
                },
            )
            .inspect_err(|_| metrics.snapshot(false))
            .ok();
    }

    /// Takes a snapshot of a state now, whatever its height.
    pub fn take(&self, view: &StateView) -> Result<(), NodeError> {
        take(&self.directory, self.genesis, self.policy, view, &self.stopping)
    }

    /// Waits until the snapshot in progress is taken.
    pub fn wait(&self) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            let _ = worker.join();
        }
    }

    /// The finished snapshots that a node at height `tip` can offer, oldest first.
    pub fn list(&self, tip: u64) -> Vec<Snapshot> {
        let heights = self.current(tip);
        heights
            .filter(|height| height.saturating_add(SETTLED) <= tip)
            .filter_map(|height| self.read(height))
            .collect()
    }

    /// Height of the oldest finished snapshot that a node at height `tip` offers.
    pub fn oldest(&self, tip: u64) -> Option<u64> {
        self.current(tip).next()
    }

    fn current(&self, tip: u64) -> impl Iterator<Item = u64> + use<'_> {
        let heights = heights(&self.directory).into_iter();
        heights.filter(move |height| self.policy.is_current(*height, tip))
    }

    fn read(&self, height: u64) -> Option<Snapshot> {
        let metadata = fs::read(place(&self.directory, height).join(METADATA)).ok()?;
        let chunks = Metadata::decode(&metadata)?.chunks.len();
        Some(Snapshot {
            height,
            format: FORMAT,
            chunks: u32::try_from(chunks).ok()?,
            hash: *blake3::hash(&metadata).as_bytes(),
            metadata,
        })
    }

    /// A chunk, or nothing if it is not here or has been damaged: whoever asks then turns to somebody else.
    pub fn chunk(&self, height: u64, format: u32, index: u32) -> Option<Vec<u8>> {
        if format != FORMAT {
            return None;
        }
        let metadata = Metadata::decode(&self.read(height)?.metadata)?;
        let expected = metadata.chunks.get(usize::try_from(index).ok()?)?;
        let bytes = fs::read(place(&self.directory, height).join(index.to_string())).ok()?;
        (blake3::hash(&bytes).as_bytes() == expected).then_some(bytes)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wait();
    }
}

fn place(directory: &Path, height: u64) -> PathBuf {
    directory.join(height.to_string())
}

/// Heights of finished snapshots in ascending order.
fn heights(directory: &Path) -> Vec<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut heights: Vec<u64> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    heights.sort_unstable();
    heights
}

/// Writes a snapshot under another name, makes it durable, and renames it.
fn take(
    directory: &Path,
    genesis: GenesisHash,
    policy: SnapshotPolicy,
    view: &StateView,
    stopping: &AtomicBool,
) -> Result<(), NodeError> {
    let height = view.tip().height;
    let (partial, whole) = (
        directory.join(format!("{height}.partial")),
        place(directory, height),
    );
    let unwritable = |source| NodeError::DataDirectory {
        path: partial.clone(),
        source,
    };
    if whole.exists() {
        return Ok(());
    }
    fs::create_dir_all(&partial).map_err(unwritable)?;
    let mut writer = Writer {
        directory: &partial,
        view,
        limit: policy.chunk_bytes.clamp(1, MAX_CHUNK_BYTES / 2),
        entries: Vec::new(),
        bytes: 0,
        chunks: Vec::new(),
    };
    let written = view
        .leaves(|key, value| {
            if stopping.load(Ordering::Relaxed) {
                return Err(NodeError::EngineStopped);
            }
            writer.entry(key, value)
        })
        .and_then(|()| writer.close());
    let finished = written.and_then(|()| {
        let metadata = Metadata {
            genesis,
            app_hash: view.tip().app_hash,
            chunks: writer.chunks,
        };
        write_durably(&partial.join(METADATA), &metadata.encode())?;
        fs::rename(&partial, &whole).map_err(unwritable)
    });
    if let Err(error) = finished {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    let kept = heights(directory);
    let gone = kept.len().saturating_sub(policy.keep.max(1));
    for height in kept.into_iter().take(gone) {
        remove(directory, height);
    }
    Ok(())
}

/// Removes a finished snapshot. A directory that cannot be removed is no longer whole, or no longer current soon.
fn remove(directory: &Path, height: u64) {
    let _ = fs::remove_dir_all(place(directory, height));
}

fn report(height: u64, error: &NodeError) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "no snapshot at height {height}: {}", error.line());
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), NodeError> {
    let attempt = || {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    attempt().map_err(|source| NodeError::DataDirectory {
        path: path.to_owned(),
        source,
    })
}

/// Cuts entries into chunks; never holds more than one.
struct Writer<'a> {
    directory: &'a Path,
    view: &'a StateView,
    limit: usize,
    entries: Vec<Entry>,
    bytes: usize,
    chunks: Vec<[u8; 32]>,
}

impl Writer<'_> {
    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), NodeError> {
        let bytes = chunk::entry_bytes(key, value);
        if self.bytes.saturating_add(bytes) > self.limit && !self.entries.is_empty() {
            self.close()?;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), NodeError> {
        let Some((last, _)) = self.entries.last() else {
            return Ok(());
        };
        let bytes = chunk::encode(&self.entries, &self.view.range_proof(last)?);
        if bytes.len() > MAX_CHUNK_BYTES || self.chunks.len() == MAX_CHUNKS {
            return Err(NodeError::Encoding {
                what: "snapshot",
                reason: format!("chunk {} has {} bytes", self.chunks.len(), bytes.len()),
            });
        }
        write_durably(&self.directory.join(self.chunks.len().to_string()), &bytes)?;
        self.chunks.push(*blake3::hash(&bytes).as_bytes());
        self.entries.clear();
        self.bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_due_early_and_then_at_intervals() {
        let policy = SnapshotPolicy {
            interval_blocks: 100,
            ..SnapshotPolicy::default()
        };
        let due: Vec<u64> = (0..=320).filter(|height| policy.is_due(*height)).collect();
        assert_eq!(due, [8, 16, 32, 64, 100, 200, 300]);
        let never = SnapshotPolicy {
            interval_blocks: 0,
            ..policy
        };
        assert!((0..1000).all(|height| !never.is_due(height)));
        assert!((1..1000).all(|tip| !never.is_current(0, tip)));
        // Three are kept, and a fourth is being taken.
        assert!(policy.is_current(100, 900) && !policy.is_current(100, 901));
    }
}
