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
use p3_whir::{WhirConfig, WhirProof, WhirProverData, WhirRoundProof};

use crate::ProverError;
use crate::shared_tree::SharedMmcs;

type Tree = SharedMmcs<Mmcs>;
type Prefix = PrefixProver<Base, Extension>;
type Pcs = WhirProver<Extension, Base, Dft, Tree, Challenger, Prefix>;
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
        let mut unused = Challenger::from_hasher(Vec::new(), p3_blake3::Blake3);
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
