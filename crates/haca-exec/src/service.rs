//! What handlers and the settler share: keys, models, journal, book, and the view of the chain.

mod answer;
mod backlog;
mod cover;
mod demandable;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haca_client::{Wallet, random_nonce};
use haca_wire::state::{BondRecord, key};
use haca_wire::{
    Address, Amount, AssetId, ChannelId, EvidenceKind, Height, Offer, Quote, ReceiptHash, Signed,
};

use crate::ExecError;
use crate::book::Book;
use crate::chain::Chain;
use crate::config::ExecConfig;
use crate::entry::Entry;
use crate::journal::Journal;
use crate::log;
use crate::model::ServedModel;
use crate::operator::OperatorAccess;
use crate::planner::{GasPrices, Kind, Rates, item_bytes};
use crate::refusal::Refusal;
use crate::snapshot::{AssetPrice, ModelFacts, ProofSize, Terms};
use backlog::Backlog;
pub(crate) use backlog::{Choice, Demanded};
use demandable::{Demandable, is_answerable, measure};

/// Quotes whose channels are waited for, the newest ones.
const QUOTES: usize = 1024;

/// Everything that handlers and the settler share.
pub(crate) struct Service {
    pub(crate) config: ExecConfig,
    pub(crate) chain: Chain,
    pub(crate) journal: Journal,
    pub(crate) models: Vec<ServedModel>,
    pub(crate) account: Wallet,
    pub(crate) signer: Wallet,
    /// Who may read reports.
    pub(crate) operator: OperatorAccess,
    book: Mutex<Book>,
    demandable: Mutex<Demandable>,
    backlog: Mutex<Backlog>,
    /// Told of each receipt that is no longer on its way into the journal, and of each end of a choice of proofs.
    signatures: Condvar,
    quoted: Mutex<VecDeque<ChannelId>>,
    offers: Vec<Offer>,
    rates: Mutex<BTreeMap<Kind, Rates>>,
    open_demands: AtomicU64,
    work: Mutex<bool>,
    wake: Condvar,
}

impl Service {
    pub(crate) fn new(
        config: ExecConfig,
        chain: Chain,
        journal: Journal,
        models: Vec<ServedModel>,
        account: Wallet,
        signer: Wallet,
    ) -> Result<Self, ExecError> {
        let mut book = Book::default();
        let pending = journal.pending()?;
        pending.iter().for_each(|one| book.restore(one));
        let backlog = Backlog::of(&pending);
        let tick = chain.client.clock()?.tick;
        for missed in journal.missed()?.iter().filter(|missed| tick <= missed.until) {
            book.miss(missed);
        }
        let prices = GasPrices::new(&chain.params, config.sponsor.is_some());
        let mut rates = rates(&config, &prices, &models, &journal)?;
        measure(&models, &mut rates, &chain.domain);
        let offers = offers(&chain, &config, &models, &rates);
        let demandable = demandable::restored(&journal)?;
        for model in &models {
            if let Some(facts) = facts(model, &rates) {
                journal.set_facts(&facts)?;
            }
        }
        journal.set_terms(&terms(&config, &offers))?;
        Ok(Self {
            config,
            chain,
            journal,
            models,
            account,
            signer,
            operator: OperatorAccess::new()?,
            book: Mutex::new(book),
            demandable: Mutex::new(demandable),
            backlog: Mutex::new(backlog),
            signatures: Condvar::new(),
            quoted: Mutex::default(),
            offers,
            rates: Mutex::new(rates),
            open_demands: AtomicU64::new(0),
            work: Mutex::new(true),
            wake: Condvar::new(),
        })
    }

