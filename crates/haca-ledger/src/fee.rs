//! What verification costs: gas of a transaction, budget of a block, and the moving base fee.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use haca_wire::state::{HeldKey, HeldRecord, ModelRecord, Params, key};
use haca_wire::{Amount, Answer, Evidence, EvidenceKind, Gas, Message, ModelId, SignedTransaction};

use crate::error::LedgerError;
use crate::overlay::read;
use crate::state_reader::StateReader;

/// The base fee never falls below this, in OPG units per gas.
pub const BASE_FEE_FLOOR: Amount = Amount(1);

/// One part in this many of a block's gas and bytes is kept for answers to demands (`Respond`).
pub const RESPOND_SHARE: u64 = 5;

/// A byte of a verifying key stays in the state for ever, on every full node and in every snapshot: it costs as much as
/// this many bytes of transactions, which nodes keep as long as blocks.
const STORED_BYTE: u64 = 100;

/// The base fee moves by at most one part in this many per block. Source: EIP-1559.
const BASE_FEE_DENOMINATOR: u128 = 8;

/// The part of a block's budget that transactions other than answers to demands can use.
pub fn usable_gas(params: &Params) -> Gas {
    let reserved = params.block_gas.0.checked_div(RESPOND_SHARE).unwrap_or_default();
    Gas(params.block_gas.0.saturating_sub(reserved))
}

/// The part of a block's bytes that transactions other than answers to demands can use.
pub(crate) const fn usable_bytes(params: &Params) -> u64 {
    let reserved = params.block_bytes / RESPOND_SHARE;
    params.block_bytes.saturating_sub(reserved)
}

/// Which part of the budget a transaction draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Four fifths, together with all others.
    Usable,
    /// The whole: a `Respond` that answers open demands. Nothing else can fill the last fifth, so whatever floods the
    /// chain leaves room for answers.
    Whole,
}

impl Share {
    pub(crate) const fn of(message: &Message) -> Self {
        match message {
            Message::Respond { .. } => Self::Whole,
            _ => Self::Usable,
        }
    }
}

/// What a block has used of its budget.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) gas: Gas,
    pub(crate) bytes: u64,
    /// Of `gas`, what answers did not use.
    usable_gas: Gas,
    /// Of `bytes`, what answers did not use.
    usable_bytes: u64,
}

impl Usage {
    pub(crate) fn add(&mut self, share: Share, gas: Gas, bytes: u64) {
        self.gas = Gas(self.gas.0.saturating_add(gas.0));
        self.bytes = self.bytes.saturating_add(bytes);
        if share == Share::Usable {
            self.usable_gas = Gas(self.usable_gas.0.saturating_add(gas.0));
            self.usable_bytes = self.usable_bytes.saturating_add(bytes);
        }
    }

    /// Gas that a transaction may still use.
    pub(crate) fn gas_left(&self, params: &Params, share: Share) -> Gas {
        let whole = params.block_gas.0.saturating_sub(self.gas.0);
        Gas(match share {
            Share::Whole => whole,
            Share::Usable => whole.min(usable_gas(params).0.saturating_sub(self.usable_gas.0)),
        })
    }

    /// Bytes that a transaction may still use.
    pub(crate) fn bytes_left(&self, params: &Params, share: Share) -> u64 {
        let whole = params.block_bytes.saturating_sub(self.bytes);
        match share {
            Share::Whole => whole,
            Share::Usable => whole.min(usable_bytes(params).saturating_sub(self.usable_bytes)),
        }
    }

    /// Whether the block left too little room for a transaction of the largest allowed size, answer or not. Such a
    /// block does not advance the settlement clock: whatever was not included may have been kept out by it.
    pub(crate) fn is_exhausted(&self, params: &Params) -> bool {
        // An answer has at least as much room as any other transaction.
        self.gas_left(params, Share::Usable) < params.tx_gas
            || self.bytes_left(params, Share::Usable) < haca_wire::limit::TX_BYTES as u64
    }
}

/// What a block used of its budget, in gas: of gas and bytes the one that is scarcer. Bytes alone can exhaust a block,
/// so they alone must be able to make the next one dearer.
pub(crate) fn used_budget(params: &Params, gas: Gas, bytes: u64) -> Gas {
    let whole = u128::from(params.block_bytes).max(1);
    let by_bytes = u128::from(bytes)
        .saturating_mul(u128::from(params.block_gas.0))
        .checked_div(whole);
    let by_bytes = by_bytes.and_then(|gas| u64::try_from(gas).ok());
    gas.max(Gas(by_bytes.unwrap_or(u64::MAX)))
}

