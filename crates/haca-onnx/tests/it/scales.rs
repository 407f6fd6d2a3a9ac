//! Scales and the rounding of inputs.

use haca_onnx::{Sample, quantise_input, quantise_sample, scale_at_least};
use haca_wire::{DType, Name, Scale, Shape, TensorSpec};
use proptest::prelude::*;

fn spec(mantissa: u32, shift: u8, elements: u32) -> TensorSpec {
    TensorSpec {
        name: Name::new("x").unwrap(),
        dtype: DType::I8,
        shape: Shape::new(vec![elements]).unwrap(),
        scale: Scale::new(mantissa, shift).unwrap(),
    }
}

fn one(mantissa: u32, shift: u8, value: f64) -> i64 {
    quantise_input(&spec(mantissa, shift, 1), &[value])
        .unwrap()
        .values()[0]
}

#[test]
fn halves_go_away_from_zero_and_ends_saturate() {
    let rounded: Vec<i64> = [0.25, -0.25, 0.75, -0.75, 0.24, -0.24]
        .iter()
        .map(|v| one(1, 1, *v))
        .collect();
    assert_eq!(rounded, [1, -1, 2, -2, 0, 0]);
    for (value, expected) in [
        (1e300, 127),
        (-1e300, -128),
        (63.4, 127),
        (-64.2, -128),
        (1e-300, 0),
        (0.0, 0),
        (-0.0, 0),
    ] {
        assert_eq!(one(1, 1, value), expected, "{value}");
    }
    // 1/3 of a step and just above a half: decided by the exact value, not by a rounded quotient.
    assert_eq!(one(3, 0, 4.5), 2);
    assert_eq!(one(3, 0, 4.499_999_999_999_999), 1);
    assert_eq!(one(u32::MAX, 62, f64::MIN_POSITIVE), 0);
    assert_eq!(one(1, 62, 5e-324), 0);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let spec = spec(1, 0, 2);
    let code = |values: &[f64]| quantise_input(&spec, values).unwrap_err().code();
    assert_eq!(code(&[1.0]), "onnx.sample_size");
    assert_eq!(code(&[1.0, f64::NAN]), "onnx.not_finite");
    assert_eq!(code(&[f64::NEG_INFINITY, 0.0]), "onnx.not_finite");
    let specs = std::slice::from_ref(&spec);
    assert_eq!(
        quantise_sample(specs, &Sample(vec![])).unwrap_err().code(),
        "onnx.sample_size"
    );
}

#[test]
fn scales_outside_the_range_are_refused() {
    for real in [0.0, -1.0, f64::NAN, f64::INFINITY, 4_294_967_296.0, 1e30] {
        assert_eq!(scale_at_least(real, 62), None, "{real}");
    }
    assert_eq!(scale_at_least(1.0, 62), Some(Scale::ONE));
    assert_eq!(scale_at_least(0.75, 62), Scale::new(3, 2));
    assert_eq!(scale_at_least(5e-324, 62), Scale::new(1, 62));
    assert_eq!(scale_at_least(1e-9, 4), Scale::new(1, 4));
}

proptest! {
    #[test]
    fn scale_at_least_is_tight(real in 1e-9f64..1e8) {
        let scale = scale_at_least(real, 62).unwrap();
        let value = f64::from(scale.mantissa()) / (1u64 << scale.shift()) as f64;
        prop_assert!(value >= real && value <= real * (1.0 + 1.0 / 32768.0), "{} for {}", value, real);
    }

    #[test]
    fn rounding_is_exact(numerator in -100_000i64..100_000, bits in 0u32..16, mantissa in 1u32..70_000, shift in 0u8..20) {
        // The real numerator / 2^bits over mantissa / 2^shift, in integers.
        let value = numerator as f64 / f64::from(1u32 << bits);
        let (n, d) = (i128::from(numerator) << shift, i128::from(mantissa) << bits);
        let magnitude = (2 * n.abs() + d) / (2 * d);
        let expected = (magnitude * n.signum()).clamp(-128, 127);
        prop_assert_eq!(i128::from(one(mantissa, shift, value)), expected);
    }
}
