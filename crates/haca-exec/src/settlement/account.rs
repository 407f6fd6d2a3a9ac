//! What settlements earned and cost, for the totals of the journal.

use std::collections::BTreeMap;

use haca_wire::state::{ChannelState, ClaimRecord, Clock, key};
use haca_wire::{Amount, ChannelId, Decode as _, Height, Message, SignedTransaction, TxHash};

use super::{Settler, kind_of};
use crate::ExecError;
use crate::entry::{Entry, EntryState, Missed};
use crate::log;
use crate::planner::{GasPrices, Kind};
use crate::totals::{Totals, TotalsKey};

/// Closed channels are looked for once in so many compactions.
const CHANNEL_SEALS: u64 = 64;

/// What a transaction in a block cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expense {
    gas: u64,
    burned: u128,
    tip: u128,
    is_sponsored: bool,
    /// Receipts in it.
    items: u64,
}

impl Expense {
    /// As a row of totals, a part of `weight` in `of`.
    pub(super) fn part(&self, weight: u128, of: u128) -> Totals {
        let share = |amount: u128| amount.saturating_mul(weight).checked_div(of).unwrap_or(0);
        let burned = Amount(share(self.burned));
        Totals {
            gas: u64::try_from(share(self.gas.into())).unwrap_or(u64::MAX),
            burned,
            sponsored: if self.is_sponsored { burned } else { Amount(0) },
            tips: Amount(share(self.tip)),
            ..Totals::default()
        }
    }
}

fn item_count(tx: &SignedTransaction) -> u64 {
    match &tx.transaction.message {
        Message::SettleBatch { groups } => groups.iter().map(|group| group.items.len() as u64).sum(),
        Message::SettleVouchers { coverages } => {
            let counts = coverages.iter().map(|one| u64::from(one.voucher.value.count));
            counts.sum()
        }
        _ => 0,
    }
}

