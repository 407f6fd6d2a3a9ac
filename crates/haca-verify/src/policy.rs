//! What a verifier accepts beyond the rules of the network.

use haca_wire::{Address, BlockHash, EvidenceKind, Height, ModelId};

/// Security below this many bits is refused whatever the policy says.
pub const SECURITY_FLOOR_BITS: u32 = 100;
/// Security below this many bits is noted in the report.
pub const SECURITY_NOTE_BITS: u32 = 128;
/// How long a header can be the start of trust: 14 days.
pub const TRUSTING_PERIOD_S: u64 = 14 * 24 * 3600;

/// A header that the verifier trusts from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
}

/// What a verifier accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Evidence kinds that count.
    pub accepted: Vec<EvidenceKind>,
    /// Least security in bits, round by round; never below [`SECURITY_FLOOR_BITS`].
    pub security_bits: u32,
    /// The model that must have answered.
    pub model: Option<ModelId>,
    /// The account that must have paid.
    pub payer: Option<Address>,
    /// The inference node that must have answered.
    pub node: Option<Address>,
    /// A trusted header. Needed once the first block is older than the trusting period.
    pub checkpoint: Option<Checkpoint>,
    /// How long a header can be the start of trust, in seconds. Signatures are worth no more than the stake behind
    /// them, so this must stay below the time in which validators can withdraw theirs.
    pub trusting_period_s: u64,
}

impl Default for Policy {
    /// A proof at [`SECURITY_FLOOR_BITS`] or more; any model, payer and node; no checkpoint.
    fn default() -> Self {
        Self {
            accepted: vec![EvidenceKind::Zk],
            security_bits: SECURITY_FLOOR_BITS,
            model: None,
            payer: None,
            node: None,
            checkpoint: None,
            trusting_period_s: TRUSTING_PERIOD_S,
        }
    }
}
