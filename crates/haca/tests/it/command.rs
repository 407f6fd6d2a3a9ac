//! Commands that need no network, and clear errors.

use std::path::PathBuf;

use crate::local::{haca, json};

fn digits(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/digits")
        .join(name)
}

#[test]
fn import_prove_verify_and_tamper() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("digits.haca");
    let (code, report) = json(
        haca()
            .args(["model", "import"])
            .arg(digits("digits.onnx"))
            .arg("--calibration")
            .arg(digits("calibration.npz"))
            .arg("--test")
            .arg(digits("test.npz"))
            .args(["--name", "digits", "--out"])
            .arg(&model),
    );
    assert_eq!(code, 0, "{report}");
    let fidelity = &report["fidelity"];
    let (float, integer) = (&fidelity["accuracy_float"], &fidelity["accuracy_integer"]);
    assert!(
        (float.as_f64().unwrap() - integer.as_f64().unwrap()).abs() <= 0.005,
        "{fidelity}"
    );
    assert_eq!(json(haca().args(["model", "show"]).arg(&model)).0, 0);

    let out = dir.path().join("proof");
    let (code, proved) = json(
        haca()
            .args(["zk", "prove", "--model"])
            .arg(&model)
            .arg("--input")
            .arg(digits("test.npz"))
            .args(["--count", "3", "--out"])
            .arg(&out),
    );
    assert_eq!(code, 0, "{proved}");
    let id = proved["model_id"].as_str().unwrap();
    assert_eq!(
        json(haca().args(["zk", "verify"]).arg(&out).args(["--model", id])).0,
        0
    );
    let other = format!("0x{}", "22".repeat(32));
    assert_eq!(
        json(haca().args(["zk", "verify"]).arg(&out).args(["--model", &other])).0,
        10
    );
    let proof = out.join("proof.bin");
    let mut bytes = std::fs::read(&proof).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&proof, &bytes).unwrap();
    let (code, rejected) = json(haca().args(["zk", "verify"]).arg(&out));
    assert_eq!((code, rejected["outcome"].as_str()), (10, Some("rejected")));

    let (code, params) = json(haca().args(["zk", "params"]).arg(&model));
    assert_eq!(code, 0);
    assert!(params["security_bits"].as_f64().unwrap() >= 128.0, "{params}");
    assert!(
        params["security_bits_union"].as_f64().unwrap() >= 124.0,
        "{params}"
    );
}

#[test]
fn bench_prints_every_documented_key() {
    let (code, figures) = json(
        haca()
            .args(["bench", "zk", "--runs", "1", "--profile", "--onnx"])
            .arg(digits("digits.onnx"))
            .arg("--input")
            .arg(digits("test.npz"))
            .arg("--test")
            .arg(digits("test.npz")),
    );
    assert_eq!(code, 0, "{figures}");
    for key in [
        "params",
        "macs",
        "security_bits",
        "security_bits_union",
        "regime",
        "quantise_ms",
        "register_ms",
        "infer_ms",
        "infer_runs",
        "prove_ms",
        "verify_ms",
        "proof_bytes",
        "peak_rss_bytes",
        "stages",
        "fidelity",
    ] {
        assert!(!figures[key].is_null(), "{key} is missing in {figures}");
    }
    for stage in [
        "witness",
        "commit",
        "lookups",
        "folds",
        "sumchecks",
        "openings",
        "encode",
        "release",
    ] {
        let ms = figures["stages"][format!("{stage}_ms")].as_f64();
        assert!(ms.is_some_and(|ms| ms > 0.0), "{stage} in {figures}");
    }
    let profile = &figures["profile"];
    let bytes = profile["bytes"].as_object().unwrap().values();
    let sum: u64 = bytes.map(|part| part.as_u64().unwrap()).sum();
    assert_eq!(Some(sum), figures["proof_bytes"].as_u64(), "{profile}");
    assert!(profile["page_faults"].is_u64(), "{profile}");
    assert!(!profile["threads"].as_array().unwrap().is_empty(), "{profile}");
    for work in ["registration_memory", "proof_memory"] {
        let memory = &profile[work];
        let (estimate, peak) = (&memory["estimate_bytes"], &memory["peak_bytes"]);
        assert!(estimate.as_u64() >= peak.as_u64() && peak.is_u64(), "{memory}");
    }
    for key in ["rows", "argmax_agree", "max_abs_err", "mean_abs_err"] {
        assert!(!figures["fidelity"][key].is_null(), "fidelity.{key} is missing");
    }
}

