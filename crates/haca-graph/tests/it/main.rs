//! Tests of the integer graph through its public interface.

#![allow(clippy::unwrap_used, reason = "tests")]

mod build;
mod codec;
mod growth;
mod images;
mod random;
mod reference;
mod vectors;
