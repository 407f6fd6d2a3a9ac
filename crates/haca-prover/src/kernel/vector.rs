//! Kernels element by element: plain loops, compiled for each kind of registers.

#![allow(
    unsafe_code,
    reason = "calls of vector kernels; each block says why it is sound"
)]

mod body;

use super::path::{Kind, Path};

/// Defines a function that runs the loop of the same name in `body`, compiled for the instructions of a path.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        pub(crate) fn $name(path: Path, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) {
                body::$name($($argument),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) {
                body::$name($($argument),*);
            }
            match path.kind() {
                Kind::Portable => body::$name($($argument),*),
                // SAFETY: a path exists only for instructions that the processor has.
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 | Kind::AvxVnni => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}

/// How accumulators become quotients: `(acc * multiplier + 2^(shift-1)) >> shift`.
#[derive(Clone, Debug)]
pub(crate) struct Scaling {
    /// One multiplier, or whole turns of one per channel.
    multipliers: Vec<i64>,
    shift: u8,
}

impl Scaling {
    /// The multipliers of a node: one, or one per channel.
    pub(crate) fn new(multipliers: &[u32], shift: u8) -> Self {
        // Short turns are repeated, so that loops over them are worth a register.
        let turns = if multipliers.len() > 1 {
            128usize.div_ceil(multipliers.len())
        } else {
            1
        };
        let count = turns * multipliers.len();
        let multipliers = multipliers.iter().cycle().take(count).map(|m| i64::from(*m));
        Self {
            multipliers: multipliers.collect(),
            shift,
        }
    }
}

/// Windows over a value `[height, width, channels]`: the rows and columns under each window's taps.
#[derive(Clone, Debug)]
pub(crate) struct Reduction {
    /// For each row of windows, the rows of the value under its taps.
    pub(crate) rows: Vec<Vec<usize>>,
    /// For each column of windows, the columns under its taps.
    pub(crate) columns: Vec<Vec<usize>>,
    /// Where a window has the same columns, counted from its first, as each other: those after the first.
    pub(crate) taps: Option<Vec<usize>>,
    /// Rows of the value.
    pub(crate) height: usize,
    /// Columns of the value.
    pub(crate) width: usize,
    /// Channels of the value.
    pub(crate) channels: usize,
}

impl Reduction {
    /// The value in each of several runs.
    pub(crate) fn runs<'a>(&self, values: &'a [i8]) -> impl Iterator<Item = &'a [i8]> + use<'a> {
        values.chunks_exact((self.height * self.width * self.channels).max(1))
    }

    /// Elements of the reduced value.
    pub(crate) fn elements(&self) -> usize {
        self.rows.len() * self.columns.len() * self.channels
    }
}

/// A convolution whose groups have one channel and one filter each.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    /// Taps by channels.
    pub(crate) weight: Vec<i8>,
    /// One per channel.
    pub(crate) bias: Vec<i32>,
    /// Where the channels under the first tap of each window begin.
    pub(crate) starts: Vec<usize>,
    /// Where the channels under each tap begin, counted from the first tap.
    pub(crate) taps: Vec<usize>,
}

dispatched! {
    /// Requantises accumulators whose last axis has the multipliers, and clamps.
    requantise(accumulators: &[i32], scaling: &Scaling, low: i8, high: i8, out: &mut [i8])
}

dispatched! {
    /// The entry of `table` for each quotient, clamped to the arguments from `low` on that it has.
    activate(accumulators: &[i32], scaling: &Scaling, low: i16, table: &[i8], out: &mut [i8])
}

dispatched! {
    /// `left * right`, element by element.
    product(left: &[i8], right: &[i8], out: &mut [i32])
}

dispatched! {
    /// Adds `coefficient * value`, element by element, wrapping.
    weighted_sum(value: &[i8], coefficient: i32, out: &mut [i32])
}

