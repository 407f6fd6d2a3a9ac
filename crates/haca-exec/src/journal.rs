//! The journal: every receipt is in it, durably, before it leaves the node.
//!
//! One redb file. A transaction of it is durable as a whole before it returns, so after a crash an order has its one
//! receipt or none, and every receipt that left is found again. Settlement transactions are in it before they are
//! sent, so that a restart sends the same one again instead of a second one. Receipts that are final leave it
//! ([`Journal::seal_settled`]); sums of what they earned and cost stay, and count each of them once.

mod cover;
mod file;
mod seal;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use haca_wire::state::SequenceState;
use haca_wire::{
    Address, Decode, Domain, Encode as _, ModelId, OrderHash, ReceiptHash, Sequence, SignedTransaction,
    TxHash, codec_struct,
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use crate::ExecError;
use crate::entry::{Content, Entry, EntryState, HeldFee, Missed, Pending, Place};
use crate::snapshot::{MissedReceipt, ModelFacts, Snapshot, Terms, TotalsRow};
use crate::totals::{Totals, TotalsKey};
use table::{
    BATCHES, CONTENTS, COVERED, ENTRIES, FACTS, FINAL, HASHES, HELD, META, MISSED, OPEN, SEALED, TOTALS,
};

/// Version of the tables and their encodings.
const FORMAT: u32 = 5;

/// The durable record of every answer.
#[derive(Debug)]
pub struct Journal {
    database: Database,
    path: PathBuf,
    domain: Domain,
}

/// What a journal belongs to: receipts of one account on one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    format: u32,
    chain_id: u64,
    genesis: haca_wire::GenesisHash,
    account: Address,
}
codec_struct!(Owner {
    format,
    chain_id,
    genesis,
    account
});

/// One durable step, all or nothing.
#[derive(Default)]
struct Change<'a> {
    /// Entries that are replaced.
    entries: &'a [Entry],
    /// A transaction whose fate is not known yet.
    sent: Option<&'a SignedTransaction>,
    /// A transaction whose fate is known.
    done: Option<TxHash>,
    /// What can be claimed from now on.
    missed: Option<Missed>,
    /// Fees that wait. Each is forgotten with the change that ends its first entry.
    held: &'a [HeldFee],
    /// What is added to the totals.
    totals: &'a [(TotalsKey, Totals)],
}

/// Adds to one row of totals.
fn add_totals(write: &redb::WriteTransaction, key: TotalsKey, more: &Totals) -> Result<(), redb::Error> {
    let mut table = write.open_table(TOTALS)?;
    let key = key.encode();
    let known = table.get(&key[..])?.map(|bytes| bytes.value().to_vec());
    // Totals that can't be read begin anew: they are for reports, and no reason not to settle.
    let mut totals = known
        .and_then(|bytes| Totals::decode_all(&bytes).ok())
        .unwrap_or_default();
    totals.add(more);
    table.insert(&key[..], &totals.encode()[..])?;
    Ok(())
}

fn is_sealed(
    table: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    place: Place,
) -> Result<bool, redb::Error> {
    let bytes = table
        .get(&place.channel.0[..])?
        .map(|bytes| bytes.value().to_vec());
    Ok(bytes.is_some() && seal::window_of(bytes).state(place.sequence) != SequenceState::Unused)
}

impl Journal {
    /// Opens or makes the journal of an account on a network in a file. Checks every page, and reads all that waits for
    /// settlement, so that damage shows now and not when an answer depends on it.
    ///
    /// # Errors
    ///
    /// A file that can't be used, is damaged, or belongs to another account or network.
    pub fn open(path: &Path, domain: Domain, account: Address) -> Result<Self, ExecError> {
        // The store asserts some of what it reads from a damaged file.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_checked(path, domain, account)));
        opened.unwrap_or_else(|_| {
            Err(ExecError::Journal {
                path: path.to_owned(),
                reason: "its pages are damaged".to_owned(),
            })
        })
    }

