//! Receipts to settle: one node, one payer, several channels; with signatures alone, under vouchers, or with one proof
//! for many.

use haca_graph::ModelFile;
use haca_prover::{ProvingKey, Registration};
use haca_wire::{
    Amount, AssetId, BlockHash, ChannelId, Coverage, Decode as _, Domain, Encode as _, Evidence,
    EvidenceKind, Group, Height, Inference, Item, Message, Nonce, Offer, Order, Quote, Receipt, ReceiptRoot,
    RenderId, SecretKey, Sequence, Signed, SignedTransaction, Tensor, TensorRoot, Tick, Transaction, Voucher,
    proof_context, render, tensor_root,
};
use rayon::prelude::*;

use super::site::{Running, Site};
use super::transfers::meta;
use super::{Cargo, failed};
use crate::args::{BenchChain, Load};
use crate::failure::Failure;
use crate::session::client;
use crate::setup::DIGITS_MODEL;
use crate::work::prover;

/// Channels, used in turn: transactions of one channel that are sent side by side may change places, but never by more
/// than its window.
const CHANNELS: usize = 64;
/// Pairs of order and receipt in one transaction.
const PAIRS: usize = 64;
/// Vouchers in one transaction, each of a channel of its own.
const VOUCHERS: usize = 16;
/// Receipts under one voucher.
const COVERED: usize = 64;
/// Inferences in one proof.
const BATCH: usize = 32;
const FEE: Amount = Amount(10);

/// Who takes part, and where.
struct Parties<'a> {
    domain: Domain,
    payer: &'a SecretKey,
    node: &'a SecretKey,
    registration: Registration,
    channels: Vec<ChannelId>,
    height: Height,
}

/// Registers model and node, opens the channels, and makes the transactions.
pub(super) fn cargo(
    site: &Site,
    running: &Running,
    bench: &BenchChain,
    load: Load,
    count: usize,
) -> Result<Cargo, Failure> {
    let parties = Parties::open(site, running, bench)?;
    // A chain without load makes hundreds of blocks a second, and proving takes minutes: what is signed for a tick would be
    // too late.
    let paused = running.pause()?;
    let messages: Result<Vec<Message>, Failure> = match load {
        // One after another: each proof uses all cores, and proofs begun inside proofs pile up on one stack.
        Load::Zk => (0..count).map(|index| parties.proven(index)).collect(),
        Load::Vouchers => (0..count)
            .into_par_iter()
            .map(|index| parties.covered(index))
            .collect(),
        _ => (0..count)
            .into_par_iter()
            .map(|index| parties.signed(index))
            .collect(),
    };
    let messages = messages?;
    let proof_bytes = messages.iter().map(proof_bytes).sum();
    drop(paused);
    let head = running.client.status().map_err(client)?.height;
    let expiry = Height(head.0 + 550);
    let txs: Option<Vec<Vec<u8>>> = messages
        .into_par_iter()
        .enumerate()
        .map(|(index, message)| {
            let meta = meta(parties.node.address(), (1 << 40) + index as u64, expiry);
            SignedTransaction::sign(Transaction { meta, message }, &parties.domain, parties.node)
                .map(|tx| tx.encode())
        })
        .collect();
    Ok(Cargo {
        txs: txs.ok_or_else(|| failed("a settlement can't be signed"))?,
        units_per_tx: match load {
            Load::Zk => BATCH,
            Load::Vouchers => VOUCHERS * COVERED,
            _ => PAIRS,
        },
        proof_bytes,
    })
}

fn proof_bytes(message: &Message) -> usize {
    let Message::SettleBatch { groups } = message else {
        return 0;
    };
    let proofs = groups.iter().map(|group| match &group.evidence {
        Evidence::Zk { proof, .. } => proof.len(),
        _ => 0,
    });
    proofs.sum()
}

/// A settlement of one group.
fn batch(items: Vec<Item>, evidence: Evidence) -> Message {
    Message::SettleBatch {
        groups: vec![Group { items, evidence }],
    }
}

