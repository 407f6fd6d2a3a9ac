//! A small network in memory: keys, genesis, blocks, and the messages of honest parties. Every block is audited.

use std::collections::BTreeMap;

use haca_ledger::{
    BlockContext, BlockOutcome, CommitVote, Effect, Misbehaviour, Refusal, TxOutcome, audit, execute_block,
    init_genesis, query,
};
use haca_wire::order::Signed;
use haca_wire::state::{
    BondRecord, ChannelRecord, GovernanceParams, NodeRecord, Params, Supply, ValidatorParams,
};
use haca_wire::*;

use crate::script::{Key, Script, outputs};

pub(crate) type State = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) const USD: AssetId = AssetId(1);
pub(crate) const OPG: AssetId = AssetId::OPG;
pub(crate) const RICH: u128 = 1_000_000_000_000;
pub(crate) const STAKE: u128 = 5_000;
/// The validator's consensus address.
pub(crate) const PROPOSER: [u8; 20] = [
    92, 41, 183, 143, 16, 163, 90, 73, 166, 35, 29, 8, 238, 132, 10, 4, 188, 195, 163, 122,
];
/// What the validator stakes.
pub(crate) const VALIDATOR_STAKE: u128 = 8_000;

pub(crate) fn key(tag: u8) -> SecretKey {
    SecretKey::from_bytes(&[tag; 32]).unwrap()
}

pub(crate) fn alice() -> SecretKey {
    key(1)
}
pub(crate) fn bob() -> SecretKey {
    key(2)
}
/// The inference node's account.
pub(crate) fn node() -> SecretKey {
    key(3)
}
/// Its receipt key.
pub(crate) fn signer() -> SecretKey {
    key(4)
}
/// Receives its fees.
pub(crate) fn payout() -> Address {
    key(5).address()
}
/// Another inference node.
pub(crate) fn other_node() -> SecretKey {
    key(6)
}
pub(crate) fn sponsor() -> SecretKey {
    key(7)
}
pub(crate) fn validator() -> Address {
    key(8).address()
}
/// Has an account, but nothing in it.
pub(crate) fn pauper() -> SecretKey {
    key(9)
}

/// The public half of a key that signs blocks.
pub(crate) fn consensus_id(tag: u8) -> ConsensusKey {
    ConsensusKey(consensus_key(tag).verification_key().to_bytes())
}

/// The key that signs blocks.
pub(crate) fn consensus_key(tag: u8) -> ed25519_consensus::SigningKey {
    ed25519_consensus::SigningKey::from([tag; 32])
}

pub(crate) fn test_params() -> Params {
    Params {
        block_gas: Gas(20_000_000),
        tx_gas: Gas(2_000_000),
        block_bytes: 4 << 20,
        gas_flat: Gas(10),
        gas_byte: Gas(1),
        gas_signature: Gas(20),
        node_stake: Amount(STAKE),
        quote_lifetime: 50,
        tx_lifetime: 30,
        settle_horizon: 20,
        grace: 5,
        claim_window: 10,
        demand_window: 12,
        respond_window: 6,
        respond_step: 2,
        prove_price: Amount(1_000_000),
        unbonding: 40,
        signer_grace: 20,
        reward_divisor: 1_000,
        gas_registration: Gas(1_000),
        validators: ValidatorParams {
            min_stake: Amount(1_000),
            max_validators: 5,
            evidence_blocks: 20,
            evidence_s: 100,
            signed_window: 10,
            max_missed: 3,
            jail_blocks: 6,
            slash_divisor: 4,
        },
        governance: GovernanceParams {
            voting_blocks: 8,
            timelock: 40,
        },
    }
}

pub(crate) fn genesis_json(params: Params) -> serde_json::Value {
    let holders = [alice(), bob(), node(), other_node(), sponsor()];
    let balances: Vec<_> = holders
        .iter()
        .flat_map(|holder| {
            [0, 1].map(|asset| {
                serde_json::json!({
                    "account": holder.address().to_string(),
                    "asset": asset,
                    "amount": RICH.to_string(),
                })
            })
        })
        .collect();
    let pool = 1_000_000u128;
    let stake = VALIDATOR_STAKE.max(params.validators.min_stake.0);
    serde_json::json!({
        "chain_id": 77,
        "assets": [
            { "id": 0, "symbol": "OPG", "decimals": 9, "issued": (RICH * 5 + pool + stake).to_string() },
            { "id": 1, "symbol": "USD", "decimals": 6, "issued": (RICH * 5).to_string() },
        ],
        "balances": balances,
        "pool": pool.to_string(),
        "validators": [{
            "key": consensus_id(8).to_string(),
            "account": validator().to_string(),
            "stake": stake.to_string(),
        }],
        "params": haca_ledger::genesis::GenesisParams::from(params),
    })
}

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) script: Script,
    pub(crate) domain: Domain,
    pub(crate) nonces: u64,
    /// Who proposes the next blocks.
    pub(crate) proposer: [u8; 20],
    /// The votes that the next block brings.
    pub(crate) votes: Vec<CommitVote>,
    /// The evidence that the next block brings.
    pub(crate) misbehaviour: Vec<Misbehaviour>,
    /// Every block so far.
    pub(crate) log: Vec<LogEntry>,
}

