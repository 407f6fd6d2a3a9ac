//! `haca validator`: stake behind a consensus key, by the account in a key file. Accounts in other wallets use
//! `haca tx draft`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use haca_client::{NodeClient, Wallet};
use haca_node::home::Home;
use haca_node::possession::possession;
use haca_wire::governance::{ParamChange, Parameter, Proposal};
use haca_wire::state::{Jail, UnstakingRecord, ValidatorRecord, ValidatorSetRecord, key};
use haca_wire::{Amount, ConsensusKey, Height, Message, ProposalId};
use serde_json::json;

use crate::args::At;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::{INCLUSION, client};
use crate::setup::node;
use crate::state::node_of;
use crate::tx::{On, possession_of};

#[derive(Subcommand)]
pub(crate) enum Validator {
    /// Show stake, power, missed votes and jail of a key, by the node's word
    Show(Show),
    /// Stake OPG behind a key, or add to it
    Stake(Stake),
    /// Take stake out; it is paid once evidence against the validator is too old to count
    Unstake(Unstake),
    /// Free a validator that missed too many votes, once its time is over
    Unjail(Unjail),
    /// Propose new parameters, an upgrade, or that another proposal comes to nothing; the validator approves with it
    Propose(Propose),
    /// Approve of a proposal, or take the approval back
    Vote(Vote),
}

/// Which validator.
#[derive(ClapArgs)]
struct Which {
    /// The full node's directory, with the validator's key in it
    #[arg(
        long,
        value_name = "DIR",
        env = "HACA_NODE_HOME",
        required_unless_present = "key"
    )]
    home: Option<PathBuf>,
    /// The key, in place of --home
    #[arg(long, value_name = "HEX", conflicts_with = "home")]
    key: Option<ConsensusKey>,
}

impl Which {
    fn key(&self) -> Result<ConsensusKey, Failure> {
        if let Some(key) = self.key {
            return Ok(key);
        }
        let home = Home::new(self.home.clone().unwrap_or_default());
        let keys = home.keys().map_err(node)?;
        Ok(keys
            .first()
            .map_or(ConsensusKey([0; 32]), |first| ConsensusKey(first.public())))
    }
}

/// Who acts, and through which node.
#[derive(ClapArgs)]
struct Actor {
    /// Key file of the account that stakes: 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    account: PathBuf,
    /// The most OPG to burn per unit of gas
    #[arg(long, value_name = "AMOUNT", default_value_t = 1_000_000)]
    max_base_fee: u128,
    #[command(flatten)]
    on: On,
}

#[derive(ClapArgs)]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    at: At,
}

#[derive(ClapArgs)]
pub(crate) struct Stake {
    #[command(flatten)]
    which: Which,
    /// The key's signature for the account, as `haca-node possession` prints it; needed with --key
    #[arg(long, value_name = "HEX", requires = "key")]
    possession: Option<String>,
    /// In the smallest unit of OPG
    #[arg(long)]
    amount: u128,
    #[command(flatten)]
    actor: Actor,
}

#[derive(ClapArgs)]
pub(crate) struct Unstake {
    #[command(flatten)]
    which: Which,
    /// In the smallest unit of OPG
    #[arg(long)]
    amount: u128,
    #[command(flatten)]
    actor: Actor,
}

#[derive(ClapArgs)]
pub(crate) struct Unjail {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    actor: Actor,
}

#[derive(ClapArgs)]
pub(crate) struct Propose {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    actor: Actor,
}

/// What a proposal is for.
#[derive(ClapArgs)]
#[group(required = true, multiple = false)]
struct Subject {
    /// A parameter's new value, such as validators.max_validators=150; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = change)]
    parameter: Vec<ParamChange>,
    /// Another version of the rules from a height on
    #[arg(long, value_name = "VERSION@HEIGHT", value_parser = upgrade)]
    upgrade: Option<(u64, u64)>,
    /// The proposal that is to come to nothing
    #[arg(long, value_name = "ID")]
    cancel: Option<u64>,
}

impl Subject {
    fn proposal(&self) -> Proposal {
        match (self.upgrade, self.cancel) {
            (Some((version, height)), _) => Proposal::Upgrade {
                version,
                height: Height(height),
            },
            (None, Some(id)) => Proposal::Cancel(ProposalId(id)),
            (None, None) => {
                let mut changes = self.parameter.clone();
                changes.sort_by_key(|change| change.parameter);
                Proposal::Parameters(changes)
            }
        }
    }
}

fn change(text: &str) -> Result<ParamChange, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let parameter: Parameter = name.parse().map_err(|error| {
        let known: Vec<_> = Parameter::ALL.iter().map(|parameter| parameter.name()).collect();
        format!("{error}; there are {}", known.join(", "))
    })?;
    let value = value.parse().map_err(|error| format!("{value}: {error}"))?;
    Ok(ParamChange { parameter, value })
}

fn upgrade(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('@').ok_or("expected VERSION@HEIGHT")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok((number(parts.0)?, number(parts.1)?))
}

#[derive(ClapArgs)]
pub(crate) struct Vote {
    #[command(flatten)]
    which: Which,
    /// The proposal's number; `GET /v1/governance` lists those that are open
    #[arg(long, value_name = "ID")]
    proposal: u64,
    /// Take the approval back
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    actor: Actor,
}

