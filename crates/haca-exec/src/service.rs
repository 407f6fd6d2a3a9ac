//! Answering: order checked, fee reserved, model run, receipt journalled, then answered.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haca_client::{Wallet, random_nonce};
use haca_wire::state::{ChannelRecord, ChannelState};
use haca_wire::{
    Address, Amount, AssetId, Decode as _, Height, Item, Offer, Order, Quote, Receipt, RenderId, Signed,
    Tick, render, tensor_root,
};

use crate::ExecError;
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
    work: Mutex<bool>,
    wake: Condvar,
}

/// An order that passed every check and holds its reservation.
struct Admitted<'a> {
    order: Signed<Order>,
    model: &'a ServedModel,
    inputs: Vec<haca_wire::Tensor>,
    fee: Amount,
    head: Head,
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
        for entry in journal.open_entries()? {
            book.restore(
                entry.place(),
                entry.item.receipt.value.fee,
                entry.item.order.value.warranty,
            );
        }
        Ok(Self {
            config,
            chain,
            journal,
            models,
            account,
            signer,
            book: Mutex::new(book),
            proving: Mutex::default(),
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
        let (record, height) = self.channel(&order)?;
        let admitted = self.admit(order, body, &record)?;
        let place = Place {
            channel: admitted.order.value.channel,
            sequence: admitted.order.value.sequence,
        };
        let warranty = admitted.order.value.warranty;
        let reserved = self
            .book()
            .reserve(place, admitted.fee, warranty, &record, height);
        if let Err(refusal) = reserved {
            // A repeat of the order may have been answered between the first look and this one.
            return self.answered(&admitted.order)?.ok_or(refusal);
        }
        let entry = self
            .run(&admitted, body)
            .inspect_err(|_| self.book().release(place))?;
        match self.journal.insert(&entry) {
            Ok(true) => {}
            // The place is taken: whoever holds it keeps the reservation.
            Ok(false) => {
                return self.answered(&admitted.order)?.ok_or(Refusal::Sequence {
                    found: place.sequence,
                });
            }
            Err(error) => {
                // Whether the entry is durable is not known, so the reservation stays until a restart tells.
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

    /// The order's channel on chain, with the height it was read at.
    fn channel(&self, order: &Signed<Order>) -> Result<(ChannelRecord, Height), Refusal> {
        let start = Instant::now();
        loop {
            match self.chain.channel(order.value.channel) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if start.elapsed() >= CHANNEL_PATIENCE => return Err(Refusal::UnknownChannel),
                Ok(None) => std::thread::sleep(crate::chain::POLL),
                Err(error) => return Err(internal(error.into())),
            }
        }
    }

    fn admit(
        &self,
        order: Signed<Order>,
        body: &[u8],
        record: &ChannelRecord,
    ) -> Result<Admitted<'_>, Refusal> {
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
        let head = self.chain.head(self.config.stale_head_s)?;
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
        let offers = self.offers();
        let offer = offers.iter().find(|offer| {
            offer.model == order.model && offer.evidence == order.evidence && offer.asset == asset
        });
        offer
            .and_then(|offer| offer.fee(model.units()))
            .ok_or(Refusal::NotOffered)
    }

    fn run(&self, admitted: &Admitted<'_>, body: &[u8]) -> Result<Entry, Refusal> {
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
            request: body.to_vec(),
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
        self.account
            .sign(quote, &self.chain.domain)
            .map_err(|error| internal(error.into()))
    }

    /// What the node offers: every model with proof and with signatures only.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let offer = |model: &ServedModel, evidence, price| Offer {
            model: model.id,
            evidence,
            asset: self.config.asset,
            base_price: price,
            unit_price: Amount(0),
        };
        self.models
            .iter()
            .flat_map(|model| {
                [
                    offer(model, haca_wire::EvidenceKind::Zk, self.config.zk_price),
                    offer(model, haca_wire::EvidenceKind::Signed, self.config.signed_price),
                ]
            })
            .collect()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
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
