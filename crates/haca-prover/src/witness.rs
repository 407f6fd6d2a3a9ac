//! Filling the witness of a proof of inferences.

use std::sync::Arc;

use haca_wire::Inference;
use haca_zk::cell::CellBlock;
use haca_zk::circuit::Circuit;
use haca_zk::field::{Base, base};
use haca_zk::table::{LARGER_TABLE, MAPPING_TABLE, SIDE_TABLE, result_of, side_of};
use haca_zk::witness::{Column, LARGER_BITS, Table, WitnessLayout};
use p3_field::PrimeCharacteristicRing;

use crate::Execution;
use crate::adversary::{Row, StageColumns, Witness};
use crate::trace::{Run, Trace};

/// The rows of all tables.
pub(crate) fn tables(circuit: &Circuit, layout: &WitnessLayout) -> Arc<Vec<Vec<Row>>> {
    let zero = Base::ZERO;
    let rows = |kind: &Table| -> Vec<Row> {
        match kind {
            Table::Range => {
                let values = 0..1i64 << layout.parameters.limb_bits;
                values.map(|v| [base(v), zero, zero, zero]).collect()
            }
            Table::Side => {
                let row = |h: usize| {
                    let side = side_of(h, layout.window) as i64;
                    [base(h as i64), base(side), zero, base(SIDE_TABLE)]
                };
                (0..1usize << layout.parameters.high_bits).map(row).collect()
            }
            Table::Mapping => mapping_rows(circuit, layout),
            Table::Larger => {
                let middle = 1i64 << (LARGER_BITS - 1);
                let row = |x: i64| [base(x), base(x.max(0)), zero, base(LARGER_TABLE)];
                (-middle..middle).map(row).collect()
            }
        }
    };
    Arc::new(layout.tables.iter().map(|(kind, _)| rows(kind)).collect())
}

fn mapping_rows(circuit: &Circuit, layout: &WitnessLayout) -> Vec<Row> {
    let window_bits = layout.parameters.window_bits;
    let row = |index: usize| {
        let low = index & ((1 << window_bits) - 1);
        let rest = index >> window_bits;
        let (mapping, side) = match layout.parameters.is_split() {
            true => (rest >> 2, rest & 3),
            false => (rest, 0),
        };
        let mapping = mapping.min(circuit.mappings.len() - 1);
        let of = &circuit.mappings[mapping];
        let result = match layout.parameters.is_split() {
            true => result_of(low, side, layout.window_start, of),
            false => of.result(layout.window_start + low as i64),
        };
        let id = base(mapping as i64 + MAPPING_TABLE);
        [base(low as i64), base(side as i64), base(result), id]
    };
    (0..1usize << layout.mapping_variables).map(row).collect()
}

/// Cells as integers, before they become field elements.
struct Cells {
    result: Vec<i8>,
    quotient: Vec<u32>,
    remainder: Vec<u64>,
    mapping: Vec<u8>,
}

/// Fills the witness of a padded batch.
pub(crate) fn fill(
    circuit: &Circuit,
    trace: &Trace,
    layout: &WitnessLayout,
    tables: &Arc<Vec<Vec<Row>>>,
    batch: &[&Execution],
    inferences: &[Inference],
) -> Witness {
    let cells = cells(circuit, trace, layout, batch);
    let (window_bits, limb_bits) = (layout.parameters.window_bits, layout.parameters.limb_bits);
    let window_mask = (1u32 << window_bits) - 1;
    let limb_mask = (1u64 << limb_bits) - 1;
    let mut counts: Vec<Vec<u64>> = tables.iter().map(|rows| vec![0; rows.len()]).collect();
    let table = |kind: Table| layout.tables.iter().position(|(of, _)| *of == kind).unwrap_or(0);
    let is_split = layout.parameters.is_split();
    let (of_side, of_mapping) = (table(Table::Side), table(Table::Mapping));
    let count = 1usize << layout.variables;
    let mut low = Vec::with_capacity(count);
    let (mut high, mut side) = (Vec::new(), Vec::new());
    for (quotient, mapping) in cells.quotient.iter().zip(&cells.mapping) {
        let l = (quotient & window_mask) as usize;
        let mut row = usize::from(*mapping);
        if is_split {
            let h = (quotient >> window_bits) as usize;
            let s = side_of(h, layout.window);
            counts[of_side][h] += 1;
            row = (row << 2) | s;
            high.push(Base::from_u32(h as u32));
            side.push(Base::from_u32(s as u32));
        }
        counts[of_mapping][(row << window_bits) | l] += 1;
        low.push(Base::from_u32(l as u32));
    }
    let result = cells.result.iter().map(|r| base(i64::from(*r))).collect();
    let mut columns = vec![(Column::Result, result)];
    if is_split {
        columns.extend([(Column::High, high), (Column::Side, side)]);
    }
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
    let stages = layout.stage_variables.map(|variables| {
        stages(
            circuit,
            trace,
            layout,
            batch,
            (variables, &mut counts[table(Table::Larger)]),
        )
    });
    // Leaves outside all blocks look up zero.
    let looked_up: u64 = layout.lookups.iter().map(|block| 1u64 << block.variables).sum();
    counts[0][0] += (1u64 << layout.lookup_variables) - looked_up;
    let field = |counts: Vec<u64>| counts.into_iter().map(Base::from_u64).collect();
    Witness {
        columns,
        low,
        stages,
        multiplicities: counts.into_iter().map(field).collect(),
        tables: Arc::clone(tables),
        mappings: cells.mapping.iter().map(|c| base(i64::from(*c))).collect(),
        inferences: inferences.to_vec(),
    }
}

