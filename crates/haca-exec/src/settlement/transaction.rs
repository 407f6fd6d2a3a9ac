//! A settlement transaction from its signature to its fate. It is journalled before it is sent, so that a restart goes
//! on with the same one.

use std::time::{Duration, Instant};

use haca_client::{ClientError, Settleable};
use haca_wire::state::{Clock, HeldKey};
use haca_wire::{EvidenceKind, Height, Message, SignedTransaction, TxHash};

use super::cover::{is_late, vouchers};
use super::payer::{sign, sign_again};
use super::{Retry, Settler};
use crate::ExecError;
use crate::chain::POLL;
use crate::entry::{Entry, EntryState, Pending};
use crate::log;
use crate::planner::{self, Reprice, Situation};

/// How often a transaction that is in no block is sent again: a full node that restarted has forgotten it.
pub(super) const RESEND: Duration = Duration::from_secs(2);

/// What the full node says of a transaction.
pub(super) enum Word {
    /// In its mempool, or in a block.
    Taken,
    /// Not now; it may be later.
    Later(String),
    /// It can't be executed on the present state.
    Refused(String),
}

/// Whether a refusal says nothing of the receipts: a fee or a balance that moves, a full block or mempool, a full node
/// that is not ready, or a nonce that this very transaction has used in a block not yet proven.
fn is_passing(status: u16, code: &str) -> bool {
    matches!(
        code,
        "ledger.base_fee"
            | "ledger.outbid"
            | "ledger.block_full"
            | "ledger.cannot_pay_gas"
            | "ledger.nonce_used"
            | "ledger.nonce_waiting"
            | "ledger.expired"
            | "ledger.expiry_too_far"
            | "ledger.model_too_new"
            | "ledger.receipt_from_future"
    ) || matches!(status, 408 | 429 | 500..)
}

