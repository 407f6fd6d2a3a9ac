//! A settlement through a whole node: from the transactions to the receipt's proof under the next header.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use haca_ledger::{CheckProof, ModelFacts};
use haca_node::Genesis;
use haca_wire::{
    Address, Amount, AssetId, BlockHash, ChainId, ChannelId, Coverage, Decode as _, Domain, Encode as _,
    Evidence, EvidenceKind, Gas, Group, Height, Inference, Item, Message, ModelId, Nonce, Order, OrderHash,
    Quote, Receipt, ReceiptHash, ReceiptRoot, RenderId, RequestHash, SecretKey, Sequence, Settlement, Signed,
    SignedTransaction, Tick, Transaction, TxMeta, Voucher, merkle::InclusionPath, render, tensor_root,
};
use serde_json::Value;

use super::{
    engine::wait,
    ledger::{CHAIN_NUMBER, holder},
    rest::{Running, start_with},
};

const MODEL: ModelId = ModelId([5; 32]);
const UNITS: u64 = 100;
const PROOF: &[u8] = b"proof";

/// Accepts one proof for everything, and counts how often it is asked.
struct Counting(Arc<AtomicUsize>);

impl CheckProof for Counting {
    fn facts(&self, _: &[u8]) -> Result<ModelFacts, &'static str> {
        Ok(ModelFacts {
            model: MODEL,
            units: UNITS,
            max_batch: 4,
            batch_gas: vec![Gas(1000); 3],
            answer_bytes: 1_000,
            outputs: Vec::new(),
        })
    }
    fn registration_gas(&self, _: &[u8]) -> Result<Gas, &'static str> {
        Ok(Gas(1000))
    }
    fn registration(&self, _: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        (proof == PROOF).then_some(()).ok_or("test.proof")
    }
    fn settlement(&self, _: &[u8], _: &[u8; 32], _: &[Inference], proof: &[u8]) -> Result<(), &'static str> {
        self.0.fetch_add(1, Ordering::SeqCst);
        (proof == PROOF).then_some(()).ok_or("test.proof")
    }
}

fn node() -> SecretKey {
    SecretKey::from_bytes(&[8; 32]).unwrap()
}

struct Network {
    running: Running,
    domain: Domain,
    sent: u64,
}

impl Network {
    fn new(checker: Counting) -> Self {
        let running = start_with(Box::new(checker));
        let genesis: &Genesis = &running.genesis;
        let domain = Domain {
            chain_id: ChainId(CHAIN_NUMBER),
            genesis: genesis.hash(),
        };
        Self {
            running,
            domain,
            sent: 0,
        }
    }

