//! Why bytes from a node are not what they should be.

use thiserror::Error;

/// A genesis document, light block or state proof that can't be read. (What can be read and is false is not an
/// error but a failed check.)
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The genesis document is not one.
    #[error("genesis document: {what}: {reason}")]
    Genesis {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Bytes are no signed header.
    #[error("signed header: {reason}")]
    SignedHeader {
        /// What is wrong.
        reason: String,
    },
    /// The bytes decode, but are not the one encoding of what they say.
    #[error("{what} of {found} bytes is not in canonical form ({expected} bytes)")]
    NotCanonical {
        /// What.
        what: &'static str,
        /// Length found.
        found: usize,
        /// Length of the canonical form.
        expected: usize,
    },
    /// A list of validators is no validator set.
    #[error("validator set: {reason}")]
    ValidatorSet {
        /// What is wrong.
        reason: &'static str,
    },
    /// A number is outside the range of the chain.
    #[error("{what} {found} is above {expected}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The limit.
        expected: u64,
    },
    /// A commit does not carry one valid signature or absence per validator.
    #[error("commit, validator {index}: {reason}")]
    Commit {
        /// Position in the set.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes are no ICS-23 existence proof.
    #[error("state proof: {reason}")]
    StateProof {
        /// What is wrong.
        reason: String,
    },
    /// Text is no root of a test set.
    #[error("root of a test set: {found} characters, expected {expected} hexadecimal digits")]
    TestSetRoot {
        /// Characters found.
        found: usize,
        /// Digits expected.
        expected: usize,
    },
}

impl VerifyError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "verify.genesis",
            Self::SignedHeader { .. } => "verify.signed_header",
            Self::NotCanonical { .. } => "verify.not_canonical",
            Self::ValidatorSet { .. } => "verify.validator_set",
            Self::Range { .. } => "verify.range",
            Self::Commit { .. } => "verify.commit",
            Self::StateProof { .. } => "verify.state_proof",
            Self::TestSetRoot { .. } => "verify.test_set_root",
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => {
                "take the genesis document from the network's operator and check its hash"
            }
            Self::TestSetRoot { .. } => "`haca model score` and `haca verify` print it: 0x and 64 digits",
            _ => "fetch it again, from another node if it stays so",
        }
    }
}
