//! Named arrays in NumPy's `.npz` format: a zip archive of `.npy` files, stored or deflated.

use std::collections::BTreeMap;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use crate::npy::{self, Array};
use crate::{OnnxError, limit};

/// The bytes a zip archive begins with.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// Length of the record that ends an archive, without its comment.
const END_BYTES: usize = 22;
/// Marks a size that stands in the zip64 extra field.
const IN_EXTRA: usize = 0xffff_ffff;

fn refuse(reason: &str) -> OnnxError {
    OnnxError::SampleFile {
        reason: format!("npz: {reason}"),
    }
}

fn cut_off() -> OnnxError {
    refuse("the archive is cut off or damaged")
}

/// Reads all arrays, by name without `.npy`.
pub(crate) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Array>, OnnxError> {
    let mut arrays = BTreeMap::new();
    let mut total = 0usize;
    for member in directory(bytes)? {
        let data = member.data(bytes)?;
        total = total.saturating_add(data.len());
        npy::check_size(total)?;
        let name = member
            .name
            .strip_suffix(".npy")
            .unwrap_or(&member.name)
            .to_owned();
        if arrays.insert(name, npy::read(&data)?).is_some() {
            return Err(refuse("two arrays have one name"));
        }
    }
    Ok(arrays)
}

/// One entry of the central directory.
struct Member {
    name: String,
    deflated: bool,
    crc: u32,
    packed: usize,
    unpacked: usize,
    offset: usize,
}

/// Finds the end record, then reads the central directory.
fn directory(bytes: &[u8]) -> Result<Vec<Member>, OnnxError> {
    let last = bytes.len().checked_sub(END_BYTES).ok_or_else(cut_off)?;
    // A comment of up to 64 KiB may follow the record.
    let first = last.saturating_sub(0xffff);
    let found = (first..=last)
        .rev()
        .find(|at| bytes[*at..].starts_with(END))
        .ok_or_else(cut_off)?;
    let end = &bytes[found..];
    let (count, start) = (number(end, 10, 2)?, number(end, 16, 4)?);
    if count > limit::ARRAYS {
        return Err(OnnxError::TooLarge {
            what: "arrays",
            found: count,
            expected: limit::ARRAYS,
        });
    }
    let mut rest = bytes.get(start..).ok_or_else(cut_off)?;
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, len) = Member::read(rest)?;
        members.push(member);
        rest = rest.get(len..).ok_or_else(cut_off)?;
    }
    Ok(members)
}

impl Member {
    /// Reads one entry, and its length.
    fn read(entry: &[u8]) -> Result<(Self, usize), OnnxError> {
        if !entry.starts_with(CENTRAL) {
            return Err(cut_off());
        }
        if number(entry, 8, 2)? & 1 != 0 {
            return Err(refuse("the archive is encrypted"));
        }
        let deflated = match number(entry, 10, 2)? {
            0 => false,
            8 => true,
            _ => return Err(refuse("the compression is neither none nor deflate")),
        };
        let (name_len, extra_len, comment_len) = (
            number(entry, 28, 2)?,
            number(entry, 30, 2)?,
            number(entry, 32, 2)?,
        );
        let name = entry.get(46..46 + name_len).ok_or_else(cut_off)?;
        let name = core::str::from_utf8(name)
            .map_err(|_| refuse("a name is not UTF-8"))?
            .to_owned();
        let (packed, unpacked, offset) = (
            number(entry, 20, 4)?,
            number(entry, 24, 4)?,
            number(entry, 42, 4)?,
        );
        if [packed, unpacked, offset].contains(&IN_EXTRA) {
            return Err(refuse("an array is above 4 GiB"));
        }
        let crc = u32::try_from(number(entry, 16, 4)?).map_err(|_| cut_off())?;
        let member = Self {
            name,
            deflated,
            crc,
            packed,
            unpacked,
            offset,
        };
        Ok((member, 46 + name_len + extra_len + comment_len))
    }

    /// The bytes of the member, unpacked and checked.
    fn data(&self, bytes: &[u8]) -> Result<Vec<u8>, OnnxError> {
        npy::check_size(self.unpacked)?;
        let local = bytes
            .get(self.offset..)
            .filter(|l| l.starts_with(LOCAL))
            .ok_or_else(cut_off)?;
        let start = 30 + number(local, 26, 2)? + number(local, 28, 2)?;
        let packed = local
            .get(start..)
            .and_then(|l| l.get(..self.packed))
            .ok_or_else(cut_off)?;
        let data = if self.deflated {
            // The limit is the size the directory states, itself checked above.
            decompress_to_vec_with_limit(packed, self.unpacked)
                .map_err(|_| refuse("compressed data is damaged"))?
        } else {
            packed.to_vec()
        };
        if data.len() != self.unpacked || crc32(&data) != self.crc {
            return Err(refuse(&format!(
                "the checksum of \"{}\" is wrong",
                self.name.escape_debug()
            )));
        }
        Ok(data)
    }
}

/// A little-endian number of `len` bytes at `at`.
fn number(record: &[u8], at: usize, len: usize) -> Result<usize, OnnxError> {
    let field = record.get(at..at + len).ok_or_else(cut_off)?;
    Ok(field.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
}

/// CRC-32 as zip files use it: polynomial 0xedb88320, bits reflected.
fn crc32(data: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (value, entry) in (0u32..).zip(table.iter_mut()) {
        *entry = (0..8).fold(value, |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        });
    }
    !data.iter().fold(!0, |crc, byte| {
        crc >> 8 ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize]
    })
}
