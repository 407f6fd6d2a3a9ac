//! Exact decimals, and their exact quantisation.

use crate::quant::Scale;
use crate::tensor::DType;

/// A decimal number `±digits × 10^exponent`, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    pub(super) negative: bool,
    pub(super) digits: u64,
    pub(super) exponent: i32,
}

impl Decimal {
    /// `±digits × 10^exponent`.
    pub const fn new(negative: bool, digits: u64, exponent: i32) -> Self {
        Self {
            negative,
            digits,
            exponent,
        }
    }

    /// The integer nearest to `self / scale`, ties away from zero, held within the element type's range.
    ///
    /// `|self| / scale` is `digits · 10^exponent · 2^shift / mantissa`. The numerator is at most
    /// `2^64 · 10^e · 2^62`, the denominator at most `10^-e · 2^32`. Where the numerator leaves `u128` with
    /// `exponent >= 0`, the quotient is above `2^128 / 2^32`, and where it does not for a negative exponent but
    /// the denominator does, the quotient is below `2^126 / 2^128`: both are decided without the product.
    pub fn quantise(self, scale: Scale, dtype: DType) -> i64 {
        let (low, high) = dtype.range();
        let rounded = self.rounded_magnitude(scale);
        if self.negative {
            let limit = low.unsigned_abs();
            let magnitude = u64::try_from(rounded).unwrap_or(u64::MAX).min(limit);
            0i64.checked_sub_unsigned(magnitude).unwrap_or(low)
        } else {
            i64::try_from(rounded).unwrap_or(i64::MAX).min(high)
        }
    }

    /// `round(|self| / scale)`, ties up; `u128::MAX` stands for anything too large for it.
    fn rounded_magnitude(self, scale: Scale) -> u128 {
        if self.digits == 0 {
            return 0;
        }
        let base = u128::from(self.digits).saturating_mul(1u128.rotate_left(u32::from(scale.shift())));
        let mantissa = u128::from(scale.mantissa());
        let power = 10u128.checked_pow(self.exponent.unsigned_abs());
        if self.exponent >= 0 {
            let numerator = power.and_then(|power| base.checked_mul(power));
            return numerator.map_or(u128::MAX, |numerator| divide_half_up(numerator, mantissa));
        }
        let denominator = power.and_then(|power| mantissa.checked_mul(power));
        denominator.map_or(0, |denominator| divide_half_up(base, denominator))
    }
}

/// `numerator / denominator` to the nearest integer, ties up. The denominator is positive.
fn divide_half_up(numerator: u128, denominator: u128) -> u128 {
    let quotient = numerator.checked_div(denominator).unwrap_or(u128::MAX);
    let remainder = numerator.checked_rem(denominator).unwrap_or(0);
    // remainder >= denominator - remainder is 2·remainder >= denominator without the overflow.
    let up = remainder >= denominator.saturating_sub(remainder);
    quotient.saturating_add(u128::from(up))
}
