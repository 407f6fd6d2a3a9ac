//! Executing a block.

use haca_wire::state::{AssetRecord, Clock, Spent, SpentNonces, Supply, key};
use haca_wire::{Address, Amount, AssetId, Encode, Gas, Height, Settlement, merkle};

use crate::admission::{Gate, Price, Priced};
use crate::bank::Purse;
use crate::check::CheckProof;
use crate::error::LedgerError;
use crate::fee::{Share, Usage, next_base_fee, used_budget};
use crate::governance::{self, Concluded, LATEST_VERSION};
use crate::message::{Execution, Stop, Trust, later};
use crate::outcome::{BlockOutcome, Effect, TxOutcome, tx_hash};
use crate::overlay::{Overlay, need};
use crate::refusal::Refusal;
use crate::state_reader::StateReader;
use crate::sweep;
use crate::validators;

/// What consensus says of a block besides its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// Its height: one above the committed state's.
    pub height: Height,
    /// The proposer's consensus address (CometBFT: the first 20 bytes of the SHA-256 of its public key).
    pub proposer: [u8; 20],
    /// Header time, in whole seconds since 1970.
    pub time_unix_s: u64,
    /// Who signed the block before, in the order of its validators.
    pub votes: Vec<CommitVote>,
    /// The newest version of the rules that the caller stands for: [`LATEST_VERSION`](crate::LATEST_VERSION), but in the
    /// rehearsal of an upgrade.
    pub known_version: u64,
    /// What validators have been caught at.
    pub misbehaviour: Vec<Misbehaviour>,
}

impl Default for BlockContext {
    fn default() -> Self {
        Self {
            height: Height(0),
            proposer: [0; 20],
            time_unix_s: 0,
            votes: Vec::new(),
            misbehaviour: Vec::new(),
            known_version: LATEST_VERSION,
        }
    }
}

/// Whether a validator voted in the commit of the block before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitVote {
    /// Its consensus address.
    pub validator: [u8; 20],
    /// Whether a vote of its stands in the commit, for the block or for none.
    pub signed: bool,
}

/// What CometBFT's evidence proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisbehaviourKind {
    /// Two votes in one round.
    DuplicateVote,
    /// A signature under a header that is not the chain's.
    LightClientAttack,
}

/// Proven misbehaviour of one validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// What was proven.
    pub kind: MisbehaviourKind,
    /// Consensus address of the validator.
    pub validator: [u8; 20],
    /// When it misbehaved.
    pub height: Height,
    /// Header time of that height, in whole seconds since 1970.
    pub time_unix_s: u64,
}

/// Executes the block after `state` and returns what to commit (`spec/ledger.md`, "Block").
pub fn execute_block(
    state: &dyn StateReader,
    context: &BlockContext,
    txs: &[Vec<u8>],
    checker: &dyn CheckProof,
) -> Result<BlockOutcome, LedgerError> {
    let gate = Gate::open(state, checker)?;
    if context.height != gate.height {
        return Err(LedgerError::WrongHeight {
            found: context.height,
            expected: gate.height,
        });
    }
    governance::check_version(&need(state, key::GOVERNANCE)?, context.known_version)?;
    let mut block = Block::new(gate, context)?;
    let (swept, reward) = block.start().map_err(Stop::into_error)?;
    // Every transaction is charged before the first message runs, so that no message can take away what a later
    // transaction of the block owes for gas.
    let mut charged = Vec::new();
    for bytes in txs {
        charged.push(block.charge(bytes)?);
    }
    let mut outcomes = Vec::new();
    for (outcome, priced) in charged {
        outcomes.push(block.execute(outcome, priced)?);
    }
    block.finish(swept, reward, outcomes)
}

struct Block<'a> {
    gate: Gate<'a>,
    context: &'a BlockContext,
    state: Overlay<'a>,
    proposer: Option<Address>,
    burned_before: Amount,
    usage: Usage,
    spent: SpentNonces,
}

