//! Messages: what each does to the state once its transaction is admitted.

mod bond;
mod channel;
mod claim;
mod demand;
mod govern;
mod hold;
mod model;
mod node;
mod receipt;
mod settle;
mod stake;
mod transfer;
mod voucher;

pub(crate) use channel::close;
pub(crate) use demand::{held_key, open_demand};
pub(crate) use hold::{forfeit, pay};

use haca_wire::state::{HeldKey, NodeRecord, Params, key};
use haca_wire::{
    Address, Amount, AssetId, Domain, Height, Message, SignatureError, Signed, Tick, TxHash, TypedData,
};

use crate::check::{CheckProof, check_signer};
use crate::error::LedgerError;
use crate::outcome::Effect;
use crate::overlay::Overlay;
use crate::refusal::Refusal;

/// Why a message stops: its own fault, or the store's.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The transaction is refused; the block goes on.
    Refused(Refusal),
    /// The block can't be executed.
    Failed(LedgerError),
}

impl Stop {
    /// The ledger's failure, for work that no transaction asked for and so none can be refused for.
    pub(crate) fn into_error(self) -> LedgerError {
        match self {
            Self::Failed(error) => error,
            Self::Refused(_) => LedgerError::Arithmetic { what: "block start" },
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error)
    }
}

/// What stays the same for every message of a block.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) trust: Trust<'a>,
    pub(crate) params: Params,
    pub(crate) domain: Domain,
    pub(crate) height: Height,
    pub(crate) tick: Tick,
    pub(crate) base_fee: Amount,
    /// Header time of the block; 0 in a mempool, which no message's fate depends on.
    pub(crate) time_unix_s: u64,
}

/// What becomes of the signatures and proofs inside a message.
#[derive(Clone, Copy)]
pub(crate) enum Trust<'a> {
    /// Each is checked. So it is in a block, where the sender has paid for it.
    Checked(&'a dyn CheckProof),
    /// Each is taken for good, none is looked at. So it is in a mempool: what only a signature or a proof fails is
    /// charged in a block, and whatever is refused here has cost no more than reading it.
    Assumed,
}

impl Rules<'_> {
    /// Checks a signature inside a message.
    pub(crate) fn check_signature<T: TypedData>(
        &self,
        signed: &Signed<T>,
        signer: Address,
    ) -> Result<(), SignatureError> {
        match self.trust {
            Trust::Checked(checker) => {
                let digest = signed.value.digest(&self.domain);
                check_signer(checker, &signed.signature, &digest, signer)
            }
            Trust::Assumed => Ok(()),
        }
    }
}

/// One message being executed.
pub(crate) struct Execution<'a, 'b> {
    pub(crate) rules: &'a Rules<'a>,
    pub(crate) state: &'a mut Overlay<'b>,
    pub(crate) tx: TxHash,
    pub(crate) sender: Address,
    pub(crate) effects: Vec<Effect>,
}

impl Execution<'_, '_> {
    /// Executes the message. After an error the caller rolls the state back.
    pub(crate) fn run(&mut self, message: &Message) -> Result<(), Stop> {
        match message {
            Message::Transfer { to, asset, amount } => self.transfer(*to, *asset, *amount),
            Message::RegisterModel { verifying_key, proof } => self.register_model(verifying_key, proof),
            Message::RegisterNode {
                endpoint,
                payout,
                signer,
                offers,
            } => self.register_node(endpoint, *payout, *signer, offers),
            Message::Bond { asset, amount } => self.bond(*asset, *amount),
            Message::Unbond { asset, amount } => self.unbond(*asset, *amount),
            Message::OpenChannel { quote } => self.open_channel(quote),
            Message::TopUp { channel, amount } => self.top_up(*channel, *amount),
            Message::CloseChannel { channel, consent } => self.close_channel(*channel, consent.as_ref()),
            Message::SettleBatch { groups } => self.settle_batch(groups),
            Message::ClaimMissed { order, receipt } => self.claim_missed(order, receipt),
            Message::ClaimEquivocation { order, first, second } => {
                self.claim_equivocation(order, first, second)
            }
            Message::Stake {
                key,
                possession,
                amount,
            } => self.stake(*key, possession, *amount),
            Message::Unstake { key, amount } => self.unstake(*key, *amount),
            Message::Unjail { key } => self.unjail(*key),
            Message::Propose { key, proposal } => self.propose(*key, proposal),
            Message::Vote {
                key,
                proposal,
                approve,
            } => self.vote(*key, *proposal, *approve),
            Message::Demand {
                channel,
                first,
                sequence,
                receipt,
                path,
            } => {
                let (channel, first) = (*channel, *first);
                self.demand(HeldKey { channel, first }, *sequence, *receipt, path)
            }
            Message::Respond {
                answers,
                inferences,
                proof,
            } => self.respond(answers, inferences, proof),
            Message::SettleVouchers { coverages } => self.settle_vouchers(coverages),
            Message::ClaimFalseLeaf {
                order,
                receipt,
                root,
                leaf,
                path,
            } => self.claim_false_leaf(order, receipt, root, *leaf, path),
        }
    }

    /// Refuses an asset that genesis did not declare.
    fn need_asset(&self, asset: AssetId) -> Result<(), Stop> {
        match self
            .state
            .get::<haca_wire::state::AssetRecord>(&key::asset(asset))?
        {
            Some(_) => Ok(()),
            None => Err(Refusal::UnknownAsset { asset }.into()),
        }
    }

    /// The record of an inference node.
    fn need_node(&self, node: Address) -> Result<NodeRecord, Stop> {
        let record = self.state.get(&key::node(node))?;
        record.ok_or(Refusal::UnknownNode { node }.into())
    }

    /// The record of an inference node that has not equivocated.
    fn need_free_node(&self, node: Address) -> Result<NodeRecord, Stop> {
        let record = self.need_node(node)?;
        if record.jailed {
            return Err(Refusal::NodeJailed { node }.into());
        }
        Ok(record)
    }
}

/// The account that a failed signature check found; zero when none is recovered.
pub(crate) fn signer_found(error: SignatureError) -> Address {
    match error {
        SignatureError::WrongSigner { found, .. } => found,
        _ => Address::default(),
    }
}

/// `tick` and a number of ticks after it.
pub(crate) fn later(tick: Tick, ticks: u64) -> Tick {
    Tick(tick.0.saturating_add(ticks))
}
