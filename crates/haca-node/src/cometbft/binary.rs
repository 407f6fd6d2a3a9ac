//! Finding the one CometBFT version this node drives.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::error::NodeError;

/// The version, as its Go module is tagged.
pub const COMETBFT_VERSION: &str = "v0.39.4";
/// Where a Go binary says which module version it was built from. `cometbft version` is no substitute: it prints a
/// constant of the source, which is wrong in some releases.
const MODULE: &[u8] = b"\nmod\tgithub.com/cometbft/cometbft\t";

/// Finds the binary and checks its version, [`COMETBFT_VERSION`] as a rule.
pub fn find_binary(named: Option<&Path>, expected: &str) -> Result<PathBuf, NodeError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => search().ok_or(NodeError::CometMissing)?,
    };
    let bytes = fs::read(&path).map_err(|_| NodeError::CometMissing)?;
    match module_version(&bytes) {
        Some(found) if found == expected => Ok(path),
        found => Err(NodeError::CometVersion {
            path,
            found: found.unwrap_or("of unknown version").to_owned(),
            expected: expected.to_owned(),
        }),
    }
}

fn search() -> Option<PathBuf> {
    let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>());
    let gopath = env::var_os("GOPATH").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join("go"));
    let go = [gopath, home].into_iter().flatten().map(|path| path.join("bin"));
    on_path
        .unwrap_or_default()
        .into_iter()
        .chain(go)
        .map(|directory| directory.join("cometbft"))
        .find(|path| path.is_file())
}

fn module_version(binary: &[u8]) -> Option<&str> {
    let start = binary.windows(MODULE.len()).position(|window| window == MODULE)?;
    let rest = binary.get(start + MODULE.len()..)?;
    let end = rest
        .iter()
        .take(64)
        .position(|byte| matches!(byte, b'\t' | b'\n'))?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_module_version_out_of_build_information() {
        let info = b"\0path\tgithub.com/cometbft/cometbft/cmd/cometbft\nmod\tgithub.com/cometbft/cometbft\tv0.40.0\th1:abc=\ndep\t";
        assert_eq!(module_version(info), Some("v0.40.0"));
        assert_eq!(module_version(b"no build information"), None);
        assert_eq!(module_version(b"\nmod\tgithub.com/cometbft/cometbft\tv0"), None);
    }
}
