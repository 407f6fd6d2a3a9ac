//! The whole state as one JSON document, sent piece by piece: the state may be larger than the memory.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use haca_ledger::ExportText;
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    Api,
    answer::{Problem, hex0x},
};
use crate::{NodeError, genesis::Genesis, store::StateView};

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for their reader.
const PIECES: usize = 4;

/// The pieces as the body of an answer. A state that turns out to be damaged cuts the connection, so that nobody takes
/// a part for the whole.
struct Pieces(mpsc::Receiver<Result<Bytes, NodeError>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = NodeError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NodeError>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The whole state.
pub(super) async fn export(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let place = Arc::clone(&api.exports).try_acquire_owned().map_err(|_| {
        Problem::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "node.busy",
            "as many exports as allowed are being read",
            "ask again when they are done",
        )
    })?;
    let view = api.app.store().view().ok_or(NodeError::NotReady)?;
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let sent = write(&api.genesis, &view, |piece| {
            sender.blocking_send(Ok(Bytes::from(piece))).is_ok()
        });
        if let Err(error) = sent {
            let _ = sender.blocking_send(Err(error));
        }
    });
    let body = Body::new(Pieces(pieces));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Writes the document in pieces until all is written or `send` wants no more.
pub(crate) fn write(
    genesis: &Genesis,
    view: &StateView,
    mut send: impl FnMut(String) -> bool,
) -> Result<(), NodeError> {
    let head = json!({
        "chain_id": genesis.chain_id.as_str(),
        "genesis_hash": genesis.hash().to_string(),
        "height": view.tip().height,
        "app_hash": hex0x(view.tip().app_hash),
    })
    .to_string();
    let mut text = head.trim_end_matches('}').to_owned();
    text.push_str(",\"state\":");
    let mut wanted = true;
    let mut flush = |text: &mut String, least: usize| {
        if text.len() >= least {
            wanted = wanted && send(std::mem::take(text));
        }
        wanted
    };
    let mut export = ExportText::new(&mut text);
    view.each(|key, value| {
        export
            .record(key, value, &mut text)
            .map_err(|error| NodeError::StoreCorrupt {
                what: error.to_string(),
            })?;
        Ok(flush(&mut text, PIECE_BYTES))
    })?;
    export.raw(&mut text);
    view.each(|key, value| {
        export.raw_entry(key, value, &mut text);
        Ok(flush(&mut text, PIECE_BYTES))
    })?;
    export.end(&mut text);
    text.push('}');
    flush(&mut text, 0);
    Ok(())
}
