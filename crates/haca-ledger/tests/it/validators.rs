//! Validators: who may stake and leave, who is jailed and slashed, and that consensus never runs out of them.

use haca_ledger::{
    BlockOutcome, CommitVote, Effect, Misbehaviour, MisbehaviourKind, Refusal, ValidatorUpdate, query,
};
use haca_wire::state::{Jail, ValidatorRecord};
use haca_wire::{Amount, Height, Message, SecretKey};

use crate::world::{
    OPG, PROPOSER, VALIDATOR_STAKE, World, alice, bob, consensus_id, consensus_key, key, other_node, sponsor,
};

/// The key of genesis, whose account holds nothing but its stake.
const FIRST: u8 = 8;

fn record(world: &World, tag: u8) -> ValidatorRecord {
    query::validator(&world.state, consensus_id(tag))
        .unwrap()
        .unwrap()
}

fn powers(world: &World) -> Vec<(haca_wire::ConsensusKey, u64)> {
    let set = query::validators(&world.state).unwrap();
    set.active.iter().map(|v| (v.key, v.power)).collect()
}

fn sorted(mut list: Vec<(u8, u64)>) -> Vec<(haca_wire::ConsensusKey, u64)> {
    let mut list: Vec<_> = list
        .drain(..)
        .map(|(tag, power)| (consensus_id(tag), power))
        .collect();
    list.sort();
    list
}

pub(crate) fn stake(world: &mut World, sender: &SecretKey, tag: u8, amount: u128) -> BlockOutcome {
    let message = world.stake_message(sender, tag, amount);
    let tx = world.tx(sender, message);
    let outcome = world.block(&[tx]);
    assert_eq!(outcome.txs[0].refusal, None);
    outcome
}

pub(crate) fn unstake(tag: u8, amount: u128) -> Message {
    Message::Unstake {
        key: consensus_id(tag),
        amount: Amount(amount),
    }
}

fn unjail(tag: u8) -> Message {
    Message::Unjail {
        key: consensus_id(tag),
    }
}

fn update(tag: u8, power: u64) -> ValidatorUpdate {
    ValidatorUpdate {
        key: consensus_id(tag),
        power,
    }
}

pub(crate) fn absent(tag: u8) -> CommitVote {
    CommitVote {
        validator: consensus_id(tag).address().0,
        signed: false,
    }
}

/// Blocks that some validators did not vote for.
fn miss(world: &mut World, tags: &[u8], blocks: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..blocks {
        world.votes = tags.iter().map(|tag| absent(*tag)).collect();
        effects.extend(world.block(&[]).swept);
    }
    effects
}

fn evidence(world: &World, tag: u8, kind: MisbehaviourKind, height: u64) -> Misbehaviour {
    Misbehaviour {
        kind,
        validator: consensus_id(tag).address().0,
        height: Height(height),
        time_unix_s: world.time_s(height),
    }
}

fn convict(world: &mut World, tag: u8, kind: MisbehaviourKind) -> BlockOutcome {
    let found = evidence(world, tag, kind, world.height().0);
    world.misbehaviour = vec![found];
    world.block(&[])
}

/// The first block of the next window.
fn next_window(world: &mut World) {
    let window = world.params().validators.signed_window;
    while !(world.height().0 + 1).is_multiple_of(window) {
        world.block(&[]);
    }
}

/// Four validators of 8,000 each.
fn four() -> World {
    let mut world = World::new();
    for (sender, tag) in [(alice(), 20), (bob(), 21), (sponsor(), 22)] {
        stake(&mut world, &sender, tag, VALIDATOR_STAKE);
    }
    assert_eq!(powers(&world).len(), 4);
    world
}

#[test]
fn genesis_validators_decide_the_first_blocks() {
    let world = World::new();
    assert_eq!(consensus_id(FIRST).address().0, PROPOSER);
    assert_eq!(powers(&world), sorted(vec![(FIRST, 8_000)]));
    assert_eq!(world.supply(OPG).stakes, Amount(VALIDATOR_STAKE));
}

#[test]
fn stake_moves_from_the_balance_and_gives_power() {
    let mut world = World::new();
    let before = world.balance(alice().address(), OPG);
    let outcome = stake(&mut world, &alice(), 20, 3_000);
    assert_eq!(outcome.validator_updates, [update(20, 3_000)]);
    assert_eq!(
        before - world.balance(alice().address(), OPG),
        3_000 + outcome.txs[0].burned.0
    );
    let outcome = stake(&mut world, &alice(), 20, 1);
    assert_eq!(outcome.validator_updates, [update(20, 3_001)]);
    assert_eq!(world.supply(OPG).stakes, Amount(VALIDATOR_STAKE + 3_001));
    assert_eq!(
        world.block(&[]).validator_updates,
        [],
        "what did not change is not told again"
    );
}

