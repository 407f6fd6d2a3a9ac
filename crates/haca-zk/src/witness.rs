//! How the witness of one batch size is laid out: columns, lookups and tables.

use haca_wire::{Decode, DecodeError, Encode, Reader};
use p3_sumcheck::{OpeningBatch, OpeningProtocol, TableShape, TableSpec};

use crate::ProofRejection;
use crate::block::{Block, log2_ceil, place};
use crate::cell::{CellBlock, CellSpace};
use crate::circuit::{Circuit, Mapping, Requantise};
use crate::field::{Base, Challenger, Extension};
use crate::joined::JoinedLayout;
use crate::schedule::{Config, Schedule, VARIABLES};
use crate::value::Source;
use crate::weight::WeightLayout;

/// Both sides of the requantisation identity stay below `2^IDENTITY_BITS` in magnitude, so that equality modulo the
/// characteristic is equality of integers.
pub const IDENTITY_BITS: u32 = 62;
/// Rows of the largest table, as a power of two.
pub const TABLE_BITS: u8 = 16;
/// Variables of the table of larger elements: differences of int8 values.
pub const LARGER_BITS: usize = 9;
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
    /// Bits of the low part of a quotient. All mappings lie inside one window of that many values; all quotients do
    /// when there is no high part.
    pub window_bits: u8,
    /// Bits of the high part of a quotient; 0 when there is none, and no side either.
    pub high_bits: u8,
    /// How many variables of the witness the first phase folds when weights and witness are opened as one; none when
    /// each is opened by itself.
    pub joined: Option<u8>,
    /// How the witness is opened, by itself or with the weights.
    pub schedule: Schedule,
}

impl WitnessParameters {
    /// Whether quotients have a high part.
    pub const fn is_split(&self) -> bool {
        self.high_bits > 0
    }

    /// Variables of the witness that the first phase folds; a table smaller than that cannot be committed.
    pub fn fold(&self) -> usize {
        self.joined.map_or(self.schedule.first_fold(), usize::from)
    }
}
haca_wire::codec_struct!(WitnessParameters {
    limb_bits,
    limbs,
    window_bits,
    high_bits,
    joined,
    schedule
});

/// The committed columns over the cells of requantisations, in the order of the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The result of the mapping.
    Result,
    /// The high part of the quotient.
    High,
    /// Whether the quotient is below (0), inside (1) or above (2) the window.
    Side,
    /// Limb of the remainder, the least significant first.
    Limb(usize),
}

/// The tables, in the order of the table tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Limbs.
    Range,
    /// High parts and sides; only when quotients are split.
    Side,
    /// Results of all mappings.
    Mapping,
    /// Larger elements; only with stages.
    Larger,
}

/// The layout of the witness of one batch size.
#[derive(Clone, Debug)]
pub struct WitnessLayout {
    /// Base-two logarithm of the padded batch.
    pub batch_variables: usize,
    /// The cells of each requantisation.
    pub cells: CellSpace,
    /// Variables of the columns: cells, then inferences.
    pub variables: usize,
    /// The cells of each stage.
    pub stages: CellSpace,
    /// Variables of the column of the stages: cells, then inferences; `None` without stages.
    pub stage_variables: Option<usize>,
    /// The numbers of the verifying key.
    pub parameters: WitnessParameters,
    /// The value that the first cell of the window stands for.
    pub window_start: i64,
    /// Index of the window: added to the high part of every quotient.
    pub window: usize,
    /// Variables of the mapping table.
    pub mapping_variables: usize,
    /// Leaves of the lookup tree: side when quotients are split, mapping, each limb, then the stages.
    pub lookups: Vec<Block>,
    /// Variables of the lookup tree.
    pub lookup_variables: usize,
    /// Leaves of the table tree.
    pub tables: Vec<(Table, Block)>,
    /// Variables of the table tree.
    pub table_variables: usize,
    /// The committed values in the space of the gather sumcheck: for each of its batch points, the results, then the
    /// stages when there are any.
    pub gather: Vec<Block>,
    /// Variables of that space.
    pub gather_variables: usize,
    /// Batch points of the gather sumcheck: one more when there are products of values.
    pub batch_points: usize,
    /// Variables of the whole commitment.
    pub committed_variables: usize,
    pub(crate) opening: Opening,
}

/// How the witness is opened.
#[derive(Clone, Debug)]
pub(crate) enum Opening {
    /// By itself.
    Alone(Config),
    /// With the weights.
    Joined(JoinedLayout),
}

