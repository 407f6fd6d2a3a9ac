//! How the witness of one batch size is laid out: columns, lookups and tables.

use haca_wire::{Decode, DecodeError, Encode, Reader};
use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableShape, TableSpec};

use crate::ProofRejection;
use crate::block::{Block, log2_ceil, place};
use crate::circuit::{Circuit, Site};
use crate::field::{Base, Challenger, Extension};
use crate::schedule::{Config, Schedule, VARIABLES};

/// Both sides of the requantisation identity stay below `2^IDENTITY_BITS` in magnitude, so that equality modulo the
/// characteristic is equality of integers.
pub const IDENTITY_BITS: u32 = 62;
/// Rows of the largest table, as a power of two.
pub const TABLE_BITS: u8 = 16;

/// Limbs of one remainder.
pub const LIMBS: u8 = 12;
/// Base-two logarithm of the largest batch.
pub const BATCH_VARIABLES: usize = 10;

/// What a verifying key says about the witness of one batch size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessParameters {
    /// Bits of one limb of a remainder.
    pub limb_bits: u8,
    /// Limbs of a remainder; all requantisations are scaled to a shift of `limb_bits * limbs`.
    pub limbs: u8,
    /// Bits of the low part of a quotient. All clamps lie inside one window of that many values.
    pub window_bits: u8,
    /// Bits of the high part of a quotient.
    pub high_bits: u8,
    /// How the witness is opened.
    pub schedule: Schedule,
}
haca_wire::codec_struct!(WitnessParameters {
    limb_bits,
    limbs,
    window_bits,
    high_bits,
    schedule
});

/// The committed columns that run over all activations, in the order of the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The clamped result.
    Result,
    /// The high part of the quotient.
    High,
    /// Whether the quotient is below (0), inside (1) or above (2) the window.
    Side,
    /// Limb of the remainder, the least significant first.
    Limb(usize),
}

/// The layout of the witness of one batch size.
#[derive(Clone, Debug)]
pub struct WitnessLayout {
    /// Base-two logarithm of the padded batch.
    pub batch_variables: usize,
    /// Variables of the columns.
    pub variables: usize,
    /// The cells of each requantisation: inference-major, channels padded.
    pub blocks: Vec<Block>,
    /// The numbers of the verifying key.
    pub parameters: WitnessParameters,
    /// The value that the first cell of the window stands for.
    pub window_start: i64,
    /// Index of the window: added to the high part of every quotient.
    pub window: usize,
    /// The clamp of each requantisation, as an index into [`Circuit::clamps`].
    pub clamp_of: Vec<usize>,
    /// The clamps.
    pub clamps: Vec<(i8, i8)>,
    /// Variables of the clamp table.
    pub clamp_variables: usize,
    /// Leaves of the lookup tree: one block for the side lookup, one for the clamp lookup, one for each limb.
    pub lookups: Vec<Block>,
    /// Variables of the lookup tree.
    pub lookup_variables: usize,
    /// Leaves of the table tree: limbs, sides, clamps.
    pub tables: [Block; 3],
    /// Variables of the table tree.
    pub table_variables: usize,
    /// Variables of the whole commitment.
    pub committed_variables: usize,
    pub(crate) config: Config,
}

