//! Committing to tables and opening them.

use haca_zk::field::{Base, Challenger, Dft, Extension, Mmcs, mmcs};
use haca_zk::opening::OpeningProof;
use haca_zk::transcript::{Committed, Transcript};
use p3_commit::MultilinearPcs;
use p3_matrix::dense::RowMajorMatrix;
use p3_multilinear_util::point::Point;
use p3_sumcheck::layout::{Layout, PrefixProver, Table};
use p3_sumcheck::{OpeningProtocol, PrescribedPointPcs};
use p3_whir::pcs::prover::WhirProver;
use p3_whir::{PcsProof, WhirConfig, WhirProof, WhirProverData, WhirRoundProof};

use crate::ProverError;
use crate::integer_layout::{Cells, IntegerLayout};
use crate::shared_tree::SharedMmcs;

type Tree = SharedMmcs<Mmcs>;
type Prefix = PrefixProver<Base, Extension>;
type Pcs = WhirProver<Extension, Base, Dft, Tree, Challenger, Prefix>;
type IntegerPcs = WhirProver<Extension, Base, Dft, Tree, Challenger, IntegerLayout>;
type Config = WhirConfig<Extension, Base, Challenger>;

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
pub(crate) enum WeightCommitment {
    /// Small: the backend's own layout.
    Field(Box<(Committer, Commitment)>),
    /// Large: folded as integers.
    Integer(Box<IntegerWeights>),
}

/// A large weight commitment.
pub(crate) struct IntegerWeights {
    pcs: IntegerPcs,
    first_fold: usize,
    tables: Vec<Cells>,
    commitment: [u8; 32],
    tree: <Tree as p3_commit::Mmcs<Base>>::ProverData<p3_matrix::dense::DenseMatrix<Base>>,
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
        let commitment = committer.commit(tables)?;
        match cells.filter(|_| config.num_variables() >= INTEGER_VARIABLES) {
            None => Ok(Self::Field(Box::new((committer, commitment)))),
            Some(tables) => {
                let dft = Dft::new(1 << config.max_fft_size());
                Ok(Self::Integer(Box::new(IntegerWeights {
                    pcs: IntegerPcs::new(config.clone(), dft, SharedMmcs(mmcs())),
                    first_fold: committer.first_fold,
                    tables,
                    commitment: commitment.root,
                    tree: commitment.data.merkle_data,
                })))
            }
        }
    }

    /// The Merkle root.
    pub(crate) const fn root(&self) -> [u8; 32] {
        match self {
            Self::Field(field) => field.1.root,
            Self::Integer(weights) => weights.commitment,
        }
    }

    /// Opens the commitment at `points`, in the order of `protocol`.
    pub(crate) fn open(
        &self,
        protocol: &OpeningProtocol,
        points: &[Vec<Extension>],
        transcript: &mut Transcript<Committed>,
    ) -> Result<OpeningProof, ProverError> {
        match self {
            Self::Field(field) => {
                let (committer, commitment) = &**field;
                committer.open(commitment.clone(), protocol, points, transcript, "weight")
            }
            Self::Integer(weights) => weights.open(protocol, points, transcript),
        }
    }
}

impl IntegerWeights {
    /// What the backend's `open_at` does, with our layout.
    fn open(
        &self,
        protocol: &OpeningProtocol,
        points: &[Vec<Extension>],
        transcript: &mut Transcript<Committed>,
    ) -> Result<OpeningProof, ProverError> {
        transcript.step("weight");
        let challenger = transcript.challenger();
        let mut layout = IntegerLayout::new(self.tables.clone(), self.first_fold);
        let samples = self.pcs.commitment_ood_samples();
        let answers = (0..samples)
            .map(|_| layout.add_virtual_eval(challenger))
            .collect();
        let mut evals = Vec::new();
        for ((table, batch), point) in protocol.iter_openings().zip(points) {
            evals.push(layout.eval_at(table, batch, &Point::new(point.clone()), challenger));
        }
        let tree = self.tree.clone();
        let whir = self
            .pcs
            .prove(answers, challenger, layout, tree, protocol.num_openings())
            .map_err(|_| ProverError::Backend)?;
        let proof: PcsProof<Base, Extension, Tree> = PcsProof { whir, evals };
        Ok(unshare(proof.whir))
    }
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
