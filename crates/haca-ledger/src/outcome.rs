//! What became of a block and its transactions.

use haca_wire::{
    Address, Amount, AssetId, ChannelId, ConsensusKey, Gas, Height, ModelId, ProposalId, Sequence,
    Settlement, Tick, TxHash,
};
use sha2::{Digest, Sha256};

use crate::params::ParamFault;
use crate::refusal::Refusal;
use crate::state_reader::Writes;
use crate::validators::ValidatorUpdate;

/// SHA-256 of the transaction's bytes, as CometBFT names it.
pub fn tx_hash(bytes: &[u8]) -> TxHash {
    TxHash(Sha256::digest(bytes).into())
}

/// A visible consequence of a transaction or of the sweep at the start of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An asset moved between accounts.
    Transferred {
        /// From.
        from: Address,
        /// To.
        to: Address,
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
    },
    /// A model was registered.
    ModelRegistered {
        /// The model.
        model: ModelId,
    },
    /// A node was registered or changed its terms.
    NodeRegistered {
        /// The node.
        node: Address,
        /// The version its offers now have.
        offer_version: u32,
    },
    /// A bond grew.
    Bonded {
        /// The node.
        node: Address,
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
    },
    /// Bond is on its way out.
    Unbonding {
        /// The node.
        node: Address,
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
        /// Paid after this tick.
        matures: Tick,
    },
    /// Unbonded amounts were paid out.
    Unbonded {
        /// The node.
        node: Address,
        /// Asset.
        asset: AssetId,
        /// Amount.
        amount: Amount,
    },
    /// A channel opened.
    ChannelOpened {
        /// The channel.
        channel: ChannelId,
    },
    /// A deposit grew.
    ToppedUp {
        /// The channel.
        channel: ChannelId,
        /// Amount.
        amount: Amount,
    },
    /// One side asked to close.
    ChannelClosing {
        /// The channel.
        channel: ChannelId,
        /// Closes after this tick.
        matures: Tick,
    },
    /// A channel closed.
    ChannelClosed {
        /// The channel.
        channel: ChannelId,
        /// Returned to the payer.
        refund: Amount,
        /// Released to the node's free bond.
        released: Amount,
    },
    /// A receipt was settled.
    Settled(Box<Settlement>),
    /// A missed settlement was claimed.
    MissedClaimed {
        /// The channel.
        channel: ChannelId,
        /// The sequence, void from now on.
        sequence: Sequence,
        /// Paid to the payer.
        paid: Amount,
    },
    /// An equivocation was proven.
    EquivocationClaimed {
        /// The channel.
        channel: ChannelId,
        /// The sequence.
        sequence: Sequence,
        /// The node, jailed from now on.
        node: Address,
        /// Paid to the payer.
        paid: Amount,
        /// Stake burned.
        burned: Amount,
    },
    /// A validator's stake grew.
    Staked {
        /// Its key.
        key: ConsensusKey,
        /// Amount.
        amount: Amount,
    },
    /// Stake is on its way out.
    Unstaking {
        /// The validator's key.
        key: ConsensusKey,
        /// Amount.
        amount: Amount,
    },
    /// Withdrawn stake was paid out.
    Unstaked {
        /// The validator's key.
        key: ConsensusKey,
        /// Amount, less what was slashed meanwhile.
        amount: Amount,
    },
    /// A validator missed too many votes.
    ValidatorJailed {
        /// Its key.
        key: ConsensusKey,
        /// First height at which it may ask to be freed.
        until: Height,
    },
    /// A validator was freed.
    ValidatorFreed {
        /// Its key.
        key: ConsensusKey,
    },
    /// Evidence convicted a validator, which is jailed for ever.
    ValidatorSlashed {
        /// Its key.
        key: ConsensusKey,
        /// Stake burned.
        burned: Amount,
    },
    /// A proposal was made.
    Proposed {
        /// Its number.
        proposal: ProposalId,
    },
    /// A validator voted.
    Voted {
        /// The proposal.
        proposal: ProposalId,
        /// The validator's key.
        key: ConsensusKey,
        /// Whether it approves.
        approve: bool,
    },
    /// A proposal has more than two thirds of the power.
    ProposalPassed {
        /// The proposal.
        proposal: ProposalId,
        /// The first tick at which it may take effect.
        due: Tick,
    },
    /// A proposal was called off by another one.
    ProposalCancelled {
        /// The proposal that comes to nothing.
        proposal: ProposalId,
    },
    /// A proposal came to nothing.
    ProposalLapsed {
        /// The proposal.
        proposal: ProposalId,
        /// Why.
        reason: Lapse,
    },
    /// The next block is executed under new parameters.
    ParametersChanged {
        /// The proposal.
        proposal: ProposalId,
    },
    /// The next block is executed by another version of the rules.
    Upgraded {
        /// The proposal.
        proposal: ProposalId,
        /// The version.
        version: u64,
    },
    /// A proof was demanded.
    Demanded {
        /// The channel.
        channel: ChannelId,
        /// First sequence of what was settled.
        first: Sequence,
        /// The sequence to prove.
        sequence: Sequence,
        /// OPG that the payer deposited.
        deposit: Amount,
        /// Last tick at which the node answers.
        due: Tick,
    },
    /// A demand was answered.
    Answered {
        /// The channel.
        channel: ChannelId,
        /// First sequence of what was settled.
        first: Sequence,
        /// The proven sequence.
        sequence: Sequence,
        /// OPG to the node.
        deposit: Amount,
    },
    /// A held fee was paid.
    HeldPaid {
        /// The channel.
        channel: ChannelId,
        /// First sequence of what was settled.
        first: Sequence,
        /// Who received it.
        payout: Address,
        /// Asset.
        asset: AssetId,
        /// The fee.
        fee: Amount,
    },
    /// A demand was not answered in time.
    DemandUnanswered {
        /// The channel.
        channel: ChannelId,
        /// First sequence of what was settled.
        first: Sequence,
        /// The sequence that was not proven.
        sequence: Sequence,
        /// The node, jailed from now on.
        node: Address,
        /// The fee, returned to the payer.
        fee: Amount,
        /// Warranty paid to the payer.
        paid: Amount,
        /// Stake burned.
        burned: Amount,
    },
}

