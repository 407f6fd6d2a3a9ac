//! The closed catalogue of functions that a table may hold, each an exact integer algorithm: section F of
//! `spec/graph.md`.
//!
//! Reals are integers over `2^48`, products and quotients are rounded down. The algorithms are the definition: an
//! implementation that computes "the same function" in floating point may differ in an entry.

mod encoding;

use haca_wire::Scale;

use crate::bound::in_range;
use crate::{GraphError, Place, limit};

/// Fractional bits.
const FRACTION: u32 = 48;
const ONE: i128 = 1 << FRACTION;
const LN_2: i128 = 195_103_586_505_167;
const SQRT_2_OVER_PI: i128 = 224_584_538_169_778;
const TWO_OVER_SQRT_PI: i128 = 317_610_499_778_998;
const SQRT_HALF: i128 = 199_032_864_766_430;
const CUBIC: i128 = 12_586_153_583_616;
/// From this magnitude on a function equals its asymptote.
const TAIL: i128 = 64 << FRACTION;

/// What a function computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * (1 + erf(x / sqrt 2)) / 2`.
    Gelu,
    /// `x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))`.
    GeluTanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x`, times the slope below zero.
    LeakyRelu {
        /// The slope.
        slope: Scale,
    },
    /// `min(1, max(0, alpha x + beta))`.
    HardSigmoid {
        /// The slope.
        alpha: Scale,
        /// The value at zero.
        beta: Scale,
    },
    /// `x * min(1, max(0, x / 6 + 1/2))`.
    HardSwish,
    /// `floor(x / 2^bits)`: with [`FunctionKind::LowDigit`], a wide integer in two int8 digits.
    HighDigit {
        /// Bits of the low digit, 1 to 7.
        bits: u8,
    },
    /// `x - 2^bits * floor(x / 2^bits)`.
    LowDigit {
        /// Bits of the digit, 1 to 7.
        bits: u8,
    },
}

/// A function of requantised accumulators, as a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// What it computes.
    pub kind: FunctionKind,
    /// What one unit of the argument stands for.
    pub argument: Scale,
    /// What one unit of the result stands for.
    pub result: Scale,
    /// Smallest argument; smaller ones are taken for it.
    pub low: i16,
    /// Largest argument; larger ones are taken for it.
    pub high: i16,
}

impl Function {
    /// The results, from [`Function::low`] on.
    pub fn table(&self) -> Vec<i8> {
        (self.low..=self.high).map(|argument| self.at(argument)).collect()
    }

    /// The result for one argument.
    pub fn at(&self, argument: i16) -> i8 {
        // `clamp` panics for an empty range, which an unchecked function may have.
        let argument = argument.max(self.low).min(self.high);
        let x = real(i128::from(argument), self.argument);
        round(self.kind.value(x), self.result)
    }

    pub(crate) fn check(&self, place: Place) -> Result<(), GraphError> {
        let (low, high) = (i64::from(self.low), i64::from(self.high));
        let most = low.saturating_add((1 << limit::TABLE_BITS) - 1);
        if high < low || high > most {
            return Err(GraphError::Range {
                place,
                found: high,
                low,
                high: most,
            });
        }
        match self.kind {
            FunctionKind::HighDigit { bits } | FunctionKind::LowDigit { bits } => {
                in_range(place, i64::from(bits), 1, i64::from(limit::DIGIT_BITS))
            }
            _ => Ok(()),
        }
    }

    /// Arguments of the table.
    pub fn arguments(&self) -> usize {
        let span = i32::from(self.high).saturating_sub(i32::from(self.low));
        usize::try_from(span.saturating_add(1)).unwrap_or(0)
    }
}

impl FunctionKind {
    fn value(self, x: i128) -> i128 {
        match self {
            Self::LeakyRelu { slope } if x < 0 => scaled(x, slope),
            Self::LeakyRelu { .. } => x,
            Self::HardSigmoid { alpha, beta } => {
                scaled(x, alpha).saturating_add(scaled(ONE, beta)).clamp(0, ONE)
            }
            Self::HardSwish if x.saturating_abs() >= TAIL => x.max(0),
            Self::HardSwish => {
                let gate = x.div_euclid(6).saturating_add(ONE / 2);
                multiply(x, gate.clamp(0, ONE))
            }
            Self::HighDigit { bits } => high_digit(x, bits),
            Self::LowDigit { bits } => {
                x.saturating_sub(high_digit(x, bits).checked_shl(u32::from(bits)).unwrap_or(0))
            }
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => sigmoid(x.saturating_mul(2)).saturating_mul(2).saturating_sub(ONE),
            Self::Silu | Self::Gelu | Self::GeluTanh | Self::Softplus if x.saturating_abs() >= TAIL => {
                x.max(0)
            }
            Self::Silu => multiply(x, sigmoid(x)),
            Self::Gelu => multiply(x, ONE.saturating_add(erf(multiply(x, SQRT_HALF))) >> 1),
            Self::GeluTanh => {
                let cube = multiply(multiply(x, x), multiply(x, CUBIC));
                let inner = multiply(x.saturating_add(cube), SQRT_2_OVER_PI);
                multiply(x, sigmoid(inner.saturating_mul(2)))
            }
            Self::Softplus => {
                let decay = exponential(x.saturating_abs());
                x.max(0).saturating_add(logarithm(decay))
            }
        }
    }
}

/// `floor(x / 2^bits)`, a whole number. More bits than a checked function has are as good as the most.
fn high_digit(x: i128, bits: u8) -> i128 {
    let fraction = FRACTION.saturating_add(u32::from(bits.min(limit::DIGIT_BITS)));
    x.checked_shr(fraction)
        .and_then(|digit| digit.checked_shl(FRACTION))
        .unwrap_or(0)
}

/// `floor(a * b / 2^48)`. All callers stay below `2^126`, so the product never saturates.
fn multiply(a: i128, b: i128) -> i128 {
    a.saturating_mul(b) >> FRACTION
}

/// `value * scale`, rounded down; `value` counts units of `2^-48`, at most `2^95` of them, so nothing saturates.
fn scaled(value: i128, scale: Scale) -> i128 {
    value.saturating_mul(i128::from(scale.mantissa())) >> scale.shift().min(126)
}

/// An integer under a scale.
fn real(value: i128, scale: Scale) -> i128 {
    scaled(value.saturating_mul(ONE), scale)
}

/// The nearest int8 to a real under a scale, halves away from zero. What saturates here lies beyond `2^46` units of
/// the result, so the clamp to int8 gives what unbounded integers would.
fn round(value: i128, scale: Scale) -> i8 {
    let shift = u32::from(scale.shift());
    let mantissa = i128::from(scale.mantissa()).max(1);
    let (numerator, unit) = if shift <= FRACTION {
        (
            value,
            mantissa.saturating_mul(1 << FRACTION.saturating_sub(shift)),
        )
    } else {
        (
            value.saturating_mul(1 << shift.saturating_sub(FRACTION).min(64)),
            mantissa,
        )
    };
    let doubled = numerator.saturating_abs().saturating_mul(2).saturating_add(unit);
    let magnitude = doubled.checked_div(unit.saturating_mul(2)).unwrap_or(0);
    let rounded = if numerator < 0 {
        magnitude.saturating_neg()
    } else {
        magnitude
    };
    i8::try_from(rounded.clamp(i128::from(i8::MIN), i128::from(i8::MAX))).unwrap_or(0)
}

/// `e^-u` for `u >= 0`: `u = n ln 2 + r`, then 20 terms of the series of `e^-r` from the last to the first.
fn exponential(u: i128) -> i128 {
    let halvings = u.div_euclid(LN_2);
    let rest = u.rem_euclid(LN_2);
    let mut sum = ONE;
    for k in (1..=20).rev() {
        sum = ONE.saturating_sub(multiply(rest, sum).div_euclid(k));
    }
    u32::try_from(halvings)
        .ok()
        .and_then(|n| sum.checked_shr(n))
        .unwrap_or(0)
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: i128) -> i128 {
    let decay = exponential(x.saturating_abs());
    let below = decay.saturating_mul(ONE).div_euclid(ONE.saturating_add(decay));
    if x < 0 { below } else { ONE.saturating_sub(below) }
}

/// `ln(1 + u)` for `0 <= u <= 1`: twice the series of the inverse hyperbolic tangent of `u / (2 + u)`, 18 terms.
fn logarithm(u: i128) -> i128 {
    let z = u
        .saturating_mul(ONE)
        .div_euclid(ONE.saturating_mul(2).saturating_add(u));
    let square = multiply(z, z);
    let (mut sum, mut power) = (0i128, z);
    for k in (1..=35).step_by(2) {
        sum = sum.saturating_add(power.div_euclid(k));
        power = multiply(power, square);
    }
    sum.saturating_mul(2)
}

/// `erf(w)`: 1 from 4 on; below, `2 / sqrt pi * e^(-w^2) * sum 2^k w^(2k+1) / (1 * 3 * .. (2k+1))`, 100 terms.
fn erf(w: i128) -> i128 {
    let magnitude = w.saturating_abs();
    let value = if magnitude >= 4 * ONE {
        ONE
    } else {
        let square = multiply(magnitude, magnitude);
        let (mut sum, mut term) = (0i128, magnitude);
        for k in (3..=201).step_by(2) {
            if term == 0 {
                // So are all terms behind it.
                break;
            }
            sum = sum.saturating_add(term);
            term = multiply(term.saturating_mul(2), square).div_euclid(k);
        }
        multiply(multiply(sum, exponential(square)), TWO_OVER_SQRT_PI).min(ONE)
    };
    if w < 0 { value.saturating_neg() } else { value }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

    use super::*;

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// Abramowitz and Stegun 7.1.5, enough terms below 5.
    fn erf(w: f64) -> f64 {
        if w.abs() > 5.0 {
            return w.signum();
        }
        let (mut sum, mut term) = (0.0, w);
        for k in 0..200 {
            sum += term / f64::from(2 * k + 1);
            term *= -w * w / f64::from(k + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    fn unit(scale: Scale) -> f64 {
        f64::from(scale.mantissa()) / 2f64.powi(i32::from(scale.shift()))
    }

    fn reference(kind: FunctionKind, x: f64) -> f64 {
        match kind {
            FunctionKind::Sigmoid => sigmoid(x),
            FunctionKind::Tanh => x.tanh(),
            FunctionKind::Silu => x * sigmoid(x),
            FunctionKind::Gelu => x * (1.0 + erf(x / 2f64.sqrt())) / 2.0,
            FunctionKind::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                x * (1.0 + u.tanh()) / 2.0
            }
            FunctionKind::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            FunctionKind::LeakyRelu { slope } if x < 0.0 => x * unit(slope),
            FunctionKind::LeakyRelu { .. } => x,
            FunctionKind::HardSigmoid { alpha, beta } => (x * unit(alpha) + unit(beta)).clamp(0.0, 1.0),
            FunctionKind::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            FunctionKind::HighDigit { bits } => (x / f64::from(1 << bits)).floor(),
            FunctionKind::LowDigit { bits } => x.rem_euclid(f64::from(1 << bits)),
        }
    }

    fn kinds() -> Vec<FunctionKind> {
        let scale = |m, t| Scale::new(m, t).unwrap();
        let (alpha, beta) = (scale(1, 3), scale(1, 1));
        vec![
            FunctionKind::Sigmoid,
            FunctionKind::Tanh,
            FunctionKind::Silu,
            FunctionKind::Gelu,
            FunctionKind::GeluTanh,
            FunctionKind::Softplus,
            FunctionKind::LeakyRelu { slope: scale(13, 7) },
            FunctionKind::HardSigmoid { alpha, beta },
            FunctionKind::HardSwish,
            FunctionKind::HighDigit { bits: 3 },
            FunctionKind::LowDigit { bits: 3 },
        ]
    }

    /// Every kind against floating point: an entry may differ only where the real value is at a tie.
    #[test]
    fn tables_are_the_functions() {
        let scale = |m, t| Scale::new(m, t).unwrap();
        let scales = [
            (scale(77, 10), scale(51, 12)),
            (scale(3, 2), scale(5, 3)),
            (scale(9, 0), scale(7, 0)),
            (scale(1, 8), scale(1, 14)),
        ];
        for (kind, (argument, result)) in kinds().into_iter().flat_map(|kind| scales.map(|s| (kind, s))) {
            let function = Function {
                kind,
                argument,
                result,
                low: -300,
                high: 300,
            };
            for (y, found) in (-300i32..=300).zip(function.table()) {
                let exact = reference(kind, f64::from(y) * unit(argument)) / unit(result);
                let expected = exact.clamp(-128.0, 127.0);
                let error = (f64::from(found) - expected).abs();
                assert!(error <= 0.5 + 1e-6, "{kind:?} at {y}: {found}, {expected}");
            }
        }
    }

    /// The widest scales and arguments: nothing saturates on the way, so signs and asymptotes stay right.
    #[test]
    fn extreme_scales_end_at_the_asymptotes() {
        let scale = |m, t| Scale::new(m, t).unwrap();
        let (most, least) = (scale(u32::MAX, 0), scale(1, 62));
        let wide = [
            FunctionKind::LeakyRelu { slope: most },
            FunctionKind::HardSigmoid {
                alpha: most,
                beta: most,
            },
        ];
        for kind in kinds().into_iter().chain(wide) {
            for (argument, result) in [(most, most), (most, least), (least, most), (least, least)] {
                for y in [i16::MIN, -1, 0, 1, i16::MAX] {
                    let function = Function {
                        kind,
                        argument,
                        result,
                        low: y,
                        high: y,
                    };
                    let exact = reference(kind, f64::from(y) * unit(argument)) / unit(result);
                    let expected = exact.clamp(-128.0, 127.0);
                    // Finer than the fraction: such entries follow from rounding down.
                    let coarse = (argument, result) == (least, least);
                    let error = (f64::from(function.at(y)) - expected).abs();
                    assert!(coarse || error <= 0.5 + 1e-6, "{kind:?} at {y}: {expected}");
                }
            }
        }
    }

    /// Two digits are the clamped integer itself.
    #[test]
    fn digits_make_up_the_integer() {
        for (bits, low, high) in [(5, 0, 4095), (4, -2048, 2047), (7, -2000, 2000), (1, -256, 255)] {
            let digits = [FunctionKind::HighDigit { bits }, FunctionKind::LowDigit { bits }];
            let [high_digit, low_digit] = digits.map(|kind| Function {
                kind,
                argument: Scale::ONE,
                result: Scale::ONE,
                low,
                high,
            });
            for y in i16::MIN..=i16::MAX {
                let (h, l) = (i16::from(high_digit.at(y)), i16::from(low_digit.at(y)));
                assert_eq!(
                    h * (1 << bits) + l,
                    y.max(low).min(high),
                    "{y} in digits of {bits} bits"
                );
                assert!((0..1 << bits).contains(&l));
            }
        }
    }

    #[test]
    fn an_empty_range_does_not_panic() {
        let function = Function {
            kind: FunctionKind::Gelu,
            argument: Scale::ONE,
            result: Scale::ONE,
            low: 5,
            high: 4,
        };
        assert_eq!(
            (function.at(0), function.table().len(), function.arguments()),
            (4, 0, 0)
        );
    }
}
