//! Sums, products and affine maps of elements, with broadcasting.

use super::{Importer, Node, Operand, View};
use crate::OnnxError;
use crate::float_model::{FloatFunction, FloatOp};

/// Broadcast of two shapes; `None` when they do not fit.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// A constant of shape `from` over the shape `to`, row-major.
pub(super) fn spread<T: Copy>(values: &[T], from: &[usize], to: &[usize]) -> Vec<T> {
    let mut places = vec![0usize];
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for (axis, dim) in from.iter().enumerate().rev() {
        if *dim != 1 {
            strides[to.len() - from.len() + axis] = stride;
        }
        stride *= dim;
    }
    for (dim, stride) in to.iter().zip(strides) {
        places = places
            .iter()
            .flat_map(|p| (0..*dim).map(move |i| p + i * stride))
            .collect();
    }
    places.iter().map(|place| values[*place]).collect()
}

impl Importer {
    pub(super) fn binary(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let constant = |operand: &Operand| matches!(operand, Operand::Constant(_));
        let op = node.at.op.clone();
        if constant(self.operand(node, 1)?) {
            let view = self.value(node, 0)?;
            return match op.as_str() {
                "Add" => self.affine_of(node, &view, 1, (1.0, 0.0), (0.0, 1.0)),
                "Sub" => self.affine_of(node, &view, 1, (1.0, 0.0), (0.0, -1.0)),
                "Mul" => self.affine_of(node, &view, 1, (0.0, 1.0), (0.0, 0.0)),
                _ => self.divided(node, &view),
            };
        }
        if constant(self.operand(node, 0)?) {
            let view = self.value(node, 1)?;
            return match op.as_str() {
                "Add" => self.affine_of(node, &view, 0, (1.0, 0.0), (0.0, 1.0)),
                "Sub" => self.affine_of(node, &view, 0, (-1.0, 0.0), (0.0, 1.0)),
                "Mul" => self.affine_of(node, &view, 0, (0.0, 1.0), (0.0, 0.0)),
                _ => Err(divides(node)),
            };
        }
        let operands = [self.value(node, 0)?, self.value(node, 1)?];
        if op == "Div" {
            return Err(divides(node));
        }
        let (values, view) = self.aligned(node, &operands)?;
        let name = node.at.node.clone();
        let dims = self.memory(values[0]);
        let op = match op.as_str() {
            "Mul" => FloatOp::Product {
                name,
                left: values[0],
                right: values[1],
            },
            _ => {
                let sign = if op == "Sub" { -1.0 } else { 1.0 };
                FloatOp::Sum {
                    name,
                    terms: vec![(values[0], 1.0), (values[1], sign)],
                }
            }
        };
        let value = self.push(node.at, op, &dims)?;
        Ok(Operand::Value(view.with_value(value)))
    }

    /// Sum and Mean of any number of operands.
    pub(super) fn sum(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let count = node.node.input.len();
        let mut operands = Vec::new();
        for index in 0..count {
            operands.push(self.value(node, index)?);
        }
        if !(1..=haca_graph::limit::OPERANDS).contains(&count) {
            return Err(node.shape("the operands", &[count], "1 to 16 of them"));
        }
        let factor = if node.at.op == "Mean" {
            1.0 / count as f32
        } else {
            1.0
        };
        let (values, view) = self.aligned(node, &operands)?;
        let dims = self.memory(values[0]);
        let terms = values.into_iter().map(|value| (value, factor)).collect();
        let value = self.push(
            node.at,
            FloatOp::Sum {
                name: node.at.node.clone(),
                terms,
            },
            &dims,
        )?;
        Ok(Operand::Value(view.with_value(value)))
    }

    pub(super) fn negate(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        self.affine(node, &view, &[], vec![-1.0], vec![0.0])
    }

    pub(super) fn power(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let exponents = self.constant(node, 1)?.reals();
        // One exponent for all elements.
        let exponent = exponents
            .first()
            .copied()
            .filter(|first| exponents.iter().all(|e| e == first))
            .unwrap_or(0.0);
        let dims = self.memory(view.value);
        let name = node.at.node.clone();
        let times = |left, right| FloatOp::Product {
            name: name.clone(),
            left,
            right,
        };
        let value = if exponent == 1.0 {
            view.value
        } else if exponent == 2.0 {
            self.push(node.at, times(view.value, view.value), &dims)?
        } else if exponent == 3.0 {
            let square = self.push(node.at, times(view.value, view.value), &dims)?;
            self.push(node.at, times(square, view.value), &dims)?
        } else {
            return Err(node.refuse("its exponent is not 1, 2 or 3", "a table of the power"));
        };
        Ok(Operand::Value(view.with_value(value)))
    }

