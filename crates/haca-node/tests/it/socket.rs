//! An application behind the ABCI server, called as CometBFT calls it: over four connections of a unix socket.

use std::{
    io::{BufReader, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
};

use haca_ledger::LedgerError;
use haca_node::{
    NodeError,
    abci::{AbciAddress, AbciServer, read_frame},
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
};
use haca_wire::Height;
use prost::Message as _;
use tendermint_proto::{
    google::protobuf::Timestamp,
    v0_38::abci::{
        Request, RequestCheckTx, RequestCommit, RequestFinalizeBlock, RequestInfo, RequestInitChain,
        RequestPrepareProposal, RequestProcessProposal, RequestQuery, Response, request::Value as Asked,
        response::Value as Answer,
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
        _: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        let asked = Asked::FinalizeBlock(RequestFinalizeBlock {
            txs: bytes(txs),
            height: signed(position.height),
            time: time(position),
            proposer_address: position.proposer.to_vec().into(),
            ..Default::default()
        });
        let answer = expect!(FinalizeBlock, self.call(Purpose::Consensus, asked));
        Ok(FinalizedBlock {
            results: answer.tx_results.into_iter().map(TxResult::from).collect(),
            app_hash: AppHash::try_from(&answer.app_hash[..]).unwrap(),
            validator_updates: Vec::new(),
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
