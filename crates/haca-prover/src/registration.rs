//! The prover of registration (steps G1 to G8 of `spec/zk.md`).

use haca_zk::VerifyingKey;
use haca_zk::field::{Base, Extension};
use haca_zk::multilinear::eq_table;
use haca_zk::proof::RegistrationProof;
use haca_zk::registration::{BIAS_LIMBS, LIMB_COLUMNS, RANGE_BITS};
use haca_zk::transcript::Transcript;
use p3_field::{PrimeCharacteristicRing, PrimeField64};

use crate::ProverError;
use crate::adversary::{RegistrationWitness, Tamper, Trees, send};
use crate::commitment::{Columns, Committer, WeightCommitment};
use crate::stages::Stage;

/// Distances of each committed cell to both ends of its range, in the order of the lookup blocks.
fn distances(key: &VerifyingKey, tables: &[Vec<Base>]) -> Vec<Vec<Base>> {
    let mut out = Vec::new();
    for (table, cells) in key.weights().weights.iter().zip(tables) {
        let width = 1usize << table.columns.variables;
        let (low, high) = (
            Base::from_i64(table.param.range.0),
            Base::from_i64(table.param.range.1),
        );
        let ends = |index: usize| {
            let real = index / width < table.rows.len && index % width < table.columns.len;
            if real {
                (low, high)
            } else {
                (Base::ZERO, Base::ZERO)
            }
        };
        out.push(cells.iter().enumerate().map(|(i, c)| *c - ends(i).0).collect());
        out.push(cells.iter().enumerate().map(|(i, c)| ends(i).1 - *c).collect());
    }
    out
}

/// Fills the witness.
fn fill(key: &VerifyingKey, tables: &[Vec<Base>], distances: Vec<Vec<Base>>) -> RegistrationWitness {
    let layout = key.registration();
    let biases = tables.last().map_or(&[][..], Vec::as_slice);
    let mut ends = vec![(Base::ZERO, Base::ZERO); biases.len()];
    for (param, block) in &key.weights().biases {
        let ends = &mut ends[block.offset..block.offset + param.columns];
        ends.fill((Base::from_i64(param.range.0), Base::from_i64(param.range.1)));
    }
    let mut limbs = vec![Vec::new(); LIMB_COLUMNS];
    for (bias, (low, high)) in biases.iter().zip(ends) {
        for (side, distance) in [*bias - low, high - *bias].into_iter().enumerate() {
            let mut rest = distance.as_canonical_u64();
            for limb in 0..BIAS_LIMBS {
                limbs[side * BIAS_LIMBS + limb].push(Base::from_u64(rest & ((1 << RANGE_BITS) - 1)));
                rest >>= RANGE_BITS;
            }
        }
    }
    let mut counts = vec![0u64; 1 << RANGE_BITS];
    for cell in distances.iter().chain(&limbs).flatten() {
        // A value outside the table is counted nowhere, and the proof fails.
        if let Some(count) = counts.get_mut(cell.as_canonical_u64() as usize) {
            *count += 1;
        }
    }
    let looked_up: u64 = layout.lookups.iter().map(|block| 1u64 << block.variables).sum();
    counts[0] += (1u64 << layout.lookup_variables) - looked_up;
    RegistrationWitness {
        tables: tables.to_vec(),
        distances,
        limbs,
        multiplicity: counts.into_iter().map(Base::from_u64).collect(),
    }
}

/// Proves that the committed tables keep their ranges.
pub(crate) fn prove(
    key: &VerifyingKey,
    tables: &[Vec<Base>],
    weights: &WeightCommitment,
    tamper: &mut dyn Tamper,
) -> Result<Vec<u8>, ProverError> {
    let layout = key.registration();
    tamper.reaches(Stage::Witness, (0, 1));
    let mut witness = fill(key, tables, distances(key, tables));
    tamper.registration(&mut witness);
    let mut committed = witness.clone();
    tamper.registration_committed(&mut committed);
    tamper.reaches(Stage::Commit, (0, 1));
    let committer = Committer::new(layout.configuration());
    let commitment = committer.commit(vec![
        Columns {
            height: 1 << layout.limb_variables,
            cells: committed.limbs.concat(),
        },
        Columns {
            height: 1 << RANGE_BITS,
            cells: committed.multiplicity,
        },
    ])?;
    // G1
    let root = commitment.root;
    let model_id = key.model_id();
    let mut transcript = Transcript::new("haca v1 zk registration", model_id.as_bytes()).commit(Some(&root));
    tamper.heard("root", &transcript);
    // G2
    tamper.reaches(Stage::Lookups, (0, 1));
    transcript.step("registration lookups");
    let alpha = transcript.challenge();
    // G3
    let mut leaves = vec![alpha; 1 << layout.lookup_variables];
    for (block, cells) in layout
        .lookups
        .iter()
        .zip(witness.distances.iter().chain(&witness.limbs))
    {
        leaves[block.range()]
            .iter_mut()
            .zip(cells)
            .for_each(|(leaf, cell)| *leaf -= *cell);
    }
    let negated: Vec<Base> = witness.multiplicity.iter().map(|m| -*m).collect();
    let rows = (0..1u64 << RANGE_BITS)
        .map(|v| alpha - Base::from_u64(v))
        .collect();
    let mut trees = Trees {
        lookup_numerators: None,
        lookups: leaves,
        table_numerators: negated,
        tables: rows,
    };
    tamper.trees(alpha, &mut trees);
    let ([lookups, table_tree], [leaf, table_point]) = trees.prove(tamper, &mut transcript);
    // G4
    let suffix = |variables: usize| leaf[leaf.len() - variables..].to_vec();
    let evaluate = |cells: &[Base], point: &[Extension]| haca_zk::multilinear::evaluate(cells, point);
    let variables = key.weights().tables();
    let mut cells = Vec::new();
    for (index, (table, v)) in witness.tables.iter().zip(&variables).enumerate() {
        tamper.reaches(Stage::Folds, (index, variables.len()));
        cells.push(evaluate(table, &suffix(*v)));
    }
    let limb_point = suffix(layout.limb_variables);
    let eq = eq_table(&limb_point);
    let limb = |cells: &Vec<Base>| cells.iter().zip(&eq).map(|(c, e)| *e * *c).sum();
    let mut limbs: Vec<Extension> = witness.limbs.iter().map(limb).collect();
    let mut multiplicity = [evaluate(&witness.multiplicity, &table_point)];
    send("cells", &mut cells, tamper, &mut transcript);
    send("limbs", &mut limbs, tamper, &mut transcript);
    send("multiplicity", &mut multiplicity, tamper, &mut transcript);
    // G7
    tamper.reaches(Stage::Openings, (0, 2));
    let points = [limb_point, table_point];
    let opening = committer.open(
        commitment,
        &layout.protocol(),
        &points,
        &mut transcript,
        "registration",
    )?;
    // G8
    tamper.reaches(Stage::Openings, (1, 2));
    let points = key
        .points()
        .iter()
        .zip(&variables)
        .flat_map(|(p, v)| [p.clone(), suffix(*v)]);
    let points: Vec<Vec<Extension>> = points.collect();
    let protocol = key.weights().protocol(&vec![2; tables.len()]);
    let weights = weights.open(&protocol, &points, &mut transcript)?;
    tamper.reaches(Stage::Encode, (0, 1));
    let proof = RegistrationProof {
        root,
        lookups,
        tables: table_tree,
        cells,
        limbs,
        multiplicity: multiplicity[0],
        opening,
        weights,
    };
    Ok(proof.encode())
}
