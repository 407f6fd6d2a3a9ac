//! `haca node-report`, beside a running node and after it.

use serde_json::Value;

use crate::local::{Local, haca, json, wait_for};

/// The line of a kind of evidence.
fn line<'a>(report: &'a Value, list: &str, evidence: &str) -> &'a Value {
    let lines = report[list].as_array().unwrap();
    let of_kind = |line: &&Value| line["evidence"] == evidence;
    lines.iter().rfind(of_kind).unwrap_or_else(|| panic!("{report}"))
}

fn number(value: &Value) -> i128 {
    value.as_str().unwrap().parse().unwrap()
}

fn report(local: &Local, more: &[&str]) -> Value {
    let (code, report) = json(
        haca()
            .args(["node-report", "--data"])
            .arg(local.path())
            .args(more),
    );
    assert_eq!(code, 0, "{report}");
    report
}

#[test]
fn a_report_shows_what_was_earned_and_burned_beside_the_node_and_after_it() {
    let local = Local::start();
    let mut serving = local.serve();
    let before = report(&local, &["--opg-price", "1=100", "--per-day", "500"]);
    assert!(before["models"].as_array().unwrap().is_empty());
    let zk = line(&before, "forecast", "zk");
    assert_eq!((&zk["fee"], &zk["batch"]), (&"2000".into(), &32.into()));
    // 2,000 units are 0.002 of the asset, 0.2 OPG at this price.
    let each = 200_000_000 - number(&zk["burned_per_inference"]);
    assert_eq!(number(&zk["profit_per_day"]), 500 * each);
    let (fee, burned) = (number(&zk["break_even_fee"]), number(&zk["burned_per_inference"]));
    assert!(fee * 100_000 >= burned && (fee - 1) * 100_000 < burned, "{zk}");

    for (row, evidence) in [("1", "zk"), ("2", "signed")] {
        let mut infer = haca();
        infer
            .args(["infer", "--evidence", evidence, "--row", row, "--data"])
            .arg(local.path());
        assert_eq!(json(&mut infer).0, 0);
    }
    let is_booked = || {
        let report = report(&local, &[]);
        let lines = report["models"].as_array().unwrap();
        lines.len() == 2 && lines.iter().all(|line| line["all"]["settled"] == 1)
    };
    wait_for("the books", is_booked);
    let running = report(&local, &["--opg-price", "1=100"]);
    let zk = line(&running, "models", "zk");
    assert_eq!(
        (&zk["open"], &zk["month"]),
        (&0.into(), &zk["all"]),
        "this month is all"
    );
    let all = &zk["all"];
    assert_eq!(
        (&all["fees"], &all["missed"], &all["void"]),
        (&"2000".into(), &0.into(), &0.into())
    );
    assert_eq!(number(&all["profit"]), 200_000_000 - number(&all["burned"]));
    assert!(all["settlement_ms_p99"].as_u64().unwrap() >= all["settlement_ms_p50"].as_u64().unwrap());
    assert_eq!(
        number(&all["burned"]),
        i128::from(all["gas_per_inference"].as_u64().unwrap())
    );
    assert!(
        line(&running, "forecast", "zk")["prove_ms_per_inference"]
            .as_u64()
            .is_some(),
        "measured by now"
    );

    serving.kill();
    let after = report(&local, &["--opg-price", "1=100"]);
    assert_eq!(after["models"], running["models"]);
    let table = haca()
        .args(["node-report", "--data"])
        .arg(local.path())
        .output()
        .unwrap();
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(
        text.contains("break-even") && text.contains("warranties lost"),
        "{text}"
    );
}

#[test]
fn a_home_that_is_none_and_a_price_that_is_none_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (code, missing) = json(haca().args(["node-report", "--data"]).arg(dir.path()));
    assert_eq!((code, &missing["error"]["code"]), (2, &"cli.no_network".into()));
    let wrong = haca()
        .args(["node-report", "--opg-price", "1:2"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