    /// A quote for a channel.
    pub(crate) fn quote(
        &self,
        payer: Address,
        asset: AssetId,
        deposit: Amount,
        warranty: Amount,
    ) -> Result<Signed<Quote>, Refusal> {
        let refuse = |reason| Err(Refusal::Quote { reason });
        if asset != self.config.asset {
            return refuse("the node takes no fees in this asset");
        }
        if deposit.0 == 0 {
            return refuse("the deposit is zero");
        }
        if warranty > self.config.max_channel_warranty {
            return refuse("the warranty is above what the node promises to one channel");
        }
        if warranty.0 > deposit.0.saturating_mul(self.config.warranty_per_deposit) {
            return refuse("the warranty is too large for the deposit");
        }
        let head = self.chain.head(self.config.stale_head_s)?;
        let bond: Option<BondRecord> = self
            .chain
            .client
            .record(&key::bond(self.account.address(), asset))
            .map_err(|error| internal(error.into()))?;
        let bond = bond.unwrap_or_default();
        if warranty.0 > bond.total.0.saturating_sub(bond.reserved.0) {
            return refuse("the node's free bond does not cover the warranty");
        }
        let lifetime = self.config.quote_blocks.min(self.chain.params.quote_lifetime);
        let quote = Quote {
            node: self.account.address(),
            payer,
            asset,
            deposit,
            warranty,
            offer_version: head.node.offer_version,
            expires: Height(head.height.0.saturating_add(lifetime)),
            nonce: random_nonce().map_err(|error| internal(error.into()))?,
        };
        let quote = self
            .account
            .sign(quote, &self.chain.domain)
            .map_err(|error| internal(error.into()))?;
        let mut quoted = self.quoted();
        if quoted.len() >= QUOTES {
            quoted.pop_front();
        }
        quoted.push_back(quote.value.channel(&self.chain.domain));
        Ok(quote)
    }

    /// Demands of proofs that were open when the settler last looked.
    pub(crate) fn open_demands(&self) -> u64 {
        self.open_demands.load(Ordering::Relaxed)
    }

    pub(crate) fn set_open_demands(&self, count: u64) {
        self.open_demands.store(count, Ordering::Relaxed);
    }

    /// What the node offers: every model with signatures only, and with a proof where one can be settled.
    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// What batches of these kinds take. Of a model that is not in the home one receipt at a time is tried: it was
    /// answered once.
    pub(crate) fn rates(&self, kinds: impl Iterator<Item = Kind>) -> BTreeMap<Kind, Rates> {
        let known = self.known_rates();
        let prices = self.gas_prices();
        let wanted = |kind: Kind| {
            if kind.evidence == EvidenceKind::Zk {
                1
            } else {
                self.config.max_batch
            }
        };
        kinds
            .map(|kind| {
                let rates = known.get(&kind).cloned();
                (
                    kind,
                    rates.unwrap_or_else(|| Rates::unproven(&prices, wanted(kind), kind.evidence)),
                )
            })
            .collect()
    }

    fn known_rates(&self) -> MutexGuard<'_, BTreeMap<Kind, Rates>> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prices of gas, with a sponsor's signature where there may be one.
    pub(crate) fn gas_prices(&self) -> GasPrices {
        GasPrices::new(&self.chain.params, self.config.sponsor.is_some())
    }

    /// Learns how long a proof took.
    pub(crate) fn learn_prove_time(&self, kind: Kind, batch: u32, ms: u64) {
        let mut rates = self.known_rates();
        if let Some(rates) = rates.get_mut(&kind) {
            rates.prove_times.learn(batch, ms);
        }
        let model = self.models.iter().find(|model| model.id == kind.model);
        let facts = model.and_then(|model| facts(model, &rates));
        drop(rates);
        // For the next start; without it, times are measured again.
        let _ = facts.map(|facts| self.journal.set_facts(&facts));
    }

    fn quoted(&self) -> MutexGuard<'_, VecDeque<ChannelId>> {
        self.quoted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of an entry's receipt.
    pub(crate) fn receipt_of(&self, entry: &Entry) -> ReceiptHash {
        entry.item.receipt.value.hash(&self.chain.domain)
    }

