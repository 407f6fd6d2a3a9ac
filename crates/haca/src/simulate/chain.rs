//! The ledger itself, in memory: real parameters, real signed transactions, blocks put together and executed as a
//! validator does. Only proofs are replaced: a byte says whether the scenario made them honestly.

use std::collections::BTreeMap;

use haca_ledger::{
    BlockContext, BlockOutcome, CheckProof, CommitVote, ModelFacts, audit, execute_block, init_genesis,
    query, select_proposal, standard_params,
};
use haca_wire::state::{Params, Supply};
use haca_wire::{
    Amount, AssetId, ChannelId, ConsensusKey, DType, Domain, Encode as _, Gas, GenesisHash, Height,
    Inference, Message, ModelId, Name, Nonce, Scale, SecretKey, Shape, SignedTransaction, TensorSpec, Tick,
    Transaction, TxMeta,
};
use serde_json::json;

use crate::failure::{Exit, Failure};

/// Simulated blocks of a day.
pub(super) const BLOCKS_PER_DAY: u32 = 4;
/// One-second blocks that a simulated block stands for.
const REAL_BLOCKS: u64 = 86_400 / BLOCKS_PER_DAY as u64;
/// The simulated ledger is a sample: one in this many inferences, transactions, accounts, and units of each asset.
pub(super) const SAMPLE: u64 = 650_000;
/// Nodes of the network that a simulated node stands for.
const REAL_NODES: u128 = 250;

/// Fee asset of most users, worth a dollar.
pub(super) const USD: AssetId = AssetId(1);
/// The second fee asset, worth a dollar until it fails.
pub(super) const ALT: AssetId = AssetId(2);
/// Smallest units of a dollar in either.
pub(super) const USD_UNITS: f64 = 1e6;
/// Smallest units of one OPG.
pub(super) const OPG_UNITS: f64 = 1e9;
/// OPG of the sample: a thousand million in the network.
pub(super) const OPG_ISSUED: u128 = 1_000_000_000 * 1_000_000_000 / SAMPLE as u128;

/// The most inferences of one proof.
pub(super) const BATCH: usize = 8;
/// Gas of verifying a proof of at most 1, 2, 4, 8 inferences: milliseconds of one core.
const PROOF_GAS: [u64; 4] = [2_000_000, 2_300_000, 2_600_000, 2_900_000];
/// Multiply-accumulates of the model.
pub(super) const UNITS: u64 = 1_000_000;
/// Validators; they propose in turn.
const VALIDATORS: u8 = 4;
/// What each of them stakes of OPG's smallest unit.
const STAKE: u128 = 100_000_000_000_000;
/// The model that all nodes serve.
pub(super) const MODEL: ModelId = ModelId([7; 32]);

/// Parameters of a sample: the standard ones, with the budget of all the blocks that a simulated one stands for, and
/// windows of days instead of hours, since no deadline can be shorter than a block. A transaction may take a fifth of a
/// block, as by the standard ones, which holds the largest answer to a demand: the model is provable.
pub(super) fn params() -> Params {
    let standard = standard_params();
    let day = u64::from(BLOCKS_PER_DAY);
    let block_gas = standard.block_gas.0 * REAL_BLOCKS / SAMPLE;
    Params {
        block_gas: Gas(block_gas),
        tx_gas: Gas(block_gas / 5),
        gas_registration: Gas(PROOF_GAS[0]),
        node_stake: Amount(standard.node_stake.0 * REAL_NODES / u128::from(SAMPLE)),
        quote_lifetime: day,
        tx_lifetime: day,
        settle_horizon: 7 * day,
        grace: day / 2,
        claim_window: 7 * day,
        demand_window: 7 * day,
        respond_window: 7 * day / 2,
        respond_step: 1,
        unbonding: 30 * day,
        signer_grace: 7 * day,
        reward_divisor: standard.reward_divisor / REAL_BLOCKS,
        ..standard
    }
}

/// Gas of settling `count` inferences in one transaction: spec/ledger.md, L6.
pub(super) fn settlement_gas(params: &Params, count: usize, sponsored: bool) -> u64 {
    let class = count.next_power_of_two().trailing_zeros() as usize;
    let proof = PROOF_GAS.get(class).copied().unwrap_or(PROOF_GAS[3]);
    let signatures = 1 + u64::from(sponsored) + 2 * count as u64;
    let bytes = 250 + 720 * count as u64;
    params.gas_flat.0 + params.gas_byte.0 * bytes + params.gas_signature.0 * signatures + proof
}

