//! Blocks, for people and for light clients.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};
use tendermint_proto::v0_38::types;

use super::{
    Api,
    answer::{Problem, blocking, hex0x},
};
use crate::{consensus::hash::tx_hash, driver::DecidedBlock, store::BlockIndex};

fn parse(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|e| Problem::malformed("height", e))
}

fn no_block(height: u64) -> Problem {
    Problem::not_found(
        format!("there is no block {height} yet"),
        "GET /v1/status says how high the chain is",
    )
}

/// Header, transactions, votes and validators, with everything needed to recompute the header hash and to check
/// the votes.
pub(super) async fn block(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let height = parse(&text)?;
    let json = blocking(api, move |api| {
        let decided = api.driver.block(height)?.ok_or_else(|| no_block(height))?;
        let index = api.app.store().block_index(height)?;
        Ok(block_json(&decided, index.as_ref()))
    })
    .await?;
    Ok(Json(json))
}

/// Header, commit and validators in CometBFT's encoding, in hexadecimal.
pub(super) async fn light_block(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let height = parse(&text)?;
    let json = blocking(api, move |api| {
        let light = api.driver.light_block(height)?.ok_or_else(|| no_block(height))?;
        let [signed_header, validators, next_validators] = light.encode().map(hex::encode);
        Ok(json!({
            "signed_header": signed_header,
            "validators": validators,
            "next_validators": next_validators,
        }))
    })
    .await?;
    Ok(Json(json))
}

fn block_json(decided: &DecidedBlock, index: Option<&BlockIndex>) -> Value {
    let header = types::Header::from(decided.block.header.clone());
    let commit = types::Commit::from(decided.commit.clone());
    let results = index.map(|index| index.results.as_slice()).unwrap_or_default();
    let txs: Vec<Value> = decided
        .block
        .data
        .iter()
        .enumerate()
        .map(|(position, tx)| {
            let result = results.get(position);
            json!({
                "hash": hex0x(tx_hash(tx)),
                "bytes": hex0x(tx),
                "code": result.map(|r| r.code),
                "data": result.map(|r| hex0x(&r.data)),
                "gas_wanted": result.map(|r| r.gas_wanted),
                "gas_used": result.map(|r| r.gas_used),
            })
        })
        .collect();
    let validators: Vec<Value> = decided
        .validators
        .validators()
        .iter()
        .map(|validator| {
            json!({
                "address": hex::encode(validator.address.as_bytes()),
                "public_key": hex::encode(validator.public_key.to_bytes()),
                "power": validator.power,
                "priority": validator.priority,
            })
        })
        .collect();
    json!({
        "height": decided.block.header.height.value(),
        "hash": hex0x(decided.id.hash.as_bytes()),
        "header": header_json(&header),
        "txs": txs,
        "settled": index.map(|index| index.settled.iter().map(|(_, record)| hex0x(record)).collect::<Vec<_>>()),
        "commit": commit_json(&commit),
        "validators": validators,
    })
}

/// A point in time as protobuf carries it.
fn timestamp(time: Option<&tendermint_proto::google::protobuf::Timestamp>) -> Value {
    time.map_or(
        Value::Null,
        |time| json!({ "seconds": time.seconds, "nanos": time.nanos }),
    )
}

fn id_json(id: Option<&types::BlockId>) -> Value {
    let parts = id.and_then(|id| id.part_set_header.as_ref());
    json!({
        "hash": id.map(|id| hex::encode(&id.hash)).unwrap_or_default(),
        "parts": parts.map_or(0, |parts| parts.total),
        "parts_hash": parts.map(|parts| hex::encode(&parts.hash)).unwrap_or_default(),
    })
}

fn header_json(header: &types::Header) -> Value {
    let version = header.version.unwrap_or_default();
    json!({
        "version": { "block": version.block, "app": version.app },
        "chain_id": header.chain_id,
        "height": header.height,
        "time": timestamp(header.time.as_ref()),
        "last_block_id": id_json(header.last_block_id.as_ref()),
        "last_commit_hash": hex::encode(&header.last_commit_hash),
        "data_hash": hex::encode(&header.data_hash),
        "validators_hash": hex::encode(&header.validators_hash),
        "next_validators_hash": hex::encode(&header.next_validators_hash),
        "consensus_hash": hex::encode(&header.consensus_hash),
        "app_hash": hex::encode(&header.app_hash),
        "last_results_hash": hex::encode(&header.last_results_hash),
        "evidence_hash": hex::encode(&header.evidence_hash),
        "proposer_address": hex::encode(&header.proposer_address),
    })
}

fn commit_json(commit: &types::Commit) -> Value {
    let signatures: Vec<Value> = commit
        .signatures
        .iter()
        .map(|signature| {
            json!({
                "flag": signature.block_id_flag,
                "validator_address": hex::encode(&signature.validator_address),
                "timestamp": timestamp(signature.timestamp.as_ref()),
                "signature": hex::encode(&signature.signature),
            })
        })
        .collect();
    json!({
        "height": commit.height,
        "round": commit.round,
        "block_id": id_json(commit.block_id.as_ref()),
        "signatures": signatures,
    })
}
