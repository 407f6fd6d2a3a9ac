//! Sumchecks of products of multilinear polynomials.

use p3_field::{Field, PrimeCharacteristicRing};

use crate::field::{Base, Extension};
use crate::transcript::{Committed, Transcript};

/// The round polynomials of a sumcheck over a product of two: value at zero and leading coefficient.
pub type Rounds = Vec<[Extension; 2]>;
/// The round polynomials of a sumcheck over a product of three: values at zero and at minus one, leading coefficient.
pub type CubicRounds = Vec<[Extension; 3]>;

/// The polynomial with value `at_zero` at 0, leading coefficient `leading`, and `h(0) + h(1) = claim`, at `x`.
pub fn round_value(claim: Extension, [at_zero, leading]: [Extension; 2], x: Extension) -> Extension {
    let at_one = claim - at_zero;
    at_zero + x * (at_one - at_zero - leading + x * leading)
}

/// The polynomial of degree three with `h(0)`, `h(-1)` and leading coefficient as given and `h(0) + h(1) = claim`, at
/// `x`.
pub fn cubic_value(claim: Extension, [at_zero, below, leading]: [Extension; 3], x: Extension) -> Extension {
    let at_one = claim - at_zero;
    let half = Base::TWO.inverse();
    let square = (at_one + below) * half - at_zero;
    let linear = at_one - at_zero - square - leading;
    at_zero + x * (linear + x * (square + x * leading))
}

/// Replays the rounds of a sumcheck of degree two: the point, and the value that the product must have there.
pub fn verify(
    mut claim: Extension,
    rounds: &[[Extension; 2]],
    transcript: &mut Transcript<Committed>,
) -> (Vec<Extension>, Extension) {
    let mut point = Vec::with_capacity(rounds.len());
    for round in rounds {
        transcript.absorb(round);
        let challenge = transcript.challenge();
        claim = round_value(claim, *round, challenge);
        point.push(challenge);
    }
    (point, claim)
}

/// Replays the rounds of a sumcheck of degree three.
pub fn verify_cubic(
    mut claim: Extension,
    rounds: &[[Extension; 3]],
    transcript: &mut Transcript<Committed>,
) -> (Vec<Extension>, Extension) {
    let mut point = Vec::with_capacity(rounds.len());
    for round in rounds {
        transcript.absorb(round);
        let challenge = transcript.challenge();
        claim = cubic_value(claim, *round, challenge);
        point.push(challenge);
    }
    (point, claim)
}

/// The powers `1, x, x^2, ...`.
pub fn powers(x: Extension) -> impl Iterator<Item = Extension> {
    core::iter::successors(Some(Extension::ONE), move |power| Some(*power * x))
}
