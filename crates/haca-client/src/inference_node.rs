//! An inference node's HTTP API, as a client uses it.

use std::time::Instant;

use haca_wire::{
    Address, Amount, AssetId, ChannelId, Coverage, Decode, Domain, Encode, Order, OrderHash, Quote, Receipt,
    Signed, Voucher,
};
use serde::Deserialize;
use serde_json::json;

use crate::ClientError;
use crate::check_coverage;
use crate::http::Http;

/// The request header that carries the order: lower-case hexadecimal of the encoded `Signed<Order>`.
pub const ORDER_HEADER: &str = "haca-order";
/// The response header that carries the receipt: lower-case hexadecimal of the encoded `Signed<Receipt>`.
pub const RECEIPT_HEADER: &str = "haca-receipt";

/// A client of one inference node.
#[derive(Clone, Debug)]
pub struct InferenceClient {
    http: Http,
}

/// An answer with its receipt. Nothing is checked yet.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The response bytes as they crossed the wire.
    pub response: Vec<u8>,
    /// The node's receipt.
    pub receipt: Signed<Receipt>,
    /// From sending the request to having the answer.
    pub latency_ms: f64,
}

/// Where a receipt stands, by the node's word.
#[derive(Clone, Debug, Deserialize)]
pub struct ReceiptStatus {
    /// answered, proving, submitted, settled or refused.
    pub status: String,
    /// The encoded receipt, in hexadecimal.
    #[serde(default)]
    pub receipt: Option<String>,
    /// The transaction that settles or settled it.
    #[serde(default)]
    pub tx: Option<String>,
    /// The height that settled it.
    #[serde(default)]
    pub height: Option<u64>,
    /// Why it was refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the proof took.
    #[serde(default)]
    pub proof: Option<ProofStatus>,
}

/// What a proof took, by the node's word.
#[derive(Clone, Debug, Deserialize)]
pub struct ProofStatus {
    /// Size.
    pub bytes: u64,
    /// Time.
    pub prove_ms: f64,
    /// Inferences it covers.
    pub batch: u64,
}

