//! The ledger behind consensus: executes blocks over the store and keeps what has been verified.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use haca_ledger::{
    Admission, BlockContext, BlockOutcome, CheckMode, CheckProof, GenesisOutcome, LATEST_VERSION,
    LedgerError, ReadError, Refusal, StateReader, TxOutcome, check_proposal, check_tx, execute_block,
    init_genesis, query, select_proposal, usable_gas,
};
use haca_wire::{
    Address, Amount, Decode as _, Encode as _, GenesisHash, Height, Message, Nonce, Settlement,
    SignedTransaction, TxHash,
    state::{Params, key},
};

use crate::{
    application::{
        AppHash, Application, BlockPosition, Decision, FinalizedBlock, Info, InitChain, ProvenValue, Query,
        TxResult,
    },
    consensus::{ValidatorUpdate, hash::tx_hash},
    engine::MempoolLimits,
    error::NodeError,
    evidence_ahead::EvidenceAhead,
    evidence_memory::{EvidenceLimits, EvidenceMemory},
    genesis::{BLOCK_OVERHEAD_BYTES, Genesis},
    history::History,
    metrics::Metrics,
    price_floor::PriceFloor,
    snapshot::{Applied, Offered, Snapshot},
    store::{BlockIndex, StagedBlock, StateView, Store},
};

/// Version of the state machine, as block headers carry it.
pub const APP_VERSION: u64 = 1;

/// Bytes around a transaction in an encoded block: a tag and a length below 2^28.
const TX_FRAME_BYTES: usize = 5;

/// The state as the ledger reads it.
#[derive(Debug)]
pub struct Committed<'a>(pub &'a StateView);

impl StateReader for Committed<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.0.get(key).map_err(|error| Box::new(error) as ReadError)
    }
}

/// The ledger's first state. The ledger's blocks must fit into those of consensus: a block that consensus closes while
/// the ledger sees room left would let somebody keep settlements out while the clock runs.
pub fn genesis_state(genesis: &Genesis) -> Result<GenesisOutcome, NodeError> {
    let outcome = init_genesis(&genesis.app_state, genesis.hash())?;
    let params = outcome
        .writes
        .get(key::PARAMS)
        .and_then(Option::as_deref)
        .unwrap_or_default();
    let params = Params::decode_all(params).map_err(|error| NodeError::Genesis {
        what: "app_state.params",
        reason: error.to_string(),
    })?;
    let consensus = u64::try_from(genesis.max_block_bytes).unwrap_or(0);
    let needed = params.block_bytes.saturating_add(BLOCK_OVERHEAD_BYTES as u64);
    if consensus < needed {
        return Err(NodeError::Genesis {
            what: "consensus_params.block.max_bytes",
            reason: format!("found {consensus}, expected at least {needed} for the ledger's blocks"),
        });
    }
    let given = genesis.validators.members();
    let staked: Vec<ValidatorUpdate> = outcome.validators.iter().map(|update| power(*update)).collect();
    check_validators(&given, &staked)?;
    let params = params.validators;
    let evidence = [
        (
            genesis.evidence_blocks,
            params.evidence_blocks,
            "consensus_params.evidence.max_age_num_blocks",
        ),
        (
            genesis.evidence_s,
            params.evidence_s,
            "consensus_params.evidence.max_age_duration",
        ),
    ];
    for (found, expected, what) in evidence {
        if found > expected {
            return Err(NodeError::Genesis {
                what,
                reason: format!(
                    "found {found}, expected at most the {expected} for which withdrawn stake is held"
                ),
            });
        }
    }
    Ok(outcome)
}

/// The validators that the stakes of a ledger's first state give.
pub fn genesis_validators(app_state: &serde_json::Value) -> Result<Vec<ValidatorUpdate>, NodeError> {
    let outcome = init_genesis(app_state.to_string().as_bytes(), GenesisHash::default())?;
    Ok(outcome.validators.into_iter().map(power).collect())
}

/// A change of validators as consensus takes it. Powers are at most 2^50.
fn power(update: haca_ledger::ValidatorUpdate) -> ValidatorUpdate {
    ValidatorUpdate {
        key: update.key.0,
        power: i64::try_from(update.power).unwrap_or(i64::MAX),
    }
}

