//! CometBFT's directory: configuration, genesis document, validator key.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use super::CometConfig;
use crate::{error::NodeError, genesis::Genesis, home::Home};

/// Longest path of a unix socket on Linux, without the final zero.
const SOCKET_PATH_BYTES: usize = 107;
/// Waiting transactions.
const MEMPOOL_TRANSACTIONS: usize = 5_000;
/// Bytes of all waiting transactions.
const MEMPOOL_BYTES: usize = 64 << 20;
/// Bytes of an RPC body: a transaction in base64 and the JSON around it.
const RPC_BODY_BYTES: usize = haca_wire::limit::TX_BYTES * 3 / 2 + 4096;

/// The ports CometBFT listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) rpc: u16,
    pub(super) p2p: u16,
}

impl Ports {
    /// The configured ports, or free ones. A configured port that is taken is an error at once.
    pub(super) fn choose(config: &CometConfig) -> Result<Self, NodeError> {
        let probe = |port: u16| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            listener
                .and_then(|listener| Ok((listener.local_addr()?.port(), listener)))
                .map_err(|source| {
                    let address = format!("127.0.0.1:{port}");
                    match source.kind() {
                        io::ErrorKind::AddrInUse => NodeError::PortInUse { address },
                        _ => NodeError::Listen { address, source },
                    }
                })
        };
        // Both are held until both are known, so that they differ.
        let (rpc, p2p) = (probe(config.rpc_port)?, probe(config.p2p_port)?);
        Ok(Self {
            rpc: rpc.0,
            p2p: p2p.0,
        })
    }
}

/// Where the ABCI socket lives: beside the stores, or in the temporary directory where that path is too long.
pub(super) fn socket_path(home: &Home) -> PathBuf {
    let beside = home.path().join("abci.sock");
    let beside = fs::canonicalize(home.path()).map_or(beside, |home| home.join("abci.sock"));
    if beside.as_os_str().len() <= SOCKET_PATH_BYTES {
        return beside;
    }
    std::env::temp_dir().join(format!("haca-abci-{}.sock", std::process::id()))
}

/// Writes everything CometBFT reads at its start. Its vote state is kept: losing it could make it sign twice.
pub(super) fn write(
    home: &Home,
    genesis: &Genesis,
    config: &CometConfig,
    ports: &Ports,
    socket: &Path,
) -> Result<(), NodeError> {
    let root = home.cometbft();
    let unwritable = |source| NodeError::DataDirectory {
        path: root.clone(),
        source,
    };
    for directory in ["config", "data"] {
        fs::create_dir_all(root.join(directory)).map_err(unwritable)?;
    }
    fs::write(root.join("config/config.toml"), toml(config, ports, socket)).map_err(unwritable)?;
    fs::write(root.join("config/genesis.json"), &genesis.bytes).map_err(unwritable)?;
    let key = root.join("config/priv_validator_key.json");
    if !key.exists() {
        let keys = home.keys()?;
        if let Some(first) = keys.first() {
            first.write(&key)?;
        }
    }
    let vote_state = root.join("data/priv_validator_state.json");
    if !vote_state.exists() {
        fs::write(vote_state, r#"{"height":"0","round":0,"step":0}"#).map_err(unwritable)?;
    }
    Ok(())
}

fn toml(config: &CometConfig, ports: &Ports, socket: &Path) -> String {
    let Ports { rpc, p2p } = ports;
    let timeout_commit = config.timeout_commit.as_millis();
    let recheck = config.recheck;
    let tx_bytes = haca_wire::limit::TX_BYTES;
    let socket = socket.display();
    // Keys that are not here keep CometBFT's defaults.
    format!(
        r#"proxy_app = "unix://{socket}"
moniker = "haca"
abci = "socket"
log_level = "info"
filter_peers = false

[rpc]
laddr = "tcp://127.0.0.1:{rpc}"
max_body_bytes = {RPC_BODY_BYTES}
pprof_laddr = ""

[p2p]
laddr = "tcp://127.0.0.1:{p2p}"
addr_book_strict = false
allow_duplicate_ip = true

[mempool]
type = "flood"
recheck = {recheck}
recheck_timeout = "10s"
size = {MEMPOOL_TRANSACTIONS}
max_txs_bytes = {MEMPOOL_BYTES}
max_tx_bytes = {tx_bytes}

[statesync]
enable = false

[consensus]
timeout_commit = "{timeout_commit}ms"
create_empty_blocks = true

[tx_index]
indexer = "null"

[instrumentation]
prometheus = false
"#
    )
}
