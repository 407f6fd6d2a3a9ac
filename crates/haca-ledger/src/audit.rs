//! Recounting every asset from the whole state.

use std::collections::{BTreeMap, BTreeSet};

use haca_wire::state::{
    Calendar, ChannelState, Entry, EntryError, HeldKey, ModelRecord, Queue, SEQUENCE_WINDOW, Supply,
    ValidatorSetRecord,
};
use haca_wire::{Address, Amount, AssetId, ConsensusAddress, ModelId, Sequence, Tick};
use thiserror::Error;

/// Why a state does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// An entry is none of the ledger's.
    #[error("entry {key}: {source}")]
    Entry {
        /// The key in hexadecimal.
        key: String,
        /// What is wrong.
        source: EntryError,
    },
    /// A part of the supply record is not what the state holds.
    #[error("asset {asset}: supply record says {found} {part}, the state holds {expected}")]
    Part {
        /// The asset.
        asset: AssetId,
        /// The part.
        part: &'static str,
        /// The record's value.
        found: Amount,
        /// The recounted value.
        expected: Amount,
    },
    /// The parts do not add up to what was issued.
    #[error("asset {asset}: parts add up to {found}, issued says {expected}")]
    Issued {
        /// The asset.
        asset: AssetId,
        /// Sum of the parts.
        found: Amount,
        /// Issued.
        expected: Amount,
    },
    /// The reserves of a node's channels are not what its bond says is reserved, or exceed the bond.
    #[error("bond of {node} in asset {asset}: reserved {found} of {total}, channels reserve {expected}")]
    Reserved {
        /// The node.
        node: Address,
        /// The asset.
        asset: AssetId,
        /// Reserved, by the bond.
        found: Amount,
        /// The whole bond.
        total: Amount,
        /// Sum of the channels' reserves.
        expected: Amount,
    },
    /// A queue's bounds do not match its entries.
    #[error("{queue} queue holds {found} entries, its bounds say {expected}")]
    QueueLength {
        /// Which queue.
        queue: &'static str,
        /// Entries.
        found: u64,
        /// `tail - head`.
        expected: u64,
    },
    /// A model's terms are not those of its record.
    #[error("the terms of model {model} are not those of its record")]
    Terms {
        /// The model.
        model: ModelId,
    },
    /// A channel that is closed still holds something.
    #[error("a closed channel of payer {payer} holds {found}")]
    ClosedChannel {
        /// Its payer.
        payer: Address,
        /// Deposit and reserve.
        found: Amount,
    },
    /// The list of validators, or the queue of withdrawn stake, is not what the validators' records say.
    #[error("validator {validator}: its {what} and the list do not agree")]
    Validators {
        /// The validator.
        validator: ConsensusAddress,
        /// What differs.
        what: &'static str,
    },
    /// An amount or asset is missing, or a sum is above 2^128.
    #[error("asset {asset} has no supply record, or its parts overflow")]
    NoSupply {
        /// The asset.
        asset: AssetId,
    },
}

impl AuditError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Entry { .. } => "audit.entry",
            Self::Part { .. } => "audit.part",
            Self::Issued { .. } => "audit.issued",
            Self::Reserved { .. } => "audit.reserved",
            Self::QueueLength { .. } => "audit.queue_length",
            Self::Terms { .. } => "audit.terms",
            Self::ClosedChannel { .. } => "audit.closed_channel",
            Self::Validators { .. } => "audit.validators",
            Self::NoSupply { .. } => "audit.no_supply",
        }
    }
}

/// The supply of every asset, as recounted and as recorded alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Per asset.
    pub supplies: BTreeMap<AssetId, Supply>,
    /// Entries of the state.
    pub entries: u64,
}

/// Recounts every asset, every reserve and every queue from all entries of the state, and compares with the
/// ledger's own records.
pub fn audit<'e>(entries: impl IntoIterator<Item = (&'e [u8], &'e [u8])>) -> Result<Audit, AuditError> {
    let mut count = Count::default();
    let mut total = 0u64;
    for (key, value) in entries {
        let entry = Entry::decode(key, value).map_err(|source| AuditError::Entry {
            key: hex::encode(key),
            source,
        })?;
        count.add(&entry)?;
        total = total.saturating_add(1);
    }
    count.compare_supplies()?;
    count.compare_bonds()?;
    count.compare_queues()?;
    count.compare_validators()?;
    Ok(Audit {
        supplies: count.recorded,
        entries: total,
    })
}

