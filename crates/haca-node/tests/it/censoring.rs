//! A quarter of the validators that censors, through CometBFT: it takes no transaction, passes none on, proposes none, and
//! votes against every block that holds one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use haca_node::{
    Genesis, NodeError,
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
    cometbft::{CometBft, CometConfig, Peer, node_id},
    driver::{DecidedBlock, Driver as _},
    engine::ValidatorKey,
    home::{Home, init_network, standard_app_state},
    ledger_app::LedgerApp,
    loopback,
    store::Store,
};

use super::{
    cometbft::{config, require_cometbft},
    engine::{time, wait},
    ledger::{CHAIN_NUMBER, NoEvidence, holder, transfer},
};

const NODES: usize = 4;
const CENSOR: usize = 2;
const TRANSFERS: u64 = 12;

/// A ledger whose operator wants nothing to happen.
struct Censor(Arc<LedgerApp>);

impl Application for Censor {
    fn info(&self) -> Result<Info, NodeError> {
        self.0.info()
    }
    fn init_chain(&self, request: &InitChain) -> Result<AppHash, NodeError> {
        self.0.init_chain(request)
    }
    fn check_tx(&self, _: &[u8], _: bool) -> Result<TxResult, NodeError> {
        Ok(TxResult {
            code: 1,
            log: "censored".to_owned(),
            ..TxResult::default()
        })
    }
    fn prepare_proposal(
        &self,
        position: BlockPosition,
        _: Vec<Vec<u8>>,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        self.0.prepare_proposal(position, Vec::new(), max_bytes)
    }
    fn process_proposal(&self, _: BlockPosition, txs: &[Vec<u8>]) -> Result<bool, NodeError> {
        Ok(txs.is_empty())
    }
    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        self.0.finalize_block(position, txs, decision)
    }
    fn commit(&self) -> Result<(), NodeError> {
        self.0.commit()
    }
    fn query(&self, query: &Query) -> Result<ProvenValue, NodeError> {
        self.0.query(query)
    }
}

fn ledger(home: &Home, genesis: &Genesis) -> Arc<LedgerApp> {
    let store = Store::open(&home.state(), genesis.hash(), 100).unwrap();
    let evidence = Box::new(NoEvidence);
    Arc::new(LedgerApp::new(genesis.clone(), store, evidence, Arc::default()))
}

/// Four nodes that know each other; the censor's is one of them.
fn start(homes: &[Home], genesis: &Genesis) -> Vec<CometBft> {
    let places: Vec<SocketAddr> = homes.iter().map(|_| loopback::reserve().unwrap()).collect();
    let peers: Vec<Peer> = homes
        .iter()
        .zip(&places)
        .map(|(home, place)| format!("{}@{place}", node_id(home).unwrap()).parse().unwrap())
        .collect();
    let start = |(index, home): (usize, &Home)| {
        let others = peers.iter().enumerate().filter(|(other, _)| *other != index);
        let config = CometConfig {
            p2p: places[index],
            persistent_peers: others.map(|(_, peer)| peer.clone()).collect(),
            timeout_commit: Duration::from_millis(100),
            ..config()
        };
        let app: Arc<dyn Application> = match index {
            CENSOR => Arc::new(Censor(ledger(home, genesis))),
            _ => ledger(home, genesis),
        };
        CometBft::start(&config, home, genesis, app, || ()).unwrap()
    };
    homes.iter().enumerate().map(start).collect()
}

#[test]
fn a_censoring_quarter_keeps_nothing_out_of_the_chain() {
    require_cometbft();
    let directory = tempfile::tempdir().unwrap();
    let homes: Vec<Home> = (0..NODES)
        .map(|index| Home::new(directory.path().join(index.to_string())))
        .collect();
    let genesis = init_network(&homes, "haca-censored", time(0), |validators| {
        standard_app_state(CHAIN_NUMBER, holder().address(), validators)
    })
    .unwrap();
    let nodes = start(&homes, &genesis);
    assert!(nodes[CENSOR].submit_tx(transfer(&genesis, 99, 1, 300)).is_err());

    // One transaction at a time, each to another honest node, until all are in blocks.
    let (mut blocks, mut included): (Vec<DecidedBlock>, u64) = (Vec::new(), 0);
    let censor = ValidatorKey::read(&homes[CENSOR].validators().join("0.json")).unwrap();
    let censor = censor.address().unwrap();
    let is_censors = |block: &DecidedBlock| block.block.header.proposer_address == censor;
    while included < TRANSFERS || blocks.iter().filter(|block| is_censors(block)).count() < 3 {
        if included < TRANSFERS {
            let honest = [0, 1, 3][included as usize % 3];
            let expiry = blocks.len() as u64 + 200;
            let tx = transfer(&genesis, included, 1, expiry);
            nodes[honest].submit_tx(tx.clone()).unwrap();
            loop {
                let block = wait(|| nodes[0].block(blocks.len() as u64 + 1).unwrap());
                let is_in = block.block.data.contains(&tx);
                blocks.push(block);
                assert!(
                    is_in || (blocks.len() as u64) < expiry,
                    "kept out until it expired"
                );
                if is_in {
                    break;
                }
            }
            included += 1;
        } else {
            let block = wait(|| nodes[0].block(blocks.len() as u64 + 1).unwrap());
            blocks.push(block);
        }
    }

    // The censor proposes, and its blocks are empty; the others' blocks are decided without its vote.
    assert!(
        blocks
            .iter()
            .all(|block| !is_censors(block) || block.block.data.is_empty())
    );
    let rounds = |pair: &[DecidedBlock]| pair.iter().all(|block| block.commit.round.value() == 0);
    let in_a_row = blocks
        .windows(2)
        .filter(|pair| rounds(pair) && pair.iter().all(&is_censors));
    assert_eq!(in_a_row.count(), 0, "never twice in a row");
    for node in &nodes {
        let last = blocks.last().unwrap();
        let height = last.block.header.height.value();
        let theirs = wait(|| node.block(height).unwrap());
        assert_eq!(theirs.id.hash, last.id.hash, "also the censor follows the chain");
    }
    nodes.iter().for_each(|node| node.stop());
}
