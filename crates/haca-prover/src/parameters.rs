//! The choice of parameters: a deterministic search for the cheapest witness and the cheapest cut of the weights.
//!
//! Nothing here is trusted: the chosen numbers stand in the verifying key, and the verifier checks them.

mod joined;

pub use joined::JoinedChoice;

use std::collections::BTreeMap;

use haca_graph::Manifest;
use haca_zk::block::{log2_ceil, place};
use haca_zk::circuit::Circuit;
use haca_zk::joined::RowShape;
use haca_zk::registration::{LIMB_COLUMNS, RANGE_BITS};
use haca_zk::schedule::{RATE, Schedule};
use haca_zk::weight::{PIECES, WeightLayout, tiles};
use haca_zk::witness::{
    BATCH_VARIABLES, BatchParameters, LIMBS, WitnessLayout, WitnessParameters, spaces, tables,
};
use haca_zk::{Layouts, ProtocolParameters, WORK_LIMIT};

use crate::ProverError;
use crate::adversary::Joining;
use crate::schedules::{Aim, Candidate, Cost, Objective, Role, Search};
use joined::Frame;

/// Largest committed witness, as a power of two; larger batches are not offered.
const WITNESS_VARIABLES: usize = 22;
/// Bytes of the largest proof that is offered; the wire allows no more.
const PROOF_BYTES: usize = haca_wire::limit::PROOF_BYTES;
/// Variables of the largest weight commitment.
const WEIGHT_VARIABLES: usize = 24;
/// First folds of witnesses that are tried: a small one pads small tables less.
const WITNESS_FOLDS: [u8; 4] = [3, 4, 5, 6];
/// First folds of weights that are tried.
const WEIGHT_FOLDS: [u8; 4] = [4, 5, 6, 7];
/// Nanoseconds of one leaf of the lookup trees while proving.
const LEAF_NS: f64 = 80.0;
/// Nanoseconds of one tile of the weights, while proving and while verifying.
const TILE_NS: f64 = 30_000.0;
/// Bits of the largest table that the search tries.
const SEARCH_BITS: u8 = 14;

/// Chooses parameters for a model; weights and witness are opened as one as `joining` says.
pub(crate) fn choose(
    manifest: &Manifest,
    aim: Aim,
    joining: Joining,
) -> Result<ProtocolParameters, ProverError> {
    let circuit = Circuit::new(&manifest.graph)?;
    let mut schedules = Schedules::new(aim);
    let weights = choose_weights(&circuit, joining, &mut schedules)?;
    let layout = WeightLayout::new(&circuit, weights.pieces, &weights.schedule)?;
    let limbs = log2_ceil((LIMB_COLUMNS << layout.bias_variables) + (1 << RANGE_BITS));
    let registration = schedules
        .best(limbs, limbs, Role::Proof, 4)
        .ok_or(ProverError::NoParameters {
            what: "number of biases",
        })?;
    let mut batches = Vec::new();
    for batch_variables in 0..=BATCH_VARIABLES {
        if !circuit.has_witness() {
            batches.push(BatchParameters { witness: None });
            continue;
        }
        match choose_witness(
            &circuit,
            batch_variables,
            (&weights, &layout),
            joining,
            &mut schedules,
        ) {
            Some(witness) => batches.push(BatchParameters {
                witness: Some(witness),
            }),
            None if batch_variables == 0 => {
                return Err(ProverError::NoParameters {
                    what: "requantisation",
                });
            }
            None => break,
        }
    }
    let mut parameters = ProtocolParameters {
        pieces: weights.pieces,
        weights: weights.schedule,
        registration: registration.schedule,
        batches,
    };
    trim(manifest, &mut parameters)?;
    Ok(parameters)
}