#[derive(Default)]
struct Count {
    recorded: BTreeMap<AssetId, Supply>,
    counted: BTreeMap<AssetId, Supply>,
    /// Total and reserved, by bond record.
    bonds: BTreeMap<(Address, AssetId), (Amount, Amount)>,
    /// Reserves, by channels and held fees.
    reserves: BTreeMap<(Address, AssetId), Amount>,
    /// Open demands, by held fees and by dockets.
    demands: BTreeMap<Address, u64>,
    dockets: BTreeMap<Address, u64>,
    /// Ranges whose fee waits, by held fees and by channels.
    /// Models without their keys, by their records and by their terms.
    models: BTreeMap<ModelId, ModelRecord>,
    terms: BTreeMap<ModelId, ModelRecord>,
    held_ranges: BTreeSet<HeldKey>,
    ranges: BTreeSet<HeldKey>,
    due: u64,
    dues: BTreeMap<Tick, u64>,
    calendar: Calendar,
    closing: u64,
    closing_queue: Queue,
    unbonding: u64,
    unbonding_queue: Queue,
    /// Owner and position of every entry of the queue.
    unstaking: BTreeSet<(ConsensusAddress, u64)>,
    unstaking_queue: Queue,
    /// Owner and position, by validator records.
    withdrawals: BTreeSet<(ConsensusAddress, u64)>,
    /// Validators with a stake.
    stakers: BTreeSet<ConsensusAddress>,
    set: ValidatorSetRecord,
}

impl Count {
    fn add(&mut self, entry: &Entry) -> Result<(), AuditError> {
        match entry {
            Entry::Supply(asset, supply) => {
                self.recorded.insert(*asset, *supply);
            }
            Entry::Balance(_, asset, amount) => self.grow(*asset, *amount, |supply| &mut supply.balances)?,
            Entry::Bond(node, asset, bond) => {
                self.grow(*asset, bond.total, |supply| &mut supply.bonds)?;
                self.bonds.insert((*node, *asset), (bond.total, bond.reserved));
            }
            Entry::Channel(_, channel) => {
                let asset = channel.asset;
                let held = Amount(channel.deposit.0.saturating_add(channel.reserve.0));
                if matches!(channel.state, ChannelState::Closed { .. }) && held.0 != 0 {
                    return Err(AuditError::ClosedChannel {
                        payer: channel.payer,
                        found: held,
                    });
                }
                self.grow(asset, channel.deposit, |supply| &mut supply.escrow)?;
                self.reserve(channel.node, asset, channel.reserve)?;
            }
            Entry::Held(held_key, held) => {
                let asset = held.asset;
                if held.count > 1 {
                    self.held_ranges.insert(*held_key);
                }
                self.grow(asset, held.fee, |supply| &mut supply.held)?;
                if let Some(demand) = &held.demand {
                    self.grow(AssetId::OPG, demand.deposit, |supply| &mut supply.held)?;
                    let open = self.demands.entry(held.node).or_default();
                    *open = open.saturating_add(1);
                }
                self.reserve(held.node, asset, held.warranty)?;
            }
            Entry::Ranges(channel, part, ranges) => {
                let from = part.saturating_mul(SEQUENCE_WINDOW);
                let firsts = ranges.waiting.iter().map(|slot| HeldKey {
                    channel: *channel,
                    first: Sequence(from.saturating_add(slot)),
                });
                self.ranges.extend(firsts);
            }
            Entry::Docket(node, docket) => {
                self.dockets.insert(*node, docket.open);
            }
            Entry::Due(..) => self.due = self.due.saturating_add(1),
            Entry::Dues(tick, count) => {
                self.dues.insert(*tick, *count);
            }
            Entry::DueQueue(calendar) => self.calendar = *calendar,
            Entry::Model(id, model) => {
                self.models.insert(*id, model.terms());
            }
            Entry::Terms(id, terms) => {
                self.terms.insert(*id, terms.clone());
            }
            Entry::Node(_, node) => self.grow(AssetId::OPG, node.stake, |supply| &mut supply.stakes)?,
            Entry::Pool(amount) => self.grow(AssetId::OPG, *amount, |supply| &mut supply.pool)?,
            Entry::Unbonding(_, entry) => {
                self.grow(entry.asset, entry.amount, |supply| &mut supply.unbonding)?;
                self.unbonding = self.unbonding.saturating_add(1);
            }
            Entry::UnbondingQueue(queue) => self.unbonding_queue = *queue,
            Entry::Unstaking(position, entry) => {
                self.grow(AssetId::OPG, entry.amount, |supply| &mut supply.unbonding)?;
                self.unstaking.insert((entry.validator, *position));
            }
            Entry::UnstakingQueue(queue) => self.unstaking_queue = *queue,
            Entry::Validator(address, record) => {
                self.grow(AssetId::OPG, record.stake, |supply| &mut supply.stakes)?;
                if record.stake.0 > 0 {
                    self.stakers.insert(*address);
                }
                let positions = record.unstaking.iter().map(|position| (*address, *position));
                self.withdrawals.extend(positions);
            }
            Entry::Validators(set) => self.set = set.clone(),
            Entry::Closing(..) => self.closing = self.closing.saturating_add(1),
            Entry::ClosingQueue(queue) => self.closing_queue = *queue,
            _ => {}
        }
        Ok(())
    }

