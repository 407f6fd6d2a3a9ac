//! The module's exports: the caller writes a request into memory, calls, and reads a JSON report.
//!
//! 1. `haca_request(length)` makes room and returns its address, or 0 where the length is above [`REQUEST_BYTES`].
//! 2. The caller writes there: key, statement and proof one after the other; or genesis hash (32 bytes) and file.
//! 3. `haca_verify_proof` or `haca_verify_file` returns a [`Verdict`](crate::Verdict) as a number.
//! 4. `haca_report()` and `haca_report_length()` tell where the report stands, until the next call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use haca_wire::EvidenceKind;
use serde_json::json;

use crate::{Verdict, report};

/// Bytes of the largest request.
pub const REQUEST_BYTES: usize = 16 << 20;

static BUFFERS: Mutex<Buffers> = Mutex::new(Buffers {
    request: Vec::new(),
    report: String::new(),
});

struct Buffers {
    request: Vec<u8>,
    report: String,
}

fn buffers() -> MutexGuard<'static, Buffers> {
    // Both buffers are valid after every statement, so a poisoned lock has nothing broken behind it.
    BUFFERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cuts the request into parts of these lengths, which must use it up.
fn parts<'a>(mut request: &'a [u8], lengths: &[u32]) -> Option<Vec<&'a [u8]>> {
    let mut parts = Vec::new();
    for length in lengths {
        let (part, rest) = request.split_at_checked(usize::try_from(*length).ok()?)?;
        parts.push(part);
        request = rest;
    }
    request.is_empty().then_some(parts)
}

fn answer((verdict, report): (Verdict, serde_json::Value)) -> u32 {
    buffers().report = report.to_string();
    u32::from(verdict as u8)
}

fn misuse() -> (Verdict, serde_json::Value) {
    (
        Verdict::Misuse,
        json!({ "outcome": "misuse", "code": "wasm.lengths" }),
    )
}

/// Makes room for a request of `length` bytes and returns its address; 0 when that is too long.
#[expect(unsafe_code, reason = "an export keeps its name; no memory is touched by it")]
#[unsafe(no_mangle)]
pub extern "C" fn haca_request(length: u32) -> *mut u8 {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > REQUEST_BYTES {
        return core::ptr::null_mut();
    }
    let mut buffers = buffers();
    buffers.request = vec![0; length];
    buffers.request.as_mut_ptr()
}

/// Verifies a proof; the lengths are those of key, statement and proof in the request.
#[expect(unsafe_code, reason = "an export keeps its name; no memory is touched by it")]
#[unsafe(no_mangle)]
pub extern "C" fn haca_verify_proof(key: u32, statement: u32, proof: u32) -> u32 {
    let request = core::mem::take(&mut buffers().request);
    answer(match parts(&request, &[key, statement, proof]).as_deref() {
        Some([key, statement, proof]) => report::verify_proof(key, statement, proof),
        _ => misuse(),
    })
}

/// Verifies the bundle, state file or attack file that follows a genesis hash in the request, as of a time in seconds since
/// 1970. `accepted` are the kinds of evidence that count beside proofs: 1 signatures, 2 optimistic ones, 3 both.
#[expect(unsafe_code, reason = "an export keeps its name; no memory is touched by it")]
#[unsafe(no_mangle)]
pub extern "C" fn haca_verify_file(now_unix_s: u64, accepted: u32) -> u32 {
    let request = core::mem::take(&mut buffers().request);
    let kinds = match accepted {
        0 => &[][..],
        1 => &[EvidenceKind::Signed],
        2 => &[EvidenceKind::Optimistic],
        3 => &[EvidenceKind::Signed, EvidenceKind::Optimistic],
        _ => return answer(misuse()),
    };
    answer(match request.split_first_chunk::<32>() {
        Some((trust, file)) => report::verify_file(*trust, file, now_unix_s, kinds),
        None => misuse(),
    })
}

/// Address of the last report, UTF-8.
#[expect(unsafe_code, reason = "an export keeps its name; no memory is touched by it")]
#[unsafe(no_mangle)]
pub extern "C" fn haca_report() -> *const u8 {
    buffers().report.as_ptr()
}

/// Bytes of the last report.
#[expect(unsafe_code, reason = "an export keeps its name; no memory is touched by it")]
#[unsafe(no_mangle)]
pub extern "C" fn haca_report_length() -> u32 {
    u32::try_from(buffers().report.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn parts_use_the_request_up() {
        assert_eq!(parts(&[1, 2, 3], &[1, 0, 2]), Some(vec![&[1][..], &[], &[2, 3]]));
        assert_eq!(parts(&[1, 2, 3], &[1, 1]), None);
        assert_eq!(parts(&[1, 2, 3], &[1, 3]), None);
        assert_eq!(parts(&[], &[u32::MAX]), None);
    }
}
