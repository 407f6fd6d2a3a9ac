//! The canonical binary codec: fixed-width little-endian integers, `u32` lengths, one-byte tags (`spec/wire.md`,
//! step W1).
//!
//! Each value has exactly one encoding, so bytes that decode re-encode to themselves. Every length is
//! checked against a limit and against the bytes left before anything is allocated.

use thiserror::Error;

/// Why bytes are not the canonical encoding of a value. The offset counts from the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("input ends at byte {offset} where {expected} more bytes are expected")]
    Truncated {
        /// Where the missing bytes would begin.
        offset: usize,
        /// How many bytes the value needs from there.
        expected: usize,
    },
    /// Bytes follow the value.
    #[error("{found} bytes follow the end of the value")]
    Trailing {
        /// How many bytes follow.
        found: usize,
    },
    /// A length is above its limit.
    #[error("length {found} of {what} is above the limit {expected}")]
    TooLong {
        /// What the length counts.
        what: &'static str,
        /// The length read.
        found: usize,
        /// The limit.
        expected: usize,
    },
    /// A tag, flag or version has no meaning here.
    #[error("tag {found} is not a valid {what}")]
    BadTag {
        /// What the tag selects.
        what: &'static str,
        /// The value read.
        found: u64,
    },
    /// A format version that this software does not know, such as that of a later release.
    #[error("format version {found} of {what} is unknown, expected {expected}")]
    UnknownVersion {
        /// What the version belongs to.
        what: &'static str,
        /// The version read.
        found: u8,
        /// The version this software reads.
        expected: u8,
    },
    /// A value is outside its domain, or not in its one canonical form.
    #[error("{what} is out of range or not canonical")]
    Invalid {
        /// Which value.
        what: &'static str,
    },
}

impl DecodeError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "wire.truncated",
            Self::Trailing { .. } => "wire.trailing",
            Self::TooLong { .. } => "wire.too_long",
            Self::BadTag { .. } => "wire.bad_tag",
            Self::UnknownVersion { .. } => "wire.unknown_version",
            Self::Invalid { .. } => "wire.invalid",
        }
    }
}

/// A cursor over untrusted bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `input`.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { input, offset: 0 }
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.input.len().saturating_sub(self.offset)
    }

    /// Reads exactly `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.input.get(self.offset..).unwrap_or_default();
        let bytes = rest.get(..len).ok_or(DecodeError::Truncated {
            offset: self.offset,
            expected: len,
        })?;
        self.offset = self.offset.saturating_add(len);
        Ok(bytes)
    }

    /// Reads exactly `N` bytes into an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Reads a `u32` length of at most `limit` items of at least `item_bytes` bytes each.
    pub fn length(
        &mut self,
        what: &'static str,
        limit: usize,
        item_bytes: usize,
    ) -> Result<usize, DecodeError> {
        let found = u32::decode(self)? as usize;
        if found > limit {
            return Err(DecodeError::TooLong {
                what,
                found,
                expected: limit,
            });
        }
        let expected = found.saturating_mul(item_bytes);
        if expected > self.remaining() {
            return Err(DecodeError::Truncated {
                offset: self.offset,
                expected,
            });
        }
        Ok(found)
    }

    /// Reads a byte string of at most `limit` bytes.
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<Vec<u8>, DecodeError> {
        let len = self.length(what, limit, 1)?;
        Ok(self.take(len)?.to_vec())
    }

    /// Reads a UTF-8 string of at most `limit` bytes.
    pub fn string(&mut self, what: &'static str, limit: usize) -> Result<String, DecodeError> {
        String::from_utf8(self.bytes(what, limit)?).map_err(|_| DecodeError::Invalid { what })
    }

    /// Reads a list of at most `limit` values, each at least one byte long.
    pub fn list<T: Decode>(&mut self, what: &'static str, limit: usize) -> Result<Vec<T>, DecodeError> {
        let len = self.length(what, limit, 1)?;
        let mut out = Vec::new();
        for _ in 0..len {
            out.push(T::decode(self)?);
        }
        Ok(out)
    }

    /// Succeeds when everything has been read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            found => Err(DecodeError::Trailing { found }),
        }
    }
}

/// A value with one canonical encoding.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode_into(&self, out: &mut Vec<u8>);

    /// The whole encoding.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }
}

/// A value that can be read from its canonical encoding.
pub trait Decode: Sized {
    /// Reads one value and leaves the cursor behind it.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads one value and refuses trailing bytes.
    fn decode_all(input: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(input);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Encode for $t {
            fn encode_into(&self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()); }
        }
        impl Decode for $t {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(reader.array()?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64);

impl<const N: usize> Encode for [u8; N] {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

impl Encode for bool {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::BadTag {
                what: "flag",
                found: u64::from(found),
            }),
        }
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.is_some().encode_into(out);
        if let Some(value) = self {
            value.encode_into(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(if bool::decode(reader)? {
            Some(T::decode(reader)?)
        } else {
            None
        })
    }
}

/// Reads a one-byte format version and refuses any but `known`.
pub fn format_version(reader: &mut Reader<'_>, what: &'static str, known: u8) -> Result<(), DecodeError> {
    match u8::decode(reader)? {
        found if found == known => Ok(()),
        found => Err(DecodeError::UnknownVersion {
            what,
            found,
            expected: known,
        }),
    }
}

/// Appends a `u32` length and the bytes. Lengths above `u32::MAX` are cut by no caller: every type bounds its
/// fields far below, and `decode` refuses what exceeds the bound.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a `u32` length and each item.
pub fn put_list<T: Encode>(out: &mut Vec<u8>, items: &[T]) {
    put_length(out, items.len());
    for item in items {
        item.encode_into(out);
    }
}

fn put_length(out: &mut Vec<u8>, len: usize) {
    u32::try_from(len).unwrap_or(u32::MAX).encode_into(out);
}

/// Implements [`Encode`] and [`Decode`] for a struct as the concatenation of its fields.
#[macro_export]
macro_rules! codec_struct {
    ($t:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Encode for $t {
            fn encode_into(&self, out: &mut Vec<u8>) {
                $($crate::codec::Encode::encode_into(&self.$field, out);)*
            }
        }
        impl $crate::codec::Decode for $t {
            fn decode(
                reader: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: $crate::codec::Decode::decode(reader)?),* })
            }
        }
    };
}

/// Implements [`Encode`] and [`Decode`] for a one-field tuple struct.
#[macro_export]
macro_rules! codec_struct_tuple {
    ($t:ident) => {
        impl $crate::codec::Encode for $t {
            fn encode_into(&self, out: &mut Vec<u8>) {
                $crate::codec::Encode::encode_into(&self.0, out);
            }
        }
        impl $crate::codec::Decode for $t {
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self($crate::codec::Decode::decode(reader)?))
            }
        }
    };
}
