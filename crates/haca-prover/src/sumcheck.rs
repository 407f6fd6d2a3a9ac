//! The prover of a product sumcheck.

use haca_zk::field::Extension;
use haca_zk::transcript::{Committed, Transcript};
use p3_field::PrimeCharacteristicRing;

use crate::adversary::{Tamper, send};

/// Proves `sum_x f(x) g(x)`; returns the rounds and the point. `name` is the name of the sumcheck for a liar.
pub(crate) fn prove(
    name: &'static str,
    mut f: Vec<Extension>,
    mut g: Vec<Extension>,
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> (Vec<[Extension; 2]>, Vec<Extension>) {
    tamper.factors(name, &mut f, &mut g);
    let (mut rounds, mut point) = (Vec::new(), Vec::new());
    while f.len() > 1 {
        let half = f.len() / 2;
        let (mut at_zero, mut leading) = (Extension::ZERO, Extension::ZERO);
        for i in 0..half {
            at_zero += f[i] * g[i];
            leading += (f[half + i] - f[i]) * (g[half + i] - g[i]);
        }
        let mut round = [at_zero, leading];
        send(name, &mut round, tamper, transcript);
        rounds.push(round);
        let challenge = transcript.challenge();
        point.push(challenge);
        for factor in [&mut f, &mut g] {
            let (low, high) = factor.split_at_mut(half);
            low.iter_mut()
                .zip(high)
                .for_each(|(l, h)| *l += challenge * (*h - *l));
            factor.truncate(half);
        }
    }
    (rounds, point)
}
