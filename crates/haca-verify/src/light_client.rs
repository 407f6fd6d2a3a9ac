//! From the genesis document to a header: the light client.

use core::time::Duration;

use haca_wire::bundle::LightBlock;
use haca_wire::{BlockHash, Height};
use tendermint::Time;
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{TrustThreshold, TrustedBlockState, UntrustedBlockState};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};

use crate::check_id;
use crate::genesis::Genesis;
use crate::light_block::Block;
use crate::policy::Policy;
use crate::report::Checks;

/// How far a header may lie ahead of the verifier's time.
const CLOCK_DRIFT: Duration = Duration::from_secs(30);

/// What a believed header says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) height: Height,
    pub(crate) hash: BlockHash,
    pub(crate) unix_s: i64,
    pub(crate) app_hash: Vec<u8>,
}

/// A light block that is believed at the verifier's time.
pub(crate) struct Trusted {
    pub(crate) block: Block,
    now: Time,
}

impl Trusted {
    /// What its header says; `None` only for a header without hash.
    pub(crate) fn header(&self) -> Option<Header> {
        Some(Header {
            height: self.block.height(),
            hash: self.block.hash()?,
            unix_s: self.block.unix_s(),
            app_hash: self.block.app_hash().to_vec(),
        })
    }

    /// Goes on along a path; the check with this id says where it leads, or why not there.
    pub(crate) fn follow_path(
        &self,
        path: &[LightBlock],
        policy: &Policy,
        id: &'static str,
        checks: &mut Checks,
    ) -> Option<Block> {
        let mut trusted = None;
        for block in path {
            let block = match Block::decode(block) {
                Ok(block) => block,
                Err(error) => {
                    checks.fail(id, &error, "a well-formed light block", error.code());
                    return None;
                }
            };
            let from = trusted.as_ref().unwrap_or(&self.block);
            step(from, &block, policy, self.now, id, checks)?;
            trusted = Some(block);
        }
        match &trusted {
            Some(block) => checks.pass(
                id,
                format_args!("height {}, hash {}", block.height(), block.hash()?),
                "follows from the common header",
            ),
            None => checks.fail(id, "no light blocks", "one at least", ""),
        }
        trusted
    }
}

/// Follows the light blocks from the first to the last (`spec/verify.md`, V4 to V6).
pub(crate) fn follow(
    blocks: &[LightBlock],
    genesis: &Genesis,
    policy: &Policy,
    now_unix_s: u64,
    checks: &mut Checks,
) -> Option<Trusted> {
    let blocks = decode(blocks, checks)?;
    let (first, rest) = blocks.split_first()?;
    anchor(first, genesis, policy, checks)?;
    check_pin(&blocks, policy, checks)?;
    let now = i64::try_from(now_unix_s)
        .ok()
        .and_then(|seconds| Time::from_unix_timestamp(seconds, 0).ok());
    let Some(now) = now else {
        checks.fail(
            check_id::CHAIN_TIME,
            now_unix_s,
            "seconds since 1970",
            "the verifier's clock",
        );
        return None;
    };
    check_anchor_time(first, policy, now, checks)?;
    let mut trusted = first;
    for block in rest {
        step(trusted, block, policy, now, check_id::CHAIN_HEADER, checks)?;
        trusted = block;
    }
    checks.pass(
        check_id::CHAIN_TRUSTING_PERIOD,
        format_args!(
            "trust starts at height {}, time {}",
            first.height(),
            first.unix_s()
        ),
        "younger than the trusting period, or fixed by the checkpoint",
    );
    checks.pass(
        check_id::CHAIN_HEADER,
        format_args!("height {}, hash {}", trusted.height(), trusted.hash()?),
        "headers followed from the first to the last, each signed by its validators",
    );
    Some(Trusted {
        block: trusted.clone(),
        now,
    })
}

fn decode(blocks: &[LightBlock], checks: &mut Checks) -> Option<Vec<Block>> {
    let mut decoded = Vec::new();
    for block in blocks {
        match Block::decode(block) {
            Ok(block) => decoded.push(block),
            Err(error) => {
                checks.fail(
                    check_id::CHAIN_BLOCKS,
                    &error,
                    "well-formed light blocks, every signature valid",
                    error.code(),
                );
                return None;
            }
        }
    }
    if decoded.is_empty() {
        checks.fail(check_id::CHAIN_BLOCKS, "no light blocks", "one at least", "");
        return None;
    }
    checks.pass(
        check_id::CHAIN_BLOCKS,
        format_args!("{} light blocks", decoded.len()),
        "well formed, every signature of every commit valid",
    );
    Some(decoded)
}

/// V4: the first light block is the network's first block, signed by the validators of genesis, or the checkpoint.
fn anchor(first: &Block, genesis: &Genesis, policy: &Policy, checks: &mut Checks) -> Option<()> {
    let header = &first.signed_header.header;
    let id = check_id::CHAIN_FIRST_BLOCK;
    if header.chain_id.as_str() != genesis.chain_id {
        checks.fail(id, &header.chain_id, &genesis.chain_id, "chain identifier");
        return None;
    }
    let verifier = ProdVerifier::default();
    let untrusted = untrusted(first);
    for verdict in [
        verifier.verify_validator_sets(&untrusted),
        verifier.verify_commit(&untrusted),
    ] {
        if verdict != Verdict::Success {
            checks.fail(
                id,
                describe(&verdict),
                "a header with its validators, signed by more than two thirds",
                "",
            );
            return None;
        }
    }
    let pinned = policy.checkpoint.filter(|pin| pin.height == first.height());
    if let Some(pin) = pinned {
        let found = first.hash()?;
        return checks
            .equal(
                id,
                found,
                pin.hash,
                "the first light block is the pinned checkpoint",
            )
            .then_some(());
    }
    if first.height() != Height(1) {
        checks.fail(
            id,
            format_args!("height {}", first.height()),
            "height 1 or the pinned checkpoint",
            "",
        );
        return None;
    }
    let expected = crate::validators::validator_set(&genesis.validators).ok()?.hash();
    checks
        .equal(
            id,
            header.validators_hash,
            expected,
            "the first block's validators are those of genesis, and signed it",
        )
        .then_some(())
}

