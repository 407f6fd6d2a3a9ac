//! The prover of the lookup argument (steps P3 and P4 of `spec/zk.md`).

use haca_zk::field::{Base, Extension, base};
use haca_zk::fraction::FractionProof;
use haca_zk::multilinear::eq_table;
use haca_zk::table::LookupChallenges;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::witness::WitnessLayout;
use p3_field::{PrimeCharacteristicRing, PrimeField64};
use rayon::prelude::*;

use crate::adversary::{Tamper, Trees, Witness, send};

/// What the lookup argument leaves to be proven, and its part of the proof.
pub(crate) struct Lookup {
    pub(crate) lookups: FractionProof,
    pub(crate) tables: FractionProof,
    pub(crate) columns: Vec<Extension>,
    pub(crate) low: Extension,
    pub(crate) multiplicities: [Extension; 3],
    pub(crate) cells: Vec<Extension>,
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
    let ([lookups, tables], [leaf, table_point]) = trees.prove(tamper, transcript);
    let cells = leaf[leaf.len() - layout.variables..].to_vec();
    let eq = eq_table(&cells);
    let evaluate = |column: &[Base]| -> Extension {
        if column.len() >= 1 << 14 {
            let chunks = column.par_chunks(1 << 12).zip(eq.par_chunks(1 << 12));
            chunks
                .map(|(c, e)| c.iter().zip(e).map(|(c, e)| *e * *c).sum::<Extension>())
                .sum()
        } else {
            column.iter().zip(&eq).map(|(c, e)| *e * *c).sum()
        }
    };
    let mut columns: Vec<Extension> = witness
        .columns
        .iter()
        .map(|(_, column)| evaluate(column))
        .collect();
    let mut low = [evaluate(&witness.low)];
    let mut multiplicities = [Extension::ZERO; 3];
    for ((value, cells), table) in multiplicities
        .iter_mut()
        .zip(&witness.multiplicities)
        .zip(&layout.tables)
    {
        *value = haca_zk::multilinear::evaluate(cells, table.inner(&table_point));
    }
    send("columns", &mut columns, tamper, transcript);
    send("low", &mut low, tamper, transcript);
    send("multiplicities", &mut multiplicities, tamper, transcript);
    Lookup {
        lookups,
        tables,
        columns,
        low: low[0],
        multiplicities,
        cells,
        table_point,
    }
}

/// The denominators of all lookups: side, clamp, limbs; leaves outside all blocks look up zero.
fn lookup_leaves(layout: &WitnessLayout, witness: &Witness, challenges: &LookupChallenges) -> Vec<Extension> {
    let [b, b2, b3] = challenges.beta;
    let mut leaves = vec![challenges.alpha; 1 << layout.lookup_variables];
    let (result, high, side) = (
        &witness.columns[0].1,
        &witness.columns[1].1,
        &witness.columns[2].1,
    );
    let side_constant = challenges.alpha - b3 * base(haca_zk::table::SIDE_TABLE);
    let clamp_constant = challenges.alpha - b3 * base(haca_zk::table::CLAMP_TABLE);
    // Sides are 0, 1 or 2 in an honest witness, so their multiples are looked up instead of computed.
    let multiples = [Extension::ZERO, b, b.double()];
    let weighted = |side: Base| match side.as_canonical_u64() {
        small @ 0..=2 => multiples[small as usize],
        _ => b * side,
    };
    for (i, leaf) in leaves[layout.lookups[0].range()].iter_mut().enumerate() {
        *leaf = side_constant - weighted(side[i]) - high[i];
    }
    for (i, leaf) in leaves[layout.lookups[1].range()].iter_mut().enumerate() {
        let mut value = clamp_constant - weighted(side[i]) - b2 * result[i] - witness.low[i];
        if witness.clamps[i] != Base::ZERO {
            value -= b3 * witness.clamps[i];
        }
        *leaf = value;
    }
    for ((_, limb), block) in witness.columns[3..].iter().zip(&layout.lookups[2..]) {
        leaves[block.range()]
            .iter_mut()
            .zip(limb)
            .for_each(|(leaf, limb)| *leaf -= *limb);
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
    for (index, block) in layout.tables.iter().enumerate() {
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
