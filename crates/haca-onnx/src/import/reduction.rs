//! Means, sums and maxima over axes, Softmax at the end, and ArgMax.

use haca_graph::{Window, WindowAxis, limit};

use super::{Importer, Node, Operand, View};
use crate::OnnxError;
use crate::float_model::{FloatOp, Weights};

impl Importer {
    pub(super) fn reduce(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let axes = match self.axes_of(node, 1)? {
            Some(axes) if !axes.is_empty() => axes
                .iter()
                .map(|axis| node.axis(*axis, input.rank()))
                .collect::<Result<_, _>>()?,
            _ if node.int("noop_with_empty_axes", 0) != 0 => return Ok(Operand::Value(input)),
            _ => (0..input.rank()).collect::<Vec<_>>(),
        };
        let keep = node.int("keepdims", 1) != 0;
        self.reduced(node, &input, &axes, &node.at.op, keep)
    }

    /// Reduces some axes of a tensor.
    pub(super) fn reduced(
        &mut self,
        node: &Node<'_>,
        input: &View,
        axes: &[usize],
        reduction: &str,
        keep: bool,
    ) -> Result<Operand, OnnxError> {
        if self.batch.counts() && axes.iter().any(|axis| input.batch == Some(*axis)) {
            return Err(node.refuse("it reduces the batch axis", "name the axes behind the batch axis"));
        }
        let mut reduced: Vec<usize> = axes.iter().flat_map(|axis| input.axis(*axis).to_vec()).collect();
        reduced.sort_unstable();
        reduced.dedup();
        let count = input.size(&reduced);
        let kept: Vec<usize> = (0..input.factor_count())
            .filter(|f| !reduced.contains(f))
            .collect();
        let first = reduced.first().copied().unwrap_or(0);
        let (outer, inner): (Vec<usize>, Vec<usize>) = kept.iter().partition(|f| **f < first);
        let name = node.at.node.clone();
        let factor = if reduction == "ReduceMean" {
            1.0 / count as f32
        } else {
            1.0
        };
        let value = if inner.is_empty() && reduction != "ReduceMax" {
            // The last axis in memory: a dense layer with one output.
            let groups = [outer.clone(), reduced];
            let value = self.arranged(node.at, input, &groups)?;
            let weights = Weights {
                weight: vec![factor; count],
                bias: vec![0.0],
                steps: None,
            };
            self.push(
                node.at,
                FloatOp::Linear {
                    name,
                    input: value,
                    weights,
                },
                &[input.size(&outer), 1],
            )?
        } else {
            let rows = input.size(&outer);
            let channels = input.size(&inner);
            let value = self.arranged(node.at, input, &[outer.clone(), reduced, inner.clone()])?;
            // A long stretch stands in the image as several lines.
            let side = |n: usize| n <= limit::WINDOW as usize;
            let lines = (1..=count)
                .find(|lines| count.is_multiple_of(*lines) && side(count / lines))
                .unwrap_or(1);
            if !side(lines) || (lines > 1 && rows > 1) {
                return Err(node.shape(
                    "the reduced axes",
                    &[count],
                    "at most 1024 elements, or 2^20 of a whole image",
                ));
            }
            let whole = |kernel: usize| WindowAxis {
                kernel: u32::try_from(kernel).unwrap_or(u32::MAX),
                stride: 1,
                dilation: 1,
                before: 0,
                after: 0,
            };
            let (height, width) = if lines > 1 {
                (lines, count / lines)
            } else {
                (rows, count)
            };
            let image = self.in_shape(node.at, value, &[height, width, channels])?;
            let window = Window {
                height: whole(if lines > 1 { lines } else { 1 }),
                width: whole(width),
            };
            let op = if reduction == "ReduceMax" {
                FloatOp::WindowMax { input: image, window }
            } else {
                FloatOp::WindowSum {
                    name,
                    input: image,
                    window,
                    factor,
                }
            };
            self.push(node.at, op, &[rows, 1, channels])?
        };
        let order: Vec<usize> = [outer, inner].concat();
        let mut view = input.without(value, axes, &order);
        if !keep {
            view = view.squeezed(axes);
        }
        Ok(Operand::Value(view))
    }

    /// Softmax as the last op: its operand shows the same class, and is what the graph makes.
    pub(super) fn softmax(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let readers = node.node.output.first().and_then(|name| self.readers.get(name));
        let last = readers.is_some_and(|r| r.iter().all(|op| op.is_empty() || op == "ArgMax"));
        if !last {
            return Err(node.refuse(
                "it is not the last op",
                "an exponential and a division; only a Softmax at the end is supported, whose operand is the output",
            ));
        }
        self.notes.push(format!(
            "{} is left out: the output holds its operand, the logits; the largest one is at the same place",
            node.at
        ));
        Ok(Operand::Value(input))
    }

    pub(super) fn arg_max(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        let axis = node.axis(node.int("axis", 0), input.rank())?;
        if input.batch == Some(axis) {
            return Err(node.attribute(
                "axis",
                node.int("axis", 0).to_string(),
                "an axis behind the batch axis, as the last axis",
            ));
        }
        if node.int("select_last_index", 0) != 0 {
            return Err(node.attribute("select_last_index", "1".to_owned(), "0"));
        }
        if input.value < self.inputs {
            return Err(node.refuse("it stands behind no layer", "ArgMax ends a network"));
        }
        // The order of the classes is that of the file, as is the order of everything else.
        let others: Vec<usize> = (0..input.rank())
            .filter(|a| *a != axis && Some(*a) != input.batch)
            .collect();
        let groups: Vec<Vec<usize>> = others
            .iter()
            .chain([&axis])
            .map(|a| input.axis(*a).to_vec())
            .collect();
        let value = self.arranged(node.at, &input, &groups)?;
        let dims: Vec<usize> = others.iter().map(|a| input.dims()[*a]).collect();
        let value = self.push(node.at, FloatOp::ArgMax { input: value }, &dims)?;
        let mut shape = input.dims();
        shape[axis] = 1;
        let view = View::plain(value, &shape, input.batch);
        Ok(Operand::Value(if node.int("keepdims", 1) != 0 {
            view
        } else {
            view.squeezed(&[axis])
        }))
    }
}
