//! Multilinear extensions that a verifier evaluates in closed form. Points are most significant bit first.

use p3_field::PrimeCharacteristicRing;

use crate::field::{Base, Extension, base};

/// `eq(point, x)` for each `x` of the hypercube, in index order.
pub fn eq_table(point: &[Extension]) -> Vec<Extension> {
    let mut table = vec![Extension::ONE];
    for coordinate in point {
        let mut next = Vec::with_capacity(table.len() * 2);
        for value in table {
            let high = value * *coordinate;
            next.push(value - high);
            next.push(high);
        }
        table = next;
    }
    table
}

/// `eq(point, x)` for the `len` corners from `start` on, in index order.
pub fn eq_range(point: &[Extension], start: usize, len: usize) -> Vec<Extension> {
    let Some(last) = start
        .checked_add(len)
        .and_then(|end| end.checked_sub(1))
        .filter(|_| len > 0)
    else {
        return Vec::new();
    };
    let mut table = vec![Extension::ONE];
    let (mut first, mut rest) = (0usize, point.len() as u32);
    for coordinate in point {
        rest -= 1;
        // Of the prefixes of this length, those with a corner in the range.
        let (from, to) = (
            start.checked_shr(rest).unwrap_or(0),
            last.checked_shr(rest).unwrap_or(0),
        );
        let mut next = Vec::with_capacity(table.len() * 2);
        for (index, value) in (first..).zip(table) {
            let high = value * *coordinate;
            let range = from..=to;
            if range.contains(&(2 * index)) {
                next.push(value - high);
            }
            if range.contains(&(2 * index + 1)) {
                next.push(high);
            }
        }
        (table, first) = (next, from);
    }
    table
}

/// `eq(a, b)` of two points of equally many coordinates.
pub fn eq_points(a: &[Extension], b: &[Extension]) -> Extension {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(a, b)| {
            let both = *a * *b;
            both.double() + Extension::ONE - *a - *b
        })
        .product()
}

/// The sum of products of two lists.
pub fn dot(a: &[Extension], b: &[Extension]) -> Extension {
    a.iter().zip(b).map(|(a, b)| *a * *b).sum()
}

/// `eq(point, index)`: the weight of one corner.
pub fn eq_index(point: &[Extension], index: usize) -> Extension {
    let mut weight = Extension::ONE;
    for (position, coordinate) in point.iter().rev().enumerate() {
        let bit = index.checked_shr(position as u32).unwrap_or(0) & 1;
        weight *= if bit == 1 {
            *coordinate
        } else {
            Extension::ONE - *coordinate
        };
    }
    weight
}

/// The corner `index` of a hypercube of `variables` dimensions, as a point.
pub fn corner(index: usize, variables: usize) -> Vec<Extension> {
    (0..variables)
        .rev()
        .map(|position| {
            let bit = index.checked_shr(position as u32).unwrap_or(0) & 1;
            if bit == 1 { Extension::ONE } else { Extension::ZERO }
        })
        .collect()
}

/// The extension of `x -> x`.
pub fn identity(point: &[Extension]) -> Extension {
    let mut value = Extension::ZERO;
    for coordinate in point {
        value = value.double() + *coordinate;
    }
    value
}

/// The extensions of `[x < bound]` and of `x * [x < bound]`.
///
/// The cells below `bound` split into one aligned block per set bit of `bound`; each block contributes the weight
/// of its prefix, times one or times the mean of the index over the block.
pub fn below(point: &[Extension], bound: usize) -> (Extension, Extension) {
    if point.len() < usize::BITS as usize && bound >= 1 << point.len() {
        return (Extension::ONE, identity(point));
    }
    // suffixes[i] extends x -> x over the last i coordinates.
    let mut suffixes = vec![Extension::ZERO];
    let mut place = Base::ONE;
    let mut sum = Extension::ZERO;
    for coordinate in point.iter().rev() {
        sum += *coordinate * place;
        place = place.double();
        suffixes.push(sum);
    }
    let (mut indicator, mut linear) = (Extension::ZERO, Extension::ZERO);
    let (mut prefix, mut start) = (Extension::ONE, 0usize);
    let mut rest = point.len();
    for coordinate in point {
        rest -= 1;
        let bit = bound.checked_shr(rest as u32).unwrap_or(0) & 1;
        if bit == 1 {
            let weight = prefix * (Extension::ONE - *coordinate);
            let suffix = suffixes.get(rest).copied().unwrap_or(Extension::ZERO);
            indicator += weight;
            linear += weight * (suffix + base(start as i64));
            prefix *= *coordinate;
            start += 1 << rest;
        } else {
            prefix *= Extension::ONE - *coordinate;
        }
    }
    (indicator, linear)
}

/// The extension of a list of values, zero beyond its end.
pub fn evaluate(values: &[Base], point: &[Extension]) -> Extension {
    values
        .iter()
        .zip(eq_table(point))
        .map(|(value, weight)| weight * *value)
        .sum()
}
