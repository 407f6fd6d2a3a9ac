//! What users do meanwhile: transfers, and inferences that are paid and settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use haca_client::{ClientError, InferenceClient, NodeClient, Wallet};
use haca_wire::{
    Address, Amount, AssetId, ChannelId, Domain, EvidenceKind, Message, ModelId, Order, ReceiptHash,
    Sequence, SignedTransaction, Tick, TxHash, render,
};

use crate::local::PATIENCE;

/// OPG per unit of gas that the users agree to.
const MAX_BASE_FEE: Amount = Amount(1_000_000);
/// Deposit and warranty reserve of the channel, in the smallest unit of the fee asset.
const DEPOSIT: Amount = Amount(20_000_000);
/// The asset of the inference node's prices.
pub(super) const FEE_ASSET: AssetId = AssetId(1);
/// Ticks until an order has to be settled: more than a perturbation takes.
const SETTLE_TICKS: u64 = 3_000;
/// Price of an inference with and without a proof.
const FEES: [u128; 2] = [2_000, 500];
/// Transfers on their way at once.
const TRANSFERS: usize = 8;
/// After so long a transfer that is in no block is sent again, to another node: a killed node forgets what waited.
const RESEND: Duration = Duration::from_secs(2);
/// Pauses between a user's actions.
const PAUSE: Duration = Duration::from_millis(150);

/// The nodes that users turn to, and which of them are being perturbed.
#[derive(Clone)]
pub(super) struct Doors {
    doors: Vec<(NodeClient, Arc<AtomicBool>)>,
    next: Arc<AtomicUsize>,
}

impl Doors {
    pub(super) fn new(doors: Vec<(NodeClient, Arc<AtomicBool>)>) -> Self {
        Self {
            doors,
            next: Arc::default(),
        }
    }

