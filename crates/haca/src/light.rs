//! `haca state`: what the ledger's state holds, proven by a light client, and `haca verify` of what it writes.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use haca_client::{LightClient, NodeClient, Proof, Witness, attack_checkpoint};
use haca_ledger::record_json;
use haca_verify::{Accused, Checkpoint, Outcome, Policy, ProvenAttack, ProvenState, Report, Side};
use haca_wire::state::{Entry, key};
use haca_wire::{Address, AssetId, ChannelId, Encode as _, GenesisHash, ModelId, ReceiptHash};
use serde_json::{Value, json};

use crate::args::At;
use crate::failure::{Exit, Failure};
use crate::screen::{Ink, Screen};
use crate::session::{client, replace};
use crate::state::{node_of, trust_of};
use crate::verify::{self, exit_code, now_unix_s, report_json};

#[derive(Subcommand)]
pub(crate) enum State {
    /// Print the whole state as JSON, by the node's word
    Export(At),
    /// Prove what an account holds of an asset
    Balance {
        /// The account
        account: Address,
        /// Number of the asset; 0 is OPG
        #[arg(long, value_name = "N", default_value_t = 0)]
        asset: u32,
        #[command(flatten)]
        light: Light,
    },
    /// Prove where every unit of an asset is
    Supply {
        /// Number of the asset; 0 is OPG
        #[arg(long, value_name = "N", default_value_t = 0)]
        asset: u32,
        #[command(flatten)]
        light: Light,
    },
    /// Prove a model's registration
    Model {
        /// The model
        id: ModelId,
        #[command(flatten)]
        light: Light,
    },
    /// Prove an inference node's registration
    Node {
        /// Its account
        account: Address,
        #[command(flatten)]
        light: Light,
    },
    /// Prove a channel
    Channel {
        /// The channel
        id: ChannelId,
        #[command(flatten)]
        light: Light,
    },
    /// Prove that a receipt is settled
    Receipt {
        /// The receipt's hash
        hash: ReceiptHash,
        #[command(flatten)]
        light: Light,
    },
    /// Prove height, settlement tick and base fee; moves the trust store to the newest header
    Clock(Light),
    /// Prove what stands under any key of the state
    Entry {
        /// The key, in hexadecimal
        #[arg(value_name = "HEX")]
        key: String,
        #[command(flatten)]
        light: Light,
    },
}

/// Whom to ask, and what to trust.
#[derive(ClapArgs)]
pub(crate) struct Light {
    #[command(flatten)]
    at: At,
    /// The genesis hash you trust; with --data that of the directory
    #[arg(long, value_name = "HASH", env = "HACA_TRUST")]
    trust: Option<GenesisHash>,
    /// A header you trust beyond the trusting period, as HEIGHT:HASH
    #[arg(long, value_name = "HEIGHT:HASH", value_parser = parse_checkpoint)]
    checkpoint: Option<Checkpoint>,
    /// How long a header can be the start of trust, in seconds
    #[arg(long, value_name = "S", default_value_t = haca_verify::TRUSTING_PERIOD_S)]
    trusting_period_s: u64,
    /// Start at the newest header verified before, and keep what is verified, in this file
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Another full node to compare headers with; repeatable
    #[arg(long, value_name = "URL")]
    witness: Vec<String>,
    /// The oldest header to accept, in seconds before now
    #[arg(long, value_name = "S")]
    max_age_s: Option<u64>,
    /// Write all that the proof takes to this file, for `haca verify`
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the evidence goes if a witness has a conflicting header
    #[arg(long, value_name = "FILE", default_value = "attack.haca")]
    evidence: PathBuf,
}

