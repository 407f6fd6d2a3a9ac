//! Sequences of calls as the ABCI 2.0 grammar allows them, drawn at random: rounds that fail, proposals of others,
//! questions on other connections, crashes and restarts of either side between any two calls. Whatever the sequence,
//! the application does what the decided blocks say.

use std::sync::Arc;

use haca_ledger::check_proposal;
use haca_node::{
    application::{Application, BlockPosition, Decision, InitChain, Query},
    evidence_memory::EvidenceLimits,
    ledger_app::LedgerApp,
};
use proptest::prelude::*;

use crate::{
    chain_log::{ChainLog, network},
    disk::{Disk, Survival},
    every_kind::every_kind,
    replica::{KEEP, compare, finalize, handshake, init_request, open},
    script::Script,
    socket::Socket,
    world::PROPOSER,
};

/// What consensus may ask in a round, or what may happen between two calls. Numbers pick from whatever there is.
#[derive(Clone, Debug)]
enum Act {
    /// This node proposes out of the next `count` blocks' transactions, and sees its own proposal.
    Propose { count: u8, bytes: u32 },
    /// Another node proposes: the block of the log, or something made up.
    Judge { block: u8, bent: Option<u16> },
    /// A round in which no proposal arrives.
    NoProposal,
    /// The mempool connection.
    Check { block: u8, again: bool },
    /// The query connection.
    Query { key: u16, back: u8 },
    /// Info outside of a handshake, as an RPC client may cause it.
    Info,
    /// Consensus restarts and shakes hands again; the application lives on.
    Reconnect,
    /// The application is killed.
    Kill,
    /// Power is lost.
    PowerLoss(u64),
    /// A call that no grammar allows.
    Illegal(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..6_u8, prop_oneof![Just(u32::MAX), 0..4_000_u32])
            .prop_map(|(count, bytes)| Act::Propose { count, bytes }),
        3 => (any::<u8>(), prop::option::of(any::<u16>())).prop_map(|(block, bent)| Act::Judge { block, bent }),
        1 => Just(Act::NoProposal),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(block, again)| Act::Check { block, again }),
        3 => (any::<u16>(), 0..6_u8).prop_map(|(key, back)| Act::Query { key, back }),
        1 => Just(Act::Info),
        1 => Just(Act::Reconnect),
        1 => Just(Act::Kill),
        1 => any::<u64>().prop_map(Act::PowerLoss),
        1 => any::<u8>().prop_map(Act::Illegal),
    ]
}

/// A height: what happens before the decision, between decision and commit, and after.
#[derive(Clone, Debug)]
struct Round {
    before: Vec<Act>,
    between: Vec<Act>,
}

fn round() -> impl Strategy<Value = Round> {
    let acts = |most| prop::collection::vec(act(), 0..most);
    (acts(6), acts(3)).prop_map(|(before, between)| Round { before, between })
}

/// How consensus reaches the application.
#[derive(Clone, Copy, Debug)]
enum Link {
    Direct,
    Socket,
}

/// Consensus: what is decided, and the application it talks to.
struct Consensus<'a> {
    log: &'a ChainLog,
    disk: Disk,
    limits: EvidenceLimits,
    link: Link,
    app: Arc<LedgerApp>,
    calls: Arc<dyn Application>,
    /// Height of the last decided block.
    decided: u64,
    /// Height that the application has committed.
    committed: u64,
    /// Whether the decided block is executed and not committed.
    staged: bool,
}

impl<'a> Consensus<'a> {
    fn start(log: &'a ChainLog, limits: EvidenceLimits, link: Link) -> Self {
        let disk = Disk::default();
        let app = open(log, disk.open(), limits).unwrap();
        let calls = link.to(&app);
        let mut consensus = Self {
            log,
            disk,
            limits,
            link,
            app,
            calls,
            decided: 0,
            committed: 0,
            staged: false,
        };
        consensus.recover();
        consensus
    }

    /// The handshake, and the blocks that the application lacks.
    fn recover(&mut self) {
        let height = handshake(self.log, self.calls.as_ref()).unwrap();
        let executed = self.committed + u64::from(self.staged);
        assert!((self.committed..=executed).contains(&height), "at {height}");
        self.committed = height;
        self.staged = false;
        while self.committed < self.decided {
            self.finalize();
            self.commit();
        }
    }

    fn finalize(&mut self) {
        finalize(self.log, self.calls.as_ref(), self.committed + 1).unwrap();
        self.staged = true;
    }