    fn open_checked(path: &Path, domain: Domain, account: Address) -> Result<Self, ExecError> {
        let owner = Owner {
            format: FORMAT,
            chain_id: domain.chain_id.0,
            genesis: domain.genesis,
            account,
        };
        if !path.exists() {
            // Whole or absent under its name, so that a journal cut to nothing is never taken for a new one: whoever
            // forgets what was answered signs second receipts.
            let partial = path.with_extension("partial");
            let _ = std::fs::remove_file(&partial);
            let journal = Self::over(file::database(&partial)?, &partial, domain);
            journal.own(owner).map_err(|error| journal.failed(&error))?;
            drop(journal);
            file::rename(&partial, path)?;
        }
        let journal = Self::over(file::compacted(file::checked(path)?, path)?, path, domain);
        let found = journal.own(owner).map_err(|error| journal.failed(&error))?;
        if found != owner.encode() {
            return Err(ExecError::OtherJournal {
                path: path.to_owned(),
            });
        }
        for pending in journal.pending()? {
            journal.entry(&pending)?;
            journal.content(pending.place)?;
            if let Some(tx) = pending.tx {
                journal.batch(tx)?;
            }
        }
        for held in journal.held_fees()? {
            journal.held_entries(&held)?;
            held.places()
                .try_for_each(|place| journal.content(place).map(drop))?;
            if let Some(answer) = held.answer {
                journal.batch(answer.tx)?;
            }
        }
        journal.missed()?;
        journal.coverages()?;
        Ok(journal)
    }

    fn over(database: Database, path: &Path, domain: Domain) -> Self {
        Self {
            database,
            path: path.to_owned(),
            domain,
        }
    }

    /// Makes the tables, and the mark of whose they are in a new file. Returns the mark.
    fn own(&self, owner: Owner) -> Result<Vec<u8>, redb::Error> {
        let write = self.database.begin_write()?;
        write.open_table(ENTRIES)?;
        write.open_table(CONTENTS)?;
        write.open_table(HASHES)?;
        write.open_table(OPEN)?;
        write.open_table(MISSED)?;
        write.open_table(HELD)?;
        write.open_table(COVERED)?;
        write.open_table(BATCHES)?;
        write.open_table(FINAL)?;
        write.open_table(SEALED)?;
        write.open_table(TOTALS)?;
        write.open_table(FACTS)?;
        let found = {
            let mut meta = write.open_table(META)?;
            let found = meta.get("owner")?.map(|bytes| bytes.value().to_vec());
            match found {
                Some(found) => found,
                None => {
                    meta.insert("owner", &owner.encode()[..])?;
                    owner.encode()
                }
            }
        };
        write.commit()?;
        Ok(found)
    }

    /// Adds an entry durably. `false`, and nothing is written, when its place is taken: a second receipt for one
    /// sequence never exists.
    pub fn insert(&self, entry: &Entry, content: &Content) -> Result<bool, ExecError> {
        self.insert_inner(entry, content)
            .map_err(|error| self.failed(&error))
    }

    fn insert_inner(&self, entry: &Entry, content: &Content) -> Result<bool, redb::Error> {
        let place = entry.place().key();
        let order = entry.item.order.value.hash(&self.domain);
        let receipt = entry.item.receipt.value.hash(&self.domain);
        let write = self.database.begin_write()?;
        {
            let mut entries = write.open_table(ENTRIES)?;
            if entries.get(&place[..])?.is_some() || is_sealed(&write.open_table(SEALED)?, entry.place())? {
                return Ok(false);
            }
            entries.insert(&place[..], &entry.encode()[..])?;
            write
                .open_table(CONTENTS)?
                .insert(&place[..], &content.encode()[..])?;
            let mut hashes = write.open_table(HASHES)?;
            hashes.insert(&order.0[..], &place[..])?;
            hashes.insert(&receipt.0[..], &place[..])?;
            if let Some(pending) = entry.pending() {
                write
                    .open_table(OPEN)?
                    .insert(&place[..], &pending.encode()[..])?;
            }
        }
        let answered = Totals {
            answered: 1,
            ..Totals::default()
        };
        add_totals(&write, entry.totals_key(entry.answered_unix_ms), &answered)?;
        write.commit()?;
        Ok(true)
    }

    /// Replaces entries and adds to the totals durably, all or none.
    pub fn update(&self, entries: &[Entry], totals: &[(TotalsKey, Totals)]) -> Result<(), ExecError> {
        self.write(Change {
            entries,
            totals,
            ..Change::default()
        })
    }

    /// Replaces entries and keeps the transaction that they are sent in, all or none. `replaced` is the one that they
    /// were sent in before and that can't be included any more.
    pub fn submit(
        &self,
        entries: &[Entry],
        tx: &SignedTransaction,
        replaced: Option<TxHash>,
    ) -> Result<(), ExecError> {
        self.write(Change {
            entries,
            sent: Some(tx),
            done: replaced,
            ..Change::default()
        })
    }

