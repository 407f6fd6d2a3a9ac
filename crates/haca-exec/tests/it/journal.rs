//! Damage of the journal that the file's own checks do not see.

use haca_exec::{Content, Entry, EntryState, InferenceNode, Journal};
use haca_wire::{Inference, Message, Sequence, TxHash};

use crate::gate::Gate;
use crate::world::{FEE, World};

/// Overwrites the encoded entry of the only open receipt, as a bug or a bad disk would.
fn damage(path: &std::path::Path) {
    let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("entries");
    let database = redb::Database::open(path).unwrap();
    let write = database.begin_write().unwrap();
    {
        use redb::ReadableTable as _;
        let mut table = write.open_table(table).unwrap();
        let (key, mut value) = {
            let row = table.first().unwrap().unwrap();
            (row.0.value().to_vec(), row.1.value().to_vec())
        };
        value.truncate(value.len() - 1);
        table.insert(&key[..], &value[..]).unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn an_open_receipt_that_can_not_be_read_stops_the_start_with_a_hint() {
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(FEE, 100);
    gate.freeze();
    serving.answer(&serving.order(channel, 0, &serving.body()));
    serving.node.shutdown();
    damage(&world.home().join("journal.redb"));
    let error = InferenceNode::start(world.config(world.url())).unwrap_err();
    assert_eq!(error.code(), "exec.journal");
    assert!(error.hint().contains("sequences"), "{}", error.hint());
}

#[test]
fn a_place_holds_one_receipt_whatever_becomes_of_it() {
    let world = World::start();
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let order = serving.answer(&serving.order(channel, 0, &serving.body()));
    serving.wait_for(order, "settled");
    let account = serving.node.account();
    serving.node.shutdown();
    let journal = Journal::open(&world.home().join("journal.redb"), world.domain, account).unwrap();
    let mut entry = journal.by_order(order).unwrap().unwrap();
    entry.state = EntryState::Answered;
    let first = journal.content(entry.place()).unwrap();
    let another = Content {
        response: b"another".to_vec(),
        ..first.clone()
    };
    assert!(!journal.insert(&entry, &another).unwrap());
    let kept = journal.at(entry.place()).unwrap().unwrap();
    assert!(matches!(kept.state, EntryState::Settled(..)));
    assert_eq!(journal.content(entry.place()).unwrap(), first);
    assert!(journal.pending().unwrap().is_empty());
    assert_eq!(journal.open_count().unwrap(), 0);
}

/// A voucher covers a thousand receipts, and their tensors may be megabytes each.
#[test]
fn whatever_becomes_of_receipts_their_tensors_are_written_once() {
    const RECEIPTS: u64 = 64;
    const RESPONSE: usize = 1 << 20;
    let world = World::start();
    let gate = Gate::before(world.url());
    let serving = world.serve_behind(gate.url());
    let channel = serving.channel(FEE, 100);
    gate.freeze();
    let order = serving.answer(&serving.order(channel, 0, &serving.body()));
    let account = serving.node.account();
    serving.node.shutdown();
    let path = world.home().join("journal.redb");
    let journal = Journal::open(&path, world.domain, account).unwrap();
    let model = journal.by_order(order).unwrap().unwrap();
    let (inputs, outputs) = (Vec::new(), Vec::new());
    let content = Content {
        inference: Inference { inputs, outputs },
        response: vec![7; RESPONSE],
    };
    let mut entries: Vec<Entry> = (1..=RECEIPTS).map(|_| model.clone()).collect();
    for (sequence, entry) in (1..).zip(&mut entries) {
        entry.item.order.value.sequence = Sequence(sequence);
        entry.item.receipt.value.sequence = Sequence(sequence);
        assert!(journal.insert(entry, &content).unwrap());
    }
    let size = || std::fs::metadata(&path).unwrap().len();
    let before = size();
    assert!(before > RECEIPTS * RESPONSE as u64);
    let message = Message::SettleVouchers {
        coverages: Vec::new(),
    };
    let height = world.client().status().unwrap().height;
    let tx = world
        .user
        .transaction(message, &world.domain, height, haca_wire::Amount(1));
    let tx = tx.unwrap();
    let mut to = |state: fn(TxHash) -> EntryState| {
        let state = state(tx.hash());
        entries.iter_mut().for_each(|entry| entry.state = state.clone());
        entries.clone()
    };
    journal.submit(&to(EntryState::Submitted), &tx, None).unwrap();
    journal
        .resolve(&to(|_| EntryState::Answered), tx.hash(), &[])
        .unwrap();
    journal.submit(&to(EntryState::Submitted), &tx, None).unwrap();
    assert_eq!(journal.pending().unwrap().len() as u64, 1 + RECEIPTS);
    assert!(size() < before + before / 4, "{before} bytes became {}", size());
    assert_eq!(journal.content(entries[9].place()).unwrap(), content);
}
