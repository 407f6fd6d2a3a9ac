//! Verification work, counted from the verifying key alone. One unit is about a nanosecond of one core.

use haca_graph::{Function, FunctionKind, Op};
use haca_wire::Gas;

use crate::circuit::{Circuit, Form, Mapping};
use crate::joined::RowShape;
use crate::outline::{Counts as Outlined, Openings};
use crate::proof::Counts;
use crate::registration::RANGE_BITS;
use crate::schedule::{Config, query_phases};
use crate::security::opened_points;
use crate::value::{Origin, Source, Value};
use crate::windows::Windows;
use crate::witness::{Opening, WitnessLayout};
use crate::{ProofRejection, VerifyingKey};

/// The most gas of one verification: about four seconds. The default genesis allows a tenth of it; this bounds what
/// a file from anywhere can take of who verifies it.
pub const WORK_LIMIT: Gas = Gas(1 << 32);

/// Refuses a verification that takes more than [`WORK_LIMIT`].
pub(crate) fn check_work(gas: Gas) -> Result<(), ProofRejection> {
    if gas <= WORK_LIMIT {
        return Ok(());
    }
    Err(ProofRejection::Work {
        found: gas.0,
        expected: WORK_LIMIT.0,
    })
}

/// Decoding, the transcript's start and fixed costs.
const BASE: u64 = 40_000;
/// One compression of BLAKE3, with its bookkeeping.
const COMPRESSION: u64 = 120;
/// One multiply-accumulate in the challenge field.
const MULTIPLY: u64 = 12;
/// One claim of an opening: the backend starts a transcript for each, seeded with a Keccak hash of its form.
const CLAIM: u64 = 5_000;
/// One table looked at for one claim: the backend lists all tables of an opening for each of its claims.
const TABLE: u64 = 80;
/// One element of an output written as a decimal, when the response is computed from the outputs.
const DECIMAL: u64 = 100;
/// Multiplications for one row of an entry of the channel sumcheck.
const ROW: u64 = 5;
/// One round of a sumcheck with its share of the transcript.
const ROUND: u64 = 350;

fn tree(variables: usize) -> u64 {
    let rounds: u64 = (0..variables as u64).sum();
    rounds * ROUND + variables as u64 * 3 * ROUND
}

/// An opening of `claims` points of `tables` tables.
fn opening(config: &Config, row: Option<RowShape>, claims: usize, tables: usize) -> u64 {
    let mut work = 0u64;
    for (index, phase) in query_phases(config).into_iter().enumerate() {
        let (rows, width, mut depth) = (phase.rows as u64, phase.width as u64, phase.depth as u64);
        if index == 0 && row.is_some() {
            // Two trees.
            depth *= 2;
        }
        let blocks = (width * 24).div_ceil(64);
        work +=
            rows * (COMPRESSION * (blocks + depth) + MULTIPLY * 2 * (width + config.num_variables() as u64));
    }
    let rounds: usize = config.folding_schedule().iter().sum::<usize>() + config.final_sumcheck_rounds();
    let per_claim = CLAIM + config.num_variables() as u64 * 2 * MULTIPLY + tables as u64 * TABLE;
    work + rounds as u64 * 2 * ROUND + claims as u64 * per_claim
}