/// The columns of the stages, and how often each difference occurs.
fn stages(
    circuit: &Circuit,
    trace: &Trace,
    layout: &WitnessLayout,
    batch: &[&Execution],
    (variables, counts): (usize, &mut [u64]),
) -> StageColumns {
    let count = 1usize << variables;
    let mut columns = StageColumns {
        results: vec![Base::ZERO; count],
        first: vec![Base::ZERO; count],
        second: vec![Base::ZERO; count],
    };
    let middle = counts.len() / 2;
    let mut filled = 0;
    for (inference, execution) in batch.iter().enumerate() {
        let run = Run::new(circuit, trace, execution);
        for (index, (stage, block)) in circuit.stages.iter().zip(&layout.stages.blocks).enumerate() {
            let operands = stage
                .operands
                .map(|operand| run.operand(&operand, stage.channels));
            let elements = operands[0].iter().zip(&operands[1]).zip(run.stage(index));
            for (element, ((first, second), result)) in elements.enumerate() {
                let cell = block.cell(element / stage.channels, element % stage.channels);
                let cell = (cell << layout.batch_variables) | inference;
                columns.first[cell] = base(i64::from(*first));
                columns.second[cell] = base(i64::from(*second));
                columns.results[cell] = base(i64::from(*result));
                let difference = isize::from(*first) - isize::from(*second);
                counts[middle.wrapping_add_signed(difference)] += 1;
                filled += 1;
            }
        }
    }
    // Everywhere else, zero is compared with zero.
    counts[middle] += (count - filled) as u64;
    columns
}

fn cells(circuit: &Circuit, trace: &Trace, layout: &WitnessLayout, batch: &[&Execution]) -> Cells {
    let count = 1usize << layout.variables;
    let offset = layout.quotient_offset();
    let half = 1u64 << (layout.shift() - 1);
    let zero = |mapping: usize| circuit.mappings[mapping].result(0) as i8;
    // Cells outside all blocks hold the requantisation of zero under the first mapping.
    let mut cells = Cells {
        result: vec![zero(0); count],
        quotient: vec![offset as u32; count],
        remainder: vec![half; count],
        mapping: vec![0; count],
    };
    for (index, (requantise, block)) in circuit.requantises.iter().zip(&layout.cells.blocks).enumerate() {
        let all =
            block.offset << layout.batch_variables..(block.offset + block.cells()) << layout.batch_variables;
        cells.mapping[all.clone()].fill(requantise.mapping as u8);
        cells.result[all].fill(zero(requantise.mapping));
        let scale = layout.scale_bits(requantise.shift);
        let multipliers: Vec<i64> = requantise.multipliers.iter().map(|m| i64::from(*m)).collect();
        for (inference, execution) in batch.iter().enumerate() {
            let accumulators = trace.accumulator(execution, requantise.accumulator);
            let results = trace.requantise(execution, index);
            let pixels = accumulators
                .chunks_exact(block.channels)
                .zip(results.chunks_exact(block.channels));
            for (position, (accumulators, results)) in pixels.enumerate() {
                let start = cell(block, position, layout.batch_variables, inference);
                let multipliers = multipliers.iter().cycle();
                for (channel, ((accumulator, result), multiplier)) in
                    accumulators.iter().zip(results).zip(multipliers).enumerate()
                {
                    let at = start + (channel << layout.batch_variables);
                    // The verifier's bounds keep this below 2^62.
                    let rounded = ((i64::from(*accumulator) * multiplier) << scale) + half as i64;
                    let quotient = rounded >> layout.shift();
                    cells.result[at] = *result;
                    cells.quotient[at] = (quotient + offset) as u32;
                    cells.remainder[at] = (rounded - (quotient << layout.shift())) as u64;
                }
            }
        }
    }
    cells
}

/// The cell of the first channel of a position, for one inference of a batch.
const fn cell(block: &CellBlock, position: usize, batch_variables: usize, inference: usize) -> usize {
    (block.cell(position, 0) << batch_variables) | inference
}