/// The weights of a model: what is best for one inference, whether they are opened alone or with the witness.
fn choose_weights(
    circuit: &Circuit,
    joining: Joining,
    schedules: &mut Schedules,
) -> Result<WeightChoice, ProverError> {
    let cuts = cuts(circuit);
    let alone = weight_choices(circuit, schedules).into_iter().next();
    let alone = alone.ok_or(ProverError::NoParameters { what: "weight size" })?;
    if !circuit.has_witness() || joining == Joining::Never {
        return Ok(alone);
    }
    let objective = joined::objective(schedules.aim, circuit, 0, &cuts);
    let frames = Frame::all(&cuts);
    let witness = witness_choices(circuit, 0, schedules).into_iter().next();
    let apart = witness.map(|witness| objective.of(&alone.cost.plus(witness.cost)));
    for choice in joined::choices(circuit, 0, &frames, objective, schedules) {
        if joining == Joining::Cheaper
            && apart.is_some_and(|apart| apart <= objective.of(&choice.witness.cost))
        {
            break;
        }
        if let Some(weights) = schedules.framed(choice.frame)
            && let Ok(layout) = WeightLayout::new(circuit, weights.pieces, &weights.schedule)
            && joined::first_valid(circuit, 0, &layout, vec![choice]).is_some()
        {
            return Ok(weights);
        }
    }
    Ok(alone)
}

/// The witness of `2^batch_variables` inferences, beside weights that are chosen.
fn choose_witness(
    circuit: &Circuit,
    batch_variables: usize,
    (weights, layout): (&WeightChoice, &WeightLayout),
    joining: Joining,
    schedules: &mut Schedules,
) -> Option<WitnessParameters> {
    let objective = joined::objective(schedules.aim, circuit, batch_variables, &cuts(circuit));
    let alone = witness_choices(circuit, batch_variables, schedules)
        .into_iter()
        .find(|choice| WitnessLayout::new(circuit, layout, batch_variables, &choice.parameters).is_ok());
    if joining == Joining::Never {
        return alone.map(|alone| alone.parameters);
    }
    let frames = [Frame::of(weights)];
    let joined = joined::choices(circuit, batch_variables, &frames, objective, schedules);
    let joined = joined::first_valid(circuit, batch_variables, layout, joined);
    match (alone, joined) {
        (Some(alone), Some(joined)) => {
            let apart = objective.of(&weights.cost.plus(alone.cost));
            let is_cheaper = objective.of(&joined.witness.cost) < apart;
            let is_joined = joining == Joining::Always || is_cheaper;
            Some(if is_joined { joined.witness } else { alone }.parameters)
        }
        (alone, joined) => Some(joined.map(|joined| joined.witness).or(alone)?.parameters),
    }
}

/// The best schedules of one model, each size searched for once.
struct Schedules {
    aim: Aim,
    searches: BTreeMap<usize, Search>,
    found: BTreeMap<(usize, usize, bool, u8), Option<Candidate>>,
    joined: Option<(Objective, Search)>,
    found_joined: BTreeMap<(usize, usize, usize, u8), Option<Candidate>>,
}

impl Schedules {
    const fn new(aim: Aim) -> Self {
        Self {
            aim,
            searches: BTreeMap::new(),
            found: BTreeMap::new(),
            joined: None,
            found_joined: BTreeMap::new(),
        }
    }

    /// The best schedule of a joined opening.
    fn joined(
        &mut self,
        objective: Objective,
        row: RowShape,
        column_variables: usize,
        rate: u8,
    ) -> Option<Candidate> {
        if self.joined.as_ref().is_none_or(|(of, _)| *of != objective) {
            self.joined = Some((objective, Search::new(objective)));
            self.found_joined.clear();
        }
        let (_, search) = self.joined.as_mut()?;
        let [weights, witness] = row.parts;
        let search = || search.joined(row, column_variables, rate).into_iter().next();
        let key = (column_variables, weights, witness, rate);
        self.found_joined.entry(key).or_insert_with(search).clone()
    }

    /// Weights with the first fold and the first rate of a frame.
    fn framed(&self, frame: Frame) -> Option<WeightChoice> {
        let Frame { cut, rate } = frame;
        let mut search = Search::new(self.aim.objective(cut.variables));
        let found = search.schedules(
            cut.variables,
            Role::Registration,
            (cut.fold, cut.fold),
            (rate, rate),
        );
        found.into_iter().next().map(|best| cut.choice(best))
    }

