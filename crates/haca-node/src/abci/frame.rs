//! Frames: a varint length, then that many bytes.

use std::io::{self, BufRead, ErrorKind, Read as _};

/// Largest frame in bytes: the largest block CometBFT allows, and room for the message around it.
pub const MAX_FRAME_BYTES: u64 = 128 << 20;

/// Reads one frame; `None` at the end of the stream.
pub fn read_frame(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = read_length(reader)? else {
        return Ok(None);
    };
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {length} bytes is above the limit of {MAX_FRAME_BYTES}"),
        ));
    }
    // Grows with what arrives, so that a large announcement alone takes no memory.
    let mut frame = Vec::new();
    let read = reader.by_ref().take(length).read_to_end(&mut frame)?;
    if read as u64 != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(frame))
}

fn read_length(reader: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = 0_u64;
    for shift in (0..64).step_by(7) {
        let Some(byte) = reader.fill_buf()?.first().copied() else {
            return match shift {
                0 => Ok(None),
                _ => Err(ErrorKind::UnexpectedEof.into()),
            };
        };
        reader.consume(1);
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        length |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(length));
        }
    }
    Err(io::Error::new(
        ErrorKind::InvalidData,
        "a frame length does not end",
    ))
}
