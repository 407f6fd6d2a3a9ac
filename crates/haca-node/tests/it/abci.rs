//! The ABCI server: framing, concurrency, unknown requests, shutdown.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
};

use haca_node::abci::{AbciAddress, AbciServer, MAX_FRAME_BYTES, read_frame};
use haca_wire::GenesisHash;
use proptest::prelude::*;
use prost::Message as _;
use tendermint_proto::v0_38::abci::{
    Request, RequestCheckTx, RequestEcho, RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestQuery,
    Response, request::Value as Asked, response::Value as Answer,
};

use super::kv::Kv;

fn server(directory: &Path) -> (AbciServer, UnixStream) {
    let app = Arc::new(Kv::open(directory, GenesisHash([1; 32]), 10).unwrap());
    let socket = directory.join("abci.sock");
    let server = AbciServer::start(&AbciAddress::Unix(socket.clone()), app, |_| ()).unwrap();
    (server, UnixStream::connect(socket).unwrap())
}

fn frame(asked: Asked) -> Vec<u8> {
    Request { value: Some(asked) }.encode_length_delimited_to_vec()
}

fn echo(text: &str) -> Asked {
    Asked::Echo(RequestEcho {
        message: text.to_owned(),
    })
}

fn answer(reader: &mut impl std::io::BufRead) -> Option<Answer> {
    let frame = read_frame(reader).ok()??;
    Response::decode(frame.as_slice()).unwrap().value
}

fn call(stream: &UnixStream, asked: Asked) -> Option<Answer> {
    (&*stream).write_all(&frame(asked)).unwrap();
    answer(&mut BufReader::new(stream))
}

proptest! {
    #[test]
    fn frames_survive_any_split_and_no_prefix_is_a_frame(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(body.len() as u64, &mut bytes);
        bytes.extend(&body);
        // One byte at a time: a buffer of one.
        let mut reader = BufReader::with_capacity(1, bytes.as_slice());
        prop_assert_eq!(read_frame(&mut reader).unwrap(), Some(body));
        prop_assert_eq!(read_frame(&mut reader).unwrap(), None);
        for end in 1..bytes.len() {
            prop_assert!(read_frame(&mut &bytes[..end]).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_take_more_memory_than_arrived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(Some(frame)) = read_frame(&mut bytes.as_slice()) {
            prop_assert!(frame.len() < bytes.len());
        }
    }
}

#[test]
fn oversized_and_endless_lengths_are_refused() {
    let mut oversized = Vec::new();
    prost::encoding::encode_varint(MAX_FRAME_BYTES + 1, &mut oversized);
    assert!(read_frame(&mut oversized.as_slice()).is_err());
    assert!(read_frame(&mut [0xff; 11].as_slice()).is_err());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, stream) = server(directory.path());
    let many: Vec<u8> = (0..500).flat_map(|i| frame(echo(&i.to_string()))).collect();
    (&stream).write_all(&many).unwrap();
    let mut reader = BufReader::new(&stream);
    for i in 0..500 {
        let Some(Answer::Echo(echo)) = answer(&mut reader) else {
            panic!("answer {i}")
        };
        assert_eq!(echo.message, i.to_string());
    }
}

#[test]
fn four_connections_are_served_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, first) = server(directory.path());
    let socket = directory.path().join("abci.sock");
    let streams: Vec<UnixStream> = std::iter::once(first)
        .chain((0..3).map(|_| UnixStream::connect(&socket).unwrap()))
        .collect();
    // Every connection has a half-sent request before any is finished.
    for stream in &streams {
        (&*stream).write_all(&frame(echo("x"))[..2]).unwrap();
    }
    for stream in streams.iter().rev() {
        (&*stream).write_all(&frame(echo("x"))[2..]).unwrap();
        assert!(matches!(
            answer(&mut BufReader::new(stream)),
            Some(Answer::Echo(_))
        ));
    }
}

