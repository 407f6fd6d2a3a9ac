//! Verification of inferences: steps P1 to P10 of `spec/zk.md`.

use haca_wire::Inference;
use p3_field::PrimeCharacteristicRing;

use crate::circuit::{Circuit, Requantise, Role, Site};
use crate::field::{Extension, base, power_of_two};
use crate::fraction::{self, check_balance};
use crate::multilinear::eq_table;
use crate::proof::{InferenceProof, WitnessProof};
use crate::public::{self, Batch};
use crate::registration::suffix;
use crate::statement::Statement;
use crate::sumcheck::{self, powers};
use crate::table::{LookupChallenges, clamp_selector, clamp_table, side_table};
use crate::transcript::{Committed, Transcript};
use crate::uses::{
    OutputPoint, UsePoint, channel_blocks, product_blocks, public_result_points, result_point, use_points,
    weight_points,
};
use crate::witness::WitnessLayout;
use crate::{ProofRejection, VerifyingKey, opening, security};

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
    public::check_tensors(key, statement.inferences)?;
    let proof = InferenceProof::decode_for(key, batch_variables, proof)?;
    let layout = key.witness(batch_variables);
    // P1
    let transcript = Transcript::new(PURPOSE, &statement.digest(key));
    // P2
    let root = proof.witness.as_ref().map(|witness| &witness.root);
    let mut transcript = transcript.commit(root);
    // P3 and P4
    let lookup = match (&proof.witness, layout) {
        (Some(witness), Some(layout)) => Some(verify_lookups(witness, layout, &mut transcript)?),
        _ => None,
    };
    // P5
    let outputs = OutputPoint::draw(key.circuit(), batch_variables, &mut transcript);
    let uses = use_points(
        key.circuit(),
        layout,
        lookup.as_ref().map(|l| l.cells.as_slice()),
        &outputs,
    );
    // P6
    transcript.absorb(&proof.biases);
    let mut claim = lookup.as_ref().map_or(Extension::ZERO, |lookup| lookup.identity);
    claim += public_accumulators(key.circuit(), statement.inferences, &uses);
    for (point, bias) in uses.iter().zip(&proof.biases) {
        claim -= point.coefficient * *bias;
    }
    // P7
    transcript.step("matrix product");
    let (product, value) = sumcheck::verify(claim, &proof.product, &mut transcript);
    // P8
    let results = proof.witness.as_ref().map_or(&[][..], |witness| &witness.results);
    transcript.absorb(results);
    transcript.absorb(&proof.weights);
    let batch = Batch::new(statement.inferences);
    check_product(key.circuit(), &batch, &uses, &proof, &product, value)?;
    // P9
    let channels = verify_channels(key.circuit(), &uses, &proof, &mut transcript)?;
    // P10
    let points = OpeningPoints {
        circuit: key.circuit(),
        uses: &uses,
        product: &product,
        channels: &channels,
    };
    if let (Some(witness), Some(layout), Some(lookup)) = (proof.witness.clone(), layout, &lookup) {
        let public = public_results(key.circuit(), &batch, &outputs);
        open_witness(
            witness,
            layout,
            lookup,
            &points,
            &public,
            &outputs,
            &mut transcript,
        )?;
    }
    open_weights(key, proof, &points, &mut transcript)
}

/// What the lookup argument leaves to be checked.
pub struct LookupClaim {
    /// The point of the columns.
    pub cells: Vec<Extension>,
    /// The point of the table tree.
    pub tables: Vec<Extension>,
    /// `quotient * 2^S + remainder - 2^(S-1)` at the point of the columns: what the scaled accumulators must be.
    pub identity: Extension,
}