    /// A node that nothing is done to at present, another one each time.
    fn pick(&self) -> NodeClient {
        loop {
            for _ in 0..self.doors.len() {
                let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.doors.len();
                let (client, perturbed) = &self.doors[turn];
                if !perturbed.load(Ordering::SeqCst) {
                    return client.clone();
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks one node after the other until one answers.
    pub(super) fn ask<T>(&self, question: impl Fn(&NodeClient) -> Result<T, ClientError>) -> T {
        let start = Instant::now();
        loop {
            match question(&self.pick()) {
                Ok(answer) => return answer,
                Err(error) => assert!(start.elapsed() < PATIENCE, "no node answers: {error}"),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks one node after the other until one has it: a node may be a block behind the one that was asked before.
    fn find<T>(&self, question: impl Fn(&NodeClient) -> Result<Option<T>, ClientError>) -> T {
        let start = Instant::now();
        loop {
            if let Ok(Some(answer)) = question(&self.pick()) {
                return answer;
            }
            assert!(start.elapsed() < PATIENCE, "no node has it");
            std::thread::sleep(PAUSE);
        }
    }

    /// Sends a message and waits until it is in a block.
    pub(super) fn send(&self, wallet: &Wallet, domain: &Domain, message: Message) -> u64 {
        let head = self.ask(NodeClient::status).height;
        let tx = wallet.transaction(message, domain, head, MAX_BASE_FEE).unwrap();
        let hash = self.ask(|node| node.submit(&tx));
        let included = self.ask(|node| node.wait(hash, PATIENCE));
        included.height
    }
}

/// What became of the transfers.
#[derive(Default)]
pub(super) struct Transfers {
    /// In a block, with their amounts.
    pub(super) included: Vec<(TxHash, u128)>,
    /// In no block, and none can take them any more.
    pub(super) expired: usize,
    /// How often one was sent again.
    pub(super) resent: usize,
}

/// A transfer on its way.
struct Open {
    hash: TxHash,
    tx: SignedTransaction,
    amount: u128,
    sent: Instant,
}

/// Sends transfers until told to stop, then follows the last ones to their fate.
pub(super) fn transfers(
    doors: Doors,
    wallet: Wallet,
    receiver: Address,
    domain: Domain,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Transfers> {
    std::thread::spawn(move || {
        let (mut done, mut open, mut count) = (Transfers::default(), Vec::<Open>::new(), 0_u128);
        while !stop.load(Ordering::SeqCst) || !open.is_empty() {
            if open.len() < TRANSFERS && !stop.load(Ordering::SeqCst) {
                count += 1;
                let message = Message::Transfer {
                    to: receiver,
                    asset: AssetId(0),
                    amount: Amount(count),
                };
                let head = doors.ask(NodeClient::status).height;
                let tx = wallet.transaction(message, &domain, head, MAX_BASE_FEE).unwrap();
                open.push(Open {
                    hash: doors.ask(|node| node.submit(&tx)),
                    tx,
                    amount: count,
                    sent: Instant::now(),
                });
            }
            open.retain_mut(|transfer| !follow(&doors, transfer, &mut done));
            std::thread::sleep(PAUSE);
        }
        done
    })
}

/// Looks after a transfer; true once nothing can happen to it any more.
fn follow(doors: &Doors, transfer: &mut Open, done: &mut Transfers) -> bool {
    let node = doors.pick();
    // In this order: what is in no block of a node that is past the expiry will never be in one.
    let (Ok(status), Ok(included)) = (node.status(), node.transaction(transfer.hash)) else {
        return false;
    };
    match included {
        Some(included) => {
            assert_eq!(included.code, 0, "a transfer failed: {}", included.log);
            done.included.push((transfer.hash, transfer.amount));
            true
        }
        None if status.height.0 > transfer.tx.transaction.meta.expiry.0 + 2 => {
            done.expired += 1;
            true
        }
        None => {
            if transfer.sent.elapsed() > RESEND {
                transfer.sent = Instant::now();
                done.resent += 1;
                // It may be known there, or just executed: its nonce makes it count once.
                let _ = doors.pick().submit(&transfer.tx);
            }
            false
        }
    }
}

/// A receipt that a client was given.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) receipt: ReceiptHash,
    pub(super) evidence: EvidenceKind,
    pub(super) fee: u128,
}

/// A payer with a channel to the inference node.
pub(super) struct Payer {
    pub(super) doors: Doors,
    pub(super) inference: InferenceClient,
    pub(super) wallet: Wallet,
    pub(super) domain: Domain,
    pub(super) model: ModelId,
    pub(super) channel: ChannelId,
    /// The account that fees go to.
    pub(super) payout: Address,
    /// What it held before the first order.
    pub(super) paid_before: Amount,
    offer_version: u32,
}

impl Payer {
    /// Opens the channel.
    pub(super) fn open(doors: Doors, inference: InferenceClient, wallet: Wallet, domain: Domain) -> Self {
        let models = inference.models().unwrap();
        let model = models["data"][0]["id"].as_str().unwrap().parse().unwrap();
        let quote = inference
            .quote(wallet.address(), FEE_ASSET, DEPOSIT, DEPOSIT, &domain)
            .unwrap();
        let (channel, node) = (quote.value.channel(&domain), quote.value.node);
        doors.send(&wallet, &domain, Message::OpenChannel { quote });
        let record = doors.find(|door| door.node(node));
        Self {
            inference,
            wallet,
            domain,
            model,
            channel,
            payout: record.payout,
            paid_before: doors.ask(|node| node.balance(record.payout, FEE_ASSET)),
            offer_version: record.offer_version,
            doors,
        }
    }

    /// Orders inferences, one in four with a proof, until told to stop.
    pub(super) fn order(self, stop: Arc<AtomicBool>) -> JoinHandle<(Self, Vec<Accepted>)> {
        std::thread::spawn(move || {
            let mut accepted = Vec::new();
            for sequence in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let proof = sequence % 4 == 0;
                accepted.push(self.infer(sequence, proof));
                std::thread::sleep(PAUSE);
            }
            (self, accepted)
        })
    }

    /// Sends the same order until it is answered.
    fn infer(&self, sequence: u64, proof: bool) -> Accepted {
        let pixels: Vec<String> = (0..64)
            .map(|pixel| format!("{:.4}", ((pixel * 7 + sequence) % 17) as f64 / 16.0))
            .collect();
        let request = format!(
            "{{\"model\":\"{}\",\"inputs\":[{{\"name\":\"image\",\"data\":[{}]}}]}}",
            self.model,
            pixels.join(",")
        )
        .into_bytes();
        let tick = self.doors.ask(NodeClient::clock).tick;
        let fee = Amount(FEES[usize::from(!proof)]);
        let order = Order {
            channel: self.channel,
            sequence: Sequence(sequence),
            request: render::request_hash(&request),
            input_root: self.doors.ask(|node| node.input_root(self.model, &request)),
            model: self.model,
            evidence: if proof {
                EvidenceKind::Zk
            } else {
                EvidenceKind::Signed
            },
            offer_version: self.offer_version,
            max_fee: fee,
            warranty: fee,
            settle_by: Tick(tick.0 + SETTLE_TICKS),
        };
        let order = self.wallet.sign_order(order, &self.domain).unwrap();
        let start = Instant::now();
        loop {
            match self.inference.infer(&request, &order) {
                Ok(answered) => {
                    return Accepted {
                        receipt: answered.receipt.value.hash(&self.domain),
                        evidence: order.value.evidence,
                        fee: answered.receipt.value.fee.0,
                    };
                }
                Err(error) => assert!(
                    start.elapsed() < PATIENCE,
                    "order {sequence} is not answered: {error}"
                ),
            }
            std::thread::sleep(PAUSE);
        }
    }
}