    fn sign(&mut self, sender: &SecretKey, message: Message) -> Vec<u8> {
        self.sent += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.sent.to_be_bytes());
        let meta = TxMeta {
            sender: sender.address(),
            expiry: Height(300),
            nonce: Nonce(nonce),
            max_base_fee: Amount(1 << 40),
            tip: Amount(0),
            sponsor: Address::default(),
        };
        SignedTransaction::sign(Transaction { meta, message }, &self.domain, sender)
            .unwrap()
            .encode()
    }

    /// Sends a message and waits until it is in a block; returns what became of it.
    fn send(&mut self, sender: &SecretKey, message: Message) -> Value {
        let tx = self.sign(sender, message);
        let (status, answer) = self.running.submit(&tx);
        assert_eq!(status, 202, "{answer}");
        let path = format!("/v1/tx/{}", answer["tx_hash"].as_str().unwrap());
        wait(|| Some(self.running.get(&path)).filter(|(status, _)| *status == 200)).1
    }

    fn ok(&mut self, sender: &SecretKey, message: Message) -> Value {
        let outcome = self.send(sender, message);
        assert_eq!(outcome["code"], 0, "{outcome}");
        outcome
    }

    fn item(&self, channel: ChannelId, sequence: u64, inference: &Inference) -> Item {
        let status = self.running.get("/v1/status").1;
        let tick = status["tick"].as_u64().unwrap();
        let order = Order {
            channel,
            sequence: Sequence(sequence),
            request: RequestHash([7; 32]),
            input_root: tensor_root(&inference.inputs),
            model: MODEL,
            evidence: EvidenceKind::Zk,
            offer_version: 1,
            max_fee: Amount(10),
            warranty: Amount(50),
            settle_by: Tick(tick + 100),
        };
        let receipt = Receipt {
            channel,
            sequence: order.sequence,
            order: order.hash(&self.domain),
            input_root: tensor_root(&inference.inputs),
            output_root: tensor_root(&inference.outputs),
            response: render::response_hash(&render::response(MODEL, &[], &inference.outputs)),
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: UNITS,
            fee: Amount(10),
            block_height: Height(status["height"].as_u64().unwrap()),
            block_hash: status["block_hash"]
                .as_str()
                .unwrap()
                .parse::<BlockHash>()
                .unwrap(),
            signer: node().address(),
        };
        Item {
            order: Signed::new(order, &self.domain, &holder()).unwrap(),
            receipt: Signed::new(receipt, &self.domain, &node()).unwrap(),
        }
    }

    /// Settles a voucher for nothing with a receipt's digest as its root; returns its own digest.
    fn shadow(&mut self, channel: ChannelId, first: u64, receipt: ReceiptHash) -> OrderHash {
        let signed_at = self.item(channel, first, &inference()).receipt.value;
        let first = Sequence(first);
        let voucher = Voucher {
            channel,
            first,
            count: 2,
            root: receipt.0,
            model: MODEL,
            evidence: EvidenceKind::Signed,
            total: Amount(0),
            warranty: Amount(0),
            settle_by: Tick(100),
        };
        let hash = voucher.hash(&self.domain);
        let root = ReceiptRoot {
            channel,
            first,
            count: 2,
            root: receipt.0,
            block_height: signed_at.block_height,
            block_hash: signed_at.block_hash,
            signer: node().address(),
        };
        let coverage = Coverage {
            voucher: Signed::new(voucher, &self.domain, &holder()).unwrap(),
            root: Signed::new(root, &self.domain, &node()).unwrap(),
        };
        let coverages = vec![coverage];
        self.ok(&node(), Message::SettleVouchers { coverages });
        hash
    }

    fn channel(&mut self) -> ChannelId {
        let stake = Amount(5_000_000_000_000);
        let (opg, verifying_key, proof) = (AssetId::OPG, b"key".to_vec(), PROOF.to_vec());
        self.ok(
            &holder(),
            Message::Transfer {
                to: node().address(),
                asset: opg,
                amount: stake,
            },
        );
        self.ok(&holder(), Message::RegisterModel { verifying_key, proof });
        let terms = Message::RegisterNode {
            endpoint: "http://127.0.0.1:8080".to_owned(),
            payout: Address([6; 20]),
            signer: node().address(),
            offers: Vec::new(),
        };
        self.ok(&node(), terms);
        self.ok(
            &node(),
            Message::Bond {
                asset: opg,
                amount: Amount(1_000),
            },
        );
        let height = self.running.get("/v1/status").1["height"].as_u64().unwrap();
        let quote = Quote {
            node: node().address(),
            payer: holder().address(),
            asset: opg,
            deposit: Amount(500),
            warranty: Amount(300),
            offer_version: 1,
            expires: Height(height + 100),
            nonce: Nonce([4; 32]),
        };
        let quote = Signed::new(quote, &self.domain, &node()).unwrap();
        let channel = quote.value.channel(&self.domain);
        self.ok(&holder(), Message::OpenChannel { quote });
        channel
    }
}

fn inference() -> Inference {
    let tensor = haca_wire::Tensor::new(
        haca_wire::DType::I8,
        haca_wire::Shape::new(vec![1]).unwrap(),
        vec![3],
    );
    let tensor = tensor.unwrap();
    Inference {
        inputs: vec![tensor.clone()],
        outputs: vec![tensor],
    }
}

