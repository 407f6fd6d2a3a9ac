//! State sync on disks that lose power or fail: a node has no state, or the whole state of the snapshot, and whichever it
//! is, it ends in the state of the decided blocks.

use std::sync::Arc;

use haca_node::{
    NodeError,
    application::Application as _,
    evidence_memory::EvidenceLimits,
    history::{History, HistoryPolicy},
    home::Home,
    ledger_app::LedgerApp,
    snapshot::{Applied, Archive, FORMAT, Offered, Snapshot, SnapshotPolicy},
};
use proptest::prelude::*;

use crate::{
    chain_log::{ChainLog, network},
    disk::{Disk, Fault, Survival},
    every_kind::every_kind,
    replica::{compare, handshake, open, open_with, replay},
    world::PROPOSER,
};

/// Bytes of entries in a chunk: few, so that there are many chunks.
const CHUNK_BYTES: usize = 500;

/// A snapshot of a chain, and whoever starts from it.
struct Sync {
    log: ChainLog,
    snapshot: Snapshot,
    chunks: Vec<Vec<u8>>,
    directory: tempfile::TempDir,
}

impl Sync {
    fn new() -> Self {
        let log = every_kind(network().0, PROPOSER);
        let height = log.height() / 2;
        let app = open(&log, Disk::formatted().open(), EvidenceLimits::default()).unwrap();
        handshake(&log, app.as_ref()).unwrap();
        replay(&log, app.as_ref(), 1, height, &mut 0).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let policy = SnapshotPolicy {
            chunk_bytes: CHUNK_BYTES,
            ..SnapshotPolicy::default()
        };
        let archive = Archive::open(&directory.path().join("source"), log.genesis.hash(), policy);
        archive.take(&app.store().view().unwrap()).unwrap();
        let snapshot = archive.list(height + 2).remove(0);
        assert_eq!(snapshot.height, height);
        let chunk = |index| archive.chunk(height, FORMAT, index).unwrap();
        let chunks: Vec<_> = (0..snapshot.chunks).map(chunk).collect();
        assert!(chunks.len() > 5, "{} chunks", chunks.len());
        Self {
            log,
            snapshot,
            chunks,
            directory,
        }
    }

    fn open(&self, disk: &Disk) -> Result<Arc<LedgerApp>, NodeError> {
        let policy = HistoryPolicy {
            keep_blocks: 0,
            keep_mb: 0,
            snapshots: SnapshotPolicy {
                interval_blocks: 0,
                ..SnapshotPolicy::default()
            },
        };
        let history = History::open(&Home::new(self.directory.path()), self.log.genesis.hash(), policy);
        open_with(&self.log, disk.open(), EvidenceLimits::default(), Some(history))
    }

    /// The hash that a light client has verified for the snapshot.
    fn trusted(&self) -> [u8; 32] {
        self.log.hash(self.snapshot.height)
    }

    fn apply(&self, app: &LedgerApp, index: usize) -> Result<Applied, NodeError> {
        app.apply_snapshot_chunk(u32::try_from(index).unwrap(), &self.chunks[index])
    }

    fn restore(&self, app: &LedgerApp) -> Result<(), NodeError> {
        assert_eq!(
            app.offer_snapshot(&self.snapshot, &self.trusted())?,
            Offered::Accept
        );
        for index in 0..self.chunks.len() {
            assert_eq!(app.info()?.height, 0);
            assert_eq!(self.apply(app, index)?, Applied::Accept, "chunk {index}");
        }
        Ok(())
    }

    /// Starts a node, by state sync if it has no state, and brings it two blocks beyond the snapshot.
    fn run(&self, disk: &Disk) -> Result<(), NodeError> {
        let app = self.open(disk)?;
        if app.info()?.height == 0 {
            self.restore(&app)?;
        }
        self.go_on(&app)
    }

    fn go_on(&self, app: &LedgerApp) -> Result<(), NodeError> {
        let height = app.info()?.height;
        let end = self.snapshot.height + 2;
        assert!(
            height == 0 || (self.snapshot.height..=end).contains(&height),
            "at {height}"
        );
        assert_eq!(handshake(&self.log, app)?, height);
        compare(&self.log, app);
        replay(&self.log, app, height + 1, end, &mut 0)?;
        compare(&self.log, app);
        Ok(())
    }
}

#[test]
fn a_fault_at_any_change_of_a_state_sync_costs_nothing_but_the_sync() {
    let sync = Sync::new();
    let empty = Disk::formatted();
    let calm = empty.copy();
    sync.run(&calm).unwrap();
    for number in 1..=calm.changes() - empty.changes() {
        let fault = match number % 3 {
            0 => Fault::Once,
            1 => Fault::Full,
            _ => Fault::PowerLoss,
        };
        let disk = empty.copy();
        disk.fail_at(disk.changes() + number, fault);
        if let Err(error) = sync.run(&disk) {
            let code = error.code();
            assert!(
                ["node.store", "node.data_directory"].contains(&code),
                "change {number}: {code}: {error}"
            );
        }
        assert!(disk.has_failed(), "change {number}");
        disk.cut_power(Survival::Some(number));
        // Half of the nodes sync again, half begin with the first block.
        if number % 2 == 0 {
            sync.run(&disk).unwrap();
        } else {
            let app = sync.open(&disk).unwrap();
            sync.go_on(&app).unwrap();
        }
    }
}

