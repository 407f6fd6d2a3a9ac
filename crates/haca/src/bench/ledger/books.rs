//! A ledger in memory with one payer, one inference node and one model: blocks are timed, and forgotten where they are to
//! be executed again.

use std::collections::BTreeMap;
use std::time::Instant;

use haca_ledger::{BlockContext, BlockOutcome, CheckProof, execute_block, init_genesis, standard_params};
use haca_wire::order::Signed;
use haca_wire::state::{Clock, Params, key};
use haca_wire::{
    Address, Amount, AssetId, BlockHash, ChannelId, Decode, Domain, Encode, Evidence, EvidenceKind,
    GenesisHash, Group, Height, Inference, Item, Message, ModelId, Nonce, Order, Quote, Receipt, RenderId,
    RequestHash, SecretKey, Sequence, SignedTransaction, TensorSpec, Tick, Transaction, TxMeta, render,
    tensor_root,
};
use serde_json::json;

use crate::failure::{Exit, Failure};

/// What everybody here has of OPG.
const RICH: u128 = 1 << 80;

/// The model that receipts are of.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) id: ModelId,
    pub(super) units: u64,
    pub(super) outputs: Vec<TensorSpec>,
}

/// State and keys.
pub(super) struct Books {
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) domain: Domain,
    height: u64,
    sent: u64,
    payer: SecretKey,
    node: SecretKey,
    pub(super) channel: ChannelId,
}

fn secret(tag: u8) -> Result<SecretKey, Failure> {
    SecretKey::from_bytes(&[tag; 32]).ok_or_else(|| broken("key"))
}

/// What can't happen unless the ledger is broken.
pub(super) fn broken(what: impl std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failure,
        "cli.bench_broken",
        what,
        "this is a defect: report it",
    )
}

/// The parameters that are measured: the standard ones, with room for more than they allow.
pub(super) fn params() -> Params {
    Params {
        block_gas: haca_wire::Gas(u64::MAX / 4),
        tx_gas: haca_wire::Gas(1 << 32),
        block_bytes: 1 << 40,
        ..standard_params()
    }
}

/// Bytes of the entries that a block writes, without what is written anew in every block and what is forgotten.
pub(super) fn lasting(outcome: &BlockOutcome) -> usize {
    let passing: [&[u8]; 6] = [b"nonce/", b"spent/", b"receipts/", b"clock", b"supply/", b"pool"];
    let entries = outcome.writes.iter();
    let lasting = entries.filter(|(key, _)| !passing.iter().any(|prefix| key.starts_with(prefix)));
    lasting
        .filter_map(|(key, value)| Some(key.len() + value.as_ref()?.len()))
        .sum()
}

/// An ed25519 key; nobody signs with it here.
const VALIDATOR: &str = "1398f62c6d1a457c51ba6a4b5f3dbd2f69fca93216218dc8997e416bd17d93ca";

impl Books {
    /// A ledger after its genesis.
    pub(super) fn new() -> Result<Self, Failure> {
        let (payer, node) = (secret(1)?, secret(2)?);
        let balance = |account: Address| json!({ "account": account.to_string(), "asset": 0, "amount": RICH.to_string() });
        let stake = params().validators.min_stake.0;
        let genesis = json!({
            "chain_id": 77,
            "assets": [{ "id": 0, "symbol": "OPG", "decimals": 9, "issued": (2 * RICH + stake).to_string() }],
            "balances": [balance(payer.address()), balance(node.address())],
            "pool": "0",
            "validators": [{
                "key": VALIDATOR,
                "account": node.address().to_string(),
                "stake": stake.to_string(),
            }],
            "params": haca_ledger::genesis::GenesisParams::from(standard_params()),
        });
        let outcome = init_genesis(genesis.to_string().as_bytes(), GenesisHash([7; 32])).map_err(broken)?;
        let domain = outcome.chain.domain();
        let entries = outcome.writes.into_iter();
        let mut books = Self {
            state: entries
                .filter_map(|(key, value)| value.map(|value| (key, value)))
                .collect(),
            domain,
            height: 0,
            sent: 0,
            payer,
            node,
            channel: ChannelId::default(),
        };
        // No network has these.
        books.put(key::PARAMS.to_vec(), &params());
        Ok(books)
    }

    /// The payer's account.
    pub(super) fn payer(&self) -> Address {
        self.payer.address()
    }

    /// Writes an entry past all rules.
    pub(super) fn put(&mut self, key: Vec<u8>, value: &impl Encode) {
        self.state.insert(key, value.encode());
    }

    /// Lets blocks pass, each of a second and a tick, in which nothing happens.
    pub(super) fn pass(&mut self, blocks: u64) -> Result<(), Failure> {
        let mut clock: Clock = self.get(key::CLOCK)?;
        self.height += blocks;
        (clock.height, clock.tick) = (Height(self.height), Tick(clock.tick.0 + blocks));
        self.put(key::CLOCK.to_vec(), &clock);
        Ok(())
    }

    /// What stands under a key.
    pub(super) fn get<T: Decode>(&self, key: &[u8]) -> Result<T, Failure> {
        let value = self.state.get(key).ok_or_else(|| broken("missing entry"))?;
        T::decode_all(value).map_err(broken)
    }

