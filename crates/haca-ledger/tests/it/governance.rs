//! Governance: who decides, when it takes effect, and what no vote can do.

use haca_ledger::{
    BlockContext, BlockOutcome, Effect, LATEST_VERSION, Lapse, LedgerError, Refusal, execute_block, query,
    standard_params,
};
use haca_wire::state::{GovernanceParams, Params, ProposalRecord};
use haca_wire::{
    Amount, ConsensusKey, Encode as _, Gas, Height, Message, ParamChange, Parameter, Proposal, ProposalId,
    SecretKey, Tick, Transaction,
};

use crate::script::Script;
use crate::world::{World, alice, bob, consensus_id, other_node, sponsor, test_params};

const MORE_STAKE: u128 = 8_000;

/// Four validators of equal stake; three of them have accounts that can pay for gas.
fn four() -> World {
    let mut world = World::new();
    for (sender, tag) in [(alice(), 20), (bob(), 21), (sponsor(), 22)] {
        let message = world.stake_message(&sender, tag, MORE_STAKE);
        world.ok(&sender, message);
    }
    world
}

pub(crate) fn change(parameter: Parameter, value: u128) -> Proposal {
    Proposal::Parameters(vec![ParamChange { parameter, value }])
}

pub(crate) fn propose(tag: u8, proposal: Proposal) -> Message {
    Message::Propose {
        key: consensus_id(tag),
        proposal,
    }
}

pub(crate) fn vote(tag: u8, proposal: u64, approve: bool) -> Message {
    Message::Vote {
        key: consensus_id(tag),
        proposal: ProposalId(proposal),
        approve,
    }
}

fn open(world: &World, proposal: u64) -> Option<ProposalRecord> {
    query::proposal(&world.state, ProposalId(proposal)).unwrap()
}

/// Proposes with alice, approves with bob and sponsor; the proposal has then passed.
fn pass(world: &mut World, number: u64, proposal: Proposal) -> Tick {
    world.ok(&alice(), propose(20, proposal));
    world.ok(&bob(), vote(21, number, true));
    let outcome = world.ok(&sponsor(), vote(22, number, true));
    let passed = outcome.iter().find_map(|effect| match effect {
        Effect::ProposalPassed { proposal, due } if proposal.0 == number => Some(*due),
        _ => None,
    });
    passed.unwrap()
}

/// Empty blocks until one concludes something.
pub(crate) fn conclusion(world: &mut World) -> BlockOutcome {
    for _ in 0..200 {
        let outcome = world.block(&[]);
        if !outcome.concluded.is_empty() {
            return outcome;
        }
    }
    panic!("nothing is concluded in 200 blocks")
}

#[test]
fn three_of_four_change_a_parameter_after_the_timelock() {
    let mut world = four();
    world.ok(&alice(), propose(20, change(Parameter::GasRegistration, 2_000)));
    assert_eq!(open(&world, 1).unwrap().due, None, "a quarter is not enough");
    world.ok(&bob(), vote(21, 1, true));
    assert_eq!(open(&world, 1).unwrap().due, None, "half is not enough");
    let before = world.tick();
    let outcome = world.ok(&sponsor(), vote(22, 1, true));
    let due = Tick(before.0 + world.params().governance.timelock);
    assert!(outcome.contains(&Effect::ProposalPassed {
        proposal: ProposalId(1),
        due,
    }));
    while world.tick() < due {
        assert_eq!(world.params(), test_params());
        let outcome = world.block(&[]);
        if world.tick() < due {
            assert_eq!(outcome.concluded, []);
        }
    }
    let expected = Params {
        gas_registration: Gas(2_000),
        ..test_params()
    };
    assert_eq!(world.params(), expected);
    assert_eq!(open(&world, 1), None);
    let last = world.log.last().unwrap();
    let changed = Effect::ParametersChanged {
        proposal: ProposalId(1),
    };
    assert_eq!(last.outcome.concluded, [changed]);
}

