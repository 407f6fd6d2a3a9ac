//! Snapshots: taken beside the chain, restored from liars and honest peers, and a node that joins by one.

use std::{fs, path::Path, sync::Arc};

use haca_node::{
    Genesis, NodeError,
    abci::respond,
    application::Application,
    cometbft::{CometBft, CometConfig, Peer, StateSync, node_id},
    driver::Driver as _,
    history::{History, HistoryPolicy},
    home::{Home, join},
    ledger_app::LedgerApp,
    loopback,
    snapshot::{Applied, Archive, Metadata, Offered, Restoration, Snapshot, SnapshotPolicy},
    store::{BlockIndex, Store, Write},
};
use haca_wire::GenesisHash;
use tempfile::TempDir;
use tendermint_proto::v0_38::abci::{
    Request, RequestApplySnapshotChunk, RequestListSnapshots, RequestLoadSnapshotChunk, RequestOfferSnapshot,
    request::Value as Asked, response::Value as Answer, response_apply_snapshot_chunk as applied,
    response_offer_snapshot as offered,
};

use super::{
    engine::wait,
    ledger::{self, NoEvidence, transfer},
};

const GENESIS: GenesisHash = GenesisHash([3; 32]);
const POLICY: SnapshotPolicy = SnapshotPolicy {
    interval_blocks: 1,
    keep: 2,
    chunk_bytes: 600,
};

fn open(directory: &Path) -> Store {
    Store::open(&directory.join("state.redb"), GENESIS, 4).unwrap()
}

fn commit(store: &Store, height: u64, writes: Vec<Write>) {
    let staged = store.stage(height, writes).unwrap();
    store.commit(staged, &BlockIndex::default()).unwrap();
}

fn set(key: u64, value: u64) -> Write {
    let value = [value.to_be_bytes(); 5].concat();
    (key.to_be_bytes().to_vec(), Some(value))
}

/// A store with some history, and a snapshot of its last state.
struct Origin {
    directory: TempDir,
    store: Store,
    snapshot: Snapshot,
    chunks: Vec<Vec<u8>>,
}

impl Origin {
    fn new(keys: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        commit(&store, 0, (0..keys).map(|key| set(key, 0)).collect());
        for height in 1..6_u64 {
            let gone = (height.to_be_bytes().to_vec(), None);
            commit(
                &store,
                height,
                vec![set(height + 7, height), set(height + 8, height), gone],
            );
        }
        let archive = Archive::open(&directory.path().join("snapshots"), GENESIS, POLICY);
        archive.take(&store.view().unwrap()).unwrap();
        assert!(archive.list(6).is_empty(), "nothing proves the state yet");
        let snapshot = archive.list(7).pop().unwrap();
        let chunks = (0..snapshot.chunks)
            .map(|index| archive.chunk(5, 1, index).unwrap())
            .collect();
        Self {
            directory,
            store,
            snapshot,
            chunks,
        }
    }

    fn app_hash(&self) -> [u8; 32] {
        self.store.tip().unwrap().app_hash
    }

    fn offer(&self, to: &Restoration, store: &Store) -> Offered {
        to.offer(store, GENESIS, &self.snapshot, &self.app_hash())
            .unwrap()
    }
}

/// Entries of a state in the order of their keys.
fn entries(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.view().unwrap().scan(b"", 10_000).unwrap()
}

