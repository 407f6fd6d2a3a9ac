//! What a sponsor may have to pay today, node by node; on disk before a signature leaves.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use haca_wire::{Address, Amount, Nonce};
use serde::{Deserialize, Serialize};

use super::policy::SponsorRefusal;
use crate::ExecError;

const DAY_MS: u64 = 86_400_000;
/// Transactions of a node that a day tells apart. Beyond, nothing is signed for it that day.
const NONCES: usize = 100_000;

/// Of one node: transaction to what it may cost. Two transactions with one nonce cost once, the dearer of them.
type NodeDay = BTreeMap<String, String>;

#[derive(Default, Serialize, Deserialize)]
struct Books {
    /// Days since 1970.
    day: u64,
    nodes: BTreeMap<String, NodeDay>,
}

/// The books, of one day.
pub(super) struct SpendingLedger {
    path: PathBuf,
    books: Books,
}

impl SpendingLedger {
    pub(super) fn open(path: &Path) -> Result<Self, ExecError> {
        let failed = |source| ExecError::Home {
            path: path.to_owned(),
            source,
        };
        let books = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Books::default(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            books,
        })
    }

    /// Counts what a transaction may cost against its node's day, or refuses it.
    pub(super) fn charge(
        &mut self,
        node: Address,
        nonce: Nonce,
        most: Amount,
        per_day: Amount,
        unix_ms: u64,
    ) -> Result<(), SponsorRefusal> {
        let day = unix_ms / DAY_MS;
        if day > self.books.day {
            self.books = Books {
                day,
                nodes: BTreeMap::new(),
            };
        }
        let spent = self.books.nodes.entry(node.to_string()).or_default();
        let amount = |text: &String| text.parse::<u128>().unwrap_or(u128::MAX);
        let key = hex::encode(nonce.0);
        let known = spent.get(&key).map_or(0, amount);
        let sum = spent.values().map(amount).fold(0u128, u128::saturating_add);
        let found = sum.saturating_sub(known).saturating_add(most.0.max(known));
        if found > per_day.0 || (spent.len() >= NONCES && !spent.contains_key(&key)) {
            return Err(SponsorRefusal::Day {
                found: Amount(found),
                expected: per_day,
            });
        }
        spent.insert(key, most.0.max(known).to_string());
        self.write().map_err(|_| SponsorRefusal::Unavailable)
    }

    /// Replaces the file as a whole.
    fn write(&self) -> std::io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.books)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_to_across_restarts_and_a_nonce_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spending.json");
        let (node, nonce) = (Address([1; 20]), |byte| Nonce([byte; 32]));
        let mut books = SpendingLedger::open(&path).unwrap();
        let now = 5 * DAY_MS + 1;
        let charge = |books: &mut SpendingLedger, byte, most, now| {
            books.charge(node, nonce(byte), Amount(most), Amount(100), now)
        };
        charge(&mut books, 1, 60, now).unwrap();
        let mut books = SpendingLedger::open(&path).unwrap();
        charge(&mut books, 2, 41, now).unwrap_err();
        charge(&mut books, 1, 80, now).unwrap();
        charge(&mut books, 1, 10, now).unwrap();
        charge(&mut books, 2, 20, now).unwrap();
        charge(&mut books, 3, 1, now).unwrap_err();
        books
            .charge(Address([2; 20]), nonce(1), Amount(100), Amount(100), now)
            .unwrap();
        charge(&mut books, 3, 100, now + DAY_MS).unwrap();
        // A clock that goes back opens no new day.
        charge(&mut books, 4, 1, now).unwrap_err();
    }
}
