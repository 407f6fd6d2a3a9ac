//! Why a graph, its parameters or its inputs are refused.

use core::fmt;

use haca_wire::{DType, DecodeError, Shape};
use thiserror::Error;

/// Which part of a graph an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// An input, by index.
    Input(usize),
    /// A parameter, by index.
    Param(usize),
    /// A node, by index.
    Node(usize),
    /// An output, by index.
    Output(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, index) = match self {
            Self::Input(index) => ("input", index),
            Self::Param(index) => ("parameter", index),
            Self::Node(index) => ("node", index),
            Self::Output(index) => ("output", index),
        };
        write!(f, "{kind} {index}")
    }
}

/// Why a graph is refused, or why tensors do not fit it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A count is zero or above its limit.
    #[error("{found} {what}, where 1 to {expected} are allowed")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The count.
        found: usize,
        /// The limit.
        expected: usize,
    },
    /// A list does not have as many entries as the graph asks for.
    #[error("{place}: {found} {what}, expected {expected}")]
    Length {
        /// Where.
        place: Place,
        /// What is counted.
        what: &'static str,
        /// The number of entries.
        found: usize,
        /// The number the graph asks for.
        expected: usize,
    },
    /// A node reads a value that does not exist before it.
    #[error("{place} reads value {found}, but only {expected} values exist before it")]
    UnknownValue {
        /// Who reads.
        place: Place,
        /// The value.
        found: u32,
        /// How many values exist.
        expected: usize,
    },
    /// A node reads a parameter that does not exist.
    #[error("{place} reads parameter {found}, but there are {expected}")]
    UnknownParam {
        /// Who reads.
        place: Place,
        /// The parameter.
        found: u32,
        /// How many parameters exist.
        expected: usize,
    },
    /// An element type is not the one asked for.
    #[error("{place}: element type {}, expected {}", found.name(), expected.name())]
    ElementType {
        /// Where.
        place: Place,
        /// The element type.
        found: DType,
        /// The one asked for.
        expected: DType,
    },
    /// A shape is not the one asked for.
    #[error("{place}: shape {:?}, expected {:?}", found.dims(), expected.dims())]
    Shape {
        /// Where.
        place: Place,
        /// The shape.
        found: Shape,
        /// The one asked for.
        expected: Shape,
    },
    /// A value has not the number of axes the op asks for.
    #[error("{place}: {found} axes, expected {expected}")]
    Rank {
        /// Where.
        place: Place,
        /// The number of axes.
        found: usize,
        /// The number asked for.
        expected: usize,
    },
    /// A declared range is empty or outside its element type, or a value is outside its declared range.
    #[error("{place}: {found} is outside {low} to {high}")]
    Range {
        /// Where.
        place: Place,
        /// The value.
        found: i64,
        /// Smallest value allowed.
        low: i64,
        /// Largest value allowed.
        high: i64,
    },
    /// An accumulator could leave int32.
    #[error("{place}: the accumulator can reach {low} to {high}, which int32 does not hold")]
    AccumulatorOverflow {
        /// The node.
        place: Place,
        /// Smallest reachable value.
        low: i64,
        /// Largest reachable value.
        high: i64,
    },
    /// A side of the requantisation identity could reach 2^62.
    #[error("{place}: accumulator times multiplier can reach {found} bits, {expected} are allowed")]
    ProductOverflow {
        /// The node.
        place: Place,
        /// Bits the product can reach.
        found: u32,
        /// Bits allowed.
        expected: u32,
    },
    /// The unsaturated quotient spans more values than a proof covers.
    #[error("{place}: the quotient before clamping spans {low} to {high}, more than {expected} bits")]
    QuotientTooWide {
        /// The node.
        place: Place,
        /// Smallest quotient.
        low: i64,
        /// Largest quotient.
        high: i64,
        /// Bits allowed.
        expected: u32,
    },
    /// A window does not fit, one of its numbers is outside its limit, or a window of WindowMax has no element.
    #[error("{place}: the window does not fit its input")]
    Window {
        /// The node.
        place: Place,
    },
    /// Groups do not divide channels and filters.
    #[error("{place}: {found} groups do not divide {channels} channels and {filters} filters")]
    Groups {
        /// The node.
        place: Place,
        /// Groups.
        found: u32,
        /// Channels of the input.
        channels: u32,
        /// Channels of the value.
        filters: u32,
    },
    /// The numbers of an op that moves elements do not fit its operands.
    #[error("{place}: the numbers of {op} do not fit its operands")]
    Arrangement {
        /// The node.
        place: Place,
        /// The op.
        op: &'static str,
    },
    /// A value, or a parameter of the shape that its op asks for, would have more elements than a tensor may have.
    #[error("{place}: the value or its weight would have too many elements")]
    TooLarge {
        /// The node.
        place: Place,
    },
    /// A Requantise or Activate reads something that is not an accumulator, or a Sum something that is neither int8 nor
    /// the accumulators of another op.
    #[error("{place}: value {found} is not one of the accumulators that this op reads")]
    NotAccumulator {
        /// The node.
        place: Place,
        /// The value it reads.
        found: u32,
    },
    /// The operand of an ArgMax is not an output.
    #[error("{place}: the operand of ArgMax, value {found}, is not an output of the graph")]
    HiddenArgMax {
        /// The node.
        place: Place,
        /// The operand.
        found: u32,
    },
    /// Something is declared and read by nobody.
    #[error("{place} is used by no node and no output")]
    Unused {
        /// What is not used.
        place: Place,
    },
    /// Two inputs or two outputs have one name, or two outputs show one value.
    #[error("{place} repeats an earlier name or value")]
    Repeated {
        /// The second of the two.
        place: Place,
    },
}

