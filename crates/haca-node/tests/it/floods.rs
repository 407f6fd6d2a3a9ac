//! Floods: what they make a node do is counted, what they make it hold is bounded, and nothing that pays more leaves.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use haca_ledger::{CheckProof, ModelFacts, standard_params, usable_gas};
use haca_node::{
    Genesis, NodeError,
    application::{Application, BlockPosition, Decision, InitChain},
    engine::{Mempool, MempoolLimits},
    evidence_memory::EvidenceLimits,
    ledger_app::LedgerApp,
    price_floor::KEPT_SHARE,
    store::Store,
};
use haca_wire::{
    Address, Amount, AssetId, ChainId, Domain, Encode as _, Gas, Height, Inference, Message, ModelId, Nonce,
    SecretKey, SignedTransaction, Transaction, TxMeta,
};

use super::ledger::{CHAIN_NUMBER, holder, network};

/// What the verifier was asked.
#[derive(Default)]
struct Work {
    decoded: AtomicUsize,
    verified: AtomicUsize,
}

/// Knows every key but those that begin with a zero, and no proof that is right.
struct Counting(Arc<Work>);

impl Counting {
    fn decode(&self, key: &[u8]) -> Result<(), &'static str> {
        self.0.decoded.fetch_add(1, Ordering::SeqCst);
        match key.first() {
            Some(0) | None => Err("test.key"),
            Some(_) => Ok(()),
        }
    }
}

impl CheckProof for Counting {
    fn facts(&self, key: &[u8]) -> Result<ModelFacts, &'static str> {
        self.decode(key)?;
        Ok(ModelFacts {
            model: ModelId(*blake3::hash(key).as_bytes()),
            units: 1,
            max_batch: 1,
            batch_gas: vec![Gas(1)],
            answer_bytes: 1_000,
            outputs: Vec::new(),
        })
    }
    /// Every outline is that of the dearest key.
    fn registration_gas(&self, _: &[u8]) -> Result<Gas, &'static str> {
        Ok(standard_params().gas_registration)
    }
    fn registration(&self, key: &[u8], _: &[u8]) -> Result<(), &'static str> {
        self.decode(key)?;
        self.0.verified.fetch_add(1, Ordering::SeqCst);
        Err("test.proof")
    }
    fn settlement(&self, _: &[u8], _: &[u8; 32], _: &[Inference], _: &[u8]) -> Result<(), &'static str> {
        self.0.verified.fetch_add(1, Ordering::SeqCst);
        Err("test.proof")
    }
}

/// A ledger with a counted verifier, before a mempool.
struct Node {
    _directory: tempfile::TempDir,
    genesis: Genesis,
    app: LedgerApp,
    work: Arc<Work>,
    sent: u64,
}

const POSITION: BlockPosition = BlockPosition {
    height: 1,
    time_unix_s: 0,
    proposer: [0; 20],
};

impl Node {
    fn new(floor: Option<MempoolLimits>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let genesis = network(directory.path(), 1);
        let store = Store::open(&directory.path().join("state.redb"), genesis.hash(), 100).unwrap();
        let work = Arc::new(Work::default());
        let checker = Box::new(Counting(Arc::clone(&work)));
        let limits = EvidenceLimits {
            threads: 3,
            ..EvidenceLimits::default()
        };
        let app = LedgerApp::with_limits(genesis.clone(), store, checker, Arc::default(), limits);
        let app = match floor {
            Some(limits) => app.before_mempool(&limits),
            None => app,
        };
        let start = InitChain {
            chain_id: genesis.chain_id.to_string(),
            initial_height: 1,
            validators: genesis.validators.members(),
        };
        app.init_chain(&start).unwrap();
        Self {
            _directory: directory,
            genesis,
            app,
            work,
            sent: 0,
        }
    }

    fn sign(&mut self, sender: &SecretKey, tip: u128, message: Message) -> Vec<u8> {
        self.sent += 1;
        self.sign_as(sender, self.sent, tip, message)
    }

    fn sign_as(&self, sender: &SecretKey, number: u64, tip: u128, message: Message) -> Vec<u8> {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let meta = TxMeta {
            sender: sender.address(),
            expiry: Height(300),
            nonce: Nonce(nonce),
            max_base_fee: Amount(1 << 40),
            tip: Amount(tip),
            sponsor: Address::default(),
        };
        let domain = Domain {
            chain_id: ChainId(CHAIN_NUMBER),
            genesis: self.genesis.hash(),
        };
        SignedTransaction::sign(Transaction { meta, message }, &domain, sender)
            .unwrap()
            .encode()
    }

    fn transfer(&mut self, sender: &SecretKey, tip: u128, amount: u128) -> Vec<u8> {
        let message = Message::Transfer {
            to: Address([9; 20]),
            asset: AssetId::OPG,
            amount: Amount(amount),
        };
        self.sign(sender, tip, message)
    }

