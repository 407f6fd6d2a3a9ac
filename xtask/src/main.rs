//! Project tasks. `cargo xtask` prints what there is.

mod cometbft;
mod compatibility;
mod docs;
mod fuzz;
mod layers;
mod links;
mod mutants;
mod network;
mod perturb;
mod python;
mod source;
mod step;
mod suite;
mod symbols;
mod tokens;
mod wallets;
mod wasm;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::step::say;
use crate::workspace::Workspace;

const USAGE: &str = "\
Project tasks

Usage: cargo xtask COMMAND

  test [--fast]    Format, lints, walls, documentation, all tests, WebAssembly, Python; ends with the counts.
                   --fast leaves out what builds more than the tests: binary wall, WebAssembly,
                   Python, a running network
  layers [--binary]
                   Check the walls between crates: dependencies and sources; --binary builds `haca-node` alone and
                   checks its symbols, too, which `test` always does
  wasm [--release] Build the verifier for WebAssembly and verify a proof with it in Node.js
  network          Run a network, order inferences, verify them in WebAssembly, audit the chain in Python
  wallets          Have viem, MetaMask's library and eth_account sign and recover every kind of signed value
  docs [--write]   Check links, and that docs/reference/errors.md lists every error code; --write renews the list
  fuzz [--seconds N] [--seed S]
                   Alter honest keys, statements and proofs, and look for one that is accepted or stops the verifier
  mutants PACKAGE [--also PACKAGE] [--jobs N] [--again] [FILE ...]
                   Alter the sources of a package in thousands of ways, and list in target/mutants.txt what its
                   tests do not notice; --also names a package whose tests run on the rest, and --again runs
                   nothing but what survived before
  perturb [--minutes N] [--seed S] [--sockets] [--json]
                   Run four validators while nodes, links, disks and clocks fail, a fifth node joins and validators
                   change, and check that the state is one and each receipt is settled once; 5 minutes by default
  compatibility    Start and settle under the other versions of CometBFT, and decide blocks with its remote signer
  tools [--signer] Print the path of the pinned CometBFT, or of its remote signer, after installing it where it is missing
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match arguments {
        ["test"] => suite::run(&Workspace::find()?, false),
        ["test", "--fast"] => suite::run(&Workspace::find()?, true),
        ["layers"] => layers::check(&Workspace::find()?, false).map(done),
        ["layers", "--binary"] => layers::check(&Workspace::find()?, true).map(done),
        ["wasm"] => wasm(wasm::Profile::Dev),
        ["wasm", "--release"] => wasm(wasm::Profile::Release),
        ["network"] => {
            let workspace = Workspace::find()?;
            let onlookers = network::Onlookers {
                python: python::environment(&workspace)?,
                module: wasm::build(&workspace, wasm::Profile::Dev)?,
                wallets: wallets::install(&workspace)?,
            };
            Ok(counted(network::check(&workspace, &onlookers)?))
        }
        ["wallets"] => {
            let workspace = Workspace::find()?;
            let python = python::environment(&workspace)?;
            Ok(counted(wallets::check(&workspace, &python)?))
        }
        ["docs"] => docs::check(&Workspace::find()?).map(done),
        ["docs", "--write"] => docs::write(&Workspace::find()?).map(done),
        ["fuzz", rest @ ..] => fuzz::run(&Workspace::find()?, &fuzz::Options::parse(rest)?).map(done),
        ["mutants", rest @ ..] => {
            mutants::run(&Workspace::find()?, &mutants::Options::parse(rest)?).map(done)
        }
        ["perturb", rest @ ..] => {
            perturb::run(&Workspace::find()?, &perturb::Options::parse(rest)?).map(done)
        }
        ["compatibility"] => Ok(counted(compatibility::check(&Workspace::find()?)?)),
        ["tools"] => {
            step::print(&format!("{}\n", cometbft::ensure(&Workspace::find()?)?.display()));
            Ok(ExitCode::SUCCESS)
        }
        ["tools", "--signer"] => {
            step::print(&format!("{}\n", cometbft::signer(&Workspace::find()?)?.display()));
            Ok(ExitCode::SUCCESS)
        }
        [] | ["help" | "--help" | "-h"] => {
            step::print(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("unknown command `{}`\n\n{USAGE}", other.join(" ")),
    }
}

fn wasm(profile: wasm::Profile) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let module = wasm::build(&workspace, profile)?;
    Ok(counted(wasm::check(&workspace, &module)?))
}

fn counted(count: suite::Count) -> ExitCode {
    step::print(&format!("{count}\n"));
    if count.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
