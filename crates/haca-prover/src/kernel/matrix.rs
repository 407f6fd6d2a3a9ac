//! Int8 matrices times int8 rows, where a row may lie in pieces: dense layers and convolutions.

#![allow(
    unsafe_code,
    reason = "calls of vector kernels; each block says why it is sound"
)]

#[cfg(any(test, target_arch = "x86_64"))]
mod examination;

use rayon::prelude::*;

#[cfg(any(test, target_arch = "x86_64"))]
use super::amx;
use super::path::{Kind, Path, Tiles};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx_vnni, avx2, avx512};

#[cfg(any(test, target_arch = "x86_64"))]
pub(super) use examination::is_exact;

/// Output channels of one block.
pub(super) const LANES: usize = 16;
/// Products from which on threads share the work.
const SHARED: usize = 1 << 22;
/// Rows, and products, from which on tiles of the processor are worth their configuration and the packing of rows.
#[cfg(target_arch = "x86_64")]
const TILED: (usize, usize) = (16, 1 << 17);

/// Four neighbouring columns of the sixteen rows of a block, row by row: what one instruction multiplies.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Quad(pub(super) [i8; 4 * LANES]);

/// A matrix in blocks of sixteen rows, the pieces of its rows padded with zeros to four columns.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// Those of the blocks, then zeros for the tile that begins with the last quad.
    pub(super) quads: Vec<Quad>,
    /// Quads of one block.
    pub(super) per_block: usize,
    /// Bias of each row, padded to whole blocks.
    pub(super) bias: Vec<[i32; LANES]>,
    /// Bias less 128 times the sum of the row: the fix-up for inputs that are shifted by 128 to be unsigned.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "for kernels of x86-64")
    )]
    pub(super) shifted_bias: Vec<[i32; LANES]>,
    /// Rows that are no padding.
    rows: usize,
}

impl Blocks {
    /// Packs the row-major `matrix` with `bias.len()` rows of `pieces` pieces each.
    pub(crate) fn new(matrix: &[i8], bias: &[i32], pieces: usize) -> Self {
        let columns = matrix.len() / bias.len().max(1);
        let piece = columns / pieces.max(1);
        let per_piece = piece.div_ceil(4);
        let per_block = per_piece * pieces;
        let count = bias.len().div_ceil(LANES);
        let mut quads = vec![Quad([0; 4 * LANES]); per_block * count + LANES - 1];
        let mut padded = vec![[0i32; LANES]; count];
        let mut shifted_bias = padded.clone();
        for (row, (cells, bias)) in matrix.chunks_exact(columns.max(1)).zip(bias).enumerate() {
            let (block, lane) = (row / LANES, row % LANES);
            for (index, piece) in cells.chunks_exact(piece.max(1)).enumerate() {
                for (column, cell) in piece.iter().enumerate() {
                    let quad = &mut quads[block * per_block + index * per_piece + column / 4];
                    quad.0[lane * 4 + column % 4] = *cell;
                }
            }
            let sum = cells.iter().fold(0i32, |sum, w| sum.wrapping_add(i32::from(*w)));
            padded[block][lane] = *bias;
            shifted_bias[block][lane] = bias.wrapping_sub(sum.wrapping_mul(128));
        }
        Self {
            quads,
            per_block,
            bias: padded,
            shifted_bias,
            rows: bias.len(),
        }
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// Where the input rows of a product lie: row `p` is the concatenation, over `s`, of `4 * quads` elements from
/// `starts[p] + pieces[s]` on. Elements beyond a piece meet zeros of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    starts: Vec<usize>,
    pieces: Vec<usize>,
    quads: usize,
    reach: usize,
}

impl Rows {
    /// Rows of `pieces.len()` pieces of `length` elements.
    pub(crate) fn new(starts: Vec<usize>, pieces: Vec<usize>, length: usize) -> Self {
        let quads = length.div_ceil(4);
        let last = |offsets: &[usize]| offsets.iter().copied().max().unwrap_or(0);
        let reach = last(&starts) + last(&pieces) + 4 * quads;
        Self {
            starts,
            pieces,
            quads,
            reach,
        }
    }

    /// The same rows in each of several runs, `distance` elements apart.
    pub(crate) fn repeated(&self, runs: usize, distance: usize) -> Self {
        let mut starts = Vec::with_capacity(runs * self.starts.len());
        for run in 0..runs {
            starts.extend(self.starts.iter().map(|start| run * distance + start));
        }
        Self::new(starts, self.pieces.clone(), 4 * self.quads)
    }

    /// How many rows.
    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Elements that the input must have, counted from its offset.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }
}

