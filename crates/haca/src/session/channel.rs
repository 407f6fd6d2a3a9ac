//! The channel in use: the user's side of it on disk, whether it covers one more order, and its orders.

use std::fs::File;
use std::path::PathBuf;

use haca_client::{ClientError, Outstanding};
use haca_wire::state::{ChannelRecord, ChannelState, key};
use haca_wire::{Address, Amount, ChannelId, Height, Order, Sequence, Signed, Tick, render};
use serde::{Deserialize, Serialize};

use super::{INCLUSION, Session, client, replace};
use crate::failure::{Exit, Failure};
use crate::held;
use crate::infer::Terms;

/// Ticks that the node has to settle an order.
const SETTLE_TICKS: u64 = 200;

/// The user's side of a channel, on disk before each order leaves.
#[derive(Serialize, Deserialize)]
struct ChannelFile {
    channel: String,
    next_sequence: u64,
    /// The last height that may have opened it: a state below it that shows no such channel is one from before.
    #[serde(default)]
    expiry: u64,
    /// The directories of its orders that are out; where nothing is said of them, all directories are looked at.
    #[serde(default)]
    out: Option<Vec<String>>,
}

/// A channel that covers one more order under the terms it was chosen for. Until it is dropped, other commands wait for it: each
/// sees the orders of those before it.
pub(crate) struct ChosenChannel<'a> {
    pub(crate) id: ChannelId,
    /// Whether it was opened now.
    pub(crate) is_new: bool,
    terms: &'a Terms,
    side: Side,
    _lock: File,
}

/// What the user knows of its channel.
struct Side {
    id: ChannelId,
    node: Address,
    /// The last height that may have opened it.
    expiry: Height,
    next: Sequence,
    /// The directories of its orders that are out.
    out: Vec<String>,
}

impl Side {
    /// Of a channel without an order.
    fn fresh(id: ChannelId, node: Address, expiry: Height) -> Self {
        Self {
            id,
            node,
            expiry,
            next: Sequence(0),
            out: Vec::new(),
        }
    }
}

