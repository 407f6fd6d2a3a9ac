//! Committing to tables and opening them.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use haca_zk::field::{Base, Challenger, Dft, Extension, mmcs};
use haca_zk::joined::{JoinedLayout, Part, Place};
use haca_zk::opening::OpeningProof;
use haca_zk::transcript::{Committed, Transcript};
use haca_zk::witness::WitnessLayout;
use p3_commit::MultilinearPcs;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use p3_multilinear_util::point::Point;
use p3_sumcheck::commit::commit_base;
use p3_sumcheck::layout::{Layout, PrefixProver, Table};
use p3_sumcheck::{OpeningProtocol, PrescribedPointPcs};
use p3_whir::pcs::prover::WhirProver;
use p3_whir::{PcsProof, WhirConfig, WhirProof, WhirProverData, WhirRoundProof};

use crate::ProverError;
use crate::adversary::Tamper;
use crate::integer_layout::{Cells, IntegerLayout, Stack};
use crate::shared_tree::SharedMmcs;
use crate::stages::Stage;

type Tree = SharedMmcs;
type Prefix = PrefixProver<Base, Extension>;
type Pcs = WhirProver<Extension, Base, Dft, Tree, Challenger, Prefix>;
type IntegerPcs = WhirProver<Extension, Base, Dft, Tree, Challenger, IntegerLayout>;
type Config = WhirConfig<Extension, Base, Challenger>;
type TreeData = <Tree as p3_commit::Mmcs<Base>>::ProverData<p3_matrix::dense::DenseMatrix<Base>>;

/// A committer for one layout.
pub(crate) struct Committer {
    pcs: Pcs,
    first_fold: usize,
}

/// A commitment with what is needed to open it, again and again.
#[derive(Clone)]
pub(crate) struct Commitment {
    /// Its Merkle root.
    pub(crate) root: [u8; 32],
    data: WhirProverData<Base, Extension, Tree, Prefix>,
}

/// A table: columns of equal length, behind one another.
pub(crate) struct Columns {
    pub(crate) cells: Vec<Base>,
    pub(crate) height: usize,
}

impl Committer {
    pub(crate) fn new(config: &Config) -> Self {
        let first_fold = config.folding_schedule().first().copied().unwrap_or(0);
        let dft = Dft::new(1 << config.max_fft_size());
        Self {
            pcs: Pcs::new(config.clone(), dft, SharedMmcs(mmcs())),
            first_fold,
        }
    }

    /// Commits to tables, in the order of the opening protocol.
    pub(crate) fn commit(&self, tables: Vec<Columns>) -> Result<Commitment, ProverError> {
        let table = |t: Columns| Table::new(RowMajorMatrix::new(t.cells, t.height));
        let witness = Prefix::new_witness(tables.into_iter().map(table).collect(), self.first_fold);
        // The root is absorbed by the transcript of the proof, not by the backend.
        let mut unused = Challenger::new(haca_zk::byte_challenger::ByteChallenger::default());
        let (cap, data) = self
            .pcs
            .commit(witness, &mut unused)
            .map_err(|_| ProverError::Backend)?;
        let root = cap.roots().first().copied().ok_or(ProverError::Backend)?;
        Ok(Commitment { root, data })
    }

    /// Opens a commitment at `points`, in the order of `protocol`.
    pub(crate) fn open(
        &self,
        commitment: Commitment,
        protocol: &OpeningProtocol,
        points: &[Vec<Extension>],
        transcript: &mut Transcript<Committed>,
        label: &'static str,
    ) -> Result<OpeningProof, ProverError> {
        let points: Vec<Point<Extension>> = points.iter().map(|point| Point::new(point.clone())).collect();
        transcript.step(label);
        let proof = self
            .pcs
            .open_at(commitment.data, protocol, &points, transcript.challenger())
            .map_err(|_| ProverError::Backend)?;
        Ok(unshare(proof.whir))
    }
}

/// Weights at least this large, in variables, are folded as integers; below, field arithmetic is as fast.
pub(crate) const INTEGER_VARIABLES: usize = 14;

