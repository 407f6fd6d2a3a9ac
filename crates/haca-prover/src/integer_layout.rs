//! Opening commitments without ever turning int8 tables into field elements, and two commitments as one polynomial.
//!
//! The backend folds the first variables of a commitment cell by cell over the whole table, in the extension field.
//! For int8 tables the same sums are integer dot products with the digits of the challenges. This layout gives the
//! backend the folded polynomial; the transcript is that of the backend's own prefix layout. Where weights and witness are
//! joined, each fills some columns of the one polynomial, and the backend sees a single table.

use std::collections::VecDeque;
use std::sync::Arc;

use haca_zk::field::{Base, Extension, base};
use haca_zk::joined::{JoinedLayout, Part};
use haca_zk::multilinear::{corner, eq_index, eq_table};
use haca_zk::sumcheck::round_value;
use p3_challenger::fs::TranscriptField;
use p3_challenger::{FieldChallenger, GrindingChallenger};
use p3_field::{PackedValue, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::layout::{
    Layout, LayoutStrategy, PrefixProver, StackedClaims, Table, Witness, plan_stacked_layout,
};
use p3_sumcheck::product_polynomial::ProductPolynomial;
use p3_sumcheck::strategy::{Basis, SumcheckProver, VariableOrder};
use p3_sumcheck::transcript::{ProverTranscript, SumcheckShape};
use p3_sumcheck::{OpeningBatch, OpeningEvals, OpeningRequest, SumcheckData, TableShape};
use rayon::prelude::*;

use crate::kernel::{fold_columns, fold_rows};
use crate::lane::{Lane, Packed, PackedBase, WIDTH, pack, unpack};

type Prefix = PrefixProver<Base, Extension>;

/// A committed table of one column.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    /// A weight matrix.
    Int8(Arc<Vec<i8>>),
    /// The biases.
    Field(Arc<Vec<Base>>),
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Int8(cells) => cells.len(),
            Self::Field(cells) => cells.len(),
        }
    }

    fn variables(&self) -> usize {
        self.len().trailing_zeros() as usize
    }

    /// The cells as field elements.
    pub(crate) fn field(&self) -> Arc<Vec<Base>> {
        match self {
            Self::Int8(cells) => Arc::new(cells.iter().map(|cell| base(i64::from(*cell))).collect()),
            Self::Field(cells) => Arc::clone(cells),
        }
    }

    /// For each value of the first `fold` variables: the sum over the rest, weighted by `eq`.
    fn sums(&self, fold: usize, eq: &[Extension]) -> Vec<Extension> {
        let width = self.len() >> fold;
        match self {
            Self::Int8(cells) => fold_columns(cells, width, eq),
            Self::Field(cells) => sums_of_rows(cells, width, eq),
        }
    }

    /// Fixes the first variables: `eq` is the equality table of their values.
    fn fold(&self, eq: &[Extension]) -> Vec<Extension> {
        let width = self.len() / eq.len();
        match self {
            Self::Int8(cells) => fold_rows(cells, width, eq),
            Self::Field(cells) => sum_of_rows(cells, width, eq),
        }
    }
}

/// Cells of one piece of work.
const PIECE: usize = 4096;

/// For each row of `width` cells, the sum weighted by `eq`.
fn sums_of_rows(cells: &[Base], width: usize, eq: &[Extension]) -> Vec<Extension> {
    let packed = pack(eq);
    let row = |row: &[Base]| -> Extension {
        if width < WIDTH {
            return row.iter().zip(eq).map(|(cell, e)| *e * *cell).sum();
        }
        let lanes = PackedBase::pack_slice(row).iter().zip(&packed);
        lanes
            .fold(Packed::ZERO, |sum, (cell, e)| sum + *e * *cell)
            .total()
    };
    let rows = cells.par_chunks_exact(width);
    rows.with_min_len((PIECE / width).max(1)).map(row).collect()
}

