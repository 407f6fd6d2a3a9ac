//! What a settlement is asked for by, and compared with.

use haca_wire::{ChannelId, Domain, OrderHash, Receipt, ReceiptHash, Sequence, Settlement, Voucher};

/// What the record of a receipt's settlement, or of a voucher's, has to say. The root of a voucher is whatever payer and
/// node agreed on, another receipt's digest included, so that the hash in a record alone says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settleable {
    channel: ChannelId,
    sequence: Sequence,
    order: OrderHash,
    receipt: ReceiptHash,
    known_as: ReceiptHash,
}

impl Settleable {
    /// A receipt that is settled by itself.
    pub fn receipt(receipt: &Receipt, domain: &Domain) -> Self {
        let hash = receipt.hash(domain);
        Self {
            channel: receipt.channel,
            sequence: receipt.sequence,
            order: receipt.order,
            receipt: hash,
            known_as: hash,
        }
    }

    /// The range of a voucher, which is settled as one.
    pub fn voucher(voucher: &Voucher, domain: &Domain) -> Self {
        let order = voucher.hash(domain);
        Self {
            channel: voucher.channel,
            sequence: voucher.first,
            order,
            receipt: ReceiptHash(voucher.root),
            known_as: ReceiptHash(order.0),
        }
    }

    /// The digest that a full node knows its settlement by: the receipt's, or the voucher's.
    pub fn known_as(&self) -> ReceiptHash {
        self.known_as
    }

    /// Whether a record is that of its settlement.
    pub fn is_settled_by(&self, record: &Settlement) -> bool {
        (record.channel, record.sequence) == (self.channel, self.sequence)
            && (record.order, record.receipt) == (self.order, self.receipt)
    }
}
