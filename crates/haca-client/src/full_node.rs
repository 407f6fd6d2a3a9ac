//! A full node's HTTP API, as a client uses it. Nothing it says is proven unless the call says so.

use std::time::{Duration, Instant};

use haca_verify::ZkChecker;
use haca_wire::state::{
    self, ChainRecord, ChannelRecord, Clock, HeldKey, HeldRecord, ModelRecord, NodeRecord, Params, Supply,
};
use haca_wire::{
    Address, Amount, AssetId, BlockHash, ChannelId, Decode, Domain, Encode, GenesisHash, Height, ModelId,
    ReceiptHash, Settlement, SignedTransaction, TensorRoot, TxHash, render, tensor_root,
};
use serde::Deserialize;

use crate::http::Http;
use crate::{ClientError, Settleable};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(20);

/// A client of one full node.
#[derive(Clone, Debug)]
pub struct NodeClient {
    http: Http,
}

/// Where the chain stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// CometBFT chain identifier.
    pub chain_id: String,
    /// Hash of the genesis document, by the node's word.
    pub genesis: GenesisHash,
    /// Last committed height.
    pub height: Height,
    /// Hash of the header at that height.
    pub block_hash: BlockHash,
    /// Time of that header, in seconds since 1970.
    pub time_unix_s: u64,
    /// "dev" or "cometbft".
    pub engine: String,
}

#[derive(Deserialize)]
struct StatusJson {
    chain_id: String,
    genesis_hash: String,
    height: u64,
    block_hash: String,
    time_unix_s: u64,
    engine: String,
}

/// An included transaction.
#[derive(Clone, Debug, Deserialize)]
pub struct Included {
    /// Height of its block.
    pub height: u64,
    /// Position in the block.
    pub index: u32,
    /// 0 means success; else the table in `spec/ledger.md`.
    pub code: u32,
    /// For people.
    #[serde(default)]
    pub log: String,
    /// Gas that was burned for.
    pub gas_used: u64,
}

/// A light block as the node serves it: protobuf encodings of CometBFT's types.
#[derive(Clone, Debug)]
pub struct LightBlockBytes {
    /// `tendermint.types.SignedHeader`.
    pub signed_header: Vec<u8>,
    /// `tendermint.types.ValidatorSet` of this height.
    pub validators: Vec<u8>,
    /// `tendermint.types.ValidatorSet` of the next height.
    pub next_validators: Vec<u8>,
}

#[derive(Deserialize)]
struct LightBlockJson {
    signed_header: String,
    validators: String,
    next_validators: String,
}

/// A state entry with its ICS-23 proof against the application hash of `height`.
#[derive(Clone, Debug)]
pub struct ProvenEntry {
    /// The value, or `None` where the key is absent.
    pub value: Option<Vec<u8>>,
    /// Encoded `CommitmentProof`.
    pub proof: Vec<u8>,
    /// The height whose state it is; the header one higher carries its hash.
    pub height: Height,
}

#[derive(Deserialize)]
struct ProvenJson {
    value: Option<String>,
    proof: String,
    height: u64,
}

/// A settled receipt and its place in the receipt tree of its block.
#[derive(Clone, Debug)]
pub struct SettledReceipt {
    /// The leaf.
    pub settlement: Settlement,
    /// Height of the block that settled it.
    pub height: Height,
    /// Index of the leaf.
    pub index: u64,
    /// Leaves of the tree.
    pub leaves: u64,
    /// RFC 6962 audit path, from leaf to root.
    pub path: Vec<[u8; 32]>,
}

#[derive(Deserialize)]
struct SettledJson {
    settlement: String,
    height: u64,
    index: u64,
    leaves: u64,
    path: Vec<String>,
}

