//! `haca node-report`: what an inference node can expect to earn at its prices, and what it has earned.

mod account;
mod forecast;

use std::collections::BTreeMap;

use haca_client::NodeClient;
use haca_exec::planner::{GasPrices, Price};
use haca_exec::{ExecConfig, Snapshot, read_snapshot};
use haca_wire::state::{AssetRecord, key};
use haca_wire::{AssetId, ModelId};
use serde_json::json;

use crate::args::NodeReport;
use crate::failure::Failure;
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::serve::exec;
use crate::session::client;
use crate::state::decimal;

/// Everything that the parts of a report look at.
struct Facts {
    snapshot: Snapshot,
    assets: BTreeMap<AssetId, AssetRecord>,
    prices: BTreeMap<AssetId, Price>,
    gas: GasPrices,
    base_fee: u128,
    per_day: u64,
    node: NodeClient,
}

impl Facts {
    fn model(&self, id: ModelId) -> String {
        let known = self.snapshot.models.iter().find(|facts| facts.model == id);
        known.map_or_else(
            || id.to_string().chars().take(10).collect(),
            |facts| facts.name.to_string(),
        )
    }

    /// An amount of an asset with its symbol.
    fn amount(&self, asset: AssetId, amount: i128) -> String {
        let sign = if amount < 0 { "-" } else { "" };
        match self.assets.get(&asset) {
            Some(record) => {
                let digits = decimal(amount.unsigned_abs(), record.decimals);
                let short = digits.trim_end_matches('0').trim_end_matches('.');
                let short = if digits.contains('.') { short } else { &digits };
                format!("{sign}{short} {}", record.symbol)
            }
            None => format!("{amount}"),
        }
    }

    /// What an amount of an asset is worth in OPG, if the operator says so.
    fn opg(&self, asset: AssetId, amount: u128) -> Option<i128> {
        let worth = self.prices.get(&asset)?.opg(amount);
        Some(i128::try_from(worth).unwrap_or(i128::MAX))
    }
}

/// Runs the command.
pub(crate) fn run(report: &NodeReport, screen: &Screen) -> Result<u8, Failure> {
    let (home, url) = match (&report.home, &report.node) {
        (Some(home), Some(url)) => (home.clone(), url.clone()),
        _ => {
            let network = Network::load(&report.data)?;
            let url = report
                .node
                .clone()
                .unwrap_or_else(|| network.file.node_url.clone());
            (network.inference_home(), url)
        }
    };
    let facts = gather(report, ExecConfig::new(home, url))?;
    let (forecast, account) = (forecast::of(&facts), account::of(&facts)?);
    screen.object(&json!({
        "base_fee": facts.base_fee.to_string(),
        "per_day": facts.per_day,
        "forecast": forecast.iter().map(|line| line.json()).collect::<Vec<_>>(),
        "models": account.iter().map(|line| line.json()).collect::<Vec<_>>(),
    }));
    let base_fee = facts.base_fee;
    screen.say(screen.ink(
        Ink::Bold,
        format!("Expected, at {} a day and base fee {base_fee}", facts.per_day),
    ));
    forecast::show(&facts, &forecast, screen);
    screen.say("");
    screen.say(screen.ink(Ink::Bold, "So far"));
    account::show(&facts, &account, screen);
    if facts.prices.is_empty() {
        screen.note("no prices of assets: name them with --opg-price ASSET=OPG to see profits");
    }
    Ok(0)
}

fn gather(report: &NodeReport, config: ExecConfig) -> Result<Facts, Failure> {
    let snapshot = read_snapshot(&config).map_err(exec)?;
    let node = NodeClient::new(&config.node_url);
    let mut assets = BTreeMap::new();
    for id in (0..64).map(AssetId) {
        let Some(record) = node.record::<AssetRecord>(&key::asset(id)).map_err(client)? else {
            break;
        };
        assets.insert(id, record);
    }
    let mut prices: BTreeMap<AssetId, Price> = snapshot
        .terms
        .prices
        .iter()
        .map(|price| (price.asset, price.price()))
        .collect();
    for (asset, decimal) in &report.opg_price {
        let decimals = |id| assets.get(id).map(|record: &AssetRecord| record.decimals);
        let known = decimals(asset).zip(decimals(&AssetId::OPG));
        let price = known.and_then(|(of, opg)| Price::of_whole(*decimal, of, opg));
        let price = price.ok_or_else(|| {
            Failure::usage(
                "exec.price",
                format!("the network has no asset {asset} with at most 18 decimals"),
                "see `haca supply` for the network's assets",
            )
        })?;
        prices.insert(*asset, price);
    }
    let base_fee = match report.base_fee {
        Some(base_fee) => base_fee,
        None => node.clock().map_err(client)?.base_fee.0,
    };
    let gas = GasPrices::new(&node.params().map_err(client)?, snapshot.terms.is_sponsored);
    Ok(Facts {
        snapshot,
        assets,
        prices,
        gas,
        base_fee,
        per_day: report.per_day,
        node,
    })
}

/// Lines of columns as wide as they have to be: the first two to the left, numbers to the right.
fn table(screen: &Screen, head: &[&str], rows: &[Vec<String>]) {
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = std::iter::once(&head).chain(rows);
            cells
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column < 2 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        format!("  {}", cells.collect::<Vec<_>>().join("  "))
            .trim_end()
            .to_owned()
    };
    screen.say(screen.ink(Ink::Dim, line(&head)));
    for row in rows {
        screen.say(line(row));
    }
}
