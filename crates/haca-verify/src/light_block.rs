//! A light block read from a bundle or from a node.

use haca_wire::bundle::{LightBlock, Validator};
use haca_wire::{BlockHash, Height, limit};
use prost::Message as _;
use tendermint::block::{CommitSig, signed_header::SignedHeader};
use tendermint::crypto::default::signature::Verifier;
use tendermint::validator::Set;
use tendermint::vote::{SignedVote, Type, Vote};
use tendermint_proto::v0_38::types as raw;

use crate::VerifyError;
use crate::validators::{canonical_order, validator_of, validator_set};

/// Heights beyond this one are refused, so that no successor overflows.
const MAX_HEIGHT: u64 = i64::MAX as u64 / 2;

/// A light block in CometBFT's types. Its parts are well formed and the commit carries a valid signature or an
/// absence for each validator; whether the header is to be believed is another question.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) signed_header: SignedHeader,
    pub(crate) validators: Set,
    pub(crate) next_validators: Set,
}

impl Block {
    pub(crate) fn decode(block: &LightBlock) -> Result<Self, VerifyError> {
        let signed_header = decode_signed_header(&block.signed_header)?;
        let canonical = encode_signed_header(&signed_header);
        if canonical != block.signed_header {
            return Err(VerifyError::NotCanonical {
                what: "signed header",
                found: block.signed_header.len(),
                expected: canonical.len(),
            });
        }
        let height = signed_header.header.height.value();
        if height == 0 || height > MAX_HEIGHT {
            return Err(VerifyError::Range {
                what: "height",
                found: height,
                expected: MAX_HEIGHT,
            });
        }
        let validators = validator_set(&block.validators)?;
        check_commit(&signed_header, &validators)?;
        Ok(Self {
            signed_header,
            validators,
            next_validators: validator_set(block.next_validators())?,
        })
    }

    pub(crate) fn height(&self) -> Height {
        Height(self.signed_header.header.height.value())
    }

    /// `None` only for a header without hash, which CometBFT never makes.
    pub(crate) fn hash(&self) -> Option<BlockHash> {
        <[u8; 32]>::try_from(self.signed_header.header.hash().as_bytes())
            .ok()
            .map(BlockHash)
    }

    pub(crate) fn app_hash(&self) -> &[u8] {
        self.signed_header.header.app_hash.as_bytes()
    }

    pub(crate) fn unix_s(&self) -> i64 {
        self.signed_header.header.time.unix_timestamp()
    }
}

fn decode_signed_header(bytes: &[u8]) -> Result<SignedHeader, VerifyError> {
    let bad = |reason: String| VerifyError::SignedHeader { reason };
    if bytes.len() > limit::SIGNED_HEADER_BYTES {
        return Err(VerifyError::Range {
            what: "bytes of a signed header",
            found: bytes.len() as u64,
            expected: limit::SIGNED_HEADER_BYTES as u64,
        });
    }
    let raw = raw::SignedHeader::decode(bytes).map_err(|error| bad(error.to_string()))?;
    SignedHeader::try_from(raw).map_err(|error| bad(error.to_string()))
}

fn encode_signed_header(signed_header: &SignedHeader) -> Vec<u8> {
    raw::SignedHeader::from(signed_header.clone()).encode_to_vec()
}

/// Verifies every signature of a commit, also those beyond two thirds, as CometBFT's own nodes do.
fn check_commit(signed_header: &SignedHeader, validators: &Set) -> Result<(), VerifyError> {
    let signatures = &signed_header.commit.signatures;
    if signatures.len() != validators.validators().len() {
        return Err(VerifyError::ValidatorSet {
            reason: "its size is not the commit's number of signatures",
        });
    }
    for (index, (entry, validator)) in signatures.iter().zip(validators.validators()).enumerate() {
        let bad = |reason| VerifyError::Commit { index, reason };
        let (address, timestamp, signature, block_id) = match entry {
            CommitSig::BlockIdFlagAbsent => continue,
            CommitSig::BlockIdFlagCommit {
                validator_address,
                timestamp,
                signature,
            } => (
                validator_address,
                timestamp,
                signature,
                Some(signed_header.commit.block_id),
            ),
            CommitSig::BlockIdFlagNil {
                validator_address,
                timestamp,
                signature,
            } => (validator_address, timestamp, signature, None),
        };
        if *address != validator.address {
            return Err(bad("address is another validator's"));
        }
        let vote = Vote {
            vote_type: Type::Precommit,
            height: signed_header.commit.height,
            round: signed_header.commit.round,
            block_id,
            timestamp: Some(*timestamp),
            validator_address: *address,
            validator_index: index.try_into().map_err(|_| bad("too many signatures"))?,
            signature: signature.clone(),
            extension: Vec::new(),
            extension_signature: None,
        };
        let vote = SignedVote::from_vote(vote, signed_header.header.chain_id.clone())
            .ok_or_else(|| bad("no signature"))?;
        validator
            .verify_signature(&Verifier, &vote.sign_bytes(), vote.signature())
            .map_err(|_| bad("signature does not verify"))?;
    }
    Ok(())
}

/// Reads a light block as a node serves it (protobuf of `SignedHeader` and of two `ValidatorSet`s) and brings it
/// to the bundle's form. Nothing is verified but the form.
pub fn light_block(
    signed_header: &[u8],
    validators: &[u8],
    next_validators: &[u8],
) -> Result<LightBlock, VerifyError> {
    let signed_header = encode_signed_header(&decode_signed_header(signed_header)?);
    let validators = decode_validators(validators)?;
    let next = decode_validators(next_validators)?;
    Ok(LightBlock {
        signed_header,
        next_validators: (next != validators).then_some(next),
        validators,
    })
}

fn decode_validators(bytes: &[u8]) -> Result<Vec<Validator>, VerifyError> {
    let set = |reason| VerifyError::ValidatorSet { reason };
    let raw = raw::ValidatorSet::decode(bytes).map_err(|_| set("not in protobuf"))?;
    let mut validators = Vec::new();
    for member in raw.validators {
        let key = member.pub_key.ok_or_else(|| set("no public key"))?;
        let key = tendermint::PublicKey::try_from(key).map_err(|_| set("no ed25519 key"))?;
        let power = u64::try_from(member.voting_power).map_err(|_| set("voting power out of range"))?;
        validators.push(validator_of(&key, power).ok_or_else(|| set("no ed25519 key"))?);
    }
    canonical_order(validators)
}

/// Height, hash and time (seconds since 1970) of a light block's header. Nothing is verified.
pub fn header_facts(block: &LightBlock) -> Result<(Height, BlockHash, i64), VerifyError> {
    let header = decode_signed_header(&block.signed_header)?.header;
    let hash = <[u8; 32]>::try_from(header.hash().as_bytes()).map_err(|_| VerifyError::SignedHeader {
        reason: "header without hash".into(),
    })?;
    Ok((
        Height(header.height.value()),
        BlockHash(hash),
        header.time.unix_timestamp(),
    ))
}
