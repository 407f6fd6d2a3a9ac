//! A channel whose opening nobody saw through is found: the next order goes into it, and no second deposit is made.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use haca_client::{ClientError, TX_LIFETIME_BLOCKS, Wallet};
use haca_wire::state::key;
use haca_wire::{
    Amount, AssetId, ChannelId, Decode as _, Encode as _, Message, Quote, Signed, SignedTransaction,
};
use serde_json::{Value, json as object};

use crate::gate::{Action, Gate};
use crate::local::{Local, PATIENCE, Running, haca, json, wait_for};
use crate::server::Server;

/// Price of an inference with signatures, and its warranty.
const FEE: u128 = 500;
const WARRANTY: u128 = 10 * FEE;

/// A network with a node, and a door before the full node that the user's commands go through.
struct Scene {
    local: Local,
    gate: Gate,
    _serving: Running,
}

impl Scene {
    fn start(idle_ms: &str) -> Self {
        Self::start_with(idle_ms, "1")
    }

    fn start_with(idle_ms: &str, block_ms: &str) -> Self {
        let local = Local::start_with(&["--idle-ms", idle_ms, "--block-ms", block_ms]);
        let serving = local.serve();
        let gate = Gate::before(&local.node_url);
        local.point("node_url", gate.url());
        Self {
            local,
            gate,
            _serving: serving,
        }
    }

    fn infer(&self) -> Command {
        let mut infer = haca();
        infer.args(["infer", "--evidence", "signed", "--no-wait", "--data"]);
        infer.arg(self.local.path());
        infer
    }

    /// The channel of one more order.
    fn order(&self) -> String {
        let (code, told) = json(&mut self.infer());
        assert_eq!(code, 0, "{told}");
        told["order"]["channel"].as_str().unwrap().to_owned()
    }

    /// The channels of the user on chain.
    fn channels(&self) -> Vec<String> {
        let state: Value = serde_json::from_slice(&self.local.node().export().unwrap()).unwrap();
        let user = self.local.user().address().to_string();
        let channels = state["state"]["channels"].as_array().unwrap().iter();
        let of_user = channels.filter(|channel| channel["payer"] == user);
        of_user
            .map(|channel| channel["channel"].as_str().unwrap().to_owned())
            .collect()
    }

    fn dir(&self) -> PathBuf {
        self.local.key("user/opening")
    }

    /// The openings on disk, each with its channel.
    fn openings(&self) -> Vec<(String, SignedTransaction)> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let opening = |path: PathBuf| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let tx = SignedTransaction::decode_all(&std::fs::read(path).unwrap()).unwrap();
            (name, tx)
        };
        entries.map(|entry| opening(entry.unwrap().path())).collect()
    }

    /// The only opening on disk.
    fn opening(&self) -> (String, SignedTransaction) {
        let mut openings = self.openings();
        assert_eq!(openings.len(), 1);
        openings.remove(0)
    }

    fn forget_the_channel_in_use(&self) {
        std::fs::remove_file(self.local.key("user/channel.json")).unwrap();
    }

    /// An opening as a command leaves it that dies before its transaction leaves.
    fn unsent(&self, deposit: u128, warranty: u128) -> (ChannelId, SignedTransaction) {
        let quote = self.quote(deposit, warranty);
        let id = quote.value.channel(&self.local.domain());
        let tx = self.transaction(quote);
        self.keep(id, &tx);
        (id, tx)
    }

    fn quote(&self, deposit: u128, warranty: u128) -> Signed<Quote> {
        let (local, user) = (&self.local, self.local.user());
        let (deposit, warranty) = (Amount(deposit), Amount(warranty));
        let quote = local
            .inference()
            .quote(user.address(), AssetId(1), deposit, warranty, &local.domain());
        quote.unwrap()
    }

    /// Opens the channel of a quote.
    fn transaction(&self, quote: Signed<Quote>) -> SignedTransaction {
        let (local, user) = (&self.local, self.local.user());
        let head = local.node().status().unwrap().height;
        let message = Message::OpenChannel { quote };
        let tx = user.transaction(message, &local.domain(), head, Amount(1_000_000));
        tx.unwrap()
    }

    fn keep(&self, id: ChannelId, tx: &SignedTransaction) {
        std::fs::create_dir_all(self.dir()).unwrap();
        std::fs::write(self.dir().join(format!("{id}.bin")), tx.encode()).unwrap();
    }

    /// One more order while the full node shows a state of this height, without the channel, and catches up in the end. Its channel.
    fn order_behind(&self, channel: ChannelId, height: u64) -> String {
        let place = hex::encode(key::channel(channel));
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        self.gate.set(move |_, path| {
            if !path.contains(&place) {
                return Action::Pass;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Action::StateAt(height)
        });
        std::thread::scope(|scope| {
            let next = scope.spawn(|| self.order());
            wait_for("the wait", || {
                asked.load(Ordering::SeqCst) > 3 || next.is_finished()
            });
            self.gate.open();
            next.join().unwrap()
        })
    }
}

