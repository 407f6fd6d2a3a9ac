//! Integration tests of the inference node, on a full node of its own in the same process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod backlog;
mod body;
mod compaction;
mod cover;
mod crash;
mod demand;
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod gate;
mod index;
mod inference;
mod journal;
mod late;
mod model;
mod order;
mod planner;
mod receipt;
mod reservation;
mod settlement;
mod sponsor;
mod start;
mod world;
