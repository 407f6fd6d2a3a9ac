//! The genesis document: a CometBFT genesis JSON file whose `app_state` is the ledger's first state.
//!
//! BLAKE3 of the exact file bytes is the network's trust anchor, so the bytes are kept and never re-serialised.

use std::{fs, path::Path};

use haca_wire::GenesisHash;
use serde::Deserialize;
use tendermint::Time;

use crate::{
    consensus::{ValidatorSet, ValidatorUpdate},
    error::NodeError,
};

/// Largest genesis document in bytes.
pub const MAX_GENESIS_BYTES: usize = 64 << 20;

/// A checked genesis document.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The exact bytes of the document.
    pub bytes: Vec<u8>,
    /// Chain identifier.
    pub chain_id: tendermint::chain::Id,
    /// Time of block 1.
    pub time: Time,
    /// Largest block in bytes.
    pub max_block_bytes: i64,
    /// Largest sum of gas wanted in a block, -1 for no bound.
    pub max_block_gas: i64,
    /// Consensus takes evidence that is older than this many blocks only when it is younger than `evidence_s`.
    pub evidence_blocks: u64,
    /// Consensus takes evidence that is older than this many seconds only when it is younger than `evidence_blocks`.
    pub evidence_s: u64,
    /// The validators of block 1.
    pub validators: ValidatorSet,
    /// The ledger's first state, as JSON.
    pub app_state: Vec<u8>,
}

#[derive(Deserialize)]
struct Document {
    chain_id: String,
    genesis_time: String,
    initial_height: String,
    consensus_params: Params,
    #[serde(default)]
    validators: Vec<Member>,
    app_state: Box<serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Params {
    block: BlockParams,
    evidence: EvidenceParams,
    validator: Option<ValidatorParams>,
    abci: Option<AbciParams>,
}

#[derive(Deserialize)]
struct ValidatorParams {
    pub_key_types: Vec<String>,
}

#[derive(Deserialize)]
struct AbciParams {
    vote_extensions_enable_height: Option<String>,
}

/// Bytes of evidence that a block may hold: the largest attack on light clients at least, and CometBFT's default at most. A block
/// that is full of it holds enough transactions to be exhausted, so the clock stands still; much more would leave it running.
const EVIDENCE_BYTES: core::ops::RangeInclusive<i64> = 64 << 10..=1 << 20;

impl Params {
    /// Refuses what lets a network start that can't go on: keys of validators that consensus would not take, evidence that no
    /// block has room for or that leaves none, and extensions of votes, which the ledger has none of. And a bound on gas beside the
    /// ledger's: consensus would close blocks in which the ledger sees room, and move the clock while it keeps answers out.
    fn check(&self) -> Result<(), NodeError> {
        let validator = self.validator.as_ref();
        if let Some(types) = validator.map(|validator| &validator.pub_key_types)
            && *types != ["ed25519"]
        {
            let found = types.join(", ");
            return Err(bad("pub_key_types", format!("found {found}, expected ed25519")));
        }
        if self.block.max_gas != "-1" {
            let found = &self.block.max_gas;
            return Err(bad("block.max_gas", format!("found {found}, expected -1")));
        }
        let bytes = &self.evidence.max_bytes;
        if !bytes
            .parse()
            .is_ok_and(|bytes: i64| EVIDENCE_BYTES.contains(&bytes))
        {
            return Err(bad(
                "evidence.max_bytes",
                format!("found {bytes}, expected 65536 to 1048576"),
            ));
        }
        let abci = self.abci.as_ref();
        match abci.and_then(|abci| abci.vote_extensions_enable_height.as_deref()) {
            None | Some("0") => Ok(()),
            Some(found) => Err(bad(
                "vote_extensions_enable_height",
                format!("found {found}, expected 0"),
            )),
        }
    }
}

#[derive(Deserialize)]
struct EvidenceParams {
    max_age_num_blocks: String,
    max_age_duration: String,
    max_bytes: String,
}

#[derive(Deserialize)]
struct BlockParams {
    max_bytes: String,
    max_gas: String,
}

#[derive(Deserialize)]
struct Member {
    pub_key: tendermint::PublicKey,
    power: String,
}

fn bad(what: &'static str, reason: impl ToString) -> NodeError {
    NodeError::Genesis {
        what,
        reason: reason.to_string(),
    }
}

impl Genesis {
    /// Reads and checks the document in a file.
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        let unreadable = |source| NodeError::Read {
            path: path.to_owned(),
            source,
        };
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_GENESIS_BYTES as u64 {
            return Err(bad("size", format!("{size} bytes, at most {MAX_GENESIS_BYTES}")));
        }
        Self::parse(fs::read(path).map_err(unreadable)?)
    }

