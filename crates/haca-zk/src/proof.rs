//! Proofs and their canonical encoding. Every length follows from the verifying key.

use haca_wire::{DecodeError, Reader};

use crate::circuit::{Circuit, Site};
use crate::field::Extension;
use crate::fraction::{FractionProof, Layer};
use crate::opening::{self, OpeningProof, put_extensions, read_extensions, read_rounds};
use crate::registration::{LIMB_COLUMNS, RANGE_BITS};
use crate::sumcheck::Rounds;
use crate::witness::WitnessLayout;
use crate::{ProofRejection, VerifyingKey};

/// The part of a proof about the witness: requantisations and their lookups.
#[derive(Clone)]
pub struct WitnessProof {
    /// Root of the witness commitment.
    pub root: [u8; 32],
    /// The tree of lookups.
    pub lookups: FractionProof,
    /// The tree of tables.
    pub tables: FractionProof,
    /// The columns at the lookup point, in the order of the commitment.
    pub columns: Vec<Extension>,
    /// The low part of the quotients at the lookup point; it is not committed.
    pub low: Extension,
    /// The multiplicities of the range, side and clamp tables.
    pub multiplicities: [Extension; 3],
    /// The results that linear ops read, for each use that reads a requantisation.
    pub results: Vec<Extension>,
    /// The opening of the witness commitment.
    pub opening: OpeningProof,
}

/// The second sumcheck, over the channels of uses with multipliers per channel.
#[derive(Clone)]
pub struct ChannelProof {
    /// Its rounds.
    pub rounds: Rounds,
    /// Weights at the point, for each such use.
    pub weights: Vec<Extension>,
    /// Biases at the point, for each such use.
    pub biases: Vec<Extension>,
}

/// A proof of inferences.
#[derive(Clone)]
pub struct InferenceProof {
    /// The witness; absent when the graph has no requantisation.
    pub witness: Option<WitnessProof>,
    /// The folded bias of each use.
    pub biases: Vec<Extension>,
    /// The rounds of the matrix product sumcheck.
    pub product: Rounds,
    /// The folded weights of each use at the point of the matrix product sumcheck.
    pub weights: Vec<Extension>,
    /// The sumcheck over channels; absent when no use needs it.
    pub channels: Option<ChannelProof>,
    /// The opening of the weight commitment.
    pub opening: OpeningProof,
}

/// A proof of registration.
#[derive(Clone)]
pub struct RegistrationProof {
    /// Root of the witness commitment.
    pub root: [u8; 32],
    /// The tree of lookups.
    pub lookups: FractionProof,
    /// The tree of the range table.
    pub tables: FractionProof,
    /// Each committed table at the lookup point: the matrices, then the biases.
    pub cells: Vec<Extension>,
    /// The limb columns at the lookup point.
    pub limbs: Vec<Extension>,
    /// The multiplicity of the range table.
    pub multiplicity: Extension,
    /// The opening of the witness commitment.
    pub opening: OpeningProof,
    /// The opening of the weight commitment.
    pub weights: OpeningProof,
}

/// The number of rounds of the sumchecks of a circuit: matrix product, channels.
pub(crate) fn rounds(circuit: &Circuit) -> (usize, usize) {
    (
        crate::uses::product_blocks(circuit).1,
        crate::uses::channel_blocks(circuit).1,
    )
}

impl InferenceProof {
    /// The canonical encoding (`spec/zk.md`, encoding of a proof).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(witness) = &self.witness {
            out.extend_from_slice(&witness.root);
            put_tree(&mut out, &witness.lookups);
            put_tree(&mut out, &witness.tables);
            put_extensions(&mut out, &witness.columns);
            put_extensions(&mut out, &[witness.low]);
            put_extensions(&mut out, &witness.multiplicities);
            put_extensions(&mut out, &witness.results);
        }
        put_extensions(&mut out, &self.biases);
        put_rounds(&mut out, &self.product);
        put_extensions(&mut out, &self.weights);
        if let Some(channels) = &self.channels {
            put_rounds(&mut out, &channels.rounds);
            put_extensions(&mut out, &channels.weights);
            put_extensions(&mut out, &channels.biases);
        }
        if let Some(witness) = &self.witness {
            opening::encode_into(&witness.opening, &mut out);
        }
        opening::encode_into(&self.opening, &mut out);
        out
    }

    /// Reads a proof of `2^batch_variables` inferences.
    pub fn decode_for(
        key: &VerifyingKey,
        batch_variables: usize,
        bytes: &[u8],
    ) -> Result<Self, ProofRejection> {
        let reader = &mut Reader::new(bytes);
        let circuit = key.circuit();
        let layout = key.witness(batch_variables);
        let head = layout
            .map(|layout| WitnessHead::decode(circuit, layout, reader))
            .transpose()?;
        let uses = circuit.uses.len();
        let (product_rounds, channel_rounds) = rounds(circuit);
        let biases = read_extensions(reader, uses)?;
        let product = read_rounds(reader, product_rounds)?;
        let weights = read_extensions(reader, uses)?;
        let channels = match circuit.channel_uses().len() {
            0 => None,
            count => Some(ChannelProof {
                rounds: read_rounds(reader, channel_rounds)?,
                weights: read_extensions(reader, count)?,
                biases: read_extensions(reader, count)?,
            }),
        };
        let witness = match (head, layout) {
            (Some(head), Some(layout)) => Some(head.finish(opening::decode(&layout.config, reader)?)),
            _ => None,
        };
        let opening = opening::decode(&key.weights().config, reader)?;
        reader.finish()?;
        Ok(Self {
            witness,
            biases,
            product,
            weights,
            channels,
            opening,
        })
    }
}

