//! `haca verify`, and what other commands show of orders, receipts and settlements.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haca_client::{Inferred, NodeClient, SettledReceipt, fetch_bundle};
use haca_verify::{
    Answer, Check, CheckState, Checkpoint, Outcome, Policy, Report, verify_answer, verify_bundle,
};
use haca_wire::{
    Domain, Encode as _, EvidenceKind, GenesisHash, Item, Order, Receipt, ReceiptHash, Settlement, Signed,
};
use serde_json::{Value, json};

use crate::args::Verify;
use crate::failure::{Exit, Failure};
use crate::light;
use crate::score;
use crate::screen::{Ink, Screen};
use crate::session::{Exchange, Session, client};

/// Runs the command.
pub(crate) fn run(verify: &Verify, screen: &Screen) -> Result<u8, Failure> {
    let policy = policy(verify)?;
    let receipt = verify.subject.parse::<ReceiptHash>().ok();
    let mut read = None;
    if receipt.is_none() {
        let bytes = read_bundle(Path::new(&verify.subject))?;
        if haca_verify::scorecard::is_scorecard(&bytes) {
            return score::verify(verify, &bytes, &policy, screen);
        }
        read = Some(bytes);
    }
    if verify.test.is_some() || verify.test_root.is_some() {
        return Err(Failure::usage(
            "cli.no_scorecard",
            "a test set is compared with a scorecard, and this is none",
            "leave --test and --test-root out",
        ));
    }
    let trust = trust(verify)?;
    let now = verify.at.unwrap_or_else(now_unix_s);
    if let Some(bytes) = &read {
        if haca_verify::is_state_file(bytes) {
            return Ok(light::verify_state(bytes, trust, now, &policy, screen));
        }
        if haca_verify::is_attack_file(bytes) {
            return Ok(light::verify_attack(bytes, trust, now, &policy, screen));
        }
    }
    let bytes = match (receipt, read) {
        (Some(receipt), _) => fetch(verify, trust, receipt, policy.checkpoint, screen)?,
        (None, read) => read.unwrap_or_default(),
    };
    let report = verify_bundle(&bytes, trust, now, &policy);
    show(&report, screen);
    screen.object(&report_json(&report));
    Ok(exit_code(&report))
}

/// What the command ends with.
pub(crate) fn exit_code<T>(report: &Report<T>) -> u8 {
    match report.outcome() {
        Outcome::Verified => 0,
        Outcome::Unverifiable => Exit::Unverifiable as u8,
        Outcome::Rejected if report.only_policy_failed() => Exit::Policy as u8,
        Outcome::Rejected => Exit::Rejected as u8,
    }
}

fn trust(verify: &Verify) -> Result<GenesisHash, Failure> {
    let hint = "the genesis hash is 0x and 64 hexadecimal digits";
    let text = verify.trust.as_ref().ok_or_else(|| {
        Failure::usage(
            "cli.no_trust",
            "a settlement is verified from a genesis hash",
            "name it with --trust HASH",
        )
    })?;
    text.parse()
        .map_err(|error| Failure::usage("cli.trust", error, hint))
}

fn policy(verify: &Verify) -> Result<Policy, Failure> {
    let mut policy = Policy::default();
    if verify.accept_signed {
        policy.accepted.push(EvidenceKind::Signed);
    }
    if verify.accept_optimistic {
        policy.accepted.push(EvidenceKind::Optimistic);
    }
    if let Some(text) = &verify.model {
        let model = text.parse();
        policy.model =
            Some(model.map_err(|error| Failure::usage("cli.model_id", error, "0x and 64 digits"))?);
    }
    policy.checkpoint = verify.checkpoint;
    Ok(policy)
}