    fn commit(&mut self) {
        self.calls.commit().unwrap();
        self.committed += 1;
        self.staged = false;
        self.assert_unmoved();
    }

    /// The application tells the committed height, whatever else it was asked.
    fn assert_unmoved(&self) {
        let info = self.calls.info().unwrap();
        assert_eq!(info.height, self.committed);
        if info.height > 0 {
            assert_eq!(info.app_hash, self.log.hash(info.height));
        }
    }

    fn restart(&mut self) {
        self.app = open(self.log, self.disk.open(), self.limits).unwrap();
        self.calls = self.link.to(&self.app);
        self.recover();
    }

    /// The block that may be decided next, as the log has it.
    fn next_position(&self) -> BlockPosition {
        self.log.position((self.decided + 1).min(self.log.height()))
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Propose { count, bytes } => self.propose(*count, *bytes),
            Act::Judge { block, bent } => self.judge(*block, *bent),
            Act::NoProposal => {}
            Act::Check { block, again } => {
                for tx in self.pick(*block) {
                    self.calls.check_tx(&tx, *again).unwrap();
                }
            }
            Act::Query { key, back } => self.query(*key, *back),
            Act::Info => self.assert_unmoved(),
            Act::Reconnect => {
                self.calls = self.link.to(&self.app);
                self.recover();
            }
            Act::Kill => {
                self.disk.kill();
                self.restart();
            }
            Act::PowerLoss(seed) => {
                self.disk.cut_power(Survival::Some(*seed));
                self.restart();
            }
            Act::Illegal(which) => self.illegal(*which),
        }
        self.assert_unmoved();
    }

    /// The transactions of a block near the next one.
    fn pick(&self, block: u8) -> Vec<Vec<u8>> {
        let height = (self.decided + u64::from(block % 4)).clamp(1, self.log.height());
        self.log.block(height).txs.clone()
    }

    /// What this node proposes fits and is accepted by itself.
    fn propose(&mut self, count: u8, bytes: u32) {
        let candidates: Vec<_> = (0..count).flat_map(|block| self.pick(block)).collect();
        let bytes = usize::try_from(bytes).unwrap().min(1 << 20);
        let position = self.next_position();
        let chosen = self
            .calls
            .prepare_proposal(position, candidates.clone(), bytes)
            .unwrap();
        assert!(chosen.iter().map(Vec::len).sum::<usize>() <= bytes);
        assert!(chosen.iter().all(|tx| candidates.contains(tx)));
        assert!(self.calls.process_proposal(position, &chosen).unwrap());
    }

    /// Every node judges a proposal alike.
    fn judge(&mut self, block: u8, bent: Option<u16>) {
        let mut txs = self.pick(block);
        if let Some(bent) = bent
            && let Some(tx) = txs.first_mut()
            && let Some(at) = usize::from(bent).checked_rem(tx.len())
        {
            tx[at] ^= 1;
        }
        let state = self.log.state(self.committed);
        let expected = check_proposal(state, &txs, &Script::default()).unwrap().is_ok();
        let found = self.calls.process_proposal(self.next_position(), &txs).unwrap();
        assert_eq!(found, expected);
    }

    /// A key that exists now, at a kept height or outside, with its proof.
    fn query(&self, key: u16, back: u8) {
        let state = self.log.state(self.committed);
        let Some(key) = state.keys().nth(usize::from(key) % state.len()).cloned() else {
            return;
        };
        let Some(height) = self.committed.checked_sub(u64::from(back)).filter(|h| *h > 0) else {
            return;
        };
        let query = Query {
            key: key.clone(),
            height: Some(height),
        };
        let found = self.calls.query(&query);
        if height + KEEP <= self.committed {
            assert_eq!(found.unwrap_err().code(), "node.height_unavailable");
            return;
        }
        let found = found.unwrap();
        let value = self.log.state(height).get(&key);
        // The empty value is absence on the wire; no record of the state is empty.
        assert_eq!(found.value.as_ref().filter(|value| !value.is_empty()), value);
        let proof = prost_ics23::Message::decode(found.proof.as_slice()).unwrap();
        let (spec, root) = (jmt::ics23_spec(), self.log.hash(height).to_vec());
        type Host = ics23::HostFunctionsManager;
        assert!(match value {
            Some(value) => ics23::verify_membership::<Host>(&proof, &spec, &root, &key, value),
            None => ics23::verify_non_membership::<Host>(&proof, &spec, &root, &key),
        });
    }

    /// A call out of order fails with its reason, and nothing changes.
    fn illegal(&mut self, which: u8) {
        let refuse = |code: &str, expected: &[&str]| assert!(expected.contains(&code), "{code}");
        let finalize = |height: u64| {
            let mut position = self.next_position();
            position.height = height;
            let refused = self.calls.finalize_block(position, &[], &Decision::default());
            refuse(
                refused.unwrap_err().code(),
                &["ledger.wrong_height", "node.out_of_order"],
            );
        };
        match which % 6 {
            0 if !self.staged => refuse(self.calls.commit().unwrap_err().code(), &["node.out_of_order"]),
            1 => finalize(self.committed),
            2 => finalize(self.committed + 2),
            3 => finalize(i64::MAX as u64),
            4 if self.committed > 0 => {
                let refused = self.calls.init_chain(&init_request(self.log));
                refuse(refused.unwrap_err().code(), &["node.out_of_order"]);
            }
            _ => {
                let request = InitChain {
                    chain_id: "another".to_owned(),
                    ..init_request(self.log)
                };
                refuse(
                    self.calls.init_chain(&request).unwrap_err().code(),
                    &["node.genesis"],
                );
            }
        }
        if let Link::Socket = self.link {
            // An application that can't go on closes the connection; consensus comes back.
            self.calls = self.link.to(&self.app);
            self.recover();
        }
    }

    /// One height of the grammar.
    fn height(&mut self, round: &Round) {
        for act in &round.before {
            self.act(act);
        }
        self.decided += 1;
        self.finalize();
        for act in &round.between {
            self.act(act);
        }
        if self.committed < self.decided {
            if !self.staged {
                self.finalize();
            }
            self.commit();
        }
    }
}

