//! Nodes that read constants only: shape arithmetic and prepared weights.

use super::arrangement::{permutation, resolve, stretch};
use super::elementwise::{broadcast, spread};
use super::{Importer, Node, Operand};
use crate::OnnxError;
use crate::initializer::{Constant, Elements, element_count};
use crate::proto::data_type;

impl Importer {
    /// What a node makes of constants; `None` when it reads a value, or its op is not one of shape arithmetic.
    pub(super) fn fold(&mut self, node: &Node<'_>) -> Result<Option<Vec<Constant>>, OnnxError> {
        let mut operands = Vec::new();
        for name in &node.node.input {
            match self.tensors.get(name) {
                Some(Operand::Constant(constant)) => operands.push(constant),
                None if name.is_empty() => {}
                _ => return Ok(None),
            }
        }
        if operands.is_empty() {
            return Ok(None);
        }
        let Some(folded) = fold(node, &operands)? else {
            return Ok(None);
        };
        let elements = folded.iter().map(Constant::len).sum();
        self.count_folded(elements)?;
        for constant in &folded {
            constant.check_finite(&node.at.node)?;
        }
        Ok(Some(folded))
    }
}

fn fold(node: &Node<'_>, operands: &[&Constant]) -> Result<Option<Vec<Constant>>, OnnxError> {
    let first = operands[0];
    let misfit = || node.shape("the operands", &first.dims, "constants that fit the op");
    let one = match node.at.op.as_str() {
        "Identity" => Some(first.clone()),
        "Cast" => Some(cast(node, first)?),
        "Shape" => Some(Constant::ints(
            first
                .dims
                .iter()
                .map(|d| i64::try_from(*d).unwrap_or(0))
                .collect(),
        )),
        "Size" => Some(Constant::ints(vec![i64::try_from(first.len()).unwrap_or(0)]).scalar()),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let dims = regrouped(node, operands)?.ok_or_else(misfit)?;
            Some(Constant {
                dims,
                ..first.clone()
            })
        }
        "Transpose" => {
            let order = permutation(node, first.dims.len())?;
            Some(first.arranged(
                &order.iter().map(|a| first.dims[*a]).collect::<Vec<_>>(),
                |index| {
                    let mut from = vec![0; order.len()];
                    order.iter().zip(index).for_each(|(axis, i)| from[*axis] = *i);
                    from
                },
            ))
        }
        "Concat" => Some(concat(node, operands)?.ok_or_else(misfit)?),
        "Gather" => Some(gather(node, operands)?.ok_or_else(misfit)?),
        "Slice" => Some(slice(node, operands)?.ok_or_else(misfit)?),
        "Expand" => Some(expand(operands).ok_or_else(misfit)?),
        "ConstantOfShape" => Some(constant_of_shape(node, first)?),
        "Range" => Some(range(operands).ok_or_else(misfit)?),
        "Where" => Some(choose(operands).ok_or_else(misfit)?),
        "ReduceProd" => match &first.elements {
            Elements::Int(values) if first.dims.len() <= 1 => {
                let product = values
                    .iter()
                    .try_fold(1i64, |p, v| p.checked_mul(*v))
                    .ok_or_else(misfit)?;
                let constant = Constant::ints(vec![product]);
                Some(if node.int("keepdims", 1) != 0 {
                    constant
                } else {
                    constant.scalar()
                })
            }
            _ => None,
        },
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" | "Pow" | "Equal" | "Greater" | "Less"
        | "And" | "Or" => match operands {
            [a, b] => Some(binary(&node.at.op, a, b).ok_or_else(misfit)?),
            _ => None,
        },
        "Neg" | "Abs" | "Sqrt" | "Reciprocal" | "Floor" | "Ceil" | "Relu" | "Not" => {
            Some(unary(&node.at.op, first))
        }
        "DequantizeLinear" => Some(super::quantised::dequantised(node, operands)?),
        _ => None,
    };
    Ok(one.map(|constant| vec![constant]))
}

