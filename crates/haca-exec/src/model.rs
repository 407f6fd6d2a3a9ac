//! The models that a node serves.

use std::path::Path;

use haca_graph::ModelFile;
use haca_prover::{ProverError, ProvingKey, Supervision};
use haca_wire::{Decode as _, Encode as _, ModelId, TensorSpec, limit};

use crate::ExecError;

/// A model ready to run and to prove.
pub struct ServedModel {
    /// Its identity.
    pub id: ModelId,
    /// Runs and proves it.
    pub key: ProvingKey,
    /// Encoded verifying key, as registered on chain.
    pub verifying_key: Vec<u8>,
    /// Proof of the weights' ranges, for the registration.
    pub registration: Vec<u8>,
    /// Outputs, with names and scales.
    pub outputs: Vec<TensorSpec>,
    /// The most inferences that are proven at once in the memory there is.
    pub batch: usize,
}

impl core::fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ServedModel({})", self.id)
    }
}

impl ServedModel {
    /// Reads and registers a model file. Registering, and proving one inference, has to fit into `memory` bytes when
    /// there is a limit.
    pub fn read(path: &Path, memory: Option<u64>) -> Result<Self, ExecError> {
        let bytes = std::fs::read(path).map_err(|source| ExecError::Home {
            path: path.to_owned(),
            source,
        })?;
        let file = ModelFile::decode_all(&bytes).map_err(|source| ExecError::ModelFile {
            path: path.to_owned(),
            source,
        })?;
        let mut supervision = Supervision {
            memory_limit_bytes: memory,
            ..Supervision::default()
        };
        let too_large = |source| ExecError::Model {
            path: path.to_owned(),
            source,
        };
        let registration = ProvingKey::register_supervised(file, &mut supervision).map_err(too_large)?;
        let batch = within(&registration.proving_key, memory).map_err(too_large)?;
        let manifest = registration.verifying_key.manifest();
        Ok(Self {
            id: registration.verifying_key.model_id(),
            outputs: manifest
                .graph
                .outputs()
                .iter()
                .map(|(_, spec)| spec.clone())
                .collect(),
            verifying_key: registration.verifying_key.encode(),
            registration: registration.proof,
            key: registration.proving_key,
            batch,
        })
    }

    /// Reads every `.haca` file of a directory, by name. `kinds` is how many offers each is to have.
    pub fn read_all(directory: &Path, memory: Option<u64>, kinds: usize) -> Result<Vec<Self>, ExecError> {
        let most = limit::OFFERS / kinds.max(1);
        let failed = |source| ExecError::Home {
            path: directory.to_owned(),
            source,
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "haca") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(ExecError::NoModels {
                path: directory.to_owned(),
            });
        }
        let mut models: Vec<Self> = Vec::new();
        for path in &paths {
            let model = Self::read(path, memory)?;
            // Two offers of one model are refused on chain.
            if models.iter().all(|other| other.id != model.id) {
                models.push(model);
            }
        }
        if models.len() > most {
            return Err(ExecError::TooManyModels {
                path: directory.to_owned(),
                found: models.len(),
                expected: most,
            });
        }
        Ok(models)
    }

    /// The name in its manifest.
    pub fn name(&self) -> &str {
        self.key.manifest().name.as_str()
    }

    /// The inputs, with names and scales.
    pub fn inputs(&self) -> &[TensorSpec] {
        self.key.manifest().graph.inputs()
    }

    /// Units of one inference: the graph's multiply-accumulates.
    pub fn units(&self) -> u64 {
        self.key.manifest().graph.macs()
    }
}

/// The largest batch that is proven within `memory` bytes.
fn within(key: &ProvingKey, memory: Option<u64>) -> Result<usize, ProverError> {
    let most = key.verifying_key().max_batch();
    let Some(expected) = memory else {
        return Ok(most);
    };
    match key.batch_within(most, expected) {
        0 => Err(ProverError::Memory {
            what: "the proof of one inference",
            found: key.memory_bytes(1),
            expected,
        }),
        batch => Ok(batch),
    }
}
