//! Four validators under CometBFT while nodes are killed, stopped, cut off and slowed down, while clocks go wrong, a
//! fifth node joins and the validators change: the state stays one, and nothing that was promised is lost or paid twice.
//!
//! The test runs a short plan. `cargo xtask perturb` runs it for as long as there is time; the environment says so:
//! `HACA_PERTURB_SEED`, `HACA_PERTURB_MINUTES`, `HACA_PERTURB_NAMESPACES`, for nodes on hosts of their own where this process may
//! make some, `HACA_PERTURB_SUMMARY`, a file for the summary as JSON, and `HACA_PERTURB_DIR`, a directory for stores and logs.

#![allow(clippy::print_stderr, reason = "shown with a failure, and by long runs")]

mod audit;
mod link;
mod load;
mod namespace;
mod plan;
mod signer;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haca_client::{InferenceClient, Wallet};
use haca_node::engine::ValidatorKey;
use haca_wire::tx::possession_message;
use haca_wire::{Address, Amount, AssetId, ConsensusKey, Domain, EvidenceKind, Message};
use serde_json::{Value, json};

use crate::local::wait_for;
pub(crate) use audit::body;

use audit::Contents;
use link::Course;
use load::{Accepted, Doors, Payer, Transfers};
use namespace::Namespaces;
use plan::{Act, Event, Plan};
use site::Site;

const VALIDATORS: usize = 4;
/// What stands behind each validator, in the smallest unit of OPG.
const STAKE: Amount = Amount(100_000_000_000_000);
/// Who is sent the transfers.
const RECEIVER: Address = Address([0xaa; 20]);

/// What the environment asks for.
struct Order {
    seed: u64,
    /// `None`: one round of the short plan.
    time: Option<Duration>,
    /// Whether nodes are on hosts of their own, where that is allowed.
    namespaces: bool,
    summary: Option<PathBuf>,
    /// Where keys, stores and logs stay; they go with the test unless this is given.
    dir: Option<PathBuf>,
}

impl Order {
    fn read() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        Self {
            seed: number("HACA_PERTURB_SEED").unwrap_or(7),
            time: number("HACA_PERTURB_MINUTES").map(|minutes| Duration::from_secs(60 * minutes)),
            namespaces: std::env::var_os("HACA_PERTURB_NAMESPACES").is_some(),
            summary: path("HACA_PERTURB_SUMMARY"),
            dir: path("HACA_PERTURB_DIR"),
        }
    }
}

/// The network under perturbation.
struct Run {
    site: Site,
    doors: Doors,
    domain: Domain,
    treasury: Wallet,
    /// Events by name: how many, and how many blocks were decided during them.
    events: BTreeMap<&'static str, (usize, u64)>,
    /// What this system could not do.
    left_out: Vec<&'static str>,
}

impl Run {
    fn start(dir: &Path, namespaces: Option<Namespaces>) -> Self {
        let mut site = Site::found(dir, VALIDATORS, namespaces);
        site.settle("the start");
        let doors = Doors::new(
            site.nodes
                .iter()
                .map(|node| (node.client(), node.perturbed()))
                .collect(),
        );
        let domain = site.nodes[0].client().chain().unwrap().domain();
        Self {
            treasury: Wallet::load(&dir.join("treasury.key")).unwrap(),
            site,
            doors,
            domain,
            events: BTreeMap::new(),
            left_out: Vec::new(),
        }
    }

    /// The height that the nodes have reached which nothing is done to.
    fn height(&self) -> u64 {
        let steady = self.site.nodes.iter().filter(|node| !node.is_perturbed());
        steady.map(site::FullNode::height).max().unwrap_or(0)
    }

