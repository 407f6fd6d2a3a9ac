//! The receipt tree of a block: a Merkle tree over lists of byte strings, with inclusion paths.
//!
//! Source: RFC 6962, section 2.1 (tree hash with the prefixes 0x00 and 0x01, SHA-256) and section 2.1.1
//! (audit paths). CometBFT's own lists use the same tree.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::codec::{Decode, DecodeError, Encode, Reader, put_list};
use crate::limit;

/// Hash of a node or leaf.
pub type Hash = [u8; 32];

/// The hash of the empty list: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The hash of one leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of a list of leaves, in order.
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash {
    let mut level: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or_else(empty_root)
}

/// One level up. Pairing neighbours and carrying an odd last node up unchanged gives the tree of the RFC, whose
/// left subtree is the largest full one.
fn parents(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node_hash(left, right),
            [single] => *single,
            _ => empty_root(),
        })
        .collect()
}

/// Why a path does not place a leaf under a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// The index is not below the number of leaves.
    #[error("leaf index {found} is not below the number of leaves {expected}")]
    Index {
        /// The index.
        found: u64,
        /// The number of leaves.
        expected: u64,
    },
    /// The path is shorter or longer than the tree's shape asks for.
    #[error("path has {found} hashes, the tree's shape asks for {expected}")]
    Length {
        /// Hashes in the path.
        found: usize,
        /// Hashes that a path of this leaf has.
        expected: usize,
    },
    /// The path leads to another root.
    #[error(
        "path leads to root {}, expected {}",
        hex::encode(found),
        hex::encode(expected)
    )]
    Root {
        /// Where the path leads.
        found: Hash,
        /// The root asked for.
        expected: Hash,
    },
}

impl PathError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Index { .. } => "merkle.index",
            Self::Length { .. } => "merkle.length",
            Self::Root { .. } => "merkle.root",
        }
    }
}

/// Where a leaf stands in a list, with the hashes that lead from it to the root, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionPath {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Number of leaves of the list.
    pub leaves: u64,
    /// Sibling hashes, the leaf's own sibling first.
    pub siblings: Vec<Hash>,
}

impl Encode for InclusionPath {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.index.encode_into(out);
        self.leaves.encode_into(out);
        put_list(out, &self.siblings);
    }
}

impl Decode for InclusionPath {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            index: u64::decode(reader)?,
            leaves: u64::decode(reader)?,
            siblings: reader.list("siblings", limit::MERKLE_PATH)?,
        })
    }
}

impl InclusionPath {
    /// The path of the leaf at `index`; `None` when there is no such leaf.
    pub fn new<L: AsRef<[u8]>>(leaves: &[L], index: usize) -> Option<Self> {
        leaves.get(index)?;
        let mut level: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
        let mut position = index;
        let mut siblings = Vec::new();
        while level.len() > 1 {
            siblings.extend(level.get(position ^ 1).copied());
            position >>= 1;
            level = parents(&level);
        }
        Some(Self {
            index: u64::try_from(index).ok()?,
            leaves: u64::try_from(leaves.len()).ok()?,
            siblings,
        })
    }

    /// The same way without index and number of leaves.
    pub fn branch(&self) -> Result<Branch, PathError> {
        if self.index >= self.leaves {
            return Err(PathError::Index {
                found: self.index,
                expected: self.leaves,
            });
        }
        let wrong_length = PathError::Length {
            found: self.siblings.len(),
            expected: self.depth(),
        };
        let mut siblings = self.siblings.iter();
        let mut steps = Vec::new();
        let mut position = self.index;
        let mut last = self.leaves.saturating_sub(1);
        while last > 0 {
            // The last node of an odd level has no sibling and is carried up.
            if position & 1 == 1 {
                steps.push(Step::Left(*siblings.next().ok_or(wrong_length)?));
            } else if position < last {
                steps.push(Step::Right(*siblings.next().ok_or(wrong_length)?));
            }
            position >>= 1;
            last >>= 1;
        }
        match siblings.next() {
            None => Ok(Branch { steps }),
            Some(_) => Err(wrong_length),
        }
    }

    /// The root that `leaf` and this path lead to.
    pub fn root(&self, leaf: &[u8]) -> Result<Hash, PathError> {
        self.branch().map(|branch| branch.root(leaf))
    }

    /// Succeeds when `leaf` stands at this place under `expected`.
    pub fn verify(&self, leaf: &[u8], expected: &Hash) -> Result<(), PathError> {
        let found = self.root(leaf)?;
        if found == *expected {
            Ok(())
        } else {
            Err(PathError::Root {
                found,
                expected: *expected,
            })
        }
    }

