//! The real binary, killed with SIGKILL under load, damaged, and misused.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use haca_node::{Genesis, home::Home};
use serde_json::Value;

use super::{
    engine::{PATIENCE, PAUSE, wait},
    ledger::{chain, network, transfer},
};

struct Process {
    child: Child,
    url: String,
}

fn command(home: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haca-node"));
    command.args([
        "start",
        "--listen",
        "127.0.0.1:0",
        "--block-ms",
        "5",
        "--idle-ms",
        "20",
        "--home",
    ]);
    command.arg(home).args(extra).stdin(Stdio::null());
    command
}

fn start(home: &Path, extra: &[&str]) -> Process {
    let mut child = command(home, extra)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the node says where it listens");
    Process {
        child,
        url: ready["url"].as_str().unwrap().to_owned(),
    }
}

impl Process {
    fn get(&self, path: &str) -> Option<Value> {
        let mut answer = ureq::get(format!("{}{path}", self.url)).call().ok()?;
        serde_json::from_slice(&answer.body_mut().read_to_vec().ok()?).ok()
    }

    /// Height and application hash, as of one commit.
    fn tip(&self) -> Option<(u64, String)> {
        let status = self.get("/v1/status")?;
        Some((
            status["app_height"].as_u64()?,
            status["app_hash"].as_str()?.to_owned(),
        ))
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends transfers until told to stop, and watches the chain.
fn load(
    process: &Process,
    genesis: &Genesis,
    next: &AtomicU64,
    stop: &AtomicBool,
    seen: &mut Vec<(u64, String)>,
) {
    while !stop.load(Ordering::SeqCst) {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let height = seen.last().map_or(1, |(height, _)| *height);
        let tx = transfer(genesis, number, 1, height + 300);
        let _ = ureq::post(format!("{}/v1/tx", process.url)).send(&tx[..]);
        if let Some(tip) = process.tip() {
            seen.push(tip);
        }
    }
}

/// Kills the node `times` times under load; returns every height and application hash it ever reported.
fn kill_repeatedly(home: &Path, genesis: &Genesis, times: u64, extra: &[&str]) -> Vec<(u64, String)> {
    let (next, mut seen) = (AtomicU64::new(0), Vec::new());
    for round in 0..times {
        let process = start(home, extra);
        let reached = wait(|| process.tip());
        if let Some((height, _)) = seen.last() {
            assert!(
                reached.0 >= *height,
                "round {round}: restarted at {} after {height}",
                reached.0
            );
        }
        let enough = reached.0 + 3 + round % 4;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let mut seen = vec![reached.clone()];
                load(&process, genesis, &next, &stop, &mut seen);
                seen
            });
            wait(|| process.tip().filter(|(height, _)| *height >= enough));
            // A moment inside a block that differs from round to round.
            std::thread::sleep(Duration::from_micros(round * 1_700 % 11_000));
            let mut raw = [0; 2];
            getrandom::fill(&mut raw).unwrap();
            std::thread::sleep(Duration::from_micros(u64::from(u16::from_le_bytes(raw)) % 9_000));
            let pid = rustix::process::Pid::from_child(&process.child);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            stop.store(true, Ordering::SeqCst);
            seen.extend(loading.join().unwrap());
        });
        process.kill();
    }
    seen
}

#[test]
fn killed_twelve_times_under_load_the_chain_is_what_an_uninterrupted_replay_gives() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path(), 4);
    let seen = kill_repeatedly(directory.path(), &genesis, 12, &[]);

    // Opening again executes what was decided and not executed, and checks every replayed hash.
    let home = Home::new(directory.path());
    let after = chain(directory.path(), &genesis, home.keys().unwrap());
    let (height, app_hash) = (after.height(), after.app_hash());
    assert!(seen.iter().all(|(seen, _)| *seen <= height));
    let mut transactions = 0;
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(other.path()).unwrap();
    let mut replay = chain(other.path(), &genesis, home.keys().unwrap());
    for height in 1..=height {
        let block = after.store().block(height).unwrap().unwrap();
        let commit = after.store().commit(height).unwrap().unwrap();
        let tendermint::block::CommitSig::BlockIdFlagCommit { timestamp, .. } = commit.signatures[0] else {
            panic!()
        };
        transactions += block.data.len();
        replay.make_block(block.data.clone(), timestamp).unwrap();
        assert_eq!(
            replay.store().block(height).unwrap().unwrap(),
            block,
            "height {height}"
        );
        let reported = format!("0x{}", hex::encode(replay.app_hash()));
        for (_, hash) in seen.iter().filter(|(seen, _)| *seen == height) {
            assert_eq!(*hash, reported, "height {height}");
        }
    }
    assert_eq!(replay.app_hash(), app_hash);
    assert!(transactions > 12, "the load reached the chain: {transactions}");
}

#[test]
fn killed_with_cometbft_the_orphan_is_ended_and_the_chain_continues() {
    if let Err(error) = haca_node::cometbft::find_binary(None, haca_node::cometbft::COMETBFT_VERSION) {
        panic!("this test needs CometBFT: {error}; {}", error.hint());
    }
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path(), 1);
    let seen = kill_repeatedly(directory.path(), &genesis, 2, &["--engine", "cometbft"]);
    let process = start(directory.path(), &["--engine", "cometbft"]);
    let before = seen.last().unwrap().0;
    wait(|| process.tip().filter(|(height, _)| *height > before));
    for (height, hash) in seen.iter().filter(|(height, _)| *height > 0) {
        let block = wait(|| process.get(&format!("/v1/block/{}", height + 1)));
        assert_eq!(
            format!("0x{}", block["header"]["app_hash"].as_str().unwrap()),
            *hash,
            "height {height}"
        );
    }
    end(process, rustix::process::Signal::TERM);
    assert!(
        !directory.path().join("cometbft/pid").exists(),
        "CometBFT was ended with the node"
    );
}

