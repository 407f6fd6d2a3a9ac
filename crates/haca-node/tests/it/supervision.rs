//! A CometBFT that is missing, of another version, hung, ended or killed: a clear error, and nothing lost.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use haca_node::{
    NodeError,
    application::Application as _,
    cometbft::{CometBft, CometConfig},
    driver::Driver as _,
    home::Home,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{engine::wait, ledger};

fn fake(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cometbft")
        .join(name)
}

/// Starts a stand-in for CometBFT over an empty ledger.
fn start(directory: &Path, binary: PathBuf) -> Result<CometBft, NodeError> {
    let home = Home::new(directory);
    let genesis = ledger::network(directory, 1);
    let config = CometConfig {
        binary: Some(binary),
        start_timeout: Duration::from_millis(300),
        ..CometConfig::default()
    };
    CometBft::start(&config, &home, &genesis, ledger::app(directory, &genesis), || ())
}

fn processes_of(directory: &Path) -> Vec<i32> {
    let home = Home::new(directory)
        .cometbft()
        .into_os_string()
        .into_encoded_bytes();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let number: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
        line.split(|byte| *byte == 0)
            .any(|word| word == home)
            .then_some(number)
    });
    numbers.collect()
}

#[test]
fn a_hung_cometbft_is_told_and_ended_although_it_ignores_requests() {
    let directory = tempfile::tempdir().unwrap();
    let error = start(directory.path(), fake("hung")).err().unwrap();
    assert!(matches!(error, NodeError::CometSilent { .. }), "{error}");
    assert_eq!(processes_of(directory.path()), Vec::<i32>::new());
    assert!(!directory.path().join("cometbft/pid").exists());
}

#[test]
fn an_end_with_status_0_is_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let error = start(directory.path(), fake("quitter")).err().unwrap();
    let told = error.to_string();
    assert!(
        matches!(error, NodeError::CometExited { .. }) && told.contains("exit status: 0"),
        "{told}"
    );
}

#[test]
fn a_missing_or_other_cometbft_is_told_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let error = start(directory.path(), fake("newer")).err().unwrap();
    let NodeError::CometVersion { found, expected, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((found.as_str(), expected.as_str()), ("v0.40.0", "v0.39.4"));
    assert!(error.hint().contains("cargo xtask tools"));
    let other = tempfile::tempdir().unwrap();
    let error = start(other.path(), fake("absent")).err().unwrap();
    assert!(matches!(error, NodeError::CometMissing), "{error}");
    assert!(!other.path().join("cometbft").exists());
}

#[test]
fn a_killed_cometbft_is_told_and_continues_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::new(directory.path());
    let genesis = ledger::network(directory.path(), 1);
    let config = super::cometbft::config();
    let failures = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&failures);
    let app = ledger::app(directory.path(), &genesis);
    let failed = move || {
        told.fetch_add(1, Ordering::SeqCst);
    };
    let comet = CometBft::start(&config, &home, &genesis, app.clone(), failed).unwrap();
    wait(|| (app.info().unwrap().height > 1).then_some(()));
    for number in processes_of(directory.path()) {
        kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    }
    let reason = wait(|| comet.failure());
    assert!(!reason.is_empty());
    wait(|| (failures.load(Ordering::SeqCst) > 0).then_some(()));
    drop(comet);
    let before = app.info().unwrap();
    drop(app);

    let app = ledger::app(directory.path(), &genesis);
    assert_eq!(app.info().unwrap(), before);
    let comet = CometBft::start(&config, &home, &genesis, app.clone(), || ()).unwrap();
    wait(|| (app.info().unwrap().height > before.height + 1).then_some(()));
    comet.stop();
}

/// A node's binary, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn cometbft_ends_with_its_node_however_that_dies() {
    super::cometbft::require_cometbft();
    let directory = tempfile::tempdir().unwrap();
    ledger::network(directory.path(), 1);
    let mut node = Running(
        Command::new(env!("CARGO_BIN_EXE_haca-node"))
            .args([
                "start",
                "--engine",
                "cometbft",
                "--listen",
                "127.0.0.1:0",
                "--home",
            ])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(node.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"url\""), "{line}");
    let running = processes_of(directory.path());
    assert_eq!(running.len(), 1, "one CometBFT");
    let comet = Pid::from_raw(running[0]).unwrap();
    test_kill_process(comet).unwrap();
    node.0.kill().unwrap();
    wait(|| processes_of(directory.path()).is_empty().then_some(()));
}
