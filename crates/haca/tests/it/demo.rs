//! `haca demo`, and what can be done with the bundle it leaves.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::local::haca;

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

fn demo(dir: &Path) -> Value {
    let output = haca()
        .args(["demo", "--json", "--data"])
        .arg(dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

#[test]
fn demo_settles_burns_and_verifies_and_its_bundle_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let story = demo(&dir.path().join("network"));
    let settlement = &story["settlement"];
    let fee = number(&settlement["fee"]);
    assert!(fee > 0);
    assert_eq!(
        number(&settlement["payout_after"]) - number(&settlement["payout_before"]),
        fee
    );
    let supply = &story["supply"];
    let burned = number(&settlement["burned"]);
    assert!(burned > 0);
    assert_eq!(number(&supply["before"]) - number(&supply["after"]), burned);
    assert_eq!(
        number(&supply["genesis"]) - number(&supply["burned_total"]),
        number(&supply["after"])
    );
    assert_eq!(
        burned,
        u128::from(settlement["gas"].as_u64().unwrap()) * number(&settlement["base_fee"])
    );
    assert_eq!(story["verification"]["outcome"], "verified");
    assert_eq!(story["answer"], story["label"]);
    assert!(story["proof"]["security_bits"].as_f64().unwrap() >= 128.0);
    assert!(story["proof"]["security_bits_union"].as_f64().unwrap() >= 124.0);

    let bundle = Path::new(story["files"]["bundle"].as_str().unwrap());
    let trust = std::fs::read_to_string(story["files"]["trust"].as_str().unwrap()).unwrap();
    let apart = tempfile::tempdir().unwrap();
    let copy = apart.path().join("bundle.haca");
    std::fs::copy(bundle, &copy).unwrap();
    let verify = |path: &Path, trust: &str| {
        let status = haca()
            .arg("verify")
            .arg(path)
            .args(["--trust", trust, "--quiet", "--json"])
            .output();
        status.unwrap().status.code().unwrap()
    };
    assert_eq!(verify(&copy, trust.trim()), 0);
    let other = format!("0x{}", "11".repeat(32));
    assert_eq!(verify(&copy, &other), 10, "another genesis hash");

    flip(&std::fs::read(&copy).unwrap(), apart.path(), trust.trim());
    verify_in_empty_root(&copy, trust.trim());
}

/// Changes in a bundle, one at a time, spread over it by a fixed sequence.
const FLIPS: u64 = 2_000;

fn flip(bytes: &[u8], dir: &Path, trust: &str) {
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let check = |worker: u64| {
        let file = dir.join(format!("flipped-{worker}"));
        for round in (worker..FLIPS).step_by(workers as usize) {
            let mut place = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            place ^= place >> 29;
            let mut changed = bytes.to_vec();
            let at = (place % bytes.len() as u64) as usize;
            changed[at] ^= 1 << (place >> 61);
            std::fs::write(&file, &changed).unwrap();
            let output = haca()
                .arg("verify")
                .arg(&file)
                .args(["--trust", trust, "--quiet"])
                .output()
                .unwrap();
            let code = output.status.code().expect("an exit code, not a signal");
            assert!([10, 11].contains(&code), "byte {at} flipped: exit code {code}");
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || check(worker));
        }
    });
}

/// Verifies in a root directory that holds the program, the libraries that it loads, and the bundle, without network.
fn verify_in_empty_root(bundle: &Path, trust: &str) {
    let root = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_haca"));
    let libraries = Command::new("ldd")
        .arg(program)
        .output()
        .expect("ldd lists the libraries");
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.path().join(library.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(library, place).unwrap();
    }
    std::fs::copy(program, root.path().join("haca")).unwrap();
    std::fs::copy(bundle, root.path().join("bundle")).unwrap();
    let apart = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--net", "chroot"])
            .arg(root.path())
            .args(arguments);
        command.output().unwrap()
    };
    let output = apart(&["/haca", "verify", "/bundle", "--trust", trust]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(shown.contains("verified ("), "{shown}");
    let output = apart(&[
        "/haca",
        "verify",
        "/bundle",
        "--trust",
        &format!("0x{}", "11".repeat(32)),
    ]);
    assert_eq!(output.status.code(), Some(10));
}