    /// A block of what may stand in it, and how many transactions that were.
    fn block(&self, candidates: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let position = BlockPosition {
            height: self.app.info().unwrap().height + 1,
            ..POSITION
        };
        let txs = self.app.prepare_proposal(position, candidates, 8 << 20).unwrap();
        assert!(self.app.process_proposal(position, &txs).unwrap());
        let done = self
            .app
            .finalize_block(position, &txs, &Decision::default())
            .unwrap();
        let used: u64 = done.results.iter().map(|result| result.gas_used).sum();
        assert!(used <= usable_gas(&standard_params()).0);
        self.app.commit().unwrap();
        txs
    }

    /// `count` accounts that can pay.
    fn senders(&mut self, count: u8) -> Vec<SecretKey> {
        let senders: Vec<_> = (0..count)
            .map(|tag| SecretKey::from_bytes(&[100 + tag; 32]).unwrap())
            .collect();
        let fund: Vec<_> = senders
            .iter()
            .map(|sender| {
                let message = Message::Transfer {
                    to: sender.address(),
                    asset: AssetId::OPG,
                    amount: Amount(1_000_000_000_000),
                };
                self.sign(&holder(), 0, message)
            })
            .collect();
        assert_eq!(self.block(fund).len(), usize::from(count));
        senders
    }
}

fn registration(number: u32, first: u8) -> Message {
    let mut verifying_key = vec![first];
    verifying_key.extend(number.to_be_bytes());
    Message::RegisterModel {
        verifying_key,
        proof: vec![1],
    }
}

/// Registrations that a block has room for.
fn registrations_of_a_block() -> usize {
    let params = standard_params();
    usize::try_from(usable_gas(&params).0 / params.gas_registration.0).unwrap()
}

/// Keys that are none take as long to look at as others, and nobody is refused for one without paying.
#[test]
fn a_flood_of_false_keys_is_looked_at_as_far_as_a_block_pays_for_it() {
    let mut node = Node::new(None);
    let most = registrations_of_a_block();
    let txs: Vec<_> = (0..200)
        .map(|n| node.sign(&holder(), 0, registration(n, 0)))
        .collect();
    for tx in &txs {
        assert_eq!(node.app.check_tx(tx, false).unwrap().code, 0);
    }
    let included = node.block(txs);
    assert_eq!(included.len(), most);
    let work = Arc::clone(&node.work);
    drop(node);
    let decoded = work.decoded.load(Ordering::SeqCst);
    // Ahead of the block and by it.
    assert!((most..=2 * most).contains(&decoded), "{decoded}");
    assert_eq!(work.verified.load(Ordering::SeqCst), 0);
}

/// What is verified ahead is verified once, and no more of it than a block pays for.
#[test]
fn a_flood_of_false_proofs_is_verified_once_each_and_as_far_as_a_block_pays() {
    let mut node = Node::new(None);
    let most = registrations_of_a_block();
    let mut txs: Vec<_> = (0..60)
        .map(|n| node.sign(&holder(), 0, registration(n, 1)))
        .collect();
    for block in 1..=4 {
        for tx in &txs {
            assert_eq!(node.app.check_tx(tx, block > 1).unwrap().code, 0);
        }
        let included = node.block(txs.clone());
        assert_eq!(included.len(), most, "each of them burns its gas");
        txs.retain(|tx| !included.contains(tx));
        // Equal tips are included in the order in which they came, so the same ones were verified ahead.
        assert_eq!(node.work.verified.load(Ordering::SeqCst), block * most);
    }
}

#[test]
fn variants_of_one_transaction_are_not_verified_one_by_one() {
    let node = Node::new(None);
    let first = node.sign_as(&holder(), 1, 0, registration(1, 1));
    assert_eq!(node.app.check_tx(&first, false).unwrap().code, 0);
    for number in 2..100 {
        let tx = node.sign_as(&holder(), 1, 0, registration(number, 1));
        let refused = node.app.check_tx(&tx, false).unwrap();
        assert!(refused.log.contains("ledger.nonce_waiting"), "{}", refused.log);
    }
    let work = Arc::clone(&node.work);
    drop(node);
    assert!(work.verified.load(Ordering::SeqCst) <= 1);
}

#[test]
fn who_has_money_for_one_transaction_has_one_verified() {
    let mut node = Node::new(None);
    let poor = SecretKey::from_bytes(&[200; 32]).unwrap();
    let fund = Message::Transfer {
        to: poor.address(),
        asset: AssetId::OPG,
        amount: Amount(u128::from(standard_params().gas_registration.0) * 3 / 2),
    };
    let fund = node.sign(&holder(), 0, fund);
    assert_eq!(node.block(vec![fund]).len(), 1);
    let mut admitted = 0;
    for number in 0..50 {
        let tx = node.sign(&poor, 0, registration(number, 1));
        admitted += usize::from(node.app.check_tx(&tx, false).unwrap().is_ok());
    }
    assert_eq!(admitted, 1);
    let work = Arc::clone(&node.work);
    drop(node);
    assert!(work.verified.load(Ordering::SeqCst) <= 1);
}

