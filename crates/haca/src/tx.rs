//! `haca tx`: transactions that a wallet elsewhere signs. What leaves is typed data, what comes back is a signature; no
//! key is touched.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use haca_client::{NodeClient, TX_LIFETIME_BLOCKS, random_nonce};
use haca_wire::{
    Address, Amount, AssetId, ChainId, ChannelId, Close, ConsensusKey, Decode, Domain, Encode as _,
    GenesisHash, Height, Message, Order, ParamChange, Parameter, Proposal, ProposalId, Quote, Receipt,
    Signature, Signed, SignedTransaction, Transaction, TxMeta, TypedDocument,
};
use serde_json::json;

use crate::args::At;
use crate::failure::{Exit, Failure};
use crate::screen::Screen;
use crate::session::client;
use crate::state::{node_of, trust_of};

#[derive(Subcommand)]
pub(crate) enum Tx {
    /// Write a transaction for a wallet to sign: its bytes and its EIP-712 typed data
    Draft(Draft),
    /// Print the EIP-712 typed data of an encoded value, as `eth_signTypedData_v4` takes it
    TypedData(TypedData),
    /// Put a wallet's signature to a drafted transaction, send it, and wait until it is in a block
    Send(Send),
}

#[derive(ClapArgs)]
pub(crate) struct Draft {
    /// The account that acts and signs
    #[arg(long, value_name = "ADDRESS")]
    from: Address,
    /// The most OPG to burn per unit of gas
    #[arg(long, value_name = "AMOUNT", default_value = "1000000")]
    max_base_fee: u128,
    /// OPG for the proposer
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    tip: u128,
    /// The account that pays gas and tip, and signs, too
    #[arg(long, value_name = "ADDRESS")]
    sponsor: Option<Address>,
    /// Blocks from now in which the transaction may be included
    #[arg(long, value_name = "N", default_value_t = TX_LIFETIME_BLOCKS)]
    lifetime_blocks: u64,
    #[command(flatten)]
    on: On,
    #[command(subcommand)]
    message: Draftable,
}

/// The messages that people send; those of inference nodes are sent by their program.
#[derive(Subcommand)]
enum Draftable {
    /// Move an asset
    Transfer {
        /// Receiver
        #[arg(long, value_name = "ADDRESS")]
        to: Address,
        #[command(flatten)]
        sum: Sum,
    },
    /// Add to the sender's bond
    Bond(Sum),
    /// Take from the unreserved part of the sender's bond
    Unbond(Sum),
    /// Open the channel that an inference node quoted (`POST /v1/quotes`)
    OpenChannel {
        /// The signed quote, in hexadecimal
        #[arg(long, value_name = "HEX")]
        quote: String,
    },
    /// Add to a channel's deposit
    TopUp {
        /// The channel
        #[arg(long, value_name = "ID")]
        channel: ChannelId,
        /// In the smallest unit of the channel's asset
        #[arg(long)]
        amount: u128,
    },
    /// Stake OPG behind a validator's key, or add to it
    Stake {
        /// The key, as `haca-node possession` prints it
        #[arg(long, value_name = "HEX")]
        key: ConsensusKey,
        /// The key's signature for this account, printed beside it
        #[arg(long, value_name = "HEX")]
        possession: String,
        /// In the smallest unit of OPG
        #[arg(long)]
        amount: u128,
    },
    /// Take stake out; it is paid once evidence against the validator is too old to count
    Unstake {
        /// The validator's key
        #[arg(long, value_name = "HEX")]
        key: ConsensusKey,
        /// In the smallest unit of OPG
        #[arg(long)]
        amount: u128,
    },
    /// Free a validator that missed too many votes, once its time is over
    Unjail {
        /// The validator's key
        #[arg(long, value_name = "HEX")]
        key: ConsensusKey,
    },
    /// Propose what validators vote on; the proposer approves
    Propose(Proposed),
    /// Approve a proposal with a validator's power
    Vote {
        /// The validator's key
        #[arg(long, value_name = "HEX")]
        key: ConsensusKey,
        /// Number of the proposal, as `GET /v1/governance` shows it
        #[arg(long, value_name = "N")]
        proposal: ProposalId,
        /// Take the approval back
        #[arg(long)]
        withdraw: bool,
    },
    /// Close a channel
    CloseChannel {
        /// The channel
        #[arg(long, value_name = "ID")]
        channel: ChannelId,
        /// The other side's signed consent, in hexadecimal: closes at once
        #[arg(long, value_name = "HEX")]
        consent: Option<String>,
    },
}

