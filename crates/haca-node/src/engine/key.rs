//! Validator keys in CometBFT's `priv_validator_key.json` format, so that either engine can use them.

use std::{fs, path::Path};

use ed25519_consensus::{SigningKey, VerificationKey};
use serde::{Deserialize, Serialize};
use tendermint::{PublicKey, account};

use crate::error::NodeError;

/// An ed25519 key that signs votes.
#[derive(Clone)]
pub struct ValidatorKey {
    signing: SigningKey,
    public: [u8; 32],
}

impl std::fmt::Debug for ValidatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ValidatorKey({})", hex::encode(self.public))
    }
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    address: String,
    pub_key: PublicKey,
    priv_key: PrivateKey,
}

#[derive(Serialize, Deserialize)]
struct PrivateKey {
    r#type: String,
    value: String,
}

const PRIVATE_KEY_TYPE: &str = "tendermint/PrivKeyEd25519";

impl ValidatorKey {
    /// The key with this secret.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let signing = SigningKey::from(secret);
        let public = VerificationKey::from(&signing).to_bytes();
        Self { signing, public }
    }

    /// A new random key.
    pub fn generate() -> Result<Self, NodeError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| NodeError::Encoding {
            what: "random key",
            reason: error.to_string(),
        })?;
        Ok(Self::from_secret(secret))
    }

    /// The public key.
    pub const fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Address of the validator; `None` only if the library refuses its own key.
    pub fn address(&self) -> Option<account::Id> {
        PublicKey::from_raw_ed25519(&self.public).map(account::Id::from)
    }

    /// Signs the canonical bytes of a vote.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    /// Reads a key file.
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        let bad = |reason: String| NodeError::Key {
            path: path.to_owned(),
            reason,
        };
        let text = fs::read(path).map_err(|e| bad(e.to_string()))?;
        let file: KeyFile = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if file.priv_key.r#type != PRIVATE_KEY_TYPE {
            return Err(bad(format!(
                "found type {}, expected {PRIVATE_KEY_TYPE}",
                file.priv_key.r#type
            )));
        }
        let bytes =
            base64_decode(&file.priv_key.value).ok_or_else(|| bad("priv_key is not base64".to_owned()))?;
        let secret = bytes
            .get(..32)
            .and_then(|secret| <[u8; 32]>::try_from(secret).ok());
        let key = Self::from_secret(secret.ok_or_else(|| bad("priv_key is too short".to_owned()))?);
        if bytes.get(32..) != Some(key.public.as_slice())
            || file.pub_key.ed25519().map(|k| k.as_bytes().to_vec()) != Some(key.public.to_vec())
        {
            return Err(bad("public and private key do not belong together".to_owned()));
        }
        Ok(key)
    }

    /// Writes a key file that only its owner may read.
    pub fn write(&self, path: &Path) -> Result<(), NodeError> {
        use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
        let unwritable = |source| NodeError::DataDirectory {
            path: path.to_owned(),
            source,
        };
        let public =
            PublicKey::from_raw_ed25519(&self.public).ok_or(crate::consensus::ValidatorSetError::Key)?;
        let mut secret = self.signing.to_bytes().to_vec();
        secret.extend_from_slice(&self.public);
        let file = KeyFile {
            address: hex::encode_upper(account::Id::from(public).as_bytes()),
            pub_key: public,
            priv_key: PrivateKey {
                r#type: PRIVATE_KEY_TYPE.to_owned(),
                value: base64_encode(&secret),
            },
        };
        let text = serde_json::to_vec_pretty(&file).map_err(|error| NodeError::Key {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(unwritable)?;
        out.write_all(&text).map_err(unwritable)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                let digit = (word >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[digit as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Reads standard base64 with padding.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut word = 0_u32;
        for digit in chunk {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            word = word << 6 | u32::try_from(value).ok()?;
        }
        word <<= 6 * (4 - chunk.len());
        let whole = word.to_be_bytes();
        bytes.extend_from_slice(whole.get(1..chunk.len())?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_rfc_4648() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64_encode(plain.as_bytes()), text);
            assert_eq!(base64_decode(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(base64_decode("Z*=="), None);
    }
}
