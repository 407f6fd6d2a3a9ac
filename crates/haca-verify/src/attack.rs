//! Attacks on light clients: two headers of one height, each of which a light client would have believed
//! (`spec/verify.md`, steps A1 to A4).
//!
//! Source of the three kinds and of who is accused: CometBFT's `LightClientAttackEvidence` (`ConflictingHeaderIsInvalid`,
//! `GetByzantineValidators`).

use haca_wire::light_file::{ATTACK_MAGIC, AttackFile};
use haca_wire::{BlockHash, Decode, GenesisHash, Height};
use prost::Message as _;
use tendermint::account;
use tendermint::block::CommitSig;
use tendermint::validator::{Info, Set};
use tendermint_proto::v0_38::types as raw;

use crate::bundle::check_genesis;
use crate::check_id;
use crate::light_block::Block;
use crate::light_client::{self, Trusted};
use crate::policy::Policy;
use crate::report::{Checks, Report};

/// What kind of attack two conflicting headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttackKind {
    /// One header claims a state, validators or parameters that the other chain does not lead to: whoever signed the
    /// false one is accused.
    Lunatic,
    /// Both are possible, in one round: whoever signed both is accused.
    Equivocation,
    /// Both are possible, in different rounds: the commits alone accuse nobody.
    Amnesia,
}

impl AttackKind {
    /// The name in JSON and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lunatic => "lunatic",
            Self::Equivocation => "equivocation",
            Self::Amnesia => "amnesia",
        }
    }
}

/// A validator that took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accused {
    /// Its consensus address: the first 20 bytes of SHA-256 of its key.
    pub address: [u8; 20],
    /// Its voting power in the set that it is accused by.
    pub power: u64,
}

/// One of the two headers, taken to be the false one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Hash of the header.
    pub hash: BlockHash,
    /// Who is accused if the other header is the chain's; power descending, then address.
    pub accused: Vec<Accused>,
    /// `tendermint.types.LightClientAttackEvidence` in protobuf against this header: what full nodes of the other chain
    /// punish by. `None` where the header lies more than one step from the common block, which CometBFT does not read.
    pub evidence: Option<Vec<u8>>,
}

/// A proven attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenAttack {
    /// The last height below that both chains share in the file.
    pub common_height: Height,
    /// The height of the two headers.
    pub height: Height,
    /// The kind.
    pub kind: AttackKind,
    /// The first header and the second.
    pub sides: [Side; 2],
    /// Validators whose signatures stand in both commits, by the first one's set.
    pub double_signed: Vec<Accused>,
}

/// Whether bytes are meant as an attack file.
pub fn is_attack_file(bytes: &[u8]) -> bool {
    bytes.starts_with(&ATTACK_MAGIC)
}

/// Verifies that a file shows an attack. `now_unix_s` is the verifier's time, in seconds since 1970. Of the policy,
/// checkpoint and trusting period matter: validators can no longer answer for what they signed before.
///
/// Every byte string leads to a report; none to a panic.
pub fn verify_attack(
    bytes: &[u8],
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
) -> Report<ProvenAttack> {
    let mut checks = Checks::default();
    let proven = match AttackFile::decode_all(bytes) {
        Ok(file) => {
            let size = bytes.len();
            checks.pass(
                check_id::ATTACK_ENCODING,
                format_args!("{size} bytes, version 1"),
                "",
            );
            check(&file, trust, now_unix_s, policy, &mut checks)
        }
        Err(error) => {
            checks.fail(
                check_id::ATTACK_ENCODING,
                error,
                "an attack file of version 1 in canonical form",
                error.code(),
            );
            None
        }
    };
    checks.finish(check_id::REQUIRED_ATTACK, proven)
}

