//! A settlement transaction from its signature to its fate. It is journalled before it is sent, so that a restart goes
//! on with the same one.

use std::time::{Duration, Instant};

use haca_client::ClientError;
use haca_wire::{Evidence, Group, Height, Message, SignedTransaction, TxHash};

use super::{Retry, Settler};
use crate::ExecError;
use crate::chain::POLL;
use crate::entry::{Entry, EntryState, Pending};
use crate::log;
use crate::service::Service;

/// How often a transaction that is in no block is sent again: a full node that restarted has forgotten it.
const RESEND: Duration = Duration::from_secs(2);

/// Signs the settlement of receipts with their evidence.
pub(super) fn settlement(
    service: &Service,
    entries: &[Entry],
    evidence: Evidence,
) -> Result<SignedTransaction, ExecError> {
    let items = entries.iter().map(|entry| entry.item.clone()).collect();
    let groups = vec![Group { items, evidence }];
    sign(service, Message::SettleBatch { groups })
}

fn sign(service: &Service, message: Message) -> Result<SignedTransaction, ExecError> {
    let head = service.chain.client.status()?.height;
    let (domain, most) = (&service.chain.domain, service.config.max_base_fee);
    Ok(service.account.transaction(message, domain, head, most)?)
}

/// What the full node says of a transaction.
enum Word {
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
            Some(tx) => self.follow(&tx, entries),
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
            if let Some(included) = client.transaction(hash)? {
                if included.code == 0 {
                    return self.settled(hash, Height(included.height), entries);
                }
                return self.failed(hash, entries, &included.log, included.gas_used > 0);
            }
            if height > tx.transaction.meta.expiry {
                let tick = client.clock()?.tick;
                if entries
                    .iter()
                    .any(|entry| tick > entry.item.order.value.settle_by)
                {
                    return self.failed(hash, entries, "its transaction expired", false);
                }
                let again = sign(self.service, tx.transaction.message.clone())?;
                log::event("expired", format_args!("tx={hash} replaced_by={}", again.hash()));
                return self.send(&again, entries, Some(hash));
            }
            if sent.is_none_or(|sent| sent.elapsed() >= RESEND) {
                match self.offer(tx)? {
                    Word::Taken => {
                        self.held.remove(&hash);
                        sent = Some(Instant::now());
                    }
                    Word::Later(reason) => {
                        self.hold(hash, &reason);
                        return Ok(());
                    }
                    Word::Refused(reason) => return self.failed(hash, entries, &reason, false),
                }
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn offer(&self, tx: &SignedTransaction) -> Result<Word, ExecError> {
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