/// The weight commitment of a model, opened in every proof.
pub(crate) struct WeightCommitment {
    root: [u8; 32],
    tree: TreeData,
    tables: Vec<Cells>,
    /// The cells row by row, as the witness stands beside them.
    rows: OnceLock<Arc<Vec<Base>>>,
    alone: Alone,
}

/// How the weights are opened by themselves.
enum Alone {
    /// Small ones: in the backend's own layout.
    Field(Box<(Committer, Commitment)>),
    /// Large ones: folded as integers.
    Integer(Box<(IntegerPcs, usize)>),
}

impl WeightCommitment {
    /// Commits to the tables. `cells` are the same tables in a compact form; without them, the tables are opened as
    /// field elements, whatever they hold.
    pub(crate) fn new(
        config: &Config,
        tables: Vec<Columns>,
        cells: Option<Vec<Cells>>,
    ) -> Result<Self, ProverError> {
        let committer = Committer::new(config);
        let is_large = cells.is_some() && config.num_variables() >= INTEGER_VARIABLES;
        let field = |table: &Columns| Cells::Field(Arc::new(table.cells.clone()));
        let cells = cells.unwrap_or_else(|| tables.iter().map(field).collect());
        let commitment = committer.commit(tables)?;
        let (root, tree) = (commitment.root, commitment.data.merkle_data.clone());
        let alone = if is_large {
            let dft = Dft::new(1 << config.max_fft_size());
            let pcs = IntegerPcs::new(config.clone(), dft, SharedMmcs(mmcs()));
            Alone::Integer(Box::new((pcs, committer.first_fold)))
        } else {
            Alone::Field(Box::new((committer, commitment)))
        };
        Ok(Self {
            root,
            tree,
            tables: cells,
            rows: OnceLock::new(),
            alone,
        })
    }

    /// The cells row by row: the same for all batch sizes.
    fn rows(&self, layout: &JoinedLayout) -> Arc<Vec<Base>> {
        let rows = self.rows.get_or_init(|| {
            let [(variables, places), _] = &layout.stacks;
            let mut rows = vec![Base::ZERO; 1 << variables];
            for (table, place) in self.tables.iter().zip(places) {
                write_rows(&table.field(), place, layout.row.parts[0], &mut rows);
            }
            Arc::new(rows)
        });
        Arc::clone(rows)
    }

    /// The Merkle root.
    pub(crate) const fn root(&self) -> [u8; 32] {
        self.root
    }

    /// Opens the commitment by itself at `points`, in the order of `protocol`.
    pub(crate) fn open(
        &self,
        protocol: &OpeningProtocol,
        points: &[Vec<Extension>],
        transcript: &mut Transcript<Committed>,
    ) -> Result<OpeningProof, ProverError> {
        match &self.alone {
            Alone::Field(field) => {
                let (committer, commitment) = &**field;
                committer.open(commitment.clone(), protocol, points, transcript, "weight")
            }
            Alone::Integer(weights) => {
                let (pcs, fold) = &**weights;
                let layout = IntegerLayout::new(self.tables.clone(), *fold);
                transcript.step("weight");
                let points = points.iter().cloned();
                open(
                    pcs,
                    layout,
                    protocol,
                    points.collect(),
                    self.tree.clone(),
                    transcript,
                )
            }
        }
    }
}

/// A committer of the witnesses of one batch size.
pub(crate) enum WitnessCommitter {
    /// They are opened by themselves.
    Alone(Box<Committer>),
    /// They are opened together with the weights.
    Joined(Box<JoinedCommitter>),
}

/// A commitment to a witness.
pub(crate) enum WitnessCommitment {
    /// One that is opened by itself.
    Alone(Box<Commitment>),
    /// One that is opened together with the weights.
    Joined(JoinedCommitment),
}

impl WitnessCommitter {
    pub(crate) fn new(layout: &WitnessLayout) -> Self {
        match layout.joined() {
            None => Self::Alone(Box::new(Committer::new(layout.configuration()))),
            Some(joined) => Self::Joined(Box::new(JoinedCommitter::new(joined))),
        }
    }