#[derive(ClapArgs)]
struct Proposed {
    /// The proposer's key
    #[arg(long, value_name = "HEX")]
    key: ConsensusKey,
    /// A parameter's new value; repeatable
    #[arg(
        long,
        value_name = "NAME=VALUE",
        value_parser = param_change,
        required_unless_present_any = ["upgrade", "cancel"],
        conflicts_with_all = ["upgrade", "cancel"]
    )]
    set: Vec<ParamChange>,
    /// A version of the rules, and the first block under it
    #[arg(long, value_name = "VERSION@HEIGHT", value_parser = upgrade, conflicts_with = "cancel")]
    upgrade: Option<(u64, Height)>,
    /// A proposal that is to come to nothing
    #[arg(long, value_name = "N")]
    cancel: Option<ProposalId>,
}

fn param_change(text: &str) -> Result<ParamChange, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let parameter: Parameter = name.parse().map_err(|_| {
        let names: Vec<&str> = Parameter::ALL.iter().map(|parameter| parameter.name()).collect();
        format!("no vote changes `{name}`; expected one of {}", names.join(", "))
    })?;
    let value = value
        .parse()
        .map_err(|error| format!("value of {name}: {error}"))?;
    Ok(ParamChange { parameter, value })
}

fn upgrade(text: &str) -> Result<(u64, Height), String> {
    let bad = || "expected VERSION@HEIGHT, such as 2@100000".to_owned();
    let (version, height) = text.split_once('@').ok_or_else(bad)?;
    Ok((
        version.parse().map_err(|_| bad())?,
        height.parse().map_err(|_| bad())?,
    ))
}

impl Proposed {
    /// The changes in the order that the encoding asks for.
    fn proposal(&self) -> Result<Proposal, Failure> {
        if let Some((version, height)) = self.upgrade {
            return Ok(Proposal::Upgrade { version, height });
        }
        if let Some(proposal) = self.cancel {
            return Ok(Proposal::Cancel(proposal));
        }
        let mut changes = self.set.clone();
        changes.sort_by_key(|change| change.parameter);
        let twice = changes.windows(2).find_map(|pair| match pair {
            [a, b] if a.parameter == b.parameter => Some(a.parameter.name()),
            _ => None,
        });
        match twice {
            None => Ok(Proposal::Parameters(changes)),
            Some(name) => Err(Failure::usage(
                "cli.proposal",
                format!("{name} is set twice"),
                "give each parameter one value",
            )),
        }
    }
}

#[derive(ClapArgs)]
struct Sum {
    /// Number of the asset; 0 is OPG
    #[arg(long, value_name = "N", default_value_t = 0)]
    asset: u32,
    /// In the asset's smallest unit
    #[arg(long)]
    amount: u128,
}

#[derive(ClapArgs)]
pub(crate) struct TypedData {
    /// What the bytes are
    #[arg(value_parser = ["transaction", "order", "receipt", "quote", "close"])]
    kind: String,
    /// Their encoding in hexadecimal, with or without a signature behind it
    #[arg(value_name = "HEX")]
    bytes: String,
    /// The network's number; with --trust no node is asked
    #[arg(long, value_name = "N", requires = "trust")]
    chain_id: Option<u64>,
    #[command(flatten)]
    on: On,
}

#[derive(ClapArgs)]
pub(crate) struct Send {
    /// The transaction as `draft` printed it
    #[arg(long, value_name = "HEX")]
    transaction: String,
    /// The sender's signature, as the wallet returned it
    #[arg(long, value_name = "HEX")]
    signature: String,
    /// The sponsor's signature
    #[arg(long, value_name = "HEX")]
    sponsor_signature: Option<String>,
    /// How long to wait for its block
    #[arg(long, value_name = "S", default_value_t = 30)]
    wait_s: u64,
    #[command(flatten)]
    on: On,
}