#[test]
fn settled_receipts_are_paid_burned_and_proven_and_their_evidence_is_verified_once() {
    let verified = Arc::new(AtomicUsize::new(0));
    let mut network = Network::new(Counting(Arc::clone(&verified)));
    let channel = network.channel();
    let items: Vec<Item> = (0..3)
        .map(|sequence| network.item(channel, sequence, &inference()))
        .collect();
    let receipts: Vec<_> = items
        .iter()
        .map(|item| item.receipt.value.hash(&network.domain))
        .collect();
    let evidence = Evidence::Zk {
        inferences: vec![inference(); 3],
        proof: PROOF.to_vec(),
    };
    let before = network.running.get("/v1/supply").1["assets"][0]["burned"]
        .as_str()
        .unwrap()
        .parse::<u128>()
        .unwrap();
    let outcome = network.ok(
        &node(),
        Message::SettleBatch {
            groups: vec![Group { items, evidence }],
        },
    );
    assert_eq!(
        verified.load(Ordering::SeqCst),
        1,
        "seen in the mempool, remembered in the block"
    );

    let height = outcome["height"].as_u64().unwrap();
    let burned: u128 = outcome["burned"].as_str().unwrap().parse().unwrap();
    let supply = network.running.get("/v1/supply").1;
    assert_eq!(supply["assets"][0]["burned"], (before + burned).to_string());
    let payout = network
        .running
        .get("/v1/accounts/0x0606060606060606060606060606060606060606")
        .1;
    assert_eq!(payout["balances"][0]["amount"], "30");

    let key = hex::encode(haca_wire::state::key::receipts(Height(height)));
    let root = network.running.get(&format!("/v1/state/{key}?height={height}")).1;
    let root: [u8; 32] = hex::decode(root["value"].as_str().unwrap())
        .unwrap()
        .try_into()
        .unwrap();
    for (index, receipt) in receipts.iter().enumerate() {
        let (status, answer) = network.running.get(&format!("/v1/receipts/{receipt}"));
        assert_eq!(
            (status, answer["height"].as_u64()),
            (200, Some(height)),
            "{answer}"
        );
        let leaf = hex::decode(answer["settlement"].as_str().unwrap()).unwrap();
        assert_eq!(Settlement::decode_all(&leaf).unwrap().receipt, *receipt);
        let siblings = answer["path"].as_array().unwrap().iter().map(|hash| {
            let hash = hash.as_str().unwrap().trim_start_matches("0x");
            hex::decode(hash).unwrap().try_into().unwrap()
        });
        let path = InclusionPath {
            index: index as u64,
            leaves: 3,
            siblings: siblings.collect(),
        };
        path.verify(&leaf, &root).unwrap();
    }
    let metrics = String::from_utf8(network.running.bytes("/metrics").1).unwrap();
    assert!(metrics.contains("haca_receipts_settled_total 3\n"), "{metrics}");
}

/// The root of a voucher is whatever payer and node sign: it must not stand for a receipt that has the same digest.
#[test]
fn a_voucher_whose_root_is_a_receipt_neither_hides_it_nor_passes_for_it() {
    let mut network = Network::new(Counting(Arc::default()));
    let channel = network.channel();
    let item = network.item(channel, 0, &inference());
    let receipt = item.receipt.value.hash(&network.domain);
    let path = format!("/v1/receipts/{receipt}");
    let order_of = |answer: &Value| {
        let leaf = hex::decode(answer["settlement"].as_str().unwrap()).unwrap();
        Settlement::decode_all(&leaf).unwrap().order
    };
    let before = network.shadow(channel, 10, receipt);
    assert_eq!(network.running.get(&path).0, 404, "a voucher is no receipt");
    let evidence = Evidence::Zk {
        inferences: vec![inference()],
        proof: PROOF.to_vec(),
    };
    let groups = vec![Group {
        items: vec![item.clone()],
        evidence,
    }];
    network.ok(&node(), Message::SettleBatch { groups });
    let order = item.order.value.hash(&network.domain);
    assert_eq!(order_of(&network.running.get(&path).1), order);
    let after = network.shadow(channel, 20, receipt);
    assert_eq!(order_of(&network.running.get(&path).1), order);
    for voucher in [before, after] {
        let (status, answer) = network.running.get(&format!("/v1/receipts/{voucher}"));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(order_of(&answer), voucher);
    }
}

#[test]
fn false_evidence_burns_its_gas_and_settles_nothing() {
    let mut network = Network::new(Counting(Arc::default()));
    let channel = network.channel();
    let items = vec![network.item(channel, 0, &inference())];
    let evidence = Evidence::Zk {
        inferences: vec![inference()],
        proof: b"forged".to_vec(),
    };
    let receipt = items[0].receipt.value.hash(&network.domain);
    let groups = vec![Group { items, evidence }];
    let outcome = network.send(&node(), Message::SettleBatch { groups });
    assert_ne!(outcome["code"], 0, "{outcome}");
    assert!(outcome["gas_used"].as_u64().unwrap() > 1000, "{outcome}");
    assert!(outcome.to_string().contains("test.proof"), "{outcome}");
    assert_eq!(network.running.get(&format!("/v1/receipts/{receipt}")).0, 404);
}