#[test]
fn a_restored_state_is_the_same_and_goes_on_in_the_same_way() {
    let origin = Origin::new(200);
    assert!(origin.chunks.len() > 10, "{} chunks", origin.chunks.len());
    assert!(origin.chunks.iter().all(|chunk| chunk.len() < 4_000));
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let restoration = Restoration::default();
    assert_eq!(origin.offer(&restoration, &store), Offered::Accept);
    for (index, chunk) in (0..).zip(&origin.chunks) {
        assert!(store.tip().is_none(), "a part of a state is no state");
        assert_eq!(restoration.apply(&store, index, chunk).unwrap(), Applied::Accept);
    }
    assert_eq!(store.tip(), origin.store.tip());
    assert_eq!(entries(&store), entries(&origin.store));
    let view = store.view().unwrap();
    assert_eq!(view.oldest(), 5);
    assert_eq!(
        view.prove(&9_u64.to_be_bytes(), 5).unwrap(),
        origin
            .store
            .view()
            .unwrap()
            .prove(&9_u64.to_be_bytes(), 5)
            .unwrap()
    );
    assert!(matches!(
        view.prove(&9_u64.to_be_bytes(), 4),
        Err(NodeError::HeightUnavailable { oldest: 5, .. })
    ));
    drop(view);
    for height in 6..14_u64 {
        let gone = ((height + 20).to_be_bytes().to_vec(), None);
        let writes = vec![set(height, height), set(900 + height, 1), gone];
        commit(&origin.store, height, writes.clone());
        commit(&store, height, writes);
        assert_eq!(store.tip(), origin.store.tip(), "height {height}");
    }
    // What the snapshot brought is pruned like everything else.
    assert_eq!(
        store.row_counts().unwrap()[1..],
        origin.store.row_counts().unwrap()[1..]
    );
    drop(store);
    assert_eq!(open(directory.path()).tip(), origin.store.tip());
}

#[test]
fn a_kill_in_the_middle_of_a_restoration_loses_nothing() {
    let origin = Origin::new(100);
    let directory = tempfile::tempdir().unwrap();
    for fed in 0..origin.chunks.len() {
        let store = open(directory.path());
        assert!(store.tip().is_none());
        assert_eq!(store.row_counts().unwrap(), [0; 6], "what came before is gone");
        let restoration = Restoration::default();
        assert_eq!(origin.offer(&restoration, &store), Offered::Accept);
        for (index, chunk) in (0..).zip(&origin.chunks).take(fed) {
            assert_eq!(restoration.apply(&store, index, chunk).unwrap(), Applied::Accept);
        }
    }
    // Consensus may die after the last chunk and before it has noted that: the snapshot is offered again.
    for _ in 0..2 {
        let store = open(directory.path());
        let restoration = Restoration::default();
        assert_eq!(origin.offer(&restoration, &store), Offered::Accept);
        for (index, chunk) in (0..).zip(&origin.chunks) {
            assert_eq!(restoration.apply(&store, index, chunk).unwrap(), Applied::Accept);
        }
        assert_eq!(store.tip(), origin.store.tip());
    }
    let store = open(directory.path());
    commit(&store, 6, vec![set(1, 1)]);
    let offer = origin.offer(&Restoration::default(), &store);
    assert_eq!(offer, Offered::Abort, "a state that has gone on is kept");
    assert_eq!(store.tip().unwrap().height, 6);
}

#[test]
fn offers_that_contradict_themselves_or_the_chain_are_refused() {
    let origin = Origin::new(20);
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let restoration = Restoration::default();
    let answer = |snapshot: &Snapshot, app_hash: &[u8]| {
        restoration.offer(&store, GENESIS, snapshot, app_hash).unwrap()
    };
    let (good, app_hash) = (&origin.snapshot, origin.app_hash());
    let with = |change: &dyn Fn(&mut Metadata)| {
        let mut metadata = Metadata::decode(&good.metadata).unwrap();
        change(&mut metadata);
        let metadata = metadata.encode();
        Snapshot {
            hash: *blake3::hash(&metadata).as_bytes(),
            metadata,
            ..good.clone()
        }
    };
    assert_eq!(
        answer(
            &Snapshot {
                format: 2,
                ..good.clone()
            },
            &app_hash
        ),
        Offered::RejectFormat
    );
    assert_eq!(answer(good, &[]), Offered::Reject);
    assert_eq!(
        answer(good, &[9; 32]),
        Offered::RejectSender,
        "another state than the chain's"
    );
    assert_eq!(
        answer(
            &Snapshot {
                hash: [0; 32],
                ..good.clone()
            },
            &app_hash
        ),
        Offered::RejectSender
    );
    assert_eq!(
        answer(
            &Snapshot {
                chunks: 1,
                ..good.clone()
            },
            &app_hash
        ),
        Offered::RejectSender
    );
    assert_eq!(
        answer(
            &Snapshot {
                metadata: vec![1; 70],
                ..good.clone()
            },
            &app_hash
        ),
        Offered::RejectSender
    );
    let other_network = with(&|metadata| metadata.genesis = GenesisHash([4; 32]));
    assert_eq!(answer(&other_network, &app_hash), Offered::RejectSender);
    let other_state = with(&|metadata| metadata.app_hash = [4; 32]);
    assert_eq!(answer(&other_state, &app_hash), Offered::RejectSender);
    assert_eq!(
        restoration.apply(&store, 0, &origin.chunks[0]).unwrap(),
        Applied::Abort
    );
    assert_eq!(answer(good, &app_hash), Offered::Accept);
    assert!(store.tip().is_none());
}

