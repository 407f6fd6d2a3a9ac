//! Governance at the end of a block: what has passed takes effect after its timelock, the rest lapses
//! (`spec/ledger.md`, G4 and G5).

use haca_wire::state::{GovernanceRecord, Params, ProposalRecord, Supply, ValidatorSetRecord, key};
use haca_wire::{AssetId, ConsensusAddress, Height, ParamChange, Proposal, ProposalId, Tick};

use crate::error::LedgerError;
use crate::outcome::{Effect, Lapse};
use crate::overlay::Overlay;
use crate::params::{ParamFault, changed};
use crate::validators::has_candidate;

/// The newest version of the rules that this software executes.
pub const LATEST_VERSION: u64 = 1;

/// Refuses a state whose next block belongs to a version of the rules that is not known here.
pub(crate) fn check_version(record: &GovernanceRecord, known: u64) -> Result<(), LedgerError> {
    if record.version > known {
        return Err(LedgerError::UnknownVersion {
            found: record.version,
            expected: known,
        });
    }
    Ok(())
}

/// Whether the approvals have more than two thirds of the power that decides blocks now. Stake that has moved to another
/// key counts there alone, and stake on its way out nowhere.
pub(crate) fn has_passed(set: &ValidatorSetRecord, record: &ProposalRecord) -> bool {
    let approving = set
        .active
        .iter()
        .filter(|validator| record.approvals.contains(&validator.key.address()))
        .fold(0u128, |sum, validator| {
            sum.saturating_add(u128::from(validator.power))
        });
    let total = u128::from(set.total_power());
    approving.saturating_mul(3) > total.saturating_mul(2)
}

/// What governance does at the end of a block.
pub(crate) struct Concluded {
    /// Under which the next block is executed.
    pub(crate) params: Params,
    pub(crate) effects: Vec<Effect>,
}

/// Ends the proposals whose time has come. `tick` is the one that the next block runs at.
pub(crate) fn conclude(
    state: &mut Overlay<'_>,
    params: &Params,
    height: Height,
    tick: Tick,
) -> Result<Concluded, LedgerError> {
    let mut end = End {
        params: *params,
        effects: Vec::new(),
        record: state.need(key::GOVERNANCE)?,
        deciding: Vec::new(),
    };
    if !end.record.open.is_empty() {
        let set: ValidatorSetRecord = state.need(key::VALIDATORS)?;
        end.deciding = set
            .active
            .iter()
            .map(|validator| validator.key.address())
            .collect();
    }
    for id in end.record.open.clone() {
        let place = key::proposal(id);
        let proposal: ProposalRecord = state.need(&place)?;
        if !end.conclude(state, id, &proposal, height, tick)? {
            continue;
        }
        end.record.open.retain(|open| *open != id);
        state.delete(place);
        state.put(key::GOVERNANCE.to_vec(), &end.record);
    }
    if end.params != *params {
        state.put(key::PARAMS.to_vec(), &end.params);
    }
    Ok(Concluded {
        params: end.params,
        effects: end.effects,
    })
}

struct End {
    params: Params,
    effects: Vec<Effect>,
    record: GovernanceRecord,
    /// Who has power; empty where nothing is open.
    deciding: Vec<ConsensusAddress>,
}

impl End {
    /// Whether the proposal is at its end.
    fn conclude(
        &mut self,
        state: &Overlay<'_>,
        id: ProposalId,
        record: &ProposalRecord,
        height: Height,
        tick: Tick,
    ) -> Result<bool, LedgerError> {
        let Some(due) = record.due else {
            // Whoever has left takes no place: else a few keys that come and go could fill them all.
            let reason = if height >= record.closes {
                Lapse::TooFewApprovals
            } else if !self.deciding.contains(&record.proposer) {
                Lapse::ProposerLeft
            } else {
                return Ok(false);
            };
            self.lapse(id, reason);
            return Ok(true);
        };
        match &record.proposal {
            Proposal::Parameters(changes) if tick >= due => {
                self.change(state, id, changes)?;
                Ok(true)
            }
            Proposal::Upgrade { version, height: at } if height.0.saturating_add(1) >= at.0 => {
                self.upgrade(id, *version, tick >= due);
                Ok(true)
            }
            Proposal::Parameters(_) | Proposal::Upgrade { .. } => Ok(false),
            // It has taken effect with the vote that passed it.
            Proposal::Cancel(_) => Ok(true),
        }
    }

    fn change(
        &mut self,
        state: &Overlay<'_>,
        id: ProposalId,
        changes: &[ParamChange],
    ) -> Result<(), LedgerError> {
        let supply: Supply = state.need(&key::supply(AssetId::OPG))?;
        match changed(&self.params, changes, supply.issued) {
            // The set would stay as it is, and nobody in it would have to keep its stake.
            Ok(params)
                if params.validators.min_stake > self.params.validators.min_stake
                    && !has_candidate(state, &params.validators)? =>
            {
                let fault = ParamFault {
                    name: "validators.min_stake",
                    found: params.validators.min_stake.0,
                    expected: "at most what some free validator stakes",
                };
                self.lapse(id, Lapse::Parameter(fault));
            }
            Ok(params) => {
                self.params = params;
                self.effects.push(Effect::ParametersChanged { proposal: id });
            }
            // Another proposal has changed what this one relied on.
            Err(fault) => self.lapse(id, Lapse::Parameter(fault)),
        }
        Ok(())
    }

    fn upgrade(&mut self, id: ProposalId, version: u64, unlocked: bool) {
        if !unlocked {
            return self.lapse(id, Lapse::Timelock);
        }
        if version <= self.record.version {
            return self.lapse(id, Lapse::Version);
        }
        self.record.version = version;
        self.effects.push(Effect::Upgraded {
            proposal: id,
            version,
        });
    }

    fn lapse(&mut self, proposal: ProposalId, reason: Lapse) {
        self.effects.push(Effect::ProposalLapsed { proposal, reason });
    }
}
