//! What users and nodes sign.

use haca_wire::order::Signed;
use haca_wire::{
    Amount, Answer, BlockHash, ChannelId, Close, Coverage, DType, Domain, Evidence, EvidenceKind, Group,
    Height, Inference, Item, Message, Order, Quote, Receipt, ReceiptHash, ReceiptRoot, RenderId, RequestHash,
    ResponseHash, SecretKey, Sequence, Shape, Tensor, TensorRoot, Tick, Voucher, receipt_root, render,
    tensor_root,
};

use super::chain::{MODEL, UNITS, broken, outputs};
use crate::failure::Failure;

/// Signs the papers of one network. All answers are about the same tensors: the ledger does not care which.
pub(super) struct Notary {
    domain: Domain,
    inference: Inference,
    input_root: TensorRoot,
    output_root: TensorRoot,
    response: ResponseHash,
}

/// What user and node agree on for one answer.
pub(super) struct Deal<'a> {
    pub(super) payer: &'a SecretKey,
    pub(super) node: &'a SecretKey,
    pub(super) channel: ChannelId,
    pub(super) sequence: u64,
    pub(super) fee: u128,
    pub(super) warranty: u128,
    pub(super) evidence: EvidenceKind,
    pub(super) settle_by: Tick,
    /// The last block, which the receipt names.
    pub(super) height: Height,
}

impl Notary {
    pub(super) fn new(domain: Domain) -> Result<Self, Failure> {
        let tensor = |value| {
            let shape = Shape::new(vec![1])?;
            Tensor::new(DType::I8, shape, vec![value])
        };
        let (Some(input), Some(output)) = (tensor(3), tensor(4)) else {
            return Err(broken("the model has no tensors"));
        };
        let inference = Inference {
            inputs: vec![input],
            outputs: vec![output],
        };
        let response = render::response(MODEL, &outputs(), &inference.outputs);
        Ok(Self {
            domain,
            input_root: tensor_root(&inference.inputs),
            output_root: tensor_root(&inference.outputs),
            response: render::response_hash(&response),
            inference,
        })
    }

    fn sign<T: haca_wire::TypedData>(&self, value: T, key: &SecretKey) -> Result<Signed<T>, Failure> {
        Signed::new(value, &self.domain, key).ok_or_else(|| broken("a paper was not signed"))
    }

    /// A signed quote, and the channel that it opens.
    pub(super) fn quote(
        &self,
        quote: Quote,
        node: &SecretKey,
    ) -> Result<(Signed<Quote>, ChannelId), Failure> {
        let channel = quote.channel(&self.domain);
        Ok((self.sign(quote, node)?, channel))
    }

    /// Consent to close a channel.
    pub(super) fn consent(&self, close: Close, key: &SecretKey) -> Result<Signed<Close>, Failure> {
        self.sign(close, key)
    }

    /// A signed order and its signed receipt.
    pub(super) fn item(&self, deal: &Deal<'_>) -> Result<Item, Failure> {
        let order = Order {
            channel: deal.channel,
            sequence: Sequence(deal.sequence),
            request: RequestHash([7; 32]),
            input_root: self.input_root,
            model: MODEL,
            evidence: deal.evidence,
            offer_version: 1,
            max_fee: Amount(deal.fee),
            warranty: Amount(deal.warranty),
            settle_by: deal.settle_by,
        };
        let receipt = Receipt {
            channel: order.channel,
            sequence: order.sequence,
            order: order.hash(&self.domain),
            input_root: self.input_root,
            output_root: self.output_root,
            response: self.response,
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: UNITS,
            fee: Amount(deal.fee),
            block_height: deal.height,
            block_hash: BlockHash([3; 32]),
            signer: deal.node.address(),
        };
        Ok(Item {
            order: self.sign(order, deal.payer)?,
            receipt: self.sign(receipt, deal.node)?,
        })
    }

    /// A group with a proof that is honest or not.
    pub(super) fn group(&self, items: Vec<Item>, honest: bool) -> Group {
        let inferences = vec![self.inference.clone(); items.len()];
        Group {
            items,
            evidence: Evidence::Zk {
                inferences,
                proof: vec![u8::from(honest); 32],
            },
        }
    }

    /// The digests of receipts, as leaves of their range's tree.
    pub(super) fn leaves<'i>(&self, items: impl Iterator<Item = &'i Item>) -> Vec<Option<ReceiptHash>> {
        items
            .map(|item| Some(item.receipt.value.hash(&self.domain)))
            .collect()
    }

    /// The payer's voucher and the node's root for consecutive receipts of one channel, in one voucher.
    pub(super) fn coverage(
        &self,
        items: &[&Item],
        (payer, node): (&SecretKey, &SecretKey),
        height: Height,
    ) -> Result<Coverage, Failure> {
        let orders = || items.iter().map(|item| &item.order.value);
        let receipts = items.iter().map(|item| &item.receipt.value);
        let first = orders().next().ok_or_else(|| broken("a range is empty"))?;
        let root = receipt_root(&self.leaves(items.iter().copied()));
        let voucher = Voucher {
            channel: first.channel,
            first: first.sequence,
            count: items.len() as u32,
            root,
            model: first.model,
            evidence: EvidenceKind::Optimistic,
            total: Amount(receipts.map(|receipt| receipt.fee.0).sum()),
            warranty: Amount(orders().map(|order| order.warranty.0).sum()),
            settle_by: orders().map(|order| order.settle_by).min().unwrap_or_default(),
        };
        let root = ReceiptRoot {
            channel: voucher.channel,
            first: voucher.first,
            count: voucher.count,
            root,
            block_height: height,
            block_hash: BlockHash([3; 32]),
            signer: node.address(),
        };
        Ok(Coverage {
            voucher: self.sign(voucher, payer)?,
            root: self.sign(root, node)?,
        })
    }

    /// An honest proof of what was demanded.
    pub(super) fn respond(&self, answers: Vec<Answer>) -> Message {
        Message::Respond {
            inferences: vec![self.inference.clone(); answers.len()],
            answers,
            proof: vec![1; 32],
        }
    }
}