/// Dispatches `haca validator`.
pub(crate) fn run(command: &Validator, screen: &Screen) -> Result<u8, Failure> {
    match command {
        Validator::Show(show) => print(&node_of(&show.at)?, show.which.key()?, screen),
        Validator::Stake(stake) => self::stake(stake, screen),
        Validator::Unstake(unstake) => {
            let key = unstake.which.key()?;
            let amount = Amount(unstake.amount);
            send(&unstake.actor, Message::Unstake { key, amount }, key, screen)
        }
        Validator::Unjail(unjail) => {
            let key = unjail.which.key()?;
            send(&unjail.actor, Message::Unjail { key }, key, screen)
        }
        Validator::Propose(propose) => {
            let key = propose.which.key()?;
            let proposal = propose.subject.proposal();
            send(&propose.actor, Message::Propose { key, proposal }, key, screen)
        }
        Validator::Vote(vote) => {
            let key = vote.which.key()?;
            let message = Message::Vote {
                key,
                proposal: ProposalId(vote.proposal),
                approve: !vote.withdraw,
            };
            send(&vote.actor, message, key, screen)
        }
    }
}

fn stake(stake: &Stake, screen: &Screen) -> Result<u8, Failure> {
    let account = Wallet::load(&stake.actor.account).map_err(client)?.address();
    let (key, signature) = match (stake.which.key, &stake.possession, &stake.which.home) {
        (Some(key), Some(text), _) => (key, possession_of(text)?),
        (None, _, Some(home)) => {
            let signed = possession(&Home::new(home), account).map_err(node)?;
            (signed.key, signed.signature)
        }
        _ => {
            return Err(Failure::usage(
                "cli.no_possession",
                "the key has not signed for the account",
                "`haca-node possession --home DIR --account ADDRESS` where the key is prints it",
            ));
        }
    };
    let message = Message::Stake {
        key,
        possession: signature,
        amount: Amount(stake.amount),
    };
    send(&stake.actor, message, key, screen)
}

/// Signs, sends, waits for the block, and shows what the validator then is.
fn send(actor: &Actor, message: Message, key: ConsensusKey, screen: &Screen) -> Result<u8, Failure> {
    let (node, domain) = actor.on.domain()?;
    let wallet = Wallet::load(&actor.account).map_err(client)?;
    let head = node.status().map_err(client)?.height;
    let tx = wallet
        .transaction(message, &domain, head, Amount(actor.max_base_fee))
        .map_err(client)?;
    let (hash, included) = node.submit_and_wait(&tx, INCLUSION).map_err(client)?;
    screen.note(format!(
        "{} in block {} [{hash}]",
        tx.transaction.message.name(),
        included.height
    ));
    // The state with its proof is known from the next block on.
    let waited = |node: &NodeClient| Ok((node.clock()?.height.0 >= included.height).then_some(()));
    node.poll(Duration::from_secs(30), "the next block", || waited(&node))
        .map_err(client)?;
    print(&node, key, screen)
}

fn print(at: &NodeClient, key: ConsensusKey, screen: &Screen) -> Result<u8, Failure> {
    let address = key.address();
    let found = at
        .record::<ValidatorRecord>(&key::validator(address))
        .map_err(client)?;
    let set = at.record::<ValidatorSetRecord>(key::VALIDATORS).map_err(client)?;
    let (power, total) = set.map_or((0, 0), |set| (set.power(key), set.total_power()));
    let Some(record) = found else {
        return Err(Failure::usage(
            "cli.unknown_validator",
            format!("nobody has staked for {key}"),
            "`haca validator stake` does",
        ));
    };
    let mut leaving = Vec::new();
    for position in &record.unstaking {
        if let Some(entry) = at
            .record::<UnstakingRecord>(&key::unstaking(*position))
            .map_err(client)?
        {
            leaving.push(entry);
        }
    }
    let jail = match record.jail {
        Jail::Free => "free".to_owned(),
        Jail::Until(height) => format!("until block {height}"),
        Jail::Forever => "for ever".to_owned(),
    };
    screen.say(format!("validator  {address}"));
    screen.say(format!("account    {}", record.account));
    screen.say(format!("stake      {}", record.stake));
    screen.say(format!("power      {power} of {total}"));
    screen.say(format!("jail       {jail}"));
    screen.say(format!(
        "missed     {} votes of window {}",
        record.missed, record.window
    ));
    for entry in &leaving {
        screen.say(format!(
            "leaving    {} since block {}",
            entry.amount, entry.height
        ));
    }
    screen.object(&json!({
        "validator": address.to_string(),
        "key": key.to_string(),
        "account": record.account.to_string(),
        "stake": record.stake.to_string(),
        "power": power,
        "total_power": total,
        "jail": jail,
        "missed": record.missed,
        "window": record.window,
        "slashed": record.slashed.to_string(),
        "leaving": leaving.iter().map(|entry| json!({
            "amount": entry.amount.to_string(),
            "height": entry.height.0,
            "time_unix_s": entry.time_unix_s,
        })).collect::<Vec<_>>(),
    }));
    Ok(0)
}
