//! Queries of state. Amounts are decimal strings in the asset's smallest unit.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use haca_ledger::{query, record_json};
use haca_wire::{
    Address, ChannelId, Decode as _, ModelId,
    state::{Entry, key},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api,
    answer::{Problem, blocking, hex0x, octets},
};
use crate::{NodeError, ledger_app::Committed, store::StateView};

/// Entries of one list.
const LIST_ENTRIES: usize = 1_000;
/// Models in a list. Each is read with its verifying key, which can be a quarter of a megabyte.
const LIST_MODELS: usize = 64;
/// Bytes of a state key.
const KEY_BYTES: usize = 256;

type Handler = State<Arc<Api>>;

fn view(api: &Api) -> Result<Arc<StateView>, Problem> {
    Ok(api.app.store().view().ok_or(NodeError::NotReady)?)
}

/// 200 once there is a block and the node keeps up, 503 before and after the engine has stopped.
pub(super) async fn health(State(api): Handler) -> Result<Json<Value>, Problem> {
    if let Some(reason) = api.driver.failure() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "node.engine_stopped",
            reason,
            "the log says why it stopped; start the node again",
        ));
    }
    let height = blocking(api, |api| {
        let height = view(api)?.tip().height;
        if height == 0 || api.driver.status()?.catching_up {
            return Err(NodeError::NotReady.into());
        }
        Ok(height)
    })
    .await?;
    Ok(Json(json!({ "status": "ready", "height": height })))
}

/// Prometheus text.
pub(super) async fn metrics(State(api): Handler) -> Result<Response, Problem> {
    let text = blocking(api, |api| {
        let view = view(api)?;
        let state = Committed(&view);
        let clock = query::clock(&state)?;
        let supplies: Vec<_> = query::assets(&state)?
            .into_iter()
            .map(|(id, _, supply)| (id, supply))
            .collect();
        Ok(api
            .metrics
            .render(&api.driver.status()?, clock.base_fee.0, &supplies))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// Where the chain stands.
pub(super) async fn status(State(api): Handler) -> Result<Json<Value>, Problem> {
    let json = blocking(api, |api| {
        let status = api.driver.status()?;
        let view = view(api)?;
        let clock = query::clock(&Committed(&view))?;
        Ok(json!({
            "chain_id": api.genesis.chain_id.as_str(),
            "genesis_hash": api.genesis.hash().to_string(),
            "engine": status.engine,
            "height": status.height,
            "block_hash": hex0x(&status.block_hash),
            "time": status.time.to_rfc3339(),
            "time_unix_s": status.time.unix_timestamp(),
            "app_hash": hex0x(view.tip().app_hash),
            "app_height": view.tip().height,
            "tick": clock.tick.0,
            "base_fee": clock.base_fee.to_string(),
            "catching_up": status.catching_up,
            "mempool": { "transactions": status.mempool_txs, "bytes": status.mempool_bytes },
            "version": env!("CARGO_PKG_VERSION"),
            "rules": rules(api, &view)?,
        }))
    })
    .await?;
    Ok(Json(json))
}

/// Which version of the rules runs, which this node knows, and the next upgrade that has passed.
fn rules(api: &Api, view: &StateView) -> Result<Value, Problem> {
    let state = Committed(view);
    let upgrade =
        query::upgrade(&state)?.map(|(version, height)| json!({ "version": version, "height": height.0 }));
    Ok(json!({
        "version": query::governance(&state)?.version,
        "known": api.app.known_version(),
        "upgrade": upgrade,
    }))
}

/// What validators vote on, what has passed, and which rules run.
pub(super) async fn governance(State(api): Handler) -> Result<Json<Value>, Problem> {
    let json = blocking(api, |api| {
        let view = view(api)?;
        let state = Committed(&view);
        let mut proposals = Vec::new();
        for id in query::governance(&state)?.open {
            if let Some(record) = query::proposal(&state, id)? {
                proposals.push(record_json(&Entry::Proposal(id, record)).1);
            }
        }
        let rules = rules(api, &view)?;
        Ok(json!({ "height": view.tip().height, "rules": rules, "proposals": proposals }))
    })
    .await?;
    Ok(Json(json))
}

/// All validators, by consensus address, and who of them decides blocks.
pub(super) async fn validators(State(api): Handler) -> Result<Json<Value>, Problem> {
    let json = blocking(api, |api| {
        let view = view(api)?;
        let state = Committed(&view);
        let set = query::validators(&state)?;
        let mut validators = Vec::new();
        for member in &set.members {
            let key = key::validator(*member);
            let value = view.get(&key)?.unwrap_or_default();
            validators.push(decode(&key, &value)?);
        }
        let (_, set) = record_json(&Entry::Validators(set));
        Ok(json!({ "height": view.tip().height, "validators": validators, "active": set["active"] }))
    })
    .await?;
    Ok(Json(json))
}

/// The exact bytes of the genesis document.
pub(super) async fn genesis(State(api): Handler) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        api.genesis.bytes.clone(),
    )
        .into_response()
}

#[derive(Deserialize)]
pub(super) struct At {
    height: Option<u64>,
}

/// Value or absence of a key with its proof; by default at the last height whose proving header exists.
pub(super) async fn entry(
    State(api): Handler,
    Path(text): Path<String>,
    Query(at): Query<At>,
) -> Result<Json<Value>, Problem> {
    let key = hex::decode(text.trim_start_matches("0x")).map_err(|e| Problem::malformed("key", e))?;
    if key.is_empty() || key.len() > KEY_BYTES {
        return Err(Problem::malformed(
            "key",
            format!("{} bytes, expected 1 to {KEY_BYTES}", key.len()),
        ));
    }
    let json = blocking(api, move |api| {
        let view = view(api)?;
        let newest = view.tip().height.checked_sub(1).ok_or(NodeError::NotReady)?;
        let height = at.height.unwrap_or(newest);
        if height > newest {
            return Err(NodeError::HeightUnavailable {
                found: height,
                oldest: view.oldest(),
                newest,
            }
            .into());
        }
        let proven = view.prove(&key, height)?;
        Ok(json!({
            "key": hex0x(&proven.key),
            "value": proven.value.map(hex::encode),
            "proof": hex::encode(&proven.proof),
            "height": proven.height,
        }))
    })
    .await?;
    Ok(Json(json))
}

/// What an account holds of each asset.
pub(super) async fn account(State(api): Handler, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let address: Address = text.parse().map_err(|e| Problem::malformed("address", e))?;
    let json = blocking(api, move |api| {
        let view = view(api)?;
        let state = Committed(&view);
        let mut balances = Vec::new();
        for (asset, record, _) in query::assets(&state)? {
            balances.push(json!({
                "asset": asset.0,
                "symbol": record.symbol.as_str(),
                "decimals": record.decimals,
                "amount": query::balance(&state, address, asset)?.to_string(),
            }));
        }
        Ok(json!({ "address": address.to_string(), "height": view.tip().height, "balances": balances }))
    })
    .await?;
    Ok(Json(json))
}

/// One entry as JSON, or 404.
async fn record(api: Arc<Api>, key: Vec<u8>, what: String) -> Result<Json<Value>, Problem> {
    let json = blocking(api, move |api| {
        let view = view(api)?;
        let Some(value) = view.get(&key)? else {
            return Err(Problem::not_found(
                what,
                "check the identifier, and that its transaction is in a block",
            ));
        };
        decode(&key, &value)
    })
    .await?;
    Ok(Json(json))
}

fn decode(key: &[u8], value: &[u8]) -> Result<Value, Problem> {
    let entry = Entry::decode(key, value).map_err(|error| NodeError::StoreCorrupt {
        what: format!("entry {}: {error}", hex::encode(key)),
    })?;
    Ok(record_json(&entry).1)
}

async fn list(
    api: Arc<Api>,
    prefix: &'static [u8],
    name: &'static str,
    most: usize,
) -> Result<Json<Value>, Problem> {
    let json = blocking(api, move |api| {
        let view = view(api)?;
        let rows = view.scan(prefix, most)?;
        let complete = rows.len() < most;
        let entry = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let mut entry = decode(key, value)?;
            if let Some(fields) = entry.as_object_mut() {
                // Asked for one by one: a list of keys would be hundreds of megabytes for a question of forty bytes.
                fields.remove("verifying_key");
            }
            Ok::<_, Problem>(entry)
        };
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "height": view.tip().height, name: entries, "complete": complete }))
    })
    .await?;
    Ok(Json(json))
}

