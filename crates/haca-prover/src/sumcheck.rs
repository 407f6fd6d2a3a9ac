//! The prover of a product sumcheck.

use haca_zk::field::Extension;
use haca_zk::transcript::{Committed, Transcript};
use p3_field::PrimeCharacteristicRing;

use crate::adversary::{Tamper, send};
use crate::lane::{Lane, WIDTH, fold, pack, sum_pairs, unpack};

/// Proves `sum_x f(x) g(x)`; returns the rounds and the point. `name` is the name of the sumcheck for a liar.
pub(crate) fn prove(
    name: &'static str,
    mut f: Vec<Extension>,
    mut g: Vec<Extension>,
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> (Vec<[Extension; 2]>, Vec<Extension>) {
    tamper.factors(name, &mut f, &mut g);
    let mut rounds = Rounds {
        name,
        sent: Vec::new(),
        point: Vec::new(),
    };
    if f.len() >= 8 * WIDTH && WIDTH > 1 {
        let (mut wide, mut other) = (pack(&f), pack(&g));
        rounds.run(&mut wide, &mut other, tamper, transcript);
        (f, g) = (unpack(&wide), unpack(&other));
    }
    rounds.run(&mut f, &mut g, tamper, transcript);
    (rounds.sent, rounds.point)
}

/// The rounds so far.
struct Rounds {
    name: &'static str,
    sent: Vec<[Extension; 2]>,
    point: Vec<Extension>,
}

impl Rounds {
    /// Plays rounds until one lane is left.
    fn run<A: Lane>(
        &mut self,
        f: &mut Vec<A>,
        g: &mut Vec<A>,
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) {
        while f.len() > 1 {
            let half = f.len() / 2;
            let (at_zero, leading) = sum_pairs(half, |i| {
                let (f0, g0) = (f[i], g[i]);
                (f0 * g0, (f[half + i] - f0) * (g[half + i] - g0))
            });
            let mut round = [at_zero, leading];
            send(self.name, &mut round, tamper, transcript);
            self.sent.push(round);
            let challenge = transcript.challenge();
            self.point.push(challenge);
            fold(f, A::lift(challenge));
            fold(g, A::lift(challenge));
        }
    }
}

/// Proves `sum_x w(x) f(x) g(x)`; returns the rounds, the point, and both factors there.
pub(crate) fn prove_cubic(
    name: &'static str,
    mut w: Vec<Extension>,
    [mut f, mut g]: [Vec<Extension>; 2],
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> (Vec<[Extension; 3]>, Vec<Extension>, [Extension; 2]) {
    let (mut rounds, mut point) = (Vec::new(), Vec::new());
    while w.len() > 1 {
        let half = w.len() / 2;
        let mut round = [Extension::ZERO; 3];
        for i in 0..half {
            let ends = [&w, &f, &g].map(|factor| (factor[i], factor[half + i] - factor[i]));
            let [(w0, dw), (f0, df), (g0, dg)] = ends;
            round[0] += w0 * f0 * g0;
            round[1] += (w0 - dw) * (f0 - df) * (g0 - dg);
            round[2] += dw * df * dg;
        }
        send(name, &mut round, tamper, transcript);
        rounds.push(round);
        let challenge = transcript.challenge();
        point.push(challenge);
        for factor in [&mut w, &mut f, &mut g] {
            let (low, high) = factor.split_at_mut(half);
            low.iter_mut()
                .zip(high)
                .for_each(|(l, h)| *l += challenge * (*h - *l));
            factor.truncate(half);
        }
    }
    (rounds, point, [f[0], g[0]])
}
