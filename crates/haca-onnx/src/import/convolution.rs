//! Conv in one and two dimensions, and the windows of convolutions and pools.

use haca_graph::{Window, WindowAxis};

use super::{Importer, Node, Operand, View};
use crate::OnnxError;
use crate::float_model::{FloatOp, Weights};

/// A tensor `[n, c, ..spatial]` as an image in memory.
pub(super) struct Image {
    /// A value `[h, w, c]`; one-dimensional signals have height 1.
    pub(super) value: usize,
    pub(super) channels: usize,
    /// Lengths of the spatial axes of the tensor, one or two.
    pub(super) lengths: Vec<usize>,
    batch: Option<usize>,
}

impl Image {
    /// Height and width.
    pub(super) fn sides(&self) -> (usize, usize) {
        match *self.lengths.as_slice() {
            [h, w] => (h, w),
            [w] => (1, w),
            _ => (1, 1),
        }
    }

    /// A result of other lengths and channels, as a tensor.
    pub(super) fn view(&self, value: usize, lengths: &[usize], channels: usize) -> View {
        let dims = [&[1, channels], lengths].concat();
        let order: Vec<usize> = (2..dims.len()).chain([1]).collect();
        View::new(value, &dims, &order, self.batch)
    }
}

/// The windows of a node, per spatial axis.
pub(super) struct Windows {
    pub(super) axes: Vec<WindowAxis>,
    /// Number of windows of each axis.
    pub(super) counts: Vec<usize>,
    /// Elements behind the last one that `ceil_mode` adds to the padding of the file.
    pub(super) extra: Vec<u32>,
}

impl Windows {
    pub(super) fn window(&self) -> Window {
        const ONE: WindowAxis = WindowAxis {
            kernel: 1,
            stride: 1,
            dilation: 1,
            before: 0,
            after: 0,
        };
        match *self.axes.as_slice() {
            [height, width] => Window { height, width },
            [width] => Window { height: ONE, width },
            _ => Window {
                height: ONE,
                width: ONE,
            },
        }
    }

    /// Dimensions of the value that has `channels` elements for each window.
    pub(super) fn memory(&self, channels: usize) -> Vec<usize> {
        match *self.counts.as_slice() {
            [h, w] => vec![h, w, channels],
            [w] => vec![1, w, channels],
            _ => vec![1, 1, channels],
        }
    }
}

impl Importer {
    /// The operand `[n, c, length]` or `[n, c, height, width]`, channels last.
    pub(super) fn image(&mut self, node: &Node<'_>, view: &View) -> Result<Image, OnnxError> {
        let dims = view.dims();
        if !(3..=4).contains(&dims.len()) || dims[0] != 1 || view.batch.is_some_and(|b| b != 0) {
            return Err(node.shape(
                "the input",
                &dims,
                "[batch, channels, length] or [batch, channels, height, width]",
            ));
        }
        let mut groups: Vec<Vec<usize>> = (2..dims.len()).map(|axis| view.axis(axis).to_vec()).collect();
        if dims.len() == 3 {
            groups.insert(0, Vec::new());
        }
        groups.push(view.axis(1).to_vec());
        Ok(Image {
            value: self.arranged(node.at, view, &groups)?,
            channels: dims[1],
            lengths: dims[2..].to_vec(),
            batch: view.batch,
        })
    }

