//! Who pays the gas of a settlement: the sponsor as far as it is willing to, else the node's account.

use haca_client::{ClientError, SponsorClient, TX_LIFETIME_BLOCKS};
use haca_wire::state::Clock;
use haca_wire::{Address, Amount, AssetId, Encode as _, Height, Message, SignedTransaction, Transaction};

use super::Settler;
use crate::ExecError;
use crate::log;
use crate::planner::Kind;
use crate::service::Service;

/// Signs a settlement that burns at most `max_base_fee` per gas.
pub(super) fn sign(
    service: &Service,
    message: Message,
    max_base_fee: Amount,
) -> Result<SignedTransaction, ExecError> {
    let head = service.chain.client.status()?.height;
    let domain = &service.chain.domain;
    let own = service.account.transaction(message, domain, head, max_base_fee)?;
    Ok(cosigned(service, &own.transaction).unwrap_or(own))
}

/// Signs a transaction anew for another base fee, with its nonce: at most one of both is ever executed.
pub(super) fn sign_again(
    service: &Service,
    tx: &SignedTransaction,
    max_base_fee: Amount,
) -> Result<SignedTransaction, ExecError> {
    let again = renewed(service, tx, max_base_fee)?;
    match cosigned(service, &again) {
        Some(tx) => Ok(tx),
        None => own(service, again),
    }
}

fn renewed(
    service: &Service,
    tx: &SignedTransaction,
    max_base_fee: Amount,
) -> Result<Transaction, ExecError> {
    let head = service.chain.client.status()?.height;
    let mut again = tx.transaction.clone();
    again.meta.max_base_fee = max_base_fee;
    again.meta.expiry = Height(head.0.saturating_add(TX_LIFETIME_BLOCKS));
    again.meta.sponsor = Address::default();
    Ok(again)
}

fn own(service: &Service, transaction: Transaction) -> Result<SignedTransaction, ExecError> {
    let signed = SignedTransaction::sign(transaction, &service.chain.domain, service.account.key());
    Ok(signed.ok_or(ClientError::Crypto { what: "sign" })?)
}

/// An answer that its sponsor can't pay, paid by the node's account; `None` when there is no sponsor or it was refused for
/// another reason. An answer does not wait for somebody else's money.
pub(super) fn own_instead(
    service: &Service,
    tx: &SignedTransaction,
    reason: &str,
) -> Result<Option<SignedTransaction>, ExecError> {
    let meta = &tx.transaction.meta;
    if meta.sponsor.is_zero() || !reason.starts_with("ledger.cannot_pay_gas") {
        return Ok(None);
    }
    own(service, renewed(service, tx, meta.max_base_fee)?).map(Some)
}

/// The transaction with the sponsor's signature; `None` when there is no sponsor, or it does not sign.
fn cosigned(service: &Service, transaction: &Transaction) -> Option<SignedTransaction> {
    let sponsor = SponsorClient::new(service.config.sponsor.as_deref()?);
    let ask = || -> Result<SignedTransaction, ClientError> {
        let terms = sponsor.terms()?;
        let mut transaction = transaction.clone();
        transaction.meta.sponsor = terms.account;
        transaction.meta.max_base_fee = transaction.meta.max_base_fee.min(terms.max_base_fee);
        let signed = service.account.sign(transaction, &service.chain.domain)?;
        sponsor.cosign(&signed, &service.chain.domain)
    };
    match ask() {
        Ok(tx) => {
            // One that is signed for less than the base fee would only wait.
            let base_fee = service.chain.last().map_or(Amount(0), |head| head.clock.base_fee);
            (tx.transaction.meta.max_base_fee >= base_fee).then_some(tx)
        }
        Err(error) => {
            log::event(
                "not_sponsored",
                format_args!("code={} error={error}", error.code()),
            );
            None
        }
    }
}

impl Settler<'_> {
    /// A waiting transaction with another payer of its gas, when the present one can't pay and the other can.
    pub(super) fn other_payer(&self, tx: &SignedTransaction) -> Result<Option<SignedTransaction>, ExecError> {
        let service = self.service;
        if service.config.sponsor.is_none() || !self.held.contains_key(&tx.hash()) {
            return Ok(None);
        }
        let (client, meta) = (&service.chain.client, &tx.transaction.meta);
        let cost = self.cost(tx, &client.clock()?);
        let can_pay =
            |account| -> Result<bool, ExecError> { Ok(client.balance(account, AssetId::OPG)?.0 >= cost) };
        if can_pay(meta.gas_payer())? {
            return Ok(None);
        }
        let again = renewed(service, tx, meta.max_base_fee)?;
        if meta.sponsor.is_zero() {
            return Ok(cosigned(service, &again));
        }
        if can_pay(service.account.address())? {
            return own(service, again).map(Some);
        }
        Ok(None)
    }

    /// What a transaction burns in the next block, and its tip.
    fn cost(&self, tx: &SignedTransaction, clock: &Clock) -> u128 {
        let message = &tx.transaction.message;
        let groups = match message {
            Message::SettleBatch { groups } => groups.as_slice(),
            Message::SettleVouchers { .. } => &[],
            _ => return 0,
        };
        let kinds = groups.iter().filter_map(|group| {
            let order = &group.items.first()?.order.value;
            Some(Kind {
                model: order.model,
                evidence: order.evidence,
            })
        });
        let rates = self.service.rates(kinds);
        let gas = self
            .service
            .gas_prices()
            .settlement(message, tx.encode().len(), &rates);
        let burned = clock.base_fee.0.saturating_mul(gas.into());
        burned.saturating_add(tx.transaction.meta.tip.0)
    }
}
