//! Transactions in, and what became of them.
//!
//! A transaction or receipt counts as included once the next header, which proves its effect, exists.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest as _, Path, Request, State, rejection::BytesRejection},
    http::{StatusCode, header::CONTENT_LENGTH},
    response::Response,
};
use haca_wire::{Decode as _, ReceiptHash, TxHash, limit, merkle::InclusionPath};
use serde_json::{Value, json};

use super::{
    Api,
    answer::{Problem, blocking, hex0x},
    state,
};
use crate::{NodeError, consensus::hash::tx_hash, ledger_app::TxCost, store::TxLocation};

/// Takes an encoded signed transaction. Sending one again is harmless.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit::TX_BYTES as u64) {
        return Err(too_large("Content-Length"));
    }
    let read = async {
        let _place = api.bodies.acquire().await;
        Bytes::from_request(request, &()).await
    };
    let Ok(body) = tokio::time::timeout(api.limits.body_time, read).await else {
        return Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request.timeout",
            format!("the body did not arrive within {:?}", api.limits.body_time),
            "send the whole transaction at once",
        ));
    };
    let body = body.map_err(|rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(&rejection.body_text()),
        status => Problem::new(
            status,
            "request.malformed",
            rejection.body_text(),
            "send one encoded transaction as the body",
        ),
    })?;
    blocking(api, move |api| {
        let hash = TxHash(tx_hash(&body));
        let answer = |status: StatusCode| (status, Json(json!({ "tx_hash": hash.to_string() })));
        // Its nonce would be refused now, but it has already had its effect.
        if api.app.store().tx_location(&hash.0)?.is_some() {
            return Ok(answer(StatusCode::OK));
        }
        api.driver.submit_tx(body.to_vec())?;
        Ok(answer(StatusCode::ACCEPTED))
    })
    .await
}

fn too_large(what: &str) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "tx.too_large",
        format!("{what} (at most {} bytes)", limit::TX_BYTES),
        "send one encoded transaction as the body",
    )
}

fn parse(text: &str) -> Result<TxHash, Problem> {
    text.parse()
        .map_err(|e| Problem::malformed("transaction hash", e))
}

fn proven(api: &Api, height: u64) -> bool {
    api.app.store().tip().is_some_and(|tip| tip.height > height)
}

fn locate(api: &Api, hash: TxHash) -> Result<TxLocation, Problem> {
    let location = api.app.store().tx_location(&hash.0)?;
    location
        .filter(|location| proven(api, location.height))
        .ok_or_else(|| {
            Problem::not_found(
                format!("transaction {hash} is in no block"),
                "it may still wait for one; ask again shortly, or send it again",
            )
        })
}

/// What became of a transaction.
pub(super) async fn outcome(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let hash = parse(&text)?;
    let json = blocking(api, move |api| {
        let location = locate(api, hash)?;
        let cost = TxCost::decode_all(&location.result.data).unwrap_or_default();
        Ok(json!({
            "tx_hash": hash.to_string(),
            "height": location.height,
            "index": location.index,
            "code": location.result.code,
            "log": location.result.log,
            "gas_wanted": location.result.gas_wanted,
            "gas_used": location.result.gas_used,
            "base_fee": cost.base_fee.to_string(),
            "burned": cost.burned.to_string(),
            "tip": cost.tip.to_string(),
        }))
    })
    .await?;
    Ok(Json(json))
}

/// The exact bytes of an included transaction.
pub(super) async fn bytes(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
) -> Result<Response, Problem> {
    let hash = parse(&text)?;
    let bytes = blocking(api, move |api| {
        let location = locate(api, hash)?;
        let block = api.driver.block(location.height)?;
        let tx = block.and_then(|decided| decided.block.data.into_iter().nth(location.index as usize));
        Ok(tx.ok_or_else(|| NodeError::StoreCorrupt {
            what: format!("transaction {hash} is not in block {}", location.height),
        })?)
    })
    .await?;
    Ok(state::bytes(bytes))
}

/// A settled receipt or voucher, by its digest, with its path to the receipt root of its block.
pub(super) async fn receipt(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
) -> Result<Json<Value>, Problem> {
    let hash: ReceiptHash = text.parse().map_err(|e| Problem::malformed("receipt hash", e))?;
    let json = blocking(api, move |api| {
        let store = api.app.store();
        let location = store
            .receipt_location(&hash.0)?
            .filter(|(height, _)| proven(api, *height));
        let Some((height, index)) = location else {
            return Err(Problem::not_found(
                format!("receipt {hash} is not settled"),
                "the inference node that signed it says where it stands",
            ));
        };
        let leaves: Vec<Vec<u8>> = store
            .block_index(height)?
            .map(|block| block.settled.into_iter().map(|(_, record)| record).collect())
            .unwrap_or_default();
        let damaged = || NodeError::StoreCorrupt {
            what: format!("receipts of block {height}"),
        };
        let leaf = leaves.get(index as usize).ok_or_else(damaged)?;
        let path = InclusionPath::new(&leaves, index as usize).ok_or_else(damaged)?;
        let record = state::settlement(leaf)?;
        Ok(json!({
            "settlement": hex::encode(leaf),
            "height": height,
            "index": path.index,
            "leaves": path.leaves,
            "path": path.siblings.iter().map(hex0x).collect::<Vec<_>>(),
            "fee": record.fee.to_string(),
            "asset": record.asset.0,
            "payout": record.payout.to_string(),
            "tx": record.tx.to_string(),
        }))
    })
    .await?;
    Ok(Json(json))
}
