//! A network in this process: a full node with the dev engine, a payer, and homes for inference nodes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use haca_client::{ClientError, InferenceClient, NodeClient, ReceiptStatus, Wallet};
use haca_exec::{ExecConfig, InferenceNode, NodeHandle};
use haca_ledger::genesis::{GenesisParams, standard_params};
use haca_node::engine::Pace;
use haca_node::evidence::ZkEvidence;
use haca_node::home::Home;
use haca_node::loopback;
use haca_node::node::{Node, NodeConfig};
use haca_wire::state::ChannelRecord;
use haca_wire::{
    Address, Amount, AssetId, ChannelId, Close, ConsensusKey, Domain, EvidenceKind, Height, Item, Message,
    ModelId, Order, OrderHash, Sequence, Signed, Tick, render,
};
use serde_json::json;

use crate::model;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// The asset of prices.
pub(crate) const DUSD: AssetId = AssetId(1);
/// Another asset.
pub(crate) const OTHER: AssetId = AssetId(2);
/// Price of an inference with a proof.
pub(crate) const ZK_FEE: u128 = 2_000;
/// Price of an inference with signatures only.
pub(crate) const FEE: u128 = 500;
/// Ticks after a settle-by before the first claim.
pub(crate) const GRACE: u64 = 2;
/// Ticks in which a claim is possible.
pub(crate) const CLAIM_WINDOW: u64 = 6;

/// Ticks in which a proof can be demanded.
pub(crate) const DEMAND_WINDOW: u64 = 60;
/// Ticks in which a demand has to be answered.
pub(crate) const RESPOND_WINDOW: u64 = 120;

/// Waits until there is an answer.
pub(crate) fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The code of a refusal by a server.
pub(crate) fn code<T: std::fmt::Debug>(refused: Result<T, ClientError>) -> String {
    match refused.unwrap_err() {
        ClientError::Refused {
            refusal,
            hint,
            message,
            ..
        } => {
            assert!(!hint.is_empty() && !message.is_empty(), "{refusal}");
            refusal
        }
        other => panic!("{other}"),
    }
}

/// The network.
pub(crate) struct World {
    dir: tempfile::TempDir,
    node: Option<haca_node::node::NodeHandle>,
    url: String,
    pub(crate) user: Wallet,
    pub(crate) domain: Domain,
}

fn genesis_state(operator: Address, user: Address, validators: &[ConsensusKey]) -> serde_json::Value {
    let mut params = serde_json::to_value(GenesisParams::from(standard_params())).unwrap();
    params["grace"] = json!(GRACE);
    params["claim_window"] = json!(CLAIM_WINDOW);
    params["demand_window"] = json!(DEMAND_WINDOW);
    params["respond_window"] = json!(RESPOND_WINDOW);
    let unit = 1_000_000_000_000_000_u128;
    let balance = |account: Address, asset| json!({ "account": account.to_string(), "asset": asset, "amount": unit.to_string() });
    let stake = standard_params().validators.min_stake.0;
    let staked = stake * validators.len() as u128;
    let asset = |id, symbol: &str| {
        let staked = if id == 0 { staked } else { 0 };
        json!({ "id": id, "symbol": symbol, "decimals": 6, "issued": (2 * unit + staked).to_string() })
    };
    json!({
        "chain_id": 77,
        "assets": [asset(0, "OPG"), asset(1, "DUSD"), asset(2, "ELSE")],
        "balances": (0..3).flat_map(|id| [balance(operator, id), balance(user, id)]).collect::<Vec<_>>(),
        "pool": "0",
        "validators": validators
            .iter()
            .map(|key| json!({ "key": key.to_string(), "account": user.to_string(), "stake": stake.to_string() }))
            .collect::<Vec<_>>(),
        "params": params,
    })
}

impl World {
    /// A full node, and a home `inference` with a funded account and one model.
    pub(crate) fn start() -> Self {
        Self::start_where(|_| {})
    }