#[test]
fn every_parameter_reaches_its_place() {
    // A value that each may have, far from the one it has.
    let wanted: Vec<(Parameter, u128)> = vec![
        (Parameter::BlockGas, 100_000_000),
        (Parameter::TxGas, 18_000_000),
        (Parameter::GasFlat, 11),
        (Parameter::GasByte, 0),
        (Parameter::GasSignature, 21),
        (Parameter::GasRegistration, 1_001),
        (Parameter::NodeStake, 5_001),
        (Parameter::QuoteLifetime, 51),
        (Parameter::ProvePrice, 1_000_001),
        (Parameter::RewardDivisor, 1_001),
        (Parameter::MinStake, 1_001),
        (Parameter::MaxValidators, 6),
        (Parameter::SignedWindow, 11),
        (Parameter::MaxMissed, 4),
        (Parameter::JailBlocks, 7),
        (Parameter::SlashDivisor, 5),
    ];
    assert_eq!(wanted.len(), Parameter::ALL.len());
    let mut world = four();
    let changes = wanted
        .iter()
        .map(|(parameter, value)| ParamChange {
            parameter: *parameter,
            value: *value,
        })
        .collect();
    pass(&mut world, 1, Proposal::Parameters(changes));
    conclusion(&mut world);
    let old = test_params();
    let mut expected = Params {
        block_gas: Gas(100_000_000),
        tx_gas: Gas(18_000_000),
        gas_flat: Gas(11),
        gas_byte: Gas(0),
        gas_signature: Gas(21),
        gas_registration: Gas(1_001),
        node_stake: Amount(5_001),
        quote_lifetime: 51,
        prove_price: Amount(1_000_001),
        reward_divisor: 1_001,
        ..old
    };
    expected.validators.min_stake = Amount(1_001);
    expected.validators.max_validators = 6;
    expected.validators.signed_window = 11;
    expected.validators.max_missed = 4;
    expected.validators.jail_blocks = 7;
    expected.validators.slash_divisor = 5;
    assert_eq!(world.params(), expected);
}

#[test]
fn what_channels_and_signed_orders_rely_on_cannot_be_named() {
    let names: Vec<&str> = Parameter::ALL.iter().map(|parameter| parameter.name()).collect();
    for fixed in [
        "block_bytes",
        "tx_lifetime",
        "settle_horizon",
        "grace",
        "claim_window",
        "demand_window",
        "respond_window",
        "respond_step",
        "unbonding",
        "signer_grace",
        "validators.evidence_blocks",
        "validators.evidence_s",
        "governance.voting_blocks",
        "governance.timelock",
    ] {
        assert!(!names.contains(&fixed), "{fixed}");
        assert!(fixed.parse::<Parameter>().is_err());
    }
    for parameter in Parameter::ALL {
        assert_eq!(parameter.name().parse(), Ok(*parameter));
    }
}

#[test]
fn rejects_parameters_under_which_a_rule_of_money_breaks() {
    let mut world = four();
    for (parameter, value, name) in [
        (Parameter::TxGas, 0, "tx_gas"),
        (Parameter::TxGas, 1_999_999, "tx_gas"),
        (Parameter::TxGas, 4_000_001, "tx_gas"),
        (Parameter::BlockGas, 9_999_999, "tx_gas"),
        (Parameter::BlockGas, 1 << 64, "block_gas"),
        (Parameter::BlockGas, (1 << 33) + 1, "block_gas"),
        (Parameter::ProvePrice, 1_000_000_001, "prove_price"),
        (Parameter::ProvePrice, u128::MAX, "prove_price"),
        (Parameter::GasFlat, 0, "gas_flat"),
        // What settles at the limit of a transaction would settle no more.
        (Parameter::GasFlat, 11, "tx_gas"),
        (Parameter::GasByte, 2, "tx_gas"),
        (Parameter::GasSignature, 21, "tx_gas"),
        (Parameter::GasRegistration, 0, "gas_registration"),
        (Parameter::NodeStake, 0, "node_stake"),
        (Parameter::QuoteLifetime, 0, "quote_lifetime"),
        (Parameter::QuoteLifetime, 100_000_001, "quote_lifetime"),
        (Parameter::MinStake, 0, "validators.min_stake"),
        (Parameter::MaxValidators, 0, "validators.max_validators"),
        (Parameter::MaxValidators, 129, "validators.max_validators"),
        (Parameter::SignedWindow, 3, "validators.max_missed"),
        (Parameter::MaxMissed, 10, "validators.max_missed"),
        (Parameter::MaxMissed, 2, "validators.max_missed"),
        (Parameter::SignedWindow, 13, "validators.max_missed"),
        (Parameter::JailBlocks, 0, "validators.jail_blocks"),
        (Parameter::SlashDivisor, 0, "validators.slash_divisor"),
        (Parameter::SlashDivisor, 1, "validators.slash_divisor"),
        (Parameter::SlashDivisor, 101, "validators.slash_divisor"),
    ] {
        let refusal = world.refused(&alice(), propose(20, change(parameter, value)));
        let Refusal::Parameter { fault } = refusal else {
            panic!("{parameter:?} = {value}: {refusal:?}");
        };
        assert_eq!(fault.name, name, "{parameter:?} = {value}");
    }
    assert_eq!(query::governance(&world.state).unwrap().open, []);
    // Dearer signatures go with as much more gas for a transaction.
    let both = |tx_gas| {
        Proposal::Parameters(vec![
            ParamChange {
                parameter: Parameter::TxGas,
                value: tx_gas,
            },
            ParamChange {
                parameter: Parameter::GasSignature,
                value: 120,
            },
        ])
    };
    world.refused(&alice(), propose(20, both(2_000_999)));
    world.ok(&alice(), propose(20, both(2_001_000)));
}

