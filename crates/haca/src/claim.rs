//! `haca claim`: what a user holds receipts for and did not get, claimed from the node's bond.

use haca_client::{NodeClient, Standing, VoucherStore, equivocation, missed};
use haca_wire::state::{AssetRecord, ClaimKind, ClaimRecord, key};
use haca_wire::{Amount, AssetId, Decode, Message, Receipt, Signed};
use serde_json::{Value, json};

use crate::args::Claim;
use crate::failure::{Exit, Failure};
use crate::held::{self, Kept};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::{INCLUSION, Session, client};
use crate::state::decimal;

/// One line of the result.
struct Line {
    receipt: String,
    state: String,
    detail: String,
    amount: Amount,
    asset: Option<AssetId>,
    claimed_now: bool,
}

/// Runs the command.
pub(crate) fn run(claim: &Claim, screen: &Screen) -> Result<u8, Failure> {
    let network = Network::load(&claim.data)?;
    let session = Session::open(
        &network.user(),
        &network.file.node_url,
        &network.file.inference_url,
    )?;
    let receipts = held::read_all(&network.user().join("receipts"), screen)?;
    let held = &receipts.kept;
    let mut others = claim
        .receipt
        .iter()
        .map(|path| held::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    others.extend(receipts.others);
    let vouchers = VoucherStore::new(&network.user().join("vouchers"));
    let vouchers = held::vouchers(&vouchers, screen)?;
    let step = screen.step("claims");
    let mut lines = Vec::new();
    for one in held {
        let second = second_receipt(&session, one, held, &others);
        let mut line = look(&session, one, second, claim.dry_run)?;
        if line.state == Standing::Used.name()
            && let Some(covered) = held::covered(&session, one, held, &vouchers)?
        {
            let settled = &covered.settled;
            let sequence = one.order.value.sequence;
            let standing = session
                .node
                .standing_of_settled(settled, sequence)
                .map_err(client)?;
            describe(&mut line, &standing);
            if let Standing::Settled { height, .. } = standing {
                let count = covered.count;
                line.detail = format!("at height {height} under a voucher for {count} receipts");
            }
        }
        lines.push(line);
    }
    let claimed = lines.iter().filter(|line| line.claimed_now).count();
    step.done(&format!("{} receipts, {claimed} claimed now", lines.len()));
    let skipped = [receipts.skipped, held::skipped(&vouchers)].concat();
    let is_whole = skipped.is_empty();
    show(screen, &session.node, &lines, skipped)?;
    Ok(if is_whole { 0 } else { Exit::Unverifiable as u8 })
}

/// The report of another receipt of the node for the same sequence: among those held, those given, or what the node
/// itself answers for the order. A node that does not answer hides nothing that counts here.
fn second_receipt(
    session: &Session,
    one: &Kept,
    held: &[Kept],
    others: &[Signed<Receipt>],
) -> Option<Message> {
    let order = one.order.value.hash(&session.domain);
    let told = session.inference.receipt(order).ok().flatten();
    let told = told.and_then(|status| hex::decode(status.receipt?).ok());
    let told = told.and_then(|bytes| Signed::<Receipt>::decode_all(&bytes).ok());
    let known = held.iter().map(|held| &held.receipt).chain(others).chain(&told);
    let mut reports =
        known.filter_map(|second| equivocation(&one.order, &one.receipt, second, &session.domain));
    reports.next()
}

/// Looks where one receipt stands, and claims what can be claimed.
fn look(session: &Session, one: &Kept, second: Option<Message>, dry_run: bool) -> Result<Line, Failure> {
    let standing = session.node.standing(&one.order, &one.receipt).map_err(client)?;
    let asset = session.node.channel(one.order.value.channel).map_err(client)?;
    let mut line = Line {
        receipt: one.receipt.value.hash(&session.domain).to_string(),
        state: String::new(),
        detail: String::new(),
        amount: Amount(0),
        asset: asset.map(|record| record.asset),
        claimed_now: false,
    };
    let place = key::claim(one.order.value.channel, one.order.value.sequence);
    let before: Option<ClaimRecord> = session.node.record(&place).map_err(client)?;
    let reported = before.filter(|claim| claim.kind == ClaimKind::Equivocation);
    let message = match (&standing, second) {
        (_, Some(report)) if reported.is_none() => Some(report),
        (Standing::Due { .. }, None) => Some(missed(one.order.clone(), one.receipt.clone())),
        _ => None,
    };
    describe(&mut line, &standing);
    if let Some(claim) = &reported {
        granted(&mut line, claim);
    }
    match message {
        Some(_) if dry_run => line.state = "can be claimed".to_owned(),
        Some(message) => {
            session.send(message)?;
            // Proven state is a block behind; a missed settlement may have been claimed before.
            let wanted = |claim: &ClaimRecord| before.as_ref() != Some(claim);
            let record = session.node.poll(INCLUSION, "the claim in proven state", || {
                Ok(session.node.record::<ClaimRecord>(&place)?.filter(wanted))
            });
            line.claimed_now = true;
            granted(&mut line, &record.map_err(client)?);
        }
        None => {}
    }
    Ok(line)
}

/// What a standing says of a receipt.
fn describe(line: &mut Line, standing: &Standing) {
    standing.name().clone_into(&mut line.state);
    match standing {
        Standing::Settled { tx, height } => line.detail = format!("at height {height} by {tx}"),
        Standing::Held { matures, demand } => {
            line.detail = match (demand, matures) {
                (Some(demand), _) => format!(
                    "its proof is demanded; the node answers up to tick {}",
                    demand.due
                ),
                (None, Some(matures)) => format!("`haca demand` asks for its proof up to tick {matures}"),
                (None, None) => "settled a moment ago".to_owned(),
            };
        }
        Standing::Waiting { from } => line.detail = format!("claimable from tick {from}"),
        Standing::Due { amount, until } => {
            line.amount = *amount;
            line.detail = format!("claimable up to tick {until}");
        }
        Standing::Claimed(claim) | Standing::Forfeited(Some(claim)) => granted(line, claim),
        Standing::TooLate { until } => line.detail = format!("the last tick was {until}"),
        Standing::Forfeited(None) => {
            "the fees of its voucher are back: a demand was not answered".clone_into(&mut line.detail)
        }
        Standing::NothingAtStake | Standing::Used | Standing::NoChannel => {}
    }
}

fn granted(line: &mut Line, claim: &ClaimRecord) {
    let kind = match claim.kind {
        ClaimKind::Missed => "missed settlement",
        ClaimKind::Equivocation => "two receipts for one sequence: the node's stake is burned",
        ClaimKind::Unanswered => "an unanswered demand: the node's stake is burned",
    };
    line.state = "claimed".to_owned();
    line.detail = format!("at height {}, {kind}", claim.height);
    line.amount = claim.paid;
}

fn show(screen: &Screen, node: &NodeClient, lines: &[Line], skipped: Vec<Value>) -> Result<(), Failure> {
    let objects = lines.iter().map(|line| {
        json!({
            "receipt": line.receipt,
            "state": line.state,
            "detail": line.detail,
            "amount": line.amount.to_string(),
            "asset": line.asset.map(|asset| asset.0),
            "claimed_now": line.claimed_now,
        })
    });
    screen.object(&json!({
        "receipts": objects.collect::<Vec<Value>>(),
        "skipped": skipped,
    }));
    if lines.is_empty() {
        screen.say("no receipts");
    }
    for line in lines {
        let amount = match line.asset.filter(|_| line.amount.0 > 0) {
            Some(asset) => format!("  {}", amount(node, asset, line.amount)?),
            None => String::new(),
        };
        let ink = if line.claimed_now { Ink::Green } else { Ink::Bold };
        let state = screen.ink(ink, format!("{:<16}", line.state));
        screen.say(format!("{}  {state}{amount}  {}", line.receipt, line.detail).trim_end());
    }
    Ok(())
}

/// An amount with its decimal point and symbol.
pub(crate) fn amount(node: &NodeClient, asset: AssetId, amount: Amount) -> Result<String, Failure> {
    let record: Option<AssetRecord> = node.record(&key::asset(asset)).map_err(client)?;
    Ok(match record {
        Some(record) => format!("{} {}", decimal(amount.0, record.decimals), record.symbol),
        None => amount.to_string(),
    })
}
