//! A full node that names another network than the trusted one gets nothing signed.

use std::process::Command;

use haca_client::Wallet;
use haca_wire::state::{ChainRecord, key};
use haca_wire::{ChainId, Encode as _, GenesisHash};
use serde_json::{Value, json as object};

use crate::local::{haca, json};
use crate::server::Server;

const OURS: GenesisHash = GenesisHash([1; 32]);
const OTHER: GenesisHash = GenesisHash([2; 32]);

/// A directory of a user on one network, and nodes that answer there.
struct Place {
    dir: tempfile::TempDir,
    node: Server,
    inference: Server,
}

impl Place {
    /// The directory trusts [`OURS`], and the full node says this of its network.
    fn start(named: GenesisHash) -> Self {
        let (node, inference) = (Server::start(), Server::start());
        let dir = tempfile::tempdir().unwrap();
        let network = object!({
            "node_url": node.url,
            "inference_url": inference.url,
            "trust": OURS.to_string(),
            "engine": "dev",
        });
        std::fs::write(dir.path().join("network.json"), network.to_string()).unwrap();
        let chain = ChainRecord {
            chain_id: ChainId(7410),
            genesis: named,
        };
        let entry = object!({ "value": hex::encode(chain.encode()), "proof": "", "height": 1 });
        node.json(&format!("/v1/state/{}", hex::encode(key::CHAIN)), &entry);
        Self { dir, node, inference }
    }

    fn data(&self, arguments: &[&str]) -> Command {
        let mut command = haca();
        command.args(arguments).arg("--data").arg(self.dir.path());
        command
    }

    fn account(&self) -> String {
        let path = self.dir.path().join("account.key");
        Wallet::load_or_create(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The command says that the network is another one, has asked for nothing else, and sent nothing.
    fn assert_refused(&self, command: &mut Command) {
        let (code, told) = json(command);
        assert_eq!(
            (code, &told["error"]["code"]),
            (1, &Value::from("client.other_network")),
            "{command:?}: {told}"
        );
        let is_chain = |asked: &String| asked.ends_with(&hex::encode(key::CHAIN));
        assert!(self.node.asked().iter().all(is_chain), "{:?}", self.node.asked());
        assert!(self.inference.asked().is_empty(), "{:?}", self.inference.asked());
    }
}

const KEY: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";
const ADDRESS: &str = "0x0101010101010101010101010101010101010101";

#[test]
fn a_user_signs_nothing_for_a_full_node_of_another_network() {
    let place = Place::start(OTHER);
    for name in ["infer", "cover", "claim", "demand"] {
        place.assert_refused(&mut place.data(&[name]));
    }
    assert!(!place.dir.path().join("user").exists());
    let transfer = ["transfer", "--to", ADDRESS, "--amount", "1"];
    let mut draft = place.data(&["tx", "draft", "--from", ADDRESS]);
    place.assert_refused(draft.args(transfer));
    // The same directory and commands with a full node of the trusted network.
    let place = Place::start(OURS);
    let (code, claimed) = json(&mut place.data(&["claim"]));
    assert_eq!((code, &claimed["receipts"]), (0, &object!([])), "{claimed}");
    assert!(place.dir.path().join("user/wallet.key").exists());
}

#[test]
fn a_validator_signs_nothing_for_a_full_node_of_another_network() {
    let place = Place::start(OTHER);
    let account = place.account();
    let unjail = ["validator", "unjail", "--key", KEY, "--account", &account];
    place.assert_refused(&mut place.data(&unjail));
    let mut named = haca();
    named.args(unjail).args(["--node", &place.node.url]);
    place.assert_refused(named.args(["--trust", &OURS.to_string()]));
    let (_, told) =
        json(
            haca()
                .args(unjail)
                .args(["--node", &place.node.url, "--trust", &OTHER.to_string()]),
        );
    assert_eq!(told["error"]["code"], "client.refused", "{told}");
}
