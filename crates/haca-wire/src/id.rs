//! Newtypes of the protocol: 32-byte identifiers, addresses, assets, amounts, heights (`spec/wire.md`, step W2).

use core::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// Text that is not the hexadecimal form of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// Not the right number of hexadecimal digits.
    #[error("expected {expected} hexadecimal digits, with or without 0x")]
    Digits {
        /// The number of digits the identifier has.
        expected: usize,
    },
    /// An address in capital and small letters that are not its checksum (EIP-55): it was mistyped.
    #[error("the capital letters of this address are not its checksum (EIP-55): it is mistyped")]
    Checksum,
}

impl ParseIdError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Digits { .. } => "wire.parse_id",
            Self::Checksum => "wire.address_checksum",
        }
    }
}

/// The bytes of `2 * N` hexadecimal digits, with or without `0x`.
fn parse_digits<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let mut out = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut out).map_err(|_| {
        ParseIdError::Digits {
            expected: N.saturating_mul(2),
        }
    })?;
    Ok(out)
}

macro_rules! byte_ids {
    ($($(#[$doc:meta])* $name:ident[$len:literal];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] { &self.0 }
            /// Whether every byte is zero, the form that stands for "none".
            pub fn is_zero(&self) -> bool { self.0 == [0; $len] }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl Encode for $name {
            fn encode_into(&self, out: &mut Vec<u8>) { out.extend_from_slice(&self.0); }
        }
        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> { Ok(Self(reader.array()?)) }
        }
    )*};
}

macro_rules! hex_text {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> { parse_digits(text).map(Self) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }
    )*};
}

byte_ids! {
    /// BLAKE3 of the exact bytes of the genesis document: the trust anchor of a network and the EIP-712 salt.
    GenesisHash[32];
    /// Identity of a model: see `spec/zk.md`, step "model id".
    ModelId[32];
    /// Identity of a payment channel: EIP-712 digest of the [`Quote`](crate::order::Quote) that opened it.
    ChannelId[32];
    /// EIP-712 digest of an [`Order`](crate::order::Order).
    OrderHash[32];
    /// EIP-712 digest of a [`Receipt`](crate::receipt::Receipt).
    ReceiptHash[32];
    /// BLAKE3 of the request bytes as they crossed the wire.
    RequestHash[32];
    /// BLAKE3 of the response bytes as they crossed the wire.
    ResponseHash[32];
    /// Root of a list of tensors: see [`tensor_root`](crate::tensor::tensor_root).
    TensorRoot[32];
    /// SHA-256 of the encoded signed transaction, as CometBFT computes it.
    TxHash[32];
    /// Hash of a block header, as CometBFT computes it.
    BlockHash[32];
    /// Random value that makes a transaction unique until its expiry height.
    Nonce[32];
    /// The ed25519 public key with which a validator signs blocks.
    ConsensusKey[32];
    /// A validator's name in consensus: the first 20 bytes of the SHA-256 of its key.
    ConsensusAddress[20];
    /// A secp256k1 account: the last 20 bytes of Keccak-256 of the public key.
    Address[20];
}
hex_text!(
    GenesisHash,
    ModelId,
    ChannelId,
    OrderHash,
    ReceiptHash,
    RequestHash,
    ResponseHash,
    TensorRoot,
    TxHash,
    BlockHash,
    ConsensusKey,
    ConsensusAddress,
    Nonce
);

impl ConsensusKey {
    /// The name of the validator with this key.
    pub fn address(&self) -> ConsensusAddress {
        let mut address = ConsensusAddress::default();
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        for (byte, hashed) in address.0.iter_mut().zip(digest) {
            *byte = hashed;
        }
        address
    }
}

impl FromStr for Address {
    type Err = ParseIdError;

    /// Digits of one case, or the mixed-case checksum form of EIP-55.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let address = Self(parse_digits(text)?);
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mixed = digits.contains(|c: char| c.is_ascii_lowercase())
            && digits.contains(|c: char| c.is_ascii_uppercase());
        if mixed && address.to_string().strip_prefix("0x") != Some(digits) {
            return Err(ParseIdError::Checksum);
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    /// The mixed-case checksum form of EIP-55.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.0);
        let check = hex::encode(crate::eip712::keccak256(digits.as_bytes()));
        f.write_str("0x")?;
        for (digit, nibble) in digits.chars().zip(check.chars()) {
            let digit = if nibble >= '8' {
                digit.to_ascii_uppercase()
            } else {
                digit
            };
            fmt::Write::write_char(f, digit)?;
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
        impl FromStr for $name {
            type Err = core::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
        impl $name {
            /// Sum, or `None` on overflow.
            pub fn checked_add(self, other: Self) -> Option<Self> { self.0.checked_add(other.0).map(Self) }
            /// Difference, or `None` below zero.
            pub fn checked_sub(self, other: Self) -> Option<Self> { self.0.checked_sub(other.0).map(Self) }
        }
        impl Encode for $name {
            fn encode_into(&self, out: &mut Vec<u8>) { self.0.encode_into(out); }
        }
        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(Decode::decode(reader)?))
            }
        }
    )*};
}

numbers! {
    /// An asset by index; 0 is OPG.
    AssetId(u32);
    /// An amount in the asset's smallest unit.
    Amount(u128);
    /// The number in the EIP-712 domain that tells networks apart.
    ChainId(u64);
    /// A block height.
    Height(u64);
    /// Position of an order in its channel, from 0.
    Sequence(u64);
    /// A reading of the settlement clock, in ticks: see `spec/ledger.md`.
    Tick(u64);
    /// A proposal's number, from 1.
    ProposalId(u64);
    /// Verification work; one unit is about one nanosecond on the reference machine.
    Gas(u64);
}

impl AssetId {
    /// The asset that bonds are posted in and verification burns.
    pub const OPG: Self = Self(0);
}
