//! What users and nodes sign.

use haca_wire::order::Signed;
use haca_wire::{
    Amount, BlockHash, ChannelId, Close, DType, Domain, Evidence, EvidenceKind, Group, Height, Inference,
    Item, Order, Quote, Receipt, RenderId, RequestHash, ResponseHash, SecretKey, Sequence, Shape, Tensor,
    TensorRoot, Tick, render, tensor_root,
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
            evidence: EvidenceKind::Zk,
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
}
