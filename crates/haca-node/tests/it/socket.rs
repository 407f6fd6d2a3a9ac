//! An application behind the ABCI server, called as CometBFT calls it: over four connections of a unix socket.

use std::{
    io::{BufReader, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
};

use haca_ledger::{CommitVote, LedgerError, Misbehaviour, MisbehaviourKind};
use haca_node::{
    NodeError,
    abci::{AbciAddress, AbciServer, read_frame},
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
    consensus::ValidatorUpdate,
};
use haca_wire::Height;
use proptest::prelude::*;
use prost::Message as _;
use tendermint_proto::{
    google::protobuf::Timestamp,
    v0_38::{
        abci::{
            self, CommitInfo, Misbehavior, MisbehaviorType, Request, RequestCheckTx, RequestCommit,
            RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestPrepareProposal,
            RequestProcessProposal, RequestQuery, Response, Validator, VoteInfo, request::Value as Asked,
            response::Value as Answer,
        },
        crypto::{PublicKey, public_key::Sum},
        types::BlockIdFlag,
    },
};

/// What each connection is for.
#[derive(Clone, Copy)]
enum Purpose {
    Consensus,
    Mempool,
    Query,
}

/// A served application and the connections to it.
pub(crate) struct Socket {
    _server: AbciServer,
    _directory: tempfile::TempDir,
    connections: [Mutex<UnixStream>; 4],
}

/// An error as its code comes back in an exception.
fn refused(code: &str) -> NodeError {
    let (found, expected) = (0, 0);
    match code {
        "node.out_of_order" => NodeError::OutOfOrder {
            call: "a call",
            found,
            expected,
        },
        "node.genesis" => NodeError::Genesis {
            what: "request",
            reason: String::new(),
        },
        "node.height_unavailable" => NodeError::HeightUnavailable {
            found,
            oldest: 0,
            newest: 0,
        },
        "ledger.wrong_height" => NodeError::Ledger(LedgerError::WrongHeight {
            found: Height(found),
            expected: Height(expected),
        }),
        other => NodeError::Abci {
            reason: other.to_owned(),
        },
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

fn time(position: BlockPosition) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: signed(position.time_unix_s),
        nanos: 0,
    })
}

fn validator(address: [u8; 20]) -> Option<Validator> {
    Some(Validator {
        address: address.to_vec().into(),
        power: 1,
    })
}

fn vote(vote: &CommitVote) -> VoteInfo {
    VoteInfo {
        validator: validator(vote.validator),
        block_id_flag: if vote.signed {
            BlockIdFlag::Commit
        } else {
            BlockIdFlag::Absent
        }
        .into(),
    }
}

fn misbehavior(found: &Misbehaviour) -> Misbehavior {
    Misbehavior {
        r#type: match found.kind {
            MisbehaviourKind::DuplicateVote => MisbehaviorType::DuplicateVote,
            MisbehaviourKind::LightClientAttack => MisbehaviorType::LightClientAttack,
        }
        .into(),
        validator: validator(found.validator),
        height: signed(found.height.0),
        time: Some(Timestamp {
            seconds: signed(found.time_unix_s),
            nanos: 0,
        }),
        total_voting_power: 1,
    }
}

fn update(update: &ValidatorUpdate) -> abci::ValidatorUpdate {
    abci::ValidatorUpdate {
        pub_key: Some(PublicKey {
            sum: Some(Sum::Ed25519(update.key.to_vec())),
        }),
        power: update.power,
    }
}

fn updated(update: abci::ValidatorUpdate) -> ValidatorUpdate {
    match update.pub_key.unwrap().sum.unwrap() {
        Sum::Ed25519(key) => ValidatorUpdate {
            key: key.try_into().unwrap(),
            power: update.power,
        },
        other => panic!("{other:?}"),
    }
}

fn bytes<B: From<Vec<u8>>>(txs: &[Vec<u8>]) -> Vec<B> {
    txs.iter().map(|tx| tx.clone().into()).collect()
}

impl Socket {
    /// Serves the application.
    pub(crate) fn serve(app: Arc<dyn Application>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abci.sock");
        let server = AbciServer::start(&AbciAddress::Unix(path.clone()), app, |_| ()).unwrap();
        Self {
            _server: server,
            _directory: directory,
            connections: [(); 4].map(|()| Mutex::new(UnixStream::connect(&path).unwrap())),
        }
    }

