//! Settlements whose gas another account pays: a sponsor that is willing, refuses, is away, or signs something else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use haca_client::{SponsorClient, Wallet};
use haca_exec::{ExecConfig, Sponsor, SponsorConfig, SponsorPolicy, Totals, read_snapshot};
use haca_node::loopback;
use haca_wire::{
    Address, Amount, AssetId, Decode as _, Domain, Encode as _, GenesisHash, Height, Message, Nonce, Order,
    Signed, Transaction, TxMeta,
};

use crate::world::{Serving, World, ZK_FEE, code, wait};

const UNIT: u128 = 1_000_000_000;

fn policy(nodes: &[Address]) -> SponsorPolicy {
    SponsorPolicy {
        nodes: nodes.iter().copied().collect(),
        max_base_fee: Amount(10),
        max_transaction: Amount(UNIT),
        per_day: Amount(100 * UNIT),
    }
}

/// A sponsor with a thousand OPG.
fn sponsor(world: &World, listen: &str, policy: SponsorPolicy) -> Sponsor {
    let home = world.path().join("sponsor");
    std::fs::create_dir_all(&home).unwrap();
    let sponsor = Sponsor::start(SponsorConfig {
        home,
        node_url: world.url().to_owned(),
        trust: Some(world.domain.genesis),
        listen: listen.to_owned(),
        policy,
    })
    .unwrap();
    fund(world, sponsor.account());
    sponsor
}

#[test]
fn a_sponsor_signs_for_no_other_network_than_the_trusted_one() {
    let world = World::start();
    let started = Sponsor::start(SponsorConfig {
        home: world.path().join("sponsor"),
        node_url: world.url().to_owned(),
        trust: Some(GenesisHash([1; 32])),
        listen: "127.0.0.1:0".to_owned(),
        policy: policy(&[]),
    });
    assert_eq!(started.unwrap_err().code(), "exec.other_network");
}

fn fund(world: &World, to: Address) {
    let (asset, amount) = (AssetId::OPG, Amount(1_000 * UNIT));
    world.send(&world.user, Message::Transfer { to, asset, amount });
}

fn operator(world: &World) -> Wallet {
    Wallet::load(&world.home().join("account.key")).unwrap()
}

/// The operator's account after its OPG went elsewhere, but for less than any settlement costs.
fn impoverish(world: &World) {
    let operator = operator(world);
    let held = world.operator_opg();
    let (to, asset, amount) = (Address([9; 20]), AssetId::OPG, Amount(held - 400_000));
    world.send(&operator, Message::Transfer { to, asset, amount });
    wait("an empty account", || {
        (world.operator_opg() < 400_000).then_some(())
    });
}

fn balance(world: &World, account: Address) -> u128 {
    world.client().balance(account, AssetId::OPG).unwrap().0
}

/// A node with a sponsor at this address, and one of its orders.
fn ordered<'a>(world: &'a World, url: &str) -> (Serving<'a>, Order) {
    let mut config = world.config(world.url());
    config.sponsor = Some(url.to_owned());
    let serving = world.serve_with(config);
    let channel = serving.channel(ZK_FEE, 100);
    let order = serving.zk(channel, 0, &serving.body());
    (serving, order)
}

fn sum(config: &ExecConfig) -> Totals {
    let mut sum = Totals::default();
    for row in read_snapshot(config).unwrap().totals {
        sum.add(&row.totals);
    }
    sum
}

#[test]
fn a_node_without_opg_settles_through_its_sponsor() {
    let world = World::start();
    let sponsor = sponsor(&world, "127.0.0.1:0", policy(&[operator(&world).address()]));
    let (serving, order) = ordered(&world, sponsor.url());
    impoverish(&world);
    let (own, before) = (world.operator_opg(), balance(&world, sponsor.account()));
    serving.wait_for(serving.answer(&order), "settled");
    wait("the books", || {
        (sum(&world.config(world.url())).settled == 1).then_some(())
    });
    let totals = sum(&world.config(world.url()));
    assert_eq!(world.operator_opg(), own);
    assert_eq!(before - balance(&world, sponsor.account()), totals.burned.0);
    assert!(totals.burned.0 > 0 && totals.sponsored == totals.burned);
}

/// Settlement and answer alike; the deposit is the node's.
#[test]
fn a_node_without_opg_answers_a_demand_through_its_sponsor() {
    let world = World::start();
    let sponsor = sponsor(&world, "127.0.0.1:0", policy(&[operator(&world).address()]));
    let mut config = world.config(world.url());
    config.sponsor = Some(sponsor.url().to_owned());
    config.optimistic_price = Some(Amount(ZK_FEE));
    let serving = world.serve_with(config);
    let channel = serving.channel(ZK_FEE, 100);
    impoverish(&world);
    let order = Order {
        evidence: haca_wire::EvidenceKind::Optimistic,
        ..serving.zk(channel, 0, &serving.body())
    };
    let answered = serving.infer(&serving.body(), &order).unwrap();
    let hash = order.hash(&world.domain);
    serving.wait_for(hash, "held");
    let before = balance(&world, sponsor.account());
    world.send(&world.user, haca_client::demand(&answered.receipt, &world.domain));
    world.pass_a_block();
    serving.wait_for(hash, "settled");
    wait("the gas", || {
        world.pass_a_block();
        (balance(&world, sponsor.account()) < before).then_some(())
    });
    let totals = sum(&world.config(world.url()));
    assert_eq!((totals.proven, totals.fees), (1, Amount(ZK_FEE)));
    assert_eq!(totals.sponsored, totals.burned);
    assert!(totals.deposits.0 > 400_000, "it had less before");
    assert!(world.operator_opg() >= totals.deposits.0);
}

