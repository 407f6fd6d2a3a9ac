//! ABCI 2.0 over a socket: how CometBFT talks to an [`Application`](crate::application::Application).
//!
//! Requests and responses are protobuf messages behind a varint length. CometBFT opens four connections, each
//! serial in itself; every connection has a thread here.

mod dispatch;
mod frame;
mod server;
mod snapshots;

pub use dispatch::respond;
pub use frame::{MAX_FRAME_BYTES, read_frame};
pub use server::{AbciAddress, AbciServer};
