//! Files that are quantised already: QuantizeLinear, DequantizeLinear, QLinearConv and QLinearMatMul.
//!
//! Inside import they are reals again, with the steps of the file noted: of a value by [`FloatOp::Round`], of weights
//! by the constant. Quantisation takes over each step that fits symmetric int8.

use super::{Importer, Node, Operand, View};
use crate::OnnxError;
use crate::float_model::{FloatOp, Weights};
use crate::initializer::{Constant, Elements};
use crate::proto::data_type;

/// Step and zero point of a tensor, and the integers of its element type.
struct Scheme {
    step: f32,
    zero: i64,
    low: i64,
    high: i64,
}

impl Importer {
    pub(super) fn quantize_linear(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let scheme = self.scheme(node, 1)?;
        self.rounded(node, &view, &scheme)
    }

    fn rounded(&mut self, node: &Node<'_>, view: &View, scheme: &Scheme) -> Result<Operand, OnnxError> {
        let Scheme {
            step,
            zero,
            low,
            high,
        } = *scheme;
        let narrow = |v: i64| i32::try_from(v - zero).unwrap_or(0);
        let (low, high) = (narrow(low), narrow(high));
        if low < i32::from(i8::MIN) || high > i32::from(i8::MAX) {
            self.notes.push(format!(
                "{}: steps {low} to {high} do not fit symmetric int8; the scale is chosen anew",
                node.at
            ));
        }
        let dims = self.memory(view.value);
        let value = self.push(
            node.at,
            FloatOp::Round {
                input: view.value,
                step,
                low,
                high,
            },
            &dims,
        )?;
        Ok(Operand::Quantised {
            view: view.with_value(value),
            step,
            zero,
        })
    }

    pub(super) fn dequantize_linear(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let scheme = self.scheme(node, 1)?;
        self.quantised(node, 0, &scheme).map(Operand::Value)
    }

    /// The reals of a quantised operand, which is read with the steps it was written with.
    fn quantised(&self, node: &Node<'_>, index: usize, scheme: &Scheme) -> Result<View, OnnxError> {
        match self.operand(node, index)? {
            Operand::Quantised { view, step, zero } if *step == scheme.step && *zero == scheme.zero => {
                Ok(view.clone())
            }
            Operand::Quantised { .. } => Err(node.refuse(
                "it reads integers with another scale or zero point than they were made with",
                "requantise with DequantizeLinear and QuantizeLinear",
            )),
            _ => Err(node.refuse(
                "its operand is not made by a QuantizeLinear or a QLinear op",
                "quantise the operand inside the network",
            )),
        }
    }

    /// Scale and zero point at two inputs of a node.
    fn scheme(&self, node: &Node<'_>, index: usize) -> Result<Scheme, OnnxError> {
        let step = self.scalar(node, index)?;
        let found = if node.has_input(index + 1) {
            Some(self.constant(node, index + 1)?)
        } else {
            None
        };
        let (zero, kind) = match found {
            None => (0, data_type::UINT8),
            Some(constant) => match &constant.elements {
                Elements::Int(v) if v.len() == 1 => (v[0], constant.kind),
                _ => return Err(node.shape("the zero point", &constant.dims, "one integer")),
            },
        };
        let (low, high) = match kind {
            data_type::INT8 => (-128, 127),
            data_type::UINT8 => (0, 255),
            _ => return Err(node.refuse("its integers are not of 8 bits", "quantise to int8 or uint8")),
        };
        let step = Some(step).filter(|step| step.is_finite() && *step > 0.0);
        let step =
            step.ok_or_else(|| node.attribute("scale", "not positive".to_owned(), "a positive number"))?;
        if !(low..=high).contains(&zero) {
            return Err(node.attribute("zero point", zero.to_string(), "in the range of its type"));
        }
        Ok(Scheme {
            step,
            zero,
            low,
            high,
        })
    }

    /// Weights at three inputs of a node: integers, scales and zero points, per tensor or along `axis`.
    fn weights(&self, node: &Node<'_>, index: usize, axis: usize) -> Result<Constant, OnnxError> {
        let (values, steps) = (self.constant(node, index)?, self.constant(node, index + 1)?);
        let zeros = self.constant(node, index + 2)?;
        scaled(node, values, steps, Some(zeros), axis)
    }

