//! What a sponsor pays for.

use std::collections::BTreeSet;

use haca_wire::{Address, Amount, Height, Message, Transaction};
use thiserror::Error;

/// Blocks ahead up to which a transaction may expire.
const LIFETIME: u64 = 100;

/// A sponsor's rules. Amounts are OPG in its smallest unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SponsorPolicy {
    /// The nodes whose settlements are paid for.
    pub nodes: BTreeSet<Address>,
    /// The most per gas.
    pub max_base_fee: Amount,
    /// The most for one transaction: gas times the base fee that it is signed for, and its tip.
    pub max_transaction: Amount,
    /// The most for one node and day, counted as each transaction may cost at most.
    pub per_day: Amount,
}

/// Why a sponsor does not sign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SponsorRefusal {
    /// The bytes are no signed transaction.
    #[error("the body is not a transaction signed by its sender")]
    Encoding,
    /// The sender did not sign.
    #[error("the sender did not sign the transaction")]
    Signature,
    /// The node is not sponsored.
    #[error("settlements of {found} are not sponsored")]
    Node {
        /// The sender.
        found: Address,
    },
    /// Another sponsor is named.
    #[error("the transaction names sponsor {found}, this is {expected}")]
    Account {
        /// Who is named.
        found: Address,
        /// This sponsor.
        expected: Address,
    },
    /// The message is neither a settlement nor an answer to a demand.
    #[error("{found} is not sponsored, only SettleBatch, SettleVouchers and Respond are")]
    Message {
        /// The message.
        found: &'static str,
    },
    /// The transaction is signed for too high a base fee.
    #[error("the transaction is signed for {found} per gas, at most {expected} is sponsored")]
    BaseFee {
        /// What is signed.
        found: Amount,
        /// The limit.
        expected: Amount,
    },
    /// The transaction may cost too much.
    #[error("the transaction may cost {found}, at most {expected} is sponsored")]
    Transaction {
        /// What it may cost.
        found: Amount,
        /// The limit.
        expected: Amount,
    },
    /// The node has used up its day.
    #[error("{found} would be spent for this node today, at most {expected} is sponsored")]
    Day {
        /// With this transaction.
        found: Amount,
        /// The limit.
        expected: Amount,
    },
    /// The transaction holds for too long.
    #[error("the transaction expires at height {found}, at most {expected} is sponsored")]
    Expiry {
        /// Its expiry.
        found: Height,
        /// The limit.
        expected: Height,
    },
    /// The chain, or the sponsor's own books, can't be reached.
    #[error("the sponsor can't look at the chain or write to its books at present")]
    Unavailable,
}

impl SponsorRefusal {
    /// A stable identifier.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Encoding => "sponsor.encoding",
            Self::Signature => "sponsor.signature",
            Self::Node { .. } => "sponsor.node",
            Self::Account { .. } => "sponsor.account",
            Self::Message { .. } => "sponsor.message",
            Self::BaseFee { .. } => "sponsor.base_fee",
            Self::Transaction { .. } => "sponsor.transaction",
            Self::Day { .. } => "sponsor.day",
            Self::Expiry { .. } => "sponsor.expiry",
            Self::Unavailable => "sponsor.unavailable",
        }
    }

    /// What the node's operator can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Encoding | Self::Signature | Self::Account { .. } | Self::Expiry { .. } => {
                "check that node and sponsor run the same version, on the same network"
            }
            Self::Node { .. } => "agree with the sponsor on it",
            Self::Message { .. } => "pay the gas of other messages from the node's own account",
            Self::BaseFee { .. } | Self::Transaction { .. } | Self::Day { .. } => {
                "pay from the node's own account, or agree with the sponsor on more"
            }
            Self::Unavailable => "try again later",
        }
    }

    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Encoding | Self::Signature | Self::Account { .. } | Self::Message { .. } => 400,
            Self::Node { .. } => 403,
            Self::BaseFee { .. } | Self::Transaction { .. } | Self::Expiry { .. } => 422,
            Self::Day { .. } => 429,
            Self::Unavailable => 503,
        }
    }
}

impl SponsorPolicy {
    /// The most that a transaction may cost, or why it is not paid for.
    pub fn weigh(
        &self,
        tx: &Transaction,
        account: Address,
        gas: u64,
        head: Height,
    ) -> Result<Amount, SponsorRefusal> {
        let meta = &tx.meta;
        if meta.sponsor != account {
            return Err(SponsorRefusal::Account {
                found: meta.sponsor,
                expected: account,
            });
        }
        if !self.nodes.contains(&meta.sender) {
            return Err(SponsorRefusal::Node { found: meta.sender });
        }
        let is_paid_for = matches!(
            tx.message,
            Message::SettleBatch { .. } | Message::SettleVouchers { .. } | Message::Respond { .. }
        );
        if !is_paid_for {
            let found = tx.message.name();
            return Err(SponsorRefusal::Message { found });
        }
        let latest = Height(head.0.saturating_add(LIFETIME));
        if meta.expiry > latest {
            return Err(SponsorRefusal::Expiry {
                found: meta.expiry,
                expected: latest,
            });
        }
        if meta.max_base_fee > self.max_base_fee {
            return Err(SponsorRefusal::BaseFee {
                found: meta.max_base_fee,
                expected: self.max_base_fee,
            });
        }
        let burned = meta.max_base_fee.0.saturating_mul(gas.into());
        let found = Amount(burned.saturating_add(meta.tip.0));
        if found > self.max_transaction {
            return Err(SponsorRefusal::Transaction {
                found,
                expected: self.max_transaction,
            });
        }
        Ok(found)
    }
}
