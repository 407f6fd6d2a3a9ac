//! Openings of WHIR commitments: the canonical encoding of an opening proof, and its verification.
//!
//! The shape of an opening follows from the configuration alone; only the number of Merkle siblings depends on the
//! drawn positions. It is bounded here and compared with the exact number by the Merkle check.

use haca_wire::{Decode, DecodeError, Encode, Reader};
use p3_field::PrimeCharacteristicRing;
use p3_merkle_tree::PrunedMerklePaths;
use p3_multilinear_util::point::Point;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::layout::PrefixProver;
use p3_sumcheck::{OpeningBatch, OpeningProtocol, PrescribedPointPcs, SumcheckData};
use p3_whir::pcs::prover::WhirProver;
use p3_whir::{PcsProof, QueryOpenings, SharedProofOpening, WhirProof, WhirRoundProof};

use crate::ProofRejection;
use crate::field::{
    Base, CHARACTERISTIC, Cap, Challenger, Dft, Extension, Mmcs, base_bytes, cap, extension_bytes, mmcs,
};
use crate::joined::{Part, RowShape};
use crate::key::read_extension;
use crate::schedule::{Config, QueryPhase, query_phases};
use crate::transcript::{Committed, Transcript};

/// An opening proof.
pub type OpeningProof = WhirProof<Base, Extension, Mmcs>;
type Siblings = PrunedMerklePaths<u8, 32>;
type Openings = QueryOpenings<Base, Extension, Siblings>;
type Pcs = WhirProver<Extension, Base, Dft, Mmcs, Challenger, PrefixProver<Base, Extension>>;

/// What stands under one or two roots, and how it is opened.
#[derive(Clone, Copy)]
pub(crate) struct Opened<'a> {
    pub(crate) config: &'a Config,
    /// The columns of a row, where two commitments are opened as one.
    pub(crate) row: Option<RowShape>,
    /// The root, or those of the weights and of the witness.
    pub(crate) roots: &'a [[u8; 32]],
    /// What the transcript and refusals call it.
    pub(crate) name: &'static str,
}

impl<'a> Opened<'a> {
    /// One commitment by itself.
    pub(crate) const fn alone(config: &'a Config, root: &'a [u8; 32], name: &'static str) -> Self {
        Self {
            config,
            row: None,
            roots: core::slice::from_ref(root),
            name,
        }
    }
}

/// Checks that what is opened has `evaluations` at `points`, in the order of `protocol`.
pub(crate) fn verify(
    opened: Opened<'_>,
    protocol: &OpeningProtocol,
    points: &[Vec<Extension>],
    evaluations: &[Extension],
    proof: OpeningProof,
    transcript: &mut Transcript<Committed>,
) -> Result<(), ProofRejection> {
    let failed = ProofRejection::Opening {
        commitment: opened.name,
    };
    let mut rest = evaluations.iter().copied();
    let mut batches = Vec::new();
    for (_, request) in protocol.iter_openings() {
        let values: Vec<Extension> = rest.by_ref().take(request.len()).collect();
        if values.len() != request.len() {
            return Err(failed);
        }
        batches.push(OpeningBatch::new(values, vec![]));
    }
    // A batch for each point and no value left over: the backend asserts the first.
    if rest.next().is_some() || points.len() != protocol.num_openings() {
        return Err(failed);
    }
    let points: Vec<Point<Extension>> = points.iter().map(|point| Point::new(point.clone())).collect();
    let trees = opened.row.map_or_else(mmcs, Mmcs::joined);
    let pcs = Pcs::new(opened.config.clone(), Dft::default(), trees);
    transcript.step(opened.name);
    let proof = PcsProof {
        whir: proof,
        evals: batches,
    };
    let roots = Cap::from(opened.roots.to_vec());
    pcs.verify_at(&roots, &proof, protocol, &points, transcript.challenger())
        .map(|_| ())
        .map_err(|_| failed)
}

/// Appends the canonical encoding of an opening proof; `row` as for [`decode`].
pub fn encode_into(proof: &OpeningProof, row: Option<RowShape>, out: &mut Vec<u8>) {
    put_extensions(out, &proof.initial_ood_answers);
    put_sumcheck(out, &proof.initial_sumcheck);
    for round in &proof.rounds {
        let root = round.commitment.as_ref().and_then(|cap| cap.roots().first());
        out.extend_from_slice(root.unwrap_or(&[0; 32]));
        put_extensions(out, &round.ood_answers);
        out.extend_from_slice(&base_bytes(round.pow_witness));
        put_openings(out, &round.openings, row);
        put_sumcheck(out, &round.sumcheck);
    }
    put_extensions(out, proof.final_poly.as_ref().map_or(&[], |poly| poly.as_slice()));
    out.extend_from_slice(&base_bytes(proof.final_pow_witness));
    put_openings(out, &proof.final_openings, row);
    if let Some(sumcheck) = &proof.final_sumcheck {
        put_sumcheck(out, sumcheck);
    }
}