    pub(super) fn q_linear_conv(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let of_input = self.scheme(node, 1)?;
        let view = self.quantised(node, 0, &of_input)?;
        let filters = self.weights(node, 3, 0)?;
        let of_output = self.scheme(node, 6)?;
        let n = filters.dims.first().copied().unwrap_or(0);
        let steps = self.constant(node, 4)?.reals();
        let bias = if node.has_input(8) {
            let bias = self.constant(node, 8)?.reals();
            let steps = steps.iter().cycle();
            Some(
                bias.iter()
                    .zip(steps)
                    .map(|(b, step)| b * of_input.step * step)
                    .collect(),
            )
        } else {
            None
        };
        let rows = rows(filters.step.clone(), n);
        let product = self.convolve(node, &view, &filters.dims, &filters.reals(), bias, rows)?;
        match product {
            Operand::Value(view) => self.rounded(node, &view, &of_output),
            other => Ok(other),
        }
    }

    pub(super) fn q_linear_mat_mul(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let of_input = self.scheme(node, 1)?;
        let view = self.quantised(node, 0, &of_input)?;
        let weights = self.weights(node, 3, 1)?;
        let of_output = self.scheme(node, 6)?;
        let k = view.dims().last().copied().unwrap_or(0);
        let &[found, n] = weights.dims.as_slice() else {
            return Err(node.shape("B", &weights.dims, &format!("[{k}, n]")));
        };
        if found != k || n == 0 {
            return Err(node.shape("B", &weights.dims, &format!("[{k}, n]")));
        }
        let weights = Weights {
            weight: crate::initializer::transpose(&weights.reals(), k, n),
            bias: vec![0.0; n],
            steps: rows(weights.step, n),
        };
        match self.linear(node, &view, view.rank() - 1, weights)? {
            Operand::Value(view) => self.rounded(node, &view, &of_output),
            other => Ok(other),
        }
    }
}

/// One step for each of `n` rows; `None` when the steps stand for something else.
pub(super) fn rows(steps: Option<Vec<f32>>, n: usize) -> Option<Vec<f32>> {
    let steps = steps?;
    match steps.len() {
        1 => Some(vec![steps[0]; n]),
        len => (len == n).then_some(steps),
    }
}

/// DequantizeLinear of a constant.
pub(super) fn dequantised(node: &Node<'_>, operands: &[&Constant]) -> Result<Constant, OnnxError> {
    let [values, steps, zeros @ ..] = operands else {
        return Err(node.shape("the operands", &[operands.len()], "integers and a scale"));
    };
    let axis = if steps.len() == 1 {
        0
    } else {
        node.axis(node.int("axis", 1), values.dims.len())?
    };
    if node.int("block_size", 0) != 0 {
        return Err(node.attribute("block_size", node.int("block_size", 0).to_string(), "0"));
    }
    scaled(node, values, steps, zeros.first().copied(), axis)
}

/// `(values - zeros) * steps`, with the steps noted where the differences fit int8.
fn scaled(
    node: &Node<'_>,
    values: &Constant,
    steps: &Constant,
    zeros: Option<&Constant>,
    axis: usize,
) -> Result<Constant, OnnxError> {
    let reals = steps.reals();
    if reals.iter().any(|step| !(step.is_finite() && *step > 0.0)) {
        return Err(node.attribute("scale", "not positive".to_owned(), "positive numbers"));
    }
    let zeros = match zeros.map(|z| &z.elements) {
        None => vec![0],
        Some(Elements::Int(zeros)) => zeros.clone(),
        Some(Elements::Float(_)) => {
            return Err(node.refuse("its zero point is no integer", "an int8 or uint8 zero point"));
        }
    };
    let Elements::Int(integers) = &values.elements else {
        return Err(node.refuse("its operand is no integer tensor", "int8 or uint8 integers"));
    };
    let length = values.dims.get(axis).copied().unwrap_or(1);
    let fits = |n: usize| n == 1 || n == length;
    if !fits(reals.len()) || !fits(zeros.len()) || length == 0 {
        return Err(node.shape("the scale", &steps.dims, &format!("one element, or {length}")));
    }
    let inner: usize = values.dims.iter().skip(axis + 1).product::<usize>().max(1);
    let index = |i: usize, n: usize| if n == 1 { 0 } else { i / inner % length };
    let mut narrow = true;
    let real = |(i, v): (usize, &i64)| {
        let steps = v.saturating_sub(zeros[index(i, zeros.len())]);
        narrow &= (-127..=127).contains(&steps);
        steps as f32 * reals[index(i, reals.len())]
    };
    let elements = Elements::Float(integers.iter().enumerate().map(real).collect());
    Ok(Constant {
        dims: values.dims.clone(),
        elements,
        kind: data_type::FLOAT,
        step: narrow.then_some(reals),
    })
}