/// Whether two lists hold the same keys and powers.
fn check_validators(found: &[ValidatorUpdate], expected: &[ValidatorUpdate]) -> Result<(), NodeError> {
    let sorted = |list: &[ValidatorUpdate]| {
        let mut list: Vec<_> = list.iter().map(|update| (update.key, update.power)).collect();
        list.sort_unstable();
        list
    };
    let (found, expected) = (sorted(found), sorted(expected));
    if found == expected {
        return Ok(());
    }
    let text = |list: &[([u8; 32], i64)]| {
        let entries = list
            .iter()
            .map(|(key, power)| format!("{}: {power}", hex::encode(key)));
        entries.collect::<Vec<_>>().join(", ")
    };
    Err(NodeError::Genesis {
        what: "validators",
        reason: format!(
            "found {}; expected what the stakes give, {}",
            text(&found),
            text(&expected)
        ),
    })
}

/// A block that is executed and not committed.
struct Staged {
    block: StagedBlock,
    index: BlockIndex,
    outcome: BlockOutcome,
    started: Instant,
}

/// The ledger as an [`Application`].
pub struct LedgerApp {
    genesis: Genesis,
    /// Before the store: its threads hold views of it.
    ahead: EvidenceAhead,
    evidence: Arc<EvidenceMemory>,
    /// What a transaction must pay where the mempool is not ours.
    floor: Option<Mutex<PriceFloor>>,
    store: Store,
    metrics: Arc<Metrics>,
    staged: Mutex<Option<Staged>>,
    /// What the transactions admitted since the last commit have claimed.
    reserved: Mutex<Reserved>,
    history: Option<History>,
    known_version: u64,
}

/// What waiting transactions have claimed: money, and nonces, of each of which one transaction at most can be charged.
#[derive(Default)]
struct Reserved {
    /// OPG set aside per payer of gas.
    amounts: BTreeMap<Address, Amount>,
    nonces: BTreeMap<(Address, Nonce), TxHash>,
    /// Gas of the transactions whose evidence is verified ahead: at most a block's, since nobody has paid for it yet.
    ahead: u64,
}

impl Reserved {
    /// Counts a transaction, once. Refused when another one waits with its nonce, or when what waits has claimed the
    /// money meanwhile: several are checked at once.
    fn add(&mut self, admission: &Admission) -> Result<(), Refusal> {
        let place = (admission.sender, admission.nonce);
        if let Some(waiting) = self.nonces.get(&place) {
            return match *waiting == admission.hash {
                true => Ok(()),
                false => Err(Refusal::NonceWaiting),
            };
        }
        let sum = self.amounts.entry(admission.gas_payer).or_default();
        let free = Amount(admission.funds.0.saturating_sub(sum.0));
        if free < admission.reserve {
            return Err(Refusal::CannotPayGas {
                found: free,
                expected: admission.reserve,
            });
        }
        sum.0 = sum.0.saturating_add(admission.reserve.0);
        self.nonces.insert(place, admission.hash);
        Ok(())
    }

    /// Gives back what [`Self::add`] took.
    fn release(&mut self, admission: &Admission) {
        if self.nonces.remove(&(admission.sender, admission.nonce)).is_some()
            && let Some(sum) = self.amounts.get_mut(&admission.gas_payer)
        {
            sum.0 = sum.0.saturating_sub(admission.reserve.0);
        }
    }
}

/// A refusal as the mempool reports it.
fn refused(refusal: &Refusal) -> TxResult {
    TxResult {
        code: refusal.number(),
        log: serde_json::json!({
            "code": refusal.code(),
            "message": refusal.to_string(),
            "hint": refusal.hint(),
        })
        .to_string(),
        ..TxResult::default()
    }
}

