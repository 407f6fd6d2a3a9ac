//! The choice of parameters: a deterministic search for the smallest padded witness, and WHIR schedules by size.
//!
//! Nothing here is trusted: the chosen numbers stand in the verifying key, and the verifier checks them.

use haca_graph::Manifest;
use haca_zk::block::log2_ceil;
use haca_zk::circuit::Circuit;
use haca_zk::registration::{LIMB_COLUMNS, RANGE_BITS};
use haca_zk::schedule::Schedule;
use haca_zk::weight::{PIECES, tiles};
use haca_zk::witness::{
    BATCH_VARIABLES, BatchParameters, LIMBS, WitnessLayout, WitnessParameters, spaces, tables,
};
use haca_zk::{Layouts, ProtocolParameters};

use crate::ProverError;

/// Largest committed witness, as a power of two; larger batches are not offered.
const WITNESS_VARIABLES: usize = 22;
/// Bytes of the largest proof that is offered; the wire allows no more.
const PROOF_BYTES: usize = haca_wire::limit::PROOF_BYTES;
/// Variables of the largest weight commitment.
const WEIGHT_VARIABLES: usize = 24;
/// Bits of the largest table that the search tries.
const SEARCH_BITS: u8 = 14;

/// Chooses parameters for a model.
pub(crate) fn choose(manifest: &Manifest) -> Result<ProtocolParameters, ProverError> {
    let circuit = Circuit::new(&manifest.graph)?;
    let (pieces, weights) = weight_schedule(&circuit)?;
    let fold = weights.first_fold();
    let bias_variables = {
        let sizes: Vec<usize> = circuit.biases.iter().map(|b| log2_ceil(b.columns)).collect();
        haca_zk::block::place(&sizes).1.max(fold)
    };
    let registration = small_schedule(log2_ceil((LIMB_COLUMNS << bias_variables) + (1 << RANGE_BITS)), 4);
    let mut batches = Vec::new();
    for batch_variables in 0..=BATCH_VARIABLES {
        let witness = match circuit.has_witness() {
            false => None,
            true => match search(&circuit, batch_variables) {
                Some(witness) => Some(witness),
                None if batch_variables == 0 => {
                    return Err(ProverError::NoParameters {
                        what: "requantisation",
                    });
                }
                None => break,
            },
        };
        batches.push(BatchParameters { witness });
    }
    let mut parameters = ProtocolParameters {
        pieces,
        weights,
        registration,
        batches,
    };
    trim(manifest, &mut parameters)?;
    Ok(parameters)
}

/// Drops batch sizes whose proofs could exceed the limit of the wire.
fn trim(manifest: &Manifest, parameters: &mut ProtocolParameters) -> Result<(), ProverError> {
    Layouts::new(manifest, parameters)?;
    let tables = Layouts::new(manifest, parameters)?.weights.tables().len();
    let answers = vec![haca_zk::field::extension(0); tables];
    let key = haca_zk::VerifyingKey::new(manifest.clone(), parameters.clone(), [0; 32], answers)?;
    let fits = |variables: &usize| key.proof_bytes_bound(1 << variables) <= PROOF_BYTES;
    let count = (0..parameters.batches.len()).take_while(fits).count();
    if count == 0 {
        return Err(ProverError::NoParameters { what: "proof size" });
    }
    parameters.batches.truncate(count);
    Ok(())
}

/// The smallest witness of `2^batch_variables` inferences: by padded size, then by leaves of the trees, then by cells.
fn search(circuit: &Circuit, batch_variables: usize) -> Option<WitnessParameters> {
    // Without a requantisation the columns hold padding only.
    let shift = circuit
        .requantises
        .iter()
        .map(|r| usize::from(r.shift))
        .max()
        .unwrap_or(1);
    let mut best: Option<(Cost, WitnessParameters)> = None;
    for (window_bits, high_bits) in windows(circuit) {
        for limb_bits in 4..=SEARCH_BITS {
            let limbs = shift.div_ceil(usize::from(limb_bits)).max(1) as u8;
            if limbs > LIMBS {
                continue;
            }
            let candidate = WitnessParameters {
                limb_bits,
                limbs,
                window_bits,
                high_bits,
                schedule: small_schedule(12, 4),
            };
            let Some((cost, parameters)) = cost(circuit, batch_variables, candidate) else {
                continue;
            };
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, parameters));
            }
        }
    }
    best.map(|(_, parameters)| parameters)
}