#[test]
fn rejects_each_wrong_field_of_a_stake() {
    let mut world = World::new();
    assert_eq!(
        {
            let message = world.stake_message(&alice(), 20, 0);
            world.refused(&alice(), message)
        },
        Refusal::ZeroAmount
    );
    let message = world.stake_message(&alice(), 20, 999);
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::StakeTooSmall {
            found: Amount(999),
            expected: Amount(1_000)
        }
    ));
    let message = world.stake_message(&alice(), 20, u128::MAX);
    assert!(matches!(
        world.refused(&alice(), message),
        Refusal::InsufficientBalance { .. }
    ));
    // A possession made for bob, for another network, by another key, or of another key.
    let for_bob = world.stake_message(&bob(), 20, 3_000);
    assert!(matches!(
        world.refused(&alice(), for_bob),
        Refusal::Possession { .. }
    ));
    let elsewhere = World::on_genesis(world.params(), haca_wire::GenesisHash([7; 32]));
    let elsewhere = elsewhere.stake_message(&alice(), 20, 3_000);
    assert!(matches!(
        world.refused(&alice(), elsewhere),
        Refusal::Possession { .. }
    ));
    let Message::Stake {
        possession, amount, ..
    } = world.stake_message(&alice(), 20, 3_000)
    else {
        panic!("a stake");
    };
    for key in [consensus_id(21), haca_wire::ConsensusKey([0xff; 32])] {
        let message = Message::Stake {
            key,
            possession,
            amount,
        };
        assert!(matches!(
            world.refused(&alice(), message),
            Refusal::Possession { .. }
        ));
    }
    // The key of genesis is somebody else's, whoever holds its secret.
    let taken = world.stake_message(&alice(), FIRST, 3_000);
    assert!(matches!(
        world.refused(&alice(), taken),
        Refusal::NotTheValidator { .. }
    ));
    assert_eq!(
        consensus_key(FIRST).verification_key().to_bytes(),
        consensus_id(FIRST).0
    );
}

#[test]
fn withdrawn_stake_is_paid_when_no_evidence_can_reach_it() {
    let mut world = World::new();
    stake(&mut world, &alice(), 20, 3_000);
    let height = world.height().0 + 1;
    world.ok(&alice(), unstake(20, 2_000));
    assert_eq!(world.supply(OPG).unbonding, Amount(2_000));
    assert_eq!(powers(&world), sorted(vec![(FIRST, 8_000), (20, 1_000)]));
    let before = world.balance(alice().address(), OPG);
    let last = height + world.params().validators.evidence_blocks + 2;
    while world.height().0 < last {
        assert_eq!(world.block(&[]).swept, []);
    }
    let paid = Effect::Unstaked {
        key: consensus_id(20),
        amount: Amount(2_000),
    };
    assert_eq!(world.block(&[]).swept, [paid]);
    assert_eq!(world.balance(alice().address(), OPG), before + 2_000);
    assert!(record(&world, 20).unstaking.is_empty());
}

#[test]
fn rejects_each_wrong_field_of_an_unstake() {
    let mut world = World::new();
    stake(&mut world, &alice(), 20, 3_000);
    assert_eq!(world.refused(&alice(), unstake(20, 0)), Refusal::ZeroAmount);
    assert!(matches!(
        world.refused(&bob(), unstake(20, 1)),
        Refusal::NotTheValidator { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), unstake(99, 1)),
        Refusal::UnknownValidator { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), unstake(20, 3_001)),
        Refusal::InsufficientStake { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), unstake(20, 2_001)),
        Refusal::StakeTooSmall { .. }
    ));
    for _ in 0..15 {
        world.ok(&alice(), unstake(20, 1));
    }
    assert_eq!(
        world.refused(&alice(), unstake(20, 1)),
        Refusal::TooManyUnstakings { expected: 15 }
    );
    world.ok(&alice(), unstake(20, 2_985));
    let again = world.stake_message(&alice(), 20, 3_000);
    assert_eq!(
        world.refused(&alice(), again),
        Refusal::TooManyUnstakings { expected: 15 },
        "who comes back must be able to leave"
    );
}