#[test]
fn damaged_repeated_and_disordered_chunks_do_no_harm() {
    let origin = Origin::new(60);
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let restoration = Restoration::default();
    assert_eq!(origin.offer(&restoration, &store), Offered::Accept);
    let apply = |index: usize, chunk: &[u8]| {
        let index = u32::try_from(index).unwrap();
        restoration.apply(&store, index, chunk).unwrap()
    };
    let chunks = &origin.chunks;
    for (index, chunk) in chunks.iter().enumerate() {
        let mut flipped = chunk.clone();
        flipped[chunk.len() / 2] ^= 1;
        assert_eq!(apply(index, &flipped), Applied::Refetch);
        assert_eq!(apply(index, &chunk[..chunk.len() - 1]), Applied::Refetch);
        assert_eq!(apply(index, &[]), Applied::Refetch);
        if index + 1 < chunks.len() {
            let needs = Applied::Needs(u32::try_from(index).unwrap());
            assert_eq!(apply(index + 1, &chunks[index + 1]), needs);
        }
        assert_eq!(apply(chunks.len(), chunk), Applied::Refetch);
        if index > 0 {
            assert_eq!(apply(index - 1, &chunks[index - 1]), Applied::Accept, "twice");
        }
        assert_eq!(apply(index, chunk), Applied::Accept);
    }
    assert_eq!(store.tip(), origin.store.tip());
}

/// The liar knows the right application hash and announces chunks of its own making.
#[test]
fn chunks_of_another_state_are_found_out_and_leave_nothing() {
    let origin = Origin::new(60);
    let other = {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        for height in 0..6 {
            commit(&store, height, (0..60).map(|key| set(key, 77)).collect());
        }
        let archive = Archive::open(&directory.path().join("snapshots"), GENESIS, POLICY);
        archive.take(&store.view().unwrap()).unwrap();
        archive.chunk(5, 1, 0).unwrap()
    };
    let announce = |chunks: &[Vec<u8>]| {
        let metadata = Metadata {
            genesis: GENESIS,
            app_hash: origin.app_hash(),
            chunks: chunks
                .iter()
                .map(|chunk| *blake3::hash(chunk).as_bytes())
                .collect(),
        }
        .encode();
        Snapshot {
            chunks: u32::try_from(chunks.len()).unwrap(),
            hash: *blake3::hash(&metadata).as_bytes(),
            metadata,
            ..origin.snapshot.clone()
        }
    };
    let whole = &origin.chunks;
    let last = whole.len() - 1;
    let mut altered = whole.clone();
    // The last byte of a chunk is the end of a value.
    *altered[1].last_mut().unwrap() ^= 1;
    let lies: [(Vec<Vec<u8>>, usize); 6] = [
        (altered, 1),
        ([vec![other], whole[1..].to_vec()].concat(), 0),
        (whole[..last].to_vec(), last - 1),
        ([whole[..1].to_vec(), whole[2..].to_vec()].concat(), 1),
        ([whole.clone(), vec![whole[last].clone()]].concat(), last + 1),
        ([whole[..2].to_vec(), vec![vec![255; 40]]].concat(), 2),
    ];
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for (lie, (chunks, caught)) in lies.iter().enumerate() {
        let restoration = Restoration::default();
        let snapshot = announce(chunks);
        let offer = restoration.offer(&store, GENESIS, &snapshot, &origin.app_hash());
        assert_eq!(offer.unwrap(), Offered::Accept);
        for (index, chunk) in chunks.iter().enumerate().take(caught + 1) {
            let answer = restoration
                .apply(&store, u32::try_from(index).unwrap(), chunk)
                .unwrap();
            let expected = if index == *caught {
                Applied::RejectSnapshot
            } else {
                Applied::Accept
            };
            assert_eq!(answer, expected, "lie {lie}, chunk {index}");
        }
        assert!(store.tip().is_none());
        assert_eq!(store.row_counts().unwrap(), [0; 6], "lie {lie}");
    }
    let restoration = Restoration::default();
    assert_eq!(origin.offer(&restoration, &store), Offered::Accept);
    for (index, chunk) in (0..).zip(whole) {
        assert_eq!(restoration.apply(&store, index, chunk).unwrap(), Applied::Accept);
    }
    assert_eq!(store.tip(), origin.store.tip());
}

