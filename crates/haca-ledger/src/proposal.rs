//! Which transactions may wait in a mempool and stand in a proposed block.
//!
//! [`select_proposal`] and [`check_proposal`] apply one rule to the same committed state, so an honest proposal is
//! accepted by everybody, and every transaction of an accepted proposal pays for its gas. Bad proofs do not make a
//! proposal bad: they are executed and burn their gas.

use std::collections::{BTreeMap, BTreeSet};

use haca_wire::state::{HeldKey, key};
use haca_wire::{Address, Amount, AssetId, Gas, Height, Message, Nonce, Transaction, TxHash, TxMeta};
use thiserror::Error;

use crate::admission::{Gate, Offered, Price, Priced};
use crate::bank::Purse;
use crate::check::CheckProof;
use crate::error::LedgerError;
use crate::fee::{Share, Usage, tip_density, usable_bytes, usable_gas};
use crate::message::{Execution, Stop, Trust, held_key};
use crate::outcome::tx_hash;
use crate::overlay::{Overlay, read};
use crate::refusal::Refusal;
use crate::state_reader::StateReader;

/// How thoroughly a mempool looks at a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// First sight.
    New,
    /// After a block: everything but the signatures of sender and sponsor, which do not change.
    Again,
}

/// A transaction that a mempool may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its hash.
    pub hash: TxHash,
    /// Who acts.
    pub sender: Address,
    /// Its nonce.
    pub nonce: Nonce,
    /// Who pays for gas.
    pub gas_payer: Address,
    /// Its gas.
    pub gas: Gas,
    /// OPG to set aside for it: gas x base fee + tip.
    pub reserve: Amount,
    /// OPG that the payer of gas holds; all it has waiting together may reserve this much.
    pub funds: Amount,
    /// The proposer's tip.
    pub tip: Amount,
    /// Last height that can include it.
    pub expiry: Height,
}

/// Why a proposed block is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProposalRefusal {
    /// A transaction finds too few bytes left.
    #[error("a transaction of {found} bytes, where {expected} are left")]
    Bytes {
        /// Its bytes.
        found: u64,
        /// Bytes left for a transaction of its kind.
        expected: u64,
    },
    /// A transaction finds too little gas left.
    #[error("a transaction of {found} gas, where {expected} are left")]
    Gas {
        /// Its gas.
        found: Gas,
        /// Gas left for a transaction of its kind.
        expected: Gas,
    },
    /// A transaction can't be admitted.
    #[error("transaction {index}: {refusal}")]
    Transaction {
        /// Its position.
        index: usize,
        /// Why.
        refusal: Refusal,
    },
}

impl ProposalRefusal {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bytes { .. } => "ledger.proposal_bytes",
            Self::Gas { .. } => "ledger.proposal_gas",
            Self::Transaction { .. } => "ledger.proposal_transaction",
        }
    }
}

