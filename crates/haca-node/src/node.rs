//! A whole full node in this process: store, ledger, consensus engine, HTTP API.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use haca_ledger::CheckProof;
use tendermint::Time;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, oneshot, watch},
};

use crate::{
    NodeError,
    application::Application as _,
    cometbft::{CometBft, CometConfig},
    driver::Driver,
    engine::{BlockStore, Chain, DevEngine, MempoolLimits, Pace},
    genesis::Genesis,
    history::{History, HistoryPolicy},
    home::Home,
    ledger_app::LedgerApp,
    metrics::Metrics,
    rest::{Api, HttpLimits, router, serve as serve_http},
    store::{DEFAULT_KEEP_VERSIONS, Store, database::prepare_directory},
};

/// Time that open requests get when a node stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Exports that are written at once.
const EXPORTS: usize = 2;

/// Which consensus drives the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One process that holds all validator keys; not BFT.
    Dev,
    /// CometBFT as a child process.
    CometBft(Box<CometConfig>),
}

/// How to run a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Directory made by [`init`](crate::home::init).
    pub home: PathBuf,
    /// Address of the HTTP API; port 0 takes a free one.
    pub listen: String,
    /// Consensus.
    pub engine: Engine,
    /// Versions of the state kept for proofs.
    pub keep_versions: u64,
    /// Blocks and snapshots kept (CometBFT).
    pub history: HistoryPolicy,
    /// When the dev engine makes blocks.
    pub pace: Pace,
    /// What the dev engine's mempool holds.
    pub mempool: MempoolLimits,
    /// What connections to the HTTP API may take.
    pub http: HttpLimits,
    /// The version of the rules up to which the node goes along; of no effect up to
    /// [`LATEST_VERSION`](haca_ledger::LATEST_VERSION).
    pub rehearse_version: u64,
}

impl NodeConfig {
    /// A dev node in `home` on the default address.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            listen: "127.0.0.1:7410".to_owned(),
            engine: Engine::Dev,
            keep_versions: DEFAULT_KEEP_VERSIONS,
            history: HistoryPolicy::default(),
            pace: Pace::default(),
            mempool: MempoolLimits::default(),
            http: HttpLimits::default(),
            rehearse_version: haca_ledger::LATEST_VERSION,
        }
    }
}

/// Starts nodes.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node; returns once its HTTP API answers. `checker` verifies the evidence:
    /// [`ZkEvidence`](crate::evidence::ZkEvidence) outside tests.
    pub fn start(config: &NodeConfig, checker: Box<dyn CheckProof + Send>) -> Result<NodeHandle, NodeError> {
        let home = Home::new(&config.home);
        let genesis = Genesis::read(&home.genesis())?;
        prepare_directory(home.path())?;
        let listener = listen(&config.listen)?;
        let address = listener.local_addr().map_err(|source| NodeError::Listen {
            address: config.listen.clone(),
            source,
        })?;
        let metrics = Arc::new(Metrics::default());
        let store = Store::open(&home.state(), genesis.hash(), config.keep_versions)?;
        let app = LedgerApp::new(genesis.clone(), store, checker, Arc::clone(&metrics))
            .rehearsing(config.rehearse_version);
        let app = Arc::new(match &config.engine {
            // Its own mempool goes by price; it keeps every block, and nobody joins it.
            Engine::Dev => app,
            Engine::CometBft(_) => app
                .before_mempool(&MempoolLimits::default())
                .with_history(History::open(&home, genesis.hash(), config.history)),
        });
        app.check_version()?;
        let (failed, failure) = watch::channel(false);
        let driver = start_engine(config, &home, &genesis, &app, failed)?;
        let api = Api {
            genesis: genesis.clone(),
            app,
            driver: Arc::clone(&driver),
            metrics,
            limits: config.http,
            bodies: Arc::new(Semaphore::new(config.http.bodies)),
            exports: Arc::new(Semaphore::new(EXPORTS)),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = serve(listener, api, stopped).inspect_err(|_| driver.stop())?;
        Ok(NodeHandle {
            address,
            genesis,
            driver,
            failure,
            stop: Some(stop),
            runtime: Some(runtime),
        })
    }
}