    /// The best schedule of a commitment of `variables` with a first fold, among commitments of `least` variables or
    /// more.
    fn best(&mut self, least: usize, variables: usize, role: Role, fold: u8) -> Option<Candidate> {
        let objective = self.aim.objective(least);
        let searches = &mut self.searches;
        let search = || {
            let search = searches.entry(least).or_insert_with(|| Search::new(objective));
            let found = search.schedules(variables, role, (fold, fold), (1, RATE));
            found.into_iter().next()
        };
        let key = (least, variables, role == Role::Proof, fold);
        self.found.entry(key).or_insert_with(search).clone()
    }
}

/// Drops batch sizes whose proofs could exceed the limit of the wire, or take too long to verify.
fn trim(manifest: &Manifest, parameters: &mut ProtocolParameters) -> Result<(), ProverError> {
    let tables = Layouts::new(manifest, parameters)?.weights.tables().len();
    let answers = vec![haca_zk::field::extension(0); tables];
    let key = haca_zk::VerifyingKey::new(manifest.clone(), parameters.clone(), [0; 32], answers)?;
    let refuse = |what| Err(ProverError::NoParameters { what });
    if key.registration_gas() > WORK_LIMIT || key.verification_gas(1) > WORK_LIMIT {
        return refuse("verification work");
    }
    let fits = |variables: &usize| {
        key.proof_bytes_bound(1 << variables) <= PROOF_BYTES
            && key.verification_gas(1 << variables) <= WORK_LIMIT
    };
    let count = (0..parameters.batches.len()).take_while(fits).count();
    if count == 0 {
        return refuse("proof size");
    }
    parameters.batches.truncate(count);
    Ok(())
}

/// A way to commit the witness, with what it is estimated to cost.
#[derive(Clone, Debug, PartialEq)]
pub struct WitnessChoice {
    /// Limbs, window, and the schedule.
    pub parameters: WitnessParameters,
    /// Variables of the commitment.
    pub variables: usize,
    /// Variables of the lookup tree.
    pub lookup_variables: usize,
    /// Of the opening and of the lookups.
    pub cost: Cost,
    /// Cells that are in use: what decides between equals.
    cells: usize,
}

/// A way to commit the weights, with what it is estimated to cost.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightChoice {
    /// Into how many pieces a matrix may be cut, along rows and along columns.
    pub pieces: u8,
    /// Number of tiles that this makes.
    pub tiles: usize,
    /// Variables of the commitment.
    pub variables: usize,
    /// The schedule of the commitment.
    pub schedule: Schedule,
    /// Of the opening and of the tiles.
    pub cost: Cost,
}

impl WeightChoice {
    fn cut(&self) -> Cut {
        Cut {
            variables: self.variables,
            pieces: self.pieces,
            fold: self.schedule.first_fold() as u8,
            tiles: self.tiles,
        }
    }
}

/// All that the search for the parameters of one model looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Exploration {
    /// Ways to commit the weights, the best first.
    pub weights: Vec<WeightChoice>,
    /// Ways to commit the witness, the best first; none when the model needs no witness.
    pub witness: Vec<WitnessChoice>,
    /// Ways to open both as one, the best first.
    pub joined: Vec<JoinedChoice>,
}

/// Looks at all parameters for proofs of `2^batch_variables` inferences of a model.
///
/// # Errors
/// `prover.zk` for a graph that cannot be proven.
pub fn explore(manifest: &Manifest, batch_variables: usize, aim: Aim) -> Result<Exploration, ProverError> {
    let circuit = Circuit::new(&manifest.graph)?;
    let mut schedules = Schedules::new(aim);
    let weights = weight_choices(&circuit, &mut schedules);
    let (mut witness, mut joined) = (vec![], vec![]);
    if circuit.has_witness() {
        let cuts = cuts(&circuit);
        let objective = joined::objective(aim, &circuit, batch_variables, &cuts);
        witness = witness_choices(&circuit, batch_variables, &mut schedules);
        joined = joined::choices(
            &circuit,
            batch_variables,
            &Frame::all(&cuts),
            objective,
            &mut schedules,
        );
    }
    Ok(Exploration {
        weights,
        witness,
        joined,
    })
}