    /// Replaces entries, adds to the totals, and forgets the transaction that the entries were sent in, all or none: its
    /// fate is known.
    pub fn resolve(
        &self,
        entries: &[Entry],
        tx: TxHash,
        totals: &[(TotalsKey, Totals)],
    ) -> Result<(), ExecError> {
        self.write(Change {
            entries,
            done: Some(tx),
            totals,
            ..Change::default()
        })
    }

    /// Replaces entries whose settlement is in a block, keeps the fees that wait, adds to the totals, and forgets the
    /// transaction that the entries were sent in, if any; all or none.
    pub fn settle(
        &self,
        entries: &[Entry],
        held: &[HeldFee],
        tx: Option<TxHash>,
        totals: &[(TotalsKey, Totals)],
    ) -> Result<(), ExecError> {
        self.write(Change {
            entries,
            held,
            done: tx,
            totals,
            ..Change::default()
        })
    }

    /// Replaces the entry of a receipt that missed its settlement, and keeps in mind what can be claimed for it.
    pub fn miss(&self, entry: &Entry, missed: Missed, unix_ms: u64) -> Result<(), ExecError> {
        let one = Totals {
            missed: 1,
            ..Totals::default()
        };
        self.write(Change {
            entries: std::slice::from_ref(entry),
            missed: Some(missed),
            totals: &[(entry.totals_key(unix_ms), one)],
            ..Change::default()
        })
    }

    /// Keeps the answer that was made for demands on these receipts, all or none. `replaced` is the one before, which
    /// can't be included any more.
    pub fn submit_answer(
        &self,
        entries: &[Entry],
        held: &[HeldFee],
        tx: &SignedTransaction,
        replaced: Option<TxHash>,
    ) -> Result<(), ExecError> {
        self.write(Change {
            entries,
            held,
            sent: Some(tx),
            done: replaced,
            ..Change::default()
        })
    }

    /// Forgets an answer that did nothing, and adds to the totals: the demands are open as before.
    pub fn withdraw_answer(
        &self,
        held: &[HeldFee],
        tx: TxHash,
        totals: &[(TotalsKey, Totals)],
    ) -> Result<(), ExecError> {
        self.write(Change {
            held,
            done: Some(tx),
            totals,
            ..Change::default()
        })
    }

    fn write(&self, change: Change<'_>) -> Result<(), ExecError> {
        self.write_inner(&change).map_err(|error| self.failed(&error))
    }

