//! A sponsor: pays the gas of settlements for inference nodes that hold no OPG, as far as its policy goes.
//!
//! The node sends its signed settlement, which names the sponsor; the sponsor weighs it and signs the same digest. It
//! keeps no queue and sends nothing: the node does. What it may have to pay is counted before it signs.

mod policy;
mod spending;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use haca_client::{ClientError, NodeClient, Wallet};
use haca_wire::state::{HeldKey, HeldRecord, Params, key};
use haca_wire::{
    Address, Answer, Decode as _, Domain, Encode as _, Gas, GenesisHash, Message, Signed, SignedTransaction,
    Transaction, limit,
};
use serde_json::{Value, json};

use crate::config::HttpLimits;
use crate::planner::item_signatures;
use crate::server::Server;
use crate::{ExecError, log, setup};
pub use policy::{SponsorPolicy, SponsorRefusal};
use spending::SpendingLedger;

/// What a sponsor is started with.
#[derive(Clone, Debug)]
pub struct SponsorConfig {
    /// Directory with `sponsor.key` and `spending.json`.
    pub home: PathBuf,
    /// The full node to read gas from.
    pub node_url: String,
    /// The genesis hash of the network to sign for; the full node's own word when `None`.
    pub trust: Option<GenesisHash>,
    /// Address to listen on; port 0 takes a free one.
    pub listen: String,
    /// What is paid for.
    pub policy: SponsorPolicy,
}

/// A running sponsor. It stops when dropped.
#[derive(Debug)]
pub struct Sponsor {
    url: String,
    account: Address,
    server: Server,
}

/// What handlers share.
struct Desk {
    wallet: Wallet,
    client: NodeClient,
    domain: Domain,
    params: Params,
    policy: SponsorPolicy,
    spent: Mutex<SpendingLedger>,
}

impl Sponsor {
    /// Reads or makes the key, reads what was spent, and serves.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from serving.
    pub fn start(config: SponsorConfig) -> Result<Self, ExecError> {
        let listen_failed = |source| ExecError::Listen {
            address: config.listen.clone(),
            source,
        };
        let listener = TcpListener::bind(&config.listen).map_err(listen_failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(listen_failed)?);
        let wallet = Wallet::load_or_create(&config.home.join("sponsor.key"))?;
        let client = NodeClient::new(&config.node_url);
        let (domain, params) = (setup::domain(&client, config.trust)?, client.params()?);
        let spent = SpendingLedger::open(&config.home.join("spending.json"))?;
        let account = wallet.address();
        let desk = Desk {
            wallet,
            client,
            domain,
            params,
            policy: config.policy,
            spent: Mutex::new(spent),
        };
        let routes = Router::new()
            .route("/v1/sponsor", get(terms))
            .route("/v1/cosign", post(cosign))
            .layer(DefaultBodyLimit::max(limit::TX_BYTES))
            .with_state(Arc::new(desk));
        let server = Server::start(listener, routes, HttpLimits::default())
            .map_err(|source| ExecError::Runtime { source })?;
        log::event("sponsoring", format_args!("url={url} account={account}"));
        Ok(Self { url, account, server })
    }

    /// Base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The account that pays.
    pub const fn account(&self) -> Address {
        self.account
    }

    /// Whether it still serves.
    pub fn is_running(&self) -> bool {
        self.server.is_running()
    }
}

async fn terms(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(json!({
        "account": desk.wallet.address().to_string(),
        "max_base_fee": desk.policy.max_base_fee.to_string(),
        "max_transaction": desk.policy.max_transaction.to_string(),
        "per_day": desk.policy.per_day.to_string(),
    }))
}

async fn cosign(State(desk): State<Arc<Desk>>, body: Bytes) -> Result<Json<Value>, SponsorRefusal> {
    let done = tokio::task::spawn_blocking(move || desk.cosign(&body)).await;
    let signed = done.map_err(|_| SponsorRefusal::Unavailable)??;
    let signature = signed
        .sponsor_signature
        .map(|signature| hex::encode(signature.encode()));
    Ok(Json(json!({ "signature": signature })))
}

