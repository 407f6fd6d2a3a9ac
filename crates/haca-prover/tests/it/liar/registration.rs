//! Registrations of weights that leave their ranges.

use haca_prover::ProvingKey;
use haca_prover::adversary::{RegistrationWitness, Trees, Witness};
use haca_zk::field::{Base, Extension, base};
use haca_zk::{ProofRejection, VerifyingKey, verify_registration};
use p3_field::{Field, PrimeCharacteristicRing, PrimeField64};

use crate::liar::lookup::balance;
use crate::liar::{BALANCE, LAYER, Liar, WEIGHT_OPENING, build, liar};
use crate::model::{Build, mlp};

const WEIGHT_RANGE: ProofRejection = ProofRejection::Lookup { what: "weight range" };
const RANGE_TABLE: ProofRejection = ProofRejection::Lookup { what: "range table" };
const BIAS_RANGE: ProofRejection = ProofRejection::Lookup { what: "bias range" };
const LIMB_OPENING: ProofRejection = ProofRejection::Opening {
    commitment: "registration",
};

/// Weights lie in -20..=100, biases in -5000..=6000.
fn narrow() -> Build {
    Build {
        weights: (-20, 100),
        ..build()
    }
}

fn outcome(liar: Liar<'_>) -> Result<(), ProofRejection> {
    outcome_of(&narrow(), liar)
}

fn outcome_of(build: &Build, mut liar: Liar<'_>) -> Result<(), ProofRejection> {
    let registration = ProvingKey::register_tampered(mlp(build), &mut liar).unwrap();
    verify_registration(&registration.verifying_key, &registration.proof)
}

fn refuses(liar: Liar<'_>, check: ProofRejection) {
    assert_eq!(outcome(liar), Err(check));
}

fn key() -> VerifyingKey {
    let registration = ProvingKey::register(mlp(&narrow())).unwrap();
    registration.verifying_key
}

/// Puts a value into a cell of a table of the commitment: three matrices, then the biases.
fn put<'a>(table: usize, cell: usize, value: i64) -> Liar<'a> {
    liar!(weights: move |tables: &mut [Vec<Base>]| tables[table][cell] = base(value))
}

/// Counts the range lookups of an altered witness again.
fn recount(key: &VerifyingKey, witness: &mut RegistrationWitness) {
    let mut counts = vec![0u64; witness.multiplicity.len()];
    for cell in witness.distances.iter().chain(&witness.limbs).flatten() {
        if let Some(count) = counts.get_mut(cell.as_canonical_u64() as usize) {
            *count += 1;
        }
    }
    let layout = key.registration();
    let looked_up: u64 = layout.lookups.iter().map(|block| 1u64 << block.variables).sum();
    counts[0] += (1u64 << layout.lookup_variables) - looked_up;
    witness.multiplicity = counts.into_iter().map(Base::from_u64).collect();
}

#[test]
fn who_alters_nothing_registers() {
    outcome(Liar::default()).unwrap();
    for (table, value) in [(0, 100), (0, -20), (3, 6000), (3, -5000)] {
        outcome(put(table, 0, value)).unwrap();
    }
    let key = key();
    let lie = |witness: &mut RegistrationWitness| {
        let before = witness.multiplicity.clone();
        recount(&key, witness);
        assert_eq!(before, witness.multiplicity);
    };
    outcome(liar!(registration: lie)).unwrap();
}

#[test]
fn weights_beyond_their_range() {
    for value in [101, -21, 127, -128, 200, 300, 1 << 40, -(1 << 40)] {
        for table in 0..3 {
            refuses(put(table, 0, value), BALANCE);
        }
    }
}

