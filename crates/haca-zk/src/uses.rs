//! Where the uses of a circuit claim accumulators, and where weights are opened for them. Shared with the prover, so
//! that both ask for the same points in the same order.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing;

use crate::VerifyingKey;
use crate::block::{Block, log2_ceil, place};
use crate::cell::BlockWeights;
use crate::circuit::{Circuit, Matrix, Role, Use};
use crate::field::{Extension, base, power_of_two};
use crate::multilinear::eq_table;
use crate::registration::suffix;
use crate::sumcheck::powers;
use crate::transcript::{Committed, Transcript};
use crate::weight::{Tiling, WeightLayout};
use crate::witness::WitnessLayout;

/// The point at which public values are compared, and the challenge that mixes public accumulators.
#[derive(Clone, Debug)]
pub struct OutputPoint {
    /// The coordinates of the inference: those of the lookup point, or drawn when there is no witness.
    pub batch: Vec<Extension>,
    /// The coordinates of the position; a value with fewer variables uses the last ones.
    pub positions: Vec<Extension>,
    /// The coordinates of the channel, likewise.
    pub channels: Vec<Extension>,
    /// The mixing challenge.
    pub mix: Extension,
}

impl OutputPoint {
    /// Step P5. `cells` is the lookup point, whose last coordinates are those of the inference.
    pub fn draw(
        circuit: &Circuit,
        batch_variables: usize,
        cells: Option<&[Extension]>,
        transcript: &mut Transcript<Committed>,
    ) -> Self {
        transcript.step("public values");
        let batch = match cells {
            Some(cells) => suffix(cells, batch_variables),
            None => transcript.challenges(batch_variables),
        };
        let (positions, channels) = output_variables(circuit);
        Self {
            batch,
            positions: transcript.challenges(positions),
            channels: transcript.challenges(channels),
            mix: transcript.challenge(),
        }
    }

    /// The weights of the positions and of the channels of a public value, and the point of its channels.
    pub fn weights(&self, positions: usize, channels: usize) -> BlockWeights {
        let channel_point = suffix(&self.channels, log2_ceil(channels));
        let mut rows = eq_table(&suffix(&self.positions, log2_ceil(positions)));
        rows.truncate(positions);
        BlockWeights {
            positions: rows,
            channels: eq_table(&channel_point),
            channel_point,
        }
    }
}

/// Variables of the positions and of the channels of the largest public value.
pub(crate) fn output_variables(circuit: &Circuit) -> (usize, usize) {
    let accumulators = circuit
        .uses
        .iter()
        .filter(|u| matches!(u.role, Role::Output(_)))
        .filter_map(|u| circuit.accumulator(u))
        .map(|a| (a.positions, a.channels));
    let values = circuit.public_values().iter();
    let values = values.filter_map(|(_, value)| circuit.values.get(*value));
    let shapes = accumulators.chain(values.map(|v| (v.positions, v.channels)));
    shapes.fold((0, 0), |(rows, columns), (positions, channels)| {
        (rows.max(log2_ceil(positions)), columns.max(log2_ceil(channels)))
    })
}

/// Where one use claims accumulators: `scale * sum_(p, o, i) positions(p) rows(o) eq(batch, i) acc(p, o, i)`. The uses
/// of a claim share its weights, so that memory grows with the claims and the uses, not with their product.
#[derive(Clone, Debug)]
pub struct UsePoint {
    /// The use.
    pub of: Use,
    /// Weight of the claim, with the scaled multiplier when all channels share it.
    pub claim: Extension,
    /// That weight times the coefficient of the use.
    pub scale: Extension,
    /// The weight of each position.
    pub positions: Arc<[Extension]>,
    /// The sum of the weights of the positions.
    pub total: Extension,
    /// The weight of each channel, with its multiplier where channels differ.
    pub rows: Arc<[Extension]>,
    /// The coordinates of the channel.
    pub row_point: Arc<[Extension]>,
}

