//! The identifiers of all checks, in the order of `spec/verify.md`.

/// V1: the bytes are the canonical encoding of a bundle.
pub const BUNDLE_ENCODING: &str = "bundle.encoding";
/// V2: BLAKE3 of the genesis document is the trusted hash.
pub const GENESIS_HASH: &str = "genesis.hash";
/// V3: the document names network and validators.
pub const GENESIS_DOCUMENT: &str = "genesis.document";
/// V4: light blocks are well formed, every signature of their commits verifies.
pub const CHAIN_BLOCKS: &str = "chain.blocks";
/// V4: the first light block is the network's first block, or the checkpoint.
pub const CHAIN_FIRST_BLOCK: &str = "chain.first_block";
/// V5: the header at the pinned checkpoint's height.
pub const CHAIN_CHECKPOINT: &str = "chain.checkpoint";
/// V6: the verifier's time is one.
pub const CHAIN_TIME: &str = "chain.time";
/// V6: trust starts at a header within the trusting period.
pub const CHAIN_TRUSTING_PERIOD: &str = "chain.trusting_period";
/// V6: the last header follows from the first.
pub const CHAIN_HEADER: &str = "chain.header";
/// T1: the bytes are the canonical encoding of a state file.
pub const STATE_ENCODING: &str = "state.encoding";
/// T2: the state that the last header commits to holds this value under the key, or none.
pub const STATE_PROOF: &str = "state.proof";
/// T3: the value is the record that belongs under the key.
pub const STATE_RECORD: &str = "state.record";
/// A1: the bytes are the canonical encoding of an attack file.
pub const ATTACK_ENCODING: &str = "attack.encoding";
/// A2: the first header follows from the common one.
pub const ATTACK_FIRST: &str = "attack.first";
/// A2: the second header follows from the common one.
pub const ATTACK_SECOND: &str = "attack.second";
/// A3: the headers have one height and are not the same.
pub const ATTACK_CONFLICT: &str = "attack.conflict";
/// V7: the state holds the receipt root of the settling block.
pub const SETTLEMENT_RECEIPT_ROOT: &str = "settlement.receipt_root";
/// V8: the settlement record is a leaf under that root.
pub const SETTLEMENT_INCLUSION: &str = "settlement.inclusion";
/// V9: the record names this order, or the voucher that covers it.
pub const SETTLEMENT_ORDER: &str = "settlement.order";
/// V9: the record names this receipt, or a root that it stands under at its sequence.
pub const SETTLEMENT_RECEIPT: &str = "settlement.receipt";
/// V9: channel and sequence of the record are the order's, or those of a range with the order in it.
pub const SETTLEMENT_SEQUENCE: &str = "settlement.sequence";
/// V9: the model of the record is the order's.
pub const SETTLEMENT_MODEL: &str = "settlement.model";
/// V9: the evidence kind of the record is the order's.
pub const SETTLEMENT_EVIDENCE: &str = "settlement.evidence";
/// V9: the fee paid is the receipt's, or the voucher's total with the receipt's in it.
pub const SETTLEMENT_FEE: &str = "settlement.fee";
/// V10: the payer signed the order.
pub const ORDER_SIGNATURE: &str = "order.signature";
/// V10: the order is for these request bytes.
pub const ORDER_REQUEST: &str = "order.request";
/// V11: the receipt's key signed the receipt.
pub const RECEIPT_SIGNATURE: &str = "receipt.signature";
/// V11: the receipt answers the order.
pub const RECEIPT_ORDER: &str = "receipt.order";
/// V11: the receipt is for the input tensors that the payer signed.
pub const RECEIPT_INPUTS: &str = "receipt.inputs";
/// V11: channel and sequence of the receipt are the order's.
pub const RECEIPT_SEQUENCE: &str = "receipt.sequence";
/// V11: the receipt is for these response bytes.
pub const RECEIPT_RESPONSE: &str = "receipt.response";
/// V11: the fee is within what the order allows.
pub const RECEIPT_FEE: &str = "receipt.fee";
/// V11: the signing key is registered for the node.
pub const RECEIPT_SIGNER_REGISTERED: &str = "receipt.signer_registered";
/// V11: the block that the receipt names exists.
pub const RECEIPT_BLOCK: &str = "receipt.block";
/// V12: the state holds the model's record.
pub const MODEL_RECORD: &str = "model.record";
/// V12: the verifying key hashes to the model id of the order.
pub const MODEL_ID: &str = "model.id";
/// V12: the units of work are the graph's.
pub const MODEL_UNITS: &str = "model.units";
/// V12: the weights lie in their declared ranges.
pub const MODEL_REGISTRATION: &str = "model.registration";
/// V12: the model is any good.
pub const MODEL_QUALITY: &str = "model.quality";
/// V13: the request renders to the input tensors.
pub const RENDER_INPUTS: &str = "render.inputs";
/// V13: the output tensors have the receipt's root.
pub const RENDER_OUTPUTS: &str = "render.outputs";
/// V13: the output tensors render to the response.
pub const RENDER_RESPONSE: &str = "render.response";
/// V13: the receipt names no parameters or seed, as the render has none.
pub const RENDER_PARAMETERS: &str = "render.parameters";
/// V14: the evidence is of the ordered kind.
pub const EVIDENCE_KIND: &str = "evidence.kind";
/// V14: the receipt stands where the evidence has it.
pub const EVIDENCE_GROUP: &str = "evidence.group";
/// V14: the proof verifies.
pub const EVIDENCE_PROOF: &str = "evidence.proof";
/// V14: the proof system's parameters are secure enough.
pub const EVIDENCE_SECURITY: &str = "evidence.security";
/// V15: the policy accepts this kind of evidence.
pub const POLICY_EVIDENCE: &str = "policy.evidence";
/// V15: the model is the expected one.
pub const POLICY_MODEL: &str = "policy.model";
/// V15: the payer is the expected one.
pub const POLICY_PAYER: &str = "policy.payer";
/// V15: the node is the expected one.
pub const POLICY_NODE: &str = "policy.node";
/// V16: whether the warranty was claimed.
pub const WARRANTY_CLAIMED: &str = "warranty.claimed";
/// S1: the bytes are the canonical encoding of a scorecard.
pub const SCORECARD_ENCODING: &str = "scorecard.encoding";
/// S2: the verifying key is one.
pub const SCORECARD_KEY: &str = "scorecard.key";
/// S2: the committed weights lie in their declared ranges.
pub const SCORECARD_REGISTRATION: &str = "scorecard.registration";
/// S3: the model tells classes apart.
pub const SCORECARD_CLASSES: &str = "scorecard.classes";
/// S4: samples and labels have the stated root.
pub const SCORECARD_TEST_SET: &str = "scorecard.test_set";
/// S5: the batches are all samples, in order, each once.
pub const SCORECARD_BATCHES: &str = "scorecard.batches";
/// S6: the proof system's parameters are secure enough.
pub const SCORECARD_SECURITY: &str = "scorecard.security";
/// S6: every proof verifies.
pub const SCORECARD_PROOFS: &str = "scorecard.proofs";
/// S7: the claimed score follows from outputs and labels.
pub const SCORECARD_SCORE: &str = "scorecard.score";
/// S8: the test set is the one that the verifier has.
pub const SCORECARD_EXPECTED_SET: &str = "scorecard.expected_set";
/// S8: who chose samples and labels.
pub const SCORECARD_SELECTION: &str = "scorecard.selection";

