//! Merkle trees behind a reference count, so that many proofs open one commitment without copying its codeword.

use std::sync::Arc;

use p3_commit::{BatchOpening, BatchOpeningRef, Mmcs};
use p3_matrix::{Dimensions, Matrix};

/// A commitment scheme whose prover data is shared.
#[derive(Clone, Debug)]
pub(crate) struct SharedMmcs<I>(pub(crate) I);

/// Shared prover data.
pub(crate) struct SharedData<D>(Arc<D>);

impl<D> Clone for SharedData<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + Sync + Clone, I: Mmcs<T>> Mmcs<T> for SharedMmcs<I> {
    type ProverData<M> = SharedData<I::ProverData<M>>;
    type Commitment = I::Commitment;
    type Proof = I::Proof;
    type MultiProof = I::MultiProof;
    type Error = I::Error;

    fn commit<M: Matrix<T>>(&self, inputs: Vec<M>) -> (Self::Commitment, Self::ProverData<M>) {
        let (commitment, data) = self.0.commit(inputs);
        (commitment, SharedData(Arc::new(data)))
    }

    fn open_batch<M: Matrix<T>>(&self, index: usize, data: &Self::ProverData<M>) -> BatchOpening<T, Self> {
        let (values, proof) = self.0.open_batch(index, &data.0).unpack();
        BatchOpening::new(values, proof)
    }

    fn get_matrices<'a, M: Matrix<T>>(&self, data: &'a Self::ProverData<M>) -> Vec<&'a M> {
        self.0.get_matrices(&data.0)
    }

    fn verify_batch(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        index: usize,
        opening: BatchOpeningRef<'_, T, Self>,
    ) -> Result<(), Self::Error> {
        let opening = BatchOpeningRef::new(opening.opened_values, opening.opening_proof);
        self.0.verify_batch(commitment, dimensions, index, opening)
    }

    fn open_multi_batch<M: Matrix<T>>(
        &self,
        indices: &[usize],
        data: &Self::ProverData<M>,
    ) -> (Vec<Vec<Vec<T>>>, Self::MultiProof) {
        self.0.open_multi_batch(indices, &data.0)
    }

    fn verify_multi_batch<R: AsRef<[T]> + PartialEq>(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        indices: &[usize],
        values: &[Vec<R>],
        proof: &Self::MultiProof,
    ) -> Result<(), Self::Error> {
        self.0
            .verify_multi_batch(commitment, dimensions, indices, values, proof)
    }
}
