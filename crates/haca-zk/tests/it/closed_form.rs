//! Everything that the verifier evaluates in closed form equals its definition.

use haca_zk::Layouts;
use haca_zk::block::{log2_ceil, place};
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, Extension, base, extension, from_coefficients};
use haca_zk::multilinear::{below, corner, eq_index, eq_table, evaluate, identity};
use haca_zk::table::{LookupChallenges, clamp_of, clamp_selector, clamp_table, side_of, side_table};
use haca_zk::witness::WitnessLayout;
use p3_field::PrimeCharacteristicRing;
use proptest::prelude::*;

use crate::parameters::{manifest, parameters};

/// A point with pseudo-random coordinates.
fn point(variables: usize, seed: u64) -> Vec<Extension> {
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

#[test]
fn tables_equal_their_rows() {
    let all: [&[(i8, i8)]; 4] = [
        &[(0, 127)],
        &[(-128, 127)],
        &[(0, 127), (-128, 127), (-5, 5)],
        &[(3, 9), (-7, -7), (0, 0)],
    ];
    for clamps in all {
        let (_, layout) = layout(clamps);
        let challenge = point(2, 11);
        let challenges = LookupChallenges::new(challenge[0], challenge[1]);
        let high = usize::from(layout.parameters.high_bits);
        let at = point(high, 13);
        let row =
            |h: usize| challenges.side(extension(h as i64), extension(side_of(h, layout.window) as i64));
        assert_eq!(side_table(&layout, &challenges, &at), sum(high, &at, row));
        let at = point(layout.clamp_variables, 17);
        let bits = layout.parameters.window_bits;
        let row = |index: usize| {
            let (low, side) = (index & ((1 << bits) - 1), (index >> bits) & 3);
            let clamp = (index >> (bits + 2)).min(layout.clamps.len() - 1);
            let result = clamp_of(low, side, layout.window_start, layout.clamps[clamp]);
            challenges.clamp(
                extension(low as i64),
                extension(side as i64),
                extension(result),
                extension(clamp as i64),
            )
        };
        assert_eq!(
            clamp_table(&layout, &challenges, &at),
            sum(layout.clamp_variables, &at, row),
            "{clamps:?}"
        );
    }
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
            let result = clamp_of(
                l,
                side_of(h, layout.window),
                layout.window_start,
                layout.clamps[index],
            );
            assert_eq!(
                result,
                quotient.clamp(i64::from(clamp.0), i64::from(clamp.1)),
                "{quotient} {clamp:?}"
            );
        }
    }
}

#[test]
fn the_clamp_selector_names_the_clamp_of_each_block() {
    let (_, layout) = layout(&[(0, 127), (-128, 127), (-5, 5)]);
    let at = point(layout.variables, 19);
    let clamp = |cell: usize| {
        let block = layout
            .blocks
            .iter()
            .position(|block| block.range().contains(&cell));
        extension(block.map_or(0, |block| layout.clamp_of[block] as i64))
    };
    assert_eq!(clamp_selector(&layout, &at), sum(layout.variables, &at, clamp));
    assert_eq!(
        layout.variables,
        log2_ceil(layout.blocks.iter().map(|b| b.range().end).max().unwrap()).max(4)
    );
}