/// Every choice of window and high bits that holds all quotients: split, or in one window.
fn windows(circuit: &Circuit) -> Vec<(u8, u8)> {
    let low = circuit.requantises.iter().map(|r| r.quotient.0).fold(0, i64::min);
    let high = circuit.requantises.iter().map(|r| r.quotient.1).fold(0, i64::max);
    let ends = circuit.mappings.iter().map(haca_zk::circuit::Mapping::ends);
    let (start, end) = ends.fold((i64::MAX, i64::MIN), |(low, high), m| {
        (low.min(m.0), high.max(m.1))
    });
    let bits = |values: i64| log2_ceil(usize::try_from(values).unwrap_or(usize::MAX)) as u8;
    let mut choices = Vec::new();
    let whole = bits(high - low + 1).max(4);
    if whole <= SEARCH_BITS + 2 {
        choices.push((whole, 0));
    }
    for window_bits in bits(end - start + 1)..=SEARCH_BITS {
        let size = 1i64 << window_bits;
        let below = (start - low).max(0);
        let before = below.div_euclid(size) + i64::from(below % size != 0);
        let highest = (high - start + before * size) >> window_bits;
        let high_bits = bits(highest + 1);
        if high_bits <= SEARCH_BITS + 2 {
            choices.push((window_bits, high_bits.max(4)));
        }
    }
    choices
}

/// What is compared: variables of the commitment, leaves of both trees, cells.
type Cost = (usize, usize, usize);

/// The cost of a candidate, and the candidate with the schedule of its size; `None` when it does not fit.
fn cost(
    circuit: &Circuit,
    batch_variables: usize,
    mut candidate: WitnessParameters,
) -> Option<(Cost, WitnessParameters)> {
    // The schedule follows from the size of the commitment, and its first fold pads small tables: settle both.
    let (columns, stages) = spaces(circuit, batch_variables, 4);
    let limbs = usize::from(candidate.limbs);
    let count = limbs + if candidate.is_split() { 3 } else { 1 };
    let tables = tables(circuit, &candidate);
    let mut cells = tables
        .iter()
        .map(|(_, variables)| 1usize << variables)
        .sum::<usize>();
    cells += count << (columns.variables + batch_variables);
    if !circuit.stages.is_empty() {
        cells += 1 << (stages.variables + batch_variables);
    }
    let committed = log2_ceil(cells);
    if committed > WITNESS_VARIABLES {
        return None;
    }
    candidate.schedule = small_schedule(committed, 4);
    let layout = WitnessLayout::new(circuit, batch_variables, &candidate).ok()?;
    let trees = (1usize << layout.lookup_variables) + (1 << layout.table_variables);
    Some(((layout.committed_variables, trees, cells), candidate))
}

/// The schedule of a commitment that is made anew in each proof: rates that balance encoding against openings.
fn small_schedule(variables: usize, first: u8) -> Schedule {
    let (folds, rates, grinding): (Vec<u8>, Vec<u8>, u8) = match variables {
        ..=10 => (vec![first], vec![5], 0),
        11 | 12 => (vec![first, 2], vec![5, 6], 0),
        13 => (vec![first, 3], vec![5, 6], 6),
        14 => (vec![first, 4], vec![4, 7], 8),
        15..=18 => (vec![first, 4, (variables - 14) as u8], vec![3, 6, 8], 10),
        _ => (
            vec![first, 4, 4, (variables - 18).max(1) as u8],
            vec![2, 5, 8, 10],
            12,
        ),
    };
    Schedule {
        folds,
        log_inverse_rates: rates,
        grinding_bits: grinding,
    }
}

