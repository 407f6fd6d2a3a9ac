//! Integer kernels, chosen at run time by what the processor offers. All give the same bits.

mod fold;
mod matrix;
mod path;
#[cfg(target_arch = "x86_64")]
mod unrolled;
mod vector;

#[cfg(any(test, target_arch = "x86_64"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod portable;

pub use fold::{fold_columns, fold_rows};
pub(crate) use matrix::{Blocks, Rows, flipped, multiply};
pub(crate) use path::Path;
pub(crate) use vector::{
    Depthwise, Reduction, Scaling, activate, depthwise, product, requantise, weighted_sum, weighted_wide_sum,
    window_max, window_sum,
};
