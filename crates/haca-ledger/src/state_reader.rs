//! The committed state as the ledger reads it.

use std::collections::BTreeMap;

/// Why a store could not answer. Opaque to the ledger, which passes it on.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// What a block changes: `Some` replaces the value under a key, `None` removes it.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Read access to the state after the last committed block.
pub trait StateReader {
    /// The value under `key`, if there is one.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;
}

impl StateReader for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(BTreeMap::get(self, key).cloned())
    }
}
