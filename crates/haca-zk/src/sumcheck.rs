//! Sumcheck of a product of two multilinear polynomials: degree two, two values in each round.

use p3_field::PrimeCharacteristicRing;

use crate::field::Extension;
use crate::transcript::{Committed, Transcript};

/// The round polynomials of one sumcheck: value at zero and leading coefficient.
pub type Rounds = Vec<[Extension; 2]>;

/// The polynomial with value `at_zero` at 0, leading coefficient `leading`, and `h(0) + h(1) = claim`, at `x`.
pub fn round_value(claim: Extension, [at_zero, leading]: [Extension; 2], x: Extension) -> Extension {
    let at_one = claim - at_zero;
    at_zero + x * (at_one - at_zero - leading + x * leading)
}

/// Replays the rounds: the point, and the value that the product must have there.
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

/// The powers `1, x, x^2, ...`.
pub fn powers(x: Extension) -> impl Iterator<Item = Extension> {
    core::iter::successors(Some(Extension::ONE), move |power| Some(*power * x))
}