/// A block as it was executed.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub(crate) context: BlockContext,
    pub(crate) txs: Vec<Vec<u8>>,
    pub(crate) outcome: BlockOutcome,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_params(test_params())
    }

    pub(crate) fn with_params(params: Params) -> Self {
        Self::on_genesis(params, GenesisHash([9; 32]))
    }

    /// Under parameters that no genesis may have: blocks of a few transactions.
    pub(crate) fn under(params: Params) -> Self {
        let mut world = Self::new();
        world.set_params(params);
        world
    }

    pub(crate) fn set_params(&mut self, params: Params) {
        self.state.insert(state::key::PARAMS.to_vec(), params.encode());
    }

    pub(crate) fn on_genesis(params: Params, genesis: GenesisHash) -> Self {
        let json = genesis_json(params).to_string();
        let outcome = init_genesis(json.as_bytes(), genesis).unwrap();
        let state = outcome
            .writes
            .into_iter()
            .map(|(key, value)| (key, value.unwrap()))
            .collect();
        let world = Self {
            state,
            script: Script::default(),
            domain: outcome.chain.domain(),
            nonces: 0,
            proposer: [0; 20],
            votes: Vec::new(),
            misbehaviour: Vec::new(),
            log: Vec::new(),
        };
        world.audit();
        world
    }

    pub(crate) fn audit(&self) {
        audit(self.state.iter().map(|(key, value)| (&key[..], &value[..]))).unwrap();
    }

    pub(crate) fn params(&self) -> Params {
        query::params(&self.state).unwrap()
    }

    pub(crate) fn tick(&self) -> Tick {
        query::clock(&self.state).unwrap().tick
    }

    /// The height of the last block.
    pub(crate) fn height(&self) -> Height {
        query::clock(&self.state).unwrap().height
    }

    pub(crate) fn base_fee(&self) -> Amount {
        query::clock(&self.state).unwrap().base_fee
    }

    pub(crate) fn balance(&self, account: Address, asset: AssetId) -> u128 {
        query::balance(&self.state, account, asset).unwrap().0
    }

    pub(crate) fn supply(&self, asset: AssetId) -> Supply {
        query::supply(&self.state, asset).unwrap().unwrap()
    }

    pub(crate) fn channel(&self, channel: ChannelId) -> ChannelRecord {
        query::channel(&self.state, channel).unwrap().unwrap()
    }

    pub(crate) fn node(&self) -> NodeRecord {
        query::node(&self.state, node().address()).unwrap().unwrap()
    }

    pub(crate) fn bond(&self) -> BondRecord {
        query::bond(&self.state, node().address(), USD).unwrap()
    }

    /// Header time of a height: a block every ten seconds.
    pub(crate) fn time_s(&self, height: u64) -> u64 {
        1_790_000_000 + 10 * height
    }

    /// Executes a block twice, checks that the results are equal, commits and audits.
    pub(crate) fn block(&mut self, txs: &[Vec<u8>]) -> BlockOutcome {
        let context = BlockContext {
            height: Height(self.height().0 + 1),
            proposer: self.proposer,
            time_unix_s: self.time_s(self.height().0 + 1),
            votes: std::mem::take(&mut self.votes),
            misbehaviour: std::mem::take(&mut self.misbehaviour),
            ..BlockContext::default()
        };
        let outcome = execute_block(&self.state, &context, txs, &self.script).unwrap();
        let again = execute_block(&self.state, &context, txs, &Script::default()).unwrap();
        assert_eq!(outcome, again, "execution is deterministic");
        let burned = [OPG, USD].map(|asset| self.supply(asset).burned);
        for (key, value) in &outcome.writes {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
        self.audit();
        assert_eq!(
            self.supply(OPG).burned.0 - burned[0].0,
            outcome.burned.0,
            "supply falls by what was burned"
        );
        assert_eq!(self.supply(USD).burned, burned[1], "only OPG burns");
        self.log.push(LogEntry {
            context,
            txs: txs.to_vec(),
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Empty blocks until the next one runs at `tick`.
    pub(crate) fn wait_for_tick(&mut self, tick: u64) {
        while self.tick().0 < tick {
            self.block(&[]);
        }
        assert_eq!(self.tick().0, tick);
    }

    pub(crate) fn wait(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.block(&[]);
        }
    }

    pub(crate) fn meta(&mut self, sender: &SecretKey) -> TxMeta {
        self.nonces += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.nonces.to_le_bytes());
        TxMeta {
            sender: sender.address(),
            expiry: Height(self.height().0 + 20),
            nonce: Nonce(nonce),
            max_base_fee: Amount(1_000),
            tip: Amount(0),
            sponsor: Address::default(),
        }
    }

    pub(crate) fn signed(&mut self, sender: &SecretKey, message: Message) -> SignedTransaction {
        let meta = self.meta(sender);
        self.sign(sender, Transaction { meta, message })
    }

    pub(crate) fn sign(&self, sender: &SecretKey, transaction: Transaction) -> SignedTransaction {
        SignedTransaction::sign(transaction, &self.domain, sender).unwrap()
    }

    pub(crate) fn tx(&mut self, sender: &SecretKey, message: Message) -> Vec<u8> {
        self.signed(sender, message).encode()
    }

    /// A stake of the sender's behind consensus key `tag`.
    pub(crate) fn stake_message(&self, sender: &SecretKey, tag: u8, amount: u128) -> Message {
        let message = tx::possession_message(&self.domain, sender.address());
        Message::Stake {
            key: consensus_id(tag),
            possession: consensus_key(tag).sign(&message).to_bytes(),
            amount: Amount(amount),
        }
    }

    /// One message in a block of its own.
    pub(crate) fn run(&mut self, sender: &SecretKey, message: Message) -> TxOutcome {
        let tx = self.tx(sender, message);
        self.block(&[tx]).txs.remove(0)
    }

    /// One message that must take effect.
    pub(crate) fn ok(&mut self, sender: &SecretKey, message: Message) -> Vec<Effect> {
        let outcome = self.run(sender, message);
        assert_eq!(outcome.refusal, None);
        outcome.effects
    }

    /// One message that must be refused after it was admitted: nothing but gas, tip and nonce remain.
    pub(crate) fn refused(&mut self, sender: &SecretKey, message: Message) -> Refusal {
        let before = self.state.clone();
        let outcome = self.run(sender, message);
        assert!(outcome.gas_used.0 > 0, "admitted, so charged");
        assert!(outcome.burned.0 > 0);
        assert!(outcome.effects.is_empty());
        let changed: Vec<_> = self
            .state
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(*value))
            .map(|(key, _)| key.clone())
            .collect();
        for key in changed {
            let allowed = key == state::key::CLOCK
                || key == state::key::DUE_QUEUE
                || key == state::key::supply(OPG)
                || key == state::key::balance(sender.address(), OPG)
                || key.starts_with(state::key::NONCE)
                || key.starts_with(state::key::SPENT);
            assert!(
                allowed,
                "a refused message changed {}",
                String::from_utf8_lossy(&key)
            );
        }
        outcome.refusal.unwrap()
    }
}