/// Gas of settling ranges under `count` vouchers in one transaction, or as many single receipts as `Optimistic`.
pub(super) fn cover_gas(params: &Params, count: usize, sponsored: bool) -> u64 {
    let signatures = 1 + u64::from(sponsored) + 3 * count as u64;
    let bytes = 250 + 720 * count as u64;
    params.gas_flat.0 + params.gas_byte.0 * bytes + params.gas_signature.0 * signatures
}

/// Gas of proving `count` demanded receipts in one transaction.
pub(super) fn answer_gas(params: &Params, count: usize, sponsored: bool) -> u64 {
    let settlement = settlement_gas(params, count, sponsored);
    settlement - params.gas_signature.0 * 2 * count as u64
}

/// Gas of a claim.
pub(super) fn claim_gas(params: &Params) -> u64 {
    params.gas_flat.0 + params.gas_byte.0 * 1_000 + params.gas_signature.0 * 3
}

/// The key of a role's n-th account.
pub(super) fn key(role: &str, index: usize) -> SecretKey {
    let bytes = blake3::derive_key("haca simulate account", format!("{role} {index}").as_bytes());
    SecretKey::from_bytes(&bytes).unwrap_or_else(|| key(role, index + 1_000_000))
}

/// Answers from the scenario's truth: the first byte of an honest proof is 1.
struct Truth;

impl Truth {
    fn check(proof: &[u8]) -> Result<(), &'static str> {
        if proof.first() == Some(&1) {
            Ok(())
        } else {
            Err("simulate.proof")
        }
    }
}

impl CheckProof for Truth {
    fn facts(&self, _: &[u8]) -> Result<ModelFacts, &'static str> {
        Ok(ModelFacts {
            model: MODEL,
            units: UNITS,
            max_batch: BATCH,
            batch_gas: PROOF_GAS.map(Gas).to_vec(),
            answer_bytes: 1_000,
            outputs: outputs(),
        })
    }

    fn registration_gas(&self, _: &[u8]) -> Result<Gas, &'static str> {
        Ok(Gas(PROOF_GAS[0]))
    }

    fn registration(&self, _: &[u8], proof: &[u8]) -> Result<(), &'static str> {
        Self::check(proof)
    }

    fn settlement(&self, _: &[u8], _: &[u8; 32], _: &[Inference], proof: &[u8]) -> Result<(), &'static str> {
        Self::check(proof)
    }
}

/// The outputs of the model.
pub(super) fn outputs() -> Vec<TensorSpec> {
    let (Some(name), Some(shape)) = (Name::new("y"), Shape::new(vec![1])) else {
        return Vec::new();
    };
    vec![TensorSpec {
        name,
        dtype: DType::I8,
        shape,
        scale: Scale::ONE,
    }]
}

/// Who sends a transaction, and on which terms.
pub(super) struct Terms<'a> {
    pub(super) sender: &'a SecretKey,
    pub(super) sponsor: Option<&'a SecretKey>,
    /// Tip, in OPG units.
    pub(super) tip: u128,
}

/// A block and the candidates that stand in it, in its order.
pub(super) struct Block {
    pub(super) outcome: BlockOutcome,
    /// Positions among the candidates, one per transaction of the block.
    pub(super) chosen: Vec<usize>,
}

/// The committed state with what is needed to go on.
pub(super) struct Chain {
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) domain: Domain,
    pub(super) params: Params,
    nonces: u64,
    /// Blocks after which the supply identity was checked.
    pub(super) blocks: u64,
    /// Whole recounts of the state.
    pub(super) recounts: u64,
    /// Transactions in blocks.
    pub(super) transactions: u64,
}

/// What an account holds at genesis.
pub(super) struct Holding {
    pub(super) key: SecretKey,
    pub(super) asset: AssetId,
    pub(super) amount: u128,
}