#[test]
fn few_snapshots_are_kept_and_damaged_ones_are_not_handed_out() {
    let origin = Origin::new(60);
    let place = origin.directory.path().join("snapshots");
    fs::create_dir(place.join("9.partial")).unwrap();
    let archive = Archive::open(&place, GENESIS, POLICY);
    assert!(!place.join("9.partial").exists(), "a snapshot that was cut short");
    for height in 6..9 {
        commit(&origin.store, height, vec![set(1, height)]);
        archive.take_if_due(&origin.store.view().unwrap(), &Arc::default());
        archive.wait();
    }
    let heights: Vec<u64> = archive.list(12).iter().map(|one| one.height).collect();
    assert_eq!(heights, [7, 8]);
    assert!(archive.chunk(7, 1, 0).is_some());
    assert!(archive.chunk(7, 2, 0).is_none() && archive.chunk(5, 1, 0).is_none());
    assert!(archive.chunk(7, 1, u32::MAX).is_none());
    fs::write(place.join("7/0"), b"damage").unwrap();
    assert!(archive.chunk(7, 1, 0).is_none());
    fs::write(place.join("8/metadata"), b"damage").unwrap();
    assert_eq!(archive.list(12).len(), 1);
}

fn ledger_app(directory: &Path, genesis: &Genesis, policy: HistoryPolicy) -> Arc<LedgerApp> {
    let store = Store::open(&directory.join("state.redb"), genesis.hash(), 100).unwrap();
    let history = History::open(&Home::new(directory), genesis.hash(), policy);
    let app = LedgerApp::new(genesis.clone(), store, Box::new(NoEvidence), Arc::default());
    Arc::new(app.with_history(history))
}

fn ask(app: &dyn Application, asked: Asked) -> Answer {
    let (response, failure) = respond(app, Request { value: Some(asked) });
    assert!(failure.is_none());
    response.value.unwrap()
}

/// Peers hear the right words over ABCI.
fn assert_abci(from: &dyn Application, genesis: &Genesis, app_hash: &dyn Fn(u64) -> Vec<u8>) {
    let Answer::ListSnapshots(list) = ask(from, Asked::ListSnapshots(RequestListSnapshots {})) else {
        panic!("no list")
    };
    let snapshot = list.snapshots.last().expect("a snapshot").clone();
    let load = RequestLoadSnapshotChunk {
        height: snapshot.height,
        format: snapshot.format,
        chunk: 0,
    };
    let Answer::LoadSnapshotChunk(chunk) = ask(from, Asked::LoadSnapshotChunk(load)) else {
        panic!("no chunk")
    };
    let directory = tempfile::tempdir().unwrap();
    let to = ledger_app(directory.path(), genesis, HistoryPolicy::default());
    let offer = RequestOfferSnapshot {
        app_hash: app_hash(snapshot.height).into(),
        snapshot: Some(snapshot),
    };
    let Answer::OfferSnapshot(answer) = ask(&*to, Asked::OfferSnapshot(offer)) else {
        panic!("no answer")
    };
    assert_eq!(answer.result, i32::from(offered::Result::Accept));
    let mut apply = RequestApplySnapshotChunk {
        index: 0,
        chunk: b"damage".to_vec().into(),
        sender: "liar".to_owned(),
    };
    let Answer::ApplySnapshotChunk(answer) = ask(&*to, Asked::ApplySnapshotChunk(apply.clone())) else {
        panic!("no answer")
    };
    assert_eq!(answer.result, i32::from(applied::Result::Retry));
    assert_eq!(
        (answer.refetch_chunks, answer.reject_senders),
        (vec![0], vec!["liar".to_owned()])
    );
    apply.chunk = chunk.chunk;
    let Answer::ApplySnapshotChunk(answer) = ask(&*to, Asked::ApplySnapshotChunk(apply)) else {
        panic!("no answer")
    };
    assert_eq!(answer.result, i32::from(applied::Result::Accept));
}

