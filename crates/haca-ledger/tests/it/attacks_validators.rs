//! Attacks on validators and governance: blocks that would fail, slashing that would be escaped, votes that would leave the
//! chain without a way back.

use std::collections::BTreeMap;

use haca_ledger::{
    BlockOutcome, CheckMode, Effect, Lapse, Misbehaviour, MisbehaviourKind, Refusal, check_tx, init_genesis,
    query,
};
use haca_wire::state::{GovernanceParams, Jail, Params};
use haca_wire::{
    Amount, AssetId, ConsensusKey, GenesisHash, Height, Message, ParamChange, Parameter, Proposal,
    ProposalId, Sequence,
};

use crate::governance::{self, change, propose, vote};
use crate::validators::{absent, stake, unstake};
use crate::world::{
    OPG, USD, VALIDATOR_STAKE, World, alice, bob, consensus_id, genesis_json, node, sponsor, test_params,
};

const FIRST: u8 = 8;

/// Validators of equal stake: the one of genesis, and three that can pay for gas.
fn four_with(params: Params) -> World {
    let mut world = World::with_params(params);
    for (sender, tag) in [(alice(), 20), (bob(), 21), (sponsor(), 22)] {
        stake(&mut world, &sender, tag, VALIDATOR_STAKE);
    }
    world
}

fn four() -> World {
    four_with(test_params())
}

fn pass(world: &mut World, number: u64, proposal: Proposal) {
    world.ok(&alice(), propose(20, proposal));
    world.ok(&bob(), vote(21, number, true));
    world.ok(&sponsor(), vote(22, number, true));
    let record = query::proposal(&world.state, ProposalId(number)).unwrap();
    assert!(record.unwrap().due.is_some());
}

/// Empty blocks until one concludes something.
fn conclusion(world: &mut World) -> Vec<Effect> {
    governance::conclusion(world).concluded
}

/// Evidence from an earlier height, in the next block.
fn convict(world: &mut World, tag: u8, kind: MisbehaviourKind, height: u64) -> BlockOutcome {
    world.misbehaviour.push(Misbehaviour {
        kind,
        validator: consensus_id(tag).address().0,
        height: Height(height),
        time_unix_s: world.time_s(height),
    });
    world.block(&[])
}

