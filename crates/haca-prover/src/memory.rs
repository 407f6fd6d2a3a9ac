//! How much memory proofs and registrations take, from the sizes of what they allocate.
//!
//! The parts that grow with a model or a batch are counted as the provers hold them: columns, commitments with their
//! codewords and Merkle trees, fraction trees with all layers, the spaces of the sumchecks. What is left out is small
//! and covered by [`with_allowance`]. Tests hold the sums against an allocator that counts.

use haca_zk::circuit::Circuit;
use haca_zk::joined::JoinedLayout;
use haca_zk::registration::{LIMB_COLUMNS, RANGE_BITS};
use haca_zk::schedule::Schedule;
use haca_zk::uses::{channel_entries, product_chunks};
use haca_zk::witness::WitnessLayout;
use haca_zk::{Layouts, ProtocolParameters, VerifyingKey};

use crate::ProverError;

/// Bytes of a base field element.
const BASE: u64 = 8;
/// Bytes of an extension field element.
const EXTENSION: u64 = 24;
/// Bytes of a node of a Merkle tree.
const DIGEST: u64 = 32;
/// Bytes of a row of a lookup table.
const ROW: u64 = 4 * BASE;
/// Bytes that are there for each leaf while a fraction tree is built: the leaves as they come, as they are packed, and
/// lifted numerators; then numerators and denominators of all layers above, as many as there are leaves.
const LEAF: u64 = 5 * EXTENSION;
/// Bytes that a sumcheck over two factors holds for each cell: the factors with what they were made of, and packed.
const CELL: u64 = 6 * EXTENSION;
/// What is needed whatever the size: pages of the program, heaps and stacks of the threads, transcripts and points.
const FLOOR: u64 = 32 << 20;

/// Refuses work that needs `found` bytes when that is above the limit.
pub(crate) fn check(what: &'static str, found: u64, limit: Option<u64>) -> Result<(), ProverError> {
    match limit {
        Some(expected) if found > expected => Err(ProverError::Memory {
            what,
            found,
            expected,
        }),
        _ => Ok(()),
    }
}

/// Adds what is not counted, and what an allocator leaves between blocks.
const fn with_allowance(bytes: u64) -> u64 {
    bytes + bytes / 8 + FLOOR
}

/// What one commitment takes.
struct Commitment {
    /// Tables, stacked polynomial, codeword and Merkle tree.
    kept: u64,
    /// A second codeword while the first is transposed, and the twiddles.
    making: u64,
    /// Folded polynomial, weights, codewords and Merkle trees of the later phases.
    opening: u64,
}

impl Commitment {
    /// Of tables of `cells` cells, stacked to `variables` variables.
    fn new(cells: u64, variables: usize, schedule: &Schedule) -> Self {
        let rate = |phase: usize| usize::from(schedule.log_inverse_rates.get(phase).copied().unwrap_or(1));
        let tree = |height: usize| (2 * DIGEST) << height;
        let fold = schedule.first_fold();
        let codeword = BASE << (variables + rate(0));
        let height = (variables + rate(0)).saturating_sub(fold);
        Self {
            kept: BASE * cells + (BASE << variables) + codeword + tree(height),
            making: codeword + (BASE << height),
            opening: later_phases(variables.saturating_sub(fold), schedule),
        }
    }

    /// Of a witness of `cells` cells that is opened with weights of `weight_variables`, whose cells are kept row by row from
    /// the first proof on.
    fn joined(
        cells: u64,
        variables: usize,
        weight_variables: usize,
        joined: &JoinedLayout,
        schedule: &Schedule,
    ) -> Self {
        let rate = usize::from(schedule.log_inverse_rates.first().copied().unwrap_or(1));
        let height = joined.column_variables + rate;
        let [_, fold] = joined.row.parts;
        let codeword = BASE << (height + fold);
        let rows = (BASE << variables) + (BASE << weight_variables);
        Self {
            kept: BASE * cells + rows + codeword + ((2 * DIGEST) << height),
            making: codeword + (BASE << height),
            opening: later_phases(joined.column_variables, schedule),
        }
    }
}

/// What an opening takes behind its first phase, which leaves `rest` variables.
fn later_phases(mut rest: usize, schedule: &Schedule) -> u64 {
    let rate = |phase: usize| usize::from(schedule.log_inverse_rates.get(phase).copied().unwrap_or(1));
    let mut opening = (3 * EXTENSION) << rest;
    for (phase, fold) in schedule.folds.iter().enumerate().skip(1) {
        let length = rest + rate(phase);
        opening += (2 * EXTENSION) << length;
        opening += (2 * DIGEST) << length.saturating_sub(usize::from(*fold));
        rest = rest.saturating_sub(usize::from(*fold));
    }
    opening
}

/// Cells of all tables of the given variables.
fn cells(variables: impl IntoIterator<Item = usize>) -> u64 {
    variables.into_iter().map(|v| 1u64 << v).sum()
}

/// What proving `inferences` at once takes beyond the key.
pub(crate) fn of_proof(key: &VerifyingKey, inferences: usize) -> u64 {
    let circuit = key.circuit();
    let batch = inferences.next_power_of_two().trailing_zeros() as usize;
    let weights = Commitment::new(
        cells(key.weights().tables()),
        key.weights().variables,
        &key.parameters().weights,
    );
    // Small weights are opened from a copy of tables and polynomial.
    let copied = (2 * BASE) << key.weights().variables.min(crate::commitment::INTEGER_VARIABLES);
    let is_joined = key.witness(batch).is_some_and(|layout| layout.joined().is_some());
    let opening = if is_joined { 0 } else { weights.opening + copied };
    let runs = run(circuit).saturating_mul(inferences as u64);
    let sumchecks = sumchecks(key, batch);
    let (held, most) = match key.witness(batch) {
        Some(layout) => witness(key, layout, sumchecks.max(opening)),
        None => (0, sumchecks.max(opening)),
    };
    with_allowance(runs + held + most)
}