    /// Commits to the tables of a witness, in the order of its protocol.
    pub(crate) fn commit(&self, tables: Vec<Columns>) -> Result<WitnessCommitment, ProverError> {
        Ok(match self {
            Self::Alone(committer) => WitnessCommitment::Alone(Box::new(committer.commit(tables)?)),
            Self::Joined(committer) => WitnessCommitment::Joined(committer.commit(&tables)?),
        })
    }

    /// Step P11: opens the witness by itself, then the weights, or both as one.
    pub(crate) fn open(
        &self,
        witness: WitnessCommitment,
        weights: &WeightCommitment,
        [of_weights, of_witness]: [Asked<'_>; 2],
        tamper: &mut dyn Tamper,
        transcript: &mut Transcript<Committed>,
    ) -> Result<(Option<OpeningProof>, OpeningProof), ProverError> {
        match (self, witness) {
            (Self::Alone(committer), WitnessCommitment::Alone(witness)) => {
                let (protocol, points) = of_witness;
                let witness = committer.open(*witness, protocol, points, transcript, "witness")?;
                tamper.reaches(Stage::Openings, (1, 2));
                let (protocol, points) = of_weights;
                Ok((Some(witness), weights.open(protocol, points, transcript)?))
            }
            (Self::Joined(committer), WitnessCommitment::Joined(witness)) => {
                let opening = committer.open(weights, witness, [of_weights, of_witness], transcript)?;
                Ok((None, opening))
            }
            _ => Err(ProverError::Backend),
        }
    }
}

impl WitnessCommitment {
    /// The Merkle root.
    pub(crate) const fn root(&self) -> [u8; 32] {
        match self {
            Self::Alone(commitment) => commitment.root,
            Self::Joined(commitment) => commitment.root,
        }
    }
}

/// A committer of witnesses that are opened together with the weights.
pub(crate) struct JoinedCommitter {
    pcs: IntegerPcs,
    dft: Dft,
    layout: JoinedLayout,
}

/// A commitment to a witness that is opened together with the weights.
pub(crate) struct JoinedCommitment {
    /// Its Merkle root.
    pub(crate) root: [u8; 32],
    tree: TreeData,
    tables: Vec<Cells>,
    rows: Arc<Vec<Base>>,
}

/// Writes the cells of a column of a table where its stack has them, row by row.
fn write_rows(cells: &[Base], place: &Place, fold: usize, rows: &mut [Base]) {
    let height = cells.len() >> fold;
    for (column, cells) in cells.chunks_exact(height).enumerate() {
        for (x, cell) in cells.iter().enumerate() {
            rows[(((x << place.variables) | place.index) << fold) | column] = *cell;
        }
    }
}

/// What is opened of one part: a protocol, and its points.
pub(crate) type Asked<'a> = (&'a OpeningProtocol, &'a [Vec<Extension>]);

impl JoinedCommitter {
    pub(crate) fn new(layout: &JoinedLayout) -> Self {
        let config = layout.configuration();
        let dft = Dft::new(1 << config.max_fft_size());
        Self {
            pcs: IntegerPcs::new(config.clone(), dft.clone(), SharedMmcs(mmcs())),
            dft,
            layout: layout.clone(),
        }
    }

    /// Commits to the tables of a witness.
    pub(crate) fn commit(&self, tables: &[Columns]) -> Result<JoinedCommitment, ProverError> {
        let (layout, config) = (&self.layout, self.layout.configuration());
        let [_, fold] = layout.row.parts;
        let mut columns = Vec::new();
        for table in tables {
            let cells = table.cells.chunks_exact(table.height);
            columns.extend(cells.map(|cells| Arc::new(cells.to_vec())));
        }
        let (variables, places) = &layout.stacks[1];
        let mut rows = vec![Base::ZERO; 1 << variables];
        for (cells, place) in columns.iter().zip(places) {
            write_rows(cells, place, fold, &mut rows);
        }
        let write = |message: &mut [Base]| message[..rows.len()].copy_from_slice(&rows);
        let rate = config.params().starting_log_inv_rate;
        let trees = SharedMmcs(mmcs());
        let (cap, tree) = commit_base(
            &self.dft,
            &trees,
            layout.column_variables + fold,
            fold,
            rate,
            write,
        );
        let root = cap.roots().first().copied().ok_or(ProverError::Backend)?;
        let tables = columns.into_iter().map(Cells::Field).collect();
        Ok(JoinedCommitment {
            root,
            tree,
            tables,
            rows: Arc::new(rows),
        })
    }

