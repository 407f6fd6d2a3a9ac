//! Channels without an order: the transaction that opens one is on disk before it leaves, and stays there until an order in the
//! channel names it, or it can't open any more.

use std::fs::File;
use std::path::PathBuf;

use haca_client::{ClientError, Outstanding};
use haca_wire::state::{ChannelRecord, ChannelState, key};
use haca_wire::{
    Address, ChannelId, Encode as _, Height, Message, Quote, Sequence, Signed, SignedTransaction,
};

use super::{INCLUSION, MAX_BASE_FEE, Session, client, remove, replace};
use crate::failure::{Exit, Failure};
use crate::held;
use crate::infer::Terms;

/// Refusals of a transaction that may be in a block already: the state tells a block later.
const INCLUDED: [&str; 3] = ["ledger.nonce_used", "ledger.nonce_waiting", "ledger.expired"];

/// Payer and node of a channel.
type Parties = (Address, Address);

/// A signed transaction that opens a channel. Its nonce lets it in once, however often it is sent, and no block above its expiry
/// takes it.
struct Opening {
    id: ChannelId,
    tx: SignedTransaction,
    quote: Quote,
}

/// What became of an opening.
enum Fate {
    /// The channel is on chain.
    Opened(Box<ChannelRecord>),
    /// It isn't and never will be: the transaction failed in its block, or has expired.
    Lost,
}

impl Opening {
    /// Whether the channel is one of this payer's with this node, and would cover an order under these terms as its first.
    fn serves(&self, parties: Parties, terms: &Terms) -> bool {
        let Quote {
            asset,
            deposit,
            warranty,
            ..
        } = self.quote;
        let is_between = (self.quote.payer, self.quote.node) == parties;
        is_between && asset == terms.asset && deposit >= terms.fee && warranty >= terms.warranty()
    }

    fn expiry(&self) -> Height {
        self.tx.transaction.meta.expiry
    }
}

impl Session {
    /// Opens the channel of a quote, and waits until it is in a block. The channel, and the last height that may open it.
    ///
    /// Whatever goes wrong, the file stays: the next command asks the state. A quote that was given before gets no second
    /// transaction: its file would take the place of the first one's, which may still open the channel.
    pub(super) fn open_quoted(&self, quote: Signed<Quote>) -> Result<(ChannelId, Height), Failure> {
        let id = quote.value.channel(&self.domain);
        if self.opening_path(id).exists() {
            return Err(Failure::new(
                Exit::Network,
                "cli.quote_repeated",
                format!("the inference node gave the quote of channel {id} before, and that may still open"),
                "try again later, or ask another node",
            ));
        }
        let tx = self.transaction(Message::OpenChannel { quote }, MAX_BASE_FEE)?;
        self.keep_opening(id, &tx)?;
        self.node.submit_and_wait(&tx, INCLUSION).map_err(client)?;
        Ok((id, tx.transaction.meta.expiry))
    }

    /// A channel with the inference node that covers an order under the terms, among those without an order: one that has opened,
    /// else one that opens now; with the last height that may open it. Waits for one that may still open, so that no other is
    /// opened in its place. What can't open any more is forgotten.
    ///
    /// # Errors
    ///
    /// `client.pending` when one may still open after [`INCLUSION`].
    pub(super) fn opened(&self, terms: &Terms) -> Result<Option<(ChannelId, Address, Height)>, Failure> {
        let openings = self.openings()?;
        if openings.is_empty() {
            return Ok(None);
        }
        let node = self.inference.address().map_err(client)?;
        let parties = (self.wallet.address(), node);
        let mut undecided = Vec::new();
        for opening in openings {
            if !held::issued(&self.receipts(), None, opening.id)?.is_empty() {
                self.forget_opening(opening.id)?;
                continue;
            }
            let Some(fate) = self.fate(&opening).map_err(client)? else {
                undecided.push(opening);
                continue;
            };
            if self.decided(opening.id, fate, parties, terms)? {
                return Ok(Some((opening.id, node, opening.expiry())));
            }
        }
        for opening in undecided.into_iter().filter(|one| one.serves(parties, terms)) {
            let Some(fate) = self.send_again(&opening)? else {
                continue;
            };
            if self.decided(opening.id, fate, parties, terms)? {
                return Ok(Some((opening.id, node, opening.expiry())));
            }
        }
        Ok(None)
    }

