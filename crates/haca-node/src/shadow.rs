//! Running a release beside a network that another one drives: the same blocks, and a look at whether the state is the same.

use std::time::{Duration, Instant};

use haca_ledger::{CheckProof, Misbehaviour, MisbehaviourKind};
use haca_wire::Height;
use tendermint::{account, block::Block, evidence::Evidence};

use crate::{
    application::{Application as _, Decision, InitChain},
    cometbft::Rpc,
    consensus::hash::{data_hash, results_hash},
    engine::{app_hash_mismatch, position, votes},
    error::NodeError,
    genesis::Genesis,
    home::Home,
    ledger_app::LedgerApp,
    store::{DEFAULT_KEEP_VERSIONS, Store, database::prepare_directory},
};

/// Between two looks for the next block.
const POLL: Duration = Duration::from_millis(200);
/// Between two words on how far it is.
const REPORT: Duration = Duration::from_secs(5);

/// What to follow, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowConfig {
    /// Host and port of the RPC of a node's CometBFT. The node is trusted: whoever runs a shadow runs the node, too.
    pub rpc: String,
    /// The last height to compare; without it, until told to stop.
    pub until: Option<u64>,
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowReport {
    /// Blocks executed.
    pub blocks: u64,
    /// The last height whose state was compared.
    pub height: u64,
    /// The application hash there.
    pub app_hash: [u8; 32],
}

/// Executes the node's blocks over the state in `home`, from the height it stands at, and compares each result with the
/// next header. Ends with the first difference, at `until`, or once `stopped` says so.
pub fn run(
    config: &ShadowConfig,
    home: &Home,
    checker: Box<dyn CheckProof + Send>,
    stopped: impl Fn() -> bool,
    mut report: impl FnMut(&ShadowReport),
) -> Result<ShadowReport, NodeError> {
    let mut shadow = Shadow::open(config, home, checker)?;
    let mut told = Instant::now();
    while !stopped() && config.until.is_none_or(|until| shadow.report.height < until) {
        if !shadow.step()? {
            std::thread::sleep(POLL);
        }
        if told.elapsed() > REPORT {
            told = Instant::now();
            report(&shadow.report);
        }
    }
    Ok(shadow.report)
}

struct Shadow {
    genesis: Genesis,
    app: LedgerApp,
    rpc: Rpc,
    report: ShadowReport,
}

impl Shadow {
    fn open(
        config: &ShadowConfig,
        home: &Home,
        checker: Box<dyn CheckProof + Send>,
    ) -> Result<Self, NodeError> {
        let genesis = Genesis::read(&home.genesis())?;
        prepare_directory(home.path())?;
        let store = Store::open(&home.state(), genesis.hash(), DEFAULT_KEEP_VERSIONS)?;
        let app = LedgerApp::new(genesis.clone(), store, checker, Default::default());
        let mut info = app.info()?;
        if info.height == 0 {
            info.app_hash = app.init_chain(&InitChain {
                chain_id: genesis.chain_id.to_string(),
                initial_height: 1,
                validators: genesis.validators.members(),
            })?;
        }
        app.check_version()?;
        Ok(Self {
            genesis,
            app,
            rpc: Rpc::new(&config.rpc),
            report: ShadowReport {
                blocks: 0,
                height: info.height,
                app_hash: info.app_hash,
            },
        })
    }

    /// Executes the next block if the header after it exists, and compares; whether there was one.
    fn step(&mut self) -> Result<bool, NodeError> {
        let height = self.report.height + 1;
        let sync = self.rpc.sync()?;
        if height < sync.earliest {
            return Err(NodeError::HeightUnavailable {
                found: height,
                oldest: sync.earliest,
                newest: sync.latest,
            });
        }
        // The header after it says what it gave.
        if sync.latest <= height {
            return Ok(false);
        }
        let block = self.block(height)?;
        if self.report.blocks == 0 {
            compare(
                height - 1,
                block.header.app_hash.as_bytes(),
                &self.report.app_hash,
            )?;
        }
        let next = self.rpc.commit(height + 1)?.0;
        let decision = Decision {
            votes: match height {
                1 => Vec::new(),
                _ => votes(
                    block.last_commit.as_ref(),
                    &self.rpc.validators(height - 1, None)?,
                ),
            },
            misbehaviour: block.evidence.iter().flat_map(misbehaviour).collect(),
        };
        let at = position(height, block.header.time, &block.header.proposer_address);
        let finalized = self.app.finalize_block(at, &block.data, &decision)?;
        compare(height, next.app_hash.as_bytes(), &finalized.app_hash)?;
        let (expected, found) = (
            next.last_results_hash.unwrap_or_default(),
            results_hash(&finalized.results),
        );
        if expected.as_bytes() != found {
            return Err(NodeError::ResultsHash {
                height,
                found: hex::encode(found),
                expected: hex::encode(expected.as_bytes()),
            });
        }
        self.app.commit()?;
        self.report = ShadowReport {
            blocks: self.report.blocks + 1,
            height,
            app_hash: finalized.app_hash,
        };
        Ok(true)
    }

    /// A block of our network, whole.
    fn block(&self, height: u64) -> Result<Block, NodeError> {
        let (id, block) = self.rpc.block(height)?;
        let broken = |reason: &str| NodeError::CometRpc {
            method: "block",
            reason: format!("block {height}: {reason}"),
        };
        if block.header.chain_id != self.genesis.chain_id {
            return Err(broken(&format!(
                "it is of network {}, expected {}",
                block.header.chain_id, self.genesis.chain_id
            )));
        }
        let data = block.header.data_hash.unwrap_or_default();
        if block.header.hash() != id.hash || data.as_bytes() != data_hash(&block.data) {
            return Err(broken("its content is not what its identity says"));
        }
        Ok(block)
    }
}

fn compare(height: u64, expected: &[u8], found: &[u8; 32]) -> Result<(), NodeError> {
    if expected == found {
        return Ok(());
    }
    Err(app_hash_mismatch(height, found, expected))
}

/// What CometBFT tells an application of a piece of evidence.
fn misbehaviour(evidence: &Evidence) -> Vec<Misbehaviour> {
    let seconds = |time: tendermint::Time| u64::try_from(time.unix_timestamp()).unwrap_or(0);
    let of = |kind, id: &account::Id, height: tendermint::block::Height, time| {
        let mut validator = [0; 20];
        validator.copy_from_slice(id.as_bytes());
        Misbehaviour {
            kind,
            validator,
            height: Height(height.value()),
            time_unix_s: seconds(time),
        }
    };
    match evidence {
        Evidence::DuplicateVote(found) => vec![of(
            MisbehaviourKind::DuplicateVote,
            &found.vote_a.validator_address,
            found.vote_a.height,
            found.timestamp,
        )],
        Evidence::LightClientAttack(found) => found
            .byzantine_validators
            .iter()
            .map(|member| {
                of(
                    MisbehaviourKind::LightClientAttack,
                    &member.address,
                    found.common_height,
                    found.timestamp,
                )
            })
            .collect(),
    }
}
