//! A network with one settled receipt: genesis, validators, state tree, payer and node.

use haca_verify::{Checkpoint, Outcome, Policy, Report, SettledInference, header_facts, verify_bundle};
use haca_wire::bundle::{Bundle, Covering, LightBlock};
use haca_wire::merkle::{InclusionPath, root};
use haca_wire::state::key;
use haca_wire::voucher::receipt_path;
use haca_wire::{
    Address, Amount, AssetId, BlockHash, ChainId, ChannelId, Domain, Encode, Evidence, EvidenceKind,
    GenesisHash, Height, Item, ModelId, Order, OrderHash, Receipt, ReceiptHash, RenderId, SecretKey,
    Sequence, Settlement, Signed, TensorRoot, Tick, TxHash, Voucher, receipt_root, render,
};
use jmt::{JellyfishMerkleTree, KeyHash, mock::MockTreeStore, storage::TreeWriter as _};
use prost_ics23::Message as _;
use sha2::Sha256;

use crate::chain::{BlockSpec, Member};

pub(crate) const CHAIN: &str = "haca-test-1";
pub(crate) const START_S: i64 = 1_800_000_000;
/// The verifier's time in most tests: an hour after the first block.
pub(crate) const NOW_S: u64 = START_S as u64 + 3600;
/// The height that settles.
pub(crate) const SETTLED: u64 = 7;

pub(crate) fn secret(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

/// A network and everything that is said about its one receipt. Change a field, then `build`.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) chain_id: String,
    pub(crate) number: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) payer: SecretKey,
    pub(crate) signer: SecretKey,
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
    pub(crate) order: Order,
    pub(crate) receipt: Receipt,
    pub(crate) evidence: Evidence,
    /// Further state entries.
    pub(crate) state: Vec<(Vec<u8>, Vec<u8>)>,
    /// Other settlements of the same block, and where ours stands among them.
    pub(crate) neighbours: usize,
    /// First sequence and length of the range of the voucher that was settled, where the receipt was not.
    pub(crate) range: Option<(Sequence, u32)>,
    /// What the chain recorded, if not the truth.
    pub(crate) alter_settlement: fn(&mut Settlement),
}

impl Network {
    pub(crate) fn new() -> Self {
        let request = br#"{"model":"0x00","inputs":[]}"#.to_vec();
        let response = br#"{"model":"0x00","outputs":[]}"#.to_vec();
        let order = Order {
            channel: ChannelId([3; 32]),
            sequence: Sequence(5),
            request: render::request_hash(&request),
            input_root: TensorRoot([5; 32]),
            model: ModelId([4; 32]),
            evidence: EvidenceKind::Signed,
            offer_version: 1,
            max_fee: Amount(100),
            warranty: Amount(1000),
            settle_by: Tick(50),
        };
        let signer = secret(22);
        let receipt = Receipt {
            channel: order.channel,
            sequence: order.sequence,
            order: OrderHash::default(),
            input_root: TensorRoot([5; 32]),
            output_root: TensorRoot([6; 32]),
            response: render::response_hash(&response),
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: 2368,
            fee: Amount(90),
            block_height: Height(5),
            block_hash: BlockHash([7; 32]),
            signer: signer.address(),
        };
        Self {
            chain_id: CHAIN.into(),
            number: 7410,
            members: (1..=4).map(|seed| Member::new(seed, 10)).collect(),
            payer: secret(21),
            signer,
            request,
            response,
            order,
            receipt,
            evidence: Evidence::Signed,
            state: Vec::new(),
            neighbours: 4,
            range: None,
            alter_settlement: |_| {},
        }
    }

    /// Written out by hand: the bytes must not depend on how a JSON library orders keys.
    pub(crate) fn genesis(&self) -> Vec<u8> {
        let validators: Vec<String> = self
            .members
            .iter()
            .map(|member| {
                let key = tendermint::PublicKey::from_raw_ed25519(&member.public_key()).unwrap();
                format!(
                    r#"{{"pub_key":{},"power":"{}"}}"#,
                    serde_json::to_string(&key).unwrap(),
                    member.power
                )
            })
            .collect();
        format!(
            r#"{{"genesis_time":"2027-01-15T08:00:00Z","chain_id":"{}","initial_height":"1","validators":[{}],"app_hash":"","app_state":{{"chain_id":{}}}}}"#,
            self.chain_id,
            validators.join(","),
            self.number
        )
        .into_bytes()
    }

