//! `haca serve` and `haca node`: the two kinds of node as processes of their own.

use haca_exec::{ExecConfig, ExecError, InferenceNode, SponsorConfig, SponsorPolicy};
use haca_wire::{Amount, GenesisHash};

use crate::args::{Node, Serve, Settling, Sponsor};
use crate::failure::{Exit, Failure};
use crate::screen::Screen;
use crate::signals::Signals;

/// Runs an inference node until interrupted.
pub(crate) fn run(serve: &Serve, screen: &Screen) -> Result<u8, Failure> {
    let trust = serve.trust.as_deref().map(str::parse::<GenesisHash>).transpose();
    let mut config = ExecConfig::new(&serve.home, &serve.node);
    config.listen.clone_from(&serve.listen);
    config.memory_limit_mb = serve.memory.memory_limit_mb;
    settling(&mut config, &serve.settling);
    config.trust = trust.map_err(|error| {
        Failure::usage(
            "cli.trust",
            error,
            "the genesis hash is 0x and 64 hexadecimal digits",
        )
    })?;
    let node = InferenceNode::start(config).map_err(exec)?;
    screen.say(node.url());
    screen.object(&serde_json::json!({ "url": node.url() }));
    Signals::catch()?.wait();
    node.shutdown();
    Ok(0)
}

/// What the operator says of prices and settlements.
fn settling(config: &mut ExecConfig, settling: &Settling) {
    config.policy.max_base_fee = Amount(settling.max_base_fee);
    config.policy.margin_bp = settling.margin_percent.saturating_mul(100);
    config.policy.batch_wait_ms = settling.batch_wait_s.saturating_mul(1_000);
    config.zk_price = Amount(settling.zk_price);
    config.signed_price = Amount(settling.signed_price);
    config.optimistic_price = settling.optimistic_price.map(Amount);
    config.retain_blocks = settling.retain_blocks;
    config.sponsor.clone_from(&settling.sponsor);
    config.opg_prices = settling.opg_price.iter().copied().collect();
}

/// Runs a sponsor until interrupted.
pub(crate) fn sponsor(options: &Sponsor, screen: &Screen) -> Result<u8, Failure> {
    let sponsor = haca_exec::Sponsor::start(SponsorConfig {
        home: options.home.clone(),
        node_url: options.node.clone(),
        trust: options.trust,
        listen: options.listen.clone(),
        policy: SponsorPolicy {
            nodes: options.allow.iter().copied().collect(),
            max_base_fee: Amount(options.max_base_fee),
            max_transaction: Amount(options.max_transaction),
            per_day: Amount(options.per_day),
        },
    })
    .map_err(exec)?;
    let account = sponsor.account().to_string();
    screen.say(format!("{} pays from {account}", sponsor.url()));
    screen.object(&serde_json::json!({ "url": sponsor.url(), "account": account }));
    Signals::catch()?.wait();
    Ok(0)
}

/// Runs what `haca-node` runs.
pub(crate) fn node(node: &Node) -> std::process::ExitCode {
    let name = std::ffi::OsString::from("haca-node");
    let arguments = std::iter::once(name).chain(node.arguments.iter().cloned());
    haca_node::cli::run(arguments, &["node"])
}

pub(crate) fn exec(error: ExecError) -> Failure {
    let exit = match &error {
        ExecError::Client(_) | ExecError::OtherNetwork { .. } => Exit::Network,
        _ => Exit::Failure,
    };
    Failure::new(exit, error.code(), &error, error.hint())
}
