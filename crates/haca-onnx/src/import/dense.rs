//! Gemm, MatMul and BatchNormalization.

use super::{Batch, Importer, Node, Operand, View};
use crate::float_model::{FloatOp, Weights};
use crate::initializer::{Elements, transpose};
use crate::{At, OnnxError};

impl Importer {
    pub(super) fn gemm(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        let mut input = self.value(node, 0)?;
        if input.rank() != 2 {
            return Err(node.shape(
                "the input",
                &input.dims(),
                "a batch axis and a vector; put a Flatten before it",
            ));
        }
        if node.int("transA", 0) != 0 {
            if self.batch != Batch::Absent {
                return Err(node.attribute("transA", node.int("transA", 0).to_string(), "0"));
            }
            input = input.transposed(&[1, 0]);
        }
        let k = input.dims()[1];
        let (dims, values) = self.floats(node, 1)?;
        let &[rows, columns] = dims else {
            return Err(node.shape("B", dims, "a matrix"));
        };
        let turned = node.int("transB", 0) != 0;
        let (n, found) = if turned { (rows, columns) } else { (columns, rows) };
        if found != k || n == 0 {
            let expected = if turned {
                format!("[n, {k}]")
            } else {
                format!("[{k}, n]")
            };
            return Err(node.shape("B", dims, &expected));
        }
        let rows_of = if turned {
            values.to_vec()
        } else {
            transpose(values, k, n)
        };
        let weight: Vec<f32> = rows_of.iter().map(|w| alpha * w).collect();
        let steps = super::quantised::rows(self.constant(node, 1)?.step.clone(), n).filter(|_| alpha == 1.0);
        if !node.has_input(2) {
            let bias = vec![0.0; n];
            return self.linear(node, &input, 1, Weights { weight, bias, steps });
        }
        let bias = self.bias(node, n)?;
        let bias = bias.map(|bias| bias.iter().map(|b| beta * b).collect::<Vec<f32>>());
        let weights = Weights {
            weight,
            bias: bias.clone().unwrap_or_else(|| vec![0.0; n]),
            steps,
        };
        let product = self.linear(node, &input, 1, weights)?;
        match (bias, product) {
            (None, Operand::Value(view)) => self.affine_of(node, &view, 2, (1.0, 0.0), (0.0, beta)),
            (_, product) => Ok(product),
        }
    }

    /// A constant that broadcasts to one element per channel; `None` where it has one per element and there is no
    /// batch.
    fn bias(&self, node: &Node<'_>, n: usize) -> Result<Option<Vec<f32>>, OnnxError> {
        let (dims, values) = self.floats(node, 2)?;
        let (outer, last) = match dims.split_last() {
            None => (dims, 1),
            Some((last, outer)) => (outer, *last),
        };
        if self.batch == Batch::Absent && outer.iter().any(|d| *d != 1) {
            return Ok(None);
        }
        if outer.len() > 1 || outer.iter().any(|d| *d != 1) || (last != n && last != 1) {
            return Err(node.shape("the constant", dims, &format!("[{n}], [1, {n}] or one element")));
        }
        Ok(Some(if last == n {
            values.to_vec()
        } else {
            vec![values.first().copied().unwrap_or(0.0); n]
        }))
    }

    pub(super) fn mat_mul(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        if matches!(self.operand(node, 0)?, Operand::Constant(_)) {
            return self.mat_mul_left(node);
        }
        let input = self.value(node, 0)?;
        let Some(k) = input.dims().last().copied() else {
            return Err(node.shape("A", &[], "at least one axis"));
        };
        let (dims, values) = self.floats(node, 1)?;
        match *dims {
            // A vector takes the axis away.
            [found] if found == k => {
                let weights = Weights {
                    weight: values.to_vec(),
                    bias: vec![0.0],
                    steps: None,
                };
                let axis = input.rank() - 1;
                match self.linear(node, &input, axis, weights)? {
                    Operand::Value(view) => Ok(Operand::Value(view.squeezed(&[axis]))),
                    other => Ok(other),
                }
            }
            [found, n] if found == k && n > 0 => {
                let steps = super::quantised::rows(self.constant(node, 1)?.step.clone(), n);
                let weights = Weights {
                    weight: transpose(values, k, n),
                    bias: vec![0.0; n],
                    steps,
                };
                self.linear(node, &input, input.rank() - 1, weights)
            }
            _ => Err(node.shape("B", dims, &format!("[{k}, n]"))),
        }
    }

