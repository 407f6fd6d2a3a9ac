//! The prover of inferences (steps P1 to P10 of `spec/zk.md`).

use haca_zk::circuit::{Circuit, Role, Site};
use haca_zk::field::{Base, Extension, base};
use haca_zk::fraction::FractionProof;
use haca_zk::multilinear::eq_table;
use haca_zk::proof::{ChannelProof, InferenceProof, WitnessProof};
use haca_zk::sumcheck::powers;
use haca_zk::table::LookupChallenges;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::verification::{
    OutputPoint, PURPOSE, UsePoint, channel_blocks, product_blocks, public_result_points, result_point,
    use_points, weight_points,
};
use haca_zk::witness::WitnessLayout;
use haca_zk::{Statement, VerifyingKey};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use crate::adversary::{Tamper, Witness};
use crate::commitment::{Columns, Commitment};
use crate::kernel::{fold_columns, fold_rows};
use crate::proving_key::ProvingKey;
use crate::stages::{Stages, Stopwatch};
use crate::{Execution, ProverError, fraction, sumcheck};

/// What the lookup argument leaves to be proven, and its part of the proof.
struct Lookup {
    lookups: FractionProof,
    tables: FractionProof,
    columns: Vec<Extension>,
    low: Extension,
    multiplicities: [Extension; 3],
    cells: Vec<Extension>,
    table_point: Vec<Extension>,
}

/// Proves a batch. `batch` is padded to a power of two; `inferences` in the witness is not.
pub(crate) fn prove(
    key: &ProvingKey,
    context: [u8; 32],
    batch: &[&Execution],
    inferences: usize,
    tamper: &mut dyn Tamper,
    is_honest: bool,
) -> Result<(Vec<u8>, Stages), ProverError> {
    let mut watch = Stopwatch::start();
    let mut stages = Stages::default();
    let verifying_key = key.verifying_key();
    let circuit = verifying_key.circuit();
    let batch_variables = batch.len().trailing_zeros() as usize;
    let layout = verifying_key.witness(batch_variables);
    let mut statement: Vec<haca_wire::Inference> = batch
        .iter()
        .take(inferences)
        .map(|execution| execution.inference.clone())
        .collect();
    let mut witness = None;
    if let Some(layout) = layout {
        let mut filled =
            crate::witness::fill(circuit, layout, &key.tables(batch_variables), batch, &statement);
        tamper.witness(&mut filled);
        statement.clone_from(&filled.inferences);
        witness = Some(filled);
    }
    stages.witness = watch.lap();
    let commitment = match (&witness, layout) {
        (Some(witness), Some(layout)) => Some(commit(key, batch_variables, layout, witness)?),
        _ => None,
    };
    stages.commit = watch.lap();
    // P1 and P2
    let statement = Statement {
        context,
        inferences: &statement,
    };
    let root = commitment.as_ref().map(|commitment| commitment.root);
    let mut transcript = Transcript::new(PURPOSE, &statement.digest(verifying_key)).commit(root.as_ref());
    // P3 and P4
    let lookup = match (&witness, layout) {
        (Some(witness), Some(layout)) => Some(prove_lookups(layout, witness, &mut transcript)),
        _ => None,
    };
    stages.lookups = watch.lap();
    // P5 to P9
    let outputs = OutputPoint::draw(circuit, batch_variables, &mut transcript);
    let uses = use_points(
        circuit,
        layout,
        lookup.as_ref().map(|l| l.cells.as_slice()),
        &outputs,
    );
    let results = if is_honest { None } else { witness.as_ref() };
    let inputs = folded_inputs(circuit, layout, batch, results, &uses);
    let products = prove_products(key, &uses, inputs, tamper, &mut transcript);
    let (channels, channel_points) = prove_channels(key, &uses, &products.point, &mut transcript);
    stages.sumchecks = watch.lap();
    // P10
    let mut witness_proof = None;
    if let (Some(lookup), Some(layout), Some(commitment)) = (lookup, layout, commitment) {
        let root = commitment.root;
        let mut at = vec![lookup.cells.clone()];
        let blocks = product_blocks(circuit).0;
        let of = |(u, block): (&UsePoint, &haca_zk::block::Block)| {
            result_point(circuit, layout, u, block.inner(&products.point))
        };
        at.extend(uses.iter().zip(&blocks).filter_map(of));
        at.extend(public_result_points(circuit, layout, &outputs));
        at.extend(
            layout
                .tables
                .iter()
                .map(|table| table.inner(&lookup.table_point).to_vec()),
        );
        let protocol = layout.protocol(WitnessLayout::result_points(circuit));
        let committer = key.committer(batch_variables);
        let opening = committer.open(commitment, &protocol, &at, &mut transcript, "witness")?;
        witness_proof = Some(WitnessProof {
            root,
            lookups: lookup.lookups,
            tables: lookup.tables,
            columns: lookup.columns,
            low: lookup.low,
            multiplicities: lookup.multiplicities,
            results: products.results,
            opening,
        });
    }
    let opening = open_weights(
        key,
        verifying_key,
        &uses,
        &products.point,
        &channel_points,
        &mut transcript,
    )?;
    stages.openings = watch.lap();
    let proof = InferenceProof {
        witness: witness_proof,
        biases: products.biases,
        product: products.rounds,
        weights: products.weights,
        channels,
        opening,
    };
    let bytes = proof.encode();
    stages.encode = watch.lap();
    Ok((bytes, stages))
}

