//! Tests of import, quantisation and sample files through the public interface.

#![allow(clippy::unwrap_used, reason = "tests")]

mod digits;
mod fixtures;
mod onnx_file;
mod refusals;
mod samples;
mod scales;