/// The happy path up to an open channel, and the papers that honest parties sign on it.
impl World {
    pub(crate) fn register_model(&mut self, model: &Key) {
        self.ok(
            &bob(),
            Message::RegisterModel {
                verifying_key: model.encode(),
                proof: model.registration_proof(),
            },
        );
    }

    pub(crate) fn terms(&self) -> Message {
        Message::RegisterNode {
            endpoint: "http://127.0.0.1:8080".to_owned(),
            payout: payout(),
            signer: signer().address(),
            offers: Vec::new(),
        }
    }

    /// A registered model, and a node with a bond of 1,000 USD.
    pub(crate) fn with_node() -> Self {
        Self::new().furnished()
    }

    pub(crate) fn furnished(self) -> Self {
        let mut world = self;
        world.register_model(&Key::new(1));
        let terms = world.terms();
        world.ok(&node(), terms);
        world.ok(
            &node(),
            Message::Bond {
                asset: USD,
                amount: Amount(1_000),
            },
        );
        world
    }

    pub(crate) fn quote(&mut self, payer: &SecretKey) -> Quote {
        self.nonces += 1;
        let mut nonce = [1; 32];
        nonce[..8].copy_from_slice(&self.nonces.to_le_bytes());
        Quote {
            node: node().address(),
            payer: payer.address(),
            asset: USD,
            deposit: Amount(500),
            warranty: Amount(300),
            offer_version: self.node().offer_version,
            expires: Height(self.height().0 + 10),
            nonce: Nonce(nonce),
        }
    }