    /// Hashes that a path of this leaf has.
    fn depth(&self) -> usize {
        let mut depth = 0usize;
        let (mut position, mut last) = (self.index, self.leaves.saturating_sub(1));
        while last > 0 {
            if position & 1 == 1 || position < last {
                depth = depth.saturating_add(1);
            }
            position >>= 1;
            last >>= 1;
        }
        depth
    }
}

/// A sibling on the way from a leaf to the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The sibling stands left.
    Left(Hash),
    /// The sibling stands right.
    Right(Hash),
}

impl Encode for Step {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let (tag, hash) = match self {
            Self::Left(hash) => (0u8, hash),
            Self::Right(hash) => (1, hash),
        };
        out.push(tag);
        out.extend_from_slice(hash);
    }
}

impl Decode for Step {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = u8::decode(reader)?;
        let hash = Hash::decode(reader)?;
        match tag {
            0 => Ok(Self::Left(hash)),
            1 => Ok(Self::Right(hash)),
            found => Err(DecodeError::BadTag {
                what: "side",
                found: u64::from(found),
            }),
        }
    }
}

/// The way from a leaf to the root without index and number of leaves. A root fixes neither of the two (the
/// third of three leaves has the path of the second of two), so what is kept as evidence does without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Siblings, the leaf's own first.
    pub steps: Vec<Step>,
}

impl Encode for Branch {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.steps);
    }
}

impl Decode for Branch {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            steps: reader.list("steps", limit::MERKLE_PATH)?,
        })
    }
}

impl Branch {
    /// The root that `leaf` and this branch lead to.
    pub fn root(&self, leaf: &[u8]) -> Hash {
        self.steps.iter().fold(leaf_hash(leaf), |hash, step| match step {
            Step::Left(sibling) => node_hash(sibling, &hash),
            Step::Right(sibling) => node_hash(&hash, sibling),
        })
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
mod tests {
    use super::*;

    /// Leaves and roots of the reference vectors of the Certificate Transparency code
    /// (`merkle/testonly/constants.go` of transparency-dev/merkle).
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves(n: usize) -> Vec<Vec<u8>> {
        (0..n).map(|i| hex::decode(LEAVES[i]).unwrap()).collect()
    }

    #[test]
    fn roots_match_the_reference_vectors() {
        for (n, expected) in ROOTS.iter().enumerate() {
            assert_eq!(hex::encode(root(&leaves(n))), *expected, "{n} leaves");
        }
    }

    /// The RFC's definition by halves, written down independently of the level-by-level form above.
    fn reference_root(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node_hash(&reference_root(&leaves[..k]), &reference_root(&leaves[k..]))
            }
        }
    }

    fn reference_path(leaves: &[Vec<u8>], m: usize) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut path, sibling) = if m < k {
            (reference_path(&leaves[..k], m), reference_root(&leaves[k..]))
        } else {
            (reference_path(&leaves[k..], m - k), reference_root(&leaves[..k]))
        };
        path.push(sibling);
        path
    }

    #[test]
    fn every_path_of_small_trees_leads_to_the_root_and_to_no_other() {
        for n in 1..40usize {
            let list: Vec<Vec<u8>> = (0..n).map(|i| vec![i as u8; i % 5]).collect();
            let top = root(&list);
            assert_eq!(top, reference_root(&list));
            for (m, leaf) in list.iter().enumerate() {
                let path = InclusionPath::new(&list, m).unwrap();
                assert_eq!(path.siblings, reference_path(&list, m));
                path.verify(leaf, &top).unwrap();
                assert_eq!(InclusionPath::decode_all(&path.encode()).unwrap(), path);
                let branch = path.branch().unwrap();
                assert_eq!(branch.root(leaf), top);
                assert_eq!(Branch::decode_all(&branch.encode()).unwrap(), branch);

                assert_eq!(path.verify(b"another", &top).unwrap_err().code(), "merkle.root");
                let mut long = path.clone();
                long.siblings.push([0; 32]);
                assert_eq!(long.verify(leaf, &top).unwrap_err().code(), "merkle.length");
                let mut short = path.clone();
                if short.siblings.pop().is_some() {
                    assert_eq!(short.verify(leaf, &top).unwrap_err().code(), "merkle.length");
                }
                let mut outside = path.clone();
                outside.index = n as u64;
                assert_eq!(outside.verify(leaf, &top).unwrap_err().code(), "merkle.index");
            }
        }
    }

    #[test]
    fn hostile_numbers_neither_panic_nor_loop() {
        let path = InclusionPath {
            index: 0,
            leaves: u64::MAX,
            siblings: vec![[7; 32]; limit::MERKLE_PATH],
        };
        assert!(path.root(b"leaf").is_ok());
        assert!(InclusionPath::new::<&[u8]>(&[], 0).is_none());
    }
}