/// The tiles of a path, where they pay for as much work as this.
#[cfg_attr(
    not(any(test, target_arch = "x86_64")),
    expect(unused_variables, reason = "no tiles")
)]
fn tiles(path: Path, blocks: &Blocks, rows: &Rows) -> Option<Tiles> {
    path.tiles().filter(|tiles| match *tiles {
        #[cfg(target_arch = "x86_64")]
        Tiles::Amx { everywhere } => everywhere || rows.count() >= TILED.0 && work(blocks, rows) >= TILED.1,
        #[cfg(test)]
        Tiles::Software | Tiles::Wrong => true,
    })
}

/// Products of bytes.
fn work(blocks: &Blocks, rows: &Rows) -> usize {
    rows.count() * blocks.bias.len() * blocks.per_block * 4 * LANES
}

/// The bits of each input byte that [`multiply`] takes flipped: none, or the highest, which adds 128 and makes the byte
/// unsigned, as the instructions of [`Kind::AvxVnni`] and [`Kind::Avx512`] want it. The shifted bias takes it back.
pub(crate) fn flipped(path: Path, blocks: &Blocks, rows: &Rows) -> u8 {
    match path.kind() {
        _ if tiles(path, blocks, rows).is_some() => 0,
        Kind::Portable => 0,
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => 0,
        #[cfg(target_arch = "x86_64")]
        Kind::AvxVnni | Kind::Avx512 => 0x80,
    }
}

/// Some blocks of a matrix, some rows, and the input they lie in. Constructed by [`multiply`] only, so that
/// `start + piece + 4 * quads <= input.len()` for every start and piece, and the pieces fill the blocks' quads.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) blocks: &'a Blocks,
    /// Index of the first block.
    pub(super) first: usize,
    /// How many blocks.
    pub(super) count: usize,
    pub(super) input: &'a [i8],
    pub(super) starts: &'a [usize],
    pub(super) pieces: &'a [usize],
    /// Quads of one piece.
    pub(super) per_piece: usize,
    /// Distance in the output between the results of two rows.
    pub(super) stride: usize,
    /// Index in the output of the result of the first row and block.
    pub(super) offset: usize,
}

impl Task<'_> {
    /// Rows of the matrix in block `block` of the task.
    #[inline]
    pub(super) fn lanes(&self, block: usize) -> usize {
        (self.blocks.rows - (self.first + block) * LANES).min(LANES)
    }

    /// Index in the output of the first result of row `row` and block `block`.
    #[inline]
    pub(super) fn at(&self, row: usize, block: usize) -> usize {
        self.offset + row * self.stride + block * LANES
    }
}

/// For each row `p`: `output[p * stride + offset + i] = bias_i + sum_j matrix_ij * row_pj`, in 32 bits, wrapping. The
/// bytes of `input` are those of the rows with the bits of [`flipped`] flipped.
///
/// # Panics
///
/// When the input is shorter than the rows reach, the pieces are not those of the matrix, or the output is too short.
pub(crate) fn multiply(
    path: Path,
    blocks: &Blocks,
    rows: &Rows,
    input: &[i8],
    output: &mut [i32],
    stride: usize,
    offset: usize,
) {
    assert!(rows.reach <= input.len() && rows.quads * rows.pieces.len() == blocks.per_block);
    assert!(offset + blocks.rows <= stride && output.len() == rows.count() * stride);
    let task = Task {
        blocks,
        first: 0,
        count: blocks.bias.len(),
        input,
        starts: &rows.starts,
        pieces: &rows.pieces,
        per_piece: rows.quads,
        stride,
        offset,
    };
    let tiles = tiles(path, blocks, rows);
    let run = |task: &Task<'_>, output: &mut [i32]| match tiles {
        Some(tiles) => run_tiles(tiles, task, output),
        None => run(path, task, output),
    };
    let threads = rayon::current_num_threads();
    if work(blocks, rows) < SHARED || threads < 2 {
        run(&task, output);
    } else if rows.count() > 1 {
        // Whole steps of the kernels.
        let grain = if tiles.is_some() { 32 } else { 24 };
        let share = rows.count().div_ceil(2 * threads).next_multiple_of(grain);
        let parts = output
            .par_chunks_mut(share * stride)
            .zip(rows.starts.par_chunks(share));
        parts.for_each(|(output, starts)| run(&Task { starts, ..task }, output));
    } else {
        let share = task.count.div_ceil(threads).next_multiple_of(8);
        let results = &mut output[offset..offset + blocks.rows];
        results
            .par_chunks_mut(share * LANES)
            .enumerate()
            .for_each(|(index, output)| {
                let first = index * share;
                let count = share.min(task.count - first);
                let stride = output.len();
                run(
                    &Task {
                        first,
                        count,
                        stride,
                        offset: 0,
                        ..task
                    },
                    output,
                );
            });
    }
}

