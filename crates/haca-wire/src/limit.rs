//! Every bound of the wire format in one place (`spec/wire.md`, step W2.3). Decoders refuse what exceeds them before allocating.

/// Dimensions of a tensor.
pub const RANK: usize = 8;
/// Elements of one tensor.
pub const TENSOR_ELEMENTS: usize = 1 << 22;
/// Tensors in one list of inputs or outputs.
pub const TENSORS: usize = 16;
/// Bytes of a request or response body of `/v1/infer`.
pub const BODY_BYTES: usize = 4 << 20;
/// Bytes of one encoded transaction.
pub const TX_BYTES: usize = 1 << 20;
/// Bytes of one proof.
pub const PROOF_BYTES: usize = 1 << 20;
/// Bytes of one verifying key.
pub const VERIFYING_KEY_BYTES: usize = 256 << 10;
/// Groups of one settlement batch.
pub const GROUPS: usize = 64;
/// Batch sizes of a model, each twice the one before.
pub const BATCH_CLASSES: usize = 16;
/// Order and receipt pairs of one group; also the inferences of one proof.
pub const ITEMS: usize = 1024;
/// Sequences that one voucher covers: as many as a channel tells apart.
pub const RANGE: u32 = 1024;
/// Vouchers of one transaction.
pub const COVERAGES: usize = 256;
/// Bytes of a name: a tensor, a model, an asset.
pub const NAME_BYTES: usize = 64;
/// Bytes of an endpoint URL.
pub const ENDPOINT_BYTES: usize = 256;
/// Offers of one inference node.
pub const OFFERS: usize = 64;
/// Hashes of an inclusion path: the depth of a tree of 2^64 leaves.
pub const MERKLE_PATH: usize = 64;
/// Bytes of a genesis document in a bundle.
pub const GENESIS_BYTES: usize = 16 << 20;
/// Light blocks in a bundle.
pub const LIGHT_BLOCKS: usize = 1024;
/// Bytes of a header with its commit.
pub const SIGNED_HEADER_BYTES: usize = 2 << 20;
/// Validators with a stake, jailed ones included.
pub const STAKERS: usize = 256;
/// Proposals that are voted on or wait for their timelock.
pub const PROPOSALS: usize = 128;
/// Parameters that one proposal changes.
pub const PARAM_CHANGES: usize = 32;
/// Validators of one set.
pub const VALIDATORS: usize = 10_000;
/// Bytes of a state key.
pub const STATE_KEY_BYTES: usize = 256;
/// Bytes of one proof of a state entry, value included.
pub const STATE_PROOF_BYTES: usize = 1 << 20;
/// Bytes of a bundle.
pub const BUNDLE_BYTES: usize = 64 << 20;
