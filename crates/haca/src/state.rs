//! `haca supply` and `haca state export`.

use haca_client::NodeClient;
use haca_wire::state::{AssetRecord, Supply, key};
use haca_wire::{AssetId, GenesisHash};
use serde_json::json;

use crate::args::At;
use crate::failure::{Exit, Failure};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::client;

/// The full node that a command means: the one named, or that of the data directory.
pub(crate) fn node_of(at: &At) -> Result<NodeClient, Failure> {
    match &at.node {
        Some(url) => Ok(NodeClient::new(url)),
        None => Ok(NodeClient::new(&Network::load(&at.data)?.file.node_url)),
    }
}

/// The genesis hash that a command trusts: the one named, or that of the data directory. `None` where a node is named and
/// no hash.
pub(crate) fn trust_of(at: &At, named: Option<GenesisHash>) -> Result<Option<GenesisHash>, Failure> {
    match (named, &at.node) {
        (None, None) => Network::load(&at.data)?.trust().map(Some),
        (named, _) => Ok(named),
    }
}

/// Prints the whole state.
pub(crate) fn export(at: &At, screen: &Screen) -> Result<u8, Failure> {
    let bytes = node_of(at)?.export().map_err(client)?;
    screen.out(String::from_utf8_lossy(&bytes).trim_end());
    Ok(0)
}

/// Prints where every unit of every asset is.
pub(crate) fn supply(at: &At, screen: &Screen) -> Result<u8, Failure> {
    let node = node_of(at)?;
    let clock = node.clock().map_err(client)?;
    let mut assets = Vec::new();
    for index in 0.. {
        let id = AssetId(index);
        let Some(supply) = node.supply(id).map_err(client)? else {
            break;
        };
        let asset: Option<AssetRecord> = node.record(&key::asset(id)).map_err(client)?;
        assets.push((id, asset, supply));
    }
    let balanced = assets
        .iter()
        .all(|(_, _, supply)| supply.total() == Some(supply.issued));
    screen.object(&json!({
        "height": clock.height.0,
        "base_fee": clock.base_fee.to_string(),
        "balanced": balanced,
        "assets": assets.iter().map(|(id, asset, supply)| asset_json(*id, asset.as_ref(), supply)).collect::<Vec<_>>(),
    }));
    screen.say(format!(
        "height {}, base fee {} per gas",
        clock.height, clock.base_fee
    ));
    for (_, asset, supply) in &assets {
        say_asset(screen, asset.as_ref(), supply);
    }
    if !balanced {
        return Err(Failure::new(
            Exit::Failure,
            "cli.supply_unbalanced",
            "the parts of an asset do not add up to what was issued",
            "this node's state is wrong: verify it against another node's header",
        ));
    }
    Ok(0)
}

fn asset_json(id: AssetId, asset: Option<&AssetRecord>, supply: &Supply) -> serde_json::Value {
    json!({
        "id": id.0,
        "symbol": asset.map(|asset| asset.symbol.to_string()),
        "decimals": asset.map(|asset| asset.decimals),
        "issued": supply.issued.to_string(),
        "existing": supply.existing().to_string(),
        "balances": supply.balances.to_string(),
        "escrow": supply.escrow.to_string(),
        "held": supply.held.to_string(),
        "bonds": supply.bonds.to_string(),
        "stakes": supply.stakes.to_string(),
        "unbonding": supply.unbonding.to_string(),
        "pool": supply.pool.to_string(),
        "burned": supply.burned.to_string(),
    })
}

fn say_asset(screen: &Screen, asset: Option<&AssetRecord>, supply: &Supply) {
    let decimals = asset.map_or(0, |asset| asset.decimals);
    let symbol = asset.map_or_else(|| "?".to_owned(), |asset| asset.symbol.to_string());
    screen.say("");
    screen.say(screen.ink(Ink::Bold, &symbol));
    for (name, amount) in [
        ("issued", supply.issued),
        ("balances", supply.balances),
        ("escrow", supply.escrow),
        ("held", supply.held),
        ("bonds", supply.bonds),
        ("stakes", supply.stakes),
        ("unbonding", supply.unbonding),
        ("pool", supply.pool),
        ("burned", supply.burned),
    ] {
        screen.say(format!("  {name:<10}{:>32}", decimal(amount.0, decimals)));
    }
}

/// An amount with its decimal point.
pub(crate) fn decimal(amount: u128, decimals: u8) -> String {
    let digits = format!("{amount:0width$}", width = usize::from(decimals) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(decimals));
    if part.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_places_the_point() {
        assert_eq!(decimal(0, 6), "0.000000");
        assert_eq!(decimal(1_500_000, 6), "1.500000");
        assert_eq!(decimal(7, 0), "7");
    }
}