/// The sum of all rows of `width` cells, each weighted by its value in `eq`.
fn sum_of_rows(cells: &[Base], width: usize, eq: &[Extension]) -> Vec<Extension> {
    let column = |x: usize| -> Extension {
        let column = cells[x..].iter().step_by(width);
        column.zip(eq).map(|(cell, e)| *e * *cell).sum()
    };
    let least = (PIECE / eq.len()).max(1);
    (0..width)
        .into_par_iter()
        .with_min_len(least)
        .map(column)
        .collect()
}

/// A claim about the folded polynomial: `sums` at the first variables, `rest` beyond.
struct Claim {
    /// The stack and the table, or none for a claim about everything.
    table: Option<(usize, usize)>,
    first: Vec<Extension>,
    rest: Vec<Extension>,
    sums: Vec<Extension>,
    value: Extension,
}

impl Claim {
    fn new(
        table: Option<(usize, usize)>,
        first: Vec<Extension>,
        rest: Vec<Extension>,
        sums: Vec<Extension>,
    ) -> Self {
        let value = sums.iter().zip(eq_table(&first)).map(|(sum, e)| *sum * e).sum();
        Self {
            table,
            first,
            rest,
            sums,
            value,
        }
    }
}

/// The tables of one commitment.
pub(crate) struct Stack {
    tables: Vec<Cells>,
    /// For each table, the variables and the value of its selector.
    selectors: Vec<(usize, usize)>,
    /// Variables that the first phase folds of this commitment.
    fold: usize,
    /// The first of its columns.
    start: usize,
    /// Variables between those that are folded and the others: zero, where a column of this commitment is shorter.
    padding: usize,
    /// The cells row by row, `2^fold` in each, where another stack stands beside this one.
    rows: Arc<Vec<Base>>,
}

impl Stack {
    /// One part of a joined polynomial: its tables in the order of [`JoinedLayout::stacks`].
    pub(crate) fn joined(
        layout: &JoinedLayout,
        part: Part,
        tables: Vec<Cells>,
        rows: Arc<Vec<Base>>,
    ) -> Self {
        let index = usize::from(part == Part::Witness);
        let (variables, places) = &layout.stacks[index];
        let fold = layout.row.parts[index];
        Self {
            tables,
            selectors: places
                .iter()
                .map(|place| (place.variables, place.index))
                .collect(),
            fold,
            start: layout.row.start(part),
            padding: layout.column_variables - (variables - fold),
            rows,
        }
    }

    /// Adds the sums of this stack where a table of another one has its cells: with the selector of that table.
    fn add_beside(&self, eq: &[Extension], (bits, index): (usize, usize), sums: &mut [Extension]) {
        let width = 1usize << self.fold;
        let rows = self.rows.len() >> self.fold;
        // Rows that this stack has, out of those at `(x << bits) | index`.
        let count = eq.len().min((rows + (1 << bits) - 1 - index.min(rows)) >> bits);
        let piece = (PIECE >> self.fold).max(1);
        let sum = |first: usize, eq: &[Extension]| {
            let mut sums = vec![Packed::ZERO; width.div_ceil(WIDTH)];
            let mut narrow = vec![Extension::ZERO; width];
            for (x, e) in eq.iter().enumerate() {
                let row = &self.rows[((((first + x) << bits) | index) << self.fold)..][..width];
                if width < WIDTH {
                    narrow
                        .iter_mut()
                        .zip(row)
                        .for_each(|(sum, cell)| *sum += *e * *cell);
                } else {
                    let e = Packed::lift(*e);
                    let cells = PackedBase::pack_slice(row);
                    sums.iter_mut()
                        .zip(cells)
                        .for_each(|(sum, cell)| *sum += e * *cell);
                }
            }
            if width < WIDTH { narrow } else { unpack(&sums) }
        };
        let parts = eq[..count].par_chunks(piece).enumerate();
        let parts: Vec<Vec<Extension>> = parts.map(|(at, eq)| sum(at * piece, eq)).collect();
        for part in parts {
            let sums = sums[self.start..].iter_mut();
            sums.zip(part).for_each(|(sum, part)| *sum += part);
        }
    }

