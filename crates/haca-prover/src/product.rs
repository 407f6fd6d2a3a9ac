//! The provers of the matrix product and of the channels (steps P6 to P9 of `spec/zk.md`).

use haca_zk::circuit::{Circuit, Role, Site};
use haca_zk::field::{Extension, base};
use haca_zk::multilinear::eq_table;
use haca_zk::proof::ChannelProof;
use haca_zk::sumcheck::powers;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::{UsePoint, channel_blocks, product_blocks};
use haca_zk::witness::WitnessLayout;
use p3_field::PrimeCharacteristicRing;

use crate::adversary::{Channel, Tamper, Witness, send};
use crate::kernel::{fold_columns, fold_rows};
use crate::proving_key::ProvingKey;
use crate::{Execution, sumcheck};

/// For each use: `sum_i eq(batch, i) X(i, .)`. Honest results are folded as int8; altered ones as field elements.
pub(crate) fn folded_inputs(
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
pub(crate) struct Products {
    pub(crate) biases: Vec<Extension>,
    pub(crate) rounds: Vec<[Extension; 2]>,
    pub(crate) point: Vec<Extension>,
    pub(crate) results: Vec<Extension>,
    pub(crate) weights: Vec<Extension>,
}

/// Steps P6 to P8.
pub(crate) fn prove_products(
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
    tamper.biases(uses, &mut biases);
    send("biases", &mut biases, tamper, transcript);
    let fold = |(at, rows): (&UsePoint, &Vec<Extension>)| {
        let linear = &circuit.linears[at.of.linear];
        fold_rows(
            &key.weights().matrices[linear.weight],
            1 << linear.column_variables(),
            &rows[..linear.rows],
        )
    };
    let mut weights: Vec<Vec<Extension>> = uses.iter().zip(&rows).map(fold).collect();
    tamper.products(&mut inputs, &mut weights);
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
    let (rounds, point) = sumcheck::prove("product", f, g, tamper, transcript);
    let at_point = |(values, block): (&Vec<Extension>, &haca_zk::block::Block)| -> Extension {
        values
            .iter()
            .zip(eq_table(block.inner(&point)))
            .map(|(v, e)| *v * e)
            .sum()
    };
    let reads = |at: &UsePoint| matches!(circuit.linears[at.of.linear].source, Site::Requantise(_));
    let mut results: Vec<Extension> = uses
        .iter()
        .zip(inputs.iter().zip(&blocks))
        .filter(|(at, _)| reads(at))
        .map(|(_, pair)| at_point(pair))
        .collect();
    let mut weights: Vec<Extension> = weights.iter().zip(&blocks).map(at_point).collect();
    send("results", &mut results, tamper, transcript);
    send("weights", &mut weights, tamper, transcript);
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
pub(crate) fn prove_channels(
    key: &ProvingKey,
    uses: &[UsePoint],
    product: &[Extension],
    tamper: &mut dyn Tamper,
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
    let mut columns = Vec::new();
    for (at, column) in per_channel {
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
        columns.push(Channel {
            rows: row_weights(circuit, at),
            weights,
            biases,
        });
    }
    tamper.channels(&mut columns);
    let mut f = vec![Extension::ZERO; 1 << variables];
    let mut g = vec![Extension::ZERO; 1 << variables];
    for (channel, block) in columns.iter().zip(&blocks) {
        let (mix_weight, mix_bias) = (next(), next());
        f[block.range()].copy_from_slice(&channel.rows);
        let cells = channel.weights.iter().zip(&channel.biases);
        for (g, (weight, bias)) in g[block.range()].iter_mut().zip(cells) {
            *g = mix_weight * *weight + mix_bias * *bias;
        }
    }
    let (rounds, point) = sumcheck::prove("channels", f, g, tamper, transcript);
    let points: Vec<Vec<Extension>> = blocks.iter().map(|block| block.inner(&point).to_vec()).collect();
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for (channel, point) in columns.iter().zip(&points) {
        let eq = eq_table(point);
        let at = |values: &[Extension]| -> Extension { values.iter().zip(&eq).map(|(v, e)| *v * *e).sum() };
        weights.push(at(&channel.weights));
        biases.push(at(&channel.biases));
    }
    send("channel weights", &mut weights, tamper, transcript);
    send("channel biases", &mut biases, tamper, transcript);
    (
        Some(ChannelProof {
            rounds,
            weights,
            biases,
        }),
        points,
    )
}
