//! From ABCI messages to the application and back.

use haca_ledger::{CommitVote, Misbehaviour, MisbehaviourKind};
use haca_wire::Height;
use tendermint_proto::v0_38::{
    abci::{
        self, ExecTxResult, Misbehavior, MisbehaviorType, Request, RequestFinalizeBlock,
        RequestPrepareProposal, RequestProcessProposal, RequestQuery, Response, ResponseCheckTx,
        ResponseCommit, ResponseEcho, ResponseException, ResponseFinalizeBlock, ResponseFlush, ResponseInfo,
        ResponseInitChain, ResponsePrepareProposal, ResponseProcessProposal, ResponseQuery, Validator,
        VoteInfo, request::Value as Asked, response::Value as Answer, response_process_proposal,
    },
    crypto::{ProofOp, ProofOps, PublicKey, public_key},
    types::BlockIdFlag,
};

use super::snapshots;
use crate::{
    application::{Application, BlockPosition, Decision, InitChain, Query, TxResult},
    consensus::{ValidatorUpdate, hash::signed},
    error::NodeError,
};

/// `type` of a `CheckTxRequest` that repeats an earlier one.
const RECHECK: i32 = 1;
/// Name of the proof format in query responses.
const PROOF_TYPE: &str = "haca:ics23:jmt";

/// Answers one request. An unknown request is an exception and nothing else happens; an error of the application is
/// an exception too, and is returned as well, because the application can't go on.
pub fn respond(app: &dyn Application, request: Request) -> (Response, Option<NodeError>) {
    let exception = |error: String| Answer::Exception(ResponseException { error });
    let (answer, failure) = match request.value {
        None => (exception("unknown request".to_owned()), None),
        Some(asked) => match answer(app, asked) {
            Ok(answer) => (answer, None),
            Err(error) => (exception(format!("{}: {error}", error.code())), Some(error)),
        },
    };
    (Response { value: Some(answer) }, failure)
}

