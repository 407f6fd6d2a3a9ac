//! EIP-712 documents: what a wallet takes through `eth_signTypedData_v4` (`spec/wire.md`, steps W3 and W6).
//!
//! A document says in JSON what [`TypedData`] hashes: types, primary type, domain, message. Whoever signs it with any
//! Ethereum wallet signs the digest that the ledger checks. Integers of a message stand as decimal strings, because
//! JSON's numbers lose digits above 2^53 in most languages; every wallet library reads both.

use serde_json::{Map, Value, json};

use crate::codec::{Encode, put_list};
use crate::eip712::{DOMAIN_TYPE, Domain, TypedData};
use crate::governance::ParamChange;
use crate::id::Address;
use crate::order::{Close, EvidenceKind, Order, Quote};
use crate::receipt::Receipt;
use crate::tx::{Message, Offer, Transaction, TxMeta};
use crate::voucher::{ReceiptRoot, Voucher};

/// The largest chain id that a JSON number carries exactly.
const EXACT_NUMBER: u64 = (1 << 53) - 1;

/// A value that wallets sign: its EIP-712 type, and its members as JSON.
pub trait TypedDocument: TypedData {
    /// The full EIP-712 type string: the primary type, then every referenced type in alphabetical order.
    fn type_string(&self) -> String;

    /// The members, by name.
    fn message(&self) -> Value;

    /// The whole document: `types`, `primaryType`, `domain`, `message`.
    fn typed_data(&self, domain: &Domain) -> Value {
        let text = self.type_string();
        let (mut types, primary) = types_of(&text);
        types.extend(types_of(DOMAIN_TYPE).0);
        json!({
            "types": types,
            "primaryType": primary,
            "domain": domain_json(domain),
            "message": self.message(),
        })
    }
}

fn domain_json(domain: &Domain) -> Value {
    let chain_id = match domain.chain_id.0 {
        number @ ..=EXACT_NUMBER => Value::from(number),
        large => Value::from(large.to_string()),
    };
    json!({ "name": "HACA", "version": "1", "chainId": chain_id, "salt": domain.genesis.to_string() })
}

