//! The network, its parameters, its clock, and where every unit of an asset is.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_list};
use crate::codec_struct;
use crate::eip712::Domain;
use crate::id::{Address, Amount, ChainId, Gas, GenesisHash, Height, Nonce, Tick};
use crate::limit;
use crate::quant::Name;

use super::ModelRecord;
use super::governance::GovernanceParams;
use super::validator::ValidatorParams;

/// Which network this is: what every signature is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRecord {
    /// Number of the network.
    pub chain_id: ChainId,
    /// Hash of the genesis document.
    pub genesis: GenesisHash,
}
codec_struct!(ChainRecord { chain_id, genesis });

impl ChainRecord {
    /// The EIP-712 domain of the network.
    pub const fn domain(&self) -> Domain {
        Domain {
            chain_id: self.chain_id,
            genesis: self.genesis,
        }
    }
}

/// What the last block left for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The last executed block; 0 after genesis.
    pub height: Height,
    /// The settlement tick that the next block runs at.
    pub tick: Tick,
    /// OPG burned per unit of gas in the next block.
    pub base_fee: Amount,
}
codec_struct!(Clock {
    height,
    tick,
    base_fee
});

/// The rules' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Verification budget of a block, in gas; a fifth of it is kept for answers to demands.
    pub block_gas: Gas,
    /// The most gas of one transaction.
    pub tx_gas: Gas,
    /// The most transaction bytes of a block.
    pub block_bytes: u64,
    /// Gas of every transaction.
    pub gas_flat: Gas,
    /// Gas of every byte of a transaction.
    pub gas_byte: Gas,
    /// Gas of every signature that is recovered.
    pub gas_signature: Gas,
    /// OPG that an inference node stakes.
    pub node_stake: Amount,
    /// Longest life of a quote, in blocks.
    pub quote_lifetime: u64,
    /// Longest life of a transaction, in blocks; its nonce is remembered as long.
    pub tx_lifetime: u64,
    /// Ticks in which receipts still settle after one side asked to close.
    pub settle_horizon: u64,
    /// Ticks between the last settlement of an order and the first claim on it.
    pub grace: u64,
    /// Ticks in which a missed settlement can be claimed.
    pub claim_window: u64,
    /// Ticks in which the payer may demand the proof of a receipt settled as `Optimistic`; its fee waits as long.
    pub demand_window: u64,
    /// Ticks in which a node with one open demand answers it.
    pub respond_window: u64,
    /// Ticks by which each further open demand on a node is due later than the one before.
    pub respond_step: u64,
    /// OPG that a payer deposits for proving a million units, besides the gas of the answer.
    pub prove_price: Amount,
    /// Ticks until unbonded amounts are paid out.
    pub unbonding: u64,
    /// Ticks in which receipts of a replaced key still settle.
    pub signer_grace: u64,
    /// The proposer of a block receives the pool divided by this number; 0 pays nothing.
    pub reward_divisor: u64,
    /// Most gas that decoding a verifying key and verifying its registration proof may take. A key whose outline says more is
    /// refused.
    pub gas_registration: Gas,
    /// The rules for validators.
    pub validators: ValidatorParams,
    /// The rules of voting.
    pub governance: GovernanceParams,
}
codec_struct!(Params {
    block_gas,
    tx_gas,
    block_bytes,
    gas_flat,
    gas_byte,
    gas_signature,
    node_stake,
    quote_lifetime,
    tx_lifetime,
    settle_horizon,
    grace,
    claim_window,
    demand_window,
    respond_window,
    respond_step,
    prove_price,
    unbonding,
    signer_grace,
    reward_divisor,
    gas_registration,
    validators,
    governance
});

/// Signatures of an answer to a demand: the node's, and that of who pays its gas.
const ANSWER_SIGNATURES: u64 = 2;

impl Params {
    /// Gas of the largest transaction that answers a demand on one receipt of `model`: of the proof, its signatures, and as
    /// many bytes as a transaction may have. `None` when the model has no price for a proof of one receipt.
    pub fn answer_gas(&self, model: &ModelRecord) -> Option<Gas> {
        Some(self.answer_gas_with(model.gas(1)?))
    }

