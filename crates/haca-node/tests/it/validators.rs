//! Validators that join, change and leave: when a change counts, and that a dev engine never stalls.

use std::{path::Path, sync::Arc};

use haca_node::{
    Genesis, NodeError,
    application::{Application as _, InitChain},
    consensus::ValidatorUpdate,
    driver::Driver as _,
    engine::{BlockStore, Chain, ValidatorKey},
};

use super::{
    engine::{assert_light_client_accepts, network, open, start, time},
    kv::Kv,
};

fn key(number: u8) -> ValidatorKey {
    ValidatorKey::from_secret([number; 32])
}

fn change(number: u8, power: i64) -> Vec<u8> {
    format!("validator/{}={power}", hex::encode(key(number).public())).into_bytes()
}

/// A chain of three validators that holds the keys of the first `held`.
fn chain(directory: &Path, held: u8) -> (Result<Chain<Kv>, NodeError>, Arc<Kv>, Genesis) {
    let (genesis, _) = network(3);
    let keys = (1..=held).map(key).collect();
    let app = Arc::new(Kv::open(directory, genesis.hash(), 100).unwrap());
    let blocks = Arc::new(BlockStore::open(&directory.join("blocks.redb"), genesis.hash()).unwrap());
    (
        Chain::open(genesis.clone(), keys, blocks, Arc::clone(&app)),
        app,
        genesis,
    )
}

fn powers(chain: &Chain<Kv>, height: u64) -> Vec<i64> {
    let set = chain.store().validators(height).unwrap().unwrap();
    set.validators().iter().map(|v| v.power).collect()
}

#[test]
fn a_change_counts_from_the_second_height_on() {
    let directory = tempfile::tempdir().unwrap();
    let (opened, app, genesis) = chain(directory.path(), 5);
    let mut chain = opened.unwrap();
    chain
        .make_block(vec![change(4, 25), change(1, 3)], time(1))
        .unwrap();
    chain.make_block(vec![], time(2)).unwrap();
    chain
        .make_block(vec![change(4, 0), change(5, 8)], time(3))
        .unwrap();
    for second in 4..9 {
        chain.make_block(vec![], time(second)).unwrap();
    }
    assert_eq!(
        [1, 2].map(|height| powers(&chain, height)),
        [[10, 10, 10], [10, 10, 10]]
    );
    assert_eq!(
        [3, 4].map(|height| powers(&chain, height)),
        [[25, 10, 10, 3], [25, 10, 10, 3]]
    );
    assert_eq!(powers(&chain, 5), [10, 10, 8, 3]);
    let block = |height| chain.store().block(height).unwrap().unwrap();
    let set = |height| chain.store().validators(height).unwrap().unwrap();
    for height in 1..=8 {
        let header = block(height).header;
        assert_eq!(header.validators_hash, set(height).hash(), "{height}");
        assert_eq!(header.next_validators_hash, set(height + 1).hash(), "{height}");
        assert_eq!(header.proposer_address, set(height).proposer(), "{height}");
    }
    // The application hears who signed: nobody at first, then the validators of the height before.
    let votes: Vec<_> = app
        .decisions
        .lock()
        .unwrap()
        .iter()
        .map(|decision| decision.votes.clone())
        .collect();
    assert_eq!(
        votes.iter().map(Vec::len).collect::<Vec<_>>(),
        [0, 3, 3, 4, 4, 4, 4, 4]
    );
    assert!(votes.iter().flatten().all(|vote| vote.signed));
    let newcomer = key(4).address().unwrap();
    assert_eq!(votes[3][0].validator, newcomer.as_bytes());
    let engine = start(chain, app, &genesis);
    let blocks = (1..=8)
        .map(|height| engine.light_block(height).unwrap().unwrap())
        .collect();
    assert_light_client_accepts(blocks);
    engine.stop();
}

#[test]
fn a_restart_keeps_changes_that_do_not_count_yet() {
    let directory = tempfile::tempdir().unwrap();
    let (opened, _, _) = chain(directory.path(), 5);
    let mut first = opened.unwrap();
    first.make_block(vec![change(4, 25)], time(1)).unwrap();
    drop(first);
    let (opened, _, _) = chain(directory.path(), 5);
    let mut again = opened.unwrap();
    again.make_block(vec![], time(2)).unwrap();
    again.make_block(vec![], time(3)).unwrap();
    assert_eq!(powers(&again, 3), [25, 10, 10, 10]);
    let header = again.store().block(2).unwrap().unwrap().header;
    let set = again.store().validators(3).unwrap().unwrap();
    assert_eq!(header.next_validators_hash, set.hash());
}

#[test]
fn a_change_that_would_stall_the_dev_engine_is_no_block() {
    let directory = tempfile::tempdir().unwrap();
    let (opened, app, _) = chain(directory.path(), 3);
    let mut chain_of_three = opened.unwrap();
    chain_of_three.make_block(vec![b"a=1".to_vec()], time(1)).unwrap();
    let stranger = vec![change(4, 15)];
    let error = chain_of_three.make_block(stranger.clone(), time(2)).unwrap_err();
    assert!(
        matches!(error, NodeError::NoQuorum { found: 30, total: 45 }),
        "{error}"
    );
    assert_eq!(
        chain_of_three.store().height().unwrap(),
        1,
        "the block was not decided"
    );
    assert_eq!(app.info().unwrap().height, 1, "and not committed");
    drop((chain_of_three, app));
    // The node starts again and goes on without it; a lesser change is none of its concern.
    let (opened, _, _) = chain(directory.path(), 3);
    let mut again = opened.unwrap();
    again.make_block(vec![change(4, 14)], time(2)).unwrap();
    drop(again);
    // Who lost a key learns so before the first block.
    let (opened, _, _) = chain(directory.path(), 2);
    assert!(matches!(
        opened.unwrap_err(),
        NodeError::NoQuorum { found: 20, .. }
    ));
}

