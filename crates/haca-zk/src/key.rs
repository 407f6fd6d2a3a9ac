//! The verifying key and the identity of a model.

use haca_graph::Manifest;
use haca_wire::codec::put_list;
use haca_wire::{Decode, DecodeError, Encode, Gas, ModelId, Reader};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};

use crate::circuit::{Circuit, Mapping};
use crate::field::{Base, CHARACTERISTIC, Extension, extension_bytes, from_coefficients};
use crate::joined::Place;
use crate::registration::RegistrationLayout;
use crate::schedule::Schedule;
use crate::security::{self, SecurityBudget};
use crate::value::{Element, Origin};
use crate::weight::{PIECES, WeightLayout};
use crate::witness::{BATCH_VARIABLES, BatchParameters, WitnessLayout};
use crate::{ProofRejection, gas};

/// Version of the protocol: the first byte of a verifying key.
pub const PROTOCOL_VERSION: u8 = 3;
/// The tables that proofs of this version look values up in, by the ids of `spec/zk.md`: range, side, larger, mapping.
pub const TABLE_CATALOGUE: [u8; 4] = [0, 1, 2, 3];

/// The numbers that fix the shape of every proof of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolParameters {
    /// Spans that the rows and the columns of a matrix are cut into, at most.
    pub pieces: u8,
    /// How the weight commitment is opened.
    pub weights: Schedule,
    /// How the witness of the registration proof is opened.
    pub registration: Schedule,
    /// One entry for each padded batch size, from one inference up; each is twice the one before.
    pub batches: Vec<BatchParameters>,
}

impl ProtocolParameters {
    /// What can be told without a graph: batch sizes are one to the most, and all of them commit to a witness or none.
    pub(crate) fn check_batches(&self) -> Result<(), ProofRejection> {
        let batches = self.batches.len();
        if batches == 0 || batches > BATCH_VARIABLES + 1 {
            return Err(ProofRejection::Parameter { what: "batch sizes" });
        }
        let witnesses = self.batches.iter().filter(|batch| batch.witness.is_some());
        if ![0, batches].contains(&witnesses.count()) {
            return Err(ProofRejection::Parameter { what: "witness" });
        }
        Ok(())
    }
}

impl Encode for ProtocolParameters {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.pieces.encode_into(out);
        self.weights.encode_into(out);
        self.registration.encode_into(out);
        put_list(out, &self.batches);
    }
}

impl Decode for ProtocolParameters {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            pieces: u8::decode(reader)?,
            weights: Schedule::decode(reader)?,
            registration: Schedule::decode(reader)?,
            batches: reader.list("batch sizes", BATCH_VARIABLES + 1)?,
        })
    }
}

/// Everything a verifier needs to know about a model. It exists only checked: layouts fit and no identity can wrap.
/// The security level is checked when a proof is verified.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    manifest: Manifest,
    parameters: ProtocolParameters,
    root: [u8; 32],
    answers: Vec<Extension>,
    model_id: ModelId,
    points: Vec<Vec<Extension>>,
    circuit: Circuit,
    weights: WeightLayout,
    registration: RegistrationLayout,
    witnesses: Vec<Option<WitnessLayout>>,
}

/// The layouts that follow from a manifest and parameters, before there is a commitment.
#[derive(Clone, Debug)]
pub struct Layouts {
    /// The provable form of the graph.
    pub circuit: Circuit,
    /// The weight commitment.
    pub weights: WeightLayout,
    /// The registration proof.
    pub registration: RegistrationLayout,
    /// The witness for each padded batch size.
    pub witnesses: Vec<Option<WitnessLayout>>,
}

impl Layouts {
    /// Steps R1 to R3 of `spec/zk.md`.
    pub fn new(manifest: &Manifest, parameters: &ProtocolParameters) -> Result<Self, ProofRejection> {
        parameters.check_batches()?;
        Self::of(Circuit::new(&manifest.graph)?, parameters)
    }

    /// Steps R2 and R3, for a circuit that stands already.
    fn of(circuit: Circuit, parameters: &ProtocolParameters) -> Result<Self, ProofRejection> {
        let weights = WeightLayout::new(&circuit, parameters.pieces, &parameters.weights)?;
        let registration = RegistrationLayout::new(&weights, &parameters.registration)?;
        let mut witnesses = Vec::new();
        for (batch_variables, batch) in parameters.batches.iter().enumerate() {
            witnesses.push(match (&batch.witness, circuit.has_witness()) {
                (None, false) => None,
                (Some(witness), true) => {
                    Some(WitnessLayout::new(&circuit, &weights, batch_variables, witness)?)
                }
                _ => return Err(ProofRejection::Parameter { what: "witness" }),
            });
        }
        Ok(Self {
            circuit,
            weights,
            registration,
            witnesses,
        })
    }
}

