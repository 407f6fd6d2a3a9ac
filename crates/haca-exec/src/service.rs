//! Answering: order checked, fee reserved, model run, receipt journalled, then answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haca_client::{Wallet, random_nonce};
use haca_wire::state::{BondRecord, ChannelRecord, ChannelState, key};
use haca_wire::{
    Address, Amount, AssetId, ChannelId, Decode as _, EvidenceKind, Height, Item, ModelId, Offer, Order,
    Quote, Receipt, ReceiptHash, RenderId, Signed, Tick, render, tensor_root,
};

use crate::ExecError;
use crate::batch;
use crate::book::Book;
use crate::chain::{Chain, Head};
use crate::config::ExecConfig;
use crate::entry::{Entry, EntryState, Place};
use crate::journal::Journal;
use crate::log;
use crate::model::ServedModel;
use crate::refusal::Refusal;

/// How long a channel that was opened a moment ago is waited for.
const CHANNEL_PATIENCE: Duration = Duration::from_secs(3);

/// Quotes whose channels are waited for, the newest ones.
const QUOTES: usize = 1024;

/// Everything that handlers and the settler share.
pub(crate) struct Service {
    pub(crate) config: ExecConfig,
    pub(crate) chain: Chain,
    pub(crate) journal: Journal,
    pub(crate) models: Vec<ServedModel>,
    pub(crate) account: Wallet,
    pub(crate) signer: Wallet,
    book: Mutex<Book>,
    proving: Mutex<BTreeSet<Place>>,
    quoted: Mutex<VecDeque<ChannelId>>,
    offers: Vec<Offer>,
    batches: BTreeMap<ModelId, usize>,
    work: Mutex<bool>,
    wake: Condvar,
}

/// An order that passed every check but the reservation.
struct Admitted<'a> {
    order: &'a Signed<Order>,
    model: &'a ServedModel,
    inputs: Vec<haca_wire::Tensor>,
    fee: Amount,
    head: &'a Head,
}

/// A reservation in the book, given back when it is dropped, also by a panic, unless it is kept.
struct Reservation<'a> {
    service: &'a Service,
    place: Place,
    released: bool,
}

impl Reservation<'_> {
    fn keep(mut self) {
        self.released = false;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.released {
            self.service.book().release(self.place);
        }
    }
}

impl Service {
    pub(crate) fn new(
        config: ExecConfig,
        chain: Chain,
        journal: Journal,
        models: Vec<ServedModel>,
        account: Wallet,
        signer: Wallet,
    ) -> Result<Self, ExecError> {
        let mut book = Book::default();
        for pending in journal.pending()? {
            book.restore(&pending);
        }
        let tick = chain.client.clock()?.tick;
        let (over, claimable): (Vec<_>, Vec<_>) = journal
            .missed()?
            .into_iter()
            .partition(|missed| tick > missed.until);
        journal.forget_missed(&over.iter().map(|missed| missed.place).collect::<Vec<_>>())?;
        for missed in &claimable {
            book.miss(missed);
        }
        let batches: BTreeMap<ModelId, usize> = models
            .iter()
            .map(|model| {
                (
                    model.id,
                    batch::most(&chain.params, Some(model), config.max_batch.max(1)),
                )
            })
            .collect();
        let offers = offers(&config, &models, &batches);
        Ok(Self {
            config,
            chain,
            journal,
            models,
            account,
            signer,
            book: Mutex::new(book),
            proving: Mutex::default(),
            quoted: Mutex::default(),
            offers,
            batches,
            work: Mutex::new(true),
            wake: Condvar::new(),
        })
    }

    /// Answers a request. The same order gives the same bytes again; a sequence is never run twice.
    pub(crate) fn infer(&self, order_hex: Option<&str>, body: &[u8]) -> Result<Entry, Refusal> {
        let order = decode_order(order_hex)?;
        if order.value.request != render::request_hash(body) {
            return Err(Refusal::RequestHash);
        }
        if let Some(entry) = self.answered(&order)? {
            return Ok(entry);
        }
        let head = self.chain.head(self.config.stale_head_s)?;
        // The proven state is a block behind the head. A record as new as that saves asking the full node.
        let known = self
            .book()
            .known(order.value.channel)
            .filter(|(_, height)| height.0.saturating_add(1) >= head.height.0);
        if let Some((record, height)) = known {
            match self.serve(&order, body, &record, height, &head) {
                // A top-up may be newer than the head.
                Err(Refusal::Deposit { .. } | Refusal::Warranty { .. }) => {}
                served => return served,
            }
        }
        let (record, height) = self.channel(&order)?;
        self.serve(&order, body, &record, height, &head)
    }