#[test]
fn an_opening_without_an_answer_gives_the_channel_that_the_next_order_goes_into() {
    let scene = Scene::start("1000");
    let mut opened = Vec::new();
    let cut = [
        (Action::Swallow, 20, "client.unreachable"),
        (Action::Shut, 20, "client.unreachable"),
        (
            Action::Answer(422, "ledger.insufficient_bond"),
            1,
            "client.refused",
        ),
    ];
    for (action, exit, error) in cut {
        scene.gate.transactions(action);
        let (code, told) = json(&mut scene.infer());
        assert_eq!((code, &told["error"]["code"]), (exit, &error.into()), "{told}");
        let (channel, _) = scene.opening();
        scene.gate.open();
        assert_eq!(scene.order(), channel);
        assert_eq!(scene.openings().len(), 0, "its orders name it now");
        assert_eq!(scene.order(), channel, "it is in use");
        opened.push(channel);
        opened.sort();
        assert_eq!(scene.channels(), opened);
        // From here on without a channel in use.
        scene.forget_the_channel_in_use();
    }
}

#[test]
fn a_command_that_is_killed_before_its_channel_opens_leaves_it_to_the_next_one() {
    let scene = Scene::start("1000");
    scene.gate.transactions(Action::Hold);
    let killed = scene.infer().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut killed = Running(killed.unwrap());
    wait_for("the transaction", || scene.gate.submitted() == 1);
    killed.kill();
    let (channel, _) = scene.opening();
    assert_eq!(scene.channels().len(), 0);
    // The transaction arrives now, beside what the next command sends.
    scene.gate.open();
    assert_eq!(scene.order(), channel);
    assert_eq!(scene.channels(), [channel]);
}

#[test]
fn an_opening_that_may_still_be_included_is_waited_for() {
    let scene = Scene::start("1000");
    scene.gate.transactions(Action::Shut);
    assert_eq!(json(&mut scene.infer()).0, 20);
    let (channel, tx) = scene.opening();
    // The full node takes the transaction, and it gets into no block until somebody else sends it.
    scene.gate.transactions(Action::Lose);
    let sent = scene.gate.submitted();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| scene.order());
        wait_for("the transaction", || scene.gate.submitted() > sent);
        scene.local.node().submit(&tx).unwrap();
        assert_eq!(next.join().unwrap(), channel);
    });
    assert_eq!(scene.channels(), [channel]);
}

#[test]
fn an_opening_that_was_refused_and_opens_nevertheless_is_found() {
    let scene = Scene::start("1000");
    let refused = Action::Answer(422, "ledger.insufficient_bond");
    scene.gate.transactions(refused.clone());
    assert_eq!(json(&mut scene.infer()).0, 1);
    let (first, tx) = scene.opening();
    // Refused again, it makes room for another.
    let is_refused = AtomicBool::new(false);
    scene.gate.set(move |method, _| match method {
        "POST" if !is_refused.swap(true, Ordering::SeqCst) => refused.clone(),
        _ => Action::Pass,
    });
    let second = scene.order();
    assert_ne!(second, first);
    assert_eq!(scene.opening().0, first);
    scene.local.node().submit_and_wait(&tx, PATIENCE).unwrap();
    scene.forget_the_channel_in_use();
    assert_eq!(scene.order(), first);
    let mut both = [first, second];
    both.sort();
    assert_eq!(scene.channels(), both);
}

