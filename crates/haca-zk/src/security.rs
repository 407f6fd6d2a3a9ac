//! The security budget: every error term of a proof, their minimum and their union.

use p3_security::{ErrorBits, SecurityAssumption};
use p3_sumcheck::{OpeningProtocol, PrescribedPointPcs};
use p3_whir::pcs::prover::WhirProver;

use crate::block::log2_ceil;
use crate::field::{Base, Challenger, Dft, Extension, Mmcs, mmcs};
use crate::proof::Counts;
use crate::registration::RANGE_BITS;
use crate::schedule::Config;
use crate::uses::{output_variables, product_chunks, tiling};
use crate::witness::Opening;
use crate::{ProofRejection, VerifyingKey};

/// Proofs under a key below this many bits are refused.
pub const FLOOR_BITS: u32 = 100;
/// Goal for the smallest term.
pub const GOAL_BITS: u32 = 128;
/// Goal for the union of all terms.
pub const UNION_GOAL_BITS: u32 = 124;
/// A lower bound on the base-two logarithm of the size of the challenge field.
const FIELD_BITS: f64 = 191.0;
/// Collision resistance of BLAKE3.
const HASH_BITS: f64 = 128.0;
/// The proximity regime of every opening.
const REGIME: SecurityAssumption = SecurityAssumption::JohnsonBound;

/// What a proof under a key is worth, in bits.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityBudget {
    /// The smallest term.
    pub round_by_round_bits: f64,
    /// The union of all terms.
    pub union_bits: f64,
    /// The proximity regime that the openings are analysed in.
    pub regime: &'static str,
    /// Each term: name and bits. An opening is one term, itself the union over all its phases.
    pub terms: Vec<(&'static str, f64)>,
}