    fn execute(&mut self, event: Event) {
        let (before, start) = (self.height(), Instant::now());
        let Event { act, lasts } = event;
        match act {
            Act::Kill(node) => self.down(node, lasts, Site::kill),
            Act::KillConsensus(node) => self.down(node, lasts, Site::kill_consensus),
            Act::Restart(node) => self.down(node, Duration::ZERO, Site::stop),
            Act::Pause(node) => self.hold(&[node], lasts, |site| {
                site.signal(node, "STOP");
                move |site: &Site| site.signal(node, "CONT")
            }),
            Act::Silence(node) => self.sever(&[node], lasts, Course::Silent, |from, to| {
                from == node || to == node
            }),
            Act::Cut(node) => self.sever(&[node], lasts, Course::Cut, |from, to| from == node || to == node),
            Act::Split(at) => self.sever(&[], lasts, Course::Silent, |from, to| (from < at) != (to < at)),
            Act::SlowDisk(node, by) => self.slow_disk(node, by, lasts),
            Act::Skew(by_ms) => {
                if let Some(signer) = &self.site.signer {
                    signer.skew(by_ms);
                }
                std::thread::sleep(lasts);
            }
            Act::Join => self.site.join(),
            Act::Stake => self.stake(),
            Act::Unstake(node) => self.unstake(node),
        }
        let took = start.elapsed();
        let during = self.height().saturating_sub(before);
        self.site.settle(act.name());
        eprintln!(
            "{act:?}, {:.1} s: {during} blocks, all nodes keep up after {:.1} s",
            took.as_secs_f64(),
            start.elapsed().as_secs_f64()
        );
        let counted = self.events.entry(act.name()).or_default();
        *counted = (counted.0 + 1, counted.1 + during);
    }

    /// Takes a node down, and starts it again after a while.
    fn down(&mut self, node: usize, lasts: Duration, end: impl FnOnce(&mut Site, usize)) {
        self.site.nodes[node].perturb(true);
        end(&mut self.site, node);
        std::thread::sleep(lasts);
        self.site.start(node);
        let client = self.site.nodes[node].client();
        wait_for("the node", || client.is_ready());
        self.site.nodes[node].perturb(false);
    }

    /// Does something to nodes, and undoes it after a while. Users turn to others meanwhile.
    fn hold<U: FnOnce(&Site)>(&self, nodes: &[usize], lasts: Duration, begin: impl FnOnce(&Site) -> U) {
        let perturb = |perturbed| {
            nodes
                .iter()
                .for_each(|node| self.site.nodes[*node].perturb(perturbed))
        };
        perturb(true);
        let end = begin(&self.site);
        std::thread::sleep(lasts);
        end(&self.site);
        perturb(false);
    }

    fn sever(&self, nodes: &[usize], lasts: Duration, course: Course, chosen: impl Fn(usize, usize) -> bool) {
        self.hold(nodes, lasts, |site| {
            site.set_links(course, &chosen);
            |site: &Site| site.set_links(Course::Open, &chosen)
        });
    }

    fn slow_disk(&mut self, node: usize, by: Duration, lasts: Duration) {
        let url = self.site.nodes[node].url.clone();
        let before = audit::block_seconds(&url);
        match self.site.slow_disk(node, by) {
            Some(_slow) => {
                std::thread::sleep(lasts);
                let now = audit::block_seconds(&url);
                let (seconds, blocks) = (now.0 - before.0, now.1 - before.1);
                eprintln!("node {node} executed and committed {blocks} blocks in {seconds:.2} s");
            }
            None => self
                .left_out
                .push("slow_disk: strace is not here, or may not trace"),
        }
    }

    fn key(&self, node: usize) -> ValidatorKey {
        ValidatorKey::read(&self.site.nodes[node].home.join("validators/0.json")).unwrap()
    }

    fn decides(&self, key: ConsensusKey) -> bool {
        let url = &self.site.nodes[0].url;
        audit::validators(url, self.site.nodes[0].height()).contains(&hex::encode(key.address().0))
    }

    fn stake(&mut self) {
        let secret = self.key(self.site.nodes.len() - 1);
        let key = ConsensusKey(secret.public());
        let message = Message::Stake {
            key,
            possession: secret.sign(&possession_message(&self.domain, self.treasury.address())),
            amount: STAKE,
        };
        self.doors.send(&self.treasury, &self.domain, message);
        wait_for("the new validator", || self.decides(key));
    }

    fn unstake(&mut self, node: usize) {
        let key = ConsensusKey(self.key(node).public());
        assert!(self.decides(key));
        self.doors.send(
            &self.treasury,
            &self.domain,
            Message::Unstake { key, amount: STAKE },
        );
        wait_for("the validator to be out", || !self.decides(key));
    }

