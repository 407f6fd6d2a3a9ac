//! Proofs and their canonical encoding. Every length follows from the verifying key.

use haca_wire::{DecodeError, Reader};
use p3_field::PrimeCharacteristicRing;

use crate::field::Extension;
use crate::fraction::{FractionProof, Layer};
use crate::joined::RowShape;
use crate::opening::{self, OpeningProof, put_extensions, read_extensions, read_rounds};
use crate::product::ProductSpace;
use crate::registration::{LIMB_COLUMNS, RANGE_BITS};
use crate::sumcheck::{CubicRounds, Rounds};
use crate::uses::{Chunk, Folded, channel_entries, product_chunks, tiling};
use crate::witness::{Opening, WitnessLayout};
use crate::{ProofRejection, VerifyingKey};

/// The part of a proof about the witness: lookups, and the gather sumcheck.
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
    /// The results of the stages, their first and their second operands at the lookup point.
    pub stages: Option<[Extension; 3]>,
    /// The multiplicities of the tables.
    pub multiplicities: Vec<Extension>,
    /// The rounds of the gather sumcheck.
    pub gather: Rounds,
    /// The committed values at its point: for each batch point the results, then the stages when there are any.
    pub gathered: Vec<Extension>,
    /// The opening of the witness commitment; none when the weights are opened with it.
    pub opening: Option<OpeningProof>,
}

/// The sumcheck over products of values.
#[derive(Clone)]
pub struct ProductProof {
    /// The sum.
    pub sum: Extension,
    /// Its rounds.
    pub rounds: CubicRounds,
    /// The left and the right factor at its point.
    pub factors: [Extension; 2],
}

/// The second sumcheck over weights, over the rows of uses whose rows have weights of their own.
#[derive(Clone)]
pub struct ChannelProof {
    /// Its rounds.
    pub rounds: Rounds,
    /// For each entry, the opened tiles or the bias.
    pub openings: Vec<Extension>,
}

/// The matrix products.
#[derive(Clone)]
pub struct MatrixProof {
    /// The folded bias of each use.
    pub biases: Vec<Extension>,
    /// The rounds of the matrix product sumcheck.
    pub rounds: Rounds,
    /// The folded inputs of all uses at its point.
    pub inputs: Extension,
    /// For each chunk: its folded weights when its rows are weighted, else the opened tiles.
    pub weights: Vec<Extension>,
    /// The sumcheck over channels; absent when no use needs it.
    pub channels: Option<ChannelProof>,
}

/// A proof of inferences.
#[derive(Clone)]
pub struct InferenceProof {
    /// The witness; absent when nothing is committed.
    pub witness: Option<WitnessProof>,
    /// The combinations of values; absent when there are none.
    pub combinations: Option<Extension>,
    /// The products of values; absent when there are none.
    pub products: Option<ProductProof>,
    /// The matrix products.
    pub matrices: MatrixProof,
    /// The opening of the weight commitment, or of weights and witness as one.
    pub opening: OpeningProof,
    /// The columns of a row of that opening, when it is of both.
    pub joined: Option<RowShape>,
}

/// How many values of each kind a proof has: what its encoding follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Uses with a matrix.
    pub matrices: usize,
    /// Whether some use is a combination.
    pub has_combinations: bool,
    /// Rounds of the sumcheck over products of values, when there are any.
    pub products: Option<usize>,
    /// Rounds of the matrix product sumcheck.
    pub product_rounds: usize,
    /// Values sent for the chunks.
    pub weights: usize,
    /// Rounds of the channel sumcheck and values at its end, when there is one.
    pub channels: Option<(usize, usize)>,
    /// Rows of all entries of the channel sumcheck, padding included.
    pub channel_rows: usize,
}

