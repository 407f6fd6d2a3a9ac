//! The orders that a user has signed and the receipts that it holds: one directory each, with request and response.
//!
//! A directory is named by the order's digest: the payer alone chooses it, so no answer of a node leads to the files of another
//! order. Whoever reads goes by the files, whatever a directory is called.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use haca_client::{
    Answered, Issued, KeptVoucher, KeptVouchers, Settleable, SettledReceipt, VoucherStore, are_leaves,
    is_in_range, leaves, path_under,
};
use haca_wire::{
    ChannelId, Decode, Domain, Encode as _, Item, Order, Receipt, ReceiptHash, Signed, Voucher, merkle,
    render,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::{Session, client, replace};

/// The name of a receipt's bundle in its directory.
pub(crate) const BUNDLE: &str = "bundle.haca";
const ORDER: &str = "order.bin";
const RECEIPT: &str = "receipt.bin";
const REQUEST: &str = "request.json";
const RESPONSE: &str = "response.json";
/// A receipt that came in place of one for the order.
pub(crate) const OTHER_RECEIPT: &str = "other-receipt.bin";
/// Another receipt of the node for the order, which it told when it was asked.
pub(crate) const TOLD_RECEIPT: &str = "told-receipt.bin";

/// An order with the receipt that answered it.
pub(crate) struct Kept {
    pub(crate) order: Signed<Order>,
    pub(crate) receipt: Signed<Receipt>,
    /// Where they are, with request and response.
    pub(crate) dir: PathBuf,
}

impl Kept {
    /// Order and receipt.
    pub(crate) fn item(&self) -> Item {
        Item {
            order: self.order.clone(),
            receipt: self.receipt.clone(),
        }
    }

    /// The request and response bytes.
    pub(crate) fn bodies(&self) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let file = |name: &str| {
            let path = self.dir.join(name);
            std::fs::read(&path).map_err(|error| Failure::file(&path, "read", &error))
        };
        Ok((file(REQUEST)?, file(RESPONSE)?))
    }

    /// The request bytes, where no response is kept that the receipt is for: an answer that was lost on its way, or one that
    /// came with another receipt.
    pub(crate) fn unanswered_request(&self) -> Option<Vec<u8>> {
        let response = std::fs::read(self.dir.join(RESPONSE));
        if response.is_ok_and(|response| self.is_response(&response)) {
            return None;
        }
        std::fs::read(self.dir.join(REQUEST)).ok()
    }

    /// Whether these are the response bytes that the receipt is for.
    pub(crate) fn is_response(&self, response: &[u8]) -> bool {
        self.receipt.value.response == render::response_hash(response)
    }

    /// Keeps the response bytes.
    pub(crate) fn keep_response(&self, response: &[u8]) -> Result<(), Failure> {
        let _lock = lock(&self.dir)?;
        replace(&self.dir.join(RESPONSE), response)
    }

    /// This order with another receipt for it, which takes the place of one that no key of the node signed. That one is kept in a
    /// place of evidence first. `None`, and nothing changes, where these places are taken, or another command was faster.
    pub(crate) fn with_receipt(&self, receipt: Signed<Receipt>) -> Result<Option<Self>, Failure> {
        let _lock = lock(&self.dir)?;
        let places = [OTHER_RECEIPT, TOLD_RECEIPT].map(|name| self.dir.join(name));
        let Some(free) = places.into_iter().find(|place| !place.exists()) else {
            return Ok(None);
        };
        let path = self.dir.join(RECEIPT);
        if read::<Signed<Receipt>>(&path)? != self.receipt {
            return Ok(None);
        }
        replace(&free, &self.receipt.encode())?;
        replace(&path, &receipt.encode())?;
        Ok(Some(Self {
            order: self.order.clone(),
            receipt,
            dir: self.dir.clone(),
        }))
    }
}

/// An order without a receipt.
pub(crate) struct Unanswered {
    pub(crate) order: Signed<Order>,
    /// Where it is, with its request.
    pub(crate) dir: PathBuf,
}

/// The receipts on disk.
pub(crate) struct Receipts {
    /// By directory name.
    pub(crate) kept: Vec<Kept>,
    /// Those that came in place of one for an order: evidence of two receipts for a sequence, where it is one.
    pub(crate) others: Vec<Signed<Receipt>>,
    /// Orders without a receipt, by directory name.
    pub(crate) unanswered: Vec<Unanswered>,
    /// Those that can't be read, as JSON.
    pub(crate) skipped: Vec<Value>,
}

