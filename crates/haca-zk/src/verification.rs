//! Verification of inferences: steps P1 to P11 of `spec/zk.md`.

mod gathering;
mod lookup;
mod opened;

pub use opened::{gathered_points, weight_openings, weight_points, witness_points};

use p3_field::PrimeCharacteristicRing;

use crate::circuit::{Circuit, Role};
use crate::field::Extension;
use crate::multilinear::eq_table;
use crate::product::ProductSpace;
use crate::proof::{InferenceProof, MatrixProof, ProductProof};
use crate::public::{self, Batch};
use crate::registration::suffix;
use crate::statement::Statement;
use crate::sumcheck::{self, powers};
use crate::transcript::{Committed, Transcript};
use crate::uses::{
    ChannelEntry, Chunk, Folded, OutputPoint, UsePoint, channel_entries, chunk_openings, entry_rows,
    product_chunks, use_points,
};
use crate::{ProofRejection, VerifyingKey, gas, security};
use gathering::Gathering;

/// The purpose of the transcript of a proof of inferences.
pub const PURPOSE: &str = "haca v1 zk inference";

/// Checks that the model of `key` maps the inputs of each inference to its outputs, in the context of `statement`.
///
/// # Errors
///
/// Why the proof is refused. No input makes this function panic.
pub fn verify(key: &VerifyingKey, statement: &Statement<'_>, proof: &[u8]) -> Result<(), ProofRejection> {
    let batch_variables = key.batch_variables(statement.inferences.len())?;
    security::check_floor(&key.security(statement.inferences.len()))?;
    gas::check_work(key.verification_gas(statement.inferences.len()))?;
    public::check_tensors(key, statement.inferences)?;
    let proof = InferenceProof::decode_for(key, batch_variables, proof)?;
    let (circuit, layout) = (key.circuit(), key.witness(batch_variables));
    let batch = Batch::new(statement.inferences);
    // P1
    let transcript = Transcript::new(PURPOSE, &statement.digest(key));
    // P2
    let root = proof.witness.as_ref().map(|witness| &witness.root);
    let mut transcript = transcript.commit(root);
    // P3 and P4
    let lookup = match (&proof.witness, layout) {
        (Some(witness), Some(layout)) => Some(lookup::verify(circuit, witness, layout, &mut transcript)?),
        _ => None,
    };
    // P5
    let cells = lookup.as_ref().map(|lookup| lookup.cells.as_slice());
    let outputs = OutputPoint::draw(circuit, batch_variables, cells, &mut transcript);
    let blocks = lookup.as_ref().map_or(&[][..], |lookup| &lookup.blocks);
    let uses = use_points(circuit, layout, blocks, &outputs);
    // P6
    transcript.absorb(&proof.matrices.biases);
    transcript.absorb(proof.combinations.as_slice());
    let sum = proof.products.as_ref().map(|products| products.sum);
    transcript.absorb(sum.as_slice());
    let mut claim = lookup.as_ref().map_or(Extension::ZERO, |lookup| lookup.identity);
    claim += public_accumulators(circuit, &batch, &uses, &outputs);
    let matrices = uses.iter().filter(|at| circuit.matrix(&at.of).is_some());
    for (at, bias) in matrices.zip(&proof.matrices.biases) {
        claim -= at.scale * at.total * *bias;
    }
    claim -= proof.combinations.unwrap_or(Extension::ZERO) + sum.unwrap_or(Extension::ZERO);
    // P7
    let space = ProductSpace::new(circuit);
    let factors = match &proof.products {
        Some(products) => verify_products(&space, &uses, products, &outputs, &mut transcript)?,
        None => Vec::new(),
    };
    // P8
    let chunks = product_chunks(circuit, key.weights()).0;
    let product = verify_matrices(key, &uses, &chunks, &proof.matrices, claim, &mut transcript)?;
    // P9
    let entries = channel_entries(circuit, &chunks).0;
    let channels = verify_channels(
        key,
        &uses,
        (&chunks, &entries),
        &proof.matrices,
        &product,
        &mut transcript,
    )?;
    // P10
    let gathering = Gathering {
        key,
        layout,
        batch: &batch,
        uses: &uses,
        chunks: &chunks,
        product: &product,
        space: &space,
        factors: &factors,
        outputs: &outputs,
    };
    let stages = lookup.as_ref().map_or(&[][..], |lookup| &lookup.stages);
    let gathered = gathering.verify(&proof, stages, &mut transcript)?;
    // P11
    let mut witness = None;
    if let (Some(proof), Some(layout), Some(lookup), Some(gathered)) =
        (proof.witness, layout, &lookup, &gathered)
    {
        let claims = opened::witness(&proof, layout, lookup, gathered, &outputs, &factors);
        witness = Some((claims, proof.root, proof.opening));
    }
    let weights = opened::Weights {
        key,
        uses: &uses,
        chunks: &chunks,
        entries: &entries,
        product: &product,
        channels: &channels,
        proof: &proof.matrices,
    };
    let weights = weights.claims();
    opened::verify(key, layout, witness, weights, proof.opening, &mut transcript)
}

