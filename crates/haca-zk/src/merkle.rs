//! Merkle trees of BLAKE3 digests, and the check of many openings of one tree at once.
//!
//! Trees are those of `p3-merkle-tree` with binary nodes. The check of openings is our own: it hashes all opened rows,
//! and then all nodes of a level, in one call, which lets BLAKE3 work on as many of them as the processor has lanes.

use p3_blake3::Blake3;
use p3_commit::{BatchOpening, BatchOpeningRef, Mmcs};
use p3_field::PrimeCharacteristicRing;
use p3_matrix::{Dimensions, Matrix};
use p3_merkle_tree::{MerkleTreeMmcs, PrunedMerklePaths};
use p3_symmetric::{CompressionFunctionFromHasher, CryptographicHasher, SerializingHasher};

use crate::field::{BASE_BYTES, Base, Cap, base_bytes};
use crate::joined::{Part, RowShape};
use crate::sponge::Sponge;

/// Hash of a leaf.
type LeafHash = SerializingHasher<Sponge>;
/// Hash of two nodes.
type NodeHash = CompressionFunctionFromHasher<Blake3, 2, 32>;
type Inner = MerkleTreeMmcs<Base, u8, LeafHash, NodeHash, 2, 32>;
/// A node of the tree.
type Digest = [u8; 32];

/// Binary Merkle trees over the rows of a matrix.
#[derive(Clone, Debug)]
pub struct Trees {
    inner: Inner,
    /// The columns of a row, where a commitment is two trees.
    row: Option<RowShape>,
}

/// An opening that does not belong to the root, or not to the shape of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch;

impl Default for Trees {
    fn default() -> Self {
        Self {
            inner: Inner::new(LeafHash::new(Sponge), NodeHash::new(Blake3), 0),
            row: None,
        }
    }
}

impl Trees {
    /// Trees where a commitment of two roots stands for both side by side: a row is a row of the one, then a row of the
    /// other, each behind its start.
    pub fn joined(row: RowShape) -> Self {
        Self {
            row: Some(row),
            ..Self::default()
        }
    }
}

impl Mmcs<Base> for Trees {
    type ProverData<M> = <Inner as Mmcs<Base>>::ProverData<M>;
    type Commitment = Cap;
    type Proof = <Inner as Mmcs<Base>>::Proof;
    type MultiProof = PrunedMerklePaths<u8, 32>;
    type Error = Mismatch;

    fn commit<M: Matrix<Base>>(&self, inputs: Vec<M>) -> (Self::Commitment, Self::ProverData<M>) {
        self.inner.commit(inputs)
    }

    fn open_batch<M: Matrix<Base>>(
        &self,
        index: usize,
        data: &Self::ProverData<M>,
    ) -> BatchOpening<Base, Self> {
        let (values, proof) = self.inner.open_batch(index, data).unpack();
        BatchOpening::new(values, proof)
    }

    fn get_matrices<'a, M: Matrix<Base>>(&self, data: &'a Self::ProverData<M>) -> Vec<&'a M> {
        self.inner.get_matrices(data)
    }

    fn verify_batch(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        index: usize,
        opening: BatchOpeningRef<'_, Base, Self>,
    ) -> Result<(), Mismatch> {
        let opening = BatchOpeningRef::new(opening.opened_values, opening.opening_proof);
        self.inner
            .verify_batch(commitment, dimensions, index, opening)
            .map_err(|_| Mismatch)
    }

    fn open_multi_batch<M: Matrix<Base>>(
        &self,
        indices: &[usize],
        data: &Self::ProverData<M>,
    ) -> (Vec<Vec<Vec<Base>>>, Self::MultiProof) {
        self.inner.open_multi_batch(indices, data)
    }

    fn verify_multi_batch<R: AsRef<[Base]> + PartialEq>(
        &self,
        commitment: &Self::Commitment,
        dimensions: &[Dimensions],
        indices: &[usize],
        values: &[Vec<R>],
        proof: &Self::MultiProof,
    ) -> Result<(), Mismatch> {
        let [shape] = dimensions else {
            return Err(Mismatch);
        };
        let rows: Option<Vec<&[Base]>> = values
            .iter()
            .map(|row| match &row[..] {
                [row] if row.as_ref().len() == shape.width => Some(row.as_ref()),
                _ => None,
            })
            .collect();
        let rows = rows.filter(|rows| rows.len() == indices.len()).ok_or(Mismatch)?;
        let mut siblings = proof.sibling_hashes.iter();
        let is_opened = match (commitment.roots(), self.row) {
            ([root], _) => verify(root, shape.height, indices, &rows, &mut siblings),
            ([weights, witness], Some(row)) => split(row, &rows).and_then(|[first, second]| {
                verify(weights, shape.height, indices, &first, &mut siblings)?;
                verify(witness, shape.height, indices, &second, &mut siblings)
            }),
            _ => None,
        };
        is_opened.filter(|()| siblings.next().is_none()).ok_or(Mismatch)
    }
}

