//! The node's view of the chain, through one full node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use haca_client::{ClientError, NodeClient};
use haca_wire::state::{ChannelRecord, Clock, NodeRecord, Params, key};
use haca_wire::{Address, BlockHash, ChannelId, Decode as _, Domain, Height};

use crate::refusal::Refusal;

/// How often the head is read.
pub(crate) const POLL: Duration = Duration::from_millis(50);

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
    /// When it was read.
    seen: Instant,
}

/// A full node, and the head it last told of.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) client: NodeClient,
    pub(crate) domain: Domain,
    pub(crate) params: Params,
    account: Address,
    head: Arc<Mutex<Option<Head>>>,
}

impl Chain {
    pub(crate) fn new(client: NodeClient, account: Address) -> Result<Self, ClientError> {
        let domain = client.chain()?.domain();
        let params = client.params()?;
        Ok(Self {
            client,
            domain,
            params,
            account,
            head: Arc::default(),
        })
    }

    /// Reads the head anew. `false` while this node is not registered.
    pub(crate) fn refresh(&self) -> Result<bool, ClientError> {
        let status = self.client.status()?;
        let clock = self.client.clock()?;
        let Some(node) = self.client.node(self.account)? else {
            return Ok(false);
        };
        let head = Head {
            height: status.height,
            hash: status.block_hash,
            clock,
            node,
            seen: Instant::now(),
        };
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
        Ok(true)
    }

    /// The last head, unless it is older than `stale_s` seconds.
    pub(crate) fn head(&self, stale_s: u64) -> Result<Head, Refusal> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let age = head.as_ref().map(|head| head.seen.elapsed().as_secs());
        match head {
            Some(head) if age.is_some_and(|age| age <= stale_s) => Ok(head),
            _ => Err(Refusal::StaleHead {
                found_s: age.unwrap_or(u64::MAX),
            }),
        }
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
}