#[test]
fn an_empty_node_joins_a_running_network_by_a_snapshot() {
    super::cometbft::require_cometbft();
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = Home::new(theirs.path());
    let genesis = ledger::network(theirs.path(), 1);
    let policy = HistoryPolicy {
        keep_blocks: 0,
        keep_mb: 0,
        snapshots: SnapshotPolicy {
            interval_blocks: 16,
            keep: 100,
            chunk_bytes: 100,
        },
    };
    let app = ledger_app(theirs.path(), &genesis, policy);
    let config = CometConfig {
        rpc: loopback::reserve().unwrap(),
        p2p: loopback::reserve().unwrap(),
        ..super::cometbft::config()
    };
    let comet = CometBft::start(&config, &home, &genesis, app.clone(), || ()).unwrap();
    wait(|| (app.info().unwrap().height > 1).then_some(()));
    for number in 0..3 {
        comet.submit_tx(transfer(&genesis, number, 5, 400)).unwrap();
    }
    wait(|| (app.info().unwrap().height > 20).then_some(()));
    let decided = |height: u64| wait(|| comet.block(height).unwrap());
    let app_hash = |height: u64| decided(height + 1).block.header.app_hash.as_bytes().to_vec();
    assert_abci(&*app, &genesis, &app_hash);

    let joiner = Home::new(ours.path());
    join(&joiner, &home.genesis(), true).unwrap();
    let peer = Peer::new(node_id(&home).unwrap(), config.p2p.to_string().parse().unwrap());
    let joining = CometConfig {
        rpc: loopback::reserve().unwrap(),
        persistent_peers: vec![peer],
        state_sync: Some(StateSync {
            rpc_servers: vec![config.rpc.to_string().parse().unwrap()],
            trust_height: 2,
            trust_hash: decided(2).id.hash.as_bytes().try_into().unwrap(),
        }),
        ..super::cometbft::config()
    };
    let joined = ledger_app(ours.path(), &genesis, policy);
    let second = CometBft::start(&joining, &joiner, &genesis, joined.clone(), || ()).unwrap();
    let restored = wait(|| joined.store().view()).oldest();
    assert!(restored >= 8, "the state came from a snapshot, not from blocks");
    let after = wait(|| Some(joined.info().unwrap()).filter(|info| info.height > restored + 3));
    assert_eq!(
        after.app_hash.to_vec(),
        app_hash(after.height),
        "the chain's state"
    );
    assert_eq!(joined.store().block_index(restored).unwrap(), None);
    assert!(matches!(
        second.block(1),
        Err(NodeError::HeightUnavailable { .. })
    ));
    second.stop();
    drop((second, joined));

    // From now on it is a node like any other.
    let joined = ledger_app(ours.path(), &genesis, policy);
    let before = joined.info().unwrap().height;
    let second = CometBft::start(&joining, &joiner, &genesis, joined.clone(), || ()).unwrap();
    wait(|| (joined.info().unwrap().height > before + 2).then_some(()));

    // It has no blocks from before its snapshot, and so none to begin with for whoever asks it alone.
    let third = tempfile::tempdir().unwrap();
    join(&Home::new(third.path()), &home.genesis(), true).unwrap();
    let app = ledger_app(third.path(), &genesis, policy);
    let asking = CometConfig {
        rpc: loopback::reserve().unwrap(),
        state_sync: Some(StateSync {
            rpc_servers: vec![joining.rpc.to_string().parse().unwrap()],
            ..joining.state_sync.clone().unwrap()
        }),
        ..joining.clone()
    };
    let refused = CometBft::start(&asking, &Home::new(third.path()), &genesis, app, || ());
    assert!(
        matches!(refused, Err(NodeError::TrustedBlock { found: 2, oldest, .. }) if oldest > restored),
        "{:?}",
        refused.err()
    );
    second.stop();
    comet.stop();
}