    /// The sums of a table, at its columns among all.
    fn sums(&self, table: usize, columns: usize, eq: &[Extension]) -> Vec<Extension> {
        let mut sums = vec![Extension::ZERO; columns];
        let of_table = self.tables[table].sums(self.fold, eq);
        sums[self.start..][..of_table.len()].copy_from_slice(&of_table);
        sums
    }
}

/// The layout.
pub(crate) struct IntegerLayout {
    stacks: Vec<Stack>,
    /// Tables in the order in which they are placed; unless the layout is joined.
    order: Vec<usize>,
    /// What the backend asks for next of a joined layout: stack, table, and the point of the table.
    asked: VecDeque<(usize, usize, Vec<Extension>)>,
    is_joined: bool,
    variables: usize,
    fold: usize,
    claims: Vec<Claim>,
    virtual_claims: Vec<Claim>,
    /// The last equality table, since many columns are opened at one point.
    eq: Option<(Vec<Extension>, Arc<Vec<Extension>>)>,
    /// The backend asks for its own book of claims in places that this layout overrides; it stays empty.
    book: Prefix,
}

impl IntegerLayout {
    pub(crate) fn new(tables: Vec<Cells>, fold: usize) -> Self {
        let shapes: Vec<TableShape> = tables.iter().map(|t| TableShape::new(t.variables(), 1)).collect();
        let (variables, mut placements) = plan_stacked_layout(&shapes);
        placements
            .iter_mut()
            .for_each(|placement| placement.reverse_selectors());
        let mut selectors = vec![(0, 0); tables.len()];
        let mut order = Vec::new();
        for placement in &placements {
            for selector in placement.selectors() {
                selectors[placement.idx()] = (selector.num_variables(), selector.index());
            }
            order.push(placement.idx());
        }
        let stack = Stack {
            tables,
            selectors,
            fold,
            start: 0,
            padding: 0,
            rows: Arc::default(),
        };
        Self {
            order,
            is_joined: false,
            ..Self::of(vec![stack], variables, fold)
        }
    }

    /// Weights and witness as one polynomial, and what is asked of it: stack, table, and the point of the table.
    pub(crate) fn joined(
        layout: &JoinedLayout,
        stacks: [Stack; 2],
        asked: VecDeque<(usize, usize, Vec<Extension>)>,
    ) -> Self {
        let variables = layout.column_variables + layout.row.fold;
        Self {
            asked,
            is_joined: true,
            ..Self::of(stacks.into(), variables, layout.row.fold)
        }
    }

    fn of(stacks: Vec<Stack>, variables: usize, fold: usize) -> Self {
        let empty = Table::new(RowMajorMatrix::new(vec![Base::ZERO; 64], 64));
        Self {
            stacks,
            order: Vec::new(),
            asked: VecDeque::new(),
            is_joined: false,
            variables,
            fold,
            claims: Vec::new(),
            virtual_claims: Vec::new(),
            eq: None,
            book: Prefix::from_witness(Prefix::new_witness(vec![empty], 4)),
        }
    }

    /// The equality table of a point.
    fn eq(&mut self, point: &[Extension]) -> Arc<Vec<Extension>> {
        match &self.eq {
            Some((last, table)) if last == point => Arc::clone(table),
            _ => {
                let table = Arc::new(eq_table(point));
                self.eq = Some((point.to_vec(), Arc::clone(&table)));
                table
            }
        }
    }

    /// All claims, in the order in which the powers of the batching challenge are given out.
    fn into_ordered_claims(self) -> (Vec<Claim>, Vec<Stack>) {
        let mut claims = self.claims;
        if !self.is_joined {
            let position = |claim: &Claim| {
                let of = |table: &usize| claim.table.map(|(_, of)| of) == Some(*table);
                self.order.iter().position(of)
            };
            // A stable sort: claims of one table keep their order.
            claims.sort_by_key(position);
        }
        claims.extend(self.virtual_claims);
        (claims, self.stacks)
    }
}

/// One term of the sumcheck over the first variables: a factor, an equality table, and sums.
struct Term {
    factor: Extension,
    eq: Vec<Extension>,
    sums: Vec<Extension>,
}