pub(super) async fn channel(State(api): Handler, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let id: ChannelId = text.parse().map_err(|e| Problem::malformed("channel", e))?;
    record(api, key::channel(id), format!("channel {id}")).await
}

pub(super) async fn models(State(api): Handler) -> Result<Json<Value>, Problem> {
    list(api, key::MODEL, "models", LIST_MODELS).await
}

pub(super) async fn model(State(api): Handler, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let id: ModelId = text.parse().map_err(|e| Problem::malformed("model", e))?;
    record(api, key::model(id), format!("model {id}")).await
}

pub(super) async fn nodes(State(api): Handler) -> Result<Json<Value>, Problem> {
    list(api, key::NODE, "nodes", LIST_ENTRIES).await
}

pub(super) async fn node(State(api): Handler, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let address: Address = text.parse().map_err(|e| Problem::malformed("address", e))?;
    record(api, key::node(address), format!("inference node {address}")).await
}

/// Where every unit of every asset is.
pub(super) async fn supply(State(api): Handler) -> Result<Json<Value>, Problem> {
    let json = blocking(api, |api| {
        let view = view(api)?;
        let mut assets = Vec::new();
        for (asset, record, supply) in query::assets(&Committed(&view))? {
            let balanced = supply.total() == Some(supply.issued);
            let (_, mut json) = record_json(&Entry::Supply(asset, supply));
            if let Value::Object(fields) = &mut json {
                fields.insert("symbol".to_owned(), record.symbol.as_str().into());
                fields.insert("decimals".to_owned(), record.decimals.into());
                fields.insert("balanced".to_owned(), balanced.into());
            }
            assets.push(json);
        }
        Ok(json!({ "height": view.tip().height, "assets": assets }))
    })
    .await?;
    Ok(Json(json))
}

/// The rules' numbers and the clock.
pub(super) async fn params(State(api): Handler) -> Result<Json<Value>, Problem> {
    let json = blocking(api, |api| {
        let view = view(api)?;
        let state = Committed(&view);
        let (_, params) = record_json(&Entry::Params(query::params(&state)?));
        let (_, clock) = record_json(&Entry::Clock(query::clock(&state)?));
        Ok(json!({ "params": params, "clock": clock }))
    })
    .await?;
    Ok(Json(json))
}

pub(super) fn settlement(record: &[u8]) -> Result<haca_wire::Settlement, NodeError> {
    haca_wire::Settlement::decode_all(record).map_err(|error| NodeError::StoreCorrupt {
        what: format!("settlement record: {error}"),
    })
}

pub(super) fn bytes(bytes: Vec<u8>) -> Response {
    octets(bytes)
}
