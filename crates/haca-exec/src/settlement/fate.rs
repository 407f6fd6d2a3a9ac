//! What became of receipts: settled, failed for now, or given up.

use haca_client::Settleable;
use haca_wire::state::{ChannelState, SequenceState};
use haca_wire::{Coverage, Height, Tick, TxHash};

use super::Settler;
use super::cover::{held_fees, vouchers};
use crate::ExecError;
use crate::entry::{Entry, EntryState, HeldFee, Missed, Place};
use crate::log;

/// Settlements of a receipt alone that burned gas for nothing, after which it is given up.
const MAX_FAILURES: u32 = 3;

impl Settler<'_> {
    /// The transaction is in a block and did what it should.
    pub(super) fn settled(
        &mut self,
        tx: TxHash,
        height: Height,
        mut entries: Vec<Entry>,
        coverages: &[Coverage],
    ) -> Result<(), ExecError> {
        for entry in &mut entries {
            entry.state = entry.settled_by(tx, height);
        }
        let totals = self.earned(&entries, &self.expense(tx)?);
        let held = held_fees(&entries, coverages);
        self.service.journal.settle(&entries, &held, Some(tx), &totals)?;
        self.keep_watch(&held);
        log::event(
            "settled",
            format_args!("tx={tx} height={height} receipts={}", entries.len()),
        );
        Ok(())
    }

    /// The transaction settled nothing: in a block where it failed (`burned` says whether it paid gas), or refused
    /// before. What is settled after all is marked, what can't settle any more is given up, the rest is tried again.
    pub(super) fn failed(
        &mut self,
        tx: TxHash,
        mut entries: Vec<Entry>,
        reason: &str,
        burned: bool,
    ) -> Result<(), ExecError> {
        let sent = self.service.journal.batch(tx)?;
        let coverages = sent.as_ref().map_or(&[][..], vouchers);
        if let Some(sent) = sent.as_ref().filter(|_| !coverages.is_empty())
            && let Some((other, height)) = self.settled_by_another(sent, &entries)?
        {
            log::event("replaced", format_args!("tx={tx} settled_by={other}"));
            self.settled(other, height, entries, coverages)?;
            return self.service.journal.resolve(&[], tx, &[]);
        }
        self.forget_vouchers(coverages)?;
        let alone = entries.len() == 1;
        for entry in &mut entries {
            entry.state = EntryState::Answered;
            entry.failures = entry.failures.saturating_add(u32::from(alone && burned));
        }
        let totals = if burned {
            self.burned_in_vain(&entries, &self.expense(tx)?)
        } else {
            Vec::new()
        };
        self.service.journal.resolve(&entries, tx, &totals)?;
        if coverages.is_empty() {
            let places: Vec<Place> = entries.iter().map(Entry::place).collect();
            self.suspect(&places, reason);
        } else {
            // The voucher failed, not its receipts: they need not settle each by itself.
            log::event(
                "not_settled",
                format_args!("vouchers={} reason={reason}", coverages.len()),
            );
        }
        for entry in entries {
            if entry.failures >= MAX_FAILURES {
                self.give_up(entry, reason)?;
            } else if let Some(reason) = self.impossible(&entry)? {
                self.give_up(entry, reason)?;
            }
        }
        Ok(())
    }

    /// Why a receipt that is not settled never will be, by the chain's state.
    fn impossible(&self, entry: &Entry) -> Result<Option<&'static str>, ExecError> {
        let place = entry.place();
        Ok(match self.service.chain.channel(place.channel)? {
            Some((record, _)) if matches!(record.state, ChannelState::Closed { .. }) => {
                Some("its channel is closed")
            }
            Some((record, _)) if record.window.state(place.sequence) != SequenceState::Unused => {
                Some("its sequence is used or void")
            }
            _ => None,
        })
    }

    /// Ends a receipt: settled if the chain has it, else refused. What was read of the chain before this is not newer
    /// than the settlements read here, so a settlement is never taken for a miss.
    pub(super) fn give_up(&mut self, mut entry: Entry, reason: &str) -> Result<(), ExecError> {
        let service = self.service;
        let (place, receipt) = (entry.place(), service.receipt_of(&entry));
        let wanted = Settleable::receipt(&entry.item.receipt.value, &service.chain.domain);
        if let Some(settled) = service.chain.client.settlement_of(&wanted)? {
            entry.state = entry.settled_by(settled.settlement.tx, settled.height);
            let totals = self.earned_by(&entry, settled.settlement.tx)?;
            let held: Vec<HeldFee> = entry.held_fee().into_iter().collect();
            service.journal.settle(&[entry], &held, None, &totals)?;
            self.keep_watch(&held);
            return Ok(());
        }
        log::event("refused", format_args!("receipt={receipt} reason={reason}"));
        entry.state = EntryState::Refused(reason.to_owned());
        let (order, params) = (&entry.item.order.value, &service.chain.params);
        let window = params.grace.saturating_add(params.claim_window);
        let missed = Missed {
            place,
            warranty: order.warranty,
            until: Tick(order.settle_by.0.saturating_add(window)),
        };
        service.journal.miss(&entry, missed, log::unix_ms())?;
        service.book().miss(&missed);
        service.forget_proof(place);
        Ok(())
    }
}