dispatched! {
    /// Adds `coefficient * value`, element by element, wrapping: exact where the whole sum lies in int32, whatever its
    /// terms are on the way.
    weighted_wide_sum(value: &[i32], coefficient: i32, out: &mut [i32])
}

dispatched! {
    /// The largest element of each channel under each window.
    window_max(windows: &Reduction, input: &[i8], out: &mut [i8])
}

dispatched! {
    /// The sum of each channel under each window.
    window_sum(windows: &Reduction, input: &[i8], out: &mut [i32])
}

dispatched! {
    /// The accumulators of a depthwise convolution, wrapping.
    depthwise(convolution: &Depthwise, input: &[i8], out: &mut [i32])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accumulators and multipliers up to the bound of a graph: `acc * M + 2^shift < 2^62`.
    fn extremes(shift: u8) -> (Vec<i32>, Vec<u32>) {
        let mut state = u64::from(shift);
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let most = (1i64 << 31) - 1;
        let mut accumulators = vec![0, 1, -1, i32::MAX, -i32::MAX];
        // Numbers of all lengths, of both signs.
        accumulators.extend((0..500).map(|_| {
            let magnitude = next().cast_signed() & (most >> (next() % 31));
            (if next() % 2 == 0 { magnitude } else { -magnitude }) as i32
        }));
        let multipliers = (0..37).map(|i| {
            if i % 3 == 0 {
                (1 << 30) - 1
            } else {
                (next() >> 1) as u32
            }
        });
        (accumulators, multipliers.collect())
    }

    #[test]
    fn all_paths_requantise_alike() {
        for shift in 1..=60 {
            let (accumulators, all) = extremes(shift);
            for multipliers in [&all[..1], &all[1..2], &all[..6], &all] {
                let scaling = Scaling::new(multipliers, shift);
                let table: Vec<i8> = (0..=255u8).map(|i| i.wrapping_mul(29).cast_signed()).collect();
                let pairs = || accumulators.iter().zip(multipliers.iter().cycle());
                let quotient = |(acc, m): (&i32, &u32)| {
                    let product = i128::from(*acc) * i128::from(*m) + (1 << (shift - 1));
                    product.div_euclid(1 << shift)
                };
                for (low, high) in [(-128i8, 127i8), (0, 127), (-5, 3)] {
                    let clamped = |y: i128| y.clamp(low.into(), high.into()) as i8;
                    let expected: Vec<i8> = pairs().map(quotient).map(clamped).collect();
                    let entry = |y: i128| table[(y.clamp(-100, 155) + 100) as usize];
                    let entries: Vec<i8> = pairs().map(quotient).map(entry).collect();
                    for path in Path::all() {
                        let mut out = vec![0; accumulators.len()];
                        requantise(path, &accumulators, &scaling, low, high, &mut out);
                        assert_eq!(out, expected, "{path:?} {shift}");
                        activate(path, &accumulators, &scaling, -100, &table, &mut out);
                        assert_eq!(out, entries, "{path:?} {shift}");
                    }
                }
            }
        }
    }

    #[test]
    fn elements_at_the_ends_are_exact() {
        let ends = [-128i8, -127, 0, 127];
        let left: Vec<i8> = (0..160).map(|i| ends[i % 4]).collect();
        let right: Vec<i8> = (0..160).map(|i| ends[i / 4 % 4]).collect();
        for path in Path::all() {
            let mut out = vec![0; 160];
            product(path, &left, &right, &mut out);
            let found = left
                .iter()
                .zip(&right)
                .map(|(l, r)| i32::from(*l) * i32::from(*r));
            assert!(out.iter().copied().eq(found), "{path:?}");
            let mut out = vec![i32::MAX; 160];
            weighted_sum(path, &left, i32::MAX, &mut out);
            let expected = left
                .iter()
                .map(|l| i32::MAX.wrapping_add(i32::MAX.wrapping_mul(i32::from(*l))));
            assert!(out.iter().copied().eq(expected), "{path:?}");
        }
    }
}
