//! Damage of the journal that the file's own checks do not see.

use haca_exec::{EntryState, InferenceNode, Journal};

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
    entry.response = b"another".to_vec();
    assert!(!journal.insert(&entry).unwrap());
    let kept = journal.at(entry.place()).unwrap().unwrap();
    assert!(matches!(kept.state, EntryState::Settled(..)) && kept.response != entry.response);
    assert!(journal.pending().unwrap().is_empty());
    assert_eq!(journal.open_count().unwrap(), 0);
}
