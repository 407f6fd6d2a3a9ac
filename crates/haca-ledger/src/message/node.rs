//! RegisterNode.

use std::collections::BTreeSet;

use haca_wire::state::{ModelRecord, NodeRecord, Params, SignerEnd, SignerTerm, key};
use haca_wire::{Address, Amount, AssetId, EvidenceKind, Height, Offer, Tick};

use super::{Execution, Stop, later};
use crate::bank::Purse;
use crate::outcome::Effect;
use crate::overlay::Overlay;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Registers the sender as inference node, or replaces its terms (`spec/ledger.md`, RegisterNode).
    pub(super) fn register_node(
        &mut self,
        endpoint: &str,
        payout: Address,
        signer: Address,
        offers: &[Offer],
    ) -> Result<(), Stop> {
        if payout.is_zero() || signer.is_zero() {
            return Err(Refusal::ZeroAddress.into());
        }
        check_endpoint(endpoint)?;
        self.check_offers(offers)?;
        let node = self.sender;
        let mut record = match self.state.get::<NodeRecord>(&key::node(node))? {
            Some(record) if record.jailed => return Err(Refusal::NodeJailed { node }.into()),
            Some(record) => record,
            None => self.stake_node()?,
        };
        record.endpoint = endpoint.to_owned();
        record.payout = payout;
        record.offers = offers.to_vec();
        record.offer_version = record.offer_version.saturating_add(1);
        rotate(
            &mut record,
            signer,
            &self.rules.params,
            self.rules.height,
            self.rules.tick,
        )?;
        self.effects.push(Effect::NodeRegistered {
            node,
            offer_version: record.offer_version,
        });
        self.state.put(key::node(node), &record);
        Ok(())
    }

    /// Escrows the fixed stake and returns an empty record.
    fn stake_node(&mut self) -> Result<NodeRecord, Stop> {
        let stake: Amount = self.rules.params.node_stake;
        self.state
            .shift(AssetId::OPG, Purse::Balance(self.sender), Purse::Stakes, stake)?;
        Ok(NodeRecord {
            endpoint: String::new(),
            payout: Address::default(),
            offer_version: 0,
            offers: Vec::new(),
            signers: Vec::new(),
            stake,
            jailed: false,
            registered: self.rules.height,
        })
    }

    fn check_offers(&self, offers: &[Offer]) -> Result<(), Stop> {
        let mut seen = BTreeSet::new();
        for offer in offers {
            let model = offer.model;
            if offer.evidence == EvidenceKind::Tee {
                let found = offer.evidence.name();
                return Err(Refusal::UnsupportedEvidence { found }.into());
            }
            self.need_asset(offer.asset)?;
            if !seen.insert((model, offer.evidence, offer.asset)) {
                return Err(Refusal::DuplicateOffer { model }.into());
            }
            let record: Option<ModelRecord> = self.state.get(&key::terms(model))?;
            let record = record.ok_or(Refusal::UnknownModel { model })?;
            if offer.evidence == EvidenceKind::Optimistic {
                self.check_provable(model, &record)?;
            }
        }
        Ok(())
    }
}

/// Burns what is left of a node's stake and jails it for good. Returns what burned.
pub(super) fn burn_stake(state: &mut Overlay<'_>, node: Address) -> Result<Amount, Stop> {
    let mut record: NodeRecord = state.need(&key::node(node))?;
    let burned = record.stake;
    state.shift(AssetId::OPG, Purse::Stakes, Purse::Burned, burned)?;
    record.stake = Amount(0);
    record.jailed = true;
    state.put(key::node(node), &record);
    Ok(burned)
}

fn check_endpoint(endpoint: &str) -> Result<(), Refusal> {
    let host = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"));
    let printable = endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    match host {
        Some(host) if !host.is_empty() && printable => Ok(()),
        _ => Err(Refusal::Endpoint),
    }
}

/// Ends the current key's term and begins the next one's. Past terms stay as long as their receipts can settle,
/// be claimed, or be reported.
fn rotate(
    record: &mut NodeRecord,
    signer: Address,
    params: &Params,
    height: Height,
    tick: Tick,
) -> Result<(), Refusal> {
    record.signers.retain(|term| {
        term.end
            .is_none_or(|end| tick <= retained_until(params, end.tick))
    });
    if record.signer() == Some(signer) {
        return Ok(());
    }
    if let Some(current) = record.signers.last_mut() {
        current.end = Some(SignerEnd { height, tick });
    }
    // A key that came and went within one block was never active.
    record
        .signers
        .retain(|term| term.end.is_none_or(|end| term.from < end.height));
    if record.signers.len() >= NodeRecord::MAX_SIGNERS {
        return Err(Refusal::TooManySigners {
            expected: NodeRecord::MAX_SIGNERS,
        });
    }
    record.signers.push(SignerTerm {
        signer,
        from: height,
        end: None,
    });
    Ok(())
}

/// Last tick at which a receipt of a key that was replaced at `end` settles or can be claimed: no deadline of such a
/// receipt is later than `end` + grace of the key.
fn retained_until(params: &Params, end: Tick) -> Tick {
    let settles = later(end, params.signer_grace);
    later(later(settles, params.grace), params.claim_window)
}