#[test]
fn a_node_that_its_sponsor_refuses_pays_itself_as_soon_as_it_can() {
    let world = World::start();
    let sponsor = sponsor(&world, "127.0.0.1:0", policy(&[Address([7; 20])]));
    let (serving, order) = ordered(&world, sponsor.url());
    impoverish(&world);
    let before = balance(&world, sponsor.account());
    let order = serving.answer(&order);
    serving.wait_for(order, "submitted");
    fund(&world, operator(&world).address());
    serving.wait_for(order, "settled");
    assert_eq!(balance(&world, sponsor.account()), before);
    assert_eq!(sum(&world.config(world.url())).sponsored, Amount(0));
}

#[test]
fn a_sponsor_that_was_away_pays_once_it_is_back() {
    let world = World::start();
    let address = loopback::reserve().unwrap().to_string();
    let (serving, order) = ordered(&world, &format!("http://{address}"));
    impoverish(&world);
    let order = serving.answer(&order);
    let first = serving.wait_for(order, "submitted").tx;
    let sponsor = sponsor(&world, &address, policy(&[operator(&world).address()]));
    let before = balance(&world, sponsor.account());
    let settled = serving.wait_for(order, "settled").tx;
    assert_ne!(settled, first);
    assert!(balance(&world, sponsor.account()) < before);
}

#[test]
fn a_sponsor_without_opg_leaves_the_gas_to_the_node() {
    let world = World::start();
    let sponsor = sponsor(&world, "127.0.0.1:0", policy(&[operator(&world).address()]));
    let key = Wallet::load(&world.path().join("sponsor/sponsor.key")).unwrap();
    let (to, asset) = (Address([9; 20]), AssetId::OPG);
    let amount = Amount(balance(&world, sponsor.account()) - 400_000);
    world.send(&key, Message::Transfer { to, asset, amount });
    let (serving, order) = ordered(&world, sponsor.url());
    let before = world.operator_opg();
    serving.wait_for(serving.answer(&order), "settled");
    assert!(world.operator_opg() < before);
}

/// An answer that waits for a sponsor without OPG would cost the stake.
#[test]
fn a_sponsor_without_opg_leaves_the_gas_of_an_answer_to_the_node() {
    let world = World::start();
    let sponsor = sponsor(&world, "127.0.0.1:0", policy(&[operator(&world).address()]));
    let mut config = world.config(world.url());
    config.sponsor = Some(sponsor.url().to_owned());
    config.optimistic_price = Some(Amount(ZK_FEE));
    let serving = world.serve_with(config);
    let channel = serving.channel(ZK_FEE, 100);
    let order = Order {
        evidence: haca_wire::EvidenceKind::Optimistic,
        ..serving.zk(channel, 0, &serving.body())
    };
    let answered = serving.infer(&serving.body(), &order).unwrap();
    let hash = order.hash(&world.domain);
    serving.wait_for(hash, "held");
    let key = Wallet::load(&world.path().join("sponsor/sponsor.key")).unwrap();
    let (to, asset) = (Address([9; 20]), AssetId::OPG);
    world.pass_a_block();
    let amount = Amount(balance(&world, sponsor.account()) - 400_000);
    world.send(&key, Message::Transfer { to, asset, amount });
    world.send(&world.user, haca_client::demand(&answered.receipt, &world.domain));
    world.pass_a_block();
    serving.wait_for(hash, "settled");
}

/// A sponsor that signs what it was not asked to.
fn impostor(domain: Domain) -> (String, Address) {
    let wallet = Wallet::generate().unwrap();
    let account = wallet.address();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &wallet, &domain);
        }
    });
    (url, account)
}

fn answer(mut stream: TcpStream, wallet: &Wallet, domain: &Domain) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut first) = (0u64, String::new());
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let json = if first.starts_with("POST") {
        let mut other = Signed::<Transaction>::decode_all(&body).ok()?.value;
        other.meta.tip = Amount(1 << 60);
        let signed = wallet.sign(other, domain).ok()?;
        serde_json::json!({ "signature": hex::encode(signed.signature.encode()) })
    } else {
        serde_json::json!({ "account": wallet.address().to_string(), "max_base_fee": "10" })
    };
    let text = json.to_string();
    let head = format!(
        "HTTP/1.1 200 x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(head.as_bytes()).ok()
}