/// The points of all uses. `blocks` are the weights of the cells of the requantisations at the lookup point.
pub fn use_points(
    circuit: &Circuit,
    layout: Option<&WitnessLayout>,
    blocks: &[BlockWeights],
    outputs: &OutputPoint,
) -> Vec<UsePoint> {
    let mut mixes = powers(outputs.mix).skip(1);
    let mut points = Vec::with_capacity(circuit.uses.len());
    // The uses of a claim share its point and weight.
    for claim in circuit.uses.chunk_by(|a, b| a.role == b.role) {
        if let Some(point) = claim_point(circuit, layout, blocks, outputs, &mut mixes, claim) {
            points.extend(claim.iter().map(|of| UsePoint {
                of: *of,
                scale: point.claim * base(of.coefficient),
                ..point.clone()
            }));
        }
    }
    points
}

/// The point of a claim, as that of its first use.
fn claim_point(
    circuit: &Circuit,
    layout: Option<&WitnessLayout>,
    blocks: &[BlockWeights],
    outputs: &OutputPoint,
    mixes: &mut impl Iterator<Item = Extension>,
    claim: &[Use],
) -> Option<UsePoint> {
    let of = claim.first()?;
    let accumulator = circuit.accumulator(of)?;
    let (scale, weights) = match of.role {
        Role::Requantise(index) => {
            let requantise = circuit.requantises.get(index)?;
            let scale = power_of_two(layout?.scale_bits(requantise.shift));
            let multiplier = match requantise.multipliers.as_slice() {
                [one] => base(i64::from(*one)),
                _ => base(1),
            };
            (Extension::from(scale * multiplier), blocks.get(index)?.clone())
        }
        Role::Output(_) => {
            let weights = outputs.weights(accumulator.positions, accumulator.channels);
            (mixes.next()?, weights)
        }
    };
    let mut rows = weights.channels;
    rows.truncate(accumulator.channels);
    let multipliers = circuit.multipliers(of);
    if multipliers.len() > 1 {
        let pairs = rows.iter_mut().zip(multipliers);
        pairs.for_each(|(row, multiplier)| *row *= base(i64::from(*multiplier)));
    }
    Some(UsePoint {
        of: *of,
        claim: scale,
        scale,
        total: weights.positions.iter().copied().sum(),
        positions: weights.positions.into(),
        rows: rows.into(),
        row_point: weights.channel_point.into(),
    })
}

/// One column span of the matrix of a use, with its block in the space of the matrix product sumcheck: groups, then
/// columns.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// Index of the use.
    pub of: usize,
    /// Index of the column span.
    pub span: usize,
    /// Its block.
    pub block: Block,
    /// Variables that index the columns inside the block; the others index the groups.
    pub column_variables: usize,
}

impl Chunk {
    /// The coordinates of the group and of the column at a point of the sumcheck.
    pub fn split<'a>(&self, point: &'a [Extension]) -> (&'a [Extension], &'a [Extension]) {
        let inner = self.block.inner(point);
        inner.split_at(inner.len().saturating_sub(self.column_variables))
    }
}

/// The matrix of a use and its tiling.
pub fn tiling<'a>(
    circuit: &'a Circuit,
    layout: &'a WeightLayout,
    of: &Use,
) -> Option<(&'a Matrix, &'a Tiling)> {
    let matrix = circuit.matrix(of)?;
    Some((matrix, layout.tilings.get(matrix.weight)?))
}

/// The chunks of all uses in the space of the matrix product sumcheck, and its variables.
pub fn product_chunks(circuit: &Circuit, layout: &WeightLayout) -> (Vec<Chunk>, usize) {
    let (mut chunks, mut sizes) = (Vec::new(), Vec::new());
    for (of, u) in circuit.uses.iter().enumerate() {
        let Some((matrix, tiling)) = tiling(circuit, layout, u) else {
            continue;
        };
        for (span, columns) in tiling.columns.iter().enumerate() {
            sizes.push(log2_ceil(matrix.groups) + columns.variables);
            chunks.push(Chunk {
                of,
                span,
                block: Block {
                    offset: 0,
                    variables: 0,
                },
                column_variables: columns.variables,
            });
        }
    }
    let (blocks, variables) = place(&sizes);
    chunks
        .iter_mut()
        .zip(blocks)
        .for_each(|(chunk, block)| chunk.block = block);
    (chunks, variables)
}

