//! Long runs of the perturbation test: a network of four validators while its nodes, links, disks and clocks fail.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::step::{self, print, step};
use crate::workspace::{Workspace, cargo};

/// The test that runs the plan.
const TEST: &str = "perturb::the_state_stays_one_whatever_is_done_to_the_nodes";

/// How long to run, and from where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Minutes of perturbations; the first round of the plan is finished even so.
    pub(crate) minutes: u64,
    /// The same seed makes the same plan.
    pub(crate) seed: u64,
    /// Whether nodes share one network, with sockets between them, even where they could have hosts of their own.
    pub(crate) sockets: bool,
    /// Whether the summary is printed as JSON.
    pub(crate) json: bool,
}

impl Options {
    /// Reads `[--minutes N] [--seed S] [--sockets] [--json]`.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self {
            minutes: 5,
            seed: 1,
            sockets: false,
            json: false,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut number = || -> Result<u64> {
                let text = rest.next().with_context(|| format!("{name} takes a number"))?;
                text.parse().with_context(|| format!("{name} {text}"))
            };
            match *name {
                "--minutes" => options.minutes = number()?,
                "--seed" => options.seed = number()?,
                "--sockets" => options.sockets = true,
                "--json" => options.json = true,
                other => bail!("unknown option `{other}`"),
            }
        }
        Ok(options)
    }
}

/// Runs the plan and prints its summary. Stores and logs stay in `target/perturb` until the next run.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let path = crate::cometbft::search_path(workspace)?;
    let directory = workspace.target.join("perturb");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let summary = directory.join("summary.json");
    let mut command = cargo();
    if !options.sockets {
        command.env("HACA_PERTURB_NAMESPACES", "1");
    }
    step("perturb a network", || {
        step::run(
            command
                .args(["test", "--locked", "--package", "haca", "--test", "it", "--"])
                .args(["--exact", TEST, "--nocapture"])
                .current_dir(&workspace.root)
                .env("PATH", path)
                .env("HACA_PERTURB_MINUTES", options.minutes.to_string())
                .env("HACA_PERTURB_SEED", options.seed.to_string())
                .env("HACA_PERTURB_SUMMARY", &summary)
                .env("HACA_PERTURB_DIR", directory.join("network")),
        )
    })?;
    let text = std::fs::read_to_string(&summary).context("the run leaves a summary")?;
    match options.json {
        true => print(&text),
        false => print(&table(&serde_json::from_str(&text)?)),
    }
    Ok(())
}

/// The summary as lines of a name and a value.
fn table(summary: &Value) -> String {
    let mut text = String::new();
    for (name, value) in summary.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Object(members) => members
                .iter()
                .map(|(member, value)| match value["count"].as_u64() {
                    Some(count) => format!("{count} {member} ({} blocks)", value["blocks"]),
                    None => format!("{value} {member}"),
                })
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        text.push_str(&format!("{name:<24} {value}\n"));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::{Options, table};

    #[test]
    fn options_are_read() {
        let read = |words: &[&str]| Options::parse(words);
        let asked = read(&["--seed", "9", "--json", "--minutes", "30", "--sockets"]).unwrap();
        let expected = Options {
            minutes: 30,
            seed: 9,
            sockets: true,
            json: true,
        };
        assert_eq!(asked, expected);
        assert!(read(&["--seed"]).is_err());
        assert!(read(&["--minutes", "many"]).is_err());
        assert!(read(&["--hours", "1"]).is_err());
    }

    #[test]
    fn a_summary_is_a_table() {
        let summary = json!({
            "seed": 3,
            "app_hash": "ab",
            "events": { "kill": { "count": 2, "blocks": 7 } },
            "receipts": { "accepted": 5 },
        });
        let text = table(&summary);
        for line in [
            "seed                     3",
            "app_hash                 ab",
            "events                   2 kill (7 blocks)",
            "receipts                 5 accepted",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}
