//! Everything that the verifier evaluates in closed form equals its definition.

use haca_zk::Layouts;
use haca_zk::block::{log2_ceil, place};
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, Extension, base, extension, from_coefficients};
use haca_zk::multilinear::{below, corner, eq_index, eq_table, evaluate, identity};
use haca_zk::table::{
    LookupChallenges, larger_table, mapping_selector, mapping_table, result_of, side_of, side_table,
};
use haca_zk::weight::WeightLayout;
use haca_zk::witness::{LARGER_BITS, WitnessLayout, WitnessParameters};
use p3_field::PrimeCharacteristicRing;
use proptest::prelude::*;

use crate::parameters::{manifest, parameters, schedules_by_size};

/// A point with pseudo-random coordinates.
pub(crate) fn point(variables: usize, seed: u64) -> Vec<Extension> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 1
    };
    (0..variables)
        .map(|_| from_coefficients([next(), next(), next()]).unwrap())
        .collect()
}

fn sum(variables: usize, at: &[Extension], f: impl Fn(usize) -> Extension) -> Extension {
    (0..1usize << variables)
        .map(|index| eq_index(at, index) * f(index))
        .sum()
}

#[test]
fn equality_tables_list_the_weights_of_corners() {
    for variables in 0..6 {
        let at = point(variables, 3);
        let table = eq_table(&at);
        assert_eq!(table.len(), 1 << variables);
        for (index, weight) in table.iter().enumerate() {
            assert_eq!(*weight, eq_index(&at, index));
            assert_eq!(eq_index(&corner(index, variables), index), Extension::ONE);
        }
        assert_eq!(table.into_iter().sum::<Extension>(), Extension::ONE);
    }
}

#[test]
fn indicators_and_lines() {
    for variables in 0..6 {
        let at = point(variables, 5);
        let index = |index: usize| extension(index as i64);
        assert_eq!(identity(&at), sum(variables, &at, index));
        for bound in 0..=(1 << variables) + 2 {
            let cut = |f: Extension, i: usize| if i < bound { f } else { Extension::ZERO };
            let (indicator, linear) = below(&at, bound);
            assert_eq!(
                indicator,
                sum(variables, &at, |i| cut(Extension::ONE, i)),
                "{variables} {bound}"
            );
            assert_eq!(
                linear,
                sum(variables, &at, |i| cut(index(i), i)),
                "{variables} {bound}"
            );
        }
    }
}

#[test]
fn lists_are_zero_beyond_their_end() {
    let values: Vec<Base> = (0..5).map(|v| base(v * v - 3)).collect();
    let at = point(3, 7);
    let value = |i: usize| values.get(i).map_or(Extension::ZERO, |v| Extension::from(*v));
    assert_eq!(evaluate(&values, &at), sum(3, &at, value));
}

proptest! {
    #[test]
    fn placed_blocks_are_aligned_and_disjoint(sizes in prop::collection::vec(0usize..6, 1..9)) {
        let (blocks, variables) = place(&sizes);
        let mut used = vec![false; 1 << variables];
        for (block, size) in blocks.iter().zip(&sizes) {
            prop_assert_eq!(block.variables, *size);
            prop_assert_eq!(block.offset % (1 << size), 0);
            for cell in block.range() {
                prop_assert!(!std::mem::replace(&mut used[cell], true));
            }
        }
        prop_assert!(used.iter().filter(|cell| **cell).count() > (1 << variables) / 2 || variables == 0);
        // The weight of a block is the sum of the weights of its cells.
        let at = point(variables, 9);
        for block in &blocks {
            let cells: Extension = block.range().map(|cell| eq_index(&at, cell)).sum();
            prop_assert_eq!(block.weight(&at), cells);
            let lifted = block.lift(variables, block.inner(&at));
            prop_assert_eq!(block.weight(&lifted), Extension::ONE);
        }
    }
}

fn layout(clamps: &[(i8, i8)]) -> (Circuit, WitnessLayout) {
    let manifest = manifest(clamps);
    let parameters = parameters(&manifest);
    let layouts = Layouts::new(&manifest, &parameters).unwrap();
    (layouts.circuit, layouts.witnesses[0].clone().unwrap())
}

/// The same with quotients that are not split.
fn whole(clamps: &[(i8, i8)]) -> (Circuit, WitnessLayout) {
    let manifest = manifest(clamps);
    let circuit = Circuit::new(&manifest.graph).unwrap();
    let parameters = parameters(&manifest);
    let weights = WeightLayout::new(&circuit, parameters.pieces, &parameters.weights).unwrap();
    let witness = parameters.batches[0].witness.clone().unwrap();
    let mut schedules = schedules_by_size();
    let layout = schedules.find_map(|schedule| {
        let candidate = |window_bits| WitnessParameters {
            window_bits,
            high_bits: 0,
            schedule: schedule.clone(),
            ..witness.clone()
        };
        (8..=16).find_map(|bits| WitnessLayout::new(&circuit, &weights, 0, &candidate(bits)).ok())
    });
    (circuit, layout.unwrap())
}

