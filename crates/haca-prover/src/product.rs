//! The provers of the matrix product and of the channels (steps P6, P8 and P9 of `spec/zk.md`).

use haca_zk::field::{Extension, base};
use haca_zk::multilinear::{dot, eq_table};
use haca_zk::proof::ChannelProof;
use haca_zk::sumcheck::powers;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::{ChannelEntry, Chunk, Folded, UsePoint, chunk_openings, entry_rows, tiling};
use p3_field::PrimeCharacteristicRing;

use crate::adversary::{Channel, Tamper, send};
use crate::folding::FoldedValues;
use crate::kernel::{fold_columns, fold_rows};
use crate::proving_key::ProvingKey;
use crate::stages::Stage;
use crate::sumcheck;

/// Step P6: the folded bias of each use with a matrix.
pub(crate) fn folded_biases(key: &ProvingKey, uses: &[UsePoint]) -> Vec<Extension> {
    let circuit = key.verifying_key().circuit();
    let bias = |at: &UsePoint| {
        let values = &key.weights().biases[circuit.matrix(&at.of)?.bias];
        let rows = at.rows.iter().zip(values);
        Some(rows.map(|(row, value)| *row * base(i64::from(*value))).sum())
    };
    uses.iter().filter_map(bias).collect()
}

/// The matrix product sumcheck.
pub(crate) struct Products {
    pub(crate) rounds: Vec<[Extension; 2]>,
    pub(crate) point: Vec<Extension>,
    pub(crate) inputs: Extension,
    /// What is sent for the chunks.
    pub(crate) weights: Vec<Extension>,
}

