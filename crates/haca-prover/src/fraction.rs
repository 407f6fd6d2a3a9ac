//! The prover of the LogUp-GKR argument (steps F1 and F2 of `spec/zk.md`).
//!
//! Rounds send two values because the equality factor is pulled out of the round polynomial; arithmetic is packed
//! while a layer is wide enough.

use haca_zk::field::{Base, Extension};
use haca_zk::fraction::{FractionProof, Layer};
use haca_zk::transcript::{Committed, Transcript};
use p3_field::{PrimeCharacteristicRing, batch_multiplicative_inverse};
use rayon::prelude::*;

use crate::adversary::{Tamper, send};
use crate::lane::{Lane, PARALLEL, Packed, WIDTH, fold, pack, sum_pairs, unpack};

/// Numerators and denominators of one layer.
enum Level {
    /// A narrow layer.
    Scalar(Vec<Extension>, Vec<Extension>),
    /// A wide layer.
    Packed(Vec<Packed>, Vec<Packed>),
    /// The leaves of a tree whose numerators are all one.
    Ones(Vec<Packed>),
}

/// Proves the sum of the fractions `numerators / denominators`; all numerators are one when none are given. Returns
/// the proof and the point of the leaves. `name` is the name of the tree for a liar.
pub(crate) fn prove(
    name: &'static str,
    numerators: Option<&[Base]>,
    denominators: Vec<Extension>,
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> (FractionProof, Vec<Extension>) {
    let mut levels = build(numerators, denominators);
    let mut root = match levels.pop() {
        Some(Level::Scalar(n, d)) => [n[0], d[0]],
        _ => [Extension::ZERO, Extension::ONE],
    };
    send(name, &mut root, tamper, transcript);
    let [mut numerator, mut denominator] = root;
    let (mut point, mut layers) = (Vec::new(), Vec::new());
    while let Some(level) = levels.pop() {
        let mix = transcript.challenge();
        let mut rounds = Rounds::new(name, numerator + mix * denominator, &point);
        let ends = match level {
            Level::Scalar(n, d) => {
                let suffixes = suffix_tables(point.get(1..).unwrap_or_default());
                let mut state = State::new(&n, &d, mix);
                rounds.run(&mut state, &suffixes, tamper, transcript);
                state.ends()
            }
            Level::Packed(n, d) => {
                let (scalar, packed) = packed_suffix_tables(&point[1..]);
                let mut state = State::new(&n, &d, mix);
                rounds.run(&mut state, &packed, tamper, transcript);
                let mut state = state.unpack();
                rounds.run(&mut state, &scalar, tamper, transcript);
                state.ends()
            }
            Level::Ones(d) => {
                let (scalar, packed) = packed_suffix_tables(&point[1..]);
                let mut state = OnesState::new(&d, mix);
                rounds.offset = state.inverse;
                rounds.run(&mut state, &packed, tamper, transcript);
                let mut state = state.unpack();
                rounds.run(&mut state, &scalar, tamper, transcript);
                state.ends(mix)
            }
        };
        let [n0, d0, m1, d1] = ends;
        let mut ends = [n0, d0, m1 - mix * d1, d1];
        send(name, &mut ends, tamper, transcript);
        let side = transcript.challenge();
        numerator = ends[0] + side * (ends[2] - ends[0]);
        denominator = ends[1] + side * (ends[3] - ends[1]);
        point = core::iter::once(side).chain(rounds.point).collect();
        layers.push(Layer {
            rounds: rounds.sent,
            ends,
        });
    }
    (FractionProof { root, layers }, point)
}

/// Adds up the tree; the last level is the root.
fn build(numerators: Option<&[Base]>, denominators: Vec<Extension>) -> Vec<Level> {
    // A packed level needs at least four registers, and the level above packed leaves is packed too.
    let wide = denominators.len() >= 8 * WIDTH && WIDTH > 1;
    let ones = || vec![Extension::ONE; denominators.len()];
    let lifted = numerators.map_or_else(ones, |n| n.iter().map(|x| Extension::from(*x)).collect());
    let mut levels = Vec::new();
    if !wide {
        levels.push(Level::Scalar(lifted, denominators));
    } else if numerators.is_none() {
        let d = pack(&denominators);
        let half = d.len() / 2;
        let sum = map_pairs(half, |i| (d[i] + d[half + i], d[i] * d[half + i]));
        levels.push(Level::Ones(d));
        levels.push(Level::Packed(sum.0, sum.1));
    } else {
        levels.push(Level::Packed(pack(&lifted), pack(&denominators)));
    }
    loop {
        let next = match levels.last() {
            Some(Level::Scalar(n, _)) if n.len() == 1 => return levels,
            Some(Level::Scalar(n, d)) => {
                let (n, d) = add(n, d);
                Level::Scalar(n, d)
            }
            Some(Level::Packed(n, d)) if n.len() > 4 => {
                let (n, d) = add(n, d);
                Level::Packed(n, d)
            }
            Some(Level::Packed(n, d)) => {
                let (n, d) = add(n, d);
                Level::Scalar(unpack(&n), unpack(&d))
            }
            _ => return levels,
        };
        levels.push(next);
    }
}

fn map_pairs<A: Lane>(count: usize, f: impl Fn(usize) -> (A, A) + Sync + Send) -> (Vec<A>, Vec<A>) {
    if count >= PARALLEL {
        (0..count)
            .into_par_iter()
            .with_min_len(PARALLEL / 2)
            .map(f)
            .unzip()
    } else {
        (0..count).map(f).unzip()
    }
}

/// Adds the fractions of the first half to those of the second.
fn add<A: Lane>(n: &[A], d: &[A]) -> (Vec<A>, Vec<A>) {
    let half = n.len() / 2;
    map_pairs(half, |i| {
        (n[i] * d[half + i] + n[half + i] * d[i], d[i] * d[half + i])
    })
}

/// The summand of a layer's sumcheck, and how to fold it.
trait Summand<A: Lane> {
    /// Cells of each factor.
    fn len(&self) -> usize;
    /// Value at zero and leading coefficient of the round polynomial, with the cells weighted by `eq`.
    fn round(&self, eq: &[A]) -> (Extension, Extension);
    /// Fixes the first variable.
    fn fold(&mut self, challenge: A);
}

/// `n0 d1 + (n1 + mix d1) d0`: both halves of a layer, where `m1 = n1 + mix d1`.
struct State<A> {
    n0: Vec<A>,
    d0: Vec<A>,
    m1: Vec<A>,
    d1: Vec<A>,
}

impl<A: Lane> State<A> {
    fn new(n: &[A], d: &[A], mix: Extension) -> Self {
        let half = n.len() / 2;
        let mix = A::lift(mix);
        let (m1, _) = map_pairs(half, |i| (n[half + i] + mix * d[half + i], A::ZERO));
        Self {
            n0: n[..half].to_vec(),
            d0: d[..half].to_vec(),
            m1,
            d1: d[half..].to_vec(),
        }
    }
}

impl State<Packed> {
    fn unpack(self) -> State<Extension> {
        State {
            n0: unpack(&self.n0),
            d0: unpack(&self.d0),
            m1: unpack(&self.m1),
            d1: unpack(&self.d1),
        }
    }
}

impl State<Extension> {
    /// `n0, d0, m1, d1` once all variables are fixed.
    fn ends(&self) -> [Extension; 4] {
        [self.n0[0], self.d0[0], self.m1[0], self.d1[0]]
    }
}

impl<A: Lane> Summand<A> for State<A> {
    fn len(&self) -> usize {
        self.n0.len()
    }

    fn round(&self, eq: &[A]) -> (Extension, Extension) {
        let half = self.n0.len() / 2;
        sum_pairs(half, |i| {
            let (n, d, m, c) = (self.n0[i], self.d1[i], self.m1[i], self.d0[i]);
            let (dn, dd) = (self.n0[half + i] - n, self.d1[half + i] - d);
            let (dm, dc) = (self.m1[half + i] - m, self.d0[half + i] - c);
            (eq[i] * (n * d + m * c), eq[i] * (dn * dd + dm * dc))
        })
    }

    fn fold(&mut self, challenge: A) {
        for factor in [&mut self.n0, &mut self.d0, &mut self.m1, &mut self.d1] {
            fold(factor, challenge);
        }
    }
}

/// The layer above leaves with numerators one: `d1 + (1 + mix d1) d0 = m g - 1/mix` with `m = 1 + mix d0` and
/// `g = d1 + 1/mix`.
struct OnesState<A> {
    m: Vec<A>,
    g: Vec<A>,
    inverse: Extension,
}

impl OnesState<Packed> {
    fn new(d: &[Packed], mix: Extension) -> Self {
        use p3_field::Field;
        let half = d.len() / 2;
        // The inverse exists but for one challenge out of the field.
        let inverse = mix.try_inverse().unwrap_or(Extension::ZERO);
        let (lifted, shift) = (Packed::lift(mix), Packed::lift(inverse));
        let (m, g) = map_pairs(half, |i| (Packed::ONE + lifted * d[i], d[half + i] + shift));
        Self { m, g, inverse }
    }

    fn unpack(self) -> OnesState<Extension> {
        OnesState {
            m: unpack(&self.m),
            g: unpack(&self.g),
            inverse: self.inverse,
        }
    }
}

impl OnesState<Extension> {
    fn ends(&self, mix: Extension) -> [Extension; 4] {
        let d1 = self.g[0] - self.inverse;
        let d0 = (self.m[0] - Extension::ONE) * self.inverse;
        [Extension::ONE, d0, Extension::ONE + mix * d1, d1]
    }
}

impl<A: Lane> Summand<A> for OnesState<A> {
    fn len(&self) -> usize {
        self.m.len()
    }

    fn round(&self, eq: &[A]) -> (Extension, Extension) {
        let half = self.m.len() / 2;
        sum_pairs(half, |i| {
            let (m, g) = (self.m[i], self.g[i]);
            (
                eq[i] * (m * g),
                eq[i] * ((self.m[half + i] - m) * (self.g[half + i] - g)),
            )
        })
    }

    fn fold(&mut self, challenge: A) {
        fold(&mut self.m, challenge);
        fold(&mut self.g, challenge);
    }
}

/// The rounds of one layer.
struct Rounds {
    name: &'static str,
    claim: Extension,
    inverses: Vec<Extension>,
    sent: Vec<[Extension; 2]>,
    point: Vec<Extension>,
    /// What the summand is above the true one, everywhere.
    offset: Extension,
}

impl Rounds {
    fn new(name: &'static str, claim: Extension, point: &[Extension]) -> Self {
        let inverses = batch_multiplicative_inverse(point);
        Self {
            name,
            claim,
            inverses,
            sent: Vec::new(),
            point: Vec::new(),
            offset: Extension::ZERO,
        }
    }

    /// Plays rounds until the lanes of `summand` are exhausted. `suffixes[k]` is the equality table of the last `k`
    /// coordinates, counted in lanes.
    fn run<A: Lane>(
        &mut self,
        summand: &mut impl Summand<A>,
        suffixes: &[Vec<A>],
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) {
        while summand.len() > 1 {
            let half = summand.len() / 2;
            let (at_zero, leading) = summand.round(&suffixes[half.trailing_zeros() as usize]);
            let at_zero = at_zero - self.offset;
            let slope = (self.claim - at_zero) * self.inverses[self.sent.len()];
            let mut round = [leading, slope];
            send(self.name, &mut round, tamper, transcript);
            let [leading, slope] = round;
            self.sent.push(round);
            let challenge = transcript.challenge();
            self.claim = at_zero + challenge * (slope - leading + challenge * leading);
            self.point.push(challenge);
            summand.fold(A::lift(challenge));
        }
    }
}

/// The equality tables of all suffixes of a point, by length.
fn suffix_tables(point: &[Extension]) -> Vec<Vec<Extension>> {
    let mut tables = vec![vec![Extension::ONE]];
    for coordinate in point.iter().rev() {
        let next = extend(&tables[tables.len() - 1], *coordinate);
        tables.push(next);
    }
    tables
}

/// Scalar tables for the suffixes that fit in one register, then packed tables for the longer ones.
fn packed_suffix_tables(point: &[Extension]) -> (Vec<Vec<Extension>>, Vec<Vec<Packed>>) {
    let narrow = WIDTH.trailing_zeros() as usize;
    let (wide, suffix) = point.split_at(point.len() - narrow);
    let scalar = suffix_tables(suffix);
    let mut packed = vec![pack(&scalar[narrow])];
    for coordinate in wide.iter().rev() {
        let next = extend(&packed[packed.len() - 1], Packed::lift(*coordinate));
        packed.push(next);
    }
    (scalar, packed)
}

/// Puts one more coordinate in front of an equality table.
fn extend<A: Lane>(table: &[A], coordinate: A) -> Vec<A> {
    let high: Vec<A> = table.iter().map(|x| *x * coordinate).collect();
    let mut next: Vec<A> = table.iter().zip(&high).map(|(x, h)| *x - *h).collect();
    next.extend(high);
    next
}