/// Into how many pieces matrices are cut, and the schedule of the weights: registration pays for high rates once.
/// More pieces take less padding but more openings, so as few are chosen as give the smallest commitment.
fn weight_schedule(circuit: &Circuit) -> Result<(u8, Schedule), ProverError> {
    let biases: usize = circuit.biases.iter().map(|b| b.columns.next_power_of_two()).sum();
    let size = |pieces: u8| {
        let tiles = tiles(circuit, pieces, 4).1;
        let cells = tiles.iter().map(|tile| 1usize << tile.variables);
        log2_ceil(cells.fold(biases.next_power_of_two().max(16), usize::saturating_add))
    };
    let sizes = (1..=PIECES).map(|pieces| (size(pieces), pieces));
    let Some((variables, pieces)) = sizes.min() else {
        return Err(ProverError::NoParameters { what: "weight size" });
    };
    if variables > WEIGHT_VARIABLES {
        return Err(ProverError::NoParameters { what: "weight size" });
    }
    let (folds, rates, grinding): (Vec<u8>, Vec<u8>, u8) = match variables {
        ..=10 => (vec![4], vec![5], 0),
        11 | 12 => (vec![4, 2], vec![5, 6], 0),
        13 => (vec![4, 3], vec![5, 6], 6),
        14 => (vec![4, 4], vec![5, 7], 8),
        15..=17 => (vec![4, 4, (variables - 14) as u8], vec![5, 5, 8], 10),
        18..=20 => (vec![6, 4, 4], vec![5, 4, 6], 12),
        21 | 22 => (vec![6, 5, 5], vec![4, 5, 8], 12),
        _ => (vec![6, 5, 5, 3], vec![2, 4, 7, 9], 12),
    };
    let schedule = Schedule {
        folds,
        log_inverse_rates: rates,
        grinding_bits: grinding,
    };
    Ok((pieces, schedule))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use haca_graph::{Graph, Op, ParamId, ParamSpec, ValueId};
    use haca_wire::{DType, Name, Scale, Shape, TensorSpec};
    use haca_zk::VerifyingKey;

    use super::*;

    /// A dense network of the given sizes, without weights.
    fn manifest(sizes: &[u32], shift: u8, multiplier: u32) -> Manifest {
        let spec = |name: &str, dtype, size| TensorSpec {
            name: Name::new(name).unwrap(),
            dtype,
            shape: Shape::new(vec![size]).unwrap(),
            scale: Scale::ONE,
        };
        let (mut params, mut nodes) = (Vec::new(), Vec::new());
        let mut value = ValueId(0);
        for (layer, pair) in sizes.windows(2).enumerate() {
            let (k, n) = (pair[0], pair[1]);
            let shape = Shape::new(vec![n, k]).unwrap();
            params.push(ParamSpec {
                dtype: DType::I8,
                shape,
                low: -127,
                high: 127,
            });
            let shape = Shape::new(vec![n]).unwrap();
            params.push(ParamSpec {
                dtype: DType::I32,
                shape,
                low: -1 << 20,
                high: 1 << 20,
            });
            let (weight, bias) = (ParamId(2 * layer as u32), ParamId(2 * layer as u32 + 1));
            nodes.push(Op::Linear {
                input: value,
                weight,
                bias,
            });
            value = ValueId(nodes.len() as u32);
            if layer + 2 < sizes.len() {
                let multipliers = vec![multiplier];
                nodes.push(Op::Requantise {
                    input: value,
                    multipliers,
                    shift,
                    low: 0,
                    high: 127,
                });
                value = ValueId(nodes.len() as u32);
            }
        }
        let inputs = vec![spec("x", DType::I8, sizes[0])];
        let outputs = vec![(value, spec("y", DType::I32, sizes[sizes.len() - 1]))];
        let graph = Graph::new(inputs, params, nodes, outputs).unwrap();
        Manifest {
            name: Name::new("test").unwrap(),
            graph,
            render: 1,
            tokenizer: [0; 32],
        }
    }

    fn key(manifest: &Manifest) -> VerifyingKey {
        let parameters = choose(manifest).unwrap();
        let tables = Layouts::new(manifest, &parameters)
            .unwrap()
            .weights
            .tables()
            .len();
        let answers = vec![haca_zk::field::extension(0); tables];
        VerifyingKey::new(manifest.clone(), parameters, [0; 32], answers).unwrap()
    }

    #[test]
    fn every_size_reaches_the_goals() {
        let mut largest = 0;
        // Weight commitments of every size from the smallest to the largest.
        let pair = |log: u32| vec![1 << (log / 2), 1 << log.div_ceil(2), 3];
        let stacks = [vec![2048; 3], vec![2048; 4]];
        for sizes in (0..=22).map(pair).chain(stacks) {
            let key = key(&manifest(&sizes, 20, 5));
            largest = largest.max(key.weights().variables);
            let registration = key.registration_security();
            let mut budgets = vec![registration];
            budgets.extend((0..key.parameters().batches.len()).map(|class| key.security(1 << class)));
            for budget in budgets {
                assert!(
                    budget.round_by_round_bits >= f64::from(haca_zk::GOAL_BITS),
                    "{sizes:?}: {budget:?}"
                );
                assert!(
                    budget.union_bits >= f64::from(haca_zk::UNION_GOAL_BITS),
                    "{sizes:?}: {budget:?}"
                );
            }
        }
        assert_eq!(largest, WEIGHT_VARIABLES);
    }

    #[test]
    fn wide_shifts_and_quotients_have_parameters() {
        for (shift, multiplier) in [
            (1, 1),
            (8, 1),
            (20, 77),
            (28, 40_001),
            (31, 1 << 20),
            (40, (1 << 31) - 1),
        ] {
            let manifest = manifest(&[64, 32, 10], shift, multiplier);
            let key = key(&manifest);
            let circuit = key.circuit();
            let layout = key.witness(0).unwrap();
            let (low, high) = circuit.requantises[0].quotient;
            let range = 0..1i64 << (layout.parameters.window_bits + layout.parameters.high_bits);
            assert!(range.contains(&(low + layout.quotient_offset())));
            assert!(range.contains(&(high + layout.quotient_offset())));
        }
    }

    #[test]
    fn too_many_weights_are_refused() {
        let manifest = manifest(&[2048; 6], 20, 1);
        assert_eq!(choose(&manifest).unwrap_err().code(), "prover.no_parameters");
    }
}