/// Appends extension elements.
pub(crate) fn put_extensions(out: &mut Vec<u8>, values: &[Extension]) {
    for value in values {
        out.extend(extension_bytes(*value));
    }
}

fn put_sumcheck(out: &mut Vec<u8>, sumcheck: &SumcheckData<Base, Extension>) {
    for round in &sumcheck.polynomial_evaluations {
        put_extensions(out, round);
    }
    for witness in &sumcheck.pow_witnesses {
        out.extend_from_slice(&base_bytes(*witness));
    }
}

fn put_openings(out: &mut Vec<u8>, openings: &Openings, row: Option<RowShape>) {
    let siblings = match openings {
        QueryOpenings::Base(opening) => {
            for cells in &opening.rows {
                for (start, width) in columns(row, cells.len()) {
                    let cells = cells.iter().skip(start).take(width);
                    cells.for_each(|cell| out.extend_from_slice(&base_bytes(*cell)));
                }
            }
            &opening.proof.sibling_hashes
        }
        QueryOpenings::Extension(opening) => {
            opening.rows.iter().for_each(|row| put_extensions(out, row));
            &opening.proof.sibling_hashes
        }
    };
    u32::try_from(siblings.len()).unwrap_or(u32::MAX).encode_into(out);
    siblings.iter().for_each(|sibling| out.extend_from_slice(sibling));
}

