//! The lying prover: tests alter what is committed, and the rest of the transcript is finished honestly.
//!
//! Nothing in the verifier knows about this. A prover is free to commit to anything; these hooks let a test be such
//! a prover without writing another one.

use std::sync::Arc;

use haca_wire::Inference;
use haca_zk::field::{Base, base};
use haca_zk::witness::Column;

/// One row of a lookup table: values, then the id of the table.
pub type Row = [Base; 4];

/// The witness of a proof of inferences, before it is committed.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The committed columns over all activations, in the order of the commitment. See [`Witness::column`].
    pub columns: Vec<(Column, Vec<Base>)>,
    /// The low parts of the quotients: a helper that is looked up but not committed.
    pub low: Vec<Base>,
    /// Multiplicities of the range, side and clamp tables.
    pub multiplicities: [Vec<Base>; 3],
    /// The rows of the three tables, as the prover uses them. The verifier has its own.
    pub tables: Arc<[Vec<Row>; 3]>,
    /// The clamp table that each cell is looked up in.
    pub clamps: Vec<Base>,
    /// The statement.
    pub inferences: Vec<Inference>,
}

impl Witness {
    /// A committed column by name: `result`, `high`, `side`, `limb0`, `limb1`, ...
    pub fn column(&mut self, name: &str) -> Option<&mut Vec<Base>> {
        let mut columns = self.columns.iter_mut();
        columns
            .find(|(column, _)| column.name() == name)
            .map(|(_, cells)| cells)
    }

    /// The names of all committed columns.
    pub fn column_names(&self) -> Vec<String> {
        self.columns.iter().map(|(column, _)| column.name()).collect()
    }

    /// Adds `delta` to cell `index` of a slice of cells.
    pub fn nudge(cells: &mut [Base], index: usize, delta: i64) {
        if let Some(cell) = cells.get_mut(index) {
            *cell += base(delta);
        }
    }
}

/// The witness of a registration, before it is committed.
#[derive(Clone, Debug)]
pub struct RegistrationWitness {
    /// Limb columns: distances to the low end, then to the high end.
    pub limbs: Vec<Vec<Base>>,
    /// Multiplicities of the range table.
    pub multiplicity: Vec<Base>,
}

/// What a test may alter. Every method does nothing unless overridden.
pub trait Tamper {
    /// Alters the tables of the weight commitment (the matrices, then the biases) before registration commits them.
    fn weights(&mut self, tables: &mut [Vec<Base>]) {
        let _ = tables;
    }

    /// Alters the out-of-domain answers before they enter the verifying key.
    fn answers(&mut self, answers: &mut [haca_zk::field::Extension]) {
        let _ = answers;
    }

    /// Alters the witness of the registration proof before it is committed.
    fn registration(&mut self, witness: &mut RegistrationWitness) {
        let _ = witness;
    }

    /// Alters the witness of a proof of inferences before it is committed.
    fn witness(&mut self, witness: &mut Witness) {
        let _ = witness;
    }

    /// Alters the folded biases, one for each use, after the challenges they depend on.
    fn biases(&mut self, biases: &mut [haca_zk::field::Extension]) {
        let _ = biases;
    }

    /// Alters the folded weights `sum_j m_j W(j, .)` of each use before the matrix product sumcheck.
    fn folded_weights(&mut self, folded: &mut [Vec<haca_zk::field::Extension>]) {
        let _ = folded;
    }

    /// Alters the folded inputs `sum_i eq(i) X(i, .)` of each use before the matrix product sumcheck.
    fn folded_inputs(&mut self, folded: &mut [Vec<haca_zk::field::Extension>]) {
        let _ = folded;
    }
}

/// Alters nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Honest;

impl Tamper for Honest {}
