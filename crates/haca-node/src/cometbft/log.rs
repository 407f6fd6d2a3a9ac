//! CometBFT's log: a file that the child appends to for as long as it runs, kept from growing for ever.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::PathBuf,
};

use crate::{error::NodeError, home::Home};

/// Bytes after which the log begins anew. The part before stays beside it, so that both take twice as much.
const LIMIT_BYTES: u64 = 16 << 20;

/// The log of the child of one home.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit_bytes: u64,
}

impl Log {
    pub(super) fn of(home: &Home) -> Self {
        Self {
            path: home.path().join("cometbft.log"),
            limit_bytes: LIMIT_BYTES,
        }
    }

    /// Opens the file for the child, which must only ever append: then it goes on at the start of an emptied file.
    pub(super) fn open(&self) -> Result<File, NodeError> {
        let opened = OpenOptions::new().create(true).append(true).open(&self.path);
        opened.map_err(|source| NodeError::DataDirectory {
            path: self.path.clone(),
            source,
        })
    }

    /// Moves a full log aside, in place of the one that was moved before. The child holds the file open, so its content is
    /// copied: what is written between the end of the copy and the cut is lost. A disk that is full keeps the log as it
    /// is; the node has other troubles then.
    pub(super) fn bound(&self) {
        let is_full = fs::metadata(&self.path).is_ok_and(|file| file.len() > self.limit_bytes);
        if is_full {
            let _ = self.rotate();
        }
    }

    fn rotate(&self) -> io::Result<()> {
        let partial = self.path.with_extension("log.partial");
        let copied = fs::copy(&self.path, &partial);
        if let Err(error) = copied {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
        fs::rename(&partial, self.before())?;
        OpenOptions::new().write(true).open(&self.path)?.set_len(0)
    }

    /// Where the part before the last cut stands.
    fn before(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_takes_twice_its_limit_however_long_the_child_writes() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log {
            limit_bytes: 1_000,
            ..Log::of(&Home::new(directory.path()))
        };
        let mut child = log.open().unwrap();
        for line in 0..1_000 {
            writeln!(child, "line {line:03}").unwrap();
            log.bound();
            let bytes = |path| fs::metadata(path).map_or(0, |file| file.len());
            assert!(
                bytes(&log.path) <= 1_000 && bytes(&log.before()) <= 1_009,
                "line {line}"
            );
        }
        let text = [log.before(), log.path.clone()].map(|path| fs::read_to_string(path).unwrap());
        // The newest lines are there, in order, without a gap.
        let lines: Vec<String> = text.concat().lines().map(str::to_owned).collect();
        let first = 1_000 - lines.len();
        let expected = (first..1_000).map(|line| format!("line {line:03}"));
        assert_eq!(lines, expected.collect::<Vec<_>>());
        assert!(lines.len() > 100, "{} lines", lines.len());
    }
}
