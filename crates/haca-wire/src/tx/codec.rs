//! The encoding of messages (`spec/wire.md`, W6).

use super::Message;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};
use crate::evidence::{Answer, Group};
use crate::limit;
use crate::voucher::Coverage;

impl Encode for Message {
    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Transfer { to, asset, amount } => {
                out.push(1);
                to.encode_into(out);
                asset.encode_into(out);
                amount.encode_into(out);
            }
            Self::RegisterModel { verifying_key, proof } => {
                out.push(2);
                put_bytes(out, verifying_key);
                put_bytes(out, proof);
            }
            Self::RegisterNode {
                endpoint,
                payout,
                signer,
                offers,
            } => {
                out.push(3);
                put_bytes(out, endpoint.as_bytes());
                payout.encode_into(out);
                signer.encode_into(out);
                put_list(out, offers);
            }
            Self::Bond { asset, amount } => {
                out.push(4);
                asset.encode_into(out);
                amount.encode_into(out);
            }
            Self::Unbond { asset, amount } => {
                out.push(5);
                asset.encode_into(out);
                amount.encode_into(out);
            }
            Self::OpenChannel { quote } => {
                out.push(6);
                quote.encode_into(out);
            }
            Self::TopUp { channel, amount } => {
                out.push(7);
                channel.encode_into(out);
                amount.encode_into(out);
            }
            Self::CloseChannel { channel, consent } => {
                out.push(8);
                channel.encode_into(out);
                consent.encode_into(out);
            }
            Self::SettleBatch { groups } => {
                out.push(9);
                put_list(out, groups);
            }
            Self::ClaimMissed { order, receipt } => {
                out.push(10);
                order.encode_into(out);
                receipt.encode_into(out);
            }
            Self::ClaimEquivocation { order, first, second } => {
                out.push(11);
                order.encode_into(out);
                first.encode_into(out);
                second.encode_into(out);
            }
            Self::Stake {
                key,
                possession,
                amount,
            } => {
                out.push(12);
                key.encode_into(out);
                possession.encode_into(out);
                amount.encode_into(out);
            }
            Self::Unstake { key, amount } => {
                out.push(13);
                key.encode_into(out);
                amount.encode_into(out);
            }
            Self::Unjail { key } => {
                out.push(14);
                key.encode_into(out);
            }
            Self::Propose { key, proposal } => {
                out.push(15);
                key.encode_into(out);
                proposal.encode_into(out);
            }
            Self::Vote {
                key,
                proposal,
                approve,
            } => {
                out.push(16);
                key.encode_into(out);
                proposal.encode_into(out);
                approve.encode_into(out);
            }
            Self::Demand {
                channel,
                first,
                sequence,
                receipt,
                path,
            } => {
                out.push(17);
                channel.encode_into(out);
                first.encode_into(out);
                sequence.encode_into(out);
                receipt.encode_into(out);
                put_list(out, path);
            }
            Self::Respond {
                answers,
                inferences,
                proof,
            } => {
                out.push(18);
                put_list(out, answers);
                put_list(out, inferences);
                put_bytes(out, proof);
            }
            Self::SettleVouchers { coverages } => {
                out.push(19);
                put_list(out, coverages);
            }
            Self::ClaimFalseLeaf {
                order,
                receipt,
                root,
                leaf,
                path,
            } => {
                out.push(20);
                order.encode_into(out);
                receipt.encode_into(out);
                root.encode_into(out);
                leaf.encode_into(out);
                put_list(out, path);
            }
        }
    }
}

impl Decode for Message {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(r)? {
            1 => Self::Transfer {
                to: Decode::decode(r)?,
                asset: Decode::decode(r)?,
                amount: Decode::decode(r)?,
            },
            2 => Self::RegisterModel {
                verifying_key: r.bytes("verifying key", limit::VERIFYING_KEY_BYTES)?,
                proof: r.bytes("proof", limit::PROOF_BYTES)?,
            },
            3 => Self::RegisterNode {
                endpoint: r.string("endpoint", limit::ENDPOINT_BYTES)?,
                payout: Decode::decode(r)?,
                signer: Decode::decode(r)?,
                offers: r.list("offers", limit::OFFERS)?,
            },
            4 => Self::Bond {
                asset: Decode::decode(r)?,
                amount: Decode::decode(r)?,
            },
            5 => Self::Unbond {
                asset: Decode::decode(r)?,
                amount: Decode::decode(r)?,
            },
            6 => Self::OpenChannel {
                quote: Decode::decode(r)?,
            },
            7 => Self::TopUp {
                channel: Decode::decode(r)?,
                amount: Decode::decode(r)?,
            },
            8 => Self::CloseChannel {
                channel: Decode::decode(r)?,
                consent: Decode::decode(r)?,
            },
            9 => {
                let groups: Vec<Group> = r.list("groups", limit::GROUPS)?;
                if groups.is_empty() {
                    return Err(DecodeError::Invalid {
                        what: "batch without groups",
                    });
                }
                Self::SettleBatch { groups }
            }
            10 => Self::ClaimMissed {
                order: Decode::decode(r)?,
                receipt: Decode::decode(r)?,
            },
            11 => Self::ClaimEquivocation {
                order: Decode::decode(r)?,
                first: Decode::decode(r)?,
                second: Decode::decode(r)?,
            },
            12 => Self::Stake {
                key: Decode::decode(r)?,
                possession: Decode::decode(r)?,
                amount: Decode::decode(r)?,
            },
            13 => Self::Unstake {
                key: Decode::decode(r)?,
                amount: Decode::decode(r)?,
            },
            14 => Self::Unjail {
                key: Decode::decode(r)?,
            },
            15 => Self::Propose {
                key: Decode::decode(r)?,
                proposal: Decode::decode(r)?,
            },
            16 => Self::Vote {
                key: Decode::decode(r)?,
                proposal: Decode::decode(r)?,
                approve: Decode::decode(r)?,
            },
            17 => Self::Demand {
                channel: Decode::decode(r)?,
                first: Decode::decode(r)?,
                sequence: Decode::decode(r)?,
                receipt: Decode::decode(r)?,
                path: r.list("path", limit::MERKLE_PATH)?,
            },
            18 => decode_respond(r)?,
            19 => {
                let coverages: Vec<Coverage> = r.list("coverages", limit::COVERAGES)?;
                if coverages.is_empty() {
                    return Err(DecodeError::Invalid {
                        what: "batch without vouchers",
                    });
                }
                Self::SettleVouchers { coverages }
            }
            20 => Self::ClaimFalseLeaf {
                order: Decode::decode(r)?,
                receipt: Decode::decode(r)?,
                root: Decode::decode(r)?,
                leaf: Decode::decode(r)?,
                path: r.list("path", limit::MERKLE_PATH)?,
            },
            found => {
                return Err(DecodeError::BadTag {
                    what: "message",
                    found: u64::from(found),
                });
            }
        })
    }
}

fn decode_respond(r: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let answers: Vec<Answer> = r.list("answers", limit::ITEMS)?;
    if answers.is_empty() {
        return Err(DecodeError::Invalid {
            what: "response without answers",
        });
    }
    Ok(Message::Respond {
        answers,
        inferences: r.list("inferences", limit::ITEMS)?,
        proof: r.bytes("proof", limit::PROOF_BYTES)?,
    })
}
