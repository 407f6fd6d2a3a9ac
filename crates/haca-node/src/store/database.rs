//! Opening a redb file with errors a person can act on.

use std::{
    cell::Cell,
    fs,
    io::ErrorKind,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Once,
    time::{Duration, Instant},
};

use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError};

use crate::error::NodeError;

/// Bytes of page cache per database.
const CACHE_BYTES: usize = 32 << 20;

/// A file below this is left as it is.
const WORTH_COMPACTING_BYTES: u64 = 16 << 20;

/// How long a store that another process holds is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How often it is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Bytes of a database's first page.
const FIRST_PAGE_BYTES: u64 = 4096;

/// Creates the directory of a node, and proves that it can be written.
pub fn prepare_directory(path: &Path) -> Result<(), NodeError> {
    let unwritable = |source| NodeError::DataDirectory {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path).map_err(unwritable)?;
    let probe = path.join(".writable");
    fs::write(&probe, b"").map_err(unwritable)?;
    fs::remove_file(&probe).map_err(unwritable)
}

/// Opens or creates a database file, and checks every page of an existing one. A file of which less than half is in use
/// gives the rest back to the system: while the node runs, pruning makes room inside the file alone.
pub fn open(path: &Path) -> Result<Database, NodeError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => format(path)?,
        // A file cut below its first page would be taken for a new database.
        Ok(metadata) if metadata.is_file() && metadata.len() < FIRST_PAGE_BYTES => {
            return Err(NodeError::StoreCorrupt {
                what: format!("{} is only {} bytes long", path.display(), metadata.len()),
            });
        }
        _ => {}
    }
    compacted(checked(path, || reopen(path))?, path)
}

fn compacted(mut database: Database, path: &Path) -> Result<Database, NodeError> {
    let length = fs::metadata(path)
        .map_err(|source| NodeError::Read {
            path: path.to_owned(),
            source,
        })?
        .len();
    if length > WORTH_COMPACTING_BYTES {
        let write = database.begin_write()?;
        let used = write.stats()?.stored_bytes();
        write.abort()?;
        if used < length / 2 {
            database.compact()?;
        }
    }
    Ok(database)
}

/// Makes an empty database. redb cannot go on with a file whose creation was cut short, so it is made under another
/// name: under its own, a database is whole or absent.
fn format(path: &Path) -> Result<(), NodeError> {
    let unwritable = |source| NodeError::DataDirectory {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension("partial");
    if let Err(source) = fs::remove_file(&partial)
        && source.kind() != ErrorKind::NotFound
    {
        return Err(unwritable(source));
    }
    let made = builder().create(&partial);
    drop(made.map_err(|error| describe(&partial, error))?);
    let whole = fs::File::open(&partial).and_then(|file| file.sync_all());
    whole
        .and_then(|()| fs::rename(&partial, path))
        .and_then(|()| fs::File::open(path.parent().unwrap_or(path))?.sync_all())
        .map_err(unwritable)
}

/// Opens or creates a database on another storage than a file, and checks every page of an existing one. Creation that
/// is cut short leaves a storage that is refused.
pub fn open_on(storage: impl StorageBackend, path: &Path) -> Result<Database, NodeError> {
    checked(path, || builder().create_with_backend(storage))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn checked(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> Result<Database, NodeError> {
    let opened = quietly(|| {
        let mut database = open()?;
        let intact = database.check_integrity()?;
        Ok::<_, DatabaseError>((database, intact))
    });
    match opened {
        Some(Ok((database, true))) => Ok(database),
        Some(Ok((_, false))) => Err(NodeError::StoreCorrupt {
            what: format!("pages of {} fail their checksums", path.display()),
        }),
        Some(Err(error)) => Err(describe(path, error)),
        // redb trusts some lengths before it has checked them.
        None => Err(NodeError::StoreCorrupt {
            what: format!("{} cannot be read", path.display()),
        }),
    }
}

/// Opens the file. A process that is ending holds it a little longer than its ports.
fn reopen(path: &Path) -> Result<Database, DatabaseError> {
    let start = Instant::now();
    loop {
        match builder().open(path) {
            Err(DatabaseError::DatabaseAlreadyOpen) if start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_POLL);
            }
            other => return other,
        }
    }
}

fn describe(path: &Path, error: DatabaseError) -> NodeError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => NodeError::StoreLocked {
            path: path.to_owned(),
        },
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput => {
                NodeError::StoreCorrupt {
                    what: format!("{} is not a database", path.display()),
                }
            }
            _ => NodeError::DataDirectory {
                path: path.to_owned(),
                source,
            },
        },
        DatabaseError::Storage(StorageError::Corrupted(what)) => NodeError::StoreCorrupt {
            what: format!("{}: {what}", path.display()),
        },
        DatabaseError::RepairAborted => NodeError::StoreCorrupt {
            what: format!("{} cannot be repaired", path.display()),
        },
        // The version byte stands in the first page, with nothing to vouch for it.
        DatabaseError::UpgradeRequired(found) => NodeError::StoreCorrupt {
            what: format!("{} claims file format {found}", path.display()),
        },
        other => NodeError::from(other),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` if it panics. The panic is not printed: it is reported as damage.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                print(info);
            }
        }));
    });
    QUIET.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    done.ok()
}
