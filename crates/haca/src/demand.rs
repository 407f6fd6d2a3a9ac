//! `haca demand`: the proof of a receipt that was settled as `Optimistic`, asked of its node.

use std::time::Duration;

use haca_client::{ClientError, Included, KeptVouchers, Standing, VoucherStore, demand, demand_at};
use haca_wire::state::{DemandRecord, HeldKey};
use haca_wire::{Amount, AssetId, EvidenceKind, Message, ReceiptHash, Sequence, TxHash};
use serde_json::{Value, json};

use crate::args::Demand;
use crate::claim::amount;
use crate::failure::{Exit, Failure};
use crate::held::{self, Covered, Kept};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::{MAX_BASE_FEE, Session, client};

/// Runs the command.
pub(crate) fn run(options: &Demand, screen: &Screen) -> Result<u8, Failure> {
    let network = Network::load(&options.data)?;
    let session = Session::open(&network)?;
    let held = held::read_all(&network.user().join("receipts"), screen)?.kept;
    let vouchers = VoucherStore::new(&network.user().join("vouchers"));
    let vouchers = held::vouchers(&vouchers, screen)?;
    let is_optimistic = |kept: &&Kept| kept.order.value.evidence == EvidenceKind::Optimistic;
    let find = |kept| Doubt::find(&session, kept, &held, &vouchers);
    let mut kept = held.iter().filter(is_optimistic);
    match options.receipt {
        None => {
            let doubts = kept.map(find).collect::<Result<Vec<_>, _>>()?;
            list(&session, &doubts, screen).map(|()| 0)
        }
        Some(wanted) => {
            let hash = |kept: &Kept| kept.receipt.value.hash(&session.domain);
            let found = kept.find(|kept| hash(kept) == wanted);
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
            one(&session, &find(found)?, wanted, options, screen)
        }
    }
}

/// A receipt with optimistic evidence, settled by itself or under a voucher.
struct Doubt<'a> {
    kept: &'a Kept,
    covered: Option<Covered>,
}

impl<'a> Doubt<'a> {
    fn find(
        session: &Session,
        kept: &'a Kept,
        held: &[Kept],
        vouchers: &KeptVouchers,
    ) -> Result<Self, Failure> {
        let standing = session.node.standing(&kept.order, &kept.receipt);
        let covered = match standing.map_err(client)? {
            // Of a receipt under a voucher a claim may have been granted for its sequence.
            Standing::Used | Standing::Claimed(_) => held::covered(session, kept, held, vouchers)?,
            _ => None,
        };
        Ok(Self { kept, covered })
    }

    fn sequence(&self) -> Sequence {
        self.kept.order.value.sequence
    }

    fn standing(&self, session: &Session) -> Result<Standing, ClientError> {
        match &self.covered {
            Some(covered) => session
                .node
                .standing_of_settled(&covered.settled, self.sequence()),
            None => session.node.standing(&self.kept.order, &self.kept.receipt),
        }
    }

    fn message(&self, session: &Session) -> Message {
        let receipt = &self.kept.receipt;
        match &self.covered {
            Some(Covered { settled, path, .. }) => {
                let first = settled.settlement.sequence;
                demand_at(first, receipt, path.clone(), &session.domain)
            }
            None => demand(receipt, &session.domain),
        }
    }

    /// Whether a demand that is in the block of this height was answered. The fee of a voucher waits on, so only the state
    /// after that block tells.
    fn is_answered(&self, session: &Session, demanded: Option<u64>) -> Result<bool, ClientError> {
        let (Some(covered), Some(demanded)) = (&self.covered, demanded) else {
            return Ok(false);
        };
        let settlement = &covered.settled.settlement;
        let (record, height) = session.node.held(HeldKey {
            channel: settlement.channel,
            first: settlement.sequence,
        })?;
        let open = record.and_then(|record| record.demand);
        Ok(height.0 >= demanded && open.is_none_or(|open| open.sequence != self.sequence()))
    }
}

/// Shows where each receipt stands, and what its proof would cost.
fn list(session: &Session, doubts: &[Doubt<'_>], screen: &Screen) -> Result<(), Failure> {
    let step = screen.step("receipts");
    let mut rows = Vec::new();
    for doubt in doubts {
        let standing = doubt.standing(session).map_err(client)?;
        let deposit = match &standing {
            Standing::Held { demand: None, .. } => {
                let model = doubt.kept.order.value.model;
                Some(session.node.deposit_of_demand(model).map_err(client)?)
            }
            Standing::Held { demand, .. } => demand.map(|demand| demand.deposit),
            _ => None,
        };
        let receipt = doubt.kept.receipt.value.hash(&session.domain);
        rows.push((receipt, standing, deposit));
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
    doubt: &Doubt<'_>,
    receipt: ReceiptHash,
    options: &Demand,
    screen: &Screen,
) -> Result<u8, Failure> {
    let is_ours = |demand: &DemandRecord| demand.sequence == doubt.sequence();
    let mut sent = None;
    let mut open: Option<DemandRecord> = None;
    match doubt.standing(session).map_err(client)? {
        Standing::Held { demand: None, .. } => sent = Some(send(session, doubt, options, screen)?),
        Standing::Held { demand, .. } if demand.is_some_and(|demand| is_ours(&demand)) => open = demand,
        Standing::Held { .. } => {
            return Err(Failure::new(
                Exit::Failure,
                "cli.another_demanded",
                "the proof of another receipt under the same voucher is demanded",
                "demand this one when the node has answered, while the window lasts",
            ));
        }
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
    let height = sent.as_ref().map(|(_, included)| included.height);
    let ended = session
        .node
        .poll(Duration::from_secs(options.wait_s), "the answer", || {
            let standing = doubt.standing(session)?;
            let Standing::Held { demand, .. } = &standing else {
                return Ok(Some(standing));
            };
            open = demand.filter(is_ours).or(open);
            let demanded = height.or(open.map(|_| 0));
            Ok(doubt.is_answered(session, demanded)?.then_some(standing))
        });
    let deposit = open.map(|demand| demand.deposit.to_string());
    let (name, ink, told, code) = match ended {
        Ok(Standing::Forfeited(claim)) => (
            "forfeited",
            Ink::Red,
            format!(
                "none in time: fee, warranty of {} and deposit are yours",
                claim.map_or(Amount(0), |claim| claim.paid)
            ),
            0,
        ),
        Ok(_) => (
            "answered",
            Ink::Green,
            "the chain has verified the proof".to_owned(),
            0,
        ),
        Err(ClientError::Pending { .. }) => {
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
        "tx": sent.map(|(tx, _)| tx.to_string()),
    }));
    screen.say(format!("{receipt}  {}  {told}", screen.ink(ink, name)));
    Ok(code)
}

/// Sends the demand, signed for a base fee at which the chain takes no more than the user allows.
fn send(
    session: &Session,
    doubt: &Doubt<'_>,
    options: &Demand,
    screen: &Screen,
) -> Result<(TxHash, Included), Failure> {
    let model = doubt.kept.order.value.model;
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
    let sent = session.send_below(doubt.message(session), most.min(MAX_BASE_FEE))?;
    let shown = amount(&session.node, AssetId::OPG, deposit)?;
    step.done(&format!("deposit {shown}"));
    Ok(sent)
}