    /// The same with other parameters at genesis.
    pub(crate) fn start_where(change: impl Fn(&mut serde_json::Value)) -> Self {
        // Only what several threads share can be kept waiting by a test. Whichever starts first makes the pool.
        let threads = std::thread::available_parallelism().map_or(2, |found| found.get().max(2));
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
        let dir = tempfile::tempdir().unwrap();
        let user = Wallet::generate().unwrap();
        let operator = Wallet::generate().unwrap();
        let home = dir.path().join("inference");
        operator.save(&home.join("account.key")).unwrap();
        std::fs::create_dir_all(home.join("models")).unwrap();
        std::fs::write(home.join("models/linear.haca"), model::file(1)).unwrap();
        let node_home = Home::new(dir.path().join("node"));
        let state = |validators: &[ConsensusKey]| {
            let mut state = genesis_state(operator.address(), user.address(), validators);
            change(&mut state["params"]);
            state
        };
        haca_node::home::init(&node_home, "exec-test", tendermint::Time::now(), 1, state).unwrap();
        let node = start_node(dir.path(), &loopback::reserve().unwrap().to_string());
        let url = node.url();
        let client = NodeClient::new(&url);
        wait("the full node", || client.is_ready().then_some(()));
        let domain = wait("state", || client.chain().ok()).domain();
        Self {
            dir,
            node: Some(node),
            url,
            user,
            domain,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the full node and starts it again at its address; what waited for a block is lost.
    pub(crate) fn restart_node(&mut self) {
        drop(self.node.take());
        let address = self.url.trim_start_matches("http://");
        self.node = Some(start_node(self.dir.path(), address));
        let client = self.client();
        wait("the full node", || client.is_ready().then_some(()));
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("inference")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn client(&self) -> NodeClient {
        NodeClient::new(&self.url)
    }

    /// Settings of the inference node in the standard home, behind a full node or a gate.
    pub(crate) fn config(&self, node_url: &str) -> ExecConfig {
        let mut config = ExecConfig::new(self.home(), node_url);
        config.listen = "127.0.0.1:0".to_owned();
        // The same in every run: a new endpoint is a new version of the offer.
        config.endpoint = Some("http://127.0.0.1:1".to_owned());
        config.min_settle_ticks = 2;
        // Blocks come only with transactions.
        config.stale_head_s = 3_600;
        config
    }

    pub(crate) fn serve(&self) -> Serving<'_> {
        self.serve_behind(&self.url)
    }

    pub(crate) fn serve_behind(&self, node_url: &str) -> Serving<'_> {
        self.serve_with(self.config(node_url))
    }

    pub(crate) fn serve_with(&self, config: ExecConfig) -> Serving<'_> {
        let node = InferenceNode::start(config.clone()).unwrap();
        Serving {
            world: self,
            config,
            client: InferenceClient::new(node.url()),
            node,
        }
    }

    /// Signs and sends a message and waits for its block.
    pub(crate) fn send(&self, wallet: &Wallet, message: Message) {
        let client = self.client();
        let head = client.status().unwrap().height;
        let tx = wallet
            .transaction(message, &self.domain, head, Amount(1 << 40))
            .unwrap();
        client.submit_and_wait(&tx, PATIENCE).unwrap();
    }

    /// Lets blocks and ticks pass.
    pub(crate) fn pass_a_block(&self) {
        let (to, asset, amount) = (Address([9; 20]), AssetId::OPG, Amount(1));
        self.send(&self.user, Message::Transfer { to, asset, amount });
    }

    pub(crate) fn tick(&self) -> u64 {
        self.client().clock().unwrap().tick.0
    }

    /// Lets blocks pass until this tick is behind.
    pub(crate) fn pass_tick(&self, tick: u64) {
        while self.tick() <= tick {
            self.pass_a_block();
        }
    }

    pub(crate) fn record(&self, channel: ChannelId) -> ChannelRecord {
        self.client().channel(channel).unwrap().unwrap()
    }

    /// What the operator has burned and staked and paid: its OPG.
    pub(crate) fn operator_opg(&self) -> u128 {
        let operator = Wallet::load(&self.home().join("account.key")).unwrap();
        self.client().balance(operator.address(), AssetId::OPG).unwrap().0
    }
}

fn start_node(dir: &Path, listen: &str) -> haca_node::node::NodeHandle {
    let config = NodeConfig {
        listen: listen.to_owned(),
        pace: Pace {
            between_blocks: Duration::ZERO,
            idle: Duration::from_secs(3_600),
        },
        ..NodeConfig::new(dir.join("node"))
    };
    Node::start(&config, Box::new(ZkEvidence::default())).unwrap()
}

/// A running inference node.
pub(crate) struct Serving<'a> {
    pub(crate) world: &'a World,
    pub(crate) client: InferenceClient,
    pub(crate) node: NodeHandle,
    /// What it was started with.
    pub(crate) config: ExecConfig,
}