#[cfg_attr(
    not(any(test, target_arch = "x86_64")),
    expect(unused_variables, reason = "no tiles")
)]
fn run_tiles(tiles: Tiles, task: &Task<'_>, output: &mut [i32]) {
    match tiles {
        // SAFETY: a path exists only for instructions that the processor has.
        #[cfg(target_arch = "x86_64")]
        Tiles::Amx { .. } => unsafe { amx::processor::multiply(task, output) },
        #[cfg(test)]
        Tiles::Software => amx::software::multiply(task, output),
        #[cfg(test)]
        Tiles::Wrong => amx::software::multiply_wrongly(task, output),
    }
}

fn run(path: Path, task: &Task<'_>, output: &mut [i32]) {
    match path.kind() {
        Kind::Portable => portable::multiply(task, output),
        // SAFETY: a path exists only for instructions that the processor has.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2::multiply(task, output) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::AvxVnni => unsafe { avx_vnni::multiply(task, output) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::multiply(task, output) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(count: usize, mut state: u64) -> Vec<i8> {
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8 as i8
        };
        (0..count).map(|_| next()).collect()
    }

    /// All paths against sums in 64 bits.
    fn check(matrix: &[i8], bias: &[i32], input: &[i8], starts: &[usize], pieces: &[usize], length: usize) {
        let mut padded = input.to_vec();
        // What stands behind a piece meets zeros, whatever it is.
        padded.resize(input.len() + 3, 77);
        let columns = pieces.len() * length;
        let mut expected = Vec::new();
        for start in starts {
            let row: Vec<i8> = pieces
                .iter()
                .flat_map(|piece| &input[start + piece..start + piece + length])
                .copied()
                .collect();
            for (weights, bias) in matrix.chunks_exact(columns).zip(bias) {
                let products = weights
                    .iter()
                    .zip(&row)
                    .map(|(w, x)| i64::from(*w) * i64::from(*x));
                expected.push(products.sum::<i64>() + i64::from(*bias));
            }
        }
        let blocks = Blocks::new(matrix, bias, pieces.len());
        let rows = Rows::new(starts.to_vec(), pieces.to_vec(), length);
        let (stride, offset) = (bias.len() + 5, 2);
        for path in Path::all() {
            let mut out = vec![-9; starts.len() * stride];
            let flip = flipped(path, &blocks, &rows).cast_signed();
            let padded: Vec<i8> = padded.iter().map(|x| x ^ flip).collect();
            multiply(path, &blocks, &rows, &padded, &mut out, stride, offset);
            for (out, expected) in out.chunks_exact(stride).zip(expected.chunks_exact(bias.len())) {
                assert_eq!(out[..offset], [-9; 2], "{path:?}");
                assert_eq!(out[offset + bias.len()..], [-9; 3], "{path:?}");
                let found = out[offset..].iter().map(|v| i64::from(*v));
                assert!(found.zip(expected).all(|(f, e)| f == *e), "{path:?} {columns}");
            }
        }
    }

    #[test]
    fn all_paths_multiply_alike() {
        for rows in [1, 2, 5, 16, 17, 40, 64, 129] {
            for (positions, length, pieces) in [(1, 7, 1), (1, 64, 1), (4, 3, 5), (13, 30, 3), (29, 16, 2)] {
                let columns = length * pieces;
                let (matrix, bias) = (bytes(rows * columns, 1), bytes(rows, 2));
                let bias: Vec<i32> = bias.iter().map(|b| i32::from(*b) << 20).collect();
                let pieces: Vec<usize> = (0..pieces).map(|piece| piece * (length + 3)).collect();
                let starts: Vec<usize> = (0..positions).map(|p| (p * 7) % 31).collect();
                let input = bytes(31 + columns + 3 * pieces.len() + length, 3);
                check(&matrix, &bias, &input, &starts, &pieces, length);
            }
        }
    }

    #[test]
    fn extreme_values_are_exact() {
        for (w, x) in [(-128, -128), (-128, 127), (127, -128), (127, 127)] {
            for columns in [4, 63, 4096, 131_071] {
                let matrix = vec![w; 17 * columns];
                check(
                    &matrix,
                    &[0; 17],
                    &vec![x; columns + 2],
                    &[0, 1, 2],
                    &[0],
                    columns,
                );
            }
        }
    }

    /// Large enough for threads to share the rows, or the blocks.
    #[test]
    fn shared_work_is_the_same() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let check_both = || {
            let matrix = bytes(70 * 256, 4);
            let starts: Vec<usize> = (0..300).map(|p| p * 5).collect();
            check(&matrix, &[-7; 70], &bytes(300 * 5 + 256, 5), &starts, &[0], 256);
            let matrix = bytes(1025 * 4100, 6);
            check(&matrix, &[9; 1025], &bytes(4100, 7), &[0], &[0], 4100);
        };
        assert!(pool.is_ok_and(|pool| {
            pool.install(check_both);
            true
        }));
    }
}
