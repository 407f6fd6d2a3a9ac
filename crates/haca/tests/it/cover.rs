//! `haca cover`: receipts that wait are settled at once, by one voucher.

use crate::local::{Local, haca, json, wait_for};

#[test]
fn receipts_that_wait_are_settled_by_one_voucher_and_known_to_be() {
    let local = Local::start();
    // Time enough for a voucher: the node waits for others to share its gas with.
    let _serving = local.serve_with(&["--batch-wait-s", "3600"]);
    let command = |name: &str, more: &[&str]| {
        let (code, told) = json(haca().arg(name).args(["--data"]).arg(local.path()).args(more));
        assert_eq!(code, 0, "{told}");
        told
    };
    let none = command("cover", &[]);
    assert_eq!(none["vouchers"].as_array().unwrap().len(), 0);
    let receipts: Vec<String> = ["1", "2", "3"]
        .iter()
        .map(|row| {
            let told = command("infer", &["--evidence", "signed", "--no-wait", "--row", row]);
            told["receipt"]["hash"].as_str().unwrap().to_owned()
        })
        .collect();
    let covered = command("cover", &[]);
    let vouchers = covered["vouchers"].as_array().unwrap();
    assert_eq!(vouchers.len(), 1, "{covered}");
    assert_eq!(
        (&vouchers[0]["count"], &vouchers[0]["state"]),
        (&3.into(), &"settled".into()),
        "{covered}"
    );
    assert_eq!(vouchers[0]["total"], "1500");
    let bundles = covered["bundles"].as_array().unwrap();
    assert_eq!(bundles.len(), 3, "{covered}");
    for bundle in bundles {
        let bundle = bundle.as_str().unwrap();
        let verify = |more: &[&str]| {
            let mut verify = haca();
            verify
                .args(["verify", bundle, "--trust", &local.domain().genesis.to_string()])
                .args(more);
            json(&mut verify)
        };
        let (code, report) = verify(&["--accept-signed"]);
        assert_eq!((code, &report["outcome"]), (0, &"verified".into()), "{report}");
        assert_eq!(verify(&[]).0, 12);
    }
    let claims = command("claim", &[]);
    for line in claims["receipts"].as_array().unwrap() {
        assert!(receipts.iter().any(|receipt| line["receipt"] == receipt.as_str()));
        assert_eq!(line["state"], "settled", "{line}");
        assert!(
            line["detail"].as_str().unwrap().contains("under a voucher"),
            "{line}"
        );
    }
    assert_eq!(claims["receipts"].as_array().unwrap().len(), 3);
    let again = command("cover", &[]);
    assert_eq!(again["vouchers"].as_array().unwrap().len(), 0, "{again}");
    assert_eq!(again["bundles"].as_array().unwrap().len(), 0, "{again}");
    // A bundle that is lost is made again.
    std::fs::remove_file(bundles[1].as_str().unwrap()).unwrap();
    let made = command("cover", &[]);
    assert!(
        made["bundles"].as_array().unwrap().contains(&bundles[1]),
        "{made}"
    );
    assert!(std::path::Path::new(bundles[1].as_str().unwrap()).exists());
    a_damaged_voucher_keeps_no_receipt_from_being_looked_at(&local);
}

fn a_damaged_voucher_keeps_no_receipt_from_being_looked_at(local: &Local) {
    let damaged = local.path().join("user/vouchers/0-damaged.voucher");
    std::fs::write(&damaged, [7; 10]).unwrap();
    let output = haca()
        .args(["claim", "--json", "--data"])
        .arg(local.path())
        .output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(11), "{told}");
    assert!(
        told.contains("warning") && told.contains("0-damaged.voucher"),
        "{told}"
    );
    let claims: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for line in claims["receipts"].as_array().unwrap() {
        assert_eq!(line["state"], "settled", "{line}");
    }
    assert_eq!(claims["receipts"].as_array().unwrap().len(), 3);
    let skipped = claims["skipped"].as_array().unwrap();
    assert_eq!(
        (skipped.len(), &skipped[0]["code"]),
        (1, &"client.voucher_store".into())
    );
}

/// A voucher settles no later than the first of its receipts: one that missed its time would keep the others from being
/// covered for ever.
#[test]
fn a_receipt_whose_time_has_passed_is_left_out() {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let infer = |row: &str| {
        let mut infer = haca();
        infer.args([
            "infer",
            "--evidence",
            "signed",
            "--no-wait",
            "--row",
            row,
            "--data",
        ]);
        let (code, told) = json(infer.arg(local.path()));
        assert_eq!(code, 0, "{told}");
    };
    let mut serving = local.serve_with(&["--batch-wait-s", "3600"]);
    infer("1");
    serving.kill();
    let late = local.node().clock().unwrap().tick.0 + 201;
    wait_for("the end of the order", || {
        local.node().clock().unwrap().tick.0 > late
    });
    let _serving = local.serve_with(&["--batch-wait-s", "3600"]);
    infer("2");
    infer("3");
    let (code, covered) = json(haca().args(["cover", "--data"]).arg(local.path()));
    let vouchers = covered["vouchers"].as_array().unwrap();
    assert_eq!((code, vouchers.len()), (0, 1), "{covered}");
    assert_eq!(
        (
            &vouchers[0]["first"],
            &vouchers[0]["count"],
            &vouchers[0]["state"]
        ),
        (&1.into(), &2.into(), &"settled".into()),
        "{covered}"
    );
}

/// An answer that failed its checks stays on disk as evidence. It is not paid for.
#[test]
fn what_was_refused_is_not_covered() {
    let local = Local::start();
    let _serving = local.serve_with(&["--batch-wait-s", "3600"]);
    let command = |name: &str, more: &[&str]| {
        let (code, told) = json(haca().arg(name).args(["--data"]).arg(local.path()).args(more));
        assert_eq!(code, 0, "{told}");
        told
    };
    for row in ["1", "2", "3"] {
        let told = command("infer", &["--evidence", "signed", "--no-wait", "--row", row]);
        if row == "3" {
            let dir = told["files"]["dir"].as_str().unwrap();
            let path = std::path::Path::new(dir).join("response.json");
            let mut response = std::fs::read(&path).unwrap();
            response[0] ^= 1;
            std::fs::write(&path, response).unwrap();
        }
    }
    let covered = command("cover", &[]);
    let vouchers = covered["vouchers"].as_array().unwrap();
    assert_eq!(
        (vouchers.len(), &vouchers[0]["count"]),
        (1, &2.into()),
        "{covered}"
    );
}
