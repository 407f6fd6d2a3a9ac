//! The node's view of the chain, through one full node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use haca_client::{ClientError, NodeClient, Status};
use haca_wire::state::{ChannelRecord, Clock, DocketRecord, NodeRecord, Params, key};
use haca_wire::{Address, BlockHash, ChannelId, Decode as _, Domain, Height};

use crate::course::Course;
use crate::refusal::Refusal;

/// How often the head is read.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How often clock and node record are read although the height is the same: the proven state may follow a block by
/// a moment.
const REREAD: Duration = Duration::from_secs(1);
/// How far behind this machine's clock the headers of a rising chain may be, beside the age allowed to a head. Rising
/// with older headers is what a full node does that still catches up.
const CLOCK_SKEW_S: u64 = 60;

/// What the node knows of the last block it has seen.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Its height.
    pub(crate) height: Height,
    /// Its header hash.
    pub(crate) hash: BlockHash,
    /// Settlement tick and base fee.
    pub(crate) clock: Clock,
    /// This node's record.
    pub(crate) node: NodeRecord,
    /// Seconds since 1970 by its header.
    time_unix_s: u64,
    /// When its height was first seen.
    risen: Instant,
    /// Whether a lower height was seen before.
    has_risen: bool,
    /// When it was read.
    read: Instant,
}

impl Head {
    /// For how long the chain has not been heard of, in seconds. A full node that repeats an old head, and one that
    /// is far behind, tells nothing of the chain.
    fn age_s(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let by_header = now.map_or(0, |now| now.as_secs().saturating_sub(self.time_unix_s));
        let since_rise = self.risen.elapsed().as_secs();
        if self.has_risen {
            since_rise.max(by_header.saturating_sub(CLOCK_SKEW_S))
        } else {
            since_rise
        }
    }
}

/// A full node, and the head it last told of.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) client: NodeClient,
    pub(crate) domain: Domain,
    pub(crate) params: Params,
    account: Address,
    head: Arc<Mutex<Option<Head>>>,
    course: Arc<Mutex<Course>>,
}

impl Chain {
    pub(crate) fn new(
        client: NodeClient,
        domain: Domain,
        account: Address,
        least_tick_ms: u64,
    ) -> Result<Self, ClientError> {
        let params = client.params()?;
        Ok(Self {
            client,
            domain,
            params,
            account,
            head: Arc::default(),
            course: Arc::new(Mutex::new(Course::new(least_tick_ms))),
        })
    }

    /// Reads the head anew, and all else if its height is a new one. `false` while this node is not registered.
    pub(crate) fn refresh(&self) -> Result<bool, ClientError> {
        let status = self.client.status()?;
        let known = self.last();
        let is_known = |head: &Head| head.height == status.height && head.read.elapsed() < REREAD;
        if known.as_ref().is_some_and(is_known) {
            return Ok(true);
        }
        self.learn(known.as_ref(), &status)
    }

    /// Reads head, clock and record anew. `false` while this node is not registered.
    pub(crate) fn reread(&self) -> Result<bool, ClientError> {
        self.learn(self.last().as_ref(), &self.client.status()?)
    }

    fn learn(&self, known: Option<&Head>, status: &Status) -> Result<bool, ClientError> {
        let clock = self.client.clock()?;
        let Some(node) = self.client.node(self.account)? else {
            return Ok(false);
        };
        self.course().observe(&clock);
        *self.lock() = Some(next(known, status, clock, node));
        Ok(true)
    }

    /// The last head, unless nothing new has been heard of the chain for more than `stale_s` seconds.
    pub(crate) fn head(&self, stale_s: u64) -> Result<Head, Refusal> {
        let head = self.last();
        let age = head.as_ref().map(Head::age_s);
        match head {
            Some(head) if age.is_some_and(|age| age <= stale_s) => Ok(head),
            _ => Err(Refusal::StaleHead {
                found_s: age.unwrap_or(u64::MAX),
            }),
        }
    }

    /// Pace and prices of the chain.
    pub(crate) fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds of a tick.
    pub(crate) fn tick_ms(&self) -> u64 {
        self.course().tick_ms()
    }

    /// The last head, however old.
    pub(crate) fn last(&self) -> Option<Head> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Head>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel, and the height of the state it was read from.
    pub(crate) fn channel(&self, channel: ChannelId) -> Result<Option<(ChannelRecord, Height)>, ClientError> {
        let entry = self.client.entry(&key::channel(channel), None)?;
        let Some(value) = entry.value else { return Ok(None) };
        let record = ChannelRecord::decode_all(&value).map_err(|error| ClientError::Malformed {
            url: self.client.url().to_owned(),
            found: error.to_string(),
            expected: "a channel record",
        })?;
        Ok(Some((record, entry.height)))
    }

    /// The open demands on this node, and the height of the state they were read from.
    pub(crate) fn docket(&self) -> Result<(DocketRecord, Height), ClientError> {
        let entry = self.client.entry(&key::docket(self.account), None)?;
        let docket = entry
            .value
            .map(|value| DocketRecord::decode_all(&value))
            .transpose();
        let docket = docket.map_err(|error| ClientError::Malformed {
            url: self.client.url().to_owned(),
            found: error.to_string(),
            expected: "a docket",
        })?;
        Ok((docket.unwrap_or_default(), entry.height))
    }
}

fn next(known: Option<&Head>, status: &Status, clock: Clock, node: NodeRecord) -> Head {
    let now = Instant::now();
    let rises = known.is_some_and(|head| status.height > head.height);
    Head {
        height: status.height,
        hash: status.block_hash,
        clock,
        node,
        time_unix_s: status.time_unix_s,
        risen: known.filter(|_| !rises).map_or(now, |head| head.risen),
        has_risen: rises || known.is_some_and(|head| head.has_risen),
        read: now,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use haca_wire::GenesisHash;

    use super::*;

    fn status(height: u64, time_unix_s: u64) -> Status {
        Status {
            chain_id: "test".into(),
            genesis: GenesisHash([0; 32]),
            height: Height(height),
            block_hash: BlockHash([0; 32]),
            time_unix_s,
            engine: "dev".into(),
        }
    }

    fn node() -> NodeRecord {
        NodeRecord {
            endpoint: String::new(),
            payout: Address::default(),
            offer_version: 1,
            offers: Vec::new(),
            signers: Vec::new(),
            stake: haca_wire::Amount(0),
            jailed: false,
            registered: Height(1),
        }
    }

    fn clock() -> Clock {
        Clock {
            height: Height(1),
            tick: haca_wire::Tick(1),
            base_fee: haca_wire::Amount(1),
        }
    }

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn a_full_node_that_repeats_its_head_says_nothing_new() {
        let mut first = next(None, &status(7, now()), clock(), node());
        first.risen = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let again = next(Some(&first), &status(7, now()), clock(), node());
        assert!(again.age_s() >= 100);
        let risen = next(Some(&again), &status(8, now()), clock(), node());
        assert!(risen.age_s() < 100);
    }

    #[test]
    fn a_full_node_that_catches_up_is_behind() {
        let first = next(None, &status(7, now() - 1000), clock(), node());
        assert!(first.age_s() < 900, "a network that slept is not behind");
        let second = next(Some(&first), &status(8, now() - 990), clock(), node());
        assert!(second.age_s() >= 900);
    }
}
