//! Tests of import, quantisation and sample files through the public interface.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_files;
mod digits;
mod fixtures;
mod network;
mod onnx_file;
mod ops;
mod reference;
mod refusals;
mod samples;
mod scales;
mod width;
