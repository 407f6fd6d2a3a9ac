//! What a graph asks the proof to show, independent of the size of a batch.

mod builder;

use haca_graph::{Function, Graph, ParamSpec, ValueId};
use haca_wire::DType;

use crate::ProofRejection;
use crate::value::Value;
use crate::windows::Windows;

/// What a value of the graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// An int8 value, by index into [`Circuit::values`].
    Value(usize),
    /// Accumulators, by index into [`Circuit::accumulators`]. Never committed.
    Accumulator(usize),
    /// The index of the largest element of a public value: the value and its last dimension.
    ArgMax(ValueId, usize),
}

/// The int32 sums of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accumulator {
    /// Product of all dimensions but the last.
    pub positions: usize,
    /// The last dimension.
    pub channels: usize,
    /// Largest magnitude of an element; for a combination that is part of a sum, that of the sum.
    pub magnitude: u64,
    /// What they are sums of.
    pub form: Form,
}

/// What accumulators are sums of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Weights times elements, and a bias: a dense layer or a convolution.
    Matrix(Matrix),
    /// Elements times public coefficients.
    Combination(Vec<Addend>),
    /// The product of two values, by index, element by element.
    Product([usize; 2]),
    /// Other accumulators, none of which has this form, times public coefficients. Claims about such a sum are claims
    /// about its parts.
    Sum(Vec<Part>),
}

/// One part of a sum of accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index into [`Circuit::accumulators`].
    pub accumulator: usize,
    /// What it is multiplied by.
    pub coefficient: i64,
}

/// `acc(p, o) = bias(o) + sum_k weight(o, k) x(p, k)`, where `k` runs over the taps of window `p` and the channels of
/// the group of `o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The value it reads, by index.
    pub value: usize,
    /// Index into [`Circuit::weights`].
    pub weight: usize,
    /// Index into [`Circuit::biases`].
    pub bias: usize,
    /// Groups of channels; each row sees the channels of its group only.
    pub groups: usize,
    /// The windows over the value.
    pub windows: Windows,
    /// Taps times channels of a group.
    pub columns: usize,
    /// Rows of the matrix: channels of the result.
    pub rows: usize,
}

impl Matrix {
    /// The group that a row belongs to.
    pub const fn group(&self, row: usize) -> usize {
        let per_group = self.rows / if self.groups == 0 { 1 } else { self.groups };
        row / if per_group == 0 { 1 } else { per_group }
    }
}

/// One addend of a combination: `coefficient` times the sum over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addend {
    /// The value, by index.
    pub value: usize,
    /// What it is multiplied by.
    pub coefficient: i64,
    /// The windows over the value.
    pub windows: Windows,
}

/// What becomes of a quotient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// `clamp(y, low, high)`.
    Clamp(i8, i8),
    /// `table[clamp(y, low, high)]`: the function and its table.
    Function(Function, Vec<i8>),
}

impl Mapping {
    /// The least and the largest quotient with a result of its own; beyond them the result stays the same.
    pub const fn ends(&self) -> (i64, i64) {
        match self {
            Self::Clamp(low, high) => (*low as i64, *high as i64),
            Self::Function(function, _) => (function.low as i64, function.high as i64),
        }
    }

    /// The result of a quotient.
    pub fn result(&self, quotient: i64) -> i64 {
        let (low, high) = self.ends();
        let inside = quotient.max(low).min(high);
        match self {
            Self::Clamp(..) => inside,
            Self::Function(_, table) => {
                let index = usize::try_from(inside.saturating_sub(low)).unwrap_or(0);
                table.get(index).copied().map_or(0, i64::from)
            }
        }
    }
}

/// A requantisation, with trailing zero bits of the multipliers cancelled against the shift. That changes no result:
/// `(2Ma + 2^(s-1)) >> s = (Ma + 2^(s-2)) >> (s-1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requantise {
    /// Index into [`Circuit::accumulators`].
    pub accumulator: usize,
    /// One multiplier, or one for each channel when they differ.
    pub multipliers: Vec<u32>,
    /// Right shift.
    pub shift: u8,
    /// Index into [`Circuit::mappings`].
    pub mapping: usize,
    /// Range of the quotient before the mapping.
    pub quotient: (i64, i64),
}

/// The larger of two elements at each position: a step of a window maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Both operands. An element in the padding is -128.
    pub operands: [Operand; 2],
    /// Windows.
    pub positions: usize,
    /// Channels.
    pub channels: usize,
}

/// One tap of the windows over a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The value, by index.
    pub value: usize,
    /// The windows.
    pub windows: Windows,
    /// The tap.
    pub tap: usize,
}

/// One committed weight matrix or bias vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Index into the parameters of the graph.
    pub param: usize,
    /// Rows; 1 for a bias.
    pub rows: usize,
    /// Columns; the number of elements for a bias.
    pub columns: usize,
    /// Declared range.
    pub range: (i64, i64),
}