/// What every bundle must pass.
pub(crate) const REQUIRED: &[&str] = &[
    BUNDLE_ENCODING,
    GENESIS_HASH,
    GENESIS_DOCUMENT,
    CHAIN_BLOCKS,
    CHAIN_FIRST_BLOCK,
    CHAIN_TRUSTING_PERIOD,
    CHAIN_HEADER,
    SETTLEMENT_RECEIPT_ROOT,
    SETTLEMENT_INCLUSION,
    SETTLEMENT_ORDER,
    SETTLEMENT_RECEIPT,
    SETTLEMENT_SEQUENCE,
    SETTLEMENT_MODEL,
    SETTLEMENT_EVIDENCE,
    SETTLEMENT_FEE,
    ORDER_SIGNATURE,
    ORDER_REQUEST,
    RECEIPT_SIGNATURE,
    RECEIPT_ORDER,
    RECEIPT_INPUTS,
    RECEIPT_SEQUENCE,
    RECEIPT_RESPONSE,
    RECEIPT_FEE,
    EVIDENCE_KIND,
    EVIDENCE_GROUP,
    POLICY_EVIDENCE,
];

/// What a bundle with a proof must pass besides.
pub(crate) const REQUIRED_ZK: &[&str] = &[
    MODEL_RECORD,
    MODEL_ID,
    MODEL_UNITS,
    RENDER_INPUTS,
    RENDER_OUTPUTS,
    RENDER_RESPONSE,
    RENDER_PARAMETERS,
    EVIDENCE_PROOF,
    EVIDENCE_SECURITY,
];

/// What an answer must pass before it is settled.
pub(crate) const REQUIRED_ANSWER: &[&str] = &[
    ORDER_SIGNATURE,
    ORDER_REQUEST,
    RECEIPT_SIGNATURE,
    RECEIPT_SIGNER_REGISTERED,
    RECEIPT_ORDER,
    RECEIPT_INPUTS,
    RECEIPT_SEQUENCE,
    RECEIPT_RESPONSE,
    RECEIPT_FEE,
    RENDER_INPUTS,
    RENDER_PARAMETERS,
];

/// What every scorecard must pass.
pub(crate) const REQUIRED_SCORECARD: &[&str] = &[
    SCORECARD_ENCODING,
    SCORECARD_KEY,
    SCORECARD_REGISTRATION,
    SCORECARD_CLASSES,
    SCORECARD_TEST_SET,
    SCORECARD_BATCHES,
    SCORECARD_SECURITY,
    SCORECARD_PROOFS,
    SCORECARD_SCORE,
];

/// What every state file must pass.
pub(crate) const REQUIRED_STATE: &[&str] = &[
    STATE_ENCODING,
    GENESIS_HASH,
    GENESIS_DOCUMENT,
    CHAIN_BLOCKS,
    CHAIN_FIRST_BLOCK,
    CHAIN_TRUSTING_PERIOD,
    CHAIN_HEADER,
    STATE_PROOF,
    STATE_RECORD,
];

/// What every attack file must pass.
pub(crate) const REQUIRED_ATTACK: &[&str] = &[
    ATTACK_ENCODING,
    GENESIS_HASH,
    GENESIS_DOCUMENT,
    CHAIN_BLOCKS,
    CHAIN_FIRST_BLOCK,
    CHAIN_TRUSTING_PERIOD,
    CHAIN_HEADER,
    ATTACK_FIRST,
    ATTACK_SECOND,
    ATTACK_CONFLICT,
];
