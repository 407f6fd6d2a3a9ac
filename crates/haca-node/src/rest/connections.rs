//! Connections of the HTTP API: bounds on their number, on the time for headers and bodies, and on their life, so that
//! those who send slowly, or read nothing, hold little and not for long.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot, watch},
};

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at once. More wait in the system's queue.
    pub connections: usize,
    /// Transactions that are read at once, of at most a megabyte each.
    pub bodies: usize,
    /// Time for the headers of a request, from the moment that the connection waits for one.
    pub header_time: Duration,
    /// Time for the body of a request.
    pub body_time: Duration,
    /// Life of a connection. It ends after the request in work; a client opens another one.
    pub life: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            bodies: 64,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(20),
            life: Duration::from_secs(600),
        }
    }
}

/// Bytes of the headers of a request.
const HEADER_BYTES: usize = 32 << 10;
/// Time that a request in work gets once its connection is to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop, or until whoever would tell is gone.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    stopped: oneshot::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let (end, ended) = watch::channel(false);
    let accept = async {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let connection = answer(stream, router.clone(), limits, ended.clone());
            tokio::spawn(async move {
                connection.await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
    let _ = end.send(true);
}

async fn answer(stream: TcpStream, router: Router, limits: HttpLimits, mut ended: watch::Receiver<bool>) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(HEADER_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => {}
        () = tokio::time::sleep(limits.life) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(DRAIN, connection).await;
}
