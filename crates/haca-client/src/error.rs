//! What can go wrong between a client and the nodes it talks to.

use thiserror::Error;

/// A failed request, or a file of the client that can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection, or none in time.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// The transport's words.
        reason: String,
    },
    /// The node refused the request.
    #[error("{url} refused with HTTP {status}: {message} [{refusal}]")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// The node's stable code; empty when it gave none.
        refusal: String,
        /// The node's message.
        message: String,
        /// The node's hint; empty when it gave none.
        hint: String,
    },
    /// The node answered with something else than its interface says.
    #[error("{url} answered with {found} where {expected} is expected")]
    Malformed {
        /// The address.
        url: String,
        /// What came.
        found: String,
        /// What the interface says.
        expected: &'static str,
    },
    /// A transaction was included and failed, or will not be included any more.
    #[error("transaction {tx} failed with code {found}: {log}")]
    TransactionFailed {
        /// The transaction.
        tx: haca_wire::TxHash,
        /// Its result code.
        found: u32,
        /// Its log.
        log: String,
    },
    /// What was waited for has not happened in time. It may still happen.
    #[error("{what} is not known after {waited_s} s")]
    Pending {
        /// What was waited for.
        what: String,
        /// How long.
        waited_s: u64,
    },
    /// The node belongs to another network than the trusted one.
    #[error("the node's genesis hash is {found}, expected {expected}")]
    OtherNetwork {
        /// Hash of the node's genesis document.
        found: haca_wire::GenesisHash,
        /// The trusted hash.
        expected: haca_wire::GenesisHash,
    },
    /// The model is not registered, or is not the one that its id names.
    #[error("{url} knows no model {model}")]
    UnknownModel {
        /// The address.
        url: String,
        /// The model.
        model: haca_wire::ModelId,
    },
    /// The request is none that the model can answer.
    #[error("request: {0}")]
    Request(haca_wire::render::RenderError),
    /// The node proves a state from before a header that is already known.
    #[error("{url} is at header {found}, expected {expected} or later")]
    Stale {
        /// The address.
        url: String,
        /// The newest header that the node proves by.
        found: haca_wire::Height,
        /// A header that is already known.
        expected: haca_wire::Height,
    },
    /// A trust store that can't be read, written or used.
    #[error("trust store {path}: {reason}")]
    TrustStore {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Receipts that no voucher may cover, or a node's answer to one that is not its root.
    #[error("no voucher: {reason}")]
    Voucher {
        /// Why.
        reason: &'static str,
    },
    /// A voucher on disk that can't be read or written.
    #[error("voucher {path}: {reason}")]
    VoucherStore {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A key file that can't be read, written or used.
    #[error("key file {path}: {reason}")]
    KeyFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The system gives no random bytes, or the signing library refuses.
    #[error("cannot {what}")]
    Crypto {
        /// What failed.
        what: &'static str,
    },
}

impl ClientError {
    /// A stable identifier for programs and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "client.unreachable",
            Self::Refused { .. } => "client.refused",
            Self::Malformed { .. } => "client.malformed",
            Self::TransactionFailed { .. } => "client.transaction_failed",
            Self::Pending { .. } => "client.pending",
            Self::OtherNetwork { .. } => "client.other_network",
            Self::UnknownModel { .. } => "client.unknown_model",
            Self::Request(error) => error.code(),
            Self::Stale { .. } => "client.stale",
            Self::TrustStore { .. } => "client.trust_store",
            Self::Voucher { .. } => "client.voucher",
            Self::VoucherStore { .. } => "client.voucher_store",
            Self::KeyFile { .. } => "client.key_file",
            Self::Crypto { .. } => "client.crypto",
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { .. } => {
                "check the address and that the node runs (`haca up` starts one)".into()
            }
            Self::Refused { hint, .. } if !hint.is_empty() => hint.clone(),
            Self::Refused { .. } => "the node's log says more".into(),
            Self::Malformed { .. } => "check that the address is that of a HACA node of this version".into(),
            Self::TransactionFailed { .. } => "the code table stands in spec/ledger.md".into(),
            Self::Pending { .. } => "ask again later: nothing was lost".into(),
            Self::OtherNetwork { .. } => "check the address, and the genesis hash that you trust".into(),
            Self::UnknownModel { .. } => "wait until the registration is in a block, or check the id".into(),
            Self::Request(error) => error.hint().into(),
            Self::Stale { .. } => "the node lags behind or shows an old state: ask another".into(),
            Self::TrustStore { .. } => {
                "name another file with --store; without it, trust starts anew at a checkpoint or the first block".into()
            }
            Self::Voucher { .. } => "the node settles these receipts one by one; nothing is lost".into(),
            Self::VoucherStore { .. } => "check the directory's permissions, and bring a damaged file back from a copy; a voucher that is not on disk is not sent".into(),
            Self::KeyFile { .. } => {
                "a key file holds 64 hexadecimal digits and is readable by its owner only".into()
            }
            Self::Crypto { .. } => "check the system's source of randomness".into(),
        }
    }
}