    pub(crate) fn trust(&self) -> GenesisHash {
        haca_verify::genesis_hash(&self.genesis())
    }

    pub(crate) fn domain(&self) -> Domain {
        Domain {
            chain_id: ChainId(self.number),
            genesis: self.trust(),
        }
    }

    pub(crate) fn item(&self) -> Item {
        let domain = self.domain();
        let mut receipt = self.receipt.clone();
        if receipt.order == OrderHash::default() {
            receipt.order = self.order.hash(&domain);
        }
        Item {
            order: Signed::new(self.order.clone(), &domain, &self.payer).unwrap(),
            receipt: Signed::new(receipt, &domain, &self.signer).unwrap(),
        }
    }

    /// A network whose receipt was settled under a voucher, third of seven.
    pub(crate) fn covered() -> Self {
        Self {
            range: Some((Sequence(3), 7)),
            ..Self::new()
        }
    }

    /// The receipts of the range: the one in question, and others beside it.
    pub(crate) fn range_receipts(&self) -> Vec<Option<ReceiptHash>> {
        let (first, count) = self.range.unwrap();
        (first.0..first.0 + u64::from(count))
            .map(|sequence| {
                if sequence == self.order.sequence.0 {
                    Some(self.item().receipt.value.hash(&self.domain()))
                } else {
                    // The last one is a gap.
                    (sequence + 1 < first.0 + u64::from(count)).then_some(ReceiptHash([sequence as u8; 32]))
                }
            })
            .collect()
    }

    pub(crate) fn voucher(&self) -> Voucher {
        let (first, count) = self.range.unwrap();
        Voucher {
            channel: self.order.channel,
            first,
            count,
            root: receipt_root(&self.range_receipts()),
            model: self.order.model,
            evidence: self.order.evidence,
            total: Amount(540),
            warranty: Amount(0),
            settle_by: Tick(50),
        }
    }

    pub(crate) fn covering(&self) -> Option<Covering> {
        let (first, _) = self.range?;
        let index = (self.order.sequence.0 - first.0) as usize;
        Some(Covering {
            voucher: self.voucher(),
            path: receipt_path(&self.range_receipts(), index).unwrap(),
        })
    }

    pub(crate) fn settlement(&self) -> Settlement {
        let item = self.item();
        let domain = self.domain();
        let mut settlement = Settlement {
            channel: self.order.channel,
            sequence: self.order.sequence,
            order: self.order.hash(&domain),
            receipt: item.receipt.value.hash(&domain),
            model: self.order.model,
            evidence: self.order.evidence,
            payer: self.payer.address(),
            node: Address([8; 20]),
            payout: Address([9; 20]),
            asset: AssetId(1),
            fee: self.receipt.fee,
            tx: TxHash([10; 32]),
        };
        if self.range.is_some() {
            let voucher = self.voucher();
            settlement.sequence = voucher.first;
            settlement.order = voucher.hash(&domain);
            settlement.receipt = ReceiptHash(voucher.root);
            settlement.fee = voucher.total;
        }
        (self.alter_settlement)(&mut settlement);
        settlement
    }

    /// The leaves of the receipt tree; ours stands third, or last where there are fewer.
    pub(crate) fn leaves(&self) -> (Vec<Vec<u8>>, usize) {
        let mut leaves: Vec<Vec<u8>> = (0..self.neighbours)
            .map(|other| {
                let mut settlement = self.settlement();
                settlement.sequence = Sequence(100 + other as u64);
                settlement.encode()
            })
            .collect();
        let index = self.neighbours.min(2);
        leaves.insert(index, self.settlement().encode());
        (leaves, index)
    }

