//! Why a transaction is refused: one variant per rule, each with a number that never changes, a code, and a hint.

use haca_wire::{
    Address, Amount, AssetId, ChannelId, ConsensusKey, DecodeError, Gas, Height, ModelId, ProposalId,
    Sequence, Tick,
};
use thiserror::Error;

use crate::params::ParamFault;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })? =
        $number:literal, $code:literal, $text:literal, $hint:literal;)*) => {
        /// Why a transaction is refused. Numbers and codes are stable; `spec/ledger.md` lists them.
        #[derive(Clone, Debug, PartialEq, Eq, Error)]
        #[non_exhaustive]
        pub enum Refusal {$(
            $(#[$doc])*
            #[error($text)]
            $name $({ $($(#[$field_doc])* $field: $type),* })?,
        )*}

        impl Refusal {
            /// Number, code and hint of every refusal, by number.
            pub const TABLE: &'static [(u32, &'static str, &'static str)] = &[$(($number, $code, $hint)),*];

            /// The number that stands in the transaction's result; never 0.
            pub const fn number(&self) -> u32 {
                match self {$(Self::$name { .. } => $number),*}
            }

            /// A stable identifier for programs and documentation.
            pub const fn code(&self) -> &'static str {
                match self {$(Self::$name { .. } => $code),*}
            }

            /// What to do about it.
            pub const fn hint(&self) -> &'static str {
                match self {$(Self::$name { .. } => $hint),*}
            }
        }
    };
}

refusals! {
    // Admission: nothing is charged.

    /// The bytes are no transaction.
    Malformed {
        /// What is wrong.
        source: DecodeError
    } = 1, "ledger.malformed", "not a transaction: {source}",
        "encode the transaction as spec/wire.md says";
    /// The expiry height has passed.
    Expired {
        /// The expiry height.
        found: Height,
        /// The block's height.
        expected: Height
    } = 2, "ledger.expired", "expired at height {found}, this is {expected}",
        "sign it again with a later expiry";
    /// The expiry height is further away than nonces are remembered.
    ExpiryTooFar {
        /// The expiry height.
        found: Height,
        /// The furthest one allowed.
        expected: Height
    } = 3, "ledger.expiry_too_far", "expiry {found} is too far away, expected at most {expected}",
        "choose an expiry within tx_lifetime blocks";
    /// The sender has used this nonce.
    NonceUsed {
        /// The block that included it.
        height: Height
    } = 4, "ledger.nonce_used", "nonce was used at height {height}",
        "the transaction was included already; sign a new one with a fresh nonce if you mean to repeat it";
    /// The sender did not sign.
    SenderSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The sender.
        expected: Address
    } = 5, "ledger.sender_signature", "signed by {found}, expected the sender {expected}",
        "sign for this network (chain id and genesis hash) with the sender's key";
    /// The sponsor did not sign.
    SponsorSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The sponsor.
        expected: Address
    } = 6, "ledger.sponsor_signature", "cosigned by {found}, expected the sponsor {expected}",
        "have the sponsor sign this very transaction";
    /// The base fee is above what the sender accepts.
    BaseFee {
        /// The base fee.
        found: Amount,
        /// The transaction's maximum.
        expected: Amount
    } = 7, "ledger.base_fee", "base fee {found} is above the accepted {expected}",
        "wait, or sign again with a higher max_base_fee";
    /// The transaction needs more gas than one may.
    TxGas {
        /// Its gas.
        found: Gas,
        /// The limit.
        expected: Gas
    } = 8, "ledger.tx_gas", "needs {found} gas, expected at most {expected}",
        "split the batch";
    /// The block has no room left.
    BlockFull {
        /// The transaction's gas.
        found: Gas,
        /// What is left of the block's budget.
        expected: Gas
    } = 9, "ledger.block_full", "needs {found} gas, {expected} are left in the block",
        "wait for the next block";
    /// The payer of gas can't afford gas and tip.
    CannotPayGas {
        /// The payer's OPG.
        found: Amount,
        /// Gas x base fee + tip.
        expected: Amount
    } = 10, "ledger.cannot_pay_gas", "payer of gas has {found} OPG, needs {expected}",
        "fund the account with OPG, or name a sponsor";

    // Accounts.

    /// An amount of zero.
    ZeroAmount = 20, "ledger.zero_amount", "amount is zero", "give an amount above zero";
    /// The zero address, which nobody controls.
    ZeroAddress = 21, "ledger.zero_address", "address is zero", "give an account's address";
    /// No such asset.
    UnknownAsset {
        /// The asset.
        asset: AssetId
    } = 22, "ledger.unknown_asset", "asset {asset} does not exist", "see the assets in /v1/params";
    /// The account has not enough.
    InsufficientBalance {
        /// The asset.
        asset: AssetId,
        /// The balance.
        found: Amount,
        /// What is needed.
        expected: Amount
    } = 23, "ledger.insufficient_balance", "balance in asset {asset} is {found}, needs {expected}",
        "fund the account";

    // Models.

    /// The verifying key is malformed or too weak.
    VerifyingKey {
        /// The checker's code.
        reason: &'static str
    } = 30, "ledger.verifying_key", "verifying key refused: {reason}",
        "register the key that `haca model import` wrote";
    /// The model is registered.
    ModelExists {
        /// The model.
        model: ModelId
    } = 31, "ledger.model_exists", "model {model} is registered already", "use it as it is";
    /// No such model.
    UnknownModel {
        /// The model.
        model: ModelId
    } = 32, "ledger.unknown_model", "model {model} is not registered", "register the model first";
    /// The model was registered in this very block.
    ModelTooNew {
        /// The model.
        model: ModelId
    } = 33, "ledger.model_too_new", "model {model} was registered in this block", "settle in a later block";
    /// The registration proof is wrong.
    RegistrationProof {
        /// The checker's code.
        reason: &'static str
    } = 34, "ledger.registration_proof", "registration proof refused: {reason}",
        "prove again from the model's weights";

    // Inference nodes and bonds.

    /// The endpoint is no http or https URL.
    Endpoint = 40, "ledger.endpoint", "endpoint is no http:// or https:// URL", "give the node's base URL";
    /// No such node.
    UnknownNode {
        /// The account.
        node: Address
    } = 41, "ledger.unknown_node", "{node} is not a registered inference node", "register the node first";
    /// The node equivocated.
    NodeJailed {
        /// The account.
        node: Address
    } = 42, "ledger.node_jailed", "node {node} is jailed", "use another node";
    /// Two offers for the same model, evidence and asset.
    DuplicateOffer {
        /// The model.
        model: ModelId
    } = 43, "ledger.duplicate_offer", "two offers for model {model} differ in price alone",
        "give one offer per model, evidence and asset";
    /// The evidence can't be settled in this version.
    UnsupportedEvidence {
        /// The kind.
        found: &'static str
    } = 44, "ledger.unsupported_evidence", "evidence {found} can't be settled in this version",
        "offer zk or signed";
    /// Too many receipt keys of the node can still matter.
    TooManySigners {
        /// The most.
        expected: usize
    } = 45, "ledger.too_many_signers", "{expected} receipt keys are still within their claim window",
        "rotate keys less often";
    /// Not enough of the bond is unreserved.
    InsufficientBond {
        /// The asset.
        asset: AssetId,
        /// The unreserved bond.
        found: Amount,
        /// What is needed.
        expected: Amount
    } = 46, "ledger.insufficient_bond", "unreserved bond in asset {asset} is {found}, needs {expected}",
        "bond more, or wait until channels close";

    // Channels.

    /// The quote is for another payer.
    QuotePayer {
        /// The quote's payer.
        found: Address,
        /// The sender.
        expected: Address
    } = 50, "ledger.quote_payer", "quote is for {found}, sender is {expected}", "ask the node for a quote";
    /// The node did not sign the quote.
    QuoteSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The node.
        expected: Address
    } = 51, "ledger.quote_signature", "quote signed by {found}, expected the node {expected}",
        "ask the node for a quote on this network";
    /// The quote has expired.
    QuoteExpired {
        /// The quote's last height.
        found: Height,
        /// The block's height.
        expected: Height
    } = 52, "ledger.quote_expired", "quote expired at height {found}, this is {expected}",
        "ask the node for a new quote";
    /// The quote lives too long.
    QuoteTooLong {
        /// The quote's last height.
        found: Height,
        /// The furthest one allowed.
        expected: Height
    } = 53, "ledger.quote_too_long", "quote expires at {found}, expected at most {expected}",
        "ask the node for a quote within quote_lifetime blocks";
    /// The quote has opened its channel.
    QuoteUsed {
        /// The channel.
        channel: ChannelId
    } = 54, "ledger.quote_used", "quote has opened channel {channel}", "ask the node for a new quote";
    /// The node's offers have changed since.
    OfferVersion {
        /// The quote's version.
        found: u32,
        /// The node's version.
        expected: u32
    } = 55, "ledger.offer_version", "quote rests on offers version {found}, the node is at {expected}",
        "ask the node for a new quote";
    /// No such channel.
    UnknownChannel {
        /// The channel.
        channel: ChannelId
    } = 56, "ledger.unknown_channel", "channel {channel} does not exist", "open the channel first";
    /// The channel is closed.
    ChannelClosed {
        /// The channel.
        channel: ChannelId
    } = 57, "ledger.channel_closed", "channel {channel} is closed", "open a new channel";
    /// The channel is closing.
    ChannelClosing {
        /// The channel.
        channel: ChannelId
    } = 58, "ledger.channel_closing", "channel {channel} is closing", "open a new channel";
    /// The sender is neither payer nor node of the channel.
    NotAParty {
        /// The sender.
        found: Address
    } = 59, "ledger.not_a_party", "{found} is neither payer nor node of the channel",
        "send it from the payer's or the node's account";
    /// The consent is for another channel.
    ConsentChannel {
        /// The consent's channel.
        found: ChannelId,
        /// The channel to close.
        expected: ChannelId
    } = 60, "ledger.consent_channel", "consent is for channel {found}, expected {expected}",
        "have the other side sign for this channel";
    /// The consent has expired.
    ConsentExpired {
        /// The consent's last height.
        found: Height,
        /// The block's height.
        expected: Height
    } = 61, "ledger.consent_expired", "consent expired at height {found}, this is {expected}",
        "have the other side sign again";
    /// The other side did not sign the consent.
    ConsentSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The other side.
        expected: Address
    } = 62, "ledger.consent_signature", "consent signed by {found}, expected {expected}",
        "have the other side sign";

    // Orders and receipts, settled or claimed.

    /// The sender is neither the node nor its receipt key.
    NotTheNode {
        /// The sender.
        found: Address,
        /// The node.
        expected: Address
    } = 70, "ledger.not_the_node", "{found} settles for node {expected}",
        "send it from the node's account or its receipt key";
    /// The channel's payer did not sign the order.
    OrderSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The payer.
        expected: Address
    } = 71, "ledger.order_signature", "order signed by {found}, expected the payer {expected}",
        "only orders of the channel's payer, for this network, count";
    /// The named receipt key did not sign the receipt.
    ReceiptSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The receipt's signer.
        expected: Address
    } = 72, "ledger.receipt_signature", "receipt signed by {found}, expected {expected}",
        "only receipts signed for this network count";
    /// The receipt key was not active at the receipt's block.
    SignerInactive {
        /// The receipt's signer.
        found: Address,
        /// The receipt's block.
        height: Height
    } = 73, "ledger.signer_inactive", "{found} was no receipt key of the node at height {height}",
        "sign receipts with the key the node has registered";
    /// The receipt names a block that does not exist yet.
    ReceiptFromFuture {
        /// The receipt's block.
        found: Height,
        /// The last block.
        expected: Height
    } = 75, "ledger.receipt_from_future", "receipt names block {found}, the last one is {expected}",
        "name a block that the node has seen";
    /// The receipt answers another order.
    ReceiptOrder = 76, "ledger.receipt_order", "receipt answers another order",
        "pair each order with the receipt that names its hash";
    /// Channel or sequence of receipt and order differ.
    ReceiptMismatch = 77, "ledger.receipt_mismatch", "receipt and order differ in channel or sequence",
        "pair each order with its own receipt";
    /// The sequence is settled, claimed or void.
    SequenceUsed {
        /// The sequence.
        found: Sequence
    } = 78, "ledger.sequence_used", "sequence {found} is used", "each sequence settles or is claimed once";
    /// The sequence is too far behind.
    SequenceOutOfWindow {
        /// The sequence.
        found: Sequence,
        /// The lowest that is not void.
        expected: Sequence
    } = 79, "ledger.sequence_out_of_window", "sequence {found} is void, the lowest left is {expected}",
        "keep fewer than 1,024 sequences between the oldest open order and the newest";
    /// The fee is above what the order allows.
    FeeAboveMax {
        /// The receipt's fee.
        found: Amount,
        /// The order's maximum.
        expected: Amount
    } = 80, "ledger.fee_above_max", "fee {found} is above the order's {expected}",
        "charge at most what the order allows";
    /// The deposit does not cover the fee.
    DepositShort {
        /// What is left of the deposit.
        found: Amount,
        /// The fee.
        expected: Amount
    } = 81, "ledger.deposit_short", "deposit holds {found}, fee is {expected}",
        "reserve the order's maximum fee before answering";
    /// The order asks for other evidence.
    EvidenceKind {
        /// The group's evidence.
        found: &'static str,
        /// The order's.
        expected: &'static str
    } = 82, "ledger.evidence_kind", "group carries {found} evidence, the order asks for {expected}",
        "settle with the evidence that was ordered";
    /// The orders of a group name different models.
    MixedModels {
        /// Another model.
        found: ModelId,
        /// The group's model.
        expected: ModelId
    } = 83, "ledger.mixed_models", "order for model {found} in a group for {expected}",
        "put orders of one model into one group";
    /// The order's time has passed.
    SettleByPassed {
        /// The block's tick.
        found: Tick,
        /// The last tick.
        expected: Tick
    } = 84, "ledger.settle_by_passed", "order settled until tick {expected}, this is {found}",
        "settle earlier";
    /// The receipt charges other units than the model has.
    Units {
        /// The receipt's units.
        found: u64,
        /// The model's.
        expected: u64
    } = 85, "ledger.units", "receipt charges {found} units, the model has {expected}",
        "charge the units of the model's graph";
    /// The render is unknown, or carries parameters or a seed that it has not.
    Render = 86, "ledger.render", "receipt names an unknown render, or parameters the render has not",
        "use render 1 with zero parameters and seed";
    /// Not one inference per receipt.
    InferenceCount {
        /// Inferences.
        found: usize,
        /// Receipts.
        expected: usize
    } = 87, "ledger.inference_count", "{found} inferences for {expected} receipts",
        "give one inference per receipt, in order";
    /// More inferences than one proof of this model covers.
    BatchTooLarge {
        /// Inferences.
        found: usize,
        /// The most.
        expected: usize
    } = 88, "ledger.batch_too_large", "{found} inferences in one proof, expected at most {expected}",
        "split the group";
    /// The public inputs are not the receipt's.
    InputRoot {
        /// Position in the group.
        index: usize
    } = 89, "ledger.input_root", "inputs of inference {index} do not hash to its receipt's root",
        "give the inferences in the order of the receipts";
    /// Looking at the key takes more gas than a registration may.
    RegistrationGas {
        /// What its outline says.
        found: Gas,
        /// The most.
        expected: Gas
    } = 190, "ledger.registration_gas", "looking at the key takes {found} gas, a registration may take {expected}",
        "register a smaller model";
    /// The mempool is nearly full, and what waits pays more.
    Outbid {
        /// Tip per million gas.
        found: u128,
        /// What waits pays at least this.
        expected: u128
    } = 191, "ledger.outbid", "the tip is {found} per million gas; more than {expected} is needed while the mempool is full",
        "send it with a higher tip, or later";
    /// Another transaction of the sender with this nonce waits for a block.
    NonceWaiting = 94, "ledger.nonce_waiting", "another transaction of the sender with this nonce waits for a block",
        "sign with a nonce of its own, or wait until the other one is in a block or has expired";
    /// The receipt is for other input tensors than the payer signed.
    OrderInput = 92, "ledger.order_input", "receipt names other input tensors than its order",
        "the payer's render of the request decides; answer that request";
    /// The response that the receipt names is not the one that the public outputs give.
    Response {
        /// Position in the group.
        index: usize
    } = 93, "ledger.response", "the outputs of inference {index} do not give its receipt's response",
        "send the response exactly as the render makes it";
    /// The public outputs are not the receipt's.
    OutputRoot {
        /// Position in the group.
        index: usize
    } = 90, "ledger.output_root", "outputs of inference {index} do not hash to its receipt's root",
        "give the inferences in the order of the receipts";
    /// The proof is wrong.
    Evidence {
        /// The checker's code.
        reason: &'static str
    } = 91, "ledger.evidence", "evidence refused: {reason}",
        "prove again, for these receipts on this network";

    // Claims.

    /// The node may still settle.
    ClaimTooEarly {
        /// The block's tick.
        found: Tick,
        /// The last tick before the claim.
        expected: Tick
    } = 100, "ledger.claim_too_early", "the claim opens after tick {expected}, this is {found}",
        "wait until settle-by and grace have passed";
    /// The claim window has passed.
    ClaimTooLate {
        /// The block's tick.
        found: Tick,
        /// The last tick of the claim.
        expected: Tick
    } = 101, "ledger.claim_too_late", "the claim was open until tick {expected}, this is {found}",
        "claim within the claim window";
    /// Order or reserve hold no warranty.
    NothingToClaim = 102, "ledger.nothing_to_claim", "order or reserve hold no warranty",
        "order only with a warranty that the reserve covers";
    /// Only the payer claims.
    NotThePayer {
        /// The sender.
        found: Address,
        /// The payer.
        expected: Address
    } = 103, "ledger.not_the_payer", "{found} is not the payer {expected}", "send it from the payer's account";
    /// Both receipts are the same.
    SameReceipt = 104, "ledger.same_receipt", "both receipts are the same; a second signature is no second receipt",
        "report two receipts that differ in content";
    /// No receipt answers the order.
    ReceiptsUnrelated = 105, "ledger.receipts_unrelated", "neither receipt answers the order",
        "give the order that one of the receipts names";
    /// The equivocation has been reported.
    AlreadyClaimed = 106, "ledger.already_claimed", "this sequence has been claimed as equivocation",
        "each sequence is claimed once";

    // Validators.

    /// The key did not sign for the sender.
    Possession {
        /// The consensus key.
        key: ConsensusKey
    } = 120, "ledger.possession", "key {key} did not sign for this account on this network",
        "have the consensus key sign the sender's account, as spec/ledger.md says";
    /// The key is another account's.
    NotTheValidator {
        /// The sender.
        found: Address,
        /// The account that staked for the key.
        expected: Address
    } = 121, "ledger.not_the_validator", "{found} is not {expected}, who staked for this key",
        "send it from the account that staked, or use a key of your own";
    /// No validator has this key.
    UnknownValidator {
        /// The consensus key.
        key: ConsensusKey
    } = 122, "ledger.unknown_validator", "nobody has staked for key {key}", "stake for the key first";
    /// Evidence was brought against the validator.
    ValidatorConvicted {
        /// The consensus key.
        key: ConsensusKey
    } = 123, "ledger.validator_convicted", "validator {key} is jailed for ever",
        "what is left of the stake can be withdrawn; stake for a new key";
    /// The stake is below the minimum.
    StakeTooSmall {
        /// What would be staked.
        found: Amount,
        /// The least.
        expected: Amount
    } = 124, "ledger.stake_too_small", "{found} would be staked, expected at least {expected}",
        "stake more, or withdraw all";
    /// The stake is below the amount to withdraw.
    InsufficientStake {
        /// What is staked.
        found: Amount,
        /// What is asked for.
        expected: Amount
    } = 125, "ledger.insufficient_stake", "{found} is staked, {expected} asked for", "withdraw less";
    /// Nobody else could decide blocks.
    LastValidator = 126, "ledger.last_validator", "nobody else could decide blocks",
        "stay until another validator has staked";
    /// Too many withdrawals are on their way.
    TooManyUnstakings {
        /// The most.
        expected: usize
    } = 127, "ledger.too_many_unstakings", "more than {expected} withdrawals of stake would be on their way",
        "wait until one is paid, or withdraw all";
    /// The list of validators is full.
    ValidatorsFull {
        /// The newcomer's stake.
        found: Amount,
        /// The smallest stake on the list.
        expected: Amount
    } = 128, "ledger.validators_full", "the list is full, and {found} is not above the smallest stake {expected}",
        "stake more than the smallest validator";
    /// The validator is not jailed.
    NotJailed {
        /// The consensus key.
        key: ConsensusKey
    } = 129, "ledger.not_jailed", "validator {key} is not jailed", "nothing is to be done";
    /// The jail is not over.
    JailedUntil {
        /// The block's height.
        found: Height,
        /// First height at which the validator may be freed.
        expected: Height
    } = 130, "ledger.jailed_until", "jailed until height {expected}, this is {found}", "wait until then";
    // Governance.

    /// The validator decides no blocks.
    NotDeciding {
        /// The consensus key.
        key: ConsensusKey
    } = 131, "ledger.not_deciding", "validator {key} has no power",
        "propose and vote with a validator that is staked and free";
    /// No such proposal is open.
    UnknownProposal {
        /// The proposal.
        proposal: ProposalId
    } = 132, "ledger.unknown_proposal", "proposal {proposal} is not open",
        "name a proposal that has neither taken effect nor lapsed";
    /// The proposal has passed.
    ProposalPassed {
        /// The proposal.
        proposal: ProposalId,
        /// The first tick at which it may take effect.
        due: Tick
    } = 133, "ledger.proposal_passed", "proposal {proposal} has passed and may take effect at tick {due}",
        "to stop it, propose to cancel it";
    /// The validator has an open proposal.
    ProposalOpen {
        /// The open one.
        proposal: ProposalId
    } = 134, "ledger.proposal_open", "proposal {proposal} of the same validator is open",
        "wait until it has ended";
    /// There is no place for another proposal.
    TooManyProposals {
        /// The most.
        expected: usize
    } = 135, "ledger.too_many_proposals", "{expected} proposals are open", "wait until one has ended";
    /// A parameter may not have this value.
    Parameter {
        /// Which, and why.
        fault: ParamFault
    } = 136, "ledger.parameter", "{fault}", "propose a value within the bounds of spec/ledger.md";
    /// The version is in force or older.
    OldVersion {
        /// The proposed version.
        found: u64,
        /// The version in force.
        expected: u64
    } = 137, "ledger.old_version", "version {found} is proposed, version {expected} is in force",
        "propose a newer version";
    /// The height comes before the timelock ends.
    UpgradeTooSoon {
        /// The proposed height.
        found: Height,
        /// The last height that is too soon.
        expected: Height
    } = 138, "ledger.upgrade_too_soon", "an upgrade at height {found} is too soon, expected above {expected}",
        "leave time for the vote and the timelock";

    // The trust gap: demands and vouchers.

    /// Nothing waits under this sequence.
    NothingHeld {
        /// The first sequence named.
        first: Sequence
    } = 150, "ledger.nothing_held", "no fee waits under sequence {first}",
        "name the first sequence of what was settled as optimistic; a fee that was paid is paid";
    /// A demand is open already.
    DemandOpen {
        /// When it is due.
        due: Tick
    } = 151, "ledger.demand_open", "a demand is open until tick {due}",
        "wait for the answer; of a voucher's receipts one is proven at a time";
    /// The demand window has passed.
    DemandTooLate {
        /// The block's tick.
        found: Tick,
        /// The last tick of the window.
        expected: Tick
    } = 152, "ledger.demand_too_late", "a proof could be demanded until tick {expected}, this is {found}",
        "demand within demand_window ticks after the settlement";
    /// The receipt was not settled there.
    NotALeaf {
        /// The sequence.
        found: Sequence
    } = 153, "ledger.not_a_leaf", "the path does not lead from sequence {found} to what was signed",
        "give the receipt's digest and its path in the range, or no path without a voucher";
    /// No demand for this receipt is open.
    NoDemand {
        /// The receipt's sequence.
        sequence: Sequence
    } = 154, "ledger.no_demand", "no demand for the receipt of sequence {sequence} is open",
        "answer open demands only, each once";
    /// The answer comes too late.
    AnswerTooLate {
        /// The block's tick.
        found: Tick,
        /// The last tick of the demand.
        expected: Tick
    } = 155, "ledger.answer_too_late", "the demand was due at tick {expected}, this is {found}",
        "answer before the demand is due";
    /// The answer to a demand on a receipt of the model may not fit into a transaction.
    NotProvable {
        /// The model.
        model: ModelId
    } = 156, "ledger.not_provable", "a transaction may not hold the proof of one inference of model {model}",
        "use a model whose proof of one inference fits a transaction";
    /// A voucher covers too few or too many sequences.
    RangeLength {
        /// The sequences.
        found: u32,
        /// The most.
        expected: u32
    } = 160, "ledger.range_length", "the voucher covers {found} sequences, expected 2 to {expected}",
        "settle a single receipt with SettleBatch, and many ranges with many vouchers";
    /// Voucher and root differ.
    VoucherMismatch = 161, "ledger.voucher_mismatch", "voucher and root are for different ranges",
        "have payer and node sign the same channel, range and root";
    /// The channel's payer did not sign the voucher.
    VoucherSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The payer.
        expected: Address
    } = 162, "ledger.voucher_signature", "voucher signed by {found}, expected the payer {expected}",
        "have the channel's payer sign the voucher for this network";
    /// The named receipt key did not sign the root.
    RootSignature {
        /// The account recovered from the signature; zero when none is.
        found: Address,
        /// The key that the root names.
        expected: Address
    } = 163, "ledger.root_signature", "root signed by {found}, expected {expected}",
        "sign the root with the receipt key that it names";
    /// The leaf is the receipt.
    TrueLeaf {
        /// The sequence.
        found: Sequence
    } = 164, "ledger.true_leaf", "the leaf of sequence {found} is the receipt's",
        "claim only where the root holds another receipt, or none";
}
