//! The command line of `haca-node`. Results go to stdout, everything else to stderr.

use std::{
    ffi::OsString,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use haca_wire::Address;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde_json::{Value, json};
use tendermint::Time;

use crate::{
    NodeError,
    cometbft::{COMETBFT_VERSION, CometConfig, HostPort, Peer, SignerAddress, StateSync, node_id},
    engine::Pace,
    evidence::ZkEvidence,
    genesis::Genesis,
    history::{DEFAULT_KEEP_BLOCKS, DEFAULT_KEEP_MB, HistoryPolicy},
    home::{self, DEFAULT_VALIDATORS, Home},
    node::{Engine, Node, NodeConfig, Signals},
    possession::possession,
    rest::write_export,
    shadow::{self, ShadowConfig, ShadowReport},
    snapshot::SnapshotPolicy,
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
    Start(Box<Start>),
    /// Print the whole committed state as JSON; the node must not be running
    Export(HomeArg),
    /// Execute the blocks of a running node beside it, and compare each state with the chain's: what a new release does
    /// before its validators trust it
    Shadow(Shadow),
    /// Print the name that others know the node by in CometBFT's peer-to-peer network
    Id(HomeArg),
    /// Print the validator's key, signed for the account that is to stake for it; needs no network
    Possession(PossessionOf),
    /// Become another program that the system ends when the process PARENT does
    #[command(hide = true)]
    WithParent(WithParent),
}

#[derive(Args)]
struct WithParent {
    parent: i32,
    program: OsString,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Args)]
struct HomeArg {
    /// Directory of the node
    #[arg(long, value_name = "DIR", env = "HACA_NODE_HOME")]
    home: PathBuf,
}

#[derive(Args)]
struct PossessionOf {
    #[command(flatten)]
    home: HomeArg,
    /// The account that stakes
    #[arg(long, value_name = "ADDRESS")]
    account: Address,
}

#[derive(Args)]
struct Shadow {
    /// Directory of the shadow, made by `init --genesis`; it continues from the state there
    #[arg(long, value_name = "DIR", env = "HACA_NODE_HOME")]
    home: PathBuf,
    /// RPC of the CometBFT of a node of yours, which is trusted
    #[arg(long, value_name = "HOST:PORT")]
    rpc: HostPort,
    /// Last height to compare; without it, until SIGINT or SIGTERM
    #[arg(long, value_name = "HEIGHT")]
    until: Option<u64>,
}

#[derive(Args)]
struct Init {
    #[command(flatten)]
    home: HomeArg,
    /// Join the network of this genesis document, with a key of our own
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chain_id", "holder", "app_state"])]
    genesis: Option<PathBuf>,
    /// Make no key: a signer in another place holds it (`start --remote-signer`)
    #[arg(long, requires = "genesis")]
    no_key: bool,
    /// Name of the network, such as haca-dev-1
    #[arg(long, value_name = "ID", required_unless_present = "genesis")]
    chain_id: Option<String>,
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
        required_unless_present_any = ["app_state", "genesis"],
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
    /// Its version, to try another than the supported one
    #[arg(long, value_name = "VERSION", default_value = COMETBFT_VERSION)]
    comet_version: String,
    /// Address of CometBFT's RPC; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    comet_rpc: SocketAddr,
    /// Address of CometBFT's peer-to-peer network; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    comet_p2p: SocketAddr,
    /// Where other nodes reach this one, if not at --comet-p2p
    #[arg(long, value_name = "HOST:PORT")]
    external_address: Option<HostPort>,
    /// Node to stay connected with; repeatable
    #[arg(long, value_name = "ID@HOST:PORT", value_delimiter = ',')]
    persistent_peer: Vec<Peer>,
    /// Node to learn others from; repeatable
    #[arg(long, value_name = "ID@HOST:PORT", value_delimiter = ',')]
    seed: Vec<Peer>,
    /// Learn no addresses from peers and tell them none; for a validator behind nodes of its own
    #[arg(long)]
    no_peer_exchange: bool,
    /// Wait here for a signer that holds the validator's key: unix:///PATH or tcp://IP:PORT (CometBFT)
    #[arg(long, value_name = "ADDR")]
    remote_signer: Option<SignerAddress>,
    /// Blocks kept, with their index; 0 keeps all (CometBFT)
    #[arg(long, value_name = "N", default_value_t = DEFAULT_KEEP_BLOCKS)]
    keep_blocks: u64,
    /// Megabytes of blocks kept, with their index, if those are fewer blocks; 0 keeps all (CometBFT)
    #[arg(long, value_name = "MB", default_value_t = DEFAULT_KEEP_MB)]
    keep_mb: u64,
    /// Blocks between snapshots of the state; 0 takes none and removes those of before (CometBFT)
    #[arg(long, value_name = "N", default_value_t = SnapshotPolicy::default().interval_blocks)]
    snapshot_blocks: u64,
    /// Snapshots kept (CometBFT)
    #[arg(long, value_name = "N", default_value_t = SnapshotPolicy::default().keep)]
    snapshots: usize,
    /// Start an empty node from a snapshot of its peers, with headers from these CometBFT RPCs; two notice a lie
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', requires = "trust")]
    state_sync: Vec<HostPort>,
    /// A block that is known to be the chain's, to begin the state sync with
    #[arg(long, value_name = "HEIGHT:HASH", requires = "state_sync", value_parser = trusted_block)]
    trust: Option<(u64, [u8; 32])>,
    /// Go along with an upgrade to versions of the rules up to N, executing by the newest that this release knows: to
    /// rehearse an upgrade on a test network. On a network whose new rules differ, the node stops at the first block
    #[arg(long, value_name = "N", default_value_t = haca_ledger::LATEST_VERSION)]
    rehearse_version: u64,
    /// Time between a block and the next height, in milliseconds (CometBFT)
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    commit_ms: u64,
}

