//! Filling an empty store from a snapshot, chunk by chunk, each in one durable transaction.
//!
//! Until the last chunk has come and the root is right, the store has no committed height: a node that is killed in
//! between finds an empty store, drops what had come, and starts over.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use jmt::{
    JellyfishMerkleTree, KeyHash, OwnedValue, RootHash,
    restore::{JellyfishMerkleRestore, StateSnapshotReceiver as _},
    storage::{Node, NodeBatch, NodeKey, TreeWriter},
};
use redb::{ReadableDatabase as _, WriteTransaction};
use sha2::Sha256;

use super::{META, Store, Tip, record, tree};
use crate::error::NodeError;

/// Height of a restoration in progress.
const RESTORING: &str = "restoring";
/// Height that the store was restored at.
pub(super) const RESTORED: &str = "restored";

/// Why a chunk was not stored.
#[derive(Debug)]
pub enum RestoreError {
    /// It is not part of the state that was announced.
    Untrue,
    /// The store failed.
    Store(NodeError),
}

impl<E: Into<NodeError>> From<E> for RestoreError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// What the library's restoration writes, until it goes to the store.
#[derive(Default)]
struct Buffer(Mutex<Vec<(NodeKey, Node)>>);

impl TreeWriter for Buffer {
    fn write_node_batch(&self, batch: &NodeBatch) -> anyhow::Result<()> {
        let nodes = batch.nodes().iter();
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.extend(nodes.map(|(key, node)| (key.clone(), node.clone())));
        Ok(())
    }
}

type Proof = jmt::proof::SparseMerkleRangeProof<Sha256>;
type Nodes = Vec<(NodeKey, Node)>;

/// Leaves with the proof that they are the next ones; nothing when there are no more.
struct Job {
    leaves: Option<(Vec<(KeyHash, OwnedValue)>, Proof)>,
    reply: mpsc::Sender<Option<Nodes>>,
}

/// The tree that grows with the chunks. The library's state can't leave its thread, so it has one.
#[derive(Debug)]
pub struct TreeRestore {
    tip: Tip,
    jobs: mpsc::Sender<Job>,
}

impl TreeRestore {
    fn start(tip: Tip) -> Result<Self, NodeError> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("restore".to_owned())
            .spawn(move || grow(tip, &inbox))
            .map_err(|error| NodeError::Encoding {
                what: "snapshot",
                reason: format!("no thread to restore it: {error}"),
            })?;
        Ok(Self { tip, jobs })
    }

    /// The tree's new nodes, if the leaves are true. A thread that ended did so over a chunk of the sender's making.
    fn ask(&self, leaves: Option<(Vec<(KeyHash, OwnedValue)>, Proof)>) -> Result<Nodes, RestoreError> {
        let (reply, answer) = mpsc::channel();
        let sent = self.jobs.send(Job { leaves, reply });
        sent.map_err(|_| RestoreError::Untrue)?;
        answer.recv().ok().flatten().ok_or(RestoreError::Untrue)
    }
}

fn grow(tip: Tip, inbox: &mpsc::Receiver<Job>) {
    let buffer = Arc::new(Buffer::default());
    let root = RootHash(tip.app_hash);
    let Ok(mut tree) = JellyfishMerkleRestore::<Sha256>::new_overwrite(Arc::clone(&buffer), tip.height, root)
    else {
        return;
    };
    let take = || std::mem::take(&mut *buffer.0.lock().unwrap_or_else(PoisonError::into_inner));
    while let Ok(job) = inbox.recv() {
        let Some((leaves, proof)) = job.leaves else {
            let nodes = tree.finish().is_ok().then(take);
            let _ = job.reply.send(nodes);
            return;
        };
        let nodes = tree.add_chunk(leaves, proof).is_ok().then(take);
        let fault = nodes.is_none();
        let _ = job.reply.send(nodes);
        if fault {
            return;
        }
    }
}

