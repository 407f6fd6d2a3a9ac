//! The store against a plain map: values, proofs of presence and absence, pruning, damage.

use std::{collections::BTreeMap, path::Path};

use haca_node::{
    NodeError,
    store::{BlockIndex, Store, Write},
};
use haca_wire::GenesisHash;
use proptest::prelude::*;

const GENESIS: GenesisHash = GenesisHash([3; 32]);

fn open(directory: &Path, keep: u64) -> Result<Store, NodeError> {
    Store::open(&directory.join("state.redb"), GENESIS, keep)
}

fn commit(store: &Store, height: u64, writes: Vec<Write>) -> [u8; 32] {
    let staged = store.stage(height, writes).unwrap();
    store.commit(staged, &BlockIndex::default()).unwrap().app_hash
}

fn set(key: &[u8], value: &[u8]) -> Write {
    (key.to_vec(), Some(value.to_vec()))
}

fn proves(root: &[u8; 32], store: &Store, key: &[u8], height: u64, expected: Option<&Vec<u8>>) -> bool {
    let proven = store.view().unwrap().prove(key, height).unwrap();
    let proof: ics23::CommitmentProof = prost_ics23::Message::decode(proven.proof.as_slice()).unwrap();
    let (spec, root) = (jmt::ics23_spec(), root.to_vec());
    if proven.value.as_ref() != expected {
        return false;
    }
    match expected {
        Some(value) => {
            ics23::verify_membership::<ics23::HostFunctionsManager>(&proof, &spec, &root, key, value)
        }
        None => ics23::verify_non_membership::<ics23::HostFunctionsManager>(&proof, &spec, &root, key),
    }
}

fn blocks() -> impl Strategy<Value = Vec<BTreeMap<u8, Option<u8>>>> {
    let writes =
        proptest::collection::btree_map(0..24_u8, proptest::option::weighted(0.7, any::<u8>()), 0..8);
    proptest::collection::vec(writes, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn every_kept_version_is_proven_and_pruning_leaves_no_waste(blocks in blocks(), keep in 1..6_u64) {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), keep).unwrap();
        let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::from([(b"genesis".to_vec(), vec![1])]);
        let mut history = vec![(commit(&store, 0, vec![set(b"genesis", &[1])]), state.clone())];
        for (height, block) in (1_u64..).zip(blocks) {
            let mut writes = Vec::new();
            for (key, value) in block {
                let (key, value) = (format!("key/{key}").into_bytes(), value.map(|v| vec![v]));
                match &value {
                    Some(value) => state.insert(key.clone(), value.clone()),
                    None => state.remove(&key),
                };
                writes.push((key, value));
            }
            history.push((commit(&store, height, writes), state.clone()));
        }
        let tip = history.len() as u64 - 1;
        let oldest = tip.saturating_sub(keep - 1);
        for (height, (root, state)) in (0_u64..).zip(&history) {
            if height < oldest {
                let refused = store.view().unwrap().prove(b"genesis", height);
                let out_of_range = matches!(refused, Err(NodeError::HeightUnavailable { .. }));
                prop_assert!(out_of_range);
                continue;
            }
            for key in 0..24_u8 {
                let key = format!("key/{key}").into_bytes();
                prop_assert!(proves(root, &store, &key, height, state.get(&key)), "height {height}");
            }
        }
        // Empty blocks push every superseded version over the horizon; what is left is one version of the state.
        for height in tip + 1..=tip + keep + 1 {
            commit(&store, height, Vec::new());
        }
        let view = store.view().unwrap();
        let current: BTreeMap<_, _> = view.scan(b"", 1000).unwrap().into_iter().collect();
        prop_assert_eq!(&current, &state);
        let [_, values, preimages, entries, _, stale_values] = store.row_counts().unwrap();
        prop_assert_eq!((values, preimages, entries), (state.len() as u64, state.len() as u64, state.len() as u64));
        prop_assert_eq!(stale_values, 0);
        // A fresh tree of the same entries has the same root, and no more nodes than the pruned one keeps per version.
        drop(store);
        let other = tempfile::tempdir().unwrap();
        let fresh = open(other.path(), keep).unwrap();
        let root = commit(&fresh, 0, state.iter().map(|(k, v)| set(k, v)).collect());
        prop_assert_eq!(root, history[tip as usize].0);
    }
}