    fn reserve(&mut self, node: Address, asset: AssetId, amount: Amount) -> Result<(), AuditError> {
        let sum = self.reserves.entry((node, asset)).or_default();
        *sum = sum.checked_add(amount).ok_or(AuditError::NoSupply { asset })?;
        Ok(())
    }

    fn grow(
        &mut self,
        asset: AssetId,
        amount: Amount,
        part: impl Fn(&mut Supply) -> &mut Amount,
    ) -> Result<(), AuditError> {
        let part = part(self.counted.entry(asset).or_default());
        *part = part.checked_add(amount).ok_or(AuditError::NoSupply { asset })?;
        Ok(())
    }

    fn compare_supplies(&self) -> Result<(), AuditError> {
        if let Some(asset) = self
            .counted
            .keys()
            .find(|asset| !self.recorded.contains_key(asset))
        {
            return Err(AuditError::NoSupply { asset: *asset });
        }
        for (asset, recorded) in &self.recorded {
            let counted = self.counted.get(asset).copied().unwrap_or_default();
            let parts = [
                ("balances", recorded.balances, counted.balances),
                ("escrow", recorded.escrow, counted.escrow),
                ("held", recorded.held, counted.held),
                ("bonds", recorded.bonds, counted.bonds),
                ("stakes", recorded.stakes, counted.stakes),
                ("unbonding", recorded.unbonding, counted.unbonding),
                ("pool", recorded.pool, counted.pool),
            ];
            for (part, found, expected) in parts {
                if found != expected {
                    return Err(AuditError::Part {
                        asset: *asset,
                        part,
                        found,
                        expected,
                    });
                }
            }
            let found = recorded.total().ok_or(AuditError::NoSupply { asset: *asset })?;
            if found != recorded.issued {
                return Err(AuditError::Issued {
                    asset: *asset,
                    found,
                    expected: recorded.issued,
                });
            }
        }
        Ok(())
    }

    fn compare_bonds(&self) -> Result<(), AuditError> {
        let none = (Amount(0), Amount(0));
        for (node, asset) in self.bonds.keys().chain(self.reserves.keys()) {
            let key = (*node, *asset);
            let (total, found) = self.bonds.get(&key).copied().unwrap_or(none);
            let expected = self.reserves.get(&key).copied().unwrap_or_default();
            if found != expected || found > total {
                return Err(AuditError::Reserved {
                    node: *node,
                    asset: *asset,
                    found,
                    total,
                    expected,
                });
            }
        }
        Ok(())
    }

    fn compare_queues(&self) -> Result<(), AuditError> {
        // Of the calendar's oldest tick, some entries are worked off.
        let listed = self
            .dues
            .values()
            .fold(0u64, |sum, count| sum.saturating_add(*count));
        let oldest = self.dues.get(&self.calendar.tick).copied().unwrap_or_default();
        let due = listed.saturating_sub(self.calendar.position.min(oldest));
        for node in self.demands.keys().chain(self.dockets.keys()) {
            let found = self.dockets.get(node).copied().unwrap_or_default();
            let expected = self.demands.get(node).copied().unwrap_or_default();
            if found != expected {
                return Err(AuditError::QueueLength {
                    queue: "docket",
                    found,
                    expected,
                });
            }
        }
        if let Some(range) = self.ranges.symmetric_difference(&self.held_ranges).next() {
            return Err(AuditError::QueueLength {
                queue: "ranges",
                found: self.ranges.contains(range).into(),
                expected: self.held_ranges.contains(range).into(),
            });
        }
        if let Some(model) = self
            .models
            .keys()
            .chain(self.terms.keys())
            .find(|model| self.models.get(model) != self.terms.get(model))
        {
            return Err(AuditError::Terms { model: *model });
        }
        let queues = [
            ("closing", self.closing, self.closing_queue),
            ("unbonding", self.unbonding, self.unbonding_queue),
            ("unstaking", self.unstaking.len() as u64, self.unstaking_queue),
        ];
        let queues =
            queues.map(|(queue, found, bounds)| (queue, found, bounds.tail.saturating_sub(bounds.head)));
        for (queue, found, expected) in queues.into_iter().chain([("due", self.due, due)]) {
            if found != expected {
                return Err(AuditError::QueueLength {
                    queue,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    fn compare_validators(&self) -> Result<(), AuditError> {
        let members: BTreeSet<ConsensusAddress> = self.set.members.iter().copied().collect();
        let mut strangers = members.symmetric_difference(&self.stakers);
        if let Some(validator) = strangers.next() {
            return Err(AuditError::Validators {
                validator: *validator,
                what: "stake",
            });
        }
        let mut strangers = self.unstaking.symmetric_difference(&self.withdrawals);
        if let Some((validator, _)) = strangers.next() {
            return Err(AuditError::Validators {
                validator: *validator,
                what: "withdrawals",
            });
        }
        Ok(())
    }
}
