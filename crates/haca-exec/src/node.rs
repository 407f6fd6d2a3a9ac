//! A running inference node: its threads, from start to shutdown.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use haca_client::Wallet;
use tokio::sync::oneshot;

use crate::ExecError;
use crate::chain::{Chain, POLL};
use crate::config::ExecConfig;
use crate::journal::Journal;
use crate::model::ServedModel;
use crate::service::Service;
use crate::{http, log, settlement, setup};

/// Starts inference nodes.
#[derive(Debug)]
pub struct InferenceNode;

/// A running node. It stops when shut down or dropped.
pub struct NodeHandle {
    url: String,
    stop: Arc<AtomicBool>,
    service: Arc<Service>,
    server: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl core::fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NodeHandle({})", self.url)
    }
}

impl InferenceNode {
    /// Reads keys and models, registers what is missing on chain, and serves.
    ///
    /// # Errors
    ///
    /// Whatever keeps the node from serving; nothing that left it before is lost by that.
    pub fn start(config: ExecConfig) -> Result<NodeHandle, ExecError> {
        let listener = TcpListener::bind(&config.listen).map_err(|source| ExecError::Listen {
            address: config.listen.clone(),
            source,
        })?;
        let listen_failed = |source| ExecError::Listen {
            address: config.listen.clone(),
            source,
        };
        listener.set_nonblocking(true).map_err(listen_failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(listen_failed)?);
        let account = Wallet::load_or_create(&config.account_key())?;
        let signer = Wallet::load_or_create(&config.receipt_key())?;
        let models = ServedModel::read_all(&config.models())?;
        let client = setup::connect(&config)?;
        let chain = Chain::new(client, account.address())?;
        let journal = Journal::open(&config.journal(), chain.domain)?;
        let endpoint = config.endpoint.clone().unwrap_or_else(|| url.clone());
        let service = Arc::new(Service::new(config, chain, journal, models, account, signer)?);
        setup::register(
            &service.config,
            &service.chain,
            &service.account,
            service.signer.address(),
            &endpoint,
            &service.models,
            &service.offers(),
        )?;
        log::event(
            "serving",
            format_args!("url={url} account={}", service.account.address()),
        );
        serve(service, listener, url)
    }
}

fn serve(service: Arc<Service>, listener: TcpListener, url: String) -> Result<NodeHandle, ExecError> {
    let failed = |source| ExecError::Runtime { source };
    let stop = Arc::new(AtomicBool::new(false));
    let (server, ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let router = http::router(Arc::clone(&service));
    let http = std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            let ended = async {
                let _ = ended.await;
            };
            let _ = axum::serve(listener, router).with_graceful_shutdown(ended).await;
        });
    });
    let (watched, halt) = (Arc::clone(&service), Arc::clone(&stop));
    let head = std::thread::Builder::new().name("head".into()).spawn(move || {
        while !halt.load(Ordering::Relaxed) {
            // A failure shows as a stale head, which refuses orders by itself.
            let _ = watched.chain.refresh();
            std::thread::sleep(POLL);
        }
    });
    let (worker, halt) = (Arc::clone(&service), Arc::clone(&stop));
    let settler = std::thread::Builder::new()
        .name("settler".into())
        .spawn(move || settlement::run(&worker, &halt));
    let threads = vec![
        http.map_err(failed)?,
        head.map_err(failed)?,
        settler.map_err(failed)?,
    ];
    Ok(NodeHandle {
        url,
        stop,
        service,
        server: Some(server),
        threads,
    })
}

impl NodeHandle {
    /// Base URL of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether every thread still runs.
    pub fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Ends requests in progress, then the threads. What is not settled is settled after the next start.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.send(());
        }
        self.service.notify();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.end();
    }
}
