//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand};
use haca_exec::planner::Decimal;
use haca_verify::Checkpoint;
use haca_wire::{Address, AssetId, GenesisHash, ReceiptHash};

use crate::light::{State, parse_checkpoint};
use crate::quantisation::Quantisation;
use crate::simulate::Scenario;
use crate::tx::Tx;
use crate::validator::Validator;

/// Verifiable AI inference: answers in milliseconds, proofs settled on chain
#[derive(Parser)]
#[command(name = "haca", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    /// Print one JSON object on stdout and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show one inference from request to verified settlement, on a network that lives as long as it takes
    Demo(Demo),
    /// Run a network on this machine until interrupted; continue where it stopped
    Up(Up),
    /// Run a network of several validators under CometBFT on this machine until interrupted
    Testnet(Testnet),
    /// Order an inference from a running network and show answer, receipt and settlement
    Infer(Infer),
    /// Check a bundle, scorecard, state or attack file offline, or a receipt against a node
    Verify(Verify),
    /// Claim warranties of receipts that the node has not settled in time, and report second receipts; receipts that never
    /// arrived are asked for first
    Claim(Claim),
    /// Demand the proof of a receipt that was settled as optimistic, and wait for it
    Demand(Demand),
    /// Sign vouchers over receipts that wait, so that the node settles them at once
    Cover(Cover),
    /// Import, inspect and score models
    #[command(subcommand)]
    Model(Model),
    /// Make and check proofs without a network
    #[command(subcommand)]
    Zk(Zk),
    /// Show what of each asset exists, where it is, and what is burned
    Supply(At),
    /// Prove what the ledger's state holds, or print all of it
    #[command(subcommand)]
    State(State),
    /// Draft transactions for wallets to sign, and send them signed
    #[command(subcommand)]
    Tx(Tx),
    /// Show a validator, stake for it, take stake out, free it from jail
    #[command(subcommand)]
    Validator(Validator),
    /// Check this machine and a data directory
    Doctor(Doctor),
    /// Measure
    #[command(subcommand)]
    Bench(Bench),
    /// Run years of the network's economy on the ledger itself, with synthetic users, nodes and shocks
    Simulate(Simulate),
    /// Run an inference node
    Serve(Serve),
    /// Pay the gas of settlements of inference nodes that you name, within limits
    Sponsor(Sponsor),
    /// Show what an inference node earns and burns: what to expect at its prices, and what it came to
    NodeReport(NodeReport),
    /// Run a full node (the same as the `haca-node` binary)
    #[command(disable_help_flag = true)]
    Node(Node),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Demo {
    /// Keep everything in this directory (it must be empty or absent)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Leave the network running and the files in place
    #[arg(long, requires = "data")]
    pub(crate) keep: bool,
    /// Which digit of the held-back split to ask for
    #[arg(long, value_name = "ROW", default_value_t = 7)]
    pub(crate) row: usize,
}

#[derive(ClapArgs)]
pub(crate) struct Up {
    /// Where keys, chain and receipts live
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
    /// The consensus engine
    #[arg(long, default_value = "dev", value_parser = ["dev", "cometbft"])]
    pub(crate) engine: String,
    /// Address of the full node's API
    #[arg(
        long,
        value_name = "ADDR",
        env = "HACA_LISTEN",
        default_value = "127.0.0.1:7410"
    )]
    pub(crate) listen: String,
    /// Address of the inference node's API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7411")]
    pub(crate) inference_listen: String,
}

#[derive(ClapArgs)]
pub(crate) struct Testnet {
    /// Where keys, chains and receipts live
    #[arg(long, value_name = "DIR", default_value = ".haca-testnet")]
    pub(crate) dir: PathBuf,
    /// Validators of a new network
    #[arg(long, value_name = "N", default_value = "4", value_parser = validators)]
    pub(crate) validators: usize,
    /// Time between a block and the next height, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub(crate) blocks_ms: u64,
    /// Make keys, genesis and addresses, and start nothing
    #[arg(long)]
    pub(crate) prepare: bool,
    /// CometBFT binary, in place of the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) cometbft: Option<PathBuf>,
    /// Its version, to try another than the supported one
    #[arg(long, value_name = "VERSION")]
    pub(crate) comet_version: Option<String>,
}

