//! Our hashes, block encoding, header time and proposer rotation against blocks of a real CometBFT v0.39.4 network.

use std::{fs, path::PathBuf};

use haca_node::{
    Genesis,
    application::TxResult,
    consensus::{
        ValidatorSet, block_bytes, block_id, commit_hash, data_hash, evidence_hash, median_time, params_hash,
        results_hash,
    },
};
use serde_json::Value;
use tendermint::{Hash, block::Block, block::Commit, block::Header};

struct Vector {
    block: Block,
    id: tendermint::block::Id,
    header: Header,
    commit: Commit,
    validators: Value,
    results: Vec<TxResult>,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/consensus/four-validators")
}

fn genesis() -> Genesis {
    Genesis::read(&directory().join("genesis.json")).unwrap()
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn vectors() -> Vec<Vector> {
    let mut found = Vec::new();
    for height in 1.. {
        let Ok(text) = fs::read(directory().join(format!("block-{height:02}.json"))) else {
            break;
        };
        let json: Value = serde_json::from_slice(&text).unwrap();
        let results = json["results"].as_array().unwrap().iter().map(|result| TxResult {
            code: u32::try_from(number(&result["code"])).unwrap(),
            data: result["data"].as_str().unwrap_or_default().as_bytes().to_vec(),
            log: String::new(),
            gas_wanted: number(&result["gas_wanted"]),
            gas_used: number(&result["gas_used"]),
            priority: 0,
        });
        found.push(Vector {
            results: results.collect(),
            block: serde_json::from_value(json["block"]["block"].clone()).unwrap(),
            id: serde_json::from_value(json["block"]["block_id"].clone()).unwrap(),
            header: serde_json::from_value(json["commit"]["signed_header"]["header"].clone()).unwrap(),
            commit: serde_json::from_value(json["commit"]["signed_header"]["commit"].clone()).unwrap(),
            validators: json["validators"]["validators"].clone(),
        });
    }
    assert!(found.len() >= 12, "vectors are missing: {} found", found.len());
    found
}

#[test]
fn vectors_cover_empty_single_many_and_multipart_blocks() {
    let sizes: Vec<usize> = vectors().iter().map(|v| v.block.data.len()).collect();
    assert!(
        sizes.contains(&0) && sizes.contains(&1) && sizes.iter().any(|n| *n > 3),
        "{sizes:?}"
    );
    assert!(vectors().iter().any(|v| v.id.part_set_header.total > 1));
}

#[test]
fn header_and_part_set_hashes_equal_cometbft() {
    for vector in vectors() {
        let height = vector.header.height;
        assert_eq!(vector.block.header, vector.header, "height {height}");
        assert_eq!(block_id(&vector.block).unwrap(), vector.id, "height {height}");
        assert_eq!(vector.commit.block_id, vector.id, "height {height}");
        let bytes = block_bytes(&vector.block);
        let again =
            <Block as tendermint_proto::Protobuf<tendermint_proto::v0_38::types::Block>>::decode(&bytes[..]);
        assert_eq!(again.unwrap(), vector.block, "height {height}");
    }
}

#[test]
fn content_hashes_equal_cometbft() {
    let genesis = genesis();
    let mut last_results: Vec<TxResult> = Vec::new();
    for vector in vectors() {
        let header = &vector.header;
        let sha = |bytes| Some(Hash::Sha256(bytes));
        assert_eq!(sha(data_hash(&vector.block.data)), header.data_hash);
        assert_eq!(sha(results_hash(&last_results)), header.last_results_hash);
        assert_eq!(
            sha(commit_hash(vector.block.last_commit.as_ref())),
            header.last_commit_hash
        );
        assert_eq!(sha(evidence_hash(&vector.block.evidence)), header.evidence_hash);
        assert_eq!(
            Hash::Sha256(params_hash(genesis.max_block_bytes, genesis.max_block_gas)),
            header.consensus_hash
        );
        last_results = vector.results;
    }
}

#[test]
fn validators_rotate_as_in_cometbft() {
    let mut set: ValidatorSet = genesis().validators;
    let mut proposers = std::collections::BTreeSet::new();
    for vector in vectors() {
        let theirs: Vec<(String, u64, i64)> = vector
            .validators
            .as_array()
            .unwrap()
            .iter()
            .map(|v| {
                (
                    v["address"].as_str().unwrap().to_owned(),
                    number(&v["voting_power"]),
                    v["proposer_priority"].as_str().unwrap().parse().unwrap(),
                )
            })
            .collect();
        let ours: Vec<(String, u64, i64)> = set
            .validators()
            .iter()
            .map(|v| (v.address.to_string(), u64::try_from(v.power).unwrap(), v.priority))
            .collect();
        assert_eq!(ours, theirs, "height {}", vector.header.height);
        assert_eq!(set.hash(), vector.header.validators_hash);
        assert_eq!(set.next().hash(), vector.header.next_validators_hash);
        // A round that failed moves the proposer on; the commit says in which round the block was decided.
        let rounds = u32::from(vector.commit.round);
        let mut proposer = set.clone();
        for _ in 0..rounds {
            proposer = proposer.next();
        }
        assert_eq!(proposer.proposer(), vector.header.proposer_address);
        proposers.insert(set.proposer().to_string());
        set = set.next();
    }
    assert_eq!(proposers.len(), 4, "every validator proposes within the vectors");
}

#[test]
fn header_time_is_the_weighted_median_of_the_votes() {
    let genesis = genesis();
    let mut set = genesis.validators.clone();
    for (index, vector) in vectors().into_iter().enumerate() {
        match &vector.block.last_commit {
            None => assert_eq!((index, vector.header.time), (0, genesis.time)),
            Some(commit) => assert_eq!(median_time(commit, &set), Some(vector.header.time)),
        }
        if index > 0 {
            set = set.next();
        }
    }
}
