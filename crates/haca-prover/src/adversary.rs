//! The lying prover: tests alter what is committed, and the rest of the transcript is finished honestly.
//!
//! Nothing in the verifier knows about this. A prover is free to commit to anything; these hooks let a test be such
//! a prover without writing another one.

use std::sync::Arc;

use haca_wire::Inference;
use haca_zk::field::{Base, Extension, base};
use haca_zk::fraction::FractionProof;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::uses::UsePoint;
use haca_zk::witness::Column;

use crate::fraction;
use crate::stages::Stage;

/// One row of a lookup table: values, then the id of the table.
pub type Row = [Base; 4];

/// The witness of a proof of inferences, before it is committed.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The committed columns over all activations, in the order of the commitment. See [`Witness::column`].
    pub columns: Vec<(Column, Vec<Base>)>,
    /// The low parts of the quotients: a helper that is looked up but not committed.
    pub low: Vec<Base>,
    /// The stages of window maxima, when there are any.
    pub stages: Option<StageColumns>,
    /// Multiplicities of the range, side and mapping tables, then of the table of larger elements.
    pub multiplicities: Vec<Vec<Base>>,
    /// The rows of the tables, as the prover uses them. The verifier has its own.
    pub tables: Arc<Vec<Vec<Row>>>,
    /// The mapping table that each cell is looked up in.
    pub mappings: Vec<Base>,
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

/// The stages of window maxima, cell by cell.
#[derive(Clone, Debug)]
pub struct StageColumns {
    /// The larger operand: committed.
    pub results: Vec<Base>,
    /// The first operand: looked up, not committed.
    pub first: Vec<Base>,
    /// The second operand, likewise.
    pub second: Vec<Base>,
}

/// The witness of a registration, before it is committed.
#[derive(Clone, Debug)]
pub struct RegistrationWitness {
    /// The matrices, then the biases, as the proof takes them. They are committed before.
    pub tables: Vec<Vec<Base>>,
    /// Distances of the weights to both ends of their ranges, two columns for each matrix: helpers that are looked up
    /// but not committed.
    pub distances: Vec<Vec<Base>>,
    /// Limb columns: distances to the low end, then to the high end.
    pub limbs: Vec<Vec<Base>>,
    /// Multiplicities of the range table.
    pub multiplicity: Vec<Base>,
}

/// The leaves of both trees of a lookup argument.
#[derive(Clone, Debug)]
pub struct Trees {
    /// The numerators of the lookups; all are one when there are none.
    pub lookup_numerators: Option<Vec<Base>>,
    /// The denominators of the lookups, padding included.
    pub lookups: Vec<Extension>,
    /// Negated multiplicities, padding included.
    pub table_numerators: Vec<Base>,
    /// The denominators of the tables, padding included.
    pub tables: Vec<Extension>,
}

impl Trees {
    /// Steps F1 and F2 for both trees: the proofs and the points of the leaves.
    pub(crate) fn prove(
        self,
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) -> ([FractionProof; 2], [Vec<Extension>; 2]) {
        let numerators = self.lookup_numerators.as_deref();
        let (lookups, leaf) = fraction::prove("lookup tree", numerators, self.lookups, tamper, transcript);
        let numerators = Some(self.table_numerators.as_slice());
        let (tables, table) = fraction::prove("table tree", numerators, self.tables, tamper, transcript);
        ([lookups, tables], [leaf, table])
    }
}

/// One entry of the channel sumcheck.
#[derive(Clone, Debug)]
pub struct Channel {
    /// The weight of each row.
    pub rows: Vec<Extension>,
    /// The folded weights, or the bias, of each row.
    pub values: Vec<Extension>,
}

/// When weights and witness are opened as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Joining {
    /// Never.
    #[default]
    Never,
    /// Where that is cheaper.
    Cheaper,
    /// Wherever they can be.
    Always,
}

