//! Hashes of block content that stand in the header. All are RFC 6962 Merkle roots over SHA-256; the root of an
//! empty list is the SHA-256 of nothing.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tendermint::{block::Commit, evidence, merkle::simple_hash_from_byte_vectors};
use tendermint_proto::v0_38::{abci, types};

use crate::application::TxResult;

/// `data_hash`: over the SHA-256 of each transaction.
pub fn data_hash(txs: &[Vec<u8>]) -> [u8; 32] {
    let leaves: Vec<_> = txs.iter().map(|tx| Sha256::digest(tx).to_vec()).collect();
    simple_hash_from_byte_vectors::<Sha256>(&leaves)
}

/// `last_results_hash`: over code, data and both gas numbers of each result.
pub fn results_hash(results: &[TxResult]) -> [u8; 32] {
    let leaves: Vec<_> = results
        .iter()
        .map(|result| {
            abci::ExecTxResult {
                code: result.code,
                data: result.data.clone().into(),
                gas_wanted: signed(result.gas_wanted),
                gas_used: signed(result.gas_used),
                ..Default::default()
            }
            .encode_to_vec()
        })
        .collect();
    simple_hash_from_byte_vectors::<Sha256>(&leaves)
}

/// `last_commit_hash`: over the encoded signature slots, absent ones included. The first block hashes no slots.
pub fn commit_hash(commit: Option<&Commit>) -> [u8; 32] {
    let leaves: Vec<_> = commit
        .map(|commit| types::Commit::from(commit.clone()).signatures)
        .unwrap_or_default()
        .iter()
        .map(prost::Message::encode_to_vec)
        .collect();
    simple_hash_from_byte_vectors::<Sha256>(&leaves)
}

/// `evidence_hash`: over the inner message of each piece of evidence, without the enum around it.
pub fn evidence_hash(evidence: &evidence::List) -> [u8; 32] {
    let leaves: Vec<_> = types::EvidenceList::from(evidence.clone())
        .evidence
        .iter()
        .map(|item| match &item.sum {
            Some(types::evidence::Sum::DuplicateVoteEvidence(inner)) => inner.encode_to_vec(),
            Some(types::evidence::Sum::LightClientAttackEvidence(inner)) => inner.encode_to_vec(),
            None => Vec::new(),
        })
        .collect();
    simple_hash_from_byte_vectors::<Sha256>(&leaves)
}

/// `consensus_hash`: of the two block parameters that CometBFT hashes, in bytes and gas (-1 is no bound).
pub fn params_hash(block_max_bytes: i64, block_max_gas: i64) -> [u8; 32] {
    let hashed = types::HashedParams {
        block_max_bytes,
        block_max_gas,
    };
    Sha256::digest(hashed.encode_to_vec()).into()
}

/// SHA-256 of a transaction: its identity in CometBFT and here.
pub fn tx_hash(tx: &[u8]) -> [u8; 32] {
    Sha256::digest(tx).into()
}

/// Gas as ABCI carries it.
pub(crate) fn signed(gas: u64) -> i64 {
    i64::try_from(gas).unwrap_or(i64::MAX)
}
