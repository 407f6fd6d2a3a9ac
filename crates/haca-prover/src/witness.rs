//! Filling the witness of a proof of inferences.

use std::sync::Arc;

use haca_wire::Inference;
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, base};
use haca_zk::table::{CLAMP_TABLE, SIDE_TABLE, clamp_of, side_of};
use haca_zk::witness::{Column, WitnessLayout};
use p3_field::PrimeCharacteristicRing;

use crate::Execution;
use crate::adversary::{Row, Witness};

/// The rows of the three tables.
pub(crate) fn tables(layout: &WitnessLayout) -> Arc<[Vec<Row>; 3]> {
    let zero = Base::ZERO;
    let range = (0..1i64 << layout.parameters.limb_bits)
        .map(|v| [base(v), zero, zero, zero])
        .collect();
    let side = (0..1usize << layout.parameters.high_bits)
        .map(|h| {
            [
                base(h as i64),
                base(side_of(h, layout.window) as i64),
                zero,
                base(SIDE_TABLE),
            ]
        })
        .collect();
    let window_bits = layout.parameters.window_bits;
    let clamp = (0..1usize << layout.clamp_variables)
        .map(|index| {
            let low = index & ((1 << window_bits) - 1);
            let side = (index >> window_bits) & 3;
            let clamp = (index >> (window_bits + 2)).min(layout.clamps.len() - 1);
            let result = clamp_of(low, side, layout.window_start, layout.clamps[clamp]);
            [
                base(low as i64),
                base(side as i64),
                base(result),
                base(clamp as i64 + CLAMP_TABLE),
            ]
        })
        .collect();
    Arc::new([range, side, clamp])
}

/// Cells as integers, before they become field elements.
struct Cells {
    result: Vec<i8>,
    quotient: Vec<u32>,
    remainder: Vec<u64>,
    clamp: Vec<u8>,
}

/// Fills the witness of a padded batch.
pub(crate) fn fill(
    circuit: &Circuit,
    layout: &WitnessLayout,
    tables: &Arc<[Vec<Row>; 3]>,
    batch: &[&Execution],
    inferences: &[Inference],
) -> Witness {
    let cells = cells(circuit, layout, batch);
    let (window_bits, limb_bits) = (layout.parameters.window_bits, layout.parameters.limb_bits);
    let window_mask = (1u32 << window_bits) - 1;
    let limb_mask = (1u64 << limb_bits) - 1;
    let mut counts = [
        vec![0u64; 1 << limb_bits],
        vec![0; 1 << layout.parameters.high_bits],
        vec![0; 1 << layout.clamp_variables],
    ];
    let count = 1usize << layout.variables;
    let mut low = Vec::with_capacity(count);
    let mut high = Vec::with_capacity(count);
    let mut side = Vec::with_capacity(count);
    for (quotient, clamp) in cells.quotient.iter().zip(&cells.clamp) {
        let (h, l) = (
            (quotient >> window_bits) as usize,
            (quotient & window_mask) as usize,
        );
        let s = side_of(h, layout.window);
        counts[1][h] += 1;
        counts[2][(usize::from(*clamp) << (window_bits + 2)) | (s << window_bits) | l] += 1;
        low.push(Base::from_u32(l as u32));
        high.push(Base::from_u32(h as u32));
        side.push(Base::from_u32(s as u32));
    }
    let result = cells.result.iter().map(|r| base(i64::from(*r))).collect();
    let mut columns = vec![
        (Column::Result, result),
        (Column::High, high),
        (Column::Side, side),
    ];
    for limb in 0..usize::from(layout.parameters.limbs) {
        let shift = limb * usize::from(limb_bits);
        let mut column = Vec::with_capacity(count);
        for remainder in &cells.remainder {
            let value = (remainder >> shift) & limb_mask;
            counts[0][value as usize] += 1;
            column.push(Base::from_u64(value));
        }
        columns.push((Column::Limb(limb), column));
    }
    // Leaves outside all blocks look up zero.
    counts[0][0] += (1u64 << layout.lookup_variables) - ((layout.lookups.len() as u64) << layout.variables);
    Witness {
        columns,
        low,
        multiplicities: counts.map(|counts| counts.into_iter().map(Base::from_u64).collect()),
        tables: Arc::clone(tables),
        clamps: cells.clamp.iter().map(|c| base(i64::from(*c))).collect(),
        inferences: inferences.to_vec(),
    }
}

fn cells(circuit: &Circuit, layout: &WitnessLayout, batch: &[&Execution]) -> Cells {
    let count = 1usize << layout.variables;
    let offset = layout.quotient_offset();
    let half = 1u64 << (layout.shift() - 1);
    // Cells outside all blocks hold the requantisation of zero under the first clamp.
    let first = layout.clamps[0];
    let mut cells = Cells {
        result: vec![0i8.clamp(first.0, first.1); count],
        quotient: vec![offset as u32; count],
        remainder: vec![half; count],
        clamp: vec![0; count],
    };
    for (index, requantise) in circuit.requantises.iter().enumerate() {
        let block = &layout.blocks[index];
        let rows = 1usize << circuit.linears[requantise.linear].row_variables();
        let scale = layout.scale_bits(requantise.shift);
        cells.clamp[block.range()].fill(layout.clamp_of[index] as u8);
        cells.result[block.range()].fill(0i8.clamp(requantise.low, requantise.high));
        for (inference, execution) in batch.iter().enumerate() {
            let start = block.offset + inference * rows;
            let results = &execution.results[index];
            cells.result[start..start + results.len()].copy_from_slice(results);
            let multipliers = requantise.multipliers.iter().cycle();
            let accumulators = execution.accumulators[requantise.linear].iter().zip(multipliers);
            for (channel, (accumulator, multiplier)) in accumulators.enumerate() {
                // The verifier's bounds keep this below 2^62.
                let scaled = (i64::from(*accumulator) * i64::from(*multiplier)) << scale;
                let rounded = scaled + half as i64;
                let quotient = rounded >> layout.shift();
                cells.quotient[start + channel] = (quotient + offset) as u32;
                cells.remainder[start + channel] = (rounded - (quotient << layout.shift())) as u64;
            }
        }
    }
    cells
}
