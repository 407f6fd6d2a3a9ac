//! Where a signer in another process connects to, which holds the validator's key instead of this machine.

use std::{fmt, fs, net::SocketAddr, os::unix::fs::FileTypeExt as _, path::Path, str::FromStr};

use crate::error::NodeError;

/// Longest path of a unix socket on Linux, without the final zero.
const SOCKET_PATH_BYTES: usize = 107;

/// The address at which CometBFT waits for its signer: `unix:///PATH` or `tcp://IP:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerAddress(String);

impl fmt::Display for SignerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SignerAddress {
    /// Removes the socket that a killed CometBFT left behind: the next one could not listen there.
    pub(super) fn clear(&self) -> Result<(), NodeError> {
        let Some(path) = self.0.strip_prefix("unix://").map(Path::new) else {
            return Ok(());
        };
        if !fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            return Ok(());
        }
        fs::remove_file(path).map_err(|source| NodeError::Listen {
            address: self.0.clone(),
            source,
        })
    }
}

impl FromStr for SignerAddress {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        // The text goes into a quoted string of CometBFT's configuration.
        let quotable = |path: &str| !path.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
        let known = match text.split_once("://") {
            Some(("unix", path)) => {
                Path::new(path).is_absolute() && path.len() <= SOCKET_PATH_BYTES && quotable(path)
            }
            Some(("tcp", address)) => address
                .parse::<SocketAddr>()
                .is_ok_and(|address| address.port() != 0),
            _ => false,
        };
        if known {
            return Ok(Self(text.to_owned()));
        }
        Err(NodeError::SignerAddress {
            found: text.to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "unix:///run/haca/signer.sock",
            "tcp://127.0.0.1:26659",
            "tcp://[::1]:26659",
        ] {
            assert_eq!(text.parse::<SignerAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_socket_left_behind_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signer.sock");
        let address: SignerAddress = format!("unix://{}", path.display()).parse().unwrap();
        address.clear().unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        address.clear().unwrap();
        assert!(!path.exists());
        fs::write(&path, "not a socket").unwrap();
        address.clear().unwrap();
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("unix:///{}", "a".repeat(107));
        for text in [
            "",
            "127.0.0.1:26659",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:0",
            "tcp://signer.example.org:26659",
            "unix://signer.sock",
            "unix:///a\"\nproxy_app = \"x",
            "http://127.0.0.1:26659",
            &long,
        ] {
            let refused = text.parse::<SignerAddress>();
            assert!(matches!(refused, Err(NodeError::SignerAddress { .. })), "{text}");
        }
    }
}
