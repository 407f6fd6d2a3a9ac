//! Verification work, counted from the verifying key alone. One unit is about a nanosecond of one core.

use haca_wire::Gas;

use crate::VerifyingKey;
use crate::registration::RANGE_BITS;
use crate::schedule::{Config, query_phases};
use crate::uses::{channel_blocks, product_blocks};

/// Decoding, the transcript's start and fixed costs.
const BASE: u64 = 40_000;
/// One compression of BLAKE3, with its bookkeeping.
const COMPRESSION: u64 = 120;
/// One multiply-accumulate in the challenge field.
const MULTIPLY: u64 = 12;
/// One table looked at for one claim: the backend lists all tables of an opening for each of its claims.
const TABLE: u64 = 80;
/// One element of an output written as a decimal, when the response is computed from the outputs.
const DECIMAL: u64 = 100;
/// One round of a sumcheck with its share of the transcript.
const ROUND: u64 = 350;

fn tree(variables: usize) -> u64 {
    let rounds: u64 = (0..variables as u64).sum();
    rounds * ROUND + variables as u64 * 3 * ROUND
}

/// An opening of `claims` points of `tables` tables.
fn opening(config: &Config, claims: usize, tables: usize) -> u64 {
    let mut work = 0u64;
    for phase in query_phases(config) {
        let (rows, width, depth) = (phase.rows as u64, phase.width as u64, phase.depth as u64);
        let blocks = (width * 24).div_ceil(64);
        work +=
            rows * (COMPRESSION * (blocks + depth) + MULTIPLY * 2 * (width + config.num_variables() as u64));
    }
    let rounds: usize = config.folding_schedule().iter().sum::<usize>() + config.final_sumcheck_rounds();
    let per_claim = config.num_variables() as u64 * 2 * MULTIPLY + tables as u64 * TABLE;
    work + rounds as u64 * 2 * ROUND + claims as u64 * per_claim
}

/// The work of verifying `2^batch_variables` inferences.
pub(crate) fn inference(key: &VerifyingKey, batch_variables: usize) -> Gas {
    let circuit = key.circuit();
    let graph = &key.manifest().graph;
    let mut work = BASE;
    if let Some(layout) = key.witness(batch_variables) {
        work += tree(layout.lookup_variables) + tree(layout.table_variables);
        // One table of columns, three of multiplicities.
        work += opening(&layout.config, 8 + circuit.uses.len(), 4);
    }
    let uses = circuit.uses.len();
    let rounds = product_blocks(circuit).1 + channel_blocks(circuit).1;
    work += (rounds + uses) as u64 * ROUND;
    let inputs = graph
        .inputs()
        .iter()
        .map(|spec| spec.shape.elements() as u64)
        .sum::<u64>();
    let outputs = graph
        .outputs()
        .iter()
        .map(|(_, spec)| spec.shape.elements() as u64)
        .sum::<u64>();
    // Each public element is hashed once and weighted once for each use.
    work += ((inputs + outputs) << batch_variables) * (4 + MULTIPLY * uses as u64);
    work += (outputs << batch_variables) * DECIMAL;
    let channels = circuit
        .requantises
        .iter()
        .map(|r| r.multipliers.len() as u64)
        .sum::<u64>();
    work += channels * 4 * MULTIPLY;
    let tables = key.answers().len();
    work += opening(&key.weights().config, 2 * uses + tables, tables);
    Gas(work)
}

/// The work of verifying the registration proof.
pub(crate) fn registration(key: &VerifyingKey) -> Gas {
    let layout = key.registration();
    let tables = key.answers().len();
    let work = BASE + tree(layout.lookup_variables) + tree(RANGE_BITS) + opening(&layout.config, 11, 2);
    Gas(work + opening(&key.weights().config, 2 * tables, tables))
}
