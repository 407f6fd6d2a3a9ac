//! A network on this machine: its directory, its processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use haca_client::{InferenceClient, NodeClient};
use haca_node::loopback;
use haca_wire::GenesisHash;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};
use crate::session::replace;

/// What inference nodes of local networks ask for an answer that they prove on demand.
const LOCAL_OPTIMISTIC_PRICE: &str = "1000";
/// How long a process may take to become ready.
const READY: Duration = Duration::from_secs(60);
/// Environment variable of children that end with their parent.
const WITH_PARENT: &str = "HACA_WITH_PARENT";
/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(25);

/// The addresses of a network, in `network.json` of its directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NetworkFile {
    /// The full node's API.
    pub(crate) node_url: String,
    /// The inference node's API.
    pub(crate) inference_url: String,
    /// Hash of the genesis document: what a user has to trust.
    pub(crate) trust: String,
    /// "dev" or "cometbft".
    pub(crate) engine: String,
    /// The full nodes of a network of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<NodePlace>,
}

/// The addresses of one of several full nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodePlace {
    /// Its API.
    pub(crate) url: String,
    /// Host and port of CometBFT's RPC.
    pub(crate) rpc: String,
    /// Host and port of CometBFT's peer-to-peer network.
    pub(crate) p2p: String,
    /// Its name there.
    pub(crate) id: String,
}

/// A network's directory.
pub(crate) struct Network {
    pub(crate) dir: PathBuf,
    pub(crate) file: NetworkFile,
}

impl Network {
    /// Reads the directory of a network.
    pub(crate) fn load(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("network.json");
        let bytes = std::fs::read(&path).map_err(|_| {
            Failure::usage(
                "cli.no_network",
                format!("{} holds no network", dir.display()),
                "start one with `haca up`, or name a node with --node",
            )
        })?;
        let file = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::usage(
                "cli.damaged_file",
                format!("{} is damaged: {error}", path.display()),
                "`haca up` writes it anew",
            )
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
        })
    }

    /// The genesis hash that the user trusts.
    pub(crate) fn trust(&self) -> Result<GenesisHash, Failure> {
        self.file.trust.parse().map_err(|error| {
            Failure::usage(
                "cli.damaged_file",
                format!("{} is damaged: {error}", self.dir.join("network.json").display()),
                "`haca up` writes it anew",
            )
        })
    }

    /// Writes `network.json`.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.file).unwrap_or_default();
        replace(&self.dir.join("network.json"), &text)
    }

    /// The full node's home.
    pub(crate) fn node_home(&self) -> PathBuf {
        match self.file.nodes.is_empty() {
            true => self.dir.join("node"),
            false => self.testnet_home(0),
        }
    }

    /// The home of one of several full nodes.
    pub(crate) fn testnet_home(&self, index: usize) -> PathBuf {
        self.dir.join(format!("node-{index}"))
    }

    /// The genesis document.
    pub(crate) fn genesis(&self) -> PathBuf {
        self.node_home().join("genesis.json")
    }

    /// The inference node's home.
    pub(crate) fn inference_home(&self) -> PathBuf {
        self.dir.join("inference")
    }

    /// The user's wallet, channel and receipts.
    pub(crate) fn user(&self) -> PathBuf {
        self.dir.join("user")
    }

    /// Starts the full node as a process of its own and waits until it is ready. `with_parent`: it ends when this
    /// process does.
    pub(crate) fn start_node(&self, listen: &str, with_parent: bool) -> Result<Process, Failure> {
        require_free(listen)?;
        let mut process = Process::start(
            "full node",
            &self.dir.join("logs/node.log"),
            &[
                "node".as_ref(),
                "start".as_ref(),
                "--home".as_ref(),
                self.node_home().as_os_str(),
            ],
            &["--engine", &self.file.engine, "--listen", listen],
            with_parent,
        )?;
        process.wait_node(&self.file.node_url)?;
        Ok(process)
    }

    /// Starts the inference node as a process of its own and waits until it is ready. `with_parent`: it ends when
    /// this process does.
    pub(crate) fn start_inference(&self, listen: &str, with_parent: bool) -> Result<Process, Failure> {
        require_free(listen)?;
        let mut process = Process::start(
            "inference node",
            &self.dir.join("logs/inference.log"),
            &[
                "serve".as_ref(),
                "--home".as_ref(),
                self.inference_home().as_os_str(),
            ],
            &[
                "--node",
                &self.file.node_url,
                "--trust",
                &self.file.trust,
                "--listen",
                listen,
                "--optimistic-price",
                LOCAL_OPTIMISTIC_PRICE,
            ],
            with_parent,
        )?;
        let client = InferenceClient::new(&self.file.inference_url);
        process.wait_ready(|| client.is_ready())?;
        Ok(process)
    }
}

