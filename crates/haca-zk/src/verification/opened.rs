//! Step P11: both commitments open to the values that the proof has sent.

use p3_field::PrimeCharacteristicRing;
use p3_sumcheck::OpeningProtocol;

use super::lookup::LookupClaim;
use super::product_batch;
use crate::field::Extension;
use crate::gather::GatherPoint;
use crate::joined::{JoinedLayout, Part};
use crate::opening::{Opened, OpeningProof};
use crate::proof::{MatrixProof, WitnessProof};
use crate::transcript::{Committed, Transcript};
use crate::uses::{Asked, ChannelEntry, Chunk, Folded, OutputPoint, UsePoint, bias_opening, chunk_openings};
use crate::witness::{Opening, WitnessLayout};
use crate::{ProofRejection, VerifyingKey, opening};

/// Where the committed columns are opened in the gather sumcheck: for each batch point, the cells of each column at the
/// point, then the inferences.
pub fn gathered_points(
    layout: &WitnessLayout,
    at: &GatherPoint,
    lookup: &[Extension],
    product: &[Extension],
) -> Vec<Vec<Extension>> {
    let batches = [lookup, product];
    let points = batches.iter().take(layout.batch_points).flat_map(|batch| {
        (0..layout.gathered()).map(|column| {
            let mut point = at.column(column).to_vec();
            point.extend_from_slice(batch);
            point
        })
    });
    points.collect()
}

/// The points of the opening of the witness, from those of its parts, in the order of the protocol: the columns and
/// the results, the stages, the tables.
pub fn witness_points(
    layout: &WitnessLayout,
    cells: &[Extension],
    stage_cells: &[Extension],
    gathered: &[Vec<Extension>],
    tables: &[Extension],
) -> Vec<Vec<Extension>> {
    let columns = layout.gathered();
    let of_column = |column: usize| gathered.iter().skip(column).step_by(columns).cloned();
    let mut points = vec![cells.to_vec()];
    points.extend(of_column(0));
    if layout.stage_variables.is_some() {
        points.push(stage_cells.to_vec());
        points.extend(of_column(1));
    }
    points.extend(
        layout
            .tables
            .iter()
            .map(|(_, table)| table.inner(tables).to_vec()),
    );
    points
}

/// Values of a commitment: where its protocol opens it, and what was sent for each opening.
pub(super) struct Claims {
    protocol: OpeningProtocol,
    points: Vec<Vec<Extension>>,
    evaluations: Vec<Extension>,
}

/// What is asked of the witness commitment.
pub(super) fn witness(
    witness: &WitnessProof,
    layout: &WitnessLayout,
    lookup: &LookupClaim,
    at: &GatherPoint,
    outputs: &OutputPoint,
    factors: &[Extension],
) -> Claims {
    let gathered = gathered_points(layout, at, &outputs.batch, &product_batch(outputs, factors));
    let points = witness_points(
        layout,
        &lookup.cells,
        &lookup.stage_cells,
        &gathered,
        &lookup.tables,
    );
    let columns = layout.gathered();
    let of_column = |column: usize| witness.gathered.iter().skip(column).step_by(columns).copied();
    let mut evaluations = witness.columns.clone();
    evaluations.extend(of_column(0));
    if let Some([stage, _, _]) = witness.stages {
        evaluations.push(stage);
        evaluations.extend(of_column(1));
    }
    evaluations.extend(&witness.multiplicities);
    Claims {
        protocol: layout.protocol(),
        points,
        evaluations,
    }
}

/// Step P11: both commitments, each by itself or both as one.
pub(super) fn verify(
    key: &VerifyingKey,
    layout: Option<&WitnessLayout>,
    witness: Option<(Claims, [u8; 32], Option<OpeningProof>)>,
    weights: Claims,
    opening: OpeningProof,
    transcript: &mut Transcript<Committed>,
) -> Result<(), ProofRejection> {
    if let (Some(layout), Some((claims, root, alone))) = (layout, witness) {
        match (&layout.opening, alone) {
            (Opening::Alone(config), Some(opening)) => {
                let opened = Opened::alone(config, &root, "witness");
                opening::verify(
                    opened,
                    &claims.protocol,
                    &claims.points,
                    &claims.evaluations,
                    opening,
                    transcript,
                )?;
            }
            (Opening::Joined(joined), None) => {
                return verify_joined(key, joined, &root, [weights, claims], opening, transcript);
            }
            _ => {
                return Err(ProofRejection::Opening {
                    commitment: "witness",
                });
            }
        }
    }
    let opened = Opened::alone(&key.weights().config, key.root(), "weight");
    let Claims {
        protocol,
        points,
        evaluations,
    } = weights;
    opening::verify(opened, &protocol, &points, &evaluations, opening, transcript)
}

/// Steps J2 and J3: the claims of both about one polynomial.
fn verify_joined(
    key: &VerifyingKey,
    joined: &JoinedLayout,
    root: &[u8; 32],
    claims: [Claims; 2],
    opening: OpeningProof,
    transcript: &mut Transcript<Committed>,
) -> Result<(), ProofRejection> {
    let failed = ProofRejection::Opening { commitment: "joined" };
    let (mut points, mut evaluations) = (Vec::new(), Vec::new());
    for (part, claims) in [Part::Weights, Part::Witness].into_iter().zip(claims) {
        let points_of_part = joined.points(part, &claims.protocol, &claims.points);
        points.extend(points_of_part.ok_or(failed)?);
        evaluations.extend(claims.evaluations);
    }
    let opened = Opened {
        config: &joined.config,
        row: Some(joined.row),
        roots: &[*key.root(), *root],
        name: "joined",
    };
    let protocol = joined.protocol(points.len());
    opening::verify(opened, &protocol, &points, &evaluations, opening, transcript)
}

