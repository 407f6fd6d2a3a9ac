//! Starts that can't succeed say why and what to do, and panic never.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::path::Path;

use haca_exec::{ExecConfig, InferenceNode, Journal, ServedModel};
use haca_wire::{Address, GenesisHash};

use crate::world::{FEE, World};

/// The code of a start that fails.
fn refused(config: ExecConfig) -> (&'static str, String) {
    let error = InferenceNode::start(config).unwrap_err();
    assert!(!error.hint().is_empty(), "{error}");
    (error.code(), error.to_string())
}

#[test]
fn a_port_in_use_is_named() {
    let world = World::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut config = world.config(world.url());
    config.listen.clone_from(&address);
    let (code, message) = refused(config);
    assert_eq!(code, "exec.listen");
    assert!(message.contains(&address), "{message}");
}

#[test]
fn a_home_that_can_not_be_written_is_named() {
    let world = World::start();
    let file = world.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let mut config = world.config(world.url());
    config.home = file.join("home");
    let (code, message) = refused(config);
    assert_eq!(code, "exec.home");
    assert!(message.contains("file/home"), "{message}");
}

#[test]
fn homes_without_models_or_with_damaged_ones_are_refused() {
    let world = World::start();
    let model = world.home().join("models/linear.haca");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&model, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(refused(world.config(world.url())).0, "exec.model_file");
    std::fs::remove_file(&model).unwrap();
    assert_eq!(refused(world.config(world.url())).0, "exec.no_models");
    std::fs::remove_dir(world.home().join("models")).unwrap();
    assert_eq!(refused(world.config(world.url())).0, "exec.home");
}

#[test]
fn a_model_that_does_not_fit_into_memory_is_refused_with_the_number() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.memory_limit_mb = Some(0);
    let (code, message) = refused(config);
    assert_eq!(code, "prover.memory");
    assert!(
        message.contains("linear.haca") && message.contains(" 0 MB may be used"),
        "{message}"
    );
}

#[test]
fn batches_are_as_large_as_fits_into_memory() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/digits/digits.haca");
    let whole = ServedModel::read(&path, None).unwrap();
    assert_eq!(whole.batch, whole.key.verifying_key().max_batch());
    let limit = whole.key.memory_bytes(whole.batch) - 1;
    let limited = ServedModel::read(&path, Some(limit)).unwrap();
    assert!((1..whole.batch).contains(&limited.batch), "{}", limited.batch);
    assert!(limited.key.memory_bytes(limited.batch) <= limit);
    assert!(limited.key.memory_bytes(limited.batch + 1) > limit);
}

#[test]
fn another_network_than_the_trusted_one_is_refused() {
    let world = World::start();
    let mut config = world.config(world.url());
    config.trust = Some(GenesisHash([1; 32]));
    assert_eq!(refused(config).0, "exec.other_network");
}

#[test]
fn two_files_of_one_model_are_one_model() {
    let world = World::start();
    let models = world.home().join("models");
    std::fs::copy(models.join("linear.haca"), models.join("again.haca")).unwrap();
    let serving = world.serve();
    assert_eq!(
        serving.client.models().unwrap()["data"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn one_process_at_a_time_has_the_journal() {
    let world = World::start();
    let _serving = world.serve();
    assert_eq!(refused(world.config(world.url())).0, "exec.journal");
}

/// A home whose journal holds one settled receipt.
fn used(world: &World) -> std::path::PathBuf {
    let serving = world.serve();
    let channel = serving.channel(FEE, 100);
    let order = serving.answer(&serving.order(channel, 0, &serving.body()));
    serving.wait_for(order, "settled");
    serving.node.shutdown();
    world.home().join("journal.redb")
}

#[test]
fn a_journal_of_another_account_or_network_is_refused() {
    let world = World::start();
    let path = used(&world);
    let key = haca_client::Wallet::load(&world.home().join("account.key")).unwrap();
    Journal::open(&path, world.domain, key.address()).unwrap();
    let mut elsewhere = world.domain;
    elsewhere.genesis.0[0] ^= 1;
    for (domain, account) in [(elsewhere, key.address()), (world.domain, Address([1; 20]))] {
        let error = Journal::open(&path, domain, account).unwrap_err();
        assert_eq!(error.code(), "exec.other_journal");
        assert!(error.hint().contains("home"));
    }
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_damaged_journal_is_refused_or_read_and_never_a_panic() {
    let world = World::start();
    let path = used(&world);
    let whole = std::fs::read(&path).unwrap();
    let length = whole.len() as u64;
    let open = || {
        let key = haca_client::Wallet::load(&world.home().join("account.key")).unwrap();
        match Journal::open(&path, world.domain, key.address()) {
            Ok(_) => true,
            Err(error) => {
                assert!(
                    ["exec.journal", "exec.other_journal"].contains(&error.code()),
                    "{error}"
                );
                assert!(!error.hint().is_empty());
                false
            }
        }
    };
    assert!(open());
    std::fs::write(&path, b"").unwrap();
    assert!(!open(), "a journal cut to nothing is no new one");
    std::fs::write(&path, b"no journal at all").unwrap();
    assert_eq!(refused(world.config(world.url())).0, "exec.journal");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(!open(), "half a journal");
    std::fs::write(&path, &whole).unwrap();
    overwrite(&path, 0, &[0xff; 512]);
    assert!(!open(), "no header");
    // Anywhere else: what holds nothing may be overwritten unseen, so not every one is found.
    let found = (1..192)
        .filter(|step| {
            std::fs::write(&path, &whole).unwrap();
            overwrite(&path, step * length / 192, &[0xff; 256]);
            !open()
        })
        .count();
    assert!(found > 0);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path.with_extension("partial"), b"a crash while it was made").unwrap();
    assert!(open(), "no journal is a new one");
}