/// The base fee after a block that used `used` of its budget: EIP-1559 around half of it, in steps of at least 1,
/// with [`BASE_FEE_FLOOR`].
pub fn next_base_fee(params: &Params, base_fee: Amount, used: Gas) -> Amount {
    let target = u128::from(params.block_gas.0 / 2).max(1);
    let used = u128::from(used.0);
    let distance = used.abs_diff(target);
    if distance == 0 {
        return base_fee.max(BASE_FEE_FLOOR);
    }
    // base_fee x distance / (target x 8), the quotient first so that no base fee overflows.
    let divisor = target.saturating_mul(BASE_FEE_DENOMINATOR);
    let whole = base_fee.0.checked_div(divisor).unwrap_or_default();
    let rest = base_fee.0.checked_rem(divisor).unwrap_or_default();
    let part = rest.saturating_mul(distance).checked_div(divisor);
    let step = whole
        .saturating_mul(distance)
        .saturating_add(part.unwrap_or_default())
        .max(1);
    let moved = if used > target {
        base_fee.0.saturating_add(step)
    } else {
        base_fee.0.saturating_sub(step)
    };
    Amount(moved).max(BASE_FEE_FLOOR)
}

/// The least gas of a transaction of `bytes` bytes: a flat part, a part per byte, a part per signature, and the bytes that
/// a registration leaves in the state. All that is known without a look at the state or into a key.
pub(crate) fn least_gas(params: &Params, tx: &SignedTransaction, bytes: usize) -> Gas {
    let message = &tx.transaction.message;
    let own = if tx.sponsor_signature.is_some() {
        OWN_SIGNATURES
    } else {
        1
    };
    let signatures = signatures_of(message)
        .saturating_add(lists_of(message))
        .saturating_add(sweeps_of(message))
        .saturating_add(own);
    let per_byte = params.gas_byte.0.saturating_mul(bytes as u64);
    let per_signature = params.gas_signature.0.saturating_mul(signatures);
    let stored = match message {
        Message::RegisterModel { verifying_key, .. } => verifying_key.len() as u64,
        _ => 0,
    };
    let per_stored = params.gas_byte.0.saturating_mul(STORED_BYTE);
    Gas(params
        .gas_flat
        .0
        .saturating_add(per_byte)
        .saturating_add(per_signature)
        .saturating_add(per_stored.saturating_mul(stored)))
}

/// Signatures of a transaction itself, at most: the sender's and the sponsor's.
const OWN_SIGNATURES: u64 = 2;

/// What a proposal reads, in signatures.
const PROPOSAL_LISTS: u64 = 8;

/// The most signatures, by weight, of a message that can't be split and that a network can't do without: of a proposal with
/// a sponsor. The smallest settlement, answer or claim weighs at most 5, a stake 7.
pub(crate) const NEEDED_SIGNATURES: u64 = OWN_SIGNATURES + PROPOSAL_LISTS;

/// Bytes that hold any such message without a proof: a proposal of all the changes that one may have, all offers of a node,
/// the settlement of a receipt, a claim with two paths. None takes a half of it.
const NEEDED_BYTES: u64 = 16 << 10;

/// Gas that every such message keeps within.
pub(crate) fn needed_gas(params: &Params) -> Gas {
    let bytes = params.gas_byte.0.saturating_mul(NEEDED_BYTES);
    let signatures = params.gas_signature.0.saturating_mul(NEEDED_SIGNATURES);
    Gas(params.gas_flat.0.saturating_add(bytes).saturating_add(signatures))
}

/// What a message of validators reads besides what every message does, in signatures, which take as long: a proposal all
/// open ones with their approvals; a stake the whole list, to find the smallest; a stake that leaves, to find another
/// candidate; a vote the approvals; and whatever changes a validator, its share of the election. `haca bench ledger` times
/// each against a full list in memory; a store takes up to twice as long.
const fn lists_of(message: &Message) -> u64 {
    match message {
        Message::Propose { .. } => PROPOSAL_LISTS,
        Message::Stake { .. } => 4,
        Message::Unstake { .. } => 2,
        Message::Vote { .. } | Message::Unjail { .. } => 1,
        _ => 0,
    }
}

