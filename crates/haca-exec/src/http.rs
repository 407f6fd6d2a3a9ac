//! The HTTP API of an inference node. Every error is `{"error": {"code", "message", "hint"}}`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use haca_client::{ORDER_HEADER, RECEIPT_HEADER};
use haca_wire::{Address, Amount, AssetId, Encode as _, TensorSpec, limit};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::entry::{Entry, EntryState};
use crate::refusal::Refusal;
use crate::service::{Service, internal};

type Shared = State<Arc<Service>>;

/// All routes.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/node", get(node))
        .route("/v1/models", get(models))
        .route("/v1/quotes", post(quote))
        .route("/v1/infer", post(infer))
        .route("/v1/receipts/{id}", get(receipt))
        .fallback(no_such_path)
        .layer(DefaultBodyLimit::max(limit::BODY_BYTES))
        .with_state(service)
}

/// A refusal as a response.
struct Problem(Refusal);

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        problem(status, self.0.code(), &self.0.to_string(), self.0.hint())
    }
}

fn problem(status: StatusCode, code: &str, message: &str, hint: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message, "hint": hint } });
    (status, Json(body)).into_response()
}

async fn no_such_path() -> Response {
    let hint = "the paths are /v1/models, /v1/node, /v1/quotes, /v1/infer, /v1/receipts/{hash}";
    problem(
        StatusCode::NOT_FOUND,
        "exec.no_such_path",
        "there is no such path",
        hint,
    )
}

/// Runs blocking work off the server's threads.
async fn blocking<T: Send + 'static>(
    service: Arc<Service>,
    work: impl FnOnce(&Service) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(move || work(&service)).await;
    Ok(done.map_err(|_| Refusal::Internal { code: "exec.panic" })??)
}

async fn health(State(service): Shared) -> Result<&'static str, Problem> {
    service.chain.head(service.config.stale_head_s)?;
    Ok("ok\n")
}

async fn metrics(State(service): Shared) -> Result<String, Problem> {
    blocking(service, |service| {
        let open = service.journal.open_entries().map_err(internal)?.len();
        let head = service.chain.head(u64::MAX)?;
        Ok(format!(
            "# HELP haca_exec_open_receipts Receipts that wait for their settlement\n\
             # TYPE haca_exec_open_receipts gauge\nhaca_exec_open_receipts {open}\n\
             # HELP haca_exec_head_height Last height heard of\n\
             # TYPE haca_exec_head_height gauge\nhaca_exec_head_height {}\n",
            head.height
        ))
    })
    .await
}

async fn node(State(service): Shared) -> Result<Json<Value>, Problem> {
    let head = service.chain.head(service.config.stale_head_s)?;
    Ok(Json(json!({
        "address": service.account.address().to_string(),
        "signer": service.signer.address().to_string(),
        "payout": head.node.payout.to_string(),
        "offer_version": head.node.offer_version,
        "chain_id": service.chain.domain.chain_id.0,
        "genesis": service.chain.domain.genesis.to_string(),
    })))
}

async fn models(State(service): Shared) -> Json<Value> {
    let specs = |specs: &[TensorSpec]| {
        specs
            .iter()
            .map(|spec| {
                json!({
                    "name": spec.name.as_str(),
                    "dtype": spec.dtype.name(),
                    "shape": spec.shape.dims(),
                    "scale": { "mantissa": spec.scale.mantissa(), "shift": spec.scale.shift() },
                })
            })
            .collect::<Vec<_>>()
    };
    let offers = service.offers();
    let data: Vec<Value> = service
        .models
        .iter()
        .map(|model| {
            let offers = offers
                .iter()
                .filter(|offer| offer.model == model.id)
                .map(|offer| {
                    json!({
                        "evidence": offer.evidence.name(),
                        "asset": offer.asset.0,
                        "fee": offer.fee(model.units()).unwrap_or_default().to_string(),
                    })
                });
            json!({
                "id": model.id.to_string(),
                "name": model.name(),
                "units": model.units(),
                "offers": offers.collect::<Vec<_>>(),
                "inputs": specs(model.inputs()),
                "outputs": specs(&model.outputs),
            })
        })
        .collect();
    Json(json!({ "data": data }))
}

/// The body of `/v1/quotes`; amounts are decimal strings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuoteRequest {
    payer: String,
    asset: u32,
    deposit: String,
    warranty: String,
}

async fn quote(State(service): Shared, body: Bytes) -> Result<Json<Value>, Problem> {
    let malformed = || Refusal::Quote {
        reason: "the body is not {payer, asset, deposit, warranty} with amounts as decimal strings",
    };
    let request: QuoteRequest = serde_json::from_slice(&body).map_err(|_| malformed())?;
    let payer: Address = request.payer.parse().map_err(|_| malformed())?;
    let deposit: Amount = request.deposit.parse().map_err(|_| malformed())?;
    let warranty: Amount = request.warranty.parse().map_err(|_| malformed())?;
    let domain = service.chain.domain;
    let quote = blocking(service, move |service| {
        service.quote(payer, AssetId(request.asset), deposit, warranty)
    })
    .await?;
    Ok(Json(json!({
        "quote": hex::encode(quote.encode()),
        "channel": quote.value.channel(&domain).to_string(),
        "expires": quote.value.expires.0,
    })))
}

async fn infer(State(service): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let order = headers
        .get(ORDER_HEADER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let domain = service.chain.domain;
    let entry = blocking(service, move |service| service.infer(order.as_deref(), &body)).await?;
    let receipt = &entry.item.receipt;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
        (RECEIPT_HEADER, hex::encode(receipt.encode())),
        ("haca-receipt-hash", receipt.value.hash(&domain).to_string()),
    ];
    Ok((headers, entry.response).into_response())
}

async fn receipt(State(service): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let hash: haca_wire::ReceiptHash = id.parse().map_err(|_| Refusal::UnknownReceipt)?;
    let json = blocking(service, move |service| {
        let entry = service
            .journal
            .find(&hash.0)
            .map_err(internal)?
            .ok_or(Refusal::UnknownReceipt)?;
        Ok(status_json(service, &entry))
    })
    .await?;
    Ok(Json(json))
}

fn status_json(service: &Service, entry: &Entry) -> Value {
    let (status, tx, height, reason) = match &entry.state {
        EntryState::Answered if service.is_proving(entry.place()) => ("proving", None, None, None),
        EntryState::Answered => ("answered", None, None, None),
        EntryState::Submitted(tx) => ("submitted", Some(tx.to_string()), None, None),
        EntryState::Settled(tx, height) => ("settled", Some(tx.to_string()), Some(height.0), None),
        EntryState::Refused(reason) => ("refused", None, None, Some(reason.as_str())),
    };
    json!({
        "status": status,
        "order_hash": entry.item.order.value.hash(&service.chain.domain).to_string(),
        "receipt_hash": entry.item.receipt.value.hash(&service.chain.domain).to_string(),
        "order": hex::encode(entry.item.order.encode()),
        "receipt": hex::encode(entry.item.receipt.encode()),
        "tx": tx,
        "height": height,
        "reason": reason,
        "proof": entry.proof.map(|proof| json!({
            "bytes": proof.bytes,
            "prove_ms": proof.prove_us as f64 / 1e3,
            "batch": proof.batch,
        })),
    })
}