impl<'a> Parties<'a> {
    fn open(site: &'a Site, running: &Running, bench: &BenchChain) -> Result<Self, Failure> {
        let [payer, node, ..] = site.accounts.as_slice() else {
            return Err(failed("no accounts"));
        };
        let model = match &bench.model {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| Failure::file(path, "read", &error))?;
                ModelFile::decode_all(&bytes).map_err(failed)?
            }
            None => ModelFile::decode_all(DIGITS_MODEL).map_err(failed)?,
        };
        let registration = ProvingKey::register(model).map_err(prover)?;
        let id = registration.verifying_key.model_id();
        let mut number = 1 << 50;
        let mut send = |from: &SecretKey, message| -> Result<Height, Failure> {
            number += 1;
            let head = running.client.status().map_err(client)?.height;
            let meta = meta(from.address(), number, Height(head.0 + 500));
            let tx = SignedTransaction::sign(Transaction { meta, message }, &site.domain, from)
                .ok_or_else(|| failed("a transaction can't be signed"))?;
            let (_, included) = running
                .client
                .submit_and_wait(&tx, Running::PATIENCE)
                .map_err(client)?;
            Ok(Height(included.height))
        };
        send(
            node,
            Message::RegisterModel {
                verifying_key: registration.verifying_key.encode(),
                proof: registration.proof.clone(),
            },
        )?;
        let offer = |evidence| Offer {
            model: id,
            evidence,
            asset: AssetId::OPG,
            base_price: FEE,
            unit_price: Amount(0),
        };
        send(
            node,
            Message::RegisterNode {
                endpoint: "http://127.0.0.1:1".to_owned(),
                payout: node.address(),
                signer: node.address(),
                offers: vec![offer(EvidenceKind::Zk), offer(EvidenceKind::Signed)],
            },
        )?;
        let mut channels = Vec::new();
        let mut height = Height(0);
        for channel in 0..CHANNELS {
            let head = running.client.status().map_err(client)?.height;
            let quote = Quote {
                node: node.address(),
                payer: payer.address(),
                asset: AssetId::OPG,
                deposit: Amount(1_000_000_000_000),
                warranty: Amount(0),
                offer_version: 1,
                expires: Height(head.0 + 500),
                nonce: Nonce([channel as u8; 32]),
            };
            channels.push(quote.channel(&site.domain));
            let quote =
                Signed::new(quote, &site.domain, node).ok_or_else(|| failed("a quote can't be signed"))?;
            height = send(payer, Message::OpenChannel { quote })?;
        }
        Ok(Self {
            domain: site.domain,
            payer,
            node,
            registration,
            channels,
            height,
        })
    }

    /// The `index`-th group of pairs that nothing but signatures backs.
    fn signed(&self, index: usize) -> Result<Message, Failure> {
        let root = TensorRoot([7; 32]);
        let items =
            (0..PAIRS).map(|at| self.item(index, (PAIRS, at), EvidenceKind::Signed, (root, root), [3; 32]));
        Ok(batch(items.collect::<Result<_, _>>()?, Evidence::Signed))
    }

    /// The `index`-th set of vouchers, the next range of each of its channels.
    fn covered(&self, index: usize) -> Result<Message, Failure> {
        let sets = CHANNELS / VOUCHERS;
        let first = Sequence(((index / sets) * COVERED) as u64);
        let coverages = (0..VOUCHERS).map(|at| self.coverage((index % sets) * VOUCHERS + at, first));
        Ok(Message::SettleVouchers {
            coverages: coverages.collect::<Result<_, _>>()?,
        })
    }

    fn coverage(&self, channel: usize, first: Sequence) -> Result<Coverage, Failure> {
        let unsigned = || failed("a voucher can't be signed");
        let channel = *self.channels.get(channel).ok_or_else(unsigned)?;
        // The chain sees no receipt of the range.
        let root = blake3::derive_key(
            "haca benchmark range",
            &[&channel.0[..], &first.0.to_le_bytes()].concat(),
        );
        let count = COVERED as u32;
        let voucher = Voucher {
            channel,
            first,
            count,
            root,
            model: self.registration.verifying_key.model_id(),
            evidence: EvidenceKind::Signed,
            total: Amount(FEE.0 * u128::from(count)),
            warranty: Amount(0),
            settle_by: Tick(self.height.0 + 3_000),
        };
        let root = ReceiptRoot {
            channel,
            first,
            count,
            root,
            block_height: self.height,
            block_hash: BlockHash::default(),
            signer: self.node.address(),
        };
        Ok(Coverage {
            voucher: Signed::new(voucher, &self.domain, self.payer).ok_or_else(unsigned)?,
            root: Signed::new(root, &self.domain, self.node).ok_or_else(unsigned)?,
        })
    }

    /// The `index`-th group of inferences with their proof.
    fn proven(&self, index: usize) -> Result<Message, Failure> {
        let key = &self.registration.verifying_key;
        let spec = key
            .manifest()
            .graph
            .inputs()
            .first()
            .ok_or_else(|| failed("a model without inputs"))?;
        let elements = spec.shape.elements();
        let rows: Result<Vec<Vec<Tensor>>, Failure> = (0..BATCH)
            .map(|at| {
                let values = (0..elements).map(|cell| ((cell * 31 + at * 7 + index) % 17) as i64);
                let tensor = Tensor::new(spec.dtype, spec.shape.clone(), values.collect());
                tensor
                    .map(|tensor| vec![tensor])
                    .ok_or_else(|| failed("an input out of range"))
            })
            .collect();
        let executions = self.registration.proving_key.infer_batch(rows?).map_err(prover)?;
        let specs: Vec<_> = key
            .manifest()
            .graph
            .outputs()
            .iter()
            .map(|(_, spec)| spec.clone())
            .collect();
        let mut items = Vec::new();
        for (at, execution) in executions.iter().enumerate() {
            let Inference { inputs, outputs } = &execution.inference;
            let response = render::response(key.model_id(), &specs, outputs);
            let roots = (tensor_root(inputs), tensor_root(outputs));
            items.push(self.item(
                index,
                (BATCH, at),
                EvidenceKind::Zk,
                roots,
                render::response_hash(&response).0,
            )?);
        }
        let receipts: Vec<_> = items
            .iter()
            .map(|item| item.receipt.value.hash(&self.domain))
            .collect();
        let context = proof_context(&self.domain, &receipts);
        let (proof, _) = self
            .registration
            .proving_key
            .prove(context, &executions)
            .map_err(prover)?;
        let inferences = executions.into_iter().map(|execution| execution.inference);
        let evidence = Evidence::Zk {
            inferences: inferences.collect(),
            proof,
        };
        Ok(batch(items, evidence))
    }

    /// One order with its receipt: the `at`-th of `per` in the group `index`.
    fn item(
        &self,
        index: usize,
        (per, at): (usize, usize),
        evidence: EvidenceKind,
        (input_root, output_root): (TensorRoot, TensorRoot),
        response: [u8; 32],
    ) -> Result<Item, Failure> {
        let unsigned = || failed("an order can't be signed");
        let channel = *self.channels.get(index % CHANNELS).ok_or_else(unsigned)?;
        let sequence = Sequence(((index / CHANNELS) * per + at) as u64);
        let key = &self.registration.verifying_key;
        let order = Order {
            channel,
            sequence,
            request: render::request_hash(b"benchmark"),
            input_root,
            model: key.model_id(),
            evidence,
            offer_version: 1,
            max_fee: FEE,
            warranty: Amount(0),
            settle_by: Tick(self.height.0 + 3_000),
        };
        let receipt = Receipt {
            channel,
            sequence,
            order: order.hash(&self.domain),
            input_root,
            output_root,
            response: haca_wire::ResponseHash(response),
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: key.manifest().graph.macs(),
            fee: FEE,
            block_height: self.height,
            block_hash: BlockHash::default(),
            signer: self.node.address(),
        };
        Ok(Item {
            order: Signed::new(order, &self.domain, self.payer).ok_or_else(unsigned)?,
            receipt: Signed::new(receipt, &self.domain, self.node).ok_or_else(unsigned)?,
        })
    }
}
