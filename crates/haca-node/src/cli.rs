//! The command line of `haca-node`. Results go to stdout, everything else to stderr.

use std::{ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use haca_wire::Address;
use serde_json::{Value, json};
use tendermint::Time;

use crate::{
    NodeError,
    cometbft::CometConfig,
    engine::Pace,
    evidence::ZkEvidence,
    genesis::Genesis,
    home::{self, DEFAULT_VALIDATORS, Home},
    node::{Engine, Node, NodeConfig, Signals},
    rest::export_json,
    store::{DEFAULT_KEEP_VERSIONS, Store},
};

/// A full node: agrees on what was answered and paid, and never loads a model
#[derive(Parser)]
#[command(name = "haca-node", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the directory of a new network: validator keys and genesis document
    Init(Init),
    /// Run the node until SIGINT or SIGTERM
    Start(Start),
    /// Print the whole committed state as JSON; the node must not be running
    Export(HomeArg),
}

#[derive(Args)]
struct HomeArg {
    /// Directory of the node
    #[arg(long, value_name = "DIR", env = "HACA_NODE_HOME")]
    home: PathBuf,
}

#[derive(Args)]
struct Init {
    #[command(flatten)]
    home: HomeArg,
    /// Name of the network, such as haca-dev-1
    #[arg(long, value_name = "ID")]
    chain_id: String,
    /// Number of the network in signatures (EIP-712)
    #[arg(long, value_name = "N", default_value_t = 7410)]
    chain_number: u64,
    /// Validators, all of whose keys stay here
    #[arg(long, value_name = "N", default_value_t = DEFAULT_VALIDATORS)]
    validators: usize,
    /// The account that holds all OPG outside the validators' pool
    #[arg(
        long,
        value_name = "ADDRESS",
        required_unless_present = "app_state",
        conflicts_with = "app_state"
    )]
    holder: Option<Address>,
    /// The ledger's first state as JSON, in place of --holder
    #[arg(long, value_name = "FILE")]
    app_state: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// One process with all validator keys; not BFT
    Dev,
    /// CometBFT v0.39.4 as a child process
    Cometbft,
}

#[derive(Args)]
struct Start {
    #[command(flatten)]
    home: HomeArg,
    /// Consensus engine
    #[arg(long, value_enum, default_value_t = EngineName::Dev)]
    engine: EngineName,
    /// Address of the HTTP API; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "HACA_NODE_LISTEN",
        default_value = "127.0.0.1:7410"
    )]
    listen: String,
    /// Versions of the state kept for proofs
    #[arg(long, value_name = "N", default_value_t = DEFAULT_KEEP_VERSIONS)]
    keep_versions: u64,
    /// Longest time without a block, in milliseconds (dev engine)
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    idle_ms: u64,
    /// Shortest time between blocks with transactions, in milliseconds (dev engine)
    #[arg(long, value_name = "MS", default_value_t = 100)]
    block_ms: u64,
    /// CometBFT binary, in place of the one on PATH
    #[arg(long, value_name = "FILE")]
    cometbft: Option<PathBuf>,
    /// Port of CometBFT's RPC; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    comet_rpc_port: u16,
    /// Port of CometBFT's peer-to-peer network; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    comet_p2p_port: u16,
}

/// Runs the command line. The first argument is the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Init(arguments) => init(&arguments),
        Command::Start(arguments) => start(&arguments),
        Command::Export(arguments) => export(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "error[{}]: {error}\nhint: {}", error.code(), error.hint());
            ExitCode::FAILURE
        }
    }
}

fn print(line: &str) -> Result<(), NodeError> {
    // A closed pipe is not an error of the node.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
    Ok(())
}

fn init(arguments: &Init) -> Result<(), NodeError> {
    let home = Home::new(&arguments.home.home);
    let app_state: Option<Value> = match &arguments.app_state {
        None => None,
        Some(path) => {
            let text = std::fs::read(path).map_err(|source| NodeError::Read {
                path: path.clone(),
                source,
            })?;
            let json = serde_json::from_slice(&text).map_err(|error| NodeError::Genesis {
                what: "app_state",
                reason: error.to_string(),
            })?;
            Some(json)
        }
    };
    let holder = arguments.holder.unwrap_or_default();
    let genesis = home::init(
        &home,
        &arguments.chain_id,
        Time::now(),
        arguments.validators,
        |validators| {
            app_state.unwrap_or_else(|| home::standard_app_state(arguments.chain_number, holder, validators))
        },
    )?;
    print(&genesis.hash().to_string())
}

fn start(arguments: &Start) -> Result<(), NodeError> {
    let engine = match arguments.engine {
        EngineName::Dev => Engine::Dev,
        EngineName::Cometbft => Engine::CometBft(CometConfig {
            binary: arguments.cometbft.clone(),
            rpc_port: arguments.comet_rpc_port,
            p2p_port: arguments.comet_p2p_port,
            ..CometConfig::default()
        }),
    };
    let config = NodeConfig {
        listen: arguments.listen.clone(),
        engine,
        keep_versions: arguments.keep_versions,
        pace: Pace {
            between_blocks: Duration::from_millis(arguments.block_ms),
            idle: Duration::from_millis(arguments.idle_ms),
        },
        ..NodeConfig::new(&arguments.home.home)
    };
    if arguments.engine == EngineName::Dev {
        let _ = writeln!(
            std::io::stderr().lock(),
            "dev engine: single process, not BFT: whoever runs it decides what is in the chain"
        );
    }
    let signals = Signals::catch()?;
    let node = Node::start(&config, Box::new(ZkEvidence::default()))?;
    let line = json!({
        "url": node.url(),
        "chain_id": node.genesis().chain_id.as_str(),
        "genesis_hash": node.genesis().hash().to_string(),
    });
    print(&line.to_string())?;
    node.run_until(signals)
}

fn export(arguments: &HomeArg) -> Result<(), NodeError> {
    let home = Home::new(&arguments.home);
    let genesis = Genesis::read(&home.genesis())?;
    if !home.state().exists() {
        return Err(NodeError::NotReady);
    }
    let store = Store::open(&home.state(), genesis.hash(), DEFAULT_KEEP_VERSIONS)?;
    let view = store.view().ok_or(NodeError::NotReady)?;
    print(&export_json(&genesis, &view)?.to_string())
}
