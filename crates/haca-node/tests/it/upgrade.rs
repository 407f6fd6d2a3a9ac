//! An upgrade on a running network of four validators: voted for, awaited, and gone through by those who know it. Beside
//! them a shadow, which finds every state to be its own, and one that does not.

use std::{path::Path, process::Command};

use haca_node::{
    home::{Home, join},
    store::Store,
};
use haca_wire::{
    AssetId, Height, Message, Proposal, ProposalId,
    state::{Entry, key},
};
use serde_json::Value;

use super::{
    cometbft::require_cometbft,
    engine::wait,
    ledger::holder,
    testnet::{NODES, Network, Running},
};

/// The rules that no release knows.
const NEXT: u64 = haca_ledger::LATEST_VERSION + 1;

impl Network {
    /// Votes an upgrade in, and returns its height.
    fn vote_upgrade(&mut self) -> u64 {
        let height = self.height(0) + 60;
        let proposal = Proposal::Upgrade {
            version: NEXT,
            height: Height(height),
        };
        let key = self.key(0);
        self.send(Message::Propose { key, proposal });
        for voter in [1, 2] {
            self.send(Message::Vote {
                key: self.key(voter),
                proposal: ProposalId(1),
                approve: true,
            });
        }
        let rules = &self.get(0, "/v1/governance").unwrap()["rules"];
        assert_eq!(rules["upgrade"]["height"], height, "{rules}");
        assert_eq!(rules["version"], 1);
        height
    }
}

/// Replaces one account's balance in a stopped shadow's state.
fn falsify(network: &Network, home: &Path) {
    let store = Store::open(&Home::new(home).state(), network.genesis.hash(), 100).unwrap();
    let view = store.view().unwrap();
    let place = key::balance(holder().address(), AssetId::OPG);
    let value = view.get(&place).unwrap().unwrap();
    let Entry::Balance(_, _, amount) = Entry::decode(&place, &value).unwrap() else {
        panic!("no balance")
    };
    let more = haca_wire::Encode::encode(&haca_wire::Amount(amount.0 + 1));
    let height = view.tip().height + 1;
    drop(view);
    let staged = store.stage(height, vec![(place, Some(more))]).unwrap();
    store.commit(staged, &Default::default()).unwrap();
}

#[test]
fn four_validators_stop_before_an_upgrade_and_go_on_with_a_release_that_knows_it() {
    require_cometbft();
    let mut network = Network::new();
    let mut nodes: Vec<Running> = (0..NODES).map(|index| network.start(index, &[])).collect();
    wait(|| (network.height(0) > 1).then_some(()));
    let shadow = network.directory.path().join("shadow");
    join(&Home::new(&shadow), &network.homes[0].genesis(), true).unwrap();
    let beside = network.shadow(&shadow, 2);
    let told: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(
        (&told["blocks"], &told["equal"]),
        (&2.into(), &true.into()),
        "{told}"
    );

    let at = network.vote_upgrade();
    let compared = network.height(0) - 1;
    let beside = network.shadow(&shadow, compared);
    let told: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(told["height"], compared, "with the votes in it: {told}");
    // A shadow that computes another state says where.
    falsify(&network, &shadow);
    let beside = network.shadow(&shadow, compared + 2);
    let told = String::from_utf8_lossy(&beside.stderr).into_owned();
    assert!(
        !beside.status.success() && told.contains("error[node.app_hash]"),
        "{told}"
    );

    // Nobody knows the new rules: whoever has the last block before them stops. A node that had it not when the others
    // stopped waits for it, and stands below.
    let stopped = wait(|| {
        let stops = |(index, node): (usize, &mut Running)| Some((index, node.0.try_wait().unwrap()?));
        nodes.iter_mut().enumerate().find_map(stops)
    });
    let told = std::fs::read_to_string(network.log(stopped.0)).unwrap();
    assert!(
        !stopped.1.success() && told.contains("ledger.unknown_version"),
        "{}: {told}",
        stopped.1
    );
    drop(nodes);
    let committed: Vec<_> = (0..NODES).map(|index| network.committed(index)).collect();
    let first = committed.iter().find(|(height, _)| *height == at - 1).unwrap();
    for (height, app_hash) in &committed {
        assert!(
            *height < at && (*height < at - 1 || *app_hash == first.1),
            "{committed:?}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_haca-node"))
        .args([
            "start",
            "--engine",
            "cometbft",
            "--listen",
            "127.0.0.1:0",
            "--home",
        ])
        .arg(network.homes[stopped.0].path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("error[ledger.unknown_version]") && told.contains("hint: "),
        "{told}"
    );

    // A release that knows them starts on the same directories, and the chain goes on.
    let known = NEXT.to_string();
    let nodes: Vec<Running> = (0..NODES)
        .map(|index| network.start(index, &["--rehearse-version", &known]))
        .collect();
    network.send(Message::Transfer {
        to: haca_wire::Address([9; 20]),
        asset: AssetId::OPG,
        amount: haca_wire::Amount(1),
    });
    let height = network.height(0);
    assert!(height >= at, "{height}");
    let rules = &network.get(0, "/v1/status").unwrap()["rules"];
    assert_eq!((&rules["version"], &rules["known"]), (&NEXT.into(), &NEXT.into()));
    let hashes: Vec<Value> = (0..NODES)
        .map(|index| {
            let block = wait(|| network.get(index, &format!("/v1/block/{height}")));
            block["header"]["app_hash"].clone()
        })
        .collect();
    assert!(
        hashes.iter().all(|hash| hash.is_string() && *hash == hashes[0]),
        "{hashes:?}"
    );
    drop(nodes);
}