impl Counts {
    /// The counts of proofs of `2^batch_variables` inferences under a key.
    pub fn new(key: &VerifyingKey, batch_variables: usize) -> Self {
        let (circuit, layout) = (key.circuit(), key.weights());
        let (chunks, product_rounds) = product_chunks(circuit, layout);
        let (entries, channel_rounds) = channel_entries(circuit, &chunks);
        let tiles = |chunk: &Chunk| {
            let of = circuit.uses.get(chunk.of);
            of.and_then(|of| tiling(circuit, layout, of))
                .map_or(0, |(_, tiling)| tiling.rows.len())
        };
        let is_weighted = |chunk: &Chunk| {
            circuit
                .uses
                .get(chunk.of)
                .is_some_and(|of| circuit.is_weighted(of))
        };
        let sent = chunks
            .iter()
            .map(|chunk| if is_weighted(chunk) { 1 } else { tiles(chunk) });
        let opened = entries.iter().map(|entry| match entry.folded {
            Folded::Weights(chunk) => chunks.get(chunk).map_or(0, tiles),
            Folded::Bias => 1,
        });
        let space = ProductSpace::new(circuit);
        Self {
            matrices: circuit
                .uses
                .iter()
                .filter(|of| circuit.matrix(of).is_some())
                .count(),
            has_combinations: circuit.uses.iter().any(|of| circuit.combination(of).is_some()),
            products: (!space.is_empty()).then_some(space.cells.variables + batch_variables),
            product_rounds,
            weights: sent.sum(),
            channels: (!entries.is_empty()).then(|| (channel_rounds, opened.sum())),
            channel_rows: entries.iter().map(|entry| entry.block.range().len()).sum(),
        }
    }
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
            put_extensions(&mut out, witness.stages.as_ref().map_or(&[], |s| s));
            put_extensions(&mut out, &witness.multiplicities);
        }
        put_extensions(&mut out, &self.matrices.biases);
        put_extensions(&mut out, self.combinations.as_slice());
        if let Some(products) = &self.products {
            put_extensions(&mut out, &[products.sum]);
            products
                .rounds
                .iter()
                .for_each(|round| put_extensions(&mut out, round));
            put_extensions(&mut out, &products.factors);
        }
        self.matrices.encode_into(&mut out);
        if let Some(witness) = &self.witness {
            put_rounds(&mut out, &witness.gather);
            put_extensions(&mut out, &witness.gathered);
            if let Some(opening) = &witness.opening {
                opening::encode_into(opening, None, &mut out);
            }
        }
        opening::encode_into(&self.opening, self.joined, &mut out);
        out
    }

    /// Reads a proof of `2^batch_variables` inferences.
    pub fn decode_for(
        key: &VerifyingKey,
        batch_variables: usize,
        bytes: &[u8],
    ) -> Result<Self, ProofRejection> {
        let reader = &mut Reader::new(bytes);
        let layout = key.witness(batch_variables);
        let counts = Counts::new(key, batch_variables);
        let head = layout
            .map(|layout| WitnessHead::decode(layout, reader))
            .transpose()?;
        let biases = read_extensions(reader, counts.matrices)?;
        let combinations = match counts.has_combinations {
            true => Some(crate::key::read_extension(reader)?),
            false => None,
        };
        let products = counts
            .products
            .map(|rounds| ProductProof::decode(rounds, reader))
            .transpose()?;
        let matrices = MatrixProof::decode(&counts, biases, reader)?;
        let witness = match (head, layout) {
            (Some(head), Some(layout)) => Some(head.finish(layout, reader)?),
            _ => None,
        };
        let joined = layout.and_then(WitnessLayout::joined);
        let config = joined.map_or(&key.weights().config, |joined| &joined.config);
        let joined = joined.map(|joined| joined.row);
        let opening = opening::decode(config, joined, reader)?;
        reader.finish()?;
        Ok(Self {
            witness,
            combinations,
            products,
            matrices,
            opening,
            joined,
        })
    }
}

impl ProductProof {
    fn decode(rounds: usize, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sum: crate::key::read_extension(reader)?,
            rounds: (0..rounds)
                .map(|_| read_array(reader))
                .collect::<Result<_, _>>()?,
            factors: read_array(reader)?,
        })
    }
}

impl MatrixProof {
    /// The proof of a circuit without matrices.
    pub const fn none() -> Self {
        Self {
            biases: Vec::new(),
            rounds: Vec::new(),
            inputs: Extension::ZERO,
            weights: Vec::new(),
            channels: None,
        }
    }

