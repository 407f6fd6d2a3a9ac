//! The tables of the journal.

use redb::TableDefinition;

/// Bytes to bytes.
pub(super) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Whose journal this is.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Place to [`Entry`](crate::Entry).
pub(super) const ENTRIES: Table = TableDefinition::new("entries");
/// Place to [`Content`](crate::Content).
pub(super) const CONTENTS: Table = TableDefinition::new("contents");
/// Order hash and receipt hash to place.
pub(super) const HASHES: Table = TableDefinition::new("hashes");
/// Place to [`Pending`](crate::entry::Pending), of entries that wait for their settlement.
pub(super) const OPEN: Table = TableDefinition::new("open");
/// Place to [`HeldFee`](crate::entry::HeldFee).
pub(super) const HELD: Table = TableDefinition::new("held");
/// Place of a voucher's first sequence to its [`Coverage`](haca_wire::Coverage), while it waits.
pub(super) const COVERED: Table = TableDefinition::new("covered");
/// Place to [`Missed`](crate::entry::Missed).
pub(super) const MISSED: Table = TableDefinition::new("missed");
/// Settled height and place to nothing, of entries that are settled.
pub(super) const FINAL: Table = TableDefinition::new("final");
/// Channel to the window of its sequences that were answered and whose entries are gone.
pub(super) const SEALED: Table = TableDefinition::new("sealed");
/// [`TotalsKey`](crate::TotalsKey) to [`Totals`](crate::Totals).
pub(super) const TOTALS: Table = TableDefinition::new("totals");
/// Model to [`ModelFacts`](crate::ModelFacts).
pub(super) const FACTS: Table = TableDefinition::new("facts");
/// Transaction hash to the signed transaction, while its fate is not known.
pub(super) const BATCHES: Table = TableDefinition::new("batches");
