//! Power that is lost, disks that are full or fail, at any change a block makes to them: whatever happens, the node
//! stops with an error, finds one of the two heights that it can be at, and replays to the same state.

use haca_node::{
    NodeError, application::Application as _, evidence_memory::EvidenceLimits, ledger_app::LedgerApp,
};

use crate::{
    chain_log::{ChainLog, network, steps},
    disk::{Disk, Draw, Fault, Survival},
    every_kind::every_kind,
    replica::{Engine, compare, handshake, open, replay},
    world::PROPOSER,
};

/// Opens the ledger and brings it to `to`, as consensus does at every start. `committed` is what it said to have
/// committed, also when it fails.
fn run(log: &ChainLog, disk: &Disk, to: u64, committed: &mut u64) -> Result<(), NodeError> {
    let app = open(log, disk.open(), EvidenceLimits::default())?;
    let ran = bring(log, &app, to, committed);
    if ran.is_err() {
        assert_silent_or_right(log, &app);
    }
    ran
}

fn bring(log: &ChainLog, app: &LedgerApp, to: u64, committed: &mut u64) -> Result<(), NodeError> {
    let start = handshake(log, app)?;
    assert!(
        start == *committed || start == *committed + 1,
        "at {start} after {committed} was committed"
    );
    *committed = start;
    replay(log, app, start + 1, to, committed)?;
    compare(log, app);
    Ok(())
}

/// After a failure the application may refuse everything, but what it answers is right.
fn assert_silent_or_right(log: &ChainLog, app: &LedgerApp) {
    let height = app.info().unwrap().height;
    let Some(view) = app.store().view() else { return };
    assert_eq!(view.tip().app_hash, log.hash(height));
    for (key, value) in log.state(height) {
        if let Ok(found) = view.get(key) {
            assert_eq!(found.as_ref(), Some(value));
        }
    }
    let next = height + 1;
    if next <= log.height()
        && let Ok(found) = app.finalize_block(log.position(next), &log.block(next).txs, &log.decision(next))
    {
        log.check(next, &found);
        let _ = app.commit();
        let height = app.info().unwrap().height;
        assert_eq!(app.info().unwrap().app_hash, log.hash(height));
    }
}

/// The fault is reported as what it is: neither as damage nor as a defect.
fn assert_failure(error: &NodeError, disk: &Disk) {
    assert!(disk.has_failed(), "without a fault: {error}");
    let code = error.code();
    let expected = ["node.store", "node.data_directory", "ledger.state_read"];
    assert!(expected.contains(&code), "{code}: {error}");
    assert!(!error.hint().is_empty());
}

/// A disk as it is between two blocks, and the changes and reads from there to the next height.
struct Stage {
    height: u64,
    disk: Disk,
    changes: u64,
    reads: u64,
}

/// The disks of an undisturbed chain, from an empty database on.
fn stages(log: &ChainLog) -> Vec<Stage> {
    let (mut stages, mut disk) = (Vec::new(), Disk::formatted());
    for height in 0..log.height() {
        let next = disk.copy();
        run(log, &next, height + 1, &mut height.clone()).unwrap();
        stages.push(Stage {
            height,
            changes: next.changes() - disk.changes(),
            reads: next.reads() - disk.reads(),
            disk,
        });
        disk = next;
    }
    stages
}

impl Stage {
    /// A copy of the disk whose `number`th change from here meets a fault, after the fault.
    fn meet(&self, log: &ChainLog, number: u64, fault: Fault) -> (Disk, u64) {
        let disk = self.disk.copy();
        disk.fail_at(disk.changes() + number, fault);
        let mut committed = self.height;
        if let Err(error) = run(log, &disk, self.height + 1, &mut committed) {
            assert_failure(&error, &disk);
        }
        assert!(
            disk.has_failed(),
            "change {number} of {} was not made",
            self.changes
        );
        (disk, committed)
    }

    /// The chain goes on from here, and everything is as it would have been.
    fn go_on(&self, log: &ChainLog, disk: &Disk, mut committed: u64) {
        run(log, disk, log.height().min(self.height + 2), &mut committed).unwrap();
    }
}

fn short() -> ChainLog {
    let (genesis, _) = network();
    ChainLog::record(genesis, PROPOSER, steps(3, 1))
}