/// What may come between an offer and the last chunk.
#[derive(Clone, Debug)]
enum Act {
    /// The next chunks arrive.
    Next(u8),
    /// A chunk arrives with a byte changed.
    Bent(u16),
    /// The next chunk arrives cut.
    Cut,
    /// A chunk arrives before its turn, or once more.
    Other(u8),
    /// The snapshot is offered again.
    Again,
    /// Something else is offered.
    Lie(u8),
    /// The node is killed, or power is lost, and the snapshot offered again.
    Kill(Option<u64>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..5_u8).prop_map(Act::Next),
        2 => any::<u16>().prop_map(Act::Bent),
        1 => Just(Act::Cut),
        2 => any::<u8>().prop_map(Act::Other),
        1 => Just(Act::Again),
        1 => any::<u8>().prop_map(Act::Lie),
        1 => prop::option::of(any::<u64>()).prop_map(Act::Kill),
    ]
}

/// A node in the middle of a state sync.
struct Node<'a> {
    sync: &'a Sync,
    disk: Disk,
    app: Arc<LedgerApp>,
    /// The chunk that it needs next.
    next: usize,
}

impl Node<'_> {
    fn offer(&mut self) {
        let offered = self.app.offer_snapshot(&self.sync.snapshot, &self.sync.trusted());
        assert_eq!(offered.unwrap(), Offered::Accept);
        self.next = 0;
    }

    fn is_whole(&self) -> bool {
        self.next == self.sync.chunks.len()
    }

    fn act(&mut self, act: &Act) {
        let chunks = &self.sync.chunks;
        let apply = |index: usize, bytes: &[u8]| {
            self.app
                .apply_snapshot_chunk(u32::try_from(index).unwrap(), bytes)
                .unwrap()
        };
        match act {
            Act::Next(count) => {
                for _ in 0..*count {
                    if !self.is_whole() {
                        assert_eq!(self.sync.apply(&self.app, self.next).unwrap(), Applied::Accept);
                        self.next += 1;
                    }
                }
            }
            Act::Bent(at) if !self.is_whole() => {
                let mut bytes = chunks[self.next].clone();
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= 1;
                assert_eq!(apply(self.next, &bytes), Applied::Refetch);
            }
            Act::Cut if !self.is_whole() => {
                let bytes = &chunks[self.next];
                assert_eq!(apply(self.next, &bytes[..bytes.len() - 1]), Applied::Refetch);
            }
            Act::Other(index) if !self.is_whole() => {
                let index = usize::from(*index) % chunks.len();
                let expected = match index.cmp(&self.next) {
                    std::cmp::Ordering::Less => Applied::Accept,
                    std::cmp::Ordering::Equal => return,
                    std::cmp::Ordering::Greater => Applied::Needs(u32::try_from(self.next).unwrap()),
                };
                assert_eq!(apply(index, &chunks[index]), expected);
            }
            Act::Again => self.offer(),
            Act::Lie(which) => self.lie(*which),
            Act::Kill(survival) => {
                match survival {
                    None => self.disk.kill(),
                    Some(seed) => self.disk.cut_power(Survival::Some(*seed)),
                }
                let whole = self.is_whole();
                self.app = self.sync.open(&self.disk).unwrap();
                let height = if whole { self.sync.snapshot.height } else { 0 };
                assert_eq!(self.app.info().unwrap().height, height);
                if !whole {
                    self.offer();
                }
            }
            Act::Bent(_) | Act::Cut | Act::Other(_) => assert_eq!(apply(0, &chunks[0]), Applied::Abort),
        }
    }

    /// An offer that contradicts itself or the chain is refused, and the restoration in progress goes on.
    fn lie(&self, which: u8) {
        let mut snapshot = self.sync.snapshot.clone();
        let mut trusted = self.sync.trusted();
        let expected = match which % 5 {
            0 => {
                trusted[7] ^= 1;
                Offered::RejectSender
            }
            1 => {
                snapshot.hash[7] ^= 1;
                Offered::RejectSender
            }
            2 => {
                snapshot.metadata[40] ^= 1;
                Offered::RejectSender
            }
            3 => {
                snapshot.chunks += 1;
                Offered::RejectSender
            }
            _ => {
                snapshot.format += 1;
                Offered::RejectFormat
            }
        };
        assert_eq!(self.app.offer_snapshot(&snapshot, &trusted).unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_a_state_sync_ends_in_the_state_of_the_blocks(acts in prop::collection::vec(act(), 0..30)) {
        let sync = Sync::new();
        let disk = Disk::formatted();
        let app = sync.open(&disk).unwrap();
        let mut node = Node { sync: &sync, disk, app, next: 0 };
        node.offer();
        for act in &acts {
            node.act(act);
        }
        node.act(&Act::Next(u8::MAX));
        prop_assert_eq!(node.app.info().unwrap().height, sync.snapshot.height);
        sync.go_on(&node.app).unwrap();
        // A node that has gone on takes no snapshot any more.
        let offered = node.app.offer_snapshot(&sync.snapshot, &sync.trusted()).unwrap();
        prop_assert_eq!(offered, Offered::Abort);
    }
}

#[test]
fn a_node_with_a_state_of_its_own_takes_no_snapshot() {
    let sync = Sync::new();
    let app = sync.open(&Disk::formatted()).unwrap();
    assert_eq!(sync.apply(&app, 0).unwrap(), Applied::Abort);
    handshake(&sync.log, app.as_ref()).unwrap();
    let offered = app.offer_snapshot(&sync.snapshot, &sync.trusted()).unwrap();
    assert_eq!(offered, Offered::Abort);
    sync.go_on(&app).unwrap();
}