/// Steps P3 and P4: every limb, side and result is in its table.
fn verify_lookups(
    witness: &WitnessProof,
    layout: &WitnessLayout,
    transcript: &mut Transcript<Committed>,
) -> Result<LookupClaim, ProofRejection> {
    // P3
    transcript.step("lookups");
    let challenges = LookupChallenges::new(transcript.challenge(), transcript.challenge());
    check_balance(&witness.lookups, &witness.tables)?;
    let leaf = fraction::verify(&witness.lookups, layout.lookup_variables, transcript)?;
    let table = fraction::verify(&witness.tables, layout.table_variables, transcript)?;
    transcript.absorb(&witness.columns);
    transcript.absorb(&[witness.low]);
    transcript.absorb(&witness.multiplicities);
    // P4
    let cells = suffix(&leaf.point, layout.variables);
    let [result, high, side, limbs @ ..] = witness.columns.as_slice() else {
        return Err(ProofRejection::Lookup { what: "columns" });
    };
    let clamp = clamp_selector(layout, &cells);
    let fingerprints = [
        challenges.alpha - challenges.side(*high, *side),
        challenges.alpha - challenges.clamp(witness.low, *side, *result, clamp),
    ];
    let values = fingerprints.iter().chain(limbs);
    let weights = layout.lookups.iter().map(|block| block.weight(&leaf.point));
    let looked_up: Extension = weights.zip(values).map(|(weight, value)| weight * *value).sum();
    if leaf.numerator != Extension::ONE || leaf.denominator != challenges.alpha - looked_up {
        return Err(ProofRejection::Lookup {
            what: "lookup leaves",
        });
    }
    check_tables(witness, layout, &challenges, &table)?;
    let limb_bits = usize::from(layout.parameters.limb_bits);
    let places = (0..limbs.len()).map(|limb| power_of_two(limb * limb_bits));
    let remainder: Extension = limbs.iter().zip(places).map(|(limb, place)| *limb * place).sum();
    let quotient = *high * power_of_two(usize::from(layout.parameters.window_bits)) + witness.low
        - base(layout.quotient_offset());
    let identity =
        quotient * power_of_two(layout.shift()) + remainder - power_of_two(layout.shift().saturating_sub(1));
    Ok(LookupClaim {
        cells,
        tables: table.point,
        identity,
    })
}

/// Step P4, the table side: the verifier evaluates the tables itself; leaves outside all tables are `0/1`.
fn check_tables(
    witness: &WitnessProof,
    layout: &WitnessLayout,
    challenges: &LookupChallenges,
    table: &fraction::LeafClaim,
) -> Result<(), ProofRejection> {
    let [range, side, clamp] = layout.tables;
    let rows = [
        challenges.range(crate::multilinear::identity(range.inner(&table.point))),
        side_table(layout, challenges, side.inner(&table.point)),
        clamp_table(layout, challenges, clamp.inner(&table.point)),
    ];
    let (mut numerator, mut denominator, mut rest) = (Extension::ZERO, Extension::ZERO, Extension::ONE);
    for ((block, row), multiplicity) in layout.tables.iter().zip(rows).zip(witness.multiplicities) {
        let weight = block.weight(&table.point);
        numerator -= weight * multiplicity;
        denominator += weight * row;
        rest -= weight;
    }
    if table.numerator != numerator || table.denominator != denominator + rest {
        return Err(ProofRejection::Lookup { what: "table leaves" });
    }
    Ok(())
}

/// Step P6, the public part: the verifier evaluates public accumulators itself.
fn public_accumulators(circuit: &Circuit, inferences: &[Inference], uses: &[UsePoint]) -> Extension {
    let batch = Batch::new(inferences);
    let outputs = uses.iter().filter(|point| point.of.role == Role::Output);
    outputs
        .filter_map(|point| {
            let output = circuit
                .outputs
                .iter()
                .position(|site| *site == Site::Linear(point.of.linear))?;
            Some(point.coefficient * batch.output(output, &point.batch, &eq_table(&point.rows)))
        })
        .sum()
}

