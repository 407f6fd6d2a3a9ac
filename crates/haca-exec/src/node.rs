//! A running inference node: its threads, from start to shutdown.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use haca_client::Wallet;
use haca_prover::Cancellation;
use haca_wire::Address;

use crate::ExecError;
use crate::chain::{Chain, POLL};
use crate::config::ExecConfig;
use crate::journal::Journal;
use crate::model::ServedModel;
use crate::server::Server;
use crate::service::Service;
use crate::{http, log, settlement, setup};

/// Starts inference nodes.
#[derive(Debug)]
pub struct InferenceNode;

/// A running node. It stops when shut down or dropped.
pub struct NodeHandle {
    url: String,
    service: Arc<Service>,
    server: Option<Server>,
    workers: Workers,
}

impl core::fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NodeHandle({})", self.url)
    }
}

impl InferenceNode {
    /// Reads keys and models, registers what is missing on chain, and serves. Receipts of earlier runs are settled
    /// meanwhile: their time does not wait for a registration.
    ///
    /// # Errors
    ///
    /// Whatever keeps the node from serving; nothing that left it before is lost by that.
    pub fn start(mut config: ExecConfig) -> Result<NodeHandle, ExecError> {
        let listen_failed = |source| ExecError::Listen {
            address: config.listen.clone(),
            source,
        };
        let listener = TcpListener::bind(&config.listen).map_err(listen_failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(listen_failed)?);
        prepare_home(&config)?;
        let account = Wallet::load_or_create(&config.account_key())?;
        let signer = Wallet::load_or_create(&config.receipt_key())?;
        let memory = crate::memory::limit(config.memory_limit_mb);
        let kinds = 2 + usize::from(config.optimistic_price.is_some());
        let models = ServedModel::read_all(&config.models(), memory, kinds)?;
        let (client, domain) = setup::connect(&config)?;
        let prices = setup::prices(&client, &config.opg_prices)?;
        config.policy.prices.extend(prices);
        let chain = Chain::new(client, domain, account.address(), config.least_tick_ms)?;
        let journal = Journal::open(&config.journal(), chain.domain, account.address())?;
        let endpoint = config.endpoint.clone().unwrap_or_else(|| url.clone());
        let service = Arc::new(Service::new(config, chain, journal, models, account, signer)?);
        let workers = Workers::start(&service)?;
        setup::register(&service, &endpoint)?;
        let routes = http::router(Arc::clone(&service));
        let server = Server::start(listener, routes, service.config.http)
            .map_err(|source| ExecError::Runtime { source })?;
        service.operator.write(&service.config.operator_file(), &url)?;
        log::event(
            "serving",
            format_args!("url={url} account={}", service.account.address()),
        );
        Ok(NodeHandle {
            url,
            service,
            server: Some(server),
            workers,
        })
    }
}

/// Makes the home, and makes sure that it can be written to: keys and journal are of no use otherwise.
fn prepare_home(config: &ExecConfig) -> Result<(), ExecError> {
    let failed = |source| ExecError::Home {
        path: config.home.clone(),
        source,
    };
    std::fs::create_dir_all(&config.home).map_err(failed)?;
    let probe = config.home.join(".writable");
    std::fs::write(&probe, []).map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

/// The threads beside the server. They stop when stopped or dropped.
struct Workers {
    stop: Cancellation,
    service: Arc<Service>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(service: &Arc<Service>) -> Result<Self, ExecError> {
        let stop = Cancellation::new();
        let mut workers = Self {
            stop: stop.clone(),
            service: Arc::clone(service),
            threads: Vec::new(),
        };
        let (watched, halt) = (Arc::clone(service), stop.clone());
        workers.spawn("exec-head", move || {
            while !halt.is_cancelled() {
                // A failure shows as a stale head, which refuses orders by itself.
                let _ = watched.chain.refresh();
                std::thread::sleep(POLL);
            }
        })?;
        let settling = Arc::clone(service);
        workers.spawn("exec-settler", move || settlement::run(&settling, &stop))?;
        Ok(workers)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), ExecError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        self.threads
            .push(thread.map_err(|source| ExecError::Runtime { source })?);
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        self.service.notify();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl NodeHandle {
    /// Base URL of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The node's account.
    pub fn account(&self) -> Address {
        self.service.account.address()
    }

    /// Whether every thread still runs.
    pub fn is_running(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_running) && self.workers.is_running()
    }

    /// Ends requests in progress, then the threads. A proof in progress is cancelled; what is not settled is proven and
    /// settled after the next start.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.service.config.operator_file());
        // Answers in progress are journalled before the settler ends.
        drop(self.server.take());
    }
}
