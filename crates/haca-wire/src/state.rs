//! The ledger's state as a light client sees it: the key of every entry and the record stored under it.
//!
//! A full node proves entries one by one against the application hash, so keys and records are part of the
//! contract. The written form is the key table of `spec/ledger.md`.
//!
//! Fixed-width numbers inside keys are big-endian, so that keys sort as the numbers do; records use the codec.

mod channel;
mod entry;
mod governance;
mod held;
mod node;
mod sequence_bits;
mod supply;
mod validator;
mod window;

pub mod key;

pub use channel::{ChannelRecord, ChannelState, ClaimKind, ClaimRecord};
pub use entry::{Entry, EntryError};
pub use governance::{GovernanceParams, GovernanceRecord, ProposalRecord};
pub use held::{Calendar, DemandRecord, DocketRecord, HeldKey, HeldRecord, RangesRecord};
pub use node::{BondRecord, NodeRecord, SignerEnd, SignerTerm, UnbondingRecord};
pub use sequence_bits::SequenceBits;
pub use supply::{AssetRecord, ChainRecord, Clock, Params, Queue, Spent, SpentNonces, Supply};
pub use validator::{
    ActiveValidator, Jail, UnstakingRecord, ValidatorParams, ValidatorRecord, ValidatorSetRecord,
};
pub use window::{SEQUENCE_WINDOW, SequenceState, SequenceWindow};

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};
use crate::id::{Address, Gas, Height};
use crate::limit;
use crate::quant::TensorSpec;

/// A registered model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// The account that registered the model.
    pub owner: Address,
    /// Units of work of one inference: the graph's multiply-accumulates.
    pub units: u64,
    /// The most inferences that one proof covers. 0 when no transaction may have room for the proof of one.
    pub max_batch: u32,
    /// The block that registered the model. Receipts settle from the next block on.
    pub registered: Height,
    /// Gas of a proof of at most `2^i` inferences, at index `i`. Empty when `max_batch` is 0.
    pub batch_gas: Vec<Gas>,
    /// The model's outputs: with them a response follows from its tensors.
    pub outputs: Vec<TensorSpec>,
    /// The encoded verifying key.
    pub verifying_key: Vec<u8>,
}

impl ModelRecord {
    /// The record without its verifying key, as it stands under [`key::terms`].
    pub fn terms(&self) -> Self {
        Self {
            owner: self.owner,
            units: self.units,
            max_batch: self.max_batch,
            registered: self.registered,
            batch_gas: self.batch_gas.clone(),
            outputs: self.outputs.clone(),
            verifying_key: Vec::new(),
        }
    }

    /// Gas of a proof of `batch` inferences; `None` when one proof does not cover so many.
    pub fn gas(&self, batch: usize) -> Option<Gas> {
        let covered = (1..=self.max_batch as usize).contains(&batch);
        let class = batch.checked_next_power_of_two()?.trailing_zeros();
        self.batch_gas.get(class as usize).copied().filter(|_| covered)
    }
}

impl Encode for ModelRecord {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.owner.encode_into(out);
        self.units.encode_into(out);
        self.max_batch.encode_into(out);
        self.registered.encode_into(out);
        put_list(out, &self.batch_gas);
        put_list(out, &self.outputs);
        put_bytes(out, &self.verifying_key);
    }
}

impl Decode for ModelRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            owner: Decode::decode(reader)?,
            units: Decode::decode(reader)?,
            max_batch: Decode::decode(reader)?,
            registered: Decode::decode(reader)?,
            batch_gas: reader.list("batch gas", limit::BATCH_CLASSES)?,
            outputs: reader.list("outputs", limit::TENSORS)?,
            verifying_key: reader.bytes("verifying key", limit::VERIFYING_KEY_BYTES)?,
        })
    }
}
