//! Sums of fractions: the verifier of the LogUp-GKR argument.
//!
//! A tree of fractions is added up pairwise, layer by layer, to one root. Each layer is a sumcheck over a product of
//! degree three with the equality polynomial factored out, so that a round carries two values (step F2 of
//! `spec/zk.md`).

use p3_field::PrimeCharacteristicRing;

use crate::ProofRejection;
use crate::field::Extension;
use crate::transcript::{Committed, Transcript};

/// One layer: the rounds of its sumcheck, then numerators and denominators of both halves at the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Leading coefficient and sum of each round polynomial.
    pub rounds: Vec<[Extension; 2]>,
    /// `n(0, r), d(0, r), n(1, r), d(1, r)`.
    pub ends: [Extension; 4],
}

/// The proof for one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FractionProof {
    /// Numerator and denominator of the sum.
    pub root: [Extension; 2],
    /// From the root down; layer `k` has `k` rounds.
    pub layers: Vec<Layer>,
}

/// What is left to check of a tree: its leaves at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafClaim {
    /// The point.
    pub point: Vec<Extension>,
    /// The extension of the numerators there.
    pub numerator: Extension,
    /// The extension of the denominators there.
    pub denominator: Extension,
}

/// Step F3: the sums of both trees are opposite, and neither has a zero denominator.
pub fn check_balance(lookups: &FractionProof, tables: &FractionProof) -> Result<(), ProofRejection> {
    let [[n1, d1], [n2, d2]] = [lookups.root, tables.root];
    if d1 == Extension::ZERO || d2 == Extension::ZERO {
        return Err(ProofRejection::Lookup { what: "denominator" });
    }
    if n1 * d2 + n2 * d1 != Extension::ZERO {
        return Err(ProofRejection::Lookup { what: "balance" });
    }
    Ok(())
}

/// Steps F1 and F2: replays the layers of a tree with `2^variables` leaves.
pub fn verify(
    proof: &FractionProof,
    variables: usize,
    transcript: &mut Transcript<Committed>,
) -> Result<LeafClaim, ProofRejection> {
    if proof.layers.len() != variables {
        return Err(ProofRejection::Lookup { what: "layers" });
    }
    transcript.absorb(&proof.root);
    let [mut numerator, mut denominator] = proof.root;
    let mut point: Vec<Extension> = Vec::new();
    for layer in &proof.layers {
        if layer.rounds.len() != point.len() {
            return Err(ProofRejection::Lookup { what: "rounds" });
        }
        let mix = transcript.challenge();
        let mut claim = numerator + mix * denominator;
        let mut next = Vec::with_capacity(point.len() + 1);
        for ([leading, slope], coordinate) in layer.rounds.iter().zip(&point) {
            transcript.absorb(&[*leading, *slope]);
            let challenge = transcript.challenge();
            // The round polynomial is q(X) without its equality factor; (1 - z) q(0) + z q(1) is the claim.
            let at_zero = claim - *coordinate * *slope;
            claim = at_zero + challenge * (*slope - *leading + challenge * *leading);
            next.push(challenge);
        }
        let [n0, d0, n1, d1] = layer.ends;
        if claim != n0 * d1 + n1 * d0 + mix * d0 * d1 {
            return Err(ProofRejection::Lookup { what: "layer" });
        }
        transcript.absorb(&layer.ends);
        let side = transcript.challenge();
        numerator = n0 + side * (n1 - n0);
        denominator = d0 + side * (d1 - d0);
        point = core::iter::once(side).chain(next).collect();
    }
    Ok(LeafClaim {
        point,
        numerator,
        denominator,
    })
}