fn validators(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=16) => Ok(number),
        _ => Err("1 to 16 of them".to_owned()),
    }
}

#[derive(ClapArgs)]
pub(crate) struct Infer {
    /// The data directory of `haca up`
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
    /// Input file (.npy, .npz or JSON); the built-in digits when absent
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Which sample of the input file
    #[arg(long, value_name = "ROW", default_value_t = 0)]
    pub(crate) row: usize,
    /// Model id or name; the first that the node offers when absent
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// How the answer is to be evidenced
    #[arg(long, default_value = "zk", value_parser = ["zk", "optimistic", "signed"])]
    pub(crate) evidence: String,
    /// The most to pay for the inference, in the smallest unit of the node's asset
    #[arg(long, value_name = "AMOUNT", default_value_t = 100_000)]
    pub(crate) max_fee: u128,
    /// Do not wait for the settlement
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Write the bundle here once settled
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub(crate) struct Claim {
    /// The data directory of `haca up`
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
    /// Another receipt of the node, to hold against those in the directory; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Vec<PathBuf>,
    /// Show what could be claimed, and claim nothing; receipts that never arrived are kept all the same
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(ClapArgs)]
pub(crate) struct Demand {
    /// The receipt's hash; what can be demanded is listed when absent
    pub(crate) receipt: Option<ReceiptHash>,
    /// The data directory of `haca up`
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
    /// The most OPG to deposit, in the smallest unit, whatever the base fee becomes; it returns unless the node proves
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_deposit: Option<u128>,
    /// How long to wait for the node's answer
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(crate) wait_s: u64,
}

#[derive(ClapArgs)]
pub(crate) struct Cover {
    /// The data directory of `haca up`
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
    /// How long to wait for the settlement of each voucher
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(crate) wait_s: u64,
}

#[derive(ClapArgs)]
pub(crate) struct Verify {
    /// A bundle, scorecard, state or attack file, or the hash of a receipt (then --node is needed)
    #[arg(value_name = "FILE|RECEIPT")]
    pub(crate) subject: String,
    /// The genesis hash you trust; a scorecard needs none
    #[arg(long, value_name = "HASH", env = "HACA_TRUST")]
    pub(crate) trust: Option<String>,
    /// Accept this model only
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    /// A full node, for a check online
    #[arg(long, value_name = "URL", env = "HACA_URL")]
    pub(crate) node: Option<String>,
    /// Directory with request.json and response.json, for a check online
    #[arg(long, value_name = "DIR")]
    pub(crate) files: Option<PathBuf>,
    /// How long to wait for a receipt that is not settled yet, for a check online
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) wait_s: u64,
    /// A header you trust beyond the trusting period, as HEIGHT:HASH
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = parse_checkpoint)]
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Check as of this time instead of now, in seconds since 1970
    #[arg(long, value_name = "UNIX_S")]
    pub(crate) at: Option<u64>,
    /// Accept evidence that is signatures only
    #[arg(long)]
    pub(crate) accept_signed: bool,
    /// Accept signatures of a node that had to prove on demand
    #[arg(long)]
    pub(crate) accept_optimistic: bool,
    /// The test set that a scorecard must be about (.npz with labels)
    #[arg(long, value_name = "FILE", conflicts_with = "test_root")]
    pub(crate) test: Option<PathBuf>,
    /// The labels in it
    #[arg(long, value_name = "ARRAY", default_value = LABELS, requires = "test")]
    pub(crate) key: String,
    /// The root of the test set that a scorecard must be about
    #[arg(long, value_name = "HASH")]
    pub(crate) test_root: Option<String>,
}

/// The array of an .npz file that labels stand in.
pub(crate) const LABELS: &str = "y";

#[derive(Subcommand)]
pub(crate) enum Model {
    /// Quantise an ONNX file into an integer graph
    Import(Import),
    /// Prove how many samples of a test set a model labels right
    Score(Score),
    /// Show what a model file holds
    Show {
        /// The model file
        model: PathBuf,
    },
}