/// What a test may alter, and where a proof is. Every method does nothing unless overridden.
pub trait Tamper {
    /// Part `part` of `parts` of a stage begins.
    fn reaches(&mut self, stage: Stage, (part, parts): (usize, usize)) {
        let _ = (stage, part, parts);
    }

    /// When weights and witness are opened as one.
    fn joining(&self) -> Joining {
        Joining::Cheaper
    }

    /// Alters the tables of the weight commitment (the matrices, then the biases) before registration commits them.
    fn weights(&mut self, tables: &mut [Vec<Base>]) {
        let _ = tables;
    }

    /// Alters the out-of-domain answers before they enter the verifying key.
    fn answers(&mut self, answers: &mut [Extension]) {
        let _ = answers;
    }

    /// Alters the digest of the statement that starts the transcript.
    fn digest(&mut self, digest: &mut [u8; 32]) {
        let _ = digest;
    }

    /// Alters the points at which the weights are opened, table by table, the out-of-domain points included.
    fn weight_points(&mut self, points: &mut [Vec<Extension>]) {
        let _ = points;
    }

    /// Alters the points at which the witness is opened, in the order of its claims.
    fn witness_points(&mut self, points: &mut [Vec<Extension>]) {
        let _ = points;
    }

    /// Alters the witness of the registration proof before it is committed.
    fn registration(&mut self, witness: &mut RegistrationWitness) {
        let _ = witness;
    }

    /// Alters what registration commits to; the rest of the proof is about the witness as it was.
    fn registration_committed(&mut self, witness: &mut RegistrationWitness) {
        let _ = witness;
    }

    /// Alters the witness of a proof of inferences before it is committed.
    fn witness(&mut self, witness: &mut Witness) {
        let _ = witness;
    }

    /// Alters what a proof of inferences commits to; the rest of the proof is about the witness as it was.
    fn committed(&mut self, witness: &mut Witness) {
        let _ = witness;
    }

    /// Alters the leaves of the lookup argument, with its challenge known.
    fn trees(&mut self, alpha: Extension, trees: &mut Trees) {
        let _ = (alpha, trees);
    }

    /// Alters the folded biases, one for each use with a matrix, after the challenges they depend on.
    fn biases(&mut self, uses: &[UsePoint], biases: &mut [Extension]) {
        let _ = (uses, biases);
    }

    /// Alters the folded inputs and the folded weights of each chunk before the matrix product sumcheck.
    fn products(&mut self, inputs: &mut [Vec<Extension>], weights: &mut [Vec<Extension>]) {
        let _ = (inputs, weights);
    }

    /// Alters the entries of the channel sumcheck.
    fn channels(&mut self, channels: &mut [Channel]) {
        let _ = channels;
    }

    /// Alters the two factors of the product sumcheck `name`, padding included.
    fn factors(&mut self, name: &'static str, f: &mut [Extension], g: &mut [Extension]) {
        let _ = (name, f, g);
    }

    /// Alters the weights and the two factors of the sumcheck over products of values.
    fn elementwise(&mut self, weights: &mut [Extension], factors: [&mut [Extension]; 2]) {
        let _ = (weights, factors);
    }

    /// Alters values before they are absorbed and sent. `name` says which.
    fn sends(&mut self, name: &'static str, values: &mut [Extension]) {
        let _ = (name, values);
    }

    /// The transcript after the values called `name`, or the root, have been absorbed.
    fn heard(&mut self, name: &'static str, transcript: &Transcript<Committed>) {
        let _ = (name, transcript);
    }
}

/// Absorbs values that go into the proof.
pub(crate) fn send(
    name: &'static str,
    values: &mut [Extension],
    tamper: &mut dyn Tamper,
    transcript: &mut Transcript<Committed>,
) {
    tamper.sends(name, values);
    transcript.absorb(values);
    tamper.heard(name, transcript);
}

/// Alters nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Honest;

impl Tamper for Honest {}
