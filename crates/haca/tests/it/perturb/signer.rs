//! A remote signer in CometBFT's protocol whose clock can be wrong. A validator's clock enters the chain through the
//! timestamps of its votes alone, so this is what the others see of a machine whose clock is off.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use haca_node::engine::ValidatorKey;
use prost::Message as _;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::crypto::{PublicKey, public_key};
use tendermint_proto::v0_38::privval::{
    Message, PingResponse, PubKeyResponse, RemoteSignerError, SignedProposalResponse, SignedVoteResponse,
    message::Sum,
};
use tendermint_proto::v0_38::types::{Proposal, Vote};

/// How often it dials while its node is away.
const REDIAL: Duration = Duration::from_millis(50);
/// Longest message in bytes; CometBFT's own bound is 10 KiB.
const MESSAGE_BYTES: usize = 64 << 10;

/// A signer that ends with this value.
pub(super) struct Signer {
    skew_ms: Arc<AtomicI64>,
    over: Arc<AtomicBool>,
}

impl Signer {
    /// Signs with the key in the file for the node that listens at the socket.
    pub(super) fn start(key: &Path, chain_id: &str, socket: PathBuf) -> Self {
        let (skew_ms, over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut seat = Seat {
            key: ValidatorKey::read(key).unwrap(),
            chain_id: chain_id.parse().unwrap(),
            skew_ms: Arc::clone(&skew_ms),
            last: None,
        };
        let ended = Arc::clone(&over);
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                // A node that is killed and started again finds its signer waiting.
                let _ = UnixStream::connect(&socket).and_then(|stream| seat.serve(&stream, &ended));
                std::thread::sleep(REDIAL);
            }
        });
        Self { skew_ms, over }
    }

    /// Sets the clock wrong by so many milliseconds.
    pub(super) fn skew(&self, by_ms: i64) {
        self.skew_ms.store(by_ms, Ordering::SeqCst);
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// Height, round, and step: proposal, prevote, precommit.
type Position = (i64, i32, u8);

/// The key, and what it signed last.
struct Seat {
    key: ValidatorKey,
    chain_id: tendermint::chain::Id,
    skew_ms: Arc<AtomicI64>,
    last: Option<(Position, Sum)>,
}

impl Seat {
    fn serve(&mut self, mut stream: &UnixStream, over: &AtomicBool) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        while !over.load(Ordering::SeqCst) {
            let request = match read(&mut stream) {
                Ok(message) => message,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let answer = Message {
                sum: Some(self.answer(request.sum)),
            };
            stream.write_all(&answer.encode_length_delimited_to_vec())?;
        }
        Ok(())
    }

    fn answer(&mut self, request: Option<Sum>) -> Sum {
        let refused = |description: &str| RemoteSignerError {
            code: 1,
            description: description.to_owned(),
        };
        match request {
            Some(Sum::PubKeyRequest(_)) => Sum::PubKeyResponse(PubKeyResponse {
                pub_key: Some(PublicKey {
                    sum: Some(public_key::Sum::Ed25519(self.key.public().to_vec())),
                }),
                error: None,
            }),
            Some(Sum::SignVoteRequest(request)) => {
                self.vote(request.vote.unwrap_or_default()).unwrap_or_else(|| {
                    Sum::SignedVoteResponse(SignedVoteResponse {
                        vote: None,
                        error: Some(refused("another vote was signed here")),
                    })
                })
            }
            Some(Sum::SignProposalRequest(request)) => self
                .proposal(request.proposal.unwrap_or_default())
                .unwrap_or_else(|| {
                    Sum::SignedProposalResponse(SignedProposalResponse {
                        proposal: None,
                        error: Some(refused("another proposal was signed here")),
                    })
                }),
            _ => Sum::PingResponse(PingResponse {}),
        }
    }

    fn vote(&mut self, mut vote: Vote) -> Option<Sum> {
        let position = (vote.height, vote.round, vote.r#type as u8 + 1);
        if let Some(signed) = self.signed(position, |last| {
            matches!(last, Sum::SignedVoteResponse(signed) if signed.vote.as_ref().is_some_and(|signed| signed.block_id == vote.block_id))
        })? {
            return Some(signed);
        }
        self.shift(vote.timestamp.as_mut());
        let domain = tendermint::Vote::try_from(vote.clone()).ok()?;
        vote.signature = self
            .key
            .sign(&domain.into_signable_vec(self.chain_id.clone()))
            .to_vec();
        Some(self.keep(
            position,
            Sum::SignedVoteResponse(SignedVoteResponse {
                vote: Some(vote),
                error: None,
            }),
        ))
    }

    fn proposal(&mut self, mut proposal: Proposal) -> Option<Sum> {
        let position = (proposal.height, proposal.round, 1);
        if let Some(signed) = self.signed(position, |last| {
            matches!(last, Sum::SignedProposalResponse(signed) if signed.proposal.as_ref().is_some_and(|signed| signed.block_id == proposal.block_id))
        })? {
            return Some(signed);
        }
        // CometBFT takes nothing but the signature back: with another time in it, nobody could check it.
        let domain = tendermint::Proposal::try_from(proposal.clone()).ok()?;
        proposal.signature = self
            .key
            .sign(&domain.into_signable_vec(self.chain_id.clone()))
            .to_vec();
        let signed = SignedProposalResponse {
            proposal: Some(proposal),
            error: None,
        };
        Some(self.keep(position, Sum::SignedProposalResponse(signed)))
    }

    /// What was signed at this position, if it is the `same`; `None` where signing could mean signing twice.
    fn signed(&self, position: Position, same: impl Fn(&Sum) -> bool) -> Option<Option<Sum>> {
        match &self.last {
            Some((last, signed)) if *last == position => same(signed).then(|| Some(signed.clone())),
            Some((last, _)) if *last > position => None,
            _ => Some(None),
        }
    }

    fn keep(&mut self, position: Position, signed: Sum) -> Sum {
        self.last = Some((position, signed.clone()));
        signed
    }

    fn shift(&self, time: Option<&mut Timestamp>) {
        let Some(time) = time else { return };
        let by_ms = self.skew_ms.load(Ordering::SeqCst);
        let nanos = i64::from(time.nanos) + by_ms.rem_euclid(1_000) * 1_000_000;
        time.seconds += by_ms.div_euclid(1_000) + nanos / 1_000_000_000;
        time.nanos = i32::try_from(nanos % 1_000_000_000).unwrap_or(0);
    }
}

/// One message: its length as a varint, then its bytes. An idle connection is `WouldBlock`.
fn read(stream: &mut impl Read) -> io::Result<Message> {
    let mut length = 0_usize;
    for place in 0..5 {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .map_err(|error| match (place, error.kind()) {
                (1.., io::ErrorKind::WouldBlock) => io::Error::other("cut short"),
                _ => error,
            })?;
        length |= usize::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if length > MESSAGE_BYTES {
        return Err(io::Error::other("too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map_err(io::Error::other)?;
    Message::decode(bytes.as_slice()).map_err(io::Error::other)
}