#[test]
fn a_change_that_is_none_ends_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let (mut chain, _, _) = open(directory.path(), 3);
    let error = chain.make_block(vec![change(9, 0)], time(1)).unwrap_err();
    assert_eq!(error.code(), "node.validators");
    assert!(error.to_string().contains("is not in it"), "{error}");
    let all = (1..=3).map(|number| change(number, 0)).collect();
    assert!(
        matches!(chain.make_block(all, time(1)), Err(NodeError::Validators(_))),
        "nobody left"
    );
}

/// The ledger's validators: a stake becomes power two heights later, in headers and votes alike.
#[test]
fn a_stake_becomes_power_in_consensus() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = crate::ledger::network(directory.path(), 4);
    let home = haca_node::home::Home::new(directory.path());
    let mut keys = home.keys().unwrap();
    let newcomer = key(77);
    keys.push(newcomer.clone());
    let mut chain = crate::ledger::chain(directory.path(), &genesis, keys);
    let stake = crate::ledger::stake(&genesis, 1, &newcomer, 20_000_000_000_000);
    chain.make_block(vec![stake], time(1)).unwrap();
    chain.make_block(vec![], time(2)).unwrap();
    chain.make_block(vec![], time(3)).unwrap();
    let members = |height| chain.store().validators(height).unwrap().unwrap().members();
    let joined = |height| {
        members(height)
            .iter()
            .find(|member| member.key == newcomer.public())
            .copied()
    };
    assert_eq!([1, 2].map(|height| members(height).len()), [4, 4]);
    let unit = 10_u128.pow(18).div_ceil(1 << 50);
    let power = i64::try_from(20_000_000_000_000 / unit).unwrap();
    assert_eq!(
        joined(3),
        Some(ValidatorUpdate {
            key: newcomer.public(),
            power
        })
    );
    let commit = chain.store().commit(3).unwrap().unwrap();
    assert_eq!(commit.signatures.len(), 5);
    assert!(commit.signatures.iter().all(|signature| signature.is_commit()));
}

/// Genesis documents whose validators are not those of the stakes.
#[test]
fn rejects_power_that_nobody_staked_for() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = crate::ledger::network(directory.path(), 2);
    let parse = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document: serde_json::Value = serde_json::from_slice(&genesis.bytes).unwrap();
        change(&mut document);
        let genesis = Genesis::parse(document.to_string().into_bytes()).unwrap();
        haca_node::ledger_app::genesis_state(&genesis)
    };
    assert!(parse(&|_| ()).is_ok());
    let refused = |change: &dyn Fn(&mut serde_json::Value)| match parse(change).unwrap_err() {
        NodeError::Genesis { what, .. } => what,
        other => panic!("{other}"),
    };
    assert_eq!(
        refused(&|document| document["validators"][0]["power"] = "7".into()),
        "validators"
    );
    let dropped = refused(&|document| {
        document["validators"].as_array_mut().unwrap().pop();
    });
    assert_eq!(dropped, "validators");
    let age = "consensus_params.evidence.max_age_num_blocks";
    let older = refused(&|document| {
        document["consensus_params"]["evidence"]["max_age_num_blocks"] = "100001".into();
    });
    assert_eq!(older, age);
    let longer = refused(&|document| {
        document["consensus_params"]["evidence"]["max_age_duration"] = "172800000000001".into();
    });
    assert_eq!(longer, "consensus_params.evidence.max_age_duration");
}

/// A document that CometBFT takes, with which the network would stop later.
#[test]
fn rejects_consensus_parameters_under_which_no_network_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = crate::ledger::network(directory.path(), 1);
    let params = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document: serde_json::Value = serde_json::from_slice(&genesis.bytes).unwrap();
        change(&mut document["consensus_params"]);
        match Genesis::parse(document.to_string().into_bytes()) {
            Ok(_) => "accepted",
            Err(NodeError::Genesis { what, .. }) => what,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(params(&|_| ()), "accepted");
    let extended = params(&|params| params["abci"]["vote_extensions_enable_height"] = "100".into());
    assert_eq!(extended, "vote_extensions_enable_height");
    for types in [serde_json::json!(["secp256k1"]), serde_json::json!([])] {
        let found = params(&|params| params["validator"]["pub_key_types"] = types.clone());
        assert_eq!(found, "pub_key_types");
    }
    for gas in ["0", "100000000", "9223372036854775807"] {
        assert_eq!(
            params(&|params| params["block"]["max_gas"] = gas.into()),
            "block.max_gas"
        );
    }
    for bytes in ["0", "-1", "much", "65535", "1048577"] {
        let found = params(&|params| params["evidence"]["max_bytes"] = bytes.into());
        assert_eq!(found, "evidence.max_bytes");
    }
    for bytes in ["65536", "1048576"] {
        assert_eq!(
            params(&|params| params["evidence"]["max_bytes"] = bytes.into()),
            "accepted"
        );
    }
}

/// CometBFT may have been given another genesis document than the ledger.
#[test]
fn rejects_a_start_with_other_validators() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = crate::ledger::network(directory.path(), 2);
    let app = crate::ledger::app(directory.path(), &genesis);
    let mut request = InitChain {
        chain_id: genesis.chain_id.to_string(),
        initial_height: 1,
        validators: genesis.validators.members(),
    };
    request.validators[0].power += 1;
    assert!(matches!(
        app.init_chain(&request),
        Err(NodeError::Genesis {
            what: "validators",
            ..
        })
    ));
    request.validators[0].power -= 1;
    app.init_chain(&request).unwrap();
}
