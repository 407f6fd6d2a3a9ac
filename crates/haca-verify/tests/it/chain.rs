//! A small chain: ed25519 validators that sign real CometBFT headers.

use ed25519_consensus::SigningKey;
use haca_wire::bundle::{LightBlock, Validator};
use prost::Message as _;
use tendermint::block::{
    self, Commit, CommitSig, Header, Height, Id, header::Version, parts, signed_header::SignedHeader,
};
use tendermint::validator::{Info, Set};
use tendermint::vote::{Power, SignedVote, Type, Vote};
use tendermint::{AppHash, Hash, PublicKey, Signature, Time, account, chain};
use tendermint_proto::v0_38::types as raw;

/// How a validator takes part in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Commit,
    Nil,
    Absent,
    /// Votes for the block, with a signature that is none.
    Forged,
}

/// A validator with its key.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) key: SigningKey,
    pub(crate) power: u64,
}

impl Member {
    pub(crate) fn new(seed: u8, power: u64) -> Self {
        let key = SigningKey::from([seed; 32]);
        Self { key, power }
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        self.key.verification_key().to_bytes()
    }

    pub(crate) fn info(&self) -> Info {
        let key = PublicKey::from_raw_ed25519(&self.public_key()).unwrap();
        Info::new(key, Power::try_from(self.power).unwrap())
    }
}

pub(crate) fn set(members: &[Member]) -> Set {
    Set::without_proposer(members.iter().map(Member::info).collect())
}

/// The members in CometBFT's order.
pub(crate) fn ordered(members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    members.sort_by_key(|member| {
        let info = member.info();
        (core::cmp::Reverse(info.power), info.address)
    });
    members
}

fn bundled(members: &[Member]) -> Vec<Validator> {
    ordered(members)
        .iter()
        .map(|member| Validator {
            public_key: member.public_key(),
            power: member.power,
        })
        .collect()
}

/// What goes into one block.
#[derive(Clone)]
pub(crate) struct BlockSpec<'a> {
    pub(crate) chain_id: &'a str,
    pub(crate) height: u64,
    pub(crate) unix_s: i64,
    pub(crate) app_hash: Vec<u8>,
    pub(crate) validators: &'a [Member],
    pub(crate) next_validators: &'a [Member],
    /// One per validator in CometBFT's order; all commit when empty.
    pub(crate) parts: Vec<Part>,
    /// The round of the commit.
    pub(crate) round: u16,
    /// Fills the hash of the transactions: another number, another block that could have been proposed.
    pub(crate) data: u8,
}

impl BlockSpec<'_> {
    pub(crate) fn header(&self) -> Header {
        let validators = set(self.validators);
        let other = |fill: u8| Hash::Sha256([fill; 32]);
        let last = Id {
            hash: other(1),
            part_set_header: parts::Header::new(1, other(2)).unwrap(),
        };
        Header {
            version: Version { block: 11, app: 1 },
            chain_id: chain::Id::try_from(self.chain_id).unwrap(),
            height: Height::try_from(self.height).unwrap(),
            time: Time::from_unix_timestamp(self.unix_s, 5).unwrap(),
            last_block_id: (self.height > 1).then_some(last),
            last_commit_hash: Some(other(3)),
            data_hash: Some(other(self.data)),
            validators_hash: validators.hash(),
            next_validators_hash: set(self.next_validators).hash(),
            consensus_hash: other(5),
            app_hash: AppHash::try_from(self.app_hash.clone()).unwrap(),
            last_results_hash: Some(other(6)),
            evidence_hash: Some(other(7)),
            proposer_address: validators.validators()[0].address,
        }
    }

    pub(crate) fn build(&self) -> LightBlock {
        let header = self.header();
        let block_id = Id {
            hash: header.hash(),
            part_set_header: parts::Header::new(1, Hash::Sha256([9; 32])).unwrap(),
        };
        let members = ordered(self.validators);
        let signatures = members
            .iter()
            .enumerate()
            .map(|(index, member)| {
                let part = self.parts.get(index).copied().unwrap_or(Part::Commit);
                commit_sig(&header, (self.round.into(), block_id), index, member, part)
            })
            .collect();
        let commit = Commit {
            height: header.height,
            round: self.round.into(),
            block_id,
            signatures,
        };
        let signed_header = SignedHeader::new(header, commit).unwrap();
        let (validators, next) = (bundled(self.validators), bundled(self.next_validators));
        LightBlock {
            signed_header: raw::SignedHeader::from(signed_header).encode_to_vec(),
            next_validators: (next != validators).then_some(next),
            validators,
        }
    }
}

fn commit_sig(
    header: &Header,
    (round, block_id): (block::Round, Id),
    index: usize,
    member: &Member,
    part: Part,
) -> CommitSig {
    let validator_address: account::Id = member.info().address;
    let timestamp = header.time;
    let vote = Vote {
        vote_type: Type::Precommit,
        height: header.height,
        round,
        block_id: (part != Part::Nil).then_some(block_id),
        timestamp: Some(timestamp),
        validator_address,
        validator_index: index.try_into().unwrap(),
        signature: Some(Signature::try_from(vec![1; 64]).unwrap()),
        extension: Vec::new(),
        extension_signature: None,
    };
    let sign_bytes = SignedVote::from_vote(vote, header.chain_id.clone())
        .unwrap()
        .sign_bytes();
    let mut bytes = member.key.sign(&sign_bytes).to_bytes();
    if part == Part::Forged {
        bytes[40] ^= 1;
    }
    let signature = Some(Signature::try_from(bytes.to_vec()).unwrap());
    match part {
        Part::Absent => CommitSig::BlockIdFlagAbsent,
        Part::Nil => CommitSig::BlockIdFlagNil {
            validator_address,
            timestamp,
            signature,
        },
        Part::Commit | Part::Forged => CommitSig::BlockIdFlagCommit {
            validator_address,
            timestamp,
            signature,
        },
    }
}
