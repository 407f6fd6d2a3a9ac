//! The HTTP server: connections with bounds on their number, on the time for their headers, and on their life.

use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::config::HttpLimits;

/// Bytes of the headers of a request.
const HEADER_BYTES: usize = 32 << 10;
/// Life of a connection. It is then closed after the request in work; a client opens another one.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// Time that requests in work get, once a connection or the server is to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. It ends when told to or dropped.
#[derive(Debug)]
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves routes on a listener, on threads of its own.
    pub(crate) fn start(listener: TcpListener, router: Router, limits: HttpLimits) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("exec-http")
            .enable_all()
            .build()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("exec-http".into())
            .spawn(move || {
                runtime.block_on(accept(listener, router, limits, stopped));
                runtime.shutdown_timeout(DRAIN);
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Whether it still serves.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Takes no more requests, and waits for those in work, but not for ever.
    pub(crate) fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    router: Router,
    limits: HttpLimits,
    stopped: watch::Receiver<bool>,
) {
    let most = u32::try_from(limits.connections).map_or(1 << 16, |most| most.clamp(1, 1 << 16));
    let places = Arc::new(Semaphore::new(most as usize));
    let mut stop = stopped.clone();
    loop {
        let place = Arc::clone(&places);
        let next = async {
            let place = place.acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = next => accepted,
        };
        match accepted {
            Some((Ok((stream, _)), place)) => {
                let connection = serve(stream, router.clone(), limits, stopped.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Some((Err(_), _)) => tokio::time::sleep(ACCEPT_PAUSE).await,
            None => break,
        }
    }
    drop(listener);
    // Every connection gives its place back at its end.
    let all = places.acquire_many(most);
    let _ = tokio::time::timeout(DRAIN, all).await;
}

async fn serve(stream: TcpStream, router: Router, limits: HttpLimits, mut stop: watch::Receiver<bool>) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(HEADER_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = tokio::time::sleep(CONNECTION_LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(DRAIN, connection).await;
}
