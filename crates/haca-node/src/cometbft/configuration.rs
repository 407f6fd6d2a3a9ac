//! `config.toml`, as CometBFT reads it at its start.

use std::path::Path;

use super::{CometConfig, Peer, StateSync, layout::Ports};
use crate::engine::MempoolLimits;

/// How old the trusted header may be: as old as misbehaviour of its validators is still punished.
const TRUST_PERIOD: &str = "48h0m0s";
/// Bytes of an RPC body: a transaction in base64 and the JSON around it.
const RPC_BODY_BYTES: usize = haca_wire::limit::TX_BYTES * 3 / 2 + 4096;

fn list(peers: &[Peer]) -> String {
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    peers.join(",")
}

/// CometBFT ignores this section once it has a state.
fn state_sync(from: Option<&StateSync>) -> String {
    let Some(from) = from else {
        return "enable = false".to_owned();
    };
    let mut servers: Vec<String> = from.rpc_servers.iter().map(ToString::to_string).collect();
    // CometBFT asks for two, of which one is the witness of the other.
    if let [only] = servers.as_slice() {
        servers.push(only.clone());
    }
    format!(
        r#"enable = true
rpc_servers = "{}"
trust_height = {}
trust_hash = "{}"
trust_period = "{TRUST_PERIOD}"
discovery_time = "5s""#,
        servers.join(","),
        from.trust_height,
        hex::encode_upper(from.trust_hash),
    )
}

/// The document. Keys that are not here keep CometBFT's defaults.
///
/// Recheck: an application behind a socket has `recheck_timeout` to look at all that waits, and what it answers later is
/// ignored. 5,000 signatures take about half a second and evidence is remembered, so ten seconds are plenty.
///
/// Responses: the application indexes what each transaction led to; CometBFT keeps those of the last block.
pub(super) fn toml(config: &CometConfig, ports: &Ports, socket: &Path) -> String {
    let Ports { rpc, p2p } = ports;
    let (rpc_host, p2p_host) = (config.rpc.ip(), config.p2p.ip());
    let (rpc, p2p) = (
        std::net::SocketAddr::new(rpc_host, *rpc),
        std::net::SocketAddr::new(p2p_host, *p2p),
    );
    // Peers on this machine share its address, which the address book of a public network refuses.
    let local = p2p_host.is_loopback();
    let external = config
        .external_address
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (persistent, seeds) = (list(&config.persistent_peers), list(&config.seeds));
    let timeout_commit = config.timeout_commit.as_millis();
    let recheck = config.recheck;
    let MempoolLimits {
        transactions,
        bytes,
        tx_bytes,
    } = MempoolLimits::default();
    let socket = socket.display();
    let state_sync = state_sync(config.state_sync.as_ref());
    let exchange = config.peer_exchange;
    let signer = config
        .remote_signer
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!(
        r#"proxy_app = "unix://{socket}"
moniker = "haca"
abci = "socket"
log_level = "info"
filter_peers = false
priv_validator_laddr = "{signer}"

[rpc]
laddr = "tcp://{rpc}"
max_body_bytes = {RPC_BODY_BYTES}
pprof_laddr = ""

[p2p]
laddr = "tcp://{p2p}"
external_address = "{external}"
persistent_peers = "{persistent}"
seeds = "{seeds}"
pex = {exchange}
addr_book_strict = {strict}
allow_duplicate_ip = {local}

[mempool]
type = "flood"
recheck = {recheck}
recheck_timeout = "10s"
size = {transactions}
max_txs_bytes = {bytes}
max_tx_bytes = {tx_bytes}

[statesync]
{state_sync}

[consensus]
timeout_commit = "{timeout_commit}ms"
create_empty_blocks = true

[tx_index]
indexer = "null"

[storage]
discard_abci_responses = true

[instrumentation]
prometheus = false
"#,
        strict = !local,
    )
}