/// The indices of the chunks of a use: chunks stand in the order of their uses.
pub fn own_chunks(chunks: &[Chunk], of: usize) -> core::ops::Range<usize> {
    let start = chunks.partition_point(|chunk| chunk.of < of);
    let end = chunks.partition_point(|chunk| chunk.of <= of);
    start..end
}

/// What one entry of the channel sumcheck is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// The weights of a chunk, by index.
    Weights(usize),
    /// The bias.
    Bias,
}

/// One entry of the channel sumcheck: what a use with weighted rows folds.
#[derive(Clone, Copy, Debug)]
pub struct ChannelEntry {
    /// Index of the use.
    pub of: usize,
    /// What is folded.
    pub folded: Folded,
    /// Its block in the space of the sumcheck.
    pub block: Block,
}

/// The entries of the channel sumcheck (for each use with weighted rows its chunks, then its bias), and its variables.
pub fn channel_entries(circuit: &Circuit, chunks: &[Chunk]) -> (Vec<ChannelEntry>, usize) {
    let (mut entries, mut sizes) = (Vec::new(), Vec::new());
    for (of, u) in circuit.uses.iter().enumerate() {
        let Some(matrix) = circuit.matrix(u).filter(|_| circuit.is_weighted(u)) else {
            continue;
        };
        let folded = own_chunks(chunks, of).map(Folded::Weights).chain([Folded::Bias]);
        for folded in folded {
            let block = Block {
                offset: 0,
                variables: 0,
            };
            entries.push(ChannelEntry { of, folded, block });
            sizes.push(log2_ceil(matrix.rows));
        }
    }
    let (blocks, variables) = place(&sizes);
    entries
        .iter_mut()
        .zip(blocks)
        .for_each(|(entry, block)| entry.block = block);
    (entries, variables)
}

/// The weights of the rows of an entry: those of the use, times `eq` of the group of each row for a chunk.
pub fn entry_rows(
    circuit: &Circuit,
    at: &UsePoint,
    chunk: Option<&Chunk>,
    product: &[Extension],
) -> Vec<Extension> {
    let (Some(chunk), Some(matrix)) = (chunk, circuit.matrix(&at.of)) else {
        return at.rows.to_vec();
    };
    let groups = eq_table(chunk.split(product).0);
    let group = |row: usize| groups.get(matrix.group(row)).copied().unwrap_or(Extension::ZERO);
    let rows = at.rows.iter().enumerate();
    rows.map(|(row, weight)| *weight * group(row)).collect()
}

/// One opening of a tile, or of a bias, for a use.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The table of the weight commitment.
    pub table: usize,
    /// The point of the table.
    pub point: Vec<Extension>,
}

/// Where the folded weights of a chunk are opened: each tile of its column span at `rows`, with the weight of the tile.
pub fn chunk_openings(
    key: &VerifyingKey,
    chunk: &Chunk,
    rows: &[Extension],
    product: &[Extension],
) -> Vec<(Extension, Asked)> {
    let (circuit, layout) = (key.circuit(), key.weights());
    let tiling = circuit
        .uses
        .get(chunk.of)
        .and_then(|of| tiling(circuit, layout, of));
    let Some((_, tiling)) = tiling else {
        return Vec::new();
    };
    let columns = chunk.split(product).1;
    let opening = |table: usize| {
        let tile = layout.weights.get(table)?;
        let point = tile.point(rows, columns);
        Some((tile.row_weight(rows), Asked { table, point }))
    };
    tiling.tables(chunk.span).filter_map(opening).collect()
}

/// Where the folded bias of a use is opened.
pub fn bias_opening(key: &VerifyingKey, of: &Use, rows: &[Extension]) -> Option<Asked> {
    let layout = key.weights();
    let (_, block) = layout.biases.get(key.circuit().matrix(of)?.bias)?;
    Some(Asked {
        table: layout.weights.len(),
        point: block.lift(layout.bias_variables, rows),
    })
}
