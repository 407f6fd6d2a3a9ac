//! A model's accuracy, proved by one process and verified by another that has nothing but the file.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::local::{haca, json};

fn digits(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/digits")
        .join(name)
        .canonicalize()
        .unwrap()
}

/// `haca model score` on the held-back digits.
fn score(out: &Path, options: &[&str]) -> Value {
    let (code, report) = json(
        haca()
            .args(["model", "score"])
            .arg(digits("digits.haca"))
            .arg("--test")
            .arg(digits("test.npz"))
            .arg("--out")
            .arg(out)
            .args(options),
    );
    assert_eq!(code, 0, "{report}");
    report
}

/// `haca verify` in a directory that holds the scorecard and nothing else.
fn verify(bytes: &[u8], options: &[&str]) -> (i32, Value) {
    let apart = tempfile::tempdir().unwrap();
    std::fs::write(apart.path().join("it.haca-score"), bytes).unwrap();
    json(
        haca()
            .current_dir(apart.path())
            .args(["verify", "it.haca-score"])
            .args(options),
    )
}

fn state<'a>(report: &'a Value, id: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == id);
    check.map_or("absent", |check| check["state"].as_str().unwrap())
}

#[test]
fn the_accuracy_on_all_held_back_digits_is_proved_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("digits.haca-score");
    let claim = score(&out, &[]);
    assert_eq!((&claim["total"], &claim["proofs"]), (&450.into(), &1.into()));
    assert!(claim["accuracy"].as_f64().unwrap() > 0.97, "{claim}");
    let bytes = std::fs::read(&out).unwrap();
    assert_eq!(claim["bytes"], bytes.len());

    let (code, report) = verify(&bytes, &[]);
    assert_eq!((code, &report["outcome"]), (0, &"verified".into()), "{report}");
    for key in [
        "model_id",
        "name",
        "test_set_root",
        "correct",
        "total",
        "accuracy",
        "proofs",
        "bytes",
    ] {
        assert_eq!(report[key], claim[key], "{key}");
        assert!(!report[key].is_null(), "{key}");
    }
    assert!(report["verify_ms"].is_number());
    assert_eq!(state(&report, "scorecard.expected_set"), "not checked");

    // What the verifier knows is compared.
    let test = digits("test.npz");
    let (test, other) = (test.to_str().unwrap(), digits("calibration.npz"));
    let (id, root) = (
        claim["model_id"].as_str().unwrap(),
        claim["test_set_root"].as_str().unwrap(),
    );
    let (code, report) = verify(&bytes, &["--test", test, "--model", id]);
    assert_eq!((code, state(&report, "scorecard.expected_set")), (0, "pass"));
    assert_eq!(verify(&bytes, &["--test-root", root]).0, 0);
    let elsewhere = format!("0x{}", "11".repeat(32));
    let (code, report) = verify(&bytes, &["--test-root", &elsewhere]);
    assert_eq!((code, state(&report, "scorecard.expected_set")), (10, "fail"));
    assert!(!report["hints"].as_array().unwrap().is_empty(), "{report}");
    assert_eq!(verify(&bytes, &["--model", &elsewhere]).0, 12);
    // Wrong command lines are told from wrong files.
    for options in [
        &["--test", other.to_str().unwrap(), "--key", "z"][..],
        &["--test-root", "0x12"],
        &["--model", "x"],
    ] {
        let (code, report) = verify(&bytes, options);
        assert_eq!(code, 2, "{options:?}: {report}");
        assert!(report["error"]["hint"].is_string(), "{options:?}: {report}");
    }

    // One bit anywhere.
    for at in [9, 5000, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let (code, report) = verify(&changed, &[]);
        assert_eq!((code, &report["outcome"]), (10, &"rejected".into()), "byte {at}");
        assert!(report["accuracy"].is_null(), "byte {at}");
    }
    // Text for people.
    let text = haca().arg("verify").arg(&out).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["digits", id, root, "of 450", "verified", "scorecard.selection"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn several_proofs_are_as_good_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("digits.haca-score");
    let claim = score(&out, &["--batch", "200"]);
    assert_eq!((&claim["total"], &claim["proofs"]), (&450.into(), &3.into()));
    let bytes = std::fs::read(&out).unwrap();
    let (code, report) = verify(&bytes, &["--test", digits("test.npz").to_str().unwrap()]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["correct"], claim["correct"]);
}