fn check(
    file: &AttackFile,
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<ProvenAttack> {
    let genesis = check_genesis(&file.genesis, trust, checks)?;
    let common = light_client::follow(&file.light_blocks, &genesis, policy, now_unix_s, checks)?;
    // Both are looked at, so that a report says which of two nodes serves what does not follow.
    let first = common.follow_path(&file.first, policy, check_id::ATTACK_FIRST, checks);
    let second = common.follow_path(&file.second, policy, check_id::ATTACK_SECOND, checks);
    let (first, second) = (first?, second?);
    let hashes = [first.hash()?, second.hash()?];
    let found = format_args!(
        "heights {} and {}, hashes {} and {}",
        first.height(),
        second.height(),
        hashes[0],
        hashes[1]
    );
    if first.height() != second.height() || hashes[0] == hashes[1] {
        checks.fail(
            check_id::ATTACK_CONFLICT,
            found,
            "two headers of one height",
            "these do not exclude each other",
        );
        return None;
    }
    let kind = kind(&first, &second);
    checks.pass(
        check_id::ATTACK_CONFLICT,
        format_args!("{}: {found}", kind.name()),
        "two headers of one height, each believed by a light client",
    );
    let direct = [file.first.len() == 1, file.second.len() == 1];
    Some(prove(&common, [&first, &second], hashes, direct, kind))
}

fn prove(
    common: &Trusted,
    [first, second]: [&Block; 2],
    [first_hash, second_hash]: [BlockHash; 2],
    [first_direct, second_direct]: [bool; 2],
    kind: AttackKind,
) -> ProvenAttack {
    let side = |hash, direct: bool, conflicting: &Block, other: &Block| {
        let accused = accused(kind, &common.block, conflicting, other);
        Side {
            hash,
            evidence: direct.then(|| evidence(kind, &common.block, conflicting, other, &accused)),
            accused: accused.iter().filter_map(account_of).collect(),
        }
    };
    ProvenAttack {
        common_height: common.block.height(),
        height: first.height(),
        kind,
        sides: [
            side(first_hash, first_direct, first, second),
            side(second_hash, second_direct, second, first),
        ],
        double_signed: signers_of_both(first, second)
            .iter()
            .filter_map(account_of)
            .collect(),
    }
}

/// Lunatic where a header says what no chain with the other one leads to; else the rounds decide.
fn kind(first: &Block, second: &Block) -> AttackKind {
    let (a, b) = (&first.signed_header.header, &second.signed_header.header);
    let same = a.validators_hash == b.validators_hash
        && a.next_validators_hash == b.next_validators_hash
        && a.consensus_hash == b.consensus_hash
        && a.app_hash == b.app_hash
        && a.last_results_hash == b.last_results_hash;
    let (a, b) = (&first.signed_header.commit, &second.signed_header.commit);
    match (same, a.round == b.round) {
        (false, _) => AttackKind::Lunatic,
        (true, true) => AttackKind::Equivocation,
        (true, false) => AttackKind::Amnesia,
    }
}

/// Who answers for the conflicting header: power descending, then address.
fn accused(kind: AttackKind, common: &Block, conflicting: &Block, other: &Block) -> Vec<Info> {
    match kind {
        AttackKind::Lunatic => among(&common.validators, &signers(conflicting)),
        AttackKind::Equivocation => signers_of_both(conflicting, other),
        AttackKind::Amnesia => Vec::new(),
    }
}

fn signers_of_both(first: &Block, second: &Block) -> Vec<Info> {
    let of_second = signers(second);
    let both: Vec<account::Id> = signers(first)
        .into_iter()
        .filter(|address| of_second.contains(address))
        .collect();
    among(&first.validators, &both)
}

/// Those of a set with one of these addresses. A set is in the order that evidence lists validators in.
fn among(set: &Set, addresses: &[account::Id]) -> Vec<Info> {
    let is_named = |info: &&Info| addresses.contains(&info.address);
    set.validators().iter().filter(is_named).cloned().collect()
}

/// Validators that signed a block, not nil.
fn signers(block: &Block) -> Vec<account::Id> {
    let of = |entry: &CommitSig| match entry {
        CommitSig::BlockIdFlagCommit {
            validator_address, ..
        } => Some(*validator_address),
        CommitSig::BlockIdFlagAbsent | CommitSig::BlockIdFlagNil { .. } => None,
    };
    block
        .signed_header
        .commit
        .signatures
        .iter()
        .filter_map(of)
        .collect()
}

fn account_of(info: &Info) -> Option<Accused> {
    Some(Accused {
        address: <[u8; 20]>::try_from(info.address.as_bytes()).ok()?,
        power: info.power(),
    })
}

/// CometBFT's evidence. Height, time and power are the common block's where the header is lunatic, else those of the
/// other header.
fn evidence(
    kind: AttackKind,
    common: &Block,
    conflicting: &Block,
    other: &Block,
    accused: &[Info],
) -> Vec<u8> {
    let basis = match kind {
        AttackKind::Lunatic => common,
        AttackKind::Equivocation | AttackKind::Amnesia => other,
    };
    let header = &basis.signed_header.header;
    raw::LightClientAttackEvidence {
        conflicting_block: Some(raw::LightBlock {
            signed_header: Some(conflicting.signed_header.clone().into()),
            validator_set: Some(validator_set(conflicting)),
        }),
        common_height: header.height.into(),
        byzantine_validators: accused.iter().cloned().map(Into::into).collect(),
        total_voting_power: basis.validators.total_voting_power().into(),
        timestamp: Some(header.time.into()),
    }
    .encode_to_vec()
}

/// CometBFT reads no set without a proposer; any member will do, since no hash covers it.
fn validator_set(block: &Block) -> raw::ValidatorSet {
    let proposer = block.signed_header.header.proposer_address;
    let mut set = raw::ValidatorSet::from(block.validators.clone());
    set.proposer = block
        .validators
        .validator(proposer)
        .map(raw::Validator::from)
        .or_else(|| set.validators.first().cloned());
    set
}