#[test]
fn weights_in_padding() {
    // The first matrix is 9 x 12 in a table of 16 x 16: padding column, padding row, last cell.
    for cell in [12, 9 * 16, 255] {
        for value in [1, -1, 3, 1 << 40] {
            refuses(put(0, cell, value), BALANCE);
        }
    }
    // A matrix of 2 x 3 fills 8 cells, fewer than the first fold; the rest of its table is padding, too.
    let small = Build {
        weights: (-20, 100),
        ..Build::new(21, &[3, 2, 2])
    };
    outcome_of(&small, Liar::default()).unwrap();
    for cell in [3, 8, 15] {
        assert_eq!(outcome_of(&small, put(0, cell, 1)), Err(BALANCE));
    }
}

#[test]
fn biases_beyond_their_range() {
    for value in [6001, -5001, 1 << 39, 1 << 50, -(1 << 50)] {
        refuses(put(3, 0, value), BIAS_RANGE);
    }
}

#[test]
fn biases_in_padding() {
    // Vectors of 9, 5 and 3 in blocks of 16, 8 and 4.
    let blocks = key().weights().biases.clone();
    let end = blocks.iter().map(|(_, block)| block.range().end).max().unwrap();
    let padding = blocks.iter().map(|(param, block)| block.offset + param.columns);
    for cell in padding.chain([end]) {
        for value in [1, -1] {
            refuses(put(3, cell, value), BIAS_RANGE);
        }
    }
}

#[test]
fn distances_of_other_weights() {
    let key = key();
    for value in [101, -21] {
        let mut liar = put(0, 0, value);
        liar.registration = Some(Box::new(|witness: &mut RegistrationWitness| {
            let (low, high) = (base(-20), base(100));
            witness.distances[0][0] = -low;
            witness.distances[1][0] = high;
            recount(&key, witness);
        }));
        refuses(liar, WEIGHT_RANGE);
    }
}

#[test]
fn limbs_of_other_distances() {
    let key = key();
    for column in 0..10 {
        let lie = |witness: &mut RegistrationWitness| {
            let limb = &mut witness.limbs[column][2];
            *limb = if *limb == Base::ZERO {
                Base::ONE
            } else {
                *limb - Base::ONE
            };
            recount(&key, witness);
        };
        refuses(liar!(registration: lie), BIAS_RANGE);
    }
}

#[test]
fn limbs_beyond_their_range() {
    // The distance to the low end of a bias that is too small is negative, and the first limb takes it all.
    let key = key();
    for (value, side) in [(-5001, 0), (6001, 5)] {
        let mut liar = put(3, 0, value);
        liar.registration = Some(Box::new(|witness: &mut RegistrationWitness| {
            let minus_one = [-1, 0, 0, 0, 0];
            for (limb, value) in minus_one.into_iter().enumerate() {
                witness.limbs[side + limb][0] = base(value);
            }
            recount(&key, witness);
        }));
        refuses(liar, BALANCE);
    }
    for column in [0, 1, 2, 3, 5, 6, 7, 8] {
        let lie = |witness: &mut RegistrationWitness| {
            Witness::nudge(&mut witness.limbs[column], 1, 256);
            Witness::nudge(&mut witness.limbs[column + 1], 1, -1);
            recount(&key, witness);
        };
        refuses(liar!(registration: lie), BALANCE);
    }
}

#[test]
fn multiplicity_of_registration_off_by_one() {
    for cell in [0, 3, 255] {
        let lie = |witness: &mut RegistrationWitness| Witness::nudge(&mut witness.multiplicity, cell, 1);
        refuses(liar!(registration: lie), BALANCE);
    }
}

/// A weight of 101 has the distance -1 to the high end, looked up in the first cell of the second block.
fn false_leaf(key: &VerifyingKey) -> usize {
    key.registration().lookups[1].offset
}

#[test]
fn range_table_of_the_registrant() {
    let key = key();
    let mut free = 0;
    let mut liar = put(0, 0, 101);
    liar.registration = Some(Box::new(|witness: &mut RegistrationWitness| {
        free = witness
            .multiplicity
            .iter()
            .position(|m| *m == Base::ZERO)
            .unwrap();
    }));
    outcome(liar).unwrap_err();
    let mut liar = put(0, 0, 101);
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        trees.tables[free] = trees.lookups[false_leaf(&key)];
        trees.table_numerators[free] = -Base::ONE;
    }));
    liar.registration = Some(Box::new(|witness: &mut RegistrationWitness| {
        witness.multiplicity[free] = Base::ONE;
    }));
    refuses(liar, RANGE_TABLE);
}

