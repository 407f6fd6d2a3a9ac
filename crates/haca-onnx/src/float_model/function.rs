//! Functions of one real, from operations that IEEE 754 fixes: the same result on every machine.

use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2};

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FloatFunction {
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
        /// The slope, from 0 on.
        slope: f32,
    },
    /// `min(1, max(0, alpha x + beta))`.
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at zero.
        beta: f32,
    },
    /// `x * min(1, max(0, x / 6 + 1/2))`.
    HardSwish,
    /// The error function. It stands only in networks under construction: integer graphs have no table of it.
    Erf,
}

impl FloatFunction {
    /// The value at `x`.
    pub fn at(self, x: f32) -> f32 {
        let x = f64::from(x);
        let value = match self {
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => 2.0 * sigmoid(2.0 * x) - 1.0,
            Self::Silu => x * sigmoid(x),
            Self::Gelu => x * 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (x + 0.044715 * x * x * x);
                x * sigmoid(2.0 * inner)
            }
            Self::Softplus => x.max(0.0) + log_1p(exp(-x.abs())),
            Self::LeakyRelu { slope } if x < 0.0 => f64::from(slope) * x,
            Self::LeakyRelu { .. } => x,
            Self::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Erf => erf(x),
        };
        value as f32
    }

    /// The magnitude of an argument beyond which the result moves by less than a step of int8.
    pub(crate) fn reach(self) -> Option<f64> {
        match self {
            Self::Sigmoid => Some(8.0),
            Self::Tanh => Some(4.0),
            _ => None,
        }
    }

    /// Name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::Silu => "Silu",
            Self::Gelu => "Gelu",
            Self::GeluTanh => "GeluTanh",
            Self::Softplus => "Softplus",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Erf => "Erf",
        }
    }
}

/// `e^x` for `x <= 0`: a power of two times a Taylor series on half a binary order.
fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let twos = (x / LN_2).round();
    let rest = x - twos * LN_2;
    let series = (1..=16).rev().fold(1.0, |sum, k| 1.0 + sum * rest / f64::from(k));
    // `-twos` is at most 1010.
    let halvings = -twos as i32;
    (0..halvings).fold(series, |value, _| value * 0.5)
}

fn sigmoid(x: f64) -> f64 {
    let decay = exp(-x.abs());
    let small = decay / (1.0 + decay);
    if x < 0.0 { small } else { 1.0 - small }
}

/// `ln(1 + u)` for `0 <= u <= 1`.
fn log_1p(u: f64) -> f64 {
    let z = u / (2.0 + u);
    let square = z * z;
    let series = (0..20)
        .rev()
        .fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    2.0 * z * series
}

fn erf(x: f64) -> f64 {
    let w = x.abs();
    if w >= 6.0 {
        return x.signum();
    }
    let square = w * w;
    let series = (1..=160)
        .rev()
        .fold(1.0, |sum, k| 1.0 + sum * 2.0 * square / f64::from(2 * k + 1));
    let value = FRAC_2_SQRT_PI * w * exp(-square) * series;
    if x < 0.0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_the_machine() {
        for step in -4000..=4000 {
            let x = f64::from(step) / 200.0;
            let close = |found: f64, expected: f64| {
                assert!(
                    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
                    "{found} for {expected} at {x}"
                );
            };
            close(exp(-x.abs()), (-x.abs()).exp());
            close(sigmoid(x), 1.0 / (1.0 + (-x).exp()));
            close(log_1p(exp(-x.abs())), (-x.abs()).exp().ln_1p());
        }
        for (x, expected) in [
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (-2.0, -0.995_322_265_018_952_7),
            (3.5, 0.999_999_256_901_627_7),
        ] {
            assert!((erf(x) - expected).abs() < 1e-13, "{}", erf(x));
        }
    }
}