/// Step R5 of `spec/zk.md`: the out-of-domain points, one for each table of the weight commitment, hashed from
/// everything that stands before them in the verifying key.
pub fn out_of_domain_points(
    manifest: &Manifest,
    parameters: &ProtocolParameters,
    root: &[u8; 32],
    tables: &[usize],
) -> Vec<Vec<Extension>> {
    let mut hasher = blake3::Hasher::new_derive_key("haca v1 zk out-of-domain points");
    hasher.update(&prefix(manifest, parameters, root));
    let mut stream = hasher.finalize_xof();
    let mut coefficient = || {
        loop {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            let value = u64::from_le_bytes(bytes);
            // Values at or above the characteristic are skipped, so that the rest is uniform.
            if value < CHARACTERISTIC {
                return Base::new(value);
            }
        }
    };
    let longest = tables.iter().copied().max().unwrap_or(0);
    let point: Vec<Extension> = (0..longest)
        .map(|_| {
            let coefficients = [coefficient(), coefficient(), coefficient()];
            Extension::from_basis_coefficients_slice(&coefficients).unwrap_or(Extension::ZERO)
        })
        .collect();
    let suffix = |variables: &usize| point.get(longest - variables..).unwrap_or_default().to_vec();
    tables.iter().map(suffix).collect()
}

/// The part of a verifying key that the out-of-domain points are hashed from.
fn prefix(manifest: &Manifest, parameters: &ProtocolParameters, root: &[u8; 32]) -> Vec<u8> {
    let mut bytes = vec![PROTOCOL_VERSION];
    bytes.extend_from_slice(&TABLE_CATALOGUE);
    manifest.encode_into(&mut bytes);
    parameters.encode_into(&mut bytes);
    bytes.extend_from_slice(root);
    bytes
}

/// Bytes of one node, parameter, value, accumulator, use, table or block of cells: more than each of them has.
const RECORD_BYTES: usize = 256;

impl VerifyingKey {
    /// Assembles a key and checks that everything in it fits.
    ///
    /// # Errors
    ///
    /// A graph that this version cannot prove, a parameter outside its domain, or a wrong number of answers.
    pub fn new(
        manifest: Manifest,
        parameters: ProtocolParameters,
        root: [u8; 32],
        answers: Vec<Extension>,
    ) -> Result<Self, ProofRejection> {
        let layouts = Layouts::new(&manifest, &parameters)?;
        Self::assemble(manifest, parameters, root, answers, layouts)
    }

    fn assemble(
        manifest: Manifest,
        parameters: ProtocolParameters,
        root: [u8; 32],
        answers: Vec<Extension>,
        layouts: Layouts,
    ) -> Result<Self, ProofRejection> {
        let Layouts {
            circuit,
            weights,
            registration,
            witnesses,
        } = layouts;
        let tables = weights.tables();
        if answers.len() != tables.len() {
            return Err(ProofRejection::Parameter {
                what: "out-of-domain answers",
            });
        }
        let points = out_of_domain_points(&manifest, &parameters, &root, &tables);
        let mut key = Self {
            manifest,
            parameters,
            root,
            answers,
            model_id: ModelId::default(),
            points,
            circuit,
            weights,
            registration,
            witnesses,
        };
        // Step R7: the model id covers the whole key.
        key.model_id = ModelId(blake3::derive_key("haca v1 zk model id", &key.encode()));
        Ok(key)
    }

    /// The identity of the model: a hash of the whole key.
    pub const fn model_id(&self) -> ModelId {
        self.model_id
    }

    /// What is public about the model.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The numbers that fix the shape of every proof.
    pub const fn parameters(&self) -> &ProtocolParameters {
        &self.parameters
    }

    /// Merkle root of the weight commitment.
    pub const fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// Evaluations of the committed tables at the out-of-domain points.
    pub fn answers(&self) -> &[Extension] {
        &self.answers
    }

    /// The out-of-domain points.
    pub fn points(&self) -> &[Vec<Extension>] {
        &self.points
    }

    /// The provable form of the graph.
    pub const fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The layout of the weight commitment.
    pub const fn weights(&self) -> &WeightLayout {
        &self.weights
    }

    /// The layout of the registration proof.
    pub const fn registration(&self) -> &RegistrationLayout {
        &self.registration
    }

    /// Most inferences of one proof.
    pub fn max_batch(&self) -> usize {
        1usize << (self.witnesses.len().max(1) - 1)
    }

    /// Base-two logarithm of the padded size of a batch of `inferences`.
    pub fn batch_variables(&self, inferences: usize) -> Result<usize, ProofRejection> {
        let expected = self.max_batch();
        if inferences == 0 || inferences > expected {
            return Err(ProofRejection::BatchSize {
                found: inferences,
                expected,
            });
        }
        Ok(crate::block::log2_ceil(inferences))
    }

    /// The witness layout of a padded batch size; `None` when the proof commits to nothing.
    pub fn witness(&self, batch_variables: usize) -> Option<&WitnessLayout> {
        self.witnesses.get(batch_variables).and_then(Option::as_ref)
    }

