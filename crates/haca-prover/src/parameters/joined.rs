//! The search for openings of weights and witness as one.

use haca_zk::block::{log2_ceil, place};
use haca_zk::circuit::Circuit;
use haca_zk::joined::RowShape;
use haca_zk::schedule::{FOLD, RATE, Schedule};
use haca_zk::weight::WeightLayout;
use haca_zk::witness::{WitnessLayout, WitnessParameters, spaces, tables};

use super::{
    Cut, Schedules, WITNESS_VARIABLES, WeightChoice, WitnessChoice, candidates, tile_cost, tree_cost,
    witness_cells,
};
use crate::schedules::{Aim, Cost, Objective, Role, encoding_ns, largest_codeword};

/// The weight commitment as a joined opening meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) cut: Cut,
    /// Base-two logarithm of the inverse rate of its code.
    pub(crate) rate: u8,
}

impl Frame {
    /// The frames that weights of these cuts can have.
    pub(crate) fn all(cuts: &[Cut]) -> Vec<Self> {
        let frame = |cut: &Cut| {
            let cut = *cut;
            let rates = 1..=RATE.min((largest_codeword(cut.variables) - cut.variables) as u8);
            rates.map(move |rate| Self { cut, rate })
        };
        cuts.iter().flat_map(frame).collect()
    }

    /// The frame of weights that are chosen.
    pub(crate) fn of(choice: &WeightChoice) -> Self {
        Self {
            cut: choice.cut(),
            rate: choice.schedule.log_inverse_rates.first().copied().unwrap_or(1),
        }
    }

    const fn column_variables(self) -> usize {
        self.cut.variables - self.cut.fold as usize
    }
}

/// A way to open weights and witness as one, with what it is estimated to cost.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinedChoice {
    /// Into how many pieces a matrix may be cut.
    pub pieces: u8,
    /// Variables of the weight commitment.
    pub weight_variables: usize,
    /// The witness. Its cost is that of both commitments and of the lookups.
    pub witness: WitnessChoice,
    pub(crate) frame: Frame,
}

/// What a byte and a nanosecond are worth where both commitments count: as for the larger one.
pub(super) fn objective(aim: Aim, circuit: &Circuit, batch_variables: usize, cuts: &[Cut]) -> Objective {
    let weights = cuts.iter().map(|cut| cut.variables).min().unwrap_or(0);
    let witness = candidates(circuit).into_iter().map(|candidate| {
        let cells = witness_cells(circuit, batch_variables, &candidate, 3);
        log2_ceil(cells)
    });
    aim.objective(weights.max(witness.min().unwrap_or(0)))
}

/// The ways to open the witness of `2^batch_variables` inferences together with weights of one of the frames, the best
/// first.
pub(super) fn choices(
    circuit: &Circuit,
    batch_variables: usize,
    frames: &[Frame],
    objective: Objective,
    schedules: &mut Schedules,
) -> Vec<JoinedChoice> {
    let mut choices = Vec::new();
    for mut parameters in candidates(circuit) {
        let sizes: Vec<usize> = (0..FOLD)
            .map(|fold| log2_ceil(witness_cells(circuit, batch_variables, &parameters, fold.into())))
            .collect();
        for frame in frames {
            // The fewest columns that are long enough.
            let fits = |(fold, variables): (usize, &usize)| *variables <= frame.column_variables() + fold;
            let Some(fold) = sizes.iter().enumerate().position(fits) else {
                continue;
            };
            if sizes
                .get(fold)
                .is_none_or(|variables| *variables > WITNESS_VARIABLES)
            {
                continue;
            }
            parameters.joined = Some(fold as u8);
            choices.extend(choice(
                circuit,
                batch_variables,
                &parameters,
                *frame,
                objective,
                schedules,
            ));
        }
    }
    choices.sort_by(|a, b| {
        let (cost_a, cost_b) = (objective.of(&a.witness.cost), objective.of(&b.witness.cost));
        cost_a
            .total_cmp(&cost_b)
            .then(a.witness.cells.cmp(&b.witness.cells))
    });
    choices
}

fn choice(
    circuit: &Circuit,
    batch_variables: usize,
    parameters: &WitnessParameters,
    frame: Frame,
    objective: Objective,
    schedules: &mut Schedules,
) -> Option<JoinedChoice> {
    let (fold, cut) = (parameters.fold(), frame.cut);
    let row = RowShape {
        fold: 1 + fold.max(cut.fold.into()),
        parts: [cut.fold.into(), fold],
    };
    if row.fold > FOLD.into() {
        return None;
    }
    let (cells, stages) = spaces(circuit, batch_variables, fold);
    let columns = usize::from(parameters.limbs) + 1 + usize::from(parameters.is_split());
    let mut sizes = vec![cells.variables + batch_variables; columns];
    sizes.extend((!circuit.stages.is_empty()).then_some(stages.variables + batch_variables));
    let rows: Vec<usize> = tables(circuit, parameters).iter().map(|table| table.1).collect();
    // A table smaller than the fold cannot be committed.
    if rows.iter().any(|variables| *variables < fold) {
        return None;
    }
    let best = schedules.joined(objective, row, frame.column_variables(), frame.rate)?;
    let lookup_variables = place(&sizes).1;
    let encoding = Cost {
        prove_ns: encoding_ns(cut.variables + usize::from(frame.rate), Role::Registration),
        ..Cost::default()
    };
    let trees = tree_cost(lookup_variables, place(&rows).1);
    let cells = witness_cells(circuit, batch_variables, parameters, fold);
    Some(JoinedChoice {
        pieces: cut.pieces,
        weight_variables: cut.variables,
        witness: WitnessChoice {
            parameters: WitnessParameters {
                schedule: best.schedule,
                ..parameters.clone()
            },
            variables: log2_ceil(cells),
            lookup_variables,
            cost: best.cost.plus(encoding).plus(trees).plus(tile_cost(cut.tiles)),
            cells,
        },
        frame,
    })
}

/// The best choice that a verifying key may hold.
pub(super) fn first_valid(
    circuit: &Circuit,
    batch_variables: usize,
    weights: &WeightLayout,
    choices: Vec<JoinedChoice>,
) -> Option<JoinedChoice> {
    choices.into_iter().find(|choice| {
        let parameters = &choice.witness.parameters;
        WitnessLayout::new(circuit, weights, batch_variables, parameters).is_ok()
    })
}

/// A schedule of no meaning, where one is needed before any is chosen.
pub(super) fn no_schedule() -> Schedule {
    Schedule {
        folds: vec![1],
        log_inverse_rates: vec![1],
        grinding_bits: 0,
    }
}
