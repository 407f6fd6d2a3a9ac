//! Governance: which version of the rules runs, what is voted on, and what waits for its timelock.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_list};
use crate::codec_struct;
use crate::governance::Proposal;
use crate::id::{ConsensusAddress, Height, ProposalId, Tick};
use crate::limit;

/// The rules of voting. No vote changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GovernanceParams {
    /// Blocks in which a proposal gathers its votes.
    pub voting_blocks: u64,
    /// Ticks between the vote that passes a proposal and its effect: at least as long as everything that a user or a
    /// node has begun takes to end.
    pub timelock: u64,
}
codec_struct!(GovernanceParams {
    voting_blocks,
    timelock
});

/// Which rules run, and what is on its way to change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GovernanceRecord {
    /// The version of the rules that executes the next block.
    pub version: u64,
    /// The number of the next proposal.
    pub next: ProposalId,
    /// Proposals that are voted on or wait for their timelock, ascending.
    pub open: Vec<ProposalId>,
}

impl Encode for GovernanceRecord {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.version.encode_into(out);
        self.next.encode_into(out);
        put_list(out, &self.open);
    }
}

impl Decode for GovernanceRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: Decode::decode(reader)?,
            next: Decode::decode(reader)?,
            open: reader.list("open proposals", limit::PROPOSALS)?,
        })
    }
}

/// A proposal that is voted on or waits for its timelock. It is deleted when it has taken effect or lapsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalRecord {
    /// The validator that made it.
    pub proposer: ConsensusAddress,
    /// What it is for.
    pub proposal: Proposal,
    /// The last height at which it gathers votes.
    pub closes: Height,
    /// Validators that approve, ascending.
    pub approvals: Vec<ConsensusAddress>,
    /// The first tick at which it may take effect, once it has passed.
    pub due: Option<Tick>,
}

impl Encode for ProposalRecord {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.proposer.encode_into(out);
        self.proposal.encode_into(out);
        self.closes.encode_into(out);
        put_list(out, &self.approvals);
        self.due.encode_into(out);
    }
}

impl Decode for ProposalRecord {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            proposer: Decode::decode(reader)?,
            proposal: Decode::decode(reader)?,
            closes: Decode::decode(reader)?,
            approvals: reader.list("approvals", limit::STAKERS)?,
            due: Decode::decode(reader)?,
        })
    }
}