#[test]
fn the_last_validator_stays() {
    let mut world = World::new();
    stake(&mut world, &alice(), 20, 3_000);
    let owner = key(8);
    let fund = Message::Transfer {
        to: owner.address(),
        asset: OPG,
        amount: Amount(1_000_000),
    };
    world.ok(&alice(), fund);
    world.ok(&owner, unstake(FIRST, VALIDATOR_STAKE));
    assert_eq!(powers(&world), sorted(vec![(20, 3_000)]));
    assert_eq!(
        world.refused(&alice(), unstake(20, 3_000)),
        Refusal::LastValidator
    );
    // Evidence against the last one burns its stake; consensus keeps it until somebody else is there.
    let outcome = convict(&mut world, 20, MisbehaviourKind::LightClientAttack);
    assert_eq!(outcome.burned, Amount(3_000));
    assert_eq!(outcome.validator_updates, []);
    assert_eq!(powers(&world), sorted(vec![(20, 3_000)]));
    let outcome = stake(&mut world, &bob(), 21, 5_000);
    let mut expected = [update(20, 0), update(21, 5_000)];
    expected.sort_by_key(|update| update.key);
    assert_eq!(outcome.validator_updates, expected);
}

#[test]
fn the_largest_stakes_decide() {
    let mut world = World::new();
    let owners = [alice(), bob(), sponsor(), other_node(), alice(), bob()];
    for (index, owner) in (0u8..).zip(&owners) {
        stake(&mut world, owner, 20 + index, 2_000 + u128::from(index));
    }
    let five = vec![(FIRST, 8_000), (22, 2_002), (23, 2_003), (24, 2_004), (25, 2_005)];
    assert_eq!(powers(&world), sorted(five));
    let outcome = stake(&mut world, &alice(), 20, 500);
    let mut expected = [update(20, 2_500), update(22, 0)];
    expected.sort_by_key(|update| update.key);
    assert_eq!(outcome.validator_updates, expected);
}

#[test]
fn who_misses_too_many_votes_is_jailed_and_comes_back() {
    let mut world = four();
    next_window(&mut world);
    let allowed = world.params().validators.max_missed;
    assert_eq!(miss(&mut world, &[20], allowed), []);
    let until = Height(world.height().0 + 1 + world.params().validators.jail_blocks);
    let jailed = Effect::ValidatorJailed {
        key: consensus_id(20),
        until,
    };
    assert_eq!(miss(&mut world, &[20], 1), [jailed]);
    assert_eq!(powers(&world).len(), 3);
    assert_eq!(
        record(&world, 20).stake,
        Amount(VALIDATOR_STAKE),
        "absence costs no stake"
    );
    assert_eq!(
        miss(&mut world, &[20], 2),
        [],
        "who is jailed is not jailed again"
    );
    assert!(matches!(
        world.refused(&bob(), unjail(20)),
        Refusal::NotTheValidator { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), unjail(20)),
        Refusal::JailedUntil { .. }
    ));
    assert!(matches!(
        world.refused(&bob(), unjail(21)),
        Refusal::NotJailed { .. }
    ));
    assert!(matches!(
        world.refused(&bob(), unjail(99)),
        Refusal::UnknownValidator { .. }
    ));
    while world.height().0 + 1 < until.0 {
        world.block(&[]);
    }
    assert_eq!(
        world.ok(&alice(), unjail(20)),
        [Effect::ValidatorFreed {
            key: consensus_id(20)
        }]
    );
    assert_eq!(powers(&world).len(), 4);
    assert_eq!(record(&world, 20).jail, Jail::Free);
}

#[test]
fn missed_votes_of_two_windows_do_not_add_up() {
    let mut world = four();
    next_window(&mut world);
    let window = world.params().validators.signed_window;
    world.wait(window - 3);
    assert_eq!(miss(&mut world, &[20], 6), []);
    assert_eq!(record(&world, 20).missed, 3);
}

/// Three of four leave the votes of the fourth, and then of the third, out of every commit.
#[test]
fn a_censoring_majority_jails_a_third_of_the_power_at_most() {
    let mut world = four();
    next_window(&mut world);
    let effects = miss(&mut world, &[20, 21, 22], 8);
    assert_eq!(effects.len(), 1, "one of four in a window");
    for _ in 0..4 {
        next_window(&mut world);
        miss(&mut world, &[20, 21, 22], 8);
    }
    assert!(powers(&world).len() >= 2, "{:?}", powers(&world));
    // Alone, nobody is jailed.
    let mut alone = World::new();
    assert_eq!(miss(&mut alone, &[FIRST], 30), []);
    assert_eq!(powers(&alone).len(), 1);
}

