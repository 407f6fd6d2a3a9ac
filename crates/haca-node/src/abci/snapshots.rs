//! The snapshot half of ABCI: the words for what [`snapshot`](crate::snapshot) decides.

use tendermint_proto::v0_38::abci::{
    RequestApplySnapshotChunk, RequestLoadSnapshotChunk, RequestOfferSnapshot, ResponseApplySnapshotChunk,
    ResponseListSnapshots, ResponseLoadSnapshotChunk, ResponseOfferSnapshot, Snapshot as Announced,
    response::Value as Answer, response_apply_snapshot_chunk, response_offer_snapshot,
};

use crate::{
    application::Application,
    error::NodeError,
    snapshot::{Applied, Offered, Snapshot},
};

pub(super) fn list(app: &dyn Application) -> Result<Answer, NodeError> {
    let announced = |snapshot: Snapshot| Announced {
        height: snapshot.height,
        format: snapshot.format,
        chunks: snapshot.chunks,
        hash: snapshot.hash.to_vec().into(),
        metadata: snapshot.metadata.into(),
    };
    Ok(Answer::ListSnapshots(ResponseListSnapshots {
        snapshots: app.snapshots()?.into_iter().map(announced).collect(),
    }))
}

/// An empty chunk says that there is none.
pub(super) fn load(app: &dyn Application, asked: &RequestLoadSnapshotChunk) -> Result<Answer, NodeError> {
    let chunk = app.snapshot_chunk(asked.height, asked.format, asked.chunk)?;
    Ok(Answer::LoadSnapshotChunk(ResponseLoadSnapshotChunk {
        chunk: chunk.unwrap_or_default().into(),
    }))
}

pub(super) fn offer(app: &dyn Application, asked: RequestOfferSnapshot) -> Result<Answer, NodeError> {
    use response_offer_snapshot::Result as Word;
    let offered = asked.snapshot.and_then(|snapshot| {
        Some(Snapshot {
            height: snapshot.height,
            format: snapshot.format,
            chunks: snapshot.chunks,
            hash: snapshot.hash.as_ref().try_into().ok()?,
            metadata: snapshot.metadata.to_vec(),
        })
    });
    let answer = match offered {
        Some(snapshot) => app.offer_snapshot(&snapshot, &asked.app_hash)?,
        // A hash of another length is of nothing that we know.
        None => Offered::RejectSender,
    };
    let word = match answer {
        Offered::Accept => Word::Accept,
        Offered::Abort => Word::Abort,
        Offered::Reject => Word::Reject,
        Offered::RejectFormat => Word::RejectFormat,
        Offered::RejectSender => Word::RejectSender,
    };
    Ok(Answer::OfferSnapshot(ResponseOfferSnapshot {
        result: word.into(),
    }))
}

pub(super) fn apply(app: &dyn Application, asked: RequestApplySnapshotChunk) -> Result<Answer, NodeError> {
    use response_apply_snapshot_chunk::Result as Word;
    let (word, refetch, liar) = match app.apply_snapshot_chunk(asked.index, &asked.chunk)? {
        Applied::Accept => (Word::Accept, None, None),
        Applied::Abort => (Word::Abort, None, None),
        Applied::Refetch => (Word::Retry, Some(asked.index), Some(asked.sender)),
        Applied::Needs(first) => (Word::Retry, Some(first), None),
        Applied::RejectSnapshot => (Word::RejectSnapshot, None, Some(asked.sender)),
    };
    Ok(Answer::ApplySnapshotChunk(ResponseApplySnapshotChunk {
        result: word.into(),
        refetch_chunks: refetch.into_iter().collect(),
        reject_senders: liar.into_iter().collect(),
    }))
}
