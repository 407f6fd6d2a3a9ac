//! Multipliers and shifts.

use crate::OnnxError;

/// Largest magnitude of an int8 activation or weight.
pub(super) const STEPS: f64 = 127.0;
/// Largest shift chosen; a finer step than 2^-20 of an activation step gains nothing.
const SHIFT: u8 = 20;
/// Share of an output step that a rounded coefficient or multiplier may cost at the end of the range.
const ROUNDING: f64 = 0.0625;

#[derive(Clone, Debug)]
pub(super) struct Requantisation {
    pub(super) multipliers: Vec<u32>,
    pub(super) shift: u8,
}

/// Multipliers of 16 bits for given steps, rounded to nearest.
pub(super) fn rounded(name: &str, steps: &[f64], s_out: f64) -> Result<Requantisation, OnnxError> {
    let ratios = steps.iter().map(|step| step / s_out);
    let shift = shift_for(ratios.clone().fold(0.0, f64::max), 65535.0);
    let unit = power_of_two(shift);
    let multipliers = ratios.map(|ratio| checked_multiplier(name, (ratio * unit).round()));
    Ok(Requantisation {
        multipliers: multipliers.collect::<Result<_, _>>()?,
        shift,
    })
}

/// One multiplier of as few bits as keep its rounding below a sixteenth of an output step.
pub(super) fn short(name: &str, step: f64, s_out: f64) -> Result<Requantisation, OnnxError> {
    let ratio = step / s_out;
    let fits = |shift: &u8| {
        let exact = ratio * power_of_two(*shift);
        (exact.round() - exact).abs() * STEPS <= exact * ROUNDING
    };
    match (1..=SHIFT).find(fits) {
        Some(shift) => Ok(Requantisation {
            multipliers: vec![checked_multiplier(name, (ratio * power_of_two(shift)).round())?],
            shift,
        }),
        None => rounded(name, &[step], s_out),
    }
}

/// Integer coefficients over `2^shift` for real ones, with the least shift that keeps their rounding below a
/// sixteenth of an output step.
pub(super) fn coefficients(name: &str, ratios: &[f64]) -> Result<(Vec<i32>, u8), OnnxError> {
    let loss = |shift: u8| {
        let error = |ratio: &f64| {
            let exact = ratio * power_of_two(shift);
            (exact.round() - exact).abs() * STEPS
        };
        ratios.iter().map(error).sum::<f64>() / power_of_two(shift)
    };
    let shift = (1..=SHIFT)
        .find(|shift| loss(*shift) <= ROUNDING)
        .unwrap_or(SHIFT);
    let narrow = |ratio: &f64| {
        let rounded = (ratio * power_of_two(shift)).round();
        if rounded.abs() < f64::from(i32::MAX) {
            return Ok(rounded as i32);
        }
        Err(OnnxError::Scale {
            what: format!("a coefficient of {name}"),
            found: *ratio,
        })
    };
    Ok((ratios.iter().map(narrow).collect::<Result<_, _>>()?, shift))
}

/// The largest shift up to [`SHIFT`] with which `ratio` makes a multiplier of at most `most`; at least 1.
pub(super) fn shift_for(ratio: f64, most: f64) -> u8 {
    (1..=SHIFT)
        .rev()
        .find(|shift| ratio * power_of_two(*shift) <= most)
        .unwrap_or(1)
}

pub(super) fn checked_multiplier(name: &str, multiplier: f64) -> Result<u32, OnnxError> {
    if multiplier < (1u32 << haca_graph::limit::MULTIPLIER_BITS) as f64 {
        return Ok(multiplier as u32);
    }
    Err(OnnxError::Scale {
        what: format!("the requantisation of {name}"),
        found: multiplier,
    })
}

/// Nearest integer, halves away from zero.
pub(super) fn nearest(real: f64) -> i64 {
    real.round() as i64
}

pub(super) fn power_of_two(shift: u8) -> f64 {
    (1u64 << shift.min(63)) as f64
}
