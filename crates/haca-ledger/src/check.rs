//! Where evidence is verified and signers are recovered: behind a trait, so that the ledger holds no proof system and
//! the node may remember what it has verified.

use haca_wire::state::{ChainRecord, ModelRecord, Params, key};
use haca_wire::{
    Address, Answer, Evidence, Gas, Group, Inference, Message, ModelId, ReceiptHash, Signature,
    SignatureError, Signed, SignedTransaction, TensorSpec, TypedData, proof_context,
};

use crate::error::LedgerError;
use crate::fee::demanded_model;
use crate::overlay::{need, read};
use crate::state_reader::StateReader;

/// What a verifying key says of its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// The identity of the model.
    pub model: ModelId,
    /// Multiply-accumulates of one inference.
    pub units: u64,
    /// The most inferences that one proof covers.
    pub max_batch: usize,
    /// Gas of verifying a proof of at most `2^i` inferences, at index `i`, up to the largest batch.
    pub batch_gas: Vec<Gas>,
    /// The most bytes of the tensors of one inference with its proof.
    pub answer_bytes: u64,
    /// The model's outputs.
    pub outputs: Vec<TensorSpec>,
}

/// Verifies evidence. Every answer must be a pure function of the arguments: an implementation may remember, but
/// not change its mind. Error strings are stable codes.
pub trait CheckProof: Sync {
    /// Decodes the key and checks that its security reaches the floor.
    fn facts(&self, verifying_key: &[u8]) -> Result<ModelFacts, &'static str>;
    /// Gas of [`facts`](Self::facts) and [`registration`](Self::registration), by an outline of the key that takes no more
    /// than reading it: this is asked before anything is paid. Refuses bytes whose outline is that of no key.
    fn registration_gas(&self, verifying_key: &[u8]) -> Result<Gas, &'static str>;
    /// Verifies that committed weights and biases lie in their declared ranges. Asked only about keys that have
    /// [`facts`](Self::facts).
    fn registration(&self, verifying_key: &[u8], proof: &[u8]) -> Result<(), &'static str>;
    /// Verifies that the model produced the outputs, in this context.
    fn settlement(
        &self,
        verifying_key: &[u8],
        context: &[u8; 32],
        inferences: &[Inference],
        proof: &[u8],
    ) -> Result<(), &'static str>;
    /// The account whose key signed `digest`. A full node meets a signature in its mempool, in proposals and in a block,
    /// and recovering takes longer than everything else about most transactions.
    fn signer(&self, signature: &Signature, digest: &[u8; 32]) -> Result<Address, SignatureError> {
        signature.recover(digest)
    }
}

/// Succeeds when `expected` signed `digest`.
pub(crate) fn check_signer(
    checker: &dyn CheckProof,
    signature: &Signature,
    digest: &[u8; 32],
    expected: Address,
) -> Result<(), SignatureError> {
    let found = checker.signer(signature, digest)?;
    if found == expected {
        Ok(())
    } else {
        Err(SignatureError::WrongSigner { found, expected })
    }
}

/// The signatures that executing `tx` looks at, each with what it signs, except those of claims and of the terms of a
/// channel, of which a transaction has few. A node recovers them in parallel to fill the memory of its [`CheckProof`];
/// executing the block gives the same result without.
pub fn signatures(tx: &SignedTransaction) -> Box<dyn Iterator<Item = (&dyn TypedData, &Signature)> + '_> {
    fn of<T: TypedData>(signed: &Signed<T>) -> (&dyn TypedData, &Signature) {
        (&signed.value, &signed.signature)
    }
    let transaction: &dyn TypedData = &tx.transaction;
    let outer = core::iter::once(&tx.signature)
        .chain(&tx.sponsor_signature)
        .map(move |signature| (transaction, signature));
    match &tx.transaction.message {
        Message::SettleBatch { groups } => {
            let items = groups.iter().flat_map(|group| &group.items);
            Box::new(outer.chain(items.flat_map(|item| [of(&item.order), of(&item.receipt)])))
        }
        Message::SettleVouchers { coverages } => {
            let inner = coverages
                .iter()
                .flat_map(|each| [of(&each.voucher), of(&each.root)]);
            Box::new(outer.chain(inner))
        }
        _ => Box::new(outer),
    }
}

