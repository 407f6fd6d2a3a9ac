//! The settler: proves what was answered, settles it in batches as the [planner](crate::planner) says, and does not rest
//! before each receipt is settled or can't be any more.
//!
//! The chain lets each sequence settle once, so sending a receipt again is always safe. It may still burn gas for
//! nothing, so a transaction whose fate is not known is sent again as it is, and replaced by another only when it can't
//! be included any more. A receipt is given up only when the chain shows that it can't settle, or when it burned gas
//! and failed by itself several times.

mod account;
mod cover;
mod demand;
mod fate;
mod payer;
mod precedence;
mod proof;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haca_prover::Cancellation;
use haca_wire::state::Clock;
use haca_wire::{ChannelId, Group, Message, SignedTransaction, TxHash};

use crate::ExecError;
use crate::entry::{Entry, Pending, Place};
use crate::log;
use crate::planner::{self, Action, AnswerPlan, Cause, Kind, Market, Settlement, Situation, Waiting};
use crate::service::Service;
use demand::Watch;
use precedence::Chosen;

/// How long the settler waits for work before it looks by itself.
const REST: Duration = Duration::from_millis(500);
/// How often final receipts are taken out of the journal.
const SEAL: Duration = Duration::from_secs(1);
/// How long it pauses after an error that may pass.
const PAUSE: Duration = Duration::from_millis(300);
/// First pause before something that failed is tried again; it doubles with every failure.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest such pause.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Runs until `stop` is cancelled, which ends a proof in progress, too.
pub(crate) fn run(service: &Arc<Service>, stop: &Cancellation) {
    let mut settler = Settler {
        service,
        stop,
        suspects: BTreeMap::new(),
        held: BTreeMap::new(),
        watch: Watch::default(),
        waits_for: None,
        follow_until: None,
        seals: 0,
        sealed: ChannelId([0; 32]),
    };
    let (mut last, mut sealed) = ("", Instant::now());
    while !settler.is_stopped() {
        // A panic is a bug, and no reason to let the other receipts miss their settlement.
        let work = || {
            let worked = settler.round();
            if sealed.elapsed() >= SEAL {
                sealed = Instant::now();
                // What could not be sealed now is sealed later.
                let _ = settler.seal();
            }
            worked
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(worked)) => {
                last = "";
                if !worked {
                    service.wait_for_work(REST);
                }
            }
            Ok(Err(error)) => {
                // A full node that is away for hours is one event.
                if error.code() != last {
                    log::event("settlement", format_args!("code={} error={error}", error.code()));
                }
                last = error.code();
                settler.pause(PAUSE);
            }
            Err(_) => {
                log::event("settlement", "code=exec.panic");
                service.end_proving(false);
                settler.follow_until = None;
                settler.pause(LONGEST_BACKOFF);
            }
        }
    }
}

/// Something that failed, and when it is tried again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    failures: u32,
    due: Instant,
}

impl Retry {
    fn first() -> Self {
        Self {
            failures: 0,
            due: Instant::now(),
        }
    }

    fn failed(&mut self) {
        let pause = BACKOFF.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.due = Instant::now() + pause.min(LONGEST_BACKOFF);
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }
}

/// The settler's own memory. All of it may be lost: the journal and the chain say the rest.
struct Settler<'a> {
    service: &'a Arc<Service>,
    stop: &'a Cancellation,
    /// Receipts of failed batches. Each is sent by itself, so that a bad one does not keep others from settling.
    suspects: BTreeMap<Place, Retry>,
    /// Transactions that the full node does not take at present.
    held: BTreeMap<TxHash, Retry>,
    /// Fees that wait while a proof can be demanded.
    watch: Watch,
    /// What was last waited for.
    waits_for: Option<planner::Reason>,
    /// Until when a transaction is followed to its fate: then the proof of an answer has to begin.
    follow_until: Option<Instant>,
    /// Compactions so far, and the channel at which they go on.
    seals: u64,
    sealed: ChannelId,
}

