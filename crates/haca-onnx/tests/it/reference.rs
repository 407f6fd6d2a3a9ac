//! The ops of ONNX in plain loops over f64, in the layout of the file and without a batch axis.

/// A tensor, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

impl Array {
    pub(crate) fn new(dims: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(dims.iter().product::<usize>(), data.len());
        Self {
            dims: dims.to_vec(),
            data,
        }
    }

    /// Elements by a formula of the index.
    pub(crate) fn from_fn(dims: &[usize], of: impl Fn(&[usize]) -> f64) -> Self {
        let count = dims.iter().product();
        let index = |mut flat: usize| {
            let mut index = vec![0; dims.len()];
            for axis in (0..dims.len()).rev() {
                index[axis] = flat % dims[axis];
                flat /= dims[axis];
            }
            index
        };
        Self::new(dims, (0..count).map(|flat| of(&index(flat))).collect())
    }

    /// The element at an index; axes of length 1 repeat.
    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        let index = &index[index.len() - self.dims.len()..];
        let flat = index
            .iter()
            .zip(&self.dims)
            .fold(0, |flat, (i, d)| flat * d + if *d == 1 { 0 } else { *i });
        self.data[flat]
    }

    pub(crate) fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        Self::new(&self.dims, self.data.iter().map(|v| of(*v)).collect())
    }

    pub(crate) fn reshaped(&self, dims: &[usize]) -> Self {
        Self::new(dims, self.data.clone())
    }

    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        let dims: Vec<usize> = order.iter().map(|axis| self.dims[*axis]).collect();
        Self::from_fn(&dims, |index| {
            let mut from = vec![0; order.len()];
            order.iter().zip(index).for_each(|(axis, i)| from[*axis] = *i);
            self.at(&from)
        })
    }
}

/// Both operands broadcast.
pub(crate) fn zip(a: &Array, b: &Array, of: impl Fn(f64, f64) -> f64) -> Array {
    let rank = a.dims.len().max(b.dims.len());
    let dim = |x: &Array, axis: usize| (axis + x.dims.len()).checked_sub(rank).map_or(1, |i| x.dims[i]);
    let dims: Vec<usize> = (0..rank).map(|axis| dim(a, axis).max(dim(b, axis))).collect();
    Array::from_fn(&dims, |index| of(a.at(index), b.at(index)))
}

/// Stride, dilation and padding (before and after) of height and width.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    pub(crate) pads: [usize; 4],
}

impl Window {
    pub(crate) fn of(kernel: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pads: [0; 4],
        }
    }

    fn count(&self, length: usize, axis: usize) -> usize {
        let reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        (length + self.pads[axis] + self.pads[axis + 2] - reach) / self.stride[axis] + 1
    }

    /// Elements of a channel under window `(y, x)`, with the tap, `None` in the padding.
    fn taps(&self, image: &Array, c: usize, y: usize, x: usize) -> Vec<((usize, usize), Option<f64>)> {
        let place = |window: usize, tap: usize, axis: usize| {
            (window * self.stride[axis] + tap * self.dilation[axis])
                .checked_sub(self.pads[axis])
                .filter(|i| *i < image.dims[axis + 1])
        };
        let all = (0..self.kernel[0]).flat_map(|a| (0..self.kernel[1]).map(move |b| (a, b)));
        all.map(|(a, b)| {
            let element = place(y, a, 0)
                .zip(place(x, b, 1))
                .map(|(i, j)| image.at(&[c, i, j]));
            ((a, b), element)
        })
        .collect()
    }
}

/// `[c, h, w]` by `[n, c / groups, kh, kw]`.
pub(crate) fn conv(x: &Array, w: &Array, bias: &[f64], window: &Window, groups: usize) -> Array {
    let (n, per_group) = (w.dims[0], w.dims[1]);
    let dims = [n, window.count(x.dims[1], 0), window.count(x.dims[2], 1)];
    Array::from_fn(&dims, |index| {
        let first = index[0] / (n / groups) * per_group;
        let mut sum = bias[index[0]];
        for c in 0..per_group {
            for ((a, b), element) in window.taps(x, first + c, index[1], index[2]) {
                sum += w.at(&[index[0], c, a, b]) * element.unwrap_or(0.0);
            }
        }
        sum
    })
}

pub(crate) fn max_pool(x: &Array, window: &Window) -> Array {
    let dims = [x.dims[0], window.count(x.dims[1], 0), window.count(x.dims[2], 1)];
    Array::from_fn(&dims, |index| {
        let taps = window.taps(x, index[0], index[1], index[2]);
        taps.iter()
            .filter_map(|(_, v)| *v)
            .fold(f64::NEG_INFINITY, f64::max)
    })
}

pub(crate) fn average_pool(x: &Array, window: &Window, with_padding: bool) -> Array {
    let dims = [x.dims[0], window.count(x.dims[1], 0), window.count(x.dims[2], 1)];
    Array::from_fn(&dims, |index| {
        let taps = window.taps(x, index[0], index[1], index[2]);
        let counted = taps.iter().filter(|(_, v)| with_padding || v.is_some()).count();
        taps.iter().filter_map(|(_, v)| *v).sum::<f64>() / counted as f64
    })
}

/// Sums over the axes behind the first; divided by their count for a mean.
pub(crate) fn reduce(x: &Array, of: impl Fn(&[f64]) -> f64) -> Array {
    let inner = x.data.len() / x.dims[0];
    Array::new(&[x.dims[0]], x.data.chunks(inner).map(of).collect())
}

/// `x W`, over the last axis.
pub(crate) fn mat_mul(x: &Array, w: &Array) -> Array {
    let (k, n) = (w.dims[0], w.dims[1]);
    let rows = x.data.chunks(k);
    let data = rows
        .flat_map(|row| (0..n).map(move |j| (0..k).map(|i| row[i] * w.at(&[i, j])).sum()))
        .collect();
    let mut dims = x.dims.clone();
    *dims.last_mut().unwrap() = n;
    Array::new(&dims, data)
}

pub(crate) fn erf(x: f64) -> f64 {
    // The Taylor series; arguments here stay below 4.
    let mut term = x;
    let mut sum = x;
    for k in 1..120 {
        term *= -x * x / f64::from(k);
        sum += term / f64::from(2 * k + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

pub(crate) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

pub(crate) fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
