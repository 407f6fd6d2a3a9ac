//! Int8 matrices times challenges of the extension field.

#![allow(
    unsafe_code,
    reason = "calls of vector kernels; each block says why it is sound"
)]

#[cfg(target_arch = "x86_64")]
pub(super) mod bytes;
pub(super) mod digits;
#[cfg(target_arch = "x86_64")]
mod shared;

use haca_zk::field::Extension;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::path::{Kind, Path};
use super::portable;
use digits::{CHUNK, DIGITS, Planes, join, planes, split};

/// Cells from which on threads share the work.
const SHARED: usize = 1 << 18;
/// Rows up to which a table of multiples is faster than sums of digits, and the columns it takes to pay for it.
const FEW: (usize, usize) = (2, 1 << 10);

/// `out[x] = sum_t coefficients[t] * matrix[t * width + x]`, for a row-major int8 matrix of at least as many rows as
/// coefficients.
pub fn fold_rows(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    let rows = matrix.len() / width.max(1);
    let coefficients = &coefficients[..rows.min(coefficients.len())];
    if coefficients.len() <= FEW.0 && width >= FEW.1 {
        return fold_few(matrix, width, coefficients);
    }
    fold_rows_on(Path::best(), matrix, width, coefficients)
}

/// `out[t] = sum_x coefficients[x] * matrix[t * width + x]`, for as many coefficients as columns.
pub fn fold_columns(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    fold_columns_on(Path::best(), matrix, width, coefficients)
}

/// [`fold_rows`] for few rows: each product is one of 256.
fn fold_few(matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    let mut out = vec![Extension::ZERO; width];
    for (row, coefficient) in matrix.chunks_exact(width.max(1)).zip(coefficients) {
        let (mut multiples, mut positive) = ([Extension::ZERO; 256], Extension::ZERO);
        for magnitude in 1..=128u8 {
            positive += *coefficient;
            multiples[usize::from(magnitude.wrapping_neg())] = -positive;
            if magnitude < 128 {
                multiples[usize::from(magnitude)] = positive;
            }
        }
        for (out, cell) in out.iter_mut().zip(row) {
            *out += multiples[usize::from(cell.cast_unsigned())];
        }
    }
    out
}

fn fold_rows_on(path: Path, matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    #[cfg(target_arch = "x86_64")]
    if path.kind() == Kind::Avx512 {
        // SAFETY: a path exists only for instructions that the processor has.
        return unsafe { shared::fold_rows(matrix, width, coefficients) };
    }
    let digits: Vec<[i16; DIGITS]> = coefficients.iter().map(|c| split(*c)).collect();
    let mut out = vec![Extension::ZERO; width];
    match path.kind() {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 | Kind::AvxVnni if width.is_multiple_of(16) => {
            avx2::fold_rows(matrix, width, &digits, &mut out);
        }
        _ => portable::fold_rows(matrix, width, &digits, &mut out),
    }
    out
}

fn fold_columns_on(path: Path, matrix: &[i8], width: usize, coefficients: &[Extension]) -> Vec<Extension> {
    #[cfg(target_arch = "x86_64")]
    if path.kind() == Kind::Avx512 {
        // SAFETY: a path exists only for instructions that the processor has.
        return unsafe { shared::fold_columns(matrix, width, coefficients) };
    }
    let planes: Vec<Planes> = coefficients.chunks(CHUNK).map(planes).collect();
    let row = |row: &[i8]| {
        let mut sums = [0i64; DIGITS];
        for (row, planes) in row.chunks(CHUNK).zip(&planes) {
            add_weighted(path, row, planes, &mut sums);
        }
        join(&sums)
    };
    if matrix.len() > SHARED {
        matrix.par_chunks_exact(width).map(row).collect()
    } else {
        matrix.chunks_exact(width).map(row).collect()
    }
}

/// Adds the digit products of one chunk of a row.
fn add_weighted(path: Path, row: &[i8], planes: &Planes, sums: &mut [i64; DIGITS]) {
    match path.kind() {
        Kind::Portable => portable::add_weighted(row, planes, sums),
        #[cfg(target_arch = "x86_64")]
        _ => avx2::add_weighted(row, planes, sums),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use haca_zk::field::Base;
    use p3_field::{BasedVectorSpace, PrimeField64};

    use super::*;

    fn bytes(count: usize, mut state: u64) -> Vec<i8> {
        (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8 as i8
            })
            .collect()
    }

    fn challenges(count: usize) -> Vec<Extension> {
        let raw =
            |i: usize, j: usize| Base::from_u64(((i * 3 + j) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let one = |i| Extension::from_basis_coefficients_slice(&[raw(i, 0), raw(i, 1), raw(i, 2)]).unwrap();
        (1..=count).map(one).collect()
    }

    /// All paths against field arithmetic.
    fn check(matrix: &[i8], width: usize, by_row: &[Extension], by_column: &[Extension]) {
        let rows = matrix.len() / width;
        let entry = |t: usize, x: usize| Base::from_i64(i64::from(matrix[t * width + x]));
        let of_column = |x| (0..by_row.len()).map(|t| by_row[t] * entry(t, x)).sum();
        let of_row = |t| (0..width).map(|x| by_column[x] * entry(t, x)).sum();
        let columns: Vec<Extension> = (0..width).map(of_column).collect();
        let each_row: Vec<Extension> = (0..rows).map(of_row).collect();
        assert_eq!(fold_rows(matrix, width, by_row), columns, "{rows}x{width}");
        assert_eq!(fold_few(matrix, width, by_row), columns, "{rows}x{width}");
        assert_eq!(fold_columns(matrix, width, by_column), each_row, "{rows}x{width}");
        for path in Path::all() {
            let found = fold_rows_on(path, matrix, width, by_row);
            assert_eq!(found, columns, "{path:?} {rows}x{width}");
            let found = fold_columns_on(path, matrix, width, by_column);
            assert_eq!(found, each_row, "{path:?} {rows}x{width}");
        }
    }

    const SHAPES: [(usize, usize); 12] = [
        (1, 1),
        (1, 1500),
        (3, 16),
        (5, 64),
        (2050, 16),
        (7, 8),
        (17, 25),
        (33, 130),
        (70, 300),
        (130, 1025),
        (513, 257),
        (2050, 70),
    ];

    #[test]
    fn folds_equal_field_arithmetic() {
        for (rows, width) in SHAPES {
            check(
                &bytes(rows * width, 3),
                width,
                &challenges(rows),
                &challenges(width),
            );
            // Fewer coefficients than rows leave rows out.
            check(
                &bytes(rows * width, 4),
                width,
                &challenges(rows.div_ceil(2)),
                &challenges(width),
            );
        }
    }

    #[test]
    fn extreme_folds_are_exact() {
        let most = Base::from_u64(Base::ORDER_U64 - 1);
        let most = Extension::from_basis_coefficients_slice(&[most, Base::ZERO, most]).unwrap();
        for cell in [-128, 127] {
            for (rows, width) in [(5, 70), (66_000, 3), (3, 66_000)] {
                check(
                    &vec![cell; rows * width],
                    width,
                    &vec![most; rows],
                    &vec![most; width],
                );
            }
        }
    }

    #[test]
    fn shared_folds_are_the_same() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for (rows, width) in [(600, 500), (4100, 64), (100, 3000)] {
            let matrix = bytes(rows * width, 5);
            pool.install(|| check(&matrix, width, &challenges(rows), &challenges(width)));
        }
    }
}
