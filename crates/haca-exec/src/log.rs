//! One line per event on stderr, as `key=value` pairs.

use std::fmt::Display;
use std::io::Write as _;

/// Writes `event` with its details. A closed stderr is no reason to stop serving.
pub(crate) fn event(event: &str, details: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "haca-exec {event} {details}");
}
