//! End to end, with real processes on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod command;
mod crash;
mod demo;
mod local;
mod scorecard;
mod up;
