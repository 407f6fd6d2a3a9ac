//! The light client: what a node says of the state, proven from a trusted header, and held against other nodes.

use std::path::Path;

use haca_verify::{
    Checkpoint, Outcome, Policy, ProvenAttack, ProvenState, Report, verify_attack, verify_state,
};
use haca_wire::bundle::LightBlock;
use haca_wire::light_file::{AttackFile, Leaf, StateFile};
use haca_wire::merkle::InclusionPath;
use haca_wire::state::key;
use haca_wire::{Encode as _, GenesisHash, Height, ReceiptHash};

use crate::bundle::{fetch_genesis, fetch_light_block, fetch_light_blocks, fetch_receipt};
use crate::trust_store::{TrustStore, checkpoint};
use crate::{ClientError, NodeClient, Settleable};

/// A light client of one network.
#[derive(Clone, Debug)]
pub struct LightClient {
    trust: GenesisHash,
    policy: Policy,
    store: Option<TrustStore>,
}

/// A state entry as a node proves it.
#[derive(Clone, Debug)]
pub struct Proof {
    /// What was fetched: everything that its verification needs.
    pub file: StateFile,
    /// The verdict.
    pub report: Report<ProvenState>,
}

/// What another node has at the height of a verified header.
#[derive(Clone, Debug)]
pub enum Witness {
    /// The same header.
    Agrees,
    /// No header of that height yet.
    Behind,
    /// Another header, which does not follow from what both nodes have in common: one of the two serves a chain that
    /// nobody signed. The report says which.
    Unproven(Box<Report<ProvenAttack>>),
    /// Another header that a light client would have believed as well.
    Attack(Box<AttackFile>, Box<Report<ProvenAttack>>),
    /// Another header, and no block in common to judge from.
    Apart,
}

impl LightClient {
    /// A light client that starts at the policy's checkpoint, or at the first block.
    pub fn new(trust: GenesisHash, policy: Policy) -> Self {
        Self {
            trust,
            policy,
            store: None,
        }
    }

    /// Starts at the newest header of a store on disk instead, where it is above the checkpoint, and keeps what it
    /// verifies there.
    ///
    /// # Errors
    ///
    /// Those of [`TrustStore::open`]; and when the checkpoint contradicts the store.
    pub fn with_store(mut self, path: &Path) -> Result<Self, ClientError> {
        let store = TrustStore::open(path, self.trust)?;
        if let Some(pin) = self.policy.checkpoint {
            let known = store.blocks().iter().filter_map(checkpoint);
            if let Some(known) = known
                .filter(|known| known.height == pin.height)
                .find(|known| *known != pin)
            {
                return Err(ClientError::TrustStore {
                    path: path.display().to_string(),
                    reason: format!("it holds header {} at the checkpoint's height", known.hash),
                });
            }
        }
        self.store = Some(store);
        Ok(self)
    }

    /// The policy to verify by: its checkpoint is where trust starts.
    pub fn policy(&self) -> Policy {
        let stored = self.store.as_ref().and_then(TrustStore::head);
        let pinned = self.policy.checkpoint;
        let checkpoint = match (pinned, stored) {
            (Some(pin), Some(head)) if pin.height > head.height => Some(pin),
            (pin, head) => head.or(pin),
        };
        Policy {
            checkpoint,
            ..self.policy.clone()
        }
    }

    /// Has a node prove what the state holds under a key, and verifies it at `now_unix_s`.
    ///
    /// # Errors
    ///
    /// Those of the connection; [`ClientError::Stale`] when the node proves a state from before a header that is already
    /// known. What the node proves falsely is a rejected report, not an error.
    pub fn prove(&self, node: &NodeClient, key: &[u8], now_unix_s: u64) -> Result<Proof, ClientError> {
        let (genesis, _) = fetch_genesis(node, self.trust)?;
        self.prove_with(node, genesis, key, None, now_unix_s)
    }

    /// Has a node prove that a receipt is settled by itself. `None` while the node knows no settlement of it.
    ///
    /// A record names any hash as its receipt when it is a voucher's. So the transaction is read that the record names: the
    /// receipt stands in it, and with it its order, channel and sequence, which the record repeats.
    ///
    /// # Errors
    ///
    /// Those of [`LightClient::prove`]; [`ClientError::Malformed`] when the node answers with another receipt, with a
    /// voucher, or with another transaction than the record names.
    pub fn prove_receipt(
        &self,
        node: &NodeClient,
        receipt: ReceiptHash,
        now_unix_s: u64,
    ) -> Result<Option<Proof>, ClientError> {
        let Some(settled) = node.settled(receipt)? else {
            return Ok(None);
        };
        let malformed = |found: String, expected| ClientError::Malformed {
            url: node.url().to_owned(),
            found,
            expected,
        };
        if settled.settlement.receipt != receipt {
            let found = settled.settlement.receipt.to_string();
            return Err(malformed(found, "the settlement of the receipt asked for"));
        }
        let (genesis, domain) = fetch_genesis(node, self.trust)?;
        let wanted = Settleable::receipt(&fetch_receipt(node, &domain, &settled, receipt)?, &domain);
        if !wanted.is_settled_by(&settled.settlement) {
            let found = format!("a record of order {}", settled.settlement.order);
            return Err(malformed(found, "the settlement of the receipt asked for"));
        }
        let path = InclusionPath {
            index: settled.index,
            leaves: settled.leaves,
            siblings: settled.path,
        };
        let leaf = Leaf {
            branch: path
                .branch()
                .map_err(|error| malformed(error.to_string(), "an inclusion path"))?,
            settlement: settled.settlement,
        };
        let key = key::receipts(settled.height);
        self.prove_with(node, genesis, &key, Some(leaf), now_unix_s)
            .map(Some)
    }

