//! `haca cover`: vouchers over the user's receipts that wait for their settlement.

use std::collections::BTreeMap;
use std::time::Duration;

use haca_client::{Answered, ClientError, Standing, VoucherStore, voucher};
use haca_wire::{ChannelId, EvidenceKind, Item, ModelId, ReceiptHash, Tick, Voucher, limit};
use serde_json::{Value, json};

use crate::args::Cover;
use crate::claim::{Kept, read_all};
use crate::failure::{Exit, Failure};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::{Exchange, Session, client};
use crate::verify;

/// Ticks that the node has to settle a voucher. Its receipts keep their own deadlines.
const SETTLE_TICKS: u64 = 200;

/// One voucher and what became of it.
struct Line {
    voucher: Voucher,
    state: &'static str,
    detail: String,
}

/// Runs the command.
pub(crate) fn run(options: &Cover, screen: &Screen) -> Result<u8, Failure> {
    let network = Network::load(&options.data)?;
    let session = Session::open(
        &network.user(),
        &network.file.node_url,
        &network.file.inference_url,
    )?;
    let store = VoucherStore::new(&network.user().join("vouchers"));
    let step = screen.step("receipts that wait");
    let ranges = ranges(&session, read_all(&network.user().join("receipts"))?)?;
    step.done(&format!("{} ranges", ranges.len()));
    let mut lines = Vec::new();
    for items in ranges {
        let step = screen.step("voucher");
        let line = cover(&session, &store, &items, options)?;
        step.done(line.state);
        lines.push(line);
    }
    show(&lines, screen);
    let is_open = lines.iter().any(|line| line.state == "signed");
    Ok(if is_open { Exit::SettlementUnknown as u8 } else { 0 })
}

/// Receipts with signatures only that nobody has settled or claimed, as ranges without a gap.
fn ranges(session: &Session, kept: Vec<Kept>) -> Result<Vec<Vec<Item>>, Failure> {
    let mut waiting: BTreeMap<(ChannelId, u64), Item> = BTreeMap::new();
    for kept in kept {
        let order = &kept.order.value;
        if order.evidence != EvidenceKind::Signed {
            continue;
        }
        let standing = session
            .node
            .standing(&kept.order, &kept.receipt)
            .map_err(client)?;
        // Of a receipt without a warranty nothing can be claimed, but it may still settle.
        let waits = matches!(standing, Standing::Waiting { .. } | Standing::NothingAtStake);
        if waits && is_checked(session, &kept)? {
            let place = (order.channel, order.sequence.0);
            let (order, receipt) = (kept.order, kept.receipt);
            waiting.insert(place, Item { order, receipt });
        }
    }
    let mut ranges: Vec<Vec<Item>> = Vec::new();
    let mut last: Option<(ChannelId, u64, ModelId)> = None;
    for ((channel, sequence), item) in waiting {
        let model = item.order.value.model;
        let follows = sequence
            .checked_sub(1)
            .is_some_and(|before| last == Some((channel, before, model)));
        match ranges.last_mut() {
            Some(range) if follows && range.len() < limit::RANGE as usize => range.push(item),
            _ => ranges.push(vec![item]),
        }
        last = Some((channel, sequence, model));
    }
    ranges.retain(|range| range.len() > 1);
    Ok(ranges)
}

/// Whether the answer passes the checks that `haca infer` made: what it refused lies on disk, too, and is not paid for here.
fn is_checked(session: &Session, kept: &Kept) -> Result<bool, Failure> {
    let file = |name: &str| {
        let path = kept.dir.join(name);
        std::fs::read(&path).map_err(|error| Failure::file(&path, "read", &error))
    };
    let exchange = Exchange {
        request: file("request.json")?,
        order: kept.order.clone(),
        answered: Answered {
            response: file("response.json")?,
            receipt: kept.receipt.clone(),
            latency_ms: 0.0,
        },
        dir: kept.dir.clone(),
    };
    match verify::answer(session, &exchange) {
        Ok(()) => Ok(true),
        Err(failure) if failure.exit == Exit::Rejected => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Signs a voucher, has the node sign its root, and waits for the settlement.
fn cover(session: &Session, store: &VoucherStore, items: &[Item], options: &Cover) -> Result<Line, Failure> {
    let tick = session.node.clock().map_err(client)?.tick;
    let settle_by = Tick(tick.0.saturating_add(SETTLE_TICKS));
    let voucher = voucher(items, &session.domain, settle_by).map_err(client)?;
    let channel = session.node.channel(voucher.channel).map_err(client)?;
    let node = channel.map(|channel| session.node.node(channel.node));
    let signer = node
        .transpose()
        .map_err(client)?
        .flatten()
        .and_then(|node| node.signer());
    let Some(signer) = signer else {
        return Err(Failure::new(
            Exit::Unverifiable,
            "cli.unregistered",
            "the node is not registered",
            "wait for the registration to be included",
        ));
    };
    let signed = session
        .wallet
        .sign(voucher.clone(), &session.domain)
        .map_err(client)?;
    store.keep(&signed).map_err(client)?;
    let line = |state, detail| Line {
        voucher: voucher.clone(),
        state,
        detail,
    };
    match session.inference.cover(&signed, signer, &session.domain) {
        Ok(_) => {}
        Err(ClientError::Refused { message, .. }) => return Ok(line("refused", message)),
        Err(error) => return Err(client(error)),
    }
    let patience = Duration::from_secs(options.wait_s);
    let root = ReceiptHash(voucher.root);
    let settled = session.node.poll(patience, "the settlement of the voucher", || {
        session.node.settled(root)
    });
    match settled {
        Ok(settled) => {
            let record = &settled.settlement;
            let detail = format!("at height {} by {}", settled.height, record.tx);
            Ok(line("settled", detail))
        }
        Err(ClientError::Pending { .. }) => Ok(line("signed", "not in a block yet".to_owned())),
        Err(error) => Err(client(error)),
    }
}

fn show(lines: &[Line], screen: &Screen) {
    let objects = lines.iter().map(|line| {
        json!({
            "channel": line.voucher.channel.to_string(),
            "first": line.voucher.first.0,
            "count": line.voucher.count,
            "root": ReceiptHash(line.voucher.root).to_string(),
            "total": line.voucher.total.to_string(),
            "state": line.state,
            "detail": line.detail,
        })
    });
    screen.object(&json!({ "vouchers": objects.collect::<Vec<Value>>() }));
    if lines.is_empty() {
        screen.say("no two receipts with signatures wait in a row");
    }
    for line in lines {
        let ink = if line.state == "refused" {
            Ink::Yellow
        } else {
            Ink::Green
        };
        screen.say(format!(
            "{} receipts from sequence {}  {}  {}",
            line.voucher.count,
            line.voucher.first,
            screen.ink(ink, line.state),
            line.detail
        ));
    }
}