#[test]
fn errors_have_code_hint_and_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let junk = dir.path().join("junk");
    std::fs::write(&junk, b"no model").unwrap();
    let trust = format!("0x{}", "33".repeat(32));
    let (junk_path, empty) = (junk.to_str().unwrap(), dir.path().to_str().unwrap());
    let cases: &[(i32, &[&str])] = &[
        (2, &["model", "show", junk_path]),
        (2, &["model", "show", "/nonexistent/model.haca"]),
        (
            2,
            &[
                "model",
                "import",
                junk_path,
                "--calibration",
                junk_path,
                "--out",
                junk_path,
            ],
        ),
        (2, &["zk", "params", junk_path]),
        (2, &["zk", "verify", "/nonexistent/proof"]),
        (2, &["supply", "--data", empty]),
        (2, &["infer", "--data", empty]),
        (20, &["supply", "--node", "http://127.0.0.1:9"]),
        (2, &["verify", "x", "--trust", "zz"]),
        (2, &["verify", "/nonexistent/bundle", "--trust", &trust]),
        (2, &["verify", &trust, "--trust", &trust]),
        (
            2,
            &[
                "verify",
                &trust,
                "--trust",
                &trust,
                "--node",
                "http://127.0.0.1:9",
            ],
        ),
        (2, &["demo", "--data", empty]),
    ];
    for (expected, arguments) in cases {
        let (code, value) = json(haca().args(*arguments));
        assert_eq!(code, *expected, "{arguments:?}: {value}");
        for key in ["code", "message", "hint"] {
            let text = value["error"][key].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{arguments:?}: no {key} in {value}");
        }
    }
    assert_eq!(std::fs::read(&junk).unwrap(), b"no model", "nothing is lost");
    let rejected = haca()
        .arg("verify")
        .arg(&junk)
        .args(["--trust", &trust])
        .output()
        .unwrap();
    assert_eq!(
        rejected.status.code(),
        Some(10),
        "bytes that are no bundle are rejected"
    );
}

/// What the search prints is sorted by its objective, and the first of it is what the model is registered with.
/// What no vote can do is refused before a node is asked.
#[test]
fn a_proposal_names_parameters_that_a_vote_changes() {
    let key = format!("0x{}", "22".repeat(32));
    let account = format!("0x{}", "33".repeat(20));
    let drafted = |what: &[&str]| {
        haca()
            .args(["tx", "draft", "--from", &account, "propose", "--key", &key])
            .args(what)
            .output()
            .unwrap()
    };
    for (what, expected) in [
        (&["--set", "tx_lifetime=1"][..], "no vote changes `tx_lifetime`"),
        (&["--set", "tx_gas"], "expected NAME=VALUE"),
        (&["--set", "tx_gas=-1"], "value of tx_gas"),
        (&["--upgrade", "2"], "expected VERSION@HEIGHT"),
        (&["--upgrade", "2@9", "--cancel", "1"], "cannot be used with"),
        (&["--set", "tx_gas=9", "--cancel", "1"], "cannot be used with"),
        (&["--set", "tx_gas=9", "--set", "tx_gas=8"], "tx_gas is set twice"),
        (&[], "required"),
    ] {
        let output = drafted(what);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{what:?}: {told}");
        assert!(told.contains(expected), "{what:?}: {told}");
    }
}

#[test]
fn search_prints_what_it_looks_at() {
    let model = digits("digits.haca");
    let search = |objective: &str| {
        let (code, found) = json(
            haca()
                .args(["zk", "search", "--top", "1000"])
                .args(["--objective", objective])
                .arg(&model),
        );
        assert_eq!(code, 0);
        found
    };
    let best = |found: &serde_json::Value, key: &str| {
        let sum = |list: &str| found[list][0][key].as_f64().unwrap();
        sum("weights") + sum("witness")
    };
    let (fast, small) = (search("fast"), search("small"));
    assert!(best(&fast, "prove_ms") < best(&small, "prove_ms"));
    assert!(best(&small, "bytes") < best(&fast, "bytes"));
    let balanced = search("balanced");
    for list in ["weights", "witness"] {
        let tried = usize::try_from(balanced["tried"][list].as_u64().unwrap()).unwrap();
        assert_eq!(balanced[list].as_array().unwrap().len(), tried);
        assert!(tried > 10);
    }
    let (code, refused) = json(haca().args(["zk", "search", "--batch", "5000"]).arg(&model));
    assert_eq!((code, &refused["error"]["code"]), (2, &"cli.batch".into()));
}