impl NodeClient {
    /// A client of the node at `url`, such as `http://127.0.0.1:7410`.
    pub fn new(url: &str) -> Self {
        Self { http: Http::new(url) }
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// Whether the node is up and has a block.
    pub fn is_ready(&self) -> bool {
        self.http.probe("/health")
    }

    /// Where the chain stands.
    pub fn status(&self) -> Result<Status, ClientError> {
        let path = "/v1/status";
        let json: StatusJson = self.http.get_json(path, "a status")?;
        Ok(Status {
            chain_id: json.chain_id,
            genesis: self.id(path, &json.genesis_hash)?,
            height: Height(json.height),
            block_hash: self.id(path, &json.block_hash)?,
            time_unix_s: json.time_unix_s,
            engine: json.engine,
        })
    }

    /// The exact bytes of the genesis document.
    pub fn genesis(&self) -> Result<Vec<u8>, ClientError> {
        self.http.get("/v1/genesis")
    }

    /// Submits a transaction; returns once the node has checked it.
    pub fn submit(&self, tx: &SignedTransaction) -> Result<TxHash, ClientError> {
        #[derive(Deserialize)]
        struct Submitted {
            tx_hash: String,
        }
        let path = "/v1/tx";
        let answer = self
            .http
            .post(path, "application/octet-stream", &[], &tx.encode())?;
        let json: Submitted = self.http.parse(path, &answer.body, "a transaction hash")?;
        self.id(path, &json.tx_hash)
    }

    /// An included transaction; `None` while it is not in a block.
    pub fn transaction(&self, tx: TxHash) -> Result<Option<Included>, ClientError> {
        let path = format!("/v1/tx/{tx}");
        let body = self.http.get_optional(&path)?;
        body.map(|body| self.http.parse(&path, &body, "a transaction result"))
            .transpose()
    }

    /// Waits until a transaction is in a block and succeeded.
    pub fn wait(&self, tx: TxHash, patience: Duration) -> Result<Included, ClientError> {
        let included = self.poll(patience, &format!("transaction {tx}"), || self.transaction(tx))?;
        match included.code {
            0 => Ok(included),
            found => Err(ClientError::TransactionFailed {
                tx,
                found,
                log: included.log,
            }),
        }
    }

    /// Submits a transaction and waits until it is in a block and succeeded.
    pub fn submit_and_wait(
        &self,
        tx: &SignedTransaction,
        patience: Duration,
    ) -> Result<(TxHash, Included), ClientError> {
        let hash = self.submit(tx)?;
        Ok((hash, self.wait(hash, patience)?))
    }

    /// Asks again and again until there is an answer or patience ends.
    pub fn poll<T>(
        &self,
        patience: Duration,
        what: &str,
        mut ask: impl FnMut() -> Result<Option<T>, ClientError>,
    ) -> Result<T, ClientError> {
        let start = Instant::now();
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if start.elapsed() >= patience {
                return Err(ClientError::Pending {
                    what: what.to_owned(),
                    waited_s: patience.as_secs(),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// A state entry with its proof, at `height` or the last height that has a header above it.
    pub fn entry(&self, key: &[u8], height: Option<Height>) -> Result<ProvenEntry, ClientError> {
        let at = height
            .map(|height| format!("?height={height}"))
            .unwrap_or_default();
        let path = format!("/v1/state/{}{at}", hex::encode(key));
        let json: ProvenJson = self.http.get_json(&path, "a state entry")?;
        Ok(ProvenEntry {
            value: json.value.map(|value| self.bytes(&path, &value)).transpose()?,
            proof: self.bytes(&path, &json.proof)?,
            height: Height(json.height),
        })
    }

    /// A record of the state, unproven.
    pub fn record<T: Decode>(&self, key: &[u8]) -> Result<Option<T>, ClientError> {
        self.decode_entry(key, self.entry(key, None)?)
    }

    /// A record of the state, and the height whose state says so, unproven.
    pub fn record_seen<T: Decode>(&self, key: &[u8]) -> Result<(Option<T>, Height), ClientError> {
        let entry = self.entry(key, None)?;
        let height = entry.height;
        Ok((self.decode_entry(key, entry)?, height))
    }

    /// A record of the state at a height, unproven.
    pub fn record_at<T: Decode>(&self, key: &[u8], height: Height) -> Result<Option<T>, ClientError> {
        self.decode_entry(key, self.entry(key, Some(height))?)
    }

    pub(crate) fn decode_entry<T: Decode>(
        &self,
        key: &[u8],
        entry: ProvenEntry,
    ) -> Result<Option<T>, ClientError> {
        let decode = |value: Vec<u8>| {
            T::decode_all(&value).map_err(|error| ClientError::Malformed {
                url: self.http.url(&format!("/v1/state/{}", hex::encode(key))),
                found: error.to_string(),
                expected: "a state record",
            })
        };
        entry.value.map(decode).transpose()
    }

    /// Which network the node is on, by its word.
    pub fn chain(&self) -> Result<ChainRecord, ClientError> {
        self.present(state::key::CHAIN, "the chain record")
    }

    /// The domain of signatures on the node's network; with a genesis hash that is trusted, of that network alone. Without
    /// one it is the node's word what a signature is good for.
    ///
    /// # Errors
    ///
    /// [`ClientError::OtherNetwork`] when the node names another network than the trusted one.
    pub fn domain(&self, trust: Option<GenesisHash>) -> Result<Domain, ClientError> {
        let domain = self.chain()?.domain();
        match trust {
            Some(expected) if expected != domain.genesis => Err(ClientError::OtherNetwork {
                found: domain.genesis,
                expected,
            }),
            _ => Ok(domain),
        }
    }

    /// Height, settlement tick and base fee.
    pub fn clock(&self) -> Result<Clock, ClientError> {
        self.present(state::key::CLOCK, "the clock")
    }

    /// The rules' numbers.
    pub fn params(&self) -> Result<Params, ClientError> {
        self.present(state::key::PARAMS, "the parameters")
    }

    /// The balance of an account.
    pub fn balance(&self, account: Address, asset: AssetId) -> Result<Amount, ClientError> {
        Ok(self
            .record(&state::key::balance(account, asset))?
            .unwrap_or_default())
    }

    /// A channel.
    pub fn channel(&self, channel: ChannelId) -> Result<Option<ChannelRecord>, ClientError> {
        self.record(&state::key::channel(channel))
    }

    /// A registered model.
    pub fn model(&self, model: ModelId) -> Result<Option<ModelRecord>, ClientError> {
        self.record(&state::key::model(model))
    }

    /// The root of the input tensors that a request to a model renders to: what an order for it names. The model's
    /// inputs are those of the verifying key that its id is the hash of, whatever the node says.
    ///
    /// # Errors
    ///
    /// [`ClientError::UnknownModel`]; [`ClientError::Request`] when the model can't answer these bytes.
    pub fn input_root(&self, model: ModelId, request: &[u8]) -> Result<TensorRoot, ClientError> {
        let unknown = || ClientError::UnknownModel {
            url: self.url().to_owned(),
            model,
        };
        let record = self.model(model)?.ok_or_else(unknown)?;
        let facts = ZkChecker.facts(&record.verifying_key).ok();
        let facts = facts.filter(|facts| facts.model == model).ok_or_else(unknown)?;
        let request = render::parse_request(request).map_err(ClientError::Request)?;
        let tensors = render::to_tensors(&request, &facts.inputs).map_err(ClientError::Request)?;
        Ok(tensor_root(&tensors))
    }

    /// A fee that waits while a proof can be demanded, and the height whose state says so, unproven.
    pub fn held(&self, held: HeldKey) -> Result<(Option<HeldRecord>, Height), ClientError> {
        self.record_seen(&state::key::held(held))
    }

    /// A registered inference node.
    pub fn node(&self, node: Address) -> Result<Option<NodeRecord>, ClientError> {
        self.record(&state::key::node(node))
    }

    /// Where every unit of an asset is.
    pub fn supply(&self, asset: AssetId) -> Result<Option<Supply>, ClientError> {
        self.record(&state::key::supply(asset))
    }

    /// A light block.
    pub fn light_block(&self, height: Height) -> Result<LightBlockBytes, ClientError> {
        let path = format!("/v1/light_block/{height}");
        let json: LightBlockJson = self.http.get_json(&path, "a light block")?;
        Ok(LightBlockBytes {
            signed_header: self.bytes(&path, &json.signed_header)?,
            validators: self.bytes(&path, &json.validators)?,
            next_validators: self.bytes(&path, &json.next_validators)?,
        })
    }

    /// The settlement of this very receipt or voucher; `None` while the node names none, or the record of another.
    pub fn settlement_of(&self, wanted: &Settleable) -> Result<Option<SettledReceipt>, ClientError> {
        let settled = self.settled(wanted.known_as())?;
        Ok(settled.filter(|settled| wanted.is_settled_by(&settled.settlement)))
    }

    /// What the node names as the settlement of the receipt, or of the voucher, with this digest; `None` while there is
    /// none. Whoever holds the receipt or voucher asks with [`Self::settlement_of`].
    pub fn settled(&self, receipt: ReceiptHash) -> Result<Option<SettledReceipt>, ClientError> {
        let path = format!("/v1/receipts/{receipt}");
        let Some(body) = self.http.get_optional(&path)? else {
            return Ok(None);
        };
        let json: SettledJson = self.http.parse(&path, &body, "a settled receipt")?;
        let bytes = self.bytes(&path, &json.settlement)?;
        let settlement = Settlement::decode_all(&bytes).map_err(|error| ClientError::Malformed {
            url: self.http.url(&path),
            found: error.to_string(),
            expected: "a settlement record",
        })?;
        let path_hashes = json
            .path
            .iter()
            .map(|hash| self.hash(&path, hash))
            .collect::<Result<_, _>>()?;
        Ok(Some(SettledReceipt {
            settlement,
            height: Height(json.height),
            index: json.index,
            leaves: json.leaves,
            path: path_hashes,
        }))
    }

    /// The exact bytes of a transaction that is in a block.
    pub fn transaction_bytes(&self, tx: TxHash) -> Result<Option<Vec<u8>>, ClientError> {
        self.http.get_optional(&format!("/v1/tx/{tx}/bytes"))
    }

    /// The counters of the node, in Prometheus' text format.
    pub fn metrics(&self) -> Result<String, ClientError> {
        self.http
            .get("/metrics")
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The whole state as JSON text.
    pub fn export(&self) -> Result<Vec<u8>, ClientError> {
        self.http.get("/v1/export")
    }

    fn present<T: Decode>(&self, key: &[u8], expected: &'static str) -> Result<T, ClientError> {
        self.record(key)?.ok_or_else(|| ClientError::Malformed {
            url: self.http.base().to_owned(),
            found: "nothing".into(),
            expected,
        })
    }

    fn id<T: core::str::FromStr>(&self, path: &str, text: &str) -> Result<T, ClientError> {
        text.parse().map_err(|_| ClientError::Malformed {
            url: self.http.url(path),
            found: text.chars().take(80).collect(),
            expected: "a hash in hexadecimal",
        })
    }

    fn bytes(&self, path: &str, text: &str) -> Result<Vec<u8>, ClientError> {
        hex::decode(text.trim_start_matches("0x")).map_err(|_| ClientError::Malformed {
            url: self.http.url(path),
            found: text.chars().take(80).collect(),
            expected: "bytes in hexadecimal",
        })
    }

    fn hash(&self, path: &str, text: &str) -> Result<[u8; 32], ClientError> {
        let bytes = self.bytes(path, text)?;
        <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| ClientError::Malformed {
            url: self.http.url(path),
            found: text.chars().take(80).collect(),
            expected: "32 bytes in hexadecimal",
        })
    }
}
