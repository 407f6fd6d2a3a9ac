//! CometBFT's own key-value store (`abci-cli kvstore`) behind the same CometBFT with the same settings.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::Guarded;
use super::rpc::Rpc;
use super::site::Site;
use super::{Cargo, failed, go_binary};
use crate::args::BenchChain;
use crate::failure::{Exit, Failure};
use crate::network::free_address;

/// Bytes of one transaction.
const TX_BYTES: usize = 250;
/// How long CometBFT may take to start.
const READY: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);

/// `key=value` transactions of distinct keys.
pub(super) fn cargo(count: usize) -> Cargo {
    let tx = |index: usize| {
        let mut tx = format!("k{index:012}=").into_bytes();
        tx.resize(TX_BYTES, b'v');
        tx
    };
    Cargo {
        txs: (0..count).map(tx).collect(),
        units_per_tx: 1,
        proof_bytes: 0,
    }
}

/// The key-value store with its CometBFT.
pub(super) struct Peer {
    comet: Guarded,
    app: Guarded,
    pub(super) rpc: Rpc,
}

impl Peer {
    /// Starts both. CometBFT's configuration is what a full node has written for it, but for addresses and socket.
    pub(super) fn start(site: &Site, bench: &BenchChain) -> Result<Self, Failure> {
        let missing = |name| {
            Failure::new(
                Exit::Failure,
                "cli.bench_peer",
                format!("{name} is not installed"),
                format!(
                    "go install github.com/cometbft/cometbft/{name}@{}, or measure other loads with --load",
                    haca_node::cometbft::COMETBFT_VERSION
                ),
            )
        };
        let kvstore = go_binary("abci-cli").ok_or_else(|| missing("abci/cmd/abci-cli"))?;
        let cometbft = bench.cometbft.clone().or_else(|| go_binary("cometbft"));
        let cometbft = cometbft.ok_or_else(|| missing("cmd/cometbft"))?;
        drop(site.start(&super::node_start(bench))?);
        let (socket, rpc, p2p) = (
            site.log("kvstore").with_extension("sock"),
            free_address()?,
            free_address()?,
        );
        let home = rewrite(&site.home().join("cometbft"), &socket, &rpc, &p2p)?;
        let address = format!("unix://{}", socket.display());
        let mut command = Command::new(kvstore);
        command.args(["kvstore", "--address", &address]);
        let app = Guarded::start(&mut command, &site.log("kvstore"))?;
        let mut command = Command::new(cometbft);
        command.args(["start", "--home"]).arg(&home);
        let comet = Guarded::start(&mut command, &site.log("comet"))?;
        let rpc = Rpc::new(&rpc);
        let start = Instant::now();
        while rpc.height().unwrap_or(0) == 0 {
            if start.elapsed() > READY {
                let log = std::fs::read_to_string(site.log("comet")).unwrap_or_default();
                return Err(failed(format!(
                    "CometBFT does not start: {}",
                    log.lines().last().unwrap_or_default()
                )));
            }
            std::thread::sleep(POLL);
        }
        Ok(Self { comet, app, rpc })
    }

    /// The processes whose use is measured.
    pub(super) fn processes(&self) -> [(&'static str, u32); 2] {
        [("app", self.app.id()), ("comet", self.comet.id())]
    }
}

/// Makes a home of CometBFT as new, with other addresses.
fn rewrite(home: &Path, socket: &Path, rpc: &str, p2p: &str) -> Result<PathBuf, Failure> {
    let data = home.join("data");
    std::fs::remove_dir_all(&data).map_err(|error| Failure::file(&data, "remove", &error))?;
    std::fs::create_dir_all(&data).map_err(|error| Failure::file(&data, "create", &error))?;
    let votes = data.join("priv_validator_state.json");
    std::fs::write(&votes, r#"{"height":"0","round":0,"step":0}"#)
        .map_err(|error| Failure::file(&votes, "write", &error))?;
    let path = home.join("config/config.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, "read", &error))?;
    let mut section = String::new();
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            if line.starts_with('[') {
                section = line.to_owned();
            }
            match (section.as_str(), line.split(" = ").next()) {
                (_, Some("proxy_app")) => format!("proxy_app = \"unix://{}\"", socket.display()),
                ("[rpc]", Some("laddr")) => format!("laddr = \"tcp://{rpc}\""),
                ("[p2p]", Some("laddr")) => format!("laddr = \"tcp://{p2p}\""),
                _ => line.to_owned(),
            }
        })
        .collect();
    std::fs::write(&path, lines.join("\n")).map_err(|error| Failure::file(&path, "write", &error))?;
    Ok(home.to_owned())
}
