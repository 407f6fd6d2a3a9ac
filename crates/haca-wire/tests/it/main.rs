//! Tests of the contract through its public interface.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod codec;
mod decimal;
mod record;
mod render;
mod sample;
mod signature;
mod transaction;
mod typed_data;
mod vectors;
