//! Cells: where the elements of committed values stand in a column.
//!
//! A block holds positions times channels, channels padded to a power of two, positions not padded at all. Blocks
//! stand behind one another, those with more channels first, so that each starts at a multiple of its padded
//! channels. The inferences of a batch are the lowest variables, below the channels; they are not counted here.

use crate::block::log2_ceil;
use crate::field::Extension;
use crate::multilinear::{eq_range, eq_table};

/// The cells of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellBlock {
    /// Index of the first cell.
    pub offset: usize,
    /// Positions.
    pub positions: usize,
    /// Channels.
    pub channels: usize,
    /// Base-two logarithm of the padded channels.
    pub channel_variables: usize,
}

impl CellBlock {
    /// The cell of a position and a channel.
    pub const fn cell(&self, position: usize, channel: usize) -> usize {
        self.offset + (position << self.channel_variables) + channel
    }

    /// Number of cells, padded channels included.
    pub const fn cells(&self) -> usize {
        self.positions << self.channel_variables
    }

    /// `eq` of `point` and each cell, as weights of the positions times weights of the channels, padding included;
    /// and the point of the channels.
    pub fn weights(&self, point: &[Extension]) -> BlockWeights {
        let (high, low) = point.split_at(point.len().saturating_sub(self.channel_variables));
        BlockWeights {
            positions: eq_range(high, self.offset >> self.channel_variables, self.positions),
            channels: eq_table(low),
            channel_point: low.to_vec(),
        }
    }
}

/// The weights of the cells of a block at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockWeights {
    /// One for each position.
    pub positions: Vec<Extension>,
    /// One for each padded channel.
    pub channels: Vec<Extension>,
    /// The coordinates of the channels.
    pub channel_point: Vec<Extension>,
}

/// Blocks of cells in one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellSpace {
    /// The blocks, in the given order.
    pub blocks: Vec<CellBlock>,
    /// Cells of all blocks.
    pub cells: usize,
    /// Variables that index the cells.
    pub variables: usize,
}

impl CellSpace {
    /// Places blocks of the given positions and channels in a space of at least `least` variables.
    pub fn new(shapes: &[(usize, usize)], least: usize) -> Self {
        let variables =
            |shape: Option<&(usize, usize)>| log2_ceil(shape.map_or(1, |(_, channels)| *channels));
        let mut order: Vec<usize> = (0..shapes.len()).collect();
        order.sort_by_key(|index| core::cmp::Reverse(variables(shapes.get(*index))));
        let empty = CellBlock {
            offset: 0,
            positions: 0,
            channels: 0,
            channel_variables: 0,
        };
        let mut blocks = vec![empty; shapes.len()];
        let mut offset = 0usize;
        for index in order {
            let Some(((positions, channels), block)) = shapes.get(index).zip(blocks.get_mut(index)) else {
                continue;
            };
            *block = CellBlock {
                offset,
                positions: *positions,
                channels: *channels,
                channel_variables: log2_ceil(*channels),
            };
            // A graph has at most 2^24 elements, and padding at most doubles them.
            offset = offset.saturating_add(block.cells());
        }
        Self {
            blocks,
            cells: offset,
            variables: log2_ceil(offset).max(least),
        }
    }
}
