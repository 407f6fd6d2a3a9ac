//! The chain itself, without threads or clocks: opens at the last decided block, executes what a kill left
//! unexecuted, and makes one block at a time.

use std::sync::Arc;

use haca_ledger::CommitVote;
use tendermint::{
    AppHash as HeaderAppHash, Hash, Signature, Time, Vote, account,
    block::{self, Block, Commit, CommitSig, Header},
    evidence, vote,
};

use super::{BlockStore, ValidatorKey};
use crate::{
    application::{Application, BlockPosition, Decision, FinalizedBlock, InitChain},
    consensus::{
        ValidatorSet, block_id, commit_hash, data_hash, evidence_hash, median_time, params_hash,
        results_hash, vote_time,
    },
    error::NodeError,
    genesis::{BLOCK_OVERHEAD_BYTES, Genesis},
};

/// The block protocol version of CometBFT v0.38 to v0.40.
const BLOCK_VERSION: u64 = 11;

/// What the next block builds on.
#[derive(Debug)]
struct Head {
    height: u64,
    id: Option<block::Id>,
    time: Time,
    commit: Option<Commit>,
    /// Who voted for the last block.
    last_validators: ValidatorSet,
    /// Who proposes and votes next.
    validators: ValidatorSet,
    /// Who proposes and votes after that.
    next_validators: ValidatorSet,
    finalized: FinalizedBlock,
}

/// A chain whose validators all sign here.
#[derive(Debug)]
pub struct Chain<A> {
    app: Arc<A>,
    store: Arc<BlockStore>,
    genesis: Genesis,
    keys: Vec<ValidatorKey>,
    app_version: u64,
    head: Head,
}

impl<A: Application> Chain<A> {
    /// Opens the chain and brings the application to the last decided block.
    pub fn open(
        genesis: Genesis,
        keys: Vec<ValidatorKey>,
        store: Arc<BlockStore>,
        app: Arc<A>,
    ) -> Result<Self, NodeError> {
        let mut info = app.info()?;
        let genesis_hash = if info.height == 0 {
            app.init_chain(&InitChain {
                chain_id: genesis.chain_id.to_string(),
                initial_height: 1,
                validators: genesis.validators.members(),
            })?
        } else {
            [0; 32]
        };
        let decided = store.height()?;
        if info.height > decided {
            return Err(NodeError::StoreCorrupt {
                what: format!(
                    "the state is at height {}, the blocks end at {decided}",
                    info.height
                ),
            });
        }
        store.put_validators(&[(1, &genesis.validators), (2, &genesis.validators.next())])?;
        let head = Head {
            height: 0,
            id: None,
            time: genesis.time,
            commit: None,
            last_validators: genesis.validators.clone(),
            validators: genesis.validators.clone(),
            next_validators: genesis.validators.next(),
            finalized: FinalizedBlock {
                results: Vec::new(),
                app_hash: genesis_hash,
                validator_updates: Vec::new(),
            },
        };
        let mut chain = Self {
            app,
            store,
            genesis,
            keys,
            app_version: info.app_version,
            head,
        };
        if info.height > 0 {
            chain.head = chain.load_head(info.height)?;
            if chain.head.finalized.app_hash != info.app_hash {
                return Err(app_hash_mismatch(
                    info.height,
                    &info.app_hash,
                    &chain.head.finalized.app_hash,
                ));
            }
        }
        while info.height < decided {
            chain.replay(info.height + 1)?;
            info.height += 1;
        }
        chain.check_quorum(&chain.head.validators)?;
        chain.check_quorum(&chain.head.next_validators)?;
        Ok(chain)
    }

    fn load_head(&self, height: u64) -> Result<Head, NodeError> {
        let missing = |what: &str| NodeError::StoreCorrupt {
            what: format!("{what} of block {height} is missing"),
        };
        let block = self.store.block(height)?.ok_or_else(|| missing("content"))?;
        let commit = self.store.commit(height)?.ok_or_else(|| missing("commit"))?;
        Ok(Head {
            height,
            id: Some(commit.block_id),
            time: block.header.time,
            last_validators: self.validators(height)?,
            validators: self.validators(height + 1)?,
            next_validators: self.validators(height + 2)?,
            finalized: self.store.results(height)?.ok_or_else(|| missing("result"))?,
            commit: Some(commit),
        })
    }

    fn validators(&self, height: u64) -> Result<ValidatorSet, NodeError> {
        self.store
            .validators(height)?
            .ok_or_else(|| NodeError::StoreCorrupt {
                what: format!("validators of block {height} are missing"),
            })
    }