/// V5: where the policy pins a header, the light blocks hold it.
fn check_pin(blocks: &[Block], policy: &Policy, checks: &mut Checks) -> Option<()> {
    let Some(pin) = policy.checkpoint else {
        return Some(());
    };
    match blocks.iter().find(|block| block.height() == pin.height) {
        Some(block) => checks
            .equal(
                check_id::CHAIN_CHECKPOINT,
                block.hash()?,
                pin.hash,
                "the header at the checkpoint's height",
            )
            .then_some(()),
        None => {
            checks.not_checked(
                check_id::CHAIN_CHECKPOINT,
                "no light block at the checkpoint's height",
            );
            None
        }
    }
}

/// Whether the checkpoint's hash fixes this block: nothing up to it expires.
fn is_pinned(block: &Block, policy: &Policy) -> bool {
    policy.checkpoint.is_some_and(|pin| block.height() <= pin.height)
}

/// How long ago a block was made; zero for one that lies ahead.
fn age(block: &Block, now: Time) -> Duration {
    now.duration_since(block.signed_header.header.time)
        .unwrap_or(Duration::ZERO)
}

/// V6: where trust starts, no step has compared times yet. Validators of long ago may have signed anything since.
fn check_anchor_time(first: &Block, policy: &Policy, now: Time, checks: &mut Checks) -> Option<()> {
    if is_pinned(first, policy) {
        return Some(());
    }
    let limit = now.checked_add(CLOCK_DRIFT)?;
    let time = first.signed_header.header.time;
    if time >= limit {
        checks.fail(
            check_id::CHAIN_HEADER,
            time,
            format_args!("before {limit}"),
            "the header lies ahead of the verifier's time",
        );
        return None;
    }
    check_age(first, policy, now, checks)
}

fn check_age(trusted: &Block, policy: &Policy, now: Time, checks: &mut Checks) -> Option<()> {
    if age(trusted, now) < Duration::from_secs(policy.trusting_period_s) {
        return Some(());
    }
    checks.not_checked(
        check_id::CHAIN_TRUSTING_PERIOD,
        "the header to start from is older than the trusting period; pin a checkpoint",
    );
    None
}

/// V6: one step of the light client. Up to the checkpoint nothing expires, because its hash fixes all before it.
fn step(
    trusted: &Block,
    block: &Block,
    policy: &Policy,
    now: Time,
    id: &'static str,
    checks: &mut Checks,
) -> Option<()> {
    if !is_pinned(block, policy) {
        check_age(trusted, policy, now, checks)?;
    }
    let age = age(trusted, now);
    let verdict = verdict(trusted, block, age, now);
    match verdict {
        Verdict::Success => Some(()),
        Verdict::NotEnoughTrust(_) => {
            checks.not_checked(
                id,
                "too few trusted validators signed the next light block; it takes one in between",
            );
            None
        }
        Verdict::Invalid(_) => {
            checks.fail(
                id,
                describe(&verdict),
                format_args!("height {} follows from {}", block.height(), trusted.height()),
                "",
            );
            None
        }
    }
}

/// One step of the light client, from a header of this age that counts as young enough.
fn verdict(trusted: &Block, block: &Block, age: Duration, now: Time) -> Verdict {
    let options = Options {
        trust_threshold: TrustThreshold::ONE_THIRD,
        trusting_period: age.saturating_add(Duration::from_secs(1)),
        clock_drift: CLOCK_DRIFT,
    };
    ProdVerifier::default().verify_update_header(untrusted(block), trusted_state(trusted), &options, now)
}

/// Whether the light client needs a light block between two: too few of the validators that the first one trusts
/// signed the second. Says nothing of whether either is true.
pub fn needs_block_between(from: &LightBlock, to: &LightBlock) -> bool {
    let (Ok(from), Ok(to)) = (Block::decode(from), Block::decode(to)) else {
        return false;
    };
    let now = to.signed_header.header.time;
    let age = now
        .duration_since(from.signed_header.header.time)
        .unwrap_or(Duration::ZERO);
    matches!(verdict(&from, &to, age, now), Verdict::NotEnoughTrust(_))
}

fn untrusted(block: &Block) -> UntrustedBlockState<'_> {
    UntrustedBlockState {
        signed_header: &block.signed_header,
        validators: &block.validators,
        next_validators: Some(&block.next_validators),
    }
}

fn trusted_state(block: &Block) -> TrustedBlockState<'_> {
    let header = &block.signed_header.header;
    TrustedBlockState {
        chain_id: &header.chain_id,
        header_time: header.time,
        height: header.height,
        next_validators: &block.next_validators,
        next_validators_hash: header.next_validators_hash,
    }
}

fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Success => "success".to_owned(),
        Verdict::NotEnoughTrust(tally) => tally.to_string(),
        Verdict::Invalid(detail) => detail.to_string(),
    }
}
