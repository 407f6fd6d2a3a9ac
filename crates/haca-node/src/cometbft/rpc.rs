//! The few calls of CometBFT's JSON-RPC that the node needs.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tendermint::{
    PublicKey, account,
    block::{Block, Commit, Header, Id},
};

use crate::{
    consensus::{Validator, ValidatorSet},
    engine::base64_encode,
    error::NodeError,
};

/// Time for one call.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer: the largest block in base64.
const ANSWER_BYTES: u64 = 160 << 20;
/// Validators per page, the most that CometBFT gives.
const PAGE: usize = 100;

/// A client of one node.
#[derive(Debug)]
pub(crate) struct Rpc {
    agent: ureq::Agent,
    url: String,
}

/// Which blocks CometBFT has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sync {
    /// Height of the oldest block; 0 when there is none.
    pub(crate) earliest: u64,
    /// Height of the newest block.
    pub(crate) latest: u64,
    /// Whether it is behind its peers.
    pub(crate) catching_up: bool,
}

fn failed(method: &'static str, reason: impl ToString) -> NodeError {
    NodeError::CometRpc {
        method,
        reason: reason.to_string(),
    }
}

fn parse<T: DeserializeOwned>(method: &'static str, value: &mut Value, path: &str) -> Result<T, NodeError> {
    let found = value.pointer_mut(path).map(Value::take).unwrap_or_default();
    serde_json::from_value(found).map_err(|error| failed(method, format!("{path}: {error}")))
}

/// Integers are decimal strings in CometBFT's JSON.
fn number<T: std::str::FromStr>(method: &'static str, value: &Value, path: &str) -> Result<T, NodeError> {
    let text = value.pointer(path).and_then(Value::as_str);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| failed(method, format!("{path} is not a number")))
}

impl Rpc {
    pub(crate) fn new(host: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            url: format!("http://{host}"),
        }
    }

    /// Calls a method; the outer error is ours or the network's, the inner one CometBFT's.
    fn try_call(&self, method: &'static str, params: &Value) -> Result<Result<Value, String>, NodeError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let response = self
            .agent
            .post(&self.url)
            .content_type("application/json")
            .send(body);
        let mut response = response.map_err(|error| failed(method, error))?;
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_to_vec()
            .map_err(|error| failed(method, error))?;
        let mut answer: Value = serde_json::from_slice(&text).map_err(|error| failed(method, error))?;
        if let Some(error) = answer.get("error") {
            let words = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
            return Ok(Err(format!("{} {}", words("message"), words("data"))));
        }
        Ok(Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()))
    }

    fn call(&self, method: &'static str, params: &Value) -> Result<Value, NodeError> {
        self.try_call(method, params)?
            .map_err(|reason| failed(method, reason))
    }

    /// Where CometBFT stands.
    pub(crate) fn sync(&self) -> Result<Sync, NodeError> {
        let answer = self.call("status", &json!({}))?;
        Ok(Sync {
            earliest: number("status", &answer, "/sync_info/earliest_block_height")?,
            latest: number("status", &answer, "/sync_info/latest_block_height")?,
            catching_up: answer.pointer("/sync_info/catching_up").and_then(Value::as_bool) == Some(true),
        })
    }

    /// Offers a transaction to the mempool. One that is known already is accepted again.
    pub(crate) fn broadcast_tx(&self, tx: &[u8]) -> Result<(), NodeError> {
        let method = "broadcast_tx_sync";
        let answer = match self.try_call(method, &json!({ "tx": base64_encode(tx) }))? {
            Ok(answer) => answer,
            Err(reason) if reason.contains("tx already exists in cache") => return Ok(()),
            Err(reason) if reason.contains("catching up") => return Err(NodeError::NotReady),
            Err(reason) if reason.contains("mempool is full") => {
                let (transactions, bytes) = self.mempool_size()?;
                return Err(NodeError::MempoolFull { transactions, bytes });
            }
            Err(reason) => return Err(failed(method, reason)),
        };
        let code = answer
            .get("code")
            .and_then(Value::as_u64)
            .ok_or_else(|| failed(method, "no code"))?;
        if code == 0 {
            return Ok(());
        }
        Err(NodeError::TxRefused {
            code: u32::try_from(code).unwrap_or(u32::MAX),
            log: answer
                .get("log")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// Transactions and bytes that wait.
    pub(crate) fn mempool_size(&self) -> Result<(usize, usize), NodeError> {
        let method = "num_unconfirmed_txs";
        let answer = self.call(method, &json!({}))?;
        Ok((
            number(method, &answer, "/total")?,
            number(method, &answer, "/total_bytes")?,
        ))
    }

    /// A block and its identity.
    pub(crate) fn block(&self, height: u64) -> Result<(Id, Block), NodeError> {
        let mut answer = self.call("block", &json!({ "height": height.to_string() }))?;
        Ok((
            parse("block", &mut answer, "/block_id")?,
            parse("block", &mut answer, "/block")?,
        ))
    }

    /// A header and the votes for it.
    pub(crate) fn commit(&self, height: u64) -> Result<(Header, Commit), NodeError> {
        let mut answer = self.call("commit", &json!({ "height": height.to_string() }))?;
        Ok((
            parse("commit", &mut answer, "/signed_header/header")?,
            parse("commit", &mut answer, "/signed_header/commit")?,
        ))
    }

    /// All validators of a height.
    pub(crate) fn validators(
        &self,
        height: u64,
        proposer: Option<account::Id>,
    ) -> Result<ValidatorSet, NodeError> {
        let method = "validators";
        let mut members = Vec::new();
        for page in 1_usize.. {
            let params = json!({
                "height": height.to_string(),
                "page": page.to_string(),
                "per_page": PAGE.to_string(),
            });
            let mut answer = self.call(method, &params)?;
            let total: usize = number(method, &answer, "/total")?;
            let list = answer.pointer_mut("/validators").and_then(Value::as_array_mut);
            let found = list.map(std::mem::take).unwrap_or_default();
            let empty = found.is_empty();
            for mut member in found {
                let public_key: PublicKey = parse(method, &mut member, "/pub_key")?;
                members.push(Validator {
                    address: account::Id::from(public_key),
                    public_key,
                    power: number(method, &member, "/voting_power")?,
                    priority: number(method, &member, "/proposer_priority")?,
                });
            }
            if members.len() >= total || empty {
                break;
            }
        }
        Ok(ValidatorSet::from_members(members, proposer)?)
    }
}