impl InferenceClient {
    /// A client of the node at `url`.
    pub fn new(url: &str) -> Self {
        Self { http: Http::new(url) }
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// Whether the node is ready to serve.
    pub fn is_ready(&self) -> bool {
        self.http.probe("/health")
    }

    /// The node's models, as JSON.
    pub fn models(&self) -> Result<serde_json::Value, ClientError> {
        self.http.get_json("/v1/models", "a list of models")
    }

    /// Who the node is, as JSON.
    pub fn node(&self) -> Result<serde_json::Value, ClientError> {
        self.http.get_json("/v1/node", "a node description")
    }

    /// The account that the node says is its own.
    pub fn address(&self) -> Result<Address, ClientError> {
        #[derive(Deserialize)]
        struct Described {
            address: String,
        }
        let path = "/v1/node";
        let described: Described = self.http.get_json(path, "a node description")?;
        described.address.parse().map_err(|_| ClientError::Malformed {
            url: self.http.url(path),
            found: described.address.chars().take(80).collect(),
            expected: "an address",
        })
    }

    /// Asks for a quote, and checks that it is for exactly what was asked and signed by the node that it names. Whether
    /// that node is registered, the chain says.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`] when a term or the signature is another.
    pub fn quote(
        &self,
        payer: Address,
        asset: AssetId,
        deposit: Amount,
        warranty: Amount,
        domain: &Domain,
    ) -> Result<Signed<Quote>, ClientError> {
        let quote = self.ask_quote(payer, asset, deposit, warranty)?;
        let value = &quote.value;
        let asked = (payer, asset, deposit, warranty);
        let given = (value.payer, value.asset, value.deposit, value.warranty);
        if asked != given || quote.check(domain, value.node).is_err() {
            return Err(ClientError::Malformed {
                url: self.http.base().to_owned(),
                found: format!("a quote for {given:?}"),
                expected: "a quote for what was asked, signed by the node",
            });
        }
        Ok(quote)
    }

    fn ask_quote(
        &self,
        payer: Address,
        asset: AssetId,
        deposit: Amount,
        warranty: Amount,
    ) -> Result<Signed<Quote>, ClientError> {
        #[derive(Deserialize)]
        struct Quoted {
            quote: String,
        }
        let path = "/v1/quotes";
        let body = json!({
            "payer": payer.to_string(),
            "asset": asset.0,
            "deposit": deposit.to_string(),
            "warranty": warranty.to_string(),
        });
        let answer = self
            .http
            .post(path, "application/json", &[], body.to_string().as_bytes())?;
        let quoted: Quoted = self.http.parse(path, &answer.body, "a quote")?;
        self.decode(path, &quoted.quote, "a signed quote")
    }

    /// Sends a request with its order. A node that has answered the order before gives the same answer again.
    pub fn infer(&self, request: &[u8], order: &Signed<Order>) -> Result<Answered, ClientError> {
        let path = "/v1/infer";
        let header = hex::encode(order.encode());
        let start = Instant::now();
        let answer = self
            .http
            .post(path, "application/json", &[(ORDER_HEADER, &header)], request)?;
        let latency_ms = start.elapsed().as_secs_f64() * 1e3;
        let text = answer
            .headers
            .get(RECEIPT_HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let receipt = self.decode(path, text, "a receipt in the header haca-receipt")?;
        Ok(Answered {
            response: answer.body,
            receipt,
            latency_ms,
        })
    }

    /// Has the node sign the root of a voucher over receipts that it has not settled yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] when it settles them already; [`ClientError::Voucher`] when what it signed is another root,
    /// or its key is not `signer`.
    pub fn cover(
        &self,
        voucher: &Signed<Voucher>,
        signer: Address,
        domain: &Domain,
    ) -> Result<Coverage, ClientError> {
        #[derive(Deserialize)]
        struct Covered {
            root: String,
        }
        let path = "/v1/vouchers";
        let answer = self
            .http
            .post(path, "application/octet-stream", &[], &voucher.encode())?;
        let covered: Covered = self.http.parse(path, &answer.body, "a signed root")?;
        let coverage = Coverage {
            voucher: voucher.clone(),
            root: self.decode(path, &covered.root, "a signed root")?,
        };
        check_coverage(&coverage, signer, domain)?;
        Ok(coverage)
    }

    /// Bytes that only the node's operator is given, for the token in its home.
    pub fn operator_bytes(&self, path: &str, token: &str) -> Result<Vec<u8>, ClientError> {
        self.http
            .get_with(path, &[("authorization", &format!("Bearer {token}"))])
    }

    /// Where the receipt of an order stands; `None` when the node has none.
    pub fn receipt(&self, order: OrderHash) -> Result<Option<ReceiptStatus>, ClientError> {
        let path = format!("/v1/receipts/{order}");
        let body = self.http.get_optional(&path)?;
        body.map(|body| self.http.parse(&path, &body, "a receipt status"))
            .transpose()
    }

    /// The receipt that the node tells for an order; `None` when it has none. Nothing is checked yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`] when what it tells is no receipt.
    pub fn told_receipt(&self, order: OrderHash) -> Result<Option<Signed<Receipt>>, ClientError> {
        let Some(status) = self.receipt(order)? else {
            return Ok(None);
        };
        let text = status.receipt.unwrap_or_default();
        let path = format!("/v1/receipts/{order}");
        self.decode(&path, &text, "a signed receipt").map(Some)
    }

    fn decode<T: Decode>(&self, path: &str, text: &str, expected: &'static str) -> Result<T, ClientError> {
        let malformed = || ClientError::Malformed {
            url: self.http.url(path),
            found: text.chars().take(40).collect(),
            expected,
        };
        let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|_| malformed())?;
        T::decode_all(&bytes).map_err(|_| malformed())
    }
}

/// The channel that a quote opens.
pub fn channel_of(quote: &Signed<Quote>, domain: &haca_wire::Domain) -> ChannelId {
    quote.value.channel(domain)
}
