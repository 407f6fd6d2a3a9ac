//! Answers and errors.

use std::sync::Arc;

use axum::{
    Json,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Api;
use crate::error::NodeError;

/// A refused request.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: String,
    message: String,
    hint: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, message: impl ToString, hint: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_string(),
            hint: hint.to_owned(),
        }
    }

    /// A path segment that does not parse.
    pub(super) fn malformed(what: &str, reason: impl ToString) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "request.malformed",
            format!("{what}: {}", reason.to_string()),
            "see docs/reference/node-api.md for the form of each request",
        )
    }

    /// Something that is not, or not yet, there.
    pub(super) fn not_found(what: impl ToString, hint: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "request.not_found", what, hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message, "hint": self.hint } });
        (self.status, Json(body)).into_response()
    }
}

impl From<NodeError> for Problem {
    fn from(error: NodeError) -> Self {
        let status = match &error {
            NodeError::TxRefused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            NodeError::TxTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            NodeError::MempoolFull { .. } | NodeError::NotReady | NodeError::EngineStopped => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            NodeError::HeightUnavailable { .. } => StatusCode::NOT_FOUND,
            NodeError::CometRpc { .. } => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // The ledger's refusals are JSON objects with their own code and hint.
        if let NodeError::TxRefused { log, .. } = &error
            && let Ok(Value::Object(refusal)) = serde_json::from_str(log)
        {
            let text = |name: &str| {
                refusal
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            return Self {
                status,
                code: text("code"),
                message: text("message"),
                hint: text("hint"),
            };
        }
        Self::new(status, error.code(), &error, error.hint())
    }
}

impl From<haca_ledger::LedgerError> for Problem {
    fn from(error: haca_ledger::LedgerError) -> Self {
        NodeError::from(error).into()
    }
}

/// Runs a handler that may block on disk or on the engine.
pub(super) async fn blocking<T: Send + 'static>(
    api: Arc<Api>,
    work: impl FnOnce(&Api) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(move || work(&api)).await;
    done.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "node.internal",
            "the request could not be answered",
            "this is a bug; please report it with the log",
        ))
    })
}

/// Bytes as they are.
pub(super) fn octets(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

/// `0x` and hexadecimal digits.
pub(super) fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(
        format!("no such path: {}", uri.path()),
        "see docs/reference/node-api.md",
    )
}
