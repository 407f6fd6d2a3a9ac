//! The whole state as JSON: amounts as decimal strings, ids and bytes in hexadecimal, everything in key order.

use std::collections::BTreeSet;

use haca_wire::state::{
    BondRecord, ChannelRecord, ChannelState, ClaimKind, ClaimRecord, Entry, GovernanceRecord, HeldKey,
    HeldRecord, Jail, ModelRecord, NodeRecord, ProposalRecord, RangesRecord, SEQUENCE_WINDOW, SequenceBits,
    SequenceWindow, Supply, UnbondingRecord, ValidatorRecord, ValidatorSetRecord,
};
use haca_wire::{ChannelId, Encode, Offer, ParamChange, TensorSpec};
use serde_json::{Map, Value, json};

use crate::audit::AuditError;
use crate::genesis::GenesisParams;

/// The kinds of entries of which there may be many.
const LISTS: [&str; 22] = [
    "assets",
    "balances",
    "bonds",
    "channels",
    "claims",
    "closing",
    "dockets",
    "due",
    "dues",
    "held",
    "models",
    "nodes",
    "nonces",
    "proposals",
    "ranges",
    "receipts",
    "spent",
    "supplies",
    "terms",
    "unbonding",
    "unstaking",
    "validators",
];

/// Writes all entries of the state as one object with a list per kind of entry. From it alone the supply of every
/// asset can be recomputed; `raw` holds every key and value as they are stored.
pub fn export<'e>(entries: impl IntoIterator<Item = (&'e [u8], &'e [u8])>) -> Result<Value, AuditError> {
    let mut lists: Map<String, Value> = Map::new();
    for name in LISTS {
        lists.insert(name.to_owned(), json!([]));
    }
    let mut raw = Map::new();
    for (key, value) in entries {
        raw.insert(hex::encode(key), hex::encode(value).into());
        let entry = Entry::decode(key, value).map_err(|source| AuditError::Entry {
            key: hex::encode(key),
            source,
        })?;
        let (name, record) = record_json(&entry);
        match lists.get_mut(name) {
            Some(Value::Array(list)) => list.push(record),
            _ => {
                lists.insert(name.to_owned(), record);
            }
        }
    }
    lists.insert("raw".to_owned(), raw.into());
    Ok(lists.into())
}

/// The same document as [`export`] writes, as text and entry by entry, for a state that is larger than the memory. All
/// entries are given twice, in the order of their keys: first to [`ExportText::record`], then, after
/// [`ExportText::raw`], to [`ExportText::raw_entry`].
#[derive(Debug)]
pub struct ExportText {
    /// The list whose entries are being written.
    open: Option<&'static str>,
    written: BTreeSet<&'static str>,
    first: bool,
}

impl ExportText {
    /// Begins the document in `out`.
    pub fn new(out: &mut String) -> Self {
        out.push('{');
        Self {
            open: None,
            written: BTreeSet::new(),
            first: true,
        }
    }

    fn comma(&mut self, out: &mut String) {
        if !core::mem::take(&mut self.first) {
            out.push(',');
        }
    }

    fn close(&mut self, out: &mut String) {
        if self.open.take().is_some() {
            out.push(']');
            self.first = false;
        }
    }

    /// Writes an entry. Those of a list stand side by side, as their keys do.
    pub fn record(&mut self, key: &[u8], value: &[u8], out: &mut String) -> Result<(), AuditError> {
        let entry = Entry::decode(key, value).map_err(|source| AuditError::Entry {
            key: hex::encode(key),
            source,
        })?;
        let (name, record) = record_json(&entry);
        if self.open != Some(name) {
            self.close(out);
            self.comma(out);
            out.push_str(&Value::from(name).to_string());
            out.push(':');
            self.written.insert(name);
            if LISTS.contains(&name) {
                out.push('[');
                self.open = Some(name);
                self.first = true;
            }
        }
        if self.open.is_some() {
            self.comma(out);
        }
        out.push_str(&record.to_string());
        self.first = false;
        Ok(())
    }