/// Reads `count` extension elements; the bytes must be there before anything is allocated.
pub(crate) fn read_extensions(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Extension>, DecodeError> {
    need(reader, count, crate::field::EXTENSION_BYTES)?;
    (0..count).map(|_| read_extension(reader)).collect()
}

/// Reads rounds of two extension elements.
pub(crate) fn read_rounds(reader: &mut Reader<'_>, count: usize) -> Result<Vec<[Extension; 2]>, DecodeError> {
    need(reader, count, 2 * crate::field::EXTENSION_BYTES)?;
    (0..count)
        .map(|_| Ok([read_extension(reader)?, read_extension(reader)?]))
        .collect()
}

fn need(reader: &Reader<'_>, count: usize, width: usize) -> Result<(), DecodeError> {
    let expected = count.saturating_mul(width);
    if expected > reader.remaining() {
        return Err(DecodeError::Invalid {
            what: "length of a proof",
        });
    }
    Ok(())
}

fn read_base(reader: &mut Reader<'_>) -> Result<Base, DecodeError> {
    let value = u64::decode(reader)?;
    if value >= CHARACTERISTIC {
        return Err(DecodeError::Invalid {
            what: "field element",
        });
    }
    Ok(Base::new(value))
}

/// The columns of a row of `width` that are not zero for want of a column: start and number.
fn columns(row: Option<RowShape>, width: usize) -> Vec<(usize, usize)> {
    match row {
        None => vec![(0, width)],
        Some(row) => [Part::Weights, Part::Witness]
            .map(|part| (row.start(part), row.width(part)))
            .to_vec(),
    }
}

/// Reads an opening proof of the shape that `config` fixes. `row` are the columns of the first phase, where two commitments
/// are opened as one.
pub(crate) fn decode(
    config: &Config,
    row: Option<RowShape>,
    reader: &mut Reader<'_>,
) -> Result<OpeningProof, DecodeError> {
    let folds = config.folding_schedule();
    let fold = |phase: usize| folds.get(phase).copied().unwrap_or(0);
    let phases = query_phases(config);
    let initial_ood_answers = read_extensions(reader, config.commitment_ood_samples())?;
    let initial_sumcheck = read_sumcheck(reader, fold(0), config.starting_folding_pow_bits())?;
    let mut rounds = Vec::new();
    for (index, (round, phase)) in config.round_parameters().iter().zip(&phases).enumerate() {
        rounds.push(WhirRoundProof {
            commitment: Some(cap(reader.array()?)),
            ood_answers: read_extensions(reader, round.ood_samples)?,
            pow_witness: read_base(reader)?,
            openings: read_openings(reader, phase, (index == 0).then(|| columns(row, phase.width)))?,
            sumcheck: read_sumcheck(reader, fold(index + 1), round.folding_pow_bits)?,
        });
    }
    let clear = config.final_sumcheck_rounds();
    let final_poly = Some(Poly::new(read_extensions(reader, 1 << clear)?));
    let final_pow_witness = read_base(reader)?;
    let last = phases.last().ok_or(DecodeError::Invalid { what: "schedule" })?;
    let final_openings = read_openings(
        reader,
        last,
        (phases.len() == 1).then(|| columns(row, last.width)),
    )?;
    let final_sumcheck = match clear {
        0 => None,
        _ => Some(read_sumcheck(reader, clear, config.final_folding_pow_bits())?),
    };
    Ok(WhirProof {
        initial_ood_answers,
        initial_sumcheck,
        rounds,
        final_poly,
        final_pow_witness,
        final_openings,
        final_sumcheck,
    })
}

fn read_sumcheck(
    reader: &mut Reader<'_>,
    rounds: usize,
    grinding: usize,
) -> Result<SumcheckData<Base, Extension>, DecodeError> {
    let polynomial_evaluations = read_rounds(reader, rounds)?;
    let witnesses = if grinding > 0 { rounds } else { 0 };
    let pow_witnesses = (0..witnesses)
        .map(|_| read_base(reader))
        .collect::<Result<_, _>>()?;
    Ok(SumcheckData {
        polynomial_evaluations,
        pow_witnesses,
    })
}

fn read_openings(
    reader: &mut Reader<'_>,
    phase: &QueryPhase,
    base_columns: Option<Vec<(usize, usize)>>,
) -> Result<Openings, DecodeError> {
    if let Some(columns) = base_columns {
        let width: usize = columns.iter().map(|(_, width)| width).sum();
        need(reader, phase.rows.saturating_mul(width), crate::field::BASE_BYTES)?;
        let rows = (0..phase.rows).map(|_| read_row(reader, phase.width, &columns));
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(QueryOpenings::Base(SharedProofOpening {
            rows,
            proof: read_siblings(reader, phase, columns.len())?,
        }))
    } else {
        need(
            reader,
            phase.rows.saturating_mul(phase.width),
            crate::field::EXTENSION_BYTES,
        )?;
        let rows = (0..phase.rows)
            .map(|_| read_extensions(reader, phase.width))
            .collect::<Result<_, _>>()?;
        Ok(QueryOpenings::Extension(SharedProofOpening {
            rows,
            proof: read_siblings(reader, phase, 1)?,
        }))
    }
}

/// Reads the cells of the columns of a row; the others are zero.
fn read_row(
    reader: &mut Reader<'_>,
    width: usize,
    columns: &[(usize, usize)],
) -> Result<Vec<Base>, DecodeError> {
    let mut row = vec![Base::ZERO; width];
    for (start, width) in columns {
        for cell in row.iter_mut().skip(*start).take(*width) {
            *cell = read_base(reader)?;
        }
    }
    Ok(row)
}

fn read_siblings(reader: &mut Reader<'_>, phase: &QueryPhase, trees: usize) -> Result<Siblings, DecodeError> {
    let most = phase.rows.saturating_mul(phase.depth).saturating_mul(trees);
    let count = reader.length("Merkle siblings", most, 32)?;
    let sibling_hashes = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
    Ok(PrunedMerklePaths { sibling_hashes })
}

/// The largest number of bytes of an opening under `config`; `row` as for [`decode`].
pub(crate) fn bytes_bound(config: &Config, row: Option<RowShape>) -> usize {
    let extension = crate::field::EXTENSION_BYTES;
    let clear = 1usize << config.final_sumcheck_rounds();
    let rounds: usize = config.folding_schedule().iter().sum::<usize>() + config.final_sumcheck_rounds();
    let mut bytes = (4 + clear + 2 * rounds) * extension + rounds * 8;
    for (index, phase) in query_phases(config).iter().enumerate() {
        let (row_bytes, trees) = if index == 0 {
            let columns = columns(row, phase.width);
            let width: usize = columns.iter().map(|(_, width)| width).sum();
            (width * crate::field::BASE_BYTES, columns.len())
        } else {
            (phase.width * extension, 1)
        };
        bytes += phase.rows * (row_bytes + 32 * phase.depth * trees) + 32 + 8 + 4 + 4 * extension;
    }
    bytes
}