    /// Executes a decided block again after a kill or the loss of the state store.
    fn replay(&mut self, height: u64) -> Result<(), NodeError> {
        let missing = || NodeError::StoreCorrupt {
            what: format!("block {height} is missing"),
        };
        let block = self.store.block(height)?.ok_or_else(missing)?;
        let commit = self.store.commit(height)?.ok_or_else(missing)?;
        if block.header.hash() != commit.block_id.hash {
            return Err(NodeError::StoreCorrupt {
                what: format!("block {height} is not the one that was voted for"),
            });
        }
        let expected = block.header.app_hash.as_bytes();
        if expected != self.head.finalized.app_hash {
            return Err(app_hash_mismatch(
                height - 1,
                &self.head.finalized.app_hash,
                expected,
            ));
        }
        let (finalized, after) = self.finalize(&block)?;
        self.conclude(block, commit, finalized, after)
    }

    /// Height of the last executed block.
    pub const fn height(&self) -> u64 {
        self.head.height
    }

    /// Application hash after the last executed block.
    pub const fn app_hash(&self) -> [u8; 32] {
        self.head.finalized.app_hash
    }

    /// The blocks.
    pub const fn store(&self) -> &Arc<BlockStore> {
        &self.store
    }

    /// Where the next block will stand.
    pub fn next_position(&self) -> Result<BlockPosition, NodeError> {
        Ok(position(
            self.head.height + 1,
            self.next_time()?,
            &self.head.validators.proposer(),
        ))
    }

    /// Most bytes of transactions that the next block has room for.
    pub fn max_tx_bytes(&self) -> usize {
        let block = usize::try_from(self.genesis.max_block_bytes).unwrap_or(crate::genesis::MAX_BLOCK_BYTES);
        block.saturating_sub(BLOCK_OVERHEAD_BYTES)
    }

    fn next_time(&self) -> Result<Time, NodeError> {
        match &self.head.commit {
            None => Ok(self.genesis.time),
            Some(commit) => {
                median_time(commit, &self.head.last_validators).ok_or_else(|| NodeError::StoreCorrupt {
                    what: format!("nobody voted for block {}", self.head.height),
                })
            }
        }
    }

    /// Makes, signs, stores and executes the next block. `now` is what the validators put on their votes.
    pub fn make_block(&mut self, txs: Vec<Vec<u8>>, now: Time) -> Result<u64, NodeError> {
        let block = self.propose(txs)?;
        let commit = self.vote(&block, now)?;
        // Executed before it is decided: a block after which nobody here could decide another must not stand.
        let (finalized, after) = self.finalize(&block)?;
        self.check_quorum(&after)?;
        self.store.put_block(self.head.height + 1, &block, &commit)?;
        self.conclude(block, commit, finalized, after)?;
        Ok(self.head.height)
    }

    fn propose(&self, txs: Vec<Vec<u8>>) -> Result<Block, NodeError> {
        let head = &self.head;
        let sha = |bytes: [u8; 32]| Hash::Sha256(bytes);
        let evidence = evidence::List::default();
        let header = Header {
            version: block::header::Version {
                block: BLOCK_VERSION,
                app: self.app_version,
            },
            chain_id: self.genesis.chain_id.clone(),
            height: height(head.height + 1)?,
            time: self.next_time()?,
            last_block_id: head.id,
            last_commit_hash: Some(sha(commit_hash(head.commit.as_ref()))),
            data_hash: Some(sha(data_hash(&txs))),
            validators_hash: head.validators.hash(),
            next_validators_hash: head.next_validators.hash(),
            consensus_hash: sha(params_hash(
                self.genesis.max_block_bytes,
                self.genesis.max_block_gas,
            )),
            app_hash: HeaderAppHash::try_from(head.finalized.app_hash.to_vec())
                .map_err(encoding("app hash"))?,
            last_results_hash: Some(sha(results_hash(&head.finalized.results))),
            evidence_hash: Some(sha(evidence_hash(&evidence))),
            proposer_address: head.validators.proposer(),
        };
        Ok(Block::new(header, txs, evidence, head.commit.clone()))
    }