    /// Ends the records, with an empty list where there were none, and begins keys and values as they are stored.
    pub fn raw(&mut self, out: &mut String) {
        self.close(out);
        for name in LISTS {
            if self.written.insert(name) {
                self.comma(out);
                out.push_str(&Value::from(name).to_string());
                out.push_str(":[]");
                self.first = false;
            }
        }
        self.comma(out);
        out.push_str("\"raw\":{");
        self.first = true;
    }

    /// Writes an entry as it is stored.
    pub fn raw_entry(&mut self, key: &[u8], value: &[u8], out: &mut String) {
        self.comma(out);
        out.push_str(&format!("\"{}\":\"{}\"", hex::encode(key), hex::encode(value)));
        self.first = false;
    }

    /// Ends the document.
    pub fn end(self, out: &mut String) {
        out.push_str("}}");
    }
}

/// One entry: the name of its list in the export, and its JSON form.
pub fn record_json(entry: &Entry) -> (&'static str, Value) {
    match entry {
        Entry::Asset(asset, record) => (
            "assets",
            json!({ "asset": asset.0, "symbol": record.symbol.as_str(), "decimals": record.decimals }),
        ),
        Entry::Balance(account, asset, amount) => (
            "balances",
            json!({ "account": text(account), "asset": asset.0, "amount": text(amount) }),
        ),
        Entry::Bond(node, asset, bond) => ("bonds", bond_json(&text(node), asset.0, bond)),
        Entry::Chain(chain) => (
            "chain",
            json!({ "chain_id": chain.chain_id.0, "genesis": text(&chain.genesis) }),
        ),
        Entry::Channel(id, channel) => ("channels", channel_json(&text(id), channel)),
        Entry::Claim(channel, sequence, claim) => ("claims", claim_json(&text(channel), sequence.0, claim)),
        Entry::Clock(clock) => (
            "clock",
            json!({
                "height": clock.height.0,
                "tick": clock.tick.0,
                "base_fee": text(&clock.base_fee),
            }),
        ),
        Entry::Closing(position, channel) => (
            "closing",
            json!({ "position": position, "channel": text(channel) }),
        ),
        Entry::ClosingQueue(queue) => ("closing_queue", json!({ "head": queue.head, "tail": queue.tail })),
        Entry::Docket(node, docket) => (
            "dockets",
            json!({ "node": text(node), "open": docket.open, "due": docket.due.0 }),
        ),
        Entry::Due(tick, position, key) => (
            "due",
            json!({ "tick": tick.0, "position": position, "channel": text(&key.channel), "first": key.first.0 }),
        ),
        Entry::DueQueue(calendar) => (
            "due_queue",
            json!({ "tick": calendar.tick.0, "position": calendar.position }),
        ),
        Entry::Dues(tick, count) => ("dues", json!({ "tick": tick.0, "count": count })),
        Entry::Governance(record) => ("governance", governance_json(record)),
        Entry::Held(key, held) => ("held", held_json(*key, held)),
        Entry::Model(id, model) => ("models", model_json(&text(id), model)),
        Entry::Node(id, node) => ("nodes", node_json(&text(id), node)),
        Entry::Nonce(sender, nonce, height) => (
            "nonces",
            json!({ "sender": text(sender), "nonce": text(nonce), "height": height.0 }),
        ),
        Entry::Params(params) => ("params", json!(GenesisParams::from(*params))),
        Entry::Pool(amount) => ("pool", text(amount).into()),
        Entry::Proposal(id, record) => ("proposals", proposal_json(id.0, record)),
        Entry::Ranges(channel, part, ranges) => ("ranges", ranges_json(*channel, *part, ranges)),
        Entry::Receipts(height, root) => ("receipts", json!({ "height": height.0, "root": bytes(root) })),
        Entry::Spent(height, spent) => ("spent", json!({ "height": height.0, "nonces": spent.0.len() })),
        Entry::Supply(asset, supply) => ("supplies", supply_json(asset.0, supply)),
        Entry::Terms(id, terms) => ("terms", model_json(&text(id), terms)),
        Entry::Unbonding(position, entry) => ("unbonding", unbonding_json(*position, entry)),
        Entry::UnbondingQueue(queue) => (
            "unbonding_queue",
            json!({ "head": queue.head, "tail": queue.tail }),
        ),
        Entry::Unstaking(position, entry) => (
            "unstaking",
            json!({
                "position": position,
                "validator": text(&entry.validator),
                "amount": text(&entry.amount),
                "height": entry.height.0,
                "time_unix_s": entry.time_unix_s,
            }),
        ),
        Entry::UnstakingQueue(queue) => (
            "unstaking_queue",
            json!({ "head": queue.head, "tail": queue.tail }),
        ),
        Entry::Validator(address, record) => ("validators", validator_json(&text(address), record)),
        Entry::Validators(set) => ("validator_set", validator_set_json(set)),
    }
}