/// Every choice of limbs and window, without a schedule.
fn candidates(circuit: &Circuit) -> Vec<WitnessParameters> {
    // Without a requantisation the columns hold padding only.
    let shift = circuit
        .requantises
        .iter()
        .map(|r| usize::from(r.shift))
        .max()
        .unwrap_or(1);
    let mut candidates = Vec::new();
    for (window_bits, high_bits) in windows(circuit) {
        for limb_bits in 4..=SEARCH_BITS {
            let limbs = shift.div_ceil(usize::from(limb_bits)).max(1) as u8;
            if limbs <= LIMBS {
                candidates.push(WitnessParameters {
                    limb_bits,
                    limbs,
                    window_bits,
                    high_bits,
                    joined: None,
                    schedule: joined::no_schedule(),
                });
            }
        }
    }
    candidates
}

/// The ways to commit the witness of `2^batch_variables` inferences by itself, the best first.
fn witness_choices(
    circuit: &Circuit,
    batch_variables: usize,
    schedules: &mut Schedules,
) -> Vec<WitnessChoice> {
    let folded = |candidate: WitnessParameters| {
        WITNESS_FOLDS.map(|fold| {
            let cells = witness_cells(circuit, batch_variables, &candidate, fold.into());
            let mut candidate = candidate.clone();
            candidate.schedule.folds = vec![fold];
            (log2_ceil(cells), cells, candidate)
        })
    };
    let candidates: Vec<_> = candidates(circuit).into_iter().flat_map(folded).collect();
    let Some(least) = candidates.iter().map(|(variables, ..)| *variables).min() else {
        return vec![];
    };
    let choice = |(variables, cells, candidate)| {
        witness_choice(
            circuit,
            batch_variables,
            candidate,
            (least, variables, cells),
            schedules,
        )
    };
    let mut choices: Vec<WitnessChoice> = candidates.into_iter().filter_map(choice).collect();
    let objective = schedules.aim.objective(least);
    choices.sort_by(|a, b| {
        let (cost_a, cost_b) = (objective.of(&a.cost), objective.of(&b.cost));
        cost_a.total_cmp(&cost_b).then(a.cells.cmp(&b.cells))
    });
    choices
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

/// Cells of the columns and tables of a candidate, padded to its first fold.
fn witness_cells(
    circuit: &Circuit,
    batch_variables: usize,
    candidate: &WitnessParameters,
    fold: usize,
) -> usize {
    let (columns, stages) = spaces(circuit, batch_variables, fold);
    let limbs = usize::from(candidate.limbs);
    let count = limbs + if candidate.is_split() { 3 } else { 1 };
    let tables = tables(circuit, candidate);
    let mut cells = tables
        .iter()
        .map(|(_, variables)| 1usize << variables)
        .sum::<usize>();
    cells += count << (columns.variables + batch_variables).max(fold);
    if !circuit.stages.is_empty() {
        cells += 1 << (stages.variables + batch_variables).max(fold);
    }
    cells
}

/// The candidate with the schedule of its size and first fold; `None` when it does not fit.
fn witness_choice(
    circuit: &Circuit,
    batch_variables: usize,
    mut candidate: WitnessParameters,
    (least, variables, cells): (usize, usize, usize),
    schedules: &mut Schedules,
) -> Option<WitnessChoice> {
    if variables > WITNESS_VARIABLES {
        return None;
    }
    let fold = candidate.schedule.first_fold() as u8;
    let best = schedules.best(least, variables, Role::Proof, fold)?;
    candidate.schedule = best.schedule;
    let columns = usize::from(candidate.limbs) + 1 + usize::from(candidate.is_split());
    let (space, stages) = spaces(circuit, batch_variables, fold.into());
    let mut sizes = vec![space.variables + batch_variables; columns];
    sizes.extend((!circuit.stages.is_empty()).then_some(stages.variables + batch_variables));
    let rows: Vec<usize> = tables(circuit, &candidate).iter().map(|table| table.1).collect();
    if rows.iter().any(|variables| *variables < usize::from(fold)) {
        return None;
    }
    let lookup_variables = place(&sizes).1;
    let trees = tree_cost(lookup_variables, place(&rows).1);
    Some(WitnessChoice {
        parameters: candidate,
        variables,
        lookup_variables,
        cost: best.cost.plus(trees),
        cells,
    })
}

/// What the trees of lookups and of tables cost.
fn tree_cost(lookup_variables: usize, table_variables: usize) -> Cost {
    let leaves = (1usize << lookup_variables) + (1 << table_variables);
    let rounds = [lookup_variables, table_variables]
        .map(|variables| (variables * (variables + 5) / 2) as f64)
        .iter()
        .sum::<f64>();
    Cost {
        prove_ns: LEAF_NS * leaves as f64,
        bytes: 48.0 * rounds,
        verify_ns: 350.0 * rounds,
    }
}

/// What the openings of tiles cost.
fn tile_cost(tiles: usize) -> Cost {
    Cost {
        prove_ns: TILE_NS * tiles as f64,
        bytes: 24.0 * tiles as f64,
        verify_ns: TILE_NS * tiles as f64,
    }
}

/// A way to cut matrices into pieces, and the first fold of their commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    variables: usize,
    pieces: u8,
    fold: u8,
    tiles: usize,
}