/// A vote that leaves a proposal no room is the last one that passes.
#[test]
fn no_vote_takes_the_room_of_the_next_proposal() {
    let mut world = four();
    world.set_params(standard_params());
    let changes = |signature: u128| {
        let change = |(parameter, value)| ParamChange { parameter, value };
        let all = [
            (Parameter::BlockGas, 4_500_000_000),
            (Parameter::TxGas, 898_500_000),
            (Parameter::GasSignature, signature),
        ];
        Proposal::Parameters(all.map(change).to_vec())
    };
    let refusal = world.refused(&alice(), propose(20, changes(100_000_000)));
    let Refusal::Parameter { fault } = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!((fault.name, fault.found), ("tx_gas", 898_500_000));
    // Ten times the growth is what a transaction may have more.
    let most = 300_000 + (898_500_000 - 400_000_000) / 10;
    world.refused(&alice(), propose(20, changes(most + 1)));
    world.ok(&alice(), propose(20, changes(most)));
}

/// At the least gas that a transaction may have beside the other prices, the largest proposal is taken, whoever pays.
#[test]
fn the_largest_proposal_fits_a_transaction_under_any_parameters() {
    let mut world = four();
    for gas_signature in [20, 50_000] {
        let params = Params {
            gas_signature: Gas(gas_signature),
            tx_gas: Gas(10 + 16_384 + 10 * gas_signature),
            ..test_params()
        };
        World::with_params(params);
        world.set_params(params);
        let most = |parameter: &Parameter| ParamChange {
            parameter: *parameter,
            value: u128::MAX,
        };
        let changes = Parameter::ALL.iter().map(most).collect();
        let mut meta = world.meta(&alice());
        meta.sponsor = sponsor().address();
        let message = propose(20, Proposal::Parameters(changes));
        let tx = world.sign(&alice(), Transaction { meta, message });
        let tx = tx.cosign(&world.domain, &sponsor()).unwrap().encode();
        assert!(tx.len() < 8_192, "{}", tx.len());
        let outcome = world.block(&[tx]).txs.remove(0);
        assert!(
            matches!(outcome.refusal, Some(Refusal::Parameter { .. })),
            "admitted, and looked at: {:?}",
            outcome.refusal
        );
        assert!(outcome.gas_used.0 > 10 * gas_signature);
    }
}

