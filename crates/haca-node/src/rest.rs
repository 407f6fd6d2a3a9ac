//! The HTTP API of a full node. Every error is `{"error": {"code", "message", "hint"}}`.

mod answer;
mod block;
mod connections;
mod export;
mod state;
mod transaction;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub use answer::Problem;
pub use connections::HttpLimits;
pub(crate) use connections::serve;
pub(crate) use export::write as write_export;

use tokio::sync::Semaphore;

use crate::{driver::Driver, genesis::Genesis, ledger_app::LedgerApp, metrics::Metrics};

/// What the handlers work with.
pub struct Api {
    /// The network.
    pub genesis: Genesis,
    /// The ledger and its store.
    pub app: Arc<LedgerApp>,
    /// The consensus engine.
    pub driver: Arc<dyn Driver>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What connections may take.
    pub limits: HttpLimits,
    /// Places for bodies that are being read.
    pub bodies: Arc<Semaphore>,
    /// Places for exports that are being written: each keeps a snapshot of the state.
    pub exports: Arc<Semaphore>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// All routes.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/health", get(state::health))
        .route("/metrics", get(state::metrics))
        .route("/v1/status", get(state::status))
        .route("/v1/genesis", get(state::genesis))
        .route("/v1/state/{key}", get(state::entry))
        .route("/v1/accounts/{address}", get(state::account))
        .route("/v1/channels/{id}", get(state::channel))
        .route("/v1/models", get(state::models))
        .route("/v1/models/{id}", get(state::model))
        .route("/v1/nodes", get(state::nodes))
        .route("/v1/nodes/{address}", get(state::node))
        .route("/v1/supply", get(state::supply))
        .route("/v1/params", get(state::params))
        .route("/v1/governance", get(state::governance))
        .route("/v1/validators", get(state::validators))
        .route("/v1/export", get(export::export))
        .route("/v1/block/{height}", get(block::block))
        .route("/v1/light_block/{height}", get(block::light_block))
        .route("/v1/tx", post(transaction::submit))
        .route("/v1/tx/{hash}", get(transaction::outcome))
        .route("/v1/tx/{hash}/bytes", get(transaction::bytes))
        .route("/v1/receipts/{hash}", get(transaction::receipt))
        .fallback(answer::no_such_path)
        .layer(DefaultBodyLimit::max(haca_wire::limit::TX_BYTES + 1))
        .with_state(api)
}