/// Whether a mempool may hold `bytes`, given the OPG already `reserved` by waiting transactions of the same payer
/// of gas. The message runs on a copy of the state after the last block, so a transaction that needs another one first
/// is refused until that one is committed; but no key is decoded, and neither the signatures nor the proofs inside the
/// message are looked at. Whoever is refused here pays nothing, so all that happens here is cheap; what only its
/// signatures, its key or its proofs fail burns its gas in a block.
pub fn check_tx(
    state: &dyn StateReader,
    bytes: &[u8],
    mode: CheckMode,
    reserved: &dyn Fn(Address) -> Amount,
    checker: &dyn CheckProof,
) -> Result<Result<Admission, Refusal>, LedgerError> {
    match try_check_tx(state, bytes, mode, reserved, checker) {
        Ok(admission) => Ok(Ok(admission)),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn try_check_tx(
    state: &dyn StateReader,
    bytes: &[u8],
    mode: CheckMode,
    reserved: &dyn Fn(Address) -> Amount,
    checker: &dyn CheckProof,
) -> Result<Admission, Stop> {
    let gate = Gate::open(state, checker)?;
    let offered = gate.offered(bytes)?;
    let gas_payer = offered.payer();
    let mut overlay = Overlay::new(state);
    let funds = overlay.balance(gas_payer, AssetId::OPG)?;
    let free = Amount(funds.0.saturating_sub(reserved(gas_payer).0));
    offered.least.check_funds(free)?;
    if mode == CheckMode::New {
        gate.check_signatures(&offered.tx)?;
    }
    let priced = gate.price(offered)?;
    priced.price.check_funds(free)?;
    let hash = tx_hash(bytes);
    charge(&mut overlay, &priced)?;
    dry_run(&gate, &mut overlay, &priced, hash)?;
    let meta = &priced.tx.transaction.meta;
    Ok(Admission {
        hash,
        sender: meta.sender,
        nonce: meta.nonce,
        gas_payer,
        gas: priced.price.gas,
        reserve: priced.price.cost,
        funds,
        tip: meta.tip,
        expiry: meta.expiry,
    })
}

fn charge(overlay: &mut Overlay<'_>, priced: &Priced) -> Result<(), Stop> {
    let from = Purse::Balance(priced.payer());
    overlay.shift(AssetId::OPG, from, Purse::Burned, priced.price.cost)
}

fn dry_run(gate: &Gate<'_>, overlay: &mut Overlay<'_>, priced: &Priced, hash: TxHash) -> Result<(), Stop> {
    let rules = gate.rules(Trust::Assumed, 0);
    let mut execution = Execution {
        rules: &rules,
        state: overlay,
        tx: hash,
        sender: priced.tx.transaction.meta.sender,
        effects: Vec::new(),
    };
    execution.run(&priced.tx.transaction.message)
}

/// Whether `txs` may be the next block: each decodes, holds its terms and its signatures, is paid for out of the
/// committed balances, and all fit the budget together.
pub fn check_proposal(
    state: &dyn StateReader,
    txs: &[Vec<u8>],
    checker: &dyn CheckProof,
) -> Result<Result<(), ProposalRefusal>, LedgerError> {
    let gate = Gate::open(state, checker)?;
    let mut draft = Draft::default();
    for (index, bytes) in txs.iter().enumerate() {
        match draft.add_bytes(&gate, bytes) {
            Ok(()) => {}
            Err(Misfit::Stop(Stop::Failed(error))) => return Err(error),
            Err(Misfit::Stop(Stop::Refused(refusal))) => {
                return Ok(Err(ProposalRefusal::Transaction { index, refusal }));
            }
            Err(Misfit::Full(refusal)) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(()))
}

/// The candidates that make up the next block, within `max_bytes` and the block's own limits: one answer to each demand as far
/// as the part of the budget that is kept for answers goes, then all others, best paid first.
/// Returns their positions in `candidates`, in the order of the block.
pub fn select_proposal(
    state: &dyn StateReader,
    candidates: &[Vec<u8>],
    max_bytes: u64,
    checker: &dyn CheckProof,
) -> Result<Vec<usize>, LedgerError> {
    let gate = Gate::open(state, checker)?;
    let mut priced = Vec::new();
    for (index, bytes) in candidates.iter().enumerate() {
        match price_candidate(&gate, bytes) {
            Ok(tx) => priced.push((index, bytes.len(), tx)),
            Err(Stop::Refused(_)) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    // Stable: equal tips per gas keep the order of arrival.
    priced.sort_by_key(|(_, _, tx)| core::cmp::Reverse(tx.density()));
    let mut draft = Draft::default();
    let (mut first, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let mut chosen = Vec::new();
    for (index, len, tx) in &priced {
        if draft.goes_first(&gate, tx, *len, &answered) && draft.add_within(&gate, tx, *len, max_bytes)? {
            answered.extend(demands_of(tx));
            first.insert(*index);
            chosen.push(*index);
        }
    }
    for (index, len, tx) in &priced {
        if !first.contains(index) && draft.add_within(&gate, tx, *len, max_bytes)? {
            chosen.push(*index);
        }
    }
    Ok(chosen)
}

/// What a candidate answers.
fn demands_of(tx: &Priced) -> impl Iterator<Item = HeldKey> + '_ {
    let answers = match &tx.tx.transaction.message {
        Message::Respond { answers, .. } => answers.as_slice(),
        _ => &[],
    };
    answers.iter().map(held_key)
}

/// The price of a candidate for a proposal. Signatures are checked when it is chosen.
fn price_candidate(gate: &Gate<'_>, bytes: &[u8]) -> Result<Priced, Stop> {
    let offered = gate.offered(bytes)?;
    let found = read(gate.state, &key::balance(offered.payer(), AssetId::OPG))?;
    offered.least.check_funds(found.unwrap_or_default())?;
    gate.price(offered)
}

impl Admission {
    /// What it pays to go first, per million gas.
    pub fn density(&self) -> u128 {
        tip_density(self.tip, self.gas)
    }
}

impl Priced {
    fn density(&self) -> u128 {
        tip_density(self.tx.transaction.meta.tip, self.price.gas)
    }
}

/// A block being put together.
#[derive(Default)]
struct Draft {
    usage: Usage,
    nonces: BTreeSet<(Address, Nonce)>,
    costs: BTreeMap<Address, u128>,
}

/// Why a transaction does not fit a draft.
enum Misfit {
    Stop(Stop),
    Full(ProposalRefusal),
}

impl<T: Into<Stop>> From<T> for Misfit {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// What a draft is with one more transaction.
struct Next {
    usage: Usage,
    costs: u128,
}

impl Draft {
    /// Whether a candidate is put before whatever pays more: an answer, as answers have deadlines, within the part of the
    /// budget that is theirs. One for each demand: a node whose wrong answers went first could fill blocks with them.
    fn goes_first(&self, gate: &Gate<'_>, tx: &Priced, len: usize, answered: &BTreeSet<HeldKey>) -> bool {
        let params = &gate.params;
        let gas = params.block_gas.0.saturating_sub(usable_gas(params).0);
        let bytes = params.block_bytes.saturating_sub(usable_bytes(params));
        Share::of(&tx.tx.transaction.message) == Share::Whole
            && self.usage.gas.0.saturating_add(tx.price.gas.0) <= gas
            && self.usage.bytes.saturating_add(len as u64) <= bytes
            && demands_of(tx).all(|demand| !answered.contains(&demand))
    }

    /// Adds the transaction in `bytes`, or leaves the draft as it is.
    fn add_bytes(&mut self, gate: &Gate<'_>, bytes: &[u8]) -> Result<(), Misfit> {
        let offered = gate.offered(bytes)?;
        let Offered { tx, least } = &offered;
        self.with(gate, &tx.transaction, least, bytes.len())?;
        gate.check_signatures(tx)?;
        let priced = gate.price(offered)?;
        let transaction = &priced.tx.transaction;
        let next = self.with(gate, transaction, &priced.price, bytes.len())?;
        self.set(&transaction.meta, next);
        Ok(())
    }

    /// Adds a priced transaction of `len` bytes, or leaves the draft as it is.
    fn add(&mut self, gate: &Gate<'_>, priced: &Priced, len: usize) -> Result<(), Misfit> {
        let transaction = &priced.tx.transaction;
        let next = self.with(gate, transaction, &priced.price, len)?;
        gate.check_signatures(&priced.tx)?;
        self.set(&transaction.meta, next);
        Ok(())
    }

    /// Adds the transaction if it fits, also into `max_bytes` with all before it. Whether it does.
    fn add_within(
        &mut self,
        gate: &Gate<'_>,
        tx: &Priced,
        len: usize,
        max_bytes: u64,
    ) -> Result<bool, LedgerError> {
        if self.usage.bytes.saturating_add(len as u64) > max_bytes {
            return Ok(false);
        }
        match self.add(gate, tx, len) {
            Ok(()) => Ok(true),
            Err(Misfit::Stop(Stop::Failed(error))) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Whether a transaction of this price fits.
    fn with(&self, gate: &Gate<'_>, tx: &Transaction, price: &Price, len: usize) -> Result<Next, Misfit> {
        let meta = &tx.meta;
        let share = Share::of(&tx.message);
        let (found, expected) = (len as u64, self.usage.bytes_left(&gate.params, share));
        if found > expected {
            return Err(Misfit::Full(ProposalRefusal::Bytes { found, expected }));
        }
        let expected = self.usage.gas_left(&gate.params, share);
        if price.gas > expected {
            let found = price.gas;
            return Err(Misfit::Full(ProposalRefusal::Gas { found, expected }));
        }
        let mut usage = self.usage;
        usage.add(share, price.gas, found);
        if self.nonces.contains(&(meta.sender, meta.nonce)) {
            return Err(Refusal::NonceUsed { height: gate.height }.into());
        }
        let payer = meta.gas_payer();
        let before = self.costs.get(&payer).copied().unwrap_or_default();
        let costs = before.saturating_add(price.cost.0);
        let found: Amount = read(gate.state, &key::balance(payer, AssetId::OPG))?.unwrap_or_default();
        if found.0 < costs {
            let expected = Amount(costs);
            return Err(Refusal::CannotPayGas { found, expected }.into());
        }
        Ok(Next { usage, costs })
    }

    fn set(&mut self, meta: &TxMeta, next: Next) {
        self.usage = next.usage;
        self.nonces.insert((meta.sender, meta.nonce));
        self.costs.insert(meta.gas_payer(), next.costs);
    }
}
