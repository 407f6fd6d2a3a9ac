//! The socket server: one thread accepts, one thread per connection answers.

use std::{
    fs,
    io::{self, BufReader, BufWriter, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use prost::Message as _;
use tendermint_proto::v0_38::abci::{Request, Response};

use super::{read_frame, respond};
use crate::{application::Application, error::NodeError};

/// Bytes of a connection's read and write buffers.
const BUFFER_BYTES: usize = 64 << 10;
/// Connections served at once; CometBFT opens four.
const MAX_CONNECTIONS: usize = 16;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbciAddress {
    /// A unix socket; a stale file there is replaced.
    Unix(PathBuf),
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
        })
    }

    fn close(&self) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buffer),
            Self::Tcp(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

#[derive(Debug, Default)]
struct Connections {
    stopping: AtomicBool,
    open: Mutex<Vec<(u64, Stream)>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Connections {
    fn close_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for (_, stream) in self.open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            stream.close();
        }
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct AbciServer {
    address: AbciAddress,
    connections: Arc<Connections>,
    acceptor: Option<JoinHandle<()>>,
}

impl AbciServer {
    /// Listens and serves `app`. `failed` is called when the application can't go on; the connection is then closed.
    pub fn start(
        address: &AbciAddress,
        app: Arc<dyn Application>,
        failed: impl Fn(NodeError) + Send + Sync + 'static,
    ) -> Result<Self, NodeError> {
        let unusable = |source| NodeError::Listen {
            address: format!("{address:?}"),
            source,
        };
        let (listener, address) = bind(address).map_err(unusable)?;
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        let failed = Arc::new(failed);
        let acceptor = std::thread::Builder::new()
            .name("abci".to_owned())
            .spawn(move || accept(&listener, &shared, &app, &failed))
            .map_err(unusable)?;
        Ok(Self {
            address,
            connections,
            acceptor: Some(acceptor),
        })
    }

    /// Where the server listens, with the port it got.
    pub const fn address(&self) -> &AbciAddress {
        &self.address
    }

    /// Closes all connections and waits for the calls in progress.
    pub fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.connections.close_all();
        // Accepting blocks; one more connection wakes it. Where none can be made, as when somebody has removed the socket
        // file, nobody can connect any more, and the acceptor sleeps until the process ends.
        let is_awake = match &self.address {
            AbciAddress::Unix(path) => UnixStream::connect(path).is_ok(),
            AbciAddress::Tcp(address) => TcpStream::connect(address).is_ok(),
        };
        if is_awake {
            let _ = acceptor.join();
        }
        self.connections.close_all();
        let threads = std::mem::take(
            &mut *self
                .connections
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for thread in threads {
            let _ = thread.join();
        }
        if let AbciAddress::Unix(path) = &self.address {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for AbciServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn bind(address: &AbciAddress) -> io::Result<(Listener, AbciAddress)> {
    match address {
        AbciAddress::Unix(path) => {
            if path.exists() {
                fs::remove_file(path)?;
            }
            Ok((Listener::Unix(UnixListener::bind(path)?), address.clone()))
        }
        AbciAddress::Tcp(wanted) => {
            let listener = TcpListener::bind(wanted)?;
            let address = AbciAddress::Tcp(listener.local_addr()?);
            Ok((Listener::Tcp(listener), address))
        }
    }
}

fn accept(
    listener: &Listener,
    connections: &Arc<Connections>,
    app: &Arc<dyn Application>,
    failed: &Arc<impl Fn(NodeError) + Send + Sync + 'static>,
) {
    for number in 0_u64.. {
        let accepted = match listener {
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Listener::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
        };
        if connections.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, handle)) = accepted.and_then(|stream| Ok((stream.try_clone()?, stream))) else {
            continue;
        };
        {
            let mut open = connections.open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= MAX_CONNECTIONS {
                handle.close();
                continue;
            }
            open.push((number, handle));
        }
        let (app, failed, shared) = (Arc::clone(app), Arc::clone(failed), Arc::clone(connections));
        let thread = std::thread::Builder::new()
            .name(format!("abci-{number}"))
            .spawn(move || {
                if let Err(error) = serve(stream, app.as_ref())
                    && !shared.stopping.load(Ordering::SeqCst)
                {
                    failed(error);
                }
                let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.retain(|(other, stream)| {
                    if *other == number {
                        stream.close();
                    }
                    *other != number
                });
            });
        if let Ok(thread) = thread {
            let mut threads = connections.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.retain(|thread| !thread.is_finished());
            threads.push(thread);
        }
    }
}

/// Answers one connection until it ends. Responses are flushed when no further request has arrived yet.
fn serve(stream: Stream, app: &dyn Application) -> Result<(), NodeError> {
    let broken = |error: io::Error| NodeError::Abci {
        reason: error.to_string(),
    };
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, stream.try_clone().map_err(broken)?);
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, stream);
    // The peer may close at any time; that is its way of saying goodbye.
    while let Ok(Some(frame)) = read_frame(&mut reader) {
        let (response, failure) = match Request::decode(frame.as_slice()) {
            Ok(request) => respond(app, request),
            Err(error) => {
                let reason = format!("a request does not decode: {error}");
                (exception(&reason), Some(NodeError::Abci { reason }))
            }
        };
        let written = writer.write_all(&response.encode_length_delimited_to_vec());
        if let Some(failure) = failure {
            let _ = writer.flush();
            return Err(failure);
        }
        if written.is_err() || (reader.buffer().is_empty() && writer.flush().is_err()) {
            return Ok(());
        }
    }
    Ok(())
}

fn exception(error: &str) -> Response {
    use tendermint_proto::v0_38::abci::{ResponseException, response::Value};
    Response {
        value: Some(Value::Exception(ResponseException {
            error: error.to_owned(),
        })),
    }
}