    /// The windows that the attributes of a node ask for.
    pub(super) fn windows(
        &self,
        node: &Node<'_>,
        kernel: &[usize],
        lengths: &[usize],
    ) -> Result<Windows, OnnxError> {
        let n = lengths.len();
        let numbers = |name: &'static str, count: usize, default: i64, least: i64| {
            let found = node.ints(name).filter(|v| !v.is_empty());
            let values = found.map_or_else(|| vec![default; count], <[i64]>::to_vec);
            let fits = values.len() == count && values.iter().all(|v| (least..=1024).contains(v));
            let wrong = || {
                node.attribute(
                    name,
                    format!("{values:?}"),
                    "one number up to 1024 per spatial axis or side",
                )
            };
            fits.then(|| values.iter().map(|v| *v as usize).collect::<Vec<usize>>())
                .ok_or_else(wrong)
        };
        let strides = numbers("strides", n, 1, 1)?;
        let dilations = numbers("dilations", n, 1, 1)?;
        let pads = numbers("pads", 2 * n, 0, 0)?;
        let auto = node.text("auto_pad", "NOTSET");
        let ceil = node.int("ceil_mode", 0) != 0;
        let mut windows = Windows {
            axes: Vec::new(),
            counts: Vec::new(),
            extra: Vec::new(),
        };
        if kernel.len() != n || kernel.iter().any(|k| !(1..=1024).contains(k)) {
            return Err(node.attribute(
                "kernel_shape",
                format!("{kernel:?}"),
                "1 to 1024 for each spatial axis",
            ));
        }
        for axis in 0..n {
            let (k, stride, dilation, length) = (kernel[axis], strides[axis], dilations[axis], lengths[axis]);
            let reach = (k - 1) * dilation + 1;
            let wanted = length.div_ceil(stride);
            let missing = ((wanted - 1) * stride + reach).saturating_sub(length);
            let (before, after) = match auto.as_str() {
                "NOTSET" | "" => (pads[axis], pads[axis + n]),
                "VALID" => (0, 0),
                "SAME_UPPER" => (missing / 2, missing - missing / 2),
                "SAME_LOWER" => (missing - missing / 2, missing / 2),
                _ => return Err(node.attribute("auto_pad", auto, "NOTSET, VALID, SAME_UPPER or SAME_LOWER")),
            };
            let mut extra = 0;
            if let Some(room) = (length + before + after)
                .checked_sub(reach)
                .filter(|_| ceil && auto == "NOTSET")
            {
                let steps = room.div_ceil(stride);
                // A window that would start in the padding behind is none.
                let last = if steps * stride >= length + before {
                    steps - 1
                } else {
                    steps
                };
                extra = (last * stride).saturating_sub(room);
            }
            let wide = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
            let found = WindowAxis {
                kernel: wide(k),
                stride: wide(stride),
                dilation: wide(dilation),
                before: wide(before),
                after: wide(after + extra),
            };
            let mut count = found.count(wide(length));
            if ceil && extra == 0 {
                // The floor gives one window too many where the last one starts in the padding behind.
                let starts = |windows: u32| (windows as usize - 1) * stride < length + before;
                count = count.map(|c| (1..=c).rev().find(|c| starts(*c)).unwrap_or(1));
                if count != found.count(wide(length)) {
                    return Err(node.attribute("ceil_mode", "1".to_owned(), "0 with this padding"));
                }
            }
            let count = count.ok_or_else(|| {
                node.attribute(
                    "pads",
                    format!("{before} and {after} around {length}, kernel {k} with dilation {dilation}"),
                    "a reach of at most 1024, less padding than that reach, and at least one window",
                )
            })?;
            windows.axes.push(found);
            windows.counts.push(count as usize);
            windows.extra.push(wide(extra));
        }
        Ok(windows)
    }

    pub(super) fn conv(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let (dims, values) = self.floats(node, 1)?;
        let (dims, values) = (dims.to_vec(), values.to_vec());
        let bias = if node.has_input(2) {
            Some(self.floats(node, 2)?.1.to_vec())
        } else {
            None
        };
        let steps = super::quantised::rows(
            self.constant(node, 1)?.step.clone(),
            dims.first().copied().unwrap_or(0),
        );
        self.convolve(node, &input, &dims, &values, bias, steps)
    }

    /// A convolution by filters `[n, c / groups, ..kernel]`.
    pub(super) fn convolve(
        &mut self,
        node: &Node<'_>,
        input: &View,
        dims: &[usize],
        filters: &[f32],
        bias: Option<Vec<f32>>,
        steps: Option<Vec<f32>>,
    ) -> Result<Operand, OnnxError> {
        let image = self.image(node, input)?;
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let spatial = image.lengths.len();
        let fits = dims.len() == spatial + 2
            && groups > 0
            && image.channels.is_multiple_of(groups)
            && dims[1] == image.channels / groups
            && dims[0] > 0
            && dims[0].is_multiple_of(groups);
        if !fits {
            let expected = format!(
                "[n, {} / groups, ..kernel] with one kernel length per spatial axis",
                image.channels
            );
            return Err(node.shape("the filters", dims, &expected));
        }
        let (n, per_group) = (dims[0], dims[1]);
        let kernel = match node.ints("kernel_shape") {
            Some(given)
                if !given
                    .iter()
                    .map(|k| usize::try_from(*k).unwrap_or(0))
                    .eq(dims[2..].iter().copied()) =>
            {
                return Err(node.attribute("kernel_shape", format!("{given:?}"), "the shape of the filters"));
            }
            _ => &dims[2..],
        };
        let windows = self.windows(node, kernel, &image.lengths)?;
        let bias = bias.unwrap_or_else(|| vec![0.0; n]);
        if bias.len() != n {
            return Err(node.shape("the bias", &[bias.len()], &format!("[{n}]")));
        }
        // From [n, c, taps] to [n, taps, c].
        let taps: usize = kernel.iter().product();
        let weight = filters.chunks_exact(per_group * taps).flat_map(|filter| {
            (0..taps).flat_map(move |t| (0..per_group).map(move |c| filter[c * taps + t]))
        });
        let weights = Weights {
            weight: weight.collect(),
            bias,
            steps,
        };
        super::dense::check_finite(node.at, &weights)?;
        let op = FloatOp::Convolve {
            name: node.at.node.clone(),
            input: image.value,
            weights,
            window: windows.window(),
            groups: u32::try_from(groups).unwrap_or(u32::MAX),
        };
        let value = self.push(node.at, op, &windows.memory(n))?;
        Ok(Operand::Value(image.view(value, &windows.counts, n)))
    }
}
