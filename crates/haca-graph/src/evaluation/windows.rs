//! Windows over a value `[h, w, c]`.

use haca_wire::Tensor;

use crate::Window;

/// The windows of one node.
pub(super) struct Windows<'a> {
    window: &'a Window,
    /// Height, width and channels of the input.
    dims: [u32; 3],
    /// Windows along height and width.
    counts: [u32; 2],
}

/// The parameters of a convolution.
pub(super) struct Filters<'a> {
    pub(super) weight: &'a Tensor,
    pub(super) bias: &'a [i64],
    pub(super) groups: u32,
}

impl<'a> Windows<'a> {
    pub(super) fn new(dims: &[u32], window: &'a Window) -> Self {
        let &[height, width, channels] = dims else {
            // The bound check lets no other rank through.
            return Self {
                window,
                dims: [0; 3],
                counts: [0; 2],
            };
        };
        let counts = [
            window.height.count(height).unwrap_or(0),
            window.width.count(width).unwrap_or(0),
        ];
        Self {
            window,
            dims: [height, width, channels],
            counts,
        }
    }

    /// The positions of the windows, row by row.
    fn positions(&self) -> impl Iterator<Item = (u32, u32)> {
        let [rows, columns] = self.counts;
        (0..rows).flat_map(move |y| (0..columns).map(move |x| (y, x)))
    }

    /// The taps of a window that lie inside the input: tap number, and row-major index of channel 0.
    fn taps(&self, (y, x): (u32, u32)) -> impl Iterator<Item = (usize, usize)> {
        let [height, width, channels] = self.dims;
        let kernel = self.window.width.kernel;
        let inside = move |a: u32, b: u32| {
            let row = self.window.height.element(y, a, height)?;
            let column = self.window.width.element(x, b, width)?;
            let pixel = row.saturating_mul(width).saturating_add(column);
            let tap = a.saturating_mul(kernel).saturating_add(b);
            Some((tap as usize, pixel.saturating_mul(channels) as usize))
        };
        (0..self.window.height.kernel).flat_map(move |a| (0..kernel).filter_map(move |b| inside(a, b)))
    }

    /// Each channel of each window, reduced to one element.
    pub(super) fn reduce(
        &self,
        input: &[i64],
        reduce: impl Fn(&mut dyn Iterator<Item = i64>) -> i64,
    ) -> Vec<i64> {
        let channels = self.dims[2] as usize;
        let mut value = Vec::new();
        for position in self.positions() {
            for channel in 0..channels {
                let at = |(_, pixel): (usize, usize)| input.get(pixel.saturating_add(channel)).copied();
                value.push(reduce(&mut self.taps(position).filter_map(at)));
            }
        }
        value
    }
}

impl Filters<'_> {
    /// The accumulators of a convolution.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "at most 2^22 products of int8 by int8, and one int32; indices below 2^22"
    )]
    pub(super) fn convolve(&self, input: &[i64], windows: &Windows<'_>) -> Vec<i64> {
        let per_group = self.weight.shape().dims().last().map_or(1, |c| *c as usize);
        let filters_per_group = (self.bias.len() / (self.groups as usize).max(1)).max(1);
        let filter = self.weight.values().len() / self.bias.len().max(1);
        let mut value = Vec::new();
        for position in windows.positions() {
            let taps: Vec<_> = windows.taps(position).collect();
            for (index, bias) in self.bias.iter().enumerate() {
                let group = index / filters_per_group;
                let mut sum = *bias;
                for (tap, pixel) in &taps {
                    let weights = self.weight.values().iter().skip(index * filter + tap * per_group);
                    let elements = input.iter().skip(pixel + group * per_group);
                    sum += weights
                        .zip(elements)
                        .take(per_group)
                        .map(|(w, x)| w * x)
                        .sum::<i64>();
                }
                value.push(sum);
            }
        }
        value
    }
}
