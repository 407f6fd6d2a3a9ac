//! Steps P3 and P4: every limb, side, result and larger element is in its table.

use p3_field::PrimeCharacteristicRing;

use crate::ProofRejection;
use crate::cell::BlockWeights;
use crate::circuit::Circuit;
use crate::field::{Extension, base, power_of_two};
use crate::fraction::{self, LeafClaim, check_balance};
use crate::multilinear::identity;
use crate::proof::WitnessProof;
use crate::registration::suffix;
use crate::table::{LookupChallenges, larger_table, mapping_selector, mapping_table, side_table};
use crate::transcript::{Committed, Transcript};
use crate::witness::{Table, WitnessLayout};

/// What the lookup argument leaves to be checked.
pub(super) struct LookupClaim {
    /// The point of the columns.
    pub(super) cells: Vec<Extension>,
    /// The point of the column of the stages.
    pub(super) stage_cells: Vec<Extension>,
    /// The point of the table tree.
    pub(super) tables: Vec<Extension>,
    /// `quotient * 2^S + remainder - 2^(S-1)` at the point of the columns: what the scaled accumulators must be.
    pub(super) identity: Extension,
    /// The weights of the cells of requantisations.
    pub(super) blocks: Vec<BlockWeights>,
    /// The weights of the cells of stages.
    pub(super) stages: Vec<BlockWeights>,
}

/// Steps P3 and P4.
pub(super) fn verify(
    circuit: &Circuit,
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
    transcript.absorb(witness.stages.as_ref().map_or(&[], |stages| stages));
    transcript.absorb(&witness.multiplicities);
    // P4
    let cells = suffix(&leaf.point, layout.variables);
    let stage_cells = suffix(&leaf.point, layout.stage_variables.unwrap_or(0));
    let weights = |space: &crate::cell::CellSpace, cells: &[Extension]| -> Vec<BlockWeights> {
        let batch = cells.len().saturating_sub(layout.batch_variables);
        let point = cells.get(..batch).unwrap_or_default();
        space.blocks.iter().map(|block| block.weights(point)).collect()
    };
    let blocks = weights(&layout.cells, &cells);
    let identity = check_lookups(circuit, witness, layout, &challenges, (&leaf, &blocks))?;
    check_tables(circuit, witness, layout, &challenges, &table)?;
    Ok(LookupClaim {
        stages: weights(&layout.stages, &stage_cells),
        cells,
        stage_cells,
        tables: table.point,
        identity,
        blocks,
    })
}

/// Step P4, the lookups. Returns the identity.
fn check_lookups(
    circuit: &Circuit,
    witness: &WitnessProof,
    layout: &WitnessLayout,
    challenges: &LookupChallenges,
    (leaf, blocks): (&LeafClaim, &[BlockWeights]),
) -> Result<Extension, ProofRejection> {
    let (result, split, limbs) = match (layout.parameters.is_split(), witness.columns.as_slice()) {
        (true, [result, high, side, limbs @ ..]) => (result, Some((*high, *side)), limbs),
        (false, [result, limbs @ ..]) => (result, None, limbs),
        _ => return Err(ProofRejection::Lookup { what: "columns" }),
    };
    let mapping = mapping_selector(circuit, blocks);
    let (high, side) = split.unwrap_or_default();
    let of_side = split.map(|_| challenges.alpha - challenges.side(high, side));
    let of_mapping = challenges.alpha - challenges.mapping(witness.low, side, *result, mapping);
    let larger = witness
        .stages
        .map(|[stage, first, second]| challenges.alpha - challenges.larger(first - second, stage - second));
    // Each leaf of a block is about its table, padding included: the weight of the block scales the constants.
    let values = of_side
        .iter()
        .chain([&of_mapping])
        .chain(limbs)
        .chain(larger.as_slice());
    let weights = layout.lookups.iter().map(|block| block.weight(&leaf.point));
    let looked_up: Extension = weights.zip(values).map(|(weight, value)| weight * *value).sum();
    if leaf.numerator != Extension::ONE || leaf.denominator != challenges.alpha - looked_up {
        return Err(ProofRejection::Lookup {
            what: "lookup leaves",
        });
    }
    let limb_bits = usize::from(layout.parameters.limb_bits);
    let places = (0..limbs.len()).map(|limb| power_of_two(limb * limb_bits));
    let remainder: Extension = limbs.iter().zip(places).map(|(limb, place)| *limb * place).sum();
    let quotient = high * power_of_two(usize::from(layout.parameters.window_bits)) + witness.low
        - base(layout.quotient_offset());
    Ok(quotient * power_of_two(layout.shift()) + remainder - power_of_two(layout.shift().saturating_sub(1)))
}

/// Step P4, the table side: the verifier evaluates the tables itself; leaves outside all tables are `0/1`.
fn check_tables(
    circuit: &Circuit,
    witness: &WitnessProof,
    layout: &WitnessLayout,
    challenges: &LookupChallenges,
    table: &LeafClaim,
) -> Result<(), ProofRejection> {
    let (mut numerator, mut denominator, mut rest) = (Extension::ZERO, Extension::ZERO, Extension::ONE);
    for ((kind, block), multiplicity) in layout.tables.iter().zip(&witness.multiplicities) {
        let inner = block.inner(&table.point);
        let row = match kind {
            Table::Range => challenges.range(identity(inner)),
            Table::Side => side_table(layout, challenges, inner),
            Table::Mapping => mapping_table(circuit, layout, challenges, inner),
            Table::Larger => larger_table(challenges, inner),
        };
        let weight = block.weight(&table.point);
        numerator -= weight * *multiplicity;
        denominator += weight * row;
        rest -= weight;
    }
    if table.numerator != numerator || table.denominator != denominator + rest {
        return Err(ProofRejection::Lookup { what: "table leaves" });
    }
    Ok(())
}
