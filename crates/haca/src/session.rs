//! One user's dealings with a network: a wallet, a channel, orders, receipts on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haca_client::{
    Answered, ClientError, Included, InferenceClient, NodeClient, Settleable, SettledReceipt, Wallet,
};
use haca_wire::state::{ChannelRecord, ChannelState};
use haca_wire::{
    Address, Amount, ChannelId, Domain, EvidenceKind, Message, ModelId, Name, Order, Sequence, Signed, Tick,
    TxHash, render,
};
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};
use crate::held;
use crate::infer::Terms;

/// How long a transaction may take to be included.
pub(crate) const INCLUSION: Duration = Duration::from_secs(30);
/// How long a settlement may take before its outcome counts as unknown.
pub(crate) const SETTLEMENT: Duration = Duration::from_secs(60);
/// Ticks that the node has to settle an order.
const SETTLE_TICKS: u64 = 200;
/// The most OPG that a user's transactions burn per unit of gas.
pub(crate) const MAX_BASE_FEE: Amount = Amount(1_000_000);

/// A wallet on a network, with its channel to one inference node.
pub(crate) struct Session {
    pub(crate) node: NodeClient,
    pub(crate) inference: InferenceClient,
    pub(crate) wallet: Wallet,
    pub(crate) domain: Domain,
    dir: PathBuf,
}

/// The user's side of a channel, on disk before each order leaves.
#[derive(Serialize, Deserialize)]
struct ChannelFile {
    channel: String,
    next_sequence: u64,
}

/// What a node offers for one model.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfferedModel {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) offers: Vec<OfferedTerms>,
    pub(crate) inputs: Vec<OfferedTensor>,
}

impl OfferedModel {
    /// What a sample file holds for each input.
    pub(crate) fn input_specs(&self) -> Vec<haca_onnx::InputSpec> {
        let elements = |shape: &[u32]| shape.iter().map(|dim| *dim as usize).product();
        let spec = |input: &OfferedTensor| haca_onnx::InputSpec {
            name: input.name.clone(),
            elements: elements(&input.shape),
        };
        self.inputs.iter().map(spec).collect()
    }
}

/// A price.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfferedTerms {
    pub(crate) evidence: String,
    pub(crate) asset: u32,
    pub(crate) fee: String,
}

/// An input of a model.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfferedTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<u32>,
}

/// An answer with everything needed to verify it later.
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) order: Signed<Order>,
    pub(crate) answered: Answered,
    pub(crate) dir: PathBuf,
}

impl Session {
    /// Opens the wallet and channel in `dir`, on the network that the nodes say they are on.
    pub(crate) fn open(dir: &Path, node_url: &str, inference_url: &str) -> Result<Self, Failure> {
        let node = NodeClient::new(node_url);
        let wallet = Wallet::load_or_create(&dir.join("wallet.key")).map_err(client)?;
        let domain = node.chain().map_err(client)?.domain();
        Ok(Self {
            node,
            inference: InferenceClient::new(inference_url),
            wallet,
            domain,
            dir: dir.to_owned(),
        })
    }

    /// The model with this id or name, or the first one offered.
    pub(crate) fn model(&self, wanted: Option<&str>) -> Result<OfferedModel, Failure> {
        #[derive(Deserialize)]
        struct Models {
            data: Vec<OfferedModel>,
        }
        let json = self.inference.models().map_err(client)?;
        let models: Models = serde_json::from_value(json).map_err(|error| {
            Failure::new(
                Exit::Network,
                "cli.models",
                error,
                "check the inference node's version",
            )
        })?;
        let names = models
            .data
            .iter()
            .map(|model| model.name.clone())
            .collect::<Vec<_>>()
            .join(", ");
        let found = match wanted {
            Some(wanted) => models
                .data
                .into_iter()
                .find(|model| model.id == wanted || model.name == wanted),
            None => models.data.into_iter().next(),
        };
        found.ok_or_else(|| {
            Failure::usage(
                "cli.unknown_model",
                "the node offers no such model",
                format!("it offers: {names}"),
            )
        })
    }

