//! Stores that were altered while no node had them open: refused, or none of what is served is altered.

use haca_node::{application::Application as _, evidence_memory::EvidenceLimits};

use crate::{
    chain_log::{ChainLog, network, steps},
    disk::{Disk, Draw},
    replica::{Engine, compare, finalize, handshake, open, replay},
    world::PROPOSER,
};

const PAGE_BYTES: usize = 4096;

/// What became of an altered store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It opens and holds what it held.
    Untouched,
    /// It opens at the commit before the last one; consensus replays the block.
    OneBack,
    /// It does not open.
    Refused,
}

/// Opens a store. One that opens holds a state of the chain in full, and executes the next block as it should.
fn fate(log: &ChainLog, height: u64, content: Vec<u8>) -> Fate {
    let disk = Disk::with(content);
    let app = match open(log, disk.open(), EvidenceLimits::default()) {
        Ok(app) => app,
        Err(error) => {
            let code = error.code();
            let expected = ["node.store_corrupt", "node.store_format", "node.other_genesis"];
            assert!(expected.contains(&code), "{code}: {error}");
            return Fate::Refused;
        }
    };
    let info = app.info().unwrap();
    assert!(info.height == height || info.height + 1 == height, "{info:?}");
    assert_eq!(info.app_hash, log.hash(info.height));
    compare(log, &app);
    for height in 1..=info.height {
        let index = app.store().block_index(height).unwrap().unwrap();
        let codes: Vec<u32> = index.results.iter().map(|result| result.code).collect();
        let expected: Vec<u32> = log.block(height).outcome.txs.iter().map(|tx| tx.code()).collect();
        assert_eq!(codes, expected);
    }
    finalize(log, app.as_ref(), info.height + 1).unwrap();
    app.commit().unwrap();
    match info.height == height {
        true => Fate::Untouched,
        false => Fate::OneBack,
    }
}

/// The bytes of a store at a height, closed in order or left behind by a kill.
fn content(log: &ChainLog, height: u64, closed: bool) -> Vec<u8> {
    let disk = Disk::default();
    let app = open(log, disk.open(), EvidenceLimits::default()).unwrap();
    handshake(log, app.as_ref()).unwrap();
    replay(log, app.as_ref(), 1, height, &mut 0).unwrap();
    if !closed {
        disk.kill();
    }
    drop(app);
    disk.content()
}

#[test]
fn no_flipped_bit_is_served() {
    let (genesis, _) = network();
    let log = ChainLog::record(genesis, PROPOSER, steps(3, 4));
    let (height, mut draw) = (log.height() - 1, Draw(17));
    for closed in [true, false] {
        let whole = content(&log, height, closed);
        assert_eq!(fate(&log, height, whole.clone()), Fate::Untouched);
        let mut pages = [0; 3];
        for start in (0..whole.len()).step_by(PAGE_BYTES) {
            let flips = if start == 0 { 320 } else { 4 };
            let mut worst = Fate::Untouched;
            for flip in 0..flips {
                let offset = match start {
                    0 => flip,
                    _ => usize::try_from(draw.below(PAGE_BYTES as u64)).unwrap(),
                };
                let mut bent = whole.clone();
                bent[start + offset] ^= 1 << draw.below(8);
                worst = worst.max(fate(&log, height, bent));
            }
            pages[worst as usize] += 1;
        }
        let [untouched, one_back, refused] = pages;
        assert!(
            one_back + refused > 10 && refused > 0,
            "{refused} pages refused, {one_back} one back, {untouched} free or met where they hold nothing"
        );
    }
}

#[test]
fn no_page_that_was_emptied_swapped_or_of_another_time_is_served() {
    let (genesis, _) = network();
    let log = ChainLog::record(genesis, PROPOSER, steps(3, 30));
    let (height, mut draw) = (log.height() - 1, Draw(19));
    let whole = content(&log, height, true);
    let before = content(&log, height - 1, true);
    let pages = whole.len() / PAGE_BYTES;
    let mut noticed = 0;
    for page in 0..pages {
        let range = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
        let other = usize::try_from(draw.below(pages as u64)).unwrap() * PAGE_BYTES;
        for way in 0..3 {
            let mut bent = whole.clone();
            match way {
                0 => bent[range.clone()].fill(0),
                1 => bent.copy_within(other..other + PAGE_BYTES, range.start),
                _ => match before.get(range.clone()) {
                    Some(old) => bent[range.clone()].copy_from_slice(old),
                    None => continue,
                },
            }
            noticed += usize::from(fate(&log, height, bent) == Fate::Refused);
        }
    }
    assert!(noticed > pages / 2, "{noticed} of {pages} pages three times");
}

#[test]
fn no_flipped_bit_of_the_block_store_is_served() {
    let engine = Engine::new();
    let disks = [Disk::formatted(), Disk::formatted()];
    let expected = engine.run(&disks).unwrap();
    let [state, whole] = disks.map(|disk| disk.content());
    let (mut draw, mut refused) = (Draw(23), 0);
    for start in (0..whole.len()).step_by(PAGE_BYTES) {
        for _ in 0..4 {
            let offset = usize::try_from(draw.below(PAGE_BYTES as u64)).unwrap();
            let mut bent = whole.clone();
            bent[start + offset] ^= 1 << draw.below(8);
            match engine.run(&[Disk::with(state.clone()), Disk::with(bent)]) {
                Ok(found) => assert_eq!(found, expected),
                Err(error) => {
                    let code = error.code();
                    assert!(
                        ["node.store_corrupt", "node.store_format"].contains(&code),
                        "{code}: {error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 10, "{refused} refused");
}
