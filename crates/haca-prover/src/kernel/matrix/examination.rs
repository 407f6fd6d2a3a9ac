//! The examination that a path of tiles passes before it is taken.

use super::super::path::Path;
use super::{Blocks, LANES, Rows, flipped, multiply};

/// Rows of the matrix, positions, and pieces of the rows with their length: products of which tiles are partly filled,
/// in each direction, and several of them.
const SHAPES: [(usize, usize, usize, usize); 8] = [
    (1, 1, 1, 1),
    (16, 16, 1, 64),
    (17, 33, 1, 65),
    (32, 32, 2, 64),
    (33, 15, 3, 7),
    (47, 37, 5, 30),
    (64, 33, 9, 16),
    (10, 40, 1, 784),
];

/// Whether a path multiplies random and extreme matrices bit for bit as plain sums do, results that wrap among them.
pub(in super::super) fn is_exact(path: Path) -> bool {
    let fills: [fn(usize) -> (i8, i8); 6] = [
        |i| (byte(i), byte(i + 7_777_777)),
        |_| (-128, -128),
        |_| (-128, 127),
        |_| (127, -128),
        |i| ([-128, 127][i % 2], [-128, 127][i / 3 % 2]),
        |i| (byte(i), if i % 64 < 32 { -128 } else { 127 }),
    ];
    SHAPES
        .iter()
        .all(|shape| fills.iter().all(|fill| agrees(path, *shape, *fill)))
}

fn agrees(
    path: Path,
    (rows, positions, pieces, length): (usize, usize, usize, usize),
    fill: fn(usize) -> (i8, i8),
) -> bool {
    let columns = pieces * length;
    let matrix: Vec<i8> = (0..rows * columns).map(|i| fill(i).0).collect();
    // The largest and the smallest bias make sums wrap; five of them stand differently in each block of sixteen.
    let bias: Vec<i32> = (0..rows)
        .map(|i| [i32::MAX, i32::MIN, 0, 1 << 20, -77][i % 5])
        .collect();
    let starts: Vec<usize> = (0..positions).map(|position| position * 5).collect();
    let offsets: Vec<usize> = (0..pieces).map(|piece| piece * (length + 3)).collect();
    let blocks = Blocks::new(&matrix, &bias, pieces);
    let places = Rows::new(starts.clone(), offsets.clone(), length);
    let input: Vec<i8> = (0..places.reach()).map(|i| fill(i).1).collect();
    let flip = flipped(path, &blocks, &places).cast_signed();
    let given: Vec<i8> = input.iter().map(|x| x ^ flip).collect();
    // Room for a block more: nothing may be written beside the results.
    let (stride, offset) = (rows + LANES, 3);
    let mut out = vec![-9; positions * stride];
    multiply(path, &blocks, &places, &given, &mut out, stride, offset);
    let expected = |position: usize, column: usize| {
        let Some(row) = column.checked_sub(offset).filter(|row| *row < rows) else {
            return -9;
        };
        let mut weights = matrix[row * columns..].iter();
        let elements = offsets
            .iter()
            .flat_map(|piece| &input[starts[position] + piece..][..length]);
        let products = elements
            .zip(&mut weights)
            .map(|(x, w)| i32::from(*x) * i32::from(*w));
        products.fold(bias[row], i32::wrapping_add)
    };
    let mut rows = out.chunks_exact(stride).enumerate();
    rows.all(|(position, out)| (0..stride).all(|column| out[column] == expected(position, column)))
}

/// The highest byte of a number that follows from another.
fn byte(index: usize) -> i8 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 56) as u8 as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_exact_pass_and_others_fail() {
        for path in Path::all() {
            assert!(is_exact(path), "{path:?}");
        }
        assert!(!is_exact(Path::wrong_tiles()));
    }
}