#[derive(ClapArgs)]
pub(crate) struct Import {
    /// The ONNX file
    pub(crate) onnx: PathBuf,
    /// Samples to calibrate with
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: PathBuf,
    /// Held-back samples to report fidelity on
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// Where the model goes
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Its name; the ONNX file's when absent
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Show value by value what was chosen and what it costs
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) quantisation: Quantisation,
}

#[derive(ClapArgs)]
pub(crate) struct Score {
    /// The model file
    pub(crate) model: PathBuf,
    /// The test set (.npz with labels)
    #[arg(long, value_name = "FILE")]
    pub(crate) test: PathBuf,
    /// The labels in it
    #[arg(long, value_name = "ARRAY", default_value = LABELS)]
    pub(crate) key: String,
    /// Samples in one proof; as many as the verifying key and the memory allow when absent
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// Where the scorecard goes
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// A limit of memory.
#[derive(ClapArgs)]
pub(crate) struct Memory {
    /// Megabytes that registering or proving may take; what the machine has left when absent
    #[arg(long, value_name = "MB", env = "HACA_MEMORY_LIMIT_MB")]
    pub(crate) memory_limit_mb: Option<u64>,
}

#[derive(Subcommand)]
pub(crate) enum Zk {
    /// Run a model on samples and prove the result
    Prove {
        /// The model file
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// Samples (.npy, .npz or JSON)
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// First sample
        #[arg(long, default_value_t = 0)]
        row: usize,
        /// How many samples, in one proof
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// Directory for key, statement and proof
        #[arg(long, short, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        memory: Memory,
    },
    /// Check a proof against a verifying key and a statement
    Verify {
        /// Directory with model.vk, statement.bin and proof.bin, as `zk prove` writes it
        dir: PathBuf,
        /// Refuse any other model than this
        #[arg(long, value_name = "ID")]
        model: Option<String>,
    },
    /// Print the parameters and the whole security budget of a model's proofs
    Params {
        /// A model file, or a verifying key
        file: PathBuf,
        /// Inferences in one proof
        #[arg(long, default_value_t = 1)]
        batch: usize,
        #[command(flatten)]
        memory: Memory,
    },
    /// Print the parameters that the search looks at for a model, and what each is estimated to cost
    Search(ZkSearch),
}

#[derive(ClapArgs)]
pub(crate) struct ZkSearch {
    /// The model file
    pub(crate) model: PathBuf,
    /// Inferences in one proof
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// What is to be small: a balance, the time to prove, or the proof
    #[arg(long, default_value = "balanced", value_parser = ["balanced", "fast", "small"])]
    pub(crate) objective: String,
    /// How many of them to print
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) top: usize,
}

#[derive(ClapArgs)]
pub(crate) struct At {
    /// The full node
    #[arg(long, value_name = "URL", env = "HACA_URL")]
    pub(crate) node: Option<String>,
    /// The data directory of `haca up`, to find the node
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct Doctor {
    /// The data directory to look at
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Quantise, register, infer, prove and verify a model, and print medians
    ///
    /// Inference is timed in a loop of its own, half a second or longer, with the model in the caches: from the
    /// batch's input tensors to its output tensors and what a proof needs of the run. The prover uses all cores, or
    /// as many threads as RAYON_NUM_THREADS says; verification uses one.
    Zk(BenchZk),
    /// Execute blocks in memory, and print gas against time
    ///
    /// One thread, without a store and without consensus: registration, bytes, transfers, orders with their receipts,
    /// and proofs of a model in batches of several sizes, each executed again and again over the same state.
    Ledger(BenchLedger),
    /// Verify a state file or a bundle again and again, and print the median
    Light(BenchLight),
    /// Send transactions through CometBFT with one validator, and print what it carries
    ///
    /// Transfers, receipts as pairs of order and receipt, receipts under covering vouchers, receipts under one proof for
    /// 32, and for comparison the transactions of CometBFT's own key-value store (`abci-cli kvstore`) over the same kind
    /// of socket with the same settings. Everything is signed and proven beforehand. Rates are those of the blocks:
    /// transactions between the times of the first and the last header.
    Chain(BenchChain),
    /// Make many blocks under a constant load, and print the disk that the full node takes
    ///
    /// One validator under CometBFT, blocks as fast as they come, snapshots and pruning as a node has them by itself, but
    /// that it keeps fewer blocks, and takes evidence for half as many, so that the window is full before the run ends.
    /// Once it is, the disk must not grow: the exit code is 1 when a part takes more in the second half of those looks
    /// than its bound allows.
    Disk(BenchDisk),
}

/// What `haca bench chain` sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Load {
    /// CometBFT's own key-value store, 250 bytes each
    Kvstore,
    /// Plain transfers among 256 accounts
    Transfers,
    /// 64 pairs of order and receipt in each transaction
    Pairs,
    /// 16 vouchers over 64 receipts each in each transaction
    Vouchers,
    /// 32 inferences of one model under one proof in each transaction
    Zk,
}

