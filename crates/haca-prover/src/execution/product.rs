//! Dense layers and convolutions, prepared.

use haca_graph::Window;

use super::image::{Geometry, Padding, reaching};
use crate::kernel::{Blocks, Depthwise, Path, Rows, depthwise, flipped, multiply};

/// A matrix of weights, and where the input rows that it is multiplied with lie.
#[derive(Clone, Debug)]
pub(crate) enum Product {
    /// Each row stands in the input as it is.
    Dense { blocks: Blocks, rows: Rows },
    /// Rows are the elements under windows; one matrix for each group.
    Windows {
        groups: Vec<Blocks>,
        rows: Rows,
        padding: Padding,
        /// Channels of one group.
        channels: usize,
        /// Filters of one group.
        filters: usize,
    },
    /// As many groups as channels and filters.
    Depthwise {
        convolution: Depthwise,
        padding: Padding,
    },
}

impl Product {
    /// A dense layer over `positions` rows.
    pub(crate) fn dense(weight: &[i8], bias: &[i32], positions: usize) -> Self {
        let columns = weight.len() / bias.len().max(1);
        let starts = (0..positions).map(|p| p * columns).collect();
        Self::Dense {
            blocks: Blocks::new(weight, bias, 1),
            rows: Rows::new(starts, vec![0], columns),
        }
    }

    /// A convolution over an image of shape `dims`.
    pub(crate) fn convolution(
        weight: &[i8],
        bias: &[i32],
        dims: [usize; 3],
        window: &Window,
        groups: usize,
    ) -> Self {
        let geometry = Geometry::new(dims, window);
        let (channels, filters) = (dims[2] / groups.max(1), bias.len() / groups.max(1));
        if (channels, filters) == (1, 1) && groups >= 8 {
            return Self::of_channels(weight, bias, &geometry);
        }
        let (pieces, length) = geometry.pieces(channels);
        let group = |(weight, bias): (&[i8], &[i32])| Blocks::new(weight, bias, pieces.len());
        let parts = weight
            .chunks_exact((weight.len() / groups.max(1)).max(1))
            .zip(bias.chunks_exact(filters.max(1)));
        Self::Windows {
            groups: parts.map(group).collect(),
            rows: Rows::new(geometry.starts(), pieces, length),
            padding: geometry.padding,
            channels,
            filters,
        }
    }

    fn of_channels(weight: &[i8], bias: &[i32], geometry: &Geometry) -> Self {
        let taps = geometry.taps();
        let by_tap = (0..taps.len()).flat_map(|tap| weight.iter().skip(tap).step_by(taps.len()));
        Self::Depthwise {
            convolution: Depthwise {
                weight: by_tap.copied().collect(),
                bias: bias.to_vec(),
                starts: geometry.starts(),
                taps,
            },
            padding: geometry.padding.clone(),
        }
    }

    /// Writes the accumulators: for each row, one for each row of the weights, run by run.
    pub(crate) fn run(&self, path: Path, input: &[i8], runs: usize, out: &mut [i32], scratch: &mut Vec<i8>) {
        if let Self::Dense { blocks, rows } = self {
            let of_all = (runs != 1).then(|| rows.repeated(runs, input.len() / runs.max(1)));
            let rows = of_all.as_ref().unwrap_or(rows);
            let input = reaching(input, rows.reach(), flipped(path, blocks, rows), scratch);
            multiply(path, blocks, rows, input, out, blocks.rows(), 0);
            return;
        }
        let (from, to) = (input.len() / runs.max(1), out.len() / runs.max(1));
        let all = input
            .chunks_exact(from.max(1))
            .zip(out.chunks_exact_mut(to.max(1)));
        all.for_each(|(input, out)| self.convolve(path, input, out, scratch));
    }

    /// A convolution of one run.
    fn convolve(&self, path: Path, input: &[i8], out: &mut [i32], scratch: &mut Vec<i8>) {
        match self {
            Self::Dense { .. } => {}
            Self::Windows {
                groups,
                rows,
                padding,
                channels,
                filters,
            } => {
                let last = groups.len().saturating_sub(1);
                // All groups have matrices of one shape.
                let flip = groups.first().map_or(0, |blocks| flipped(path, blocks, rows));
                let image = padding.apply(input, rows.reach() + last * channels, flip, scratch);
                let stride = filters * groups.len();
                for (group, blocks) in groups.iter().enumerate() {
                    let image = &image[group * channels..];
                    multiply(path, blocks, rows, image, out, stride, group * filters);
                }
            }
            Self::Depthwise { convolution, padding } => {
                let image = padding.apply(input, 0, 0, scratch);
                depthwise(path, convolution, image, out);
            }
        }
    }
}
