//! The prover of the lookup argument (steps P3 and P4 of `spec/zk.md`).

use haca_zk::field::{Base, Extension, base};
use haca_zk::fraction::FractionProof;
use haca_zk::multilinear::eq_table;
use haca_zk::table::LookupChallenges;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::witness::{Column, WitnessLayout};
use p3_field::{PrimeCharacteristicRing, PrimeField64};
use rayon::prelude::*;

use crate::adversary::{Tamper, Trees, Witness, send};

/// What the lookup argument leaves to be proven, and its part of the proof.
pub(crate) struct Lookup {
    pub(crate) lookups: FractionProof,
    pub(crate) tables: FractionProof,
    pub(crate) columns: Vec<Extension>,
    pub(crate) low: Extension,
    pub(crate) stages: Option<[Extension; 3]>,
    pub(crate) multiplicities: Vec<Extension>,
    pub(crate) cells: Vec<Extension>,
    pub(crate) stage_cells: Vec<Extension>,
    pub(crate) table_point: Vec<Extension>,
}

/// Steps P3 and P4.
pub(crate) fn prove(
    layout: &WitnessLayout,
    witness: &Witness,
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> Lookup {
    transcript.step("lookups");
    let challenges = LookupChallenges::new(transcript.challenge(), transcript.challenge());
    let (numerators, denominators) = table_leaves(layout, witness, &challenges);
    let mut trees = Trees {
        lookup_numerators: None,
        lookups: lookup_leaves(layout, witness, &challenges),
        table_numerators: numerators,
        tables: denominators,
    };
    tamper.trees(challenges.alpha, &mut trees);
    let ([lookups, table_tree], [leaf, table_point]) = trees.prove(tamper, transcript);
    let suffix = |variables: usize| leaf[leaf.len() - variables..].to_vec();
    let cells = suffix(layout.variables);
    let eq = eq_table(&cells);
    let mut columns: Vec<Extension> = witness
        .columns
        .iter()
        .map(|(_, column)| evaluate(column, &eq))
        .collect();
    let mut low = [evaluate(&witness.low, &eq)];
    let stage_cells = suffix(layout.stage_variables.unwrap_or(0));
    let mut stages = witness.stages.as_ref().map(|stages| {
        let eq = eq_table(&stage_cells);
        [&stages.results, &stages.first, &stages.second].map(|column| evaluate(column, &eq))
    });
    let tables = witness.multiplicities.iter().zip(&layout.tables);
    let mut multiplicities: Vec<Extension> = tables
        .map(|(cells, (_, table))| haca_zk::multilinear::evaluate(cells, table.inner(&table_point)))
        .collect();
    send("columns", &mut columns, tamper, transcript);
    send("low", &mut low, tamper, transcript);
    if let Some(stages) = &mut stages {
        send("stages", stages, tamper, transcript);
    }
    send("multiplicities", &mut multiplicities, tamper, transcript);
    Lookup {
        lookups,
        tables: table_tree,
        columns,
        low: low[0],
        stages,
        multiplicities,
        cells,
        stage_cells,
        table_point,
    }
}

/// The extension of a column, by the equality table of its point.
fn evaluate(column: &[Base], eq: &[Extension]) -> Extension {
    if column.len() < 1 << 14 {
        return column.iter().zip(eq).map(|(c, e)| *e * *c).sum();
    }
    let chunks = column.par_chunks(1 << 12).zip(eq.par_chunks(1 << 12));
    chunks
        .map(|(c, e)| c.iter().zip(e).map(|(c, e)| *e * *c).sum::<Extension>())
        .sum()
}

/// The denominators of all lookups: side, mapping, limbs, stages; leaves outside all blocks look up zero.
fn lookup_leaves(layout: &WitnessLayout, witness: &Witness, challenges: &LookupChallenges) -> Vec<Extension> {
    let [b, b2, b3] = challenges.beta;
    let mut leaves = vec![challenges.alpha; 1 << layout.lookup_variables];
    let columns = &witness.columns;
    let column = |of: Column| {
        columns
            .iter()
            .find(|(column, _)| *column == of)
            .map(|(_, cells)| cells)
    };
    let mut blocks = layout.lookups.iter();
    // Sides are 0, 1 or 2 in an honest witness, so their multiples are looked up instead of computed.
    let multiples = [Extension::ZERO, b, b.double()];
    let weighted = |side: Base| match side.as_canonical_u64() {
        small @ 0..=2 => multiples[small as usize],
        _ => b * side,
    };
    let split = column(Column::High).zip(column(Column::Side));
    if let Some((block, (high, side))) = split.and_then(|split| Some((blocks.next()?, split))) {
        let constant = challenges.alpha - b3 * base(haca_zk::table::SIDE_TABLE);
        for (i, leaf) in leaves[block.range()].iter_mut().enumerate() {
            *leaf = constant - weighted(side[i]) - high[i];
        }
    }
    if let (Some(block), Some(result)) = (blocks.next(), column(Column::Result)) {
        let constant = challenges.alpha - b3 * base(haca_zk::table::MAPPING_TABLE);
        for (i, leaf) in leaves[block.range()].iter_mut().enumerate() {
            let mut value = constant - b2 * result[i] - witness.low[i];
            if let Some((_, side)) = split {
                value -= weighted(side[i]);
            }
            if witness.mappings[i] != Base::ZERO {
                value -= b3 * witness.mappings[i];
            }
            *leaf = value;
        }
    }
    let limbs = columns.iter().filter(|(of, _)| matches!(of, Column::Limb(_)));
    for (_, limb) in limbs {
        let block = blocks.next().map_or(0..0, haca_zk::block::Block::range);
        leaves[block]
            .iter_mut()
            .zip(limb)
            .for_each(|(leaf, limb)| *leaf -= *limb);
    }
    if let (Some(columns), Some(block)) = (&witness.stages, blocks.next()) {
        let constant = challenges.alpha - b3 * base(haca_zk::table::LARGER_TABLE);
        let operands = columns.first.iter().zip(&columns.second);
        let cells = operands.zip(&columns.results);
        for (leaf, ((first, second), result)) in leaves[block.range()].iter_mut().zip(cells) {
            *leaf = constant - (*first - *second) - b * (*result - *second);
        }
    }
    leaves
}

/// The fractions of all table rows; leaves outside all tables are `0/1`.
fn table_leaves(
    layout: &WitnessLayout,
    witness: &Witness,
    challenges: &LookupChallenges,
) -> (Vec<Base>, Vec<Extension>) {
    let [b, b2, b3] = challenges.beta;
    let mut numerators = vec![Base::ZERO; 1 << layout.table_variables];
    let mut denominators = vec![Extension::ONE; 1 << layout.table_variables];
    for (index, (_, block)) in layout.tables.iter().enumerate() {
        let (rows, counts) = (&witness.tables[index], &witness.multiplicities[index]);
        for ((numerator, count), (denominator, row)) in numerators[block.range()]
            .iter_mut()
            .zip(counts)
            .zip(denominators[block.range()].iter_mut().zip(rows))
        {
            *numerator = -*count;
            let [v1, v2, v3, id] = *row;
            *denominator = challenges.alpha - v1 - b * v2 - b2 * v3 - b3 * id;
        }
    }
    (numerators, denominators)
}
