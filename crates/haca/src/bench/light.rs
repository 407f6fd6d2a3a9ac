//! `haca bench light`: how long a light client takes to verify a file.

use std::time::Instant;

use haca_verify::{Outcome, Policy, is_state_file, verify_bundle, verify_state};
use haca_wire::{Decode as _, light_file::StateFile};
use serde_json::json;

use super::{cpu, median, ms};
use crate::args::BenchLight;
use crate::failure::{Exit, Failure};
use crate::screen::Screen;
use crate::verify::{now_unix_s, read_bundle};

/// Runs the command.
pub(crate) fn run(bench: &BenchLight, screen: &Screen) -> Result<u8, Failure> {
    let bytes = read_bundle(&bench.file)?;
    let policy = Policy {
        checkpoint: bench.checkpoint,
        ..Policy::default()
    };
    let now = bench.at.unwrap_or_else(now_unix_s);
    let verify = || match is_state_file(&bytes) {
        true => verify_state(&bytes, bench.trust, now, &policy).outcome(),
        false => verify_bundle(&bytes, bench.trust, now, &policy).outcome(),
    };
    let outcome = verify();
    if outcome != Outcome::Verified || bench.runs == 0 {
        return Err(Failure::new(
            Exit::Unverifiable,
            "cli.bench_light",
            format!("the file is {outcome}"),
            "time what verifies: `haca verify` says what is missing; --runs is at least 1",
        ));
    }
    let times: Vec<f64> = (0..bench.runs)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(verify());
            ms(start)
        })
        .collect();
    let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
    let median = median(times);
    let file = StateFile::decode_all(&bytes).ok();
    let blocks = file.as_ref().map(|file| file.light_blocks.len());
    let validators = file
        .as_ref()
        .and_then(|file| file.light_blocks.last())
        .map(|block| block.validators.len());
    screen.say(format!(
        "verified in {median:.3} ms (median of {}, fastest {fastest:.3} ms): {} bytes on {}",
        bench.runs,
        bytes.len(),
        cpu()
    ));
    screen.object(&json!({
        "verify_ms": median,
        "fastest_ms": fastest,
        "runs": bench.runs,
        "bytes": bytes.len(),
        "light_blocks": blocks,
        "validators": validators,
        "cpu": cpu(),
    }));
    Ok(0)
}
