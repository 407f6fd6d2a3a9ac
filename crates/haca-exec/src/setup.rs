//! What stands on chain before a node serves: its models, itself, its bond. Each step looks first and does only what
//! is missing, so that it can be repeated after any crash.

use std::collections::BTreeMap;
use std::time::Duration;

use haca_client::{ClientError, NodeClient, Wallet};
use haca_wire::state::{AssetRecord, BondRecord, NodeRecord, key};
use haca_wire::{Address, Amount, AssetId, Domain, GenesisHash, Message};

use crate::ExecError;
use crate::chain::{Chain, POLL};
use crate::config::ExecConfig;
use crate::log;
use crate::model::ServedModel;
use crate::planner::{Decimal, Price};
use crate::service::Service;

/// How long a transaction may take to be included.
const INCLUSION: Duration = Duration::from_secs(60);
/// How long the full node may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// Waits for the full node; returns it with the domain of signatures on its network, which is the trusted one where one is
/// named.
pub(crate) fn connect(config: &ExecConfig) -> Result<(NodeClient, Domain), ExecError> {
    let client = NodeClient::new(&config.node_url);
    client.poll(READY, "the full node", || Ok(client.is_ready().then_some(())))?;
    let domain = domain(&client, config.trust)?;
    Ok((client, domain))
}

/// The domain of signatures on a full node's network, which is the trusted one where one is named.
pub(crate) fn domain(client: &NodeClient, trust: Option<GenesisHash>) -> Result<Domain, ExecError> {
    client.domain(trust).map_err(|error| match error {
        ClientError::OtherNetwork { found, expected } => ExecError::OtherNetwork { found, expected },
        error => error.into(),
    })
}

/// The prices of assets in their smallest units.
pub(crate) fn prices(
    client: &NodeClient,
    wanted: &BTreeMap<AssetId, Decimal>,
) -> Result<BTreeMap<AssetId, Price>, ExecError> {
    let decimals = |asset: AssetId| -> Result<u8, ExecError> {
        let record: Option<AssetRecord> = client.record(&key::asset(asset))?;
        Ok(record.ok_or(ExecError::Price { asset })?.decimals)
    };
    let price = |(asset, decimal): (&AssetId, &Decimal)| {
        let price = Price::of_whole(*decimal, decimals(*asset)?, decimals(AssetId::OPG)?);
        Ok((*asset, price.ok_or(ExecError::Price { asset: *asset })?))
    };
    wanted.iter().map(price).collect()
}

/// Signs and sends one message and waits until it is in a block.
fn send(
    client: &NodeClient,
    domain: &Domain,
    account: &Wallet,
    max_base_fee: Amount,
    message: Message,
) -> Result<(), ClientError> {
    let name = message.name();
    let head = client.status()?.height;
    let tx = account.transaction(message, domain, head, max_base_fee)?;
    let (hash, included) = client.submit_and_wait(&tx, INCLUSION)?;
    log::event(
        "transaction",
        format_args!("message={name} tx={hash} height={}", included.height),
    );
    Ok(())
}

/// Registers what is not registered, and waits until the chain shows it.
pub(crate) fn register(service: &Service, endpoint: &str) -> Result<(), ExecError> {
    let (config, chain, account) = (&service.config, &service.chain, &service.account);
    let (models, offers, signer) = (&service.models, service.offers(), service.signer.address());
    let client = &chain.client;
    let submit = |message| {
        send(
            client,
            &chain.domain,
            account,
            config.policy.max_base_fee,
            message,
        )
    };
    for model in models {
        if client.model(model.id)?.is_none() {
            submit(Message::RegisterModel {
                verifying_key: model.verifying_key.clone(),
                proof: model.registration.clone(),
            })?;
        }
    }
    let current = |node: &NodeRecord| {
        node.endpoint == endpoint && node.signer() == Some(signer) && node.offers == offers
    };
    if !client.node(account.address())?.as_ref().is_some_and(current) {
        submit(Message::RegisterNode {
            endpoint: endpoint.to_owned(),
            payout: account.address(),
            signer,
            offers: offers.to_vec(),
        })?;
    }
    let bond: Option<BondRecord> = client.record(&key::bond(account.address(), config.asset))?;
    let missing = config.bond.0.saturating_sub(bond.unwrap_or_default().total.0);
    if missing > 0 {
        submit(Message::Bond {
            asset: config.asset,
            amount: Amount(missing),
        })?;
    }
    wait_visible(chain, account.address(), signer, models)
}

/// Proven state is a block behind: waits until the node's record and models are in it, and the receipt key is active
/// at the head.
fn wait_visible(
    chain: &Chain,
    account: Address,
    signer: Address,
    models: &[ServedModel],
) -> Result<(), ExecError> {
    let start = std::time::Instant::now();
    loop {
        let node = chain.client.node(account)?;
        let height = chain.client.status()?.height;
        let active = node.is_some_and(|node| node.term(signer, height).is_some());
        let mut registered = true;
        for model in models {
            registered &= chain
                .client
                .model(model.id)?
                .is_some_and(|record| record.registered < height);
        }
        if active && registered && chain.reread()? {
            return Ok(());
        }
        if start.elapsed() > INCLUSION {
            let what = "the registration in proven state".to_owned();
            return Err(ClientError::Pending {
                what,
                waited_s: INCLUSION.as_secs(),
            }
            .into());
        }
        std::thread::sleep(POLL);
    }
}