impl Store {
    /// Prepares for a snapshot; `None` if the store holds a state that did not come from one, or has gone on since.
    pub(crate) fn begin_restore(&self, tip: Tip) -> Result<Option<TreeRestore>, NodeError> {
        let restored = self.meta_height(RESTORED)?;
        if self.tip().is_some_and(|tip| Some(tip.height) != restored) {
            return Ok(None);
        }
        let tree = TreeRestore::start(tip)?;
        let write = self.database.begin_write()?;
        clear(&write)?;
        write
            .open_table(META)?
            .insert(RESTORING, tip.height.to_be_bytes().as_slice())?;
        write.commit()?;
        self.unpublish();
        Ok(Some(tree))
    }

    /// Stores the next entries of the state.
    pub(crate) fn restore_chunk(
        &self,
        tree: &TreeRestore,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
        proof: &[u8],
    ) -> Result<(), RestoreError> {
        let proof: Proof = borsh::from_slice(proof).map_err(|_| RestoreError::Untrue)?;
        let leaves = entries
            .iter()
            .map(|(key, value)| (KeyHash::with::<Sha256>(key), value.clone()))
            .collect();
        let nodes = tree.ask(Some((leaves, proof)))?;
        let write = self.database.begin_write()?;
        tree::insert_nodes(&write, nodes.iter().map(|(key, node)| (key, node)))?;
        tree::insert_restored(&write, tree.tip.height, &entries)?;
        write.commit()?;
        Ok(())
    }

    /// Makes the restored state the committed one, if its root is the right one.
    pub(crate) fn finish_restore(&self, tree: &TreeRestore) -> Result<(), RestoreError> {
        let nodes = tree.ask(None)?;
        let write = self.database.begin_write()?;
        tree::insert_nodes(&write, nodes.iter().map(|(key, node)| (key, node)))?;
        write.commit()?;
        let root = {
            let tables = tree::Tables::open(&self.database.begin_read()?)?;
            JellyfishMerkleTree::<_, Sha256>::new(&tables).get_root_hash(tree.tip.height)
        };
        if root.map_err(|_| RestoreError::Untrue)?.0 != tree.tip.app_hash {
            return Err(RestoreError::Untrue);
        }
        let write = self.database.begin_write()?;
        {
            let mut meta = write.open_table(META)?;
            let height = tree.tip.height.to_be_bytes();
            meta.remove(RESTORING)?;
            meta.insert(RESTORED, height.as_slice())?;
            meta.insert("tip", tree.tip.record().as_slice())?;
        }
        write.commit()?;
        if let Some(view) = self.load_view()? {
            self.publish(view);
        }
        Ok(())
    }

    /// Drops what a snapshot has brought.
    pub(crate) fn abandon_restore(&self) -> Result<(), NodeError> {
        let write = self.database.begin_write()?;
        clear(&write)?;
        write.commit()?;
        self.unpublish();
        Ok(())
    }

    /// Drops a restoration that an earlier run did not finish.
    pub(super) fn drop_unfinished_restore(&self) -> Result<(), NodeError> {
        match self.meta_height(RESTORING)? {
            Some(_) => self.abandon_restore(),
            None => Ok(()),
        }
    }

    pub(super) fn meta_height(&self, name: &str) -> Result<Option<u64>, NodeError> {
        let read = self.database.begin_read()?;
        let found = read.open_table(META)?.get(name)?;
        Ok(found.map(|height| tree::be_u64(height.value())))
    }
}

/// Empties all tables but what names network and format.
fn clear(write: &WriteTransaction) -> Result<(), NodeError> {
    tree::delete_tables(write)?;
    record::delete_tables(write)?;
    tree::create_tables(write)?;
    record::create_tables(write)?;
    let mut meta = write.open_table(META)?;
    for name in ["tip", RESTORING, RESTORED] {
        meta.remove(name)?;
    }
    Ok(())
}