impl Session {
    /// The channel in use; another one when there is none, or when it doesn't cover one more order under the terms, opened first
    /// unless one without an order does. It covers it when what is left of deposit and reserve pays its fee and warranty besides those of all orders that are out, and its
    /// sequence is near enough to theirs.
    pub(crate) fn channel<'a>(
        &self,
        terms: &'a Terms,
        deposit: Amount,
        warranty: Amount,
    ) -> Result<ChosenChannel<'a>, Failure> {
        let lock = self.lock_channel()?;
        let covering = self.covering_channel(terms)?;
        let is_new = covering.is_none();
        let side = match covering {
            Some(side) => {
                self.check_offer(side.node, terms)?;
                side
            }
            None => self.open_channel(terms, deposit, warranty)?,
        };
        Ok(ChosenChannel {
            id: side.id,
            is_new,
            terms,
            side,
            _lock: lock,
        })
    }

    /// Opens a channel, with a quote of the node.
    fn open_channel(&self, terms: &Terms, deposit: Amount, warranty: Amount) -> Result<Side, Failure> {
        let quote = self
            .inference
            .quote(
                self.wallet.address(),
                terms.asset,
                deposit,
                warranty,
                &self.domain,
            )
            .map_err(client)?;
        let node = quote.value.node;
        self.check_offer(node, terms)?;
        let (id, expiry) = self.open_quoted(quote)?;
        let side = Side::fresh(id, node, expiry);
        self.write_channel(&side)?;
        Ok(side)
    }

    /// The channel in use, or one without an order that then is the one in use, where it covers one more order under the terms.
    fn covering_channel(&self, terms: &Terms) -> Result<Option<Side>, Failure> {
        if let Some(side) = self.channel_in_use(terms)? {
            return Ok(Some(side));
        }
        let Some((id, node, expiry)) = self.opened(terms)? else {
            return Ok(None);
        };
        let side = Side::fresh(id, node, expiry);
        self.write_channel(&side)?;
        Ok(Some(side))
    }

    /// The channel in use, where it covers one more order under the terms.
    fn channel_in_use(&self, terms: &Terms) -> Result<Option<Side>, Failure> {
        let Some(file) = self.read_channel()? else {
            return Ok(None);
        };
        let id: ChannelId = file.channel.parse().map_err(|_| self.damaged())?;
        // Before the record, so that all that was settled up to this tick shows in it.
        let tick = self.node.clock().map_err(client)?.tick;
        let expiry = Height(file.expiry);
        let record = self.record_in_use(id, expiry)?;
        let payer = self.wallet.address();
        let serves =
            |r: &ChannelRecord| r.state == ChannelState::Open && (r.payer, r.asset) == (payer, terms.asset);
        let Some(record) = record.filter(serves) else {
            return Ok(None);
        };
        let params = self.node.params().map_err(client)?;
        let mut issued = held::issued(&self.receipts(), file.out, id)?;
        issued.retain(|(_, one)| one.is_out(&record, tick, &params));
        let orders = issued.iter().map(|(_, one)| one);
        let out = Outstanding::of(orders, &record, tick, &params);
        let next = Sequence(file.next_sequence);
        let covers = out.covers(&record, next, terms.fee, terms.warranty());
        Ok(covers.then(|| Side {
            id,
            node: record.node,
            expiry,
            next,
            out: issued.into_iter().map(|(dir, _)| dir).collect(),
        }))
    }

    /// The record of the channel in use. A full node that is behind shows none, and is waited for: another channel would be a
    /// second deposit, and this one would never be looked at again.
    ///
    /// # Errors
    ///
    /// `client.pending` when it is still behind after [`INCLUSION`].
    fn record_in_use(&self, id: ChannelId, expiry: Height) -> Result<Option<ChannelRecord>, Failure> {
        let what = format!("a state with channel {id}, which the full node is behind");
        let seen = self.node.poll(INCLUSION, &what, || {
            let (record, height) = self.node.record_seen(&key::channel(id))?;
            Ok((record.is_some() || height >= expiry).then_some(record))
        });
        seen.map_err(|error| {
            let is_behind = matches!(error, ClientError::Pending { .. });
            let mut failure = client(error);
            if is_behind {
                failure.hint = format!(
                    "wait until it has caught up, or ask another; another channel is opened without {}",
                    self.channel_path().display()
                );
            }
            failure
        })
    }

    /// Holds the terms that an inference node told against those it has registered on chain. Money is only promised to
    /// a node that is registered, at the price that everybody sees.
    fn check_offer(&self, node: Address, terms: &Terms) -> Result<(), Failure> {
        let record = self.node.node(node).map_err(client)?;
        let model = self.node.model(terms.model).map_err(client)?;
        let offered = record.zip(model).is_some_and(|(record, model)| {
            record.offers.iter().any(|offer| {
                (offer.model, offer.evidence, offer.asset) == (terms.model, terms.evidence, terms.asset)
                    && offer.fee(model.units) == Some(terms.fee)
            })
        });
        if offered {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Network,
            "cli.offer_mismatch",
            format!(
                "the inference node asks {} for what {node} does not offer at that price on chain",
                terms.fee
            ),
            "do not pay it; ask another node, or wait until its registration is included",
        ))
    }

    /// Signs the next order of a channel for a request, and keeps both. Its sequence and its digest are on disk before it is
    /// signed, so that no sequence is ever signed twice, and none is forgotten.
    pub(crate) fn order(&self, channel: ChosenChannel<'_>, request: &[u8]) -> Result<Signed<Order>, Failure> {
        let ChosenChannel {
            terms,
            mut side,
            _lock,
            ..
        } = channel;
        let node = self.node.node(side.node).map_err(client)?;
        let tick = self.node.clock().map_err(client)?.tick;
        let order = Order {
            channel: side.id,
            sequence: side.next,
            request: render::request_hash(request),
            input_root: self.node.input_root(terms.model, request).map_err(client)?,
            model: terms.model,
            evidence: terms.evidence,
            offer_version: node.map_or(0, |node| node.offer_version),
            max_fee: terms.fee,
            warranty: terms.warranty(),
            settle_by: Tick(tick.0 + SETTLE_TICKS),
        };
        side.next = Sequence(side.next.0.saturating_add(1));
        side.out.push(held::directory(&order, &self.domain));
        self.write_channel(&side)?;
        let order = self.wallet.sign_order(order, &self.domain).map_err(client)?;
        held::keep_order(&self.receipts(), request, &order, &self.domain)?;
        self.forget_opening(side.id)?;
        Ok(order)
    }

    /// Waits until no other command orders in the channel, and keeps others waiting until the file is closed.
    fn lock_channel(&self) -> Result<File, Failure> {
        let path = self.dir.join("channel.lock");
        let lock = || {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| Failure::file(&path, "lock", &error))
    }

    fn channel_path(&self) -> PathBuf {
        self.dir.join("channel.json")
    }

    fn read_channel(&self) -> Result<Option<ChannelFile>, Failure> {
        let path = self.channel_path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| self.damaged()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file(&path, "read", &error)),
        }
    }

    fn write_channel(&self, side: &Side) -> Result<(), Failure> {
        let file = ChannelFile {
            channel: side.id.to_string(),
            next_sequence: side.next.0,
            expiry: side.expiry.0,
            out: Some(side.out.clone()),
        };
        let text = serde_json::to_vec_pretty(&file).map_err(|_| self.damaged())?;
        replace(&self.channel_path(), &text)
    }

    fn damaged(&self) -> Failure {
        Failure::usage(
            "cli.damaged_file",
            format!("{} is damaged", self.channel_path().display()),
            "remove it: a new channel is opened, and the old one can still be closed",
        )
    }
}