#[test]
fn rejects_proposals_and_votes_of_those_who_decide_nothing() {
    let mut world = four();
    let unknown = Refusal::UnknownValidator {
        key: consensus_id(30),
    };
    let wanted = || change(Parameter::NodeStake, 6_000);
    assert_eq!(world.refused(&alice(), propose(30, wanted())), unknown);
    assert!(matches!(
        world.refused(&bob(), propose(20, wanted())),
        Refusal::NotTheValidator { .. }
    ));
    world.ok(&alice(), propose(20, wanted()));
    assert_eq!(
        world.refused(&alice(), propose(20, change(Parameter::NodeStake, 7_000))),
        Refusal::ProposalOpen {
            proposal: ProposalId(1)
        }
    );
    assert!(matches!(
        world.refused(&other_node(), vote(21, 1, true)),
        Refusal::NotTheValidator { .. }
    ));
    for absent in [0, 2, u64::MAX] {
        let proposal = ProposalId(absent);
        assert_eq!(
            world.refused(&bob(), vote(21, absent, true)),
            Refusal::UnknownProposal { proposal }
        );
    }
}

#[test]
fn rejects_those_who_have_left() {
    let mut world = four();
    world.ok(&alice(), propose(20, change(Parameter::NodeStake, 6_000)));
    let all = Message::Unstake {
        key: consensus_id(22),
        amount: Amount(MORE_STAKE),
    };
    world.ok(&sponsor(), all);
    let key: ConsensusKey = consensus_id(22);
    assert_eq!(
        world.refused(&sponsor(), vote(22, 1, true)),
        Refusal::NotDeciding { key }
    );
    assert_eq!(
        world.refused(&sponsor(), propose(22, change(Parameter::NodeStake, 6_000))),
        Refusal::NotDeciding { key }
    );
}

#[test]
fn stake_that_moves_counts_once() {
    let mut world = four();
    world.ok(&alice(), propose(20, change(Parameter::NodeStake, 6_000)));
    world.ok(&bob(), vote(21, 1, true));
    // Half has approved. Bob takes his stake out, and comes back with as much behind another key: still half.
    let out = Message::Unstake {
        key: consensus_id(21),
        amount: Amount(MORE_STAKE),
    };
    world.ok(&bob(), out);
    let back = world.stake_message(&bob(), 25, MORE_STAKE);
    world.ok(&bob(), back);
    world.ok(&bob(), vote(25, 1, true));
    assert_eq!(open(&world, 1).unwrap().due, None);
    // A vote is not worth more for being cast twice.
    world.ok(&bob(), vote(25, 1, true));
    assert_eq!(open(&world, 1).unwrap().due, None);
    assert_eq!(open(&world, 1).unwrap().approvals.len(), 2);
}

#[test]
fn a_vote_can_be_taken_back_until_the_proposal_passes() {
    let mut world = four();
    world.ok(&alice(), propose(20, change(Parameter::NodeStake, 6_000)));
    world.ok(&bob(), vote(21, 1, true));
    world.ok(&bob(), vote(21, 1, false));
    world.ok(&sponsor(), vote(22, 1, true));
    assert_eq!(open(&world, 1).unwrap().due, None);
    world.ok(&bob(), vote(21, 1, true));
    let due = open(&world, 1).unwrap().due.unwrap();
    let proposal = ProposalId(1);
    assert_eq!(
        world.refused(&alice(), vote(20, 1, false)),
        Refusal::ProposalPassed { proposal, due }
    );
}

#[test]
fn a_proposal_without_enough_votes_lapses() {
    let mut world = four();
    world.ok(&alice(), propose(20, change(Parameter::NodeStake, 6_000)));
    let closes = open(&world, 1).unwrap().closes;
    let outcome = conclusion(&mut world);
    assert_eq!(outcome.height, closes);
    let lapsed = Effect::ProposalLapsed {
        proposal: ProposalId(1),
        reason: Lapse::TooFewApprovals,
    };
    assert_eq!(outcome.concluded, [lapsed]);
    assert_eq!(world.params(), test_params());
    world.ok(&alice(), propose(20, change(Parameter::NodeStake, 6_000)));
    assert!(open(&world, 2).is_some(), "numbers are not used again");
}