const SMALL: MempoolLimits = MempoolLimits {
    transactions: 20,
    bytes: 1 << 20,
    tx_bytes: 1 << 20,
};

/// The rules of CometBFT's mempool: first come, first served; full is full; checked again after each block.
struct FirstCome {
    queue: VecDeque<Vec<u8>>,
}

impl FirstCome {
    fn submit(&mut self, tx: Vec<u8>, app: &dyn Application) -> bool {
        let taken = self.queue.len() < SMALL.transactions && app.check_tx(&tx, false).unwrap().is_ok();
        if taken {
            self.queue.push_back(tx);
        }
        taken
    }

    fn settle(&mut self, included: &[Vec<u8>], app: &dyn Application) {
        self.queue
            .retain(|tx| !included.contains(tx) && app.check_tx(tx, true).unwrap().is_ok());
    }
}

/// Many senders with one transaction each at the least price; then somebody pays.
#[test]
fn a_flood_at_the_least_price_keeps_out_nobody_who_pays_more_before_cometbft() {
    let mut node = Node::new(Some(SMALL));
    let senders = node.senders(60);
    let mut mempool = FirstCome {
        queue: VecDeque::new(),
    };
    let share = SMALL.transactions - SMALL.transactions / KEPT_SHARE;
    for (number, sender) in senders.iter().enumerate() {
        let tx = node.transfer(sender, 0, 1);
        assert_eq!(mempool.submit(tx, &node.app), number < share, "{number}");
    }
    let paying: Vec<_> = (1..=5)
        .map(|tip| node.transfer(&holder(), tip * 1_000_000, 1))
        .collect();
    for tx in &paying {
        assert!(
            mempool.submit(tx.clone(), &node.app),
            "there is room for who pays"
        );
    }
    let late = node.transfer(&senders[59], 0, 2);
    assert!(!mempool.submit(late, &node.app));
    // Nothing is included: what was pushed out leaves all the same, and none that pays more.
    let nothing = node.block(Vec::new());
    mempool.settle(&nothing, &node.app);
    assert_eq!(mempool.queue.len(), share);
    for tx in &paying {
        assert!(mempool.queue.contains(tx));
    }
}

#[test]
fn a_flood_at_the_least_price_keeps_out_nobody_who_pays_more_in_the_dev_engine() {
    let mut node = Node::new(None);
    let senders = node.senders(60);
    let mempool = Mempool::new(SMALL);
    for (number, sender) in senders.iter().enumerate() {
        let tx = node.transfer(sender, 0, 1);
        let found = mempool.submit(tx, &node.app);
        match number < SMALL.transactions {
            true => assert!(found.is_ok(), "{found:?}"),
            false => assert!(matches!(found, Err(NodeError::MempoolFull { .. })), "{found:?}"),
        }
    }
    let paying: Vec<_> = (1..=5)
        .map(|tip| node.transfer(&holder(), tip * 1_000_000, 1))
        .collect();
    for tx in &paying {
        mempool.submit(tx.clone(), &node.app).unwrap();
    }
    assert_eq!(mempool.size().0, SMALL.transactions);
    let waiting = mempool.reap(usize::MAX);
    let best: Vec<_> = paying.iter().rev().cloned().collect();
    assert_eq!(waiting[..5], best, "best paid first");
    let included = node.block(waiting);
    mempool.settle(&included, &node.app).unwrap();
    assert_eq!(mempool.size(), (0, 0));
}

#[test]
fn who_is_refused_pushes_out_nobody() {
    let mut node = Node::new(Some(MempoolLimits {
        transactions: 4,
        ..SMALL
    }));
    let waiting: Vec<_> = (0..3).map(|_| node.transfer(&holder(), 10, 1)).collect();
    for tx in &waiting {
        assert!(node.app.check_tx(tx, false).unwrap().is_ok());
    }
    let message = registration(1, 1);
    let same_nonce = node.sign_as(&holder(), node.sent, 1 << 40, message);
    let refused = node.app.check_tx(&same_nonce, false).unwrap();
    assert!(refused.log.contains("ledger.nonce_waiting"), "{}", refused.log);
    let cheap = node.transfer(&holder(), 10, 2);
    let refused = node.app.check_tx(&cheap, false).unwrap();
    assert!(refused.log.contains("ledger.outbid"), "{}", refused.log);
    node.block(Vec::new());
    for tx in &waiting {
        assert!(
            node.app.check_tx(tx, true).unwrap().is_ok(),
            "all three are still there"
        );
    }
}