/// Step P8.
pub(crate) fn prove_products(
    key: &ProvingKey,
    uses: &[UsePoint],
    (chunks, variables): (&[Chunk], usize),
    values: &FoldedValues<'_>,
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> Products {
    let circuit = key.verifying_key().circuit();
    tamper.reaches(Stage::Folds, (0, 1));
    let (mut inputs, mut weights) = (Vec::new(), Vec::new());
    let mut whole: Option<(usize, Vec<Vec<Extension>>)> = None;
    for chunk in chunks {
        let at = &uses[chunk.of];
        // The chunks of a use stand together: its inputs are folded once.
        let folded = match whole.take().filter(|(of, _)| *of == chunk.of) {
            Some((_, folded)) => folded,
            None => circuit
                .matrix(&at.of)
                .map_or(Vec::new(), |matrix| values.inputs(matrix, &at.positions)),
        };
        inputs.push(chunk_inputs(key, chunk, at, &folded));
        weights.push(chunk_weights(key, chunk, at));
        whole = Some((chunk.of, folded));
    }
    tamper.products(&mut inputs, &mut weights);
    let mut f = vec![Extension::ZERO; 1 << variables];
    let mut g = vec![Extension::ZERO; 1 << variables];
    for (chunk, (input, weight)) in chunks.iter().zip(inputs.iter().zip(&weights)) {
        f[chunk.block.range()].copy_from_slice(input);
        g[chunk.block.range()].copy_from_slice(weight);
    }
    tamper.reaches(Stage::Sumchecks, (0, 1));
    transcript.step("matrix product");
    let (rounds, point) = sumcheck::prove("product", f, g, tamper, transcript);
    let at_point = |values: &Vec<Extension>, chunk: &Chunk| {
        let eq = eq_table(chunk.block.inner(&point));
        chunk.block.weight(&point) * dot(values, &eq)
    };
    let mut inputs = [inputs
        .iter()
        .zip(chunks)
        .map(|(v, chunk)| at_point(v, chunk))
        .sum()];
    tamper.reaches(Stage::Folds, (0, 1));
    let mut sent = Vec::new();
    for (chunk, weight) in chunks.iter().zip(&weights) {
        let at = &uses[chunk.of];
        if circuit.is_weighted(&at.of) {
            sent.push(dot(weight, &eq_table(chunk.block.inner(&point))));
        } else {
            sent.extend(tile_values(key, chunk, &at.row_point, &point));
        }
    }
    tamper.reaches(Stage::Sumchecks, (0, 1));
    send("inputs", &mut inputs, tamper, transcript);
    send("weights", &mut sent, tamper, transcript);
    Products {
        rounds,
        point,
        inputs: inputs[0],
        weights: sent,
    }
}

/// The folded inputs of a chunk, group by group, scaled.
fn chunk_inputs(key: &ProvingKey, chunk: &Chunk, at: &UsePoint, folded: &[Vec<Extension>]) -> Vec<Extension> {
    let verifying_key = key.verifying_key();
    let mut out = vec![Extension::ZERO; 1 << chunk.block.variables];
    let Some((_, tiling)) = tiling(verifying_key.circuit(), verifying_key.weights(), &at.of) else {
        return out;
    };
    let span = tiling.columns[chunk.span];
    for (cells, inputs) in out.chunks_exact_mut(1 << span.variables).zip(folded) {
        let inputs = &inputs[span.start..][..span.len];
        cells
            .iter_mut()
            .zip(inputs)
            .for_each(|(cell, x)| *cell = at.scale * *x);
    }
    out
}

/// The folded weights of a chunk, group by group.
fn chunk_weights(key: &ProvingKey, chunk: &Chunk, at: &UsePoint) -> Vec<Extension> {
    let verifying_key = key.verifying_key();
    let mut out = vec![Extension::ZERO; 1 << chunk.block.variables];
    let Some((matrix, tiling)) = tiling(verifying_key.circuit(), verifying_key.weights(), &at.of) else {
        return out;
    };
    let width = 1usize << chunk.column_variables;
    let per_group = matrix.rows / matrix.groups;
    for (group, cells) in out.chunks_exact_mut(width).enumerate().take(matrix.groups) {
        let rows = group * per_group..(group + 1) * per_group;
        for (span, table) in tiling.rows.iter().zip(tiling.tables(chunk.span)) {
            let (from, to) = (rows.start.max(span.start), rows.end.min(span.start + span.len));
            if from < to {
                let tile =
                    &key.weights().tiles[table][(from - span.start) * width..(to - span.start) * width];
                let sums = fold_rows(tile, width, &at.rows[from..to]);
                cells.iter_mut().zip(sums).for_each(|(cell, sum)| *cell += sum);
            }
        }
    }
    out
}

/// The tiles of a chunk at a point of the rows.
fn tile_values(key: &ProvingKey, chunk: &Chunk, rows: &[Extension], product: &[Extension]) -> Vec<Extension> {
    let columns = eq_table(chunk.split(product).1);
    let openings = chunk_openings(key.verifying_key(), chunk, rows, product);
    let value = |asked: &haca_zk::uses::Asked| {
        let tile = &key.weights().tiles[asked.table];
        let row_variables = key.verifying_key().weights().weights[asked.table].rows.variables;
        let from = rows.len() - row_variables;
        let folded = fold_columns(tile, columns.len(), &columns);
        dot(&folded, &eq_table(&rows[from..]))
    };
    openings.iter().map(|(_, asked)| value(asked)).collect()
}

/// Step P9: the proof and the point.
pub(crate) fn prove_channels(
    key: &ProvingKey,
    uses: &[UsePoint],
    (chunks, entries, variables): (&[Chunk], &[ChannelEntry], usize),
    product: &[Extension],
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) -> (Option<ChannelProof>, Vec<Extension>) {
    if entries.is_empty() {
        return (None, Vec::new());
    }
    transcript.step("channels");
    let mix = transcript.challenge();
    let circuit = key.verifying_key().circuit();
    tamper.reaches(Stage::Folds, (0, 1));
    let mut columns = Vec::new();
    for entry in entries {
        let at = &uses[entry.of];
        let chunk = match entry.folded {
            Folded::Weights(chunk) => Some(&chunks[chunk]),
            Folded::Bias => None,
        };
        let values = match chunk {
            Some(chunk) => row_values(key, chunk, at, product),
            None => {
                let biases = circuit
                    .matrix(&at.of)
                    .map(|matrix| &key.weights().biases[matrix.bias]);
                let biases = biases.into_iter().flatten();
                biases
                    .map(|bias| Extension::from(base(i64::from(*bias))))
                    .collect()
            }
        };
        let rows = entry_rows(circuit, at, chunk, product);
        columns.push(Channel { rows, values });
    }
    tamper.channels(&mut columns);
    tamper.reaches(Stage::Sumchecks, (0, 1));
    let mut f = vec![Extension::ZERO; 1 << variables];
    let mut g = vec![Extension::ZERO; 1 << variables];
    for ((channel, entry), power) in columns.iter().zip(entries).zip(powers(mix)) {
        let (f, g) = (&mut f[entry.block.range()], &mut g[entry.block.range()]);
        f.iter_mut().zip(&channel.rows).for_each(|(f, row)| *f = *row);
        g.iter_mut()
            .zip(&channel.values)
            .for_each(|(g, value)| *g = power * *value);
    }
    let (rounds, point) = sumcheck::prove("channels", f, g, tamper, transcript);
    let mut openings = Vec::new();
    for (channel, entry) in columns.iter().zip(entries) {
        let inner = entry.block.inner(&point);
        let eq = eq_table(inner);
        match entry.folded {
            // A span of rows is the part of the values that its tile holds.
            Folded::Weights(chunk) => {
                let of = &uses[chunks[chunk].of].of;
                let verifying_key = key.verifying_key();
                let spans = tiling(circuit, verifying_key.weights(), of).map(|(_, tiling)| &tiling.rows);
                for span in spans.into_iter().flatten() {
                    let values = &channel.values[span.start..][..span.len];
                    openings.push(dot(values, &eq_table(&inner[inner.len() - span.variables..])));
                }
            }
            Folded::Bias => openings.push(dot(&channel.values, &eq)),
        }
    }
    send("channel openings", &mut openings, tamper, transcript);
    (Some(ChannelProof { rounds, openings }), point)
}

/// The weights of each row at the columns of the product point.
fn row_values(key: &ProvingKey, chunk: &Chunk, at: &UsePoint, product: &[Extension]) -> Vec<Extension> {
    let verifying_key = key.verifying_key();
    let Some((_, tiling)) = tiling(verifying_key.circuit(), verifying_key.weights(), &at.of) else {
        return Vec::new();
    };
    let columns = eq_table(chunk.split(product).1);
    let mut values = Vec::new();
    for (span, table) in tiling.rows.iter().zip(tiling.tables(chunk.span)) {
        let tile = &key.weights().tiles[table][..span.len << chunk.column_variables];
        values.extend(fold_columns(tile, columns.len(), &columns));
    }
    values
}