#[test]
fn what_cannot_be_scored_is_refused_before_proving() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("none");
    let (model, test) = (digits("digits.haca"), digits("test.npz"));
    let json_samples = dir.path().join("samples.json");
    std::fs::write(&json_samples, br#"{"input_data": [[0.5]]}"#).unwrap();
    let cases: [(&Path, &[&str], &str); 4] = [
        (&test, &["--batch", "0"], "cli.batch"),
        (&test, &["--batch", "1000000"], "cli.batch"),
        (&test, &["--key", "z"], "onnx.sample_file"),
        (&json_samples, &[], "cli.no_labels"),
    ];
    for (test, options, code) in cases {
        let (exit, report) = json(
            haca()
                .args(["model", "score"])
                .arg(&model)
                .arg("--test")
                .arg(test)
                .arg("--out")
                .arg(&out)
                .args(options),
        );
        assert_eq!((exit, &report["error"]["code"]), (2, &code.into()), "{report}");
    }
    assert!(!out.exists());
}

#[test]
fn import_takes_every_option_and_explains() {
    let dir = tempfile::tempdir().unwrap();
    let import = |name: &str, options: &[&str]| {
        let out = dir.path().join(name);
        let (code, report) = json(
            haca()
                .args(["model", "import"])
                .arg(digits("digits.onnx"))
                .arg("--calibration")
                .arg(digits("calibration.npz"))
                .arg("--out")
                .arg(&out)
                .args(["--name", "digits"])
                .args(options),
        );
        (code, report, std::fs::read(&out).unwrap_or_default())
    };
    let (code, report, plain) = import("plain", &[]);
    assert_eq!((code, report["explanation"].is_null()), (0, true), "{report}");
    let spelled = "--calibrate minmax --multiplier-bits 2 --table-bits 10";
    let spelled: Vec<&str> = spelled.split(' ').collect();
    assert_eq!(import("spelled", &spelled).2, plain, "the defaults");
    for options in [
        &["--multiplier-bits", "8"][..],
        &["--calibrate", "mse"],
        &["--calibrate", "percentile"],
        &["--calibrate", "percentile=99"],
        &["--per-tensor"],
        &["--bias-correction"],
    ] {
        let (code, report, model) = import("other", options);
        assert_eq!(code, 0, "{options:?}: {report}");
        assert_ne!(model, plain, "{options:?} changes the model");
    }
    let (code, report, explained) = import("explained", &["--explain"]);
    assert_eq!((code, &explained), (0, &plain), "an explanation changes nothing");
    let layers = report["explanation"]["layers"].as_array().unwrap();
    assert!(layers.len() >= 2, "{report}");
    assert!(
        layers
            .iter()
            .any(|layer| layer["sqnr_db"].as_f64().is_some_and(|db| db > 20.0))
    );
    for key in [
        "name",
        "op",
        "shape",
        "dtype",
        "scale",
        "max_abs_err",
        "saturated",
    ] {
        assert!(layers.iter().all(|layer| !layer[key].is_null()), "{key}");
    }
    for options in [
        &["--multiplier-bits", "17"][..],
        &["--table-bits", "7"],
        &["--calibrate", "percentile=20"],
    ] {
        let (code, report, _) = import("refused", options);
        assert_eq!(
            (code, &report["error"]["code"]),
            (2, &"onnx.option".into()),
            "{options:?}: {report}"
        );
    }
}
