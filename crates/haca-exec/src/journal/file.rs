//! The file of the journal: opened by one process at a time, and every page of it checked.

use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Builder, Database, DatabaseError};

use crate::ExecError;

/// Memory for pages of the file. Entries are written once and read seldom.
const CACHE_BYTES: usize = 32 << 20;
/// Bytes of the store's first page, which every file of it has.
const FIRST_PAGE_BYTES: u64 = 4096;
/// A file below this is left as it is.
const WORTH_COMPACTING: u64 = 16 << 20;
/// How long a journal that another process holds is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

fn failed(path: &Path, reason: impl ToString) -> ExecError {
    ExecError::Journal {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Opens an existing file and checks every page.
pub(super) fn checked(path: &Path) -> Result<Database, ExecError> {
    let metadata = std::fs::metadata(path).map_err(|error| failed(path, error))?;
    if metadata.len() < FIRST_PAGE_BYTES {
        let reason = format!("it is only {} bytes long", metadata.len());
        return Err(failed(path, reason));
    }
    let mut database = database(path)?;
    if !database.check_integrity().map_err(|error| failed(path, error))? {
        return Err(failed(path, "pages fail their checksums"));
    }
    Ok(database)
}

/// Gives the system back what a file that shrank no longer needs.
pub(super) fn compacted(mut database: Database, path: &Path) -> Result<Database, ExecError> {
    let length = std::fs::metadata(path)
        .map_err(|error| failed(path, error))?
        .len();
    let stored = database.begin_write().map_err(|error| failed(path, error))?;
    let bytes = stored
        .stats()
        .map_err(|error| failed(path, error))?
        .stored_bytes();
    stored.abort().map_err(|error| failed(path, error))?;
    if length > WORTH_COMPACTING && bytes < length / 2 {
        database.compact().map_err(|error| failed(path, error))?;
    }
    Ok(database)
}

/// Gives a whole file its name, durably. A system that can't sync directories has nothing to sync.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), ExecError> {
    std::fs::rename(from, to).map_err(|error| failed(to, error))?;
    if let Some(directory) = to.parent().and_then(|path| std::fs::File::open(path).ok()) {
        let _ = directory.sync_all();
    }
    Ok(())
}

/// Opens or makes the database in a file. A process that is ending holds it a little longer than its port.
pub(super) fn database(path: &Path) -> Result<Database, ExecError> {
    let start = Instant::now();
    loop {
        match Builder::new().set_cache_size(CACHE_BYTES).create(path) {
            Err(DatabaseError::DatabaseAlreadyOpen) if start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_POLL);
            }
            made => {
                return made.map_err(|error| failed(path, error));
            }
        }
    }
}