impl Term {
    fn round(&self) -> (Extension, Extension) {
        let half = self.eq.len() / 2;
        let (mut at_zero, mut leading) = (Extension::ZERO, Extension::ZERO);
        for i in 0..half {
            at_zero += self.eq[i] * self.sums[i];
            leading += (self.eq[half + i] - self.eq[i]) * (self.sums[half + i] - self.sums[i]);
        }
        (self.factor * at_zero, self.factor * leading)
    }

    fn fold(&mut self, challenge: Extension) {
        for values in [&mut self.eq, &mut self.sums] {
            let half = values.len() / 2;
            let (low, high) = values.split_at_mut(half);
            low.iter_mut()
                .zip(high)
                .for_each(|(l, h)| *l += challenge * (*h - *l));
            values.truncate(half);
        }
    }
}

impl Layout<Base, Extension> for IntegerLayout {
    /// The backend calls this only when it commits, which the prefix layout does.
    fn from_witness(witness: Witness<Base>) -> Self {
        Self {
            book: Prefix::from_witness(witness),
            ..Self::new(Vec::new(), 0)
        }
    }

    fn new_witness(tables: Vec<Table<Base>>, folding: usize) -> Witness<Base> {
        Prefix::new_witness(tables, folding)
    }

    fn write_message(witness: &Witness<Base>, folding: usize, message: &mut [Base]) {
        Prefix::write_message(witness, folding, message);
    }

    fn claims(&self) -> &StackedClaims<Base, Extension> {
        self.book.claims()
    }

    fn num_claims(&self) -> usize {
        self.claims.len()
    }

    fn num_virtual_claims(&self) -> usize {
        self.virtual_claims.len()
    }

    fn strategy() -> LayoutStrategy {
        Prefix::strategy()
    }

    fn folding(&self) -> usize {
        self.fold
    }

    fn num_variables(&self) -> usize {
        self.variables
    }

    fn num_variables_table(&self, id: usize) -> usize {
        if self.is_joined {
            return self.variables;
        }
        self.stacks[0].tables[id].variables()
    }

    fn table_shapes(&self) -> Vec<TableShape> {
        if self.is_joined {
            return vec![TableShape::new(self.variables, 1)];
        }
        let tables = self.stacks.iter().flat_map(|stack| &stack.tables);
        tables
            .map(|table| TableShape::new(table.variables(), 1))
            .collect()
    }

    fn record_opening(
        &mut self,
        table: usize,
        _: &OpeningRequest,
        point: &Point<Extension>,
    ) -> OpeningEvals<Extension> {
        let (stack, table, local) = match self.asked.pop_front() {
            Some(asked) if self.is_joined => asked,
            _ => (0, table, point.as_slice().to_vec()),
        };
        let fold = self.stacks[stack].fold;
        let eq = self.eq(&local[fold..]);
        let at = &self.stacks[stack];
        let mut sums = at.sums(table, 1 << self.fold, &eq);
        for (index, other) in self.stacks.iter().enumerate() {
            if index != stack {
                other.add_beside(&eq, at.selectors[table], &mut sums);
            }
        }
        let mut first = corner(at.start >> fold, self.fold - fold);
        first.extend_from_slice(&local[..fold]);
        let claim = Claim::new(Some((stack, table)), first, local[fold..].to_vec(), sums);
        let value = claim.value;
        self.claims.push(claim);
        OpeningBatch::new(vec![value], vec![])
    }

    fn record_opening_known(
        &mut self,
        table: usize,
        batch: &OpeningRequest,
        point: &Point<Extension>,
        _: &OpeningEvals<Extension>,
    ) {
        self.record_opening(table, batch, point);
    }