#[test]
fn an_opening_that_is_said_to_have_failed_and_opens_nevertheless_is_found() {
    let scene = Scene::start("1000");
    scene.gate.set(|method, path| match method {
        "GET" if path.starts_with("/v1/tx/") => Action::Failed,
        _ => Action::Pass,
    });
    let (code, told) = json(&mut scene.infer());
    assert_eq!(
        (code, &told["error"]["code"]),
        (1, &"client.transaction_failed".into())
    );
    let (channel, _) = scene.opening();
    scene.gate.open();
    assert_eq!(scene.order(), channel);
    assert_eq!(scene.channels(), [channel]);
}

#[test]
fn an_opening_that_failed_because_another_opened_its_channel_is_found() {
    let scene = Scene::start_with("4000", "4000");
    let quote = scene.quote(FEE, WARRANTY);
    let id = quote.value.channel(&scene.local.domain());
    let node = scene.local.node();
    let both = [scene.transaction(quote.clone()), scene.transaction(quote)];
    // Both in one block, with all of the time before it: the mempool doesn't hold one against the other.
    let before = node.status().unwrap().height;
    wait_for("a block", || node.status().unwrap().height > before);
    for tx in &both {
        node.submit(tx).unwrap();
    }
    wait_for("the block", || {
        node.transaction(both[1].hash()).unwrap().is_some()
    });
    let included = |tx: &SignedTransaction| node.transaction(tx.hash()).unwrap().unwrap();
    let failed = both.iter().find(|tx| included(tx).code != 0).unwrap();
    scene.keep(id, failed);
    let before = included(failed).height - 1;
    assert_eq!(scene.order_behind(id, before), id.to_string());
    assert_eq!(scene.channels(), [id.to_string()]);
}

#[test]
fn a_full_node_that_is_behind_the_channel_in_use_is_waited_for() {
    let scene = Scene::start("1000");
    let before = scene.local.node().status().unwrap().height.0;
    let channel = scene.order();
    let behind = scene.order_behind(channel.parse().unwrap(), before);
    assert_eq!(behind, channel);
    assert_eq!(scene.channels(), [channel]);
}

#[test]
fn an_opening_with_another_node_waits_for_an_order_to_that_one() {
    let scene = Scene::start("1000");
    let (id, tx) = scene.unsent(FEE, WARRANTY);
    let other = Server::start();
    other.json("/v1/models", &scene.local.inference().models().unwrap());
    let address = Wallet::generate().unwrap().address().to_string();
    other.json("/v1/node", &object!({ "address": address }));
    scene.local.point("inference_url", &other.url);
    let is_untouched = || {
        // This one gives no quote.
        let (code, told) = json(&mut scene.infer());
        assert_eq!(
            (code, &told["error"]["code"]),
            (1, &"client.refused".into()),
            "{told}"
        );
        assert_eq!(scene.opening(), (id.to_string(), tx.clone()));
        scene.gate.submitted() == 0
    };
    assert!(is_untouched());
    assert_eq!(scene.channels().len(), 0);
    scene.local.node().submit_and_wait(&tx, PATIENCE).unwrap();
    assert!(is_untouched());
    let node = format!("http://{}", scene.local.inference_address);
    scene.local.point("inference_url", &node);
    assert_eq!(scene.order(), id.to_string());
}

#[test]
fn a_damaged_opening_is_named_and_no_other_channel_opened_in_its_place() {
    let scene = Scene::start("1000");
    let (id, tx) = scene.unsent(FEE, WARRANTY);
    let path = scene.dir().join(format!("{id}.bin"));
    let half = &tx.encode()[..100];
    std::fs::write(&path, half).unwrap();
    let (code, told) = json(&mut scene.infer());
    assert_eq!(
        (code, &told["error"]["code"]),
        (2, &"cli.damaged_file".into()),
        "{told}"
    );
    let message = told["error"]["message"].as_str().unwrap();
    assert!(message.contains(&id.to_string()), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), half);
    assert_eq!(scene.gate.submitted(), 0);
}

