//! Weights and witness opened as one polynomial (steps J1 to J4 of `spec/zk.md`).
//!
//! The codewords of two commitments stand beside each other: a row of both together is a row of the codeword of one
//! polynomial, whose first variable tells them apart. So one opening serves both, where two would each have phases of
//! their own behind the first. Both codes have the same length and rate.

use p3_sumcheck::layout::plan_stacked_layout;
use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableShape, TableSpec};

use crate::ProofRejection;
use crate::field::{Base, Challenger, Extension};
use crate::multilinear::corner;
use crate::schedule::{Config, Schedule};
use crate::weight::WeightLayout;

/// The two parts of a joined polynomial, in the order of its first variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The weight commitment.
    Weights,
    /// The witness commitment.
    Witness,
}

/// The columns of a row that both commitments fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Base-two logarithm of the columns of a row: the first fold.
    pub fold: usize,
    /// Base-two logarithms of the columns that the weights and the witness have. The others are zero.
    pub parts: [usize; 2],
}

impl RowShape {
    /// Where the columns of a part begin.
    pub const fn start(&self, part: Part) -> usize {
        match part {
            Part::Weights => 0,
            Part::Witness => (1 << self.fold) / 2,
        }
    }

    /// How many columns a part has.
    pub const fn width(&self, part: Part) -> usize {
        let [weights, witness] = self.parts;
        match part {
            Part::Weights => 1 << weights,
            Part::Witness => 1 << witness,
        }
    }
}

/// Where one column of a table stands in the polynomial of its commitment: its cells have these last variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: usize,
    /// The column of the table.
    pub column: usize,
    /// How many variables there are behind those of the table.
    pub variables: usize,
    /// Their values, as a number.
    pub index: usize,
}

/// How the tables of one commitment are stacked: the variables of all together, and the place of each column, by table and
/// column. The rule is that of the backend: the largest table first.
pub fn stack(shapes: &[TableShape]) -> (usize, Vec<Place>) {
    let (variables, mut placements) = plan_stacked_layout(shapes);
    let mut places = Vec::new();
    for placement in &mut placements {
        // Tables stand in front of their selector here, and behind it in the plan.
        placement.reverse_selectors();
        let columns = placement.selectors().iter().enumerate();
        places.extend(columns.map(|(column, selector)| Place {
            table: placement.idx(),
            column,
            variables: selector.num_variables(),
            index: selector.index(),
        }));
    }
    places.sort_by_key(|place| (place.table, place.column));
    (variables, places)
}

/// The layout of a joined opening.
#[derive(Clone, Debug)]
pub struct JoinedLayout {
    /// The columns of a row.
    pub row: RowShape,
    /// Variables behind the first fold: those of one column.
    pub column_variables: usize,
    /// For weights and witness, the variables of the stack and the places of its columns.
    pub stacks: [(usize, Vec<Place>); 2],
    pub(crate) config: Config,
}

impl JoinedLayout {
    /// Step J1: the witness, tables of `shapes`, is folded by `witness_fold` of its variables in the first phase.
    pub fn new(
        weights: &WeightLayout,
        shapes: &[TableShape],
        witness_fold: usize,
        schedule: &Schedule,
    ) -> Result<Self, ProofRejection> {
        let bad = Err(ProofRejection::Parameter {
            what: "joined opening",
        });
        let of_weights: Vec<TableShape> = weights
            .tables()
            .into_iter()
            .map(|variables| TableShape::new(variables, 1))
            .collect();
        let (first, second) = (stack(&of_weights), stack(shapes));
        let weight_fold = weights.fold;
        let Some(column_variables) = weights.variables.checked_sub(weight_fold) else {
            return bad;
        };
        let fits = second
            .0
            .checked_sub(witness_fold)
            .is_some_and(|variables| variables <= column_variables);
        let row = RowShape {
            fold: 1 + weight_fold.max(witness_fold),
            parts: [weight_fold, witness_fold],
        };
        let rate = schedule.log_inverse_rates.first();
        if !fits || schedule.first_fold() != row.fold || rate != Some(&weights.log_inverse_rate) {
            return bad;
        }
        let config = schedule.config(column_variables + row.fold)?;
        Ok(Self {
            row,
            column_variables,
            stacks: [first, second],
            config,
        })
    }

    /// Step J2: the point of the joined polynomial where a column of a table has the value that it has at `local`.
    pub fn point(
        &self,
        part: Part,
        table: usize,
        column: usize,
        local: &[Extension],
    ) -> Option<Vec<Extension>> {
        let [weights, witness] = &self.stacks;
        let ((variables, places), fold, bit) = match part {
            Part::Weights => (weights, self.row.parts[0], 0),
            Part::Witness => (witness, self.row.parts[1], 1),
        };
        let at = places.binary_search_by_key(&(table, column), |place| (place.table, place.column));
        let place = places.get(at.ok()?)?;
        let (first, rest) = local.split_at_checked(fold)?;
        let mut point = corner(bit << (self.row.fold - 1 - fold), self.row.fold - fold);
        point.extend_from_slice(first);
        point.extend(corner(
            0,
            self.column_variables.checked_sub(variables.checked_sub(fold)?)?,
        ));
        point.extend_from_slice(rest);
        point.extend(corner(place.index, place.variables));
        Some(point)
    }

    /// Step J2 for all values that a protocol opens: the points of a part, one for each value.
    pub fn points(
        &self,
        part: Part,
        protocol: &OpeningProtocol,
        points: &[Vec<Extension>],
    ) -> Option<Vec<Vec<Extension>>> {
        let mut joined = Vec::new();
        for ((table, batch), local) in protocol.iter_openings().zip(points) {
            for column in batch.current() {
                joined.push(self.point(part, table, *column, local)?);
            }
        }
        Some(joined)
    }

    /// Step J3: `claims` points of the one polynomial.
    pub fn protocol(&self, claims: usize) -> OpeningProtocol {
        let shape = TableShape::new(self.config.num_variables(), 1);
        let points = (0..claims).map(|_| OpeningBatch::new(vec![0], vec![])).collect();
        OpeningProtocol::new(vec![TableSpec::new(shape, points)])
    }

    /// The configuration of the opening.
    pub const fn configuration(&self) -> &p3_whir::WhirConfig<Extension, Base, Challenger> {
        &self.config
    }
}
