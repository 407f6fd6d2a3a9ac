//! Field elements one at a time, or a vector register at a time.

use haca_zk::field::{Base, Extension};
use p3_field::extension::PackedCubicTrinomialExtensionField;
use p3_field::{Field, PackedFieldExtension, PackedValue, PrimeCharacteristicRing};

type PackedBase = <Base as Field>::Packing;
/// As many extension elements as the base field packs into one register.
pub(crate) type Packed = PackedCubicTrinomialExtensionField<Base, PackedBase>;
/// Elements of one [`Packed`].
pub(crate) const WIDTH: usize = <PackedBase as PackedValue>::WIDTH;

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