impl WitnessLayout {
    /// Step R3 of `spec/zk.md`: lays out the witness of `2^batch_variables` inferences and checks every bound.
    pub fn new(
        circuit: &Circuit,
        weights: &WeightLayout,
        batch_variables: usize,
        parameters: &WitnessParameters,
    ) -> Result<Self, ProofRejection> {
        let bad = |what| ProofRejection::Parameter { what };
        let fold = parameters.fold();
        let range = fold.max(1)..=usize::from(TABLE_BITS);
        check_numbers(parameters, &range)?;
        if batch_variables > BATCH_VARIABLES {
            return Err(bad("limbs or batch"));
        }
        let (window_start, window) = window(circuit, parameters)?;
        check_identity(circuit, parameters)?;
        let (cells, stages) = spaces(circuit, batch_variables, fold);
        let variables = cells.variables + batch_variables;
        let stage_variables = (!circuit.stages.is_empty()).then_some(stages.variables + batch_variables);
        if variables.max(stage_variables.unwrap_or(0)) > VARIABLES {
            return Err(bad("witness size"));
        }
        let columns = columns(parameters).len();
        let mapping_variables = mapping_variables(circuit, parameters);
        let limbs = usize::from(parameters.limbs);
        let mut sizes = vec![variables; limbs + 1 + usize::from(parameters.is_split())];
        sizes.extend(stage_variables);
        let (lookups, lookup_variables) = place(&sizes);
        let kinds = tables(circuit, parameters);
        let sizes: Vec<usize> = kinds.iter().map(|(_, variables)| *variables).collect();
        let (blocks, table_variables) = place(&sizes);
        let tables = kinds.into_iter().map(|(kind, _)| kind).zip(blocks).collect();
        if lookup_variables > VARIABLES || !range.contains(&mapping_variables) || fold > LARGER_BITS {
            return Err(bad("witness size"));
        }
        let committed = (columns << variables)
            + stage_variables.map_or(0, |variables| 1 << variables)
            + sizes.iter().map(|v| 1usize << v).sum::<usize>();
        let committed_variables = log2_ceil(committed);
        let shapes = shapes((variables, columns), stage_variables, &sizes);
        let opening = match parameters.joined {
            None => Opening::Alone(parameters.schedule.config(committed_variables)?),
            Some(_) => Opening::Joined(JoinedLayout::new(weights, &shapes, fold, &parameters.schedule)?),
        };
        let batch_points = 1 + usize::from(circuit.uses.iter().any(|u| circuit.product(u).is_some()));
        let mut columns = vec![cells.variables];
        columns.extend(stage_variables.map(|_| stages.variables));
        let (gather, gather_variables) = place(&columns.repeat(batch_points));
        Ok(Self {
            batch_variables,
            cells,
            variables,
            stages,
            stage_variables,
            parameters: parameters.clone(),
            window_start,
            window,
            mapping_variables,
            lookups,
            lookup_variables,
            tables,
            table_variables,
            gather,
            gather_variables,
            batch_points,
            committed_variables,
            opening,
        })
    }

    /// The configuration of the opening that shows the witness.
    pub const fn configuration(&self) -> &p3_whir::WhirConfig<Extension, Base, Challenger> {
        match &self.opening {
            Opening::Alone(config) => config,
            Opening::Joined(joined) => joined.configuration(),
        }
    }

    /// The opening of weights and witness as one, when that is how this witness is opened.
    pub const fn joined(&self) -> Option<&JoinedLayout> {
        match &self.opening {
            Opening::Alone(_) => None,
            Opening::Joined(joined) => Some(joined),
        }
    }

    /// The common shift of all requantisations.
    pub fn shift(&self) -> usize {
        usize::from(self.parameters.limb_bits) * usize::from(self.parameters.limbs)
    }

    /// What is added to a quotient to make it the two-part number `high * 2^window_bits + low`.
    pub fn quotient_offset(&self) -> i64 {
        ((self.window as i64) << self.parameters.window_bits) - self.window_start
    }

    /// The columns over the cells of requantisations, in the order of the commitment.
    pub fn columns(&self) -> Vec<Column> {
        columns(&self.parameters)
    }

    /// The factor that scales the multipliers of a requantisation to the common shift, as a power of two.
    pub fn scale_bits(&self, shift: u8) -> usize {
        self.shift().saturating_sub(usize::from(shift))
    }

    /// The cells of a source; `None` for an input.
    pub fn block(&self, source: Source) -> Option<&CellBlock> {
        match source {
            Source::Input(_) => None,
            Source::Requantise(index) => self.cells.blocks.get(index),
            Source::Stage(index) => self.stages.blocks.get(index),
        }
    }

    /// The committed columns that the gather sumcheck runs over: the results, then the stages when there are any.
    pub fn gathered(&self) -> usize {
        1 + usize::from(self.stage_variables.is_some())
    }

    /// How many values of the witness are opened.
    pub fn opened(&self) -> usize {
        let protocol = self.protocol();
        protocol.iter_openings().map(|(_, batch)| batch.len()).sum()
    }

    /// Step P11, the witness: all columns at the lookup point, then the results at each batch point of the gather
    /// sumcheck; the same for the stages; then the multiplicities of each table.
    pub fn protocol(&self) -> OpeningProtocol {
        let one = || OpeningBatch::new(vec![0], vec![]);
        let columns = self.columns().len();
        let mut points = vec![OpeningBatch::new((0..columns).collect(), vec![])];
        points.extend((0..self.batch_points).map(|_| one()));
        let mut specs = vec![TableSpec::new(TableShape::new(self.variables, columns), points)];
        if let Some(variables) = self.stage_variables {
            let points = (0..=self.batch_points).map(|_| one()).collect();
            specs.push(TableSpec::new(TableShape::new(variables, 1), points));
        }
        let tables = self.tables.iter();
        specs.extend(
            tables.map(|(_, table)| TableSpec::new(TableShape::new(table.variables, 1), vec![one()])),
        );
        OpeningProtocol::new(specs)
    }
}