impl Chain {
    /// A network whose accounts hold this.
    pub(super) fn start(holdings: &[Holding], pool: u128) -> Result<Self, Failure> {
        let params = params();
        let document = genesis(&params, holdings, pool);
        let genesis = init_genesis(document.to_string().as_bytes(), GenesisHash([5; 32])).map_err(broken)?;
        let state = genesis.writes.into_iter();
        let mut chain = Self {
            state: state.filter_map(|(key, value)| Some((key, value?))).collect(),
            domain: genesis.chain.domain(),
            params,
            nonces: 0,
            blocks: 0,
            recounts: 0,
            transactions: 0,
        };
        chain.recount()?;
        Ok(chain)
    }

    pub(super) fn height(&self) -> Result<Height, Failure> {
        Ok(query::clock(&self.state).map_err(broken)?.height)
    }

    /// The tick that the next block runs at.
    pub(super) fn tick(&self) -> Result<Tick, Failure> {
        Ok(query::clock(&self.state).map_err(broken)?.tick)
    }

    /// The base fee of the next block.
    pub(super) fn base_fee(&self) -> Result<u128, Failure> {
        Ok(query::clock(&self.state).map_err(broken)?.base_fee.0)
    }

    pub(super) fn balance(&self, key: &SecretKey, asset: AssetId) -> Result<u128, Failure> {
        Ok(query::balance(&self.state, key.address(), asset)
            .map_err(broken)?
            .0)
    }

    /// What a node may still set aside for channels, in an asset.
    pub(super) fn free_bond(&self, node: &SecretKey, asset: AssetId) -> Result<u128, Failure> {
        let bond = query::bond(&self.state, node.address(), asset).map_err(broken)?;
        Ok(bond.total.0.saturating_sub(bond.reserved.0))
    }

    /// What a channel holds of fees and warranties.
    pub(super) fn deposit_and_reserve(&self, channel: ChannelId) -> Result<(u128, u128), Failure> {
        let record = query::channel(&self.state, channel).map_err(broken)?;
        let record = record.ok_or_else(|| broken("a channel is unknown"))?;
        Ok((record.deposit.0, record.reserve.0))
    }

    /// What a payer deposits with a demand in the next block, in OPG units.
    pub(super) fn demand_deposit(&self) -> Result<u128, Failure> {
        let deposit = query::deposit_of_demand(&self.state, MODEL).map_err(broken)?;
        Ok(deposit.ok_or_else(|| broken("the model is not provable"))?.0)
    }

    /// The version of a registered node's offers.
    pub(super) fn offer_version(&self, node: &SecretKey) -> Result<Option<u32>, Failure> {
        let record = query::node(&self.state, node.address()).map_err(broken)?;
        Ok(record.map(|record| record.offer_version))
    }

    pub(super) fn supply(&self, asset: AssetId) -> Result<Supply, Failure> {
        let supply = query::supply(&self.state, asset).map_err(broken)?;
        supply.ok_or_else(|| broken("an asset has no supply"))
    }