#[test]
fn what_has_passed_can_be_called_off() {
    let mut world = four();
    pass(&mut world, 1, change(Parameter::NodeStake, 6_000));
    world.ok(&bob(), propose(21, Proposal::Cancel(ProposalId(1))));
    world.ok(&alice(), vote(20, 2, true));
    let outcome = world.ok(&sponsor(), vote(22, 2, true));
    assert!(outcome.contains(&Effect::ProposalCancelled {
        proposal: ProposalId(1)
    }));
    assert_eq!(open(&world, 1), None);
    assert_eq!(query::governance(&world.state).unwrap().open, []);
    world.wait(100);
    assert_eq!(world.params(), test_params());
    assert_eq!(
        world.refused(&bob(), propose(21, Proposal::Cancel(ProposalId(1)))),
        Refusal::UnknownProposal {
            proposal: ProposalId(1)
        }
    );
}

#[test]
fn of_two_that_cannot_both_hold_the_second_lapses() {
    let mut world = four();
    pass(&mut world, 1, change(Parameter::TxGas, 4_000_000));
    world.ok(&bob(), propose(21, change(Parameter::TxGas, 3_000_000)));
    world.ok(&alice(), vote(20, 2, true));
    world.ok(&sponsor(), vote(22, 2, true));
    let first = conclusion(&mut world);
    assert_eq!(
        first.concluded,
        [Effect::ParametersChanged {
            proposal: ProposalId(1)
        }]
    );
    let second = conclusion(&mut world);
    let [Effect::ProposalLapsed { reason, .. }] = &second.concluded[..] else {
        panic!("{second:?}");
    };
    assert!(matches!(reason, Lapse::Parameter(fault) if fault.name == "tx_gas"));
    assert_eq!(world.params().tx_gas, Gas(4_000_000));
}

#[test]
fn fewer_places_take_the_smallest_out_at_once() {
    let mut world = four();
    for (sender, tag) in [(alice(), 20), (bob(), 21)] {
        let more = world.stake_message(&sender, tag, 100_000);
        world.ok(&sender, more);
    }
    world.ok(&alice(), propose(20, change(Parameter::MaxValidators, 2)));
    world.ok(&bob(), vote(21, 1, true));
    let outcome = conclusion(&mut world);
    assert_eq!(outcome.validator_updates.len(), 2);
    assert!(outcome.validator_updates.iter().all(|update| update.power == 0));
    let set = query::validators(&world.state).unwrap();
    assert_eq!(set.active.len(), 2);
}

/// An upgrade at the first height that the timelock allows.
fn upgrade(world: &World, version: u64) -> Proposal {
    let timelock = world.params().governance.timelock;
    let height = Height(world.height().0 + 1 + timelock + 1);
    Proposal::Upgrade { version, height }
}

#[test]
fn an_upgrade_stops_whoever_does_not_know_it_before_its_height() {
    let mut world = four();
    let proposal = Proposal::Upgrade {
        version: LATEST_VERSION + 1,
        height: Height(world.height().0 + 60),
    };
    let Proposal::Upgrade { height, .. } = proposal else {
        unreachable!()
    };
    pass(&mut world, 1, proposal);
    assert_eq!(
        query::upgrade(&world.state).unwrap(),
        Some((LATEST_VERSION + 1, height))
    );
    while world.height().0 + 1 < height.0 {
        world.block(&[]);
    }
    let last = world.log.last().unwrap();
    let upgraded = Effect::Upgraded {
        proposal: ProposalId(1),
        version: LATEST_VERSION + 1,
    };
    assert_eq!(last.outcome.concluded, [upgraded]);
    let context = BlockContext {
        height,
        ..BlockContext::default()
    };
    let stopped = execute_block(&world.state, &context, &[], &Script::default()).unwrap_err();
    assert_eq!(stopped.code(), "ledger.unknown_version");
    assert!(matches!(stopped, LedgerError::UnknownVersion { found, expected }
        if found == LATEST_VERSION + 1 && expected == LATEST_VERSION));
    let known = BlockContext {
        known_version: LATEST_VERSION + 1,
        ..context
    };
    execute_block(&world.state, &known, &[], &Script::default()).unwrap();
    assert_eq!(query::upgrade(&world.state).unwrap(), None);
}

