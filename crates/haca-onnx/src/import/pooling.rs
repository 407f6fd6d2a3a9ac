//! MaxPool and AveragePool.

use haca_graph::WindowAxis;

use super::{Importer, Node, Operand};
use crate::OnnxError;
use crate::float_model::FloatOp;

impl Importer {
    pub(super) fn max_pool(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let image = self.image(node, &input)?;
        let windows = self.windows(node, &kernel(node), &image.lengths)?;
        let sides = image.sides();
        let window = windows.window();
        for (axis, length) in [(window.height, sides.0), (window.width, sides.1)] {
            if !has_elements(&axis, length) {
                return Err(node.refuse("a window lies in the padding alone", "use less padding"));
            }
        }
        let op = FloatOp::WindowMax {
            input: image.value,
            window,
        };
        let value = self.push(node.at, op, &windows.memory(image.channels))?;
        Ok(Operand::Value(image.view(value, &windows.counts, image.channels)))
    }

    pub(super) fn average_pool(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let image = self.image(node, &input)?;
        let windows = self.windows(node, &kernel(node), &image.lengths)?;
        let window = windows.window();
        let sides = image.sides();
        let with_padding = node.int("count_include_pad", 0) != 0;
        let extra = match *windows.extra.as_slice() {
            [h, w] => (h, w),
            [w] => (0, w),
            _ => (0, 0),
        };
        let rows = divisors(&window.height, sides.0, extra.0, with_padding);
        let columns = divisors(&window.width, sides.1, extra.1, with_padding);
        let all: Vec<usize> = rows
            .iter()
            .flat_map(|r| columns.iter().map(move |c| r * c))
            .collect();
        if all.contains(&0) {
            return Err(node.refuse("a window lies in the padding alone", "use less padding"));
        }
        let most = all.iter().copied().max().unwrap_or(1);
        let memory = windows.memory(image.channels);
        let name = node.at.node.clone();
        let op = FloatOp::WindowSum {
            name: name.clone(),
            input: image.value,
            window,
            factor: 1.0 / most as f32,
        };
        let mut value = self.push(node.at, op, &memory)?;
        if all.iter().any(|count| *count != most) {
            // Windows at the border divide by fewer elements.
            let factors = all
                .iter()
                .flat_map(|n| vec![most as f32 / *n as f32; image.channels]);
            let weight: Vec<f32> = factors.collect();
            let bias = vec![0.0; weight.len()];
            value = self.push(
                node.at,
                FloatOp::Affine {
                    name,
                    input: value,
                    weight,
                    bias,
                },
                &memory,
            )?;
        }
        Ok(Operand::Value(image.view(value, &windows.counts, image.channels)))
    }

    pub(super) fn global_pool(
        &mut self,
        node: &Node<'_>,
        reduction: &'static str,
    ) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let axes: Vec<usize> = (2..input.rank()).collect();
        if axes.is_empty() {
            return Err(node.shape("the input", &input.dims(), "[batch, channels, ..]"));
        }
        self.reduced(node, &input, &axes, reduction, true)
    }
}

fn kernel(node: &Node<'_>) -> Vec<usize> {
    let kernel = node.ints("kernel_shape").unwrap_or_default();
    kernel.iter().map(|k| usize::try_from(*k).unwrap_or(0)).collect()
}

/// Whether each window has a tap on an element.
fn has_elements(axis: &WindowAxis, length: usize) -> bool {
    divisors(axis, length, 0, false).iter().all(|count| *count > 0)
}

/// For each window along one axis, how many of its taps count: elements, and with padding those on the padding of the
/// file, which ends `extra` before the padding of the window.
fn divisors(axis: &WindowAxis, length: usize, extra: u32, with_padding: bool) -> Vec<usize> {
    let Ok(length) = u32::try_from(length) else {
        return Vec::new();
    };
    let end = if with_padding {
        (length + axis.after).saturating_sub(extra)
    } else {
        length
    };
    let counts = |window: u32| {
        let places = (0..axis.kernel).map(|tap| window * axis.stride + tap * axis.dilation);
        let low = if with_padding { 0 } else { axis.before };
        places
            .filter(|place| *place >= low && *place < end + axis.before)
            .count()
    };
    (0..axis.count(length).unwrap_or(0)).map(counts).collect()
}
