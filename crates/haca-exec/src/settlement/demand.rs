//! Fees of `Optimistic` receipts: watched until they are paid, and demands of proofs answered meanwhile.
//!
//! The chain keeps one docket for each node: how many demands on it are open, and when the last is due. While nobody
//! demands anything, that is all that is read. When it changes, fees that wait are looked at, demanded ones first, until as many
//! demands are found as it tells of: a bounded number before each settlement, as any number of fees may wait.
//!
//! The fee of a voucher waits as one, and one of its receipts at a time can be demanded. An answer leaves it waiting.
//!
//! An answer is journalled before it is sent, and nothing is waited for while it is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use haca_wire::state::{ClaimRecord, DemandRecord, DocketRecord, HeldKey, key};
use haca_wire::{Amount, Answer, EvidenceKind, Height, Message, SignedTransaction, Tick, TxHash};

use super::payer::{own_instead, sign, sign_again};
use super::proof::{Proven, prove};
use super::transaction::{RESEND, Word};
use super::{AnswerPlan, Retry, Settler};
use crate::ExecError;
use crate::entry::{Entry, EntryState, HeldFee, Place, SentAnswer};
use crate::log;
use crate::planner::{self, Answering, Docket, Kind, LOOKS, OpenDemand};
use crate::service::Demanded;
use crate::totals::{Totals, TotalsKey};

/// How often the docket is read while other work is done.
const LOOK: Duration = Duration::from_millis(250);

/// One fee that waits.
struct Watched {
    fee: HeldFee,
    /// The demand on its receipt, when it was last looked at.
    demand: Option<DemandRecord>,
    /// The tick from which something has happened to it on chain.
    look_at: Tick,
    /// A state from before this height says nothing of it.
    since: Height,
}

impl Watched {
    fn new(fee: HeldFee, look_at: Tick) -> Self {
        Self {
            fee,
            demand: None,
            look_at,
            since: fee.height,
        }
    }
}

/// The settler's memory of fees that wait. The journal has the fees, the chain the rest.
#[derive(Default)]
pub(super) struct Watch {
    fees: BTreeMap<Place, Watched>,
    is_loaded: bool,
    looked: Option<Instant>,
    /// The search for the demands that a docket tells of.
    search: Option<Search>,
    /// The fee that was looked at last in a search: the next one goes on behind it, so that each fee has its turn.
    cursor: Option<Place>,
    /// The docket at which all fees were last looked at.
    docket: DocketRecord,
    /// The height of the last answer. An older docket may equal a later one with another demand.
    answered: Height,
    /// When each answer was last sent.
    sent: BTreeMap<TxHash, Instant>,
}

/// A search for the demands of one docket.
struct Search {
    docket: DocketRecord,
    /// The height whose state has this docket.
    height: Height,
    /// Fees that were demanded when they were last looked at, then all others.
    left: VecDeque<Place>,
    /// How many of `left` are looked at whatever was found: fees whose demand was known.
    known: usize,
    /// Demands that were found.
    found: u64,
    /// Whether all that was read is as new as the docket.
    is_whole: bool,
    /// When other work began.
    paused: Instant,
}

impl Search {
    fn is_done(&self) -> bool {
        self.left.is_empty() || (self.known == 0 && self.found >= self.docket.open)
    }
}

impl Watch {
    /// A search through all fees, behind the cursor first.
    fn search(&self, docket: DocketRecord, height: Height) -> Search {
        let (known, mut others): (Vec<Place>, Vec<Place>) = self
            .fees
            .keys()
            .partition(|place| self.fees.get(place).is_some_and(|one| one.demand.is_some()));
        let behind = others.partition_point(|place| Some(*place) <= self.cursor);
        others.rotate_left(behind);
        Search {
            docket,
            height,
            known: known.len(),
            left: known.into_iter().chain(others).collect(),
            found: 0,
            is_whole: height >= self.answered,
            paused: Instant::now(),
        }
    }