fn listen(address: &str) -> Result<TcpListener, NodeError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => NodeError::PortInUse {
            address: address.to_owned(),
        },
        _ => NodeError::Listen {
            address: address.to_owned(),
            source,
        },
    })
}

fn start_engine(
    config: &NodeConfig,
    home: &Home,
    genesis: &Genesis,
    app: &Arc<LedgerApp>,
    failed: watch::Sender<bool>,
) -> Result<Arc<dyn Driver>, NodeError> {
    let failed = move || {
        let _ = failed.send(true);
    };
    match &config.engine {
        Engine::Dev => {
            let blocks = Arc::new(BlockStore::open(&home.blocks(), genesis.hash())?);
            let chain = Chain::open(genesis.clone(), home.keys()?, blocks, Arc::clone(app))?;
            let engine = DevEngine::start(
                chain,
                Arc::clone(app),
                genesis,
                config.mempool,
                config.pace,
                Time::now,
                failed,
            )?;
            Ok(Arc::new(engine))
        }
        Engine::CometBft(comet) => {
            app.info()?;
            Ok(Arc::new(CometBft::start(
                comet,
                home,
                genesis,
                Arc::<LedgerApp>::clone(app),
                failed,
            )?))
        }
    }
}

fn serve(
    listener: TcpListener,
    api: Api,
    stopped: oneshot::Receiver<()>,
) -> Result<tokio::runtime::Runtime, NodeError> {
    let failed = |source| NodeError::Listen {
        address: "the HTTP API".to_owned(),
        source,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("node-http")
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(failed)?
    };
    let limits = api.limits;
    let app = router(Arc::new(api));
    runtime.spawn(async move {
        serve_http(listener, app, limits, stopped).await;
    });
    Ok(runtime)
}

/// A running node. Dropping it stops it.
#[derive(Debug)]
pub struct NodeHandle {
    address: SocketAddr,
    genesis: Genesis,
    driver: Arc<dyn Driver>,
    failure: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl std::fmt::Debug for dyn Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

impl NodeHandle {
    /// Base URL of the HTTP API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The network.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The consensus engine.
    pub const fn driver(&self) -> &Arc<dyn Driver> {
        &self.driver
    }

    /// Resolves when the engine has ended by itself.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut failure = self.failure.clone();
        async move {
            // An engine that goes away without a word was stopped through the handle.
            if failure.wait_for(|failed| *failed).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Blocks until a signal or the end of the engine, then stops the node.
    pub fn run_until(self, signals: Signals) -> Result<(), NodeError> {
        signals.wait(self.failed());
        let failed = self.driver.failure();
        self.shutdown();
        match failed {
            Some(reason) => Err(NodeError::EngineFailed { reason }),
            None => Ok(()),
        }
    }

    /// Stops the node: no new requests, the block in progress is finished, stores are closed.
    pub fn shutdown(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.driver.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(DRAIN);
        }
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.halt();
    }
}

/// SIGINT and SIGTERM, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    runtime: tokio::runtime::Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches the signals of this process instead of dying of them.
    pub fn catch() -> Result<Self, NodeError> {
        let failed = |source| NodeError::Listen {
            address: "signals".to_owned(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (interrupt, terminate) = {
            let _inside = runtime.enter();
            let catch = |kind| signal(kind).map_err(failed);
            (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?)
        };
        Ok(Self {
            runtime,
            interrupt,
            terminate,
        })
    }

    /// Blocks until a signal has come, or `other` has happened.
    pub fn wait(mut self, other: impl Future<Output = ()>) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                () = other => {}
            }
        });
    }
}