/// Step P6, the public part: the verifier evaluates public accumulators itself.
fn public_accumulators(
    circuit: &Circuit,
    batch: &Batch<'_>,
    uses: &[UsePoint],
    outputs: &OutputPoint,
) -> Extension {
    // Once for each claim: its uses add up to one output.
    let claims = uses.chunk_by(|a, b| a.of.role == b.of.role);
    claims
        .filter_map(|claim| {
            let at = claim.first()?;
            let Role::Output(output) = at.of.role else {
                return None;
            };
            let width = circuit.accumulator(&at.of)?.channels;
            Some(at.claim * batch.output(output, &outputs.batch, &at.positions, &at.rows, width))
        })
        .sum()
}

/// Step P7: the products of values. Returns the point of the sumcheck.
fn verify_products(
    space: &ProductSpace,
    uses: &[UsePoint],
    proof: &ProductProof,
    outputs: &OutputPoint,
    transcript: &mut Transcript<Committed>,
) -> Result<Vec<Extension>, ProofRejection> {
    transcript.step("products of values");
    let (point, value) = sumcheck::verify_cubic(proof.sum, &proof.rounds, transcript);
    transcript.absorb(&proof.factors);
    let (cells, batch) = point.split_at(space.cells.variables.min(point.len()));
    let weights = space.extension(uses, cells, batch, &outputs.batch);
    let [left, right] = proof.factors;
    if value != weights * left * right {
        return Err(ProofRejection::Sumcheck {
            what: "products of values",
        });
    }
    Ok(point)
}

/// Step P8: the product of folded inputs and folded weights at the point of the sumcheck. Returns the point.
fn verify_matrices(
    key: &VerifyingKey,
    uses: &[UsePoint],
    chunks: &[Chunk],
    proof: &MatrixProof,
    claim: Extension,
    transcript: &mut Transcript<Committed>,
) -> Result<Vec<Extension>, ProofRejection> {
    if proof.biases.is_empty() {
        // Nothing else makes accumulators.
        return match claim == Extension::ZERO {
            true => Ok(Vec::new()),
            false => Err(ProofRejection::Sumcheck { what: "accumulators" }),
        };
    }
    transcript.step("matrix product");
    let (point, value) = sumcheck::verify(claim, &proof.rounds, transcript);
    transcript.absorb(&[proof.inputs]);
    transcript.absorb(&proof.weights);
    let mut sent = proof.weights.iter().copied();
    let mut weights = Extension::ZERO;
    for chunk in chunks {
        weights += chunk.block.weight(&point) * folded_weights(key, uses, chunk, &point, &mut sent);
    }
    if value != proof.inputs * weights {
        return Err(ProofRejection::Sumcheck {
            what: "matrix product",
        });
    }
    Ok(point)
}

/// The folded weights of a chunk, from the values sent for it: itself when rows are weighted, else its tiles.
fn folded_weights(
    key: &VerifyingKey,
    uses: &[UsePoint],
    chunk: &Chunk,
    product: &[Extension],
    sent: &mut impl Iterator<Item = Extension>,
) -> Extension {
    let mut next = || sent.next().unwrap_or(Extension::ZERO);
    let Some(at) = uses.get(chunk.of) else {
        return Extension::ZERO;
    };
    if key.circuit().is_weighted(&at.of) {
        return next();
    }
    let tiles = chunk_openings(key, chunk, &at.row_point, product);
    tiles.into_iter().map(|(weight, _)| weight * next()).sum()
}

