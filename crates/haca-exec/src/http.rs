//! The HTTP API of an inference node. Every error is `{"error": {"code", "message", "hint"}}`.

use std::sync::Arc;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use haca_client::{ORDER_HEADER, RECEIPT_HEADER};
use haca_wire::{
    Address, Amount, AssetId, Decode as _, Encode as _, Signed, TensorSpec, TxHash, Voucher, limit,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::entry::{Entry, EntryState, UNKNOWN_TX};
use crate::refusal::Refusal;
use crate::service::{Service, internal};

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    service: Arc<Service>,
    requests: Arc<Semaphore>,
}

/// All routes.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let limits = service.config.http;
    let shared = Shared {
        service,
        requests: Arc::new(Semaphore::new(limits.requests)),
    };
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/node", get(node))
        .route("/v1/models", get(models))
        .route("/v1/quotes", post(quote))
        .route("/v1/infer", post(infer))
        .route("/v1/vouchers", post(cover))
        .route("/v1/receipts/{id}", get(receipt))
        .route("/v1/snapshot", get(snapshot))
        .fallback(no_such_path)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(limit::BODY_BYTES))
        .with_state(shared)
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
        let error = json!({ "code": self.0.code(), "message": self.0.to_string(), "hint": self.0.hint() });
        (status, Json(json!({ "error": error }))).into_response()
    }
}

async fn no_such_path() -> Problem {
    Refusal::NoSuchPath.into()
}

async fn other_method() -> Problem {
    Refusal::Method.into()
}

/// Reads a body within the limits of size and time.
async fn whole_body(shared: &Shared, request: Request) -> Result<Bytes, Problem> {
    let too_large = Refusal::BodyTooLarge {
        expected: limit::BODY_BYTES,
    };
    // What says its length is refused before it is sent.
    if request.body().size_hint().lower() > limit::BODY_BYTES as u64 {
        return Err(too_large.into());
    }
    let time = shared.service.config.http.body_time;
    let body = tokio::time::timeout(time, Bytes::from_request(request, &())).await;
    let body = body.map_err(|_| Refusal::BodyTimeout {
        expected_s: time.as_secs(),
    })?;
    Ok(body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large
        } else {
            Refusal::BodyCut
        }
    })?)
}

/// Runs work for whoever pays or wants to, as much at once as the limits allow. Refused and not queued: who waits
/// behind a full house holds memory for nothing.
async fn admitted<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Service) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Problem> {
    let permit = Arc::clone(&shared.requests).try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::Busy {
        expected: shared.service.config.http.requests,
    })?;
    blocking(shared, move |service| {
        let _permit = permit;
        work(service)
    })
    .await
}

/// Runs work that blocks for a moment off the server's threads.
async fn blocking<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Service) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Problem> {
    let service = Arc::clone(&shared.service);
    let done = tokio::task::spawn_blocking(move || work(&service));
    Ok(done
        .await
        .map_err(|_| Refusal::Internal { code: "exec.panic" })??)
}

/// 200 while the chain is heard of and the journal can be read.
async fn health(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    let check = |service: &Service| {
        service.chain.head(service.config.stale_head_s)?;
        service.journal.open_count().map_err(internal)
    };
    blocking(&shared, check).await?;
    Ok("ok\n")
}

async fn metrics(State(shared): State<Shared>) -> Result<String, Problem> {
    blocking(&shared, |service| {
        let open = service.journal.open_count().map_err(internal)?;
        let entries = service.journal.entry_count().map_err(internal)?;
        let held = service.journal.held_count().map_err(internal)?;
        let demands = service.open_demands();
        let height = service.chain.last().map_or(0, |head| head.height.0);
        let totals = service.journal.sum().map_err(internal)?;
        let rows = [
            (
                "haca_exec_open_receipts",
                "gauge",
                "Receipts that wait for their settlement",
                open,
            ),
            (
                "haca_exec_held_receipts",
                "gauge",
                "Receipts whose fee waits while a proof can be demanded",
                held,
            ),
            (
                "haca_exec_open_demands",
                "gauge",
                "Demands of proofs that are open: each unanswered one costs the stake",
                demands,
            ),
            (
                "haca_exec_journal_receipts",
                "gauge",
                "Receipts in the journal with all their bytes",
                entries,
            ),
            (
                "haca_exec_answered_total",
                "counter",
                "Receipts signed since the journal began",
                totals.answered,
            ),
            (
                "haca_exec_settled_total",
                "counter",
                "Receipts settled since the journal began",
                totals.settled,
            ),
            (
                "haca_exec_missed_total",
                "counter",
                "Receipts given up since the journal began",
                totals.missed,
            ),
            ("haca_exec_head_height", "gauge", "Last height heard of", height),
        ];
        let row = |(name, kind, help, value): (&str, &str, &str, u64)| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
        };
        Ok(rows.map(row).concat())
    })
    .await
}

