//! What became of receipts: settled, failed for now, or given up.

use haca_client::Settleable;
use haca_wire::state::{ChannelState, HeldKey, HeldRecord, SequenceState};
use haca_wire::{Coverage, EvidenceKind, Height, Tick, TxHash, receipt_root};

use super::Settler;
use super::account::Expense;
use super::cover::{held_fees, vouchers};
use crate::ExecError;
use crate::entry::{Entry, EntryState, HeldFee, Missed, Place, UNKNOWN_TX};
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
            && let Some((found, height)) = self.settled_by(sent, &entries)?
        {
            return self.settled_instead(tx, found, height, entries, coverages);
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
            let (mut why, seen) = self.impossible(&entry)?;
            if entry.failures >= MAX_FAILURES {
                why = Some(reason);
            }
            if let Some(why) = why {
                self.give_up(entry.place(), why, seen)?;
            }
        }
        Ok(())
    }

    /// Receipts of the transaction `tx` are settled, by the one that was found.
    pub(super) fn settled_instead(
        &mut self,
        tx: TxHash,
        found: TxHash,
        height: Height,
        entries: Vec<Entry>,
        coverages: &[Coverage],
    ) -> Result<(), ExecError> {
        log::event("replaced", format_args!("tx={tx} settled_by={found}"));
        self.settled(found, height, entries, coverages)?;
        self.service.journal.resolve(&[], tx, &[])
    }

    /// Why a receipt that is not settled never will be, by the chain's state of this height.
    fn impossible(&self, entry: &Entry) -> Result<(Option<&'static str>, Height), ExecError> {
        let place = entry.place();
        let Some((record, height)) = self.service.chain.channel(place.channel)? else {
            return Ok((None, Height(0)));
        };
        let why = if matches!(record.state, ChannelState::Closed { .. }) {
            Some("its channel is closed")
        } else if record.window.state(place.sequence) != SequenceState::Unused {
            Some("its sequence is used or void")
        } else {
            None
        };
        Ok((why, height))
    }

    /// Ends a receipt that waits: settled if the chain has it, else refused. `true` when it did. `seen` is the height of the state
    /// by which it can't settle any more: what an older one does not show of its settlement is no miss.
    pub(super) fn give_up(&mut self, place: Place, reason: &str, seen: Height) -> Result<bool, ExecError> {
        let service = self.service;
        // The range that it stands in may have been found with another of its receipts.
        let open = service.journal.at(place)?.filter(Entry::is_open);
        let Some(mut entry) = open else {
            return Ok(false);
        };
        let receipt = service.receipt_of(&entry);
        let wanted = Settleable::receipt(&entry.item.receipt.value, &service.chain.domain);
        if let Some(settled) = service.chain.client.settlement_of(&wanted)? {
            entry.state = entry.settled_by(settled.settlement.tx, settled.height);
            let totals = self.earned_by(&entry, settled.settlement.tx)?;
            let held: Vec<HeldFee> = entry.held_fee().into_iter().collect();
            service.journal.settle(&[entry], &held, None, &totals)?;
            self.keep_watch(&held);
            return Ok(true);
        }
        if entry.item.order.value.evidence == EvidenceKind::Optimistic {
            let (found, height) = service.chain.client.held_for(place.channel, place.sequence)?;
            if let Some((key, record)) = found
                && self.find_held(key, &record, height)?
            {
                return Ok(true);
            }
            if height < seen {
                return Ok(false);
            }
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
        Ok(true)
    }

    /// Watches a fee that waits by the state of a height, though no transaction is known that settled its receipts. `false` unless
    /// it is that of receipts that wait here: nobody else can prove them.
    fn find_held(&mut self, at: HeldKey, record: &HeldRecord, height: Height) -> Result<bool, ExecError> {
        let service = self.service;
        let held = HeldFee {
            place: Place {
                channel: at.channel,
                sequence: at.first,
            },
            count: record.count,
            model: record.model,
            fee: record.fee,
            warranty: record.warranty,
            asset: record.asset,
            tx: UNKNOWN_TX,
            height,
            answer: None,
        };
        let mut entries = Vec::new();
        for place in held.places() {
            let Some(mut entry) = service.journal.at(place)?.filter(Entry::is_open) else {
                return Ok(false);
            };
            entry.state = EntryState::Held(held.tx, held.height);
            entries.push(entry);
        }
        let receipts: Vec<_> = entries.iter().map(|entry| service.receipt_of(entry)).collect();
        let digest = match receipts.as_slice() {
            [one] => one.0,
            all => receipt_root(&all.iter().copied().map(Some).collect::<Vec<_>>()),
        };
        if digest != record.receipts {
            return Ok(false);
        }
        // What the transaction cost, nobody tells.
        let totals = self.earned(&entries, &Expense::default());
        service.journal.settle(&entries, &[held], None, &totals)?;
        for place in held.places() {
            self.suspects.remove(&place);
        }
        self.keep_watch(&[held]);
        log::event(
            "found",
            format_args!(
                "channel={} sequence={} receipts={} height={height}",
                at.channel, at.first, held.count
            ),
        );
        Ok(true)
    }
}