/// Reads a bundle or scorecard, no more than one can be long.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Failure::file(path, "read", &error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let limit = haca_wire::limit::BUNDLE_BYTES as u64;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Collects the bundle of a receipt from a node. Nothing the node says is believed: the bundle is verified as one
/// from a file would be.
fn fetch(
    verify: &Verify,
    trust: GenesisHash,
    receipt: ReceiptHash,
    checkpoint: Option<Checkpoint>,
    screen: &Screen,
) -> Result<Vec<u8>, Failure> {
    let url = verify.node.as_deref().ok_or_else(|| {
        Failure::usage(
            "cli.no_node",
            "a receipt hash needs a full node",
            "name one with --node URL",
        )
    })?;
    let dir = verify.files.as_deref().ok_or_else(|| {
        Failure::usage(
            "cli.no_files",
            "request and response are needed beside the hash",
            "name the directory that `haca infer` printed with --files DIR",
        )
    })?;
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(|error| Failure::file(&path, "read", &error))
    };
    let (request, response) = (read("request.json")?, read("response.json")?);
    let inferred = Inferred {
        receipt,
        request: &request,
        response: &response,
    };
    let patience = Duration::from_secs(verify.wait_s);
    let step = screen.step("settlement, headers, proofs and evidence");
    let bundle =
        fetch_bundle(&NodeClient::new(url), trust, &inferred, checkpoint, patience).map_err(client)?;
    let bytes = bundle.encode();
    step.done(&format!("{} bytes", bytes.len()));
    Ok(bytes)
}

/// Collects the bundle of an exchange of this session.
pub(crate) fn build_bundle(
    session: &Session,
    exchange: &Exchange,
    settled: &SettledReceipt,
) -> Result<Vec<u8>, Failure> {
    let item = Item {
        order: exchange.order.clone(),
        receipt: exchange.answered.receipt.clone(),
    };
    haca_client::build_bundle(
        &session.node,
        session.domain.genesis,
        &item,
        settled,
        &exchange.request,
        &exchange.answered.response,
    )
    .map_err(client)
}

/// Checks an answer as soon as it is there: signatures, hashes, input tensors.
pub(crate) fn answer(session: &Session, exchange: &Exchange) -> Result<(), Failure> {
    let order = &exchange.order.value;
    let record = session.node.model(order.model).map_err(client)?;
    let channel = session.node.channel(order.channel).map_err(client)?;
    let node = channel
        .map(|channel| session.node.node(channel.node))
        .transpose()
        .map_err(client)?
        .flatten();
    let facts = record.and_then(|record| haca_verify::ZkChecker.facts(&record.verifying_key).ok());
    let (Some(node), Some(facts)) = (node, facts) else {
        return Err(Failure::new(
            Exit::Unverifiable,
            "cli.unregistered",
            "the node or its model is not registered",
            "wait for the registration to be included",
        ));
    };
    let item = Item {
        order: exchange.order.clone(),
        receipt: exchange.answered.receipt.clone(),
    };
    let report = verify_answer(&Answer {
        domain: session.domain,
        item: &item,
        payer: session.wallet.address(),
        signer: node.signer(),
        request: &exchange.request,
        response: &exchange.answered.response,
        inputs: &facts.inputs,
    });
    match report.failures().next() {
        None if report.outcome() == Outcome::Verified => Ok(()),
        failure => Err(Failure::new(
            Exit::Rejected,
            failure.map_or("cli.answer_unverifiable", |check| check.id),
            failure.map_or("the answer could not be checked".into(), describe),
            format!("the answer and its receipt are in {}", exchange.dir.display()),
        )),
    }
}

fn describe(check: &Check) -> String {
    let found = check.found.as_deref().unwrap_or("nothing");
    match &check.expected {
        Some(expected) => format!("{}: found {found}, expected {expected}", check.id),
        None => format!("{}: found {found}", check.id),
    }
}

