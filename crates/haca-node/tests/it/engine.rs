//! The dev engine against the real light-client verifier, and its behaviour across restarts.

use std::{path::Path, sync::Arc, sync::atomic::Ordering, time::Duration};

use haca_node::{
    Genesis, NodeError,
    application::Application as _,
    consensus::ValidatorUpdate,
    driver::{Driver as _, LightBlock},
    engine::{BlockStore, Chain, DevEngine, MempoolLimits, Pace, ValidatorKey},
    genesis::document,
};
use proptest::prelude::*;
use tendermint::{Hash, Time, block::signed_header::SignedHeader, validator};
use tendermint_light_client_verifier::{
    ProdVerifier, Verdict, Verifier as _,
    options::Options,
    types::{LightBlock as VerifierBlock, TrustThreshold},
};

use super::kv::Kv;

const START: i64 = 1_790_000_000;

pub(crate) fn network(validators: u8) -> (Genesis, Vec<ValidatorKey>) {
    let keys: Vec<ValidatorKey> = (1..=validators)
        .map(|i| ValidatorKey::from_secret([i; 32]))
        .collect();
    let member = |key: &ValidatorKey| ValidatorUpdate {
        key: key.public(),
        power: 10,
    };
    let public: Vec<ValidatorUpdate> = keys.iter().map(member).collect();
    let bytes = document("haca-test-1", time(0), &public, &serde_json::json!({})).unwrap();
    (Genesis::parse(bytes).unwrap(), keys)
}

pub(crate) fn time(second: i64) -> Time {
    Time::from_unix_timestamp(START + second, 0).unwrap()
}

pub(crate) fn open(directory: &Path, validators: u8) -> (Chain<Kv>, Arc<Kv>, Genesis) {
    let (genesis, keys) = network(validators);
    let app = Arc::new(Kv::open(directory, genesis.hash(), 100).unwrap());
    let blocks = Arc::new(BlockStore::open(&directory.join("blocks.redb"), genesis.hash()).unwrap());
    let chain = Chain::open(genesis.clone(), keys, blocks, Arc::clone(&app)).unwrap();
    (chain, app, genesis)
}

fn verifier_block(block: LightBlock) -> VerifierBlock {
    let signed = SignedHeader::try_from(block.signed_header).unwrap();
    VerifierBlock::new(
        signed,
        validator::Set::try_from(block.validators).unwrap(),
        validator::Set::try_from(block.next_validators).unwrap(),
        "0000000000000000000000000000000000000000".parse().unwrap(),
    )
}

fn light_blocks(chain: Chain<Kv>, app: Arc<Kv>, genesis: &Genesis) -> Vec<VerifierBlock> {
    let height = chain.height();
    let engine = start(chain, app, genesis);
    let blocks = (1..=height)
        .map(|h| verifier_block(engine.light_block(h).unwrap().unwrap()))
        .collect();
    engine.stop();
    blocks
}

pub(crate) fn start(chain: Chain<Kv>, app: Arc<Kv>, genesis: &Genesis) -> DevEngine<Kv> {
    let pace = Pace {
        between_blocks: Duration::ZERO,
        idle: Duration::from_secs(3600),
    };
    DevEngine::start(
        chain,
        app,
        genesis,
        MempoolLimits::default(),
        pace,
        || time(7),
        || (),
    )
    .unwrap()
}

/// Every header follows from the one before, and the last from the first.
pub(crate) fn assert_light_client_accepts(blocks: Vec<LightBlock>) {
    let blocks: Vec<VerifierBlock> = blocks.into_iter().map(verifier_block).collect();
    for pair in blocks.windows(2) {
        assert_eq!(verdict(&pair[1], &pair[0]), Verdict::Success);
    }
    assert_eq!(verdict(&blocks[blocks.len() - 1], &blocks[0]), Verdict::Success);
}

fn verdict(untrusted: &VerifierBlock, trusted: &VerifierBlock) -> Verdict {
    // Blocks of a real network carry the time of the test's run.
    let newest = untrusted
        .signed_header
        .header
        .time
        .max(trusted.signed_header.header.time);
    let options = Options {
        trust_threshold: TrustThreshold::ONE_THIRD,
        trusting_period: Duration::from_secs(10 * 365 * 86_400),
        clock_drift: Duration::from_secs(5),
    };
    ProdVerifier::default().verify_update_header(
        untrusted.as_untrusted_state(),
        trusted.as_trusted_state(),
        &options,
        (newest + Duration::from_secs(1)).unwrap(),
    )
}