impl std::fmt::Debug for LedgerApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerApp")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LedgerApp {
    /// The ledger of one network over its store. `checker` verifies the evidence.
    pub fn new(
        genesis: Genesis,
        store: Store,
        checker: Box<dyn CheckProof + Send>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self::with_limits(genesis, store, checker, metrics, EvidenceLimits::default())
    }

    /// The same, with what the evidence may take.
    pub fn with_limits(
        genesis: Genesis,
        store: Store,
        checker: Box<dyn CheckProof + Send>,
        metrics: Arc<Metrics>,
        limits: EvidenceLimits,
    ) -> Self {
        let evidence = Arc::new(EvidenceMemory::new(checker, Arc::clone(&metrics), limits));
        Self {
            genesis,
            ahead: EvidenceAhead::start(Arc::clone(&evidence), limits.threads),
            evidence,
            floor: None,
            store,
            metrics,
            staged: Mutex::default(),
            reserved: Mutex::default(),
            history: None,
            known_version: LATEST_VERSION,
        }
    }

    /// The same before a mempool of these limits that is first come, first served.
    pub fn before_mempool(mut self, limits: &MempoolLimits) -> Self {
        self.floor = Some(Mutex::new(PriceFloor::new(limits)));
        self
    }

    /// Keeps snapshots and a bounded number of blocks, where it otherwise keeps all blocks and no snapshot.
    #[must_use]
    pub fn with_history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    /// Stands for versions of the rules up to this one, executing those it does not know by the newest that it does: a
    /// rehearsal.
    #[must_use]
    pub fn rehearsing(mut self, version: u64) -> Self {
        self.known_version = version.max(LATEST_VERSION);
        self
    }

    /// The newest version of the rules that this node goes along with.
    pub const fn known_version(&self) -> u64 {
        self.known_version
    }

    /// Refuses to go on where an upgrade has brought rules into force that are not known here.
    pub fn check_version(&self) -> Result<(), NodeError> {
        match self.store.view() {
            None => Ok(()),
            Some(view) => self.check_version_of(&view),
        }
    }

    fn check_version_of(&self, view: &StateView) -> Result<(), NodeError> {
        // Before the first block there may be no state, and every release knows the version that networks begin with.
        if view.tip().height == 0 {
            return Ok(());
        }
        let found = query::governance(&Committed(view))?.version;
        if found > self.known_version {
            return Err(NodeError::Ledger(LedgerError::UnknownVersion {
                found,
                expected: self.known_version,
            }));
        }
        Ok(())
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    fn view(&self) -> Result<Arc<StateView>, NodeError> {
        self.store.view().ok_or(NodeError::NotReady)
    }

    /// Has the evidence of an admitted transaction verified in the background, as long as what is verified so fits
    /// into a block: it is paid for only when a block includes it.
    fn verify_ahead(
        &self,
        view: &Arc<StateView>,
        bytes: &[u8],
        admission: &Admission,
    ) -> Result<(), NodeError> {
        let Ok(tx) = SignedTransaction::decode_all(bytes) else {
            return Ok(());
        };
        if !EvidenceAhead::has_work(&tx) {
            return Ok(());
        }
        let params = query::params(&Committed(view))?;
        let mut reserved = lock(&self.reserved);
        let gas = reserved.ahead.saturating_add(admission.gas.0);
        if gas <= usable_gas(&params).0 {
            reserved.ahead = gas;
            drop(reserved);
            self.ahead.push(view, tx);
        }
        Ok(())
    }

    /// Claims what an admitted transaction needs: its nonce, its money, and a place in the mempool.
    fn claim(&self, admission: &Admission, bytes: usize) -> Result<(), Refusal> {
        // The place last: nobody is pushed out for who is refused.
        let mut reserved = lock(&self.reserved);
        reserved.add(admission)?;
        let Some(floor) = &self.floor else {
            return Ok(());
        };
        let found = admission.density();
        let placed = lock(floor).admit(admission.hash, bytes, found);
        placed.map_err(|expected| {
            reserved.release(admission);
            Refusal::Outbid { found, expected }
        })
    }
}

/// The transactions of a block; bytes that do not decode are refused by the ledger itself.
fn decoded(txs: &[Vec<u8>]) -> Vec<SignedTransaction> {
    txs.iter()
        .filter_map(|tx| SignedTransaction::decode_all(tx).ok())
        .collect()
}

/// The transactions that settle vouchers.
fn settling_vouchers(txs: &[SignedTransaction]) -> BTreeSet<TxHash> {
    let settles = |tx: &&SignedTransaction| matches!(tx.transaction.message, Message::SettleVouchers { .. });
    txs.iter().filter(settles).map(SignedTransaction::hash).collect()
}

/// The digest that a settlement is found by: the receipt's, which binds its channel, or for a voucher the voucher's own.
/// Never its root: that may be anything, another receipt's digest included.
fn known_as(settlement: &Settlement, of_vouchers: &BTreeSet<TxHash>) -> [u8; 32] {
    if of_vouchers.contains(&settlement.tx) {
        settlement.order.0
    } else {
        settlement.receipt.0
    }
}