    /// Checks a document.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, NodeError> {
        if bytes.len() > MAX_GENESIS_BYTES {
            return Err(bad(
                "size",
                format!("{} bytes, at most {MAX_GENESIS_BYTES}", bytes.len()),
            ));
        }
        let document: Document = serde_json::from_slice(&bytes).map_err(|e| bad("JSON", e))?;
        if document.initial_height != "1" {
            return Err(bad(
                "initial_height",
                format!("found {}, expected 1", document.initial_height),
            ));
        }
        let mut members = Vec::with_capacity(document.validators.len());
        for member in &document.validators {
            let key = member
                .pub_key
                .ed25519()
                .ok_or_else(|| bad("validators", "a key is not ed25519"))?;
            let key = <[u8; 32]>::try_from(key.as_bytes()).map_err(|e| bad("validators", e))?;
            members.push((key, member.power.parse().map_err(|e| bad("validators", e))?));
        }
        document.consensus_params.check()?;
        let Params { block, evidence, .. } = document.consensus_params;
        let age_ns: u64 = evidence
            .max_age_duration
            .parse()
            .map_err(|e| bad("max_age_duration", e))?;
        Ok(Self {
            chain_id: document
                .chain_id
                .parse()
                .map_err(|e: tendermint::Error| bad("chain_id", e.detail()))?,
            time: Time::parse_from_rfc3339(&document.genesis_time)
                .map_err(|e| bad("genesis_time", e.detail()))?,
            max_block_bytes: block.max_bytes.parse().map_err(|e| bad("max_bytes", e))?,
            max_block_gas: block.max_gas.parse().map_err(|e| bad("max_gas", e))?,
            evidence_blocks: evidence
                .max_age_num_blocks
                .parse()
                .map_err(|e| bad("max_age_num_blocks", e))?,
            evidence_s: age_ns.div_ceil(1_000_000_000),
            validators: ValidatorSet::genesis(&members)?,
            app_state: document.app_state.get().as_bytes().to_vec(),
            bytes,
        })
    }

    /// The network's trust anchor.
    pub fn hash(&self) -> GenesisHash {
        GenesisHash(*blake3::hash(&self.bytes).as_bytes())
    }
}

/// Writes a genesis document. Consensus takes evidence as long as the ledger's parameters say.
pub fn document(
    chain_id: &str,
    time: Time,
    members: &[ValidatorUpdate],
    app_state: &serde_json::Value,
) -> Result<Vec<u8>, NodeError> {
    let mut validators = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let key = tendermint::PublicKey::from_raw_ed25519(&member.key)
            .ok_or(crate::consensus::ValidatorSetError::Key)?;
        validators.push(serde_json::json!({
            "address": hex::encode_upper(tendermint::account::Id::from(key).as_bytes()),
            "pub_key": key,
            "power": member.power.to_string(),
            "name": format!("validator-{index}"),
        }));
    }
    let standard = haca_ledger::standard_params().validators;
    let ages = &app_state["params"]["validators"];
    let blocks = ages["evidence_blocks"]
        .as_u64()
        .unwrap_or(standard.evidence_blocks);
    let age_s = ages["evidence_s"].as_u64().unwrap_or(standard.evidence_s);
    let age_ns = u128::from(age_s) * 1_000_000_000;
    let document = serde_json::json!({
        "genesis_time": time.to_rfc3339(),
        "chain_id": chain_id,
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": MAX_BLOCK_BYTES.to_string(), "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": blocks.to_string(),
                "max_age_duration": age_ns.to_string(),
                "max_bytes": "65536",
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "0"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": validators,
        "app_hash": "",
        "app_state": app_state,
    });
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|e| bad("app_state", e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Room for header, evidence, commit and framing in a block, in bytes.
pub const BLOCK_OVERHEAD_BYTES: usize = 512 << 10;

/// Block size limit of new networks in bytes: the ledger's standard limit and the room around it.
pub const MAX_BLOCK_BYTES: usize = (4 << 20) + BLOCK_OVERHEAD_BYTES;