fn txs_strategy() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let tx = (0..20_u8, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(key, value)| {
        let mut tx = format!("k{key}=").into_bytes();
        tx.extend(value);
        tx
    });
    proptest::collection::vec(proptest::collection::vec(tx, 0..5), 3..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn light_client_accepts_every_header_and_no_forgery(
        blocks in txs_strategy(), validators in 1_u8..6, flip in any::<proptest::sample::Index>()
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut chain, app, genesis) = open(directory.path(), validators);
        for (index, txs) in blocks.into_iter().enumerate() {
            chain.make_block(txs, time(i64::try_from(index).unwrap())).unwrap();
        }
        let light = light_blocks(chain, app, &genesis);
        for pair in light.windows(2) {
            prop_assert_eq!(verdict(&pair[1], &pair[0]), Verdict::Success);
        }
        let (first, last) = (&light[0], &light[light.len() - 1]);
        prop_assert_eq!(verdict(last, first), Verdict::Success);

        let mut other_hash = last.clone();
        let mut hash = other_hash.signed_header.header.app_hash.as_bytes().to_vec();
        let at = flip.index(hash.len());
        hash[at] ^= 1;
        other_hash.signed_header.header.app_hash = hash.try_into().unwrap();
        prop_assert!(matches!(verdict(&other_hash, first), Verdict::Invalid(_)));

        let mut other_data = last.clone();
        other_data.signed_header.header.data_hash = Some(Hash::Sha256([7; 32]));
        prop_assert!(matches!(verdict(&other_data, first), Verdict::Invalid(_)));

        let mut other_signature = last.clone();
        for signature in &mut other_signature.signed_header.commit.signatures {
            if let tendermint::block::CommitSig::BlockIdFlagCommit { signature: Some(signature), .. } = signature {
                let mut bytes = signature.as_bytes().to_vec();
                let at = flip.index(bytes.len());
                bytes[at] ^= 1;
                *signature = tendermint::Signature::try_from(bytes).unwrap();
            }
        }
        prop_assert_ne!(verdict(&other_signature, first), Verdict::Success);
    }

    #[test]
    fn two_runs_of_one_log_are_byte_equal(blocks in txs_strategy()) {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut first, ..) = open(a.path(), 4);
        let (mut second, ..) = open(b.path(), 4);
        for (index, txs) in blocks.into_iter().enumerate() {
            let now = time(i64::try_from(index).unwrap());
            first.make_block(txs.clone(), now).unwrap();
            let height = second.make_block(txs, now).unwrap();
            prop_assert_eq!(first.store().block(height).unwrap(), second.store().block(height).unwrap());
            prop_assert_eq!(first.store().commit(height).unwrap(), second.store().commit(height).unwrap());
        }
        prop_assert_eq!(first.app_hash(), second.app_hash());
    }
}

#[test]
fn restart_continues_at_the_same_height_and_hash() {
    let directory = tempfile::tempdir().unwrap();
    let (mut chain, app, _) = open(directory.path(), 4);
    chain.make_block(vec![b"a=1".to_vec()], time(1)).unwrap();
    chain
        .make_block(vec![b"b=2".to_vec(), b"fail=".to_vec()], time(2))
        .unwrap();
    let (height, hash) = (chain.height(), chain.app_hash());
    drop((chain, app));
    let (mut chain, app, _) = open(directory.path(), 4);
    assert_eq!((chain.height(), chain.app_hash()), (height, hash));
    assert_eq!(
        app.executed.load(Ordering::SeqCst),
        0,
        "nothing is executed twice"
    );
    chain.make_block(vec![], time(3)).unwrap();
    let header = chain.store().block(3).unwrap().unwrap().header;
    assert_eq!(header.app_hash.as_bytes(), hash);
}

#[test]
fn lost_state_store_is_rebuilt_from_the_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let (mut chain, app, _) = open(directory.path(), 4);
    for second in 1..6 {
        chain
            .make_block(vec![format!("k{second}=v").into_bytes()], time(second))
            .unwrap();
    }
    let (height, hash) = (chain.height(), chain.app_hash());
    drop((chain, app));
    std::fs::remove_file(directory.path().join("state.redb")).unwrap();
    let (chain, app, _) = open(directory.path(), 4);
    assert_eq!((chain.height(), chain.app_hash()), (height, hash));
    assert_eq!(app.executed.load(Ordering::SeqCst), 5);
}

#[test]
fn lost_blocks_are_reported_not_papered_over() {
    let directory = tempfile::tempdir().unwrap();
    let (mut chain, app, _) = open(directory.path(), 4);
    chain.make_block(vec![b"a=1".to_vec()], time(1)).unwrap();
    drop((chain, app));
    std::fs::remove_file(directory.path().join("blocks.redb")).unwrap();
    let (genesis, keys) = network(4);
    let app = Arc::new(Kv::open(directory.path(), genesis.hash(), 100).unwrap());
    let blocks = Arc::new(BlockStore::open(&directory.path().join("blocks.redb"), genesis.hash()).unwrap());
    let error = Chain::open(genesis, keys, blocks, app).unwrap_err();
    assert!(matches!(error, NodeError::StoreCorrupt { .. }), "{error}");
}

#[test]
fn each_transaction_is_followed_by_a_block_that_proves_it() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, app, genesis) = open(directory.path(), 4);
    let engine = start(chain, Arc::clone(&app), &genesis);
    let hash = engine.submit_tx(b"key=value".to_vec()).unwrap();
    assert!(matches!(
        engine.submit_tx(b"bad".to_vec()),
        Err(NodeError::TxRefused { code: 1, .. })
    ));
    let location = wait(|| app.store.tx_location(&hash.0).unwrap());
    let proving = wait(|| engine.block(location.height + 1).unwrap());
    engine.stop();
    let query = haca_node::application::Query {
        key: b"key".to_vec(),
        height: Some(location.height),
    };
    let proven = app.query(&query).unwrap();
    let root = proving.block.header.app_hash.as_bytes().to_vec();
    let proof = prost_ics23::Message::decode(proven.proof.as_slice()).unwrap();
    let value = proven.value.unwrap();
    assert!(ics23::verify_membership::<ics23::HostFunctionsManager>(
        &proof,
        &jmt::ics23_spec(),
        &root,
        b"key",
        &value
    ));
    assert!(!ics23::verify_membership::<ics23::HostFunctionsManager>(
        &proof,
        &jmt::ics23_spec(),
        &root,
        b"key",
        b"other"
    ));
}

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks. Those who make it happen need the processor.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);

/// Polls for something that another thread or process brings about.
pub(crate) fn wait<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "what a test waits for did not happen");
        std::thread::sleep(PAUSE);
    }
}
