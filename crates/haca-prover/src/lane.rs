//! Field elements one at a time, or a vector register at a time.

use haca_zk::field::{Base, Extension};
use p3_field::extension::PackedCubicTrinomialExtensionField;
use p3_field::{Field, PackedFieldExtension, PackedValue, PrimeCharacteristicRing};
use rayon::prelude::*;

/// As many elements of the base field as fit into one register.
pub(crate) type PackedBase = <Base as Field>::Packing;
/// As many extension elements as the base field packs into one register.
pub(crate) type Packed = PackedCubicTrinomialExtensionField<Base, PackedBase>;
/// Elements of one [`Packed`].
pub(crate) const WIDTH: usize = <PackedBase as PackedValue>::WIDTH;

/// Items below which a loop is not worth splitting between threads.
pub(crate) const PARALLEL: usize = 2048;

/// One or several extension elements.
pub(crate) trait Lane: PrimeCharacteristicRing + Copy + Send + Sync {
    /// The same element in each place.
    fn lift(value: Extension) -> Self;
    /// The sum over all places.
    fn total(self) -> Extension;
}

impl Lane for Extension {
    fn lift(value: Extension) -> Self {
        value
    }
    fn total(self) -> Extension {
        self
    }
}

impl Lane for Packed {
    fn lift(value: Extension) -> Self {
        Self::from(value)
    }
    fn total(self) -> Extension {
        <Self as PackedFieldExtension<Base, Extension>>::to_ext_iter([self]).sum()
    }
}

/// Packs a slice whose length is a multiple of the width.
pub(crate) fn pack(values: &[Extension]) -> Vec<Packed> {
    values
        .chunks_exact(WIDTH)
        .map(<Packed as PackedFieldExtension<Base, Extension>>::from_ext_slice)
        .collect()
}

/// The elements of packed values, in order.
pub(crate) fn unpack(values: &[Packed]) -> Vec<Extension> {
    <Packed as PackedFieldExtension<Base, Extension>>::to_ext_iter(values.iter().copied()).collect()
}

/// The sums of both parts over all indices below `count`.
pub(crate) fn sum_pairs<A: Lane>(
    count: usize,
    f: impl Fn(usize) -> (A, A) + Sync + Send,
) -> (Extension, Extension) {
    let step = |(a, b): (A, A), i: usize| {
        let (x, y) = f(i);
        (a + x, b + y)
    };
    let zero = || (A::ZERO, A::ZERO);
    let (a, b) = if count >= PARALLEL {
        let parts = (0..count)
            .into_par_iter()
            .with_min_len(PARALLEL / 2)
            .fold(zero, step);
        parts.reduce(zero, |x, y| (x.0 + y.0, x.1 + y.1))
    } else {
        (0..count).fold(zero(), step)
    };
    (a.total(), b.total())
}

/// Fixes the first variable of a multilinear polynomial.
pub(crate) fn fold<A: Lane>(values: &mut Vec<A>, challenge: A) {
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    if half >= PARALLEL {
        let pairs = low.par_iter_mut().with_min_len(PARALLEL / 2).zip(high.par_iter());
        pairs.for_each(|(l, h)| *l += challenge * (*h - *l));
    } else {
        low.iter_mut()
            .zip(high.iter())
            .for_each(|(l, h)| *l += challenge * (*h - *l));
    }
    values.truncate(half);
}