/// Sends a signal to a process.
fn signal(process: u32, signal: Signal) -> rustix::io::Result<()> {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    id.map_or(Ok(()), |id| kill_process(id, signal))
}

/// In a child that is to end with its parent: asks this very process to end when its standard input, a pipe that
/// only the parent holds, is closed. However the parent dies, the system closes it.
pub(crate) fn end_with_parent() {
    if std::env::var_os(WITH_PARENT).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = signal(std::process::id(), Signal::TERM);
    });
}

/// Fails when nothing can listen at an address: a server that is already there must not pass for the one started.
fn require_free(address: &str) -> Result<(), Failure> {
    std::net::TcpListener::bind(address).map(drop).map_err(|error| {
        Failure::new(
            Exit::Failure,
            "cli.address",
            format!("cannot listen at {address}: {error}"),
            "stop what listens there, or choose other addresses with --listen and --inference-listen",
        )
    })
}

/// A port of the loopback address that is kept for a process to be started, as `127.0.0.1:PORT`.
pub(crate) fn free_address() -> Result<String, Failure> {
    loopback::reserve()
        .map(|address| address.to_string())
        .map_err(|error| {
            Failure::new(
                Exit::Failure,
                "cli.no_port",
                error,
                "check that the loopback interface is up",
            )
        })
}

/// A child process with its output in a log file. It is ended when dropped, unless it was let go.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    detached: bool,
}

impl Process {
    /// Starts this very program with other arguments.
    pub(crate) fn start(
        name: &'static str,
        log: &Path,
        paths: &[&std::ffi::OsStr],
        arguments: &[&str],
        with_parent: bool,
    ) -> Result<Self, Failure> {
        Self::start_build(name, log, None, paths, arguments, with_parent)
    }

    /// Starts another build of this program, or this very one.
    pub(crate) fn start_build(
        name: &'static str,
        log: &Path,
        build: Option<&Path>,
        paths: &[&std::ffi::OsStr],
        arguments: &[&str],
        with_parent: bool,
    ) -> Result<Self, Failure> {
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, "create", &error))?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| Failure::file(log, "write", &error))?;
        let failed = |error: std::io::Error| {
            Failure::new(
                Exit::Failure,
                "cli.spawn",
                format!("cannot start the {name}: {error}"),
                "check limits on processes and memory",
            )
        };
        let errors = file.try_clone().map_err(failed)?;
        let program = match build {
            Some(path) => path.to_owned(),
            None => std::env::current_exe().map_err(failed)?,
        };
        let mut command = Command::new(program);
        command.args(paths).args(arguments).stdout(file).stderr(errors);
        if paths.first().is_some_and(|first| *first == "serve") {
            // The allocator keeps what a proof has used for the next one.
            command.env("MIMALLOC_PURGE_DELAY", "-1");
        }
        if !with_parent {
            command.stdin(Stdio::null());
        } else {
            command.stdin(Stdio::piped()).env(WITH_PARENT, "1");
        }
        // A group of its own: the terminal's interrupt reaches the parent alone, which stops its children in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(failed)?;
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
            detached: false,
        })
    }

    /// Its process number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets the process live on when this value goes.
    pub(crate) fn let_go(mut self) {
        self.detached = true;
    }

    /// The exit status when the process has ended.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What a process that ended by itself is reported as.
    pub(crate) fn death(&self) -> Failure {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let error = text
            .lines()
            .rev()
            .find(|line| line.starts_with("error"))
            .or(text.lines().last());
        Failure::new(
            Exit::Failure,
            "cli.process_ended",
            format!(
                "the {} ended: {}",
                self.name,
                error.unwrap_or("no word in its log")
            ),
            format!("its log is {}", self.log.display()),
        )
    }

    /// Waits until the full node at `url` serves.
    pub(crate) fn wait_node(&mut self, url: &str) -> Result<(), Failure> {
        let client = NodeClient::new(url);
        self.wait_ready(|| client.is_ready())
    }

    /// Waits until it is ready, or tells why it is not.
    pub(crate) fn wait_ready(&mut self, ready: impl Fn() -> bool) -> Result<(), Failure> {
        let start = Instant::now();
        while !ready() {
            if self.ended().is_some() {
                return Err(self.death());
            }
            if start.elapsed() > READY {
                return Err(Failure::new(
                    Exit::Failure,
                    "cli.not_ready",
                    format!("the {} is not ready after {} s", self.name, READY.as_secs()),
                    format!("its log is {}", self.log.display()),
                ));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Asks the process to end and does not wait for it.
    pub(crate) fn terminate(&self) {
        let _ = signal(self.child.id(), Signal::TERM);
    }

    /// Asks the process to end, and ends it when it does not.
    pub(crate) fn stop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let _ = signal(self.child.id(), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.detached {
            self.stop();
        }
    }
}
