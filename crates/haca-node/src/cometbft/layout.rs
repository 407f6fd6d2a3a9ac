//! CometBFT's directory: configuration, genesis document, validator key.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use super::{CometConfig, LOOPBACK, configuration, peer};
use crate::{engine::ValidatorKey, error::NodeError, genesis::Genesis, home::Home, loopback};

/// Longest path of a unix socket on Linux, without the final zero.
const SOCKET_PATH_BYTES: usize = 107;
/// The ports CometBFT listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) rpc: u16,
    pub(super) p2p: u16,
}

impl Ports {
    /// The configured ports, or free ones. A configured port that is taken is an error at once.
    pub(super) fn choose(config: &CometConfig) -> Result<Self, NodeError> {
        let probe = |address: SocketAddr| {
            let place = match address == LOOPBACK {
                // CometBFT listens there only later.
                true => loopback::reserve(),
                false => Ok(address),
            };
            let listener = place.and_then(TcpListener::bind);
            listener
                .and_then(|listener| Ok((listener.local_addr()?.port(), listener)))
                .map_err(|source| {
                    let address = address.to_string();
                    match source.kind() {
                        io::ErrorKind::AddrInUse => NodeError::PortInUse { address },
                        _ => NodeError::Listen { address, source },
                    }
                })
        };
        // Both are held until both are known, so that they differ.
        let (rpc, p2p) = (probe(config.rpc)?, probe(config.p2p)?);
        Ok(Self {
            rpc: rpc.0,
            p2p: p2p.0,
        })
    }

    /// Where this machine reaches the RPC that listens at `address`.
    pub(super) fn rpc_host(&self, address: SocketAddr) -> String {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(host, self.rpc).to_string()
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
    fs::write(
        root.join("config/config.toml"),
        configuration::toml(config, ports, socket),
    )
    .map_err(unwritable)?;
    fs::write(root.join("config/genesis.json"), &genesis.bytes).map_err(unwritable)?;
    if config.remote_signer.is_none() {
        write_key(home, &root.join("config/priv_validator_key.json"))?;
    }
    peer::node_id(&home.node_key())?;
    let vote_state = root.join("data/priv_validator_state.json");
    if !vote_state.exists() {
        fs::write(vote_state, r#"{"height":"0","round":0,"step":0}"#).map_err(unwritable)?;
    }
    Ok(())
}

/// Gives CometBFT the home's key. With a remote signer CometBFT makes a file of its own there, whose key signs nothing.
fn write_key(home: &Home, path: &Path) -> Result<(), NodeError> {
    let keys = home.keys()?;
    let Some(first) = keys.first() else {
        return Ok(());
    };
    if path.exists() {
        if ValidatorKey::read(path)?.public() == first.public() {
            return Ok(());
        }
        fs::remove_file(path).map_err(|source| NodeError::DataDirectory {
            path: path.to_owned(),
            source,
        })?;
    }
    first.write(path)
}