    fn record_virtual(&mut self, point: &Point<Extension>) -> Extension {
        let (first, rest) = point.as_slice().split_at(self.fold);
        let mut sums = vec![Extension::ZERO; 1 << self.fold];
        for stack in &self.stacks {
            let (padding, rest) = rest.split_at(stack.padding);
            let padding = eq_index(padding, 0);
            for (index, (variables, selector)) in stack.selectors.iter().enumerate() {
                let (local, bits) = rest.split_at(rest.len() - variables);
                let weight = padding * eq_index(bits, *selector);
                let part = stack.tables[index].sums(stack.fold, &eq_table(local));
                for (sum, part) in sums[stack.start..].iter_mut().zip(part) {
                    *sum += weight * part;
                }
            }
        }
        let claim = Claim::new(None, first.to_vec(), rest.to_vec(), sums);
        let value = claim.value;
        self.virtual_claims.push(claim);
        value
    }

    fn into_sumcheck<Ch>(
        self,
        data: &mut SumcheckData<Base, Extension>,
        pow_bits: usize,
        challenger: &mut Ch,
    ) -> (SumcheckProver<Base, Extension>, Point<Extension>)
    where
        Base: TranscriptField,
        Ch: FieldChallenger<Base> + GrindingChallenger<Witness = Base>,
    {
        let (fold, variables) = (self.fold, self.variables);
        let alpha: Extension = self.batching_challenge(challenger);
        let (claims, stacks) = self.into_ordered_claims();
        let factors = haca_zk::sumcheck::powers(alpha);
        let mut sum = Extension::ZERO;
        let mut terms = Vec::new();
        for (claim, factor) in claims.iter().zip(factors) {
            sum += factor * claim.value;
            terms.push(Term {
                factor,
                eq: eq_table(&claim.first),
                sums: claim.sums.clone(),
            });
        }
        let mut challenges = Vec::new();
        let shape = SumcheckShape::new(fold, pow_bits, Basis::Evaluation);
        let mut transcript = ProverTranscript::<Ch, Base, Extension>::new(challenger, shape);
        for _ in 0..fold {
            let rounds = terms.iter().map(Term::round);
            let (at_zero, leading) =
                rounds.fold((Extension::ZERO, Extension::ZERO), |a, b| (a.0 + b.0, a.1 + b.1));
            let challenge = data.observe_and_sample(&mut transcript, at_zero, leading);
            sum = round_value(sum, [at_zero, leading], challenge);
            terms.iter_mut().for_each(|term| term.fold(challenge));
            challenges.push(challenge);
        }
        transcript.finish();
        let (values, weights) = residue(&claims, &terms, &stacks, &challenges, variables - fold);
        let order = VariableOrder::Prefix;
        let product = if values.len() < WIDTH {
            ProductPolynomial::new_unpacked(order, Poly::new(values), Poly::new(weights))
        } else {
            ProductPolynomial::new_packed(order, Poly::new(pack(&values)), Poly::new(pack(&weights)))
        };
        (SumcheckProver::new(product, sum), Point::new(challenges))
    }
}

/// The stacked polynomial and its weights once the first variables are fixed. Selectors are the last variables.
fn residue(
    claims: &[Claim],
    terms: &[Term],
    stacks: &[Stack],
    challenges: &[Extension],
    variables: usize,
) -> (Vec<Extension>, Vec<Extension>) {
    let eq = eq_table(challenges);
    let mut values = vec![Extension::ZERO; 1 << variables];
    let mut weights = vec![Extension::ZERO; 1 << variables];
    for stack in stacks {
        let eq = &eq[stack.start..][..1 << stack.fold];
        for (table, (bits, index)) in stack.tables.iter().zip(&stack.selectors) {
            for (x, value) in table.fold(eq).into_iter().enumerate() {
                values[(x << bits) | index] += value;
            }
        }
    }
    for (claim, term) in claims.iter().zip(terms) {
        let scale = term.factor * term.eq[0];
        let rest = Poly::new_from_point(&claim.rest, scale).into_evals();
        match claim.table.map(|(stack, table)| stacks[stack].selectors[table]) {
            Some((bits, index)) => {
                for (x, weight) in rest.into_iter().enumerate() {
                    weights[(x << bits) | index] += weight;
                }
            }
            None => weights
                .par_iter_mut()
                .zip(rest)
                .for_each(|(to, weight)| *to += weight),
        }
    }
    (values, weights)
}
