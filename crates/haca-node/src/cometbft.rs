//! CometBFT as a child process that drives the application over a unix socket.

mod binary;
mod configuration;
mod layout;
mod log;
mod peer;
mod process;
mod remote_signer;
mod rpc;

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use haca_wire::TxHash;
use tendermint_proto::v0_38::types;

pub use binary::{COMETBFT_VERSION, find_binary};
pub use peer::{HostPort, NodeId, Peer};
pub use remote_signer::SignerAddress;

use crate::{
    abci::{AbciAddress, AbciServer},
    application::Application,
    consensus::hash::tx_hash,
    driver::{DecidedBlock, Driver, LightBlock, Status},
    error::NodeError,
    genesis::Genesis,
    home::Home,
};
use process::Process;
pub(crate) use rpc::Rpc;

/// How often a starting CometBFT is asked.
const START_POLL: Duration = Duration::from_millis(50);

/// How an empty node starts from a snapshot: what it trusts, and whom it asks for headers. Snapshots come from its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSync {
    /// RPC addresses of CometBFT nodes that give headers. Two different ones notice when one of them lies.
    pub rpc_servers: Vec<HostPort>,
    /// Height of a block that is known to be the chain's.
    pub trust_height: u64,
    /// Its hash.
    pub trust_hash: [u8; 32],
}

impl StateSync {
    /// Refuses a trusted block that every server which answers has dropped. CometBFT would only say that it found no block.
    fn check_trusted(&self) -> Result<(), NodeError> {
        let asked = self.rpc_servers.iter();
        let syncs = asked.filter_map(|server| Rpc::new(&server.to_string()).sync().ok());
        let with_blocks: Vec<_> = syncs.filter(|sync| sync.earliest > 0).collect();
        let oldest = with_blocks.iter().map(|sync| sync.earliest).min();
        let newest = with_blocks.iter().map(|sync| sync.latest).max();
        match oldest.zip(newest) {
            Some((oldest, newest)) if self.trust_height < oldest => Err(NodeError::TrustedBlock {
                found: self.trust_height,
                oldest,
                newest,
            }),
            _ => Ok(()),
        }
    }
}

/// How to run CometBFT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CometConfig {
    /// The binary; `None` looks on PATH, then in GOPATH/bin.
    pub binary: Option<PathBuf>,
    /// The version the binary has to be of.
    pub version: String,
    /// What stands before CometBFT's command line: a program that ends with this process and becomes CometBFT, such
    /// as `haca-node with-parent`. Empty starts CometBFT by itself, which then outlives a killed node until the next
    /// start.
    pub launcher: Vec<OsString>,
    /// Address of the RPC; port 0 takes a free one.
    pub rpc: SocketAddr,
    /// Address of the peer-to-peer network; port 0 takes a free one.
    pub p2p: SocketAddr,
    /// Where other nodes reach this one, if not at the peer-to-peer address.
    pub external_address: Option<HostPort>,
    /// Nodes to stay connected with.
    pub persistent_peers: Vec<Peer>,
    /// Nodes to learn others from.
    pub seeds: Vec<Peer>,
    /// Whether addresses of other nodes are learned, passed on and dialled. A validator behind nodes of its own does
    /// not want that: nobody else is to know its address.
    pub peer_exchange: bool,
    /// Where a signer that holds the validator's key connects to; `None` signs with the key in the home.
    pub remote_signer: Option<SignerAddress>,
    /// Where an empty node gets its state from, in place of executing every block.
    pub state_sync: Option<StateSync>,
    /// Time between a commit and the next height.
    pub timeout_commit: Duration,
    /// Whether waiting transactions are checked again after each block.
    pub recheck: bool,
    /// Time that CometBFT gets to answer after its start.
    pub start_timeout: Duration,
}

/// A free port of this machine alone.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Default for CometConfig {
    fn default() -> Self {
        Self {
            binary: None,
            version: COMETBFT_VERSION.to_owned(),
            launcher: Vec::new(),
            rpc: LOOPBACK,
            p2p: LOOPBACK,
            external_address: None,
            persistent_peers: Vec::new(),
            seeds: Vec::new(),
            peer_exchange: true,
            remote_signer: None,
            state_sync: None,
            timeout_commit: Duration::from_secs(1),
            recheck: true,
            start_timeout: Duration::from_secs(60),
        }
    }
}

/// The name of the node with this home in the peer-to-peer network; its key is made if there is none.
pub fn node_id(home: &Home) -> Result<NodeId, NodeError> {
    peer::node_id(&home.node_key())
}

/// A running CometBFT node.
pub struct CometBft {
    app: Arc<dyn Application>,
    genesis_time: tendermint::Time,
    rpc: Rpc,
    process: Process,
    server: Mutex<AbciServer>,
    failure: Arc<OnceLock<String>>,
}