impl GraphError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Count { .. } => "graph.count",
            Self::Length { .. } => "graph.length",
            Self::UnknownValue { .. } => "graph.unknown_value",
            Self::UnknownParam { .. } => "graph.unknown_param",
            Self::ElementType { .. } => "graph.element_type",
            Self::Shape { .. } => "graph.shape",
            Self::Rank { .. } => "graph.rank",
            Self::Range { .. } => "graph.range",
            Self::AccumulatorOverflow { .. } => "graph.accumulator_overflow",
            Self::ProductOverflow { .. } => "graph.product_overflow",
            Self::QuotientTooWide { .. } => "graph.quotient_too_wide",
            Self::Window { .. } => "graph.window",
            Self::Groups { .. } => "graph.groups",
            Self::Arrangement { .. } => "graph.arrangement",
            Self::TooLarge { .. } => "graph.too_large",
            Self::NotAccumulator { .. } => "graph.not_accumulator",
            Self::HiddenArgMax { .. } => "graph.hidden_argmax",
            Self::Unused { .. } => "graph.unused",
            Self::Repeated { .. } => "graph.repeated",
        }
    }

    /// What the reader of the message can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Count { .. } => "split the model, or raise the limit in a new protocol version",
            Self::Length { .. } | Self::ElementType { .. } | Self::Shape { .. } | Self::Rank { .. } => {
                "compare with the inputs, parameters and outputs that the manifest of the model lists"
            }
            Self::UnknownValue { .. } | Self::UnknownParam { .. } => {
                "nodes stand in the order of evaluation and read only what stands before them"
            }
            Self::Range { .. } => "quantise again with a declared range that covers the values",
            Self::AccumulatorOverflow { .. } => {
                "make the layer narrower, or declare narrower ranges for its weights and bias"
            }
            Self::ProductOverflow { .. } => "use smaller multipliers with a smaller shift",
            Self::QuotientTooWide { .. } => {
                "use a larger shift or smaller multipliers; a larger calibration range does that"
            }
            Self::Window { .. } => "compare kernel, stride, dilation and padding with the size of the input",
            Self::Groups { .. } => "channels and filters are multiples of the number of groups",
            Self::Arrangement { .. } => "compare axes, starts and counts with the shapes of the operands",
            Self::TooLarge { .. } => "use smaller inputs, or fewer channels",
            Self::NotAccumulator { .. } => {
                "a requantisation reads a Linear, Convolve, WindowSum, Sum or Product node itself, a Sum those but Sum"
            }
            Self::HiddenArgMax { .. } => "make the operand an output as well",
            Self::Unused { .. } => "remove it, or make it an output",
            Self::Repeated { .. } => "give each input and output its own name and value",
        }
    }
}

impl From<GraphError> for DecodeError {
    /// Bytes that describe no valid graph are not canonical; the code says which rule they break.
    fn from(error: GraphError) -> Self {
        Self::Invalid { what: error.code() }
    }
}