/// The receipts on disk. A file that can't be read is named on stderr, and the others are used.
pub(crate) fn read_all(dir: &Path, screen: &Screen) -> Result<Receipts, Failure> {
    let (mut kept, mut unanswered) = (Vec::new(), Vec::new());
    let (mut others, mut skipped) = (Vec::new(), Vec::new());
    let mut skip = |failure: Failure| {
        warn(screen, &failure.message, &failure.code);
        skipped.push(failure.error());
    };
    for dir in names(dir)?.into_iter().map(|name| dir.join(name)) {
        for other in [OTHER_RECEIPT, TOLD_RECEIPT].map(|name| dir.join(name)) {
            if other.exists() {
                read(&other).map_or_else(&mut skip, |other| others.push(other));
            }
        }
        let (order, receipt) = (dir.join(ORDER), dir.join(RECEIPT));
        if !order.exists() {
            continue;
        }
        if !receipt.exists() {
            read(&order).map_or_else(&mut skip, |order| unanswered.push(Unanswered { order, dir }));
            continue;
        }
        match read(&order).and_then(|order| Ok((order, read(&receipt)?))) {
            Ok((order, receipt)) => kept.push(Kept { order, receipt, dir }),
            Err(failure) => skip(failure),
        }
    }
    Ok(Receipts {
        kept,
        others,
        unanswered,
        skipped,
    })
}

/// The name of an order's directory.
pub(crate) fn directory(order: &Order, domain: &Domain) -> String {
    order.hash(domain).to_string()
}

/// The orders of a channel in these directories under `receipts`, or in all, each with its directory. With one that can't be
/// read nothing can be claimed, so it counts for nothing.
pub(crate) fn issued(
    receipts: &Path,
    dirs: Option<Vec<String>>,
    channel: ChannelId,
) -> Result<Vec<(String, Issued)>, Failure> {
    let dirs = match dirs {
        Some(dirs) => dirs,
        None => names(receipts)?,
    };
    let issued = |dir: String| {
        let path = receipts.join(&dir);
        let order: Signed<Order> = read(&path.join(ORDER)).ok()?;
        let issued = Issued {
            order: order.value,
            has_receipt: path.join(RECEIPT).exists(),
        };
        (issued.order.channel == channel).then_some((dir, issued))
    };
    Ok(dirs.into_iter().filter_map(issued).collect())
}

/// The names in a directory, in order; none when there is no directory.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = match std::fs::read_dir(dir) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Failure::file(dir, "read", &error)),
    };
    names.sort();
    Ok(names)
}

/// Keeps an order and its request under `receipts`, before it is sent.
pub(crate) fn keep_order(
    receipts: &Path,
    request: &[u8],
    order: &Signed<Order>,
    domain: &Domain,
) -> Result<(), Failure> {
    let dir = receipts.join(directory(&order.value, domain));
    std::fs::create_dir_all(&dir).map_err(|error| Failure::file(&dir, "create", &error))?;
    replace(&dir.join(REQUEST), request)?;
    replace(&dir.join(ORDER), &order.encode())?;
    let whole = File::open(receipts).and_then(|receipts| receipts.sync_all());
    whole.map_err(|error| Failure::file(receipts, "write", &error))
}

/// Keeps what a node answered beside the order.
pub(crate) fn keep_answer(
    dir: &Path,
    order: &Order,
    answered: &Answered,
    domain: &Domain,
) -> Result<(), Failure> {
    keep_receipt(dir, order, &answered.receipt, domain)?;
    let _lock = lock(dir)?;
    let response = dir.join(RESPONSE);
    // Another command may have asked for the receipt and its response, and what came here may belong to neither.
    let kept = read::<Signed<Receipt>>(&dir.join(RECEIPT)).ok();
    let is_kept = kept
        .zip(std::fs::read(&response).ok())
        .is_some_and(|(kept, response)| kept.value.response == render::response_hash(&response));
    if is_kept {
        return Ok(());
    }
    replace(&response, &answered.response)
}

/// Holds the directory of an order until the file is closed: other commands that keep answers there wait.
fn lock(dir: &Path) -> Result<File, Failure> {
    let directory = File::open(dir).and_then(|directory| directory.lock().map(|()| directory));
    directory.map_err(|error| Failure::file(dir, "lock", &error))
}

/// Keeps a receipt beside its order. One for another order gets another name: the node may have signed two for one sequence. So
/// does a second one for this order, which may come while another command asks for it.
pub(crate) fn keep_receipt(
    dir: &Path,
    order: &Order,
    receipt: &Signed<Receipt>,
    domain: &Domain,
) -> Result<(), Failure> {
    let _lock = lock(dir)?;
    let value = &receipt.value;
    let answers = (value.channel, value.sequence, value.order);
    if answers != (order.channel, order.sequence, order.hash(domain)) {
        return keep_first(&dir.join(OTHER_RECEIPT), receipt);
    }
    keep_first(&dir.join(RECEIPT), receipt)?;
    match read::<Signed<Receipt>>(&dir.join(RECEIPT)) {
        Ok(kept) if kept.value == *value => Ok(()),
        // Beside a damaged one, too.
        _ => keep_first(&dir.join(TOLD_RECEIPT), receipt),
    }
}