impl Load {
    /// All of them, in the order of the table.
    pub(crate) const ALL: &[Self] = &[
        Self::Kvstore,
        Self::Transfers,
        Self::Pairs,
        Self::Vouchers,
        Self::Zk,
    ];

    /// The name in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kvstore => "kvstore",
            Self::Transfers => "transfers",
            Self::Pairs => "pairs",
            Self::Vouchers => "vouchers",
            Self::Zk => "zk",
        }
    }

    /// What is counted.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Kvstore | Self::Transfers => "transactions",
            Self::Pairs | Self::Vouchers | Self::Zk => "receipts",
        }
    }

    /// Transactions to make for each second: more than two cores carry.
    pub(crate) const fn expected_per_second(self) -> usize {
        match self {
            Self::Kvstore | Self::Transfers => 18_000,
            Self::Pairs => 200,
            Self::Vouchers => 400,
            Self::Zk => 150,
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct BenchChain {
    /// What to send; everything when absent
    #[arg(long, value_enum)]
    pub(crate) load: Vec<Load>,
    /// How long to send
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: usize,
    /// Transactions to make for each second, in place of the load's own number
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<usize>,
    /// Time between a block and the next height
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) commit_ms: u64,
    /// CometBFT binary, in place of the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) cometbft: Option<PathBuf>,
    /// The model that is proven, as `haca model import` writes it, in place of the digits model
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Another build of this program, or the `haca-node` that validators run, to be the full node
    #[arg(long, value_name = "FILE")]
    pub(crate) build: Option<PathBuf>,
    /// Leave the directories of the networks, with their logs
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(ClapArgs)]
pub(crate) struct BenchDisk {
    /// Blocks to make
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) blocks: u64,
    /// Stop after this time, with as many blocks as there are by then
    #[arg(long, value_name = "S")]
    pub(crate) limit_s: Option<u64>,
    /// Blocks from one look at the disk to the next; a fortieth of the blocks when absent
    #[arg(long, value_name = "N")]
    pub(crate) every: Option<u64>,
    /// Transfers for each block
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) txs: u64,
    /// How many of them go to an account that did not exist: what makes the state grow
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) fresh: u64,
    /// Blocks that the node keeps; a fifth of the blocks when absent, so that the window is full early
    #[arg(long, value_name = "N")]
    pub(crate) keep_blocks: Option<u64>,
    /// Megabytes of blocks that the node keeps
    #[arg(long, value_name = "MB", default_value_t = haca_node::history::DEFAULT_KEEP_MB)]
    pub(crate) keep_mb: u64,
    /// Blocks between snapshots
    #[arg(long, value_name = "N", default_value_t = haca_node::snapshot::SnapshotPolicy::default().interval_blocks)]
    pub(crate) snapshot_blocks: u64,
    /// Execute, store and prune in this process, with the dev engine's blocks in place of CometBFT
    #[arg(long)]
    pub(crate) in_process: bool,
    /// CometBFT binary, in place of the one on PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) cometbft: Option<PathBuf>,
    /// Another build of this program, or the `haca-node` that validators run, to be the full node
    #[arg(long, value_name = "FILE")]
    pub(crate) build: Option<PathBuf>,
    /// Leave the directory of the network, with its logs
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(ClapArgs)]
pub(crate) struct BenchLedger {
    /// The ONNX file of the model that is proven
    #[arg(long, value_name = "FILE")]
    pub(crate) onnx: PathBuf,
    /// Samples to calibrate with and to prove (.npy, .npz or JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Executions of each block
    #[arg(long, default_value_t = 10)]
    pub(crate) runs: usize,
    /// Proofs in a block
    #[arg(long, default_value_t = 20)]
    pub(crate) proofs: usize,
    #[command(flatten)]
    pub(crate) memory: Memory,
    #[command(flatten)]
    pub(crate) quantisation: Quantisation,
}