    fn sign(&mut self, sender: &SecretKey, message: Message) -> Result<Vec<u8>, Failure> {
        self.sent += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.sent.to_le_bytes());
        let meta = TxMeta {
            sender: sender.address(),
            expiry: Height(self.height + 300),
            nonce: Nonce(nonce),
            max_base_fee: Amount(1 << 40),
            tip: Amount(0),
            sponsor: Address::default(),
        };
        let signed = SignedTransaction::sign(Transaction { meta, message }, &self.domain, sender);
        Ok(signed.ok_or_else(|| broken("signature"))?.encode())
    }

    /// A message of the payer.
    pub(super) fn sent_by_payer(&mut self, message: Message) -> Result<Vec<u8>, Failure> {
        let payer = self.payer.clone();
        self.sign(&payer, message)
    }

    /// A message of the inference node.
    pub(super) fn sent_by_node(&mut self, message: Message) -> Result<Vec<u8>, Failure> {
        let node = self.node.clone();
        self.sign(&node, message)
    }

    /// Executes a block without committing it: its outcome, and seconds.
    pub(super) fn execute(
        &self,
        txs: &[Vec<u8>],
        checker: &dyn CheckProof,
    ) -> Result<(BlockOutcome, f64), Failure> {
        let context = BlockContext {
            height: Height(self.height + 1),
            proposer: [0; 20],
            time_unix_s: self.height,
            votes: Vec::new(),
            misbehaviour: Vec::new(),
            ..BlockContext::default()
        };
        let start = Instant::now();
        let outcome = execute_block(&self.state, &context, txs, checker).map_err(broken)?;
        Ok((outcome, start.elapsed().as_secs_f64()))
    }

    /// Executes and commits a block of which every transaction must take effect.
    pub(super) fn commit(&mut self, txs: &[Vec<u8>], checker: &dyn CheckProof) -> Result<(), Failure> {
        let (outcome, _) = self.execute(txs, checker)?;
        if let Some(refusal) = outcome.txs.iter().find_map(|tx| tx.refusal.as_ref()) {
            return Err(broken(refusal));
        }
        for (key, value) in outcome.writes {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
        self.height += 1;
        Ok(())
    }

    /// Registers the model and the node, bonds, and opens a channel.
    pub(super) fn open(
        &mut self,
        verifying_key: Vec<u8>,
        proof: Vec<u8>,
        checker: &dyn CheckProof,
    ) -> Result<(), Failure> {
        let register = Message::RegisterModel { verifying_key, proof };
        let terms = Message::RegisterNode {
            endpoint: "http://127.0.0.1:1".to_owned(),
            payout: Address([6; 20]),
            signer: self.node.address(),
            offers: Vec::new(),
        };
        let (asset, amount) = (AssetId::OPG, Amount(1_000));
        let first = [self.sent_by_payer(register)?, self.sent_by_node(terms)?];
        self.commit(&first, checker)?;
        let bond = self.sent_by_node(Message::Bond { asset, amount })?;
        self.commit(&[bond], checker)?;
        let quote = Quote {
            node: self.node.address(),
            payer: self.payer.address(),
            asset,
            deposit: Amount(1 << 40),
            warranty: Amount(300),
            offer_version: 1,
            expires: Height(self.height + 100),
            nonce: Nonce([4; 32]),
        };
        self.channel = quote.channel(&self.domain);
        let quote = Signed::new(quote, &self.domain, &self.node).ok_or_else(|| broken("signature"))?;
        let open = self.sent_by_payer(Message::OpenChannel { quote })?;
        self.commit(&[open], checker)
    }

    /// An order and the receipt that answers it.
    pub(super) fn item(
        &self,
        model: &Served,
        sequence: u64,
        evidence: EvidenceKind,
        inference: &Inference,
    ) -> Result<Item, Failure> {
        let order = Order {
            channel: self.channel,
            sequence: Sequence(sequence),
            request: RequestHash([7; 32]),
            input_root: tensor_root(&inference.inputs),
            model: model.id,
            evidence,
            offer_version: 1,
            max_fee: Amount(10),
            warranty: Amount(50),
            settle_by: Tick(self.height + 100),
        };
        let response = render::response(model.id, &model.outputs, &inference.outputs);
        let receipt = Receipt {
            channel: self.channel,
            sequence: order.sequence,
            order: order.hash(&self.domain),
            input_root: order.input_root,
            output_root: tensor_root(&inference.outputs),
            response: render::response_hash(&response),
            render: RenderId::INFER_V1,
            parameters: [0; 32],
            seed: 0,
            units: model.units,
            fee: Amount(10),
            block_height: Height(self.height),
            block_hash: BlockHash([3; 32]),
            signer: self.node.address(),
        };
        let signed = (
            Signed::new(order, &self.domain, &self.payer),
            Signed::new(receipt, &self.domain, &self.node),
        );
        match signed {
            (Some(order), Some(receipt)) => Ok(Item { order, receipt }),
            _ => Err(broken("signature")),
        }
    }

    /// A batch of receipts without a proof.
    pub(super) fn signed_batch(&mut self, items: Vec<Item>) -> Result<Vec<u8>, Failure> {
        let group = Group {
            items,
            evidence: Evidence::Signed,
        };
        self.sent_by_node(Message::SettleBatch { groups: vec![group] })
    }
}
