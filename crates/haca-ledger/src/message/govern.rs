//! Propose, Vote (`spec/ledger.md`, G2 and G3).

use haca_wire::state::{
    GovernanceRecord, Jail, ProposalRecord, Supply, ValidatorRecord, ValidatorSetRecord, key,
};
use haca_wire::{AssetId, ConsensusKey, Height, Proposal, ProposalId, limit};

use super::{Execution, Stop, later};
use crate::governance::has_passed;
use crate::outcome::Effect;
use crate::params::changed;
use crate::refusal::Refusal;

impl Execution<'_, '_> {
    /// Opens a proposal with the proposer's approval.
    pub(super) fn propose(&mut self, consensus: ConsensusKey, proposal: &Proposal) -> Result<(), Stop> {
        let proposer = self.need_unconvicted(consensus)?;
        let set: ValidatorSetRecord = self.state.need(key::VALIDATORS)?;
        if set.power(consensus) == 0 {
            return Err(Refusal::NotDeciding { key: consensus }.into());
        }
        let mut governance: GovernanceRecord = self.state.need(key::GOVERNANCE)?;
        self.check_places(&governance, &proposer)?;
        self.check_proposal(&governance, proposal)?;
        let id = governance.next;
        governance.next = ProposalId(id.0.saturating_add(1));
        governance.open.push(id);
        self.state.put(key::GOVERNANCE.to_vec(), &governance);
        let address = consensus.address();
        let blocks = self.rules.params.governance.voting_blocks;
        let record = ProposalRecord {
            proposer: address,
            proposal: proposal.clone(),
            closes: Height(self.rules.height.0.saturating_add(blocks)),
            approvals: vec![address],
            due: None,
        };
        self.effects.push(Effect::Proposed { proposal: id });
        self.tally(id, record, &set)
    }

    /// Counts a validator among those who approve, or no longer.
    pub(super) fn vote(
        &mut self,
        consensus: ConsensusKey,
        proposal: ProposalId,
        approve: bool,
    ) -> Result<(), Stop> {
        let voter = self.need_unconvicted(consensus)?;
        let record: Option<ProposalRecord> = self.state.get(&key::proposal(proposal))?;
        let mut record = record.ok_or(Refusal::UnknownProposal { proposal })?;
        if let Some(due) = record.due {
            return Err(Refusal::ProposalPassed { proposal, due }.into());
        }
        if voter.stake.0 == 0 {
            return Err(Refusal::NotDeciding { key: consensus }.into());
        }
        let set: ValidatorSetRecord = self.state.need(key::VALIDATORS)?;
        let address = consensus.address();
        record
            .approvals
            .retain(|approval| *approval != address && set.members.contains(approval));
        if approve {
            record.approvals.push(address);
            record.approvals.sort_unstable();
        }
        self.effects.push(Effect::Voted {
            proposal,
            key: consensus,
            approve,
        });
        self.tally(proposal, record, &set)
    }

    /// Writes the proposal, passed when it has the approvals for it.
    fn tally(
        &mut self,
        id: ProposalId,
        mut record: ProposalRecord,
        set: &ValidatorSetRecord,
    ) -> Result<(), Stop> {
        if has_passed(set, &record) {
            let due = later(self.rules.tick, self.rules.params.governance.timelock);
            record.due = Some(due);
            self.effects.push(Effect::ProposalPassed { proposal: id, due });
            if let Proposal::Cancel(cancelled) = record.proposal {
                self.cancel(cancelled)?;
            }
        }
        self.state.put(key::proposal(id), &record);
        Ok(())
    }

    /// Ends another proposal, unless it has ended by itself.
    fn cancel(&mut self, proposal: ProposalId) -> Result<(), Stop> {
        let mut governance: GovernanceRecord = self.state.need(key::GOVERNANCE)?;
        if !governance.open.contains(&proposal) {
            return Ok(());
        }
        governance.open.retain(|open| *open != proposal);
        self.state.put(key::GOVERNANCE.to_vec(), &governance);
        self.state.delete(key::proposal(proposal));
        self.effects.push(Effect::ProposalCancelled { proposal });
        Ok(())
    }

    /// The sender's validator, unless it is convicted: where nobody else is there, such a one goes on deciding blocks.
    fn need_unconvicted(&self, consensus: ConsensusKey) -> Result<ValidatorRecord, Stop> {
        let record = self.need_validator(consensus)?;
        if record.jail == Jail::Forever {
            return Err(Refusal::ValidatorConvicted { key: consensus }.into());
        }
        Ok(record)
    }

    /// One open proposal per validator, and a place for it.
    fn check_places(&self, governance: &GovernanceRecord, proposer: &ValidatorRecord) -> Result<(), Stop> {
        let address = proposer.key.address();
        for proposal in &governance.open {
            let open: ProposalRecord = self.state.need(&key::proposal(*proposal))?;
            if open.proposer == address {
                let proposal = *proposal;
                return Err(Refusal::ProposalOpen { proposal }.into());
            }
        }
        if governance.open.len() >= limit::PROPOSALS {
            let expected = limit::PROPOSALS;
            return Err(Refusal::TooManyProposals { expected }.into());
        }
        Ok(())
    }

    /// Whether the proposal could take effect as things stand.
    fn check_proposal(&self, governance: &GovernanceRecord, proposal: &Proposal) -> Result<(), Stop> {
        match proposal {
            Proposal::Parameters(changes) => {
                let supply: Supply = self.state.need(&key::supply(AssetId::OPG))?;
                changed(&self.rules.params, changes, supply.issued)
                    .map_err(|fault| Refusal::Parameter { fault })?;
            }
            Proposal::Upgrade { version, height } => {
                if *version <= governance.version {
                    return Err(Refusal::OldVersion {
                        found: *version,
                        expected: governance.version,
                    }
                    .into());
                }
                let timelock = self.rules.params.governance.timelock;
                let expected = Height(self.rules.height.0.saturating_add(timelock));
                if *height <= expected {
                    let found = *height;
                    return Err(Refusal::UpgradeTooSoon { found, expected }.into());
                }
            }
            Proposal::Cancel(proposal) => {
                if !governance.open.contains(proposal) {
                    let proposal = *proposal;
                    return Err(Refusal::UnknownProposal { proposal }.into());
                }
            }
        }
        Ok(())
    }
}
