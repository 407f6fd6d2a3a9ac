//! Answering: order checked, fee reserved, model run, receipt journalled, then answered.

use std::time::{Duration, Instant};

use haca_wire::state::{ChannelRecord, ChannelState};
use haca_wire::{
    Amount, AssetId, Decode as _, EvidenceKind, Height, Item, Order, Receipt, RenderId, Signed, render,
    tensor_root,
};

use super::{Service, internal};
use crate::chain::Head;
use crate::entry::{Content, Entry, EntryState, Place};
use crate::model::ServedModel;
use crate::refusal::Refusal;

/// How long a channel that was opened a moment ago is waited for.
const CHANNEL_PATIENCE: Duration = Duration::from_secs(3);

/// An order that passed every check but the reservation.
struct Admitted<'a> {
    order: &'a Signed<Order>,
    asset: AssetId,
    model: &'a ServedModel,
    inputs: Vec<haca_wire::Tensor>,
    fee: Amount,
    head: &'a Head,
}

/// An entry of the journal with the response that it was answered with.
pub(crate) struct Answered {
    pub(crate) entry: Entry,
    pub(crate) response: Vec<u8>,
}

/// A reservation in the book, with a place in the backlog and the promise of a proof where one can be demanded; given back when it is dropped, also by a panic, unless it is kept.
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
            self.service.forget_proof(self.place);
            self.service.leave_backlog(self.place);
            // Last: from then on another order may take the place, and what it has there is its own.
            self.service.book().release(self.place);
        }
    }
}

impl Service {
    /// Answers a request. The same order gives the same bytes again; a sequence is never run twice.
    pub(crate) fn infer(&self, order_hex: Option<&str>, body: &[u8]) -> Result<Answered, Refusal> {
        let order = decode_order(order_hex)?;
        if order.value.request != render::request_hash(body) {
            return Err(Refusal::RequestHash);
        }
        if let Some(answered) = self.answered(&order)? {
            return Ok(answered);
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
    ) -> Result<Answered, Refusal> {
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
        let taken = || -> Result<Answered, Refusal> {
            self.answered(order)?.ok_or(Refusal::Sequence {
                found: place.sequence,
            })
        };
        // Under one lock: orders that come together are reckoned with one another.
        self.join_backlog(place, &order.value, head)?;
        if order.value.evidence == EvidenceKind::Optimistic {
            self.promise_proof(place, order.value.model)?;
        }
        // A receipt that missed its settlement holds its sequence, though chain and book show it unused.
        if self.journal.holds(place).map_err(internal)? {
            return taken();
        }
        let (entry, content) = self.run(place, admitted)?;
        match self.journal.insert(&entry, &content) {
            Ok(true) => {
                self.stay_in_backlog(place);
                reservation.keep();
            }
            Ok(false) => return taken(),
            Err(error) => {
                // Whether the entry is durable is not known, so the reservation stays until a restart tells.
                self.stay_in_backlog(place);
                reservation.keep();
                return Err(internal(error));
            }
        }
        self.notify();
        let response = content.response;
        Ok(Answered { entry, response })
    }

    /// What exactly this signed order was answered with, if it was before.
    fn answered(&self, order: &Signed<Order>) -> Result<Option<Answered>, Refusal> {
        let hash = order.value.hash(&self.chain.domain);
        let entry = self.journal.by_order(hash).map_err(internal)?;
        let Some(entry) = entry.filter(|entry| entry.item.order == *order) else {
            return Ok(None);
        };
        let content = self.journal.content(entry.place()).map_err(internal)?;
        let response = content.response;
        Ok(Some(Answered { entry, response }))
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
        self.check_settle_by(terms, head)?;
        let request = render::parse_request(body)?;
        if request.model != terms.model {
            return Err(Refusal::OtherModel);
        }
        let inputs = render::to_tensors(&request, model.inputs())?;
        if tensor_root(&inputs) != terms.input_root {
            return Err(Refusal::InputRoot);
        }
        Ok(Admitted {
            order,
            asset: record.asset,
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

    fn run(&self, place: Place, admitted: Admitted<'_>) -> Result<(Entry, Content), Refusal> {
        let model = admitted.model;
        let execution = model
            .key
            .infer(admitted.inputs)
            .map_err(|error| internal(error.into()))?;
        let inference = execution.inference;
        let response = render::response(model.id, &model.outputs, &inference.outputs);
        let order = &admitted.order.value;
        self.check_signature(place, order)?;
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
        let entry = Entry {
            item: Item {
                order: admitted.order.clone(),
                receipt,
            },
            state: EntryState::Answered,
            proof: None,
            failures: 0,
            asset: admitted.asset,
            answered_unix_ms: crate::log::unix_ms(),
        };
        let content = Content { inference, response };
        Ok((entry, content))
    }
}

fn decode_order(order_hex: Option<&str>) -> Result<Signed<Order>, Refusal> {
    let bytes = order_hex
        .and_then(|text| hex::decode(text).ok())
        .ok_or(Refusal::NoOrder)?;
    Signed::decode_all(&bytes).map_err(Refusal::OrderEncoding)
}