impl WitnessLayout {
    /// Step R3 of `spec/zk.md`: lays out the witness of `2^batch_variables` inferences and checks every bound.
    pub fn new(
        circuit: &Circuit,
        batch_variables: usize,
        parameters: &WitnessParameters,
    ) -> Result<Self, ProofRejection> {
        let bad = |what| ProofRejection::Parameter { what };
        let fold = parameters.schedule.first_fold();
        let (limb_bits, window_bits) = (
            usize::from(parameters.limb_bits),
            usize::from(parameters.window_bits),
        );
        let high_bits = usize::from(parameters.high_bits);
        let range = fold.max(1)..=usize::from(TABLE_BITS);
        let window_range = 1..=usize::from(TABLE_BITS);
        if !range.contains(&limb_bits) || !range.contains(&high_bits) || !window_range.contains(&window_bits)
        {
            return Err(bad("table bits"));
        }
        if !(1..=LIMBS).contains(&parameters.limbs) || batch_variables > BATCH_VARIABLES {
            return Err(bad("limbs or batch"));
        }
        let (window_start, window) = window(circuit, parameters)?;
        check_identity(circuit, parameters)?;
        let sizes: Vec<usize> = circuit
            .requantises
            .iter()
            .map(|r| rows(circuit, r.linear) + batch_variables)
            .collect();
        let (blocks, needed) = place(&sizes);
        let variables = needed.max(fold);
        let clamp_variables = window_bits + 2 + log2_ceil(circuit.clamps.len());
        let (lookups, lookup_variables) = place(&vec![variables; usize::from(parameters.limbs) + 2]);
        let (tables, table_variables) = place(&[limb_bits, high_bits, clamp_variables]);
        let tables: [Block; 3] = tables.try_into().map_err(|_| bad("table bits"))?;
        if lookup_variables > VARIABLES || !range.contains(&clamp_variables) {
            return Err(bad("witness size"));
        }
        let columns = usize::from(parameters.limbs) + 3;
        let cells = (columns << variables) + (1 << limb_bits) + (1 << high_bits) + (1 << clamp_variables);
        let committed_variables = log2_ceil(cells);
        let config = parameters.schedule.config(committed_variables)?;
        let index = |clamp: (i8, i8)| circuit.clamps.iter().position(|c| *c == clamp).unwrap_or(0);
        Ok(Self {
            batch_variables,
            variables,
            blocks,
            parameters: parameters.clone(),
            window_start,
            window,
            clamp_of: circuit
                .requantises
                .iter()
                .map(|r| index((r.low, r.high)))
                .collect(),
            clamps: circuit.clamps.clone(),
            clamp_variables,
            lookups,
            lookup_variables,
            tables,
            table_variables,
            committed_variables,
            config,
        })
    }

    /// The configuration of the witness commitment.
    pub const fn configuration(&self) -> &p3_whir::WhirConfig<Extension, Base, Challenger> {
        &self.config
    }

    /// The common shift of all requantisations.
    pub fn shift(&self) -> usize {
        usize::from(self.parameters.limb_bits) * usize::from(self.parameters.limbs)
    }

    /// What is added to a quotient to make it the two-part number `high * 2^window_bits + low`.
    pub fn quotient_offset(&self) -> i64 {
        ((self.window as i64) << self.parameters.window_bits) - self.window_start
    }

    /// The columns, in the order of the commitment.
    pub fn columns(&self) -> Vec<Column> {
        let limbs = (0..usize::from(self.parameters.limbs)).map(Column::Limb);
        [Column::Result, Column::High, Column::Side]
            .into_iter()
            .chain(limbs)
            .collect()
    }

    /// The factor that scales the multipliers of a requantisation to the common shift, as a power of two.
    pub fn scale_bits(&self, shift: u8) -> usize {
        self.shift().saturating_sub(usize::from(shift))
    }

    /// An opening of all columns at one point, of the results at `results` more points, and of the multiplicities of
    /// the three tables at one point each.
    pub fn protocol(&self, results: usize) -> OpeningProtocol {
        let columns = self.columns().len();
        let mut points = vec![OpeningBatch::new((0..columns).collect(), vec![])];
        points.extend((0..results).map(|_| OpeningBatch::new(vec![0], vec![])));
        let mut specs = vec![TableSpec::new(TableShape::new(self.variables, columns), points)];
        specs.extend(self.tables.iter().map(|table| {
            let point = OpeningBatch::new(vec![0], vec![]);
            TableSpec::new(TableShape::new(table.variables, 1), vec![point])
        }));
        OpeningProtocol::new(specs)
    }

