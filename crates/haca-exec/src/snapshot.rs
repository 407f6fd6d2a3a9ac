//! What a node knows of its business: for reports, from a running node or from its journal.

use haca_wire::codec::put_list;
use haca_wire::{
    Amount, AssetId, Decode, DecodeError, Encode, EvidenceKind, Gas, ModelId, Name, Offer, Reader,
    codec_struct, limit,
};

use crate::entry::{HeldFee, Missed, Pending};
use crate::planner::{Price, ProveTimes, Rates, item_signatures};
use crate::totals::{Totals, TotalsKey};

/// Rows of each list that are read.
const ROWS: usize = 1 << 20;

/// Gas and most bytes of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofSize {
    /// Gas of verifying it.
    pub gas: Gas,
    /// The most bytes of it.
    pub bytes: u64,
}
codec_struct!(ProofSize { gas, bytes });

/// What is known of a model without its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// The model.
    pub model: ModelId,
    /// Its name.
    pub name: Name,
    /// Bytes of one inference in a settlement with a proof.
    pub item_bytes: u64,
    /// Proofs by their inferences, from 1.
    pub proofs: Vec<ProofSize>,
    /// The most inferences of one proof in one transaction.
    pub max_batch: u64,
    /// Measured times.
    pub prove_times: ProveTimes,
}

impl Encode for ModelFacts {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.model.encode_into(out);
        self.name.encode_into(out);
        self.item_bytes.encode_into(out);
        put_list(out, &self.proofs);
        self.max_batch.encode_into(out);
        self.prove_times.encode_into(out);
    }
}

impl Decode for ModelFacts {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            model: Decode::decode(reader)?,
            name: Decode::decode(reader)?,
            item_bytes: Decode::decode(reader)?,
            proofs: reader.list("proofs", limit::ITEMS)?,
            max_batch: Decode::decode(reader)?,
            prove_times: Decode::decode(reader)?,
        })
    }
}

impl ModelFacts {
    /// What batches with proofs take.
    pub fn rates(&self) -> Rates {
        let size = |proof: &ProofSize| (proof.gas, usize::try_from(proof.bytes).unwrap_or(usize::MAX));
        Rates {
            max_batch: usize::try_from(self.max_batch).unwrap_or(usize::MAX),
            item_bytes: usize::try_from(self.item_bytes).unwrap_or(usize::MAX),
            proofs: self.proofs.iter().map(size).collect(),
            prove_times: self.prove_times.clone(),
            item_signatures: item_signatures(EvidenceKind::Zk),
        }
    }
}

/// The operator's price of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetPrice {
    /// The asset.
    pub asset: AssetId,
    /// OPG units.
    pub opg: Amount,
    /// Units of the asset.
    pub units: Amount,
}
codec_struct!(AssetPrice { asset, opg, units });

impl AssetPrice {
    /// As the planner takes it.
    pub const fn price(&self) -> Price {
        Price {
            opg: self.opg.0,
            units: self.units.0,
        }
    }
}

/// On which terms a node serves and settles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What it offers.
    pub offers: Vec<Offer>,
    /// What assets are worth to it.
    pub prices: Vec<AssetPrice>,
    /// Most receipts of one group.
    pub max_batch: u64,
    /// Whether a sponsor pays its gas.
    pub is_sponsored: bool,
}

impl Encode for Terms {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.offers);
        put_list(out, &self.prices);
        self.max_batch.encode_into(out);
        self.is_sponsored.encode_into(out);
    }
}

impl Decode for Terms {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            offers: reader.list("offers", limit::OFFERS)?,
            prices: reader.list("prices", limit::OFFERS)?,
            max_batch: Decode::decode(reader)?,
            is_sponsored: Decode::decode(reader)?,
        })
    }
}

/// One row of totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalsRow {
    /// What it is about.
    pub key: TotalsKey,
    /// The sums.
    pub totals: Totals,
}
codec_struct!(TotalsRow { key, totals });

/// A receipt that was given up and can still be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedReceipt {
    /// Place, warranty, end of the window.
    pub missed: Missed,
    /// The model.
    pub model: ModelId,
    /// The evidence.
    pub evidence: EvidenceKind,
    /// The asset of the warranty.
    pub asset: AssetId,
}
codec_struct!(MissedReceipt {
    missed,
    model,
    evidence,
    asset
});

/// Everything that a report is made of, apart from the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// On which terms the node serves.
    pub terms: Terms,
    /// The models it has served.
    pub models: Vec<ModelFacts>,
    /// Sums of receipts.
    pub totals: Vec<TotalsRow>,
    /// Receipts that wait for their settlement.
    pub open: Vec<Pending>,
    /// Fees that wait while a proof can be demanded.
    pub held: Vec<HeldFee>,
    /// Receipts given up that can still be claimed.
    pub missed: Vec<MissedReceipt>,
}

impl Encode for Snapshot {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.terms.encode_into(out);
        put_list(out, &self.models);
        put_list(out, &self.totals);
        put_list(out, &self.open);
        put_list(out, &self.held);
        put_list(out, &self.missed);
    }
}

impl Decode for Snapshot {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            terms: Decode::decode(reader)?,
            models: reader.list("models", ROWS)?,
            totals: reader.list("totals", ROWS)?,
            open: reader.list("open receipts", ROWS)?,
            held: reader.list("held fees", ROWS)?,
            missed: reader.list("missed receipts", ROWS)?,
        })
    }
}