#[test]
fn evidence_slashes_stake_and_what_is_on_its_way_out_once() {
    let mut world = four();
    world.ok(&alice(), unstake(20, 2_001));
    let outcome = convict(&mut world, 20, MisbehaviourKind::DuplicateVote);
    // A quarter of 5,999 and of 2,001, each rounded up.
    assert_eq!(outcome.burned, Amount(1_500 + 501));
    assert_eq!(outcome.validator_updates, [update(20, 0)]);
    let convicted = record(&world, 20);
    assert_eq!(
        (convicted.stake, convicted.slashed),
        (Amount(4_499), Amount(2_001))
    );
    assert_eq!(convicted.jail, Jail::Forever);
    assert_eq!(world.supply(OPG).unbonding, Amount(1_500));
    let again = convict(&mut world, 20, MisbehaviourKind::DuplicateVote);
    assert_eq!(again.burned, Amount(0), "punished once");
    let more = world.stake_message(&alice(), 20, 3_000);
    assert!(matches!(
        world.refused(&alice(), more),
        Refusal::ValidatorConvicted { .. }
    ));
    assert!(matches!(
        world.refused(&alice(), unjail(20)),
        Refusal::ValidatorConvicted { .. }
    ));
    // What is left may go.
    world.ok(&alice(), unstake(20, 4_499));
    world.wait(30);
    assert_eq!(world.supply(OPG).unbonding, Amount(0));
    assert_eq!(world.supply(OPG).stakes, Amount(3 * VALIDATOR_STAKE));
}

#[test]
fn who_has_left_is_slashed_until_it_is_paid() {
    let mut world = four();
    world.ok(&alice(), unstake(20, VALIDATOR_STAKE));
    assert_eq!(powers(&world).len(), 3);
    let outcome = convict(&mut world, 20, MisbehaviourKind::LightClientAttack);
    assert_eq!(
        outcome.burned,
        Amount(VALIDATOR_STAKE),
        "an attack costs everything"
    );
    world.wait(30);
    assert_eq!(world.supply(OPG).unbonding, Amount(0));
}

#[test]
fn evidence_that_names_a_stranger_punishes_nobody() {
    let mut world = four();
    let height = world.height().0;
    let stranger = evidence(&world, 77, MisbehaviourKind::DuplicateVote, height);
    world.misbehaviour = vec![stranger];
    assert_eq!(world.block(&[]).burned, Amount(0));
}

#[test]
fn rewards_and_tips_go_to_the_validators_account_and_never_to_a_convict() {
    let mut world = four();
    world.proposer = consensus_id(20).address().0;
    let pool = world.supply(OPG).pool.0;
    let before = world.balance(alice().address(), OPG);
    let reward = world.block(&[]).reward.0;
    assert_eq!(reward, pool / 1_000);
    assert_eq!(world.balance(alice().address(), OPG), before + reward);
    let left = world.supply(OPG).pool.0;
    assert_eq!(
        world.block(&[]).reward.0,
        left / 1_000,
        "rewards decay with the pool"
    );
    let outcome = convict(&mut world, 20, MisbehaviourKind::DuplicateVote);
    assert_eq!(
        outcome.reward,
        Amount(0),
        "not even in the block that convicts it"
    );
}

#[test]
fn a_full_list_makes_room_for_more_stake_only() {
    let mut world = World::new();
    let tags: Vec<u8> = (0..=255).filter(|tag| *tag != FIRST).collect();
    for tags in tags.chunks(20) {
        let txs: Vec<_> = tags
            .iter()
            .map(|tag| {
                let message = world.stake_message(&alice(), *tag, 1_000 + u128::from(*tag));
                world.tx(&alice(), message)
            })
            .collect();
        assert!(world.block(&txs).txs.iter().all(|tx| tx.refusal.is_none()));
    }
    let members = query::validators(&world.state).unwrap().members;
    assert_eq!((members.len(), members.is_sorted()), (256, true));
    assert_eq!(powers(&world).len(), 5, "and still five decide");
    let newcomer = ed25519_consensus::SigningKey::from(std::array::from_fn(|i| i as u8));
    let stake = |world: &World, amount| {
        let signed = haca_wire::tx::possession_message(&world.domain, bob().address());
        Message::Stake {
            key: haca_wire::ConsensusKey(newcomer.verification_key().to_bytes()),
            possession: newcomer.sign(&signed).to_bytes(),
            amount: Amount(amount),
        }
    };
    let message = stake(&world, 1_000);
    let full = Refusal::ValidatorsFull {
        found: Amount(1_000),
        expected: Amount(1_000),
    };
    assert_eq!(world.refused(&bob(), message), full);
    let message = stake(&world, 1_001);
    world.ok(&bob(), message);
    let evicted = record(&world, 0);
    assert_eq!((evicted.stake, evicted.unstaking.len()), (Amount(0), 1));
    assert_eq!(query::validators(&world.state).unwrap().members.len(), 256);
}