/// Keeps another receipt that the node told beside the one held, where something that is no evidence may have come before it.
pub(crate) fn keep_told(dir: &Path, told: &Signed<Receipt>) -> Result<(), Failure> {
    let _lock = lock(dir)?;
    let is_there = |place: &PathBuf| read::<Signed<Receipt>>(place).is_ok_and(|kept| kept == *told);
    let places = [TOLD_RECEIPT, OTHER_RECEIPT].map(|name| dir.join(name));
    if places.iter().any(is_there) {
        return Ok(());
    }
    let free = places.into_iter().find(|place| !place.exists());
    free.map_or(Ok(()), |place| replace(&place, &told.encode()))
}

/// Keeps a receipt, unless there is one: either is evidence.
fn keep_first(path: &Path, receipt: &Signed<Receipt>) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    replace(path, &receipt.encode())
}

/// Says on stderr that something on disk is left out.
pub(crate) fn warn(screen: &Screen, what: &str, code: &str) {
    screen.note(format!("warning: skipped {what} [{code}]"));
}

/// A signed value as `haca infer` wrote it.
pub(crate) fn read<T: Decode>(path: &Path) -> Result<T, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, "read", &error))?;
    T::decode_all(&bytes).map_err(|error| damaged(path, error))
}

/// A file that doesn't hold what its name says.
pub(crate) fn damaged(path: &Path, why: impl core::fmt::Display) -> Failure {
    Failure::usage(
        "cli.damaged_file",
        format!("{} is damaged: {why}", path.display()),
        "remove it, or bring it back from a copy",
    )
}

/// Those of the receipts whose sequences are in the range of a voucher, in their order.
pub(crate) fn under<'a>(held: &'a [Kept], voucher: &Voucher) -> Vec<&'a Kept> {
    let in_range = held
        .iter()
        .filter(|kept| is_in_range(voucher, kept.order.value.channel, kept.order.value.sequence));
    let by_sequence: BTreeMap<u64, &Kept> =
        in_range.map(|kept| (kept.order.value.sequence.0, kept)).collect();
    by_sequence.into_values().collect()
}

/// The digests of the receipts under a voucher: those kept with it, or those of the receipts on disk where it was kept
/// without them and all are there.
pub(crate) fn leaves_of(voucher: &KeptVoucher, held: &[Kept], domain: &Domain) -> Option<Vec<ReceiptHash>> {
    voucher.leaves.clone().or_else(|| {
        let value = &voucher.signed.value;
        let items: Vec<Item> = under(held, value).into_iter().map(Kept::item).collect();
        let leaves = leaves(&items, domain);
        are_leaves(value, &leaves).then_some(leaves)
    })
}

/// A receipt under a settled voucher of the user's.
pub(crate) struct Covered {
    /// The settlement of the voucher.
    pub(crate) settled: SettledReceipt,
    /// Receipts of its range.
    pub(crate) count: u32,
    /// From the receipt to its root.
    pub(crate) path: Vec<merkle::Hash>,
}

/// Where a receipt was settled under a voucher of the user's that covers exactly it.
pub(crate) fn covered(
    session: &Session,
    one: &Kept,
    held: &[Kept],
    vouchers: &KeptVouchers,
) -> Result<Option<Covered>, Failure> {
    let (channel, sequence) = (one.order.value.channel, one.order.value.sequence);
    let receipt = one.receipt.value.hash(&session.domain);
    for kept in vouchers.covering(channel, sequence) {
        let voucher = &kept.signed.value;
        let Some(leaves) = leaves_of(kept, held, &session.domain) else {
            continue;
        };
        let index = usize::try_from(sequence.0.saturating_sub(voucher.first.0)).unwrap_or(usize::MAX);
        let is_under = leaves.get(index) == Some(&receipt);
        let Some(path) = path_under(&leaves, index).filter(|_| is_under) else {
            continue;
        };
        let wanted = Settleable::voucher(voucher, &session.domain);
        if let Some(settled) = session.node.settlement_of(&wanted).map_err(client)? {
            let count = voucher.count;
            return Ok(Some(Covered { settled, count, path }));
        }
    }
    Ok(None)
}

/// The vouchers on disk. A file that can't be read is named on stderr, and the others are used.
pub(crate) fn vouchers(store: &VoucherStore, screen: &Screen) -> Result<KeptVouchers, Failure> {
    let vouchers = store.all().map_err(client)?;
    for error in &vouchers.unreadable {
        warn(screen, &error.to_string(), error.code());
    }
    Ok(vouchers)
}

/// The files that could not be read, as JSON.
pub(crate) fn skipped(vouchers: &KeptVouchers) -> Vec<Value> {
    let errors = vouchers.unreadable.iter();
    let objects = errors
        .map(|error| json!({ "code": error.code(), "message": error.to_string(), "hint": error.hint() }));
    objects.collect()
}
