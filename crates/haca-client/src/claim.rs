//! What a payer can claim for a receipt: whether its warranty is due, and whether its node signed another one.

use haca_wire::state::{
    ChannelRecord, ChannelState, ClaimRecord, DemandRecord, HeldKey, NodeRecord, RangesRecord, SequenceState,
    key,
};
use haca_wire::{
    Address, Amount, ChannelId, Domain, EvidenceKind, Height, Message, Order, Receipt, Sequence, Signed,
    Tick, TxHash,
};

use crate::{ClientError, NodeClient, Settleable, SettledReceipt};

/// Where a receipt stands for its payer, by the full node's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was settled.
    Settled {
        /// By this transaction.
        tx: TxHash,
        /// At this height.
        height: Height,
    },
    /// It was settled as `Optimistic`, and its fee waits.
    Held {
        /// Last tick at which its proof can be demanded; `None` while the state that shows it has no header yet.
        matures: Option<Tick>,
        /// The demand of its proof.
        demand: Option<DemandRecord>,
    },
    /// The node may still settle it.
    Waiting {
        /// First tick of a claim.
        from: Tick,
    },
    /// Its warranty can be claimed now.
    Due {
        /// What a claim pays.
        amount: Amount,
        /// Last tick of a claim.
        until: Tick,
    },
    /// It was not settled, and a claim was granted.
    Claimed(ClaimRecord),
    /// It was settled as `Optimistic`, and its fee went back to the payer: the node left a demand unanswered. With the claim on
    /// its own sequence; without one, the demand was that of another receipt under its voucher.
    Forfeited(Option<ClaimRecord>),
    /// The time for a claim is over.
    TooLate {
        /// Its last tick.
        until: Tick,
    },
    /// Its order names no warranty, or nothing is left of the channel's reserve.
    NothingAtStake,
    /// The chain takes it neither for a settlement nor for a claim.
    Invalid {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its sequence is used, and not by it: the node settled another receipt, or the window has passed by.
    Used,
    /// Its channel is closed, or there is none.
    NoChannel,
}

impl Standing {
    /// The name in JSON and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::Held { .. } => "held",
            Self::Waiting { .. } => "waiting",
            Self::Due { .. } => "due",
            Self::Claimed(_) => "claimed",
            Self::Forfeited(_) => "forfeited",
            Self::TooLate { .. } => "too late",
            Self::NothingAtStake => "nothing at stake",
            Self::Invalid { .. } => "invalid",
            Self::Used => "used by another",
            Self::NoChannel => "no channel",
        }
    }
}

impl NodeClient {
    /// Where a receipt of an order stands, by the rules of `spec/ledger.md`, L14.
    pub fn standing(
        &self,
        order: &Signed<Order>,
        receipt: &Signed<Receipt>,
    ) -> Result<Standing, ClientError> {
        let value = &order.value;
        let domain = self.domain(None)?;
        let wanted = Settleable::receipt(&receipt.value, &domain);
        // The claim last: what was granted in between shows in it.
        let record = self.channel(value.channel)?;
        if let Some(settled) = self.settlement_of(&wanted)? {
            return self.standing_of_settled(&settled, value.sequence);
        }
        let claim: Option<ClaimRecord> = self.record(&key::claim(value.channel, value.sequence))?;
        if let Some(claim) = claim {
            return Ok(Standing::Claimed(claim));
        }
        let Some(record) = record else {
            return Ok(Standing::NoChannel);
        };
        if matches!(record.state, ChannelState::Closed { .. }) {
            return Ok(Standing::NoChannel);
        }
        if record.window.state(value.sequence) != SequenceState::Unused {
            return Ok(Standing::Used);
        }
        let amount = value.warranty.min(record.reserve);
        if amount.0 == 0 {
            return Ok(Standing::NothingAtStake);
        }
        let (params, node) = (self.params()?, self.node(record.node)?);
        if let Some(reason) = objection(order, receipt, record.payer, node.as_ref(), &domain) {
            return Ok(Standing::Invalid { reason });
        }
        let deadline = deadline(value, &record, node.as_ref(), receipt, params.signer_grace);
        let opens = deadline.0.saturating_add(params.grace);
        let until = Tick(opens.saturating_add(params.claim_window));
        let tick = self.clock()?.tick;
        Ok(if tick.0 <= opens {
            let from = Tick(opens.saturating_add(1));
            Standing::Waiting { from }
        } else if tick <= until {
            Standing::Due { amount, until }
        } else {
            Standing::TooLate { until }
        })
    }
}