impl IntoResponse for SponsorRefusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = json!({ "code": self.code(), "message": self.to_string(), "hint": self.hint() });
        (status, Json(json!({ "error": error }))).into_response()
    }
}

impl Desk {
    fn cosign(&self, body: &[u8]) -> Result<SignedTransaction, SponsorRefusal> {
        let tx = Signed::<Transaction>::decode_all(body).map_err(|_| SponsorRefusal::Encoding)?;
        let meta = &tx.value.meta;
        tx.check(&self.domain, meta.sender)
            .map_err(|_| SponsorRefusal::Signature)?;
        let signed = SignedTransaction {
            transaction: tx.value.clone(),
            signature: tx.signature,
            sponsor_signature: None,
        };
        let signed = signed
            .cosign(&self.domain, self.wallet.key())
            .ok_or(SponsorRefusal::Unavailable)?;
        // The gas is known before anything is verified: from the bytes, and from the records of the models.
        let gas = self.gas(&signed).map_err(|_| SponsorRefusal::Unavailable)?;
        let head = self
            .client
            .status()
            .map_err(|_| SponsorRefusal::Unavailable)?
            .height;
        let most = self.policy.weigh(&tx.value, self.wallet.address(), gas, head)?;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.charge(meta.sender, meta.nonce, most, self.policy.per_day, log::unix_ms())?;
        drop(spent);
        log::event(
            "cosigned",
            format_args!("tx={} node={} at_most={most}", signed.hash(), meta.sender),
        );
        Ok(signed)
    }

    fn gas(&self, tx: &SignedTransaction) -> Result<u64, ClientError> {
        let groups = match &tx.transaction.message {
            Message::SettleBatch { groups } => groups.as_slice(),
            Message::Respond { .. } | Message::SettleVouchers { .. } => &[],
            _ => return Ok(0),
        };
        let bytes = tx.encode().len() as u64;
        let signatures = groups.iter().fold(2u64, |sum, group| {
            let each = item_signatures(group.evidence.kind());
            sum.saturating_add(each.saturating_mul(group.items.len() as u64))
        });
        let ranges = match &tx.transaction.message {
            Message::SettleVouchers { coverages } => coverages.as_slice(),
            _ => &[],
        };
        let signatures = ranges.iter().fold(signatures, |sum, coverage| {
            sum.saturating_add(item_signatures(coverage.voucher.value.evidence))
        });
        let mut gas = self
            .params
            .gas_flat
            .0
            .saturating_add(self.params.gas_byte.0.saturating_mul(bytes))
            .saturating_add(self.params.gas_signature.0.saturating_mul(signatures));
        if let Message::Respond { answers, .. } = &tx.transaction.message {
            gas = gas.saturating_add(self.answer_gas(answers)?);
        }
        for group in groups {
            let Some(first) = group.items.first() else {
                continue;
            };
            if matches!(group.evidence, haca_wire::Evidence::Zk { .. }) {
                let record = self.client.model(first.order.value.model)?;
                let proof = record.and_then(|record| record.gas(group.items.len()));
                gas = gas.saturating_add(proof.unwrap_or(Gas(0)).0);
            }
        }
        Ok(gas)
    }

    /// Gas of the proof that answers demands; none when the chain will refuse it before it is verified.
    fn answer_gas(&self, answers: &[Answer]) -> Result<u64, ClientError> {
        let Some(first) = answers.first() else {
            return Ok(0);
        };
        let place = HeldKey {
            channel: first.receipt.channel,
            first: first.first,
        };
        let held: Option<HeldRecord> = self.client.record(&key::held(place))?;
        let model = match held {
            Some(held) => self.client.model(held.model)?,
            None => None,
        };
        let gas = model.and_then(|model| model.gas(answers.len()));
        Ok(gas.map_or(0, |gas| gas.0))
    }
}
