//! How a command ends when it does not succeed: exit code, stable code, message, hint.

use core::fmt;

/// Exit codes, documented in `docs/reference/exit-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something failed that no other code names.
    Failure = 1,
    /// The command line or an input file is wrong.
    Usage = 2,
    /// A receipt, proof or bundle is refused.
    Rejected = 10,
    /// Not enough is known to accept or refuse.
    Unverifiable = 11,
    /// Verified, but the policy forbids it.
    Policy = 12,
    /// A node cannot be reached or answers wrongly.
    Network = 20,
    /// The receipt exists; whether it is settled is not known.
    SettlementUnknown = 21,
    /// Interrupted; nothing unfinished is left behind.
    Interrupted = 130,
}

/// A failure as the user sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit code.
    pub(crate) exit: Exit,
    /// Stable identifier, as in `docs/reference/errors.md`.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: String,
}

impl Failure {
    /// A failure with all its parts.
    pub(crate) fn new(
        exit: Exit,
        code: impl Into<String>,
        message: impl fmt::Display,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.to_string(),
            hint: hint.into(),
        }
    }

    /// A wrong command line or input file.
    pub(crate) fn usage(code: &str, message: impl fmt::Display, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message, hint)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, action: &str, error: &std::io::Error) -> Self {
        Self::new(
            Exit::Usage,
            "cli.file",
            format!("cannot {action} {}: {error}", path.display()),
            "check the path and its permissions",
        )
    }

    /// The object printed on stdout with `--json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": self.error() })
    }

    /// Code, message and hint as an object.
    pub(crate) fn error(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.code, "message": self.message, "hint": self.hint })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {} [{}]\nhint: {}", self.message, self.code, self.hint)
    }
}