    fn vote(&self, block: &Block, now: Time) -> Result<Commit, NodeError> {
        let id = block_id(block)?;
        let timestamp = vote_time(now, block.header.time);
        let mut signatures = Vec::with_capacity(self.head.validators.validators().len());
        for (index, validator) in self.head.validators.validators().iter().enumerate() {
            let key = self
                .keys
                .iter()
                .find(|key| key.address() == Some(validator.address));
            signatures.push(match key {
                None => CommitSig::BlockIdFlagAbsent,
                Some(key) => {
                    let vote = Vote {
                        vote_type: vote::Type::Precommit,
                        height: block.header.height,
                        round: block::Round::default(),
                        block_id: Some(id),
                        timestamp: Some(timestamp),
                        validator_address: validator.address,
                        validator_index: index.try_into().map_err(encoding("validator index"))?,
                        signature: None,
                        extension: Vec::new(),
                        extension_signature: None,
                    };
                    let bytes = vote.into_signable_vec(self.genesis.chain_id.clone());
                    CommitSig::BlockIdFlagCommit {
                        validator_address: validator.address,
                        timestamp,
                        signature: Signature::new(key.sign(&bytes)).map_err(encoding("signature"))?,
                    }
                }
            });
        }
        Ok(Commit {
            height: block.header.height,
            round: block::Round::default(),
            block_id: id,
            signatures,
        })
    }

    /// Executes a block; nothing is persisted. Returns the validators of the second height after it, too.
    fn finalize(&self, block: &Block) -> Result<(FinalizedBlock, ValidatorSet), NodeError> {
        let height = block.header.height.value();
        let position = position(height, block.header.time, &block.header.proposer_address);
        let decision = Decision {
            votes: votes(block.last_commit.as_ref(), &self.head.last_validators),
            misbehaviour: Vec::new(),
        };
        let finalized = self.app.finalize_block(position, &block.data, &decision)?;
        let after = self
            .head
            .next_validators
            .update(&finalized.validator_updates)?
            .next();
        Ok((finalized, after))
    }

    /// Persists an executed block and moves on.
    fn conclude(
        &mut self,
        block: Block,
        commit: Commit,
        finalized: FinalizedBlock,
        after: ValidatorSet,
    ) -> Result<(), NodeError> {
        let height = block.header.height.value();
        // Before the application commits: a node killed in between finds results for every executed block.
        let retain = self.app.retain_height();
        self.store.put_results(height, &finalized, &after, retain)?;
        self.app.commit()?;
        let next = std::mem::replace(&mut self.head.next_validators, after);
        self.head.last_validators = std::mem::replace(&mut self.head.validators, next);
        self.head.height = height;
        self.head.id = Some(commit.block_id);
        self.head.time = block.header.time;
        self.head.commit = Some(commit);
        self.head.finalized = finalized;
        Ok(())
    }

    fn check_quorum(&self, validators: &ValidatorSet) -> Result<(), NodeError> {
        check_quorum(validators, &self.keys)
    }

    /// Header time of the last block.
    pub const fn time(&self) -> Time {
        self.head.time
    }
}

/// Who signed the block before.
pub(crate) fn votes(commit: Option<&Commit>, validators: &ValidatorSet) -> Vec<CommitVote> {
    let signatures = commit
        .map(|commit| commit.signatures.as_slice())
        .unwrap_or_default();
    let vote = |(validator, signature): (&crate::consensus::Validator, &CommitSig)| {
        let mut address = [0; 20];
        address.copy_from_slice(validator.address.as_bytes());
        CommitVote {
            validator: address,
            signed: !signature.is_absent(),
        }
    };
    validators.validators().iter().zip(signatures).map(vote).collect()
}

/// Whether these keys can decide blocks alone.
fn check_quorum(validators: &ValidatorSet, keys: &[ValidatorKey]) -> Result<(), NodeError> {
    let holds = |address: &account::Id| keys.iter().any(|key| key.address() == Some(*address));
    validators
        .quorum(holds)
        .map(|_| ())
        .map_err(|found| NodeError::NoQuorum {
            found,
            total: validators.total_power(),
        })
}

fn encoding<E: ToString>(what: &'static str) -> impl Fn(E) -> NodeError {
    move |error| NodeError::Encoding {
        what,
        reason: error.to_string(),
    }
}

fn height(value: u64) -> Result<block::Height, NodeError> {
    block::Height::try_from(value).map_err(encoding("height"))
}

pub(crate) fn position(height: u64, time: Time, proposer: &account::Id) -> BlockPosition {
    let mut address = [0; 20];
    address.copy_from_slice(proposer.as_bytes());
    BlockPosition {
        height,
        time_unix_s: u64::try_from(time.unix_timestamp()).unwrap_or(0),
        proposer: address,
    }
}

pub(crate) fn app_hash_mismatch(height: u64, found: &[u8], expected: &[u8]) -> NodeError {
    NodeError::AppHash {
        height,
        found: hex::encode(found),
        expected: hex::encode(expected),
    }
}