impl Constant {
    /// A tensor of shape `dims` whose element at an index is the one of this tensor at `from(index)`.
    fn arranged(&self, dims: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let mut places = Vec::new();
        let mut index = vec![0; dims.len()];
        let count: usize = dims.iter().product();
        for _ in 0..count {
            let place = from(&index)
                .iter()
                .zip(&self.dims)
                .fold(0, |place, (i, d)| place * d + i);
            places.push(place);
            for axis in (0..dims.len()).rev() {
                index[axis] += 1;
                if index[axis] < dims[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        let elements = match &self.elements {
            Elements::Float(v) => Elements::Float(places.iter().map(|p| v[*p]).collect()),
            Elements::Int(v) => Elements::Int(places.iter().map(|p| v[*p]).collect()),
        };
        let step = self.step.clone().filter(|step| step.len() == 1);
        Self {
            dims: dims.to_vec(),
            elements,
            kind: self.kind,
            step,
        }
    }

    fn as_ints(&self) -> Option<&[i64]> {
        match &self.elements {
            Elements::Int(values) => Some(values),
            Elements::Float(_) => None,
        }
    }
}

fn cast(node: &Node<'_>, constant: &Constant) -> Result<Constant, OnnxError> {
    let kind = i32::try_from(node.int("to", 0)).unwrap_or(0);
    let elements = match (kind, &constant.elements) {
        (data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16, _) => Elements::Float(constant.reals()),
        (data_type::BOOL, Elements::Int(v)) => Elements::Int(v.iter().map(|v| i64::from(*v != 0)).collect()),
        (data_type::INT64 | data_type::INT32 | data_type::INT8 | data_type::UINT8, Elements::Int(v)) => {
            Elements::Int(v.clone())
        }
        (data_type::INT64 | data_type::INT32, Elements::Float(v)) => {
            Elements::Int(v.iter().map(|v| *v as i64).collect())
        }
        _ => return Err(node.attribute("to", kind.to_string(), "float, int64, int32 or bool")),
    };
    Ok(Constant {
        elements,
        kind,
        ..constant.clone()
    })
}

fn regrouped(node: &Node<'_>, operands: &[&Constant]) -> Result<Option<Vec<usize>>, OnnxError> {
    let first = operands[0];
    let rank = first.dims.len();
    let axes = match (node.ints("axes"), operands.get(1)) {
        (Some(axes), _) => Some(axes.to_vec()),
        (None, Some(axes)) => axes.as_ints().map(<[i64]>::to_vec),
        (None, None) => None,
    };
    Ok(match node.at.op.as_str() {
        "Reshape" => {
            let target = operands.get(1).and_then(|t| t.as_ints());
            target.and_then(|target| resolve(&first.dims, target, node.int("allowzero", 0) != 0, false))
        }
        "Flatten" => {
            let axis = if node.int("axis", 1) == i64::try_from(rank).unwrap_or(0) {
                rank
            } else {
                node.axis(node.int("axis", 1), rank)?
            };
            Some(vec![
                first.dims[..axis].iter().product(),
                first.dims[axis..].iter().product(),
            ])
        }
        "Squeeze" => {
            let gone = match axes {
                Some(axes) => axes
                    .iter()
                    .map(|a| node.axis(*a, rank))
                    .collect::<Result<Vec<_>, _>>()?,
                None => (0..rank).filter(|a| first.dims[*a] == 1).collect(),
            };
            let fits = gone.iter().all(|axis| first.dims[*axis] == 1);
            fits.then(|| {
                (0..rank)
                    .filter(|axis| !gone.contains(axis))
                    .map(|axis| first.dims[axis])
                    .collect()
            })
        }
        _ => {
            let axes = axes.unwrap_or_default();
            let rank = rank + axes.len();
            let new = axes
                .iter()
                .map(|a| node.axis(*a, rank))
                .collect::<Result<Vec<_>, _>>()?;
            let mut old = first.dims.iter();
            let dim = |axis| {
                if new.contains(&axis) {
                    Some(1)
                } else {
                    old.next().copied()
                }
            };
            let dims: Option<Vec<usize>> = (0..rank).map(dim).collect();
            dims.filter(|dims| {
                dims.len() <= haca_wire::limit::RANK && dims.iter().product::<usize>() == first.len()
            })
        }
    })
}

fn concat(node: &Node<'_>, operands: &[&Constant]) -> Result<Option<Constant>, OnnxError> {
    let rank = operands[0].dims.len();
    let axis = node.axis(node.int("axis", 0), rank)?;
    let mut dims = operands[0].dims.clone();
    dims[axis] = 0;
    for operand in operands {
        if operand.dims.len() != rank {
            return Ok(None);
        }
        for other in 0..rank {
            if other == axis {
                dims[axis] += operand.dims[axis];
            } else if operand.dims[other] != dims[other] {
                return Ok(None);
            }
        }
    }
    if element_count(&dims).is_none() {
        return Ok(None);
    }
    let outer: usize = dims[..axis].iter().product();
    let inner = |c: &Constant| c.dims[axis..].iter().product::<usize>();
    let kind = operands[0].kind;
    if operands.iter().all(|c| c.as_ints().is_some()) {
        let row = |r| {
            operands
                .iter()
                .flat_map(move |c| c.as_ints().unwrap_or_default()[r * inner(c)..][..inner(c)].to_vec())
        };
        let values = (0..outer).flat_map(row).collect();
        return Ok(Some(Constant {
            dims,
            elements: Elements::Int(values),
            kind,
            step: None,
        }));
    }
    let reals: Vec<Vec<f32>> = operands.iter().map(|c| c.reals()).collect();
    let mut values = Vec::new();
    for r in 0..outer {
        for (c, reals) in operands.iter().zip(&reals) {
            values.extend_from_slice(&reals[r * inner(c)..][..inner(c)]);
        }
    }
    Ok(Some(Constant {
        dims,
        elements: Elements::Float(values),
        kind,
        step: None,
    }))
}

fn gather(node: &Node<'_>, operands: &[&Constant]) -> Result<Option<Constant>, OnnxError> {
    let [data, indices] = operands else {
        return Ok(None);
    };
    let axis = node.axis(node.int("axis", 0), data.dims.len())?;
    let Some(indices_of) = indices.as_ints() else {
        return Ok(None);
    };
    let length = i64::try_from(data.dims[axis]).unwrap_or(0);
    let place = |i: &i64| {
        usize::try_from(if *i < 0 { i.saturating_add(length) } else { *i })
            .ok()
            .filter(|i| *i < data.dims[axis])
    };
    let Some(places) = indices_of.iter().map(place).collect::<Option<Vec<usize>>>() else {
        return Ok(None);
    };
    let joined = [&data.dims[..axis], &[places.len()], &data.dims[axis + 1..]].concat();
    let dims = [&data.dims[..axis], &indices.dims, &data.dims[axis + 1..]].concat();
    if element_count(&dims).is_none() {
        return Ok(None);
    }
    let gathered = data.arranged(&joined, |index| {
        let mut from = index.to_vec();
        from[axis] = places[index[axis]];
        from
    });
    Ok(Some(Constant { dims, ..gathered }))
}

fn slice(node: &Node<'_>, operands: &[&Constant]) -> Result<Option<Constant>, OnnxError> {
    let data = operands[0];
    let given = |index: usize, name: &str| match node.ints(name) {
        Some(values) => Some(values.to_vec()),
        None => operands.get(index).and_then(|c| c.as_ints()).map(<[i64]>::to_vec),
    };
    let (Some(starts), Some(ends)) = (given(1, "starts"), given(2, "ends")) else {
        return Ok(None);
    };
    let axes = given(3, "axes").unwrap_or_else(|| (0..).take(starts.len()).collect());
    let steps = given(4, "steps").unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Ok(None);
    }
    let mut stretches: Vec<(usize, i64, usize)> = data.dims.iter().map(|d| (0, 1, *d)).collect();
    for (i, axis) in axes.iter().enumerate() {
        let axis = node.axis(*axis, data.dims.len())?;
        // An empty slice of a shape is an empty list.
        stretches[axis] = stretch(data.dims[axis], starts[i], ends[i], steps[i]).unwrap_or((0, 1, 0));
    }
    let dims: Vec<usize> = stretches.iter().map(|s| s.2).collect();
    Ok(Some(data.arranged(&dims, |index| {
        let at = |(i, (start, step, _)): (&usize, &(usize, i64, usize))| {
            let moved = i64::try_from(*i).unwrap_or(0) * step;
            usize::try_from(i64::try_from(*start).unwrap_or(0) + moved).unwrap_or(0)
        };
        index.iter().zip(&stretches).map(at).collect()
    })))
}

fn expand(operands: &[&Constant]) -> Option<Constant> {
    let [data, target] = operands else { return None };
    let target: Option<Vec<usize>> = target
        .as_ints()?
        .iter()
        .map(|d| usize::try_from(*d).ok())
        .collect();
    let dims = broadcast(&data.dims, &target?)?;
    element_count(&dims)?;
    let elements = match &data.elements {
        Elements::Float(v) => Elements::Float(spread(v, &data.dims, &dims)),
        Elements::Int(v) => Elements::Int(spread(v, &data.dims, &dims)),
    };
    Some(Constant {
        dims,
        elements,
        ..(*data).clone()
    })
}

fn constant_of_shape(node: &Node<'_>, shape: &Constant) -> Result<Constant, OnnxError> {
    let dims = shape.as_ints().unwrap_or_default();
    let dims: Option<Vec<usize>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
    let wrong = || {
        node.shape(
            "the shape",
            &shape.dims,
            "non-negative numbers, at most 2^22 elements",
        )
    };
    let dims = dims.ok_or_else(wrong)?;
    let count = element_count(&dims).ok_or_else(wrong)?;
    let fill = match node.find("value").and_then(|a| a.t.clone()) {
        Some(tensor) => Constant::read(&node.at.node, tensor)?,
        None => Constant::floats(&node.at.node, vec![0.0])?,
    };
    let elements = match &fill.elements {
        Elements::Float(v) => Elements::Float(vec![v.first().copied().unwrap_or(0.0); count]),
        Elements::Int(v) => Elements::Int(vec![v.first().copied().unwrap_or(0); count]),
    };
    Ok(Constant {
        dims,
        elements,
        kind: fill.kind,
        step: None,
    })
}

fn range(operands: &[&Constant]) -> Option<Constant> {
    let [start, limit, delta] = operands else {
        return None;
    };
    let number = |c: &Constant| c.as_ints()?.first().copied();
    let (start, limit, delta) = (number(start)?, number(limit)?, number(delta)?);
    let span = limit.checked_sub(start)?;
    let steps = if delta == 0 || (span > 0) != (delta > 0) {
        0
    } else {
        (span.abs() - 1) / delta.checked_abs()? + 1
    };
    let steps = usize::try_from(steps)
        .ok()
        .filter(|n| *n <= haca_wire::limit::TENSOR_ELEMENTS)?;
    let mut next = start;
    let values = (0..steps).map(|_| {
        let here = next;
        next = next.saturating_add(delta);
        here
    });
    Some(Constant::ints(values.collect()))
}

fn choose(operands: &[&Constant]) -> Option<Constant> {
    let [condition, yes, no] = operands else {
        return None;
    };
    let dims = broadcast(&broadcast(&condition.dims, &yes.dims)?, &no.dims)?;
    element_count(&dims)?;
    let condition = spread(condition.as_ints()?, &condition.dims, &dims);
    let elements = match (&yes.elements, &no.elements) {
        (Elements::Int(y), Elements::Int(n)) => {
            let (y, n) = (spread(y, &yes.dims, &dims), spread(n, &no.dims, &dims));
            Elements::Int(
                condition
                    .iter()
                    .zip(y.iter().zip(n))
                    .map(|(c, (y, n))| if *c != 0 { *y } else { n })
                    .collect(),
            )
        }
        _ => {
            let (y, n) = (
                spread(&yes.reals(), &yes.dims, &dims),
                spread(&no.reals(), &no.dims, &dims),
            );
            Elements::Float(
                condition
                    .iter()
                    .zip(y.iter().zip(n))
                    .map(|(c, (y, n))| if *c != 0 { *y } else { n })
                    .collect(),
            )
        }
    };
    Some(Constant {
        dims,
        elements,
        kind: yes.kind,
        step: None,
    })
}

fn binary(op: &str, a: &Constant, b: &Constant) -> Option<Constant> {
    let dims = broadcast(&a.dims, &b.dims)?;
    element_count(&dims)?;
    let compares = matches!(op, "Equal" | "Greater" | "Less");
    let (elements, kind) = match (&a.elements, &b.elements) {
        (Elements::Int(x), Elements::Int(y)) => {
            let (x, y) = (spread(x, &a.dims, &dims), spread(y, &b.dims, &dims));
            let values: Option<Vec<i64>> = x.iter().zip(y).map(|(x, y)| integers(op, *x, y)).collect();
            (
                Elements::Int(values?),
                if compares { data_type::BOOL } else { a.kind },
            )
        }
        _ => {
            let (x, y) = (
                spread(&a.reals(), &a.dims, &dims),
                spread(&b.reals(), &b.dims, &dims),
            );
            let pairs = x.iter().zip(y);
            if compares {
                let values = pairs.map(|(x, y)| {
                    i64::from(match op {
                        "Equal" => *x == y,
                        "Greater" => *x > y,
                        _ => *x < y,
                    })
                });
                (Elements::Int(values.collect()), data_type::BOOL)
            } else {
                let values: Option<Vec<f32>> = pairs.map(|(x, y)| reals(op, *x, y)).collect();
                (Elements::Float(values?), data_type::FLOAT)
            }
        }
    };
    Some(Constant {
        dims,
        elements,
        kind,
        step: None,
    })
}

fn integers(op: &str, x: i64, y: i64) -> Option<i64> {
    match op {
        "Add" => x.checked_add(y),
        "Sub" => x.checked_sub(y),
        "Mul" => x.checked_mul(y),
        // Towards zero, as in C.
        "Div" => x.checked_div(y),
        "Mod" => x.checked_rem_euclid(y),
        "Min" => Some(x.min(y)),
        "Max" => Some(x.max(y)),
        "Pow" => x.checked_pow(u32::try_from(y).ok()?),
        "Equal" => Some(i64::from(x == y)),
        "Greater" => Some(i64::from(x > y)),
        "Less" => Some(i64::from(x < y)),
        "And" => Some(i64::from(x != 0 && y != 0)),
        "Or" => Some(i64::from(x != 0 || y != 0)),
        _ => None,
    }
}

fn reals(op: &str, x: f32, y: f32) -> Option<f32> {
    match op {
        "Add" => Some(x + y),
        "Sub" => Some(x - y),
        "Mul" => Some(x * y),
        "Div" => Some(x / y),
        "Min" => Some(x.min(y)),
        "Max" => Some(x.max(y)),
        // Exponents whose power takes exact operations only.
        "Pow" if y == 0.5 => Some(x.sqrt()),
        "Pow" if y == 1.0 => Some(x),
        "Pow" if y == 2.0 => Some(x * x),
        "Pow" if y == 3.0 => Some(x * x * x),
        "Pow" if y == -1.0 => Some(1.0 / x),
        "Pow" if y == -0.5 => Some(1.0 / x.sqrt()),
        _ => None,
    }
}

fn unary(op: &str, constant: &Constant) -> Constant {
    let elements = match &constant.elements {
        Elements::Int(values) => Elements::Int(
            values
                .iter()
                .map(|v| match op {
                    "Neg" => v.wrapping_neg(),
                    "Abs" => v.saturating_abs(),
                    "Relu" => (*v).max(0),
                    "Not" => i64::from(*v == 0),
                    _ => *v,
                })
                .collect(),
        ),
        Elements::Float(values) => Elements::Float(
            values
                .iter()
                .map(|v| match op {
                    "Neg" => -v,
                    "Abs" => v.abs(),
                    "Relu" => v.max(0.0),
                    "Sqrt" => v.sqrt(),
                    "Reciprocal" => 1.0 / v,
                    "Floor" => v.floor(),
                    "Ceil" => v.ceil(),
                    _ => *v,
                })
                .collect(),
        ),
    };
    Constant {
        elements,
        step: None,
        ..constant.clone()
    }
}