/// A sum that leaves its range is the sender's fault, in the block and in the mempool.
#[test]
fn a_stake_beyond_all_numbers_fails_no_block() {
    let mut world = World::new();
    stake(&mut world, &alice(), 20, 3_000);
    let message = world.stake_message(&alice(), 20, u128::MAX);
    let tx = world.tx(&alice(), message.clone());
    let waiting = check_tx(&world.state, &tx, CheckMode::New, &|_| Amount(0), &world.script).unwrap();
    assert!(matches!(
        waiting.unwrap_err(),
        Refusal::InsufficientBalance { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::InsufficientBalance { .. }
    ));
}

/// The largest numbers that fit a message, wherever one is read.
#[test]
fn no_extreme_number_fails_a_block() {
    let (mut world, channel) = World::with_channel();
    stake(&mut world, &alice(), 20, 3_000);
    let most = Amount(u128::MAX);
    let mut quote = world.quote(&alice());
    (quote.deposit, quote.warranty) = (most, most);
    let quote = world.sign_quote(quote);
    let transfer = |asset| Message::Transfer {
        to: bob().address(),
        asset,
        amount: most,
    };
    let mut messages = vec![
        (alice(), transfer(OPG)),
        (alice(), transfer(AssetId(u32::MAX))),
        (
            node(),
            Message::Bond {
                asset: USD,
                amount: most,
            },
        ),
        (
            node(),
            Message::Unbond {
                asset: USD,
                amount: most,
            },
        ),
        (alice(), Message::OpenChannel { quote }),
        (
            alice(),
            Message::TopUp {
                channel,
                amount: most,
            },
        ),
        (alice(), unstake(20, u128::MAX)),
        (alice(), vote(20, u64::MAX, true)),
        (
            alice(),
            propose(
                20,
                Proposal::Upgrade {
                    version: u64::MAX,
                    height: Height(u64::MAX),
                },
            ),
        ),
        (alice(), propose(20, Proposal::Cancel(ProposalId(u64::MAX)))),
        (
            alice(),
            Message::Demand {
                channel,
                first: Sequence(u64::MAX),
                sequence: Sequence(u64::MAX),
                receipt: Default::default(),
                path: Vec::new(),
            },
        ),
    ];
    for parameter in Parameter::ALL {
        for value in [u128::MAX, u128::from(u64::MAX), 0] {
            messages.push((alice(), propose(20, change(*parameter, value))));
        }
    }
    let before = world.state.clone();
    for (sender, message) in messages {
        world.run(&sender, message);
        world.state = before.clone();
    }
    let edge = Misbehaviour {
        kind: MisbehaviourKind::DuplicateVote,
        validator: consensus_id(99).address().0,
        height: Height(u64::MAX),
        time_unix_s: u64::MAX,
    };
    world.misbehaviour = vec![
        edge,
        Misbehaviour {
            height: Height(0),
            time_unix_s: 0,
            ..edge
        },
    ];
    world.votes = vec![absent(99), absent(20)];
    world.block(&[]);
}

/// Whoever plans an attack on light clients cannot buy the right to it with the price of two votes.
#[test]
fn an_attack_costs_everything_after_a_double_vote_too() {
    let mut world = four();
    world.ok(&alice(), unstake(20, 2_000));
    let height = world.height().0;
    let first = convict(&mut world, 20, MisbehaviourKind::DuplicateVote, height);
    assert_eq!(first.burned, Amount(1_500 + 500));
    world.ok(&alice(), unstake(20, 4_500));
    let second = convict(&mut world, 20, MisbehaviourKind::LightClientAttack, height);
    assert_eq!(
        second.burned,
        Amount(VALIDATOR_STAKE - 2_000),
        "all that was left"
    );
    for kind in [
        MisbehaviourKind::DuplicateVote,
        MisbehaviourKind::LightClientAttack,
    ] {
        let again = convict(&mut world, 20, kind, height);
        assert_eq!((again.burned, again.swept), (Amount(0), vec![]));
    }
    let record = query::validator(&world.state, consensus_id(20)).unwrap().unwrap();
    assert_eq!(
        (record.stake, record.slashed),
        (Amount(0), Amount(VALIDATOR_STAKE))
    );
    world.wait(30);
    assert_eq!(world.supply(OPG).unbonding, Amount(0));
}

/// Both kinds in one block, either way round, cost the same.
#[test]
fn the_order_of_evidence_in_a_block_saves_nothing() {
    let kinds = [
        MisbehaviourKind::DuplicateVote,
        MisbehaviourKind::LightClientAttack,
    ];
    for order in [[0, 1], [1, 0]] {
        let mut world = four();
        let height = world.height().0;
        world.misbehaviour = order
            .map(|index: usize| Misbehaviour {
                kind: kinds[index],
                validator: consensus_id(20).address().0,
                height: Height(height),
                time_unix_s: world.time_s(height),
            })
            .to_vec();
        assert_eq!(world.block(&[]).burned, Amount(VALIDATOR_STAKE));
    }
}

/// Consensus judges the age of evidence by the block before the one that holds it.
#[test]
fn evidence_in_the_last_block_that_can_hold_it_punishes_stake_and_withdrawals() {
    for late in [0, 1] {
        let mut world = four();
        // It withdraws in a block, and votes twice in the next.
        let caught = world.height().0 + 1 + late;
        world.ok(&alice(), unstake(20, 4_000));
        let last = caught + world.params().validators.evidence_blocks + 1;
        while world.height().0 + 1 < last {
            world.block(&[]);
        }
        let outcome = convict(&mut world, 20, MisbehaviourKind::DuplicateVote, caught);
        assert_eq!(outcome.burned, Amount(2_000));
    }
}

/// A few keys come, propose and leave, again and again, to keep everybody else from proposing.
#[test]
fn who_has_left_takes_no_place_for_proposals() {
    let params = Params {
        governance: GovernanceParams {
            voting_blocks: 10_000,
            ..test_params().governance
        },
        ..test_params()
    };
    let mut world = World::with_params(params);
    let tags: Vec<u8> = (20..=159).collect();
    for tags in tags.chunks(4) {
        for message in [None, Some(change(Parameter::NodeStake, 6_000))] {
            let txs: Vec<_> = tags
                .iter()
                .map(|tag| {
                    let message = match &message {
                        None => world.stake_message(&alice(), *tag, 1_000),
                        Some(proposal) => propose(*tag, proposal.clone()),
                    };
                    world.tx(&alice(), message)
                })
                .collect();
            let outcome = world.block(&txs);
            assert!(outcome.txs.iter().all(|tx| tx.refusal.is_none()));
        }
        let txs: Vec<_> = tags
            .iter()
            .map(|tag| world.tx(&alice(), unstake(*tag, 1_000)))
            .collect();
        world.block(&txs);
        world.block(&[]);
    }
    assert_eq!(query::governance(&world.state).unwrap().open, []);
}

/// A block that is exhausted by whatever it holds stops the clock for ever, and with it every timelock.
#[test]
fn no_vote_lets_a_single_transaction_stop_the_clock() {
    let mut world = four();
    for (parameter, value) in [
        (Parameter::TxGas, 16_000_000),
        (Parameter::TxGas, 4_000_001),
        (Parameter::BlockGas, 2_500_000),
        (Parameter::BlockGas, 9_999_999),
    ] {
        let refusal = world.refused(&alice(), propose(20, change(parameter, value)));
        assert!(
            matches!(&refusal, Refusal::Parameter { fault } if fault.name == "tx_gas"),
            "{parameter:?} {value}: {refusal:?}"
        );
    }
    pass(&mut world, 1, change(Parameter::BlockGas, 10_000_000));
    conclusion(&mut world);
    let tx = world.tx(&alice(), vote(20, 99, true));
    assert!(!world.block(&[tx]).exhausted);
}

/// Who closes a channel when a vote passes has the whole demand window at the prices it knew.
#[test]
fn a_timelock_outlasts_the_demands_of_a_channel_that_closes() {
    let params = Params {
        demand_window: 30,
        ..test_params()
    };
    let json = genesis_json(params).to_string();
    let error = init_genesis(json.as_bytes(), GenesisHash([9; 32])).unwrap_err();
    assert!(error.to_string().contains("governance.timelock"), "{error}");
    let longer = Params {
        governance: GovernanceParams {
            timelock: 20 + 30,
            ..params.governance
        },
        ..params
    };
    init_genesis(genesis_json(longer).to_string().as_bytes(), GenesisHash([9; 32])).unwrap();
}

/// Votes that were missed under a window of another length do not come back when the numbers of windows repeat.
#[test]
fn a_new_window_begins_without_old_misses() {
    let mut world = four();
    // Height 50 to 59 was window 5 of ten blocks, height 100 to 119 is window 5 of twenty.
    while world.height().0 + 1 < 50 {
        world.block(&[]);
    }
    for _ in 0..3 {
        world.votes = vec![absent(20)];
        world.block(&[]);
    }
    let wanted = [(Parameter::SignedWindow, 20), (Parameter::MaxMissed, 5)];
    let changes = wanted.map(|(parameter, value)| ParamChange { parameter, value });
    pass(&mut world, 1, Proposal::Parameters(changes.to_vec()));
    conclusion(&mut world);
    while world.height().0 + 1 < 100 {
        world.block(&[]);
    }
    world.votes = vec![absent(20)];
    assert_eq!(world.block(&[]).swept, []);
    let record = query::validator(&world.state, consensus_id(20)).unwrap().unwrap();
    assert_eq!((record.jail, record.missed), (Jail::Free, 1));
}

/// Where nobody could be elected the old set would go on, and its stake could leave.
#[test]
fn a_least_stake_that_nobody_has_does_not_take_effect() {
    let mut world = four();
    pass(&mut world, 1, change(Parameter::MinStake, VALIDATOR_STAKE + 1));
    let concluded = conclusion(&mut world);
    let [
        Effect::ProposalLapsed {
            reason: Lapse::Parameter(fault),
            ..
        },
    ] = &concluded[..]
    else {
        panic!("{concluded:?}");
    };
    assert_eq!(fault.name, "validators.min_stake");
    assert_eq!(world.params(), test_params());
    let more = world.stake_message(&alice(), 20, 1);
    world.ok(&alice(), more);
    pass(&mut world, 2, change(Parameter::MinStake, VALIDATOR_STAKE + 1));
    conclusion(&mut world);
    let set = query::validators(&world.state).unwrap();
    assert_eq!(set.active.len(), 1);
    assert_eq!(
        world.refused(&alice(), unstake(20, VALIDATOR_STAKE + 1)),
        Refusal::LastValidator
    );
}

/// Convicts may go on deciding blocks where nobody else is there. They decide nothing else.
#[test]
fn convicts_neither_propose_nor_vote() {
    let mut world = World::new();
    stake(&mut world, &alice(), 20, 100_000_000);
    world.ok(&alice(), propose(20, change(Parameter::NodeStake, 6_000)));
    let height = world.height().0;
    for tag in [20, FIRST] {
        convict(&mut world, tag, MisbehaviourKind::DuplicateVote, height);
    }
    let set = query::validators(&world.state).unwrap();
    assert!(!set.active.is_empty());
    let key = consensus_id(20);
    for message in [
        propose(20, change(Parameter::NodeStake, 7_000)),
        vote(20, 1, true),
    ] {
        assert_eq!(
            world.refused(&alice(), message),
            Refusal::ValidatorConvicted { key }
        );
    }
}

/// One stake behind key after key of one account, in one block: no key votes with what another has.
#[test]
fn stake_votes_once_however_it_moves_in_a_block() {
    let mut world = four();
    world.ok(&bob(), propose(21, change(Parameter::NodeStake, 6_000)));
    let messages = [
        vote(20, 1, true),
        unstake(20, VALIDATOR_STAKE),
        world.stake_message(&alice(), 30, VALIDATOR_STAKE),
        vote(30, 1, true),
        unstake(30, VALIDATOR_STAKE),
        world.stake_message(&alice(), 31, VALIDATOR_STAKE),
        vote(31, 1, true),
    ];
    let txs: Vec<_> = messages
        .into_iter()
        .map(|message| world.tx(&alice(), message))
        .collect();
    let outcome = world.block(&txs);
    assert!(outcome.txs.iter().all(|tx| tx.refusal.is_none()), "{outcome:?}");
    let open = query::proposal(&world.state, ProposalId(1)).unwrap().unwrap();
    assert_eq!(open.due, None);
    world.ok(&alice(), vote(31, 1, true));
    let open = query::proposal(&world.state, ProposalId(1)).unwrap().unwrap();
    assert_eq!((open.due, open.approvals.len()), (None, 2));
}

/// Whatever validators do to each other, consensus can apply every list of changes it is given.
#[test]
fn consensus_takes_every_list_of_changes() {
    let mut world = four();
    let start = query::validators(&world.state).unwrap();
    let mut told: BTreeMap<ConsensusKey, u64> = start.active.iter().map(|v| (v.key, v.power)).collect();
    let mut seed = 7u64;
    let mut next = |bound: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let owners = [alice(), bob(), sponsor()];
    for _ in 0..300 {
        let mut txs = Vec::new();
        for _ in 0..3 {
            let owner = &owners[next(3) as usize];
            let tag = 20 + next(12) as u8;
            let message = match next(4) {
                0 | 1 => world.stake_message(owner, tag, 500 + u128::from(next(9_000))),
                2 => unstake(tag, 500 + u128::from(next(9_000))),
                _ => {
                    let record = query::validator(&world.state, consensus_id(tag)).unwrap();
                    unstake(tag, record.map_or(1, |record| record.stake.0))
                }
            };
            txs.push(world.tx(owner, message));
        }
        if next(12) == 0 {
            world.misbehaviour = vec![Misbehaviour {
                kind: MisbehaviourKind::DuplicateVote,
                validator: consensus_id(20 + next(12) as u8).address().0,
                height: world.height(),
                time_unix_s: world.time_s(world.height().0),
            }];
        }
        world.votes = vec![absent(20 + next(12) as u8), absent(20 + next(12) as u8)];
        let outcome = world.block(&txs);
        let mut seen = None;
        for update in &outcome.validator_updates {
            assert!(seen < Some(update.key), "ascending, none twice");
            seen = Some(update.key);
            if update.power == 0 {
                assert!(
                    told.remove(&update.key).is_some(),
                    "nobody leaves who was not there"
                );
            } else {
                assert_ne!(told.insert(update.key, update.power), Some(update.power));
            }
        }
        assert!(!told.is_empty());
        assert!(told.values().sum::<u64>() < 1 << 50);
        let set = query::validators(&world.state).unwrap();
        assert_eq!(told, set.active.iter().map(|v| (v.key, v.power)).collect());
    }
}

/// A list of validators or proposals takes longer to read than a record: who has it read pays for that.
#[test]
fn messages_of_validators_pay_for_the_lists_they_read() {
    let mut world = four();
    let signatures = |world: &mut World, message: Message| {
        let params = world.params();
        let tx = world.tx(&alice(), message);
        let gas = world.block(std::slice::from_ref(&tx)).txs.remove(0).gas_used;
        (gas.0 - params.gas_flat.0 - params.gas_byte.0 * tx.len() as u64) / params.gas_signature.0
    };
    let newcomer = world.stake_message(&alice(), 30, 2_000);
    let messages = [
        // The sender's signature, that of the key, and four for the list.
        (newcomer, 6),
        (propose(20, change(Parameter::NodeStake, 6_000)), 9),
        (vote(20, 1, true), 2),
        // Two for the list, and one for the block that pays it.
        (unstake(30, 2_000), 4),
        (
            Message::Unjail {
                key: consensus_id(20),
            },
            2,
        ),
    ];
    for (message, expected) in messages {
        let name = message.name();
        assert_eq!(signatures(&mut world, message), expected, "{name}");
        assert!(
            expected < 10,
            "{name}: with a sponsor's, no more than every network has room for"
        );
    }
}