    pub(super) fn holds(&self, place: Place) -> bool {
        self.fees.contains_key(&place)
    }

    /// Open demands that no answer is on its way for, by the fees that wait on them.
    pub(super) fn unanswered(&self) -> BTreeMap<Place, Demanded> {
        let open = self.fees.values().filter(|watched| watched.fee.answer.is_none());
        let open = open.filter_map(|watched| {
            let (model, due) = (watched.fee.model, watched.demand?.due);
            Some((watched.fee.place, Demanded { model, due }))
        });
        open.collect()
    }

    fn answers(&self) -> BTreeSet<TxHash> {
        let answers = self.fees.values().filter_map(|watched| watched.fee.answer);
        answers.map(|answer| answer.tx).collect()
    }

    fn of_answer(&self, tx: TxHash) -> Vec<HeldFee> {
        let fees = self.fees.values().map(|watched| watched.fee);
        fees.filter(|fee| fee.answer.is_some_and(|answer| answer.tx == tx))
            .collect()
    }
}

const fn held_key(place: Place) -> HeldKey {
    HeldKey {
        channel: place.channel,
        first: place.sequence,
    }
}

impl Settler<'_> {
    /// From now on, looks after these fees.
    pub(super) fn keep_watch(&mut self, held: &[HeldFee]) {
        let params = &self.service.chain.params;
        let tick = self.service.chain.last().map_or(0, |head| head.clock.tick.0);
        // The tick may have moved on since the settlement: then this is later than need be, and nothing is lost by it.
        let look_at = Tick(tick.saturating_add(params.demand_window).saturating_add(1));
        for fee in held {
            self.service.join_proofs(fee);
            self.watch.fees.insert(fee.place, Watched::new(*fee, look_at));
        }
        // A settlement may be noticed long after its block: the docket that is known may tell of a demand on it.
        self.watch.docket = DocketRecord::default();
    }

    /// Learns which demands are open, and which fees were paid or lost.
    pub(super) fn look_at_docket(&mut self) -> Result<(), ExecError> {
        if !self.watch.is_loaded {
            for fee in self.service.journal.held_fees()? {
                self.watch.fees.insert(fee.place, Watched::new(fee, Tick(0)));
            }
            self.watch.is_loaded = true;
        }
        let is_early = self.watch.looked.is_some_and(|looked| looked.elapsed() < LOOK);
        if self.watch.fees.is_empty() {
            self.service.set_open_demands(0);
            return Ok(());
        }
        if is_early && self.watch.search.is_none() {
            return Ok(());
        }
        self.watch.looked = Some(Instant::now());
        let (docket, height) = self.docket()?;
        let clock = self.service.chain.client.clock()?;
        self.service.chain.course().observe(&clock);
        let is_due = |watched: &&Watched| clock.tick >= watched.look_at;
        let mut due: Vec<&Watched> = self.watch.fees.values().filter(is_due).collect();
        due.sort_by_key(|watched| watched.look_at);
        let due: Vec<Place> = due.iter().take(LOOKS).map(|watched| watched.fee.place).collect();
        for place in due {
            self.look_at(place)?;
        }
        self.search(docket, height)?;
        let open = self
            .watch
            .fees
            .values()
            .filter(|watched| watched.demand.is_some());
        self.service.set_open_demands(open.count() as u64);
        Ok(())
    }

    /// Goes on with the search for the demands that a docket tells of, if it is not the one that is known: for a bounded number
    /// of fees, or for as long as was spent on other work since. So a search takes twice the time of its questions and
    /// of one settlement, and delays no settlement by more than the one before took.
    fn search(&mut self, docket: DocketRecord, height: Height) -> Result<(), ExecError> {
        let before = self.watch.search.take();
        if docket == self.watch.docket {
            return Ok(());
        }
        let mut search = before
            .filter(|search| search.docket == docket)
            .unwrap_or_else(|| self.watch.search(docket, height));
        let (away, start, mut looks) = (search.paused.elapsed(), Instant::now(), 0);
        while !search.is_done() && !self.is_stopped() && (looks < LOOKS || start.elapsed() < away) {
            let Some(place) = search.left.pop_front() else {
                break;
            };
            if search.known > 0 {
                search.known -= 1;
            } else {
                self.watch.cursor = Some(place);
            }
            let seen = self.look_at(place)?;
            looks += 1;
            search.is_whole &= seen >= search.height;
            let watched = self.watch.fees.get(&place);
            let is_open = watched.is_some_and(|watched| watched.demand.is_some());
            search.found += u64::from(is_open && seen >= search.height);
        }
        if search.is_done() {
            // What was read of a state before this docket's says nothing of its demands.
            self.watch.docket = if search.is_whole {
                docket
            } else {
                DocketRecord::default()
            };
        } else {
            search.paused = Instant::now();
            self.watch.search = Some(search);
        }
        Ok(())
    }

    /// The node's docket, and the height whose state says so.
    fn docket(&self) -> Result<(DocketRecord, Height), ExecError> {
        Ok(self.service.chain.docket()?)
    }

    /// Whether a demand waits for something that the settler could do.
    pub(super) fn is_demanded(&self) -> Result<bool, ExecError> {
        if self.watch.fees.is_empty() {
            return Ok(false);
        }
        let is_open = self.watch.fees.values().any(|watched| watched.demand.is_some());
        Ok(is_open || self.docket()?.0 != self.watch.docket)
    }

    /// Reads what the chain says of one fee. Returns the height whose state says so.
    fn look_at(&mut self, place: Place) -> Result<Height, ExecError> {
        let (record, height) = self.service.chain.client.held(held_key(place))?;
        let Some(watched) = self.watch.fees.get_mut(&place) else {
            return Ok(height);
        };
        if height < watched.since {
            return Ok(height);
        }
        match record {
            Some(record) => {
                let found = record.demand;
                if let Some(demand) = found.filter(|_| watched.demand != found) {
                    log::event(
                        "demanded",
                        format_args!(
                            "channel={} sequence={} due={} deposit={}",
                            place.channel, demand.sequence, demand.due, demand.deposit
                        ),
                    );
                }
                watched.demand = found;
                watched.look_at = Tick(record.due().0.saturating_add(1));
            }
            // The fate of an answer tells more than the record that it ended.
            None if watched.fee.answer.is_some() => {}
            None => self.end(place)?,
        }
        Ok(height)
    }

    /// A fee that waits no more, and no answer of this journal was on its way: paid after the window, or lost.
    fn end(&mut self, place: Place) -> Result<(), ExecError> {
        let journal = &self.service.journal;
        let Some(watched) = self.watch.fees.get(&place) else {
            return Ok(());
        };
        let fee = watched.fee;
        let is_lost = self
            .service
            .chain
            .client
            .is_forfeited(place.channel, place.sequence)?;
        let mut entries = journal.held_entries(&fee)?;
        let state = if is_lost {
            EntryState::Forfeited(fee.tx, fee.height)
        } else {
            EntryState::Settled(fee.tx, fee.height)
        };
        entries.iter_mut().for_each(|entry| entry.state = state.clone());
        let mut row = Totals::default();
        if is_lost {
            log::event(
                "forfeited",
                format_args!(
                    "channel={} sequence={} receipts={}",
                    place.channel, place.sequence, fee.count
                ),
            );
            (row.forfeited, row.warranties) = (fee.count.into(), self.claimed(&fee)?);
        } else {
            row.fees = fee.fee;
        }
        let key = entries.first().map(|entry| entry.totals_key(log::unix_ms()));
        let rows: Vec<(TotalsKey, Totals)> = key.map(|key| (key, row)).into_iter().collect();
        journal.update(&entries, &rows)?;
        self.watch.fees.remove(&place);
        self.service.forget_proof(place);
        Ok(())
    }

    /// What claims on the sequences of a lost fee have paid: of the one that was demanded, and of any that was signed twice.
    fn claimed(&self, fee: &HeldFee) -> Result<Amount, ExecError> {
        let mut sum = Amount(0);
        for place in fee.places() {
            let claim_key = key::claim(place.channel, place.sequence);
            let claim: Option<ClaimRecord> = self.service.chain.client.record(&claim_key)?;
            let paid = claim.map_or(Amount(0), |claim| claim.paid);
            sum = Amount(sum.0.saturating_add(paid.0));
        }
        Ok(sum)
    }

    /// Follows answers that are on their way. `true` when something became of one.
    pub(super) fn follow_answers(&mut self) -> Result<bool, ExecError> {
        for tx in self.watch.answers() {
            if self.follow_answer(tx)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn follow_answer(&mut self, hash: TxHash) -> Result<bool, ExecError> {
        let (journal, client) = (&self.service.journal, &self.service.chain.client);
        let Some(tx) = journal.batch(hash)? else {
            return self.withdraw(hash, "it is not in the journal", false);
        };
        // Height first: a transaction that is in no block afterwards was in none up to that height.
        let height = client.status()?.height;
        if let Some(included) = client.transaction(hash)? {
            return match included.code {
                0 => self.answered(hash, Height(included.height)),
                _ => self.withdraw(hash, &included.log, included.gas_used > 0),
            };
        }
        let meta = &tx.transaction.meta;
        if height > meta.expiry {
            let message = tx.transaction.message.clone();
            let again = sign(self.service, message, meta.max_base_fee)?;
            return self.replace(&again, hash, "expired");
        }
        let last = self.watch.sent.get(&hash);
        if last.is_some_and(|sent| sent.elapsed() < RESEND) {
            return Ok(false);
        }
        if let Some(raised) = self.raised(hash, meta.max_base_fee)? {
            let again = sign_again(self.service, &tx, raised)?;
            return self.replace(&again, hash, "raised");
        }
        self.watch.sent.insert(hash, Instant::now());
        match self.offer(&tx)? {
            Word::Taken => Ok(false),
            Word::Later(reason) => {
                log::event("held", format_args!("tx={hash} reason={reason}"));
                match own_instead(self.service, &tx, &reason)? {
                    Some(again) => self.replace(&again, hash, "other_payer"),
                    None => Ok(false),
                }
            }
            Word::Refused(reason) => self.withdraw(hash, &reason, false),
        }
    }

    /// The base fee to sign an answer for that the present one has left behind.
    fn raised(&self, tx: TxHash, signed: Amount) -> Result<Option<Amount>, ExecError> {
        let places: BTreeSet<Place> = self.watch.of_answer(tx).iter().map(|fee| fee.place).collect();
        self.consult_docket(
            |watched| places.contains(&watched.fee.place),
            |docket| planner::reprice_answer(docket, signed),
        )
    }

    /// Puts demands before the planner of answers.
    fn consult_docket<T>(
        &self,
        wanted: impl Fn(&Watched) -> bool,
        ask: impl FnOnce(&Docket<'_>) -> T,
    ) -> Result<T, ExecError> {
        let service = self.service;
        let clock = service.chain.client.clock()?;
        let watched = self.watch.fees.values().filter(|watched| wanted(watched));
        let demands: Vec<OpenDemand> = watched
            .filter_map(|watched| {
                let demand = watched.demand.filter(|demand| clock.tick <= demand.due)?;
                Some(OpenDemand {
                    place: watched.fee.place,
                    model: watched.fee.model,
                    due: demand.due,
                    deposit: demand.deposit,
                    fee: watched.fee.fee,
                    warranty: watched.fee.warranty,
                    asset: watched.fee.asset,
                    is_alone: self.suspects.contains_key(&watched.fee.place),
                })
            })
            .collect();
        let kinds = demands.iter().map(|demand| Kind {
            model: demand.model,
            evidence: EvidenceKind::Zk,
        });
        let rates = service.rates(kinds);
        let (tick_ms, params) = (service.chain.tick_ms(), &service.chain.params);
        let stake = service.chain.last().map_or(Amount(0), |head| head.node.stake);
        Ok(ask(&Docket {
            now: clock.tick,
            tick_ms,
            inclusion_ms: tick_ms.saturating_mul(2),
            base_fee: clock.base_fee,
            gas: service.gas_prices(),
            patience_ticks: params.respond_window / 2,
            stake,
            policy: &service.config.policy,
            rates: &rates,
            demands: &demands,
        }))
    }

    /// Answers the demands that are due first. `true` when it worked on one.
    pub(super) fn answer_demands(&mut self) -> Result<bool, ExecError> {
        let is_open = |watched: &Watched| watched.demand.is_some() && watched.fee.answer.is_none();
        if !self.watch.fees.values().any(is_open) {
            return Ok(false);
        }
        let rests = |place: Place| self.suspects.get(&place).is_some_and(|retry| !retry.is_due());
        let plan = self.consult_docket(
            |watched| is_open(watched) && !rests(watched.fee.place),
            planner::plan_answers,
        )?;
        match plan {
            AnswerPlan::Answer(answering) => {
                self.answer(&answering)?;
                Ok(true)
            }
            AnswerPlan::Wait(_) | AnswerPlan::Idle => Ok(false),
        }
    }

    /// Proves receipts, journals the answer, and sends it, unless something settles before it.
    fn answer(&mut self, answering: &Answering) -> Result<(), ExecError> {
        let service = self.service;
        let mut held = Vec::new();
        for place in &answering.places {
            if let Some(watched) = self.watch.fees.get(place) {
                held.extend(watched.demand.map(|demand| (watched.fee, demand)));
            }
        }
        let read = held
            .iter()
            .map(|(fee, demand)| service.journal.held_entry(fee, demand.sequence));
        let mut entries = read.collect::<Result<Vec<Entry>, _>>()?;
        if self.settle_before(answering, entries.iter().map(Entry::place).collect())? {
            return Ok(());
        }
        let proved = prove(service, answering.model, &entries, self.stop);
        service.end_proving(proved.is_ok());
        let Proven {
            inferences,
            proof,
            figures,
        } = match proved {
            Ok(proven) => proven,
            Err(_) if self.is_stopped() => return Ok(()),
            Err(reason) => {
                self.suspect(&answering.places, &reason);
                return Ok(());
            }
        };
        let kind = Kind {
            model: answering.model,
            evidence: EvidenceKind::Zk,
        };
        service.learn_prove_time(kind, figures.batch, figures.prove_us.div_ceil(1_000));
        let answers = entries.iter().zip(&held).map(|(entry, (fee, _))| Answer {
            first: fee.place.sequence,
            receipt: entry.item.receipt.value.clone(),
        });
        let message = Message::Respond {
            answers: answers.collect(),
            inferences,
            proof,
        };
        for entry in &mut entries {
            entry.proof = Some(figures);
        }
        let tx = sign(service, message, answering.max_base_fee)?;
        let hash = tx.hash();
        for (fee, demand) in &mut held {
            fee.answer = Some(SentAnswer {
                tx: hash,
                sequence: demand.sequence,
                deposit: demand.deposit,
            });
        }
        let fees: Vec<HeldFee> = held.iter().map(|(fee, _)| *fee).collect();
        service.journal.submit_answer(&entries, &fees, &tx, None)?;
        self.remember(&fees);
        log::event(
            "answering",
            format_args!(
                "tx={hash} receipts={} max_base_fee={}",
                entries.len(),
                answering.max_base_fee
            ),
        );
        self.follow_answer(hash).map(drop)
    }

    fn remember(&mut self, fees: &[HeldFee]) {
        for fee in fees {
            if let Some(watched) = self.watch.fees.get_mut(&fee.place) {
                watched.fee = *fee;
            }
        }
    }

    /// Journals another transaction in place of an answer, and sends it.
    fn replace(&mut self, tx: &SignedTransaction, before: TxHash, why: &str) -> Result<bool, ExecError> {
        let hash = tx.hash();
        let mut fees = self.watch.of_answer(before);
        for fee in &mut fees {
            if let Some(answer) = &mut fee.answer {
                answer.tx = hash;
            }
        }
        self.service.journal.submit_answer(&[], &fees, tx, Some(before))?;
        self.remember(&fees);
        self.watch.sent.remove(&before);
        log::event(why, format_args!("tx={before} replaced_by={hash}"));
        self.follow_answer(hash)?;
        Ok(true)
    }

    /// An answer is in a block: the deposit and the fee are paid.
    fn answered(&mut self, hash: TxHash, height: Height) -> Result<bool, ExecError> {
        let (journal, mut fees) = (&self.service.journal, self.watch.of_answer(hash));
        let expense = self.expense(hash)?;
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        let mut rows: Vec<(TotalsKey, Totals)> = Vec::new();
        let count = fees.len() as u128;
        for fee in &mut fees {
            let Some(answer) = fee.answer.take() else { continue };
            let mut entry = journal.held_entry(fee, answer.sequence)?;
            let mut row = expense.part(1, count);
            (row.proven, row.deposits) = (1, answer.deposit);
            if fee.count == 1 {
                entry.state = EntryState::Settled(fee.tx, fee.height);
                row.fees = fee.fee;
            } else {
                waiting.push(*fee);
            }
            rows.push((entry.totals_key(log::unix_ms()), row));
            entries.push(entry);
        }
        journal.settle(&entries, &waiting, Some(hash), &rows)?;
        for fee in fees.iter().filter(|fee| fee.count == 1) {
            self.watch.fees.remove(&fee.place);
            self.service.forget_proof(fee.place);
        }
        self.remember(&waiting);
        // A state from before the answer shows its demand, which is no more: the first one after it is waited for.
        for fee in &waiting {
            if let Some(watched) = self.watch.fees.get_mut(&fee.place) {
                watched.demand = None;
                watched.look_at = Tick(0);
                watched.since = watched.since.max(height);
            }
            self.suspects.remove(&fee.place);
        }
        self.watch.sent.remove(&hash);
        // Another demand may have come meanwhile and left the docket as it was.
        self.watch.docket = DocketRecord::default();
        self.watch.answered = self.watch.answered.max(height);
        log::event(
            "answered",
            format_args!("tx={hash} height={height} receipts={}", fees.len()),
        );
        Ok(true)
    }

    /// An answer did nothing: its demands are open, or ended otherwise.
    fn withdraw(&mut self, hash: TxHash, reason: &str, burned: bool) -> Result<bool, ExecError> {
        let mut fees = self.watch.of_answer(hash);
        let read = fees.iter().filter_map(|fee| {
            let answer = fee.answer?;
            Some(self.service.journal.held_entry(fee, answer.sequence))
        });
        let entries = read.collect::<Result<Vec<Entry>, _>>()?;
        let totals = if burned {
            self.burned_in_vain(&entries, &self.expense(hash)?)
        } else {
            Vec::new()
        };
        for fee in &mut fees {
            fee.answer = None;
        }
        self.service.journal.withdraw_answer(&fees, hash, &totals)?;
        self.remember(&fees);
        self.watch.sent.remove(&hash);
        log::event("not_answered", format_args!("tx={hash} reason={reason}"));
        for fee in &fees {
            self.suspects
                .entry(fee.place)
                .or_insert_with(Retry::first)
                .failed();
        }
        for fee in &fees {
            self.look_at(fee.place)?;
        }
        self.watch.docket = DocketRecord::default();
        Ok(true)
    }
}