/// The network that signatures are for.
#[derive(ClapArgs)]
pub(crate) struct On {
    #[command(flatten)]
    at: At,
    /// The genesis hash you trust; with --data that of the directory, with --node the node's own word when absent
    #[arg(long, value_name = "HASH", env = "HACA_TRUST")]
    trust: Option<GenesisHash>,
}

impl On {
    /// The node, and the domain of signatures on its network.
    pub(crate) fn domain(&self) -> Result<(NodeClient, Domain), Failure> {
        let node = node_of(&self.at)?;
        let domain = node.domain(trust_of(&self.at, self.trust)?).map_err(client)?;
        Ok((node, domain))
    }
}

/// Dispatches `haca tx`.
pub(crate) fn run(command: &Tx, screen: &Screen) -> Result<u8, Failure> {
    match command {
        Tx::Draft(arguments) => draft(arguments, screen),
        Tx::TypedData(arguments) => typed_data(arguments, screen),
        Tx::Send(arguments) => send(arguments, screen),
    }
}

fn draft(draft: &Draft, screen: &Screen) -> Result<u8, Failure> {
    let message = message(&draft.message)?;
    let (node, domain) = draft.on.domain()?;
    let head = node.status().map_err(client)?.height;
    let transaction = Transaction {
        meta: TxMeta {
            sender: draft.from,
            expiry: Height(head.0.saturating_add(draft.lifetime_blocks)),
            nonce: random_nonce().map_err(client)?,
            max_base_fee: Amount(draft.max_base_fee),
            tip: Amount(draft.tip),
            sponsor: draft.sponsor.unwrap_or_default(),
        },
        message,
    };
    let typed_data = transaction.typed_data(&domain);
    let bytes = hex0x(&transaction.encode());
    screen.say(format!("{typed_data:#}"));
    screen.note(format!("transaction {bytes}"));
    screen.note(format!(
        "sign the typed data with the key of {}, then: haca tx send --transaction HEX --signature HEX",
        draft.from
    ));
    screen.object(&json!({ "transaction": bytes, "typed_data": typed_data }));
    Ok(0)
}

fn message(draftable: &Draftable) -> Result<Message, Failure> {
    Ok(match draftable {
        Draftable::Transfer { to, sum } => Message::Transfer {
            to: *to,
            asset: AssetId(sum.asset),
            amount: Amount(sum.amount),
        },
        Draftable::Bond(sum) => Message::Bond {
            asset: AssetId(sum.asset),
            amount: Amount(sum.amount),
        },
        Draftable::Unbond(sum) => Message::Unbond {
            asset: AssetId(sum.asset),
            amount: Amount(sum.amount),
        },
        Draftable::OpenChannel { quote } => Message::OpenChannel {
            quote: decode("a signed quote", quote)?,
        },
        Draftable::TopUp { channel, amount } => Message::TopUp {
            channel: *channel,
            amount: Amount(*amount),
        },
        Draftable::Stake {
            key,
            possession,
            amount,
        } => Message::Stake {
            key: *key,
            possession: possession_of(possession)?,
            amount: Amount(*amount),
        },
        Draftable::Unstake { key, amount } => Message::Unstake {
            key: *key,
            amount: Amount(*amount),
        },
        Draftable::Unjail { key } => Message::Unjail { key: *key },
        Draftable::Propose(proposed) => Message::Propose {
            key: proposed.key,
            proposal: proposed.proposal()?,
        },
        Draftable::Vote {
            key,
            proposal,
            withdraw,
        } => Message::Vote {
            key: *key,
            proposal: *proposal,
            approve: !withdraw,
        },
        Draftable::CloseChannel { channel, consent } => Message::CloseChannel {
            channel: *channel,
            consent: consent
                .as_deref()
                .map(|consent| decode("a signed consent", consent))
                .transpose()?,
        },
    })
}