impl SecurityBudget {
    fn new(terms: Vec<(&'static str, f64)>) -> Self {
        let errors: Vec<ErrorBits> = terms
            .iter()
            .map(|(_, bits)| ErrorBits::from_log2(bits.max(0.0)))
            .collect();
        Self {
            round_by_round_bits: terms.iter().map(|(_, bits)| *bits).fold(f64::INFINITY, f64::min),
            union_bits: ErrorBits::sum(&errors).bits(),
            regime: "Johnson bound",
            terms,
        }
    }
}

/// Refuses a budget below the floor.
pub(crate) fn check_floor(budget: &SecurityBudget) -> Result<(), ProofRejection> {
    if budget.union_bits >= f64::from(FLOOR_BITS) {
        return Ok(());
    }
    // A float to integer cast saturates, and turns no number into 0.
    let found = budget.union_bits as u32;
    Err(ProofRejection::Security {
        found,
        expected: FLOOR_BITS,
    })
}

type Pcs =
    WhirProver<Extension, Base, Dft, Mmcs, Challenger, p3_sumcheck::layout::PrefixProver<Base, Extension>>;

/// The union over all phases of one opening; zero when the backend knows no bound.
fn opening_bits(config: &Config, protocol: &OpeningProtocol) -> f64 {
    let pcs = Pcs::new(config.clone(), Dft::default(), mmcs());
    pcs.prescribed_security(protocol)
        .map_or(0.0, |security| security.error().bits())
}

/// Bits of the list of polynomials that a commitment may stand for, before out-of-domain answers.
fn list_bits(config: &Config) -> f64 {
    REGIME.list_size_bits(config.num_variables(), config.params().starting_log_inv_rate)
}

/// Bits left when `count` bad challenges out of the field are to be avoided, for each candidate of the lists.
fn algebraic(count: usize, lists: f64) -> f64 {
    FIELD_BITS - log2_ceil(count.max(1)) as f64 - lists
}

/// Sumcheck rounds of degree three, mixing and side challenges of a tree of `variables` layers.
fn tree_challenges(variables: usize) -> usize {
    (0..variables).map(|layer| 3 * layer + 2).sum()
}

/// Two weight tables in the list agree on the out-of-domain answers.
fn binding_bits(key: &VerifyingKey) -> f64 {
    let config = &key.weights().config;
    let pairs = 2.0 * list_bits(config) - 1.0;
    FIELD_BITS - log2_ceil(config.num_variables()) as f64 - pairs
}

/// The budget of a proof of `2^batch_variables` inferences.
pub(crate) fn inference(key: &VerifyingKey, batch_variables: usize) -> SecurityBudget {
    let circuit = key.circuit();
    let layout = key.witness(batch_variables);
    let weights = key.weights();
    let counts = Counts::new(key, batch_variables);
    let lists = match layout.map(|layout| &layout.opening) {
        None => list_bits(&weights.config),
        Some(Opening::Alone(config)) => list_bits(&weights.config) + list_bits(config),
        // Words of both codewords side by side: pairs stand in one list.
        Some(Opening::Joined(joined)) => list_bits(&joined.config),
    };
    let mut terms = Vec::new();
    if let Some(layout) = layout {
        let leaves = (1usize << layout.lookup_variables) + (1 << layout.table_variables);
        let trees = tree_challenges(layout.lookup_variables) + tree_challenges(layout.table_variables);
        // A fingerprint has degree three in its challenge.
        terms.push(("lookup challenges", algebraic(3 * leaves, lists)));
        terms.push(("lookup sumchecks", algebraic(trees, lists)));
        terms.push(("requantisation identity", algebraic(layout.variables, lists)));
        if let Opening::Alone(config) = &layout.opening {
            terms.push(("witness opening", opening_bits(config, &layout.protocol())));
        }
    }
    let (positions, channels) = output_variables(circuit);
    let public = batch_variables + positions + channels + circuit.uses.len();
    terms.push(("public values", algebraic(public, lists)));
    if let Some(rounds) = counts.products {
        terms.push(("products of values", algebraic(3 * rounds, lists)));
    }
    terms.push((
        "matrix product sumcheck",
        algebraic(2 * counts.product_rounds, lists),
    ));
    if let Some((rounds, openings)) = counts.channels {
        terms.push(("channel sumcheck", algebraic(2 * rounds + openings, lists)));
    }
    // Every claim has another power of one challenge.
    let claims = CLAIM_KINDS + circuit.public_values().len();
    let rounds = layout.map_or(0, |layout| layout.gather_variables);
    terms.push(("gather sumcheck", algebraic(2 * rounds + claims, lists)));
    terms.push(match layout.and_then(|layout| Some((layout, layout.joined()?))) {
        Some((layout, joined)) => {
            let claims = opened_points(key).iter().sum::<usize>() + layout.opened();
            (
                "joined opening",
                opening_bits(&joined.config, &joined.protocol(claims)),
            )
        }
        None => (
            "weight opening",
            opening_bits(&weights.config, &weights.protocol(&opened_points(key))),
        ),
    });
    terms.push(("model binding", binding_bits(key)));
    terms.push(("hash collisions", HASH_BITS));
    SecurityBudget::new(terms)
}

/// Kinds of claims about committed values besides public ones: see [`Claimed`](crate::gather::Claimed).
const CLAIM_KINDS: usize = 6;

/// How many points of each table of the weight commitment a proof of inferences opens.
pub(crate) fn opened_points(key: &VerifyingKey) -> Vec<usize> {
    let (circuit, layout) = (key.circuit(), key.weights());
    let (chunks, _) = product_chunks(circuit, layout);
    let mut counts = vec![1usize; layout.weights.len() + 1];
    for chunk in &chunks {
        let tiling = circuit
            .uses
            .get(chunk.of)
            .and_then(|of| tiling(circuit, layout, of));
        for table in tiling.iter().flat_map(|(_, tiling)| tiling.tables(chunk.span)) {
            counts.get_mut(table).into_iter().for_each(|count| *count += 1);
        }
    }
    // A use opens its bias once, at the point of its rows or at that of its entry.
    let biases = circuit
        .uses
        .iter()
        .filter(|of| circuit.matrix(of).is_some())
        .count();
    counts.last_mut().into_iter().for_each(|count| *count += biases);
    counts
}

/// The budget of the registration proof.
pub(crate) fn registration(key: &VerifyingKey) -> SecurityBudget {
    let (weights, layout) = (key.weights(), key.registration());
    let lists = list_bits(&weights.config) + list_bits(&layout.config);
    let leaves = (1usize << layout.lookup_variables) + (1 << RANGE_BITS);
    let trees = tree_challenges(layout.lookup_variables) + tree_challenges(RANGE_BITS);
    let protocol = weights.protocol(&vec![2; weights.weights.len() + 1]);
    SecurityBudget::new(vec![
        ("lookup challenges", algebraic(leaves, lists)),
        ("lookup sumchecks", algebraic(trees, lists)),
        ("bias limbs", algebraic(weights.bias_variables, lists)),
        (
            "registration opening",
            opening_bits(&layout.config, &layout.protocol()),
        ),
        ("weight opening", opening_bits(&weights.config, &protocol)),
        ("model binding", binding_bits(key)),
        ("hash collisions", HASH_BITS),
    ])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_budget_below_the_floor_is_refused() {
        let budget = |bits| SecurityBudget::new(vec![("hash collisions", 128.0), ("opening", bits)]);
        check_floor(&budget(100.5)).unwrap();
        for (bits, found) in [(99.5, 99), (64.0, 64), (0.0, 0), (-3.0, 0), (f64::NAN, 0)] {
            let expected = FLOOR_BITS;
            let refusal = Err(ProofRejection::Security { found, expected });
            assert_eq!(check_floor(&budget(bits)), refusal, "{bits}");
        }
    }
}