    /// 32 bytes that were not returned before.
    pub(super) fn nonce(&mut self) -> Nonce {
        self.nonces += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.nonces.to_le_bytes());
        Nonce(nonce)
    }

    /// A transaction for the next block.
    pub(super) fn tx(&mut self, terms: &Terms<'_>, message: Message) -> Result<Vec<u8>, Failure> {
        let meta = TxMeta {
            sender: terms.sender.address(),
            expiry: Height(self.height()?.0 + 1),
            nonce: self.nonce(),
            max_base_fee: Amount(self.base_fee()?),
            tip: Amount(terms.tip),
            sponsor: terms.sponsor.map(SecretKey::address).unwrap_or_default(),
        };
        let transaction = Transaction { meta, message };
        let signed = SignedTransaction::sign(transaction, &self.domain, terms.sender);
        let signed = match terms.sponsor {
            None => signed,
            Some(sponsor) => signed.and_then(|tx| tx.cosign(&self.domain, sponsor)),
        };
        Ok(signed
            .ok_or_else(|| broken("a transaction was not signed"))?
            .encode())
    }

    /// Puts the next block together from the candidates, best tips first, executes and commits it, and checks the
    /// supply of every asset.
    pub(super) fn block(&mut self, candidates: &[Vec<u8>]) -> Result<Block, Failure> {
        let chosen =
            select_proposal(&self.state, candidates, self.params.block_bytes, &Truth).map_err(broken)?;
        let txs: Vec<Vec<u8>> = chosen
            .iter()
            .filter_map(|index| candidates.get(*index).cloned())
            .collect();
        let height = Height(self.height()?.0 + 1);
        let context = BlockContext {
            height,
            proposer: validator((height.0 % u64::from(VALIDATORS)) as u8),
            time_unix_s: height.0 * REAL_BLOCKS,
            votes: (0..VALIDATORS).map(vote).collect(),
            misbehaviour: Vec::new(),
            ..BlockContext::default()
        };
        let before = self.supply(AssetId::OPG)?;
        let outcome = execute_block(&self.state, &context, &txs, &Truth).map_err(broken)?;
        for (key, value) in &outcome.writes {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
        self.check_supply(&before, outcome.burned)?;
        self.blocks += 1;
        self.transactions += txs.len() as u64;
        Ok(Block { outcome, chosen })
    }

    /// Balances + escrow + bonds + stakes + unbonding + pool + burned = issued, and only OPG burns, by what the block
    /// says it burned.
    fn check_supply(&self, before: &Supply, burned: Amount) -> Result<(), Failure> {
        for (asset, _, supply) in query::assets(&self.state).map_err(broken)? {
            let expected = if asset == AssetId::OPG {
                before.burned.checked_add(burned)
            } else {
                Some(Amount(0))
            };
            if supply.total() != Some(supply.issued) || Some(supply.burned) != expected {
                return Err(broken(format!("asset {asset} is out of balance: {supply:?}")));
            }
        }
        Ok(())
    }

    /// Counts every unit of every asset anew, from the records that hold them.
    pub(super) fn recount(&mut self) -> Result<(), Failure> {
        audit(self.state.iter().map(|(key, value)| (&key[..], &value[..]))).map_err(broken)?;
        self.recounts += 1;
        Ok(())
    }

    /// OPG of the validators' accounts.
    pub(super) fn validators_opg(&self) -> Result<u128, Failure> {
        (0..VALIDATORS).try_fold(0, |sum, index| {
            Ok(sum + self.balance(&validator_key(index), AssetId::OPG)?)
        })
    }
}

fn genesis(params: &Params, holdings: &[Holding], pool: u128) -> serde_json::Value {
    let issued = |asset: AssetId| {
        let held = holdings.iter().filter(|holding| holding.asset == asset);
        let sum: u128 = held.map(|holding| holding.amount).sum();
        let beside = pool + STAKE * u128::from(VALIDATORS);
        (sum + if asset == AssetId::OPG { beside } else { 0 }).to_string()
    };
    let balances: Vec<_> = holdings
        .iter()
        .map(|holding| {
            json!({
                "account": holding.key.address().to_string(),
                "asset": holding.asset.0,
                "amount": holding.amount.to_string(),
            })
        })
        .collect();
    let validators: Vec<_> = (0..VALIDATORS)
        .map(|index| {
            let account = validator_key(index).address().to_string();
            json!({
                "key": consensus_key(index).to_string(),
                "account": account,
                "stake": STAKE.to_string(),
            })
        })
        .collect();
    json!({
        "chain_id": 1,
        "assets": [
            { "id": 0, "symbol": "OPG", "decimals": 9, "issued": issued(AssetId::OPG) },
            { "id": 1, "symbol": "USD", "decimals": 6, "issued": issued(USD) },
            { "id": 2, "symbol": "ALT", "decimals": 6, "issued": issued(ALT) },
        ],
        "balances": balances,
        "pool": pool.to_string(),
        "validators": validators,
        "params": haca_ledger::genesis::GenesisParams::from(*params),
    })
}

/// A validator's key for consensus.
fn consensus_key(index: u8) -> ConsensusKey {
    ConsensusKey(haca_node::engine::ValidatorKey::from_secret([index + 1; 32]).public())
}

/// A validator's consensus address.
fn validator(index: u8) -> [u8; 20] {
    consensus_key(index).address().0
}

/// Every validator signs every block.
fn vote(index: u8) -> CommitVote {
    CommitVote {
        validator: validator(index),
        signed: true,
    }
}

fn validator_key(index: u8) -> SecretKey {
    key("validator", index.into())
}

/// The ledger or the simulation does something it must not.
pub(super) fn broken(what: impl core::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failure,
        "cli.simulate",
        what,
        "this is a defect: report it with the scenario and the seed",
    )
}
