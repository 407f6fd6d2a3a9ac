//! Covering vouchers as their payer makes them: over receipts that it holds and has checked, kept on disk before they
//! leave.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use haca_wire::voucher::{check_leaf, receipt_path};
use haca_wire::{
    Address, Amount, ChannelId, Coverage, Decode, Domain, Encode as _, EvidenceKind, Item, ReceiptHash,
    Sequence, Signed, Tick, Voucher, limit, merkle, receipt_root,
};

use crate::ClientError;

/// The most bytes of a kept voucher: two signatures over fixed fields.
const FILE_BYTES: u64 = 4096;

/// The voucher over receipts of one channel without a gap, in the order of their sequences: the total is the sum of their
/// fees, the root is theirs, and the warranty is the sum of theirs where the fee waits. It settles up to `settle_by`, and no
/// later than the first of the receipts: after that the payer may claim a warranty, and would sign it away.
///
/// # Errors
///
/// [`ClientError::Voucher`] when the receipts are no such range, are for several models or kinds of evidence, or with proofs, answer
/// another order than the one beside them, charge more than it allows, or carry a wrong signature.
pub fn voucher(items: &[Item], domain: &Domain, settle_by: Tick) -> Result<Voucher, ClientError> {
    let wrong = |reason| Err(ClientError::Voucher { reason });
    let Some(first) = items.first().map(|item| &item.order.value) else {
        return wrong("there are no receipts");
    };
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    if !(2..=limit::RANGE).contains(&count) {
        return wrong("a voucher covers 2 to 1,024 receipts");
    }
    let (mut total, mut warranty, mut settle_by) = (0u128, 0u128, settle_by);
    let mut expected = first.sequence;
    for item in items {
        let (order, receipt) = (&item.order.value, &item.receipt.value);
        if (order.channel, order.sequence) != (first.channel, expected) {
            return wrong("the receipts are not of consecutive sequences of one channel");
        }
        if (order.model, order.evidence) != (first.model, first.evidence) || !is_coverable(order.evidence) {
            return wrong("the receipts are of several models or kinds of evidence, or with proofs");
        }
        let answers = (
            receipt.channel,
            receipt.sequence,
            receipt.order,
            receipt.input_root,
        );
        if answers
            != (
                order.channel,
                order.sequence,
                order.hash(domain),
                order.input_root,
            )
        {
            return wrong("a receipt answers another order");
        }
        if receipt.fee > order.max_fee {
            return wrong("a receipt charges more than its order allows");
        }
        if item.receipt.check(domain, receipt.signer).is_err() {
            return wrong("the signature of a receipt is wrong");
        }
        settle_by = settle_by.min(order.settle_by);
        total = total.saturating_add(receipt.fee.0);
        // What waits is returned with a warranty; what is paid at once has none.
        if order.evidence == EvidenceKind::Optimistic {
            warranty = warranty.saturating_add(order.warranty.0);
        }
        expected = Sequence(expected.0.saturating_add(1));
    }
    Ok(Voucher {
        channel: first.channel,
        first: first.sequence,
        count,
        root: receipt_root(&leaves(items, domain)),
        model: first.model,
        evidence: first.evidence,
        total: Amount(total),
        warranty: Amount(warranty),
        settle_by,
    })
}

/// Whether vouchers cover receipts of this evidence.
pub const fn is_coverable(evidence: EvidenceKind) -> bool {
    matches!(evidence, EvidenceKind::Signed | EvidenceKind::Optimistic)
}

/// The leaves of receipts without a gap.
pub(crate) fn leaves(items: &[Item], domain: &Domain) -> Vec<Option<ReceiptHash>> {
    let hash = |item: &Item| Some(item.receipt.value.hash(domain));
    items.iter().map(hash).collect()
}

/// The path from one of these receipts to the root of a voucher over them all: with it, whoever holds the receipt shows
/// that it is covered.
pub fn path_under(items: &[Item], index: usize, domain: &Domain) -> Option<Vec<merkle::Hash>> {
    receipt_path(&leaves(items, domain), index)
}

