//! EIP-712 typed data: type hashes, struct hashes, digests, and secp256k1 signatures over them (`spec/wire.md`,
//! steps W3 and W4).
//!
//! Source: EIP-712 (definition of `hashStruct`, `encodeData` and the domain separator), EIP-2 (low s).

use std::sync::{LazyLock, OnceLock};

use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, SigningKey, VerifyingKey};
use sha3::{Digest, Keccak256};
use thiserror::Error;

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::id::{Address, ChainId, GenesisHash};

/// Keccak-256 as Ethereum uses it.
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// The EIP-712 type of the domain.
pub(crate) const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)";

/// What separates one network's signatures from every other's: name "HACA", version "1", chain id, and the
/// genesis hash as salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Number of the network.
    pub chain_id: ChainId,
    /// Hash of the network's genesis document.
    pub genesis: GenesisHash,
}

impl Domain {
    /// `hashStruct(EIP712Domain)`.
    pub fn separator(&self) -> [u8; 32] {
        /// What all networks have in common: type, name and version.
        static COMMON: LazyLock<StructHasher> = LazyLock::new(|| {
            StructHasher::new(&keccak256(DOMAIN_TYPE.as_bytes()))
                .string("HACA")
                .string("1")
        });
        COMMON
            .clone()
            .uint(u128::from(self.chain_id.0))
            .bytes32(&self.genesis.0)
            .finish()
    }

    /// The digest that is signed: `keccak256(0x1901 ‖ domainSeparator ‖ structHash)`.
    pub fn digest(&self, struct_hash: &[u8; 32]) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(66);
        bytes.extend_from_slice(&[0x19, 0x01]);
        bytes.extend_from_slice(&self.separator());
        bytes.extend_from_slice(struct_hash);
        keccak256(&bytes)
    }
}

/// The hash of a type string, made once: it is the same for every value of the type.
#[derive(Debug)]
pub(crate) struct TypeHash {
    type_string: &'static str,
    hash: OnceLock<[u8; 32]>,
}

impl TypeHash {
    pub(crate) const fn new(type_string: &'static str) -> Self {
        Self {
            type_string,
            hash: OnceLock::new(),
        }
    }

    pub(crate) fn get(&self) -> &[u8; 32] {
        self.hash.get_or_init(|| keccak256(self.type_string.as_bytes()))
    }
}

/// Accumulates `typeHash ‖ encodeData` of one struct.
#[derive(Clone, Debug)]
pub(crate) struct StructHasher(Vec<u8>);

impl StructHasher {
    /// Starts with the hash of the full type string (the primary type, then referenced types in order).
    pub(crate) fn new(type_hash: &[u8; 32]) -> Self {
        Self(type_hash.to_vec())
    }

    /// A member of type `bytes32`, or the hash of a nested struct.
    pub(crate) fn bytes32(mut self, value: &[u8; 32]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// A member of an unsigned integer type of at most 128 bits, or of type `bool`.
    pub(crate) fn uint(mut self, value: u128) -> Self {
        self.0.extend_from_slice(&[0; 16]);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A member of type `address`.
    pub(crate) fn address(mut self, value: &Address) -> Self {
        self.0.extend_from_slice(&[0; 12]);
        self.0.extend_from_slice(&value.0);
        self
    }

    /// A member of type `string`.
    pub(crate) fn string(self, value: &str) -> Self {
        self.bytes32(&keccak256(value.as_bytes()))
    }

    /// A member that is an array of structs: the hash of the concatenated struct hashes.
    pub(crate) fn array(self, hashes: &[[u8; 32]]) -> Self {
        self.bytes32(&keccak256(&hashes.concat()))
    }

    /// `hashStruct`.
    pub(crate) fn finish(self) -> [u8; 32] {
        keccak256(&self.0)
    }
}

/// A struct with an EIP-712 type.
pub trait TypedData {
    /// `hashStruct` of the value.
    fn struct_hash(&self) -> [u8; 32];

    /// The digest signed in `domain`.
    fn digest(&self, domain: &Domain) -> [u8; 32] {
        domain.digest(&self.struct_hash())
    }
}

/// Why a signature does not name a signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No public key matches digest and signature.
    #[error("no key recovers from this signature")]
    Unrecoverable,
    /// The recovered signer is another account.
    #[error("signed by {found}, expected {expected}")]
    WrongSigner {
        /// Who signed.
        found: Address,
        /// Who should have.
        expected: Address,
    },
}

impl SignatureError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unrecoverable => "wire.signature_unrecoverable",
            Self::WrongSigner { .. } => "wire.signature_wrong_signer",
        }
    }
}