    /// The state tree after the settling block.
    pub(crate) fn tree(&self) -> StateTree {
        let (leaves, _) = self.leaves();
        let mut entries = self.state.clone();
        entries.push((key::receipts(Height(SETTLED)), root(&leaves).to_vec()));
        entries.extend((0..20u8).map(|n| (key::balance(Address([n; 20]), AssetId(0)), vec![n; 16])));
        StateTree::new(entries)
    }

    pub(crate) fn block(&self, height: u64, app_hash: Vec<u8>) -> BlockSpec<'_> {
        BlockSpec {
            chain_id: &self.chain_id,
            height,
            unix_s: START_S + height as i64,
            app_hash,
            validators: &self.members,
            next_validators: &self.members,
            parts: Vec::new(),
            round: 0,
            data: 4,
        }
    }

    /// The first block and the one after the settling block.
    pub(crate) fn light_blocks(&self, app_hash: &[u8]) -> Vec<LightBlock> {
        vec![
            self.block(1, vec![0; 32]).build(),
            self.block(SETTLED + 1, app_hash.to_vec()).build(),
        ]
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let tree = self.tree();
        let (leaves, index) = self.leaves();
        let item = self.item();
        let receipt: ReceiptHash = item.receipt.value.hash(&self.domain());
        let model_key = key::model(self.order.model);
        let model_proof = self
            .state
            .iter()
            .any(|(key, _)| *key == model_key)
            .then(|| tree.prove(&model_key));
        Bundle {
            genesis: self.genesis(),
            light_blocks: self.light_blocks(&tree.root),
            height: Height(SETTLED),
            settlement: self.settlement(),
            branch: InclusionPath::new(&leaves, index).unwrap().branch().unwrap(),
            covering: self.covering(),
            receipts_proof: tree.prove(&key::receipts(Height(SETTLED))),
            model_proof,
            item,
            group: vec![receipt],
            index: 0,
            evidence: self.evidence.clone(),
            request: self.request.clone(),
            response: self.response.clone(),
        }
    }

    pub(crate) fn verify(&self, bundle: &Bundle) -> Report<SettledInference> {
        verify_bundle(&bundle.encode(), self.trust(), NOW_S, &signed())
    }
}

/// A policy that accepts signatures.
pub(crate) fn signed() -> Policy {
    Policy {
        accepted: vec![EvidenceKind::Signed],
        ..Policy::default()
    }
}

pub(crate) fn checkpoint(block: &LightBlock) -> Checkpoint {
    let (height, hash, _) = header_facts(block).unwrap();
    Checkpoint { height, hash }
}

/// Fails unless the report rejects and the first failed check is `id`.
#[track_caller]
pub(crate) fn assert_rejected(report: &Report<SettledInference>, id: &str) {
    assert_eq!(report.outcome(), Outcome::Rejected, "{:#?}", report.checks());
    assert!(report.verified().is_none());
    let first = report.failures().next().unwrap();
    assert_eq!(first.id, id, "{first:?}");
}

#[track_caller]
pub(crate) fn assert_verified(report: &Report<SettledInference>) {
    assert_eq!(report.outcome(), Outcome::Verified, "{:#?}", report.checks());
    assert!(report.verified().is_some());
}

/// A Jellyfish Merkle tree in memory.
pub(crate) struct StateTree {
    store: MockTreeStore,
    pub(crate) root: Vec<u8>,
}

impl StateTree {
    pub(crate) fn new(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let store = MockTreeStore::default();
        let keyed: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| {
                let hash = KeyHash::with::<Sha256>(&key);
                store.put_key_preimage(hash, &key);
                (hash, Some(value))
            })
            .collect();
        let (root, batch) = JellyfishMerkleTree::<_, Sha256>::new(&store)
            .put_value_set(keyed, 0)
            .unwrap();
        store.write_node_batch(&batch.node_batch).unwrap();
        Self {
            store,
            root: root.0.to_vec(),
        }
    }

    pub(crate) fn prove(&self, key: &[u8]) -> Vec<u8> {
        let (_, proof) = JellyfishMerkleTree::<_, Sha256>::new(&self.store)
            .get_with_ics23_proof(key.to_vec(), 0)
            .unwrap();
        proof.encode_to_vec()
    }
}
