//! What the state holds under a key, verified from the genesis hash and one file: `spec/verify.md`, steps T1 to T4.

use haca_wire::light_file::{STATE_MAGIC, StateFile};
use haca_wire::state::{Entry, key};
use haca_wire::{BlockHash, Decode, Encode as _, GenesisHash, Height, Settlement};

use crate::bundle::check_genesis;
use crate::check_id;
use crate::light_client::{self, Header};
use crate::policy::Policy;
use crate::report::{Checks, Report};
use crate::state_proof::StateProof;

/// A proven entry of the state, or the proven absence of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenState {
    /// The state key.
    pub key: Vec<u8>,
    /// The bytes under the key; `None` where the state holds nothing there.
    pub value: Option<Vec<u8>>,
    /// What they mean.
    pub entry: Option<Entry>,
    /// The settled receipt, where the file shows one under the entry's receipt root.
    pub settlement: Option<Settlement>,
    /// The height whose state it is.
    pub height: Height,
    /// Height of the header that proves it; with its hash a checkpoint for later.
    pub header_height: Height,
    /// Hash of that header.
    pub header_hash: BlockHash,
    /// Time of that header, in seconds since 1970.
    pub time_unix_s: i64,
}

/// Whether bytes are meant as a state file.
pub fn is_state_file(bytes: &[u8]) -> bool {
    bytes.starts_with(&STATE_MAGIC)
}

/// Verifies a state file from the trusted genesis hash. `now_unix_s` is the verifier's time, in seconds since 1970. Of
/// the policy, checkpoint and trusting period matter.
///
/// Every byte string leads to a report; none to a panic.
pub fn verify_state(
    bytes: &[u8],
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
) -> Report<ProvenState> {
    let mut checks = Checks::default();
    let proven = match StateFile::decode_all(bytes) {
        Ok(file) => {
            let size = bytes.len();
            checks.pass(
                check_id::STATE_ENCODING,
                format_args!("{size} bytes, version 1"),
                "",
            );
            check(file, trust, now_unix_s, policy, &mut checks)
        }
        Err(error) => {
            checks.fail(
                check_id::STATE_ENCODING,
                error,
                "a state file of version 1 in canonical form",
                error.code(),
            );
            None
        }
    };
    checks.finish(check_id::REQUIRED_STATE, proven)
}

fn check(
    file: StateFile,
    trust: GenesisHash,
    now_unix_s: u64,
    policy: &Policy,
    checks: &mut Checks,
) -> Option<ProvenState> {
    let genesis = check_genesis(&file.genesis, trust, checks)?;
    let header = light_client::follow(&file.light_blocks, &genesis, policy, now_unix_s, checks)?.header()?;
    let value = check_proof(&file, &header, checks)?;
    let entry = check_record(&file.key, value.as_deref(), checks)?;
    let settlement = check_leaf(&file, value.as_deref(), checks)?;
    Some(ProvenState {
        key: file.key,
        value,
        entry,
        settlement,
        height: Height(header.height.0.saturating_sub(1)),
        header_height: header.height,
        header_hash: header.hash,
        time_unix_s: header.unix_s,
    })
}

/// T2: the value under the key, or `Some(None)` where there is none.
fn check_proof(file: &StateFile, header: &Header, checks: &mut Checks) -> Option<Option<Vec<u8>>> {
    let id = check_id::STATE_PROOF;
    let key = file.key.escape_ascii();
    let expected = format_args!("{key} under application hash {}", hex::encode(&header.app_hash));
    let proof = match StateProof::decode(&file.proof) {
        Ok(proof) => proof,
        Err(error) => {
            checks.fail(id, &error, expected, error.code());
            return None;
        }
    };
    if let Some(value) = proof.value(&header.app_hash, &file.key) {
        checks.pass(
            id,
            format_args!("{key}: {} bytes", value.len()),
            "in the state that the header commits to",
        );
        return Some(Some(value.to_vec()));
    }
    if proof.is_absent(&header.app_hash, &file.key) {
        checks.pass(
            id,
            format_args!("{key}: nothing"),
            "absent from the state that the header commits to",
        );
        return Some(None);
    }
    checks.fail(
        id,
        format_args!("a proof for {}", proof.key().escape_ascii()),
        expected,
        "the state proof does not lead to the application hash",
    );
    None
}

/// T3: the value is the record that belongs under the key.
fn check_record(key: &[u8], value: Option<&[u8]>, checks: &mut Checks) -> Option<Option<Entry>> {
    let id = check_id::STATE_RECORD;
    let Some(value) = value else {
        checks.pass(id, "none", "nothing stands under the key");
        return Some(None);
    };
    match Entry::decode(key, value) {
        Ok(entry) => {
            checks.pass(
                id,
                format_args!("{} bytes", value.len()),
                "the record that belongs there",
            );
            Some(Some(entry))
        }
        Err(error) => {
            checks.fail(id, &error, "the record that belongs under the key", error.code());
            None
        }
    }
}

/// T4: the settled receipt stands under the receipt root that the entry is.
fn check_leaf(file: &StateFile, value: Option<&[u8]>, checks: &mut Checks) -> Option<Option<Settlement>> {
    let Some(leaf) = &file.leaf else {
        return Some(None);
    };
    let id = check_id::SETTLEMENT_INCLUSION;
    let root = value.filter(|_| file.key.starts_with(key::RECEIPTS));
    let Some(root) = root else {
        checks.fail(
            id,
            file.key.escape_ascii(),
            "a receipt root",
            "a settled receipt is proven under no other entry",
        );
        return None;
    };
    let found = leaf.branch.root(&leaf.settlement.encode());
    checks
        .equal(
            id,
            hex::encode(found),
            hex::encode(root),
            "root that the settlement record and its branch lead to",
        )
        .then(|| Some(leaf.settlement.clone()))
}
