//! The fields, hash functions and backends of the proof system, named once.
//!
//! Base field: Goldilocks, `p = 2^64 - 2^32 + 1`. Challenges: its cubic extension, about 192 bits. Merkle trees and
//! transcript: BLAKE3. Polynomial commitments: WHIR over Reed-Solomon codes of the base field.

use p3_challenger::SerializingChallenger64;
use p3_dft::Radix2DFTSmallBatch;
use p3_field::extension::CubicTrinomialExtensionField;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use p3_goldilocks::Goldilocks;
use p3_symmetric::MerkleCap;

use crate::byte_challenger::ByteChallenger;

/// The base field.
pub type Base = Goldilocks;
/// The field of challenges.
pub type Extension = CubicTrinomialExtensionField<Goldilocks>;
/// Binary Merkle trees of BLAKE3 digests.
pub type Mmcs = crate::merkle::Trees;
/// The Fiat-Shamir sponge.
pub type Challenger = SerializingChallenger64<Base, ByteChallenger>;
/// The encoder.
pub type Dft = Radix2DFTSmallBatch<Base>;
/// A Merkle root, as the backend holds it.
pub type Cap = MerkleCap<Base, [u8; 32]>;

/// Bytes of one base field element on the wire.
pub const BASE_BYTES: usize = 8;
/// Bytes of one extension field element on the wire.
pub const EXTENSION_BYTES: usize = 24;
/// The characteristic of the field.
pub const CHARACTERISTIC: u64 = <Goldilocks as PrimeField64>::ORDER_U64;

/// The Merkle tree backend. It has no state.
pub fn mmcs() -> Mmcs {
    Mmcs::default()
}

/// A root as the backend holds it.
pub fn cap(root: [u8; 32]) -> Cap {
    Cap::from(vec![root])
}

/// The element that stands for an integer.
pub fn base(value: i64) -> Base {
    Base::from_i64(value)
}

/// The element that stands for an integer, in the extension.
pub fn extension(value: i64) -> Extension {
    Extension::from(base(value))
}

/// `2^bits` in the base field, for any number of bits.
pub fn power_of_two(bits: usize) -> Base {
    Base::TWO.exp_u64(bits as u64)
}

/// An extension element from its three coefficients, each below the characteristic.
pub fn from_coefficients(coefficients: [u64; 3]) -> Option<Extension> {
    if coefficients.iter().any(|c| *c >= CHARACTERISTIC) {
        return None;
    }
    Extension::from_basis_coefficients_slice(&coefficients.map(Base::from_u64))
}

/// The canonical bytes of a base field element.
pub fn base_bytes(value: Base) -> [u8; BASE_BYTES] {
    value.as_canonical_u64().to_le_bytes()
}

/// The canonical bytes of an extension field element.
pub fn extension_bytes(value: Extension) -> Vec<u8> {
    let coefficients: &[Base] = value.as_basis_coefficients_slice();
    coefficients.iter().flat_map(|c| base_bytes(*c)).collect()
}
