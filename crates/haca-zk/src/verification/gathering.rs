//! Step P10: all claims about committed values come from the opened ones.

use p3_field::PrimeCharacteristicRing;

use super::product_batch;
use crate::cell::BlockWeights;
use crate::field::Extension;
use crate::gather::{BatchPoint, Claim, ClaimPoints, Claimed, GatherPoint};
use crate::product::ProductSpace;
use crate::proof::InferenceProof;
use crate::public::Batch;
use crate::sumcheck::{self, powers};
use crate::transcript::{Committed, Transcript};
use crate::uses::{Chunk, OutputPoint, UsePoint};
use crate::witness::WitnessLayout;
use crate::{ProofRejection, VerifyingKey};

/// Everything that the claims are about.
pub(super) struct Gathering<'a> {
    pub(super) key: &'a VerifyingKey,
    pub(super) layout: Option<&'a WitnessLayout>,
    pub(super) batch: &'a Batch<'a>,
    pub(super) uses: &'a [UsePoint],
    pub(super) chunks: &'a [Chunk],
    /// The point of the matrix product sumcheck.
    pub(super) product: &'a [Extension],
    pub(super) space: &'a ProductSpace,
    /// The point of the sumcheck over products of values.
    pub(super) factors: &'a [Extension],
    pub(super) outputs: &'a OutputPoint,
}

impl Gathering<'_> {
    /// Step P10. Returns the point of the sumcheck, when anything is committed.
    pub(super) fn verify(
        &self,
        proof: &InferenceProof,
        stages: &[BlockWeights],
        transcript: &mut Transcript<Committed>,
    ) -> Result<Option<GatherPoint>, ProofRejection> {
        let failed = ProofRejection::Sumcheck { what: "gather" };
        let circuit = self.key.circuit();
        let cells = self.factors.get(..self.space.cells.variables).unwrap_or_default();
        let product_weights = match self.space.is_empty() {
            true => Vec::new(),
            false => self.space.weights(cells),
        };
        let output_weights = ClaimPoints::output_weights(circuit, self.outputs);
        let points = ClaimPoints {
            circuit,
            weights: self.key.weights(),
            uses: self.uses,
            chunks: self.chunks,
            product: self.product,
            products: self.space,
            product_weights: &product_weights,
            stages,
            outputs: &output_weights,
        };
        let claims = points.claims();
        transcript.step("gather");
        let mix = transcript.challenge();
        let claim = self.claim(&claims, &output_weights, proof, mix);
        let (Some(witness), Some(layout)) = (&proof.witness, self.layout) else {
            // Nothing is committed: what is claimed must be what is public.
            return match claim == Extension::ZERO {
                true => Ok(None),
                false => Err(failed),
            };
        };
        let (point, value) = sumcheck::verify(claim, &witness.gather, transcript);
        transcript.absorb(&witness.gathered);
        let at = GatherPoint::new(layout, &point);
        let mixed = claims.iter().zip(powers(mix));
        let weights: Extension = mixed.map(|(c, power)| power * at.claim(circuit, layout, c)).sum();
        let blocks = layout.gather.iter().map(|block| block.weight(&point));
        let committed: Extension = blocks.zip(&witness.gathered).map(|(w, v)| w * *v).sum();
        if value != weights * committed {
            return Err(failed);
        }
        Ok(Some(at))
    }

    /// The sum of all claims, mixed, without their public parts.
    fn claim(
        &self,
        claims: &[Claim<'_>],
        outputs: &[BlockWeights],
        proof: &InferenceProof,
        mix: Extension,
    ) -> Extension {
        let circuit = self.key.circuit();
        let inputs = self.key.manifest().graph.inputs().len();
        let lookup = self.batch.inputs(inputs, &self.outputs.batch);
        let product = match self.space.is_empty() {
            true => Vec::new(),
            false => self
                .batch
                .inputs(inputs, &product_batch(self.outputs, self.factors)),
        };
        let factor = |side: usize| proof.products.as_ref().and_then(|p| p.factors.get(side)).copied();
        let stage = |side: usize| {
            let stages = proof.witness.as_ref().and_then(|witness| witness.stages);
            stages.and_then(|stages| stages.get(side).copied())
        };
        let value = |claim: &Claim<'_>| {
            let value = match claim.of {
                Claimed::Inputs => Some(proof.matrices.inputs),
                Claimed::Combinations => proof.combinations,
                Claimed::Left => factor(0),
                Claimed::Right => factor(1),
                Claimed::First => stage(1),
                Claimed::Second => stage(2),
                Claimed::Public(index) => self.public_value(index, outputs),
            };
            let inputs = match claim.batch {
                BatchPoint::Lookup => &lookup,
                BatchPoint::Product => &product,
            };
            value.unwrap_or(Extension::ZERO) - claim.public_part(circuit, inputs)
        };
        claims
            .iter()
            .zip(powers(mix))
            .map(|(claim, power)| power * value(claim))
            .sum()
    }

    /// A public value at its point, from the statement.
    fn public_value(&self, index: usize, outputs: &[BlockWeights]) -> Option<Extension> {
        let circuit = self.key.circuit();
        let (output, value) = *circuit.public_values().get(index)?;
        let (weights, width) = (outputs.get(index)?, circuit.values.get(value)?.channels);
        let batch = &self.outputs.batch;
        Some(
            self.batch
                .output(output, batch, &weights.positions, &weights.channels, width),
        )
    }
}