impl<'a> Block<'a> {
    fn new(gate: Gate<'a>, context: &'a BlockContext) -> Result<Self, LedgerError> {
        let state = Overlay::new(gate.state);
        let supply: Supply = state.need(&key::supply(AssetId::OPG))?;
        Ok(Self {
            gate,
            context,
            state,
            proposer: None,
            burned_before: supply.burned,
            usage: Usage::default(),
            spent: SpentNonces::default(),
        })
    }

    /// What the block does by itself, before its transactions.
    fn start(&mut self) -> Result<(Vec<Effect>, Amount), Stop> {
        let Gate {
            height, tick, params, ..
        } = self.gate;
        let mut swept = validators::punish(&mut self.state, &params, self.context)?;
        swept.extend(validators::count_missed(&mut self.state, &params, self.context)?);
        self.proposer = validators::payee(&self.state, self.context.proposer)?;
        swept.extend(validators::pay_unstaked(&mut self.state, &params, self.context)?);
        swept.extend(sweep::pay_unbonded(&mut self.state, tick)?);
        swept.extend(sweep::close_matured(&mut self.state, height, tick)?);
        swept.extend(sweep::work_off_calendar(&mut self.state, height, tick)?);
        sweep::forget_nonces(&mut self.state, &params, height)?;
        let reward = sweep::reward(&mut self.state, &params, self.proposer)?;
        self.state.keep();
        Ok((swept, reward))
    }

