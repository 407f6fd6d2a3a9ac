//! Everything about one settled inference, fetched from a full node and verified without believing it.

use std::time::Duration;

use haca_verify::{Checkpoint, Genesis, Policy, Report, SettledInference, StateProof, VerifyError};
use haca_wire::bundle::{Bundle, LightBlock};
use haca_wire::merkle::{Branch, InclusionPath};
use haca_wire::state::key;
use haca_wire::{
    Decode, Domain, Encode as _, Evidence, GenesisHash, Group, Height, Item, Message, Receipt, ReceiptHash,
    SignedTransaction,
};

use crate::{ClientError, NodeClient, SettledReceipt};

/// Light blocks fetched between two before giving up.
const LIGHT_BLOCKS: usize = 256;
/// Fetches again when the node prunes a state between two answers.
const ATTEMPTS: usize = 3;

/// What a client knows of an inference whose settlement it wants to have verified.
#[derive(Clone, Copy, Debug)]
pub struct Inferred<'a> {
    /// Digest of the receipt.
    pub receipt: ReceiptHash,
    /// The request bytes.
    pub request: &'a [u8],
    /// The response bytes.
    pub response: &'a [u8],
}

/// Fetches a bundle: waits until the receipt is settled, then reads genesis, light blocks, state proofs, the
/// transaction that settled, and puts them together. Nothing of it is verified.
///
/// # Errors
///
/// [`ClientError::Pending`] when the receipt is not settled after `patience`; [`ClientError::OtherNetwork`] when
/// the node's genesis document is not the trusted one.
pub fn fetch_bundle(
    node: &NodeClient,
    trust: GenesisHash,
    inferred: &Inferred<'_>,
    checkpoint: Option<Checkpoint>,
    patience: Duration,
) -> Result<Bundle, ClientError> {
    let (genesis, domain) = fetch_genesis(node, trust)?;
    let what = format!("settlement of receipt {}", inferred.receipt);
    let settled = node.poll(patience, &what, || node.settled(inferred.receipt))?;
    assemble(node, genesis, &domain, inferred, &settled, checkpoint)
}

/// The bundle of an order and receipt whose settlement the caller has already looked up, encoded.
pub fn build_bundle(
    node: &NodeClient,
    trust: GenesisHash,
    item: &Item,
    settled: &SettledReceipt,
    request: &[u8],
    response: &[u8],
) -> Result<Vec<u8>, ClientError> {
    let (genesis, domain) = fetch_genesis(node, trust)?;
    let inferred = Inferred {
        receipt: item.receipt.value.hash(&domain),
        request,
        response,
    };
    let bundle = assemble(node, genesis, &domain, &inferred, settled, None)?;
    Ok(bundle.encode())
}

/// The genesis document that the trusted hash names, and the network's domain.
pub(crate) fn fetch_genesis(node: &NodeClient, trust: GenesisHash) -> Result<(Vec<u8>, Domain), ClientError> {
    let genesis = node.genesis()?;
    let found = haca_verify::genesis_hash(&genesis);
    if found != trust {
        return Err(ClientError::OtherNetwork {
            found,
            expected: trust,
        });
    }
    let domain = Genesis::parse(&genesis)
        .map_err(|error| unreadable(node, error))?
        .domain;
    Ok((genesis, domain))
}

fn assemble(
    node: &NodeClient,
    genesis: Vec<u8>,
    domain: &Domain,
    inferred: &Inferred<'_>,
    settled: &SettledReceipt,
    checkpoint: Option<Checkpoint>,
) -> Result<Bundle, ClientError> {
    let (group, index) = fetch_group(node, domain, settled, inferred.receipt)?;
    let proofs = fetch_proofs(node, settled, &group.evidence)?;
    let item = group.items.get(index).cloned().ok_or(ClientError::Malformed {
        url: node.url().to_owned(),
        found: "another group".into(),
        expected: "the group with the receipt",
    })?;
    let covered = match group.evidence {
        Evidence::Signed | Evidence::Optimistic => vec![inferred.receipt],
        Evidence::Zk { .. } => digests(&group, domain),
    };
    let index = covered
        .iter()
        .position(|receipt| *receipt == inferred.receipt)
        .unwrap_or_default();
    Ok(Bundle {
        light_blocks: fetch_light_blocks(node, Height(proofs.height.0.saturating_add(1)), checkpoint)?,
        height: settled.height,
        settlement: settled.settlement.clone(),
        branch: branch(node, settled)?,
        covering: None,
        receipts_proof: proofs.receipts,
        model_proof: proofs.model,
        item,
        group: covered,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        evidence: group.evidence,
        request: inferred.request.to_vec(),
        response: inferred.response.to_vec(),
        genesis,
    })
}

/// The way from the settlement record to the receipt root of its block.
pub(crate) fn branch(node: &NodeClient, settled: &SettledReceipt) -> Result<Branch, ClientError> {
    let path = InclusionPath {
        index: settled.index,
        leaves: settled.leaves,
        siblings: settled.path.clone(),
    };
    path.branch().map_err(|error| ClientError::Malformed {
        url: node.url().to_owned(),
        found: error.to_string(),
        expected: "an inclusion path",
    })
}

/// Fetches a bundle and verifies it at `now_unix_s`. The node is trusted with nothing: what it says is checked from
/// the genesis hash.
pub fn verify_online(
    node: &NodeClient,
    trust: GenesisHash,
    inferred: &Inferred<'_>,
    now_unix_s: u64,
    policy: &Policy,
    patience: Duration,
) -> Result<(Bundle, Report<SettledInference>), ClientError> {
    let bundle = fetch_bundle(node, trust, inferred, policy.checkpoint, patience)?;
    let report = haca_verify::verify_bundle(&bundle.encode(), trust, now_unix_s, policy);
    Ok((bundle, report))
}

