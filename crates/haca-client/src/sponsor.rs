//! A sponsor's HTTP API: it pays the gas of settlements that it cosigns.

use std::time::Duration;

use haca_wire::{
    Address, Amount, Decode as _, Domain, Encode as _, Signature, Signed, SignedTransaction, Transaction,
};
use serde::Deserialize;

use crate::ClientError;
use crate::http::Http;

/// Time for one request: a settlement does not wait for a sponsor that is slow.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one sponsor.
#[derive(Clone, Debug)]
pub struct SponsorClient {
    http: Http,
}

/// What a sponsor pays for, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SponsorTerms {
    /// The account that pays.
    pub account: Address,
    /// The most OPG per gas that it cosigns.
    pub max_base_fee: Amount,
}

impl SponsorClient {
    /// A client of the sponsor at `url`.
    pub fn new(url: &str) -> Self {
        Self {
            http: Http::with_timeout(url, TIMEOUT),
        }
    }

    /// What the sponsor pays for.
    pub fn terms(&self) -> Result<SponsorTerms, ClientError> {
        #[derive(Deserialize)]
        struct Terms {
            account: String,
            max_base_fee: String,
        }
        let path = "/v1/sponsor";
        let terms: Terms = self.http.get_json(path, "a sponsor's terms")?;
        let malformed = |_| ClientError::Malformed {
            url: self.http.url(path),
            found: terms.account.chars().take(80).collect(),
            expected: "an account and an amount",
        };
        Ok(SponsorTerms {
            account: terms.account.parse().map_err(malformed)?,
            max_base_fee: terms.max_base_fee.parse().map_err(|_| ClientError::Malformed {
                url: self.http.url(path),
                found: terms.max_base_fee.chars().take(80).collect(),
                expected: "an amount",
            })?,
        })
    }

    /// Has a signed transaction cosigned by the sponsor that it names. What comes back is this very transaction, signed by
    /// both.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] by the sponsor's policy; [`ClientError::Malformed`] when it signed something else.
    pub fn cosign(
        &self,
        tx: &Signed<Transaction>,
        domain: &Domain,
    ) -> Result<SignedTransaction, ClientError> {
        #[derive(Deserialize)]
        struct Cosigned {
            signature: String,
        }
        let path = "/v1/cosign";
        let answer = self
            .http
            .post(path, "application/octet-stream", &[], &tx.encode())?;
        let cosigned: Cosigned = self.http.parse(path, &answer.body, "a signature")?;
        let malformed = || ClientError::Malformed {
            url: self.http.url(path),
            found: cosigned.signature.chars().take(40).collect(),
            expected: "the sponsor's signature of this transaction",
        };
        let bytes = hex::decode(&cosigned.signature).map_err(|_| malformed())?;
        let signature = Signature::decode_all(&bytes).map_err(|_| malformed())?;
        let sponsor = tx.value.meta.sponsor;
        let by_sponsor = Signed {
            value: tx.value.clone(),
            signature,
        };
        by_sponsor.check(domain, sponsor).map_err(|_| malformed())?;
        Ok(SignedTransaction {
            transaction: by_sponsor.value,
            signature: tx.signature,
            sponsor_signature: Some(signature),
        })
    }
}