    /// Points at which results are opened besides the lookup point: one for each linear op that reads them, in the
    /// order of [`Circuit::uses`], then one for each public result.
    pub fn result_points(circuit: &Circuit) -> usize {
        let reads = |u: &&crate::circuit::Use| {
            let source = circuit.linears.get(u.linear).map(|l| l.source);
            matches!(source, Some(Site::Requantise(_)))
        };
        circuit.uses.iter().filter(reads).count() + circuit.public_requantises().len()
    }
}

fn rows(circuit: &Circuit, linear: usize) -> usize {
    circuit
        .linears
        .get(linear)
        .map_or(0, crate::circuit::Linear::row_variables)
}

/// Where the window of all clamps starts, and its index. The quotient of every well-formed input fits.
fn window(circuit: &Circuit, parameters: &WitnessParameters) -> Result<(i64, usize), ProofRejection> {
    let what = "quotient range";
    let start = circuit.clamps.iter().map(|c| i64::from(c.0)).min().unwrap_or(0);
    let end = circuit.clamps.iter().map(|c| i64::from(c.1)).max().unwrap_or(0);
    let size = 1i64 << parameters.window_bits;
    let low = circuit.requantises.iter().map(|r| r.quotient.0).fold(0, i64::min);
    let high = circuit.requantises.iter().map(|r| r.quotient.1).fold(0, i64::max);
    let before = start.saturating_sub(low).max(0);
    let index = before.saturating_add(size - 1) / size;
    let last = (high - start).saturating_add(index.saturating_mul(size));
    let total = u32::from(parameters.window_bits) + u32::from(parameters.high_bits);
    if end - start >= size || last >= 1i64 << total {
        return Err(ProofRejection::Parameter { what });
    }
    Ok((
        start,
        usize::try_from(index).map_err(|_| ProofRejection::Parameter { what })?,
    ))
}

/// Neither side of the identity can wrap around the characteristic, for any cells that pass the lookups.
fn check_identity(circuit: &Circuit, parameters: &WitnessParameters) -> Result<(), ProofRejection> {
    let what = "requantisation identity could wrap";
    let wrap = Err(ProofRejection::Parameter { what });
    let shift = u32::from(parameters.limb_bits) * u32::from(parameters.limbs);
    let quotient = u32::from(parameters.window_bits) + u32::from(parameters.high_bits) + 1;
    if parameters.limbs == 0 || shift.saturating_add(quotient) > IDENTITY_BITS {
        return wrap;
    }
    for requantise in &circuit.requantises {
        let Some(scale) = shift.checked_sub(u32::from(requantise.shift)) else {
            return Err(ProofRejection::Parameter { what: "shift" });
        };
        let magnitude = circuit.linears.get(requantise.linear).map_or(0, |l| l.magnitude);
        let multiplier = requantise.multipliers.iter().copied().max().unwrap_or(0);
        let side = (u128::from(magnitude) * u128::from(multiplier))
            .checked_shl(scale)
            .unwrap_or(u128::MAX);
        // 62 bits of accumulator and multiplier, shifted by at most 62 more, fit 128 bits.
        if side.saturating_add(1u128 << shift) >= 1 << IDENTITY_BITS {
            return wrap;
        }
    }
    Ok(())
}

impl Column {
    /// The name in messages and in the lying-prover harness.
    pub fn name(&self) -> String {
        match self {
            Self::Result => "result".into(),
            Self::High => "high".into(),
            Self::Side => "side".into(),
            Self::Limb(index) => format!("limb{index}"),
        }
    }
}

/// What a verifying key says about one batch size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchParameters {
    /// The witness; `None` for a graph without requantisation, whose proof commits to nothing.
    pub witness: Option<WitnessParameters>,
}

impl Encode for BatchParameters {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.witness.encode_into(out);
    }
}

impl Decode for BatchParameters {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            witness: Option::decode(reader)?,
        })
    }
}
