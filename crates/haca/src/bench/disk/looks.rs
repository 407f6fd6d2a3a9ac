//! What lies on the disk at some heights, and what is said of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::bench::chain::process::Usage;

/// The parts of a node's directory: a name, what belongs to it, and its bound.
const PARTS: [(&str, &[&str], Bound); 7] = [
    // Tree, state, and the index of blocks, transactions and receipts.
    ("state", &["state.redb"], Bound::Flat),
    ("snapshots", &["snapshots"], Bound::Flat),
    (
        "blocks",
        &["cometbft/data/blockstore.db", "blocks.redb"],
        Bound::Flat,
    ),
    (
        "consensus",
        &["cometbft/data/state.db", "cometbft/data/evidence.db"],
        Bound::Flat,
    ),
    // CometBFT cuts its files of 10 MB when all take more than 1 GiB, and looks every few seconds.
    ("wal", &["cometbft/data/cs.wal"], Bound::Bytes(1_200_000_000)),
    (
        "log",
        &["cometbft.log", "cometbft.log.1"],
        Bound::Bytes(36_000_000),
    ),
    ("rest", &[""], Bound::Flat),
];

/// The heading over [`Look::line`].
pub(super) const HEAD: &str = "  height      txs  blocks/s    state snapshots   blocks consensus      wal      log     rest    total MB   memory MB";

/// What a part may take.
#[derive(Clone, Copy)]
enum Bound {
    /// Hardly more than it took when the window was full.
    Flat,
    /// So many bytes.
    Bytes(u64),
}

