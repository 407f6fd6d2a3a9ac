//! What registering a model takes, from one reading of its verifying key: step W3 of `spec/zk.md`.

use haca_graph::Outline;
use haca_wire::{Decode, DecodeError, Gas, Name, Reader};

use crate::circuit::Param;
use crate::gas;
use crate::key::{ProtocolParameters, read_head};
use crate::registration::RegistrationLayout;
use crate::schedule::Config;
use crate::weight::{PIECES, WeightLayout, spans};

/// The numbers of a key that decoding it and verifying its registration proof take time by.
pub(crate) struct Counts<'a> {
    pub(crate) graph: &'a Outline,
    /// Batch sizes.
    pub(crate) batches: u64,
    /// Tables of the weight commitment: the tiles of all matrices, and the biases.
    pub(crate) tables: u64,
    /// Spans that rows and columns are cut into, at most.
    pub(crate) pieces: u64,
}

/// How the two commitments of a registration proof are opened.
pub(crate) struct Openings<'a> {
    pub(crate) weights: &'a Config,
    pub(crate) witness: &'a Config,
    /// Variables of the lookup tree.
    pub(crate) lookup_variables: usize,
}

/// Gas of decoding an encoded verifying key, of finding out what it says of its model, and of verifying a registration
/// proof for it. Reads the key once and runs none of the loops that it asks for, so that they can be paid for first. At
/// least [`registration_gas`](crate::VerifyingKey::registration_gas) of the key that the bytes are.
///
/// # Errors
///
/// Bytes that are no key. Not all such bytes are refused here: whether a key holds what it promises is known only once it
/// is decoded.
pub fn registration_price(verifying_key: &[u8]) -> Result<Gas, DecodeError> {
    let invalid = |_| DecodeError::Invalid {
        what: "verifying key",
    };
    let mut reader = Reader::new(verifying_key);
    read_head(&mut reader)?;
    Name::decode(&mut reader)?;
    let graph = Outline::decode(&mut reader)?;
    u16::decode(&mut reader)?;
    reader.array::<32>()?;
    let parameters = ProtocolParameters::decode(&mut reader)?;
    reader.array::<32>()?;
    parameters.check_batches().map_err(invalid)?;
    let (weights, biases, _) = Param::lists(graph.params());
    let tables = tables(&weights, parameters.pieces);
    check_answers(&mut reader, tables)?;
    let counts = Counts {
        graph: &graph,
        batches: parameters.batches.len() as u64,
        tables: tables as u64,
        pieces: u64::from(parameters.pieces.min(PIECES)),
    };
    let least = Gas(gas::outlined(&counts).saturating_add(gas::weight_claims(counts.tables)));
    if least > gas::WORK_LIMIT {
        // Nobody pays so much, and laying out so many tables takes its time, too.
        return Ok(least);
    }
    let layout =
        WeightLayout::of(&weights, &biases, parameters.pieces, &parameters.weights).map_err(invalid)?;
    let registration = RegistrationLayout::new(&layout, &parameters.registration).map_err(invalid)?;
    let openings = Openings {
        weights: &layout.config,
        witness: &registration.config,
        lookup_variables: registration.lookup_variables,
    };
    Ok(gas::price(&counts, &openings))
}

/// Tiles of all matrices, and the table of the biases.
fn tables(weights: &[Param], pieces: u8) -> usize {
    let count = |length| spans(length, pieces.min(PIECES)).len();
    let tiles = weights
        .iter()
        .map(|param| count(param.rows).saturating_mul(count(param.columns)));
    tiles.fold(1, usize::saturating_add)
}

/// An element for each table must be all that is left.
fn check_answers(reader: &mut Reader<'_>, tables: usize) -> Result<(), DecodeError> {
    reader.take(tables.saturating_mul(crate::field::EXTENSION_BYTES))?;
    reader.finish()
}