    /// Tells the settler that there is work.
    pub(crate) fn notify(&self) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits until there is work, or for `patience`.
    pub(crate) fn wait_for_work(&self, patience: Duration) {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(work, patience, |work| !*work);
        let (mut work, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *work = false;
    }
}

/// What batches of the served models take.
fn rates(
    config: &ExecConfig,
    prices: &GasPrices,
    models: &[ServedModel],
    journal: &Journal,
) -> Result<BTreeMap<Kind, Rates>, ExecError> {
    let wanted = config.max_batch.max(1);
    let of_model = |model: &ServedModel| -> Result<[(Kind, Rates); 3], ExecError> {
        let times = journal.facts(model.id)?.map(|facts| facts.prove_times);
        let key = model.key.verifying_key();
        let sizes = 1..=wanted.min(model.batch);
        let proofs = sizes.map(|count| (key.verification_gas(count), key.proof_bytes_bound(count)));
        let item = item_bytes(&[model.inputs(), &model.outputs]);
        let zk = Rates::new(prices, wanted, item, proofs.collect(), times.unwrap_or_default());
        let kind = |evidence| Kind {
            model: model.id,
            evidence,
        };
        let unproven = |evidence| (kind(evidence), Rates::unproven(prices, wanted, evidence));
        Ok([
            (kind(EvidenceKind::Zk), zk),
            unproven(EvidenceKind::Signed),
            unproven(EvidenceKind::Optimistic),
        ])
    };
    let all = models.iter().map(of_model).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().flatten().collect())
}

/// What is known of a model, for reports without its weights.
fn facts(model: &ServedModel, rates: &BTreeMap<Kind, Rates>) -> Option<ModelFacts> {
    let zk = rates.get(&Kind {
        model: model.id,
        evidence: EvidenceKind::Zk,
    })?;
    let size = |(gas, bytes): &(haca_wire::Gas, usize)| ProofSize {
        gas: *gas,
        bytes: *bytes as u64,
    };
    Some(ModelFacts {
        model: model.id,
        name: model.key.manifest().name.clone(),
        item_bytes: zk.item_bytes as u64,
        proofs: zk.proofs.iter().map(size).collect(),
        max_batch: zk.max_batch as u64,
        prove_times: zk.prove_times.clone(),
    })
}

fn terms(config: &ExecConfig, offers: &[Offer]) -> Terms {
    let prices = config.policy.prices.iter().map(|(asset, price)| AssetPrice {
        asset: *asset,
        opg: Amount(price.opg),
        units: Amount(price.units),
    });
    Terms {
        offers: offers.to_vec(),
        prices: prices.collect(),
        max_batch: config.max_batch as u64,
        is_sponsored: config.sponsor.is_some(),
    }
}

/// What a node offers: every model with signatures only; where a proof can be settled, with one at once, and with one on
/// demand if that has a price and is made in time whenever it is demanded.
fn offers(
    chain: &Chain,
    config: &ExecConfig,
    models: &[ServedModel],
    rates: &BTreeMap<Kind, Rates>,
) -> Vec<Offer> {
    let offer = |kind: &Kind, max_batch: usize| {
        let price = match kind.evidence {
            EvidenceKind::Zk => config.zk_price,
            EvidenceKind::Optimistic => config
                .optimistic_price
                .filter(|_| is_answerable(chain, config, rates, kind.model))?,
            _ => config.signed_price,
        };
        let is_offered = kind.evidence == EvidenceKind::Signed || max_batch > 0;
        is_offered.then_some(Offer {
            model: kind.model,
            evidence: kind.evidence,
            asset: config.asset,
            base_price: price,
            unit_price: Amount(0),
        })
    };
    let of_model = |model: &ServedModel| {
        let kind = |evidence| Kind {
            model: model.id,
            evidence,
        };
        // What is proven later has to be provable.
        let provable = rates.get(&kind(EvidenceKind::Zk)).filter(|zk| zk.max_batch > 0);
        let kinds = [EvidenceKind::Zk, EvidenceKind::Optimistic, EvidenceKind::Signed];
        let wanted = kinds
            .into_iter()
            .filter(|evidence| *evidence == EvidenceKind::Signed || provable.is_some());
        let offers: Vec<Offer> = wanted
            .filter_map(|evidence| offer(&kind(evidence), rates.get(&kind(evidence))?.max_batch))
            .collect();
        offers
    };
    models.iter().flat_map(of_model).collect()
}

/// Logs what failed and hides it from the client.
pub(crate) fn internal(error: ExecError) -> Refusal {
    log::event("failed", format_args!("code={} error={error:?}", error.code()));
    Refusal::Internal { code: error.code() }
}