/// What is held of a witness to the end of a proof, and the most that is there beside it, where the stages behind the
/// lookups take `later`.
fn witness(key: &VerifyingKey, layout: &WitnessLayout, later: u64) -> (u64, u64) {
    let circuit = key.circuit();
    let column = 1u64 << layout.variables;
    let stage = layout.stage_variables.map_or(0, |v| 1u64 << v);
    let rows = cells(layout.tables.iter().map(|(_, block)| block.variables));
    let columns = layout.columns().len() as u64;
    // The columns, what is looked up beside them, the stages, and the tables with their counts.
    let held = BASE * (column * (columns + 2) + 3 * stage + rows) + ROW * rows;
    let (committed, schedule) = (column * columns + stage + rows, &layout.parameters.schedule);
    let commitment = match layout.joined() {
        None => Commitment::new(committed, layout.committed_variables, schedule),
        Some(joined) => {
            let weights = key.weights().variables;
            Commitment::joined(committed, layout.committed_variables, weights, joined, schedule)
        }
    };
    // Cells as integers, and one run with the operands of its stages.
    let filling = 14 * column + BASE * rows + run(circuit);
    let tree = |variables: usize| LEAF << variables;
    let table_leaves = (BASE + EXTENSION) << layout.table_variables;
    let lookups = tree(layout.lookup_variables).max(tree(layout.table_variables)) + table_leaves;
    let lookups = lookups.max(2 * EXTENSION * column.max(stage));
    let after = commitment.kept + lookups.max(later).max(commitment.opening);
    (held, filling.max(commitment.kept + commitment.making).max(after))
}

/// The values of one run: inputs and outputs as tensors, in the run and in the statement, and everything between.
fn run(circuit: &Circuit) -> u64 {
    let accumulators: u64 = circuit
        .accumulators
        .iter()
        .map(|a| 4 * (a.positions * a.channels) as u64)
        .sum();
    let values: u64 = circuit.values.iter().map(|value| value.elements() as u64).sum();
    let widest = circuit.values.iter().map(|value| value.elements() as u64).max();
    accumulators + 3 * values + 4 * BASE * widest.unwrap_or(0)
}

/// The largest space of the sumchecks of a padded batch, with the folded values that it is made of.
fn sumchecks(key: &VerifyingKey, batch: usize) -> u64 {
    let circuit = key.circuit();
    let folded = |elements: u64| 2 * EXTENSION * elements;
    let (mut values, mut gather) = (0, 0);
    if let Some(layout) = key.witness(batch) {
        let stages = layout
            .stage_variables
            .map_or(0, |_| 1u64 << layout.stages.variables);
        values = folded((1u64 << layout.cells.variables) + stages);
        gather = CELL << layout.gather_variables;
    }
    let widest = circuit.values.iter().map(|value| value.elements() as u64).max();
    values += folded(widest.unwrap_or(0));
    let (chunks, product) = product_chunks(circuit, key.weights());
    let channels = channel_entries(circuit, &chunks).1;
    let windows = circuit.uses.iter().filter_map(|of| {
        let matrix = circuit.matrix(of)?;
        let width = matrix.windows.taps() * circuit.values.get(matrix.value)?.channels;
        // Rows of int8 elements under all windows, and their sums.
        Some((width.next_multiple_of(16) * matrix.windows.positions()) as u64 + folded(width as u64))
    });
    let space = haca_zk::product::ProductSpace::new(circuit);
    let factors = match space.is_empty() {
        true => 0,
        false => (4 * EXTENSION) << (space.cells.variables + batch),
    };
    let matrices = (CELL << product) + windows.max().unwrap_or(0);
    values + gather.max(matrices).max(CELL << channels).max(factors)
}

/// What registering a model takes beyond its file.
pub(crate) fn of_registration(layouts: &Layouts, parameters: &ProtocolParameters) -> u64 {
    let (weights, layout) = (&layouts.weights, &layouts.registration);
    let tables = weights.tables();
    let count = cells(tables.iter().copied());
    let commitment = Commitment::new(count, weights.variables, &parameters.weights);
    // Tiles and what the executor packs of them, all int8; the tables as field elements.
    let held = 3 * count + BASE * count + commitment.kept;
    let evaluation = tables.iter().map(|v| (2 * EXTENSION) << v).max().unwrap_or(0);
    // Tables and both distances of each cell, the limbs of the biases, once as they are and once as committed.
    let limbs = (LIMB_COLUMNS as u64) << layout.limb_variables;
    let witness = 2 * BASE * (3 * count + limbs + (1 << RANGE_BITS));
    let small = Commitment::new(
        limbs + (1 << RANGE_BITS),
        layout.committed_variables,
        &parameters.registration,
    );
    let lookups = LEAF << layout.lookup_variables;
    let copied = (2 * BASE) << weights.variables.min(crate::commitment::INTEGER_VARIABLES);
    let later = lookups
        .max(evaluation)
        .max(commitment.opening + copied)
        .max(small.opening);
    let proving = witness + small.kept + later.max(small.making);
    with_allowance(held + commitment.making.max(evaluation).max(proving))
}
