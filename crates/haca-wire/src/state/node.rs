//! Inference nodes, their bonds, and bond on its way out.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};
use crate::codec_struct;
use crate::id::{Address, Amount, AssetId, Height, Tick};
use crate::limit;
use crate::tx::Offer;

/// When a receipt key was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerEnd {
    /// First height at which the key is not active.
    pub height: Height,
    /// The settlement tick of that block.
    pub tick: Tick,
}
codec_struct!(SignerEnd { height, tick });

/// A receipt key and the heights at which it is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerTerm {
    /// The account of the key.
    pub signer: Address,
    /// First height at which it is active.
    pub from: Height,
    /// Its end, once replaced.
    pub end: Option<SignerEnd>,
}
codec_struct!(SignerTerm { signer, from, end });

/// A registered inference node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Base URL of its HTTP API.
    pub endpoint: String,
    /// Receives the fees.
    pub payout: Address,
    /// Grows by one with every change of terms; 1 at registration.
    pub offer_version: u32,
    /// What the node offers.
    pub offers: Vec<Offer>,
    /// Receipt keys, oldest first: the last is the current one, earlier ones are kept while their receipts can
    /// still matter.
    pub signers: Vec<SignerTerm>,
    /// OPG staked at registration; zero once burned.
    pub stake: Amount,
    /// Whether the node equivocated. It opens no channel again.
    pub jailed: bool,
    /// The block that registered the node.
    pub registered: Height,
}

impl NodeRecord {
    /// The receipt key that is active now.
    pub fn signer(&self) -> Option<Address> {
        self.signers.last().map(|term| term.signer)
    }

    /// The term in which `signer` was active at `height`.
    pub fn term(&self, signer: Address, height: Height) -> Option<&SignerTerm> {
        self.signers.iter().find(|term| {
            term.signer == signer && term.from <= height && term.end.is_none_or(|end| height < end.height)
        })
    }

    /// The last term of `signer`, whether it has ended or not.
    pub fn last_term(&self, signer: Address) -> Option<&SignerTerm> {
        self.signers.iter().rev().find(|term| term.signer == signer)
    }
}

impl Encode for NodeRecord {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.endpoint.as_bytes());
        self.payout.encode_into(out);
        self.offer_version.encode_into(out);
        put_list(out, &self.offers);
        put_list(out, &self.signers);
        self.stake.encode_into(out);
        self.jailed.encode_into(out);
        self.registered.encode_into(out);
    }
}

impl Decode for NodeRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            endpoint: reader.string("endpoint", limit::ENDPOINT_BYTES)?,
            payout: Decode::decode(reader)?,
            offer_version: Decode::decode(reader)?,
            offers: reader.list("offers", limit::OFFERS)?,
            signers: reader.list("signers", SIGNERS)?,
            stake: Decode::decode(reader)?,
            jailed: Decode::decode(reader)?,
            registered: Decode::decode(reader)?,
        })
    }
}

/// Receipt keys of one node that can matter at the same time.
pub(super) const SIGNERS: usize = 16;

impl NodeRecord {
    /// The most receipt keys, past ones included, that the record holds.
    pub const MAX_SIGNERS: usize = SIGNERS;
}

/// What a node has posted in one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BondRecord {
    /// The whole bond.
    pub total: Amount,
    /// The part that open and closing channels have reserved; never more than `total`.
    pub reserved: Amount,
}
codec_struct!(BondRecord { total, reserved });

impl BondRecord {
    /// What can be unbonded or reserved for another channel.
    pub fn free(&self) -> Amount {
        Amount(self.total.0.saturating_sub(self.reserved.0))
    }
}

/// Bond on its way back to the node's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbondingRecord {
    /// Who is paid.
    pub node: Address,
    /// The asset.
    pub asset: AssetId,
    /// The amount.
    pub amount: Amount,
    /// Paid in the first block whose tick is above this one.
    pub matures: Tick,
}
codec_struct!(UnbondingRecord {
    node,
    asset,
    amount,
    matures
});