impl Settler<'_> {
    /// Journals that receipts are in a transaction, then sends it and follows it to its fate. `replaced` is the
    /// transaction that they were in before.
    pub(super) fn send(
        &mut self,
        tx: &SignedTransaction,
        mut entries: Vec<Entry>,
        replaced: Option<TxHash>,
    ) -> Result<(), ExecError> {
        let hash = tx.hash();
        for entry in &mut entries {
            entry.state = EntryState::Submitted(hash);
        }
        self.service.journal.submit(&entries, tx, replaced)?;
        if let Some(retry) = replaced.and_then(|replaced| self.held.remove(&replaced)) {
            self.held.insert(hash, retry);
        }
        self.follow(tx, entries)
    }

    /// Goes on with a transaction of the journal.
    pub(super) fn resume(&mut self, hash: TxHash, pending: &[Pending]) -> Result<(), ExecError> {
        let sent = pending.iter().filter(|pending| pending.tx == Some(hash));
        let entries = sent
            .map(|receipt| self.service.journal.entry(receipt))
            .collect::<Result<Vec<Entry>, _>>()?;
        match self.service.journal.batch(hash)? {
            Some(tx) => match self.other_payer(&tx)? {
                Some(again) => {
                    log::event(
                        "other_payer",
                        format_args!("tx={hash} replaced_by={}", again.hash()),
                    );
                    self.send(&again, entries, Some(hash))
                }
                None => self.follow(&tx, entries),
            },
            None => self.failed(hash, entries, "its transaction is not in the journal", false),
        }
    }

    /// Sends a transaction until it is in a block, can't come into one any more, or is not taken.
    fn follow(&mut self, tx: &SignedTransaction, entries: Vec<Entry>) -> Result<(), ExecError> {
        let (hash, client) = (tx.hash(), &self.service.chain.client);
        let mut sent: Option<Instant> = None;
        while !self.is_stopped() {
            // Height first: a transaction that is in no block afterwards was in none up to that height.
            let height = client.status()?.height;
            let is_late = !vouchers(tx).is_empty() && is_late(tx, client.clock()?.tick);
            if let Some(included) = client.transaction(hash)? {
                if included.code == 0 {
                    return self.settled(hash, Height(included.height), entries, vouchers(tx));
                }
                return self.failed(hash, entries, &included.log, included.gas_used > 0);
            }
            if is_late {
                return self.failed(hash, entries, "a voucher's settle-by tick has passed", false);
            }
            if height > tx.transaction.meta.expiry {
                let tick = client.clock()?.tick;
                if entries
                    .iter()
                    .any(|entry| tick > entry.item.order.value.settle_by)
                {
                    return self.failed(hash, entries, "its transaction expired", false);
                }
                // What it may burn was weighed when it was first signed; if that is too little by now, it is raised.
                let (message, meta) = (tx.transaction.message.clone(), &tx.transaction.meta);
                let again = sign(self.service, message, meta.max_base_fee)?;
                log::event("expired", format_args!("tx={hash} replaced_by={}", again.hash()));
                return self.send(&again, entries, Some(hash));
            }
            if sent.is_none_or(|sent| sent.elapsed() >= RESEND) {
                // A settlement that no block takes keeps no demand waiting. It goes on afterwards.
                if sent.is_some() && self.is_demanded()? {
                    return Ok(());
                }
                let base_fee = client.clock()?.base_fee;
                if base_fee > tx.transaction.meta.max_base_fee {
                    self.hold(hash, &format!("ledger.base_fee: the base fee is {base_fee}"));
                    return Ok(());
                }
                match self.offer(tx)? {
                    Word::Taken => {
                        self.held.remove(&hash);
                        sent = Some(Instant::now());
                    }
                    Word::Later(reason) => {
                        if let Some((found, height)) = self.settled_by(tx, &entries)? {
                            return self.settled_instead(hash, found, height, entries, vouchers(tx));
                        }
                        if reason.starts_with("ledger.nonce_used") && self.is_held(tx)? {
                            return self.failed(hash, entries, "the full node has no index of it", false);
                        }
                        self.hold(hash, &reason);
                        return Ok(());
                    }
                    Word::Refused(reason) => return self.failed(hash, entries, &reason, false),
                }
            }
            if self.follow_until.is_some_and(|until| Instant::now() >= until) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The transaction that settled all these receipts, by the full node's index: this one, or one that it replaced and that
    /// was included after all.
    pub(super) fn settled_by(
        &self,
        sent: &SignedTransaction,
        entries: &[Entry],
    ) -> Result<Option<(TxHash, Height)>, ExecError> {
        let domain = &self.service.chain.domain;
        // What a voucher covers is settled as one.
        let covered = vouchers(sent).iter();
        let mut all: Vec<Settleable> = covered
            .map(|one| Settleable::voucher(&one.voucher.value, domain))
            .collect();
        if all.is_empty() {
            let receipts = entries.iter().map(|entry| &entry.item.receipt.value);
            all.extend(receipts.map(|receipt| Settleable::receipt(receipt, domain)));
        }
        let mut by = None;
        for wanted in all {
            let Some(settled) = self.service.chain.client.settlement_of(&wanted)? else {
                return Ok(None);
            };
            by = Some((settled.settlement.tx, settled.height));
        }
        Ok(by)
    }

    /// Whether the state shows a fee that waits of what a transaction settles: it is in a block then, or one that it replaced is,
    /// whatever the full node's index has of them.
    fn is_held(&self, sent: &SignedTransaction) -> Result<bool, ExecError> {
        let domain = &self.service.chain.domain;
        let fee = match &sent.transaction.message {
            Message::SettleVouchers { coverages } => coverages.iter().find_map(|one| {
                let voucher = &one.voucher.value;
                let is_held = voucher.evidence == EvidenceKind::Optimistic;
                is_held.then_some((voucher.channel, voucher.first, voucher.root))
            }),
            Message::SettleBatch { groups } => {
                let mut items = groups.iter().flat_map(|group| &group.items);
                let item = items.find(|item| item.order.value.evidence == EvidenceKind::Optimistic);
                item.map(|item| {
                    let receipt = &item.receipt.value;
                    (receipt.channel, receipt.sequence, receipt.hash(domain).0)
                })
            }
            _ => None,
        };
        let Some((channel, first, receipts)) = fee else {
            return Ok(false);
        };
        let (record, _) = self.service.chain.client.held(HeldKey { channel, first })?;
        Ok(record.is_some_and(|record| record.receipts == receipts))
    }

    /// Signs a waiting transaction for a higher base fee once its receipts have to settle, if every block came later by
    /// `behind_ms`. `true` when it did.
    pub(super) fn raise_held(
        &mut self,
        clock: &Clock,
        pending: &[Pending],
        behind_ms: u64,
    ) -> Result<bool, ExecError> {
        for hash in self.held.keys().copied().collect::<Vec<_>>() {
            let Some(tx) = self.service.journal.batch(hash)? else {
                continue;
            };
            let sent: Vec<Pending> = pending
                .iter()
                .filter(|one| one.tx == Some(hash))
                .copied()
                .collect();
            let signed = tx.transaction.meta.max_base_fee;
            let (prices, bytes) = (self.service.gas_prices(), haca_wire::Encode::encode(&tx).len());
            let decided = self.consult(clock, &sent, |situation| {
                let gas = prices.settlement(&tx.transaction.message, bytes, situation.rates);
                let inclusion_ms = situation.inclusion_ms.saturating_add(behind_ms);
                let later = Situation {
                    inclusion_ms,
                    ..*situation
                };
                planner::reprice(&later, gas, signed)
            });
            if let Reprice::Raise(raised) = decided {
                let again = sign_again(self.service, &tx, raised)?;
                log::event(
                    "raised",
                    format_args!("tx={hash} replaced_by={} max_base_fee={raised}", again.hash()),
                );
                let entries = sent.iter().map(|receipt| self.service.journal.entry(receipt));
                let entries = entries.collect::<Result<Vec<Entry>, _>>()?;
                self.send(&again, entries, Some(hash))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn offer(&self, tx: &SignedTransaction) -> Result<Word, ExecError> {
        match self.service.chain.client.submit(tx) {
            Ok(_) => Ok(Word::Taken),
            Err(ClientError::Refused {
                status,
                message,
                refusal,
                ..
            }) => {
                let reason = format!("{refusal}: {message}");
                Ok(if is_passing(status, &refusal) {
                    Word::Later(reason)
                } else {
                    Word::Refused(reason)
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tries a transaction again after a pause.
    fn hold(&mut self, hash: TxHash, reason: &str) {
        let retry = self.held.entry(hash).or_insert_with(Retry::first);
        retry.failed();
        log::event("held", format_args!("tx={hash} reason={reason}"));
    }
}
