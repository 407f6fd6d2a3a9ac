//! Failures of the connection and refusals of the node.

use std::net::TcpListener;

use haca_client::{InferenceClient, NodeClient};
use haca_wire::{Address, Amount, AssetId, OrderHash};

use crate::server::Server;

#[test]
fn nobody_there_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = NodeClient::new(&url).status().unwrap_err();
    assert_eq!(error.code(), "client.unreachable");
    assert!(error.hint().contains("haca up"));
    assert!(!NodeClient::new(&url).is_ready());
}

#[test]
fn a_refusal_keeps_the_nodes_code_and_hint() {
    let server = Server::start();
    let error = NodeClient::new(&server.url).status().unwrap_err();
    assert_eq!(error.code(), "client.refused");
    assert_eq!(error.hint(), "ask for another");
    assert!(error.to_string().contains("node.not_found"));
}

#[test]
fn a_refusal_in_no_known_form_is_shown_as_it_is() {
    let server = Server::start();
    server.page("/v1/status", 500, "out of order");
    let error = NodeClient::new(&server.url).status().unwrap_err();
    assert_eq!(error.code(), "client.refused");
    assert!(error.to_string().contains("out of order"));
}

#[test]
fn what_is_not_there_is_none() {
    let server = Server::start();
    let node = NodeClient::new(&server.url);
    assert!(node.settled(haca_wire::ReceiptHash([1; 32])).unwrap().is_none());
    assert!(node.transaction(haca_wire::TxHash([1; 32])).unwrap().is_none());
    assert!(
        InferenceClient::new(&server.url)
            .receipt(OrderHash([1; 32]))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_quote_that_is_none_is_malformed() {
    let server = Server::start();
    server.page("/v1/quotes", 200, r#"{"quote":"00"}"#);
    let error = InferenceClient::new(&server.url)
        .quote(Address([1; 20]), AssetId(1), Amount(1), Amount(1))
        .unwrap_err();
    assert_eq!(error.code(), "client.malformed");
}
