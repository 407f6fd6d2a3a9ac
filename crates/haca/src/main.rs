//! `haca`: run, use and verify a HACA network.
//!
//! stdout carries the result, stderr the rest; `--json` prints one object on stdout. Exit codes are listed in
//! `docs/reference/exit-codes.md`.

mod args;
mod bench;
mod claim;
mod cover;
mod demand;
mod demo;
mod doctor;
mod failure;
mod held;
mod infer;
mod light;
mod model;
mod network;
mod node_report;
mod picture;
mod proof;
mod quantisation;
mod sample;
mod score;
mod screen;
mod search;
mod serve;
mod session;
mod setup;
mod signals;
mod simulate;
mod state;
mod testnet;
mod tx;
mod up;
mod validator;
mod verify;
mod work;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::screen::Screen;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    network::end_with_parent();
    if let Command::Node(node) = &args.command {
        return serve::node(node);
    }
    let screen = Screen::new(args.json, args.quiet);
    match run(&args, &screen) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            screen.object(&failure.json());
            eprint_failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn eprint_failure(failure: &Failure) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{failure}");
}

fn run(args: &Args, screen: &Screen) -> Result<u8, Failure> {
    match &args.command {
        Command::Demo(demo) => demo::run(demo, screen),
        Command::Up(up) => up::run(up, screen),
        Command::Testnet(testnet) => testnet::run(testnet, screen),
        Command::Infer(infer) => infer::run(infer, screen),
        Command::Claim(claim) => claim::run(claim, screen),
        Command::Cover(cover) => cover::run(cover, screen),
        Command::Demand(demand) => demand::run(demand, screen),
        Command::Verify(verify) => verify::run(verify, screen),
        Command::Model(model) => model::run(model, screen),
        Command::Zk(zk) => proof::run(zk, screen),
        Command::Supply(at) => state::supply(at, screen),
        Command::State(state) => light::run(state, screen),
        Command::Tx(tx) => tx::run(tx, screen),
        Command::Validator(validator) => validator::run(validator, screen),
        Command::Doctor(doctor) => doctor::run(doctor, screen),
        Command::Bench(bench) => bench::run(bench, screen),
        Command::Simulate(simulate) => simulate::run(simulate, screen),
        Command::Serve(serve) => serve::run(serve, screen),
        Command::Sponsor(sponsor) => serve::sponsor(sponsor, screen),
        Command::NodeReport(report) => node_report::run(report, screen),
        // Handled before: a full node has exit codes and output of its own.
        Command::Node(_) => Ok(0),
        Command::Completions { shell } => {
            args::completions(*shell);
            Ok(0)
        }
    }
}