    fn divided(&mut self, node: &Node<'_>, view: &View) -> Result<Operand, OnnxError> {
        let constant = self.constant(node, 1)?;
        let (shape, values) = (constant.dims.clone(), constant.reals());
        let inverse: Vec<f32> = values.iter().map(|v| 1.0 / v).collect();
        if inverse.iter().any(|v| !v.is_finite()) {
            return Err(node.refuse("it divides by zero", "remove the division"));
        }
        let zeros = vec![0.0; inverse.len()];
        self.affine(node, view, &shape, inverse, zeros)
    }

    /// `(f0 + f1 c) x + (g0 + g1 c)` with the constant `c` at an input of the node.
    pub(super) fn affine_of(
        &mut self,
        node: &Node<'_>,
        view: &View,
        index: usize,
        factor: (f32, f32),
        offset: (f32, f32),
    ) -> Result<Operand, OnnxError> {
        let constant = self.constant(node, index)?;
        let (shape, values) = (constant.dims.clone(), constant.reals());
        let map = |(zero, one): (f32, f32)| {
            values
                .iter()
                .map(|v| if one == 0.0 { zero } else { zero + one * v })
                .collect()
        };
        self.affine(node, view, &shape, map(factor), map(offset))
    }

    /// `weight * x + bias` with constants of the shape `shape`.
    pub(super) fn affine(
        &mut self,
        node: &Node<'_>,
        view: &View,
        shape: &[usize],
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<Operand, OnnxError> {
        let dims = view.dims();
        let target = broadcast(&dims, shape)
            .filter(|target| crate::initializer::element_count(target).is_some())
            .ok_or_else(|| {
                node.shape(
                    "the constant",
                    shape,
                    &format!("one that broadcasts with {dims:?}"),
                )
            })?;
        let view = self.expanded(node, view, &target, None)?;
        for values in [&weight, &bias] {
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(OnnxError::NotFinite {
                    what: format!("a constant of {}", node.at),
                    index,
                    found: f64::from(values[index]),
                });
            }
        }
        let memory = self.memory(view.value);
        let last = memory.last().copied().unwrap_or(1);
        let uniform = |v: &[f32]| v.iter().all(|x| Some(x) == v.first());
        let (mut weight, mut bias) = if uniform(&weight) && uniform(&bias) {
            (weight[..1].to_vec(), bias[..1].to_vec())
        } else {
            self.count_folded(2 * view.elements())?;
            let places = view.positions();
            let lay = |values: &[f32]| -> Vec<f32> {
                let all = spread(values, shape, &target);
                places.iter().map(|place| all[*place]).collect()
            };
            (lay(&weight), lay(&bias))
        };
        let repeats = |v: &[f32]| v.chunks_exact(last).all(|row| row == &v[..last]);
        if weight.len() > last && repeats(&weight) && repeats(&bias) {
            weight.truncate(last);
            bias.truncate(last);
        }
        let op = FloatOp::Affine {
            name: node.at.node.clone(),
            input: view.value,
            weight,
            bias,
        };
        let value = self.push(node.at, op, &memory)?;
        Ok(Operand::Value(view.with_value(value)))
    }

