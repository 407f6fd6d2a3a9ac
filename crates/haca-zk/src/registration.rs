//! Registration: the proof that committed weights and biases lie in their declared ranges, that padding is zero, and
//! that the out-of-domain answers of the key are right.

use p3_field::PrimeCharacteristicRing;
use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableShape, TableSpec};

use crate::block::{Block, log2_ceil, place};
use crate::field::{Base, Challenger, Extension, base, power_of_two};
use crate::fraction::{self, check_balance};
use crate::multilinear::{below, identity};
use crate::opening::Opened;
use crate::proof::RegistrationProof;
use crate::schedule::{Config, Schedule, VARIABLES};
use crate::transcript::Transcript;
use crate::weight::WeightLayout;
use crate::{ProofRejection, VerifyingKey, gas, opening, security};

/// Bits of the one range table of a registration: every int8 range fits in it.
pub const RANGE_BITS: usize = 8;
/// Limbs of a distance between a bias and an end of its range: every int32 range fits in them.
pub const BIAS_LIMBS: usize = 5;
/// Limb columns: distances to the low end, then distances to the high end.
pub const LIMB_COLUMNS: usize = 2 * BIAS_LIMBS;

/// The layout of a registration proof.
#[derive(Clone, Debug)]
pub struct RegistrationLayout {
    /// Two blocks for each weight matrix (distance to the low and to the high end), then one for each limb column.
    pub lookups: Vec<Block>,
    /// Variables of the lookup tree.
    pub lookup_variables: usize,
    /// Variables of the limb columns: those of the bias table.
    pub limb_variables: usize,
    /// Variables of the commitment.
    pub committed_variables: usize,
    pub(crate) config: Config,
}

impl RegistrationLayout {
    /// Step R4 of `spec/zk.md`.
    pub fn new(weights: &WeightLayout, schedule: &Schedule) -> Result<Self, ProofRejection> {
        let limb_variables = weights.bias_variables;
        if schedule.first_fold() > limb_variables.min(RANGE_BITS) {
            return Err(ProofRejection::Parameter {
                what: "registration schedule",
            });
        }
        let pairs = weights.weights.iter().flat_map(|table| [table.variables; 2]);
        let sizes: Vec<usize> = pairs.chain([limb_variables; LIMB_COLUMNS]).collect();
        let (lookups, lookup_variables) = place(&sizes);
        if lookup_variables > VARIABLES + 1 {
            return Err(ProofRejection::Parameter { what: "weight size" });
        }
        let committed_variables = log2_ceil((LIMB_COLUMNS << limb_variables) + (1 << RANGE_BITS));
        let config = schedule.config(committed_variables)?;
        Ok(Self {
            lookups,
            lookup_variables,
            limb_variables,
            committed_variables,
            config,
        })
    }

    /// The configuration of the commitment.
    pub const fn configuration(&self) -> &p3_whir::WhirConfig<Extension, Base, Challenger> {
        &self.config
    }

    /// An opening of all limb columns at one point, and of the multiplicities at another.
    pub fn protocol(&self) -> OpeningProtocol {
        let limbs = OpeningBatch::new((0..LIMB_COLUMNS).collect(), vec![]);
        let multiplicity = OpeningBatch::new(vec![0], vec![]);
        OpeningProtocol::new(vec![
            TableSpec::new(TableShape::new(self.limb_variables, LIMB_COLUMNS), vec![limbs]),
            TableSpec::new(TableShape::new(RANGE_BITS, 1), vec![multiplicity]),
        ])
    }
}

/// The extensions of the low and of the high end of the range of each bias cell; both are zero on padding.
pub fn bias_ends(layout: &WeightLayout, point: &[Extension]) -> (Extension, Extension) {
    let (mut low, mut high) = (Extension::ZERO, Extension::ZERO);
    for (param, block) in &layout.biases {
        let weight = block.weight(point) * below(block.inner(point), param.columns).0;
        low += weight * base(param.range.0);
        high += weight * base(param.range.1);
    }
    (low, high)
}

