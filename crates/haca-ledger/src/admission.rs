//! The way in: what must hold before a transaction is charged. Nothing here depends on other transactions of the
//! block except where it says so.

use haca_wire::state::{ChainRecord, Clock, HeldRecord, NodeRecord, Params, key};
use haca_wire::{
    Address, Amount, Answer, AssetId, Decode, Domain, Gas, Height, Message, SignedTransaction, Tick,
    TypedData, limit,
};

use crate::check::{CheckProof, check_signer};
use crate::error::LedgerError;
use crate::fee::{evidence_gas, least_gas};
use crate::message::{Rules, Stop, Trust, held_key, open_demand, signer_found};
use crate::overlay::{need, read};
use crate::refusal::Refusal;
use crate::state_reader::StateReader;

/// The committed state's terms for the block after it.
pub(crate) struct Gate<'a> {
    pub(crate) state: &'a dyn StateReader,
    /// Recovers signers.
    pub(crate) checker: &'a dyn CheckProof,
    pub(crate) params: Params,
    pub(crate) domain: Domain,
    /// The next block.
    pub(crate) height: Height,
    /// The tick it runs at.
    pub(crate) tick: Tick,
    /// Its base fee.
    pub(crate) base_fee: Amount,
}

/// What a transaction costs.
#[derive(Clone, Copy)]
pub(crate) struct Price {
    pub(crate) gas: Gas,
    /// Gas x base fee.
    pub(crate) burn: Amount,
    /// Gas x base fee + tip: what the payer of gas must have.
    pub(crate) cost: Amount,
}

impl Price {
    /// Whether `found` of OPG pays for it.
    pub(crate) fn check_funds(&self, found: Amount) -> Result<(), Refusal> {
        if found < self.cost {
            let expected = self.cost;
            return Err(Refusal::CannotPayGas { found, expected });
        }
        Ok(())
    }
}

/// A transaction whose terms hold, with the least it may cost.
pub(crate) struct Offered {
    pub(crate) tx: SignedTransaction,
    pub(crate) least: Price,
}

impl Offered {
    pub(crate) fn payer(&self) -> Address {
        self.tx.transaction.meta.gas_payer()
    }
}

/// A transaction whose terms hold, with its price.
pub(crate) struct Priced {
    pub(crate) tx: SignedTransaction,
    pub(crate) price: Price,
}

impl Priced {
    pub(crate) fn payer(&self) -> Address {
        self.tx.transaction.meta.gas_payer()
    }
}

impl<'a> Gate<'a> {
    /// Reads the terms of the block after the committed state.
    pub(crate) fn open(state: &'a dyn StateReader, checker: &'a dyn CheckProof) -> Result<Self, LedgerError> {
        let clock: Clock = need(state, key::CLOCK)?;
        let chain: ChainRecord = need(state, key::CHAIN)?;
        Ok(Self {
            state,
            checker,
            params: need(state, key::PARAMS)?,
            domain: chain.domain(),
            height: Height(clock.height.0.saturating_add(1)),
            tick: clock.tick,
            base_fee: clock.base_fee,
        })
    }

