//! A network of one validator for a benchmark: its genesis, and the full node that runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haca_client::NodeClient;
use haca_node::Genesis;
use haca_node::home::{Home, standard_app_state};
use haca_wire::{Address, ChainId, ConsensusKey, Domain, SecretKey};
use serde_json::json;

use super::failed;
use super::process::children;
use super::rpc::Rpc;
use crate::args::BenchChain;
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
pub(super) struct Site {
    dir: PathBuf,
    /// What signatures are made for.
    pub(super) domain: Domain,
    /// Accounts with OPG.
    pub(super) accounts: Vec<SecretKey>,
}

/// A full node with its CometBFT.
pub(super) struct Running {
    process: Process,
    comet: u32,
    /// CometBFT's RPC.
    pub(super) rpc: Rpc,
    /// The full node's API.
    pub(super) client: NodeClient,
}

/// A key that nobody else has to know.
fn key(number: u32) -> SecretKey {
    let bytes = blake3::derive_key("haca benchmark account", &number.to_le_bytes());
    // Not one in 2^127 digests is no key.
    SecretKey::from_bytes(&bytes).unwrap_or_else(|| key(number.wrapping_add(1 << 31)))
}

impl Site {
    /// Makes keys and genesis.
    pub(super) fn make(dir: &Path) -> Result<Self, Failure> {
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
    pub(super) fn home(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// Where logs go.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Starts the full node over CometBFT, and waits until it is ready.
    pub(super) fn start(&self, bench: &BenchChain) -> Result<Running, Failure> {
        let (listen, rpc) = (free_address()?, free_address()?);
        let commit_ms = bench.commit_ms.to_string();
        let home = self.home();
        let mut paths = vec![
            "node".as_ref(),
            "start".as_ref(),
            "--home".as_ref(),
            home.as_os_str(),
        ];
        if let Some(binary) = &bench.cometbft {
            paths.extend(["--cometbft".as_ref(), binary.as_os_str()]);
        }
        let flags = [
            "--engine",
            "cometbft",
            "--listen",
            &listen,
            "--comet-rpc",
            &rpc,
            "--commit-ms",
            &commit_ms,
        ];
        let mut process = Process::start_build(
            "full node",
            &self.log("node"),
            bench.build.as_deref(),
            &paths,
            &flags,
            true,
        )?;
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
    /// The processes whose use is measured.
    pub(super) fn processes(&self) -> [(&'static str, u32); 2] {
        [("app", self.process.id()), ("comet", self.comet)]
    }

    /// Fails unless at least `count` transactions succeeded, and none failed.
    pub(super) fn check_all_succeeded(&self, count: usize) -> Result<(), Failure> {
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
    pub(super) const PATIENCE: Duration = Duration::from_secs(60);
}
