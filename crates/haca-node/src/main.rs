//! The full node's binary.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    haca_node::cli::run(std::env::args_os(), &[])
}