/// One proof of a transaction: what a node can verify ahead of, and in parallel to, execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceJob {
    /// [`CheckProof::registration`], unless looking at the key would take more than `limit`.
    Registration {
        /// Encoded verifying key.
        verifying_key: Vec<u8>,
        /// The proof.
        proof: Vec<u8>,
        /// The most gas of looking at a key.
        limit: Gas,
    },
    /// [`CheckProof::settlement`].
    Settlement {
        /// Encoded verifying key of the registered model.
        verifying_key: Vec<u8>,
        /// What the proof must absorb.
        context: [u8; 32],
        /// Public tensors.
        inferences: Vec<Inference>,
        /// The proof.
        proof: Vec<u8>,
    },
}

impl EvidenceJob {
    /// Verifies with `checker`.
    pub fn run(&self, checker: &dyn CheckProof) -> Result<(), &'static str> {
        match self {
            Self::Registration {
                verifying_key,
                proof,
                limit,
            } => match checker.registration_gas(verifying_key) {
                Ok(gas) if gas <= *limit => checker.registration(verifying_key, proof),
                _ => Err("registration_gas"),
            },
            Self::Settlement {
                verifying_key,
                context,
                inferences,
                proof,
            } => checker.settlement(verifying_key, context, inferences, proof),
        }
    }
}

/// How many places for a proof `tx` has: the numbers that [`evidence_job`] takes.
pub fn evidence_places(tx: &SignedTransaction) -> usize {
    match &tx.transaction.message {
        Message::RegisterModel { .. } | Message::Respond { .. } => 1,
        Message::SettleBatch { groups } => groups.len(),
        _ => 0,
    }
}

/// The proof at place `index` that executing `tx` over `state` may ask for, unless there is none there or it has no
/// price and so is never verified. A node runs such jobs in parallel to fill the memory of its [`CheckProof`]; executing
/// the block gives the same result without. One at a time: each holds a verifying key, and a transaction may have a
/// thousand places.
pub fn evidence_job(
    state: &dyn StateReader,
    tx: &SignedTransaction,
    index: usize,
) -> Result<Option<EvidenceJob>, LedgerError> {
    match &tx.transaction.message {
        Message::RegisterModel { verifying_key, proof } => {
            let params: Params = need(state, key::PARAMS)?;
            Ok((index == 0).then(|| EvidenceJob::Registration {
                verifying_key: verifying_key.clone(),
                proof: proof.clone(),
                limit: params.gas_registration,
            }))
        }
        Message::SettleBatch { groups } => groups
            .get(index)
            .map_or(Ok(None), |group| settlement_job(state, group)),
        Message::Respond {
            answers,
            inferences,
            proof,
        } if index == 0 => answer_job(state, answers, inferences, proof),
        _ => Ok(None),
    }
}

fn settlement_job(state: &dyn StateReader, group: &Group) -> Result<Option<EvidenceJob>, LedgerError> {
    let (Evidence::Zk { inferences, proof }, Some(first)) = (&group.evidence, group.items.first()) else {
        return Ok(None);
    };
    let Some(model) = read::<ModelRecord>(state, &key::model(first.order.value.model))? else {
        return Ok(None);
    };
    if inferences.len() != group.items.len() || model.gas(inferences.len()).is_none() {
        return Ok(None);
    }
    let domain = need::<ChainRecord>(state, key::CHAIN)?.domain();
    let receipts: Vec<ReceiptHash> = group
        .items
        .iter()
        .map(|item| item.receipt.value.hash(&domain))
        .collect();
    Ok(Some(EvidenceJob::Settlement {
        verifying_key: model.verifying_key,
        context: proof_context(&domain, &receipts),
        inferences: inferences.clone(),
        proof: proof.clone(),
    }))
}

fn answer_job(
    state: &dyn StateReader,
    answers: &[Answer],
    inferences: &[Inference],
    proof: &[u8],
) -> Result<Option<EvidenceJob>, LedgerError> {
    let Some((id, terms)) = demanded_model(state, answers)? else {
        return Ok(None);
    };
    if inferences.len() != answers.len() || terms.gas(inferences.len()).is_none() {
        return Ok(None);
    }
    let model: ModelRecord = need(state, &key::model(id))?;
    let domain = need::<ChainRecord>(state, key::CHAIN)?.domain();
    let receipts: Vec<ReceiptHash> = answers
        .iter()
        .map(|answer| answer.receipt.hash(&domain))
        .collect();
    Ok(Some(EvidenceJob::Settlement {
        verifying_key: model.verifying_key,
        context: proof_context(&domain, &receipts),
        inferences: inferences.to_vec(),
        proof: proof.to_vec(),
    }))
}
