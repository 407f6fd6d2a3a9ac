//! What a settlement transaction costs in gas and bytes, before it is made.

use std::collections::BTreeMap;

use haca_wire::state::Params;
use haca_wire::{Coverage, EvidenceKind, Gas, Message, TensorSpec, limit};

use super::{Kind, ProveTimes, UNKNOWN_PROVE_MS};

/// Bytes of an order with its receipt, with room to spare.
const ITEM_BYTES: usize = 1024;
/// Bytes of a transaction beside its items and evidence, with room to spare.
pub(super) const FRAME_BYTES: usize = 1024;

/// The chain's prices of a transaction's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasPrices {
    /// Gas of every transaction.
    pub flat: u64,
    /// Gas of a byte.
    pub byte: u64,
    /// Gas of a signature.
    pub signature: u64,
    /// The most gas of one transaction.
    pub tx_gas: u64,
    /// Signatures of the transaction itself: 1, or 2 with a sponsor.
    pub own_signatures: u64,
}

impl GasPrices {
    /// The prices in the parameters of a chain; `is_sponsored` counts a sponsor's signature.
    pub fn new(params: &Params, is_sponsored: bool) -> Self {
        Self {
            flat: params.gas_flat.0,
            byte: params.gas_byte.0,
            signature: params.gas_signature.0,
            tx_gas: params.tx_gas.0,
            own_signatures: 1 + u64::from(is_sponsored),
        }
    }

    /// The most gas of a transaction that settles ranges which are charged for so many signatures and whose vouchers and
    /// roots have so many bytes.
    pub fn vouchers(&self, signatures: u64, bytes: usize) -> u64 {
        let signatures = self.signature.saturating_mul(signatures);
        let bytes = self.byte.saturating_mul(bytes as u64);
        self.frame().saturating_add(signatures).saturating_add(bytes)
    }

    /// The gas of a settlement of so many bytes: 0 for any other message.
    pub fn settlement(&self, message: &Message, bytes: usize, rates: &BTreeMap<Kind, Rates>) -> u64 {
        let (groups, signatures) = match message {
            Message::SettleBatch { groups } => (groups.as_slice(), 0),
            Message::SettleVouchers { coverages } => (&[][..], coverage_signatures(coverages)),
            _ => return 0,
        };
        let fixed = self
            .flat
            .saturating_add(self.byte.saturating_mul(bytes as u64))
            .saturating_add(self.signature.saturating_mul(self.own_signatures))
            .saturating_add(self.signature.saturating_mul(signatures));
        groups.iter().fold(fixed, |sum, group| {
            let kind = group.items.first().map(|item| Kind {
                model: item.order.value.model,
                evidence: item.order.value.evidence,
            });
            let proof = kind
                .and_then(|kind| rates.get(&kind))
                .map_or(0, |rates| rates.proof(group.items.len()).0.0);
            let each = kind.map_or(2, |kind| item_signatures(kind.evidence));
            let signatures = self
                .signature
                .saturating_mul(each)
                .saturating_mul(group.items.len() as u64);
            sum.saturating_add(signatures).saturating_add(proof)
        })
    }

    /// Gas of a transaction without groups.
    pub(super) fn frame(&self) -> u64 {
        self.flat
            .saturating_add(self.byte.saturating_mul(FRAME_BYTES as u64))
            .saturating_add(self.signature.saturating_mul(self.own_signatures))
    }
}

/// Signatures that one receipt, or one voucher, is charged for: the payer's and the node's, and a third where the fee waits.
pub const fn item_signatures(evidence: EvidenceKind) -> u64 {
    match evidence {
        EvidenceKind::Optimistic => 3,
        _ => 2,
    }
}

/// Signatures that vouchers with their roots are charged for.
pub fn coverage_signatures(coverages: &[Coverage]) -> u64 {
    let each = coverages
        .iter()
        .map(|one| item_signatures(one.voucher.value.evidence));
    each.sum()
}

/// Bytes of one receipt in a group: order, receipt, and the public tensors where evidence carries them.
pub fn item_bytes(tensors: &[&[TensorSpec]]) -> usize {
    tensors.iter().fold(ITEM_BYTES, |sum, specs| {
        sum.saturating_add(specs.iter().fold(8, |sum, spec| {
            let values = spec.shape.elements().saturating_mul(spec.dtype.width());
            sum.saturating_add(values).saturating_add(64)
        }))
    })
}

/// What batches of one kind take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The most receipts of one group.
    pub max_batch: usize,
    /// Bytes of one receipt with its public tensors.
    pub item_bytes: usize,
    /// Gas and most bytes of a proof, by its inferences from 1; empty without proofs.
    pub proofs: Vec<(Gas, usize)>,
    /// Measured times.
    pub prove_times: ProveTimes,
    /// Signatures that one receipt is charged for.
    pub item_signatures: u64,
}

impl Rates {
    /// Receipts with signatures only.
    pub fn signed(prices: &GasPrices, wanted: usize) -> Self {
        Self::unproven(prices, wanted, EvidenceKind::Signed)
    }

    /// Receipts that settle without a proof: with signatures only, or as `Optimistic`.
    pub fn unproven(prices: &GasPrices, wanted: usize, evidence: EvidenceKind) -> Self {
        let rates = Self {
            max_batch: 0,
            item_bytes: ITEM_BYTES,
            proofs: Vec::new(),
            prove_times: ProveTimes::default(),
            item_signatures: item_signatures(evidence),
        };
        rates.within(prices, wanted)
    }