/// Steps G1 to G8 of `spec/zk.md`: checks a registration proof.
pub fn verify(key: &VerifyingKey, proof: &[u8]) -> Result<(), ProofRejection> {
    security::check_floor(&key.registration_security())?;
    gas::check_work(key.registration_gas())?;
    let proof = RegistrationProof::decode_for(key, proof)?;
    let (weights, layout) = (key.weights(), key.registration());
    // G1
    let model_id = key.model_id();
    let mut transcript =
        Transcript::new("haca v1 zk registration", model_id.as_bytes()).commit(Some(&proof.root));
    // G2
    transcript.step("registration lookups");
    let alpha = transcript.challenge();
    // G3
    check_balance(&proof.lookups, &proof.tables)?;
    let leaf = fraction::verify(&proof.lookups, layout.lookup_variables, &mut transcript)?;
    let table = fraction::verify(&proof.tables, RANGE_BITS, &mut transcript)?;
    // G4
    transcript.absorb(&proof.cells);
    transcript.absorb(&proof.limbs);
    transcript.absorb(&[proof.multiplicity]);
    // G5
    check_leaves(key, &proof, alpha, &leaf)?;
    if table.numerator != -proof.multiplicity || table.denominator != alpha - identity(&table.point) {
        return Err(ProofRejection::Lookup { what: "range table" });
    }
    // G6
    let limb_point = suffix(&leaf.point, layout.limb_variables);
    check_biases(weights, &proof, &limb_point)?;
    // G7
    let points = [limb_point, table.point];
    let evaluations: Vec<Extension> = proof.limbs.iter().copied().chain([proof.multiplicity]).collect();
    opening::verify(
        Opened::alone(&layout.config, &proof.root, "registration"),
        &layout.protocol(),
        &points,
        &evaluations,
        proof.opening,
        &mut transcript,
    )?;
    // G8
    let (mut points, mut evaluations) = (Vec::new(), Vec::new());
    let cells = key.answers().iter().zip(&proof.cells);
    for ((out_of_domain, variables), (answer, cell)) in key.points().iter().zip(weights.tables()).zip(cells) {
        points.extend([out_of_domain.clone(), suffix(&leaf.point, variables)]);
        evaluations.extend([*answer, *cell]);
    }
    let protocol = weights.protocol(&vec![2; key.answers().len()]);
    opening::verify(
        Opened::alone(&weights.config, key.root(), "weight"),
        &protocol,
        &points,
        &evaluations,
        proof.weights,
        &mut transcript,
    )
}

/// The last `variables` coordinates.
pub(crate) fn suffix(point: &[Extension], variables: usize) -> Vec<Extension> {
    point
        .get(point.len().saturating_sub(variables)..)
        .unwrap_or_default()
        .to_vec()
}

/// Step G5: the leaves of the lookup tree. All numerators are one; leaves outside all blocks look up zero.
fn check_leaves(
    key: &VerifyingKey,
    proof: &RegistrationProof,
    alpha: Extension,
    leaf: &fraction::LeafClaim,
) -> Result<(), ProofRejection> {
    let mut blocks = key.registration().lookups.iter();
    let mut looked_up = Extension::ZERO;
    for (table, cell) in key.weights().weights.iter().zip(&proof.cells) {
        let indicator = table.indicator(&suffix(&leaf.point, table.variables));
        let (low, high) = (
            indicator * base(table.param.range.0),
            indicator * base(table.param.range.1),
        );
        for (value, block) in [*cell - low, high - *cell].into_iter().zip(&mut blocks) {
            looked_up += block.weight(&leaf.point) * value;
        }
    }
    for (limb, block) in proof.limbs.iter().zip(blocks) {
        looked_up += block.weight(&leaf.point) * *limb;
    }
    if leaf.numerator != Extension::ONE || leaf.denominator != alpha - looked_up {
        return Err(ProofRejection::Lookup { what: "weight range" });
    }
    Ok(())
}

/// Step G6: the limbs make up the distances of each bias to the ends of its range.
fn check_biases(
    weights: &WeightLayout,
    proof: &RegistrationProof,
    point: &[Extension],
) -> Result<(), ProofRejection> {
    let bias = proof.cells.last().copied().unwrap_or(Extension::ZERO);
    let (low, high) = bias_ends(weights, point);
    let join = |limbs: &[Extension]| -> Extension {
        let places = (0..BIAS_LIMBS).map(|limb| power_of_two(limb * RANGE_BITS));
        limbs.iter().zip(places).map(|(limb, place)| *limb * place).sum()
    };
    let (to_low, to_high) = proof.limbs.split_at(BIAS_LIMBS.min(proof.limbs.len()));
    if bias - low != join(to_low) || high - bias != join(to_high) {
        return Err(ProofRejection::Lookup { what: "bias range" });
    }
    Ok(())
}