fn answer(app: &dyn Application, asked: Asked) -> Result<Answer, NodeError> {
    Ok(match asked {
        Asked::Echo(echo) => Answer::Echo(ResponseEcho {
            message: echo.message,
        }),
        Asked::Flush(_) => Answer::Flush(ResponseFlush {}),
        Asked::Info(_) => {
            let info = app.info()?;
            Answer::Info(ResponseInfo {
                data: "haca".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                app_version: info.app_version,
                last_block_height: signed(info.height),
                last_block_app_hash: if info.height == 0 {
                    Vec::new()
                } else {
                    info.app_hash.to_vec()
                }
                .into(),
            })
        }
        Asked::InitChain(init) => {
            let app_hash = app.init_chain(&InitChain {
                chain_id: init.chain_id,
                initial_height: unsigned(init.initial_height)?,
                validators: init
                    .validators
                    .iter()
                    .map(genesis_validator)
                    .collect::<Result<_, _>>()?,
            })?;
            Answer::InitChain(ResponseInitChain {
                app_hash: app_hash.to_vec().into(),
                ..Default::default()
            })
        }
        Asked::CheckTx(check) => {
            let result = app.check_tx(&check.tx, check.r#type == RECHECK)?;
            Answer::CheckTx(ResponseCheckTx {
                code: result.code,
                data: result.data.into(),
                log: result.log,
                gas_wanted: signed(result.gas_wanted),
                gas_used: signed(result.gas_used),
                ..Default::default()
            })
        }
        Asked::PrepareProposal(prepare) => prepare_proposal(app, prepare)?,
        Asked::ProcessProposal(process) => process_proposal(app, process)?,
        Asked::FinalizeBlock(finalize) => finalize_block(app, finalize)?,
        Asked::Commit(_) => {
            app.commit()?;
            Answer::Commit(ResponseCommit {
                retain_height: signed(app.retain_height()),
            })
        }
        Asked::Query(query) => Answer::Query(state_query(app, query)?),
        Asked::ListSnapshots(_) => snapshots::list(app)?,
        Asked::LoadSnapshotChunk(load) => snapshots::load(app, &load)?,
        Asked::OfferSnapshot(offer) => snapshots::offer(app, offer)?,
        Asked::ApplySnapshotChunk(apply) => snapshots::apply(app, apply)?,
        Asked::ExtendVote(_) | Asked::VerifyVoteExtension(_) => {
            return Err(NodeError::Abci {
                reason: "vote extensions are not enabled on this network".to_owned(),
            });
        }
    })
}

fn unsigned(value: i64) -> Result<u64, NodeError> {
    u64::try_from(value).map_err(|_| NodeError::Abci {
        reason: format!("a height of {value}"),
    })
}

fn position(
    height: i64,
    time: Option<tendermint_proto::google::protobuf::Timestamp>,
    proposer: &[u8],
) -> Result<BlockPosition, NodeError> {
    Ok(BlockPosition {
        height: unsigned(height)?,
        time_unix_s: u64::try_from(time.map_or(0, |time| time.seconds)).unwrap_or(0),
        proposer: proposer.try_into().map_err(|_| NodeError::Abci {
            reason: format!("a proposer address of {} bytes", proposer.len()),
        })?,
    })
}

fn vectors<B: AsRef<[u8]>>(txs: &[B]) -> Vec<Vec<u8>> {
    txs.iter().map(|tx| tx.as_ref().to_vec()).collect()
}

fn prepare_proposal(app: &dyn Application, asked: RequestPrepareProposal) -> Result<Answer, NodeError> {
    let position = position(asked.height, asked.time, &asked.proposer_address)?;
    let max_bytes = usize::try_from(asked.max_tx_bytes).unwrap_or(0);
    let txs = app.prepare_proposal(position, vectors(&asked.txs), max_bytes)?;
    Ok(Answer::PrepareProposal(ResponsePrepareProposal {
        txs: txs.into_iter().map(Into::into).collect(),
    }))
}

fn process_proposal(app: &dyn Application, asked: RequestProcessProposal) -> Result<Answer, NodeError> {
    use response_process_proposal::ProposalStatus;
    let position = position(asked.height, asked.time, &asked.proposer_address)?;
    let status = match app.process_proposal(position, &vectors(&asked.txs))? {
        true => ProposalStatus::Accept,
        false => ProposalStatus::Reject,
    };
    Ok(Answer::ProcessProposal(ResponseProcessProposal {
        status: status.into(),
    }))
}

fn finalize_block(app: &dyn Application, asked: RequestFinalizeBlock) -> Result<Answer, NodeError> {
    let position = position(asked.height, asked.time, &asked.proposer_address)?;
    let commit = asked.decided_last_commit.unwrap_or_default();
    let decision = Decision {
        votes: commit
            .votes
            .into_iter()
            .map(commit_vote)
            .collect::<Result<_, _>>()?,
        misbehaviour: asked
            .misbehavior
            .into_iter()
            .map(misbehaviour)
            .collect::<Result<_, _>>()?,
    };
    let finalized = app.finalize_block(position, &vectors(&asked.txs), &decision)?;
    Ok(Answer::FinalizeBlock(ResponseFinalizeBlock {
        tx_results: finalized.results.into_iter().map(exec_result).collect(),
        app_hash: finalized.app_hash.to_vec().into(),
        validator_updates: finalized
            .validator_updates
            .into_iter()
            .map(validator_update)
            .collect(),
        ..Default::default()
    }))
}

fn consensus_address(validator: Option<Validator>) -> Result<[u8; 20], NodeError> {
    let address = validator.map(|validator| validator.address).unwrap_or_default();
    address.as_ref().try_into().map_err(|_| NodeError::Abci {
        reason: format!("a validator address of {} bytes", address.len()),
    })
}

fn commit_vote(vote: VoteInfo) -> Result<CommitVote, NodeError> {
    Ok(CommitVote {
        validator: consensus_address(vote.validator)?,
        signed: vote.block_id_flag != BlockIdFlag::Absent as i32,
    })
}

fn misbehaviour(found: Misbehavior) -> Result<Misbehaviour, NodeError> {
    let kind = match found.r#type() {
        MisbehaviorType::DuplicateVote => MisbehaviourKind::DuplicateVote,
        MisbehaviorType::LightClientAttack => MisbehaviourKind::LightClientAttack,
        MisbehaviorType::Unknown => {
            return Err(NodeError::Abci {
                reason: format!("misbehaviour of kind {}", found.r#type),
            });
        }
    };
    Ok(Misbehaviour {
        kind,
        validator: consensus_address(found.validator)?,
        height: Height(unsigned(found.height)?),
        time_unix_s: u64::try_from(found.time.map_or(0, |time| time.seconds)).unwrap_or(0),
    })
}

fn genesis_validator(update: &abci::ValidatorUpdate) -> Result<ValidatorUpdate, NodeError> {
    let key = match update.pub_key.as_ref().and_then(|key| key.sum.as_ref()) {
        Some(public_key::Sum::Ed25519(key)) => <[u8; 32]>::try_from(key.as_slice()).ok(),
        _ => None,
    };
    Ok(ValidatorUpdate {
        key: key.ok_or_else(|| NodeError::Abci {
            reason: "a validator's key is not ed25519".to_owned(),
        })?,
        power: update.power,
    })
}

fn validator_update(update: ValidatorUpdate) -> abci::ValidatorUpdate {
    abci::ValidatorUpdate {
        pub_key: Some(PublicKey {
            sum: Some(public_key::Sum::Ed25519(update.key.to_vec())),
        }),
        power: update.power,
    }
}

fn exec_result(result: TxResult) -> ExecTxResult {
    ExecTxResult {
        code: result.code,
        data: result.data.into(),
        log: result.log,
        gas_wanted: signed(result.gas_wanted),
        gas_used: signed(result.gas_used),
        ..Default::default()
    }
}

fn state_query(app: &dyn Application, asked: RequestQuery) -> Result<ResponseQuery, NodeError> {
    let query = Query {
        key: asked.data.to_vec(),
        height: u64::try_from(asked.height).ok().filter(|height| *height > 0),
    };
    // A question that can't be answered is the asker's fault, not the application's end.
    Ok(match app.query(&query) {
        Ok(proven) => ResponseQuery {
            key: proven.key.clone().into(),
            value: proven.value.unwrap_or_default().into(),
            height: signed(proven.height),
            proof_ops: asked.prove.then(|| ProofOps {
                ops: vec![ProofOp {
                    r#type: PROOF_TYPE.to_owned(),
                    key: proven.key,
                    data: proven.proof,
                }],
            }),
            ..Default::default()
        },
        Err(error) => ResponseQuery {
            code: 1,
            codespace: error.code().to_owned(),
            log: error.to_string(),
            ..Default::default()
        },
    })
}
