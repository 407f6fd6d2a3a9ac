//! The tree after a block: removals one by one, then everything else at once, so that a node on the way to many values is
//! read, hashed and kept once. The root is that of the resulting values, whatever the order.

use jmt::{
    JellyfishMerkleTree, KeyHash, OwnedValue, RootHash, Version,
    storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch},
};
use sha2::Sha256;

/// Computes the tree of `version` from the one before it.
pub(super) fn update<R: TreeReader>(
    before: &R,
    writes: impl Iterator<Item = (KeyHash, Option<OwnedValue>)>,
    version: Version,
) -> anyhow::Result<(RootHash, TreeUpdateBatch)> {
    let (mut removed, mut new) = (Vec::new(), Vec::new());
    for (key, value) in writes {
        match value {
            Some(value) => new.push((key, value)),
            None => removed.push((key, None)),
        }
    }
    if new.is_empty() {
        return JellyfishMerkleTree::<_, Sha256>::new(before).put_value_set(removed, version);
    }
    if removed.is_empty() {
        return insert(before, new, version);
    }
    let (_, first) = JellyfishMerkleTree::<_, Sha256>::new(before).put_value_set(removed, version)?;
    let between = Between {
        before,
        first: &first,
        version,
    };
    let (root, second) = insert(&between, new, version)?;
    Ok((root, merge(first, second, version)))
}

fn insert<R: TreeReader>(
    before: &R,
    new: Vec<(KeyHash, OwnedValue)>,
    version: Version,
) -> anyhow::Result<(RootHash, TreeUpdateBatch)> {
    let tree = JellyfishMerkleTree::<_, Sha256>::new(before);
    let (roots, batch) = tree.batch_put_value_sets(vec![new], None, version)?;
    let root = roots.first().copied();
    Ok((
        root.ok_or_else(|| anyhow::anyhow!("a tree without a root"))?,
        batch,
    ))
}

/// The tree after the removals. Its root stands where the next step looks for the root of the version before.
struct Between<'a, R> {
    before: &'a R,
    first: &'a TreeUpdateBatch,
    version: Version,
}

impl<R: TreeReader> TreeReader for Between<'_, R> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let is_root = key.nibble_path().last().is_none();
        if is_root || key.version() == self.version {
            let key = NodeKey::new(self.version, key.nibble_path().clone());
            if let Some(node) = self.first.node_batch.get_node(&key) {
                return Ok(Some(node.clone()));
            }
        }
        self.before.get_node_option(key)
    }

    fn get_value_option(&self, max: Version, key: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        self.before.get_value_option(max, key)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        self.before.get_rightmost_leaf()
    }
}

/// Both steps as one: what the first made and the second replaced never was.
fn merge(first: TreeUpdateBatch, second: TreeUpdateBatch, version: Version) -> TreeUpdateBatch {
    let mut stale = first.stale_node_index_batch;
    let mut nodes = first.node_batch.nodes().clone();
    for index in second.stale_node_index_batch {
        if index.node_key.version() == version {
            nodes.remove(&index.node_key);
        } else {
            stale.insert(index);
        }
    }
    nodes.extend(
        second
            .node_batch
            .nodes()
            .iter()
            .map(|(key, node)| (key.clone(), node.clone())),
    );
    let mut merged = TreeUpdateBatch::default();
    merged.node_batch.extend(nodes, []);
    merged.stale_node_index_batch = stale;
    merged
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A tree in memory that forgets what is stale.
    #[derive(Default)]
    struct Memory {
        nodes: BTreeMap<NodeKey, Node>,
    }

    impl TreeReader for Memory {
        fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
            Ok(self.nodes.get(key).cloned())
        }
        fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
            anyhow::bail!("values are not looked at")
        }
        fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
            anyhow::bail!("leaves are not looked at")
        }
    }

    impl Memory {
        /// Every node that goes stale has to be there, and no other may go.
        fn apply(&mut self, batch: &TreeUpdateBatch) {
            for index in &batch.stale_node_index_batch {
                assert!(self.nodes.remove(&index.node_key).is_some(), "{index:?}");
            }
            for (key, node) in batch.node_batch.nodes() {
                assert!(self.nodes.insert(key.clone(), node.clone()).is_none(), "{key:?}");
            }
        }
    }

    fn key(number: u8) -> KeyHash {
        // Few first nibbles, so that leaves meet and part again.
        KeyHash(
            [&[number % 3, number % 5], &[number; 30][..]]
                .concat()
                .try_into()
                .unwrap(),
        )
    }

    proptest! {
        #[test]
        fn the_tree_is_that_of_single_steps(
            blocks in prop::collection::vec(prop::collection::btree_map(0_u8..40, any::<Option<u8>>(), 1..20), 1..12)
        ) {
            let (mut ours, mut theirs) = (Memory::default(), Memory::default());
            let mut values = BTreeMap::new();
            let first = [(key(255), Some(vec![1]))];
            for (version, block) in (0..).zip(&blocks) {
                let writes: Vec<_> = block
                    .iter()
                    .map(|(number, value)| (key(*number), value.map(|value| vec![value])))
                    .chain(if version == 0 { &first[..] } else { &[] }.iter().cloned())
                    .collect();
                for (key, value) in &writes {
                    match value {
                        Some(value) => values.insert(*key, value.clone()),
                        None => values.remove(key),
                    };
                }
                let (root, batch) = update(&ours, writes.iter().cloned(), version).unwrap();
                ours.apply(&batch);
                let tree = JellyfishMerkleTree::<_, Sha256>::new(&theirs);
                let (expected, steps) = tree.put_value_set(writes, version).unwrap();
                for index in &steps.stale_node_index_batch {
                    theirs.nodes.remove(&index.node_key);
                }
                theirs.nodes.extend(steps.node_batch.nodes().iter().map(|(key, node)| (key.clone(), node.clone())));
                prop_assert_eq!(root, expected);
                let leaves = |memory: &Memory| -> BTreeSet<KeyHash> {
                    let leaf = |node: &Node| match node {
                        Node::Leaf(leaf) => Some(leaf.key_hash()),
                        _ => None,
                    };
                    memory.nodes.values().filter_map(leaf).collect()
                };
                prop_assert_eq!(leaves(&ours), values.keys().copied().collect::<BTreeSet<_>>());
                prop_assert_eq!(ours.nodes.len(), theirs.nodes.len());
            }
        }
    }
}