    /// `W x`: the axis before the last of `x` is summed over.
    fn mat_mul_left(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 1)?;
        let rank = input.rank();
        let axis = rank.saturating_sub(2);
        if rank < 2 || (input.batch == Some(axis) && self.batch.counts()) {
            return Err(node.refuse(
                "the constant stands on the left",
                "write x * W with W [k, n]; a constant on the left multiplies along the batch axis",
            ));
        }
        let k = input.dims()[axis];
        let (dims, values) = self.floats(node, 0)?;
        match *dims {
            [n, found] if found == k && n > 0 => {
                let weights = Weights {
                    weight: values.to_vec(),
                    bias: vec![0.0; n],
                    steps: None,
                };
                self.linear(node, &input, axis, weights)
            }
            _ => Err(node.shape("A", dims, &format!("[n, {k}]"))),
        }
    }

    /// Sums over one axis of a tensor, in whatever order its elements lie: the columns of the weights follow.
    pub(super) fn linear(
        &mut self,
        node: &Node<'_>,
        input: &View,
        axis: usize,
        mut weights: Weights,
    ) -> Result<Operand, OnnxError> {
        if input.batch == Some(axis) && self.batch.counts() {
            return Err(node.refuse(
                "it sums over the batch axis",
                "each row of the first axis is an inference of its own; put another axis behind it",
            ));
        }
        check_finite(node.at, &weights)?;
        let n = weights.bias.len();
        let mut summed = input.axis(axis).to_vec();
        summed.sort_unstable();
        let leading: Vec<usize> = (0..input.factor_count())
            .filter(|f| !summed.contains(f))
            .collect();
        let places = input.axis_positions(axis);
        if !places.iter().enumerate().all(|(i, place)| i == *place) {
            let rows = weights.weight.chunks_exact(places.len());
            weights.weight = rows.flat_map(|row| places.iter().map(|p| row[*p])).collect();
        }
        let mut groups = Vec::new();
        let mut dims = Vec::new();
        if !leading.is_empty() {
            groups.push(leading.clone());
            dims.push(input.size(&leading));
        }
        groups.push(summed);
        dims.push(n);
        let value = self.arranged(node.at, input, &groups)?;
        let op = FloatOp::Linear {
            name: node.at.node.clone(),
            input: value,
            weights,
        };
        let value = self.push(node.at, op, &dims)?;
        Ok(Operand::Value(input.with_last(value, axis, &leading, n)))
    }

    pub(super) fn batch_normalization(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let input = self.value(node, 0)?;
        if node.int("training_mode", 0) != 0 {
            return Err(node.attribute("training_mode", "1".to_owned(), "0: export in evaluation mode"));
        }
        let epsilon = node.float("epsilon", 1e-5)?;
        let dims = input.dims();
        let Some(&channels) = dims.get(1) else {
            return Err(node.shape("the input", &dims, "[n, channels, ..]"));
        };
        let mut parameters = Vec::new();
        for index in 1..5 {
            let (found, values) = self.floats(node, index)?;
            if found != [channels] {
                return Err(node.shape("a parameter", found, &format!("[{channels}]")));
            }
            parameters.push(values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        }
        let [scales, shifts, means, variances] = parameters.as_slice() else {
            return Err(node.shape("the parameters", &[parameters.len()], "four of them"));
        };
        let deviations = variances.iter().map(|v| (v + f64::from(epsilon)).sqrt());
        let exact: Vec<f64> = scales
            .iter()
            .zip(deviations)
            .map(|(scale, d)| scale / d)
            .collect();
        let shifted = shifts.iter().zip(means).zip(&exact);
        let offsets = shifted
            .map(|((shift, mean), factor)| (shift - mean * factor) as f32)
            .collect();
        let factors = exact.iter().map(|factor| *factor as f32).collect();
        // One constant per channel, which broadcasts over the axes behind.
        let mut shape = vec![1; dims.len()];
        shape[1] = channels;
        self.affine(node, &input, &shape, factors, offsets)
    }
}

/// Weights and biases are finite.
pub(super) fn check_finite(at: &At, weights: &Weights) -> Result<(), OnnxError> {
    for (what, values) in [("weights", &weights.weight), ("bias", &weights.bias)] {
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(OnnxError::NotFinite {
                what: format!("{what} of {at}"),
                index,
                found: f64::from(values[index]),
            });
        }
    }
    Ok(())
}

impl crate::initializer::Constant {
    /// The elements as reals.
    pub(crate) fn reals(&self) -> Vec<f32> {
        match &self.elements {
            Elements::Float(values) => values.clone(),
            Elements::Int(values) => values.iter().map(|v| *v as f32).collect(),
        }
    }
}
