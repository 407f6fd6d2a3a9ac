//! One line per event on stderr, as `key=value` pairs; and this machine's clock.

use std::fmt::Display;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes `event` with its details. A closed stderr is no reason to stop serving.
pub(crate) fn event(event: &str, details: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "haca-exec {event} {details}");
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
