//! The journal: every receipt is in it, durably, before it leaves the node.
//!
//! One redb file. A transaction of it is durable as a whole before it returns, so after a crash an order has its one
//! receipt or none, and every receipt that left is found again. Settlement transactions are in it before they are
//! sent, so that a restart sends the same one again instead of a second one.

mod file;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use haca_wire::{
    Address, Decode, Domain, Encode as _, OrderHash, ReceiptHash, SignedTransaction, TxHash, codec_struct,
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use crate::ExecError;
use crate::entry::{Entry, Missed, Pending, Place};
use table::{BATCHES, ENTRIES, HASHES, META, MISSED, OPEN};

/// Version of the tables and their encodings.
const FORMAT: u32 = 2;

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
        let journal = Self::over(file::checked(path)?, path, domain);
        let found = journal.own(owner).map_err(|error| journal.failed(&error))?;
        if found != owner.encode() {
            return Err(ExecError::OtherJournal {
                path: path.to_owned(),
            });
        }
        for pending in journal.pending()? {
            journal.entry(&pending)?;
            if let Some(tx) = pending.tx {
                journal.batch(tx)?;
            }
        }
        journal.missed()?;
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
        write.open_table(HASHES)?;
        write.open_table(OPEN)?;
        write.open_table(MISSED)?;
        write.open_table(BATCHES)?;
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
    pub fn insert(&self, entry: &Entry) -> Result<bool, ExecError> {
        self.insert_inner(entry).map_err(|error| self.failed(&error))
    }

    fn insert_inner(&self, entry: &Entry) -> Result<bool, redb::Error> {
        let place = entry.place().key();
        let order = entry.item.order.value.hash(&self.domain);
        let receipt = entry.item.receipt.value.hash(&self.domain);
        let write = self.database.begin_write()?;
        {
            let mut entries = write.open_table(ENTRIES)?;
            if entries.get(&place[..])?.is_some() {
                return Ok(false);
            }
            entries.insert(&place[..], &entry.encode()[..])?;
            let mut hashes = write.open_table(HASHES)?;
            hashes.insert(&order.0[..], &place[..])?;
            hashes.insert(&receipt.0[..], &place[..])?;
            if let Some(pending) = entry.pending() {
                write
                    .open_table(OPEN)?
                    .insert(&place[..], &pending.encode()[..])?;
            }
        }
        write.commit()?;
        Ok(true)
    }

    /// Replaces entries durably, all or none.
    pub fn update(&self, entries: &[Entry]) -> Result<(), ExecError> {
        self.write(entries, None, None, None)
    }

    /// Replaces entries and keeps the transaction that they are sent in, all or none. `replaced` is the one that they
    /// were sent in before and that can't be included any more.
    pub fn submit(
        &self,
        entries: &[Entry],
        tx: &SignedTransaction,
        replaced: Option<TxHash>,
    ) -> Result<(), ExecError> {
        self.write(entries, Some(tx), replaced, None)
    }

    /// Replaces entries and forgets the transaction that they were sent in, all or none: its fate is known.
    pub fn resolve(&self, entries: &[Entry], tx: TxHash) -> Result<(), ExecError> {
        self.write(entries, None, Some(tx), None)
    }

    /// Replaces the entry of a receipt that missed its settlement, and keeps in mind what can be claimed for it.
    pub fn miss(&self, entry: &Entry, missed: Missed) -> Result<(), ExecError> {
        self.write(std::slice::from_ref(entry), None, None, Some(missed))
    }

    fn write(
        &self,
        entries: &[Entry],
        tx: Option<&SignedTransaction>,
        done: Option<TxHash>,
        missed: Option<Missed>,
    ) -> Result<(), ExecError> {
        self.write_inner(entries, tx, done, missed)
            .map_err(|error| self.failed(&error))
    }

    fn write_inner(
        &self,
        changed: &[Entry],
        tx: Option<&SignedTransaction>,
        done: Option<TxHash>,
        missed: Option<Missed>,
    ) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut entries = write.open_table(ENTRIES)?;
            let mut open = write.open_table(OPEN)?;
            for entry in changed {
                let place = entry.place().key();
                entries.insert(&place[..], &entry.encode()[..])?;
                match entry.pending() {
                    Some(pending) => open.insert(&place[..], &pending.encode()[..])?,
                    None => open.remove(&place[..])?,
                };
            }
            let mut batches = write.open_table(BATCHES)?;
            if let Some(done) = done {
                batches.remove(&done.0[..])?;
            }
            if let Some(tx) = tx {
                batches.insert(&tx.hash().0[..], &tx.encode()[..])?;
            }
            if let Some(missed) = missed {
                let place = missed.place.key();
                write
                    .open_table(MISSED)?
                    .insert(&place[..], &missed.encode()[..])?;
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Forgets missed receipts whose warranty can't be claimed any more.
    pub fn forget_missed(&self, places: &[Place]) -> Result<(), ExecError> {
        let forget = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            {
                let mut missed = write.open_table(MISSED)?;
                for place in places {
                    missed.remove(&place.key()[..])?;
                }
            }
            Ok(write.commit()?)
        };
        forget().map_err(|error| self.failed(&error))
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

    /// The entry of a receipt that waits for its settlement.
    pub(crate) fn entry(&self, pending: &Pending) -> Result<Entry, ExecError> {
        let entry = self.at(pending.place)?;
        let whole = entry.filter(|entry| entry.pending().as_ref() == Some(pending));
        whole.ok_or_else(|| ExecError::Journal {
            path: self.path.clone(),
            reason: format!(
                "its entry of sequence {} in channel {} is missing or damaged",
                pending.place.sequence, pending.place.channel
            ),
        })
    }

    /// Whether a sequence was answered, whatever became of the receipt.
    pub fn holds(&self, place: Place) -> Result<bool, ExecError> {
        Ok(self.value(ENTRIES, &place.key())?.is_some())
    }

    /// A settlement transaction whose fate is not known yet.
    pub fn batch(&self, tx: TxHash) -> Result<Option<SignedTransaction>, ExecError> {
        self.decode(self.value(BATCHES, &tx.0)?)
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