impl Link {
    fn to(self, app: &Arc<LedgerApp>) -> Arc<dyn Application> {
        match self {
            Self::Direct => Arc::<LedgerApp>::clone(app),
            Self::Socket => Arc::new(Socket::serve(Arc::<LedgerApp>::clone(app))),
        }
    }
}

fn follow(log: &ChainLog, limits: EvidenceLimits, link: Link, rounds: &[Round]) {
    let mut consensus = Consensus::start(log, limits, link);
    for height in 0..log.height() {
        let round = &rounds[usize::try_from(height).unwrap() % rounds.len()];
        consensus.height(round);
    }
    assert_eq!(consensus.committed, log.height());
    compare(log, &consensus.app);
}

fn limits() -> impl Strategy<Value = EvidenceLimits> {
    (prop_oneof![Just(0), Just(1), Just(8_192)], 1..4_usize).prop_map(|(answers, threads)| EvidenceLimits {
        answers,
        signers: answers,
        threads,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_legal_sequence_of_calls_follows_the_decided_blocks(
        rounds in prop::collection::vec(round(), 1..40), limits in limits(), long in any::<bool>()
    ) {
        match long {
            true => follow(ChainLog::long(), limits, Link::Direct, &rounds),
            false => follow(&every_kind(network().0, PROPOSER), limits, Link::Direct, &rounds),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn and_so_it_does_through_the_socket(rounds in prop::collection::vec(round(), 20..40), limits in limits()) {
        follow(&every_kind(network().0, PROPOSER), limits, Link::Socket, &rounds);
    }
}

#[test]
fn the_start_may_be_interrupted_anywhere() {
    let log = every_kind(network().0, PROPOSER);
    let limits = EvidenceLimits::default();
    let disk = Disk::default();
    let app = open(&log, disk.open(), limits).unwrap();
    assert_eq!(app.commit().unwrap_err().code(), "node.out_of_order");
    let first = app.finalize_block(log.position(1), &log.block(1).txs, &Decision::default());
    assert_eq!(first.unwrap_err().code(), "node.not_ready");
    assert_eq!(app.check_tx(b"tx", false).unwrap_err().code(), "node.not_ready");
    assert_eq!(app.info().unwrap().height, 0);
    // The genesis state is written, and the node killed before anybody heard of it.
    app.init_chain(&init_request(&log)).unwrap();
    disk.kill();
    let app = open(&log, disk.open(), limits).unwrap();
    assert_eq!(handshake(&log, app.as_ref()).unwrap(), 0);
    finalize(&log, app.as_ref(), 1).unwrap();
    // A second genesis between execution and commit of the first block leaves that block.
    assert_eq!(app.init_chain(&init_request(&log)).unwrap(), log.hash(0));
    app.commit().unwrap();
    assert_eq!(app.commit().unwrap_err().code(), "node.out_of_order");
    assert_eq!(app.info().unwrap().app_hash, log.hash(1));
}
