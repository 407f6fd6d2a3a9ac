//! How long censors can stand next to each other in CometBFT's rotation of proposers, by their share of the power.

use haca_node::consensus::ValidatorSet;

/// Keys of as many validators; their addresses, which decide ties, are in no order.
fn set(powers: &[i64]) -> ValidatorSet {
    let members: Vec<([u8; 32], i64)> = powers
        .iter()
        .enumerate()
        .map(|(index, power)| {
            let mut seed = [7; 32];
            seed[0] = u8::try_from(index).unwrap();
            let key = ed25519_consensus::SigningKey::from(seed);
            (key.verification_key().to_bytes(), *power)
        })
        .collect();
    ValidatorSet::genesis(&members).unwrap()
}

/// The most blocks in a row that censors propose, within so many.
fn longest_run(set: &ValidatorSet, blocks: usize, is_censor: impl Fn(&str) -> bool) -> usize {
    let (mut set, mut run, mut longest) = (set.clone(), 0, 0);
    for _ in 0..blocks {
        run = if is_censor(&set.proposer().to_string()) {
            run + 1
        } else {
            0
        };
        longest = longest.max(run);
        set = set.next();
    }
    longest
}

/// The addresses in the order in which they first propose.
fn order(set: &ValidatorSet) -> Vec<String> {
    let (mut set, mut order) = (set.clone(), Vec::new());
    while order.len() < set.validators().len() {
        let proposer = set.proposer().to_string();
        if !order.contains(&proposer) {
            order.push(proposer);
        }
        set = set.next();
    }
    order
}

/// Of equal validators, a quarter can stand together, and no longer: 25 blocks of the largest set.
#[test]
fn a_quarter_of_equal_validators_proposes_at_most_its_own_number_in_a_row() {
    for count in [4, 8, 100] {
        let set = set(&vec![10; count]);
        let together: Vec<String> = order(&set).into_iter().take(count / 4).collect();
        let run = longest_run(&set, 4 * count, |proposer| {
            together.iter().any(|censor| censor == proposer)
        });
        assert_eq!(run, count / 4);
    }
}

/// One validator with a quarter proposes twice in a row at most, and only among many small ones.
#[test]
fn one_validator_with_a_quarter_proposes_at_most_twice_in_a_row() {
    let cases = [
        (vec![75], 1),
        (vec![25, 25, 25], 1),
        (vec![40, 20, 10, 5], 1),
        (vec![1; 75], 2),
    ];
    for (others, expected) in cases {
        let powers: Vec<i64> = [&[25][..], &others].concat();
        let set = set(&powers);
        let whale = set
            .validators()
            .iter()
            .find(|validator| validator.power == 25)
            .unwrap()
            .address
            .to_string();
        let run = longest_run(&set, 1_000, |proposer| proposer == whale);
        assert_eq!(run, expected, "{powers:?}");
    }
}

/// Stakes of all sizes: a quarter, split as its owner likes, has no run longer than the number of its validators and one.
#[test]
fn splitting_a_quarter_gains_no_more_than_one_block_for_each_part() {
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..40 {
        let honest: Vec<i64> = (0..1 + next(20)).map(|_| 1 + next(1_000) as i64).collect();
        let quarter = honest.iter().sum::<i64>() / 3;
        let parts = 1 + next(10) as i64;
        let censors: Vec<i64> = (0..parts).map(|_| (quarter / parts).max(1)).collect();
        let powers = [&honest[..], &censors].concat();
        let members = set(&powers);
        // The members stand in the order of their power; censors are told apart by their keys.
        let keys: Vec<String> = censor_addresses(honest.len(), powers.len());
        let run = longest_run(&members, 2_000, |proposer| keys.iter().any(|key| key == proposer));
        assert!(run <= censors.len() + 1, "{honest:?} {censors:?}: {run}");
    }
}

/// The addresses of the validators from one number to another.
fn censor_addresses(from: usize, to: usize) -> Vec<String> {
    let alone = |index: usize| {
        let mut powers = vec![1; index];
        powers.push(1_000);
        let set = set(&powers);
        let found = set.validators().iter().find(|validator| validator.power == 1_000);
        found.unwrap().address.to_string()
    };
    (from..to).map(alone).collect()
}
