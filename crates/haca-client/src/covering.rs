//! Bundles of receipts that a voucher covers: what proves the voucher's settlement, fetched once for its whole range.

use std::time::Duration;

use haca_verify::Checkpoint;
use haca_wire::bundle::{Bundle, Covering, LightBlock};
use haca_wire::merkle::Branch;
use haca_wire::{Domain, Evidence, EvidenceKind, GenesisHash, Height, Item, ReceiptHash, Voucher};

use crate::bundle::{Proofs, branch, fetch_genesis, fetch_light_blocks, fetch_proofs};
use crate::voucher::{are_leaves, path_under};
use crate::{ClientError, NodeClient, Settleable, SettledReceipt};

/// A settled voucher with the digests of the receipts of its range, and everything that proves its settlement. Nothing of
/// what the node said is verified: [`haca_verify::verify_bundle`] does that with each bundle.
#[derive(Debug)]
pub struct CoveredRange {
    genesis: Vec<u8>,
    domain: Domain,
    light_blocks: Vec<LightBlock>,
    settled: SettledReceipt,
    branch: Branch,
    receipts_proof: Vec<u8>,
    voucher: Voucher,
    evidence: Evidence,
    leaves: Vec<ReceiptHash>,
}

impl CoveredRange {
    /// Fetches genesis, light blocks and proofs of a voucher's settlement, which is waited for.
    ///
    /// # Errors
    ///
    /// [`ClientError::Voucher`] when `leaves` are not the digests of the receipts under the voucher's root, in the order of
    /// their sequences;
    /// [`ClientError::Pending`] when the voucher is not settled after `patience`; [`ClientError::OtherNetwork`] when the
    /// node's genesis document is not the trusted one.
    pub fn fetch(
        node: &NodeClient,
        trust: GenesisHash,
        voucher: &Voucher,
        leaves: Vec<ReceiptHash>,
        checkpoint: Option<Checkpoint>,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let (genesis, domain) = fetch_genesis(node, trust)?;
        let evidence = match voucher.evidence {
            EvidenceKind::Signed => Evidence::Signed,
            EvidenceKind::Optimistic => Evidence::Optimistic,
            EvidenceKind::Zk | EvidenceKind::Tee => {
                let reason = "vouchers cover no receipts with proofs";
                return Err(ClientError::Voucher { reason });
            }
        };
        if !are_leaves(voucher, &leaves) {
            let reason = "these are not the receipts under its root";
            return Err(ClientError::Voucher { reason });
        }
        let wanted = Settleable::voucher(voucher, &domain);
        let what = format!("settlement of voucher {}", wanted.known_as());
        let settled = node.poll(patience, &what, || node.settlement_of(&wanted))?;
        let Proofs { height, receipts, .. } = fetch_proofs(node, &settled, &evidence)?;
        Ok(Self {
            genesis,
            domain,
            light_blocks: fetch_light_blocks(node, Height(height.0.saturating_add(1)), checkpoint)?,
            branch: branch(node, &settled)?,
            settled,
            receipts_proof: receipts,
            voucher: voucher.clone(),
            evidence,
            leaves,
        })
    }

    /// The settlement of the whole range.
    pub fn settled(&self) -> &SettledReceipt {
        &self.settled
    }

    /// The bundle of a receipt of the range; `None` for a receipt that is not under the voucher.
    pub fn bundle(&self, item: Item, request: Vec<u8>, response: Vec<u8>) -> Option<Bundle> {
        let receipt = item.receipt.value.hash(&self.domain);
        let index = self.leaves.iter().position(|leaf| *leaf == receipt)?;
        Some(Bundle {
            genesis: self.genesis.clone(),
            light_blocks: self.light_blocks.clone(),
            height: self.settled.height,
            settlement: self.settled.settlement.clone(),
            branch: self.branch.clone(),
            covering: Some(Covering {
                voucher: self.voucher.clone(),
                path: path_under(&self.leaves, index)?,
            }),
            receipts_proof: self.receipts_proof.clone(),
            model_proof: None,
            group: vec![receipt],
            item,
            index: 0,
            evidence: self.evidence.clone(),
            request,
            response,
        })
    }
}
