//! `haca infer`: one order on a running network.

use std::path::Path;

use haca_client::SettledReceipt;
use haca_wire::{Amount, AssetId, EvidenceKind, ModelId, Name};
use serde_json::json;

use crate::args::Infer;
use crate::failure::Failure;
use crate::held;
use crate::network::Network;
use crate::sample::{self, Sample};
use crate::screen::{Ink, Screen};
use crate::session::{Exchange, OfferedModel, Session, replace, request_bytes};
use crate::verify;

/// What a user escrows in a new channel, in fees.
pub(crate) const DEPOSIT_FEES: u128 = 1_000;
/// Warranty of an order, in fees.
pub(crate) const WARRANTY_FEES: u128 = 10;
/// Warranties that a channel's reserve covers.
pub(crate) const WARRANTIES: u128 = 100;

/// The terms that an order is signed under.
pub(crate) struct Terms {
    pub(crate) model: ModelId,
    pub(crate) input: Name,
    pub(crate) evidence: EvidenceKind,
    pub(crate) asset: AssetId,
    pub(crate) fee: Amount,
}

impl Terms {
    /// Reads the terms for one kind of evidence out of what a node offers.
    pub(crate) fn of(model: &OfferedModel, evidence: &str) -> Result<Self, Failure> {
        let unreadable = || {
            Failure::usage(
                "cli.models",
                "the node's offer is unreadable",
                "check the node's version",
            )
        };
        let offer = model
            .offers
            .iter()
            .find(|offer| offer.evidence == evidence)
            .ok_or_else(|| {
                Failure::usage(
                    "cli.evidence_not_offered",
                    format!("{} is not offered with {evidence} evidence", model.name),
                    "see /v1/models of the node",
                )
            })?;
        let input = model.inputs.first().and_then(|input| Name::new(&input.name));
        Ok(Self {
            model: model.id.parse().map_err(|_| unreadable())?,
            input: input.ok_or_else(unreadable)?,
            evidence: EvidenceKind::from_name(evidence).ok_or_else(unreadable)?,
            asset: AssetId(offer.asset),
            fee: offer.fee.parse().map_err(|_| unreadable())?,
        })
    }

    fn times(&self, count: u128) -> Amount {
        Amount(self.fee.0.saturating_mul(count))
    }

    /// The warranty of one order.
    pub(crate) fn warranty(&self) -> Amount {
        self.times(WARRANTY_FEES)
    }
}

/// Opens a channel when needed, orders, and checks everything that can be checked before settlement.
pub(crate) fn exchange(
    session: &Session,
    terms: &Terms,
    sample: &Sample,
    screen: &Screen,
) -> Result<Exchange, Failure> {
    let step = screen.step("payment channel");
    let reserve = terms.times(WARRANTY_FEES * WARRANTIES);
    let channel = session.channel(terms, terms.times(DEPOSIT_FEES), reserve)?;
    let opened = if channel.is_new { "opened" } else { "reused" };
    step.done(&format!("{opened} {}", channel.id));
    let step = screen.step("order and answer");
    let request = request_bytes(terms.model, &terms.input, &sample.values);
    let order = session.order(channel, &request)?;
    let exchange = session.infer(request, order)?;
    verify::answer(session, &exchange)?;
    step.done(&format!("{:.1} ms", exchange.answered.latency_ms));
    Ok(exchange)
}

/// Runs the command.
pub(crate) fn run(infer: &Infer, screen: &Screen) -> Result<u8, Failure> {
    let network = Network::load(&infer.data)?;
    let session = Session::open(&network)?;
    let model = session.model(infer.model.as_deref())?;
    let terms = Terms::of(&model, &infer.evidence)?;
    if terms.fee.0 > infer.max_fee {
        return Err(Failure::usage(
            "cli.fee_above_max",
            format!(
                "the node asks {} for one inference, more than {}",
                terms.fee, infer.max_fee
            ),
            "agree with --max-fee, or ask another node",
        ));
    }
    let sample = match &infer.input {
        Some(path) => sample::read(path, infer.row, &model.input_specs())?,
        None => sample::digit(infer.row)?,
    };
    if let Some(picture) = sample.picture(screen) {
        screen.say(picture);
    }
    let exchange = exchange(&session, &terms, &sample, screen)?;
    let answer = verify::class_of(&exchange.answered.response);
    let mut result = json!({
        "model_id": terms.model.to_string(),
        "answer": answer,
        "label": sample.label,
        "response": serde_json::from_slice::<serde_json::Value>(&exchange.answered.response).unwrap_or_default(),
        "latency_ms": exchange.answered.latency_ms,
        "order": verify::order_json(&exchange.order, &session.domain),
        "receipt": verify::receipt_json(&exchange.answered.receipt, &session.domain),
        "files": { "dir": exchange.dir },
    });
    screen.say(format!(
        "answer   {}",
        screen.ink(
            Ink::Bold,
            answer.map_or("see the response".into(), |a| a.to_string())
        )
    ));
    screen.say(format!(
        "receipt  {}",
        exchange.answered.receipt.value.hash(&session.domain)
    ));
    screen.say(format!("files    {}", exchange.dir.display()));
    if !infer.no_wait {
        let settled = settle(&session, &exchange, screen)?;
        result["settlement"] = verify::settlement_json(&settled);
        let path = infer
            .bundle
            .clone()
            .unwrap_or_else(|| exchange.dir.join(held::BUNDLE));
        bundle(&session, &exchange, &settled, &path, screen)?;
        result["files"]["bundle"] = json!(path);
        screen.say(format!(
            "settled  at height {} by {}",
            settled.height, settled.settlement.tx
        ));
        screen.say(format!("bundle   {}", path.display()));
        if terms.evidence == EvidenceKind::Optimistic {
            let receipt = exchange.answered.receipt.value.hash(&session.domain);
            screen.say(format!(
                "the fee waits; ask for the proof with: haca demand {receipt}"
            ));
        }
        screen.say(format!(
            "check it with: haca verify {} --trust {}",
            path.display(),
            network.file.trust
        ));
    }
    screen.object(&result);
    Ok(0)
}

/// Waits for the settlement.
pub(crate) fn settle(
    session: &Session,
    exchange: &Exchange,
    screen: &Screen,
) -> Result<SettledReceipt, Failure> {
    let step = screen.step("proof and settlement");
    let settled = session.settled(exchange)?;
    step.done(&format!("height {}", settled.height));
    Ok(settled)
}

/// Collects everything that proves the settlement into one file.
pub(crate) fn bundle(
    session: &Session,
    exchange: &Exchange,
    settled: &SettledReceipt,
    path: &Path,
    screen: &Screen,
) -> Result<(), Failure> {
    let step = screen.step("bundle for offline verification");
    let bytes = verify::build_bundle(session, exchange, settled)?;
    replace(path, &bytes)?;
    step.done(&format!("{} KB", bytes.len().div_ceil(1000)));
    Ok(())
}