/// Reads HEIGHT:HASH.
pub(crate) fn parse_checkpoint(text: &str) -> Result<Checkpoint, String> {
    let parsed = text.split_once(':').and_then(|(height, hash)| {
        Some(Checkpoint {
            height: height.parse().ok()?,
            hash: hash.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "write it as HEIGHT:HASH".to_owned())
}

fn checkpoint_text(point: Checkpoint) -> String {
    format!("{}:{}", point.height, point.hash)
}

/// Dispatches `haca state`.
pub(crate) fn run(command: &State, screen: &Screen) -> Result<u8, Failure> {
    let (what, light) = match command {
        State::Export(at) => return crate::state::export(at, screen),
        State::Balance {
            account,
            asset,
            light,
        } => (Subject::Key(key::balance(*account, AssetId(*asset))), light),
        State::Supply { asset, light } => (Subject::Key(key::supply(AssetId(*asset))), light),
        State::Model { id, light } => (Subject::Key(key::model(*id)), light),
        State::Node { account, light } => (Subject::Key(key::node(*account)), light),
        State::Channel { id, light } => (Subject::Key(key::channel(*id)), light),
        State::Receipt { hash, light } => (Subject::Receipt(*hash), light),
        State::Clock(light) => (Subject::Key(key::CLOCK.to_vec()), light),
        State::Entry { key, light } => {
            let text = key.strip_prefix("0x").unwrap_or(key);
            let key = hex::decode(text)
                .map_err(|error| Failure::usage("cli.state_key", error, "give the key in hexadecimal"))?;
            (Subject::Key(key), light)
        }
    };
    prove(&what, light, screen)
}

/// What is to be proven.
enum Subject {
    Key(Vec<u8>),
    Receipt(ReceiptHash),
}

impl Light {
    /// The genesis hash that is trusted: the one named, or that of the network in the data directory.
    fn trust(&self) -> Result<GenesisHash, Failure> {
        let none = || {
            Failure::usage(
                "cli.no_trust",
                "a proof is verified from a genesis hash",
                "name it with --trust HASH",
            )
        };
        trust_of(&self.at, self.trust)?.ok_or_else(none)
    }

    fn client(&self) -> Result<LightClient, Failure> {
        let policy = Policy {
            checkpoint: self.checkpoint,
            trusting_period_s: self.trusting_period_s,
            ..Policy::default()
        };
        let light = LightClient::new(self.trust()?, policy);
        match &self.store {
            Some(path) => light.with_store(path).map_err(client),
            None => Ok(light),
        }
    }
}

fn prove(subject: &Subject, light: &Light, screen: &Screen) -> Result<u8, Failure> {
    let node = node_of(&light.at)?;
    let mut prover = light.client()?;
    let started_at = prover.policy().checkpoint;
    let now = now_unix_s();
    let proof = match subject {
        Subject::Key(key) => prover.prove(&node, key, now).map_err(client)?,
        Subject::Receipt(receipt) => prover
            .prove_receipt(&node, *receipt, now)
            .map_err(client)?
            .ok_or_else(|| {
                Failure::new(
                    Exit::SettlementUnknown,
                    "cli.unsettled_receipt",
                    format!("{} knows no settlement of receipt {receipt}", node.url()),
                    "it may still be settled; ask again later, or another node",
                )
            })?,
    };
    let mut witnesses = Vec::new();
    if proof.report.outcome() == Outcome::Verified {
        for url in &light.witness {
            witnesses.push((url, compare(&prover, &node, url, &proof, light, screen)?));
        }
        prover.remember(&proof).map_err(client)?;
        if let Some(path) = &light.out {
            replace(path, &proof.file.encode())?;
        }
    }
    let too_old = show(&proof, &witnesses, started_at, light, now, screen);
    match too_old {
        true if exit_code(&proof.report) == 0 => Ok(Exit::Unverifiable as u8),
        _ => Ok(exit_code(&proof.report)),
    }
}

/// Compares headers with a witness. A conflict ends the command: which of two chains is the network's is nothing that a
/// light client can decide.
fn compare(
    prover: &LightClient,
    node: &NodeClient,
    url: &str,
    proof: &Proof,
    light: &Light,
    screen: &Screen,
) -> Result<&'static str, Failure> {
    let conflict = |message: String, hint: String| {
        Err(Failure::new(
            Exit::Rejected,
            "cli.conflicting_headers",
            message,
            hint,
        ))
    };
    let witness = NodeClient::new(url);
    match prover
        .compare(node, &witness, proof, now_unix_s())
        .map_err(client)?
    {
        Witness::Agrees => Ok("agrees"),
        Witness::Behind => Ok("behind"),
        Witness::Apart => conflict(
            format!("{url} and {} have no block in common", node.url()),
            "one of them is on another chain: compare both with a checkpoint that you know from elsewhere"
                .into(),
        ),
        Witness::Unproven(report) => {
            let failed = report.failures().next().map_or("nothing", |check| check.id);
            conflict(
                format!(
                    "{url} and {} have different headers, and {failed} does not hold",
                    node.url()
                ),
                match failed {
                    haca_verify::check_id::ATTACK_FIRST => format!("do not use {}", node.url()),
                    _ => format!("{url} serves a chain that nobody signed: do not use it as a witness"),
                },
            )
        }
        Witness::Attack(attack, report) => {
            replace(&light.evidence, &attack.encode())?;
            show_attack(&report, screen);
            let from = attack_checkpoint(&attack)
                .map(|point| format!(" --checkpoint {}", checkpoint_text(point)))
                .unwrap_or_default();
            conflict(
                format!("{url} and {} have different headers, both signed", node.url()),
                format!(
                    "the evidence is in {}: haca verify it with --trust{from}, and give it to full nodes",
                    light.evidence.display()
                ),
            )
        }
    }
}

/// Prints a proof; returns whether its header is older than asked for.
fn show(
    proof: &Proof,
    witnesses: &[(&String, &'static str)],
    started_at: Option<Checkpoint>,
    light: &Light,
    now_unix_s: u64,
    screen: &Screen,
) -> bool {
    let report = &proof.report;
    verify::show(report, screen);
    let mut json = state_json(report, now_unix_s);
    let proven = report.verified().map(|proven| proven.get());
    let age_s = proven.map_or(0, |proven| age_s(proven, now_unix_s));
    let too_old = light.max_age_s.is_some_and(|most| age_s > most);
    if let Some(proven) = proven {
        say_state(proven, now_unix_s, screen);
    }
    for (url, state) in witnesses {
        screen.say(format!("witness {url}: {state}"));
    }
    if too_old {
        screen.say(screen.ink(
            Ink::Red,
            format!("the header is {age_s} s old: what it proves may have changed since"),
        ));
    }
    if let (Some(path), Some(_)) = (&light.out, proven) {
        let from = started_at
            .map(|point| format!(" --checkpoint {}", checkpoint_text(point)))
            .unwrap_or_default();
        screen.note(format!("haca verify {} --trust HASH{from}", path.display()));
    }
    if let Value::Object(fields) = &mut json {
        let seen = |(url, state): &(&String, &str)| json!({ "url": url, "state": state });
        fields.insert("started_at".into(), started_at.map(checkpoint_text).into());
        fields.insert("too_old".into(), too_old.into());
        fields.insert("witnesses".into(), witnesses.iter().map(seen).collect());
    }
    screen.object(&json);
    too_old
}

fn age_s(proven: &ProvenState, now_unix_s: u64) -> u64 {
    now_unix_s.saturating_sub(u64::try_from(proven.time_unix_s).unwrap_or(0))
}

/// A report on a state file, as JSON.
pub(crate) fn state_json(report: &Report<ProvenState>, now_unix_s: u64) -> Value {
    let mut json = report_json(report);
    if let (Some(proven), Value::Object(fields)) = (report.verified(), &mut json) {
        let proven = proven.get();
        fields.insert("key".into(), hex::encode(&proven.key).into());
        fields.insert("height".into(), proven.height.0.into());
        fields.insert(
            "entry".into(),
            proven.entry.as_ref().map(|entry| record_json(entry).1).into(),
        );
        let settled = proven.settlement.as_ref().map(verify::record_json);
        fields.insert("settlement".into(), settled.into());
        fields.insert(
            "header".into(),
            json!({
                "height": proven.header_height.0,
                "hash": proven.header_hash.to_string(),
                "time_unix_s": proven.time_unix_s,
                "age_s": age_s(proven, now_unix_s),
            }),
        );
    }
    json
}

/// The result for a person.
pub(crate) fn say_state(proven: &ProvenState, now_unix_s: u64, screen: &Screen) {
    match &proven.entry {
        None => screen.say("the state holds nothing there"),
        Some(Entry::Model(id, model)) => screen.say(format!(
            "model {id}, verifying key of {} bytes",
            model.verifying_key.len()
        )),
        Some(entry) => screen.say(format!("{:#}", record_json(entry).1)),
    }
    if let Some(settlement) = &proven.settlement {
        screen.say(format!("{:#}", verify::record_json(settlement)));
    }
    screen.say(format!(
        "state of height {}, by header {}:{}, {} s old",
        proven.height,
        proven.header_height,
        proven.header_hash,
        age_s(proven, now_unix_s)
    ));
}

/// Prints what an attack file shows.
pub(crate) fn show_attack(report: &Report<ProvenAttack>, screen: &Screen) {
    verify::show(report, screen);
    let Some(attack) = report.verified().map(|proven| proven.get()) else {
        return;
    };
    screen.say(screen.ink(
        Ink::Bold,
        format!(
            "{} attack at height {}, common height {}",
            attack.kind.name(),
            attack.height,
            attack.common_height
        ),
    ));
    for side in &attack.sides {
        screen.say(format!("  if {} is the false header, accused:", side.hash));
        for accused in &side.accused {
            screen.say(format!(
                "    {} with power {}",
                hex::encode(accused.address),
                accused.power
            ));
        }
    }
    screen.say(format!("  {} validators signed both", attack.double_signed.len()));
}

/// A report on an attack file, as JSON.
pub(crate) fn attack_json(report: &Report<ProvenAttack>) -> Value {
    let mut json = report_json(report);
    let accused = |list: &[Accused]| -> Value {
        let one =
            |accused: &Accused| json!({ "address": hex::encode(accused.address), "power": accused.power });
        list.iter().map(one).collect()
    };
    if let (Some(attack), Value::Object(fields)) = (report.verified(), &mut json) {
        let attack = attack.get();
        let side = |side: &Side| {
            json!({
                "hash": side.hash.to_string(),
                "accused": accused(&side.accused),
                "evidence": side.evidence.as_ref().map(hex::encode),
            })
        };
        fields.insert("kind".into(), attack.kind.name().into());
        fields.insert("height".into(), attack.height.0.into());
        fields.insert("common_height".into(), attack.common_height.0.into());
        fields.insert("sides".into(), attack.sides.iter().map(side).collect());
        fields.insert("double_signed".into(), accused(&attack.double_signed));
    }
    json
}

/// `haca verify` of a state file.
pub(crate) fn verify_state(
    bytes: &[u8],
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
    out: &Screen,
) -> u8 {
    let report = haca_verify::verify_state(bytes, trust, now_unix_s, policy);
    verify::show(&report, out);
    if let Some(proven) = report.verified() {
        say_state(proven.get(), now_unix_s, out);
    }
    out.object(&state_json(&report, now_unix_s));
    exit_code(&report)
}

/// `haca verify` of an attack file.
pub(crate) fn verify_attack(
    bytes: &[u8],
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
    out: &Screen,
) -> u8 {
    let report = haca_verify::verify_attack(bytes, trust, now_unix_s, policy);
    show_attack(&report, out);
    out.object(&attack_json(&report));
    exit_code(&report)
}