#[derive(ClapArgs)]
pub(crate) struct BenchLight {
    /// The file, as `haca state ... --out` or `haca infer` wrote it
    pub(crate) file: PathBuf,
    /// The genesis hash you trust
    #[arg(long, value_name = "HASH", env = "HACA_TRUST")]
    pub(crate) trust: GenesisHash,
    /// A header you trust beyond the trusting period, as HEIGHT:HASH
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = parse_checkpoint)]
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Verify as of this time instead of now, in seconds since 1970
    #[arg(long, value_name = "UNIX_S")]
    pub(crate) at: Option<u64>,
    /// How often
    #[arg(long, default_value_t = 200)]
    pub(crate) runs: usize,
}

#[derive(ClapArgs)]
pub(crate) struct BenchZk {
    /// The ONNX file
    #[arg(long, value_name = "FILE")]
    pub(crate) onnx: PathBuf,
    /// Samples to prove (.npy, .npz or JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Samples to calibrate with; the input when absent
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// Samples with `x` and, where there are labels, `y`, to report fidelity on
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// Inferences in one proof
    #[arg(long, default_value_t = 1)]
    pub(crate) batch: usize,
    /// Proofs, and the least number of runs of the inference
    #[arg(long, default_value_t = 10)]
    pub(crate) runs: usize,
    /// Show bytes by stage, memory, processor time by thread, and page faults of the last proof as well
    #[arg(long)]
    pub(crate) profile: bool,
    #[command(flatten)]
    pub(crate) memory: Memory,
    #[command(flatten)]
    pub(crate) quantisation: Quantisation,
}

#[derive(ClapArgs)]
pub(crate) struct Simulate {
    /// Run this scenario, beside the calm one that it is compared with; all when absent
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) scenario: Option<Scenario>,
    /// How long, 0.25 to 20; the shock comes after a third
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub(crate) years: f64,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write a table of every day (CSV) and a plot (SVG) of each scenario here
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Scenarios that run at once; at most the number of cores
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) threads: usize,
}

#[derive(ClapArgs)]
pub(crate) struct Serve {
    /// Keys, models and journal
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// The full node to settle through
    #[arg(long, value_name = "URL", env = "HACA_URL")]
    pub(crate) node: String,
    /// Address of the API
    #[arg(
        long,
        value_name = "ADDR",
        env = "HACA_LISTEN",
        default_value = "127.0.0.1:7411"
    )]
    pub(crate) listen: String,
    /// The genesis hash of the network; the node's own word when absent
    #[arg(long, value_name = "HASH", env = "HACA_TRUST")]
    pub(crate) trust: Option<String>,
    #[command(flatten)]
    pub(crate) memory: Memory,
    #[command(flatten)]
    pub(crate) settling: Settling,
}

