//! The verifier as a WebAssembly module, for browsers and Node.js.
//!
//! Use this crate to check a proof, a bundle, or what a light client wrote where no server has to be trusted: in the reader's own browser. The
//! module imports nothing, so it can reach neither network nor clock; the caller passes the time. `verify.mjs`
//! beside this crate is a client.
//!
//! # Key types
//!
//! [`verify_proof`] and [`verify_file`] as Rust functions, [`exchange`] with the module's exports, [`Statement`].
//!
//! # Invariants
//!
//! Every byte string leads to a report; a report says `verified` only where `haca-verify` does.
//!
//! # Limits
//!
//! Those of `haca_wire::limit`; one call is served at a time.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod entropy;
pub mod exchange;
mod report;
mod statement;

pub use report::{Verdict, verify_file, verify_proof};
pub use statement::Statement;