impl Settler<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Sleeps, but not through a stop.
    fn pause(&self, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < end {
            std::thread::sleep(crate::chain::POLL);
        }
    }

    /// Does the most urgent thing. `false` when there is nothing to do at present.
    fn round(&mut self) -> Result<bool, ExecError> {
        let pending = self.service.journal.pending()?;
        self.look_at_docket()?;
        self.service.set_backlog(&pending, self.watch.unanswered())?;
        self.forget(&pending);
        if self.follow_answers()? || self.answer_demands()? {
            return Ok(true);
        }
        if pending.is_empty() {
            return Ok(false);
        }
        let sent: BTreeSet<TxHash> = pending.iter().filter_map(|pending| pending.tx).collect();
        if let Some(tx) = sent.iter().find(|tx| self.is_due(**tx)) {
            self.resume(*tx, &pending)?;
            return Ok(true);
        }
        let clock = self.service.chain.client.clock()?;
        self.service.chain.course().observe(&clock);
        if self.raise_held(&clock, &pending, 0)? || self.settle_covered(&clock, &pending)? {
            return Ok(true);
        }
        self.act(&clock, &pending)
    }

    /// Asks the planner, and does what it says.
    fn act(&mut self, clock: &Clock, pending: &[Pending]) -> Result<bool, ExecError> {
        let plan = self.consult(clock, &self.settleable(clock, pending), planner::plan);
        let mut has_ended = false;
        for place in &plan.late {
            has_ended |= self.give_up(*place, "its settle-by tick has passed", clock.height)?;
        }
        // With one of them, others of its range may have ended that the plan settles.
        if has_ended {
            return Ok(true);
        }
        match plan.action {
            Action::Settle(settlement) if self.is_ready(&settlement) => {
                self.waits_for = None;
                self.settle_next(clock, pending, settlement)?;
                Ok(true)
            }
            Action::Wait { reason, until } => {
                if self.waits_for != Some(reason) {
                    let base_fee = clock.base_fee;
                    log::event(
                        "waiting",
                        format_args!("for={reason:?} until={until} base_fee={base_fee}"),
                    );
                }
                self.waits_for = Some(reason);
                Ok(false)
            }
            Action::Settle(_) | Action::Idle => Ok(false),
        }
    }

    /// What keeps one transaction waiting keeps the others, as long as there is time: more receipts meanwhile join the next batch.
    fn is_ready(&self, settlement: &Settlement) -> bool {
        self.held.is_empty() || settlement.cause == Cause::Urgent
    }

    /// Puts what the planner looks at before it.
    fn consult<T>(&self, clock: &Clock, receipts: &[Pending], ask: impl FnOnce(&Situation<'_>) -> T) -> T {
        let now = log::unix_ms();
        let describe = |receipt: &Pending| Waiting {
            place: receipt.place,
            kind: kind_of_pending(receipt),
            asset: receipt.asset,
            fee: receipt.fee,
            warranty: receipt.warranty,
            settle_by: receipt.settle_by,
            waited_ms: now.saturating_sub(receipt.answered_unix_ms),
            is_alone: self.suspects.contains_key(&receipt.place),
        };
        let queue: Vec<Waiting> = receipts.iter().map(describe).collect();
        let rates = self.service.rates(receipts.iter().map(kind_of_pending));
        let (recent, tick_ms) = {
            let course = self.service.chain.course();
            (course.base_fees(), course.tick_ms())
        };
        ask(&Situation {
            now: clock.tick,
            tick_ms,
            // The block after the next one, in case the transaction comes too late for the next.
            inclusion_ms: tick_ms.saturating_mul(2),
            market: Market {
                base_fee: clock.base_fee,
                recent: &recent,
            },
            gas: self.service.gas_prices(),
            longest_proofs_ms: self.service.longest_proofs_ms(),
            policy: &self.service.config.policy,
            rates: &rates,
            queue: &queue,
        })
    }

    /// Drops what is known of receipts and transactions that wait no more.
    fn forget(&mut self, pending: &[Pending]) {
        let places: BTreeSet<Place> = pending.iter().map(|pending| pending.place).collect();
        let sent: BTreeSet<TxHash> = pending.iter().filter_map(|pending| pending.tx).collect();
        let watch = &self.watch;
        self.suspects
            .retain(|place, _| places.contains(place) || watch.holds(*place));
        self.held.retain(|tx, _| sent.contains(tx));
    }

    fn is_due(&self, tx: TxHash) -> bool {
        self.held.get(&tx).is_none_or(Retry::is_due)
    }

    /// Proves the groups of one transaction, signs it, journals it, and sends it. `false` when none could be proven.
    fn settle(&mut self, chosen: &Chosen) -> Result<bool, ExecError> {
        let made = self.prove_and_sign(&chosen.settlement, &chosen.of_place);
        if chosen.is_announced {
            self.service.end_proving(matches!(made, Ok(Some(_))));
        }
        match made? {
            Some((tx, entries)) => self.send(&tx, entries, None).map(|()| true),
            None => Ok(false),
        }
    }

    /// The signed transaction of a plan with its entries; `None` when no group could be proven.
    fn prove_and_sign(
        &mut self,
        plan: &Settlement,
        of_place: &BTreeMap<Place, Pending>,
    ) -> Result<Option<(SignedTransaction, Vec<Entry>)>, ExecError> {
        let service = self.service;
        let (mut groups, mut all) = (Vec::new(), Vec::new());
        for group in &plan.groups {
            let waiting = group.places.iter().filter_map(|place| of_place.get(place));
            let read = waiting.map(|receipt| service.journal.entry(receipt));
            let mut entries = read.collect::<Result<Vec<Entry>, _>>()?;
            match proof::evidence(service, &entries, self.stop) {
                Ok((evidence, figures)) => {
                    for entry in &mut entries {
                        entry.proof = figures;
                    }
                    if let Some(figures) = figures {
                        service.learn_prove_time(group.kind, figures.batch, figures.prove_us.div_ceil(1_000));
                    }
                    let items = entries.iter().map(|entry| entry.item.clone()).collect();
                    groups.push(Group { items, evidence });
                    all.extend(entries);
                }
                // Nothing was sent: the receipts are proven again after the next start.
                Err(_) if self.is_stopped() => return Ok(None),
                Err(reason) => {
                    let places: Vec<Place> = entries.iter().map(Entry::place).collect();
                    self.suspect(&places, &reason);
                }
            }
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let (count, receipts, most) = (groups.len(), all.len(), plan.max_base_fee);
        let tx = payer::sign(service, Message::SettleBatch { groups }, most)?;
        let (hash, cause) = (tx.hash(), plan.cause);
        log::event(
            "settling",
            format_args!("tx={hash} receipts={receipts} groups={count} cause={cause:?} max_base_fee={most}"),
        );
        Ok(Some((tx, all)))
    }

    /// Sends each of these receipts by itself from now on, after a pause that grows.
    fn suspect(&mut self, places: &[Place], reason: &str) {
        log::event(
            "not_settled",
            format_args!("receipts={} reason={reason}", places.len()),
        );
        for place in places {
            let retry = self.suspects.entry(*place).or_insert_with(Retry::first);
            if places.len() == 1 {
                retry.failed();
            }
        }
    }
}

/// Model and evidence of a receipt.
fn kind_of_pending(receipt: &Pending) -> Kind {
    Kind {
        model: receipt.model,
        evidence: receipt.evidence,
    }
}

fn kind_of(entry: &Entry) -> Kind {
    Kind {
        model: entry.item.order.value.model,
        evidence: entry.item.order.value.evidence,
    }
}
