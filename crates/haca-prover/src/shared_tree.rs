//! Merkle trees behind a reference count, so that many proofs open one commitment without copying its codeword.

use std::sync::Arc;

use haca_zk::field::Base;
use haca_zk::joined::{Part, RowShape};
use haca_zk::merkle::Trees;
use p3_commit::{BatchOpening, BatchOpeningRef, Mmcs};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::{Dimensions, Matrix};

/// A commitment scheme whose prover data is shared.
#[derive(Clone, Debug)]
pub(crate) struct SharedMmcs(pub(crate) Trees);

/// Shared prover data: of one tree, or of those of weights and witness side by side.
pub(crate) enum SharedData<D> {
    /// One tree.
    One(Arc<D>),
    /// Both, and where their columns stand in a row.
    Two(Arc<D>, Arc<D>, RowShape),
}

impl<D> Clone for SharedData<D> {
    fn clone(&self) -> Self {
        match self {
            Self::One(data) => Self::One(Arc::clone(data)),
            Self::Two(first, second, row) => Self::Two(Arc::clone(first), Arc::clone(second), *row),
        }
    }
}

impl<D> SharedData<D> {
    /// Both trees side by side.
    pub(crate) fn joined(&self, witness: &Self, row: RowShape) -> Self {
        Self::Two(Arc::clone(self.first()), Arc::clone(witness.first()), row)
    }

    const fn first(&self) -> &Arc<D> {
        match self {
            Self::One(data) | Self::Two(data, ..) => data,
        }
    }
}

impl Mmcs<Base> for SharedMmcs {
    type ProverData<M> = SharedData<<Trees as Mmcs<Base>>::ProverData<M>>;
    type Commitment = <Trees as Mmcs<Base>>::Commitment;
    type Proof = <Trees as Mmcs<Base>>::Proof;
    type MultiProof = <Trees as Mmcs<Base>>::MultiProof;
    type Error = <Trees as Mmcs<Base>>::Error;

    fn commit<M: Matrix<Base>>(&self, inputs: Vec<M>) -> (Self::Commitment, Self::ProverData<M>) {
        let (commitment, data) = self.0.commit(inputs);
        (commitment, SharedData::One(Arc::new(data)))
    }

    fn open_batch<M: Matrix<Base>>(
        &self,
        index: usize,
        data: &Self::ProverData<M>,
    ) -> BatchOpening<Base, Self> {
        let (values, proof) = self.0.open_batch(index, data.first()).unpack();
        BatchOpening::new(values, proof)
    }

    fn get_matrices<'a, M: Matrix<Base>>(&self, data: &'a Self::ProverData<M>) -> Vec<&'a M> {
        self.0.get_matrices(data.first())
    }

    fn verify_batch(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        index: usize,
        opening: BatchOpeningRef<'_, Base, Self>,
    ) -> Result<(), Self::Error> {
        let opening = BatchOpeningRef::new(opening.opened_values, opening.opening_proof);
        self.0.verify_batch(commitment, dimensions, index, opening)
    }

    fn open_multi_batch<M: Matrix<Base>>(
        &self,
        indices: &[usize],
        data: &Self::ProverData<M>,
    ) -> (Vec<Vec<Vec<Base>>>, Self::MultiProof) {
        let (mut rows, mut proof) = self.0.open_multi_batch(indices, data.first());
        if let SharedData::Two(_, witness, shape) = data {
            let (others, other) = self.0.open_multi_batch(indices, witness);
            proof.sibling_hashes.extend(other.sibling_hashes);
            for (row, others) in rows.iter_mut().flatten().zip(others.into_iter().flatten()) {
                row.resize(shape.start(Part::Witness), Base::ZERO);
                row.extend(others);
                row.resize(1 << shape.fold, Base::ZERO);
            }
        }
        (rows, proof)
    }

    fn verify_multi_batch<R: AsRef<[Base]> + PartialEq>(
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