#[test]
fn unknown_request_gets_an_exception_and_the_connection_lives() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, stream) = server(directory.path());
    // Field 21 is a request of later protocol versions.
    let unknown = [4, 0xaa, 0x01, 0x01, 0x00];
    (&stream).write_all(&unknown).unwrap();
    assert!(matches!(
        answer(&mut BufReader::new(&stream)),
        Some(Answer::Exception(_))
    ));
    assert!(matches!(
        call(&stream, echo("still there")),
        Some(Answer::Echo(_))
    ));
}

#[test]
fn malformed_request_gets_an_exception_and_the_connection_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, stream) = server(directory.path());
    (&stream).write_all(&[3, 0x0a, 0xff, 0xff]).unwrap();
    let mut reader = BufReader::new(&stream);
    assert!(matches!(answer(&mut reader), Some(Answer::Exception(_))));
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn application_error_is_an_exception_and_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let app = Arc::new(Kv::open(directory.path(), GenesisHash([1; 32]), 10).unwrap());
    let (report, reported) = std::sync::mpsc::channel();
    let report = std::sync::Mutex::new(report);
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = AbciServer::start(&AbciAddress::Tcp(any), app, move |error| {
        report.lock().unwrap().send(error.code()).unwrap();
    })
    .unwrap();
    let AbciAddress::Tcp(address) = *server.address() else {
        panic!("not TCP")
    };
    let mut stream = TcpStream::connect(address).unwrap();
    // Block 5 before the genesis state.
    let finalize = RequestFinalizeBlock {
        height: 5,
        proposer_address: vec![1; 20].into(),
        ..Default::default()
    };
    stream.write_all(&frame(Asked::FinalizeBlock(finalize))).unwrap();
    assert!(matches!(
        answer(&mut BufReader::new(&stream)),
        Some(Answer::Exception(_))
    ));
    assert_eq!(reported.recv().unwrap(), "node.out_of_order");
}

#[test]
fn calls_reach_the_application() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, stream) = server(directory.path());
    let Some(Answer::Info(info)) = call(&stream, Asked::Info(RequestInfo::default())) else {
        panic!()
    };
    assert_eq!((info.last_block_height, info.last_block_app_hash.len()), (0, 0));
    let init = RequestInitChain {
        initial_height: 1,
        ..Default::default()
    };
    let Some(Answer::InitChain(init)) = call(&stream, Asked::InitChain(init)) else {
        panic!()
    };
    assert_eq!(init.app_hash.len(), 32);
    for (tx, code) in [("a=1", 0), ("bad", 1)] {
        let check = RequestCheckTx {
            tx: tx.as_bytes().to_vec().into(),
            r#type: 0,
        };
        let Some(Answer::CheckTx(checked)) = call(&stream, Asked::CheckTx(check)) else {
            panic!()
        };
        assert_eq!(checked.code, code);
    }
    let query = RequestQuery {
        data: b"genesis".to_vec().into(),
        prove: true,
        ..Default::default()
    };
    let Some(Answer::Query(found)) = call(&stream, Asked::Query(query)) else {
        panic!()
    };
    assert_eq!((found.code, &found.value[..]), (0, b"kv".as_slice()));
    assert_eq!(found.proof_ops.unwrap().ops.len(), 1);
}

#[test]
fn stopping_closes_connections_and_removes_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, stream) = server(directory.path());
    assert!(call(&stream, echo("x")).is_some());
    server.stop();
    assert!(call_after_stop(&stream).is_none());
    assert!(!directory.path().join("abci.sock").exists());
}

fn call_after_stop(stream: &UnixStream) -> Option<Answer> {
    let _ = (&*stream).write_all(&frame(echo("y")));
    answer(&mut BufReader::new(stream))
}

#[test]
fn a_server_whose_socket_file_is_gone_stops() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, stream) = server(directory.path());
    assert!(call(&stream, echo("here")).is_some());
    std::fs::remove_file(directory.path().join("abci.sock")).unwrap();
    server.stop();
    assert_eq!(answer(&mut BufReader::new(&stream)), None);
}
