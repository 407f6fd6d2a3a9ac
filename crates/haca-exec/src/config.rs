//! What an inference node is started with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haca_wire::{Amount, AssetId, GenesisHash};

use crate::planner::{Decimal, Policy};

/// Settings of one inference node. Times are in milliseconds, blocks or ticks as named.
#[derive(Clone, Debug)]
pub struct ExecConfig {
    /// Directory with `account.key`, `receipt.key`, `models/` and `journal.redb`.
    pub home: PathBuf,
    /// The full node to read from and to settle through.
    pub node_url: String,
    /// Address to listen on; port 0 takes a free one.
    pub listen: String,
    /// The base URL that is registered on chain; made from the address when absent.
    pub endpoint: Option<String>,
    /// The network that must be served; the full node's word when absent.
    pub trust: Option<GenesisHash>,
    /// The asset of prices, deposits and warranties.
    pub asset: AssetId,
    /// Price of one inference with a proof.
    pub zk_price: Amount,
    /// Price of one inference with signatures only.
    pub signed_price: Amount,
    /// Price of one inference whose proof is made when the payer demands it; nothing is offered so when absent. Who offers
    /// it answers demands in time, or loses its stake.
    pub optimistic_price: Option<Amount>,
    /// Bond in the fee asset that backs warranties.
    pub bond: Amount,
    /// The largest warranty reserve that one quote promises.
    pub max_channel_warranty: Amount,
    /// The largest warranty reserve of a channel, in deposits: else a deposit of nothing ties up the bond.
    pub warranty_per_deposit: u128,
    /// Blocks for which a quote holds.
    pub quote_blocks: u64,
    /// Fewest ticks between an order and its settle-by, when nothing has to be proven before.
    pub min_settle_ticks: u64,
    /// Most receipts in one proof or one settlement transaction.
    pub max_batch: usize,
    /// Megabytes that registering or proving one model may take; what the machine has left when absent.
    pub memory_limit_mb: Option<u64>,
    /// What settling may cost, and what is waited for. Prices of assets are added from `opg_prices`.
    pub policy: Policy,
    /// Who pays the gas of settlements, as far as it is willing to; the node's account pays the rest.
    pub sponsor: Option<String>,
    /// What a whole unit of an asset is worth in whole OPG.
    pub opg_prices: BTreeMap<AssetId, Decimal>,
    /// Seconds without news of the chain above which nothing is served.
    pub stale_head_s: u64,
    /// Blocks for which a settled receipt stays in the journal, with its answer.
    pub retain_blocks: u64,
    /// Milliseconds that a tick of the settlement clock takes at least, however fast the last ones were.
    pub least_tick_ms: u64,
    /// Bounds of the HTTP API.
    pub http: HttpLimits,
}

/// What clients may take of the HTTP API at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections, each of which holds one body at most. More wait in the system's queue.
    pub connections: usize,
    /// Orders and quotes that are worked on, each of which may run a model, write to the journal or ask the full node.
    /// More are refused.
    pub requests: usize,
    /// Time for the headers of a request; also ends idle connections.
    pub header_time: Duration,
    /// Time for the body of a request.
    pub body_time: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            requests: 64,
            header_time: Duration::from_secs(15),
            body_time: Duration::from_secs(30),
        }
    }
}

impl ExecConfig {
    /// Standard settings: prices of 0.002 with and 0.0005 without proof in asset 1 at six decimals.
    pub fn new(home: impl Into<PathBuf>, node_url: impl Into<String>) -> Self {
        Self {
            home: home.into(),
            node_url: node_url.into(),
            listen: "127.0.0.1:7411".to_owned(),
            endpoint: None,
            trust: None,
            asset: AssetId(1),
            zk_price: Amount(2_000),
            signed_price: Amount(500),
            optimistic_price: None,
            bond: Amount(500_000_000),
            max_channel_warranty: Amount(50_000_000),
            warranty_per_deposit: 10,
            quote_blocks: 100,
            min_settle_ticks: 20,
            max_batch: 32,
            memory_limit_mb: None,
            policy: Policy::default(),
            sponsor: None,
            opg_prices: BTreeMap::new(),
            stale_head_s: 30,
            retain_blocks: 20_000,
            least_tick_ms: 20,
            http: HttpLimits::default(),
        }
    }

    /// The account: stake, bond, gas, quotes.
    pub fn account_key(&self) -> PathBuf {
        self.home.join("account.key")
    }

    /// The key that signs receipts.
    pub fn receipt_key(&self) -> PathBuf {
        self.home.join("receipt.key")
    }

    /// The models to serve.
    pub fn models(&self) -> PathBuf {
        self.home.join("models")
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.home.join("journal.redb")
    }

    /// Where the running node is, and what lets its operator ask it.
    pub fn operator_file(&self) -> PathBuf {
        self.home.join("operator.json")
    }

    /// The home itself.
    pub fn home(&self) -> &Path {
        &self.home
    }
}
