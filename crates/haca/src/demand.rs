//! `haca demand`: the proof of a receipt that was settled as `Optimistic`, asked of its node.

use std::time::Duration;

use haca_client::{Standing, demand};
use haca_wire::state::DemandRecord;
use haca_wire::{Amount, AssetId, EvidenceKind, ReceiptHash, TxHash};
use serde_json::{Value, json};

use crate::args::Demand;
use crate::claim::amount;
use crate::failure::{Exit, Failure};
use crate::held::{Kept, read_all};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::{MAX_BASE_FEE, Session, client};

/// Runs the command.
pub(crate) fn run(options: &Demand, screen: &Screen) -> Result<u8, Failure> {
    let network = Network::load(&options.data)?;
    let session = Session::open(
        &network.user(),
        &network.file.node_url,
        &network.file.inference_url,
    )?;
    let mut kept = read_all(&network.user().join("receipts"))?;
    kept.retain(|kept| kept.order.value.evidence == EvidenceKind::Optimistic);
    match options.receipt {
        None => list(&session, &kept, screen).map(|()| 0),
        Some(wanted) => {
            let hash = |kept: &Kept| kept.receipt.value.hash(&session.domain);
            let found = kept.iter().find(|kept| hash(kept) == wanted);
            let found = found.ok_or_else(|| {
                Failure::usage(
                    "cli.unknown_receipt",
                    format!(
                        "{} holds no such receipt with optimistic evidence",
                        options.data.display()
                    ),
                    "`haca demand` alone lists them",
                )
            })?;
            one(&session, found, wanted, options, screen)
        }
    }
}

/// Shows where each receipt stands, and what its proof would cost.
fn list(session: &Session, kept: &[Kept], screen: &Screen) -> Result<(), Failure> {
    let step = screen.step("receipts");
    let mut rows = Vec::new();
    for kept in kept {
        let standing = session
            .node
            .standing(&kept.order, &kept.receipt)
            .map_err(client)?;
        let deposit = match &standing {
            Standing::Held { demand: None, .. } => {
                let model = kept.order.value.model;
                Some(session.node.deposit_of_demand(model).map_err(client)?)
            }
            Standing::Held { demand, .. } => demand.map(|demand| demand.deposit),
            _ => None,
        };
        rows.push((kept.receipt.value.hash(&session.domain), standing, deposit));
    }
    step.done(&rows.len().to_string());
    let objects = rows.iter().map(|(receipt, standing, deposit)| {
        let (matures, due) = ticks(standing);
        json!({
            "receipt": receipt.to_string(),
            "state": state(standing),
            "matures": matures,
            "due": due,
            "deposit": deposit.map(|deposit| deposit.to_string()),
        })
    });
    screen.object(&json!({ "receipts": objects.collect::<Vec<Value>>() }));
    if rows.is_empty() {
        screen.say("no receipts with optimistic evidence");
    }
    for (receipt, standing, deposit) in &rows {
        let deposit = match deposit {
            Some(deposit) => format!("  deposit {}", amount(&session.node, AssetId::OPG, *deposit)?),
            None => String::new(),
        };
        let until = match ticks(standing) {
            (_, Some(due)) => format!("  the node answers up to tick {due}"),
            (Some(matures), None) => format!("  up to tick {matures}"),
            (None, None) => String::new(),
        };
        let state = screen.ink(Ink::Bold, format!("{:<16}", state(standing)));
        screen.say(format!("{receipt}  {state}{deposit}{until}").trim_end());
    }
    Ok(())
}

fn state(standing: &Standing) -> &'static str {
    match standing {
        Standing::Held { demand: Some(_), .. } => "demanded",
        Standing::Held { demand: None, .. } => "can be demanded",
        Standing::Settled { .. } => "paid",
        Standing::Claimed(_) => "forfeited",
        other => other.name(),
    }
}

fn ticks(standing: &Standing) -> (Option<u64>, Option<u64>) {
    match standing {
        Standing::Held { matures, demand } => (matures.map(|tick| tick.0), demand.map(|demand| demand.due.0)),
        _ => (None, None),
    }
}

/// Demands one proof, unless that is done, and waits for the node.
fn one(
    session: &Session,
    kept: &Kept,
    receipt: ReceiptHash,
    options: &Demand,
    screen: &Screen,
) -> Result<u8, Failure> {
    let standing = || session.node.standing(&kept.order, &kept.receipt);
    let mut tx = None;
    match standing().map_err(client)? {
        Standing::Held { demand: Some(_), .. } => {}
        Standing::Held { demand: None, .. } => tx = Some(send(session, kept, options, screen)?),
        other => {
            return Err(Failure::new(
                Exit::Failure,
                "cli.nothing_to_demand",
                format!("the receipt stands as: {}", state(&other)),
                "a proof can be demanded between the settlement and the end of its demand window",
            ));
        }
    }
    let step = screen.step("the node's answer");
    let mut open: Option<DemandRecord> = None;
    let ended = session
        .node
        .poll(Duration::from_secs(options.wait_s), "the answer", || {
            Ok(match standing()? {
                Standing::Held { demand, .. } => {
                    open = demand.or(open);
                    None
                }
                ended => Some(ended),
            })
        });
    let deposit = open.map(|demand| demand.deposit.to_string());
    let (name, ink, told, code) = match ended {
        Ok(Standing::Claimed(claim)) => (
            "forfeited",
            Ink::Red,
            format!(
                "none in time: fee, warranty of {} and deposit are yours",
                claim.paid
            ),
            0,
        ),
        Ok(_) => (
            "answered",
            Ink::Green,
            "the chain has verified the proof".to_owned(),
            0,
        ),
        Err(haca_client::ClientError::Pending { .. }) => {
            let due = open.map_or(String::new(), |demand| format!(" up to tick {}", demand.due));
            let told = format!("the node may answer{due}; ask again later");
            ("demanded", Ink::Yellow, told, Exit::SettlementUnknown as u8)
        }
        Err(error) => return Err(client(error)),
    };
    step.done(name);
    screen.object(&json!({
        "receipt": receipt.to_string(),
        "state": name,
        "deposit": deposit,
        "due": open.map(|demand| demand.due.0),
        "tx": tx.map(|tx| tx.to_string()),
    }));
    screen.say(format!("{receipt}  {}  {told}", screen.ink(ink, name)));
    Ok(code)
}

/// Sends the demand, signed for a base fee at which the chain takes no more than the user allows.
fn send(session: &Session, kept: &Kept, options: &Demand, screen: &Screen) -> Result<TxHash, Failure> {
    let model = kept.order.value.model;
    let deposit = session.node.deposit_of_demand(model).map_err(client)?;
    let most = match options.max_deposit {
        Some(most) => session.node.base_fee_of_demand(model, Amount(most)),
        None => Ok(Some(MAX_BASE_FEE)),
    };
    let Some(most) = most.map_err(client)? else {
        return Err(Failure::usage(
            "cli.deposit_above_max",
            format!("the deposit is {deposit} at the present base fee"),
            "agree with --max-deposit, or wait for a lower base fee while the window lasts",
        ));
    };
    let step = screen.step("demand");
    let message = demand(&kept.receipt, &session.domain);
    let tx = session.send_below(message, most.min(MAX_BASE_FEE))?;
    let shown = amount(&session.node, AssetId::OPG, deposit)?;
    step.done(&format!("deposit {shown}"));
    Ok(tx)
}