/// A witness proof before its opening, which stands further down in the encoding.
struct WitnessHead {
    root: [u8; 32],
    lookups: FractionProof,
    tables: FractionProof,
    columns: Vec<Extension>,
    low: Extension,
    multiplicities: [Extension; 3],
    results: Vec<Extension>,
}

impl WitnessHead {
    fn decode(
        circuit: &Circuit,
        layout: &WitnessLayout,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let reads = circuit.uses.iter().filter_map(|u| circuit.linears.get(u.linear));
        let results = reads
            .filter(|linear| matches!(linear.source, Site::Requantise(_)))
            .count();
        Ok(Self {
            root: reader.array()?,
            lookups: read_tree(reader, layout.lookup_variables)?,
            tables: read_tree(reader, layout.table_variables)?,
            columns: read_extensions(reader, layout.columns().len())?,
            low: crate::key::read_extension(reader)?,
            multiplicities: read_array(reader)?,
            results: read_extensions(reader, results)?,
        })
    }

    fn finish(self, opening: OpeningProof) -> WitnessProof {
        let Self {
            root,
            lookups,
            tables,
            columns,
            low,
            multiplicities,
            results,
        } = self;
        WitnessProof {
            root,
            lookups,
            tables,
            columns,
            low,
            multiplicities,
            results,
            opening,
        }
    }
}

impl RegistrationProof {
    /// The canonical encoding (`spec/zk.md`, encoding of a registration proof).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.root.to_vec();
        put_tree(&mut out, &self.lookups);
        put_tree(&mut out, &self.tables);
        put_extensions(&mut out, &self.cells);
        put_extensions(&mut out, &self.limbs);
        put_extensions(&mut out, &[self.multiplicity]);
        opening::encode_into(&self.opening, &mut out);
        opening::encode_into(&self.weights, &mut out);
        out
    }

    /// Reads the registration proof of the model of `key`.
    pub fn decode_for(key: &VerifyingKey, bytes: &[u8]) -> Result<Self, ProofRejection> {
        let reader = &mut Reader::new(bytes);
        let layout = key.registration();
        let proof = Self {
            root: reader.array()?,
            lookups: read_tree(reader, layout.lookup_variables)?,
            tables: read_tree(reader, RANGE_BITS)?,
            cells: read_extensions(reader, key.answers().len())?,
            limbs: read_extensions(reader, LIMB_COLUMNS)?,
            multiplicity: crate::key::read_extension(reader)?,
            opening: opening::decode(&layout.config, reader)?,
            weights: opening::decode(&key.weights().config, reader)?,
        };
        reader.finish()?;
        Ok(proof)
    }
}

/// The largest number of bytes of a proof of `2^batch_variables` inferences.
pub(crate) fn bytes_bound(key: &VerifyingKey, batch_variables: usize) -> usize {
    let circuit = key.circuit();
    let (product, channels) = rounds(circuit);
    let mut elements = 3 * circuit.uses.len() + 2 * (product + channels) + 2 * circuit.channel_uses().len();
    let mut openings = opening::bytes_bound(&key.weights().config);
    if let Some(layout) = key.witness(batch_variables) {
        let tree = |variables: usize| 2 + variables * variables + 4 * variables;
        elements += tree(layout.lookup_variables) + tree(layout.table_variables) + layout.columns().len() + 6;
        openings += 32 + opening::bytes_bound(&layout.config);
    }
    elements * crate::field::EXTENSION_BYTES + openings
}

fn put_rounds(out: &mut Vec<u8>, rounds: &[[Extension; 2]]) {
    rounds.iter().for_each(|round| put_extensions(out, round));
}

fn put_tree(out: &mut Vec<u8>, tree: &FractionProof) {
    put_extensions(out, &tree.root);
    for layer in &tree.layers {
        put_rounds(out, &layer.rounds);
        put_extensions(out, &layer.ends);
    }
}

fn read_array<const N: usize>(reader: &mut Reader<'_>) -> Result<[Extension; N], DecodeError> {
    let values = read_extensions(reader, N)?;
    values.try_into().map_err(|_| DecodeError::Invalid {
        what: "length of a proof",
    })
}

fn read_tree(reader: &mut Reader<'_>, variables: usize) -> Result<FractionProof, DecodeError> {
    let root = read_array(reader)?;
    let mut layers = Vec::new();
    for rounds in 0..variables {
        let rounds = read_rounds(reader, rounds)?;
        layers.push(Layer {
            rounds,
            ends: read_array(reader)?,
        });
    }
    Ok(FractionProof { root, layers })
}
