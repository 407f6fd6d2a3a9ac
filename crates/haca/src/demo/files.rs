//! Where a demo keeps its files, and which of them stay.

use std::path::PathBuf;

use crate::args::Demo;
use crate::failure::Failure;
use crate::network::Network;
use crate::session::replace;

/// What the demo leaves behind, and all that a verification needs.
pub(super) struct Files {
    pub(super) genesis: PathBuf,
    pub(super) trust: PathBuf,
    pub(super) bundle: PathBuf,
    /// What the trust file holds.
    pub(super) genesis_hash: String,
}

impl Files {
    /// Copies the genesis document and writes its hash beside it.
    pub(super) fn write(network: &Network) -> Result<Self, Failure> {
        let files = Self {
            genesis: network.dir.join(KEPT[0]),
            trust: network.dir.join(KEPT[1]),
            bundle: network.dir.join(KEPT[2]),
            genesis_hash: network.file.trust.clone(),
        };
        let source = network.genesis();
        let genesis = std::fs::read(&source).map_err(|error| Failure::file(&source, "read", &error))?;
        replace(&files.genesis, &genesis)?;
        replace(&files.trust, format!("{}\n", files.genesis_hash).as_bytes())?;
        Ok(files)
    }
}

/// Names of the files that stay.
const KEPT: [&str; 3] = ["genesis.json", "trust.txt", "bundle.haca"];

/// The demo's directory. When nobody named it, only [`KEPT`] stays of it, and nothing of a demo that failed.
pub(super) struct Scratch {
    pub(super) dir: PathBuf,
    temporary: bool,
    /// Whether the demo came to its end.
    pub(super) told: bool,
}

impl Scratch {
    pub(super) fn new(demo: &Demo) -> Result<Self, Failure> {
        let Some(dir) = &demo.data else {
            let dir = std::env::temp_dir().join(format!("haca-demo-{}", std::process::id()));
            // What an earlier process with this number left.
            let _ = std::fs::remove_dir_all(&dir);
            return Ok(Self {
                dir,
                temporary: true,
                told: false,
            });
        };
        let occupied = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(Failure::usage(
                "cli.not_empty",
                format!("{} is not empty", dir.display()),
                "name another directory; `haca up --data` continues a network",
            ));
        }
        Ok(Self {
            dir: dir.clone(),
            temporary: false,
            told: false,
        })
    }

    fn clear(&self) -> std::io::Result<()> {
        if !self.told {
            return std::fs::remove_dir_all(&self.dir);
        }
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if KEPT.iter().any(|kept| entry.file_name() == *kept) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path())?,
                false => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.temporary {
            let _ = self.clear();
        }
    }
}
