//! The light client follows a real network: the blocks of four CometBFT v0.39.4 nodes in `spec/vectors/consensus`.

use std::fs;
use std::path::PathBuf;

use haca_verify::{
    CheckState, Report, SettledInference, check_id, genesis_hash, header_facts, light_block, verify_bundle,
};
use haca_wire::Encode as _;
use haca_wire::bundle::LightBlock;
use prost::Message as _;
use serde_json::{Value, json};
use tendermint::block::signed_header::SignedHeader;
use tendermint::validator::{Info, Set};
use tendermint_proto::v0_38::types as raw;

use crate::network::{Network, signed};

fn vector(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../spec/vectors/consensus/four-validators")
        .join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn block(height: u64) -> Value {
    vector(&format!("block-{height:02}.json"))
}

fn validators(block: &Value) -> Vec<u8> {
    let infos: Vec<Info> = serde_json::from_value(block["validators"]["validators"].clone()).unwrap();
    raw::ValidatorSet::from(Set::without_proposer(infos)).encode_to_vec()
}

/// The light block that a node of that network would serve. The set never changes there.
fn served(height: u64) -> LightBlock {
    let block = block(height);
    let header: SignedHeader = serde_json::from_value(block["commit"]["signed_header"].clone()).unwrap();
    let header = raw::SignedHeader::from(header).encode_to_vec();
    light_block(&header, &validators(&block), &validators(&block)).unwrap()
}

/// That network's genesis document with an application state of ours.
fn genesis() -> Vec<u8> {
    let mut document = vector("genesis.json");
    document["app_state"] = json!({"chain_id": 1});
    document.to_string().into_bytes()
}

fn follow(light_blocks: Vec<LightBlock>) -> Report<SettledInference> {
    let mut bundle = Network::new().bundle();
    bundle.genesis = genesis();
    let (_, _, time) = header_facts(light_blocks.last().unwrap()).unwrap();
    bundle.light_blocks = light_blocks;
    verify_bundle(
        &bundle.encode(),
        genesis_hash(&bundle.genesis),
        time as u64 + 60,
        &signed(),
    )
}

#[track_caller]
fn assert_followed_to(report: &Report<SettledInference>, height: u64) {
    for id in [
        check_id::CHAIN_BLOCKS,
        check_id::CHAIN_FIRST_BLOCK,
        check_id::CHAIN_TRUSTING_PERIOD,
        check_id::CHAIN_HEADER,
    ] {
        assert_eq!(
            report.check(id).unwrap().state,
            CheckState::Pass,
            "{:#?}",
            report.checks()
        );
    }
    let hash = block(height)["block"]["block_id"]["hash"]
        .as_str()
        .unwrap()
        .to_lowercase();
    let found = report
        .check(check_id::CHAIN_HEADER)
        .unwrap()
        .found
        .clone()
        .unwrap();
    assert!(found.contains(&hash), "{found} does not name {hash}");
}

#[test]
fn the_chain_is_followed_block_by_block() {
    assert_followed_to(&follow((1..=12).map(served).collect()), 12);
}

#[test]
fn the_chain_is_followed_in_one_step() {
    assert_followed_to(&follow(vec![served(1), served(12)]), 12);
}

/// The powers are 10, 10, 7 and 3: without the two largest, what is left is no two thirds.
#[test]
fn a_real_commit_without_the_largest_votes_is_not_enough() {
    let mut block = block(12);
    let signatures = block["commit"]["signed_header"]["commit"]["signatures"]
        .as_array_mut()
        .unwrap();
    for signature in signatures.iter_mut().take(2) {
        *signature = json!({
            "block_id_flag": 1,
            "validator_address": "",
            "timestamp": "0001-01-01T00:00:00Z",
            "signature": null,
        });
    }
    let header: SignedHeader = serde_json::from_value(block["commit"]["signed_header"].clone()).unwrap();
    let header = raw::SignedHeader::from(header).encode_to_vec();
    let last = light_block(&header, &validators(&block), &validators(&block)).unwrap();
    let report = follow(vec![served(1), served(11), last]);
    assert_eq!(report.failures().next().unwrap().id, check_id::CHAIN_HEADER);
}

#[test]
fn a_header_under_another_headers_commit_is_refused() {
    let mut block = block(12);
    let other = self::block(11);
    block["commit"]["signed_header"]["header"]["app_hash"] =
        other["commit"]["signed_header"]["header"]["data_hash"].clone();
    let header: SignedHeader = serde_json::from_value(block["commit"]["signed_header"].clone()).unwrap();
    let header = raw::SignedHeader::from(header).encode_to_vec();
    let last = light_block(&header, &validators(&block), &validators(&block)).unwrap();
    let report = follow(vec![served(1), last]);
    assert_eq!(report.failures().next().unwrap().id, check_id::CHAIN_HEADER);
}
