//! Where the uses of a circuit claim accumulators, and where committed values are opened for them. Shared with the
//! prover, so that both ask for the same points in the same order.

use crate::VerifyingKey;
use crate::block::{Block, place};
use crate::circuit::{Circuit, Linear, Role, Site, Use};
use crate::field::{Extension, base, power_of_two};
use crate::registration::suffix;
use crate::sumcheck::powers;
use crate::transcript::{Committed, Transcript};
use crate::witness::WitnessLayout;

/// The point at which public values are compared, and the challenge that mixes public accumulators.
#[derive(Clone, Debug)]
pub struct OutputPoint {
    /// The coordinates of the inference.
    pub batch: Vec<Extension>,
    /// The coordinates of the element; a value with fewer variables uses the last ones.
    pub rows: Vec<Extension>,
    /// The mixing challenge.
    pub mix: Extension,
}

impl OutputPoint {
    /// Step P5.
    pub fn draw(circuit: &Circuit, batch_variables: usize, transcript: &mut Transcript<Committed>) -> Self {
        transcript.step("public values");
        let variables = circuit
            .linears
            .iter()
            .map(Linear::row_variables)
            .max()
            .unwrap_or(0);
        Self {
            batch: transcript.challenges(batch_variables),
            rows: transcript.challenges(variables),
            mix: transcript.challenge(),
        }
    }
}

/// Where one use claims accumulators: `coefficient * sum_ij eq(batch, i) m_j acc(i, j)` with `m_j = eq(rows, j)`,
/// times the multiplier of the channel where channels differ.
#[derive(Clone, Debug)]
pub struct UsePoint {
    /// The use.
    pub of: Use,
    /// Weight of the claim, with the scaled multiplier when all channels share it.
    pub coefficient: Extension,
    /// The coordinates of the inference.
    pub batch: Vec<Extension>,
    /// The coordinates of the channel.
    pub rows: Vec<Extension>,
    /// Index among the uses with multipliers per channel.
    pub channel: Option<usize>,
}

/// The points of all uses.
pub fn use_points(
    circuit: &Circuit,
    layout: Option<&WitnessLayout>,
    cells: Option<&[Extension]>,
    outputs: &OutputPoint,
) -> Vec<UsePoint> {
    let mut mixes = powers(outputs.mix).skip(1);
    let mut channels = 0usize..;
    let mut point = |of: &Use| match of.role {
        Role::Requantise(index) => {
            let (layout, cells) = (layout?, cells?);
            let requantise = circuit.requantises.get(index)?;
            let block = layout.blocks.get(index)?;
            let (batch, rows) = block.inner(cells).split_at_checked(layout.batch_variables)?;
            let scale = power_of_two(layout.scale_bits(requantise.shift));
            let per_channel = requantise.is_per_channel();
            let multiplier = match requantise.multipliers.as_slice() {
                [one] => base(i64::from(*one)),
                _ => base(1),
            };
            Some(UsePoint {
                of: *of,
                coefficient: block.weight(cells) * (scale * multiplier),
                batch: batch.to_vec(),
                rows: rows.to_vec(),
                channel: if per_channel { channels.next() } else { None },
            })
        }
        Role::Output => {
            let linear = circuit.linears.get(of.linear)?;
            Some(UsePoint {
                of: *of,
                coefficient: mixes.next()?,
                batch: outputs.batch.clone(),
                rows: suffix(&outputs.rows, linear.row_variables()),
                channel: None,
            })
        }
    };
    circuit.uses.iter().filter_map(&mut point).collect()
}

/// The blocks of the uses in the space of the matrix product sumcheck.
pub fn product_blocks(circuit: &Circuit) -> (Vec<Block>, usize) {
    let linears = circuit.uses.iter().filter_map(|u| circuit.linears.get(u.linear));
    place(&linears.map(Linear::column_variables).collect::<Vec<_>>())
}

/// The blocks of the uses with multipliers per channel, in the space of the channel sumcheck.
pub fn channel_blocks(circuit: &Circuit) -> (Vec<Block>, usize) {
    let uses = circuit.channel_uses();
    let linears = uses
        .iter()
        .filter_map(|u| circuit.linears.get(circuit.uses.get(*u)?.linear));
    place(&linears.map(Linear::row_variables).collect::<Vec<_>>())
}

/// The point, inside the results of the source, at which a use that reads a requantisation needs them.
pub fn result_point(
    circuit: &Circuit,
    layout: &WitnessLayout,
    at: &UsePoint,
    columns: &[Extension],
) -> Option<Vec<Extension>> {
    let Site::Requantise(source) = circuit.linears.get(at.of.linear)?.source else {
        return None;
    };
    let mut inner = at.batch.clone();
    inner.extend_from_slice(columns);
    Some(layout.blocks.get(source)?.lift(layout.variables, &inner))
}

/// The point of each public requantisation.
pub fn public_result_points(
    circuit: &Circuit,
    layout: &WitnessLayout,
    outputs: &OutputPoint,
) -> Vec<Vec<Extension>> {
    let point = |index: usize| {
        let linear = circuit.linears.get(circuit.requantises.get(index)?.linear)?;
        let mut inner = outputs.batch.clone();
        inner.extend(suffix(&outputs.rows, linear.row_variables()));
        Some(layout.blocks.get(index)?.lift(layout.variables, &inner))
    };
    circuit
        .public_requantises()
        .into_iter()
        .filter_map(point)
        .collect()
}

/// For each table of the weight commitment: the points that uses ask for, and which use asks, in order. The last
/// table holds the biases.
pub fn weight_points(
    key: &VerifyingKey,
    uses: &[UsePoint],
    product: &[Extension],
    channels: &[Vec<Extension>],
) -> Vec<Vec<(usize, Vec<Extension>)>> {
    let (circuit, layout) = (key.circuit(), key.weights());
    let mut tables = vec![Vec::new(); layout.weights.len() + 1];
    let blocks = product_blocks(circuit).0;
    for (index, (at, block)) in uses.iter().zip(&blocks).enumerate() {
        let rows = at
            .channel
            .and_then(|channel| channels.get(channel))
            .unwrap_or(&at.rows);
        let Some(linear) = circuit.linears.get(at.of.linear) else {
            continue;
        };
        if let (Some(table), Some(points)) =
            (layout.weights.get(linear.weight), tables.get_mut(linear.weight))
        {
            points.push((index, table.point(rows, block.inner(product))));
        }
        if let (Some((_, bias)), Some(points)) = (layout.biases.get(linear.bias), tables.last_mut()) {
            points.push((index, bias.lift(layout.bias_variables, rows)));
        }
    }
    tables
}