    /// Opens weights and witness as one (steps J2 and J3 of `spec/zk.md`).
    pub(crate) fn open(
        &self,
        weights: &WeightCommitment,
        witness: JoinedCommitment,
        asked: [Asked<'_>; 2],
        transcript: &mut Transcript<Committed>,
    ) -> Result<OpeningProof, ProverError> {
        let layout = &self.layout;
        let (mut points, mut queue) = (Vec::new(), VecDeque::new());
        for (stack, (part, (protocol, of_part))) in
            [Part::Weights, Part::Witness].into_iter().zip(asked).enumerate()
        {
            points.extend(
                layout
                    .points(part, protocol, of_part)
                    .ok_or(ProverError::Backend)?,
            );
            let places = &layout.stacks[stack].1;
            for ((table, batch), point) in protocol.iter_openings().zip(of_part) {
                for column in batch.current() {
                    let index = places
                        .iter()
                        .position(|place| (place.table, place.column) == (table, *column));
                    queue.push_back((stack, index.ok_or(ProverError::Backend)?, point.clone()));
                }
            }
        }
        let stacks = [
            Stack::joined(
                layout,
                Part::Weights,
                weights.tables.clone(),
                weights.rows(layout),
            ),
            Stack::joined(layout, Part::Witness, witness.tables, witness.rows),
        ];
        let protocol = layout.protocol(points.len());
        let tree = weights.tree.joined(&witness.tree, layout.row);
        let layout = IntegerLayout::joined(layout, stacks, queue);
        transcript.step("joined");
        open(&self.pcs, layout, &protocol, points, tree, transcript)
    }
}

/// What the backend's `open_at` does, with our layout.
fn open(
    pcs: &IntegerPcs,
    mut layout: IntegerLayout,
    protocol: &OpeningProtocol,
    points: Vec<Vec<Extension>>,
    tree: TreeData,
    transcript: &mut Transcript<Committed>,
) -> Result<OpeningProof, ProverError> {
    let challenger = transcript.challenger();
    let samples = pcs.commitment_ood_samples();
    let answers = (0..samples)
        .map(|_| layout.add_virtual_eval(challenger))
        .collect();
    let mut evals = Vec::new();
    for ((table, batch), point) in protocol.iter_openings().zip(points) {
        evals.push(layout.eval_at(table, batch, &Point::new(point), challenger));
    }
    let whir = pcs
        .prove(answers, challenger, layout, tree, protocol.num_openings())
        .map_err(|_| ProverError::Backend)?;
    let proof: PcsProof<Base, Extension, Tree> = PcsProof { whir, evals };
    Ok(unshare(proof.whir))
}

/// The same proof under the verifier's type of Merkle tree.
pub(crate) fn unshare(proof: WhirProof<Base, Extension, Tree>) -> OpeningProof {
    let round = |round: WhirRoundProof<Base, Extension, Tree>| WhirRoundProof {
        commitment: round.commitment,
        ood_answers: round.ood_answers,
        pow_witness: round.pow_witness,
        openings: round.openings,
        sumcheck: round.sumcheck,
    };
    WhirProof {
        initial_ood_answers: proof.initial_ood_answers,
        initial_sumcheck: proof.initial_sumcheck,
        rounds: proof.rounds.into_iter().map(round).collect(),
        final_poly: proof.final_poly,
        final_pow_witness: proof.final_pow_witness,
        final_openings: proof.final_openings,
        final_sumcheck: proof.final_sumcheck,
    }
}
