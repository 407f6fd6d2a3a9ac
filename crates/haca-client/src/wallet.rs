//! Keys in files, and what they sign.

use std::io::Write as _;
use std::path::Path;

use haca_wire::{
    Address, Amount, Domain, Height, Message, Nonce, Order, SecretKey, Signed, SignedTransaction,
    Transaction, TxMeta, TypedData,
};

use crate::ClientError;

/// Blocks in which a transaction of this wallet may be included.
pub const TX_LIFETIME_BLOCKS: u64 = 50;

/// One secp256k1 account.
#[derive(Clone, Debug)]
pub struct Wallet {
    key: SecretKey,
}

impl Wallet {
    /// A wallet over a key.
    pub const fn new(key: SecretKey) -> Self {
        Self { key }
    }

    /// A wallet over a fresh key from the system's randomness.
    pub fn generate() -> Result<Self, ClientError> {
        // All but about one of 2^128 draws is a valid key.
        loop {
            if let Some(key) = SecretKey::from_bytes(&random_bytes()?) {
                return Ok(Self { key });
            }
        }
    }

    /// Reads a key file: 64 hexadecimal digits. On Unix the file must not be readable by others.
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        let failed = |reason: String| ClientError::KeyFile {
            path: path.display().to_string(),
            reason,
        };
        check_mode(path)?;
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim().trim_start_matches("0x"), &mut bytes)
            .map_err(|_| failed("not 64 hexadecimal digits".into()))?;
        let key = SecretKey::from_bytes(&bytes).ok_or_else(|| failed("not a secp256k1 key".into()))?;
        Ok(Self { key })
    }

    /// Reads a key file, or makes one with a fresh key, readable by its owner only.
    pub fn load_or_create(path: &Path) -> Result<Self, ClientError> {
        if path.exists() {
            return Self::load(path);
        }
        let wallet = Self::generate()?;
        wallet.save(path)?;
        Ok(wallet)
    }

    /// Writes a new key file; never over an old one.
    pub fn save(&self, path: &Path) -> Result<(), ClientError> {
        let failed = |error: std::io::Error| ClientError::KeyFile {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        writeln!(file, "{}", hex::encode(self.key.to_bytes())).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The key.
    pub const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Signs typed data.
    pub fn sign<T: TypedData>(&self, value: T, domain: &Domain) -> Result<Signed<T>, ClientError> {
        Signed::new(value, domain, &self.key).ok_or(ClientError::Crypto { what: "sign" })
    }

    /// Signs an order.
    pub fn sign_order(&self, order: Order, domain: &Domain) -> Result<Signed<Order>, ClientError> {
        self.sign(order, domain)
    }

    /// Signs a transaction that holds from now (`head`) for [`TX_LIFETIME_BLOCKS`] blocks, with a random nonce,
    /// and burns at most `max_base_fee` OPG per unit of gas.
    pub fn transaction(
        &self,
        message: Message,
        domain: &Domain,
        head: Height,
        max_base_fee: Amount,
    ) -> Result<SignedTransaction, ClientError> {
        let meta = TxMeta {
            sender: self.address(),
            expiry: Height(head.0.saturating_add(TX_LIFETIME_BLOCKS)),
            nonce: random_nonce()?,
            max_base_fee,
            tip: Amount(0),
            sponsor: Address::default(),
        };
        SignedTransaction::sign(Transaction { meta, message }, domain, &self.key)
            .ok_or(ClientError::Crypto { what: "sign" })
    }
}

/// A fresh random nonce.
pub fn random_nonce() -> Result<Nonce, ClientError> {
    random_bytes().map(Nonce)
}

fn random_bytes() -> Result<[u8; 32], ClientError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| ClientError::Crypto {
        what: "read random bytes",
    })?;
    Ok(bytes)
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), ClientError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |reason: String| ClientError::KeyFile {
        path: path.display().to_string(),
        reason,
    };
    let mode = std::fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(failed(format!(
            "mode {:o} lets others read it; chmod 600 it",
            mode & 0o777
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), ClientError> {
    Ok(())
}