    pub(crate) fn sign_quote(&self, quote: Quote) -> Signed<Quote> {
        Signed::new(quote, &self.domain, &node()).unwrap()
    }

    pub(crate) fn open(&mut self, payer: &SecretKey) -> ChannelId {
        let quote = self.quote(payer);
        let quote = self.sign_quote(quote);
        let channel = quote.value.channel(&self.domain);
        self.ok(payer, Message::OpenChannel { quote });
        channel
    }

    /// A node and alice's channel with it: 500 USD deposit, 300 USD reserve.
    pub(crate) fn with_channel() -> (Self, ChannelId) {
        let mut world = Self::with_node();
        let channel = world.open(&alice());
        (world, channel)
    }

    pub(crate) fn order(&self, channel: ChannelId, sequence: u64, evidence: EvidenceKind) -> Order {
        Order {
            channel,
            sequence: Sequence(sequence),
            request: RequestHash([7; 32]),
            input_root: tensor_root(&self.inference(sequence).inputs),
            model: Key::new(1).model,
            evidence,
            offer_version: 1,
            max_fee: Amount(10),
            warranty: Amount(50),
            settle_by: Tick(self.tick().0 + 15),
        }
    }

    pub(crate) fn inference(&self, sequence: u64) -> Inference {
        let tensor =
            |value: i64| Tensor::new(DType::I8, Shape::new(vec![1]).unwrap(), vec![value % 100]).unwrap();
        Inference {
            inputs: vec![tensor(sequence as i64)],
            outputs: vec![tensor(sequence as i64 + 1)],
        }
    }

    /// What the node answers to an order.
    pub(crate) fn receipt(&self, order: &Order) -> Receipt {
        let inference = self.inference(order.sequence.0);
        Receipt {
            channel: order.channel,
            sequence: order.sequence,
            order: order.hash(&self.domain),
            input_root: tensor_root(&inference.inputs),
            output_root: tensor_root(&inference.outputs),
            response: render::response_hash(&render::response(order.model, &outputs(), &inference.outputs)),
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: Key::new(1).units,
            fee: Amount(10),
            block_height: self.height(),
            block_hash: BlockHash([3; 32]),
            signer: signer().address(),
        }
    }

    pub(crate) fn sign_item(&self, order: Order, receipt: Receipt) -> Item {
        Item {
            order: Signed::new(order, &self.domain, &alice()).unwrap(),
            receipt: Signed::new(receipt, &self.domain, &signer()).unwrap(),
        }
    }

    pub(crate) fn item(&self, channel: ChannelId, sequence: u64, evidence: EvidenceKind) -> Item {
        let order = self.order(channel, sequence, evidence);
        let receipt = self.receipt(&order);
        self.sign_item(order, receipt)
    }

    /// A group of `Signed` evidence over the items.
    pub(crate) fn signed_group(&self, items: Vec<Item>) -> Group {
        Group {
            items,
            evidence: Evidence::Signed,
        }
    }

    /// A group with an honest proof over the items.
    pub(crate) fn zk_group(&self, items: Vec<Item>) -> Group {
        let inferences: Vec<_> = items
            .iter()
            .map(|item| self.inference(item.order.value.sequence.0))
            .collect();
        let receipts: Vec<_> = items
            .iter()
            .map(|item| item.receipt.value.hash(&self.domain))
            .collect();
        let context = proof_context(&self.domain, &receipts);
        let proof = Key::new(1).settlement_proof(&context, &inferences);
        Group {
            items,
            evidence: Evidence::Zk { inferences, proof },
        }
    }

    pub(crate) fn settle(&self, groups: Vec<Group>) -> Message {
        Message::SettleBatch { groups }
    }

    /// A batch of one signed receipt.
    pub(crate) fn settle_one(&self, item: Item) -> Message {
        self.settle(vec![self.signed_group(vec![item])])
    }
}
