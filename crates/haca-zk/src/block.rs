//! Aligned blocks: power-of-two ranges placed one behind the other, the largest first, so that a block is a corner
//! of the high variables.

use crate::field::Extension;
use crate::multilinear::{corner, eq_index};

/// One block of a hypercube.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index of the first cell.
    pub offset: usize,
    /// Base-two logarithm of the number of cells.
    pub variables: usize,
}

impl Block {
    /// The coordinates of `point` that lie inside the block.
    pub fn inner<'a>(&self, point: &'a [Extension]) -> &'a [Extension] {
        point
            .get(point.len().saturating_sub(self.variables)..)
            .unwrap_or_default()
    }

    /// The weight of the block at `point`: `eq` of the high coordinates and the index of the block.
    pub fn weight(&self, point: &[Extension]) -> Extension {
        let high = point
            .get(..point.len().saturating_sub(self.variables))
            .unwrap_or_default();
        eq_index(high, self.offset >> self.variables)
    }

    /// The point of the whole hypercube that is `inner` inside this block.
    pub fn lift(&self, total: usize, inner: &[Extension]) -> Vec<Extension> {
        let mut point = corner(
            self.offset >> self.variables,
            total.saturating_sub(self.variables),
        );
        point.extend_from_slice(inner);
        point
    }

    /// The cells of the block.
    pub fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + (1 << self.variables)
    }
}

/// Places blocks of the given sizes, in base-two logarithms: the largest first, equal sizes in the given order.
/// Returns them in the given order, with the number of variables that holds them all.
pub fn place(sizes: &[usize]) -> (Vec<Block>, usize) {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|index| core::cmp::Reverse(sizes.get(*index).copied().unwrap_or(0)));
    let mut blocks = vec![
        Block {
            offset: 0,
            variables: 0
        };
        sizes.len()
    ];
    let mut offset = 0usize;
    for index in order {
        let variables = sizes.get(index).copied().unwrap_or(0);
        if let Some(block) = blocks.get_mut(index) {
            *block = Block { offset, variables };
        }
        offset = offset.saturating_add(1usize.checked_shl(variables as u32).unwrap_or(usize::MAX));
    }
    (blocks, log2_ceil(offset))
}

/// The smallest `v` with `2^v >= value`.
pub fn log2_ceil(value: usize) -> usize {
    let power = value.max(1).checked_next_power_of_two();
    power.map_or(usize::BITS, usize::trailing_zeros) as usize
}