    /// Whether a channel whose fate is known is one of this payer's with this node, and covers an order under the terms. One that
    /// no order will ever be in is forgotten.
    fn decided(&self, id: ChannelId, fate: Fate, parties: Parties, terms: &Terms) -> Result<bool, Failure> {
        match fate {
            Fate::Opened(record) if !matches!(record.state, ChannelState::Closed { .. }) => {
                Ok((record.payer, record.node) == parties && covers(&record, terms))
            }
            Fate::Opened(_) | Fate::Lost => self.forget_opening(id).map(|()| false),
        }
    }

    /// What became of an opening; `None` while it may still be included.
    fn fate(&self, opening: &Opening) -> Result<Option<Fate>, ClientError> {
        let included = self.node.transaction(opening.tx.hash())?;
        let (record, height) = self.node.record_seen(&key::channel(opening.id))?;
        if let Some(record) = record {
            return Ok(Some(Fate::Opened(Box::new(record))));
        }
        // In a block its nonce is spent. What opens the same channel may stand in the same block, so the state of that block tells.
        let failed = included.is_some_and(|included| included.code != 0 && included.height <= height.0);
        let is_lost = height >= opening.expiry() || failed;
        Ok(is_lost.then_some(Fate::Lost))
    }

    /// Sends the same transaction again, as the first attempt may not have arrived, and waits for its fate; `None` when the
    /// rules refuse it: then it gets into a block by another way, or not at all.
    fn send_again(&self, opening: &Opening) -> Result<Option<Fate>, Failure> {
        match self.node.submit(&opening.tx) {
            Ok(_) => {}
            Err(ClientError::Refused { refusal, .. }) if INCLUDED.contains(&refusal.as_str()) => {}
            Err(ClientError::Refused { refusal, .. }) if refusal.starts_with("ledger.") => return Ok(None),
            Err(error) => return Err(client(error)),
        }
        let what = format!("the opening of channel {}", opening.id);
        let fate = self.node.poll(INCLUSION, &what, || self.fate(opening));
        fate.map(Some).map_err(client)
    }

    /// The openings on disk.
    fn openings(&self) -> Result<Vec<Opening>, Failure> {
        let dir = self.openings_dir();
        let paths = held::names(&dir)?.into_iter().map(|name| dir.join(name));
        // What a crash left of a file that was being written has never been sent.
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
        let mut openings = Vec::new();
        for path in paths {
            // Named by its channel, which may hold a deposit.
            let failed = |mut failure: Failure| {
                failure.hint =
                    "bring it back from a copy; remove it only where `haca state export` shows no channel of its name"
                        .to_owned();
                failure
            };
            let tx: SignedTransaction = held::read(&path).map_err(failed)?;
            let Message::OpenChannel { quote } = &tx.transaction.message else {
                return Err(failed(held::damaged(&path, "it opens no channel")));
            };
            let quote = quote.value.clone();
            let id = quote.channel(&self.domain);
            openings.push(Opening { id, tx, quote });
        }
        Ok(openings)
    }

    fn keep_opening(&self, id: ChannelId, tx: &SignedTransaction) -> Result<(), Failure> {
        let dir = self.openings_dir();
        std::fs::create_dir_all(&dir).map_err(|error| Failure::file(&dir, "create", &error))?;
        replace(&self.opening_path(id), &tx.encode())?;
        let whole = File::open(&self.dir).and_then(|parent| parent.sync_all());
        whole.map_err(|error| Failure::file(&self.dir, "write", &error))
    }

    /// Forgets an opening, where there is one.
    pub(super) fn forget_opening(&self, id: ChannelId) -> Result<(), Failure> {
        remove(&self.opening_path(id))
    }

    fn openings_dir(&self) -> PathBuf {
        self.dir.join("opening")
    }

    fn opening_path(&self, id: ChannelId) -> PathBuf {
        self.openings_dir().join(format!("{id}.bin"))
    }
}

/// Whether a channel without an order covers an order under the terms.
fn covers(record: &ChannelRecord, terms: &Terms) -> bool {
    let serves = record.state == ChannelState::Open && record.asset == terms.asset;
    serves && Outstanding::default().covers(record, Sequence(0), terms.fee, terms.warranty())
}