impl Settler<'_> {
    /// What a transaction in a block cost. Gas of a block whose state the full node no longer has counts at the present
    /// base fee.
    pub(super) fn expense(&self, tx: TxHash) -> Result<Expense, ExecError> {
        let client = &self.service.chain.client;
        let Some(included) = client.transaction(tx)? else {
            return Ok(Expense::default());
        };
        let before = Height(included.height.saturating_sub(1));
        let clock: Option<Clock> = client.record_at(key::CLOCK, before).ok().flatten();
        let base_fee = match clock {
            Some(clock) => clock.base_fee,
            None => client.clock()?.base_fee,
        };
        let mut signed = self.service.journal.batch(tx)?;
        if signed.is_none() {
            let bytes = client.transaction_bytes(tx)?;
            signed = bytes.and_then(|bytes| SignedTransaction::decode_all(&bytes).ok());
        }
        let meta = signed.as_ref().map(|tx| &tx.transaction.meta);
        Ok(Expense {
            gas: included.gas_used,
            burned: base_fee.0.saturating_mul(included.gas_used.into()),
            tip: meta.map_or(0, |meta| meta.tip.0),
            is_sponsored: meta.is_some_and(|meta| !meta.sponsor.is_zero()),
            items: signed.as_ref().map_or(0, item_count),
        })
    }

    /// The totals of a transaction that settled exactly these receipts: its cost goes to its groups by their gas.
    pub(super) fn earned(&self, entries: &[Entry], expense: &Expense) -> Vec<(TotalsKey, Totals)> {
        let mut rows: BTreeMap<TotalsKey, Totals> = settled_rows(entries);
        let mut groups: BTreeMap<Kind, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            groups.entry(kind_of(entry)).or_default().push(entry);
        }
        let rates = self.service.rates(groups.keys().copied());
        let prices = GasPrices::new(&self.service.chain.params, expense.is_sponsored);
        let weight = |kind: &Kind, count: usize| {
            rates
                .get(kind)
                .map_or(0, |rates| u128::from(rates.group_gas(&prices, count)))
        };
        let whole: u128 = groups
            .iter()
            .map(|(kind, members)| weight(kind, members.len()))
            .sum();
        for (kind, members) in &groups {
            let Some(first) = members.first() else { continue };
            let row = rows.entry(first.totals_key(log::unix_ms())).or_default();
            row.add(&expense.part(weight(kind, members.len()), whole));
            row.groups = row.groups.saturating_add(1);
            let prove_us = first.proof.map_or(0, |proof| proof.prove_us);
            row.prove_ms = row.prove_ms.saturating_add(prove_us.div_ceil(1_000));
        }
        rows.into_iter().collect()
    }

    /// The totals of one receipt that turned out to be settled by a transaction of others, too.
    pub(super) fn earned_by(&self, entry: &Entry, tx: TxHash) -> Result<Vec<(TotalsKey, Totals)>, ExecError> {
        let expense = self.expense(tx)?;
        let mut rows = settled_rows(std::slice::from_ref(entry));
        for row in rows.values_mut() {
            row.add(&expense.part(1, expense.items.into()));
        }
        Ok(rows.into_iter().collect())
    }

    /// The totals of a transaction that burned gas and settled nothing.
    pub(super) fn burned_in_vain(&self, entries: &[Entry], expense: &Expense) -> Vec<(TotalsKey, Totals)> {
        let Some(first) = entries.first() else {
            return Vec::new();
        };
        let mut row = expense.part(1, 1);
        row.burned_in_vain = row.burned;
        vec![(first.totals_key(log::unix_ms()), row)]
    }

    /// Compacts the journal: what is final leaves it.
    pub(super) fn seal(&mut self) -> Result<(), ExecError> {
        let (journal, chain) = (&self.service.journal, &self.service.chain);
        let height = chain.last().map_or(0, |head| head.height.0);
        if let Some(up_to) = height.checked_sub(self.service.config.retain_blocks) {
            while journal.seal_settled(Height(up_to))? > 0 && !self.is_stopped() {}
        }
        self.forget_closed(height)?;
        let missed = journal.missed()?;
        if missed.is_empty() {
            return Ok(());
        }
        let tick = chain.client.clock()?.tick;
        for missed in missed.iter().filter(|missed| tick > missed.until) {
            self.seal_missed(missed)?;
        }
        Ok(())
    }

    /// Forgets the sequences of channels that are closed for good, a few channels now and then: a closed channel never
    /// opens again.
    fn forget_closed(&mut self, height: u64) -> Result<(), ExecError> {
        self.seals = self.seals.wrapping_add(1);
        if !self.seals.is_multiple_of(CHANNEL_SEALS) {
            return Ok(());
        }
        let (journal, chain) = (&self.service.journal, &self.service.chain);
        let channels = journal.sealed_channels(self.sealed)?;
        for channel in &channels {
            let state = chain.channel(*channel)?.map(|(record, _)| record.state);
            if let Some(ChannelState::Closed { height: closed }) = state
                && closed.0.saturating_add(self.service.config.retain_blocks) < height
            {
                journal.forget_channel(*channel)?;
            }
        }
        self.sealed = channels.last().map_or(ChannelId([0; 32]), |last| after(*last));
        Ok(())
    }

    /// Seals a receipt that nobody can claim any more; the chain says whether somebody did.
    fn seal_missed(&self, missed: &Missed) -> Result<(), ExecError> {
        let (journal, client) = (&self.service.journal, &self.service.chain.client);
        let place = missed.place;
        let Some(entry) = journal.at(place)? else {
            return Ok(());
        };
        let claim: Option<ClaimRecord> = client.record(&key::claim(place.channel, place.sequence))?;
        let totals = match claim {
            Some(claim) => Totals {
                claimed: 1,
                warranties: claim.paid,
                ..Totals::default()
            },
            None => Totals {
                void: 1,
                ..Totals::default()
            },
        };
        journal.seal_missed(missed, entry.totals_key(log::unix_ms()), &totals)
    }
}

/// The channel id above one; the lowest above the highest.
fn after(mut channel: ChannelId) -> ChannelId {
    for byte in channel.0.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    channel
}

/// Receipts, fees and delays of what was settled now.
fn settled_rows(entries: &[Entry]) -> BTreeMap<TotalsKey, Totals> {
    let now = log::unix_ms();
    let mut rows: BTreeMap<TotalsKey, Totals> = BTreeMap::new();
    for entry in entries {
        let row = rows.entry(entry.totals_key(now)).or_default();
        row.settled = row.settled.saturating_add(1);
        // A fee that waits is none yet.
        if !matches!(entry.state, EntryState::Held(..)) {
            row.fees = Amount(row.fees.0.saturating_add(entry.item.receipt.value.fee.0));
        }
        row.delays.count(now.saturating_sub(entry.answered_unix_ms));
    }
    rows
}
