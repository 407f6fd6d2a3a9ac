//! A validator that signs twice, through CometBFT: its evidence is gossiped, stands in a block, costs stake and place, and a
//! shadow that reads the block computes the same.

use haca_node::{
    engine::{ValidatorKey, base64_encode},
    home::{Home, join},
};
use haca_wire::{
    Amount, ConsensusKey, Decode as _,
    state::{Jail, ValidatorRecord, key},
};
use serde_json::{Value, json};
use tendermint::{Vote, block, vote};

use super::{
    cometbft::require_cometbft,
    engine::wait,
    testnet::{NODES, Network, Running},
};

/// The validator that signs twice. Its node does not run.
const CULPRIT: usize = NODES - 1;

/// What CometBFT says of the culprit at a height.
struct Seat {
    height: u64,
    /// Of the block, as CometBFT writes it.
    time: String,
    index: usize,
    power: i64,
    total: i64,
}

fn number(json: &Value) -> i64 {
    json.as_str().unwrap().parse().unwrap()
}

impl Network {
    fn culprit(&self) -> ValidatorKey {
        ValidatorKey::read(&self.homes[CULPRIT].validators().join("0.json")).unwrap()
    }

    fn validators(&self, height: u64) -> Vec<Value> {
        let answer = self.rpc(0, "validators", &json!({ "height": height.to_string() }));
        answer["result"]["validators"].as_array().unwrap().clone()
    }

    fn seat(&self, height: u64) -> Option<Seat> {
        let address = self.culprit().address().unwrap().to_string();
        let block = self.rpc(0, "block", &json!({ "height": height.to_string() }));
        let validators = self.validators(height);
        let is_culprit = |validator: &Value| validator["address"] == *address;
        let index = validators.iter().position(is_culprit)?;
        Some(Seat {
            height,
            time: block["result"]["block"]["header"]["time"]
                .as_str()
                .unwrap()
                .to_owned(),
            index,
            power: number(&validators[index]["voting_power"]),
            total: validators.iter().map(|it| number(&it["voting_power"])).sum(),
        })
    }

    /// A vote of the culprit's for a block that nobody proposed.
    fn vote(&self, seat: &Seat, block: u8) -> Value {
        let key = self.culprit();
        let hash = tendermint::Hash::Sha256([block; 32]);
        let mut vote = Vote {
            vote_type: vote::Type::Prevote,
            height: seat.height.try_into().unwrap(),
            round: 0u16.into(),
            block_id: Some(block::Id {
                hash,
                part_set_header: block::parts::Header::new(1, hash).unwrap(),
            }),
            timestamp: Some(seat.time.parse().unwrap()),
            validator_address: key.address().unwrap(),
            validator_index: seat.index.try_into().unwrap(),
            signature: None,
            extension: Vec::new(),
            extension_signature: None,
        };
        let chain = self.genesis.chain_id.clone();
        let signature = key.sign(&vote.clone().into_signable_vec(chain));
        vote.signature = tendermint::Signature::new(signature).unwrap();
        json!({
            "type": 1,
            "height": seat.height.to_string(),
            "round": 0,
            "block_id": { "hash": hash.to_string(), "parts": { "total": 1, "hash": hash.to_string() } },
            "timestamp": seat.time,
            "validator_address": vote.validator_address.to_string(),
            "validator_index": seat.index,
            "signature": base64_encode(&signature),
        })
    }

    /// Shows a node the two votes; whether its CometBFT takes them for evidence.
    fn report(&self, votes: [Value; 2], seat: &Seat) -> Result<(), String> {
        let [first, second] = votes;
        let value = json!({
            "vote_a": first,
            "vote_b": second,
            "TotalVotingPower": seat.total.to_string(),
            "ValidatorPower": seat.power.to_string(),
            "Timestamp": seat.time,
        });
        let evidence = json!({ "type": "tendermint/DuplicateVoteEvidence", "value": value });
        let answer = self.rpc(1, "broadcast_evidence", &json!({ "evidence": evidence }));
        match answer["error"].is_null() {
            true => Ok(()),
            false => Err(answer["error"].to_string()),
        }
    }

    fn record(&self) -> Option<ValidatorRecord> {
        let key = key::validator(ConsensusKey(self.culprit().public()).address());
        let entry = self.get(0, &format!("/v1/state/{}", hex::encode(key)))?;
        let value = hex::decode(entry["value"].as_str()?).unwrap();
        Some(ValidatorRecord::decode_all(&value).unwrap())
    }
}

#[test]
fn a_validator_that_signs_twice_loses_stake_and_seat_through_cometbft() {
    require_cometbft();
    let network = Network::new();
    let nodes: Vec<Running> = (0..CULPRIT).map(|index| network.start(index, &[])).collect();
    let seat = wait(|| (network.height(0) > 3).then(|| network.seat(2)).flatten());
    let before = network.record().unwrap();
    assert_eq!((before.jail, before.slashed), (Jail::Free, Amount(0)));

    // One vote shown twice is no evidence, and neither is a vote that somebody else signed.
    let (first, second) = (network.vote(&seat, 1), network.vote(&seat, 2));
    network.report([first.clone(), first.clone()], &seat).unwrap_err();
    let mut forged = second.clone();
    forged["signature"] = first["signature"].clone();
    let refused = network.report([first.clone(), forged], &seat).unwrap_err();
    assert!(refused.contains("signature"), "{refused}");

    // Node 1 tells the others, and whoever proposes next puts it into a block.
    network.report([first, second], &seat).unwrap();
    let after = wait(|| network.record().filter(|record| record.jail != Jail::Free));
    let divisor = u128::from(haca_ledger::standard_params().validators.slash_divisor);
    let slashed = before.stake.0.div_ceil(divisor);
    assert_eq!(after.jail, Jail::Forever);
    assert_eq!(
        (after.slashed, after.stake),
        (Amount(slashed), Amount(before.stake.0 - slashed))
    );
    let seats = wait(|| {
        let height = network.height(0);
        Some(network.validators(height)).filter(|validators| validators.len() < NODES)
    });
    let address = network.culprit().address().unwrap().to_string();
    assert!(seats.iter().all(|validator| validator["address"] != *address));

    // The evidence is in a block, and a shadow that reads the blocks computes the same states.
    let until = wait(|| network.height(0).checked_sub(1));
    let convicted = (1..=until).filter(|height| {
        let block = network.rpc(0, "block", &json!({ "height": height.to_string() }));
        let evidence = &block["result"]["block"]["evidence"]["evidence"];
        evidence.as_array().is_some_and(|evidence| !evidence.is_empty())
    });
    assert_eq!(convicted.count(), 1);
    let shadow = network.directory.path().join("shadow");
    join(&Home::new(&shadow), &network.homes[0].genesis(), true).unwrap();
    let beside = network.shadow(&shadow, until);
    let told: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(
        (&told["blocks"], &told["equal"]),
        (&until.into(), &true.into()),
        "{told}"
    );
    drop(nodes);
}
