//! Names of nodes in the peer-to-peer network.

use std::{fmt, fs, path::Path, str::FromStr};

use serde_json::json;

use crate::{
    engine::{ValidatorKey, base64_decode, base64_encode},
    error::NodeError,
};

/// Longest host and port of a peer in bytes: a DNS name of 253, a colon, five digits.
const MAX_PLACE_BYTES: usize = 259;
/// CometBFT's name of the key type.
const KEY_TYPE: &str = "tendermint/PrivKeyEd25519";

/// A node's name: the address of its node key, as 40 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeId(String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where others reach a node: host and port, such as `validator.example.org:26656`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(String);

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node and where it is: `ID@HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, which the connection is checked against.
    pub id: NodeId,
    /// Where it listens.
    pub place: HostPort,
}

impl Peer {
    /// A node at a place.
    pub const fn new(id: NodeId, place: HostPort) -> Self {
        Self { id, place }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.place)
    }
}

impl FromStr for NodeId {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        let digits = |text: &str| text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 40 && digits(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NodeError::PeerAddress {
                found: text.to_owned(),
                expected: "40 hexadecimal digits in lower case",
            })
        }
    }
}

impl FromStr for HostPort {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        let bad = || NodeError::PeerAddress {
            found: text.to_owned(),
            expected: "HOST:PORT",
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let named = host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b':' | b'[' | b']'));
        let port_known = port.parse::<u16>().is_ok_and(|port| port != 0);
        if text.len() > MAX_PLACE_BYTES || host.is_empty() || !named || !port_known {
            return Err(bad());
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Peer {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        let (id, place) = text.split_once('@').ok_or_else(|| NodeError::PeerAddress {
            found: text.to_owned(),
            expected: "ID@HOST:PORT",
        })?;
        Ok(Self::new(id.parse()?, place.parse()?))
    }
}

/// Reads the node key in a file, or makes one, and returns the node's name.
pub(super) fn node_id(path: &Path) -> Result<NodeId, NodeError> {
    let secret = match fs::read(path) {
        Ok(text) => read_secret(path, &text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_key(path)?,
        Err(source) => {
            return Err(NodeError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let address = ValidatorKey::from_secret(secret).address();
    let address = address.ok_or(crate::consensus::ValidatorSetError::Key)?;
    Ok(NodeId(hex::encode(address.as_bytes())))
}

fn read_secret(path: &Path, text: &[u8]) -> Result<[u8; 32], NodeError> {
    let bad = |reason: String| NodeError::Key {
        path: path.to_owned(),
        reason,
    };
    let file: serde_json::Value = serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?;
    let value = file
        .pointer("/priv_key/value")
        .and_then(serde_json::Value::as_str);
    let bytes = value.and_then(base64_decode).unwrap_or_default();
    let (secret, public) = bytes
        .split_first_chunk::<32>()
        .ok_or_else(|| bad("priv_key is too short".to_owned()))?;
    if ValidatorKey::from_secret(*secret).public() != public {
        return Err(bad("public and private key do not belong together".to_owned()));
    }
    Ok(*secret)
}

fn make_key(path: &Path) -> Result<[u8; 32], NodeError> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| NodeError::Encoding {
        what: "random key",
        reason: error.to_string(),
    })?;
    let whole = [secret, ValidatorKey::from_secret(secret).public()].concat();
    let text = json!({ "priv_key": { "type": KEY_TYPE, "value": base64_encode(&whole) } }).to_string();
    let unwritable = |source| NodeError::DataDirectory {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(unwritable)?;
    }
    // Under another name first: a key is whole or absent.
    let partial = path.with_extension("partial");
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(unwritable)?;
    out.write_all(text.as_bytes()).map_err(unwritable)?;
    fs::rename(partial, path).map_err(unwritable)?;
    Ok(secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn peers_are_read_and_written() {
        for place in ["127.0.0.1:26656", "validator.example.org:1", "[::1]:65535"] {
            let text = format!("{ID}@{place}");
            assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_peer_is_refused() {
        let upper = ID.to_uppercase();
        for text in [
            "",
            ID,
            "127.0.0.1:26656",
            &format!("{ID}@127.0.0.1"),
            &format!("{ID}@:26656"),
            &format!("{ID}@host:0"),
            &format!("{ID}@host:65536"),
            &format!("{ID}@a,b:1"),
            &format!("{ID}@a\"\nproxy_app = \"x:1"),
            &format!("{upper}@host:1"),
            &format!("{ID}0@host:1"),
        ] {
            let refused = text.parse::<Peer>();
            assert!(matches!(refused, Err(NodeError::PeerAddress { .. })), "{text}");
        }
    }

    #[test]
    fn a_node_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config/node_key.json");
        let id = node_id(&path).unwrap();
        assert_eq!(node_id(&path).unwrap(), id);
        assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(matches!(node_id(&path), Err(NodeError::Key { .. })));
    }
}