/// The rows of both trees, out of rows whose other columns are zero.
fn split<'a>(shape: RowShape, rows: &[&'a [Base]]) -> Option<[Vec<&'a [Base]>; 2]> {
    let mut parts = [Vec::new(), Vec::new()];
    for row in rows {
        let halves = row.split_at_checked(shape.start(Part::Witness))?;
        let widths = [shape.width(Part::Weights), shape.width(Part::Witness)];
        for ((part, half), width) in parts.iter_mut().zip([halves.0, halves.1]).zip(widths) {
            let (cells, rest) = half.split_at_checked(width)?;
            if rest.iter().any(|cell| *cell != Base::ZERO) {
                return None;
            }
            part.push(cells);
        }
    }
    Some(parts)
}

/// Checks that a tree of `height` leaves under `root` has the rows at the indices. Several openings of one leaf must be
/// the same row. It takes exactly as many siblings as the indices need: level by level from the leaves, from the lowest
/// index to the highest.
fn verify(
    root: &Digest,
    height: usize,
    indices: &[usize],
    rows: &[&[Base]],
    siblings: &mut core::slice::Iter<'_, Digest>,
) -> Option<()> {
    if !height.is_power_of_two() || indices.is_empty() {
        return None;
    }
    let mut opened: Vec<(usize, &[Base])> = indices.iter().copied().zip(rows.iter().copied()).collect();
    opened.sort_by_key(|(index, _)| *index);
    let conflicts = |pair: &[(usize, &[Base])]| matches!(pair, [a, b] if a.0 == b.0 && a.1 != b.1);
    if opened.windows(2).any(conflicts) || opened.last().is_some_and(|(index, _)| *index >= height) {
        return None;
    }
    opened.dedup_by_key(|(index, _)| *index);
    let cells: usize = opened.iter().map(|(_, row)| row.len()).sum();
    let mut bytes = Vec::with_capacity(cells.saturating_mul(BASE_BYTES));
    for (_, row) in &opened {
        row.iter()
            .for_each(|cell| bytes.extend_from_slice(&base_bytes(*cell)));
    }
    let mut nodes: Vec<usize> = opened.iter().map(|(index, _)| *index).collect();
    let mut digests = hash(&bytes, nodes.len());
    for _ in 0..height.ilog2() {
        let mut children = Vec::with_capacity(2 * 32 * nodes.len());
        let mut parents: Vec<usize> = Vec::with_capacity(nodes.len());
        let mut level = nodes.iter().zip(&digests).peekable();
        while let Some((node, digest)) = level.next() {
            let is_left = node % 2 == 0;
            let right = level.next_if(|(next, _)| is_left && **next == node + 1);
            let other = match right {
                Some((_, digest)) => digest,
                None => siblings.next()?,
            };
            let (left, right) = if is_left { (digest, other) } else { (other, digest) };
            children.extend_from_slice(left);
            children.extend_from_slice(right);
            parents.push(node / 2);
        }
        digests = hash(&children, parents.len());
        nodes = parents;
    }
    (digests == [*root]).then_some(())
}