/// Whether a receipt stands under a voucher at its place.
pub fn is_covered(
    voucher: &Voucher,
    sequence: Sequence,
    receipt: &ReceiptHash,
    path: &[merkle::Hash],
) -> bool {
    let range = (voucher.first, voucher.count);
    check_leaf(range, &voucher.root, sequence, Some(receipt), path).is_ok()
}

/// Whether a sequence of a channel is in the range of a voucher.
pub fn is_in_range(voucher: &Voucher, channel: ChannelId, sequence: Sequence) -> bool {
    let above = sequence.0.checked_sub(voucher.first.0);
    voucher.channel == channel && above.is_some_and(|above| above < u64::from(voucher.count))
}

/// Checks what a node gave for a voucher: its signature over the same range and root.
///
/// # Errors
///
/// [`ClientError::Voucher`] when it is another root, or signed by another key than `signer`.
pub fn check_coverage(coverage: &Coverage, signer: Address, domain: &Domain) -> Result<(), ClientError> {
    let (voucher, root) = (&coverage.voucher.value, &coverage.root.value);
    let ours = (voucher.channel, voucher.first, voucher.count, voucher.root);
    if ours != (root.channel, root.first, root.count, root.root) {
        let reason = "the node signed another root";
        return Err(ClientError::Voucher { reason });
    }
    let is_theirs = root.signer == signer && coverage.root.check(domain, signer).is_ok();
    is_theirs.then_some(()).ok_or(ClientError::Voucher {
        reason: "the node's receipt key did not sign the root",
    })
}

/// Vouchers on disk, by channel and first sequence: what was signed is known whatever crashes afterwards.
#[derive(Clone, Debug)]
pub struct VoucherStore {
    dir: PathBuf,
}

impl VoucherStore {
    /// The store in a directory, which is made when it is needed.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Keeps a voucher durably. To be called before it leaves.
    pub fn keep(&self, voucher: &Signed<Voucher>) -> Result<(), ClientError> {
        let value = &voucher.value;
        let name = format!("{}-{}-{}.voucher", value.channel, value.first, value.count);
        let path = self.dir.join(name);
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&self.dir)?;
            let fresh = path.with_extension("new");
            let mut file = std::fs::File::create(&fresh)?;
            file.write_all(&voucher.encode())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            std::fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| failed(&path, &error))
    }

    /// Every voucher of the store. A file that can't be read keeps no other from being used.
    ///
    /// # Errors
    ///
    /// A directory that is there and can't be read.
    pub fn all(&self) -> Result<KeptVouchers, ClientError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(KeptVouchers::default());
            }
            Err(error) => return Err(failed(&self.dir, &error)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "voucher"))
            .collect();
        paths.sort();
        let mut kept = KeptVouchers::default();
        for path in &paths {
            match read(path) {
                Ok(voucher) => kept.vouchers.push(voucher),
                Err(error) => kept.unreadable.push(error),
            }
        }
        Ok(kept)
    }
}

/// What a [`VoucherStore`] holds.
#[derive(Debug, Default)]
pub struct KeptVouchers {
    /// By channel, first sequence and count, as text.
    pub vouchers: Vec<Signed<Voucher>>,
    /// One error for each file that can't be read.
    pub unreadable: Vec<ClientError>,
}

impl KeptVouchers {
    /// The vouchers that cover a sequence, by the range.
    pub fn covering(&self, channel: ChannelId, sequence: Sequence) -> impl Iterator<Item = &Voucher> {
        let all = self.vouchers.iter().map(|signed| &signed.value);
        all.filter(move |voucher| is_in_range(voucher, channel, sequence))
    }
}

fn read(path: &Path) -> Result<Signed<Voucher>, ClientError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed(path, &error))?;
    file.take(FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(path, &error))?;
    Signed::decode_all(&bytes).map_err(|error| ClientError::VoucherStore {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

fn failed(path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::VoucherStore {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