fn text(value: &impl core::fmt::Display) -> String {
    value.to_string()
}

fn bytes(value: &[u8]) -> String {
    format!("0x{}", hex::encode(value))
}

fn bond_json(node: &str, asset: u32, bond: &BondRecord) -> Value {
    json!({
        "node": node,
        "asset": asset,
        "total": text(&bond.total),
        "reserved": text(&bond.reserved),
    })
}

fn channel_json(id: &str, channel: &ChannelRecord) -> Value {
    json!({
        "channel": id,
        "payer": text(&channel.payer),
        "node": text(&channel.node),
        "asset": channel.asset.0,
        "deposit": text(&channel.deposit),
        "reserve": text(&channel.reserve),
        "offer_version": channel.offer_version,
        "opened": channel.opened.0,
        "state": channel_state_json(&channel.state),
        "paid": text(&channel.paid),
        "settled": channel.settled,
        "window": window_json(&channel.window),
    })
}

fn channel_state_json(state: &ChannelState) -> Value {
    match state {
        ChannelState::Open => json!({ "name": "open" }),
        ChannelState::Closing {
            by,
            last_settle,
            matures,
        } => json!({
            "name": "closing",
            "by": text(by),
            "last_settle": last_settle.0,
            "matures": matures.0,
        }),
        ChannelState::Closed { height } => json!({ "name": "closed", "height": height.0 }),
    }
}

fn window_json(window: &SequenceWindow) -> Value {
    let encoded = window.encode();
    json!({
        "next": window.next().0,
        "lowest": window.lowest().0,
        "bits": bytes(encoded.get(8..).unwrap_or_default()),
    })
}

fn claim_json(channel: &str, sequence: u64, claim: &ClaimRecord) -> Value {
    let kind = match claim.kind {
        ClaimKind::Missed => "missed",
        ClaimKind::Equivocation => "equivocation",
        ClaimKind::Unanswered => "unanswered",
    };
    json!({
        "channel": channel,
        "sequence": sequence,
        "kind": kind,
        "order": text(&claim.order),
        "paid": text(&claim.paid),
        "height": claim.height.0,
    })
}

fn model_json(id: &str, model: &ModelRecord) -> Value {
    let gas: Vec<u64> = model.batch_gas.iter().map(|gas| gas.0).collect();
    json!({
        "model": id,
        "owner": text(&model.owner),
        "units": model.units,
        "max_batch": model.max_batch,
        "registered": model.registered.0,
        "batch_gas": gas,
        "outputs": model.outputs.iter().map(output_json).collect::<Vec<_>>(),
        "verifying_key": bytes(&model.verifying_key),
    })
}

fn output_json(output: &TensorSpec) -> Value {
    json!({
        "name": output.name.as_str(),
        "dtype": output.dtype.name(),
        "shape": output.shape.dims(),
        "mantissa": output.scale.mantissa(),
        "shift": output.scale.shift(),
    })
}

fn node_json(id: &str, node: &NodeRecord) -> Value {
    let signers: Vec<Value> = node
        .signers
        .iter()
        .map(|term| {
            json!({
                "signer": text(&term.signer),
                "from": term.from.0,
                "end_height": term.end.map(|end| end.height.0),
                "end_tick": term.end.map(|end| end.tick.0),
            })
        })
        .collect();
    json!({
        "node": id,
        "endpoint": node.endpoint,
        "payout": text(&node.payout),
        "signer": node.signer().map(|signer| text(&signer)),
        "signers": signers,
        "offer_version": node.offer_version,
        "offers": node.offers.iter().map(offer_json).collect::<Vec<_>>(),
        "stake": text(&node.stake),
        "jailed": node.jailed,
        "registered": node.registered.0,
    })
}