impl Param {
    /// The matrices and the vectors that a graph declares, and for each of its parameters the index among its own kind.
    pub(crate) fn lists(specs: &[ParamSpec]) -> (Vec<Self>, Vec<Self>, Vec<usize>) {
        let (mut weights, mut biases, mut indices) = (Vec::new(), Vec::new(), Vec::new());
        for (param, spec) in specs.iter().enumerate() {
            let range = (spec.low, spec.high);
            let elements = spec.shape.elements();
            let list = if spec.dtype == DType::I8 {
                &mut weights
            } else {
                &mut biases
            };
            let rows = match spec.shape.dims() {
                [rows, _, ..] => *rows as usize,
                _ => 1,
            };
            indices.push(list.len());
            list.push(Self {
                param,
                rows,
                columns: elements / rows.max(1),
                range,
            });
        }
        (weights, biases, indices)
    }
}

/// Who asks for accumulators: each is one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A requantisation, by index.
    Requantise(usize),
    /// The accumulators are public: the first output that shows them.
    Output(usize),
}

/// What one claim has of accumulators. A claim about a sum of accumulators makes a use of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Index into [`Circuit::accumulators`]; those are no [`Form::Sum`].
    pub accumulator: usize,
    /// What they are multiplied by in the claim.
    pub coefficient: i64,
    /// Who asks.
    pub role: Role,
}

/// The provable form of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// Int8 values: those of the graph, and those of all stages.
    pub values: Vec<Value>,
    /// Accumulators, in the order of the graph.
    pub accumulators: Vec<Accumulator>,
    /// Requantisations, in the order of the graph.
    pub requantises: Vec<Requantise>,
    /// The stages of all window maxima, in the order of the graph.
    pub stages: Vec<Stage>,
    /// Committed matrices, in the order of the graph's parameters.
    pub weights: Vec<Param>,
    /// Committed vectors, in the order of the graph's parameters.
    pub biases: Vec<Param>,
    /// What claims have of accumulators: requantisations in order, then public accumulators in the order of outputs. The
    /// uses of a claim stand together.
    pub uses: Vec<Use>,
    /// What each output of the graph is.
    pub outputs: Vec<Site>,
    /// Distinct mappings, in order of first use; never empty.
    pub mappings: Vec<Mapping>,
    /// For each value of the graph, what it is.
    pub sites: Vec<Site>,
    /// Elements of all values whose elements were looked at one by one to tell where they come from.
    pub arranged: usize,
    /// See [`Circuit::public_values`]: telling them from others takes a look at every arranged element.
    public_values: Vec<(usize, usize)>,
}

impl Circuit {
    /// Step R1 of `spec/zk.md`: reads a checked graph.
    pub fn new(graph: &Graph) -> Result<Self, ProofRejection> {
        builder::build(graph)
    }

    /// Whether a proof commits to anything of its own.
    pub fn has_witness(&self) -> bool {
        !self.requantises.is_empty() || !self.stages.is_empty()
    }

    /// The public int8 values that do not follow from the inputs: output and value, in order.
    pub fn public_values(&self) -> &[(usize, usize)] {
        &self.public_values
    }

    fn find_public_values(&self) -> Vec<(usize, usize)> {
        let committed = |value: &usize| self.values.get(*value).is_some_and(|v| !v.is_public());
        let outputs = self.outputs.iter().enumerate();
        outputs
            .filter_map(|(output, site)| match site {
                Site::Value(value) if committed(value) => Some((output, *value)),
                _ => None,
            })
            .collect()
    }

    /// The accumulators of a use.
    pub fn accumulator(&self, of: &Use) -> Option<&Accumulator> {
        self.accumulators.get(of.accumulator)
    }

    /// The matrix of a use, when it has one.
    pub fn matrix(&self, of: &Use) -> Option<&Matrix> {
        match &self.accumulator(of)?.form {
            Form::Matrix(matrix) => Some(matrix),
            _ => None,
        }
    }

    /// The operands of a use, when it is a product of values.
    pub fn product(&self, of: &Use) -> Option<[usize; 2]> {
        match &self.accumulator(of)?.form {
            Form::Product(operands) => Some(*operands),
            _ => None,
        }
    }

    /// The addends of a use, when it is a combination.
    pub fn combination(&self, of: &Use) -> Option<&[Addend]> {
        match &self.accumulator(of)?.form {
            Form::Combination(addends) => Some(addends),
            _ => None,
        }
    }

    /// The multipliers of a use: none when its accumulators are public.
    pub fn multipliers(&self, of: &Use) -> &[u32] {
        match of.role {
            Role::Requantise(index) => self.requantises.get(index).map_or(&[], |r| &r.multipliers),
            Role::Output(_) => &[],
        }
    }

    /// Whether the rows of the matrix of a use have weights that are no equality polynomial: multipliers per channel,
    /// or groups. Those go through the channel sumcheck.
    pub fn is_weighted(&self, of: &Use) -> bool {
        self.matrix(of)
            .is_some_and(|matrix| matrix.groups > 1 || self.multipliers(of).len() > 1)
    }
}