    /// The rules of the block, for its messages.
    pub(crate) fn rules(&self, trust: Trust<'a>, time_unix_s: u64) -> Rules<'a> {
        Rules {
            trust,
            time_unix_s,
            params: self.params,
            domain: self.domain,
            height: self.height,
            tick: self.tick,
            base_fee: self.base_fee,
        }
    }

    /// Decodes bytes and checks expiry, base fee, least gas and nonce.
    pub(crate) fn offered(&self, bytes: &[u8]) -> Result<Offered, Stop> {
        let tx = decode(bytes)?;
        let gas = least_gas(&self.params, &tx, bytes.len());
        self.check_meta(&tx)?;
        self.check_gas(gas)?;
        let meta = &tx.transaction.meta;
        if let Some(height) = read(self.state, &key::nonce(meta.sender, meta.nonce))? {
            return Err(Refusal::NonceUsed { height }.into());
        }
        let least = self.bill(&tx, gas)?;
        Ok(Offered { tx, least })
    }

    /// The whole price, by the models' records and by the outline of a key that is registered. No key is decoded for it.
    pub(crate) fn price(&self, offered: Offered) -> Result<Priced, Stop> {
        let Offered { tx, least } = offered;
        if let Message::Respond { answers, .. } = &tx.transaction.message {
            self.check_answers(tx.transaction.meta.sender, answers)?;
        }
        let evidence = match &tx.transaction.message {
            Message::RegisterModel { verifying_key, .. } => self.registration_gas(verifying_key)?,
            message => evidence_gas(self.state, message)?,
        };
        let gas = Gas(least.gas.0.saturating_add(evidence.0));
        self.check_gas(gas)?;
        let price = self.bill(&tx, gas)?;
        Ok(Priced { tx, price })
    }

    /// Refuses a response unless all its demands are open in the committed state and the sender is the node they are
    /// for. Only then may it use the part of the budget that is kept for answers.
    fn check_answers(&self, sender: Address, answers: &[Answer]) -> Result<(), Stop> {
        for answer in answers {
            let held: Option<HeldRecord> = read(self.state, &key::held(held_key(answer)))?;
            let held = open_demand(held, answer, &self.domain)?;
            let node: NodeRecord = need(self.state, &key::node(held.node))?;
            if sender != held.node && node.signer() != Some(sender) {
                return Err(Refusal::NotTheNode {
                    found: sender,
                    expected: held.node,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Gas of looking at a key and at its registration proof, unless it is more than a registration may take.
    fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, Refusal> {
        let found = self
            .checker
            .registration_gas(verifying_key)
            .map_err(|reason| Refusal::VerifyingKey { reason })?;
        let expected = self.params.gas_registration;
        if found > expected {
            return Err(Refusal::RegistrationGas { found, expected });
        }
        Ok(found)
    }

    /// What `gas` costs the payer of `tx`.
    fn bill(&self, tx: &SignedTransaction, gas: Gas) -> Result<Price, Stop> {
        let meta = &tx.transaction.meta;
        let burn = self.base_fee.0.checked_mul(u128::from(gas.0));
        let cost = burn.and_then(|burn| burn.checked_add(meta.tip.0));
        let (Some(burn), Some(cost)) = (burn, cost) else {
            // Nobody has more than 2^128 units.
            let found = read(self.state, &key::balance(meta.gas_payer(), AssetId::OPG))?.unwrap_or_default();
            let expected = Amount(u128::MAX);
            return Err(Refusal::CannotPayGas { found, expected }.into());
        };
        Ok(Price {
            gas,
            burn: Amount(burn),
            cost: Amount(cost),
        })
    }

    fn check_meta(&self, tx: &SignedTransaction) -> Result<(), Refusal> {
        let meta = &tx.transaction.meta;
        if meta.expiry < self.height {
            return Err(Refusal::Expired {
                found: meta.expiry,
                expected: self.height,
            });
        }
        let last = Height(self.height.0.saturating_add(self.params.tx_lifetime));
        if meta.expiry > last {
            return Err(Refusal::ExpiryTooFar {
                found: meta.expiry,
                expected: last,
            });
        }
        if self.base_fee > meta.max_base_fee {
            return Err(Refusal::BaseFee {
                found: self.base_fee,
                expected: meta.max_base_fee,
            });
        }
        Ok(())
    }

    fn check_gas(&self, gas: Gas) -> Result<(), Refusal> {
        if gas > self.params.tx_gas {
            return Err(Refusal::TxGas {
                found: gas,
                expected: self.params.tx_gas,
            });
        }
        Ok(())
    }

    /// Recovers the sender's and the sponsor's signature.
    pub(crate) fn check_signatures(&self, tx: &SignedTransaction) -> Result<(), Refusal> {
        let digest = tx.transaction.digest(&self.domain);
        let meta = &tx.transaction.meta;
        check_signer(self.checker, &tx.signature, &digest, meta.sender).map_err(|error| {
            Refusal::SenderSignature {
                found: signer_found(error),
                expected: meta.sender,
            }
        })?;
        let Some(sponsor) = &tx.sponsor_signature else {
            return Ok(());
        };
        check_signer(self.checker, sponsor, &digest, meta.sponsor).map_err(|error| {
            Refusal::SponsorSignature {
                found: signer_found(error),
                expected: meta.sponsor,
            }
        })
    }
}

/// The transaction in `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<SignedTransaction, Refusal> {
    if bytes.len() > limit::TX_BYTES {
        return Err(Refusal::Malformed {
            source: haca_wire::DecodeError::TooLong {
                what: "transaction",
                found: bytes.len(),
                expected: limit::TX_BYTES,
            },
        });
    }
    SignedTransaction::decode_all(bytes).map_err(|source| Refusal::Malformed { source })
}
