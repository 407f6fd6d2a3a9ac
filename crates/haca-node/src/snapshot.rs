//! Snapshots of the committed state, and how a node starts from one that others offer.
//!
//! A snapshot holds every entry of the state after one block, in the order of the Merkle tree's leaves, cut into chunks.
//! Each chunk proves itself against the application hash of its height, which comes from a light client and never from
//! whoever sends the snapshot. `spec/snapshot.md` has the bytes.

mod archive;
mod chunk;
mod restoration;

pub use archive::{Archive, SnapshotPolicy};
pub use chunk::{FORMAT, MAX_CHUNK_BYTES, MAX_CHUNKS, Metadata};
pub use restoration::Restoration;

/// A snapshot as nodes announce it to one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Height of the state.
    pub height: u64,
    /// Number of the encoding, [`FORMAT`].
    pub format: u32,
    /// How many chunks it has.
    pub chunks: u32,
    /// BLAKE3 of the metadata.
    pub hash: [u8; 32],
    /// Encoded [`Metadata`].
    pub metadata: Vec<u8>,
}

/// What a node says to an offered snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The chunks may come.
    Accept,
    /// No snapshot can be used: the node has a state of its own.
    Abort,
    /// Not this snapshot.
    Reject,
    /// No snapshot of this format.
    RejectFormat,
    /// No snapshot from whoever sent this one: it contradicts itself or the chain.
    RejectSender,
}

/// What a node says to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is stored, or was already.
    Accept,
    /// No restoration is under way.
    Abort,
    /// It is not what the snapshot announced: fetch it again, from somebody else.
    Refetch,
    /// It came before its turn: this one is needed first.
    Needs(u32),
    /// It is what was announced, and is not the state that the chain agreed on.
    RejectSnapshot,
}