/// Step P9: folded weights and biases of uses whose rows have weights of their own come from the committed ones.
/// Returns the point of the sumcheck.
fn verify_channels(
    key: &VerifyingKey,
    uses: &[UsePoint],
    (chunks, entries): (&[Chunk], &[ChannelEntry]),
    proof: &MatrixProof,
    product: &[Extension],
    transcript: &mut Transcript<Committed>,
) -> Result<Vec<Extension>, ProofRejection> {
    let Some(channels) = &proof.channels else {
        return Ok(Vec::new());
    };
    let circuit = key.circuit();
    transcript.step("channels");
    let mix = transcript.challenge();
    let folded = FoldedValues::new(circuit, uses, chunks, key, proof);
    let claims = entries.iter().zip(powers(mix));
    let claim = claims.map(|(entry, power)| power * folded.of(entry)).sum();
    let (point, value) = sumcheck::verify(claim, &channels.rounds, transcript);
    transcript.absorb(&channels.openings);
    let mut opened = channels.openings.iter().copied();
    let (mut rows, mut values) = (Extension::ZERO, Extension::ZERO);
    for (entry, power) in entries.iter().zip(powers(mix)) {
        let (inner, place) = (entry.block.inner(&point), entry.block.weight(&point));
        let chunk = match entry.folded {
            Folded::Weights(chunk) => chunks.get(chunk),
            Folded::Bias => None,
        };
        let Some(at) = uses.get(entry.of) else {
            continue;
        };
        // A sum over rows, since a product of multilinear polynomials is not the extension of the product.
        let weights = entry_rows(circuit, at, chunk, product);
        rows += place * crate::multilinear::dot(&weights, &eq_table(inner));
        let mut next = || opened.next().unwrap_or(Extension::ZERO);
        let value: Extension = match chunk {
            Some(chunk) => {
                let tiles = chunk_openings(key, chunk, inner, product);
                tiles.into_iter().map(|(weight, _)| weight * next()).sum()
            }
            None => next(),
        };
        values += place * power * value;
    }
    if value != rows * values {
        return Err(ProofRejection::Sumcheck { what: "channels" });
    }
    Ok(point)
}

/// The folded weights and biases that the channel sumcheck starts from.
struct FoldedValues {
    /// For each chunk whose rows are weighted.
    weights: Vec<Extension>,
    /// For each use.
    biases: Vec<Extension>,
}

impl FoldedValues {
    fn new(
        circuit: &Circuit,
        uses: &[UsePoint],
        chunks: &[Chunk],
        key: &VerifyingKey,
        proof: &MatrixProof,
    ) -> Self {
        let mut sent = proof.weights.iter().copied();
        let mut biases = proof.biases.iter().copied();
        let weights = chunks.iter().map(|chunk| {
            let of = uses.get(chunk.of).map(|at| at.of);
            match of.filter(|of| !circuit.is_weighted(of)) {
                None => sent.next().unwrap_or(Extension::ZERO),
                Some(of) => {
                    let tiling = crate::uses::tiling(circuit, key.weights(), &of);
                    let tiles = tiling.map_or(0, |(_, tiling)| tiling.rows.len());
                    sent.by_ref().take(tiles).for_each(drop);
                    Extension::ZERO
                }
            }
        });
        let bias = |at: &UsePoint| match circuit.matrix(&at.of) {
            Some(_) => biases.next().unwrap_or(Extension::ZERO),
            None => Extension::ZERO,
        };
        Self {
            weights: weights.collect(),
            biases: uses.iter().map(bias).collect(),
        }
    }

    fn of(&self, entry: &ChannelEntry) -> Extension {
        let value = match entry.folded {
            Folded::Weights(chunk) => self.weights.get(chunk),
            Folded::Bias => self.biases.get(entry.of),
        };
        value.copied().unwrap_or(Extension::ZERO)
    }
}

/// The batch coordinates of the sumcheck over products of values.
fn product_batch(outputs: &OutputPoint, factors: &[Extension]) -> Vec<Extension> {
    suffix(factors, outputs.batch.len())
}
