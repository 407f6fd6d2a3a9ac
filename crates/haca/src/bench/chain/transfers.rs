//! Plain transfers among many accounts.

use haca_wire::{
    Address, Amount, AssetId, Encode as _, Height, Message, Nonce, SignedTransaction, Transaction, TxMeta,
};
use rayon::prelude::*;

use super::site::Site;
use super::{Cargo, failed};
use crate::failure::Failure;

/// Last height at which they hold: as far as a transaction may reach from the first block.
const EXPIRY: Height = Height(600);
/// The most that is burned per unit of gas.
const MAX_BASE_FEE: Amount = Amount(1_000_000);

/// Each account pays the next one, in turn.
pub(super) fn cargo(site: &Site, count: usize) -> Result<Cargo, Failure> {
    let accounts = &site.accounts;
    let txs: Option<Vec<Vec<u8>>> = (0..count)
        .into_par_iter()
        .map(|index| {
            let to = accounts.get((index + 1) % accounts.len())?.address();
            transfer(site, index as u64, to, EXPIRY)
        })
        .collect();
    Ok(Cargo {
        txs: txs.ok_or_else(|| failed("a transfer can't be signed"))?,
        units_per_tx: 1,
        proof_bytes: 0,
    })
}

/// The `index`-th transfer, signed by the accounts in turn.
pub(in crate::bench) fn transfer(site: &Site, index: u64, to: Address, expiry: Height) -> Option<Vec<u8>> {
    let accounts = &site.accounts;
    let from = accounts.get(usize::try_from(index).ok()? % accounts.len())?;
    let message = Message::Transfer {
        to,
        asset: AssetId::OPG,
        amount: Amount(1),
    };
    let meta = meta(from.address(), index, expiry);
    let tx = SignedTransaction::sign(Transaction { meta, message }, &site.domain, from)?;
    Some(tx.encode())
}

/// Terms of the `index`-th transaction of a benchmark.
pub(in crate::bench) fn meta(sender: Address, index: u64, expiry: Height) -> TxMeta {
    TxMeta {
        sender,
        expiry,
        nonce: Nonce(blake3::derive_key("haca benchmark nonce", &index.to_le_bytes())),
        max_base_fee: MAX_BASE_FEE,
        tip: Amount(0),
        sponsor: Address::default(),
    }
}