fn end(mut process: Process, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(&process.child), signal).unwrap();
    assert!(process.child.wait().unwrap().success());
}

/// Files may not grow beyond `kilobytes`: to the node, a disk that is full.
fn start_on_a_full_disk(home: &Path, kilobytes: u64) -> Output {
    let node = command(home, &[]);
    let mut shell = Command::new("bash");
    let limit = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
    shell
        .args(["-c", &limit])
        .arg(node.get_program())
        .args(node.get_args());
    shell.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_full_disk_stops_the_node_with_a_hint_and_the_chain_goes_on_once_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = network(directory.path(), 4);
    end(start(directory.path(), &[]), rustix::process::Signal::TERM);
    let size = |name| std::fs::metadata(directory.path().join(name)).unwrap().len();
    let largest = size("state.redb").max(size("blocks.redb"));
    let output = start_on_a_full_disk(directory.path(), largest / 1024 + 100);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("error[node.engine_failed]") && text.contains("check free space"),
        "{text}"
    );
    assert!(!text.contains("panicked"), "{text}");

    let home = Home::new(directory.path());
    let after = chain(directory.path(), &genesis, home.keys().unwrap());
    let other = tempfile::tempdir().unwrap();
    let mut replay = chain(other.path(), &genesis, home.keys().unwrap());
    for height in 1..=after.height() {
        let block = after.store().block(height).unwrap().unwrap();
        let commit = after.store().commit(height).unwrap().unwrap();
        let tendermint::block::CommitSig::BlockIdFlagCommit { timestamp, .. } = commit.signatures[0] else {
            panic!()
        };
        replay.make_block(block.data, timestamp).unwrap();
    }
    assert_eq!(replay.app_hash(), after.app_hash());
    drop((after, replay));
    end(start(directory.path(), &[]), rustix::process::Signal::TERM);
}

#[test]
fn sigterm_and_sigint_end_the_node_with_success() {
    let directory = tempfile::tempdir().unwrap();
    network(directory.path(), 4);
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        end(start(directory.path(), &[]), signal);
    }
}

/// Runs the node expecting it to refuse; returns its output.
fn refused(home: &Path) -> Output {
    let mut child = command(home, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
    let _ = child.kill();
    child.wait_with_output().unwrap()
}

fn assert_refused(output: &Output, code: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(&format!("error[{code}]")) && text.contains("hint: "),
        "{text}"
    );
    assert!(!text.contains("panicked"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn damaged_stores_are_an_error_with_a_hint_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    network(directory.path(), 4);
    let process = start(directory.path(), &[]);
    wait(|| process.tip().filter(|(height, _)| *height > 3));
    end(process, rustix::process::Signal::TERM);
    for name in ["state.redb", "blocks.redb"] {
        let path = directory.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for damage in 0..4_usize {
            let mut bytes = whole.clone();
            match damage {
                0 => bytes.truncate(100),
                1 => bytes.truncate(whole.len() / 2),
                2 => bytes.fill(0xa5),
                _ => bytes[4096..].fill(0xa5),
            }
            std::fs::write(&path, &bytes).unwrap();
            assert_refused(&refused(directory.path()), "node.store_corrupt");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    end(start(directory.path(), &[]), rustix::process::Signal::TERM);
}

#[test]
fn scattered_damage_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    network(directory.path(), 4);
    let process = start(directory.path(), &[]);
    wait(|| process.tip().filter(|(height, _)| *height > 3));
    end(process, rustix::process::Signal::TERM);
    let path = directory.path().join("state.redb");
    let whole = std::fs::read(&path).unwrap();
    for seed in 0..12_usize {
        let mut bytes = whole.clone();
        for step in 0..40_usize {
            let at = (seed * 7_919 + step * 104_729 + seed * step * 31) % bytes.len();
            bytes[at] ^= 0xff;
        }
        std::fs::write(&path, &bytes).unwrap();
        let child = command(directory.path(), &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Some(child);
        // Damage in free pages goes unnoticed, and rightly so: then the node starts.
        let mut line = String::new();
        BufReader::new(child.as_mut().unwrap().stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut child = child.unwrap();
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "seed {seed}: {text}");
        if line.is_empty() {
            assert!(
                text.contains("error[") && text.contains("hint: "),
                "seed {seed}: {text}"
            );
        }
    }
}

#[test]
fn unusable_directories_are_an_error_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    assert_refused(&refused(directory.path()), "node.read");
    network(directory.path(), 4);
    let genesis = std::fs::read(directory.path().join("genesis.json")).unwrap();
    std::fs::write(directory.path().join("genesis.json"), b"{}").unwrap();
    assert_refused(&refused(directory.path()), "node.genesis");
    std::fs::write(directory.path().join("genesis.json"), genesis).unwrap();
    // A directory where the store should be can't be written, whoever runs the test.
    std::fs::create_dir(directory.path().join("state.redb")).unwrap();
    assert_refused(&refused(directory.path()), "node.data_directory");
    std::fs::remove_dir(directory.path().join("state.redb")).unwrap();
    std::fs::write(directory.path().join("validators/0.json"), b"{}").unwrap();
    assert_refused(&refused(directory.path()), "node.key");
}
