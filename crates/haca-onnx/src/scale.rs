//! Between reals and integers: exact scales from floats, and input tensors from reals.

use haca_wire::{Scale, Tensor, TensorSpec};

use crate::{OnnxError, Sample};

/// Bits of the mantissa of a scale made here, so that the product of two such scales is a scale as well.
const MANTISSA_BITS: u32 = 16;

/// A finite magnitude as `mantissa * 2^exponent`, exactly.
fn decompose(real: f64) -> (u64, i32) {
    let bits = real.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    // Eleven bits, so the cast is exact.
    match ((bits >> 52) & 0x7ff) as i32 {
        0 => (fraction, -1074),
        biased => (fraction | 1 << 52, biased - 1075),
    }
}

/// The least scale of at most 16 bits of mantissa and a shift of at most `max_shift` that is not below `real`;
/// `None` when `real` is not positive and finite, or is 2^32 or more.
pub fn scale_at_least(real: f64, max_shift: u8) -> Option<Scale> {
    if !(real.is_finite() && real > 0.0) {
        return None;
    }
    let (mut mantissa, mut exponent) = decompose(real);
    let lowest = -i32::from(max_shift.min(Scale::MAX_SHIFT));
    // Rounds up one bit at a time; at most 53 + 1012 steps.
    while u64::BITS - mantissa.leading_zeros() > MANTISSA_BITS || exponent < lowest {
        mantissa = mantissa.div_ceil(2);
        exponent += 1;
    }
    if exponent <= 0 {
        return Scale::new(u32::try_from(mantissa).ok()?, u8::try_from(-exponent).ok()?);
    }
    let whole = mantissa.checked_mul(1u64.checked_shl(exponent.unsigned_abs())?)?;
    Scale::new(u32::try_from(whole).ok()?, 0)
}

/// The product of two scales; `None` when it does not fit.
pub(crate) fn scale_product(a: Scale, b: Scale) -> Option<Scale> {
    let mut mantissa = u64::from(a.mantissa()) * u64::from(b.mantissa());
    let mut shift = u16::from(a.shift()) + u16::from(b.shift());
    while mantissa.is_multiple_of(2) && shift > 0 {
        mantissa /= 2;
        shift -= 1;
    }
    Scale::new(u32::try_from(mantissa).ok()?, u8::try_from(shift).ok()?)
}

/// The real value of a scale, exact: the mantissa has at most 32 bits.
pub(crate) fn scale_to_f64(scale: Scale) -> f64 {
    f64::from(scale.mantissa()) / (1u64 << scale.shift()) as f64
}

/// Quantises reals to the tensor of an input: each `v` becomes `v / scale` rounded to the nearest integer, halves
/// away from zero, saturated to the element type (step G11 of `spec/graph.md`). The arithmetic is exact, so the
/// result agrees with the one for the decimal expansion of each `v`.
///
/// # Errors
///
/// A wrong number of values, or values that are not finite.
pub fn quantise_input(spec: &TensorSpec, values: &[f64]) -> Result<Tensor, OnnxError> {
    let what = || format!("input \"{}\"", spec.name);
    let (found, expected) = (values.len(), spec.shape.elements());
    if found != expected {
        return Err(OnnxError::SampleSize {
            what: what(),
            found,
            expected,
        });
    }
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        return Err(OnnxError::NotFinite {
            what: what(),
            index,
            found: values[index],
        });
    }
    let (low, high) = spec.dtype.range();
    let quantised = values
        .iter()
        .map(|v| round_quotient(*v, spec.scale).clamp(low, high))
        .collect();
    Tensor::new(spec.dtype, spec.shape.clone(), quantised).ok_or(OnnxError::SampleSize {
        what: what(),
        found,
        expected,
    })
}

/// Quantises a sample to the input tensors of a graph.
///
/// # Errors
///
/// As [`quantise_input`], or a wrong number of inputs.
pub fn quantise_sample(specs: &[TensorSpec], sample: &Sample) -> Result<Vec<Tensor>, OnnxError> {
    let (found, expected) = (sample.0.len(), specs.len());
    if found != expected {
        return Err(OnnxError::SampleSize {
            what: "lists in a sample".to_owned(),
            found,
            expected,
        });
    }
    specs
        .iter()
        .zip(&sample.0)
        .map(|(spec, values)| quantise_input(spec, values))
        .collect()
}

/// `value * 2^shift / mantissa`, rounded half away from zero; saturates at the ends of i64.
fn round_quotient(value: f64, scale: Scale) -> i64 {
    let (mantissa, exponent) = decompose(value);
    let exponent = exponent + i32::from(scale.shift());
    let divisor = u128::from(scale.mantissa());
    let magnitude = if exponent >= 0 {
        // 53 bits shifted by up to 70 fit; beyond that the quotient is above 2^63 anyway.
        if mantissa != 0 && exponent > 70 {
            u128::MAX
        } else {
            let numerator = u128::from(mantissa) << exponent.min(70);
            (2 * numerator + divisor) / (2 * divisor)
        }
    } else if exponent < -80 {
        // Below 2^53 / 2^80: less than half.
        0
    } else {
        let divisor = divisor << exponent.unsigned_abs();
        (2 * u128::from(mantissa) + divisor) / (2 * divisor)
    };
    let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
    if value < 0.0 { -magnitude } else { magnitude }
}
