//! Why an order is not served: what the HTTP API answers with.

use haca_wire::render::RenderError;
use haca_wire::{Amount, DecodeError, Sequence, Tick};
use thiserror::Error;

/// An order or request that is refused before anything runs. Nothing was charged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such path.
    #[error("there is no such path")]
    NoSuchPath,
    /// The path is asked with another method.
    #[error("the path is not asked with this method")]
    Method,
    /// The body is above the limit.
    #[error("the body has more than {expected} bytes")]
    BodyTooLarge {
        /// The limit.
        expected: usize,
    },
    /// The body ended before it was whole.
    #[error("the body ended before it was whole")]
    BodyCut,
    /// The body did not come in time.
    #[error("the body did not come within {expected_s} s")]
    BodyTimeout {
        /// The limit.
        expected_s: u64,
    },
    /// As many requests as the node works on at once are in work.
    #[error("{expected} requests are in work, and no more are taken")]
    Busy {
        /// The limit.
        expected: usize,
    },
    /// Not exactly one order, or one that is not hexadecimal.
    #[error("the header haca-order is not there exactly once, or not hexadecimal")]
    NoOrder,
    /// An order that does not decode.
    #[error("the order does not decode: {0}")]
    OrderEncoding(DecodeError),
    /// A request that render v1 refuses.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The order is for other request bytes.
    #[error("the order is for another request than the body")]
    RequestHash,
    /// The order names other input tensors than the body renders to.
    #[error("the order is for other input tensors than the body gives")]
    InputRoot,
    /// Request and order name different models.
    #[error("the request names another model than the order")]
    OtherModel,
    /// The channel is not on chain.
    #[error("there is no such channel")]
    UnknownChannel,
    /// The channel is toward another node.
    #[error("the channel is toward another node")]
    OtherNode,
    /// The channel closes or is closed.
    #[error("the channel is closing or closed")]
    ChannelNotOpen,
    /// The payer did not sign the order.
    #[error("the order is not signed by the channel's payer")]
    OrderSignature,
    /// The model, or this evidence for it in the channel's asset, is not offered.
    #[error("the model is not offered with this evidence in the channel's asset")]
    NotOffered,
    /// The payer saw other terms.
    #[error("the order rests on offer version {found}, current is {expected}")]
    OfferVersion {
        /// The order's.
        found: u32,
        /// The node's.
        expected: u32,
    },
    /// The order pays too little.
    #[error("the order pays at most {found}, the price is {expected}")]
    FeeTooLow {
        /// The order's maximum.
        found: Amount,
        /// The price.
        expected: Amount,
    },
    /// The sequence is used, in work, or so far from others that settling one would void another.
    #[error("sequence {found} is used, in work, or too far from the channel's others")]
    Sequence {
        /// The order's.
        found: Sequence,
    },
    /// The settle-by tick is too near or too far.
    #[error("the order must settle by tick {found}; possible is {earliest} to {latest}")]
    SettleBy {
        /// The order's.
        found: Tick,
        /// The earliest that leaves time to prove it, and what waits before it.
        earliest: Tick,
        /// The latest that the network allows.
        latest: Tick,
    },
    /// The channel's reserve does not cover the warranty beside those outstanding.
    #[error("a warranty of {found} is asked for, {expected} of the reserve is left")]
    Warranty {
        /// The order's.
        found: Amount,
        /// What is left.
        expected: Amount,
    },
    /// The channel's deposit does not cover the fee beside those outstanding.
    #[error("a fee of {found} is to be paid, {expected} of the deposit is left")]
    Deposit {
        /// The price.
        found: Amount,
        /// What is left.
        expected: Amount,
    },
    /// With this receipt, more proofs could be demanded than the node makes in time.
    #[error("proofs of {found_s} s could be demanded at once, and {expected_s} s of them are made in time")]
    ProofsOutstanding {
        /// What all of them are reckoned to take.
        found_s: u64,
        /// What they may take.
        expected_s: u64,
    },
    /// The full node does not answer, so nobody knows whether the channel still holds.
    #[error("the chain has not been heard of for {found_s} s")]
    StaleHead {
        /// For how long.
        found_s: u64,
    },
    /// A quote that can't be given.
    #[error("no quote: {reason}")]
    Quote {
        /// Why.
        reason: &'static str,
    },
    /// A voucher whose root is not signed.
    #[error("no root for this voucher: {reason}")]
    Voucher {
        /// Why.
        reason: &'static str,
    },
    /// There is no such receipt here.
    #[error("there is no such receipt")]
    UnknownReceipt,
    /// The node's own fault: the journal, the executor, or the full node failed.
    #[error("the node failed: {code}")]
    Internal {
        /// The stable code of the error in the node's log.
        code: &'static str,
    },
}