/// What is asked of the weight commitment.
pub(super) struct Weights<'a> {
    pub(super) key: &'a VerifyingKey,
    pub(super) uses: &'a [UsePoint],
    pub(super) chunks: &'a [Chunk],
    pub(super) entries: &'a [ChannelEntry],
    pub(super) product: &'a [Extension],
    pub(super) channels: &'a [Extension],
    pub(super) proof: &'a MatrixProof,
}

impl Weights<'_> {
    /// Step P11, the weights: for each table the out-of-domain point of the key, then the points that are asked for.
    pub(super) fn claims(&self) -> Claims {
        let layout = self.key.weights();
        let asked = weight_openings(
            self.key,
            self.uses,
            (self.chunks, self.entries),
            self.product,
            self.channels,
        );
        let values = self.values();
        let tables = layout.weights.len() + 1;
        let (mut points, mut evaluations) = (vec![Vec::new(); tables], vec![Vec::new(); tables]);
        for (asked, value) in asked.into_iter().zip(values) {
            if let (Some(points), Some(values)) =
                (points.get_mut(asked.table), evaluations.get_mut(asked.table))
            {
                points.push(asked.point);
                values.push(value);
            }
        }
        let counts: Vec<usize> = points.iter().map(|points| 1 + points.len()).collect();
        let (mut at, mut opened) = (Vec::new(), Vec::new());
        let fixed = self.key.points().iter().zip(self.key.answers());
        for ((points, values), (point, answer)) in points.into_iter().zip(evaluations).zip(fixed) {
            at.push(point.clone());
            opened.push(*answer);
            at.extend(points);
            opened.extend(values);
        }
        Claims {
            protocol: layout.protocol(&counts),
            points: at,
            evaluations: opened,
        }
    }

    /// The values sent for what [`weight_openings`] lists, in its order.
    fn values(&self) -> Vec<Extension> {
        let circuit = self.key.circuit();
        let mut values = Vec::new();
        let mut sent = self.proof.weights.iter().copied();
        for chunk in self.chunks {
            let Some(at) = self.uses.get(chunk.of) else {
                continue;
            };
            if circuit.is_weighted(&at.of) {
                sent.next();
                continue;
            }
            let tiles = chunk_openings(self.key, chunk, &at.row_point, self.product).len();
            values.extend(sent.by_ref().take(tiles));
        }
        let mut biases = self.proof.biases.iter().copied();
        for at in self.uses.iter().filter(|at| circuit.matrix(&at.of).is_some()) {
            let bias = biases.next().unwrap_or(Extension::ZERO);
            if !circuit.is_weighted(&at.of) {
                values.push(bias);
            }
        }
        values.extend(self.proof.channels.iter().flat_map(|channels| &channels.openings));
        values
    }
}

/// Everything that is opened of the weight commitment besides the out-of-domain points, in order: the tiles of chunks
/// whose rows are not weighted, the biases of such uses, then what the entries of the channel sumcheck open.
pub fn weight_openings(
    key: &VerifyingKey,
    uses: &[UsePoint],
    (chunks, entries): (&[Chunk], &[ChannelEntry]),
    product: &[Extension],
    channels: &[Extension],
) -> Vec<Asked> {
    let circuit = key.circuit();
    let plain = |of: usize| uses.get(of).filter(|at| !circuit.is_weighted(&at.of));
    let mut asked = Vec::new();
    for chunk in chunks {
        if let Some(at) = plain(chunk.of) {
            let tiles = chunk_openings(key, chunk, &at.row_point, product);
            asked.extend(tiles.into_iter().map(|(_, asked)| asked));
        }
    }
    for at in (0..uses.len()).filter_map(plain) {
        asked.extend(bias_opening(key, &at.of, &at.row_point));
    }
    for entry in entries {
        let rows = entry.block.inner(channels);
        match (entry.folded, uses.get(entry.of)) {
            (Folded::Weights(chunk), _) => {
                let tiles = chunks
                    .get(chunk)
                    .map(|chunk| chunk_openings(key, chunk, rows, product));
                asked.extend(tiles.into_iter().flatten().map(|(_, asked)| asked));
            }
            (Folded::Bias, Some(at)) => asked.extend(bias_opening(key, &at.of, rows)),
            (Folded::Bias, None) => {}
        }
    }
    asked
}

/// The points of the opening of the weights, table by table, and how many each table has.
pub fn weight_points(key: &VerifyingKey, asked: Vec<Asked>) -> (Vec<Vec<Extension>>, Vec<usize>) {
    let mut tables: Vec<Vec<Vec<Extension>>> = key.points().iter().map(|point| vec![point.clone()]).collect();
    for asked in asked {
        if let Some(points) = tables.get_mut(asked.table) {
            points.push(asked.point);
        }
    }
    let counts = tables.iter().map(Vec::len).collect();
    (tables.into_iter().flatten().collect(), counts)
}
