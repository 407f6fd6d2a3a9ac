//! What a block leads to does not depend on what a node remembers, on its threads, or on what else it is asked.

use std::sync::atomic::{AtomicBool, Ordering};

use haca_node::{
    application::{Application as _, FinalizedBlock},
    evidence_memory::EvidenceLimits,
};
use proptest::prelude::*;

use crate::{
    chain_log::{ChainLog, network},
    disk::Disk,
    every_kind::every_kind,
    random::step,
    replica::{compare, handshake, open},
    world::PROPOSER,
};

/// What a node has seen of a block before it executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing.
    Nothing,
    /// Its transactions, one by one and again, then as proposals of its own and of others.
    Everything,
    /// The transactions of other blocks, so that what it remembers is of no use.
    Others,
}

/// Runs the chain, each block executed twice; returns what each led to.
fn run(log: &ChainLog, limits: EvidenceLimits, seen: Seen) -> Vec<FinalizedBlock> {
    let app = open(log, Disk::default().open(), limits).unwrap();
    assert_eq!(handshake(log, app.as_ref()).unwrap(), 0);
    let mut found = Vec::new();
    for height in 1..=log.height() {
        let (position, txs) = (log.position(height), &log.block(height).txs);
        let look = |txs: &[Vec<u8>]| {
            for tx in txs {
                app.check_tx(tx, false).unwrap();
            }
            for tx in txs {
                app.check_tx(tx, true).unwrap();
            }
            let chosen = app.prepare_proposal(position, txs.to_vec(), 1 << 20).unwrap();
            assert!(app.process_proposal(position, &chosen).unwrap());
            app.process_proposal(position, txs).unwrap();
        };
        match seen {
            Seen::Nothing => {}
            Seen::Everything => look(txs),
            Seen::Others => {
                for other in [height.saturating_sub(3).max(1), (height + 3).min(log.height())] {
                    look(&log.block(other).txs);
                }
            }
        }
        let decision = log.decision(height);
        let first = app.finalize_block(position, txs, &decision).unwrap();
        let second = app.finalize_block(position, txs, &decision).unwrap();
        assert_eq!(first, second, "height {height}");
        log.check(height, &first);
        app.commit().unwrap();
        found.push(first);
    }
    compare(log, &app);
    found
}

fn variants() -> impl Iterator<Item = (EvidenceLimits, Seen)> {
    let threads = [1, 2, 8].into_iter();
    threads.flat_map(|threads| {
        [
            (8_192, Seen::Everything),
            (0, Seen::Nothing),
            (1, Seen::Everything),
            (2, Seen::Others),
        ]
        .map(|(answers, seen)| {
            (
                EvidenceLimits {
                    answers,
                    signers: answers,
                    threads,
                },
                seen,
            )
        })
    })
}

fn assert_one_outcome(log: &ChainLog) {
    let expected = run(
        log,
        EvidenceLimits {
            answers: 0,
            signers: 0,
            threads: 1,
        },
        Seen::Nothing,
    );
    for (limits, seen) in variants() {
        assert_eq!(run(log, limits, seen), expected, "{limits:?} {seen:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn random_blocks_lead_to_one_state(steps in prop::collection::vec(step(), 1..40)) {
        let (genesis, _) = network();
        assert_one_outcome(&ChainLog::record(genesis, PROPOSER, steps));
    }
}

#[test]
fn blocks_of_every_kind_lead_to_one_state() {
    let (genesis, _) = network();
    assert_one_outcome(&every_kind(genesis, PROPOSER));
}

#[test]
fn what_is_asked_meanwhile_changes_nothing() {
    let (genesis, _) = network();
    let log = every_kind(genesis, PROPOSER);
    let limits = EvidenceLimits {
        answers: 2,
        signers: 2,
        threads: 2,
    };
    let app = open(&log, Disk::default().open(), limits).unwrap();
    handshake(&log, app.as_ref()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for offset in 0..3 {
            let (log, app, done) = (&log, &app, &done);
            scope.spawn(move || {
                let blocks = log.blocks.iter().cycle().skip(offset * 7);
                for block in blocks {
                    for tx in &block.txs {
                        app.check_tx(tx, offset == 1).unwrap();
                    }
                    let key = haca_wire::state::key::CLOCK;
                    let view = app.store().view().unwrap();
                    let proven = view.prove(key, view.tip().height).unwrap();
                    assert_eq!(proven.value.as_ref(), log.state(view.tip().height).get(key));
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for height in 1..=log.height() {
            crate::replica::finalize(&log, app.as_ref(), height).unwrap();
            app.commit().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    compare(&log, &app);
}