/// Prints every check, done and not done, and the outcome.
pub(crate) fn show<T>(report: &Report<T>, screen: &Screen) {
    for check in report.checks() {
        let mark = match check.state {
            CheckState::Pass => screen.ink(Ink::Green, "pass"),
            CheckState::Fail => screen.ink(Ink::Red, "FAIL"),
            CheckState::NotChecked => screen.ink(Ink::Yellow, "  – "),
        };
        let detail = match check.state {
            CheckState::Pass => check.found.clone().unwrap_or_default(),
            CheckState::Fail => describe(check),
            CheckState::NotChecked => format!("not checked: {}", check.note),
        };
        screen.say(format!("{mark}  {:<28} {}", check.id, shorten(&detail, 88)));
    }
    let ink = if report.outcome() == Outcome::Verified {
        Ink::Green
    } else {
        Ink::Red
    };
    let passed = report
        .checks()
        .iter()
        .filter(|check| check.state == CheckState::Pass)
        .count();
    screen.say(screen.ink(ink, format!("{} ({passed} checks passed)", report.outcome())));
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// A report as JSON.
pub(crate) fn report_json<T>(report: &Report<T>) -> Value {
    let check = |check: &Check| {
        json!({
            "id": check.id,
            "state": check.state.name(),
            "found": check.found,
            "expected": check.expected,
            "note": check.note,
        })
    };
    json!({
        "outcome": report.outcome().name(),
        "checks": report.checks().iter().map(check).collect::<Vec<_>>(),
    })
}

/// An order as JSON.
pub(crate) fn order_json(order: &Signed<Order>, domain: &Domain) -> Value {
    let value = &order.value;
    json!({
        "hash": value.hash(domain).to_string(),
        "channel": value.channel.to_string(),
        "sequence": value.sequence.0,
        "request": value.request.to_string(),
        "model": value.model.to_string(),
        "evidence": value.evidence.name(),
        "max_fee": value.max_fee.to_string(),
        "warranty": value.warranty.to_string(),
        "settle_by": value.settle_by.0,
        "signature": format!("{:?}", order.signature),
        "payer": order.signer(domain).map(|payer| payer.to_string()).ok(),
    })
}

/// A receipt as JSON.
pub(crate) fn receipt_json(receipt: &Signed<Receipt>, domain: &Domain) -> Value {
    let value = &receipt.value;
    json!({
        "hash": value.hash(domain).to_string(),
        "order": value.order.to_string(),
        "input_root": value.input_root.to_string(),
        "output_root": value.output_root.to_string(),
        "response": value.response.to_string(),
        "units": value.units,
        "fee": value.fee.to_string(),
        "block_height": value.block_height.0,
        "signer": value.signer.to_string(),
        "signature": format!("{:?}", receipt.signature),
    })
}

/// A settlement as JSON.
pub(crate) fn settlement_json(settled: &SettledReceipt) -> Value {
    let mut json = record_json(&settled.settlement);
    if let Value::Object(fields) = &mut json {
        fields.insert("height".into(), settled.height.0.into());
    }
    json
}

/// A settlement record as JSON.
pub(crate) fn record_json(record: &Settlement) -> Value {
    json!({
        "tx": record.tx.to_string(),
        "receipt": record.receipt.to_string(),
        "order": record.order.to_string(),
        "channel": record.channel.to_string(),
        "sequence": record.sequence.0,
        "model": record.model.to_string(),
        "asset": record.asset.0,
        "fee": record.fee.to_string(),
        "payer": record.payer.to_string(),
        "node": record.node.to_string(),
        "payout": record.payout.to_string(),
        "evidence": record.evidence.name(),
    })
}

/// The value of the output named "class" in a response, where there is one.
pub(crate) fn class_of(response: &[u8]) -> Option<i64> {
    let json: Value = serde_json::from_slice(response).ok()?;
    let outputs = json.get("outputs")?.as_array()?;
    let class = outputs
        .iter()
        .find(|output| output.get("name").is_some_and(|name| name == "class"))?;
    class.get("data")?.get(0)?.as_i64()
}

pub(crate) fn now_unix_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