/// What the operator's reports are made of, for whoever can read the home.
async fn snapshot(State(shared): State<Shared>, request: Request) -> Result<Vec<u8>, Problem> {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let snapshot = blocking(&shared, move |service| {
        if given.as_deref() != Some(&service.operator.authorization()) {
            return Err(Refusal::NoSuchPath);
        }
        service.journal.snapshot().map_err(internal)
    })
    .await?;
    Ok(snapshot.encode())
}

async fn node(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let service = &shared.service;
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

async fn models(State(shared): State<Shared>) -> Json<Value> {
    let service = &shared.service;
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

async fn quote(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let body = whole_body(&shared, request).await?;
    let malformed = || Refusal::Quote {
        reason: "the body is not {payer, asset, deposit, warranty} with amounts as decimal strings",
    };
    let request: QuoteRequest = serde_json::from_slice(&body).map_err(|_| malformed())?;
    let payer: Address = request.payer.parse().map_err(|_| malformed())?;
    let deposit: Amount = request.deposit.parse().map_err(|_| malformed())?;
    let warranty: Amount = request.warranty.parse().map_err(|_| malformed())?;
    let domain = shared.service.chain.domain;
    let quote = admitted(&shared, move |service| {
        service.quote(payer, AssetId(request.asset), deposit, warranty)
    })
    .await?;
    Ok(Json(json!({
        "quote": hex::encode(quote.encode()),
        "channel": quote.value.channel(&domain).to_string(),
        "expires": quote.value.expires.0,
    })))
}

/// Takes an encoded `Signed<Voucher>`, gives the encoded `Signed<ReceiptRoot>` in hexadecimal.
async fn cover(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let body = whole_body(&shared, request).await?;
    let voucher: Signed<Voucher> = Signed::decode_all(&body).map_err(|_| Refusal::Voucher {
        reason: "the body is no signed voucher",
    })?;
    let root = admitted(&shared, move |service| service.cover(voucher)).await?;
    Ok(Json(json!({ "root": hex::encode(root.encode()) })))
}

async fn infer(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let mut orders = request.headers().get_all(ORDER_HEADER).iter();
    let order = match (orders.next(), orders.next()) {
        (Some(order), None) => order.to_str().ok().map(str::to_owned),
        _ => None,
    };
    let body = whole_body(&shared, request).await?;
    let domain = shared.service.chain.domain;
    let answered = admitted(&shared, move |service| service.infer(order.as_deref(), &body)).await?;
    let receipt = &answered.entry.item.receipt;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
        (RECEIPT_HEADER, hex::encode(receipt.encode())),
        ("haca-receipt-hash", receipt.value.hash(&domain).to_string()),
    ];
    Ok((headers, answered.response).into_response())
}

async fn receipt(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let id = id.map_err(|_| Refusal::UnknownReceipt)?;
    let hash: haca_wire::ReceiptHash = id.parse().map_err(|_| Refusal::UnknownReceipt)?;
    let json = blocking(&shared, move |service| {
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
    let known = |tx: &TxHash| (*tx != UNKNOWN_TX).then(|| tx.to_string());
    let (status, tx, height, reason) = match &entry.state {
        EntryState::Answered if service.is_proving(entry.place()) => ("proving", None, None, None),
        EntryState::Answered => ("answered", None, None, None),
        EntryState::Submitted(tx) => ("submitted", Some(tx.to_string()), None, None),
        EntryState::Settled(tx, height) => ("settled", known(tx), Some(height.0), None),
        EntryState::Refused(reason) => ("refused", None, None, Some(reason.as_str())),
        EntryState::Held(tx, height) => ("held", known(tx), Some(height.0), None),
        EntryState::Forfeited(tx, height) => ("forfeited", known(tx), Some(height.0), None),
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