impl NodeClient {
    /// What keeps a receipt from being one that the channel's node signed for the order, an order of the channel's payer; `None`
    /// when nothing does.
    pub fn objection(
        &self,
        order: &Signed<Order>,
        receipt: &Signed<Receipt>,
    ) -> Result<Option<&'static str>, ClientError> {
        let Some(record) = self.channel(order.value.channel)? else {
            return Ok(Some("there is no such channel"));
        };
        let node = self.node(record.node)?;
        let domain = self.domain(None)?;
        Ok(objection(order, receipt, record.payer, node.as_ref(), &domain))
    }

    /// Where the receipt of a sequence stands that was settled by itself, or under a voucher whose settlement this is: of
    /// `Optimistic` ones the fee waits, is paid, or is lost. The fee of a voucher waits as one: the demand may be that of
    /// another of its receipts.
    pub fn standing_of_settled(
        &self,
        settled: &SettledReceipt,
        sequence: Sequence,
    ) -> Result<Standing, ClientError> {
        let record = &settled.settlement;
        let paid = Standing::Settled {
            tx: record.tx,
            height: settled.height,
        };
        if record.evidence != EvidenceKind::Optimistic {
            return Ok(paid);
        }
        let (held, height) = self.held(HeldKey {
            channel: record.channel,
            first: record.sequence,
        })?;
        if let Some(held) = held {
            return Ok(Standing::Held {
                matures: Some(held.matures),
                demand: held.demand,
            });
        }
        if height < settled.height {
            return Ok(Standing::Held {
                matures: None,
                demand: None,
            });
        }
        if !self.is_forfeited(record.channel, sequence)? {
            return Ok(paid);
        }
        let claim: Option<ClaimRecord> = self.record(&key::claim(record.channel, sequence))?;
        Ok(Standing::Forfeited(claim))
    }

    /// Whether fee and warranty of what was settled as `Optimistic` went to the payer, because a demand was not answered.
    pub fn is_forfeited(&self, channel: ChannelId, sequence: Sequence) -> Result<bool, ClientError> {
        let ranges: Option<RangesRecord> = self.record(&key::ranges(channel, sequence))?;
        Ok(ranges.is_some_and(|ranges| ranges.forfeited.contains(sequence)))
    }
}

/// The last tick at which the chain settles a receipt (`spec/ledger.md`, L13.9).
fn deadline(
    order: &Order,
    channel: &ChannelRecord,
    node: Option<&NodeRecord>,
    receipt: &Signed<Receipt>,
    signer_grace: u64,
) -> Tick {
    let mut deadline = order.settle_by;
    if let ChannelState::Closing { last_settle, .. } = channel.state {
        deadline = deadline.min(last_settle);
    }
    let term = node.and_then(|node| node.last_term(receipt.value.signer));
    if let Some(end) = term.and_then(|term| term.end) {
        deadline = deadline.min(Tick(end.tick.0.saturating_add(signer_grace)));
    }
    deadline
}

/// What keeps the chain from granting a claim on a receipt at any time (`spec/ledger.md`, L14, ClaimMissed 2).
fn objection(
    order: &Signed<Order>,
    receipt: &Signed<Receipt>,
    payer: Address,
    node: Option<&NodeRecord>,
    domain: &Domain,
) -> Option<&'static str> {
    let value = &receipt.value;
    let answered = (value.channel, value.sequence, value.order);
    if order.check(domain, payer).is_err() {
        return Some("the channel's payer did not sign its order");
    }
    if answered
        != (
            order.value.channel,
            order.value.sequence,
            order.value.hash(domain),
        )
    {
        return Some("it answers another order");
    }
    let is_the_nodes = node.is_some_and(|node| is_signed_by(receipt, node, domain));
    (!is_the_nodes).then_some("no key of the node signed it")
}

/// Whether a key that is or was the node's signed the receipt.
fn is_signed_by(receipt: &Signed<Receipt>, node: &NodeRecord, domain: &Domain) -> bool {
    let signer = receipt.value.signer;
    node.last_term(signer).is_some() && receipt.check(domain, signer).is_ok()
}

/// The message that claims the warranty of a missed settlement. The chain grants it where the receipt's [`Standing`] is
/// [`Standing::Due`], and to the payer alone.
pub fn missed(order: Signed<Order>, receipt: Signed<Receipt>) -> Message {
    Message::ClaimMissed { order, receipt }
}

/// The message that reports two final receipts for one sequence; `None` when these two are none: of different
/// sequences, equal, neither an answer to the order, or one of them not signed by a key that is or was the node's; or when the
/// order is not signed by `payer`. `payer` and `node` are those of the order's channel (`spec/ledger.md`, L14,
/// ClaimEquivocation 1 to 4).
pub fn equivocation(
    order: &Signed<Order>,
    first: &Signed<Receipt>,
    second: &Signed<Receipt>,
    payer: Address,
    node: &NodeRecord,
    domain: &Domain,
) -> Option<Message> {
    let place = (order.value.channel, order.value.sequence);
    let is_here = |receipt: &Signed<Receipt>| (receipt.value.channel, receipt.value.sequence) == place;
    let answers = |receipt: &Signed<Receipt>| receipt.value.order == order.value.hash(domain);
    let differ = first.value.hash(domain) != second.value.hash(domain);
    let both = [first, second];
    let is_evidence = differ
        && both.into_iter().all(is_here)
        && both.into_iter().any(answers)
        && order.check(domain, payer).is_ok()
        && both
            .into_iter()
            .all(|receipt| is_signed_by(receipt, node, domain));
    is_evidence.then(|| Message::ClaimEquivocation {
        order: order.clone(),
        first: first.clone(),
        second: second.clone(),
    })
}