#[test]
fn an_upgrade_that_comes_before_its_timelock_or_brings_nothing_new_lapses() {
    let mut world = four();
    let old = Proposal::Upgrade {
        version: LATEST_VERSION,
        height: Height(1_000),
    };
    assert!(matches!(
        world.refused(&alice(), propose(20, old)),
        Refusal::OldVersion { .. }
    ));
    let soon = Proposal::Upgrade {
        version: LATEST_VERSION + 1,
        height: Height(world.height().0 + 1 + world.params().governance.timelock),
    };
    assert!(matches!(
        world.refused(&alice(), propose(20, soon)),
        Refusal::UpgradeTooSoon { .. }
    ));
    // It could have taken effect when it was proposed. The vote came later.
    let proposal = upgrade(&world, LATEST_VERSION + 1);
    world.ok(&alice(), propose(20, proposal));
    world.wait(4);
    world.ok(&bob(), vote(21, 1, true));
    world.ok(&sponsor(), vote(22, 1, true));
    let outcome = conclusion(&mut world);
    let lapsed = Effect::ProposalLapsed {
        proposal: ProposalId(1),
        reason: Lapse::Timelock,
    };
    assert_eq!(outcome.concluded, [lapsed]);
    assert_eq!(query::governance(&world.state).unwrap().version, LATEST_VERSION);
}

#[test]
fn a_timelock_shorter_than_what_it_has_to_outlast_is_no_genesis() {
    for (voting_blocks, timelock) in [(0, 40), (8, 39), (8, 0), (8, 400_000_001)] {
        let params = Params {
            governance: GovernanceParams {
                voting_blocks,
                timelock,
            },
            ..test_params()
        };
        let json = crate::world::genesis_json(params).to_string();
        let error = haca_ledger::init_genesis(json.as_bytes(), haca_wire::GenesisHash([9; 32])).unwrap_err();
        assert_eq!(error.code(), "genesis.param", "{voting_blocks} {timelock}");
    }
}

/// A validator alone decides alone, and still waits for the timelock.
#[test]
fn one_validator_passes_its_own_proposals() {
    let mut world = World::new();
    let stake = world.stake_message(&alice(), 20, 100_000_000);
    let sender: SecretKey = alice();
    world.ok(&sender, stake);
    world.ok(&sender, propose(20, change(Parameter::NodeStake, 6_000)));
    assert!(open(&world, 1).unwrap().due.is_some());
    conclusion(&mut world);
    assert_eq!(world.params().node_stake, Amount(6_000));
}

/// What fits a transaction fits it for ever, so prices rise only with `tx_gas`: it never reaches where they could not.
#[test]
fn prices_that_a_vote_lowered_to_nothing_can_be_raised_again() {
    let largest = 1u128 << 33;
    let most = largest / 5 - (1 << 25) + 1;
    let free = |tx_gas: u128| {
        let changes = [
            (Parameter::BlockGas, largest),
            (Parameter::TxGas, tx_gas),
            (Parameter::GasFlat, 1),
            (Parameter::GasByte, 0),
            (Parameter::GasSignature, 0),
        ];
        Proposal::Parameters(
            changes
                .map(|(parameter, value)| ParamChange { parameter, value })
                .to_vec(),
        )
    };
    let mut world = four();
    let refusal = world.refused(&alice(), propose(20, free(most + 1)));
    assert_eq!(refusal.code(), "ledger.parameter");
    assert!(refusal.to_string().contains("tx_gas"), "{refusal}");
    pass(&mut world, 1, free(most));
    conclusion(&mut world);
    assert_eq!(
        (world.params().gas_byte, world.params().gas_signature),
        (Gas(0), Gas(0))
    );
    let standard = standard_params();
    let carried = standard.gas_flat.0 + (standard.gas_byte.0 << 20) + 10 * standard.gas_signature.0;
    let back = [
        (Parameter::TxGas, most + u128::from(2 * carried) - 1),
        (Parameter::GasFlat, (2 * standard.gas_flat.0).into()),
        (Parameter::GasByte, (2 * standard.gas_byte.0).into()),
        (Parameter::GasSignature, (2 * standard.gas_signature.0).into()),
    ];
    let back = back.map(|(parameter, value)| ParamChange { parameter, value });
    world.ok(&alice(), propose(20, Proposal::Parameters(back.to_vec())));
}