    /// The same, for a proof of so much gas.
    pub fn answer_gas_with(&self, proof: Gas) -> Gas {
        let bytes = self.gas_byte.0.saturating_mul(limit::TX_BYTES as u64);
        let signatures = self.gas_signature.0.saturating_mul(ANSWER_SIGNATURES);
        let gas = self.gas_flat.0.saturating_add(bytes).saturating_add(signatures);
        Gas(gas.saturating_add(proof.0))
    }

    /// Whether every answer to a demand on one receipt of `model` fits into a transaction: by gas, and by bytes, since a model
    /// whose answer may have too many has no price. Else nobody could prove what was
    /// settled as `Optimistic`, and an honest node would lose what a false one does.
    pub fn is_provable(&self, model: &ModelRecord) -> bool {
        self.answer_gas(model).is_some_and(|gas| gas <= self.tx_gas)
    }

    /// What a payer deposits with a demand on one receipt of `model`: the gas of the largest answer at this base fee, and the
    /// proving by units. `None` when the model is not provable.
    pub fn demand_deposit(&self, base_fee: Amount, model: &ModelRecord) -> Option<Amount> {
        let gas = self.answer_gas(model).filter(|gas| *gas <= self.tx_gas)?;
        let burned = base_fee.0.saturating_mul(gas.0.into());
        Some(Amount(burned.saturating_add(self.proving_deposit(model).0)))
    }

    /// The part of the deposit that is for proving, whatever the base fee is.
    pub fn proving_deposit(&self, model: &ModelRecord) -> Amount {
        let proving = self.prove_price.0.saturating_mul(model.units.into());
        Amount(proving.div_ceil(1_000_000))
    }
}

/// An asset, fixed at genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRecord {
    /// Its ticker.
    pub symbol: Name,
    /// Digits behind the decimal point when amounts are shown.
    pub decimals: u8,
}
codec_struct!(AssetRecord { symbol, decimals });

/// Where every unit of an asset is. The parts add up to `issued` after every block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Supply {
    /// Issued at genesis; never changes.
    pub issued: Amount,
    /// In accounts.
    pub balances: Amount,
    /// In channel deposits.
    pub escrow: Amount,
    /// Fees and deposits that wait for the end of a demand window or of a demand.
    pub held: Amount,
    /// In bonds, reserved or not.
    pub bonds: Amount,
    /// In stakes of inference nodes and of validators.
    pub stakes: Amount,
    /// On the way from bond or stake to account.
    pub unbonding: Amount,
    /// In the validators' pool.
    pub pool: Amount,
    /// Gone.
    pub burned: Amount,
}
codec_struct!(Supply {
    issued,
    balances,
    escrow,
    held,
    bonds,
    stakes,
    unbonding,
    pool,
    burned
});

impl Supply {
    /// The places that units can be in, by name.
    pub const fn parts(&self) -> [(&'static str, Amount); 8] {
        [
            ("balances", self.balances),
            ("escrow", self.escrow),
            ("held", self.held),
            ("bonds", self.bonds),
            ("stakes", self.stakes),
            ("unbonding", self.unbonding),
            ("pool", self.pool),
            ("burned", self.burned),
        ]
    }

    /// The sum of the parts, or `None` on overflow.
    pub fn total(&self) -> Option<Amount> {
        self.parts()
            .into_iter()
            .try_fold(Amount(0), |sum, (_, part)| sum.checked_add(part))
    }

    /// What exists: issued less burned.
    pub fn existing(&self) -> Amount {
        Amount(self.issued.0.saturating_sub(self.burned.0))
    }
}

/// A first-in, first-out queue: positions `head..tail` are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Queue {
    /// The oldest position.
    pub head: u64,
    /// The next free position.
    pub tail: u64,
}
codec_struct!(Queue { head, tail });

/// A nonce that a sender has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The sender.
    pub sender: Address,
    /// The nonce.
    pub nonce: Nonce,
}
codec_struct!(Spent { sender, nonce });

/// The nonces used in one block, kept until none of its transactions could be valid again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SpentNonces(pub Vec<Spent>);

/// Bytes of one [`Spent`].
const SPENT_BYTES: usize = 52;

impl Encode for SpentNonces {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.0);
    }
}

impl Decode for SpentNonces {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // The ledger writes at most one entry per transaction of a block; the bytes left bound the list.
        let limit = reader.remaining().checked_div(SPENT_BYTES).unwrap_or_default();
        reader.list("spent nonces", limit).map(Self)
    }
}