fn unreadable(node: &NodeClient, error: VerifyError) -> ClientError {
    ClientError::Malformed {
        url: node.url().to_owned(),
        found: error.to_string(),
        expected: "data of its network",
    }
}

fn digests(group: &Group, domain: &Domain) -> Vec<ReceiptHash> {
    group
        .items
        .iter()
        .map(|item| item.receipt.value.hash(domain))
        .collect()
}

/// The receipt with this digest, from the transaction that a settlement record names, whose hash is compared.
pub(crate) fn fetch_receipt(
    node: &NodeClient,
    domain: &Domain,
    settled: &SettledReceipt,
    receipt: ReceiptHash,
) -> Result<Receipt, ClientError> {
    let tx = fetch_transaction(node, settled)?;
    if tx.hash() != settled.settlement.tx {
        return Err(not_the_settling(node, tx.hash().to_string()));
    }
    let (group, index) = group_of(node, tx, domain, receipt)?;
    let item = group.items.into_iter().nth(index);
    item.map(|item| item.receipt.value)
        .ok_or_else(|| not_the_settling(node, "another group".into()))
}

/// The group of the settling transaction that holds the receipt, and its place in it.
fn fetch_group(
    node: &NodeClient,
    domain: &Domain,
    settled: &SettledReceipt,
    receipt: ReceiptHash,
) -> Result<(Group, usize), ClientError> {
    group_of(node, fetch_transaction(node, settled)?, domain, receipt)
}

/// What the node gives as the transaction that a record names.
fn fetch_transaction(node: &NodeClient, settled: &SettledReceipt) -> Result<SignedTransaction, ClientError> {
    let bytes = node
        .transaction_bytes(settled.settlement.tx)?
        .ok_or_else(|| not_the_settling(node, "nothing".into()))?;
    SignedTransaction::decode_all(&bytes).map_err(|error| not_the_settling(node, error.to_string()))
}

fn not_the_settling(node: &NodeClient, found: String) -> ClientError {
    ClientError::Malformed {
        url: node.url().to_owned(),
        found,
        expected: "the transaction that settled the receipt",
    }
}

fn group_of(
    node: &NodeClient,
    tx: SignedTransaction,
    domain: &Domain,
    receipt: ReceiptHash,
) -> Result<(Group, usize), ClientError> {
    let Message::SettleBatch { groups } = tx.transaction.message else {
        return Err(not_the_settling(node, tx.transaction.message.name().into()));
    };
    groups
        .into_iter()
        .find_map(|group| {
            let index = digests(&group, domain)
                .iter()
                .position(|found| *found == receipt)?;
            Some((group, index))
        })
        .ok_or_else(|| not_the_settling(node, "a batch without the receipt".into()))
}

/// Proofs of one state.
pub(crate) struct Proofs {
    /// The state after this block.
    pub(crate) height: Height,
    /// Of the receipt root.
    pub(crate) receipts: Vec<u8>,
    /// Of the model's record, where a proof of inference rests on it.
    pub(crate) model: Option<Vec<u8>>,
}

/// Proofs of the receipt root and of the model's record in one state: the newest that a header commits to.
pub(crate) fn fetch_proofs(
    node: &NodeClient,
    settled: &SettledReceipt,
    evidence: &Evidence,
) -> Result<Proofs, ClientError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let receipts = node.entry(&key::receipts(settled.height), None)?;
        let model = match evidence {
            Evidence::Signed | Evidence::Optimistic => None,
            Evidence::Zk { .. } => {
                match node.entry(&key::model(settled.settlement.model), Some(receipts.height)) {
                    Ok(model) => Some(model.proof),
                    Err(error @ ClientError::Refused { .. }) => {
                        last = Some(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        for proof in core::iter::once(&receipts.proof).chain(&model) {
            StateProof::decode(proof).map_err(|error| unreadable(node, error))?;
        }
        return Ok(Proofs {
            height: receipts.height,
            receipts: receipts.proof,
            model,
        });
    }
    Err(last.unwrap_or_else(|| ClientError::Malformed {
        url: node.url().to_owned(),
        found: "nothing".into(),
        expected: "proofs of one state",
    }))
}

/// The light blocks from the first block, or from a checkpoint at or below `target`, to `target`: as few as the light
/// client can do with.
pub fn fetch_light_blocks(
    node: &NodeClient,
    target: Height,
    checkpoint: Option<Checkpoint>,
) -> Result<Vec<LightBlock>, ClientError> {
    let start = match checkpoint {
        Some(pin) if pin.height <= target => pin.height,
        _ => Height(1),
    };
    let mut path = vec![fetch_light_block(node, start)?];
    let mut from = start;
    let mut ahead = Vec::new();
    if target > start {
        ahead.push((target, fetch_light_block(node, target)?));
    }
    while let Some((height, block)) = ahead.pop() {
        let between = Height(from.0.midpoint(height.0));
        let trusted = path.last();
        let apart = trusted.is_some_and(|trusted| haca_verify::needs_block_between(trusted, &block));
        if apart && between > from && path.len().saturating_add(ahead.len()) < LIGHT_BLOCKS {
            ahead.push((height, block));
            ahead.push((between, fetch_light_block(node, between)?));
        } else {
            path.push(block);
            from = height;
        }
    }
    Ok(path)
}

pub(crate) fn fetch_light_block(node: &NodeClient, height: Height) -> Result<LightBlock, ClientError> {
    let bytes = node.light_block(height)?;
    haca_verify::light_block(&bytes.signed_header, &bytes.validators, &bytes.next_validators)
        .map_err(|error| unreadable(node, error))
}