    /// Ends the perturbations and holds every node to what has to be true.
    fn close(mut self, payer: &Payer, accepted: &[Accepted], transfers: &Transfers) -> Value {
        if let Some(signer) = &self.site.signer {
            signer.skew(0);
        }
        self.site.settle("the last event");
        for receipt in accepted {
            wait_for("the settlement of a receipt", || {
                self.doors.ask(|node| node.settled(receipt.receipt)).is_some()
            });
        }
        let (height, app_hash) = audit::agreement(&self.site);
        audit::supply(&self.site);
        audit::nobody_was_slashed(&self.site);
        let contents = Contents::read(&self.site.nodes[0].url, height);
        contents.check(accepted, transfers);
        let node = self.site.nodes[1].client();
        let sent: u128 = transfers.included.iter().map(|(_, amount)| amount).sum();
        assert_eq!(
            node.balance(RECEIVER, AssetId(0)).unwrap(),
            Amount(sent),
            "each transfer once"
        );
        let channel = node.channel(payer.channel).unwrap().unwrap();
        let fees: u128 = accepted.iter().map(|receipt| receipt.fee).sum();
        assert_eq!(
            (channel.settled, channel.paid),
            (accepted.len() as u64, Amount(fees))
        );
        let paid = node.balance(payer.payout, load::FEE_ASSET).unwrap().0 - payer.paid_before.0;
        assert_eq!(paid, fees, "each fee once");
        let of = |kind| accepted.iter().filter(|receipt| receipt.evidence == kind).count();
        json!({
            "cometbft": self.site.consensus_version(),
            "connected_by": self.site.connected_by(),
            "height": height,
            "app_hash": app_hash,
            "nodes": self.site.nodes.len(),
            "validators": audit::validators(&self.site.nodes[0].url, height).len(),
            "decided_in_later_rounds": contents.late_rounds,
            "events": self.events.iter()
                .map(|(name, (count, blocks))| ((*name).to_owned(), json!({ "count": count, "blocks": blocks })))
                .collect::<serde_json::Map<_, _>>(),
            "left_out": self.left_out,
            "nodes_revived": self.site.revived,
            "receipts": { "accepted": accepted.len(), "settled_once": accepted.len(),
                "zk": of(EvidenceKind::Zk), "signed": of(EvidenceKind::Signed) },
            "transfers": { "in_a_block_once": transfers.included.len(), "expired": transfers.expired,
                "sent_again": transfers.resent },
            "burned": node.supply(AssetId(0)).unwrap().unwrap().burned.to_string(),
            "supply_unaccounted": "0",
        })
    }
}

#[test]
fn the_state_stays_one_whatever_is_done_to_the_nodes() {
    let order = Order::read();
    let start = Instant::now();
    let temporary = tempfile::tempdir().unwrap();
    let dir = order.dir.as_deref().unwrap_or(temporary.path());
    let namespaces = order.namespaces.then(Namespaces::new).flatten();
    let mut run = Run::start(dir, namespaces);
    let (inference, url) = run.site.serve();
    let user = Wallet::load(&dir.join("user/wallet.key")).unwrap();
    let payer = Payer::open(run.doors.clone(), InferenceClient::new(&url), user, run.domain);
    eprintln!(
        "{VALIDATORS} validators after {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let stop: Arc<AtomicBool> = Arc::default();
    let transfers = load::transfers(
        run.doors.clone(),
        run.treasury.clone(),
        RECEIVER,
        run.domain,
        Arc::clone(&stop),
    );
    let orders = payer.order(Arc::clone(&stop));

    let (begin, mut plan) = (
        Instant::now(),
        Plan::new(order.seed, VALIDATORS, order.time.is_none()),
    );
    let round = plan.round_len();
    for (number, event) in plan.by_ref().enumerate() {
        // The first round is whole: it has the joiner and the change of validators.
        if number >= round && order.time.is_none_or(|time| begin.elapsed() >= time) {
            break;
        }
        run.execute(event);
    }
    let perturbed_s = begin.elapsed().as_secs();
    stop.store(true, Ordering::SeqCst);
    let (transfers, (payer, accepted)) = (transfers.join().unwrap(), orders.join().unwrap());
    let mut summary = run.close(&payer, &accepted, &transfers);
    drop(inference);
    summary["seed"] = order.seed.into();
    summary["perturbed_s"] = perturbed_s.into();
    summary["seconds"] = start.elapsed().as_secs().into();
    eprintln!("{summary:#}");
    if let Some(path) = order.summary {
        std::fs::write(path, format!("{summary:#}\n")).unwrap();
    }
}