/// The work of verifying `2^batch_variables` inferences.
pub(crate) fn inference(key: &VerifyingKey, batch_variables: usize) -> Gas {
    let circuit = key.circuit();
    let graph = &key.manifest().graph;
    let counts = Counts::new(key, batch_variables);
    let mut work = BASE.saturating_add(decoding(key));
    let mut witness_claims = 0;
    if let Some(layout) = key.witness(batch_variables) {
        work = work.saturating_add(tree(layout.lookup_variables) + tree(layout.table_variables));
        // The columns, the stages, and the multiplicities of each table.
        let gathered = 2 * layout.gather.len() + 1;
        witness_claims = layout.columns().len() + gathered + layout.tables.len();
        let tables = 2 + layout.tables.len();
        if let Opening::Alone(config) = &layout.opening {
            work = work.saturating_add(opening(config, None, witness_claims, tables));
        }
        work = work.saturating_add(layout.gather_variables as u64 * ROUND);
        work = work.saturating_add(mappings(key, layout));
        // The weights of all cells, at the lookup point and at the point of the gather sumcheck.
        let blocks = layout.cells.blocks.iter().chain(&layout.stages.blocks);
        let rows =
            blocks.map(|b| b.positions as u64 + (1u64 << b.channel_variables) + 2 * layout.variables as u64);
        work = work.saturating_add(rows.fold(0, u64::saturating_add).saturating_mul(8 * MULTIPLY));
    }
    let (channel_rounds, channel_openings) = counts.channels.unwrap_or_default();
    let rounds = counts.product_rounds + channel_rounds + 2 * counts.products.unwrap_or(0);
    let sent = counts.weights + channel_openings + counts.matrices;
    work = work.saturating_add((rounds + sent) as u64 * ROUND);
    let elements = |shape: &haca_wire::Shape| shape.elements() as u64;
    let inputs: u64 = graph.inputs().iter().map(|spec| elements(&spec.shape)).sum();
    let outputs: u64 = graph
        .outputs()
        .iter()
        .map(|(_, spec)| elements(&spec.shape))
        .sum();
    // Each public element is hashed once, and weighted once at each batch point.
    work = work.saturating_add(((inputs + outputs) << batch_variables) * (4 + 3 * MULTIPLY));
    work = work.saturating_add((outputs << batch_variables) * DECIMAL);
    work = work.saturating_add(functionals(circuit).saturating_mul(MULTIPLY));
    // The weights of the rows of each entry of the channel sumcheck, padding included.
    work = work.saturating_add((counts.channel_rows as u64).saturating_mul(ROW * MULTIPLY));
    let tables = key.answers().len();
    let claims: usize = opened_points(key).iter().sum();
    let last = match key.witness(batch_variables).and_then(WitnessLayout::joined) {
        Some(joined) => opening(&joined.config, Some(joined.row), claims + witness_claims, 1),
        None => opening(&key.weights().config, None, claims, tables),
    };
    Gas(work.saturating_add(last))
}

/// One argument of a function, in each node that applies it: what decoding a key computes of the table.
const ARGUMENT: u64 = 400;
/// One argument of a distinct function, whose table is made.
const ENTRY: u64 = 700;
/// One node or parameter of the graph, as it is decoded and laid out.
const RECORD: u64 = 500;
/// One element of a value that is arranged: decoding looks where it comes from.
const ARRANGED: u64 = 100;

/// One node, stage, or opening of a use in the layouts, the security budget and the gas of one batch size.
const LAID_OUT: u64 = 300;
/// One earlier value that a node is compared with.
const COMPARED: u64 = 10;

/// What decoding a key takes, and finding out what it says of its model, told by an outline of it (W3).
pub(crate) fn outlined(counts: &Outlined<'_>) -> u64 {
    let Outlined {
        graph,
        batches,
        tables,
        pieces,
    } = counts;
    let records = graph.nodes().saturating_add(graph.params().len() as u64);
    let made = graph.nodes().saturating_add(graph.stages());
    let openings = pieces.saturating_mul(*pieces).saturating_add(1);
    let laid_out = made
        .saturating_add(graph.uses().saturating_mul(openings))
        .saturating_add(*tables)
        .saturating_mul(*batches);
    [
        (BASE, 1),
        (RECORD, records),
        (ARGUMENT, graph.arguments()),
        (ENTRY, graph.distinct_arguments()),
        (ARRANGED, graph.moved()),
        (LAID_OUT, laid_out),
        (COMPARED, graph.nodes().saturating_mul(made)),
    ]
    .into_iter()
    .fold(0, |sum, (each, count)| {
        sum.saturating_add(each.saturating_mul(count))
    })
}

/// The claims of a registration proof about the weights: each is about one table, and all tables are listed for it.
pub(crate) fn weight_claims(tables: u64) -> u64 {
    let each = CLAIM.saturating_add(tables.saturating_mul(TABLE));
    tables.saturating_mul(2).saturating_mul(each)
}

/// The work of decoding a key and of verifying its registration proof (W3).
pub(crate) fn price(counts: &Outlined<'_>, openings: &Openings<'_>) -> Gas {
    let tables = usize::try_from(counts.tables).unwrap_or(usize::MAX);
    let verifying = tree(openings.lookup_variables)
        + tree(RANGE_BITS)
        + opening(openings.witness, None, 11, 2)
        + opening(openings.weights, None, 2 * tables, tables);
    Gas(outlined(counts).saturating_add(verifying))
}

/// What decoding the key reads, looks up and computes.
fn decoding(key: &VerifyingKey) -> u64 {
    let arguments = |function: &Function| {
        // The series of the error function has many more terms than that of the exponential.
        let factor = if function.kind == FunctionKind::Gelu { 2 } else { 1 };
        factor * function.arguments() as u64
    };
    let nodes = key.manifest().graph.nodes().iter().map(|op| match op {
        Op::Activate { function, .. } => ARGUMENT.saturating_mul(arguments(function)),
        _ => 0,
    });
    let distinct = key.circuit().mappings.iter().map(|mapping| match mapping {
        Mapping::Function(function, _) => ENTRY.saturating_mul(arguments(function)),
        Mapping::Clamp(..) => 0,
    });
    let graph = &key.manifest().graph;
    let records = RECORD.saturating_mul((graph.nodes().len() + graph.params().len()) as u64);
    let arranged = ARRANGED.saturating_mul(key.circuit().arranged as u64);
    nodes
        .chain(distinct)
        .chain([records, arranged])
        .fold(0, u64::saturating_add)
}

