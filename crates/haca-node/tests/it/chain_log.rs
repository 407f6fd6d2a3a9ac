//! What a chain of real transactions is, told independently of the node: the blocks of a random history with the state
//! and the application hash after each.

use std::{path::Path, sync::OnceLock};

use haca_node::{
    Genesis,
    application::{AppHash, BlockPosition, Decision, FinalizedBlock, TxResult},
    engine::ValidatorKey,
    genesis::document,
    store::Store,
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    random::{History, Step, step},
    world::{LogEntry, State, World, genesis_json, test_params},
};

/// The blocks of a chain, and what each leads to.
pub(crate) struct ChainLog {
    pub(crate) genesis: Genesis,
    /// The block of height `h` at `h - 1`.
    pub(crate) blocks: Vec<LogEntry>,
    /// The state at height `h` at `h`.
    pub(crate) states: Vec<State>,
    /// Its root.
    pub(crate) hashes: Vec<AppHash>,
}

/// The first state of a network of the ledger's tests.
pub(crate) fn app_state() -> serde_json::Value {
    genesis_json(test_params())
}

/// The key of the validator that the ledger's tests have.
pub(crate) fn validator_key() -> ValidatorKey {
    ValidatorKey::from_secret([8; 32])
}

/// A network with the validator of the ledger's tests.
pub(crate) fn network() -> (Genesis, Vec<ValidatorKey>) {
    let validators = haca_node::ledger_app::genesis_validators(&app_state()).unwrap();
    let bytes = document("haca-log", super::engine::time(0), &validators, &app_state()).unwrap();
    (Genesis::parse(bytes).unwrap(), vec![validator_key()])
}

/// The ledger of a network before its first block, in memory.
pub(crate) fn start(genesis: &Genesis, proposer: [u8; 20]) -> World {
    let mut world = World::on_genesis(test_params(), genesis.hash());
    world.proposer = proposer;
    world
}

/// The root of a tree that holds a state and no history.
fn root(empty: &Store, state: &State) -> AppHash {
    let writes = state
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    empty.stage(0, writes.collect()).unwrap().tip().app_hash
}

/// `count` steps that follow from the seed.
pub(crate) fn steps(seed: u8, count: usize) -> Vec<Step> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = prop::collection::vec(step(), count);
    strategy.new_tree(&mut runner).unwrap().current()
}

impl ChainLog {
    /// Runs the steps on a network from its genesis on. `proposer` proposes every block.
    pub(crate) fn record(
        genesis: Genesis,
        proposer: [u8; 20],
        steps: impl IntoIterator<Item = Step>,
    ) -> Self {
        let mut history = History::on(start(&genesis, proposer));
        for step in steps {
            history.step(step);
        }
        history.seal(2);
        Self::of(genesis, history.world)
    }

    /// The blocks of a world that was made by [`start`].
    pub(crate) fn of(genesis: Genesis, world: World) -> Self {
        let mut states = vec![start(&genesis, world.proposer).state];
        let blocks = world.log;
        for block in &blocks {
            let mut state = states[states.len() - 1].clone();
            for (key, value) in &block.outcome.writes {
                match value {
                    Some(value) => state.insert(key.clone(), value.clone()),
                    None => state.remove(key),
                };
            }
            states.push(state);
        }
        assert_eq!(states[states.len() - 1], world.state);
        let memory = redb::backends::InMemoryBackend::new();
        let empty = Store::open_on(memory, Path::new("memory"), genesis.hash(), 1).unwrap();
        let hashes = states.iter().map(|state| root(&empty, state)).collect();
        Self {
            genesis,
            blocks,
            states,
            hashes,
        }
    }

    /// A history of some 60 blocks, the same in every test.
    pub(crate) fn long() -> &'static Self {
        static LOG: OnceLock<ChainLog> = OnceLock::new();
        LOG.get_or_init(|| {
            let (genesis, _) = network();
            Self::record(genesis, crate::world::PROPOSER, steps(1, 60))
        })
    }

    /// Height of the last block.
    pub(crate) const fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub(crate) fn block(&self, height: u64) -> &LogEntry {
        &self.blocks[usize::try_from(height).unwrap() - 1]
    }

    pub(crate) fn state(&self, height: u64) -> &State {
        &self.states[usize::try_from(height).unwrap()]
    }

    pub(crate) fn hash(&self, height: u64) -> AppHash {
        self.hashes[usize::try_from(height).unwrap()]
    }

    pub(crate) fn position(&self, height: u64) -> BlockPosition {
        let context = &self.block(height).context;
        BlockPosition {
            height,
            time_unix_s: context.time_unix_s,
            proposer: context.proposer,
        }
    }

    pub(crate) fn decision(&self, height: u64) -> Decision {
        let context = &self.block(height).context;
        Decision {
            votes: context.votes.clone(),
            misbehaviour: context.misbehaviour.clone(),
        }
    }

    /// Compares what executing a block gave with what it had to give.
    pub(crate) fn check(&self, height: u64, found: &FinalizedBlock) {
        assert_eq!(found.app_hash, self.hash(height), "application hash at {height}");
        let expected = &self.block(height).outcome.txs;
        assert_eq!(found.results.len(), expected.len(), "results at {height}");
        for (found, expected) in found.results.iter().zip(expected) {
            let plain = |result: &TxResult| (result.code, result.gas_wanted, result.gas_used);
            let expected = (expected.code(), expected.gas_wanted.0, expected.gas_used.0);
            assert_eq!(plain(found), expected, "result at {height}");
        }
    }
}