fn trusted_block(text: &str) -> Result<(u64, [u8; 32]), String> {
    let bad = || "expected a height, a colon, and 64 hexadecimal digits".to_owned();
    let (height, hash) = text.split_once(':').ok_or_else(bad)?;
    let hash = hex::decode(hash.trim_start_matches("0x")).map_err(|_| bad())?;
    let height: u64 = height.parse().map_err(|_| bad())?;
    Ok((height, hash.try_into().map_err(|_| bad())?))
}

/// Runs the command line. The first argument is the name of the program. `subcommand` leads to this command line in
/// the running executable: nothing for `haca-node`.
pub fn run(arguments: impl IntoIterator<Item = OsString>, subcommand: &[&str]) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Init(arguments) => init(&arguments),
        Command::Start(arguments) => start(&arguments, subcommand),
        Command::Export(arguments) => export(&arguments),
        Command::Shadow(arguments) => shadow(arguments),
        Command::Id(arguments) => node_id(&Home::new(&arguments.home)).and_then(|id| print(&id.to_string())),
        Command::Possession(arguments) => possess(&arguments),
        Command::WithParent(arguments) => Err(with_parent(&arguments)),
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

/// Becomes the program; returns only if that fails.
fn with_parent(arguments: &WithParent) -> NodeError {
    use std::os::unix::process::CommandExt as _;
    let failed = |reason: String| NodeError::CometExited { reason };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(format!("the system does not tie it to its node: {error}"));
    }
    // The parent may have gone before the system was asked.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get());
    if parent != Some(arguments.parent) {
        return failed("its node has gone".to_owned());
    }
    let error = std::process::Command::new(&arguments.program)
        .args(&arguments.arguments)
        .exec();
    failed(format!(
        "{} could not be started: {error}",
        arguments.program.display()
    ))
}

/// What [`with_parent`] is called by.
fn launcher(subcommand: &[&str]) -> Vec<OsString> {
    let Ok(program) = std::env::current_exe() else {
        return Vec::new();
    };
    let mut words = vec![program.into_os_string()];
    words.extend(subcommand.iter().map(OsString::from));
    words.extend(["with-parent".into(), std::process::id().to_string().into()]);
    words
}

fn init(arguments: &Init) -> Result<(), NodeError> {
    let home = Home::new(&arguments.home.home);
    if let Some(document) = &arguments.genesis {
        return print(&home::join(&home, document, !arguments.no_key)?.hash().to_string());
    }
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
        arguments.chain_id.as_deref().unwrap_or_default(),
        Time::now(),
        arguments.validators,
        |validators| {
            app_state.unwrap_or_else(|| home::standard_app_state(arguments.chain_number, holder, validators))
        },
    )?;
    print(&genesis.hash().to_string())
}

