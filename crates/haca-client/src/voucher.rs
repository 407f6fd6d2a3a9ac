//! Covering vouchers as their payer makes them: over receipts that it holds and has checked, kept on disk before they
//! leave.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use haca_wire::codec::Reader;
use haca_wire::voucher::receipt_path;
use haca_wire::{
    Address, Amount, ChannelId, Coverage, Decode, Domain, Encode as _, EvidenceKind, Item, ReceiptHash,
    Sequence, Signed, Tick, Voucher, limit, merkle, receipt_root,
};

use crate::ClientError;

/// The most bytes of a kept voucher: fixed fields with a signature, and the receipts' digests.
const FILE_BYTES: u64 = 4096 + 32 * limit::RANGE as u64;

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
        root: root_of(&leaves(items, domain)),
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

/// The digests of receipts without a gap: the leaves under the root of a voucher over them.
pub fn leaves(items: &[Item], domain: &Domain) -> Vec<ReceiptHash> {
    let hash = |item: &Item| item.receipt.value.hash(domain);
    items.iter().map(hash).collect()
}

fn root_of(leaves: &[ReceiptHash]) -> merkle::Hash {
    let leaves: Vec<Option<ReceiptHash>> = leaves.iter().copied().map(Some).collect();
    receipt_root(&leaves)
}

/// Whether these are the digests of all receipts under a voucher.
pub fn are_leaves(voucher: &Voucher, leaves: &[ReceiptHash]) -> bool {
    leaves.len() == voucher.count as usize && root_of(leaves) == voucher.root
}

/// The path from the receipt at `index` to the root over all these digests: with it, whoever holds the receipt shows that a
/// voucher covers it. `None` behind their end.
pub fn path_under(leaves: &[ReceiptHash], index: usize) -> Option<Vec<merkle::Hash>> {
    let leaves: Vec<Option<ReceiptHash>> = leaves.iter().copied().map(Some).collect();
    receipt_path(&leaves, index)
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

/// Vouchers on disk, each with the digests of the receipts that it covers: what was signed is known whatever crashes
/// afterwards, and each receipt is provable without the others.
#[derive(Clone, Debug)]
pub struct VoucherStore {
    dir: PathBuf,
}

impl VoucherStore {
    /// The store in a directory, which is made when it is needed.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Keeps a voucher and the leaves under its root durably, beside every other of the same range. To be called before
    /// it leaves.
    pub fn keep(
        &self,
        voucher: &Signed<Voucher>,
        leaves: &[ReceiptHash],
        domain: &Domain,
    ) -> Result<(), ClientError> {
        let value = &voucher.value;
        let (range, digest) = (
            format!("{}-{}-{}", value.channel, value.first, value.count),
            value.hash(domain),
        );
        let name = format!("{range}-{digest}.voucher");
        let mut bytes = voucher.encode();
        bytes.extend(leaves.iter().flat_map(|leaf| leaf.0));
        let path = self.dir.join(name);
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&self.dir)?;
            let fresh = path.with_extension("new");
            let mut file = std::fs::File::create(&fresh)?;
            file.write_all(&bytes)?;
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
                Ok((voucher, damage)) => {
                    kept.vouchers.push(voucher);
                    kept.unreadable.extend(damage);
                }
                Err(error) => kept.unreadable.push(error),
            }
        }
        Ok(kept)
    }
}

/// A voucher of the store.
#[derive(Clone, Debug)]
pub struct KeptVoucher {
    /// The voucher.
    pub signed: Signed<Voucher>,
    /// The digests of the receipts under its root; `None` when the file has none, or damaged ones.
    pub leaves: Option<Vec<ReceiptHash>>,
}

/// What a [`VoucherStore`] holds.
#[derive(Debug, Default)]
pub struct KeptVouchers {
    /// By channel, first sequence and count, as text.
    pub vouchers: Vec<KeptVoucher>,
    /// One error for each file that can't be read, or not whole.
    pub unreadable: Vec<ClientError>,
}

impl KeptVouchers {
    /// The vouchers that cover a sequence, by the range.
    pub fn covering(&self, channel: ChannelId, sequence: Sequence) -> impl Iterator<Item = &KeptVoucher> {
        let covers = move |kept: &&KeptVoucher| is_in_range(&kept.signed.value, channel, sequence);
        self.vouchers.iter().filter(covers)
    }
}

/// Reads a voucher and its leaves. Damaged leaves are an error beside the voucher: it counts without them.
fn read(path: &Path) -> Result<(KeptVoucher, Option<ClientError>), ClientError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed(path, &error))?;
    file.take(FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(path, &error))?;
    let damaged = |reason: String| ClientError::VoucherStore {
        path: path.display().to_string(),
        reason,
    };
    let mut reader = Reader::new(&bytes);
    let signed = Signed::<Voucher>::decode(&mut reader).map_err(|error| damaged(error.to_string()))?;
    let rest = reader.take(reader.remaining()).unwrap_or_default();
    let (leaves, odd) = rest.as_chunks();
    let leaves: Vec<ReceiptHash> = leaves.iter().copied().map(ReceiptHash).collect();
    let is_whole = odd.is_empty() && are_leaves(&signed.value, &leaves);
    let damage = (!is_whole && !rest.is_empty())
        .then(|| damaged("what follows the voucher is not the digests of its receipts".into()));
    let leaves = is_whole.then_some(leaves);
    Ok((KeptVoucher { signed, leaves }, damage))
}

fn failed(path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::VoucherStore {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