#[derive(ClapArgs)]
pub(crate) struct Sponsor {
    /// The paying key, and what was spent today
    #[arg(long, value_name = "DIR")]
    pub(crate) home: PathBuf,
    /// A full node
    #[arg(long, value_name = "URL", env = "HACA_URL")]
    pub(crate) node: String,
    /// Address to serve at
    #[arg(
        long,
        value_name = "ADDR",
        env = "HACA_LISTEN",
        default_value = "127.0.0.1:7412"
    )]
    pub(crate) listen: String,
    /// The genesis hash of the network; the node's own word when absent
    #[arg(long, value_name = "HASH", env = "HACA_TRUST")]
    pub(crate) trust: Option<GenesisHash>,
    /// Account of a node whose settlements are paid for; repeatable
    #[arg(long, value_name = "ACCOUNT", required = true)]
    pub(crate) allow: Vec<Address>,
    /// The most OPG per gas, in the smallest unit
    #[arg(long, value_name = "AMOUNT", default_value_t = 100)]
    pub(crate) max_base_fee: u128,
    /// The most OPG for one transaction, in the smallest unit
    #[arg(long, value_name = "AMOUNT", default_value_t = 10_000_000_000)]
    pub(crate) max_transaction: u128,
    /// The most OPG for one node and day, in the smallest unit
    #[arg(long, value_name = "AMOUNT", default_value_t = 100_000_000_000)]
    pub(crate) per_day: u128,
}

#[derive(ClapArgs)]
pub(crate) struct NodeReport {
    /// The node's home; that of `haca up` in --data when absent
    #[arg(long, value_name = "DIR", requires = "node")]
    pub(crate) home: Option<PathBuf>,
    /// A full node
    #[arg(long, value_name = "URL", env = "HACA_URL")]
    pub(crate) node: Option<String>,
    /// The data directory of `haca up`
    #[arg(long, value_name = "DIR", env = "HACA_DATA", default_value = ".haca")]
    pub(crate) data: PathBuf,
    /// Inferences a day that the forecast is for
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) per_day: u64,
    /// OPG per gas, in the smallest unit, that the forecast is for; the present one when absent
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) base_fee: Option<u128>,
    /// What a whole unit of an asset is worth in whole OPG, such as 1=0.25; the node's prices when absent; repeatable
    #[arg(long, value_name = "ASSET=OPG", value_parser = price)]
    pub(crate) opg_price: Vec<(AssetId, Decimal)>,
}

/// What settlements may cost and wait for.
#[derive(ClapArgs)]
pub(crate) struct Settling {
    /// OPG per gas, in the smallest unit, above which settlements wait until the latest safe time
    #[arg(long, value_name = "AMOUNT", default_value_t = 1_000_000)]
    pub(crate) max_base_fee: u128,
    /// Profit that fees are to leave beyond gas before the latest safe time
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub(crate) margin_percent: u32,
    /// How long a receipt waits for others to share a proof and a transaction with
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) batch_wait_s: u64,
    /// Price of an inference with a proof, in the smallest unit of the fee asset
    #[arg(long, value_name = "AMOUNT", default_value_t = 2_000)]
    pub(crate) zk_price: u128,
    /// Price of an inference with signatures only
    #[arg(long, value_name = "AMOUNT", default_value_t = 500)]
    pub(crate) signed_price: u128,
    /// Price of an inference that is proven when its payer demands it; not offered when absent. An unanswered demand
    /// costs the stake
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) optimistic_price: Option<u128>,
    /// Blocks for which a settled receipt and its answer stay in the journal
    #[arg(long, value_name = "BLOCKS", default_value_t = 20_000)]
    pub(crate) retain_blocks: u64,
    /// A sponsor that pays the gas of settlements as far as it is willing to
    #[arg(long, value_name = "URL")]
    pub(crate) sponsor: Option<String>,
    /// What a whole unit of an asset is worth in whole OPG, such as 1=0.25; repeatable
    #[arg(long, value_name = "ASSET=OPG", value_parser = price)]
    pub(crate) opg_price: Vec<(AssetId, Decimal)>,
}

/// Reads `ASSET=OPG`.
fn price(text: &str) -> Result<(AssetId, Decimal), String> {
    let wrong = || format!("{text} is not ASSET=OPG, such as 1=0.25");
    let (asset, price) = text.split_once('=').ok_or_else(wrong)?;
    let asset = asset.parse().map_err(|_| wrong())?;
    Ok((AssetId(asset), price.parse().map_err(|()| wrong())?))
}

#[derive(ClapArgs)]
pub(crate) struct Node {
    /// What `haca-node` takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

/// Prints a completion script on stdout.
pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Args::command(), "haca", &mut std::io::stdout());
}