#[test]
fn a_thousand_blocks_on_the_same_keys_keep_the_store_small() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 10).unwrap();
    commit(&store, 0, (0..50_u8).map(|k| set(&[b'k', k], &[0])).collect());
    let mut sizes = Vec::new();
    for height in 1..=300_u64 {
        commit(
            &store,
            height,
            (0..50_u8)
                .map(|k| set(&[b'k', k], &height.to_be_bytes()))
                .collect(),
        );
        if height == 100 || height == 300 {
            sizes.push(store.row_counts().unwrap());
        }
    }
    assert_eq!(sizes[0], sizes[1], "rows after 100 and after 300 blocks");
    let [nodes, values, ..] = sizes[1];
    assert!(
        values <= 11 * 50 && nodes <= 11 * 50 * 4,
        "{nodes} nodes, {values} values"
    );
}

/// The block of a height: it settles a receipt of its own, and has a transaction of its own beside one that stands in
/// every block, of which the first execution is the one that counts.
fn index(height: u64, tx_bytes: u64) -> BlockIndex {
    let own = u8::try_from(height).unwrap();
    BlockIndex {
        tx_bytes,
        txs: vec![[own; 32], [99; 32]],
        results: vec![Default::default(); 2],
        settled: vec![([own; 32], vec![own])],
    }
}

#[test]
fn a_pruned_block_is_forgotten_with_what_was_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 1).unwrap();
    for height in 0..=10_u64 {
        let writes = vec![set(b"a", &height.to_be_bytes())];
        let staged = store.stage(height, writes).unwrap();
        let horizon = if height == 10 { 6 } else { 0 };
        store
            .commit(staged.pruning_index(horizon), &index(height, 0))
            .unwrap();
        let oldest = if height == 10 { 6 } else { 0 };
        assert_eq!(store.oldest_indexed().unwrap(), Some(oldest));
    }
    for height in 0..=10_u8 {
        let kept = height >= 6;
        assert_eq!(store.block_index(height.into()).unwrap().is_some(), kept);
        assert_eq!(store.tx_location(&[height; 32]).unwrap().is_some(), kept);
        assert_eq!(store.receipt_location(&[height; 32]).unwrap().is_some(), kept);
    }
    assert!(store.tx_location(&[99; 32]).unwrap().is_none());
}

#[test]
fn blocks_are_kept_up_to_their_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 1).unwrap();
    const MB: u64 = 1_000_000;
    assert_eq!(store.oldest_within(0).unwrap(), 0);
    for height in 0..100_u64 {
        let staged = store.stage(height, Vec::new()).unwrap();
        let horizon = match height {
            0 => 0,
            _ => store.oldest_within(10 * MB).unwrap(),
        };
        // Without its oldest block, what is kept is less than ten megabytes. The ledger's share of each is small.
        assert_eq!(horizon, height.saturating_sub(10));
        store
            .commit(staged.pruning_index(horizon), &index(height, MB))
            .unwrap();
    }
    // Three blocks without transactions push none out, a large one many.
    let commit = |height, bytes| {
        let horizon = store.oldest_within(10 * MB).unwrap();
        let staged = store.stage(height, Vec::new()).unwrap();
        store
            .commit(staged.pruning_index(horizon), &index(height, bytes))
            .unwrap();
        store.oldest_within(10 * MB).unwrap()
    };
    assert_eq!([100, 101, 102].map(|height| commit(height, 0)), [0, 0, 0]);
    assert_eq!(store.oldest_indexed().unwrap(), Some(90));
    assert_eq!(commit(103, 7 * MB), 97);
    assert_eq!(commit(104, 20 * MB), 104);
}

/// What a window that shrinks makes a commit remove is bounded by its rows as well as by its blocks.
#[test]
fn a_commit_forgets_a_few_full_blocks_at_most() {
    const ROWS: u64 = 8_000;
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 1).unwrap();
    let full = |height: u64| {
        let hash = |row: u64| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&height.to_be_bytes());
            hash[8..16].copy_from_slice(&row.to_be_bytes());
            hash
        };
        BlockIndex {
            txs: (0..ROWS / 2).map(hash).collect(),
            settled: (0..ROWS / 2).map(|row| (hash(row), Vec::new())).collect(),
            ..BlockIndex::default()
        }
    };
    for height in 0..10 {
        let staged = store.stage(height, Vec::new()).unwrap();
        store.commit(staged, &full(height)).unwrap();
    }
    // Three of them are the first to have 20,000 rows.
    for (height, oldest) in [(10, 3), (11, 6), (12, 9), (13, 10)] {
        let staged = store.stage(height, Vec::new()).unwrap();
        store
            .commit(staged.pruning_index(10), &BlockIndex::default())
            .unwrap();
        assert_eq!(store.oldest_indexed().unwrap(), Some(oldest));
    }
}

/// Length of the store's file in bytes.
fn length(directory: &Path) -> u64 {
    std::fs::metadata(directory.join("state.redb")).unwrap().len()
}