#[test]
fn a_sponsor_that_signs_another_transaction_is_passed_by() {
    let world = World::start();
    let (url, account) = impostor(world.domain);
    fund(&world, account);
    let (serving, order) = ordered(&world, &url);
    let before = (world.operator_opg(), balance(&world, account));
    serving.wait_for(serving.answer(&order), "settled");
    assert!(world.operator_opg() < before.0);
    assert_eq!(balance(&world, account), before.1);
}

/// A transaction of a node, as its sponsor gets it.
fn drafted(world: &World, sponsor: Address, change: impl FnOnce(&mut Transaction)) -> Signed<Transaction> {
    let node = operator(world);
    let mut tx = Transaction {
        meta: TxMeta {
            sender: node.address(),
            expiry: Height(world.client().status().unwrap().height.0 + 50),
            nonce: Nonce([1; 32]),
            max_base_fee: Amount(10),
            tip: Amount(0),
            sponsor,
        },
        message: Message::SettleBatch { groups: Vec::new() },
    };
    change(&mut tx);
    node.sign(tx, &world.domain).unwrap()
}

#[test]
fn a_sponsor_signs_nothing_beyond_its_policy() {
    let world = World::start();
    let account = operator(&world).address();
    let sponsor = sponsor(&world, "127.0.0.1:0", policy(&[account]));
    let client = SponsorClient::new(sponsor.url());
    assert_eq!(client.terms().unwrap().account, sponsor.account());
    let (to, asset, amount) = (Address([9; 20]), AssetId::OPG, Amount(1));
    let transfer = || Message::Transfer { to, asset, amount };
    let refused = |change: &dyn Fn(&mut Transaction)| {
        let tx = drafted(&world, sponsor.account(), |tx| {
            tx.message = transfer();
            change(tx);
        });
        code(client.cosign(&tx, &world.domain))
    };
    assert_eq!(refused(&|_| {}), "sponsor.message");
    assert_eq!(
        refused(&|tx| tx.meta.sponsor = Address([8; 20])),
        "sponsor.account"
    );
    assert_eq!(
        refused(&|tx| tx.meta.sender = world.user.address()),
        "sponsor.signature"
    );
    let by_user = drafted(&world, sponsor.account(), |tx| {
        tx.message = transfer();
        tx.meta.sender = world.user.address();
    });
    let by_user = world.user.sign(by_user.value, &world.domain).unwrap();
    assert_eq!(code(client.cosign(&by_user, &world.domain)), "sponsor.node");
    let nothing = drafted(&world, sponsor.account(), |_| {});
    assert_eq!(code(client.cosign(&nothing, &world.domain)), "sponsor.encoding");
}

#[test]
fn a_settlement_is_weighed_by_what_it_may_cost_at_most() {
    let (node, account) = (Address([1; 20]), Address([2; 20]));
    let tx = |change: &dyn Fn(&mut TxMeta)| {
        let mut meta = TxMeta {
            sender: node,
            expiry: Height(150),
            nonce: Nonce([1; 32]),
            max_base_fee: Amount(10),
            tip: Amount(0),
            sponsor: account,
        };
        change(&mut meta);
        let message = Message::SettleBatch { groups: Vec::new() };
        Transaction { meta, message }
    };
    let mut rules = policy(&[node]);
    rules.max_transaction = Amount(1_000);
    let weigh = |tx: &Transaction, gas| {
        rules
            .weigh(tx, account, gas, Height(100))
            .map_err(|refusal| refusal.code())
    };
    assert_eq!(weigh(&tx(&|_| {}), 100), Ok(Amount(1_000)));
    assert_eq!(weigh(&tx(&|_| {}), 101), Err("sponsor.transaction"));
    assert_eq!(
        weigh(&tx(&|meta| meta.tip = Amount(1)), 100),
        Err("sponsor.transaction")
    );
    assert_eq!(
        weigh(&tx(&|meta| meta.max_base_fee = Amount(11)), 1),
        Err("sponsor.base_fee")
    );
    assert_eq!(
        weigh(&tx(&|meta| meta.max_base_fee = Amount(u128::MAX)), 1),
        Err("sponsor.base_fee")
    );
    assert_eq!(
        weigh(&tx(&|meta| meta.expiry = Height(201)), 1),
        Err("sponsor.expiry")
    );
    assert_eq!(weigh(&tx(&|meta| meta.sender = account), 1), Err("sponsor.node"));
    assert_eq!(weigh(&tx(&|meta| meta.sponsor = node), 1), Err("sponsor.account"));
}

#[test]
fn a_day_that_is_used_up_leaves_the_gas_to_the_node() {
    let world = World::start();
    let mut rules = policy(&[operator(&world).address()]);
    rules.per_day = Amount(1_000_000);
    let sponsor = sponsor(&world, "127.0.0.1:0", rules);
    let (serving, order) = ordered(&world, sponsor.url());
    let before = (world.operator_opg(), balance(&world, sponsor.account()));
    serving.wait_for(serving.answer(&order), "settled");
    assert!(world.operator_opg() < before.0);
    assert_eq!(balance(&world, sponsor.account()), before.1);
}