impl Bound {
    /// Room for databases that rewrite their files: a tenth, and 16 MiB.
    const fn bytes(self, before: u64) -> u64 {
        match self {
            Self::Flat => before.saturating_add(before / 10).saturating_add(16 << 20),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Bytes of each part, in the order of [`PARTS`].
pub(super) type Parts = [u64; PARTS.len()];

/// Bytes on the disk under a path, files and directories, as far as they take blocks of it.
fn used(path: &Path) -> u64 {
    // Files come and go meanwhile.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| used(&entry.path())).sum::<u64>()
}

/// Looks at a node's directory.
pub(super) fn disk(home: &Path) -> Parts {
    let mut parts =
        PARTS.map(|(_, places, _)| places.iter().map(|place| used(&home.join(place))).sum::<u64>());
    // The last part is the whole directory so far.
    let named: u64 = parts.iter().rev().skip(1).sum();
    if let Some(rest) = parts.last_mut() {
        *rest = rest.saturating_sub(named);
    }
    parts
}

/// The disk at one height.
pub(super) struct Look {
    pub(super) height: u64,
    /// Transactions in all blocks so far.
    pub(super) txs: u64,
    /// Since the first block.
    pub(super) seconds: f64,
    pub(super) parts: Parts,
    /// Of the node's process.
    pub(super) usage: Usage,
}

impl Look {
    fn total(&self) -> u64 {
        self.parts.iter().sum()
    }

    /// For a person who waits.
    pub(super) fn line(&self) -> String {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let mut line = format!(
            "{:>8}{:>9}{:>10.1}",
            self.height,
            self.txs,
            self.height as f64 / self.seconds.max(1e-9)
        );
        for bytes in self.parts {
            line.push_str(&format!("{:>9.1}", mb(bytes)));
        }
        line.push_str(&format!(
            "{:>12.1}{:>12.1}",
            mb(self.total()),
            mb(self.usage.peak_rss_bytes)
        ));
        line
    }

    pub(super) fn json(&self) -> Value {
        let mut look = json!({
            "height": self.height,
            "txs": self.txs,
            "seconds": self.seconds,
            "total_bytes": self.total(),
            "peak_rss_bytes": self.usage.peak_rss_bytes,
        });
        for ((name, _, _), bytes) in PARTS.iter().zip(self.parts) {
            look[format!("{name}_bytes")] = json!(bytes);
        }
        look
    }
}

/// The most that a part took in each half of the looks after the window was full.
struct Halves {
    name: &'static str,
    first: u64,
    second: u64,
    bound: u64,
}

/// Whether a node's disk stays bounded.
pub(super) struct Verdict {
    parts: Vec<Halves>,
    bytes_per_tx: f64,
    peak_rss_bytes: u64,
    grows_by_design: bool,
}

impl Verdict {
    /// Compares the looks from `full` on. Nothing can be said of fewer than four. `grows_by_design`: every block made
    /// accounts, so that the parts that hold the state have no bound but the slope.
    pub(super) fn of(looks: &[Look], full: u64, grows_by_design: bool) -> Option<Self> {
        let start = looks.iter().position(|look| look.height >= full)?;
        let looks = looks.get(start..).filter(|looks| looks.len() >= 4)?;
        let (first, second) = looks.split_at(looks.len() / 2);
        let most = |looks: &[Look], part: usize| {
            let bytes = looks.iter().filter_map(|look| look.parts.get(part).copied());
            bytes.max().unwrap_or(0)
        };
        let halves = |(part, (name, _, bound)): (usize, &(&'static str, _, Bound))| {
            let before = most(first, part);
            Halves {
                name,
                first: before,
                second: most(second, part),
                bound: bound.bytes(before),
            }
        };
        let (begin, end) = (looks.first()?, looks.last()?);
        // What has a bound of its own in bytes is none of the transactions'.
        let flat = |look: &Look| {
            let parts = PARTS.iter().zip(look.parts);
            let flat = parts.filter(|((_, _, bound), _)| matches!(bound, Bound::Flat));
            flat.map(|(_, bytes)| bytes).sum::<u64>()
        };
        let growth = flat(end) as f64 - flat(begin) as f64;
        Some(Self {
            parts: PARTS.iter().enumerate().map(halves).collect(),
            bytes_per_tx: growth / end.txs.saturating_sub(begin.txs).max(1) as f64,
            peak_rss_bytes: end.usage.peak_rss_bytes,
            grows_by_design,
        })
    }

    fn exceeding(&self) -> impl Iterator<Item = &Halves> {
        let is_state = |part: &Halves| ["state", "snapshots"].contains(&part.name);
        self.parts
            .iter()
            .filter(move |part| part.second > part.bound && !(self.grows_by_design && is_state(part)))
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.exceeding().next().is_none()
    }

    /// The parts above their bounds.
    pub(super) fn excess(&self) -> String {
        let text = |part: &Halves| {
            format!(
                "{} takes {:.1} MB, bound {:.1} MB",
                part.name,
                part.second as f64 / 1e6,
                part.bound as f64 / 1e6
            )
        };
        self.exceeding().map(text).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn json(&self) -> Value {
        let part = |part: &Halves| {
            json!({
                "part": part.name,
                "first_bytes": part.first,
                "second_bytes": part.second,
                "bound_bytes": part.bound,
            })
        };
        json!({
            "bounded": self.is_bounded(),
            "parts": self.parts.iter().map(part).collect::<Vec<_>>(),
            "bytes_per_tx": self.bytes_per_tx,
            "peak_rss_bytes": self.peak_rss_bytes,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Looks at heights 100, 200 and so on, at which a part takes these megabytes.
    fn looks(part: usize, megabytes: &[u64]) -> Vec<Look> {
        let look = |(index, mb): (usize, &u64)| {
            let mut parts = Parts::default();
            *parts.get_mut(part).unwrap() = mb * 1_000_000;
            Look {
                height: (index as u64 + 1) * 100,
                txs: (index as u64 + 1) * 1_000,
                seconds: 1.0,
                parts,
                usage: Usage::default(),
            }
        };
        megabytes.iter().enumerate().map(look).collect()
    }

    #[test]
    fn a_part_that_goes_on_growing_is_found_out() {
        let growing: Vec<u64> = (1..=20).map(|look| look * 30).collect();
        for (part, (name, _, bound)) in PARTS.iter().enumerate() {
            let verdict = Verdict::of(&looks(part, &growing), 1_000, false).unwrap();
            let is_flat = matches!(bound, Bound::Flat);
            // 600 MB are within the write-ahead log's bound.
            assert_eq!(verdict.is_bounded(), *name == "wal", "{name}");
            assert_eq!(verdict.bytes_per_tx > 1.0, is_flat, "{name}");
        }
        let leap: Vec<u64> = (0..20).map(|look| if look == 19 { 200 } else { 100 }).collect();
        assert!(!Verdict::of(&looks(0, &leap), 1_000, false).unwrap().is_bounded());
    }

    #[test]
    fn growth_counts_from_where_the_window_is_full() {
        let filling: Vec<u64> = (1..=20).map(|look| look.min(15) * 100).collect();
        assert!(
            Verdict::of(&looks(2, &filling), 1_500, false)
                .unwrap()
                .is_bounded()
        );
        assert!(!Verdict::of(&looks(2, &filling), 100, false).unwrap().is_bounded());
        assert!(
            Verdict::of(&looks(2, &filling), 1_701, false).is_none(),
            "three looks"
        );
        assert!(Verdict::of(&[], 0, false).is_none());
    }

    #[test]
    fn new_accounts_may_grow_the_state_and_nothing_else() {
        let growing: Vec<u64> = (1..=20).map(|look| look * 100).collect();
        for (part, (name, ..)) in PARTS.iter().enumerate() {
            let verdict = Verdict::of(&looks(part, &growing), 1_000, true).unwrap();
            assert_eq!(
                verdict.is_bounded(),
                ["state", "snapshots"].contains(name),
                "{name}"
            );
        }
    }

    #[test]
    fn what_no_part_names_is_the_rest() {
        let home = tempfile::tempdir().unwrap();
        let write = |place: &str, bytes: usize| {
            let path = home.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; bytes]).unwrap();
        };
        write("state.redb", 1 << 20);
        write("cometbft/data/cs.wal/wal", 2 << 20);
        write("cometbft/data/tx_index.db/000001.ldb", 3 << 20);
        let parts = disk(home.path());
        let of = |name| parts[PARTS.iter().position(|(part, ..)| *part == name).unwrap()];
        assert!((1 << 20..2 << 20).contains(&of("state")));
        assert!((2 << 20..3 << 20).contains(&of("wal")));
        assert!((3 << 20..4 << 20).contains(&of("rest")));
        assert_eq!(of("log"), 0);
    }
}
