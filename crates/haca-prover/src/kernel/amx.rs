//! Matrix products in the tile registers of Intel's AMX, for matrices times sixteen rows and more.
//!
//! Everything but four instructions is plain Rust over [`Tiles`]: how rows are packed, which tile holds what, and what
//! of the results is kept. Tests run it on every machine with `software`, which does to arrays what the manual says
//! that the instructions do.
//!
//! No processor with AMX has run `processor` so far: its instructions are checked against their encodings, and
//! their effect is unproven. What guards it: the path is taken only on a processor that says it has AMX-TILE and
//! AMX-INT8 and the tiles that this module wants, under a system that saves tiles and grants their use, and after
//! [`is_exact`](super::matrix::is_exact) has compared it bit by bit with plain sums in this process. Tests that
//! compare all paths take it in wherever it is there.

#[cfg(target_arch = "x86_64")]
pub(super) mod processor;
#[cfg(test)]
pub(super) mod software;
mod tiles;

use super::matrix::{LANES, Quad, Task};
use tiles::{BYTES, CONFIGURATION, ROWS, Tiles};

/// Rows of the task that are multiplied at a time: two tiles.
const TOGETHER: usize = 2 * ROWS;

/// Writes the results of a task whose input is not flipped.
fn multiply<T: Tiles>(task: &Task<'_>, output: &mut [i32]) {
    let mut tiles = T::configured(&CONFIGURATION);
    let mut rows = Packed::new(task);
    for first in (0..task.starts.len()).step_by(TOGETHER) {
        let count = rows.pack(task, first);
        for block in (0..task.count).step_by(2) {
            let at = (first, block);
            match (count > ROWS, task.count - block > 1) {
                (false, false) => step::<T, 1, 1>(&mut tiles, task, &rows, at, output),
                (false, true) => step::<T, 1, 2>(&mut tiles, task, &rows, at, output),
                (true, false) => step::<T, 2, 1>(&mut tiles, task, &rows, at, output),
                (true, true) => step::<T, 2, 2>(&mut tiles, task, &rows, at, output),
            }
        }
    }
}

/// Up to [`TOGETHER`] rows without gaps between their pieces, each padded with zeros to whole tiles.
struct Packed {
    cells: Vec<Quad>,
    /// Tiles along a row.
    tiles: usize,
    /// Quads from one row to the next: an odd number, so that the rows of a tile lie in different sets of the cache.
    stride: usize,
}

impl Packed {
    fn new(task: &Task<'_>) -> Self {
        let tiles = task.blocks.per_block.div_ceil(ROWS);
        let stride = tiles | 1;
        Self {
            cells: vec![Quad([0; BYTES]); stride * TOGETHER],
            tiles,
            stride,
        }
    }

    /// Packs the rows of the task from `first` on; returns how many. Rows beyond them keep what they have: what is
    /// computed from it is not kept.
    fn pack(&mut self, task: &Task<'_>, first: usize) -> usize {
        let rows = task.starts[first..].iter().take(TOGETHER);
        for (start, cells) in rows.clone().zip(self.cells.chunks_exact_mut(self.stride)) {
            let mut at = 0;
            for piece in task.pieces {
                let mut elements = &task.input[start + piece..][..4 * task.per_piece];
                while !elements.is_empty() {
                    let cells = &mut cells[at / BYTES].0[at % BYTES..];
                    let (now, later) = elements.split_at(elements.len().min(cells.len()));
                    cells[..now.len()].copy_from_slice(now);
                    at += now.len();
                    elements = later;
                }
            }
        }
        rows.count()
    }

    /// The cells of the tile of rows number `half` at `tile` along the row.
    fn tile(&self, half: usize, tile: usize) -> &[Quad] {
        &self.cells[half * ROWS * self.stride + tile..]
    }
}

/// The results of `R` times sixteen packed rows and `B` blocks. Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 blocks.
fn step<T: Tiles, const R: usize, const B: usize>(
    tiles: &mut T,
    task: &Task<'_>,
    rows: &Packed,
    (first, block): (usize, usize),
    output: &mut [i32],
) {
    let blocks = task.blocks;
    // One row of biases, sixteen times.
    let bias = |b: usize| &blocks.bias[task.first + block + b..][..1];
    tiles.load::<0, _>(bias(0), 0);
    if B > 1 {
        tiles.load::<1, _>(bias(1), 0);
    }
    if R > 1 {
        tiles.load::<2, _>(bias(0), 0);
    }
    if R > 1 && B > 1 {
        tiles.load::<3, _>(bias(1), 0);
    }
    // The last tile of a block reaches into the next one, or into the zeros behind the last: the row has zeros there.
    let quads = |b: usize, tile: usize| {
        &blocks.quads[(task.first + block + b) * blocks.per_block + tile * ROWS..][..ROWS]
    };
    for tile in 0..rows.tiles {
        tiles.load::<4, _>(rows.tile(0, tile), rows.stride * BYTES);
        tiles.load::<6, _>(quads(0, tile), BYTES);
        tiles.dot::<0>();
        if R > 1 {
            tiles.load::<5, _>(rows.tile(1, tile), rows.stride * BYTES);
            tiles.dot::<2>();
        }
        if B > 1 {
            tiles.load::<7, _>(quads(1, tile), BYTES);
            tiles.dot::<1>();
        }
        if R > 1 && B > 1 {
            tiles.dot::<3>();
        }
    }
    let mut keep = |half: usize, b: usize, sums: &[[i32; LANES]; ROWS]| {
        let first = first + half * ROWS;
        for (row, sums) in (first..task.starts.len()).zip(sums) {
            let (at, lanes) = (task.at(row, block + b), task.lanes(block + b));
            output[at..at + lanes].copy_from_slice(&sums[..lanes]);
        }
    };
    keep(0, 0, &tiles.store::<0>());
    if B > 1 {
        keep(0, 1, &tiles.store::<1>());
    }
    if R > 1 {
        keep(1, 0, &tiles.store::<2>());
    }
    if R > 1 && B > 1 {
        keep(1, 1, &tiles.store::<3>());
    }
}
