//! A disk in memory that tells what was synced from what was not, and that can fail at a chosen change.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

/// What a write may be torn into, in bytes.
const SECTOR_BYTES: usize = 512;

/// What happens to the operation that a plan names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not happen, and nothing after it.
    PowerLoss,
    /// It fails, and so does every later one that would change the disk, until [`Disk::heal`].
    Full,
    /// It fails, and later ones succeed.
    Once,
}

/// What a disk holds of its unsynced changes when power returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survival {
    /// None of them.
    Nothing,
    /// All of them.
    Everything,
    /// Some, chosen by this seed; writes may be torn between sectors.
    Some(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

#[derive(Clone, Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// What a process reads: `synced` with `unsynced` on top.
    current: Vec<u8>,
    changes: u64,
    reads: u64,
    plan: Option<(u64, Fault)>,
    bad_read: Option<u64>,
    failed: Option<Fault>,
    /// Processes that have opened the disk; only the last one reaches it.
    opened: u64,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

/// The disk as one process has it open.
#[derive(Debug)]
pub(crate) struct Handle {
    disk: Disk,
    number: u64,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Change::Bytes(offset, data) => {
            // What lies beyond a length that was lost is lost with it.
            let start = usize::try_from(*offset).unwrap().min(bytes.len());
            let end = (start + data.len()).min(bytes.len());
            bytes[start..end].copy_from_slice(&data[..end - start]);
        }
    }
}

/// A small generator: what is drawn follows from the seed alone.
#[derive(Clone, Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk with an empty database.
    pub(crate) fn formatted() -> Self {
        let disk = Self::default();
        drop(haca_node::store::database::open_on(disk.open(), Path::new("disk")).unwrap());
        assert!(
            disk.lock().unsynced.is_empty(),
            "a closed database is on the disk"
        );
        disk
    }

    /// Opens the disk; whoever had it open before does not reach it any more.
    pub(crate) fn open(&self) -> Handle {
        let mut platter = self.lock();
        platter.opened += 1;
        Handle {
            disk: self.clone(),
            number: platter.opened,
        }
    }

    /// A disk of its own with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// Writes, changes of length and syncs so far.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Reads so far.
    pub(crate) fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// Lets the `change`th change meet a fault.
    pub(crate) fn fail_at(&self, change: u64, fault: Fault) {
        self.lock().plan = Some((change, fault));
    }

    /// Lets the `read`th read fail.
    pub(crate) fn fail_read(&self, read: u64) {
        self.lock().bad_read = Some(read);
    }

    /// Whether the planned fault has come.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed.is_some()
    }

    /// Ends the process that has the disk open, as a kill does: what it wrote is there.
    pub(crate) fn kill(&self) {
        let mut platter = self.lock();
        platter.opened += 1;
        platter.heal();
    }

    /// Ends the process that has the disk open and all that was not synced, but for what `survival` says.
    pub(crate) fn cut_power(&self, survival: Survival) {
        let mut platter = self.lock();
        platter.opened += 1;
        let mut content = platter.synced.clone();
        let mut draw = match survival {
            Survival::Some(seed) => Some(Draw(seed)),
            _ => None,
        };
        for change in &platter.unsynced {
            let kept = match (survival, draw.as_mut()) {
                (Survival::Nothing, _) => None,
                (_, None) => Some(change.clone()),
                (_, Some(draw)) => survivor(change, draw),
            };
            if let Some(kept) = kept {
                apply(&mut content, &kept);
            }
        }
        platter.unsynced.clear();
        platter.synced = content.clone();
        platter.current = content;
        platter.heal();
    }

    /// The disk works again.
    pub(crate) fn heal(&self) {
        self.lock().heal();
    }

    /// The content as a process reads it.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    /// A disk with this content, all of it synced.
    pub(crate) fn with(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            synced: content.clone(),
            current: content,
            ..Platter::default()
        })))
    }
}

/// What is left of an unsynced change: all, nothing, or a part of the sectors.
fn survivor(change: &Change, draw: &mut Draw) -> Option<Change> {
    match (draw.below(4), change) {
        (0, _) => None,
        (1, Change::Bytes(offset, data)) => {
            let sectors = data.len().div_ceil(SECTOR_BYTES) as u64;
            let kept = usize::try_from(draw.below(sectors + 1)).unwrap() * SECTOR_BYTES;
            let kept = kept.min(data.len());
            // Sectors are written in any order: a head or a tail of them.
            Some(match draw.below(2) {
                0 => Change::Bytes(*offset, data[..kept].to_vec()),
                _ => Change::Bytes(*offset + kept as u64, data[kept..].to_vec()),
            })
        }
        _ => Some(change.clone()),
    }
}

impl Platter {
    fn heal(&mut self) {
        self.plan = None;
        self.bad_read = None;
        self.failed = None;
    }

    /// Counts a change and lets it meet its fault.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        if let Some((at, fault)) = self.plan
            && at == self.changes
        {
            self.failed = Some(fault);
            return Err(error(fault));
        }
        match self.failed {
            Some(fault @ (Fault::PowerLoss | Fault::Full)) => Err(error(fault)),
            _ => Ok(()),
        }
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Full => ErrorKind::StorageFull.into(),
        Fault::PowerLoss | Fault::Once => io::Error::other("the disk failed"),
    }
}

impl Handle {
    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.disk.lock();
        if platter.opened == self.number {
            Ok(platter)
        } else {
            Err(io::Error::other("the process has ended"))
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.reads += 1;
        if platter.failed == Some(Fault::PowerLoss) || platter.bad_read == Some(platter.reads) {
            platter.failed.get_or_insert(Fault::Once);
            return Err(error(Fault::Once));
        }
        let start = usize::try_from(offset).unwrap();
        let found = platter.current.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.change()?;
        let change = Change::Length(len);
        apply(&mut platter.current, &change);
        platter.unsynced.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.change()?;
        platter.synced = platter.current.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.change()?;
        let end = usize::try_from(offset).unwrap() + data.len();
        if platter.current.len() < end {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let change = Change::Bytes(offset, data.to_vec());
        apply(&mut platter.current, &change);
        platter.unsynced.push(change);
        Ok(())
    }
}

/// The disk itself: what was not synced may be gone, whole or in part, and nothing else is.
#[test]
fn only_what_was_synced_is_certain() {
    let disk = Disk::default();
    let handle = disk.open();
    handle.set_len(4096).unwrap();
    handle.write(0, &[1; 2048]).unwrap();
    handle.sync_data().unwrap();
    handle.write(1024, &[2; 1024]).unwrap();
    let seen = disk.content();
    assert_eq!((seen[0], seen[1024], seen[2048]), (1, 2, 0));
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let copy = disk.copy();
        copy.cut_power(Survival::Some(seed));
        let content = copy.content();
        assert_eq!(content[..1024], [1; 1024]);
        outcomes.insert((content[1024], content[1536]));
    }
    assert_eq!(outcomes.len(), 4, "both sectors, either, none: {outcomes:?}");
    let copy = disk.copy();
    copy.cut_power(Survival::Nothing);
    assert_eq!(copy.content()[1024], 1);
    disk.cut_power(Survival::Everything);
    assert_eq!(disk.content(), seen);
    assert!(handle.write(0, &[3]).is_err(), "the process is gone");

    let handle = disk.open();
    disk.fail_at(disk.changes() + 2, Fault::Full);
    handle.write(0, &[4]).unwrap();
    assert_eq!(handle.write(1, &[4]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(handle.sync_data().is_err() && handle.read(0, &mut [0]).is_ok());
    disk.heal();
    handle.sync_data().unwrap();
}
