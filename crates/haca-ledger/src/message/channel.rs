//! OpenChannel, TopUp and CloseChannel.

use haca_wire::state::{BondRecord, ChannelRecord, ChannelState, Queue, SequenceWindow, key};
use haca_wire::{Address, Amount, ChannelId, Close, Height, Quote, order::Signed};

use super::bond::release;
use super::{Execution, Rules, Stop, later, signer_found};
use crate::bank::Purse;
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::overlay::Overlay;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Opens the quoted channel (`spec/ledger.md`, OpenChannel).
    pub(super) fn open_channel(&mut self, quote: &Signed<Quote>) -> Result<(), Stop> {
        let (channel, offer_version) = self.check_quote(quote)?;
        let quote = &quote.value;
        self.need_asset(quote.asset)?;
        if quote.deposit.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        let key = key::bond(quote.node, quote.asset);
        let mut bond: BondRecord = self.state.get(&key)?.unwrap_or_default();
        if bond.free() < quote.warranty {
            return Err(Refusal::InsufficientBond {
                asset: quote.asset,
                found: bond.free(),
                expected: quote.warranty,
            }
            .into());
        }
        if quote.warranty.0 > 0 {
            bond.reserved = bond.reserved.checked_add(quote.warranty).ok_or(OUT_OF_RANGE)?;
            self.state.put(key, &bond);
        }
        self.state.shift(
            quote.asset,
            Purse::Balance(self.sender),
            Purse::Escrow,
            quote.deposit,
        )?;
        let record = ChannelRecord {
            payer: quote.payer,
            node: quote.node,
            asset: quote.asset,
            deposit: quote.deposit,
            reserve: quote.warranty,
            offer_version,
            opened: self.rules.height,
            state: ChannelState::Open,
            paid: Amount(0),
            settled: 0,
            window: SequenceWindow::default(),
        };
        self.state.put(key::channel(channel), &record);
        self.effects.push(Effect::ChannelOpened { channel });
        Ok(())
    }

    /// The quote's channel and offer version, once everything but the money is in order.
    fn check_quote(&self, quote: &Signed<Quote>) -> Result<(ChannelId, u32), Stop> {
        let Rules { domain, height, .. } = *self.rules;
        let terms = &quote.value;
        if terms.payer != self.sender {
            return Err(Refusal::QuotePayer {
                found: terms.payer,
                expected: self.sender,
            }
            .into());
        }
        self.rules
            .check_signature(quote, terms.node)
            .map_err(|error| Refusal::QuoteSignature {
                found: signer_found(error),
                expected: terms.node,
            })?;
        if height > terms.expires {
            return Err(Refusal::QuoteExpired {
                found: terms.expires,
                expected: height,
            }
            .into());
        }
        let last = Height(height.0.saturating_add(self.rules.params.quote_lifetime));
        if terms.expires > last {
            return Err(Refusal::QuoteTooLong {
                found: terms.expires,
                expected: last,
            }
            .into());
        }
        let channel = terms.channel(&domain);
        if self.state.get::<ChannelRecord>(&key::channel(channel))?.is_some() {
            return Err(Refusal::QuoteUsed { channel }.into());
        }
        let node = self.need_free_node(terms.node)?;
        if terms.offer_version != node.offer_version {
            return Err(Refusal::OfferVersion {
                found: terms.offer_version,
                expected: node.offer_version,
            }
            .into());
        }
        Ok((channel, node.offer_version))
    }

    /// Adds to the deposit of an open channel (`spec/ledger.md`, TopUp).
    pub(super) fn top_up(&mut self, channel: ChannelId, amount: Amount) -> Result<(), Stop> {
        if amount.0 == 0 {
            return Err(Refusal::ZeroAmount.into());
        }
        let mut record = self.need_channel(channel)?;
        if self.sender != record.payer {
            return Err(Refusal::NotThePayer {
                found: self.sender,
                expected: record.payer,
            }
            .into());
        }
        match record.state {
            ChannelState::Open => {}
            ChannelState::Closing { .. } => return Err(Refusal::ChannelClosing { channel }.into()),
            ChannelState::Closed { .. } => return Err(Refusal::ChannelClosed { channel }.into()),
        }
        self.need_free_node(record.node)?;
        self.state
            .shift(record.asset, Purse::Balance(self.sender), Purse::Escrow, amount)?;
        record.deposit = record.deposit.checked_add(amount).ok_or(OUT_OF_RANGE)?;
        self.state.put(key::channel(channel), &record);
        self.effects.push(Effect::ToppedUp { channel, amount });
        Ok(())
    }

    /// Closes with consent at once, or alone after the windows (`spec/ledger.md`, CloseChannel).
    pub(super) fn close_channel(
        &mut self,
        channel: ChannelId,
        consent: Option<&Signed<Close>>,
    ) -> Result<(), Stop> {
        let mut record = self.need_live_channel(channel)?;
        let other = if self.sender == record.payer {
            record.node
        } else if self.sender == record.node {
            record.payer
        } else {
            return Err(Refusal::NotAParty { found: self.sender }.into());
        };
        if let Some(consent) = consent {
            self.check_consent(consent, channel, other)?;
            let effect = close(self.state, channel, record, self.rules.height)?;
            self.effects.push(effect);
            return Ok(());
        }
        if record.state != ChannelState::Open {
            return Err(Refusal::ChannelClosing { channel }.into());
        }
        let params = &self.rules.params;
        let last_settle = later(self.rules.tick, params.settle_horizon);
        let matures = later(later(last_settle, params.grace), params.claim_window);
        record.state = ChannelState::Closing {
            by: self.sender,
            last_settle,
            matures,
        };
        self.state.put(key::channel(channel), &record);
        let mut queue: Queue = self.state.need(key::CLOSING_QUEUE)?;
        self.state.put(key::closing(queue.tail), &channel);
        queue.tail = queue.tail.saturating_add(1);
        self.state.put(key::CLOSING_QUEUE.to_vec(), &queue);
        self.effects.push(Effect::ChannelClosing { channel, matures });
        Ok(())
    }

    fn check_consent(
        &self,
        consent: &Signed<Close>,
        channel: ChannelId,
        other: Address,
    ) -> Result<(), Refusal> {
        if consent.value.channel != channel {
            return Err(Refusal::ConsentChannel {
                found: consent.value.channel,
                expected: channel,
            });
        }
        if self.rules.height > consent.value.expires {
            return Err(Refusal::ConsentExpired {
                found: consent.value.expires,
                expected: self.rules.height,
            });
        }
        self.rules
            .check_signature(consent, other)
            .map_err(|error| Refusal::ConsentSignature {
                found: signer_found(error),
                expected: other,
            })
    }

    /// The record of a channel in any state.
    pub(super) fn need_channel(&self, channel: ChannelId) -> Result<ChannelRecord, Stop> {
        let record = self.state.get(&key::channel(channel))?;
        record.ok_or(Refusal::UnknownChannel { channel }.into())
    }

    /// The record of a channel that is open or closing.
    pub(super) fn need_live_channel(&self, channel: ChannelId) -> Result<ChannelRecord, Stop> {
        let record = self.need_channel(channel)?;
        if let ChannelState::Closed { .. } = record.state {
            return Err(Refusal::ChannelClosed { channel }.into());
        }
        Ok(record)
    }
}

/// Returns the deposit, releases the reserve, and leaves a closed record behind.
pub(crate) fn close(
    state: &mut Overlay<'_>,
    channel: ChannelId,
    mut record: ChannelRecord,
    height: Height,
) -> Result<Effect, Stop> {
    let (refund, released) = (record.deposit, record.reserve);
    state.shift(record.asset, Purse::Escrow, Purse::Balance(record.payer), refund)?;
    release(state, record.node, record.asset, released)?;
    record.deposit = Amount(0);
    record.reserve = Amount(0);
    record.state = ChannelState::Closed { height };
    state.put(key::channel(channel), &record);
    Ok(Effect::ChannelClosed {
        channel,
        refund,
        released,
    })
}

const OUT_OF_RANGE: LedgerError = LedgerError::Arithmetic { what: "channel" };