#[test]
fn nothing_is_ordered_in_channels_of_another_key() {
    let scene = Scene::start("1000");
    scene.order();
    let (_, opening) = scene.unsent(FEE, WARRANTY);
    let orders = || {
        std::fs::read_dir(scene.local.key("user/receipts"))
            .unwrap()
            .count()
    };
    assert_eq!(orders(), 1);
    scene.local.node().submit_and_wait(&opening, PATIENCE).unwrap();
    std::fs::remove_file(scene.local.key("user/wallet.key")).unwrap();
    // The new key has no money.
    assert_eq!(json(&mut scene.infer()).0, 1);
    assert_eq!(orders(), 1);
    let payer = scene.local.user().address();
    let senders = scene.openings().into_iter();
    let senders: Vec<_> = senders.map(|(_, tx)| tx.transaction.meta.sender).collect();
    assert!(senders.len() == 2 && senders.contains(&payer), "{senders:?}");
}

#[test]
fn a_quote_that_was_given_before_takes_no_opening_off_the_disk() {
    let scene = Scene::start("1000");
    let quote = scene.quote(1_000 * FEE, 100 * WARRANTY);
    let node = Server::start();
    let honest = scene.local.inference();
    node.json("/v1/models", &honest.models().unwrap());
    node.json("/v1/node", &honest.node().unwrap());
    node.json("/v1/quotes", &object!({ "quote": hex::encode(quote.encode()) }));
    scene.local.point("inference_url", &node.url);
    scene
        .gate
        .transactions(Action::Answer(422, "ledger.insufficient_bond"));
    let error = || {
        json(&mut scene.infer()).1["error"]["code"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(error(), "client.refused");
    let first = scene.opening();
    assert_eq!(error(), "cli.quote_repeated");
    assert_eq!(scene.opening(), first);
}

#[test]
fn an_opening_is_given_up_once_no_block_can_take_it() {
    let scene = Scene::start("10");
    scene.gate.transactions(Action::Shut);
    let (code, told) = json(&mut scene.infer());
    assert_eq!(code, 20, "{told}");
    let (lost, tx) = scene.opening();
    let expiry = tx.transaction.meta.expiry;
    let height = || scene.local.node().status().unwrap().height;
    assert!(expiry.0 <= height().0 + TX_LIFETIME_BLOCKS);
    wait_for("the expiry", || height().0 > expiry.0 + 1);
    scene.gate.open();
    let channel = scene.order();
    assert_ne!(channel, lost);
    assert_eq!(scene.openings().len(), 0);
    let late = scene.local.node().submit(&tx).unwrap_err();
    let is_expired = |error: &ClientError| matches!(error, ClientError::Refused { refusal, .. } if refusal == "ledger.expired");
    assert!(is_expired(&late), "{late}");
    assert_eq!(scene.channels(), [channel]);
}

#[test]
fn an_opening_that_would_not_cover_the_order_is_kept_for_one_that_it_covers() {
    let scene = Scene::start("1000");
    let (small, tx) = scene.unsent(FEE, WARRANTY - 1);
    let channel = scene.order();
    assert_ne!(channel, small.to_string());
    assert_eq!(scene.channels(), [channel], "nothing is sent for it");
    assert_eq!(scene.opening(), (small.to_string(), tx.clone()));
    // It opens after all: it is found, and still not used for what it does not cover.
    scene.local.node().submit_and_wait(&tx, PATIENCE).unwrap();
    scene.forget_the_channel_in_use();
    assert_ne!(scene.order(), small.to_string());
    assert_eq!(scene.opening().0, small.to_string());
    scene.forget_the_channel_in_use();
    let (covering, _) = scene.unsent(FEE, WARRANTY);
    assert_eq!(scene.order(), covering.to_string());
    assert_eq!(scene.opening().0, small.to_string());
    assert_eq!(scene.channels().len(), 4);
}
