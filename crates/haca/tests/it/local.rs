//! A network of real processes for tests.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use haca_client::{InferenceClient, NodeClient, Wallet};
use haca_wire::{Amount, AssetId, ChannelId, Domain, Message, ModelId};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test.
pub(crate) fn haca() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haca"));
    command
        .env_remove("HACA_URL")
        .env_remove("HACA_DATA")
        .env_remove("HACA_TRUST")
        .env_remove("HACA_LISTEN")
        .env_remove("HACA_MEMORY_LIMIT_MB");
    command
}

/// Exit code and the one JSON object of a command.
pub(crate) fn json(command: &mut Command) -> (i32, serde_json::Value) {
    let output = command.arg("--json").arg("--quiet").output().unwrap();
    let code = output.status.code().expect("no signal");
    (
        code,
        serde_json::from_slice(&output.stdout).expect("one JSON object"),
    )
}

/// An address of the loopback interface that is kept for a process to be started.
pub(crate) fn free_address() -> String {
    haca_node::loopback::reserve().unwrap().to_string()
}

/// A child that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `ready`, or fails.
pub(crate) fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A full node and what it takes to run an inference node beside it.
pub(crate) struct Local {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) node_url: String,
    pub(crate) inference_address: String,
    _node: Running,
}

impl Local {
    /// Makes a network with `haca up`, stops it, and starts its full node alone.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more options for the full node.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (listen, inference_address) = (free_address(), free_address());
        let node_url = format!("http://{listen}");
        let up = haca()
            .args(["up", "--data"])
            .arg(dir.path())
            .args(["--listen", &listen, "--inference-listen", &inference_address])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut up = Running(up);
        let mut announcement = String::new();
        BufReader::new(up.0.stdout.as_mut().unwrap())
            .read_line(&mut announcement)
            .unwrap();
        assert!(announcement.contains("The network is up"), "{announcement}");
        let status = Command::new("kill")
            .arg("-TERM")
            .arg(up.0.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        assert!(up.0.wait().unwrap().success(), "haca up ends well when asked to");
        let node = haca()
            .args(["node", "start", "--home"])
            .arg(dir.path().join("node"))
            .args(["--listen", &listen])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = NodeClient::new(&node_url);
        wait_for("the full node", || client.is_ready());
        Self {
            dir,
            node_url,
            inference_address,
            _node: Running(node),
        }
    }

    /// Starts the inference node and waits until it serves.
    pub(crate) fn serve(&self) -> Running {
        self.serve_with(&[])
    }

    /// The same, with more options.
    pub(crate) fn serve_with(&self, options: &[&str]) -> Running {
        let child = haca()
            .args(["serve", "--home"])
            .arg(self.path().join("inference"))
            .args(["--node", &self.node_url, "--listen", &self.inference_address])
            // As `haca up` starts it: other offers would be another version of them.
            .args(["--optimistic-price", "1000"])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let running = Running(child);
        let inference = self.inference();
        wait_for("the inference node", || inference.is_ready());
        running
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn node(&self) -> NodeClient {
        NodeClient::new(&self.node_url)
    }

    pub(crate) fn inference(&self) -> InferenceClient {
        InferenceClient::new(&format!("http://{}", self.inference_address))
    }

    pub(crate) fn domain(&self) -> Domain {
        self.node().chain().unwrap().domain()
    }

    pub(crate) fn user(&self) -> Wallet {
        Wallet::load(&self.key("user/wallet.key")).unwrap()
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Has commands with `--data` use another address: `node_url` or `inference_url`.
    pub(crate) fn point(&self, field: &str, url: &str) {
        let path = self.key("network.json");
        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        *file.get_mut(field).unwrap() = url.into();
        std::fs::write(path, file.to_string()).unwrap();
    }

    /// The id of the model that the node serves.
    pub(crate) fn model(&self) -> ModelId {
        let models = self.inference().models().unwrap();
        models["data"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Opens a channel of the user's.
    pub(crate) fn open_channel(&self, deposit: u128, warranty: u128) -> ChannelId {
        let user = self.user();
        let quote = self
            .inference()
            .quote(
                user.address(),
                AssetId(1),
                Amount(deposit),
                Amount(warranty),
                &self.domain(),
            )
            .unwrap();
        let channel = quote.value.channel(&self.domain());
        self.send(&user, Message::OpenChannel { quote }).unwrap();
        channel
    }

    /// Signs and sends a message and waits for its block.
    pub(crate) fn send(
        &self,
        wallet: &Wallet,
        message: Message,
    ) -> Result<(haca_wire::TxHash, haca_client::Included), haca_client::ClientError> {
        let node = self.node();
        let head = node.status().unwrap().height;
        let tx = wallet
            .transaction(message, &self.domain(), head, Amount(1_000_000))
            .unwrap();
        node.submit_and_wait(&tx, PATIENCE)
    }
}
