//! Pending writes over the committed state, with one level of checkpoint.

use std::collections::BTreeMap;

use haca_wire::{Decode, Encode};

use crate::error::LedgerError;
use crate::state_reader::{StateReader, Writes};

/// The state as the block being executed sees it.
pub(crate) struct Overlay<'a> {
    base: &'a dyn StateReader,
    /// Writes that stay.
    kept: Writes,
    /// Writes since the checkpoint.
    pending: Writes,
}

impl<'a> Overlay<'a> {
    /// No writes over `base`.
    pub(crate) fn new(base: &'a dyn StateReader) -> Self {
        Self {
            base,
            kept: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Makes all writes so far permanent.
    pub(crate) fn keep(&mut self) {
        // One by one: `append` rebuilds the whole map, and a block keeps thousands of times.
        for (key, value) in core::mem::take(&mut self.pending) {
            self.kept.insert(key, value);
        }
    }

    /// Forgets the writes since the last [`Overlay::keep`].
    pub(crate) fn roll_back(&mut self) {
        self.pending.clear();
    }

    /// The kept writes, in key order.
    pub(crate) fn into_writes(self) -> Writes {
        self.kept
    }

    /// Whether anything under `prefix` was written.
    pub(crate) fn has_written(&self, prefix: &[u8]) -> bool {
        let written = |writes: &Writes| {
            let mut from = writes.range(prefix.to_vec()..);
            from.next().is_some_and(|(key, _)| key.starts_with(prefix))
        };
        written(&self.pending) || written(&self.kept)
    }

    /// The value under `key`.
    pub(crate) fn get<T: Decode>(&self, key: &[u8]) -> Result<Option<T>, LedgerError> {
        let written = self.pending.get(key).or_else(|| self.kept.get(key));
        match written {
            Some(value) => value.as_deref().map(|bytes| decode(key, bytes)).transpose(),
            None => read(self.base, key),
        }
    }

    /// The value under `key`, which must be there.
    pub(crate) fn need<T: Decode>(&self, key: &[u8]) -> Result<T, LedgerError> {
        self.get(key)?.ok_or_else(|| missing(key))
    }

    /// Replaces the value under `key`.
    pub(crate) fn put<T: Encode>(&mut self, key: Vec<u8>, value: &T) {
        self.pending.insert(key, Some(value.encode()));
    }

    /// Removes the value under `key`.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.pending.insert(key, None);
    }
}

/// The committed value under `key`.
pub(crate) fn read<T: Decode>(state: &dyn StateReader, key: &[u8]) -> Result<Option<T>, LedgerError> {
    let bytes = state.get(key).map_err(LedgerError::Read)?;
    bytes.map(|bytes| decode(key, &bytes)).transpose()
}

/// The committed value under `key`, which must be there.
pub(crate) fn need<T: Decode>(state: &dyn StateReader, key: &[u8]) -> Result<T, LedgerError> {
    read(state, key)?.ok_or_else(|| missing(key))
}

fn decode<T: Decode>(key: &[u8], bytes: &[u8]) -> Result<T, LedgerError> {
    T::decode_all(bytes).map_err(|source| LedgerError::Corrupt {
        key: key_text(key),
        source,
    })
}

fn missing(key: &[u8]) -> LedgerError {
    LedgerError::Missing { key: key_text(key) }
}

/// The readable prefix of a key, then the rest in hexadecimal.
fn key_text(key: &[u8]) -> String {
    let split = key
        .iter()
        .position(|byte| *byte == b'/')
        .map_or(key.len(), |slash| slash.saturating_add(1));
    let (text, rest) = key.split_at_checked(split).unwrap_or((key, &[]));
    format!("{}{}", String::from_utf8_lossy(text), hex::encode(rest))
}
