//! `haca simulate`: the ledger under every scenario, for a quarter of a year.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::local::{haca, json};

/// What is documented of the scenarios: each has as many statements, each of them true.
const STATEMENTS: [(&str, usize); 9] = [
    ("calm", 3),
    ("opg-collapse", 5),
    ("opg-unobtainable", 5),
    ("demand-boom", 5),
    ("spam", 7),
    ("exodus", 5),
    ("asset-failure", 5),
    ("calm-covered", 6),
    ("opg-unobtainable-covered", 9),
];

/// A run of everything, with its files by name.
struct All {
    report: Value,
    files: BTreeMap<String, String>,
}

fn all() -> &'static All {
    static ALL: OnceLock<All> = OnceLock::new();
    ALL.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let (code, report) = json(
            haca()
                .args(["simulate", "--years", "0.25", "--out"])
                .arg(directory.path()),
        );
        assert_eq!(code, 0, "{report}");
        All {
            report,
            files: files(directory.path()),
        }
    })
}

fn files(directory: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn what_the_documentation_says_of_every_shock_is_true() {
    let scenarios = all().report["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), STATEMENTS.len());
    for (scenario, (name, count)) in scenarios.iter().zip(STATEMENTS) {
        assert_eq!(scenario["scenario"], name);
        let statements = scenario["statements"].as_array().unwrap();
        assert_eq!(statements.len(), count, "{name}");
        for statement in statements {
            let found = statement["found"].as_f64().unwrap();
            let bounds = [&statement["at_least"], &statement["at_most"]].map(Value::as_f64);
            let holds =
                bounds[0].is_none_or(|least| found >= least) && bounds[1].is_none_or(|most| found <= most);
            assert!(holds && found.is_finite(), "{name}: {statement}");
            assert_eq!(statement["holds"], true, "{name}: {statement}");
        }
    }
}

#[test]
fn supplies_are_checked_after_every_block_and_recounted() {
    for scenario in all().report["scenarios"].as_array().unwrap() {
        let blocks = scenario["blocks"].as_u64().unwrap();
        assert!(blocks >= 91 * 4, "{scenario}");
        assert!(
            scenario["recounts"].as_u64().unwrap() >= blocks / 28,
            "{scenario}"
        );
        assert!(scenario["transactions"].as_u64().unwrap() > blocks, "{scenario}");
    }
}

#[test]
fn spam_at_the_floor_price_raises_the_base_fee_and_keeps_nobody_out() {
    let spam = &all().report["scenarios"][4];
    let during = |of: &str, column: &str| spam[of][column]["during"].as_f64().unwrap();
    assert!(during("figures", "base_fee") > during("calm", "base_fee"));
    assert!(during("figures", "budget_use") > during("calm", "budget_use"));
    assert_eq!(during("figures", "missed_inferences"), 0.0);
}

/// Settlement under vouchers goes on for want of OPG where proving everything stops, and it is not the calm run's: users
/// who hold none doubt less.
#[test]
fn without_opg_vouchers_settle_and_fewer_receipts_are_doubted() {
    let scenarios = &all().report["scenarios"];
    let (proven, covered) = (&scenarios[2], &scenarios[8]);
    let during = |run: &Value, of: &str, column: &str| run[of][column]["during"].as_f64().unwrap();
    let settled =
        |run| during(run, "figures", "settled_inferences") / during(run, "calm", "settled_inferences");
    assert!(settled(proven) < 0.7, "{}", settled(proven));
    assert!(settled(covered) > 0.95, "{}", settled(covered));
    let demanded = |of| during(covered, of, "demanded_inferences");
    assert!(demanded("figures") > 0.0);
    assert!(demanded("figures") < demanded("calm"));
    assert_eq!(during(covered, "calm", "forgone_demands"), 0.0);
}

#[test]
fn a_shock_changes_nothing_before_it_happens() {
    let scenarios = all().report["scenarios"].as_array().unwrap();
    // The calm run under vouchers has no shock: its agents differ from the first day on.
    for scenario in scenarios.iter().filter(|it| it["scenario"] != "calm-covered") {
        for column in ["base_fee", "settled_inferences", "opg_usd", "node_profit_usd"] {
            let before = |of: &str| scenario[of][column]["before"].as_f64().unwrap();
            assert_eq!(before("figures"), before("calm"), "{column} of {scenario}");
        }
    }
}

#[test]
fn equal_seeds_give_equal_files_and_other_seeds_other_ones() {
    let run = |scenario: &str, seed: &str, threads: &str| {
        let directory = tempfile::tempdir().unwrap();
        let (code, _) = json(
            haca()
                .args([
                    "simulate",
                    "--years",
                    "0.25",
                    "--scenario",
                    scenario,
                    "--seed",
                    seed,
                ])
                .args(["--threads", threads, "--out"])
                .arg(directory.path()),
        );
        assert_eq!(code, 0);
        files(directory.path())
    };
    // A scenario runs with its reference, and that with its own.
    let again = run("opg-unobtainable-covered", "1", "1");
    assert_eq!(again.len(), 6);
    for (name, text) in &again {
        assert!(all().files[name] == *text, "{name} differs between two runs");
    }
    assert_ne!(run("calm", "2", "1")["calm.csv"], again["calm.csv"]);
}

#[test]
fn every_scenario_has_a_table_of_all_days_and_a_plot() {
    for (name, _) in STATEMENTS {
        let table = &all().files[&format!("{name}.csv")];
        let mut lines = table.lines();
        let columns = lines.next().unwrap().split(',').count();
        let days: Vec<_> = lines.collect();
        assert_eq!(days.len(), 91);
        for (day, line) in days.iter().enumerate() {
            let values: Vec<f64> = line.split(',').map(|value| value.parse().unwrap()).collect();
            assert_eq!((values.len(), values[0]), (columns, day as f64));
            assert!(values.iter().all(|value| value.is_finite()), "{line}");
        }
        let plot = &all().files[&format!("{name}.svg")];
        assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n"));
        // Labels speak of inferences; a number that is none stands between spaces, commas or quotes.
        let words = plot.split([' ', ',', '"', '\n']);
        let odd: Vec<&str> = words
            .filter(|word| matches!(*word, "NaN" | "inf" | "-inf"))
            .collect();
        assert!(odd.is_empty(), "{name}: {odd:?}");
        assert_eq!(plot.matches("class=\"ink head\"").count(), 12, "twelve panels");
    }
}

#[test]
fn a_length_or_a_name_that_makes_no_sense_is_refused() {
    for years in ["0", "-1", "0.1", "21", "NaN", "inf"] {
        let (code, error) = json(haca().args(["simulate", &format!("--years={years}")]));
        assert_eq!(
            (code, error["error"]["code"].as_str()),
            (2, Some("cli.simulate_years")),
            "{years}"
        );
    }
    let refused = haca()
        .args(["simulate", "--scenario", "tulips"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("opg-unobtainable")
    );
}