    fn call(&self, purpose: Purpose, asked: Asked) -> Result<Answer, NodeError> {
        let mut stream = self.connections[purpose as usize].lock().unwrap();
        let request = Request { value: Some(asked) };
        stream
            .write_all(&request.encode_length_delimited_to_vec())
            .unwrap();
        let frame = read_frame(&mut BufReader::new(&*stream)).unwrap().unwrap();
        match Response::decode(frame.as_slice()).unwrap().value.unwrap() {
            Answer::Exception(exception) => {
                Err(refused(exception.error.split(": ").next().unwrap_or_default()))
            }
            answer => Ok(answer),
        }
    }
}

/// The answer of the kind that was asked for.
macro_rules! expect {
    ($kind:ident, $answer:expr) => {
        match $answer? {
            Answer::$kind(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
}

impl Application for Socket {
    fn info(&self) -> Result<Info, NodeError> {
        let asked = Asked::Info(RequestInfo::default());
        let info = expect!(Info, self.call(Purpose::Query, asked));
        Ok(Info {
            height: u64::try_from(info.last_block_height).unwrap(),
            app_hash: AppHash::try_from(&info.last_block_app_hash[..]).unwrap_or_default(),
            app_version: info.app_version,
        })
    }

    fn init_chain(&self, request: &InitChain) -> Result<AppHash, NodeError> {
        let asked = Asked::InitChain(RequestInitChain {
            chain_id: request.chain_id.clone(),
            initial_height: signed(request.initial_height),
            validators: request.validators.iter().map(update).collect(),
            ..Default::default()
        });
        let answer = expect!(InitChain, self.call(Purpose::Consensus, asked));
        Ok(AppHash::try_from(&answer.app_hash[..]).unwrap())
    }

    fn check_tx(&self, tx: &[u8], recheck: bool) -> Result<TxResult, NodeError> {
        let asked = Asked::CheckTx(RequestCheckTx {
            tx: tx.to_vec().into(),
            r#type: recheck.into(),
        });
        let answer = expect!(CheckTx, self.call(Purpose::Mempool, asked));
        Ok(TxResult {
            code: answer.code,
            ..TxResult::default()
        })
    }

    fn prepare_proposal(
        &self,
        position: BlockPosition,
        txs: Vec<Vec<u8>>,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        let asked = Asked::PrepareProposal(RequestPrepareProposal {
            max_tx_bytes: i64::try_from(max_bytes).unwrap(),
            txs: bytes(&txs),
            height: signed(position.height),
            time: time(position),
            proposer_address: position.proposer.to_vec().into(),
            ..Default::default()
        });
        let answer = expect!(PrepareProposal, self.call(Purpose::Consensus, asked));
        Ok(answer.txs.iter().map(|tx| tx.to_vec()).collect())
    }

    fn process_proposal(&self, position: BlockPosition, txs: &[Vec<u8>]) -> Result<bool, NodeError> {
        let asked = Asked::ProcessProposal(RequestProcessProposal {
            txs: bytes(txs),
            height: signed(position.height),
            time: time(position),
            proposer_address: position.proposer.to_vec().into(),
            ..Default::default()
        });
        let answer = expect!(ProcessProposal, self.call(Purpose::Consensus, asked));
        Ok(answer.status == 1)
    }

    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        let asked = Asked::FinalizeBlock(RequestFinalizeBlock {
            txs: bytes(txs),
            decided_last_commit: Some(CommitInfo {
                round: 0,
                votes: decision.votes.iter().map(vote).collect(),
            }),
            misbehavior: decision.misbehaviour.iter().map(misbehavior).collect(),
            height: signed(position.height),
            time: time(position),
            proposer_address: position.proposer.to_vec().into(),
            ..Default::default()
        });
        let answer = expect!(FinalizeBlock, self.call(Purpose::Consensus, asked));
        Ok(FinalizedBlock {
            results: answer.tx_results.into_iter().map(TxResult::from).collect(),
            app_hash: AppHash::try_from(&answer.app_hash[..]).unwrap(),
            validator_updates: answer.validator_updates.into_iter().map(updated).collect(),
        })
    }

    fn commit(&self) -> Result<(), NodeError> {
        expect!(
            Commit,
            self.call(Purpose::Consensus, Asked::Commit(RequestCommit {}))
        );
        Ok(())
    }

    fn query(&self, query: &Query) -> Result<ProvenValue, NodeError> {
        let asked = Asked::Query(RequestQuery {
            data: query.key.clone().into(),
            height: signed(query.height.unwrap_or_default()),
            prove: true,
            ..Default::default()
        });
        let answer = expect!(Query, self.call(Purpose::Query, asked));
        if answer.code != 0 {
            return Err(refused(&answer.codespace));
        }
        Ok(ProvenValue {
            key: answer.key.to_vec(),
            // An empty value is no value: the field is left out either way.
            value: Some(answer.value.to_vec()).filter(|value| !value.is_empty()),
            proof: answer.proof_ops.unwrap().ops.remove(0).data,
            height: u64::try_from(answer.height).unwrap(),
        })
    }
}

/// A block as it was told.
type Told = (BlockPosition, Vec<Vec<u8>>, Decision);

/// Keeps what it was told and answers with it.
#[derive(Default)]
struct Recorder {
    init: Mutex<Vec<InitChain>>,
    finalized: Mutex<Vec<Told>>,
    answer: Mutex<Option<FinalizedBlock>>,
}

impl Application for Recorder {
    fn info(&self) -> Result<Info, NodeError> {
        Err(NodeError::NotReady)
    }
    fn init_chain(&self, request: &InitChain) -> Result<AppHash, NodeError> {
        self.init.lock().unwrap().push(request.clone());
        Ok([7; 32])
    }
    fn check_tx(&self, _: &[u8], _: bool) -> Result<TxResult, NodeError> {
        Err(NodeError::NotReady)
    }
    fn prepare_proposal(
        &self,
        _: BlockPosition,
        txs: Vec<Vec<u8>>,
        _: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        Ok(txs)
    }
    fn process_proposal(&self, _: BlockPosition, _: &[Vec<u8>]) -> Result<bool, NodeError> {
        Ok(false)
    }
    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        self.finalized
            .lock()
            .unwrap()
            .push((position, txs.to_vec(), decision.clone()));
        self.answer.lock().unwrap().clone().ok_or(NodeError::NotReady)
    }
    fn commit(&self) -> Result<(), NodeError> {
        Ok(())
    }
    fn query(&self, _: &Query) -> Result<ProvenValue, NodeError> {
        Err(NodeError::NotReady)
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_u64, 0..=i64::MAX as u64]
}

fn decision() -> impl Strategy<Value = Decision> {
    let vote =
        (any::<[u8; 20]>(), any::<bool>()).prop_map(|(validator, signed)| CommitVote { validator, signed });
    let misbehaviour = (any::<bool>(), any::<[u8; 20]>(), number(), number()).prop_map(
        |(double, validator, height, time_unix_s)| Misbehaviour {
            kind: match double {
                true => MisbehaviourKind::DuplicateVote,
                false => MisbehaviourKind::LightClientAttack,
            },
            validator,
            height: Height(height),
            time_unix_s,
        },
    );
    let votes = prop::collection::vec(vote, 0..5);
    (votes, prop::collection::vec(misbehaviour, 0..4))
        .prop_map(|(votes, misbehaviour)| Decision { votes, misbehaviour })
}

fn updates() -> impl Strategy<Value = Vec<ValidatorUpdate>> {
    let update = (any::<[u8; 32]>(), number()).prop_map(|(key, power)| ValidatorUpdate {
        key,
        power: signed(power),
    });
    prop::collection::vec(update, 0..4)
}

fn results() -> impl Strategy<Value = Vec<TxResult>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..9);
    let result = (any::<u32>(), bytes, ".{0,9}", number(), number()).prop_map(
        |(code, data, log, gas_wanted, gas_used)| TxResult {
            code,
            data,
            log,
            gas_wanted,
            gas_used,
            ..TxResult::default()
        },
    );
    prop::collection::vec(result, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_consensus_decides_and_what_it_leads_to_arrive_whole(
        genesis in updates(),
        (height, time_unix_s, proposer) in (number(), number(), any::<[u8; 20]>()),
        txs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..4),
        decision in decision(),
        (results, app_hash, validator_updates) in (results(), any::<[u8; 32]>(), updates()),
    ) {
        let app = Arc::new(Recorder::default());
        let socket = Socket::serve(Arc::<Recorder>::clone(&app));
        let init = InitChain { chain_id: "chain".to_owned(), initial_height: height, validators: genesis };
        prop_assert_eq!(socket.init_chain(&init).unwrap(), [7; 32]);
        prop_assert_eq!(&*app.init.lock().unwrap(), &[init]);

        let answer = FinalizedBlock { results, app_hash, validator_updates };
        *app.answer.lock().unwrap() = Some(answer.clone());
        let position = BlockPosition { height, time_unix_s, proposer };
        prop_assert_eq!(socket.finalize_block(position, &txs, &decision).unwrap(), answer);
        prop_assert_eq!(&*app.finalized.lock().unwrap(), &[(position, txs.clone(), decision)]);
        prop_assert_eq!(socket.prepare_proposal(position, txs.clone(), 9).unwrap(), txs.clone());
        prop_assert!(!socket.process_proposal(position, &txs).unwrap());
    }
}