impl Serving<'_> {
    pub(crate) fn model(&self) -> ModelId {
        let models = self.client.models().unwrap();
        models["data"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until the node has heard of the newest block.
    pub(crate) fn hear(&self) {
        let height = self.world.client().status().unwrap().height;
        let metrics = format!("{}/metrics", self.node.url());
        let newest = format!("haca_exec_head_height {}", height.0);
        wait("word of the newest block", || {
            let mut response = ureq::get(&metrics).call().unwrap();
            let text = response.body_mut().read_to_string().unwrap();
            text.lines().any(|line| line == newest).then_some(())
        });
    }

    /// Opens a channel of the user's.
    pub(crate) fn channel(&self, deposit: u128, warranty: u128) -> ChannelId {
        let user = &self.world.user;
        let quote = self
            .client
            .quote(
                user.address(),
                DUSD,
                Amount(deposit),
                Amount(warranty),
                &self.world.domain,
            )
            .unwrap();
        let channel = quote.value.channel(&self.world.domain);
        self.world.send(user, Message::OpenChannel { quote });
        channel
    }

    /// Closes a channel at once, as both sides agree to.
    pub(crate) fn close(&self, channel: ChannelId) {
        let operator = Wallet::load(&self.config.account_key()).unwrap();
        let expires = Height(self.world.client().status().unwrap().height.0 + 50);
        let consent = operator.sign(Close { channel, expires }, &self.world.domain);
        let consent = Some(consent.unwrap());
        self.world
            .send(&self.world.user, Message::CloseChannel { channel, consent });
    }

    /// An order with a proof that the node accepts.
    pub(crate) fn zk(&self, channel: ChannelId, sequence: u64, body: &[u8]) -> Order {
        Order {
            evidence: EvidenceKind::Zk,
            max_fee: Amount(ZK_FEE),
            ..self.order(channel, sequence, body)
        }
    }

    /// An order with signatures only that the node accepts.
    pub(crate) fn order(&self, channel: ChannelId, sequence: u64, body: &[u8]) -> Order {
        Order {
            channel,
            sequence: Sequence(sequence),
            request: render::request_hash(body),
            // A body that is no request gives no tensors; the node refuses it for what it is.
            input_root: self
                .world
                .client()
                .input_root(self.model(), body)
                .unwrap_or_default(),
            model: self.model(),
            evidence: EvidenceKind::Signed,
            offer_version: self.world.record(channel).offer_version,
            max_fee: Amount(FEE),
            warranty: Amount(100),
            settle_by: Tick(self.world.tick() + 1_000),
        }
    }

    pub(crate) fn sign(&self, order: &Order) -> Signed<Order> {
        self.world
            .user
            .sign_order(order.clone(), &self.world.domain)
            .unwrap()
    }

    /// Signs and sends.
    pub(crate) fn infer(&self, body: &[u8], order: &Order) -> Result<haca_client::Answered, ClientError> {
        self.client.infer(body, &self.sign(order))
    }

    /// Answers the order of a sequence of the standard request, and returns the order's hash.
    pub(crate) fn answer(&self, order: &Order) -> OrderHash {
        self.infer(&self.body(), order).unwrap();
        order.hash(&self.world.domain)
    }

    /// Answers an order of the standard request, and returns it with its receipt.
    pub(crate) fn item(&self, order: &Order) -> Item {
        let receipt = self.infer(&self.body(), order).unwrap().receipt;
        let order = self.sign(order);
        Item { order, receipt }
    }

    /// The standard request.
    pub(crate) fn body(&self) -> Vec<u8> {
        body(self.model(), "1,-2,3,4")
    }

    pub(crate) fn status(&self, order: OrderHash) -> ReceiptStatus {
        self.client.receipt(order).unwrap().unwrap()
    }

    /// Waits until an order's receipt is there.
    pub(crate) fn wait_for(&self, order: OrderHash, status: &str) -> ReceiptStatus {
        wait(&format!("the status {status}"), || {
            Some(self.status(order)).filter(|found| found.status == status)
        })
    }
}

/// A request with these values.
pub(crate) fn body(model: ModelId, values: &str) -> Vec<u8> {
    format!("{{\"model\":\"{model}\",\"inputs\":[{{\"name\":\"x\",\"data\":[{values}]}}]}}").into_bytes()
}
