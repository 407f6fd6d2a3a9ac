//! Runs cases of the fuzzer: `fuzz SEED FIRST COUNT [MASK [DIRECTORY]]`. `cargo xtask fuzz` starts it.
//!
//! Prints the index of each case before it runs, then a line for each verdict with how often it came up. A case that
//! breaks a property panics, which ends the process. Edits whose bit in MASK is 0 are left out. With a directory, the
//! bytes of each case are written there before it runs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "panics are the result"
)]

#[path = "../tests/fuzz/harness.rs"]
mod fuzz;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use fuzz::{Case, Corpus, check};
use haca_wire::Encode as _;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What a case may take at once: a fixed part, most of it for the 2^20 elements that a graph may arrange, and some for
/// each of its bytes.
const MEMORY: usize = 96 << 20;
const MEMORY_PER_BYTE: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<u64>().unwrap());
    let (seed, first, count) = (number(0).unwrap(), number(1).unwrap(), number(2).unwrap());
    let mask = number(3).map_or(u32::MAX, |mask| mask as u32);
    let corpus = Corpus::read();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut largest = (0, 0);
    let mut out = std::io::stdout().lock();
    for index in first..first + count {
        writeln!(out, "{index}").unwrap();
        out.flush().unwrap();
        let (case, honest) = corpus.altered(seed, index, mask);
        if let Some(directory) = arguments.get(4) {
            write(Path::new(directory), &case);
        }
        let before = PeakAlloc.current_usage();
        PeakAlloc.reset_peak_usage();
        let verdict = check(&case, honest);
        let taken = PeakAlloc.peak_usage().saturating_sub(before);
        let bound = MEMORY + MEMORY_PER_BYTE * case.len();
        assert!(
            taken <= bound,
            "{taken} bytes at once for {} bytes of a case",
            case.len()
        );
        largest = largest.max((taken, index));
        for (what, found) in [("proof", verdict.proof), ("registration", verdict.registration)] {
            if let Some(found) = found {
                let code = found.map_or_else(|refusal| refusal.code(), |()| "accepted, unaltered");
                *codes.entry(format!("{what} {code}")).or_default() += 1;
            }
        }
        let key = if verdict.has_key {
            "key decoded"
        } else {
            "key refused"
        };
        *codes.entry(key.to_owned()).or_default() += 1;
    }
    for (code, count) in codes {
        writeln!(out, "= {count} {code}").unwrap();
    }
    writeln!(out, "^ {} {}", largest.0, largest.1).unwrap();
}

fn write(directory: &Path, case: &Case) {
    std::fs::create_dir_all(directory).unwrap();
    let inferences: Vec<u8> = case
        .inferences
        .iter()
        .flat_map(|inference| inference.encode())
        .collect();
    let count = (case.inferences.len() as u32).encode();
    let files = [
        ("of", case.name.as_bytes()),
        ("key", &case.key),
        ("context", &case.context),
        ("inferences", &[count, inferences].concat()),
        ("proof", &case.proof),
        ("registration", &case.registration),
    ];
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}
