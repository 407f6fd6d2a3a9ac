//! One user's dealings with a network: a wallet, a channel, orders, receipts on disk.

mod channel;
mod opening;

use std::path::{Path, PathBuf};
use std::time::Duration;

use haca_client::{
    Answered, ClientError, Included, InferenceClient, NodeClient, Settleable, SettledReceipt, Wallet,
};
use haca_wire::{Amount, Domain, Message, ModelId, Name, Order, Signed, SignedTransaction, TxHash};
use serde::Deserialize;

use crate::failure::{Exit, Failure};
use crate::held;
use crate::network::Network;

/// How long a transaction may take to be included.
pub(crate) const INCLUSION: Duration = Duration::from_secs(30);
/// How long a settlement may take before its outcome counts as unknown.
pub(crate) const SETTLEMENT: Duration = Duration::from_secs(60);
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
    /// Opens the user's wallet and channel in the directory of a network. A full node that names another network than the
    /// directory gets nothing signed.
    pub(crate) fn open(network: &Network) -> Result<Self, Failure> {
        let node = NodeClient::new(&network.file.node_url);
        let domain = node.domain(Some(network.trust()?)).map_err(client)?;
        let dir = network.user();
        let wallet = Wallet::load_or_create(&dir.join("wallet.key")).map_err(client)?;
        Ok(Self {
            node,
            inference: InferenceClient::new(&network.file.inference_url),
            wallet,
            domain,
            dir,
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
        let tx = self.transaction(message, max_base_fee)?;
        self.node.submit_and_wait(&tx, INCLUSION).map_err(client)
    }

    /// Signs a message as the user, for blocks from now on.
    fn transaction(&self, message: Message, max_base_fee: Amount) -> Result<SignedTransaction, Failure> {
        let head = self.node.status().map_err(client)?.height;
        self.wallet
            .transaction(message, &self.domain, head, max_base_fee)
            .map_err(client)
    }

    /// Sends a request with its order, and keeps what is answered beside them.
    pub(crate) fn infer(&self, request: Vec<u8>, order: Signed<Order>) -> Result<Exchange, Failure> {
        let dir = self.receipts().join(held::directory(&order.value, &self.domain));
        let answered = self.inference.infer(&request, &order).map_err(|error| {
            let mut failure = client(error);
            if failure.exit == Exit::Network {
                failure.hint = format!(
                    "the order is in {}: `haca claim` asks the node for its receipt and answer",
                    dir.display()
                );
            }
            failure
        })?;
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

/// A client's error as the command's failure.
pub(crate) fn client(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::Unreachable { .. } | ClientError::Malformed { .. } => Exit::Network,
        ClientError::Pending { .. } => Exit::SettlementUnknown,
        _ => Exit::Failure,
    };
    Failure::new(exit, error.code(), &error, error.hint())
}