    /// Receipts with a proof.
    pub fn new(
        prices: &GasPrices,
        wanted: usize,
        item_bytes: usize,
        proofs: Vec<(Gas, usize)>,
        prove_times: ProveTimes,
    ) -> Self {
        let rates = Self {
            max_batch: 0,
            item_bytes,
            proofs,
            prove_times,
            item_signatures: item_signatures(EvidenceKind::Zk),
        };
        rates.within(prices, wanted)
    }

    /// With the largest batch up to `wanted` that one transaction settles: its bytes, its gas, and what one proof covers.
    /// 0 when not even one receipt fits, so that none must be signed.
    fn within(mut self, prices: &GasPrices, wanted: usize) -> Self {
        let provable = if self.proofs.is_empty() {
            limit::ITEMS
        } else {
            self.proofs.len()
        };
        let mut count = wanted.min(limit::ITEMS).min(provable);
        while count > 0 && !self.fits(prices, count) {
            count -= 1;
        }
        self.max_batch = count;
        self
    }

    fn fits(&self, prices: &GasPrices, count: usize) -> bool {
        let bytes = self.group_bytes(count).saturating_add(FRAME_BYTES);
        bytes <= limit::TX_BYTES && self.transaction_gas(prices, count) <= prices.tx_gas
    }

    fn proof(&self, count: usize) -> (Gas, usize) {
        // A larger batch than any proof covers is never made; the largest stands for it.
        let known = self.proofs.get(count.saturating_sub(1)).or(self.proofs.last());
        known.copied().unwrap_or_default()
    }

    /// Bytes of a group of `count` receipts.
    pub(super) fn group_bytes(&self, count: usize) -> usize {
        count
            .saturating_mul(self.item_bytes)
            .saturating_add(self.proof(count).1)
    }

    /// Gas that a group of `count` receipts adds to a transaction.
    pub fn group_gas(&self, prices: &GasPrices, count: usize) -> u64 {
        let signatures = prices
            .signature
            .saturating_mul(self.item_signatures)
            .saturating_mul(count as u64);
        let bytes = prices.byte.saturating_mul(self.group_bytes(count) as u64);
        signatures
            .saturating_add(bytes)
            .saturating_add(self.proof(count).0.0)
    }

    /// The most gas of a transaction with one group of `count` receipts.
    pub fn transaction_gas(&self, prices: &GasPrices, count: usize) -> u64 {
        prices.frame().saturating_add(self.group_gas(prices, count))
    }

    /// The least gas that one receipt more adds to a group.
    pub(super) fn item_gas(&self, prices: &GasPrices) -> u64 {
        let bytes = prices.byte.saturating_mul(self.item_bytes as u64);
        bytes.saturating_add(prices.signature.saturating_mul(self.item_signatures))
    }

    /// The most gas of a transaction that answers demands of `count` receipts with one proof.
    pub fn answer_gas(&self, prices: &GasPrices, count: usize) -> u64 {
        let bytes = prices.byte.saturating_mul(self.group_bytes(count) as u64);
        prices
            .frame()
            .saturating_add(bytes)
            .saturating_add(self.proof(count).0.0)
    }

    /// Time to prove `count` inferences.
    pub fn prove_ms(&self, kind: Kind, count: usize) -> u64 {
        if kind.evidence != EvidenceKind::Zk {
            return 0;
        }
        self.prove_times.estimate_ms(count).unwrap_or(UNKNOWN_PROVE_MS)
    }

    /// The largest batch whose proof takes no longer than this, at least 1.
    pub fn batch_within(&self, kind: Kind, most_ms: u64) -> usize {
        let sizes = (1..=self.max_batch).rev();
        let mut fitting = sizes.filter(|size| self.prove_ms(kind, *size) <= most_ms);
        fitting.next().unwrap_or(1)
    }

    /// What each inference of a proof takes at most, whatever shares the proof with it.
    pub fn prove_each_ms(&self, kind: Kind) -> u64 {
        let sizes = 1..=self.max_batch.max(1);
        let each = sizes.map(|size| self.prove_ms(kind, size).div_ceil(size as u64));
        each.max().unwrap_or(0)
    }

    /// Whether nobody knows how long a proof takes.
    pub(super) fn is_unmeasured(&self, kind: Kind) -> bool {
        kind.evidence == EvidenceKind::Zk && self.prove_times.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(tx_gas: u64) -> GasPrices {
        GasPrices {
            flat: 50_000,
            byte: 10,
            signature: 300_000,
            tx_gas,
            own_signatures: 1,
        }
    }

    #[test]
    fn a_batch_never_needs_more_gas_than_a_transaction_may() {
        let most = Rates::signed(&prices(400_000_000), limit::ITEMS).max_batch;
        let signatures = (2 * most as u64 + 1) * 300_000;
        assert!((500..limit::ITEMS).contains(&most), "{most}");
        assert!(signatures + 50_000 <= 400_000_000);
    }

    #[test]
    fn what_was_asked_for_is_not_exceeded() {
        assert_eq!(Rates::signed(&prices(400_000_000), 32).max_batch, 32);
    }

    #[test]
    fn receipts_that_no_transaction_settles_are_seen_beforehand() {
        assert_eq!(Rates::signed(&prices(900_000), 32).max_batch, 0);
    }

    #[test]
    fn a_sponsor_costs_a_signature() {
        let sponsored = GasPrices {
            own_signatures: 2,
            ..prices(400_000_000)
        };
        let rates = Rates::signed(&sponsored, 4);
        let difference =
            rates.transaction_gas(&sponsored, 4) - rates.transaction_gas(&prices(400_000_000), 4);
        assert_eq!(difference, 300_000);
    }
}