    /// The channel in use, opened first when there is none, or when it can't pay the terms' fee and warranty any more.
    /// Says whether it was opened now.
    pub(crate) fn channel(
        &self,
        terms: &Terms,
        deposit: Amount,
        warranty: Amount,
    ) -> Result<(ChannelId, bool), Failure> {
        if let Some(file) = self.read_channel()? {
            let id: ChannelId = file.channel.parse().map_err(|_| damaged(&self.channel_path()))?;
            let record = self.node.channel(id).map_err(client)?;
            let serves = |r: &ChannelRecord| {
                r.state == ChannelState::Open
                    && r.asset == terms.asset
                    && r.deposit >= terms.fee
                    && r.reserve >= terms.warranty()
            };
            if let Some(record) = record.filter(serves) {
                self.check_offer(record.node, terms)?;
                return Ok((id, false));
            }
        }
        let quote = self
            .inference
            .quote(
                self.wallet.address(),
                terms.asset,
                deposit,
                warranty,
                &self.domain,
            )
            .map_err(client)?;
        self.check_offer(quote.value.node, terms)?;
        let id = quote.value.channel(&self.domain);
        self.send(Message::OpenChannel { quote })?;
        self.write_channel(&ChannelFile {
            channel: id.to_string(),
            next_sequence: 0,
        })?;
        Ok((id, true))
    }

    /// Holds the terms that an inference node told against those it has registered on chain. Money is only promised to
    /// a node that is registered, at the price that everybody sees.
    fn check_offer(&self, node: Address, terms: &Terms) -> Result<(), Failure> {
        let record = self.node.node(node).map_err(client)?;
        let model = self.node.model(terms.model).map_err(client)?;
        let offered = record.zip(model).is_some_and(|(record, model)| {
            record.offers.iter().any(|offer| {
                (offer.model, offer.evidence, offer.asset) == (terms.model, terms.evidence, terms.asset)
                    && offer.fee(model.units) == Some(terms.fee)
            })
        });
        if offered {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Network,
            "cli.offer_mismatch",
            format!(
                "the inference node asks {} for what {node} does not offer at that price on chain",
                terms.fee
            ),
            "do not pay it; ask another node, or wait until its registration is included",
        ))
    }

    /// Signs a message as the user, submits it and waits until it is in a block.
    pub(crate) fn send(&self, message: Message) -> Result<(TxHash, Included), Failure> {
        self.send_below(message, MAX_BASE_FEE)
    }

    /// The same, in no block with a higher base fee.
    pub(crate) fn send_below(
        &self,
        message: Message,
        max_base_fee: Amount,
    ) -> Result<(TxHash, Included), Failure> {
        let head = self.node.status().map_err(client)?.height;
        let tx = self
            .wallet
            .transaction(message, &self.domain, head, max_base_fee)
            .map_err(client)?;
        self.node.submit_and_wait(&tx, INCLUSION).map_err(client)
    }

    /// Signs the next order of the channel for a request. The sequence is on disk before the order exists, so
    /// that none is ever signed twice.
    pub(crate) fn order(
        &self,
        channel: ChannelId,
        model: ModelId,
        evidence: EvidenceKind,
        max_fee: Amount,
        warranty: Amount,
        request: &[u8],
    ) -> Result<Signed<Order>, Failure> {
        let mut file = self
            .read_channel()?
            .ok_or_else(|| damaged(&self.channel_path()))?;
        let sequence = Sequence(file.next_sequence);
        file.next_sequence += 1;
        self.write_channel(&file)?;
        let record = self.node.channel(channel).map_err(client)?;
        let offer_version = match record {
            Some(record) => self
                .node
                .node(record.node)
                .map_err(client)?
                .map_or(0, |node| node.offer_version),
            None => 0,
        };
        let tick = self.node.clock().map_err(client)?.tick;
        let order = Order {
            channel,
            sequence,
            request: render::request_hash(request),
            input_root: self.node.input_root(model, request).map_err(client)?,
            model,
            evidence,
            offer_version,
            max_fee,
            warranty,
            settle_by: Tick(tick.0 + SETTLE_TICKS),
        };
        self.wallet.sign_order(order, &self.domain).map_err(client)
    }

    /// Sends a request with its order. Both are on disk before they leave, and what is answered is kept beside them.
    pub(crate) fn infer(&self, request: Vec<u8>, order: Signed<Order>) -> Result<Exchange, Failure> {
        let dir = held::keep_order(&self.receipts(), &request, &order, &self.domain)?;
        let answered = self.inference.infer(&request, &order).map_err(client)?;
        held::keep_answer(&dir, &order.value, &answered, &self.domain)?;
        Ok(Exchange {
            request,
            order,
            answered,
            dir,
        })
    }

    /// Where orders and receipts are kept.
    fn receipts(&self) -> PathBuf {
        self.dir.join("receipts")
    }

    /// Waits until the receipt is settled on chain, or the node refuses it.
    pub(crate) fn settled(&self, exchange: &Exchange) -> Result<SettledReceipt, Failure> {
        let hash = exchange.answered.receipt.value.hash(&self.domain);
        let wanted = Settleable::receipt(&exchange.answered.receipt.value, &self.domain);
        let order = exchange.order.value.hash(&self.domain);
        let refused = || match self.inference.receipt(order) {
            Ok(Some(status)) if status.status == "refused" => status.reason.or(Some(String::new())),
            _ => None,
        };
        let ask = || {
            if let Some(settled) = self.node.settlement_of(&wanted)? {
                return Ok(Some(Ok(settled)));
            }
            Ok(refused().map(Err))
        };
        match self
            .node
            .poll(SETTLEMENT, &format!("the settlement of receipt {hash}"), ask)
        {
            Ok(Ok(settled)) => Ok(settled),
            Ok(Err(reason)) => Err(Failure::new(
                Exit::Failure,
                "cli.not_settled",
                format!("the node gave up settling receipt {hash}: {reason}"),
                "after the order's settle-by tick and the grace, `haca claim` collects the warranty",
            )),
            Err(error @ ClientError::Pending { .. }) => Err(Failure::new(
                Exit::SettlementUnknown,
                error.code(),
                &error,
                "ask again with `haca verify`; past its settle-by tick and the grace, `haca claim` collects the warranty",
            )),
            Err(error) => Err(client(error)),
        }
    }

    fn channel_path(&self) -> PathBuf {
        self.dir.join("channel.json")
    }

    fn read_channel(&self) -> Result<Option<ChannelFile>, Failure> {
        let path = self.channel_path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| damaged(&path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file(&path, "read", &error)),
        }
    }

    fn write_channel(&self, file: &ChannelFile) -> Result<(), Failure> {
        let path = self.channel_path();
        let text = serde_json::to_vec_pretty(file).map_err(|_| damaged(&path))?;
        replace(&path, &text)
    }
}