#[test]
fn tables_of_whole_quotients_equal_their_rows() {
    for clamps in [&[(0, 127)][..], &[(-128, 127), (0, 127)], &[(-5, 5), (3, 9)]] {
        let (circuit, layout) = whole(clamps);
        let challenge = point(2, 29);
        let challenges = LookupChallenges::new(challenge[0], challenge[1]);
        let at = point(layout.mapping_variables, 31);
        let bits = layout.parameters.window_bits;
        let row = |index: usize| {
            let (low, mapping) = (index & ((1 << bits) - 1), (index >> bits).min(clamps.len() - 1));
            let result = circuit.mappings[mapping].result(layout.window_start + low as i64);
            let [low, mapping] = [low, mapping].map(|v| extension(v as i64));
            challenges.mapping(low, Extension::ZERO, extension(result), mapping)
        };
        let expected = sum(layout.mapping_variables, &at, row);
        assert_eq!(
            mapping_table(&circuit, &layout, &challenges, &at),
            expected,
            "{clamps:?}"
        );
        // Every quotient has a row of its own.
        for requantise in &circuit.requantises {
            for quotient in [requantise.quotient.0, 0, requantise.quotient.1] {
                let low = quotient + layout.quotient_offset();
                assert!((0..1 << bits).contains(&low));
                assert_eq!(layout.window_start + low, quotient);
            }
        }
        assert_eq!(layout.columns().len(), 1 + usize::from(layout.parameters.limbs));
    }
}

#[test]
fn tables_equal_their_rows() {
    let all: [&[(i8, i8)]; 4] = [
        &[(0, 127)],
        &[(-128, 127)],
        &[(0, 127), (-128, 127), (-5, 5)],
        &[(3, 9), (-7, -7), (0, 0)],
    ];
    for clamps in all {
        let (circuit, layout) = layout(clamps);
        let challenge = point(2, 11);
        let challenges = LookupChallenges::new(challenge[0], challenge[1]);
        let high = usize::from(layout.parameters.high_bits);
        let at = point(high, 13);
        let row =
            |h: usize| challenges.side(extension(h as i64), extension(side_of(h, layout.window) as i64));
        assert_eq!(side_table(&layout, &challenges, &at), sum(high, &at, row));
        let at = point(layout.mapping_variables, 17);
        let bits = layout.parameters.window_bits;
        let row = |index: usize| {
            let (low, side) = (index & ((1 << bits) - 1), (index >> bits) & 3);
            let mapping = (index >> (bits + 2)).min(circuit.mappings.len() - 1);
            let result = result_of(low, side, layout.window_start, &circuit.mappings[mapping]);
            challenges.mapping(
                extension(low as i64),
                extension(side as i64),
                extension(result),
                extension(mapping as i64),
            )
        };
        assert_eq!(
            mapping_table(&circuit, &layout, &challenges, &at),
            sum(layout.mapping_variables, &at, row),
            "{clamps:?}"
        );
    }
    let challenge = point(2, 11);
    let challenges = LookupChallenges::new(challenge[0], challenge[1]);
    let at = point(LARGER_BITS, 23);
    let row = |index: usize| {
        let difference = index as i64 - 256;
        challenges.larger(extension(difference), extension(difference.max(0)))
    };
    assert_eq!(larger_table(&challenges, &at), sum(LARGER_BITS, &at, row));
}

#[test]
fn each_quotient_splits_in_one_way_and_clamps_to_its_result() {
    for clamps in [&[(0, 127)][..], &[(-128, 127), (0, 127)], &[(-3, 11)]] {
        let (circuit, layout) = layout(clamps);
        let bits = layout.parameters.window_bits;
        let (low, high) = circuit.requantises[0].quotient;
        let edges = [low, high, 0, -1, 1, -128, 127, 128, -129, 255, 256];
        for (quotient, (index, clamp)) in edges
            .into_iter()
            .flat_map(|q| clamps.iter().enumerate().map(move |clamp| (q, clamp)))
        {
            if quotient < low || quotient > high {
                continue;
            }
            let shifted = usize::try_from(quotient + layout.quotient_offset()).unwrap();
            let (h, l) = (shifted >> bits, shifted & ((1 << bits) - 1));
            assert!(h < 1 << layout.parameters.high_bits);
            let side = side_of(h, layout.window);
            let result = result_of(l, side, layout.window_start, &circuit.mappings[index]);
            assert_eq!(
                result,
                quotient.clamp(i64::from(clamp.0), i64::from(clamp.1)),
                "{quotient} {clamp:?}"
            );
        }
    }
}

#[test]
fn the_mapping_selector_names_the_mapping_of_each_block() {
    let (circuit, layout) = layout(&[(0, 127), (-128, 127), (-5, 5)]);
    let at = point(layout.variables, 19);
    let mapping = |cell: usize| {
        let mut blocks = layout.cells.blocks.iter();
        let block = blocks.position(|block| (block.offset..block.offset + block.cells()).contains(&cell));
        extension(block.map_or(0, |block| circuit.requantises[block].mapping as i64))
    };
    let weights: Vec<_> = layout
        .cells
        .blocks
        .iter()
        .map(|block| block.weights(&at))
        .collect();
    assert_eq!(
        mapping_selector(&circuit, &weights),
        sum(layout.variables, &at, mapping)
    );
    assert_eq!(layout.variables, log2_ceil(layout.cells.cells).max(4));
}
