//! Why a file, a network or a set of samples is refused.

use core::fmt;

use haca_graph::GraphError;
use thiserror::Error;

/// The node of an ONNX file that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Name of the node, or of its first output where it has none.
    pub node: String,
    /// Its op.
    pub op: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node \"{}\" ({})",
            self.node.escape_debug(),
            self.op.escape_debug()
        )
    }
}

/// Why import, calibration or a sample file failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The bytes are no ONNX file.
    #[error("not an ONNX file, or a damaged one: {reason}")]
    Damaged {
        /// What is wrong with the bytes.
        reason: String,
    },
    /// Something is larger than import takes.
    #[error("{found} {what}, at most {expected} are allowed")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The count.
        found: usize,
        /// The limit.
        expected: usize,
    },
    /// The operator set is outside the range whose meaning is known.
    #[error("operator set {found}, expected {} to {}", crate::limit::OPSETS.start(), crate::limit::OPSETS.end())]
    OperatorSet {
        /// Version of the default domain; 0 when the file names none.
        found: i64,
    },
    /// The op is not part of what can be proved today.
    #[error("{at}: the op is not supported; it needs {needed}")]
    UnsupportedOp {
        /// The node.
        at: At,
        /// What would have to exist.
        needed: &'static str,
    },
    /// The op is supported, but not in this use.
    #[error("{at}: {reason}")]
    UnsupportedUse {
        /// The node.
        at: At,
        /// Why this use is not.
        reason: &'static str,
        /// What to do about it.
        needed: &'static str,
    },
    /// An attribute has a value that is not supported.
    #[error("{at}: attribute {attribute} is {found}, expected {expected}")]
    Attribute {
        /// The node.
        at: At,
        /// Name of the attribute.
        attribute: &'static str,
        /// Its value.
        found: String,
        /// The values taken.
        expected: &'static str,
    },
    /// A node lacks an input or reads a tensor that nothing defines before it.
    #[error("{at}: input {index} (\"{}\") is missing or defined nowhere before the node", tensor.escape_debug())]
    MissingTensor {
        /// The node.
        at: At,
        /// Position among the node's inputs.
        index: usize,
        /// Name of the tensor; empty when the input is missing.
        tensor: String,
    },
    /// The shapes of a node's operands do not fit.
    #[error("{at}: shape {found:?} of {operand}, expected {expected}")]
    Shape {
        /// The node.
        at: At,
        /// Which operand.
        operand: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// The shape asked for.
        expected: String,
    },
    /// An input or output of the model has a type or shape that is not supported.
    #[error("{place} \"{}\": {reason}", name.escape_debug())]
    Interface {
        /// "input" or "output".
        place: &'static str,
        /// Its name.
        name: String,
        /// What is not supported.
        reason: &'static str,
    },
    /// A constant can't be read.
    #[error("constant \"{}\": {reason}", name.escape_debug())]
    Constant {
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A weight, bias, calibration or input value is NaN or infinite.
    #[error("{what}: element {index} is {found}, not a finite number")]
    NotFinite {
        /// Which tensor.
        what: String,
        /// Position of the element.
        index: usize,
        /// The value.
        found: f64,
    },
    /// There are no calibration samples.
    #[error("no calibration samples")]
    NoSamples,
    /// A sample does not fit the inputs of the model.
    #[error("{what}: {found} values, expected {expected}")]
    SampleSize {
        /// Which sample or file.
        what: String,
        /// Values found.
        found: usize,
        /// Values per sample, or of all inputs.
        expected: usize,
    },
    /// An option is outside its range.
    #[error("option {option} is {found}, expected {expected}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        found: f64,
        /// The values taken.
        expected: &'static str,
    },
    /// A scale leaves the range that the wire format holds.
    #[error("{what}: {found:e} leaves the range of scales and multipliers")]
    Scale {
        /// What is scaled.
        what: String,
        /// The scale or ratio of scales.
        found: f64,
    },
    /// The integer graph breaks a rule, most often because an accumulator could overflow.
    #[error("the integer graph is refused: {0}")]
    Graph(#[from] GraphError),
    /// A sample file is neither `.npy`, `.npz` nor JSON, or is damaged.
    #[error("sample file: {reason}")]
    SampleFile {
        /// What is wrong with it.
        reason: String,
    },
}

impl OnnxError {
    /// A stable identifier for programs and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "onnx.damaged",
            Self::TooLarge { .. } => "onnx.too_large",
            Self::OperatorSet { .. } => "onnx.operator_set",
            Self::UnsupportedOp { .. } => "onnx.unsupported_op",
            Self::UnsupportedUse { .. } => "onnx.unsupported_use",
            Self::Attribute { .. } => "onnx.attribute",
            Self::MissingTensor { .. } => "onnx.missing_tensor",
            Self::Shape { .. } => "onnx.shape",
            Self::Interface { .. } => "onnx.interface",
            Self::Constant { .. } => "onnx.constant",
            Self::NotFinite { .. } => "onnx.not_finite",
            Self::NoSamples => "onnx.no_samples",
            Self::SampleSize { .. } => "onnx.sample_size",
            Self::Option { .. } => "onnx.option",
            Self::Scale { .. } => "onnx.scale",
            Self::Graph(error) => error.code(),
            Self::SampleFile { .. } => "onnx.sample_file",
        }
    }

    /// What the reader of the message can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => {
                "check the path, and that the file is whole: onnx.checker.check_model reads it"
            }
            Self::TooLarge { .. } => "use a smaller model or fewer samples",
            Self::OperatorSet { .. } => "export again with opset_version=17",
            Self::UnsupportedOp { .. } => {
                "supported: dense and convolution layers, pools, sums and products of elements, the functions of \
                 spec/graph.md, arrangements; the list of ops is in docs/guides/import-a-model.md"
            }
            Self::UnsupportedUse { needed, .. } => needed,
            Self::Attribute { .. } => "export the model again with the value expected",
            Self::MissingTensor { .. } => "the file is inconsistent: onnx.checker.check_model says where",
            Self::Shape { .. } => {
                "check the shapes with onnx.shape_inference; each input has the batch axis in front"
            }
            Self::Interface { .. } => {
                "inputs are float32; dimensions behind the batch axis have numbers, in the file or given by name"
            }
            Self::Constant { .. } => "save weights as float32 inside the ONNX file",
            Self::NotFinite { .. } => "the training or the data has diverged; remove NaN and infinite values",
            Self::NoSamples => {
                "give a file with at least one sample, better a hundred from the training data"
            }
            Self::SampleSize { .. } => {
                "each sample is one flat list per model input, in the order of the inputs"
            }
            Self::Option { .. } => "use the default, or a value in the range",
            Self::Scale { .. } => "rescale the data so that its largest magnitude is near 1",
            Self::Graph(error) => error.hint(),
            Self::SampleFile { .. } => {
                "use numpy.save, numpy.savez (arrays x and y), or JSON {\"input_data\": [[...]]}"
            }
        }
    }
}