/// What a message leaves for the sweep of a later block to do, in signatures, which take longer: an amount to pay, a channel to
/// close, a demand to look at. What is held counts with the signatures of its settlement.
const fn sweeps_of(message: &Message) -> u64 {
    match message {
        Message::Unbond { .. }
        | Message::Unstake { .. }
        | Message::Demand { .. }
        | Message::CloseChannel { consent: None, .. } => 1,
        _ => 0,
    }
}

/// Signatures that the message carries.
fn signatures_of(message: &Message) -> u64 {
    match message {
        Message::Transfer { .. }
        | Message::RegisterModel { .. }
        | Message::RegisterNode { .. }
        | Message::Bond { .. }
        | Message::Unbond { .. }
        | Message::Demand { .. }
        | Message::Respond { .. }
        | Message::TopUp { .. }
        | Message::Unstake { .. }
        | Message::Propose { .. }
        | Message::Vote { .. }
        | Message::Unjail { .. } => 0,
        Message::OpenChannel { .. } | Message::Stake { .. } => 1,
        Message::CloseChannel { consent, .. } => u64::from(consent.is_some()),
        Message::SettleBatch { groups } => groups.iter().fold(0u64, |sum, group| {
            let each = signatures_per_settlement(group.evidence.kind());
            sum.saturating_add((group.items.len() as u64).saturating_mul(each))
        }),
        Message::SettleVouchers { coverages } => coverages.iter().fold(0, |sum, coverage| {
            sum.saturating_add(signatures_per_settlement(coverage.voucher.value.evidence))
        }),
        Message::ClaimMissed { .. } => 2,
        Message::ClaimEquivocation { .. } | Message::ClaimFalseLeaf { .. } => 3,
    }
}

/// The payer's and the node's. What is held costs as much as a third one: the block that pays it does so unasked.
const fn signatures_per_settlement(evidence: EvidenceKind) -> u64 {
    match evidence {
        EvidenceKind::Optimistic => 3,
        _ => 2,
    }
}

/// Gas of the proofs of a settlement or an answer, which is added to [`least_gas`]: what the models' records in the committed
/// `state` say. Known before anything is verified, and the same for everybody. A proof that can't be priced (unknown
/// model, batch out of range) costs nothing here and is refused before it is looked at.
pub(crate) fn evidence_gas(state: &dyn StateReader, message: &Message) -> Result<Gas, LedgerError> {
    let groups = match message {
        Message::SettleBatch { groups } => groups,
        Message::Respond { answers, .. } => {
            let model = demanded_model(state, answers)?;
            let gas = model.and_then(|(_, model)| model.gas(answers.len()));
            return Ok(gas.unwrap_or_default());
        }
        _ => return Ok(Gas(0)),
    };
    let mut sum = 0u64;
    let mut models: BTreeMap<ModelId, Option<ModelRecord>> = BTreeMap::new();
    for group in groups {
        let (Evidence::Zk { .. }, Some(first)) = (&group.evidence, group.items.first()) else {
            continue;
        };
        let id = first.order.value.model;
        let model = match models.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(read(state, &key::terms(id))?),
        };
        let gas = model.as_ref().and_then(|model| model.gas(group.items.len()));
        sum = sum.saturating_add(gas.unwrap_or_default().0);
    }
    Ok(Gas(sum))
}

/// What a proposer earns by including a transaction, per million gas: who pays more of it goes first.
pub fn tip_density(tip: Amount, gas: Gas) -> u128 {
    let scaled = tip.0.saturating_mul(1_000_000);
    scaled.checked_div(u128::from(gas.0)).unwrap_or(scaled)
}

/// The model of what the first answer is held for, without its verifying key.
pub(crate) fn demanded_model(
    state: &dyn StateReader,
    answers: &[Answer],
) -> Result<Option<(ModelId, ModelRecord)>, LedgerError> {
    let Some(answer) = answers.first() else {
        return Ok(None);
    };
    let held_key = HeldKey {
        channel: answer.receipt.channel,
        first: answer.first,
    };
    let Some(held) = read::<HeldRecord>(state, &key::held(held_key))? else {
        return Ok(None);
    };
    let model = read(state, &key::terms(held.model))?;
    Ok(model.map(|model| (held.model, model)))
}