/// The exact bytes of an `/v1/infer` request.
pub(crate) fn request_bytes(model: ModelId, input: &Name, values: &[f64]) -> Vec<u8> {
    let data = values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    format!("{{\"model\":\"{model}\",\"inputs\":[{{\"name\":\"{input}\",\"data\":[{data}]}}]}}").into_bytes()
}

/// Writes a file as a whole and durably: a crash leaves the old or the new bytes. The bytes gather in a hidden file
/// beside it; one that a crash left is replaced by the next attempt.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |error| Failure::file(path, "write", &error);
    // A device or a pipe takes the bytes as they come; of a link, the file behind it is replaced.
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&whole).is_ok_and(|found| !found.is_file()) {
        return std::fs::write(path, bytes).map_err(failed);
    }
    let path = whole.as_path();
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let fresh = path.with_file_name(name);
    let attempt = || {
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    attempt().map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        failed(error)
    })
}

/// Removes a file where there is one.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::file(path, "replace", &error))
        }
        _ => Ok(()),
    }
}

fn damaged(path: &Path) -> Failure {
    Failure::usage(
        "cli.damaged_file",
        format!("{} is damaged", path.display()),
        "remove it: a new channel is opened, and the old one can still be closed",
    )
}

/// A client's error as the command's failure.
pub(crate) fn client(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::Unreachable { .. } | ClientError::Malformed { .. } => Exit::Network,
        ClientError::Pending { .. } => Exit::SettlementUnknown,
        _ => Exit::Failure,
    };
    Failure::new(exit, error.code(), &error, error.hint())
}