#[test]
fn power_lost_at_any_change_of_a_short_chain_costs_nothing() {
    let log = short();
    let mut faults = 0;
    for stage in stages(&log) {
        for number in 1..=stage.changes {
            let mut survivals = vec![Survival::Nothing, Survival::Some(number)];
            if number % 4 == 0 {
                survivals.push(Survival::Everything);
            }
            for survival in survivals {
                let (disk, committed) = stage.meet(&log, number, Fault::PowerLoss);
                disk.cut_power(survival);
                stage.go_on(&log, &disk, committed);
                faults += 1;
            }
        }
    }
    assert!(faults > 250, "{faults} faults");
}

#[test]
fn power_lost_anywhere_in_chains_of_every_kind_costs_nothing() {
    let (genesis, _) = network();
    let every = every_kind(genesis, PROPOSER);
    let mut draw = Draw(7);
    for log in [&every, ChainLog::long()] {
        for stage in stages(log) {
            let number = 1 + draw.below(stage.changes);
            let (disk, committed) = stage.meet(log, number, Fault::PowerLoss);
            disk.cut_power(Survival::Some(draw.below(u64::MAX)));
            stage.go_on(log, &disk, committed);
        }
    }
}

#[test]
fn power_lost_again_while_recovering_costs_nothing() {
    let log = short();
    let mut draw = Draw(11);
    for stage in stages(&log) {
        let number = 1 + draw.below(stage.changes);
        let (disk, committed) = stage.meet(&log, number, Fault::PowerLoss);
        disk.cut_power(Survival::Some(number));
        let calm = disk.copy();
        stage.go_on(&log, &calm, committed);
        for again in 1..=calm.changes() - disk.changes() {
            let disk = disk.copy();
            disk.fail_at(disk.changes() + again, Fault::PowerLoss);
            let mut committed = committed;
            let to = log.height().min(stage.height + 2);
            if let Err(error) = run(&log, &disk, to, &mut committed) {
                assert_failure(&error, &disk);
            }
            disk.cut_power(Survival::Some(again));
            run(&log, &disk, to, &mut committed).unwrap();
        }
    }
}

#[test]
fn a_full_or_failing_disk_is_an_error_and_the_chain_goes_on_once_it_works() {
    let log = short();
    for stage in stages(&log) {
        for number in 1..=stage.changes {
            for fault in [Fault::Full, Fault::Once] {
                let (disk, committed) = stage.meet(&log, number, fault);
                // The process ends; the system goes on, or power goes, too.
                match number % 2 {
                    0 => disk.kill(),
                    _ => disk.cut_power(Survival::Some(number)),
                }
                stage.go_on(&log, &disk, committed);
            }
        }
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_never_an_answer() {
    let log = short();
    let mut failed = 0;
    for stage in stages(&log) {
        for number in 1..=stage.reads {
            let disk = stage.disk.copy();
            disk.fail_read(disk.reads() + number);
            let mut committed = stage.height;
            if let Err(error) = run(&log, &disk, stage.height + 1, &mut committed) {
                assert_failure(&error, &disk);
                failed += 1;
            }
            disk.kill();
            stage.go_on(&log, &disk, committed);
        }
    }
    assert!(failed > 50, "{failed} reads failed");
}

#[test]
fn the_dev_engine_loses_power_anywhere_and_makes_the_same_chain() {
    let engine = Engine::new();
    let fresh = [Disk::formatted(), Disk::formatted()];
    let calm = fresh.each_ref().map(Disk::copy);
    let expected = engine.run(&calm).unwrap();
    assert_eq!(expected.len() as u64, engine.log.height());
    let mut draw = Draw(13);
    for which in [0, 1] {
        let mut number = fresh[which].changes() + 1;
        while number <= calm[which].changes() {
            let disks = fresh.each_ref().map(Disk::copy);
            disks[which].fail_at(number, Fault::PowerLoss);
            let _ = engine.run(&disks);
            assert!(disks[which].has_failed());
            for disk in &disks {
                disk.cut_power(Survival::Some(draw.below(u64::MAX)));
            }
            assert_eq!(
                engine.run(&disks).unwrap(),
                expected,
                "change {number} of store {which}"
            );
            number += 1 + draw.below(6);
        }
    }
}
