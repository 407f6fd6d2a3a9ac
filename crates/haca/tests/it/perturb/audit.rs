//! What has to hold in the end, asked of every node.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use haca_wire::state::ValidatorRecord;
use haca_wire::{Amount, Decode as _, ReceiptHash, Settlement, TxHash, state::key};
use serde_json::Value;

use super::load::{Accepted, Transfers};
use super::site::Site;
use crate::local::wait_for;

/// The body of an answer with status 200.
pub(crate) fn body(url: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// A JSON document of a node; `None` where it has none.
pub(super) fn get(url: &str, path: &str) -> Option<Value> {
    serde_json::from_str(&body(url, path)?).ok()
}

/// A block with its results.
pub(super) fn block(url: &str, height: u64) -> Option<Value> {
    get(url, &format!("/v1/block/{height}"))
}

/// Consensus addresses of those who decide a block, as the node tells them.
pub(super) fn validators(url: &str, height: u64) -> Vec<String> {
    let block = block(url, height).unwrap_or_default();
    let members = block["validators"].as_array().cloned().unwrap_or_default();
    members
        .iter()
        .filter_map(|member| member["address"].as_str().map(str::to_owned))
        .collect()
}

/// Holds every node to the same application hash of its own at one height, and returns both.
pub(super) fn agreement(site: &Site) -> (u64, String) {
    // Each node's own word for what it has executed, which may be at different heights at one moment.
    let words: Vec<(u64, String)> = site.nodes.iter().map(|node| own_hash(&node.url)).collect();
    let first = &site.nodes[0].url;
    for (node, (height, hash)) in site.nodes.iter().zip(&words) {
        wait_for("the header that carries the hash", || {
            block(first, height + 1).is_some()
        });
        let header = &block(first, height + 1).unwrap()["header"];
        let agreed = header["app_hash"].as_str().unwrap();
        assert_eq!(
            hash.trim_start_matches("0x"),
            agreed,
            "{} at height {height}",
            node.url
        );
    }
    let height = words.iter().map(|(height, _)| *height).max().unwrap();
    let hashes: Vec<(Value, Value)> = (site.nodes.iter())
        .map(|node| {
            wait_for("the common height", || block(&node.url, height + 1).is_some());
            let block = block(&node.url, height + 1).unwrap();
            (block["hash"].clone(), block["header"]["app_hash"].clone())
        })
        .collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
    (height, hashes[0].1.as_str().unwrap().to_owned())
}

fn own_hash(url: &str) -> (u64, String) {
    let status = get(url, "/v1/status").unwrap();
    (
        status["app_height"].as_u64().unwrap(),
        status["app_hash"].as_str().unwrap().to_owned(),
    )
}

/// Every asset's places add up to what was issued, by the query and by the metric of every node.
pub(super) fn supply(site: &Site) {
    for node in &site.nodes {
        let supply = get(&node.url, "/v1/supply").unwrap().to_string();
        assert!(supply.contains("\"balanced\":true"), "{supply}");
        assert!(!supply.contains("\"balanced\":false"), "{supply}");
        let metrics = body(&node.url, "/metrics").unwrap();
        let differences: Vec<&str> = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("haca_supply_unaccounted{"))
            .filter_map(|line| line.rsplit(' ').next())
            .collect();
        assert_eq!(differences, ["0", "0"], "{}", node.url);
    }
}

/// What a node has spent on executing and committing blocks since its start: seconds, and blocks.
pub(super) fn block_seconds(url: &str) -> (f64, u64) {
    let metrics = body(url, "/metrics").unwrap_or_default();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("0", str::trim).to_owned()
    };
    (
        value("haca_block_seconds_sum ").parse().unwrap(),
        value("haca_block_seconds_count ").parse().unwrap(),
    )
}

/// What the blocks of a chain hold.
#[derive(Default)]
pub(super) struct Contents {
    /// How often each transaction is in a block.
    transactions: BTreeMap<String, usize>,
    /// How often each receipt was settled.
    settled: BTreeMap<ReceiptHash, usize>,
    /// Blocks decided in a later round than the first.
    pub(super) late_rounds: usize,
}

impl Contents {
    /// Reads all blocks of a node that has all of them.
    pub(super) fn read(url: &str, height: u64) -> Self {
        let mut contents = Self::default();
        for height in 1..=height {
            let block = block(url, height).unwrap();
            for tx in block["txs"].as_array().unwrap() {
                let hash = tx["hash"].as_str().unwrap().trim_start_matches("0x");
                *contents.transactions.entry(hash.to_owned()).or_default() += 1;
            }
            for record in block["settled"].as_array().into_iter().flatten() {
                let bytes = hex::decode(record.as_str().unwrap().trim_start_matches("0x")).unwrap();
                let settlement = Settlement::decode_all(&bytes).unwrap();
                *contents.settled.entry(settlement.receipt).or_default() += 1;
            }
            contents.late_rounds += usize::from(block["commit"]["round"] != 0);
        }
        contents
    }

    fn count(&self, tx: TxHash) -> usize {
        let text = tx.to_string();
        let found = self.transactions.get(text.trim_start_matches("0x"));
        found.copied().unwrap_or(0)
    }

    /// Each receipt that a client holds was settled once, no other was settled, and no transaction is in two blocks.
    pub(super) fn check(&self, accepted: &[Accepted], transfers: &Transfers) {
        for receipt in accepted {
            let times = self.settled.get(&receipt.receipt).copied().unwrap_or(0);
            assert_eq!(times, 1, "receipt {} was settled {times} times", receipt.receipt);
        }
        assert_eq!(
            self.settled.len(),
            accepted.len(),
            "receipts settled are receipts held"
        );
        for (hash, _) in &transfers.included {
            assert_eq!(self.count(*hash), 1, "transfer {hash}");
        }
        assert!(self.transactions.values().all(|times| *times == 1));
    }
}

/// Nobody was found to have signed twice: restarts, a signer with a wrong clock and two halves are no misbehaviour.
pub(super) fn nobody_was_slashed(site: &Site) {
    for node in &site.nodes {
        let file = std::fs::read_to_string(node.home.join("validators/0.json")).unwrap();
        let address: Value = serde_json::from_str(&file).unwrap();
        let address = address["address"].as_str().unwrap().to_lowercase();
        let record: Option<ValidatorRecord> = site.nodes[0]
            .client()
            .record(&key::validator(address.parse().unwrap()))
            .unwrap();
        assert_eq!(record.unwrap().slashed, Amount(0), "{}", node.url);
    }
}