    /// Everything but the biases, which stand further up.
    fn encode_into(&self, out: &mut Vec<u8>) {
        if self.biases.is_empty() {
            return;
        }
        put_rounds(out, &self.rounds);
        put_extensions(out, &[self.inputs]);
        put_extensions(out, &self.weights);
        if let Some(channels) = &self.channels {
            put_rounds(out, &channels.rounds);
            put_extensions(out, &channels.openings);
        }
    }

    fn decode(counts: &Counts, biases: Vec<Extension>, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if biases.is_empty() {
            return Ok(Self::none());
        }
        Ok(Self {
            biases,
            rounds: read_rounds(reader, counts.product_rounds)?,
            inputs: crate::key::read_extension(reader)?,
            weights: read_extensions(reader, counts.weights)?,
            channels: match counts.channels {
                None => None,
                Some((rounds, openings)) => Some(ChannelProof {
                    rounds: read_rounds(reader, rounds)?,
                    openings: read_extensions(reader, openings)?,
                }),
            },
        })
    }
}

/// What of a witness proof stands in front of the products.
struct WitnessHead {
    root: [u8; 32],
    lookups: FractionProof,
    tables: FractionProof,
    columns: Vec<Extension>,
    low: Extension,
    stages: Option<[Extension; 3]>,
    multiplicities: Vec<Extension>,
}

impl WitnessHead {
    fn decode(layout: &WitnessLayout, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            root: reader.array()?,
            lookups: read_tree(reader, layout.lookup_variables)?,
            tables: read_tree(reader, layout.table_variables)?,
            columns: read_extensions(reader, layout.columns().len())?,
            low: crate::key::read_extension(reader)?,
            stages: match layout.stage_variables {
                Some(_) => Some(read_array(reader)?),
                None => None,
            },
            multiplicities: read_extensions(reader, layout.tables.len())?,
        })
    }

    fn finish(self, layout: &WitnessLayout, reader: &mut Reader<'_>) -> Result<WitnessProof, DecodeError> {
        Ok(WitnessProof {
            root: self.root,
            lookups: self.lookups,
            tables: self.tables,
            columns: self.columns,
            low: self.low,
            stages: self.stages,
            multiplicities: self.multiplicities,
            gather: read_rounds(reader, layout.gather_variables)?,
            gathered: read_extensions(reader, layout.gather.len())?,
            opening: match &layout.opening {
                Opening::Alone(config) => Some(opening::decode(config, None, reader)?),
                Opening::Joined(_) => None,
            },
        })
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
        opening::encode_into(&self.opening, None, &mut out);
        opening::encode_into(&self.weights, None, &mut out);
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
            opening: opening::decode(&layout.config, None, reader)?,
            weights: opening::decode(&key.weights().config, None, reader)?,
        };
        reader.finish()?;
        Ok(proof)
    }
}

/// The largest number of bytes of a proof of `2^batch_variables` inferences.
pub(crate) fn bytes_bound(key: &VerifyingKey, batch_variables: usize) -> usize {
    let counts = Counts::new(key, batch_variables);
    let (rounds, openings) = counts.channels.unwrap_or_default();
    let mut elements = counts.matrices + 2 * (counts.product_rounds + rounds) + counts.weights + openings;
    elements += 2 + counts.products.map_or(0, |rounds| 3 * rounds + 3);
    let joined = key.witness(batch_variables).and_then(WitnessLayout::joined);
    let mut bytes = match joined {
        Some(joined) => opening::bytes_bound(&joined.config, Some(joined.row)),
        None => opening::bytes_bound(&key.weights().config, None),
    };
    if let Some(layout) = key.witness(batch_variables) {
        let tree = |variables: usize| 2 + variables * variables + 4 * variables;
        elements += tree(layout.lookup_variables) + tree(layout.table_variables);
        elements += layout.columns().len() + layout.tables.len() + 4;
        elements += 2 * layout.gather_variables + layout.gather.len();
        bytes += 32;
        if let Opening::Alone(config) = &layout.opening {
            bytes += opening::bytes_bound(config, None);
        }
    }
    elements * crate::field::EXTENSION_BYTES + bytes
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
