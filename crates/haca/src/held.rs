//! The receipts that a user holds: one directory each, with order, request and response.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haca_client::{
    KeptVouchers, Settleable, SettledReceipt, VoucherStore, is_covered, is_in_range, path_under,
};
use haca_wire::{Decode, Item, Order, Receipt, Signed, Voucher};
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

/// The receipts on disk, by directory name.
pub(crate) fn read_all(dir: &Path) -> Result<Vec<Kept>, Failure> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(dir) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Failure::file(dir, "read", &error)),
    };
    paths.sort();
    let is_whole = |path: &PathBuf| path.join("order.bin").exists() && path.join("receipt.bin").exists();
    let held = paths.iter().filter(|path| is_whole(path)).map(|path| {
        Ok(Kept {
            order: read(&path.join("order.bin"))?,
            receipt: read(&path.join("receipt.bin"))?,
            dir: path.clone(),
        })
    });
    held.collect()
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

/// A receipt under a settled voucher of the user's.
pub(crate) struct Covered {
    /// The settlement of the voucher.
    pub(crate) settled: SettledReceipt,
    /// The receipts of its range, in their order.
    pub(crate) items: Vec<Item>,
    /// Which of them it is.
    pub(crate) index: usize,
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
    for voucher in vouchers.covering(channel, sequence) {
        let items: Vec<Item> = under(held, voucher).into_iter().map(Kept::item).collect();
        let mut sequences = items.iter().map(|item| item.order.value.sequence);
        let Some(index) = sequences.position(|other| other == sequence) else {
            continue;
        };
        let path = path_under(&items, index, &session.domain);
        let is_under = path.is_some_and(|path| is_covered(voucher, sequence, &receipt, &path));
        let settled = session
            .node
            .settlement_of(&Settleable::voucher(voucher, &session.domain))
            .map_err(client)?;
        if let Some(settled) = settled.filter(|_| is_under) {
            return Ok(Some(Covered {
                settled,
                items,
                index,
            }));
        }
    }
    Ok(None)
}

/// The vouchers on disk. A file that can't be read is named on stderr, and the others are used.
pub(crate) fn vouchers(store: &VoucherStore, screen: &Screen) -> Result<KeptVouchers, Failure> {
    let vouchers = store.all().map_err(client)?;
    for error in &vouchers.unreadable {
        screen.note(format!("warning: skipped {error} [{}]", error.code()));
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