/// The rows of mapping tables that have no closed form.
fn mappings(key: &VerifyingKey, layout: &WitnessLayout) -> u64 {
    let is_function = |mapping: &&Mapping| matches!(mapping, Mapping::Function(..));
    let functions = key.circuit().mappings.iter().filter(is_function).count() as u64;
    let clamps = key.circuit().mappings.len() as u64;
    (functions << layout.parameters.window_bits) * 3 * MULTIPLY + clamps * 60 * MULTIPLY
}

/// Whether a verifier weights a value by its positions and its channels, each by themselves: it has those of its cells.
/// Any other value is weighted element by element under each tap.
fn is_separable(circuit: &Circuit, value: &Value) -> bool {
    let channels = match &value.origin {
        Origin::Whole(Source::Requantise(index)) => {
            let requantise = circuit.requantises.get(*index);
            let accumulator = requantise.and_then(|r| circuit.accumulators.get(r.accumulator));
            accumulator.map(|accumulator| accumulator.channels)
        }
        Origin::Whole(Source::Stage(index)) => circuit.stages.get(*index).map(|stage| stage.channels),
        Origin::Whole(Source::Input(_)) | Origin::Arranged(_) => None,
    };
    channels == Some(value.channels)
}

/// Multiplications of all linear functionals: what a verifier adds up for each claim about values.
fn functionals(circuit: &Circuit) -> u64 {
    let value = |index: usize| {
        circuit.values.get(index).map_or(0, |value| {
            // An arranged value is looked at element by element; so is one that is read in another shape.
            value.elements() as u64
        })
    };
    let windows = |windows: &Windows, channels: usize, operand: usize| {
        let (positions, taps) = (windows.positions() as u64, windows.taps() as u64);
        let seen = positions.saturating_mul(taps);
        let dense = circuit
            .values
            .get(operand)
            .is_some_and(|value| !is_separable(circuit, value));
        let cost = seen
            .saturating_mul(2)
            .saturating_add(taps.saturating_mul(3 * channels as u64));
        let per_channel = if dense {
            seen.saturating_mul(2 * channels as u64)
        } else {
            0
        };
        cost.saturating_add(per_channel)
            .saturating_add(4 * value(operand))
    };
    let mut work = 0u64;
    for of in &circuit.uses {
        let Some(accumulator) = circuit.accumulator(of) else {
            continue;
        };
        let channels = |index: usize| circuit.values.get(index).map_or(0, |value| value.channels);
        let cost = match &accumulator.form {
            Form::Matrix(m) => windows(&m.windows, channels(m.value), m.value)
                .saturating_add(4 * (m.rows + m.columns.saturating_mul(m.groups)) as u64),
            Form::Combination(addends) => {
                let costs = addends
                    .iter()
                    .map(|a| windows(&a.windows, channels(a.value), a.value));
                costs.fold(0, u64::saturating_add)
            }
            Form::Product(operands) => {
                let costs = operands.map(|v| windows(&Windows::each(accumulator.positions), channels(v), v));
                costs.into_iter().fold(0, u64::saturating_add)
            }
            // Its parts are uses of their own.
            Form::Sum(_) => 0,
        };
        work = work
            .saturating_add(cost)
            .saturating_add(2 * accumulator.channels as u64);
    }
    for stage in &circuit.stages {
        for operand in stage.operands {
            // One tap of the windows.
            let seen = Windows::each(stage.positions);
            work = work.saturating_add(windows(&seen, stage.channels, operand.value));
        }
    }
    for (_, index) in circuit.public_values() {
        work = work.saturating_add(6 * value(*index));
    }
    work
}

/// The work of verifying the registration proof.
pub(crate) fn registration(key: &VerifyingKey) -> Gas {
    let layout = key.registration();
    let tables = key.answers().len();
    let work = BASE
        + decoding(key)
        + tree(layout.lookup_variables)
        + tree(RANGE_BITS)
        + opening(&layout.config, None, 11, 2);
    Gas(work + opening(&key.weights().config, None, 2 * tables, tables))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_beyond_the_limit_is_refused() {
        assert_eq!(check_work(Gas(1 << 32)), Ok(()));
        let (found, expected) = ((1 << 32) + 1, 1 << 32);
        assert_eq!(
            check_work(Gas(found)),
            Err(ProofRejection::Work { found, expected })
        );
    }
}