impl CometBft {
    /// Starts CometBFT over `app`; returns once its RPC answers. `failed` is called once if it ends by itself.
    pub fn start(
        config: &CometConfig,
        home: &Home,
        genesis: &Genesis,
        app: Arc<dyn Application>,
        failed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, NodeError> {
        let binary = find_binary(config.binary.as_deref(), &config.version)?;
        // Once the node has a state, nothing is trusted any more.
        match &config.state_sync {
            Some(from) if app.info()?.height == 0 => from.check_trusted()?,
            _ => {}
        }
        let ports = layout::Ports::choose(config)?;
        let socket = layout::socket_path(home);
        layout::write(home, genesis, config, &ports, &socket)?;
        process::end_orphan(home)?;
        if let Some(address) = &config.remote_signer {
            address.clear()?;
        }
        let failure: Arc<OnceLock<String>> = Arc::default();
        let failed = Arc::new(failed);
        let server = {
            let (failure, failed) = (Arc::clone(&failure), Arc::clone(&failed));
            AbciServer::start(&AbciAddress::Unix(socket), Arc::clone(&app), move |error| {
                let _ = failure.set(error.line());
                failed();
            })?
        };
        let process = {
            let failure = Arc::clone(&failure);
            Process::start(&config.launcher, &binary, home, move |reason| {
                let _ = failure.set(reason);
                failed();
            })?
        };
        let comet = Self {
            app,
            genesis_time: genesis.time,
            rpc: Rpc::new(&ports.rpc_host(config.rpc)),
            process,
            server: Mutex::new(server),
            failure,
        };
        comet.wait_until_ready(config.start_timeout)?;
        Ok(comet)
    }

    fn wait_until_ready(&self, patience: Duration) -> Result<(), NodeError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(reason) = self.failure() {
                return Err(NodeError::CometExited { reason });
            }
            match self.rpc.sync() {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() > deadline => {
                    return Err(NodeError::CometSilent {
                        seconds: patience.as_secs(),
                    });
                }
                Err(_) => std::thread::sleep(START_POLL),
            }
        }
    }

    /// Whether CometBFT has decided a block of this height; its header exists once the application has executed it.
    /// Blocks before a snapshot that the node started from, and pruned ones, are an error.
    fn has(&self, height: u64) -> Result<bool, NodeError> {
        let newest = self.app.info()?.height;
        if !(1..=newest).contains(&height) {
            return Ok(false);
        }
        let oldest = self.rpc.sync()?.earliest;
        if height < oldest {
            return Err(NodeError::HeightUnavailable {
                found: height,
                oldest,
                newest,
            });
        }
        Ok(true)
    }
}

impl Driver for CometBft {
    fn submit_tx(&self, tx: Vec<u8>) -> Result<TxHash, NodeError> {
        if tx.len() > haca_wire::limit::TX_BYTES {
            return Err(NodeError::TxTooLarge {
                found: tx.len(),
                expected: haca_wire::limit::TX_BYTES,
            });
        }
        self.rpc.broadcast_tx(&tx)?;
        Ok(TxHash(tx_hash(&tx)))
    }

    fn block(&self, height: u64) -> Result<Option<DecidedBlock>, NodeError> {
        if !self.has(height)? {
            return Ok(None);
        }
        let (id, block) = self.rpc.block(height)?;
        let (_, commit) = self.rpc.commit(height)?;
        let validators = self.rpc.validators(height, Some(block.header.proposer_address))?;
        Ok(Some(DecidedBlock {
            block,
            id,
            commit,
            validators,
        }))
    }

    fn light_block(&self, height: u64) -> Result<Option<LightBlock>, NodeError> {
        if !self.has(height)? {
            return Ok(None);
        }
        let (header, commit) = self.rpc.commit(height)?;
        let validators = self.rpc.validators(height, Some(header.proposer_address))?;
        let next_validators = self.rpc.validators(height + 1, None)?;
        Ok(Some(LightBlock {
            signed_header: types::SignedHeader {
                header: Some(header.into()),
                commit: Some(commit.into()),
            },
            validators: validators.to_proto(),
            next_validators: next_validators.to_proto(),
        }))
    }

    fn status(&self) -> Result<Status, NodeError> {
        let (mempool_txs, mempool_bytes) = self.rpc.mempool_size()?;
        let height = self.app.info()?.height;
        let head = if height == 0 {
            None
        } else {
            Some(self.rpc.commit(height)?)
        };
        Ok(Status {
            engine: "cometbft",
            height,
            block_hash: head
                .as_ref()
                .map(|(header, _)| header.hash().as_bytes().to_vec())
                .unwrap_or_default(),
            time: head.map_or(self.genesis_time, |(header, _)| header.time),
            mempool_txs,
            mempool_bytes,
            catching_up: self.rpc.sync()?.catching_up,
        })
    }

    fn stop(&self) {
        // CometBFT first: it may hang when its application goes away.
        self.process.stop();
        self.server.lock().unwrap_or_else(PoisonError::into_inner).stop();
    }

    fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }
}

impl Drop for CometBft {
    fn drop(&mut self) {
        self.stop();
    }
}
