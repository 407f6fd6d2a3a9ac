//! The receipts that a user holds: one directory each, with order, request and response.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haca_client::{
    KeptVoucher, KeptVouchers, Settleable, SettledReceipt, VoucherStore, are_leaves, is_in_range, leaves,
    path_under,
};
use haca_wire::{Decode, Domain, Item, Order, Receipt, ReceiptHash, Signed, Voucher, merkle};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::{Session, client};

/// The name of a receipt's bundle in its directory.
pub(crate) const BUNDLE: &str = "bundle.haca";

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
        Ok((file("request.json")?, file("response.json")?))
    }
}

/// The receipts on disk.
pub(crate) struct Receipts {
    /// By directory name.
    pub(crate) kept: Vec<Kept>,
    /// Those that can't be read, as JSON.
    pub(crate) skipped: Vec<Value>,
}

/// The receipts on disk. A file that can't be read is named on stderr, and the others are used.
pub(crate) fn read_all(dir: &Path, screen: &Screen) -> Result<Receipts, Failure> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(dir) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Failure::file(dir, "read", &error)),
    };
    paths.sort();
    let is_whole = |path: &PathBuf| path.join("order.bin").exists() && path.join("receipt.bin").exists();
    let (mut kept, mut skipped) = (Vec::new(), Vec::new());
    for dir in paths.into_iter().filter(is_whole) {
        match read(&dir.join("order.bin")).and_then(|order| Ok((order, read(&dir.join("receipt.bin"))?))) {
            Ok((order, receipt)) => kept.push(Kept { order, receipt, dir }),
            Err(failure) => {
                warn(screen, &failure.message, &failure.code);
                let (code, message, hint) = (failure.code, failure.message, failure.hint);
                skipped.push(json!({ "code": code, "message": message, "hint": hint }));
            }
        }
    }
    Ok(Receipts { kept, skipped })
}

/// Says on stderr that something on disk is left out.
pub(crate) fn warn(screen: &Screen, what: &str, code: &str) {
    screen.note(format!("warning: skipped {what} [{code}]"));
}

/// A signed value as `haca infer` wrote it.
pub(crate) fn read<T: Decode>(path: &Path) -> Result<T, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, "read", &error))?;
    T::decode_all(&bytes).map_err(|error| {
        Failure::usage(
            "cli.damaged_file",
            format!("{} is damaged: {error}", path.display()),
            "remove it, or bring it back from a copy",
        )
    })
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
