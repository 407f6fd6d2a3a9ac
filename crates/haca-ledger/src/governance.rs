//! Governance at the end of a block: what has passed takes effect after its timelock, the rest lapses
//! (`spec/ledger.md`, G4 and G5).

use haca_wire::state::{GovernanceRecord, Params, ProposalRecord, Supply, ValidatorSetRecord, key};
use haca_wire::{AssetId, Height, ParamChange, Proposal, ProposalId, Tick};

use crate::error::LedgerError;
use crate::outcome::{Effect, Lapse};
use crate::overlay::Overlay;
use crate::params::changed;

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
    };
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
            let over = height >= record.closes;
            if over {
                self.lapse(id, Lapse::TooFewApprovals);
            }
            return Ok(over);
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
