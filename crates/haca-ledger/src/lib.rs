//! The deterministic state machine of the network: accounts, models, inference nodes, bonds, channels,
//! settlement, claims, the burn, and the validators that decide its blocks.
//!
//! Use this crate to turn a block of transactions into state changes and outcomes, and to decide what may stand
//! in a mempool or in a proposed block. The written form is `spec/ledger.md`.
//!
//! # Key types
//!
//! [`StateReader`] is the committed state, a key/value store. [`init_genesis`] and [`execute_block`] return the
//! writes to commit; [`check_tx`], [`check_proposal`] and [`select_proposal`] guard the way into a block.
//! [`CheckProof`] verifies the evidence. [`TxOutcome`] and [`Refusal`] say what became of a transaction;
//! [`audit`](audit()) recounts every asset and [`export`](export()) writes the whole state as JSON.
//!
//! # Invariants
//!
//! * Equal state and block give equal writes and outcomes: no I/O, clock, thread, floating point, or map without
//!   order. Only entries under known keys are read, so whatever decides an outcome can be proven.
//! * Per asset, balances + escrow + held + bonds + stakes + unbonding + pool + burned = issued. A block that would break
//!   this is not executed ([`LedgerError::Unbalanced`]).
//! * A refused transaction leaves its burned gas, its tip and its nonce, and nothing else.
//! * No input makes it panic.
//!
//! # Limits
//!
//! [`haca_wire::limit`], the parameters of genesis, [`sweep::PER_BLOCK`] and [`sweep::CALENDAR_STEPS`].

#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used
)]

mod admission;
mod audit;
mod bank;
mod block;
mod check;
mod error;
mod export;
mod fee;
pub mod genesis;
mod governance;
mod message;
mod outcome;
mod overlay;
mod params;
mod proposal;
pub mod query;
mod refusal;
mod state_reader;
pub mod sweep;
mod validators;

pub use audit::{Audit, AuditError, audit};
pub use block::{BlockContext, CommitVote, Misbehaviour, MisbehaviourKind, execute_block};
pub use check::{CheckProof, EvidenceJob, ModelFacts, evidence_job, evidence_places, signatures};
pub use error::{GenesisError, LedgerError};
pub use export::{ExportText, export, record_json};
pub use fee::{BASE_FEE_FLOOR, RESPOND_SHARE, next_base_fee, tip_density, usable_gas};
pub use genesis::{Genesis, GenesisOutcome, init_genesis, standard_params};
pub use governance::LATEST_VERSION;
pub use outcome::{BlockOutcome, Effect, Lapse, TxOutcome, tx_hash};
pub use params::ParamFault;
pub use proposal::{Admission, CheckMode, ProposalRefusal, check_proposal, check_tx, select_proposal};
pub use refusal::Refusal;
pub use state_reader::{ReadError, StateReader, Writes};
pub use validators::ValidatorUpdate;