fn commit(
    key: &ProvingKey,
    batch_variables: usize,
    layout: &WitnessLayout,
    witness: &Witness,
) -> Result<Commitment, ProverError> {
    let mut cells = Vec::with_capacity(witness.columns.len() << layout.variables);
    for (_, column) in &witness.columns {
        cells.extend_from_slice(column);
    }
    let mut tables = vec![Columns {
        height: 1 << layout.variables,
        cells,
    }];
    for multiplicity in &witness.multiplicities {
        tables.push(Columns {
            height: multiplicity.len(),
            cells: multiplicity.clone(),
        });
    }
    key.committer(batch_variables).commit(tables)
}

/// Steps P3 and P4.
fn prove_lookups(
    layout: &WitnessLayout,
    witness: &Witness,
    transcript: &mut Transcript<Committed>,
) -> Lookup {
    transcript.step("lookups");
    let challenges = LookupChallenges::new(transcript.challenge(), transcript.challenge());
    let leaves = lookup_leaves(layout, witness, &challenges);
    let (numerators, denominators) = table_leaves(layout, witness, &challenges);
    let (lookups, leaf) = fraction::prove(None, leaves, transcript);
    let (tables, table_point) = fraction::prove(Some(&numerators), denominators, transcript);
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
    let columns: Vec<Extension> = witness
        .columns
        .iter()
        .map(|(_, column)| evaluate(column))
        .collect();
    let low = evaluate(&witness.low);
    let mut multiplicities = [Extension::ZERO; 3];
    for ((value, cells), table) in multiplicities
        .iter_mut()
        .zip(&witness.multiplicities)
        .zip(&layout.tables)
    {
        *value = haca_zk::multilinear::evaluate(cells, table.inner(&table_point));
    }
    transcript.absorb(&columns);
    transcript.absorb(&[low]);
    transcript.absorb(&multiplicities);
    Lookup {
        lookups,
        tables,
        columns,
        low,
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
    let weighted = |side: Base| match u64_of(side) {
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

fn u64_of(value: Base) -> u64 {
    use p3_field::PrimeField64;
    value.as_canonical_u64()
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

/// For each use: `sum_i eq(batch, i) X(i, .)`. Honest results are folded as int8; altered ones as field elements.
fn folded_inputs(
    circuit: &Circuit,
    layout: Option<&WitnessLayout>,
    batch: &[&Execution],
    altered: Option<&Witness>,
    uses: &[UsePoint],
) -> Vec<Vec<Extension>> {
    let fold = |at: &UsePoint| {
        let linear = &circuit.linears[at.of.linear];
        let width = 1usize << linear.column_variables();
        let eq = eq_table(&at.batch);
        match (linear.source, altered, layout) {
            (Site::Requantise(index), Some(witness), Some(layout)) => {
                let mut out = vec![Extension::ZERO; width];
                let cells = &witness.columns[0].1[layout.blocks[index].range()];
                for (row, weight) in cells.chunks_exact(width).zip(&eq) {
                    out.iter_mut()
                        .zip(row)
                        .for_each(|(out, cell)| *out += *weight * *cell);
                }
                out
            }
            (source, _, _) => {
                let mut matrix = vec![0i8; width * batch.len()];
                for (row, execution) in matrix.chunks_exact_mut(width).zip(batch) {
                    match source {
                        Site::Requantise(index) => row.copy_from_slice(&execution.results[index]),
                        Site::Input(index) => {
                            let values = execution.inference.inputs[index].values();
                            row.iter_mut().zip(values).for_each(|(cell, v)| *cell = *v as i8);
                        }
                        Site::Linear(_) | Site::ArgMax(..) => {}
                    }
                }
                fold_rows(&matrix, width, &eq)
            }
        }
    };
    uses.iter().map(fold).collect()
}

/// The matrix product sumcheck and the claims around it.
struct Products {
    biases: Vec<Extension>,
    rounds: Vec<[Extension; 2]>,
    point: Vec<Extension>,
    results: Vec<Extension>,
    weights: Vec<Extension>,
}

/// Steps P6 to P8.
fn prove_products(
    key: &ProvingKey,
    uses: &[UsePoint],
    mut inputs: Vec<Vec<Extension>>,
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> Products {
    let circuit = key.verifying_key().circuit();
    let rows: Vec<Vec<Extension>> = uses.iter().map(|at| row_weights(circuit, at)).collect();
    let bias = |(at, rows): (&UsePoint, &Vec<Extension>)| -> Extension {
        let values = &key.weights().biases[circuit.linears[at.of.linear].bias];
        rows.iter()
            .zip(values)
            .map(|(row, value)| *row * base(i64::from(*value)))
            .sum()
    };
    let mut biases: Vec<Extension> = uses.iter().zip(&rows).map(bias).collect();
    tamper.biases(&mut biases);
    transcript.absorb(&biases);
    let fold = |(at, rows): (&UsePoint, &Vec<Extension>)| {
        let linear = &circuit.linears[at.of.linear];
        fold_rows(
            &key.weights().matrices[linear.weight],
            1 << linear.column_variables(),
            &rows[..linear.rows],
        )
    };
    let mut weights: Vec<Vec<Extension>> = uses.iter().zip(&rows).map(fold).collect();
    tamper.folded_weights(&mut weights);
    tamper.folded_inputs(&mut inputs);
    let (blocks, variables) = product_blocks(circuit);
    let mut f = vec![Extension::ZERO; 1 << variables];
    let mut g = vec![Extension::ZERO; 1 << variables];
    for ((at, block), (input, weight)) in uses.iter().zip(&blocks).zip(inputs.iter().zip(&weights)) {
        f[block.range()]
            .iter_mut()
            .zip(input)
            .for_each(|(f, x)| *f = at.coefficient * *x);
        g[block.range()].copy_from_slice(weight);
    }
    transcript.step("matrix product");
    let (rounds, point) = sumcheck::prove(f, g, transcript);
    let at_point = |(values, block): (&Vec<Extension>, &haca_zk::block::Block)| -> Extension {
        values
            .iter()
            .zip(eq_table(block.inner(&point)))
            .map(|(v, e)| *v * e)
            .sum()
    };
    let reads = |at: &UsePoint| matches!(circuit.linears[at.of.linear].source, Site::Requantise(_));
    let results: Vec<Extension> = uses
        .iter()
        .zip(inputs.iter().zip(&blocks))
        .filter(|(at, _)| reads(at))
        .map(|(_, pair)| at_point(pair))
        .collect();
    let weights: Vec<Extension> = weights.iter().zip(&blocks).map(at_point).collect();
    transcript.absorb(&results);
    transcript.absorb(&weights);
    Products {
        biases,
        rounds,
        point,
        results,
        weights,
    }
}

/// `m_j`: the weight of each channel of a use.
fn row_weights(circuit: &Circuit, at: &UsePoint) -> Vec<Extension> {
    let mut rows = eq_table(&at.rows);
    if at.channel.is_some()
        && let Role::Requantise(index) = at.of.role
    {
        let multipliers = &circuit.requantises[index].multipliers;
        for (channel, row) in rows.iter_mut().enumerate() {
            *row *= base(multipliers.get(channel).map_or(0, |m| i64::from(*m)));
        }
    }
    rows
}

/// Step P9.
fn prove_channels(
    key: &ProvingKey,
    uses: &[UsePoint],
    product: &[Extension],
    transcript: &mut Transcript<Committed>,
) -> (Option<ChannelProof>, Vec<Vec<Extension>>) {
    let circuit = key.verifying_key().circuit();
    let all = product_blocks(circuit).0;
    let per_channel: Vec<_> = uses
        .iter()
        .zip(&all)
        .filter(|(at, _)| at.channel.is_some())
        .collect();
    if per_channel.is_empty() {
        return (None, Vec::new());
    }
    transcript.step("channels");
    let mut mixes = powers(transcript.challenge());
    let mut next = || mixes.next().unwrap_or(Extension::ZERO);
    let (blocks, variables) = channel_blocks(circuit);
    let mut f = vec![Extension::ZERO; 1 << variables];
    let mut g = vec![Extension::ZERO; 1 << variables];
    let mut columns = Vec::new();
    for ((at, column), block) in per_channel.iter().zip(&blocks) {
        let linear = &circuit.linears[at.of.linear];
        let weights = fold_columns(
            &key.weights().matrices[linear.weight],
            1 << linear.column_variables(),
            &eq_table(column.inner(product)),
        );
        let mut biases = vec![Extension::ZERO; weights.len()];
        for (cell, bias) in biases.iter_mut().zip(&key.weights().biases[linear.bias]) {
            *cell = Extension::from(base(i64::from(*bias)));
        }
        let (mix_weight, mix_bias) = (next(), next());
        f[block.range()].copy_from_slice(&row_weights(circuit, at));
        for (g, (weight, bias)) in g[block.range()].iter_mut().zip(weights.iter().zip(&biases)) {
            *g = mix_weight * *weight + mix_bias * *bias;
        }
        columns.push((weights, biases));
    }
    let (rounds, point) = sumcheck::prove(f, g, transcript);
    let points: Vec<Vec<Extension>> = blocks.iter().map(|block| block.inner(&point).to_vec()).collect();
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for ((weight, bias), point) in columns.iter().zip(&points) {
        let eq = eq_table(point);
        let at = |values: &[Extension]| -> Extension { values.iter().zip(&eq).map(|(v, e)| *v * *e).sum() };
        weights.push(at(weight));
        biases.push(at(bias));
    }
    transcript.absorb(&weights);
    transcript.absorb(&biases);
    (
        Some(ChannelProof {
            rounds,
            weights,
            biases,
        }),
        points,
    )
}

/// Step P10, the weights.
fn open_weights(
    key: &ProvingKey,
    verifying_key: &VerifyingKey,
    uses: &[UsePoint],
    product: &[Extension],
    channels: &[Vec<Extension>],
    transcript: &mut Transcript<Committed>,
) -> Result<haca_zk::opening::OpeningProof, ProverError> {
    let tables = weight_points(verifying_key, uses, product, channels);
    let (mut at, mut counts) = (Vec::new(), Vec::new());
    for (asked, point) in tables.into_iter().zip(verifying_key.points()) {
        at.push(point.clone());
        counts.push(1 + asked.len());
        at.extend(asked.into_iter().map(|(_, point)| point));
    }
    let protocol = verifying_key.weights().protocol(&counts);
    key.open_weights(&protocol, &at, transcript)
}