/// The types of a type string such as `A(B b,uint8 c)B(bytes32 d)`, and the name of the first.
fn types_of(text: &str) -> (Map<String, Value>, &str) {
    let mut types = Map::new();
    let mut primary = "";
    for one in text.split_terminator(')') {
        let Some((name, members)) = one.split_once('(') else {
            continue;
        };
        if types.is_empty() {
            primary = name;
        }
        let member = |text: &str| {
            let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
            json!({ "name": name, "type": kind })
        };
        let members: Vec<Value> = members.split_terminator(',').map(member).collect();
        types.insert(name.to_owned(), Value::from(members));
    }
    (types, primary)
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// In lower case: wallets that check the mixed-case checksum take it, and those that don't, too.
fn account(address: &Address) -> String {
    hex0x(&address.0)
}

fn content(bytes: &[u8]) -> String {
    hex0x(blake3::hash(bytes).as_bytes())
}

fn list<T: Encode>(items: &[T]) -> String {
    let mut bytes = Vec::new();
    put_list(&mut bytes, items);
    content(&bytes)
}

fn kind(evidence: EvidenceKind) -> String {
    (evidence as u8).to_string()
}

impl TypedDocument for Quote {
    fn type_string(&self) -> String {
        Self::TYPE.to_owned()
    }

    fn message(&self) -> Value {
        json!({
            "node": account(&self.node),
            "payer": account(&self.payer),
            "asset": self.asset.to_string(),
            "deposit": self.deposit.to_string(),
            "warranty": self.warranty.to_string(),
            "offerVersion": self.offer_version.to_string(),
            "expires": self.expires.to_string(),
            "nonce": self.nonce.to_string(),
        })
    }
}

impl TypedDocument for Order {
    fn type_string(&self) -> String {
        Self::TYPE.to_owned()
    }

    fn message(&self) -> Value {
        json!({
            "channel": self.channel.to_string(),
            "sequence": self.sequence.to_string(),
            "request": self.request.to_string(),
            "inputRoot": self.input_root.to_string(),
            "model": self.model.to_string(),
            "evidence": kind(self.evidence),
            "offerVersion": self.offer_version.to_string(),
            "maxFee": self.max_fee.to_string(),
            "warranty": self.warranty.to_string(),
            "settleBy": self.settle_by.to_string(),
        })
    }
}

impl TypedDocument for Receipt {
    fn type_string(&self) -> String {
        Self::TYPE.to_owned()
    }

    fn message(&self) -> Value {
        json!({
            "channel": self.channel.to_string(),
            "sequence": self.sequence.to_string(),
            "order": self.order.to_string(),
            "inputRoot": self.input_root.to_string(),
            "outputRoot": self.output_root.to_string(),
            "response": self.response.to_string(),
            "render": self.render.0.to_string(),
            "parameters": hex0x(&self.parameters),
            "seed": self.seed.to_string(),
            "units": self.units.to_string(),
            "fee": self.fee.to_string(),
            "blockHeight": self.block_height.to_string(),
            "blockHash": self.block_hash.to_string(),
            "signer": account(&self.signer),
        })
    }
}

impl TypedDocument for Close {
    fn type_string(&self) -> String {
        Self::TYPE.to_owned()
    }

    fn message(&self) -> Value {
        json!({ "channel": self.channel.to_string(), "expires": self.expires.to_string() })
    }
}

impl TypedDocument for Voucher {
    fn type_string(&self) -> String {
        Self::TYPE.to_owned()
    }

    fn message(&self) -> Value {
        json!({
            "channel": self.channel.to_string(),
            "first": self.first.to_string(),
            "count": self.count.to_string(),
            "root": hex0x(&self.root),
            "model": self.model.to_string(),
            "evidence": kind(self.evidence),
            "total": self.total.to_string(),
            "warranty": self.warranty.to_string(),
            "settleBy": self.settle_by.to_string(),
        })
    }
}

impl TypedDocument for ReceiptRoot {
    fn type_string(&self) -> String {
        Self::TYPE.to_owned()
    }

    fn message(&self) -> Value {
        json!({
            "channel": self.channel.to_string(),
            "first": self.first.to_string(),
            "count": self.count.to_string(),
            "root": hex0x(&self.root),
            "blockHeight": self.block_height.to_string(),
            "blockHash": self.block_hash.to_string(),
            "signer": account(&self.signer),
        })
    }
}

fn meta(meta: &TxMeta) -> Value {
    json!({
        "sender": account(&meta.sender),
        "expiry": meta.expiry.to_string(),
        "nonce": meta.nonce.to_string(),
        "maxBaseFee": meta.max_base_fee.to_string(),
        "tip": meta.tip.to_string(),
        "sponsor": account(&meta.sponsor),
    })
}

fn offer(offer: &Offer) -> Value {
    json!({
        "model": offer.model.to_string(),
        "evidence": kind(offer.evidence),
        "asset": offer.asset.to_string(),
        "basePrice": offer.base_price.to_string(),
        "unitPrice": offer.unit_price.to_string(),
    })
}

/// The members of a message. Content without an EIP-712 type stands in it by the BLAKE3 of its encoding.
fn message(message: &Message) -> Value {
    match message {
        Message::Transfer { to, asset, amount } => {
            json!({ "to": account(to), "asset": asset.to_string(), "amount": amount.to_string() })
        }
        Message::RegisterModel { verifying_key, proof } => {
            json!({ "verifyingKey": content(verifying_key), "proof": content(proof) })
        }
        Message::RegisterNode {
            endpoint,
            payout,
            signer,
            offers,
        } => json!({
            "endpoint": endpoint,
            "payout": account(payout),
            "signer": account(signer),
            "offers": offers.iter().map(offer).collect::<Vec<_>>(),
        }),
        Message::Bond { asset, amount } | Message::Unbond { asset, amount } => {
            json!({ "asset": asset.to_string(), "amount": amount.to_string() })
        }
        Message::OpenChannel { quote } => {
            json!({ "quote": quote.value.message(), "signature": hex0x(quote.signature.as_bytes()) })
        }
        Message::TopUp { channel, amount } => {
            json!({ "channel": channel.to_string(), "amount": amount.to_string() })
        }
        Message::CloseChannel { channel, consent } => {
            json!({ "channel": channel.to_string(), "consent": content(&consent.encode()) })
        }
        Message::SettleBatch { groups } => json!({ "groups": list(groups) }),
        Message::ClaimMissed { order, receipt } => {
            json!({ "order": content(&order.encode()), "receipt": content(&receipt.encode()) })
        }
        Message::ClaimEquivocation { order, first, second } => json!({
            "order": content(&order.encode()),
            "first": content(&first.encode()),
            "second": content(&second.encode()),
        }),
        Message::Stake {
            key,
            possession,
            amount,
        } => json!({
            "key": key.to_string(),
            "possession": hex0x(possession),
            "amount": amount.to_string(),
        }),
        Message::Unstake { key, amount } => json!({ "key": key.to_string(), "amount": amount.to_string() }),
        Message::Unjail { key } => json!({ "key": key.to_string() }),
        Message::Propose { key, proposal } => {
            let change = |change: &ParamChange| json!({ "name": change.parameter.name(), "value": change.value.to_string() });
            let (version, height, cancels) = proposal.numbers();
            json!({
                "key": key.to_string(),
                "kind": proposal.kind(),
                "parameters": proposal.changes().iter().map(change).collect::<Vec<_>>(),
                "version": version.to_string(),
                "height": height.to_string(),
                "cancels": cancels.to_string(),
            })
        }
        Message::Vote {
            key,
            proposal,
            approve,
        } => json!({ "key": key.to_string(), "proposal": proposal.to_string(), "approve": approve }),
        Message::Demand {
            channel,
            first,
            sequence,
            receipt,
            path,
        } => json!({
            "channel": channel.to_string(),
            "first": first.to_string(),
            "sequence": sequence.to_string(),
            "receipt": receipt.to_string(),
            "path": path.iter().map(|hash| hex0x(hash)).collect::<Vec<_>>(),
        }),
        Message::Respond {
            answers,
            inferences,
            proof,
        } => json!({ "answers": list(answers), "inferences": list(inferences), "proof": content(proof) }),
        Message::SettleVouchers { coverages } => json!({ "coverages": list(coverages) }),
        Message::ClaimFalseLeaf {
            order,
            receipt,
            root,
            leaf,
            path,
        } => json!({
            "order": content(&order.encode()),
            "receipt": content(&receipt.encode()),
            "root": content(&root.encode()),
            "leaf": content(&leaf.encode()),
            "path": path.iter().map(|hash| hex0x(hash)).collect::<Vec<_>>(),
        }),
    }
}

impl TypedDocument for Transaction {
    fn type_string(&self) -> String {
        Transaction::type_string(self)
    }

    fn message(&self) -> Value {
        json!({ "meta": meta(&self.meta), "message": message(&self.message) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Domain, domain_json};
    use crate::id::{ChainId, GenesisHash};

    #[test]
    fn a_chain_id_never_loses_digits() {
        let chain_id = |number| {
            let domain = Domain {
                chain_id: ChainId(number),
                genesis: GenesisHash([7; 32]),
            };
            domain_json(&domain).get("chainId").cloned().unwrap_or_default()
        };
        assert_eq!(chain_id(7410), 7410);
        assert_eq!(chain_id((1 << 53) - 1), 9_007_199_254_740_991_u64);
        assert_eq!(chain_id(1 << 53), "9007199254740992");
        assert_eq!(chain_id(u64::MAX), "18446744073709551615");
    }
}
