//! Opening a commitment to int8 tables without ever turning them into field elements.
//!
//! The backend folds the first variables of a commitment cell by cell over the whole table, in the extension field.
//! For int8 tables the same sums are integer dot products with the digits of the challenges. This layout gives the
//! backend the folded polynomial; the transcript is that of the backend's own prefix layout.

use std::sync::Arc;

use haca_zk::field::{Base, Extension};
use haca_zk::multilinear::eq_table;
use haca_zk::sumcheck::round_value;
use p3_challenger::fs::TranscriptField;
use p3_challenger::{FieldChallenger, GrindingChallenger};
use p3_field::PrimeCharacteristicRing;
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
use crate::lane::pack;

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

    /// For each value of the first `fold` variables: the sum over the rest, weighted by `eq`.
    fn sums(&self, fold: usize, eq: &[Extension]) -> Vec<Extension> {
        let width = self.len() >> fold;
        match self {
            Self::Int8(cells) => fold_columns(cells, width, eq),
            Self::Field(cells) => {
                let row = |row: &[Base]| row.iter().zip(eq).map(|(cell, e)| *e * *cell).sum();
                cells.chunks_exact(width).map(row).collect()
            }
        }
    }

    /// Fixes the first variables: `eq` is the equality table of their values.
    fn fold(&self, eq: &[Extension]) -> Vec<Extension> {
        let width = self.len() / eq.len();
        match self {
            Self::Int8(cells) => fold_rows(cells, width, eq),
            Self::Field(cells) => {
                let mut out = vec![Extension::ZERO; width];
                for (row, e) in cells.chunks_exact(width).zip(eq) {
                    out.iter_mut().zip(row).for_each(|(out, cell)| *out += *e * *cell);
                }
                out
            }
        }
    }
}

/// A claim about the folded polynomial: `sums` at the first variables, `rest` beyond.
struct Claim {
    /// The table, or none for a claim about the whole stack.
    table: Option<usize>,
    first: Vec<Extension>,
    rest: Vec<Extension>,
    sums: Vec<Extension>,
    value: Extension,
}

impl Claim {
    fn new(table: Option<usize>, point: &[Extension], fold: usize, sums: Vec<Extension>) -> Self {
        let (first, rest) = point.split_at(fold);
        let value = sums.iter().zip(eq_table(first)).map(|(sum, e)| *sum * e).sum();
        Self {
            table,
            first: first.to_vec(),
            rest: rest.to_vec(),
            sums,
            value,
        }
    }
}

/// The layout.
pub(crate) struct IntegerLayout {
    tables: Vec<Cells>,
    /// For each table, the variables and the value of its selector.
    selectors: Vec<(usize, usize)>,
    /// Tables in the order in which they are placed.
    order: Vec<usize>,
    variables: usize,
    fold: usize,
    claims: Vec<Claim>,
    virtual_claims: Vec<Claim>,
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
        let empty = Table::new(RowMajorMatrix::new(vec![Base::ZERO; 64], 64));
        let book = Prefix::from_witness(Prefix::new_witness(vec![empty], 4));
        let (claims, virtual_claims) = (Vec::new(), Vec::new());
        Self {
            tables,
            selectors,
            order,
            variables,
            fold,
            claims,
            virtual_claims,
            book,
        }
    }

    /// All claims, in the order in which the powers of the batching challenge are given out.
    fn into_ordered_claims(self) -> (Vec<Claim>, Vec<Cells>, Vec<(usize, usize)>) {
        let mut claims = self.claims;
        let position = |claim: &Claim| self.order.iter().position(|table| Some(*table) == claim.table);
        // A stable sort: claims of one table keep their order.
        claims.sort_by_key(position);
        claims.extend(self.virtual_claims);
        (claims, self.tables, self.selectors)
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
        self.tables[id].variables()
    }

    fn table_shapes(&self) -> Vec<TableShape> {
        self.tables
            .iter()
            .map(|t| TableShape::new(t.variables(), 1))
            .collect()
    }

    fn record_opening(
        &mut self,
        table: usize,
        _: &OpeningRequest,
        point: &Point<Extension>,
    ) -> OpeningEvals<Extension> {
        let point = point.as_slice();
        let sums = self.tables[table].sums(self.fold, &eq_table(&point[self.fold..]));
        let claim = Claim::new(Some(table), point, self.fold, sums);
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
        let point = point.as_slice();
        let mut sums = vec![Extension::ZERO; 1 << self.fold];
        for (table, (variables, index)) in self.tables.iter().zip(&self.selectors) {
            let (local, selector) = point.split_at(table.variables());
            let weight = haca_zk::multilinear::eq_index(&selector[..*variables], *index);
            let part = table.sums(self.fold, &eq_table(&local[self.fold..]));
            sums.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += weight * part);
        }
        let claim = Claim::new(None, point, self.fold, sums);
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
        let (claims, tables, selectors) = self.into_ordered_claims();
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
        let (values, weights) = residue(
            &claims,
            &terms,
            &tables,
            &selectors,
            &challenges,
            variables - fold,
        );
        let product = ProductPolynomial::new_packed(
            VariableOrder::Prefix,
            Poly::new(pack(&values)),
            Poly::new(pack(&weights)),
        );
        (SumcheckProver::new(product, sum), Point::new(challenges))
    }
}

/// The stacked polynomial and its weights once the first variables are fixed. Selectors are the last variables.
fn residue(
    claims: &[Claim],
    terms: &[Term],
    tables: &[Cells],
    selectors: &[(usize, usize)],
    challenges: &[Extension],
    variables: usize,
) -> (Vec<Extension>, Vec<Extension>) {
    let eq = eq_table(challenges);
    let mut values = vec![Extension::ZERO; 1 << variables];
    let mut weights = vec![Extension::ZERO; 1 << variables];
    for (table, (bits, index)) in tables.iter().zip(selectors) {
        for (x, value) in table.fold(&eq).into_iter().enumerate() {
            values[(x << bits) | index] = value;
        }
    }
    for (claim, term) in claims.iter().zip(terms) {
        let scale = term.factor * term.eq[0];
        let rest = Poly::new_from_point(&claim.rest, scale).into_evals();
        match claim.table.map(|table| selectors[table]) {
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
