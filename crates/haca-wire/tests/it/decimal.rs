//! Exact quantisation against its definition, in numbers of any size.

use haca_wire::render::Decimal;
use haca_wire::{DType, Scale};
use num_bigint::BigInt;
use proptest::prelude::*;

use crate::sample::Sample;

/// Whether `q` is `digits · 10^exponent · 2^shift / mantissa`, rounded half away from zero and clamped: asked of
/// the inequalities that say so, without dividing.
fn is_quantised(negative: bool, digits: u64, exponent: i32, scale: Scale, dtype: DType, q: i64) -> bool {
    let ten = |power: i32| BigInt::from(10).pow(power.max(0).unsigned_abs());
    let numerator = BigInt::from(digits) * ten(exponent) * (BigInt::from(1) << scale.shift());
    let denominator = BigInt::from(scale.mantissa()) * ten(exponent.saturating_neg());
    let (low, high) = dtype.range();
    let limit = if negative {
        -BigInt::from(low)
    } else {
        BigInt::from(high)
    };
    let q = if negative {
        -BigInt::from(q)
    } else {
        BigInt::from(q)
    };
    let doubled: BigInt = numerator * 2;
    let at_least = doubled >= (&q * 2 - 1) * &denominator;
    let below = doubled < (&q * 2 + 1) * &denominator;
    if q == limit {
        at_least
    } else {
        q >= BigInt::ZERO && q < limit && at_least && below
    }
}

fn check(negative: bool, digits: u64, exponent: i32, scale: Scale, dtype: DType) -> i64 {
    let q = Decimal::new(negative, digits, exponent).quantise(scale, dtype);
    assert!(
        is_quantised(negative, digits, exponent, scale, dtype, q),
        "±{digits}e{exponent} by {scale:?} as {dtype:?} gave {q}"
    );
    q
}

fn digits() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0u64..1000, Just(9_999_999_999_999_999_999), Just(0)]
}

fn exponent() -> impl Strategy<Value = i32> {
    prop_oneof![-45..45i32, -25..5i32, -600..600i32]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn quantise_is_the_nearest_integer(negative: bool, digits in digits(), exponent in exponent(),
                                       scale in Scale::any(), dtype in DType::any()) {
        check(negative, digits, exponent, scale, dtype);
    }

    #[test]
    fn ties_round_away_from_zero(q in 0i64..1 << 40, mantissa in 1u32..1000, negative: bool) {
        // (2q + 1) · mantissa · 5 / 10 is half way between q and q + 1 steps of the scale `mantissa`.
        let scale = Scale::new(mantissa, 0).unwrap();
        let digits = (2 * q.unsigned_abs() + 1) * u64::from(mantissa) * 5;
        let expected = if negative { -(q + 1) } else { q + 1 };
        prop_assert_eq!(check(negative, digits, -1, scale, DType::I64), expected);
        // The smallest step to either side that 19 digits can hold decides it.
        prop_assert_eq!(check(negative, digits - 1, -1, scale, DType::I64).abs(), q);
        prop_assert_eq!(check(negative, digits + 1, -1, scale, DType::I64).abs(), q + 1);
    }
}

#[test]
fn the_corners() {
    let finest = Scale::new(1, Scale::MAX_SHIFT).unwrap();
    let coarsest = Scale::new(u32::MAX, 0).unwrap();
    for scale in [
        finest,
        coarsest,
        Scale::ONE,
        Scale::new(u32::MAX, Scale::MAX_SHIFT).unwrap(),
    ] {
        for dtype in [DType::I8, DType::I16, DType::I32, DType::I64] {
            for digits in [0, 1, 5, u64::MAX - 1, u64::MAX] {
                // The exponents around which 10^e, the numerator or the denominator leave 128 bits.
                for exponent in (-60..=60).chain([-400, 400]) {
                    check(false, digits, exponent, scale, dtype);
                    check(true, digits, exponent, scale, dtype);
                }
            }
        }
    }
    for exponent in [i32::MIN, -5_000_000] {
        assert_eq!(
            Decimal::new(false, u64::MAX, exponent).quantise(finest, DType::I64),
            0
        );
    }
    for exponent in [5_000_000, i32::MAX] {
        assert_eq!(
            Decimal::new(true, 1, exponent).quantise(coarsest, DType::I64),
            i64::MIN
        );
        assert_eq!(Decimal::new(true, 0, exponent).quantise(coarsest, DType::I64), 0);
    }
}
