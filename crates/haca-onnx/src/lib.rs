//! From an ONNX file to an integer graph.
//!
//! Use this crate to import a trained network, to calibrate and quantise it to int8 after training, and to report
//! how faithful the integer graph is to the float network. It also reads the sample files that calibration, tests
//! and benchmarks take: `.npy`, `.npz` and JSON.
//!
//! # Key types
//!
//! [`quantise`] does it all: ONNX bytes and calibration samples to a [`haca_graph::ModelFile`] and an
//! [`ImportReport`]. Its steps: [`FloatModel::read_with`] and its [`ReadOptions`], [`Calibration`], [`Options`].
//! [`explain`] says layer by layer what was chosen and what it costs; [`fidelity`] compares whole networks.
//! [`SampleSet::read`] reads files; [`quantise_input`] turns reals into an input tensor.
//!
//! # Invariants
//!
//! No bytes make it panic. A construct that is not covered is refused by name of node and op, never approximated.
//! The same file, samples and options give the same bytes on every machine: float arithmetic is limited to
//! operations that IEEE 754 fixes exactly, in a fixed order.
//!
//! # Limits
//!
//! All in [`limit`], on top of [`haca_graph::limit`]. One inference at a time: the batch axis is left out. Covered
//! are convolutions in one and two dimensions, dense layers, pools, reductions, sums and products of elements, the
//! functions of [`FloatFunction`], arrangements of elements, arithmetic on shapes and constants, and files that are
//! quantised already. A Softmax stands at the end only, and is left out with a note. Products of two activations
//! along an axis (attention), recurrence, division by activations and comparisons are not.

#![forbid(unsafe_code)]

pub mod limit;

mod calibration;
mod error;
mod fidelity;
mod float_model;
mod import;
mod initializer;
mod npy;
mod npz;
mod proto;
mod quantisation;
mod read_options;
mod samples;
mod scale;

pub use calibration::{Calibration, Sample};
pub use error::{At, OnnxError};
pub use fidelity::{Fidelity, fidelity};
pub use float_model::{FloatFunction, FloatModel, FloatOp, Weights};
pub use quantisation::{
    ActivationReport, Activations, Explanation, ImportReport, LayerExplanation, LayerReport, Options,
    explain, quantise, quantise_model,
};
pub use read_options::{BatchAxis, InputLayout, ReadOptions};
pub use samples::{InputSpec, SampleSet};
pub use scale::{quantise_input, quantise_sample, scale_at_least};