/// Step P8: the product of folded inputs and folded weights at the point of the sumcheck.
fn check_product(
    circuit: &Circuit,
    batch: &Batch<'_>,
    uses: &[UsePoint],
    proof: &InferenceProof,
    point: &[Extension],
    value: Extension,
) -> Result<(), ProofRejection> {
    let mut results = proof.witness.iter().flat_map(|witness| &witness.results);
    let (mut inputs, mut weights) = (Extension::ZERO, Extension::ZERO);
    let blocks = product_blocks(circuit).0;
    for ((at, block), weight) in uses.iter().zip(&blocks).zip(&proof.weights) {
        let source = circuit.linears.get(at.of.linear).map(|linear| linear.source);
        let input = match source {
            Some(Site::Input(index)) => batch.input(index, &at.batch, &eq_table(block.inner(point))),
            _ => results.next().copied().unwrap_or(Extension::ZERO),
        };
        let place = block.weight(point);
        inputs += place * at.coefficient * input;
        weights += place * *weight;
    }
    if value != inputs * weights {
        return Err(ProofRejection::Sumcheck {
            what: "matrix product",
        });
    }
    Ok(())
}

/// Step P9: folded weights and biases of uses with multipliers per channel come from the committed ones. Returns the
/// point of each such use.
fn verify_channels(
    circuit: &Circuit,
    uses: &[UsePoint],
    proof: &InferenceProof,
    transcript: &mut Transcript<Committed>,
) -> Result<Vec<Vec<Extension>>, ProofRejection> {
    let Some(channels) = &proof.channels else {
        return Ok(Vec::new());
    };
    transcript.step("channels");
    let mix = transcript.challenge();
    let mut mixes = powers(mix);
    let folded = uses.iter().zip(&proof.weights).zip(&proof.biases);
    let mut claim = Extension::ZERO;
    for ((_, weight), bias) in folded.filter(|((at, _), _)| at.channel.is_some()) {
        claim += next(&mut mixes) * *weight + next(&mut mixes) * *bias;
    }
    let (point, value) = sumcheck::verify(claim, &channels.rounds, transcript);
    transcript.absorb(&channels.weights);
    transcript.absorb(&channels.biases);
    let mut mixes = powers(mix);
    let (mut multipliers, mut values) = (Extension::ZERO, Extension::ZERO);
    let blocks = channel_blocks(circuit).0;
    let mut points = Vec::new();
    let committed = channels.weights.iter().zip(&channels.biases);
    let per_channel = uses.iter().filter(|at| at.channel.is_some());
    for ((at, block), (weight, bias)) in per_channel.zip(&blocks).zip(committed) {
        let inner = block.inner(&point);
        let place = block.weight(&point);
        multipliers += place * channel_weights(circuit, at, inner);
        values += place * (next(&mut mixes) * *weight + next(&mut mixes) * *bias);
        points.push(inner.to_vec());
    }
    if value != multipliers * values {
        return Err(ProofRejection::Sumcheck { what: "channels" });
    }
    Ok(points)
}

fn next(powers: &mut impl Iterator<Item = Extension>) -> Extension {
    powers.next().unwrap_or(Extension::ZERO)
}

/// The extension of `eq(rows, j) * M_j` at `point`: a sum over channels, since a product of multilinear polynomials
/// is not the multilinear extension of the product.
fn channel_weights(circuit: &Circuit, at: &UsePoint, point: &[Extension]) -> Extension {
    let Role::Requantise(index) = at.of.role else {
        return Extension::ZERO;
    };
    let multipliers = circuit
        .requantises
        .get(index)
        .map_or(&[][..], |r: &Requantise| &r.multipliers);
    let (rows, channels) = (eq_table(&at.rows), eq_table(point));
    let terms = multipliers.iter().zip(rows).zip(channels);
    terms
        .map(|((multiplier, row), channel)| row * channel * base(i64::from(*multiplier)))
        .sum()
}