    fn serve(
        &self,
        order: &Signed<Order>,
        body: &[u8],
        record: &ChannelRecord,
        height: Height,
        head: &Head,
    ) -> Result<Entry, Refusal> {
        let admitted = self.admit(order, body, record, head)?;
        let place = Place {
            channel: order.value.channel,
            sequence: order.value.sequence,
        };
        let reserved = {
            let mut book = self.book();
            book.observe(place.channel, record, height);
            book.reserve(place, admitted.fee, order.value.warranty, head.clock.tick)
        };
        if let Err(refusal) = reserved {
            // A repeat of the order may have been answered between the first look and this one.
            return self.answered(order)?.ok_or(refusal);
        }
        let reservation = Reservation {
            service: self,
            place,
            released: true,
        };
        let taken = || -> Result<Entry, Refusal> {
            self.answered(order)?.ok_or(Refusal::Sequence {
                found: place.sequence,
            })
        };
        // A receipt that missed its settlement holds its sequence, though chain and book show it unused.
        if self.journal.holds(place).map_err(internal)? {
            return taken();
        }
        let entry = self.run(&admitted)?;
        match self.journal.insert(&entry) {
            Ok(true) => reservation.keep(),
            Ok(false) => return taken(),
            Err(error) => {
                // Whether the entry is durable is not known, so the reservation stays until a restart tells.
                reservation.keep();
                return Err(internal(error));
            }
        }
        self.notify();
        Ok(entry)
    }

    /// The entry of exactly this signed order, if it was answered before.
    fn answered(&self, order: &Signed<Order>) -> Result<Option<Entry>, Refusal> {
        let hash = order.value.hash(&self.chain.domain);
        let entry = self.journal.by_order(hash).map_err(internal)?;
        Ok(entry.filter(|entry| entry.item.order == *order))
    }

