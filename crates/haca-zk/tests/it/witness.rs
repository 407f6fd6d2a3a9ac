//! Bounds of a witness: no quotient lies outside all tables, and neither side of the identity wraps.

use haca_zk::ProofRejection;
use haca_zk::circuit::{Circuit, Mapping};
use haca_zk::weight::WeightLayout;
use haca_zk::witness::{WitnessLayout, WitnessParameters};

use crate::parameters::{manifest, parameters, schedules_by_size};

/// One requantised layer whose numbers a test chooses.
struct Case {
    circuit: Circuit,
    parameters: WitnessParameters,
}

impl Case {
    /// With quotients in `quotient` and a clamp, split when `high_bits` are not zero.
    fn new(quotient: (i64, i64), clamp: (i8, i8), window_bits: u8, high_bits: u8) -> Self {
        let manifest = manifest(&[(-128, 127)]);
        let mut circuit = Circuit::new(&manifest.graph).unwrap();
        circuit.requantises[0].quotient = quotient;
        circuit.mappings = vec![Mapping::Clamp(clamp.0, clamp.1)];
        let witness = parameters(&manifest).batches[0].witness.clone();
        let parameters = WitnessParameters {
            window_bits,
            high_bits,
            ..witness.unwrap()
        };
        Self { circuit, parameters }
    }

    /// The window, with any schedule that fits; or why there is none.
    fn window(&self) -> Result<(i64, usize), &'static str> {
        let manifest = manifest(&[(-128, 127)]);
        let weights = parameters(&manifest).weights;
        let weights = WeightLayout::new(&self.circuit, 1, &weights).unwrap();
        let mut last = "";
        for schedule in schedules_by_size() {
            let witness = WitnessParameters {
                schedule,
                ..self.parameters.clone()
            };
            match WitnessLayout::new(&self.circuit, &weights, 0, &witness) {
                Ok(layout) => return Ok((layout.window_start, layout.window)),
                Err(ProofRejection::Parameter { what }) => last = what,
                Err(other) => panic!("{other:?}"),
            }
        }
        Err(last)
    }
}

const RANGE: Result<(i64, usize), &str> = Err("quotient range");
const WRAPS: Result<(i64, usize), &str> = Err("requantisation identity could wrap");

#[test]
fn whole_quotients_fit_the_window() {
    let window = |quotient| Case::new(quotient, (-128, 127), 8, 0).window();
    assert_eq!(window((-100, 155)), Ok((-100, 0)));
    assert_eq!(window((-100, 156)), RANGE);
    // Zero belongs to the window: it is the quotient of padding.
    assert_eq!(window((-255, -3)), Ok((-255, 0)));
    assert_eq!(window((-256, -3)), RANGE);
    assert_eq!(window((3, 255)), Ok((0, 0)));
    assert_eq!(window((3, 256)), RANGE);
}

#[test]
fn split_quotients_fit_high_parts_and_the_window_holds_the_clamp() {
    let window = |quotient, high_bits| Case::new(quotient, (-128, 127), 8, high_bits).window();
    for (low, index) in [(-128, 0), (-129, 1), (-384, 1), (-385, 2), (-640, 2)] {
        assert_eq!(window((low, 0), 5), Ok((-128, index)), "{low}");
    }
    // The window is high part 1 of 2^5 parts of 2^8 quotients.
    let last = -128 - 256 + (1 << 13) - 1;
    assert_eq!(window((-129, last), 5), Ok((-128, 1)));
    assert_eq!(window((-129, last + 1), 5), RANGE);
    let clamped = |clamp| Case::new((0, 0), clamp, 7, 5).window();
    assert_eq!(clamped((-28, 99)), Ok((-28, 0)));
    assert_eq!(clamped((-28, 100)), RANGE);
}

#[test]
fn the_identity_does_not_wrap() {
    let case = |limbs: u8, high_bits: u8| {
        let mut case = Case::new((0, 0), (-128, 127), 8, high_bits);
        case.parameters.limbs = limbs;
        case.window()
    };
    // 5 bits a limb, and the bits of window, high part and sign: 62 in all.
    assert_eq!(case(8, 13), Ok((-128, 0)));
    assert_eq!(case(8, 14), WRAPS);
    let side = |magnitude: u64, multiplier: u32, shift: u8| {
        let mut case = Case::new((0, 0), (-128, 127), 8, 5);
        case.circuit.requantises[0].multipliers = vec![1, multiplier];
        case.circuit.requantises[0].shift = shift;
        let accumulator = case.circuit.requantises[0].accumulator;
        case.circuit.accumulators[accumulator].magnitude = magnitude;
        case.window()
    };
    // Two limbs of 5 bits: a shift of 10 is not scaled, one of 8 by 4.
    let most = (1u64 << 62) - (1 << 10) - 1;
    assert_eq!(side(most, 1, 10), Ok((-128, 0)));
    assert_eq!(side(most + 1, 1, 10), WRAPS);
    assert_eq!(side(most / 12, 3, 8), Ok((-128, 0)));
    assert_eq!(side(most / 12 + 1, 3, 8), WRAPS);
    assert_eq!(side(1, 1, 11), Err("shift"));
}

#[test]
fn tables_have_at_least_one_bit() {
    let mut case = Case::new((0, 1), (0, 1), 1, 0);
    case.parameters.joined = Some(1);
    case.parameters.limb_bits = 1;
    assert_ne!(case.window(), Err("table bits"));
    case.parameters.limb_bits = 0;
    assert_eq!(case.window(), Err("table bits"));
    case.parameters.limb_bits = 1;
    case.parameters.window_bits = 0;
    assert_eq!(case.window(), Err("table bits"));
}