fn result(outcome: &TxOutcome) -> TxResult {
    TxResult {
        code: outcome.code(),
        data: TxCost::of(outcome).encode(),
        log: outcome.log(),
        gas_wanted: outcome.gas_wanted.0,
        gas_used: outcome.gas_used.0,
        priority: 0,
    }
}

/// What a transaction cost, as its result data carries it: three amounts of OPG, 16 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TxCost {
    /// Burned per unit of gas.
    pub base_fee: Amount,
    /// Burned for gas.
    pub burned: Amount,
    /// Paid to the proposer.
    pub tip: Amount,
}
haca_wire::codec_struct!(TxCost {
    base_fee,
    burned,
    tip
});

impl TxCost {
    const fn of(outcome: &TxOutcome) -> Self {
        Self {
            base_fee: outcome.base_fee,
            burned: outcome.burned,
            tip: outcome.tip,
        }
    }
}

impl Application for LedgerApp {
    fn info(&self) -> Result<Info, NodeError> {
        let (height, app_hash) = self
            .store
            .tip()
            .map_or((0, [0; 32]), |tip| (tip.height, tip.app_hash));
        Ok(Info {
            height,
            app_hash,
            app_version: APP_VERSION,
        })
    }

    fn init_chain(&self, request: &InitChain) -> Result<AppHash, NodeError> {
        if request.chain_id != self.genesis.chain_id.as_str() {
            return Err(NodeError::Genesis {
                what: "chain_id",
                reason: format!("found {}, expected {}", request.chain_id, self.genesis.chain_id),
            });
        }
        check_validators(&request.validators, &self.genesis.validators.members())?;
        if let Some(tip) = self.store.tip() {
            // A node that was killed between the genesis state and the first block is asked again.
            return match tip.height {
                0 => Ok(tip.app_hash),
                height => Err(NodeError::OutOfOrder {
                    call: "init_chain",
                    found: 0,
                    expected: height.saturating_add(1),
                }),
            };
        }
        let outcome = genesis_state(&self.genesis)?;
        let staged = self.store.stage(0, outcome.writes.into_iter().collect())?;
        Ok(self.store.commit(staged, &BlockIndex::default())?.app_hash)
    }

