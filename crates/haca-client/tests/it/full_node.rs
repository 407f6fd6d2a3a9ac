//! Failures of the connection and refusals of the node.

use std::net::TcpListener;

use haca_client::{InferenceClient, NodeClient};
use haca_wire::{
    Address, Amount, AssetId, ChainId, Domain, Encode as _, GenesisHash, Height, Nonce, OrderHash, Quote,
    SecretKey, Signed,
};

use crate::server::Server;

const DOMAIN: Domain = Domain {
    chain_id: ChainId(7410),
    genesis: GenesisHash([1; 32]),
};

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
        .quote(Address([1; 20]), AssetId(1), Amount(1), Amount(1), &DOMAIN)
        .unwrap_err();
    assert_eq!(error.code(), "client.malformed");
}

#[test]
fn a_quote_for_anything_but_what_was_asked_is_not_handed_on() {
    let server = Server::start();
    let key = SecretKey::from_bytes(&[66; 32]).unwrap();
    let ask = |quote: &Quote, key: &SecretKey, domain: &Domain| {
        let signed = Signed::new(quote.clone(), domain, key).unwrap();
        let page = format!(r#"{{"quote":"{}"}}"#, hex::encode(signed.encode()));
        server.page("/v1/quotes", 200, page);
        let client = InferenceClient::new(&server.url);
        client.quote(Address([1; 20]), AssetId(1), Amount(1_000), Amount(500), &DOMAIN)
    };
    let honest = Quote {
        node: key.address(),
        payer: Address([1; 20]),
        asset: AssetId(1),
        deposit: Amount(1_000),
        warranty: Amount(500),
        offer_version: 9,
        expires: Height(7),
        nonce: Nonce([0; 32]),
    };
    assert_eq!(ask(&honest, &key, &DOMAIN).unwrap().value, honest);
    let lies: [fn(&mut Quote); 5] = [
        |quote| quote.payer = Address([2; 20]),
        |quote| quote.asset = AssetId(0),
        |quote| quote.deposit = Amount(u128::MAX),
        |quote| quote.warranty = Amount(0),
        |quote| quote.node = Address([9; 20]),
    ];
    for lie in lies {
        let mut quote = honest.clone();
        lie(&mut quote);
        assert_eq!(
            ask(&quote, &key, &DOMAIN).unwrap_err().code(),
            "client.malformed",
            "{quote:?}"
        );
    }
    let stranger = SecretKey::from_bytes(&[67; 32]).unwrap();
    assert!(ask(&honest, &stranger, &DOMAIN).is_err());
    let elsewhere = Domain {
        genesis: GenesisHash([2; 32]),
        ..DOMAIN
    };
    assert!(
        ask(&honest, &key, &elsewhere).is_err(),
        "signed for another network"
    );
}