/// A recoverable secp256k1 signature `r ‖ s ‖ v`: `r` and `s` in range, `s` in the lower half, `v` 27 or 28. No
/// second form of the same signature decodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 65]);

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl Signature {
    /// Checks range, low `s` and `v`.
    pub fn from_bytes(bytes: [u8; 65]) -> Option<Self> {
        let (rs, v) = bytes.split_at_checked(64)?;
        let signature = EcdsaSignature::from_slice(rs).ok()?;
        let canonical = signature.normalize_s().is_none() && matches!(v, [27 | 28]);
        canonical.then_some(Self(bytes))
    }

    /// `r ‖ s ‖ v`.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// The account whose key signed `digest`. Source: SEC 1, section 4.1.6.
    ///
    /// By libsecp256k1 wherever there is a C compiler's target, else by [`Self::recover_portable`]: both find the same
    /// account, or none.
    pub fn recover(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        #[cfg(not(target_arch = "wasm32"))]
        return self.recover_native(digest);
        #[cfg(target_arch = "wasm32")]
        return self.recover_portable(digest);
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn recover_native(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
        let (rs, v) = self.0.split_at_checked(64).ok_or(SignatureError::Unrecoverable)?;
        let id = if v == [28] {
            RecoveryId::One
        } else {
            RecoveryId::Zero
        };
        let signature =
            RecoverableSignature::from_compact(rs, id).map_err(|_| SignatureError::Unrecoverable)?;
        let key = signature
            .recover(secp256k1::Message::from_digest(*digest))
            .map_err(|_| SignatureError::Unrecoverable)?;
        Ok(address_of_point(&key.serialize_uncompressed()))
    }

    /// What [`Self::recover`] finds, in Rust alone: several times slower.
    pub fn recover_portable(&self, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        let (rs, v) = self.0.split_at_checked(64).ok_or(SignatureError::Unrecoverable)?;
        let signature = EcdsaSignature::from_slice(rs).map_err(|_| SignatureError::Unrecoverable)?;
        let id = RecoveryId::new(v == [28], false);
        let key = VerifyingKey::recover_from_prehash(digest, &signature, id)
            .map_err(|_| SignatureError::Unrecoverable)?;
        Ok(address_of(&key))
    }

    /// Succeeds when `expected` signed `digest`.
    pub fn check(&self, digest: &[u8; 32], expected: Address) -> Result<(), SignatureError> {
        let found = self.recover(digest)?;
        if found == expected {
            Ok(())
        } else {
            Err(SignatureError::WrongSigner { found, expected })
        }
    }
}

impl Encode for Signature {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Signature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_bytes(reader.array()?).ok_or(DecodeError::Invalid { what: "signature" })
    }
}

fn address_of(key: &VerifyingKey) -> Address {
    address_of_point(key.to_encoded_point(false).as_bytes())
}

/// The account of a public key in its uncompressed form (SEC 1, section 2.3.3).
fn address_of_point(point: &[u8]) -> Address {
    let hash = keccak256(point.get(1..).unwrap_or_default());
    let mut out = [0; 20];
    out.copy_from_slice(hash.get(12..).unwrap_or(&[0; 20]));
    Address(out)
}

/// A secp256k1 private key. Its debug form is the address.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl core::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SecretKey({})", self.address())
    }
}

impl SecretKey {
    /// `None` when the bytes are zero or not below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(bytes).ok().map(Self)
    }

    /// The 32 bytes of the key.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// The account of this key.
    pub fn address(&self) -> Address {
        address_of(self.0.verifying_key())
    }

    /// Signs a digest (RFC 6979, low s). `None` only if the library refuses, which no digest is known to cause.
    pub fn sign(&self, digest: &[u8; 32]) -> Option<Signature> {
        let (signature, id) = self.0.sign_prehash_recoverable(digest).ok()?;
        let (signature, id) = match signature.normalize_s() {
            Some(low) => (low, RecoveryId::new(!id.is_y_odd(), id.is_x_reduced())),
            None => (signature, id),
        };
        let mut bytes = [27; 65];
        for (to, from) in bytes.iter_mut().zip(signature.to_bytes()) {
            *to = from;
        }
        if let Some(v) = bytes.last_mut() {
            *v = if id.is_y_odd() { 28 } else { 27 };
        }
        Signature::from_bytes(bytes)
    }
}