    /// The order's channel on chain, with the height it was read at. Only a channel that the node has quoted is waited
    /// for: anybody can name channels that never come.
    fn channel(&self, order: &Signed<Order>) -> Result<(ChannelRecord, Height), Refusal> {
        let channel = order.value.channel;
        let patience = if self.quoted().contains(&channel) {
            CHANNEL_PATIENCE
        } else {
            Duration::ZERO
        };
        let start = Instant::now();
        loop {
            match self.chain.channel(channel) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if start.elapsed() >= patience => return Err(Refusal::UnknownChannel),
                Ok(None) => std::thread::sleep(crate::chain::POLL),
                Err(error) => return Err(internal(error.into())),
            }
        }
    }

    fn admit<'a>(
        &'a self,
        order: &'a Signed<Order>,
        body: &[u8],
        record: &ChannelRecord,
        head: &'a Head,
    ) -> Result<Admitted<'a>, Refusal> {
        let terms = &order.value;
        if record.node != self.account.address() {
            return Err(Refusal::OtherNode);
        }
        if record.state != ChannelState::Open {
            return Err(Refusal::ChannelNotOpen);
        }
        order
            .check(&self.chain.domain, record.payer)
            .map_err(|_| Refusal::OrderSignature)?;
        let model = self
            .models
            .iter()
            .find(|model| model.id == terms.model)
            .ok_or(Refusal::NotOffered)?;
        let fee = self.price(terms, record.asset, model)?;
        if terms.offer_version != head.node.offer_version {
            return Err(Refusal::OfferVersion {
                found: terms.offer_version,
                expected: head.node.offer_version,
            });
        }
        if terms.max_fee < fee {
            return Err(Refusal::FeeTooLow {
                found: terms.max_fee,
                expected: fee,
            });
        }
        let tick = head.clock.tick.0;
        let earliest = Tick(tick.saturating_add(self.config.min_settle_ticks));
        let latest = Tick(tick.saturating_add(self.chain.params.settle_horizon));
        if terms.settle_by < earliest || terms.settle_by > latest {
            return Err(Refusal::SettleBy {
                found: terms.settle_by,
                earliest,
                latest,
            });
        }
        let request = render::parse_request(body)?;
        if request.model != terms.model {
            return Err(Refusal::OtherModel);
        }
        let inputs = render::to_tensors(&request, model.inputs())?;
        Ok(Admitted {
            order,
            model,
            inputs,
            fee,
            head,
        })
    }

    fn price(&self, order: &Order, asset: AssetId, model: &ServedModel) -> Result<Amount, Refusal> {
        let offer = self.offers.iter().find(|offer| {
            offer.model == order.model && offer.evidence == order.evidence && offer.asset == asset
        });
        offer
            .and_then(|offer| offer.fee(model.units()))
            .ok_or(Refusal::NotOffered)
    }

    fn run(&self, admitted: &Admitted<'_>) -> Result<Entry, Refusal> {
        let model = admitted.model;
        let execution = model
            .key
            .infer(&admitted.inputs)
            .map_err(|error| internal(error.into()))?;
        let inference = execution.inference;
        let response = render::response(model.id, &model.outputs, &inference.outputs);
        let order = &admitted.order.value;
        let receipt = Receipt {
            channel: order.channel,
            sequence: order.sequence,
            order: order.hash(&self.chain.domain),
            input_root: tensor_root(&inference.inputs),
            output_root: tensor_root(&inference.outputs),
            response: render::response_hash(&response),
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: model.units(),
            fee: admitted.fee,
            block_height: admitted.head.height,
            block_hash: admitted.head.hash,
            signer: self.signer.address(),
        };
        let receipt = self
            .signer
            .sign(receipt, &self.chain.domain)
            .map_err(|error| internal(error.into()))?;
        Ok(Entry {
            item: Item {
                order: admitted.order.clone(),
                receipt,
            },
            inference,
            response,
            state: EntryState::Answered,
            proof: None,
            failures: 0,
        })
    }

    /// A quote for a channel.
    pub(crate) fn quote(
        &self,
        payer: Address,
        asset: AssetId,
        deposit: Amount,
        warranty: Amount,
    ) -> Result<Signed<Quote>, Refusal> {
        let refuse = |reason| Err(Refusal::Quote { reason });
        if asset != self.config.asset {
            return refuse("the node takes no fees in this asset");
        }
        if deposit.0 == 0 {
            return refuse("the deposit is zero");
        }
        if warranty > self.config.max_channel_warranty {
            return refuse("the warranty is above what the node promises to one channel");
        }
        let head = self.chain.head(self.config.stale_head_s)?;
        let bond: Option<BondRecord> = self
            .chain
            .client
            .record(&key::bond(self.account.address(), asset))
            .map_err(|error| internal(error.into()))?;
        let bond = bond.unwrap_or_default();
        if warranty.0 > bond.total.0.saturating_sub(bond.reserved.0) {
            return refuse("the node's free bond does not cover the warranty");
        }
        let lifetime = self.config.quote_blocks.min(self.chain.params.quote_lifetime);
        let quote = Quote {
            node: self.account.address(),
            payer,
            asset,
            deposit,
            warranty,
            offer_version: head.node.offer_version,
            expires: Height(head.height.0.saturating_add(lifetime)),
            nonce: random_nonce().map_err(|error| internal(error.into()))?,
        };
        let quote = self
            .account
            .sign(quote, &self.chain.domain)
            .map_err(|error| internal(error.into()))?;
        let mut quoted = self.quoted();
        if quoted.len() >= QUOTES {
            quoted.pop_front();
        }
        quoted.push_back(quote.value.channel(&self.chain.domain));
        Ok(quote)
    }

    /// What the node offers: every model with signatures only, and with a proof where one can be settled.
    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The most receipts of a model and a kind of evidence that one transaction settles; at least 1, since what was
    /// answered has to be tried.
    pub(crate) fn batch_size(&self, model: ModelId, evidence: EvidenceKind) -> usize {
        let most = match evidence {
            EvidenceKind::Zk => self.batches.get(&model).copied().unwrap_or(1),
            _ => batch::most(&self.chain.params, None, self.config.max_batch),
        };
        most.max(1)
    }

    fn quoted(&self) -> MutexGuard<'_, VecDeque<ChannelId>> {
        self.quoted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of an entry's receipt.
    pub(crate) fn receipt_of(&self, entry: &Entry) -> ReceiptHash {
        entry.item.receipt.value.hash(&self.chain.domain)
    }

    /// Whether a proof for the receipt is being made.
    pub(crate) fn is_proving(&self, place: Place) -> bool {
        self.proving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&place)
    }

    /// Says which receipts a proof is being made for.
    pub(crate) fn set_proving(&self, places: BTreeSet<Place>) {
        *self.proving.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Tells the settler that there is work.
    pub(crate) fn notify(&self) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits until there is work, or for `patience`.
    pub(crate) fn wait_for_work(&self, patience: Duration) {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(work, patience, |work| !*work);
        let (mut work, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *work = false;
    }
}

/// What a node offers: every model with signatures only, and with a proof where one can be settled.
fn offers(config: &ExecConfig, models: &[ServedModel], batches: &BTreeMap<ModelId, usize>) -> Vec<Offer> {
    let offer = |model: &ServedModel, evidence, price| Offer {
        model: model.id,
        evidence,
        asset: config.asset,
        base_price: price,
        unit_price: Amount(0),
    };
    models
        .iter()
        .flat_map(|model| {
            let is_provable = batches.get(&model.id).is_some_and(|most| *most > 0);
            let zk = is_provable.then(|| offer(model, EvidenceKind::Zk, config.zk_price));
            zk.into_iter()
                .chain([offer(model, EvidenceKind::Signed, config.signed_price)])
        })
        .collect()
}

fn decode_order(order_hex: Option<&str>) -> Result<Signed<Order>, Refusal> {
    let bytes = order_hex
        .and_then(|text| hex::decode(text).ok())
        .ok_or(Refusal::NoOrder)?;
    Signed::decode_all(&bytes).map_err(Refusal::OrderEncoding)
}

/// Logs what failed and hides it from the client.
pub(crate) fn internal(error: ExecError) -> Refusal {
    log::event("failed", format_args!("code={} error={error:?}", error.code()));
    Refusal::Internal { code: error.code() }
}