impl Cut {
    fn choice(self, best: Candidate) -> WeightChoice {
        WeightChoice {
            pieces: self.pieces,
            tiles: self.tiles,
            variables: self.variables,
            schedule: best.schedule,
            cost: best.cost.plus(tile_cost(self.tiles)),
        }
    }
}

/// All ways to cut the matrices of a model. More pieces take less padding but more openings.
fn cuts(circuit: &Circuit) -> Vec<Cut> {
    let biases: usize = circuit.biases.iter().map(|b| b.columns.next_power_of_two()).sum();
    let mut cuts = Vec::new();
    for (pieces, fold) in (1..=PIECES).flat_map(|pieces| WEIGHT_FOLDS.map(|fold| (pieces, fold))) {
        let tiles = tiles(&circuit.weights, pieces, usize::from(fold)).1;
        let cells = tiles.iter().map(|tile| 1usize << tile.variables);
        let cells = cells.fold(biases.next_power_of_two().max(1 << fold), usize::saturating_add);
        if log2_ceil(cells) <= WEIGHT_VARIABLES {
            cuts.push(Cut {
                variables: log2_ceil(cells),
                pieces,
                fold,
                tiles: tiles.len(),
            });
        }
    }
    cuts
}

/// The ways to commit the weights by themselves, the best first.
fn weight_choices(circuit: &Circuit, schedules: &mut Schedules) -> Vec<WeightChoice> {
    let cuts = cuts(circuit);
    let least = cuts.iter().map(|cut| cut.variables).min().unwrap_or(0);
    let choice = |cut: Cut| {
        let best = schedules.best(least, cut.variables, Role::Registration, cut.fold)?;
        Some(cut.choice(best))
    };
    let mut choices: Vec<WeightChoice> = cuts.into_iter().filter_map(choice).collect();
    let objective = schedules.aim.objective(least);
    choices.sort_by(|a, b| objective.of(&a.cost).total_cmp(&objective.of(&b.cost)));
    choices
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
        let parameters = choose(manifest, Aim::Balanced, Joining::Cheaper).unwrap();
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
        assert_eq!(
            choose(&manifest, Aim::Balanced, Joining::Cheaper)
                .unwrap_err()
                .code(),
            "prover.no_parameters"
        );
    }
}
