//! How an operator asks the running node: a token in the home, as good as the keys beside it.

use std::io::Write as _;
use std::path::Path;

use haca_client::{ClientError, InferenceClient, NodeClient, Wallet, random_nonce};
use haca_wire::Decode as _;
use serde::{Deserialize, Serialize};

use crate::ExecError;
use crate::config::ExecConfig;
use crate::journal::Journal;
use crate::snapshot::Snapshot;

/// What lets an operator read reports of a running node. Made anew at every start.
pub(crate) struct OperatorAccess {
    token: String,
}

/// The file in the home.
#[derive(Serialize, Deserialize)]
struct OperatorFile {
    url: String,
    token: String,
}

impl OperatorAccess {
    pub(crate) fn new() -> Result<Self, ExecError> {
        let token = hex::encode(random_nonce()?.0);
        Ok(Self { token })
    }

    /// What the header `authorization` has to be.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Writes the file, for the owner only.
    pub(crate) fn write(&self, path: &Path, url: &str) -> Result<(), ExecError> {
        let file = OperatorFile {
            url: url.to_owned(),
            token: self.token.clone(),
        };
        let write = || -> std::io::Result<()> {
            // One that a kill left may be another's to read.
            let _ = std::fs::remove_file(path);
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path)?.write_all(&serde_json::to_vec(&file)?)
        };
        write().map_err(|source| ExecError::Home {
            path: path.to_owned(),
            source,
        })
    }
}

/// What a home's reports are made of: from the node that runs there, else from its journal.
///
/// # Errors
///
/// A home that is none, or whose journal can't be read.
pub fn read_snapshot(config: &ExecConfig) -> Result<Snapshot, ExecError> {
    if let Some(snapshot) = ask(&config.operator_file())? {
        return Ok(snapshot);
    }
    let path = config.journal();
    if !path.exists() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(ExecError::Home { path, source });
    }
    let account = Wallet::load(&config.account_key())?;
    let domain = NodeClient::new(&config.node_url).chain()?.domain();
    Journal::open(&path, domain, account.address())?.snapshot()
}

/// The running node's word; `None` when none runs.
fn ask(path: &Path) -> Result<Option<Snapshot>, ExecError> {
    let Some(file) = std::fs::read(path).ok() else {
        return Ok(None);
    };
    let Ok(file) = serde_json::from_slice::<OperatorFile>(&file) else {
        return Ok(None);
    };
    let client = InferenceClient::new(&file.url);
    match client.operator_bytes("/v1/snapshot", &file.token) {
        Ok(bytes) => {
            let snapshot = Snapshot::decode_all(&bytes).map_err(|error| ClientError::Malformed {
                url: file.url,
                found: error.to_string(),
                expected: "a snapshot of this version",
            });
            Ok(Some(snapshot?))
        }
        // The file of a node that was killed.
        Err(ClientError::Unreachable { .. } | ClientError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
