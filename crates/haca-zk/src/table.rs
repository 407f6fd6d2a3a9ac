//! The closed catalogue of lookup tables, each with an extension in closed form.
//!
//! | id | table | rows |
//! |---|---|---|
//! | 0 | range | `(v)` for each `v` below `2^limb_bits` |
//! | 1 | side | `(h, side)`: 0 below, 1 inside, 2 above the window |
//! | 2 + c | clamp | `(l, side, q)` for each `l` below `2^window_bits`: the result under clamp `c` |
//!
//! A row `(v1, v2, v3)` of table `id` has the fingerprint `v1 + b v2 + b^2 v3 + b^3 id` for a challenge `b`.

use p3_field::PrimeCharacteristicRing;

use crate::block::log2_ceil;
use crate::field::{Extension, base, extension};
use crate::multilinear::{below, eq_index, identity};
use crate::witness::WitnessLayout;

/// Id of the side table.
pub const SIDE_TABLE: i64 = 1;
/// Id of the first clamp table.
pub const CLAMP_TABLE: i64 = 2;

/// The challenges of the lookup argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupChallenges {
    /// The point of the fractions.
    pub alpha: Extension,
    /// `b`, `b^2`, `b^3` of the fingerprints.
    pub beta: [Extension; 3],
}

impl LookupChallenges {
    /// From the two drawn challenges.
    pub fn new(alpha: Extension, beta: Extension) -> Self {
        let square = beta * beta;
        Self {
            alpha,
            beta: [beta, square, square * beta],
        }
    }

    /// The denominator of a range lookup.
    pub fn range(&self, value: Extension) -> Extension {
        self.alpha - value
    }

    /// The denominator of a side lookup.
    pub fn side(&self, high: Extension, side: Extension) -> Extension {
        let [b, _, b3] = self.beta;
        self.alpha - high - b * side - b3 * base(SIDE_TABLE)
    }

    /// The denominator of a clamp lookup. `clamp` is the index of the clamp, or the extension of the index.
    pub fn clamp(&self, low: Extension, side: Extension, result: Extension, clamp: Extension) -> Extension {
        let [b, b2, b3] = self.beta;
        self.alpha - low - b * side - b2 * result - b3 * (clamp + base(CLAMP_TABLE))
    }
}

/// On which side of the window a high part lies.
pub const fn side_of(high: usize, window: usize) -> usize {
    if high < window {
        0
    } else if high == window {
        1
    } else {
        2
    }
}

/// The result for a low part on a side of the window.
pub fn clamp_of(low: usize, side: usize, window_start: i64, clamp: (i8, i8)) -> i64 {
    let (least, most) = (i64::from(clamp.0), i64::from(clamp.1));
    match side {
        0 => least,
        1 => (low as i64 + window_start).clamp(least, most),
        _ => most,
    }
}

/// The extension of the denominators of the side table at `point`.
pub fn side_table(layout: &WitnessLayout, challenges: &LookupChallenges, point: &[Extension]) -> Extension {
    // [h >= w] + [h > w] is the side.
    let at_least = Extension::ONE - below(point, layout.window).0;
    let above = Extension::ONE - below(point, layout.window + 1).0;
    challenges.side(identity(point), at_least + above)
}

/// The extension of the denominators of the clamp tables at `point`: clamp, side, low part, from the high variables
/// down. Indices of clamps beyond the last repeat the last.
pub fn clamp_table(layout: &WitnessLayout, challenges: &LookupChallenges, point: &[Extension]) -> Extension {
    let clamp_variables = log2_ceil(layout.clamps.len());
    let (clamp_point, rest) = point.split_at(clamp_variables.min(point.len()));
    let (side_point, low_point) = rest.split_at(2.min(rest.len()));
    let sides = [0, 1, 2, 3].map(|side| eq_index(side_point, side));
    let last = layout.clamps.len().saturating_sub(1);
    let (mut result, mut clamp_id) = (Extension::ZERO, Extension::ZERO);
    for index in 0..1usize << clamp_variables {
        let id = index.min(last);
        let Some(clamp) = layout.clamps.get(id) else {
            continue;
        };
        let weight = eq_index(clamp_point, index);
        let [low, inside, above, beyond] = sides;
        let value = low * base(i64::from(clamp.0))
            + inside * window_value(low_point, layout.window_start, *clamp)
            + (above + beyond) * base(i64::from(clamp.1));
        result += weight * value;
        clamp_id += weight * base(id as i64);
    }
    challenges.clamp(identity(low_point), identity(side_point), result, clamp_id)
}

/// The extension of `clamp(l + start, low, high)`: constant, then linear, then constant.
fn window_value(point: &[Extension], start: i64, (low, high): (i8, i8)) -> Extension {
    let (low, high) = (i64::from(low), i64::from(high));
    // l + start is at most low below the first cell, and at least high from the last on.
    let first = usize::try_from(low - start).unwrap_or(0);
    let last = usize::try_from(high - start).unwrap_or(0);
    let (before, linear_before) = below(point, first);
    let (until, linear_until) = below(point, last);
    before * base(low)
        + (linear_until - linear_before)
        + (until - before) * base(start)
        + (Extension::ONE - until) * base(high)
}

/// The extension of the clamp index over the cells of the columns; cells outside all blocks have index 0.
pub fn clamp_selector(layout: &WitnessLayout, point: &[Extension]) -> Extension {
    let blocks = layout.blocks.iter().zip(&layout.clamp_of);
    blocks
        .map(|(block, clamp)| block.weight(point) * extension(*clamp as i64))
        .sum()
}