    /// Admits and charges one transaction, or notes why it is not admitted. Only a broken store is an error.
    fn charge(&mut self, bytes: &[u8]) -> Result<(TxOutcome, Option<Priced>), LedgerError> {
        let len = bytes.len() as u64;
        let mut outcome = TxOutcome {
            hash: tx_hash(bytes),
            refusal: None,
            gas_wanted: Gas(0),
            gas_used: Gas(0),
            base_fee: self.gate.base_fee,
            burned: Amount(0),
            tip: Amount(0),
            effects: Vec::new(),
        };
        match self.admit(bytes, &mut outcome) {
            Ok(priced) => {
                self.state.keep();
                let share = Share::of(&priced.tx.transaction.message);
                self.usage.add(share, priced.price.gas, len);
                Ok((outcome, Some(priced)))
            }
            Err(Stop::Refused(refusal)) => {
                self.state.roll_back();
                self.usage.add(Share::Usable, Gas(0), len);
                outcome.refusal = Some(refusal);
                Ok((outcome, None))
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Runs the message of a charged transaction: all of it, or nothing.
    fn execute(&mut self, mut outcome: TxOutcome, priced: Option<Priced>) -> Result<TxOutcome, LedgerError> {
        let Some(priced) = priced else {
            return Ok(outcome);
        };
        let rules = self
            .gate
            .rules(Trust::Checked(self.gate.checker), self.context.time_unix_s);
        let mut execution = Execution {
            rules: &rules,
            state: &mut self.state,
            tx: outcome.hash,
            sender: priced.tx.transaction.meta.sender,
            effects: Vec::new(),
        };
        match execution.run(&priced.tx.transaction.message) {
            Ok(()) => {
                outcome.effects = execution.effects;
                self.state.keep();
            }
            Err(Stop::Refused(refusal)) => {
                self.state.roll_back();
                outcome.refusal = Some(refusal);
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
        Ok(outcome)
    }

    /// Checks the terms, burns the gas, pays the tip and remembers the nonce.
    fn admit(&mut self, bytes: &[u8], outcome: &mut TxOutcome) -> Result<Priced, Stop> {
        let offered = self.gate.offered(bytes)?;
        outcome.gas_wanted = offered.least.gas;
        let meta = &offered.tx.transaction.meta;
        let nonce_key = key::nonce(meta.sender, meta.nonce);
        if let Some(height) = self.state.get(&nonce_key)? {
            return Err(Refusal::NonceUsed { height }.into());
        }
        let share = Share::of(&offered.tx.transaction.message);
        self.check_room(share, offered.least.gas)?;
        self.gate.check_signatures(&offered.tx)?;
        let payer = offered.payer();
        let found = self.state.balance(payer, AssetId::OPG)?;
        offered.least.check_funds(found)?;
        let priced = self.gate.price(offered)?;
        let Price { gas, burn, .. } = priced.price;
        outcome.gas_wanted = gas;
        self.check_room(share, gas)?;
        priced.price.check_funds(found)?;
        let meta = &priced.tx.transaction.meta;
        let from = Purse::Balance(payer);
        self.state.shift(AssetId::OPG, from, Purse::Burned, burn)?;
        let to = self.proposer.map_or(Purse::Pool, Purse::Balance);
        self.state.shift(AssetId::OPG, from, to, meta.tip)?;
        self.state.put(nonce_key, &self.gate.height);
        self.spent.0.push(Spent {
            sender: meta.sender,
            nonce: meta.nonce,
        });
        outcome.gas_used = gas;
        outcome.burned = burn;
        outcome.tip = meta.tip;
        Ok(priced)
    }

    /// Whether the block has `gas` left.
    fn check_room(&self, share: Share, gas: Gas) -> Result<(), Refusal> {
        let left = self.usage.gas_left(&self.gate.params, share);
        if gas > left {
            return Err(Refusal::BlockFull {
                found: gas,
                expected: left,
            });
        }
        Ok(())
    }

    /// Writes what the block leaves behind, and refuses to leave an asset out of balance.
    fn finish(
        mut self,
        swept: Vec<Effect>,
        reward: Amount,
        txs: Vec<TxOutcome>,
    ) -> Result<BlockOutcome, LedgerError> {
        let Gate {
            height,
            tick,
            params,
            base_fee,
            ..
        } = self.gate;
        let settlements = settlements(&txs);
        let receipt_root = (!settlements.is_empty()).then(|| {
            let leaves: Vec<Vec<u8>> = settlements.iter().map(Encode::encode).collect();
            merkle::root(&leaves)
        });
        if let Some(root) = &receipt_root {
            self.state.put(key::receipts(height), root);
        }
        if !self.spent.0.is_empty() {
            self.state.put(key::spent(height), &self.spent);
        }
        let Usage { gas, bytes, .. } = self.usage;
        let exhausted = self.usage.is_exhausted(&params);
        let clock = Clock {
            height,
            tick: if exhausted { tick } else { later(tick, 1) },
            base_fee: next_base_fee(&params, base_fee, used_budget(&params, gas, bytes)),
        };
        self.state.put(key::CLOCK.to_vec(), &clock);
        self.state.keep();
        let Concluded {
            params: next_params,
            effects: concluded,
        } = governance::conclude(&mut self.state, &params, height, clock.tick)?;
        self.state.keep();
        let changed = next_params.validators != params.validators;
        let validator_updates = validators::update_set(&mut self.state, &next_params, changed)?;
        check_balanced(&self.state)?;
        let supply: Supply = self.state.need(&key::supply(AssetId::OPG))?;
        Ok(BlockOutcome {
            height,
            tick,
            exhausted,
            base_fee,
            next_base_fee: clock.base_fee,
            gas_used: gas,
            burned: Amount(supply.burned.0.saturating_sub(self.burned_before.0)),
            reward,
            swept,
            txs,
            settlements,
            receipt_root,
            concluded,
            validator_updates,
            writes: self.state.into_writes(),
        })
    }
}

/// The receipts settled by the block's transactions, in order.
fn settlements(txs: &[TxOutcome]) -> Vec<Settlement> {
    txs.iter()
        .flat_map(|tx| &tx.effects)
        .filter_map(|effect| match effect {
            Effect::Settled(settlement) => Some(settlement.as_ref().clone()),
            _ => None,
        })
        .collect()
}

/// Balances + escrow + held + bonds + stakes + unbonding + pool + burned = issued, per asset.
fn check_balanced(state: &Overlay<'_>) -> Result<(), LedgerError> {
    let mut asset = AssetId::OPG;
    while state.get::<AssetRecord>(&key::asset(asset))?.is_some() {
        let supply: Supply = state.need(&key::supply(asset))?;
        let found = supply.total().ok_or(LedgerError::Arithmetic { what: "supply" })?;
        if found != supply.issued {
            return Err(LedgerError::Unbalanced {
                asset,
                found,
                expected: supply.issued,
            });
        }
        asset = AssetId(asset.0.saturating_add(1));
    }
    Ok(())
}