    fn prove_with(
        &self,
        node: &NodeClient,
        genesis: Vec<u8>,
        key: &[u8],
        leaf: Option<Leaf>,
        now_unix_s: u64,
    ) -> Result<Proof, ClientError> {
        let policy = self.policy();
        let entry = node.entry(key, None)?;
        let header = Height(entry.height.0.saturating_add(1));
        self.check_fresh(node, header, &policy)?;
        let file = StateFile {
            genesis,
            light_blocks: fetch_light_blocks(node, header, policy.checkpoint)?,
            key: key.to_vec(),
            proof: entry.proof,
            leaf,
        };
        let report = verify_state(&file.encode(), self.trust, now_unix_s, &policy);
        if let Some(proven) = report.verified() {
            // What the node said of heights was its word; this is the header's.
            self.check_fresh(node, proven.get().header_height, &policy)?;
        }
        Ok(Proof { file, report })
    }

    /// Keeps the header of a verified proof in the store, if there is one: the next proof starts there. Witnesses should
    /// be asked first.
    pub fn remember(&mut self, proof: &Proof) -> Result<(), ClientError> {
        let verified = proof.report.outcome() == Outcome::Verified;
        match (&mut self.store, proof.file.light_blocks.last()) {
            (Some(store), Some(last)) if verified => store.remember(last),
            _ => Ok(()),
        }
    }

    fn check_fresh(&self, node: &NodeClient, found: Height, policy: &Policy) -> Result<(), ClientError> {
        match policy.checkpoint {
            Some(known) if found < known.height => Err(ClientError::Stale {
                url: node.url().to_owned(),
                found,
                expected: known.height,
            }),
            _ => Ok(()),
        }
    }

    /// Asks a witness for its header at the height of a verified proof, and finds out what it means when it is another.
    pub fn compare(
        &self,
        node: &NodeClient,
        witness: &NodeClient,
        proof: &Proof,
        now_unix_s: u64,
    ) -> Result<Witness, ClientError> {
        let Some(ours) = proof.file.light_blocks.last() else {
            return Ok(Witness::Apart);
        };
        let Some(height) = checkpoint(ours).map(|point| point.height) else {
            return Ok(Witness::Apart);
        };
        let theirs = match fetch_light_block(witness, height) {
            Ok(block) => block,
            Err(ClientError::Refused { .. }) => return Ok(Witness::Behind),
            Err(error) => return Err(error),
        };
        if checkpoint(&theirs) == checkpoint(ours) {
            return Ok(Witness::Agrees);
        }
        let stored = self.store.as_ref().map(TrustStore::blocks).unwrap_or_default();
        let path = &proof.file.light_blocks;
        let Some(fork) = find_fork(witness, stored, path) else {
            return Ok(Witness::Apart);
        };
        let light_blocks = match path.iter().position(|block| *block == fork.common) {
            Some(position) => path.iter().take(position.saturating_add(1)).cloned().collect(),
            // It lies below where trust started this time, and was verified before.
            None => vec![fork.common],
        };
        let steps = |node| {
            let steps = fetch_light_blocks(node, fork.height, Some(fork.from))?;
            Ok::<_, ClientError>(steps.into_iter().skip(1).collect())
        };
        let attack = AttackFile {
            genesis: proof.file.genesis.clone(),
            light_blocks,
            first: steps(node)?,
            second: steps(witness)?,
        };
        let policy = Policy {
            checkpoint: attack_checkpoint(&attack),
            ..self.policy.clone()
        };
        let report = verify_attack(&attack.encode(), self.trust, now_unix_s, &policy);
        Ok(match report.outcome() {
            Outcome::Verified => Witness::Attack(Box::new(attack), Box::new(report)),
            Outcome::Rejected | Outcome::Unverifiable => Witness::Unproven(Box::new(report)),
        })
    }
}

/// Where an attack file's verification starts, if not at the first block.
pub fn attack_checkpoint(attack: &AttackFile) -> Option<Checkpoint> {
    let start = attack.light_blocks.first().and_then(checkpoint)?;
    (start.height > Height(1)).then_some(start)
}

/// Where two chains part.
struct Fork {
    /// The last verified block that both hold.
    common: LightBlock,
    /// Its height and hash.
    from: Checkpoint,
    /// The height of the next verified block: there they differ.
    height: Height,
}

/// Walks the verified blocks downwards, until the witness has the same.
fn find_fork(witness: &NodeClient, stored: &[LightBlock], path: &[LightBlock]) -> Option<Fork> {
    let mut known: Vec<(Checkpoint, &LightBlock)> = stored
        .iter()
        .chain(path)
        .filter_map(|block| Some((checkpoint(block)?, block)))
        .collect();
    known.sort_by_key(|(point, _)| core::cmp::Reverse(point.height));
    known.dedup_by_key(|(point, _)| point.height);
    let mut known = known.into_iter();
    let mut height = known.next()?.0.height;
    for (from, block) in known {
        let theirs = fetch_light_block(witness, from.height).ok();
        if theirs.as_ref().and_then(checkpoint) == Some(from) {
            let common = block.clone();
            return Some(Fork { common, from, height });
        }
        height = from.height;
    }
    None
}