#[test]
fn a_state_that_shrank_gives_its_disk_back_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 1).unwrap();
    let keys = || 0..160_u8;
    for (height, key) in (0..).zip(keys()) {
        commit(&store, height, vec![set(&[key], &vec![key; 256 << 10])]);
    }
    let height = keys().count() as u64;
    commit(
        &store,
        height,
        keys().take(159).map(|key| (vec![key], None)).collect(),
    );
    let root = commit(&store, height + 1, Vec::new());
    drop(store);
    // What is left lies at the end of the file.
    let closed = length(directory.path());
    assert!(closed > 40 << 20, "{closed} bytes");

    let store = open(directory.path(), 1).unwrap();
    let rest = length(directory.path());
    assert!(rest < closed / 10, "{closed} bytes became {rest}");
    assert_eq!(store.tip().unwrap().app_hash, root);
    assert!(proves(
        &root,
        &store,
        &[159],
        height + 1,
        Some(&vec![159; 256 << 10])
    ));
    assert!(proves(&root, &store, &[0], height + 1, None));
}

#[test]
fn a_key_removed_twice_is_proven_as_long_as_its_versions_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 4).unwrap();
    let remove = || vec![(b"key".to_vec(), None)];
    commit(&store, 0, vec![set(b"genesis", b"1")]);
    commit(&store, 1, remove());
    let root = commit(&store, 2, vec![set(b"key", b"2")]);
    for height in 3..5 {
        commit(&store, height, Vec::new());
    }
    commit(&store, 5, remove());
    assert!(proves(&root, &store, b"key", 2, Some(&b"2".to_vec())));
    assert!(proves(&root, &store, b"other", 2, None));
}

#[test]
fn only_the_next_height_can_be_staged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 10).unwrap();
    assert!(matches!(
        store.stage(1, Vec::new()),
        Err(NodeError::OutOfOrder { expected: 0, .. })
    ));
    commit(&store, 0, vec![set(b"a", b"1")]);
    assert!(matches!(
        store.stage(0, Vec::new()),
        Err(NodeError::OutOfOrder { expected: 1, .. })
    ));
    assert!(matches!(
        store.stage(2, Vec::new()),
        Err(NodeError::OutOfOrder { expected: 1, .. })
    ));
}

#[test]
fn staging_changes_nothing_until_it_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 10).unwrap();
    let root = commit(&store, 0, vec![set(b"a", b"1")]);
    drop(store.stage(1, vec![set(b"a", b"2")]).unwrap());
    assert_eq!(store.tip().unwrap().app_hash, root);
    drop(store);
    let store = open(directory.path(), 10).unwrap();
    assert_eq!(store.view().unwrap().get(b"a").unwrap(), Some(b"1".to_vec()));
}

#[test]
fn store_of_another_genesis_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), 10).unwrap());
    let other = Store::open(&directory.path().join("state.redb"), GenesisHash([4; 32]), 10);
    assert!(matches!(other, Err(NodeError::OtherGenesis { .. })));
}

#[test]
fn open_store_is_refused_to_a_second_process() {
    let directory = tempfile::tempdir().unwrap();
    let _store = open(directory.path(), 10).unwrap();
    assert!(matches!(
        open(directory.path(), 10),
        Err(NodeError::StoreLocked { .. })
    ));
}

#[test]
fn truncated_and_foreign_files_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = open(directory.path(), 10).unwrap();
    commit(&store, 0, (0..100_u8).map(|k| set(&[k], &[k; 500])).collect());
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let foreign = vec![b'x'; 10_000];
    for bytes in [&whole[..1000], &whole[..whole.len() / 2], &foreign[..], &[]] {
        std::fs::write(&path, bytes).unwrap();
        let error = open(directory.path(), 10).expect_err("damage");
        assert!(
            matches!(
                error,
                NodeError::StoreCorrupt { .. } | NodeError::Store(_) | NodeError::StoreFormat { .. }
            ),
            "{} bytes: {error:?}",
            bytes.len()
        );
    }
}

#[test]
fn a_store_whose_creation_was_cut_short_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let partial = directory.path().join("state.partial");
    std::fs::write(&partial, vec![0; 100_000]).unwrap();
    let store = open(directory.path(), 10).unwrap();
    commit(&store, 0, vec![set(b"a", b"1")]);
    assert!(!partial.exists());
    // The name that a store is made under belongs to nobody else.
    std::fs::create_dir(&partial).unwrap();
    drop(store);
    assert_eq!(open(directory.path(), 10).unwrap().tip().unwrap().height, 0);
    std::fs::remove_file(directory.path().join("state.redb")).unwrap();
    assert!(matches!(
        open(directory.path(), 10),
        Err(NodeError::DataDirectory { .. })
    ));
}
