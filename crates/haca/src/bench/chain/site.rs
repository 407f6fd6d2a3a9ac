//! A network of one validator for a benchmark: its genesis, and the full node that runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haca_client::NodeClient;
use haca_node::Genesis;
use haca_node::home::{Home, standard_app_state};
use haca_wire::{Address, ChainId, ConsensusKey, Domain, SecretKey};
use serde_json::{Value, json};

use super::failed;
use super::process::{Paused, children};
use super::rpc::Rpc;
use crate::failure::Failure;
use crate::network::{Process, free_address};
use crate::setup::node as node_failure;

/// Accounts that transfer among each other.
const ACCOUNTS: u32 = 256;
/// What each of them holds of OPG's smallest unit.
const HELD: u128 = 1_000_000_000_000_000;
/// The number in the EIP-712 domain.
const CHAIN_NUMBER: u64 = 7410;

/// A directory with a genesis document.
pub(in crate::bench) struct Site {
    dir: PathBuf,
    /// What signatures are made for.
    pub(in crate::bench) domain: Domain,
    /// Accounts with OPG.
    pub(in crate::bench) accounts: Vec<SecretKey>,
}

/// How a full node is started.
pub(in crate::bench) struct NodeStart<'a> {
    /// Time between a block and the next height.
    pub(in crate::bench) commit_ms: u64,
    /// CometBFT's binary, in place of the one on PATH.
    pub(in crate::bench) cometbft: Option<&'a Path>,
    /// Another build of this program, or of `haca-node`, that is the full node.
    pub(in crate::bench) build: Option<&'a Path>,
    /// What else is on its command line.
    pub(in crate::bench) flags: &'a [&'a str],
}

/// A full node with its CometBFT.
pub(in crate::bench) struct Running {
    process: Process,
    comet: u32,
    /// CometBFT's RPC.
    pub(in crate::bench) rpc: Rpc,
    /// The full node's API.
    pub(in crate::bench) client: NodeClient,
}

/// A key that nobody else has to know.
fn key(number: u32) -> SecretKey {
    let bytes = blake3::derive_key("haca benchmark account", &number.to_le_bytes());
    // Not one in 2^127 digests is no key.
    SecretKey::from_bytes(&bytes).unwrap_or_else(|| key(number.wrapping_add(1 << 31)))
}

impl Site {
    /// Makes keys and genesis. `change` may change the ledger's first state.
    pub(in crate::bench) fn make(dir: &Path, change: impl FnOnce(&mut Value)) -> Result<Self, Failure> {
        let accounts: Vec<SecretKey> = (0..ACCOUNTS).map(key).collect();
        let holder = Address([0x11; 20]);
        let home = Home::new(dir.join("node"));
        let state = |validators: &[ConsensusKey]| {
            let mut state = standard_app_state(CHAIN_NUMBER, holder, validators);
            let all = state["balances"][0]["amount"].as_str().unwrap_or_default();
            let all: u128 = all.parse().unwrap_or_default();
            let rest = all.saturating_sub(HELD * u128::from(ACCOUNTS));
            state["balances"][0]["amount"] = json!(rest.to_string());
            if let Some(balances) = state["balances"].as_array_mut() {
                balances.extend(accounts.iter().map(|account| {
                    json!({ "account": account.address().to_string(), "asset": 0, "amount": HELD.to_string() })
                }));
            }
            change(&mut state);
            state
        };
        let genesis: Genesis =
            haca_node::home::init(&home, "haca-bench-1", tendermint::Time::now(), 1, state)
                .map_err(node_failure)?;
        Ok(Self {
            dir: dir.to_owned(),
            domain: Domain {
                chain_id: ChainId(CHAIN_NUMBER),
                genesis: genesis.hash(),
            },
            accounts,
        })
    }

    /// The full node's home.
    pub(in crate::bench) fn home(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// Where logs go.
    pub(in crate::bench) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Starts the full node over CometBFT, and waits until it is ready.
    pub(in crate::bench) fn start(&self, start: &NodeStart<'_>) -> Result<Running, Failure> {
        let (listen, rpc) = (free_address()?, free_address()?);
        let commit_ms = start.commit_ms.to_string();
        let home = self.home();
        // What validators run has no other commands.
        let is_node = |build: &Path| build.file_stem().is_some_and(|name| name == "haca-node");
        let mut paths = match start.build.is_some_and(is_node) {
            true => Vec::new(),
            false => vec!["node".as_ref()],
        };
        paths.extend(["start".as_ref(), "--home".as_ref(), home.as_os_str()]);
        if let Some(binary) = start.cometbft {
            paths.extend(["--cometbft".as_ref(), binary.as_os_str()]);
        }
        let mut flags = vec![
            "--engine",
            "cometbft",
            "--listen",
            &listen,
            "--comet-rpc",
            &rpc,
            "--commit-ms",
            &commit_ms,
        ];
        flags.extend(start.flags);
        let mut process =
            Process::start_build("full node", &self.log("node"), start.build, &paths, &flags, true)?;
        let client = NodeClient::new(&format!("http://{listen}"));
        process.wait_ready(|| client.is_ready())?;
        let comet = *children(process.id())
            .first()
            .ok_or_else(|| failed("CometBFT is no child of the node"))?;
        Ok(Running {
            process,
            comet,
            rpc: Rpc::new(&rpc),
            client,
        })
    }
}

impl Running {
    /// Stops time for the chain, until the value is dropped.
    pub(in crate::bench) fn pause(&self) -> Result<Paused, Failure> {
        Paused::new(&[self.process.id(), self.comet])
    }

    /// The processes whose use is measured.
    pub(in crate::bench) fn processes(&self) -> [(&'static str, u32); 2] {
        [("app", self.process.id()), ("comet", self.comet)]
    }

    /// Fails unless at least `count` transactions succeeded, and none failed.
    pub(in crate::bench) fn check_all_succeeded(&self, count: usize) -> Result<(), Failure> {
        let metrics = self.client.metrics().map_err(crate::session::client)?;
        let mut succeeded = 0;
        for line in metrics
            .lines()
            .filter_map(|line| line.strip_prefix("haca_transactions_total{code=\""))
        {
            match line.split_once("\"} ") {
                Some(("0", number)) => succeeded = number.parse().unwrap_or(0),
                _ => return Err(failed(format!("transactions failed with code {line}"))),
            }
        }
        if succeeded < count {
            return Err(failed(format!("{succeeded} of {count} transactions succeeded")));
        }
        Ok(())
    }

    /// The height up to which nodes wait for a transaction to be seen.
    pub(in crate::bench) const PATIENCE: Duration = Duration::from_secs(60);
}