/// The shapes of the committed tables: the columns, the column of the stages, the multiplicities of each table.
fn shapes(columns: (usize, usize), stages: Option<usize>, tables: &[usize]) -> Vec<TableShape> {
    let mut shapes = vec![TableShape::new(columns.0, columns.1)];
    let single = stages.iter().chain(tables);
    shapes.extend(single.map(|variables| TableShape::new(*variables, 1)));
    shapes
}

/// The columns over the cells of requantisations, in the order of the commitment.
fn columns(parameters: &WitnessParameters) -> Vec<Column> {
    let split = [Column::High, Column::Side]
        .into_iter()
        .filter(|_| parameters.is_split());
    let limbs = (0..usize::from(parameters.limbs)).map(Column::Limb);
    core::iter::once(Column::Result)
        .chain(split)
        .chain(limbs)
        .collect()
}

/// Variables of the mapping table: mapping, side when quotients are split, low part.
fn mapping_variables(circuit: &Circuit, parameters: &WitnessParameters) -> usize {
    let side = if parameters.is_split() { 2 } else { 0 };
    usize::from(parameters.window_bits) + side + log2_ceil(circuit.mappings.len())
}

/// The tables with their variables.
pub fn tables(circuit: &Circuit, parameters: &WitnessParameters) -> Vec<(Table, usize)> {
    let mut tables = vec![(Table::Range, usize::from(parameters.limb_bits))];
    if parameters.is_split() {
        tables.push((Table::Side, usize::from(parameters.high_bits)));
    }
    tables.push((Table::Mapping, mapping_variables(circuit, parameters)));
    if !circuit.stages.is_empty() {
        tables.push((Table::Larger, LARGER_BITS));
    }
    tables
}

/// The cells of requantisations and of stages. A column has at least as many variables as the first fold.
pub fn spaces(circuit: &Circuit, batch_variables: usize, fold: usize) -> (CellSpace, CellSpace) {
    let least = fold.saturating_sub(batch_variables);
    let shape = |r: &Requantise| {
        let accumulator = circuit.accumulators.get(r.accumulator);
        accumulator.map_or((0, 0), |a| (a.positions, a.channels))
    };
    let cells: Vec<(usize, usize)> = circuit.requantises.iter().map(shape).collect();
    let stages: Vec<(usize, usize)> = circuit.stages.iter().map(|s| (s.positions, s.channels)).collect();
    (CellSpace::new(&cells, least), CellSpace::new(&stages, least))
}

fn check_numbers(
    parameters: &WitnessParameters,
    tables: &core::ops::RangeInclusive<usize>,
) -> Result<(), ProofRejection> {
    let what = "table bits";
    let window = 1..=TABLE_BITS;
    if !tables.contains(&usize::from(parameters.limb_bits))
        || (parameters.is_split() && !tables.contains(&usize::from(parameters.high_bits)))
        || !window.contains(&parameters.window_bits)
    {
        return Err(ProofRejection::Parameter { what });
    }
    if !(1..=LIMBS).contains(&parameters.limbs) {
        let what = "limbs or batch";
        return Err(ProofRejection::Parameter { what });
    }
    Ok(())
}

/// Where the window of all mappings starts, and its index. The quotient of every well-formed input fits.
fn window(circuit: &Circuit, parameters: &WitnessParameters) -> Result<(i64, usize), ProofRejection> {
    let what = "quotient range";
    let size = 1i64 << parameters.window_bits;
    let low = circuit.requantises.iter().map(|r| r.quotient.0).fold(0, i64::min);
    let high = circuit.requantises.iter().map(|r| r.quotient.1).fold(0, i64::max);
    if !parameters.is_split() {
        return match high.saturating_sub(low) < size {
            true => Ok((low, 0)),
            false => Err(ProofRejection::Parameter { what }),
        };
    }
    let ends = circuit.mappings.iter().map(Mapping::ends);
    let (start, end) = ends.fold((i64::MAX, i64::MIN), |(low, high), m| {
        (low.min(m.0), high.max(m.1))
    });
    let before = start.saturating_sub(low).max(0);
    let index = before.saturating_add(size - 1) / size;
    let last = high
        .saturating_sub(start)
        .saturating_add(index.saturating_mul(size));
    let total = u32::from(parameters.window_bits) + u32::from(parameters.high_bits);
    if end.saturating_sub(start) >= size || last >= 1i64 << total {
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
        let accumulator = circuit.accumulators.get(requantise.accumulator);
        let magnitude = accumulator.map_or(0, |accumulator| accumulator.magnitude);
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