fn offer_json(offer: &Offer) -> Value {
    json!({
        "model": text(&offer.model),
        "evidence": offer.evidence.name(),
        "asset": offer.asset.0,
        "base_price": text(&offer.base_price),
        "unit_price": text(&offer.unit_price),
    })
}

fn held_json(key: HeldKey, held: &HeldRecord) -> Value {
    let demand = held.demand.map(|demand| {
        json!({
            "sequence": demand.sequence.0,
            "receipt": text(&demand.receipt),
            "deposit": text(&demand.deposit),
            "due": demand.due.0,
        })
    });
    json!({
        "channel": text(&key.channel),
        "first": key.first.0,
        "count": held.count,
        "receipts": bytes(&held.receipts),
        "payer": text(&held.payer),
        "node": text(&held.node),
        "payout": text(&held.payout),
        "asset": held.asset.0,
        "model": text(&held.model),
        "fee": text(&held.fee),
        "warranty": text(&held.warranty),
        "matures": held.matures.0,
        "demand": demand,
    })
}

fn ranges_json(channel: ChannelId, part: u64, ranges: &RangesRecord) -> Value {
    let from = part.saturating_mul(SEQUENCE_WINDOW);
    let sequences =
        |bits: &SequenceBits| -> Vec<u64> { bits.iter().map(|slot| from.saturating_add(slot)).collect() };
    json!({
        "channel": text(&channel),
        "from": from,
        "waiting": sequences(&ranges.waiting),
        "forfeited": sequences(&ranges.forfeited),
    })
}

fn supply_json(asset: u32, supply: &Supply) -> Value {
    json!({
        "asset": asset,
        "issued": text(&supply.issued),
        "existing": text(&supply.existing()),
        "balances": text(&supply.balances),
        "escrow": text(&supply.escrow),
        "held": text(&supply.held),
        "bonds": text(&supply.bonds),
        "stakes": text(&supply.stakes),
        "unbonding": text(&supply.unbonding),
        "pool": text(&supply.pool),
        "burned": text(&supply.burned),
    })
}

fn unbonding_json(position: u64, entry: &UnbondingRecord) -> Value {
    json!({
        "position": position,
        "node": text(&entry.node),
        "asset": entry.asset.0,
        "amount": text(&entry.amount),
        "matures": entry.matures.0,
    })
}

fn validator_json(address: &str, record: &ValidatorRecord) -> Value {
    let (jail, until) = match record.jail {
        Jail::Free => ("free", None),
        Jail::Until(height) => ("until", Some(height.0)),
        Jail::Forever => ("forever", None),
    };
    json!({
        "validator": address,
        "account": text(&record.account),
        "key": text(&record.key),
        "stake": text(&record.stake),
        "jail": jail,
        "jailed_until": until,
        "window": record.window,
        "missed": record.missed,
        "slashed": text(&record.slashed),
        "unstaking": record.unstaking,
    })
}

fn validator_set_json(set: &ValidatorSetRecord) -> Value {
    let active: Vec<Value> = set
        .active
        .iter()
        .map(|validator| json!({ "key": text(&validator.key), "power": validator.power }))
        .collect();
    json!({
        "members": set.members.iter().map(text).collect::<Vec<_>>(),
        "active": active,
        "window": set.window,
        "jailed_power": set.jailed_power,
    })
}

fn governance_json(record: &GovernanceRecord) -> Value {
    json!({
        "version": record.version,
        "next": record.next.0,
        "open": record.open.iter().map(|id| id.0).collect::<Vec<_>>(),
    })
}

fn proposal_json(id: u64, record: &ProposalRecord) -> Value {
    let (version, height, cancels) = record.proposal.numbers();
    let change =
        |change: &ParamChange| json!({ "name": change.parameter.name(), "value": change.value.to_string() });
    json!({
        "proposal": id,
        "proposer": text(&record.proposer),
        "kind": record.proposal.kind(),
        "parameters": record.proposal.changes().iter().map(change).collect::<Vec<_>>(),
        "version": version,
        "height": height.0,
        "cancels": cancels.0,
        "closes": record.closes.0,
        "approvals": record.approvals.iter().map(text).collect::<Vec<_>>(),
        "due": record.due.map(|due| due.0),
    })
}