    /// A tensor repeated along axes of one index, up to the shape `target`; in memory in the order `preferred` where
    /// nothing has to move for it.
    pub(super) fn expanded(
        &mut self,
        node: &Node<'_>,
        view: &View,
        target: &[usize],
        preferred: Option<&[usize]>,
    ) -> Result<View, OnnxError> {
        let dims = view.dims();
        if dims == target {
            return Ok(view.clone());
        }
        let added = target.len() - dims.len();
        if self.batch.counts() && view.batch.is_some_and(|b| target[b + added] != 1) {
            return Err(node.shape("the constant", target, "the batch axis left as it is"));
        }
        let (view, order) = self.simple(node.at, view)?;
        // New axes stand in front, in memory as in the tensor; axes of one index go where the tensor has them.
        let mut order: Vec<usize> = order.iter().map(|axis| axis + added).collect();
        let absent: Vec<usize> = (0..target.len())
            .filter(|axis| !order.contains(axis) && target[*axis] != 1)
            .collect();
        if let Some(preferred) = preferred
            && preferred.iter().filter(|axis| order.contains(axis)).eq(&order)
        {
            order = preferred.to_vec();
        }
        for axis in absent {
            if order.contains(&axis) {
                continue;
            }
            let place = order
                .iter()
                .position(|other| *other > axis)
                .unwrap_or(order.len());
            order.insert(place, axis);
        }
        let size = |axis: &usize| axis.checked_sub(added).map_or(1, |a| dims[a]);
        let before: Vec<usize> = order.iter().map(size).collect();
        let after: Vec<usize> = order.iter().map(|axis| target[*axis]).collect();
        let mut value = self.in_shape(node.at, view.value, &before)?;
        if before != after {
            value = self.push(node.at, FloatOp::Expand { input: value }, &after)?;
        }
        Ok(View::new(value, target, &order, view.batch.map(|b| b + added)))
    }

    /// Operands of one shape that lie the same way: the way of the first one that has the common shape.
    pub(super) fn aligned(
        &mut self,
        node: &Node<'_>,
        operands: &[View],
    ) -> Result<(Vec<usize>, View), OnnxError> {
        let mut target = Vec::new();
        for view in operands {
            target = broadcast(&target, &view.dims()).ok_or_else(|| {
                node.shape(
                    "an operand",
                    &view.dims(),
                    &format!("one that broadcasts with {target:?}"),
                )
            })?;
        }
        let leader = operands.iter().position(|view| view.dims() == target);
        let preferred = leader.and_then(|leader| operands[leader].order());
        let mut expanded = Vec::new();
        for view in operands {
            expanded.push(self.expanded(node, view, &target, preferred.as_deref())?);
        }
        let leader = expanded[leader.unwrap_or(0)].clone();
        if expanded.iter().all(|view| view.lies_as(&leader)) {
            let dims = self.memory(leader.value);
            let values = expanded
                .iter()
                .map(|view| self.in_shape(node.at, view.value, &dims));
            return Ok((values.collect::<Result<_, _>>()?, leader));
        }
        let (leader, order) = self.simple(node.at, &leader)?;
        let mut values = Vec::new();
        for view in &expanded {
            let groups: Vec<Vec<usize>> = order.iter().map(|axis| view.axis(*axis).to_vec()).collect();
            values.push(self.arranged(node.at, view, &groups)?);
        }
        Ok((values, View::new(leader.value, &target, &order, leader.batch)))
    }

    /// `x` above zero, and a constant slope below: `slope * x + (1 - slope) * relu(x)`.
    pub(super) fn parametric_relu(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let constant = self.constant(node, 1)?;
        let (shape, slopes) = (constant.dims.clone(), constant.reals());
        if let Some(first) = slopes
            .first()
            .filter(|first| **first >= 0.0 && slopes.iter().all(|s| s == *first))
        {
            return self.apply(node, &view, FloatFunction::LeakyRelu { slope: *first });
        }
        let complement: Vec<f32> = slopes.iter().map(|s| 1.0 - s).collect();
        let zeros = vec![0.0; slopes.len()];
        let memory = self.memory(view.value);
        let clamp = FloatOp::Clamp {
            input: view.value,
            low: 0.0,
            high: f32::INFINITY,
        };
        let positive = view.with_value(self.push(node.at, clamp, &memory)?);
        let (Operand::Value(a), Operand::Value(b)) = (
            self.affine(node, &view, &shape, slopes, zeros.clone())?,
            self.affine(node, &positive, &shape, complement, zeros)?,
        ) else {
            return Err(node.refuse("its slope does not fit", "one slope per channel"));
        };
        let (values, view) = self.aligned(node, &[a, b])?;
        let dims = self.memory(values[0]);
        let terms = values.into_iter().map(|value| (value, 1.0)).collect();
        let value = self.push(
            node.at,
            FloatOp::Sum {
                name: node.at.node.clone(),
                terms,
            },
            &dims,
        )?;
        Ok(Operand::Value(view.with_value(value)))
    }
}

fn divides(node: &Node<'_>) -> OnnxError {
    node.refuse(
        "it divides by a value that depends on inputs",
        "a reciprocal; only division by constants is supported",
    )
}
