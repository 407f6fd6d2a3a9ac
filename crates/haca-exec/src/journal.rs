//! The journal: every receipt is in it, durably, before it leaves the node.
//!
//! One redb file. A transaction of it is durable as a whole before it returns, so after a crash an order has its one
//! receipt or none, and every receipt that left is found again.

use std::path::{Path, PathBuf};

use haca_wire::{Decode as _, Domain, Encode as _, OrderHash, ReceiptHash};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::ExecError;
use crate::entry::{Entry, Place};

/// Place to entry.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// Order hash and receipt hash to place.
const HASHES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("hashes");
/// Places whose entry waits for its settlement.
const OPEN: TableDefinition<'_, &[u8], ()> = TableDefinition::new("open");

/// The durable record of every answer.
#[derive(Debug)]
pub struct Journal {
    database: Database,
    path: PathBuf,
    domain: Domain,
}

impl Journal {
    /// Opens or makes the journal in a file.
    pub fn open(path: &Path, domain: Domain) -> Result<Self, ExecError> {
        let failed = |reason: String| ExecError::Journal {
            path: path.to_owned(),
            reason,
        };
        let database = Database::create(path).map_err(|error| failed(error.to_string()))?;
        let journal = Self {
            database,
            path: path.to_owned(),
            domain,
        };
        let write = journal
            .database
            .begin_write()
            .map_err(|error| failed(error.to_string()))?;
        for made in [
            write.open_table(ENTRIES).map(drop),
            write.open_table(HASHES).map(drop),
            write.open_table(OPEN).map(drop),
        ] {
            made.map_err(|error| failed(error.to_string()))?;
        }
        write.commit().map_err(|error| failed(error.to_string()))?;
        Ok(journal)
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
            write.open_table(OPEN)?.insert(&place[..], ())?;
        }
        write.commit()?;
        Ok(true)
    }

    /// Replaces entries durably, all or none.
    pub fn update(&self, entries: &[Entry]) -> Result<(), ExecError> {
        self.update_inner(entries).map_err(|error| self.failed(&error))
    }

    fn update_inner(&self, changed: &[Entry]) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut entries = write.open_table(ENTRIES)?;
            let mut open = write.open_table(OPEN)?;
            for entry in changed {
                let place = entry.place().key();
                entries.insert(&place[..], &entry.encode()[..])?;
                if !entry.is_open() {
                    open.remove(&place[..])?;
                }
            }
        }
        write.commit()?;
        Ok(())
    }

    /// The entry of an order or a receipt.
    pub fn find(&self, hash: &[u8; 32]) -> Result<Option<Entry>, ExecError> {
        let place = (|| -> Result<_, redb::Error> {
            let read = self.database.begin_read()?;
            Ok(read
                .open_table(HASHES)?
                .get(&hash[..])?
                .map(|place| place.value().to_vec()))
        })()
        .map_err(|error| self.failed(&error))?;
        place.map_or(Ok(None), |place| self.entry(&place))
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
        self.entry(&place.key())
    }

    /// Every entry that waits for its settlement.
    pub fn open_entries(&self) -> Result<Vec<Entry>, ExecError> {
        let places = (|| -> Result<Vec<Vec<u8>>, redb::Error> {
            let read = self.database.begin_read()?;
            let table = read.open_table(OPEN)?;
            let mut places = Vec::new();
            for place in table.iter()? {
                places.push(place?.0.value().to_vec());
            }
            Ok(places)
        })()
        .map_err(|error| self.failed(&error))?;
        let mut entries = Vec::new();
        for place in places {
            entries.extend(self.entry(&place)?);
        }
        Ok(entries)
    }

    fn entry(&self, place: &[u8]) -> Result<Option<Entry>, ExecError> {
        let bytes = (|| -> Result<_, redb::Error> {
            let read = self.database.begin_read()?;
            Ok(read
                .open_table(ENTRIES)?
                .get(place)?
                .map(|bytes| bytes.value().to_vec()))
        })()
        .map_err(|error| self.failed(&error))?;
        let decode = |bytes: Vec<u8>| {
            Entry::decode_all(&bytes).map_err(|error| ExecError::Journal {
                path: self.path.clone(),
                reason: error.to_string(),
            })
        };
        bytes.map(decode).transpose()
    }

    fn failed(&self, error: &redb::Error) -> ExecError {
        ExecError::Journal {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }
}