/// Why a proposal came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Its voting time ended.
    TooFewApprovals,
    /// Its proposer decides no blocks any more.
    ProposerLeft,
    /// Its height came before its timelock had ended.
    Timelock,
    /// Its version is not newer than the one in force.
    Version,
    /// Its parameters do not go with those in force any more.
    Parameter(ParamFault),
}

/// What became of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    /// Its hash.
    pub hash: TxHash,
    /// Why it was refused, or `None` when it took effect.
    pub refusal: Option<Refusal>,
    /// Gas that it needs, known before anything is verified; 0 for bytes that are no transaction.
    pub gas_wanted: Gas,
    /// Gas that was burned: `gas_wanted`, or 0 when the transaction was not admitted.
    pub gas_used: Gas,
    /// OPG burned per unit of gas.
    pub base_fee: Amount,
    /// OPG burned for gas.
    pub burned: Amount,
    /// OPG to the proposer or, where the proposer has no account, to the pool.
    pub tip: Amount,
    /// What it did, in order; empty when refused.
    pub effects: Vec<Effect>,
}

impl TxOutcome {
    /// 0 on success, else [`Refusal::number`].
    pub fn code(&self) -> u32 {
        self.refusal.as_ref().map_or(0, Refusal::number)
    }

    /// The code space of [`TxOutcome::code`]: empty on success.
    pub fn codespace(&self) -> &'static str {
        if self.refusal.is_some() { "haca" } else { "" }
    }

    /// One JSON object: `code`, and for a refusal `message` and `hint`.
    pub fn log(&self) -> String {
        match &self.refusal {
            None => serde_json::json!({ "code": "ok" }),
            Some(refusal) => serde_json::json!({
                "code": refusal.code(),
                "message": refusal.to_string(),
                "hint": refusal.hint(),
            }),
        }
        .to_string()
    }
}

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutcome {
    /// The block.
    pub height: Height,
    /// The settlement tick it ran at.
    pub tick: Tick,
    /// Whether its budget was exhausted, so that the clock stands still.
    pub exhausted: bool,
    /// OPG burned per unit of gas in this block.
    pub base_fee: Amount,
    /// The base fee of the next block.
    pub next_base_fee: Amount,
    /// Gas burned by all transactions.
    pub gas_used: Gas,
    /// OPG burned by the block, slashed stake included.
    pub burned: Amount,
    /// Paid from the pool to the proposer's account.
    pub reward: Amount,
    /// What the block did by itself: punished validators, matured amounts, closed channels.
    pub swept: Vec<Effect>,
    /// One outcome per transaction, in order.
    pub txs: Vec<TxOutcome>,
    /// The settled receipts in order: the leaves of the receipt tree.
    pub settlements: Vec<Settlement>,
    /// What it did at its end: proposals that took effect or lapsed.
    pub concluded: Vec<Effect>,
    /// What consensus has to know of its validators, by ascending key.
    pub validator_updates: Vec<ValidatorUpdate>,
    /// RFC 6962 root of `settlements`, as written under `receipts/<height>`; `None` when there are none.
    pub receipt_root: Option<[u8; 32]>,
    /// What to commit.
    pub writes: Writes,
}
