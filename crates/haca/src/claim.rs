//! `haca claim`: what a user holds receipts for and did not get, claimed from the node's bond; receipts that never arrived are
//! asked for first.

mod told;

use haca_client::{KeptVouchers, NodeClient, Standing, VoucherStore, equivocation, missed};
use haca_wire::state::{AssetRecord, ClaimKind, ClaimRecord, key};
use haca_wire::{Amount, AssetId, Message, Order, OrderHash, Receipt, ReceiptHash, Signed};
use serde_json::{Value, json};

use crate::args::Claim;
use crate::failure::{Exit, Failure};
use crate::held::{self, Kept, Unanswered};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::{INCLUSION, Session, client};
use crate::state::decimal;

/// One line of the result.
#[derive(Default)]
struct Line {
    order: OrderHash,
    /// None where the node told something else.
    receipt: Option<ReceiptHash>,
    /// Whether the node told the receipt now.
    fetched_now: bool,
    state: String,
    detail: String,
    amount: Amount,
    asset: Option<AssetId>,
    claimed_now: bool,
    /// Why this receipt could not be looked at, or what was claimed for it was refused.
    failure: Option<Failure>,
}

/// Runs the command.
pub(crate) fn run(claim: &Claim, screen: &Screen) -> Result<u8, Failure> {
    let network = Network::load(&claim.data)?;
    let session = Session::open(&network)?;
    let receipts = held::read_all(&network.user().join("receipts"), screen)?;
    let mut others = claim
        .receipt
        .iter()
        .map(|path| held::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    others.extend(receipts.others);
    let vouchers = VoucherStore::new(&network.user().join("vouchers"));
    let vouchers = held::vouchers(&vouchers, screen)?;
    let step = screen.step("claims");
    let mut claimant = Claimant {
        session: &session,
        held: receipts.kept,
        others: &others,
        vouchers: &vouchers,
        dry_run: claim.dry_run,
    };
    let (lines, unanswered) = claimant.lines(receipts.unanswered);
    let claimed = lines.iter().filter(|line| line.claimed_now).count();
    step.done(&format!("{} receipts, {claimed} claimed now", lines.len()));
    let skipped = [receipts.skipped, held::skipped(&vouchers)].concat();
    let is_whole = skipped.is_empty();
    show(screen, &session.node, &lines, &unanswered, skipped);
    let failed = lines.iter().find_map(|line| line.failure.as_ref());
    Ok(match (failed, is_whole) {
        (Some(failure), _) => failure.exit as u8,
        (None, false) => Exit::Unverifiable as u8,
        (None, true) => 0,
    })
}

/// What claims are made from.
struct Claimant<'a> {
    session: &'a Session,
    held: Vec<Kept>,
    /// Receipts that came in place of one for an order, were told by the node, or were named on the command line.
    others: &'a [Signed<Receipt>],
    vouchers: &'a KeptVouchers,
    dry_run: bool,
}