/// The digests of `count` messages of equal length that stand behind one another.
fn hash(messages: &[u8], count: usize) -> Vec<Digest> {
    let mut digests = vec![[0; 32]; count];
    // The backend asserts that the messages are equally long.
    if count > 0 && messages.len().is_multiple_of(count) {
        Sponge.hash_many(messages, &mut digests);
    }
    digests
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use p3_matrix::dense::RowMajorMatrix;
    use proptest::prelude::*;

    use super::*;

    type Opened = (
        Cap,
        Vec<Dimensions>,
        Vec<Vec<Vec<Base>>>,
        PrunedMerklePaths<u8, 32>,
    );

    fn opened(depth: u32, width: usize, indices: &[usize]) -> Opened {
        let cells = (0..width << depth).map(|i| Base::from_u64(i as u64 * 0x9e37_79b9 + 7));
        let matrix = RowMajorMatrix::new(cells.collect(), width);
        let dimensions = vec![matrix.dimensions()];
        let (cap, data) = Trees::default().commit(vec![matrix]);
        let (rows, proof) = Trees::default().open_multi_batch(indices, &data);
        (cap, dimensions, rows, proof)
    }

    proptest! {
        /// What the backend opens and checks is accepted here; of what is altered, neither accepts anything.
        #[test]
        fn the_backend_agrees(
            depth in 0u32..7,
            width in prop::sample::select(vec![1usize, 3, 8, 24, 130]),
            picks in prop::collection::vec(any::<u32>(), 1..40),
            alteration in 0u32..8,
            place in any::<u32>(),
        ) {
            let place = place as usize;
            let mut indices: Vec<usize> = picks.iter().map(|pick| (*pick as usize) % (1 << depth)).collect();
            let (mut cap, mut dimensions, mut rows, mut proof) = opened(depth, width, &indices);
            let siblings = proof.sibling_hashes.len();
            match alteration {
                1 if siblings > 0 => proof.sibling_hashes[place % siblings][place % 32] ^= 1,
                2 => proof.sibling_hashes.push([0; 32]),
                3 => drop(proof.sibling_hashes.pop()),
                4 => {
                    let row = &mut rows[place % indices.len()][0];
                    row[place % width] += Base::ONE;
                }
                5 => {
                    let at = place % indices.len();
                    indices[at] ^= 1;
                }
                6 => dimensions[0].width += 1,
                7 => cap = crate::field::cap([7; 32]),
                _ => {}
            }
            let (trees, inner) = (Trees::default(), Trees::default().inner);
            let found = trees.verify_multi_batch(&cap, &dimensions, &indices, &rows, &proof);
            let expected = inner.verify_multi_batch(&cap, &dimensions, &indices, &rows, &proof);
            prop_assert_eq!(found.is_ok(), expected.is_ok());
            if alteration == 0 {
                prop_assert!(found.is_ok());
            }
        }
    }

    #[test]
    fn indices_lie_below_the_height_and_there_is_one() {
        let (cap, mut dimensions, rows, proof) = opened(0, 3, &[0]);
        let check = |dimensions: &[Dimensions], indices: &[usize], rows: &[Vec<Vec<Base>>]| {
            Trees::default().verify_multi_batch(&cap, dimensions, indices, rows, &proof)
        };
        assert_eq!(check(&dimensions, &[0], &rows), Ok(()));
        assert_eq!(check(&dimensions, &[1], &rows), Err(Mismatch));
        assert_eq!(check(&dimensions, &[], &[]), Err(Mismatch));
        for height in [0, 3] {
            dimensions[0].height = height;
            assert_eq!(check(&dimensions, &[0], &rows), Err(Mismatch), "{height}");
        }
    }

    #[test]
    fn one_row_is_opened_with_its_own_siblings() {
        let matrix = RowMajorMatrix::new((0..24).map(Base::from_u64).collect(), 3);
        let dimensions = [matrix.dimensions()];
        let trees = Trees::default();
        let (cap, data) = trees.commit(vec![matrix.clone()]);
        assert_eq!(trees.get_matrices(&data), [&matrix]);
        let (mut values, proof) = trees.open_batch(5, &data).unpack();
        let check = |index, values: &[Vec<Base>]| {
            trees.verify_batch(&cap, &dimensions, index, BatchOpeningRef::new(values, &proof))
        };
        assert_eq!(check(5, &values), Ok(()));
        assert_eq!(check(4, &values), Err(Mismatch));
        values[0][1] += Base::ONE;
        assert_eq!(check(5, &values), Err(Mismatch));
    }

    /// Two trees side by side: the rows of both with zeros behind each, and the siblings of both.
    fn opened_side_by_side(shape: RowShape, indices: &[usize]) -> Opened {
        let (cap, _, rows, proof) = opened(4, shape.width(Part::Weights), indices);
        let (other, _, others, other_proof) = opened(4, shape.width(Part::Witness), indices);
        let row = |(row, other): (Vec<Vec<Base>>, Vec<Vec<Base>>)| {
            let mut row = row.concat();
            row.resize(shape.start(Part::Witness), Base::ZERO);
            row.extend(other.concat());
            row.resize(1 << shape.fold, Base::ZERO);
            vec![row]
        };
        let rows = rows.into_iter().zip(others).map(row).collect();
        let mut sibling_hashes = proof.sibling_hashes;
        sibling_hashes.extend(other_proof.sibling_hashes);
        let dimensions = vec![Dimensions {
            width: 1 << shape.fold,
            height: 16,
        }];
        let roots = [cap.roots(), other.roots()].concat();
        (
            Cap::from(roots),
            dimensions,
            rows,
            PrunedMerklePaths { sibling_hashes },
        )
    }

    #[test]
    fn rows_of_two_trees_stand_side_by_side() {
        let shape = RowShape {
            fold: 4,
            parts: [2, 1],
        };
        let indices = [3, 9, 10];
        let (cap, dimensions, rows, proof) = opened_side_by_side(shape, &indices);
        let check = |cap: &Cap, rows: &[Vec<Vec<Base>>], proof: &PrunedMerklePaths<u8, 32>| {
            Trees::joined(shape).verify_multi_batch(cap, &dimensions, &indices, rows, proof)
        };
        assert_eq!(check(&cap, &rows, &proof), Ok(()));
        // Each cell counts, those that no tree has as well.
        for cell in 0..16 {
            let mut altered = rows.clone();
            altered[1][0][cell] += Base::ONE;
            assert_eq!(check(&cap, &altered, &proof), Err(Mismatch), "{cell}");
        }
        let [weights, witness]: [Digest; 2] = cap.roots().try_into().unwrap();
        for roots in [
            vec![witness, weights],
            vec![weights],
            vec![weights; 2],
            [weights, witness].repeat(2),
        ] {
            assert_eq!(check(&Cap::from(roots), &rows, &proof), Err(Mismatch));
        }
        for change in 0..4 {
            let mut altered = proof.clone();
            let siblings = &mut altered.sibling_hashes;
            match change {
                0 => siblings.push([0; 32]),
                1 => drop(siblings.pop()),
                2 => siblings.rotate_left(1),
                _ => siblings.insert(0, [0; 32]),
            }
            assert_eq!(check(&cap, &rows, &altered), Err(Mismatch), "{change}");
        }
        // Rows of another shape, and two roots where one tree is opened.
        for parts in [[1, 2], [2, 2], [3, 1], [2, 0]] {
            let trees = Trees::joined(RowShape { fold: 4, parts });
            let found = trees.verify_multi_batch(&cap, &dimensions, &indices, &rows, &proof);
            assert_eq!(found, Err(Mismatch), "{parts:?}");
        }
        let found = Trees::default().verify_multi_batch(&cap, &dimensions, &indices, &rows, &proof);
        assert_eq!(found, Err(Mismatch));
    }

    #[test]
    fn openings_of_no_tree_are_refused() {
        let (cap, dimensions, rows, proof) = opened(3, 4, &[1, 5]);
        let check = |dimensions: &[Dimensions], indices: &[usize], rows: &[Vec<Vec<Base>>]| {
            Trees::default().verify_multi_batch(&cap, dimensions, indices, rows, &proof)
        };
        assert_eq!(check(&dimensions, &[1, 5], &rows), Ok(()));
        let height = |height| vec![Dimensions { width: 4, height }];
        for height in [height(0), height(3), height(4), height(16)] {
            assert_eq!(check(&height, &[1, 5], &rows), Err(Mismatch), "{height:?}");
        }
        assert_eq!(check(&[], &[1, 5], &rows), Err(Mismatch));
        assert_eq!(check(&dimensions, &[1, 8], &rows), Err(Mismatch));
        assert_eq!(check(&dimensions, &[1], &rows), Err(Mismatch));
        assert_eq!(check(&dimensions, &[], &[]), Err(Mismatch));
        assert_eq!(check(&dimensions, &[5, 1], &rows), Err(Mismatch));
        let two = vec![vec![rows[0][0].clone(); 2], rows[1].clone()];
        assert_eq!(check(&dimensions, &[1, 5], &two), Err(Mismatch));
    }
}