    /// The security budget of proofs of `batch` inferences.
    pub fn security(&self, batch: usize) -> SecurityBudget {
        let variables = crate::block::log2_ceil(batch.clamp(1, self.max_batch()));
        security::inference(self, variables)
    }

    /// The security budget of the registration proof.
    pub fn registration_security(&self) -> SecurityBudget {
        security::registration(self)
    }

    /// The work of verifying a proof of `batch` inferences, known from the key alone.
    pub fn verification_gas(&self, batch: usize) -> Gas {
        let variables = crate::block::log2_ceil(batch.clamp(1, self.max_batch()));
        gas::inference(self, variables)
    }

    /// An upper bound on the bytes of a proof of `batch` inferences.
    pub fn proof_bytes_bound(&self, batch: usize) -> usize {
        let variables = crate::block::log2_ceil(batch.clamp(1, self.max_batch()));
        crate::proof::bytes_bound(self, variables)
    }

    /// About the bytes of memory that the key takes: what grows with tensors and tables exactly, the rest by its number.
    pub fn memory_bytes(&self) -> usize {
        let circuit = &self.circuit;
        let arranged = circuit.values.iter().map(|value| match &value.origin {
            Origin::Whole(_) => 0,
            Origin::Arranged(elements) => elements.len().saturating_mul(size_of::<Element>()),
        });
        let points = self.points.iter().map(|point| size_of_val(point.as_slice()));
        let mappings = circuit.mappings.iter().map(|mapping| match mapping {
            Mapping::Function(_, table) => table.len(),
            Mapping::Clamp(..) => 0,
        });
        // Multipliers stand in the graph and in the circuit.
        let multipliers = circuit
            .requantises
            .iter()
            .map(|r| 2 * size_of_val(r.multipliers.as_slice()));
        let graph = &self.manifest.graph;
        let records = graph.nodes().len()
            + graph.params().len()
            + circuit.values.len()
            + circuit.accumulators.len()
            + circuit.uses.len()
            + circuit.outputs.len()
            + self.weights.tables().len()
            + self.witnesses.len() * (circuit.requantises.len() + circuit.stages.len() + 16);
        let joined = self.witnesses.iter().flatten().filter_map(WitnessLayout::joined);
        let stacks = joined.flat_map(|joined| &joined.stacks);
        let places = stacks.map(|(_, places)| size_of::<Place>().saturating_mul(places.len()));
        arranged
            .chain(places)
            .chain(points)
            .chain(mappings)
            .chain(multipliers)
            .fold(records.saturating_mul(RECORD_BYTES), usize::saturating_add)
    }

    /// The work of verifying the registration proof, known from the key alone.
    pub fn registration_gas(&self) -> Gas {
        gas::registration(self)
    }
}

impl PartialEq for VerifyingKey {
    /// Two keys are equal when their encodings are; everything else is derived.
    fn eq(&self, other: &Self) -> bool {
        self.model_id == other.model_id
    }
}

impl Eq for VerifyingKey {}

impl Encode for VerifyingKey {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend(prefix(&self.manifest, &self.parameters, &self.root));
        for answer in &self.answers {
            out.extend(extension_bytes(*answer));
        }
    }
}

impl Decode for VerifyingKey {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_head(reader)?;
        let manifest = Manifest::decode(reader)?;
        let parameters = ProtocolParameters::decode(reader)?;
        let root = reader.array()?;
        let invalid = |_| DecodeError::Invalid {
            what: "verifying key",
        };
        // A circuit may take long to build, so what can be told without one comes first.
        parameters.check_batches().map_err(invalid)?;
        let circuit = Circuit::new(&manifest.graph).map_err(invalid)?;
        // One answer for each tile of each matrix, and one for the biases.
        let tiles = crate::weight::tiles(&circuit.weights, parameters.pieces.min(PIECES), 0)
            .1
            .len();
        let mut answers = Vec::new();
        for _ in 0..=tiles {
            answers.push(read_extension(reader)?);
        }
        let layouts = Layouts::of(circuit, &parameters).map_err(invalid)?;
        Self::assemble(manifest, parameters, root, answers, layouts).map_err(invalid)
    }
}

/// Reads version and table catalogue.
pub(crate) fn read_head(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let found = u8::decode(reader)?;
    if found != PROTOCOL_VERSION {
        let what = "version of a verifying key";
        return Err(DecodeError::BadTag {
            what,
            found: u64::from(found),
        });
    }
    if reader.array()? != TABLE_CATALOGUE {
        return Err(DecodeError::Invalid {
            what: "table catalogue",
        });
    }
    Ok(())
}

/// Reads an extension element; each coefficient must be below the characteristic.
pub(crate) fn read_extension(reader: &mut Reader<'_>) -> Result<Extension, DecodeError> {
    let coefficients = [u64::decode(reader)?, u64::decode(reader)?, u64::decode(reader)?];
    from_coefficients(coefficients).ok_or(DecodeError::Invalid {
        what: "field element",
    })
}