impl Claimant<'_> {
    /// A line for each receipt, those that the node tells now for orders without one among them; and the orders that stay
    /// without one. What goes wrong with one keeps nothing from being claimed for the others.
    fn lines(&mut self, unanswered: Vec<Unanswered>) -> (Vec<Line>, Vec<OrderHash>) {
        let mut lines: Vec<Line> = self.held.iter().map(|one| self.line(one)).collect();
        // What the node says comes last: no claim waits for its answers.
        let fetched = self.fetch(unanswered);
        for one in fetched.kept {
            self.held.push(one);
            lines.extend(self.held.last().map(|one| Line {
                fetched_now: true,
                ..self.line(one)
            }));
        }
        self.hear(&mut lines);
        lines.extend(fetched.failed);
        (lines, fetched.unanswered)
    }

    /// Looks where one receipt stands, claims what can be claimed, and says so.
    fn line(&self, one: &Kept) -> Line {
        let mut line = Line {
            receipt: Some(one.receipt.value.hash(&self.session.domain)),
            ..self.line_of(&one.order)
        };
        let looked = self.look(one, &mut line);
        line.note(looked);
        line
    }

    fn line_of(&self, order: &Signed<Order>) -> Line {
        Line {
            order: order.value.hash(&self.session.domain),
            ..Line::default()
        }
    }

    /// Looks where one receipt stands, and claims what can be claimed.
    fn look(&self, one: &Kept, line: &mut Line) -> Result<(), Failure> {
        let (node, order) = (&self.session.node, &one.order.value);
        let standing = node.standing(&one.order, &one.receipt).map_err(client)?;
        let channel = node.channel(order.channel).map_err(client)?;
        line.asset = channel.as_ref().map(|record| record.asset);
        describe(line, &standing);
        if standing == Standing::Used {
            self.look_under_voucher(one, line)?;
        }
        let known = self.held.iter().map(|held| &held.receipt).chain(self.others);
        let mut messages = Vec::from_iter(self.report(one, known)?);
        let payer = channel.map(|record| record.payer);
        if matches!(standing, Standing::Due { .. }) && payer == Some(self.session.wallet.address()) {
            messages.push(missed(one.order.clone(), one.receipt.clone()));
        }
        self.send(one, messages, line)
    }

    /// Says of a receipt whose sequence is used whether a voucher that covers it was settled.
    fn look_under_voucher(&self, one: &Kept, line: &mut Line) -> Result<(), Failure> {
        let Some(covered) = held::covered(self.session, one, &self.held, self.vouchers)? else {
            return Ok(());
        };
        let (node, sequence) = (&self.session.node, one.order.value.sequence);
        let standing = node.standing_of_settled(&covered.settled, sequence);
        let standing = standing.map_err(client)?;
        describe(line, &standing);
        if let Standing::Settled { height, .. } = standing {
            let count = covered.count;
            line.detail = format!("at height {height} under a voucher for {count} receipts");
        }
        Ok(())
    }

    /// The report of a receipt of the node for the same sequence, other than the one held.
    fn report<'r>(
        &self,
        one: &Kept,
        known: impl Iterator<Item = &'r Signed<Receipt>>,
    ) -> Result<Option<Message>, Failure> {
        let (node, order) = (&self.session.node, &one.order.value);
        let is_rival = |receipt: &&Signed<Receipt>| {
            let place = (receipt.value.channel, receipt.value.sequence);
            place == (order.channel, order.sequence) && receipt.value != one.receipt.value
        };
        let rivals: Vec<_> = known.filter(is_rival).collect();
        if rivals.is_empty() {
            return Ok(None);
        }
        let Some(channel) = node.channel(order.channel).map_err(client)? else {
            return Ok(None);
        };
        let Some(record) = node.node(channel.node).map_err(client)? else {
            return Ok(None);
        };
        let domain = &self.session.domain;
        let report = |second| equivocation(&one.order, &one.receipt, second, channel.payer, &record, domain);
        Ok(rivals.into_iter().find_map(report))
    }

    /// Sends the first of the messages that the chain grants, unless the sequence is reported already.
    fn send(&self, one: &Kept, messages: Vec<Message>, line: &mut Line) -> Result<(), Failure> {
        let node = &self.session.node;
        let place = key::claim(one.order.value.channel, one.order.value.sequence);
        let before: Option<ClaimRecord> = node.record(&place).map_err(client)?;
        if let Some(claim) = before.filter(|claim| claim.kind == ClaimKind::Equivocation) {
            granted(line, &claim);
            return Ok(());
        }
        if self.dry_run && !messages.is_empty() {
            "can be claimed".clone_into(&mut line.state);
            return Ok(());
        }
        let mut refused = Ok(());
        for message in messages {
            match self.session.send(message) {
                Ok(_) => {
                    // Proven state is a block behind; a missed settlement may have been claimed before.
                    let wanted = |claim: &ClaimRecord| before.as_ref() != Some(claim);
                    let record = node.poll(INCLUSION, "the claim in proven state", || {
                        Ok(node.record::<ClaimRecord>(&place)?.filter(wanted))
                    });
                    line.claimed_now = true;
                    granted(line, &record.map_err(client)?);
                    return Ok(());
                }
                // Whether it is in a block is not known, so nothing else is sent for the sequence.
                Err(failure) if failure.exit != Exit::Failure => return Err(failure),
                Err(failure) => refused = Err(failure),
            }
        }
        refused
    }
}

impl Line {
    /// Keeps why something failed, beside what was found before.
    fn note(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            "failed".clone_into(&mut self.state);
            self.detail = format!("{} [{}]; {}", failure.message, failure.code, failure.hint);
            self.failure = Some(failure);
        }
    }
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
        Standing::Invalid { reason } => (*reason).clone_into(&mut line.detail),
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

fn show(screen: &Screen, node: &NodeClient, lines: &[Line], unanswered: &[OrderHash], skipped: Vec<Value>) {
    let objects = lines.iter().map(|line| {
        json!({
            "order": line.order.to_string(),
            "receipt": line.receipt.map(|receipt| receipt.to_string()),
            "fetched_now": line.fetched_now,
            "state": line.state,
            "detail": line.detail,
            "amount": line.amount.to_string(),
            "asset": line.asset.map(|asset| asset.0),
            "claimed_now": line.claimed_now,
            "error": line.failure.as_ref().map(Failure::error),
        })
    });
    screen.object(&json!({
        "receipts": objects.collect::<Vec<Value>>(),
        "unanswered": unanswered.iter().map(OrderHash::to_string).collect::<Vec<_>>(),
        "skipped": skipped,
    }));
    if lines.is_empty() {
        screen.say("no receipts");
    }
    for line in lines {
        screen.say(text(screen, node, line).trim_end());
    }
    for order in unanswered {
        screen.say(format!("order {order}  the node tells no receipt"));
    }
}

/// A line for people.
fn text(screen: &Screen, node: &NodeClient, line: &Line) -> String {
    let subject = match line.receipt {
        Some(receipt) => receipt.to_string(),
        None => format!("order {}", line.order),
    };
    let amount = match line.asset.filter(|_| line.amount.0 > 0) {
        // What was claimed is told without its symbol where the full node has gone away.
        Some(asset) => format!(
            "  {}",
            amount(node, asset, line.amount).unwrap_or_else(|_| line.amount.to_string())
        ),
        None => String::new(),
    };
    let ink = match (&line.failure, line.claimed_now) {
        (Some(_), _) => Ink::Red,
        (None, true) => Ink::Green,
        (None, false) => Ink::Bold,
    };
    let state = screen.ink(ink, format!("{:<16}", line.state));
    format!("{subject}  {state}{amount}  {}", line.detail)
}

/// An amount with its decimal point and symbol.
pub(crate) fn amount(node: &NodeClient, asset: AssetId, amount: Amount) -> Result<String, Failure> {
    let record: Option<AssetRecord> = node.record(&key::asset(asset)).map_err(client)?;
    Ok(match record {
        Some(record) => format!("{} {}", decimal(amount.0, record.decimals), record.symbol),
        None => amount.to_string(),
    })
}
