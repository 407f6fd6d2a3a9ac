//! `haca cover`: vouchers over the user's receipts that wait for their settlement.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use haca_client::{
    Answered, ClientError, CoveredRange, KeptVouchers, Settleable, Standing, VoucherStore, is_coverable,
    leaves, voucher,
};
use haca_wire::{ChannelId, Encode as _, EvidenceKind, Item, ModelId, ReceiptHash, Tick, Voucher, limit};
use serde_json::{Value, json};

use crate::args::Cover;
use crate::failure::{Exit, Failure};
use crate::held::{self, Kept};
use crate::network::Network;
use crate::screen::{Ink, Screen};
use crate::session::{Exchange, Session, client, replace};
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
    let session = Session::open(&network)?;
    let store = VoucherStore::new(&network.user().join("vouchers"));
    let step = screen.step("receipts that wait");
    let receipts = held::read_all(&network.user().join("receipts"), screen)?;
    let held = &receipts.kept;
    let ranges = ranges(&session, held, screen)?;
    step.done(&format!("{} ranges", ranges.len()));
    let mut lines = Vec::new();
    for items in ranges {
        let step = screen.step("voucher");
        let line = cover(&session, &store, &items, options)?;
        step.done(line.state);
        lines.push(line);
    }
    let step = screen.step("bundles for offline verification");
    let vouchers = held::vouchers(&store, screen)?;
    let bundles = collect(&session, &vouchers, held, screen)?;
    step.done(&format!("{} written", bundles.len()));
    let skipped = [receipts.skipped, held::skipped(&vouchers)].concat();
    let is_whole = skipped.is_empty();
    show(&lines, &bundles, skipped, screen);
    if let Some(bundle) = bundles.first() {
        let (bundle, trust) = (bundle.display(), network.file.trust);
        screen.say(format!(
            "check one with: haca verify {bundle} --trust {trust} --accept-signed (or --accept-optimistic)"
        ));
    }
    let is_open = lines.iter().any(|line| line.state == "signed");
    Ok(match (is_open, is_whole) {
        (true, _) => Exit::SettlementUnknown as u8,
        (false, false) => Exit::Unverifiable as u8,
        (false, true) => 0,
    })
}

/// Receipts without proofs that nobody has settled or claimed, and that still can settle, as ranges without a gap.
fn ranges(session: &Session, held: &[Kept], screen: &Screen) -> Result<Vec<Vec<Item>>, Failure> {
    let tick = session.node.clock().map_err(client)?.tick;
    let mut waiting: BTreeMap<(ChannelId, u64), Item> = BTreeMap::new();
    for kept in held {
        let order = &kept.order.value;
        // A voucher settles no later than any of its orders: one that is late would block all others of its run.
        if !is_coverable(order.evidence) || order.settle_by <= tick {
            continue;
        }
        let standing = session
            .node
            .standing(&kept.order, &kept.receipt)
            .map_err(client)?;
        // Of a receipt without a warranty nothing can be claimed, but it may still settle.
        let waits = matches!(standing, Standing::Waiting { .. } | Standing::NothingAtStake);
        if waits && is_checked(session, kept, screen)? {
            waiting.insert((order.channel, order.sequence.0), kept.item());
        }
    }
    let mut ranges: Vec<Vec<Item>> = Vec::new();
    let mut last: Option<(ChannelId, u64, ModelId, EvidenceKind)> = None;
    for ((channel, sequence), item) in waiting {
        let (model, evidence) = (item.order.value.model, item.order.value.evidence);
        let follows = sequence
            .checked_sub(1)
            .is_some_and(|before| last == Some((channel, before, model, evidence)));
        match ranges.last_mut() {
            Some(range) if follows && range.len() < limit::RANGE as usize => range.push(item),
            _ => ranges.push(vec![item]),
        }
        last = Some((channel, sequence, model, evidence));
    }
    ranges.retain(|range| range.len() > 1);
    Ok(ranges)
}

/// Whether the answer passes the checks that `haca infer` made: what it refused lies on disk, too, and is not paid for here.
/// Nor is what can't be read.
fn is_checked(session: &Session, kept: &Kept, screen: &Screen) -> Result<bool, Failure> {
    let (request, response) = match kept.bodies() {
        Ok(bodies) => bodies,
        Err(failure) => {
            held::warn(screen, &failure.message, &failure.code);
            return Ok(false);
        }
    };
    let exchange = Exchange {
        request,
        order: kept.order.clone(),
        answered: Answered {
            response,
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
    let leaves = leaves(items, &session.domain);
    store.keep(&signed, &leaves, &session.domain).map_err(client)?;
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
    let wanted = Settleable::voucher(&voucher, &session.domain);
    let settled = session.node.poll(patience, "the settlement of the voucher", || {
        session.node.settlement_of(&wanted)
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

/// Writes the bundle of each receipt that a settled voucher covers and that has none: of the vouchers of this run, and of
/// earlier ones whose settlement nobody waited for. Returns their paths.
fn collect(
    session: &Session,
    vouchers: &KeptVouchers,
    held: &[Kept],
    screen: &Screen,
) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for one in &vouchers.vouchers {
        let voucher = &one.signed.value;
        let range = held::under(held, voucher);
        if range.iter().all(|kept| kept.dir.join(held::BUNDLE).exists()) {
            continue;
        }
        let Some(leaves) = held::leaves_of(one, held, &session.domain) else {
            continue;
        };
        let trust = session.domain.genesis;
        let covered = CoveredRange::fetch(&session.node, trust, voucher, leaves, None, Duration::ZERO);
        let covered = match covered {
            Ok(covered) => covered,
            // Not settled, or not by this voucher: another one may cover its receipts.
            Err(ClientError::Pending { .. } | ClientError::Voucher { .. }) => continue,
            Err(error) => return Err(client(error)),
        };
        for kept in range {
            let path = kept.dir.join(held::BUNDLE);
            let (request, response) = match kept.bodies() {
                Ok(bodies) => bodies,
                Err(failure) => {
                    held::warn(screen, &failure.message, &failure.code);
                    continue;
                }
            };
            if let Some(bundle) = covered.bundle(kept.item(), request, response) {
                replace(&path, &bundle.encode())?;
                written.push(path);
            }
        }
    }
    Ok(written)
}

fn show(lines: &[Line], bundles: &[PathBuf], skipped: Vec<Value>, screen: &Screen) {
    let objects = lines.iter().map(|line| {
        json!({
            "channel": line.voucher.channel.to_string(),
            "first": line.voucher.first.0,
            "count": line.voucher.count,
            "root": ReceiptHash(line.voucher.root).to_string(),
            "evidence": line.voucher.evidence.name(),
            "total": line.voucher.total.to_string(),
            "warranty": line.voucher.warranty.to_string(),
            "state": line.state,
            "detail": line.detail,
        })
    });
    screen.object(&json!({
        "vouchers": objects.collect::<Vec<Value>>(),
        "bundles": bundles,
        "skipped": skipped,
    }));
    if lines.is_empty() {
        screen.say("no two receipts without a proof wait in a row");
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