    fn write_inner(&self, change: &Change<'_>) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut entries = write.open_table(ENTRIES)?;
            let mut open = write.open_table(OPEN)?;
            let mut settled = write.open_table(FINAL)?;
            let mut held = write.open_table(HELD)?;
            for entry in change.entries {
                let place = entry.place().key();
                entries.insert(&place[..], &entry.encode()[..])?;
                match entry.pending() {
                    Some(pending) => open.insert(&place[..], &pending.encode()[..])?,
                    None => open.remove(&place[..])?,
                };
                if !matches!(entry.state, EntryState::Held(..)) {
                    held.remove(&place[..])?;
                }
                if let EntryState::Settled(_, height) | EntryState::Forfeited(_, height) = entry.state {
                    settled.insert(&seal::final_key(height, entry.place())[..], &[][..])?;
                }
            }
            for fee in change.held {
                held.insert(&fee.place.key()[..], &fee.encode()[..])?;
            }
            let mut batches = write.open_table(BATCHES)?;
            if let Some(done) = change.done {
                batches.remove(&done.0[..])?;
            }
            if let Some(tx) = change.sent {
                batches.insert(&tx.hash().0[..], &tx.encode()[..])?;
            }
            if let Some(missed) = change.missed {
                let place = missed.place.key();
                write
                    .open_table(MISSED)?
                    .insert(&place[..], &missed.encode()[..])?;
            }
        }
        for (key, more) in change.totals {
            add_totals(&write, *key, more)?;
        }
        write.commit()?;
        Ok(())
    }

    /// Keeps on which terms the node serves.
    pub fn set_terms(&self, terms: &Terms) -> Result<(), ExecError> {
        let set = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            write.open_table(META)?.insert("terms", &terms.encode()[..])?;
            Ok(write.commit()?)
        };
        set().map_err(|error| self.failed(&error))
    }

    /// Keeps what is known of a model.
    pub fn set_facts(&self, facts: &ModelFacts) -> Result<(), ExecError> {
        let set = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            write
                .open_table(FACTS)?
                .insert(&facts.model.0[..], &facts.encode()[..])?;
            Ok(write.commit()?)
        };
        set().map_err(|error| self.failed(&error))
    }

    /// What is known of a model.
    pub fn facts(&self, model: ModelId) -> Result<Option<ModelFacts>, ExecError> {
        self.decode(self.value(FACTS, &model.0)?)
    }

    /// Everything that a report is made of.
    pub fn snapshot(&self) -> Result<Snapshot, ExecError> {
        let read = || -> Result<_, redb::Error> {
            let read = self.database.begin_read()?;
            let terms = read
                .open_table(META)?
                .get("terms")?
                .map(|bytes| bytes.value().to_vec());
            let totals = read.open_table(TOTALS)?;
            let rows = totals.iter()?.map(|row| {
                let (key, value) = row?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            });
            Ok((terms, rows.collect::<Result<Vec<_>, redb::Error>>()?))
        };
        let (terms, rows) = read().map_err(|error| self.failed(&error))?;
        let row = |(key, value): (Vec<u8>, Vec<u8>)| -> Result<TotalsRow, haca_wire::DecodeError> {
            Ok(TotalsRow {
                key: TotalsKey::decode_all(&key)?,
                totals: Totals::decode_all(&value)?,
            })
        };
        let totals = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>();
        let mut missed = Vec::new();
        for one in self.missed()? {
            if let Some(entry) = self.at(one.place)? {
                missed.push(MissedReceipt {
                    missed: one,
                    model: entry.item.order.value.model,
                    evidence: entry.item.order.value.evidence,
                    asset: entry.asset,
                });
            }
        }
        Ok(Snapshot {
            terms: self.decode(terms)?.unwrap_or_default(),
            models: self.all(FACTS)?,
            totals: totals.map_err(|error| self.damaged(&error))?,
            open: self.pending()?,
            held: self.held_fees()?,
            missed,
        })
    }

    /// The entry of an order or a receipt.
    pub fn find(&self, hash: &[u8; 32]) -> Result<Option<Entry>, ExecError> {
        let Some(place) = self.value(HASHES, hash)? else {
            return Ok(None);
        };
        self.decode(self.value(ENTRIES, &place)?)
    }

    /// The entry of an order.
    pub fn by_order(&self, order: OrderHash) -> Result<Option<Entry>, ExecError> {
        self.find(&order.0)
    }

    /// The entry of a receipt.
    pub fn by_receipt(&self, receipt: ReceiptHash) -> Result<Option<Entry>, ExecError> {
        self.find(&receipt.0)
    }

    /// The entry at a place.
    pub fn at(&self, place: Place) -> Result<Option<Entry>, ExecError> {
        self.decode(self.value(ENTRIES, &place.key())?)
    }

    /// What the order at a place was answered with.
    ///
    /// # Errors
    ///
    /// Also when nothing was answered there, or it has left the journal.
    pub fn content(&self, place: Place) -> Result<Content, ExecError> {
        let content = self.decode(self.value(CONTENTS, &place.key())?)?;
        content.ok_or_else(|| self.no_entry(place))
    }

    /// The entry of a receipt that waits for its settlement.
    pub(crate) fn entry(&self, pending: &Pending) -> Result<Entry, ExecError> {
        let entry = self.at(pending.place)?;
        let whole = entry.filter(|entry| entry.pending().as_ref() == Some(pending));
        whole.ok_or_else(|| self.no_entry(pending.place))
    }

    /// The entries of a fee that waits.
    pub(crate) fn held_entries(&self, held: &HeldFee) -> Result<Vec<Entry>, ExecError> {
        held.places()
            .map(|place| self.held_entry(held, place.sequence))
            .collect()
    }

    /// The entry of one receipt of a fee that waits.
    pub(crate) fn held_entry(&self, held: &HeldFee, sequence: Sequence) -> Result<Entry, ExecError> {
        let place = Place {
            sequence,
            ..held.place
        };
        let entry = self.at(place)?;
        let expected = EntryState::Held(held.tx, held.height);
        let whole = entry.filter(|entry| entry.state == expected);
        whole.ok_or_else(|| self.no_entry(place))
    }

    fn no_entry(&self, place: Place) -> ExecError {
        ExecError::Journal {
            path: self.path.clone(),
            reason: format!(
                "its entry of sequence {} in channel {} is missing or damaged",
                place.sequence, place.channel
            ),
        }
    }

    /// Whether a sequence was answered, whatever became of the receipt. Of a channel with sealed receipts, sequences that
    /// lie far below count as answered.
    pub fn holds(&self, place: Place) -> Result<bool, ExecError> {
        if self.value(ENTRIES, &place.key())?.is_some() {
            return Ok(true);
        }
        let sealed = || -> Result<bool, redb::Error> {
            is_sealed(&self.database.begin_read()?.open_table(SEALED)?, place)
        };
        sealed().map_err(|error| self.failed(&error))
    }

    /// How many receipts the journal holds with all their bytes.
    pub fn entry_count(&self) -> Result<u64, ExecError> {
        let count =
            || -> Result<u64, redb::Error> { Ok(self.database.begin_read()?.open_table(ENTRIES)?.len()?) };
        count().map_err(|error| self.failed(&error))
    }

    /// A settlement transaction whose fate is not known yet.
    pub fn batch(&self, tx: TxHash) -> Result<Option<SignedTransaction>, ExecError> {
        self.decode(self.value(BATCHES, &tx.0)?)
    }

    /// The totals of all months, models, kinds of evidence and assets, summed up.
    pub fn sum(&self) -> Result<Totals, ExecError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let totals = self.database.begin_read()?.open_table(TOTALS)?;
            let rows = totals.iter()?.map(|row| Ok(row?.1.value().to_vec()));
            rows.collect()
        };
        let mut sum = Totals::default();
        for row in read().map_err(|error| self.failed(&error))? {
            sum.add(&Totals::decode_all(&row).map_err(|error| self.damaged(&error))?);
        }
        Ok(sum)
    }

    /// How many receipts wait for their settlement.
    pub fn open_count(&self) -> Result<u64, ExecError> {
        let count =
            || -> Result<u64, redb::Error> { Ok(self.database.begin_read()?.open_table(OPEN)?.len()?) };
        count().map_err(|error| self.failed(&error))
    }

    /// Every receipt that waits for its settlement, by channel and sequence.
    pub fn pending(&self) -> Result<Vec<Pending>, ExecError> {
        self.all(OPEN)
    }

    /// The fees of how many receipts wait while a proof can be demanded.
    pub fn held_count(&self) -> Result<u64, ExecError> {
        let fees = self.held_fees()?;
        Ok(fees.iter().map(|fee| u64::from(fee.count)).sum())
    }

    /// Every fee that waits while a proof can be demanded, by channel and sequence.
    pub fn held_fees(&self) -> Result<Vec<HeldFee>, ExecError> {
        self.all(HELD)
    }

    /// Every receipt that missed its settlement and can still be claimed.
    pub fn missed(&self) -> Result<Vec<Missed>, ExecError> {
        self.all(MISSED)
    }

    fn all<T: Decode>(&self, name: table::Table) -> Result<Vec<T>, ExecError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(name)?;
            let mut values = Vec::new();
            for row in table.iter()? {
                values.push(row?.1.value().to_vec());
            }
            Ok(values)
        };
        let values = read().map_err(|error| self.failed(&error))?;
        values
            .into_iter()
            .map(|bytes| T::decode_all(&bytes).map_err(|error| self.damaged(&error)))
            .collect()
    }

    fn value(&self, name: table::Table, key: &[u8]) -> Result<Option<Vec<u8>>, ExecError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(name)?;
            Ok(table.get(key)?.map(|bytes| bytes.value().to_vec()))
        };
        read().map_err(|error| self.failed(&error))
    }

    fn decode<T: Decode>(&self, bytes: Option<Vec<u8>>) -> Result<Option<T>, ExecError> {
        bytes
            .map(|bytes| T::decode_all(&bytes).map_err(|error| self.damaged(&error)))
            .transpose()
    }

    fn damaged(&self, error: &haca_wire::DecodeError) -> ExecError {
        ExecError::Journal {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }

    fn failed(&self, error: &redb::Error) -> ExecError {
        ExecError::Journal {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }
}