/// Where committed values are opened.
struct OpeningPoints<'a> {
    circuit: &'a Circuit,
    uses: &'a [UsePoint],
    product: &'a [Extension],
    channels: &'a [Vec<Extension>],
}

/// The value of each public requantisation at its point, from the statement.
fn public_results(circuit: &Circuit, batch: &Batch<'_>, outputs: &OutputPoint) -> Vec<Extension> {
    let value = |index: usize| {
        let requantise = circuit.requantises.get(index)?;
        let linear = circuit.linears.get(requantise.linear)?;
        let output = circuit
            .outputs
            .iter()
            .position(|site| *site == Site::Requantise(index))?;
        let rows = suffix(&outputs.rows, linear.row_variables());
        // A padded channel has a zero accumulator, so its result is the clamp of zero.
        let padding = 0i8.clamp(requantise.low, requantise.high);
        let beyond = Extension::ONE - crate::multilinear::below(&rows, linear.rows).0;
        Some(batch.output(output, &outputs.batch, &eq_table(&rows)) + beyond * base(i64::from(padding)))
    };
    circuit
        .public_requantises()
        .into_iter()
        .filter_map(value)
        .collect()
}

/// Step P10, the witness.
fn open_witness(
    witness: WitnessProof,
    layout: &WitnessLayout,
    lookup: &LookupClaim,
    points: &OpeningPoints<'_>,
    public: &[Extension],
    outputs: &OutputPoint,
    transcript: &mut Transcript<Committed>,
) -> Result<(), ProofRejection> {
    let circuit = points.circuit;
    let mut at = vec![lookup.cells.clone()];
    let blocks = product_blocks(circuit).0;
    let uses = points.uses.iter().zip(&blocks);
    at.extend(uses.filter_map(|(u, block)| result_point(circuit, layout, u, block.inner(points.product))));
    at.extend(public_result_points(circuit, layout, outputs));
    at.extend(
        layout
            .tables
            .iter()
            .map(|table| table.inner(&lookup.tables).to_vec()),
    );
    let mut evaluations = witness.columns;
    evaluations.extend(&witness.results);
    evaluations.extend(public);
    evaluations.extend(witness.multiplicities);
    let protocol = layout.protocol(WitnessLayout::result_points(circuit));
    opening::verify(
        &layout.config,
        &witness.root,
        &protocol,
        &at,
        &evaluations,
        witness.opening,
        transcript,
        "witness",
    )
}

/// Step P10, the weights: the out-of-domain points of the key, then the points of the uses.
fn open_weights(
    key: &VerifyingKey,
    proof: InferenceProof,
    points: &OpeningPoints<'_>,
    transcript: &mut Transcript<Committed>,
) -> Result<(), ProofRejection> {
    let layout = key.weights();
    let tables = weight_points(key, points.uses, points.product, points.channels);
    let (mut at, mut evaluations, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let fixed = key.points().iter().zip(key.answers());
    for (table, (asked, (point, answer))) in tables.into_iter().zip(fixed).enumerate() {
        at.push(point.clone());
        evaluations.push(*answer);
        counts.push(1 + asked.len());
        let is_bias = table == layout.weights.len();
        for (index, point) in asked {
            let channel = points.uses.get(index).and_then(|u| u.channel);
            let value = match (channel, &proof.channels, is_bias) {
                (Some(channel), Some(channels), true) => channels.biases.get(channel),
                (Some(channel), Some(channels), false) => channels.weights.get(channel),
                (_, _, true) => proof.biases.get(index),
                (_, _, false) => proof.weights.get(index),
            };
            at.push(point);
            evaluations.push(value.copied().unwrap_or(Extension::ZERO));
        }
    }
    let protocol = layout.protocol(&counts);
    opening::verify(
        &layout.config,
        key.root(),
        &protocol,
        &at,
        &evaluations,
        proof.opening,
        transcript,
        "weight",
    )
}