#[test]
fn registration_numerators_that_are_not_the_multiplicities() {
    let mut liar = liar!(registration: |witness: &mut RegistrationWitness| {
        Witness::nudge(&mut witness.multiplicity, 1, 1);
    });
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        trees.table_numerators[1] += Base::ONE
    }));
    refuses(liar, RANGE_TABLE);
}

#[test]
fn weights_whose_lookups_count_nothing() {
    let key = key();
    let mut liar = put(0, 0, 101);
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        let mut numerators = vec![Base::ONE; trees.lookups.len()];
        numerators[false_leaf(&key)] = Base::ZERO;
        trees.lookup_numerators = Some(numerators);
    }));
    refuses(liar, WEIGHT_RANGE);
}

#[test]
fn padding_of_the_registration_tree_that_makes_up_for_a_false_lookup() {
    let key = key();
    let layout = key.registration();
    let padding = layout
        .lookups
        .iter()
        .map(|block| block.range().end)
        .max()
        .unwrap();
    assert!(padding < 1 << layout.lookup_variables);
    let mut liar = put(0, 0, 101);
    liar.trees = Some(Box::new(|alpha, trees: &mut Trees| {
        let missing = trees.lookups[false_leaf(&key)].inverse();
        trees.lookups[padding] = (alpha.inverse() - missing).inverse();
    }));
    refuses(liar, WEIGHT_RANGE);
}

#[test]
fn root_of_a_registration_tree_that_balances() {
    for numerator in [false, true] {
        let mut liar = put(0, 0, 101);
        liar.sends = Some(Box::new(balance(numerator)));
        refuses(liar, LAYER);
    }
}

#[test]
fn registration_fractions_without_denominator() {
    let mut liar = put(0, 0, 101);
    liar.trees = Some(Box::new(|_, trees: &mut Trees| {
        trees.table_numerators[3] = Base::ZERO;
        trees.tables[3] = Extension::ZERO;
    }));
    refuses(liar, ProofRejection::Lookup { what: "denominator" });
}

#[test]
fn limbs_and_multiplicity_that_are_not_the_committed_ones() {
    for column in 0..11 {
        let lie = |witness: &mut RegistrationWitness| {
            let cells = witness.limbs.get_mut(column).unwrap_or(&mut witness.multiplicity);
            Witness::nudge(cells, 2, 1);
        };
        refuses(liar!(registration_committed: lie), LIMB_OPENING);
    }
}

#[test]
fn registered_cells_that_are_not_the_committed_ones() {
    // A weight and a bias out of range are committed; the proof is about others, in range.
    let key = key();
    for (table, value) in [(0, 101), (1, 101), (2, 101), (3, 6001)] {
        let mut liar = put(table, 0, value);
        liar.registration = Some(Box::new(|witness: &mut RegistrationWitness| {
            witness.tables[table][0] = Base::ZERO;
            if table < 3 {
                witness.distances[2 * table][0] = base(20);
                witness.distances[2 * table + 1][0] = base(100);
            }
            for (side, distance) in [5000i64, 6000].into_iter().enumerate().filter(|_| table == 3) {
                for limb in 0..5 {
                    witness.limbs[5 * side + limb][0] = base((distance >> (8 * limb)) & 255);
                }
            }
            recount(&key, witness);
        }));
        refuses(liar, WEIGHT_OPENING);
    }
}

#[test]
fn registered_answers_that_are_not_those_of_the_commitment() {
    for answer in 0..4 {
        let lie = |answers: &mut [Extension]| answers[answer] += Extension::ONE;
        refuses(liar!(answers: lie), WEIGHT_OPENING);
    }
}
