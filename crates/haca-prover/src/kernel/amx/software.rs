//! Tiles in memory: what the manual says that the instructions do.
#![allow(unsafe_code, reason = "bytes of elements; the block says why it is sound")]

use super::super::matrix::{LANES, Task};
use super::tiles::{Configuration, ROWS, Tiles, reaches};

/// Eight tiles. Where not `EXACT`, the bytes of rows are taken to be unsigned, as another instruction takes them.
struct Software<const EXACT: bool> {
    rows: [usize; 8],
    row_bytes: [usize; 8],
    tiles: [[[u8; 64]; ROWS]; 8],
}

/// Writes the results of a task.
pub(in super::super) fn multiply(task: &Task<'_>, output: &mut [i32]) {
    super::multiply::<Software<true>>(task, output);
}

/// Writes other results, as a processor might that is not what it says.
pub(in super::super) fn multiply_wrongly(task: &Task<'_>, output: &mut [i32]) {
    super::multiply::<Software<false>>(task, output);
}

impl<const EXACT: bool> Tiles for Software<EXACT> {
    fn configured(configuration: &Configuration) -> Self {
        Self {
            rows: core::array::from_fn(|tile| configuration.rows[tile].into()),
            row_bytes: core::array::from_fn(|tile| configuration.row_bytes[tile].into()),
            // What tiles hold before they are loaded is of no account.
            tiles: [[[0x5a; 64]; ROWS]; 8],
        }
    }

    fn load<const TILE: usize, E: Copy>(&mut self, from: &[E], stride: usize) {
        assert!(reaches(from, stride));
        // SAFETY: the elements are integers or arrays of them, without padding.
        let bytes = unsafe { core::slice::from_raw_parts(from.as_ptr().cast::<u8>(), size_of_val(from)) };
        self.tiles[TILE] = [[0; 64]; ROWS];
        for (row, cells) in self.tiles[TILE].iter_mut().take(self.rows[TILE]).enumerate() {
            let cells = &mut cells[..self.row_bytes[TILE]];
            cells.copy_from_slice(&bytes[row * stride..][..self.row_bytes[TILE]]);
        }
    }

    fn dot<const SUM: usize>(&mut self) {
        let (a, b) = (4 + SUM / 2, 6 + SUM % 2);
        for m in 0..self.rows[SUM] {
            for k in 0..self.row_bytes[a] / 4 {
                for n in 0..self.row_bytes[SUM] / 4 {
                    let (x, w) = (&self.tiles[a][m][4 * k..][..4], &self.tiles[b][k][4 * n..][..4]);
                    let products = x.iter().zip(w).map(|(x, w)| {
                        let x = match EXACT {
                            true => i32::from(x.cast_signed()),
                            false => i32::from(*x),
                        };
                        x * i32::from(w.cast_signed())
                    });
                    let products: i32 = products.sum();
                    let cell = &mut self.tiles[SUM][m][4 * n..][..4];
                    let sum = i32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]]).wrapping_add(products);
                    cell.copy_from_slice(&sum.to_le_bytes());
                }
            }
        }
    }

    fn store<const TILE: usize>(&self) -> [[i32; LANES]; ROWS] {
        let cell = |row: usize, lane: usize| {
            let cell = &self.tiles[TILE][row][4 * lane..][..4];
            i32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]])
        };
        core::array::from_fn(|row| core::array::from_fn(|lane| cell(row, lane)))
    }
}