fn possess(arguments: &PossessionOf) -> Result<(), NodeError> {
    let signed = possession(&Home::new(&arguments.home.home), arguments.account)?;
    let signature = format!("0x{}", hex::encode(signed.signature));
    let line = json!({ "key": signed.key.to_string(), "possession": signature });
    print(&line.to_string())
}

fn start(arguments: &Start, subcommand: &[&str]) -> Result<(), NodeError> {
    let engine = match arguments.engine {
        EngineName::Dev => Engine::Dev,
        EngineName::Cometbft => Engine::CometBft(Box::new(CometConfig {
            binary: arguments.cometbft.clone(),
            version: arguments.comet_version.clone(),
            launcher: launcher(subcommand),
            rpc: arguments.comet_rpc,
            p2p: arguments.comet_p2p,
            external_address: arguments.external_address.clone(),
            persistent_peers: arguments.persistent_peer.clone(),
            seeds: arguments.seed.clone(),
            peer_exchange: !arguments.no_peer_exchange,
            remote_signer: arguments.remote_signer.clone(),
            state_sync: arguments.trust.map(|(trust_height, trust_hash)| StateSync {
                rpc_servers: arguments.state_sync.clone(),
                trust_height,
                trust_hash,
            }),
            timeout_commit: Duration::from_millis(arguments.commit_ms),
            ..CometConfig::default()
        })),
    };
    let config = NodeConfig {
        listen: arguments.listen.clone(),
        engine,
        keep_versions: arguments.keep_versions,
        history: HistoryPolicy {
            keep_blocks: arguments.keep_blocks,
            keep_mb: arguments.keep_mb,
            snapshots: SnapshotPolicy {
                interval_blocks: arguments.snapshot_blocks,
                keep: arguments.snapshots,
                ..SnapshotPolicy::default()
            },
        },
        pace: Pace {
            between_blocks: Duration::from_millis(arguments.block_ms),
            idle: Duration::from_millis(arguments.idle_ms),
        },
        rehearse_version: arguments.rehearse_version,
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

fn shadow(arguments: Shadow) -> Result<(), NodeError> {
    let signals = Signals::catch()?;
    let config = ShadowConfig {
        rpc: arguments.rpc.to_string(),
        until: arguments.until,
    };
    let home = Home::new(&arguments.home);
    let stopped = Arc::new(AtomicBool::new(false));
    let (ended, end) = tokio::sync::oneshot::channel();
    let work = {
        let stopped = Arc::clone(&stopped);
        std::thread::spawn(move || {
            let is_stopped = || stopped.load(Ordering::Relaxed);
            let done = shadow::run(&config, &home, Box::new(ZkEvidence::default()), is_stopped, tell);
            let _ = ended.send(());
            done
        })
    };
    signals.wait(async {
        let _ = end.await;
    });
    stopped.store(true, Ordering::Relaxed);
    let report = work.join().map_err(|_| NodeError::EngineStopped)??;
    let line = json!({
        "blocks": report.blocks,
        "height": report.height,
        "app_hash": hex::encode(report.app_hash),
        "equal": true,
    });
    print(&line.to_string())
}

fn tell(report: &ShadowReport) {
    let _ = writeln!(
        std::io::stderr().lock(),
        "height {}: {} blocks, each with the chain's application hash",
        report.height,
        report.blocks
    );
}

fn export(arguments: &HomeArg) -> Result<(), NodeError> {
    let home = Home::new(&arguments.home);
    let genesis = Genesis::read(&home.genesis())?;
    if !home.state().exists() {
        return Err(NodeError::NotReady);
    }
    let store = Store::open(&home.state(), genesis.hash(), DEFAULT_KEEP_VERSIONS)?;
    let view = store.view().ok_or(NodeError::NotReady)?;
    let mut out = std::io::stdout().lock();
    // A closed pipe is not an error of the node.
    write_export(&genesis, &view, |piece| out.write_all(piece.as_bytes()).is_ok())?;
    let _ = writeln!(out);
    Ok(())
}
