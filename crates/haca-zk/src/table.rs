//! The closed catalogue of lookup tables, each with an extension in closed form.
//!
//! | id | table | rows |
//! |---|---|---|
//! | 0 | range | `(v)` for each `v` below `2^limb_bits` |
//! | 1 | side | `(h, side)`: 0 below, 1 inside, 2 above the window |
//! | 2 | larger | `(x, max(x, 0))` for each `x` in `-256..256` |
//! | 3 + c | mapping | `(l, side, q)` for each `l` below `2^window_bits`: the result under mapping `c`; side 0 when quotients are not split |
//!
//! A row `(v1, v2, v3)` of table `id` has the fingerprint `v1 + b v2 + b^2 v3 + b^3 id` for a challenge `b`.

use p3_field::PrimeCharacteristicRing;

use crate::block::log2_ceil;
use crate::cell::BlockWeights;
use crate::circuit::{Circuit, Mapping};
use crate::field::{Extension, base, extension};
use crate::multilinear::{below, eq_index, eq_table, identity};
use crate::witness::{LARGER_BITS, WitnessLayout};

/// Id of the side table.
pub const SIDE_TABLE: i64 = 1;
/// Id of the table of larger elements.
pub const LARGER_TABLE: i64 = 2;
/// Id of the first mapping table.
pub const MAPPING_TABLE: i64 = 3;

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

    /// The denominator of a mapping lookup. `mapping` is the index of the mapping, or the extension of the index.
    pub fn mapping(
        &self,
        low: Extension,
        side: Extension,
        result: Extension,
        mapping: Extension,
    ) -> Extension {
        let [b, b2, b3] = self.beta;
        self.alpha - low - b * side - b2 * result - b3 * (mapping + base(MAPPING_TABLE))
    }

    /// The denominator of a lookup of `max(difference, 0)`.
    pub fn larger(&self, difference: Extension, excess: Extension) -> Extension {
        let [b, _, b3] = self.beta;
        self.alpha - difference - b * excess - b3 * base(LARGER_TABLE)
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
pub fn result_of(low: usize, side: usize, window_start: i64, mapping: &Mapping) -> i64 {
    let (least, most) = mapping.ends();
    mapping.result(match side {
        0 => least,
        1 => window_start.saturating_add(low as i64),
        _ => most,
    })
}

/// The extension of the denominators of the side table at `point`.
pub fn side_table(layout: &WitnessLayout, challenges: &LookupChallenges, point: &[Extension]) -> Extension {
    // [h >= w] + [h > w] is the side.
    let at_least = Extension::ONE - below(point, layout.window).0;
    let above = Extension::ONE - below(point, layout.window + 1).0;
    challenges.side(identity(point), at_least + above)
}

/// The extension of the denominators of the table of larger elements at `point`: row `v` is about `v - 256`.
pub fn larger_table(challenges: &LookupChallenges, point: &[Extension]) -> Extension {
    let middle = 1usize << (LARGER_BITS - 1);
    let shift = base(middle as i64);
    let all = identity(point);
    let (before, linear_before) = below(point, middle);
    let excess = all - linear_before - (Extension::ONE - before) * shift;
    challenges.larger(all - shift, excess)
}

/// The extension of the denominators of the mapping tables at `point`: mapping, side, low part, from the high
/// variables down. Indices of mappings beyond the last repeat the last.
pub fn mapping_table(
    circuit: &Circuit,
    layout: &WitnessLayout,
    challenges: &LookupChallenges,
    point: &[Extension],
) -> Extension {
    let mapping_variables = log2_ceil(circuit.mappings.len());
    let is_split = layout.parameters.is_split();
    let (mapping_point, rest) = point.split_at(mapping_variables.min(point.len()));
    let (side_point, low_point) = rest.split_at(if is_split { 2.min(rest.len()) } else { 0 });
    let sides = [0, 1, 2, 3].map(|side| eq_index(side_point, side));
    let last = circuit.mappings.len().saturating_sub(1);
    let (mut result, mut mapping_id) = (Extension::ZERO, Extension::ZERO);
    // Indices past the last mapping repeat it: their weights are added up.
    let mut weights = vec![Extension::ZERO; circuit.mappings.len()];
    for (index, weight) in eq_table(mapping_point).into_iter().enumerate() {
        if let Some(sum) = weights.get_mut(index.min(last)) {
            *sum += weight;
        }
    }
    for (id, (mapping, weight)) in circuit.mappings.iter().zip(weights).enumerate() {
        let [low, inside, above, beyond] = sides;
        let (least, most) = mapping.ends();
        let in_window = window_value(low_point, layout.window_start, mapping);
        let value = match is_split {
            true => {
                low * base(mapping.result(least))
                    + inside * in_window
                    + (above + beyond) * base(mapping.result(most))
            }
            false => in_window,
        };
        result += weight * value;
        mapping_id += weight * base(id as i64);
    }
    challenges.mapping(identity(low_point), identity(side_point), result, mapping_id)
}

/// The extension of the results over the window.
fn window_value(point: &[Extension], start: i64, mapping: &Mapping) -> Extension {
    match mapping {
        Mapping::Clamp(low, high) => clamp_value(point, start, (i64::from(*low), i64::from(*high))),
        Mapping::Function(..) => {
            let rows = (start..).zip(eq_table(point));
            rows.map(|(quotient, weight)| weight * base(mapping.result(quotient)))
                .sum()
        }
    }
}

/// The extension of `clamp(l + start, low, high)`: constant, then linear, then constant.
fn clamp_value(point: &[Extension], start: i64, (low, high): (i64, i64)) -> Extension {
    // l + start is at most low below the first cell, and at least high from the last on.
    let first = usize::try_from(low.saturating_sub(start)).unwrap_or(0);
    let last = usize::try_from(high.saturating_sub(start)).unwrap_or(0);
    let (before, linear_before) = below(point, first);
    let (until, linear_until) = below(point, last);
    before * base(low)
        + (linear_until - linear_before)
        + (until - before) * base(start)
        + (Extension::ONE - until) * base(high)
}

/// The extension of the mapping index over the cells; cells outside all blocks have index 0. `blocks` are the weights
/// of the blocks of the requantisations.
pub fn mapping_selector(circuit: &Circuit, blocks: &[BlockWeights]) -> Extension {
    let blocks = circuit.requantises.iter().zip(blocks);
    blocks
        .filter(|(requantise, _)| requantise.mapping != 0)
        .map(|(requantise, block)| {
            block.positions.iter().copied().sum::<Extension>() * extension(requantise.mapping as i64)
        })
        .sum()
}