fn typed_data(arguments: &TypedData, screen: &Screen) -> Result<u8, Failure> {
    let domain = match (arguments.chain_id, arguments.on.trust) {
        (Some(chain_id), Some(genesis)) => Domain {
            chain_id: ChainId(chain_id),
            genesis,
        },
        _ => arguments.on.domain()?.1,
    };
    let text = &arguments.bytes;
    let document = match arguments.kind.as_str() {
        "order" => signable::<Order>("an order", text)?.typed_data(&domain),
        "receipt" => signable::<Receipt>("a receipt", text)?.typed_data(&domain),
        "quote" => signable::<Quote>("a quote", text)?.typed_data(&domain),
        "close" => signable::<Close>("a consent to close", text)?.typed_data(&domain),
        _ => match decode::<SignedTransaction>("a transaction", text) {
            Ok(signed) => signed.transaction,
            Err(_) => decode("a transaction", text)?,
        }
        .typed_data(&domain),
    };
    screen.out(&format!("{document:#}"));
    Ok(0)
}

fn send(send: &Send, screen: &Screen) -> Result<u8, Failure> {
    let (node, domain) = send.on.domain()?;
    let transaction: Transaction = decode("a transaction", &send.transaction)?;
    let meta = &transaction.meta;
    let signed = SignedTransaction {
        signature: signature(&send.signature, &transaction, meta.sender, &domain)?,
        sponsor_signature: match &send.sponsor_signature {
            Some(text) => Some(signature(text, &transaction, meta.sponsor, &domain)?),
            None => None,
        },
        transaction: transaction.clone(),
    };
    let (hash, included) = node
        .submit_and_wait(&signed, Duration::from_secs(send.wait_s))
        .map_err(client)?;
    screen.say(format!(
        "{} in block {}, {} gas [{hash}]",
        transaction.message.name(),
        included.height,
        included.gas_used
    ));
    screen.object(&json!({
        "tx": hash.to_string(),
        "message": transaction.message.name(),
        "height": included.height,
        "gas_used": included.gas_used,
    }));
    Ok(0)
}

/// A wallet's signature of the transaction by this account. Some wallets, mostly hardware, return 0 or 1 where the others
/// return 27 or 28.
fn signature(
    text: &str,
    transaction: &Transaction,
    account: Address,
    domain: &Domain,
) -> Result<Signature, Failure> {
    use haca_wire::TypedData as _;
    let mut bytes = unhex("a signature", text)?;
    if let Some(parity @ 0..=1) = bytes.last_mut() {
        *parity += 27;
    }
    let signature = Signature::decode_all(&bytes).map_err(|error| unreadable("a signature", error))?;
    signature
        .check(&transaction.digest(domain), account)
        .map_err(|error| {
            Failure::new(
                Exit::Rejected,
                error.code(),
                error,
                "sign the typed data of this draft, on this network, with the key of that account",
            )
        })?;
    Ok(signature)
}

/// A value with or without its signature.
fn signable<T: Decode>(what: &str, text: &str) -> Result<T, Failure> {
    match decode::<Signed<T>>(what, text) {
        Ok(signed) => Ok(signed.value),
        Err(_) => decode(what, text),
    }
}

fn decode<T: Decode>(what: &str, text: &str) -> Result<T, Failure> {
    T::decode_all(&unhex(what, text)?).map_err(|error| unreadable(what, error))
}

/// A validator's key's signature for the account that stakes.
pub(crate) fn possession_of(text: &str) -> Result<[u8; 64], Failure> {
    let bytes = unhex("a key's signature", text)?;
    let wrong = |bytes: Vec<u8>| format!("{} bytes, expected 64", bytes.len());
    bytes
        .try_into()
        .map_err(|bytes| unreadable("a key's signature", wrong(bytes)))
}

fn unhex(what: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let text = text.trim();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|error| unreadable(what, error))
}

fn unreadable(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::usage(
        "cli.encoding",
        format!("not {what}: {error}"),
        "give the encoding in hexadecimal, as spec/wire.md has it",
    )
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