impl Refusal {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSuchPath => "exec.no_such_path",
            Self::Method => "exec.method",
            Self::BodyTooLarge { .. } => "exec.body_too_large",
            Self::BodyCut => "exec.body_cut",
            Self::BodyTimeout { .. } => "exec.body_timeout",
            Self::Busy { .. } => "exec.busy",
            Self::NoOrder => "exec.no_order",
            Self::OrderEncoding(_) => "exec.order_encoding",
            Self::Render(error) => error.code(),
            Self::RequestHash => "exec.request_hash",
            Self::InputRoot => "exec.input_root",
            Self::OtherModel => "exec.other_model",
            Self::UnknownChannel => "exec.unknown_channel",
            Self::OtherNode => "exec.other_node",
            Self::ChannelNotOpen => "exec.channel_not_open",
            Self::OrderSignature => "exec.order_signature",
            Self::NotOffered => "exec.not_offered",
            Self::OfferVersion { .. } => "exec.offer_version",
            Self::FeeTooLow { .. } => "exec.fee_too_low",
            Self::Sequence { .. } => "exec.sequence",
            Self::SettleBy { .. } => "exec.settle_by",
            Self::Warranty { .. } => "exec.warranty",
            Self::Deposit { .. } => "exec.deposit",
            Self::ProofsOutstanding { .. } => "exec.proofs_outstanding",
            Self::StaleHead { .. } => "exec.stale_head",
            Self::Quote { .. } => "exec.quote",
            Self::Voucher { .. } => "exec.voucher",
            Self::UnknownReceipt => "exec.unknown_receipt",
            Self::Internal { .. } => "exec.internal",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::OrderSignature => 401,
            Self::FeeTooLow { .. } | Self::Deposit { .. } | Self::Warranty { .. } => 402,
            Self::NoSuchPath | Self::UnknownChannel | Self::UnknownReceipt => 404,
            Self::Method => 405,
            Self::BodyTimeout { .. } => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::Sequence { .. } | Self::OfferVersion { .. } | Self::ChannelNotOpen => 409,
            Self::StaleHead { .. } | Self::Busy { .. } | Self::ProofsOutstanding { .. } => 503,
            Self::Internal { .. } => 500,
            _ => 400,
        }
    }

    /// What the sender can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchPath => {
                "the paths are /v1/models, /v1/node, /v1/quotes, /v1/infer, /v1/vouchers, /v1/receipts/{hash}, /health, /metrics"
            }
            Self::Method => "POST to /v1/infer, /v1/quotes and /v1/vouchers, GET the others",
            Self::BodyTooLarge { .. } => "send a smaller input or fewer digits",
            Self::BodyCut => "send the body as long as its headers say",
            Self::BodyTimeout { .. } => "send the body at once",
            Self::Busy { .. } => "try again shortly",
            Self::NoOrder | Self::OrderEncoding(_) => {
                "send the encoded Signed<Order> in hexadecimal (spec/wire.md)"
            }
            Self::Render(error) => error.hint(),
            Self::RequestHash => "sign the BLAKE3 hash of the exact body bytes",
            Self::InputRoot => {
                "sign the root of the tensors that the render makes of the body (spec/wire.md, W8)"
            }
            Self::OtherModel => "name the same model in request and order",
            Self::UnknownChannel => "open it with a quote from /v1/quotes, and wait until it is in a block",
            Self::OtherNode => "ask the node that quoted the channel",
            Self::ChannelNotOpen => "open a new channel",
            Self::OrderSignature => "sign with the payer's key, for this network's chain id and genesis hash",
            Self::NotOffered => "see /v1/models",
            Self::OfferVersion { .. } => "read /v1/node and /v1/models again and sign anew",
            Self::FeeTooLow { .. } => "see the price under /v1/models",
            Self::Sequence { .. } => "use the next sequence; none is ever run twice",
            Self::SettleBy { .. } => "choose a settle-by tick within the bounds",
            Self::Warranty { .. } => "order a smaller warranty, or wait until earlier orders settle",
            Self::Deposit { .. } => "top up the channel, or wait until earlier orders settle",
            Self::ProofsOutstanding { .. } => {
                "order a proof at once or signatures only, ask another node, or wait until fees that wait are paid"
            }
            Self::StaleHead { .. } => {
                "try again later, or another node; its operator checks full node and clock"
            }
            Self::Voucher { .. } => "the receipts settle one by one; cover those that come after them",
            Self::Quote { .. } => "ask for less, or for an asset that the node is bonded in",
            Self::UnknownReceipt => "check the order or receipt hash",
            Self::Internal { .. } => "try again; the same order gives the same answer or none",
        }
    }
}
