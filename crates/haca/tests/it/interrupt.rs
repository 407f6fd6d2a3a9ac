//! Proofs that are not made to the end: killed, interrupted, or too large for the memory. Nothing unfinished stays.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use haca_wire::Encode as _;
use serde_json::Value;

use crate::local::{Running, haca, json};
use crate::network::cnn;

/// Inferences in a proof that takes seconds.
const MANY: usize = 64;

fn digits(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/digits")
        .join(name)
}

/// `haca zk prove` of `count` digits into a directory.
fn prove(out: &Path, count: &str) -> Command {
    let mut command = haca();
    command
        .args(["zk", "prove", "--model"])
        .arg(digits("digits.haca"))
        .arg("--input")
        .arg(digits("test.npz"))
        .args(["--count", count, "--out"])
        .arg(out);
    command
}

/// `haca zk prove` of a convolutional network that takes seconds; its files go to `from`.
fn prove_long(from: &Path, out: &Path) -> Command {
    let model = cnn([28, 28, 1], &[&[(6, 5, 2)], &[(16, 5, 0)]], &[120, 84, 10]);
    std::fs::write(from.join("long.haca"), model.encode()).unwrap();
    let mut samples = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({MANY}, 784), }}");
    samples.extend(format!("{header:<117}\n").into_bytes());
    samples.extend((0..MANY * 784).flat_map(|i| ((i % 100) as f32).to_le_bytes()));
    std::fs::write(from.join("long.npy"), samples).unwrap();
    let mut command = haca();
    command
        .args(["zk", "prove", "--model"])
        .arg(from.join("long.haca"))
        .arg("--input")
        .arg(from.join("long.npy"))
        .args(["--count", &MANY.to_string(), "--out"])
        .arg(out);
    command
}

/// Starts a long command and returns once it tells that `step` is done: the next one is in work.
fn started(command: &mut Command, step: &str) -> Running {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let done = format!("✓ {step}");
    let told = lines.any(|line| line.contains(&done));
    assert!(told, "{step} is not done");
    // Whoever writes to a pipe that nobody reads fails for that reason.
    std::thread::spawn(move || lines.for_each(drop));
    running
}

/// The names in a directory, hidden ones too; none when there is no directory.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn signal(running: &Running, name: &str) {
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// Exit code of a command that was started, and the JSON object on stdout.
fn end(mut running: Running) -> (Option<i32>, Value) {
    let status = running.0.wait().unwrap();
    let mut out = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let value = serde_json::from_str(&out).expect("one JSON object on stdout");
    (status.code(), value)
}

const WHOLE: [&str; 4] = ["model.vk", "proof.bin", "registration.bin", "statement.bin"];

#[test]
fn a_killed_proof_leaves_nothing_and_the_next_run_is_whole() {
    let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().join("proof");
    let mut running = started(&mut prove_long(from.path(), &out), "infer");
    running.kill();
    assert_eq!(names(dir.path()), [""; 0]);
    // What a crash in the middle of a write leaves is gone after the next run, and an old proof is never left beside a
    // new statement.
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join(".proof.bin.new"), "half").unwrap();
    std::fs::write(out.join("proof.bin"), "older").unwrap();
    assert_eq!(json(&mut prove(&out, "1")).0, 0);
    assert_eq!(names(&out), WHOLE);
    assert_eq!(json(haca().args(["zk", "verify"]).arg(&out)).0, 0);
}

#[test]
fn an_interrupted_proof_ends_with_its_own_exit_code_and_leaves_nothing() {
    for name in ["-INT", "-TERM"] {
        let (dir, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let out = dir.path().join("proof");
        let running = started(prove_long(from.path(), &out).arg("--json"), "infer");
        signal(&running, name);
        let (code, value) = end(running);
        assert_eq!(code, Some(130), "{value}");
        assert_eq!(value["error"]["code"], "prover.cancelled", "{value}");
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

#[test]
fn an_interrupted_score_leaves_no_scorecard() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("digits.haca-score");
    let mut score = haca();
    score
        .args(["--json", "model", "score"])
        .arg(digits("digits.haca"))
        .arg("--test")
        .arg(digits("test.npz"))
        .args(["--batch", "1", "--out"])
        .arg(&out);
    let running = started(&mut score, "register");
    signal(&running, "-INT");
    let status = { running }.0.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn what_does_not_fit_into_memory_is_refused_with_the_number() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("proof");
    let refused = |command: &mut Command| {
        let (code, value) = json(command);
        assert_eq!(code, 1, "{value}");
        let error = &value["error"];
        assert_eq!(error["code"], "prover.memory", "{value}");
        assert!(!error["hint"].as_str().unwrap().is_empty());
        error["message"].as_str().unwrap().to_owned()
    };
    let message = refused(prove(&out, "1").args(["--memory-limit-mb", "1"]));
    assert!(message.starts_with("the registration needs about "), "{message}");
    assert!(message.ends_with(", 1 MB may be used"), "{message}");
    // The same limit lets one inference through and refuses many.
    assert_eq!(json(prove(&out, "1").env("HACA_MEMORY_LIMIT_MB", "46")).0, 0);
    std::fs::remove_dir_all(&out).unwrap();
    let message = refused(prove(&out, "450").env("HACA_MEMORY_LIMIT_MB", "46"));
    assert!(message.starts_with("the proof needs about "), "{message}");
    assert_eq!(names(dir.path()), [""; 0]);
    // A node refuses its model before it asks the full node anything.
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join("models")).unwrap();
    std::fs::copy(digits("digits.haca"), home.join("models/digits.haca")).unwrap();
    let serve = ["serve", "--node", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"];
    let mut serve = {
        let mut command = haca();
        command
            .args(serve)
            .arg("--home")
            .arg(&home)
            .args(["--memory-limit-mb", "1"]);
        command
    };
    assert!(refused(&mut serve).contains("digits.haca"));
}