    fn check_tx(&self, tx: &[u8], recheck: bool) -> Result<TxResult, NodeError> {
        let view = self.view()?;
        let mode = if recheck { CheckMode::Again } else { CheckMode::New };
        let reserved = |payer| {
            lock(&self.reserved)
                .amounts
                .get(&payer)
                .copied()
                .unwrap_or_default()
        };
        let admission = match check_tx(&Committed(&view), tx, mode, &reserved, self.evidence.as_ref())? {
            Ok(admission) => admission,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        if let Err(refusal) = self.claim(&admission, tx.len()) {
            return Ok(refused(&refusal));
        }
        if !recheck {
            self.verify_ahead(&view, tx, &admission)?;
        }
        Ok(TxResult {
            gas_wanted: admission.gas.0,
            priority: admission.density(),
            ..TxResult::default()
        })
    }

    fn prepare_proposal(
        &self,
        _: BlockPosition,
        txs: Vec<Vec<u8>>,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        let view = self.view()?;
        self.check_version_of(&view)?;
        let chosen = select_proposal(&Committed(&view), &txs, max_bytes as u64, self.evidence.as_ref())?;
        let mut room = max_bytes;
        let mut block = Vec::with_capacity(chosen.len());
        for tx in chosen.into_iter().filter_map(|position| txs.get(position)) {
            // CometBFT counts the framing of each transaction, the ledger does not.
            let Some(left) = room.checked_sub(tx.len().saturating_add(TX_FRAME_BYTES)) else {
                break;
            };
            room = left;
            block.push(tx.clone());
        }
        Ok(block)
    }

    fn process_proposal(&self, _: BlockPosition, txs: &[Vec<u8>]) -> Result<bool, NodeError> {
        let view = self.view()?;
        self.check_version_of(&view)?;
        let accepted = check_proposal(&Committed(&view), txs, self.evidence.as_ref())?.is_ok();
        if accepted {
            // All of it is paid for if the block is decided, and votes take a while.
            for tx in decoded(txs) {
                self.ahead.push(&view, tx);
            }
        }
        Ok(accepted)
    }

    fn finalize_block(
        &self,
        position: BlockPosition,
        txs: &[Vec<u8>],
        decision: &Decision,
    ) -> Result<FinalizedBlock, NodeError> {
        let started = Instant::now();
        let view = self.view()?;
        self.ahead.clear();
        let decoded = decoded(txs);
        let of_vouchers = settling_vouchers(&decoded);
        self.ahead.run_all(&view, decoded);
        let context = BlockContext {
            height: Height(position.height),
            proposer: position.proposer,
            time_unix_s: position.time_unix_s,
            votes: decision.votes.clone(),
            misbehaviour: decision.misbehaviour.clone(),
            known_version: self.known_version,
        };
        let mut outcome = execute_block(&Committed(&view), &context, txs, self.evidence.as_ref())?;
        let validator_updates = outcome
            .validator_updates
            .iter()
            .map(|update| power(*update))
            .collect();
        let writes = std::mem::take(&mut outcome.writes);
        let block = self.store.stage(position.height, writes.into_iter().collect())?;
        let results: Vec<TxResult> = outcome.txs.iter().map(result).collect();
        let app_hash = block.tip().app_hash;
        let index = BlockIndex {
            tx_bytes: txs.iter().map(|tx| tx.len() as u64).sum(),
            txs: txs.iter().map(|tx| tx_hash(tx)).collect(),
            results: results.clone(),
            settled: outcome
                .settlements
                .iter()
                .map(|settlement| (known_as(settlement, &of_vouchers), settlement.encode()))
                .collect(),
        };
        *lock(&self.staged) = Some(Staged {
            block,
            index,
            outcome,
            started,
        });
        Ok(FinalizedBlock {
            results,
            app_hash,
            validator_updates,
        })
    }

    fn commit(&self) -> Result<(), NodeError> {
        let staged = lock(&self.staged).take().ok_or(NodeError::OutOfOrder {
            call: "commit",
            found: 0,
            expected: self.store.tip().map_or(0, |tip| tip.height.saturating_add(1)),
        })?;
        let horizon = match &self.history {
            Some(history) => history.horizon(&self.store)?,
            None => 0,
        };
        let block = staged.block.pruning_index(horizon);
        self.store.commit(block, &staged.index)?;
        // What still waits is checked again and reserves anew.
        *lock(&self.reserved) = Reserved::default();
        if let Some(floor) = &self.floor {
            lock(floor).next_block();
        }
        self.metrics.block(&staged.outcome, staged.started.elapsed());
        if let Some(history) = &self.history {
            history.committed(&self.view()?, &self.metrics);
        }
        Ok(())
    }

    fn query(&self, query: &Query) -> Result<ProvenValue, NodeError> {
        let view = self.view()?;
        view.prove(&query.key, query.height.unwrap_or(view.tip().height))
    }

    fn retain_height(&self) -> u64 {
        // A store that cannot be read says so at the next block; nothing is dropped meanwhile.
        let retained = |history: &History| history.retain_height(&self.store);
        self.history
            .as_ref()
            .and_then(|history| retained(history).ok())
            .unwrap_or(0)
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>, NodeError> {
        let tip = self.store.tip().map_or(0, |tip| tip.height);
        let history = self.history.as_ref();
        Ok(history
            .map(|history| history.archive.list(tip))
            .unwrap_or_default())
    }

    fn snapshot_chunk(&self, height: u64, format: u32, index: u32) -> Result<Option<Vec<u8>>, NodeError> {
        let history = self.history.as_ref();
        Ok(history.and_then(|history| history.archive.chunk(height, format, index)))
    }

    fn offer_snapshot(&self, snapshot: &Snapshot, app_hash: &[u8]) -> Result<Offered, NodeError> {
        let Some(history) = &self.history else {
            return Ok(Offered::Abort);
        };
        let restoration = &history.restoration;
        restoration.offer(&self.store, self.genesis.hash(), snapshot, app_hash)
    }

    fn apply_snapshot_chunk(&self, index: u32, chunk: &[u8]) -> Result<Applied, NodeError> {
        match &self.history {
            Some(history) => history.restoration.apply(&self.store, index, chunk),
            None => Ok(Applied::Abort),
        }
    }
}

impl From<LedgerError> for NodeError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}
