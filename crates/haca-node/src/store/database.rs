//! Opening a redb file with errors a person can act on.

use std::{fs, io::ErrorKind, path::Path};

use redb::{Database, DatabaseError, StorageError};

use crate::error::NodeError;

/// Bytes of page cache per database.
const CACHE_BYTES: usize = 64 << 20;

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

/// Opens or creates a database file.
pub fn open(path: &Path) -> Result<Database, NodeError> {
    // A file cut below its first page would be taken for a new database.
    if let Ok(metadata) = fs::metadata(path)
        && metadata.len() < 4096
    {
        return Err(NodeError::StoreCorrupt {
            what: format!("{} is only {} bytes long", path.display(), metadata.len()),
        });
    }
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => NodeError::StoreLocked {
            path: path.to_owned(),
        },
        DatabaseError::Storage(StorageError::Io(source))
            if matches!(
                source.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput
            ) =>
        {
            NodeError::StoreCorrupt {
                what: format!("{} is not a database", path.display()),
            }
        }
        DatabaseError::Storage(StorageError::Io(source)) => NodeError::DataDirectory {
            path: path.to_owned(),
            source,
        },
        DatabaseError::Storage(StorageError::Corrupted(what)) => NodeError::StoreCorrupt {
            what: format!("{}: {what}", path.display()),
        },
        DatabaseError::UpgradeRequired(found) => NodeError::StoreFormat {
            found: found.into(),
            expected: 3,
        },
        other => NodeError::from(other),
    })
}
