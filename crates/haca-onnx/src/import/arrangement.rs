//! Ops that only move elements: most change the view and nothing else.

use haca_graph::{Stretch, limit};

use super::{Batch, Importer, Node, Operand, View};
use crate::OnnxError;
use crate::float_model::FloatOp;
use crate::initializer::Constant;
use crate::proto::data_type;

impl Importer {
    pub(super) fn cast(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.any_value(node, 0)?;
        let floats = [data_type::FLOAT, data_type::DOUBLE, data_type::FLOAT16];
        let to = i32::try_from(node.int("to", 0)).unwrap_or(0);
        let is_index = matches!(self.producer(view.value), Some(FloatOp::ArgMax { .. }));
        if is_index || floats.contains(&to) {
            return Ok(Operand::Value(view));
        }
        Err(node.attribute(
            "to",
            to.to_string(),
            "a float type; reals are rounded by QuantizeLinear only",
        ))
    }

    /// The dimension that the file sees: of the batch axis that of the file.
    fn dims_of(&self, view: &View) -> Vec<i64> {
        let batch = match self.batch {
            Batch::Fixed(n) => n,
            Batch::Absent | Batch::Symbolic => 1,
        };
        let wide = |(axis, dim): (usize, usize)| {
            if view.batch == Some(axis) {
                batch
            } else {
                i64::try_from(dim).unwrap_or(i64::MAX)
            }
        };
        view.dims().into_iter().enumerate().map(wide).collect()
    }

    pub(super) fn shape_of(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let dims = self.dims_of(&self.any_value(node, 0)?);
        let rank = i64::try_from(dims.len()).unwrap_or(i64::MAX);
        let place =
            |end: i64| usize::try_from(if end < 0 { end + rank } else { end }.clamp(0, rank)).unwrap_or(0);
        let (start, end) = (place(node.int("start", 0)), place(node.int("end", rank)));
        let dims = dims.get(start..end.max(start)).unwrap_or_default().to_vec();
        Ok(Operand::Constant(Constant::ints(dims)))
    }

    pub(super) fn size_of(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let elements = self.dims_of(&self.any_value(node, 0)?).iter().product();
        Ok(Operand::Constant(Constant::ints(vec![elements]).scalar()))
    }

    pub(super) fn transpose(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.any_value(node, 0)?;
        let order = permutation(node, view.rank())?;
        if view.batch.is_some_and(|batch| order[0] != batch) && self.batch.counts() {
            return Err(node.refuse("it moves the batch axis", "leave the first axis in place"));
        }
        Ok(Operand::Value(view.transposed(&order)))
    }

    pub(super) fn flatten(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let rank = view.rank();
        let given = node.int("axis", 1);
        let wide = i64::try_from(rank).unwrap_or(i64::MAX);
        let axis = usize::try_from(if given < 0 {
            given.saturating_add(wide)
        } else {
            given
        });
        let axis = axis.ok().filter(|axis| *axis <= rank);
        // Axis 0 gives [1, all]: the same for a batch of one, a mix of inferences for any other.
        let Some(axis) = axis.filter(|axis| *axis == 1 || !self.batch.counts()) else {
            return Err(node.attribute("axis", given.to_string(), "1, with a batch axis in front"));
        };
        let dims = view.dims();
        let target = [dims[..axis].iter().product(), dims[axis..].iter().product()];
        let batch = view.batch.filter(|_| target[0] == 1).map(|_| 0);
        self.regrouped(node, &view, &target, batch)
    }

    pub(super) fn reshape(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.any_value(node, 0)?;
        let target = match node.ints("shape") {
            Some(shape) => shape.to_vec(),
            None => self.ints(node, 1)?,
        };
        let refuse = || OnnxError::Shape {
            at: node.at.clone(),
            operand: "the target",
            found: target.clone(),
            expected: "the batch axis in front, then as many elements as the input has".to_owned(),
        };
        let keep_zero = node.int("allowzero", 0) != 0;
        let counted = view.batch.is_some() && self.batch.counts();
        if counted && !self.keeps_batch(&target, keep_zero) {
            return Err(refuse());
        }
        let mut dims = resolve(&view.dims(), &target, keep_zero, counted).ok_or_else(refuse)?;
        if counted && let Some(first) = dims.first_mut() {
            *first = 1;
        }
        if dims.iter().product::<usize>() != view.elements() {
            return Err(refuse());
        }
        let batch = view.batch.filter(|_| dims.first() == Some(&1)).map(|_| 0);
        self.regrouped(node, &view, &dims, batch)
    }

    /// Whether the first dimension of a target leaves the batch axis where it is.
    fn keeps_batch(&self, target: &[i64], keep_zero: bool) -> bool {
        let Some((first, rest)) = target.split_first() else {
            return false;
        };
        match (*first, self.batch) {
            (0, _) => !keep_zero,
            (-1, _) => !rest.contains(&-1),
            (n, Batch::Fixed(batch)) => n == batch,
            (n, Batch::Symbolic | Batch::Absent) => n == 1,
        }
    }

    /// The tensor under another shape of as many elements.
    pub(super) fn regrouped(
        &mut self,
        node: &Node<'_>,
        view: &View,
        dims: &[usize],
        batch: Option<usize>,
    ) -> Result<Operand, OnnxError> {
        if dims.len() > haca_wire::limit::RANK + 1 {
            return Err(node.shape("the result", dims, "at most 8 axes"));
        }
        if let Some(view) = view.reshaped(dims, batch) {
            return Ok(Operand::Value(view));
        }
        let value = self.plain(node.at, view)?;
        Ok(Operand::Value(View::plain(value, dims, batch)))
    }

    pub(super) fn squeeze(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.any_value(node, 0)?;
        let dims = view.dims();
        let axes = match self.axes_of(node, 1)? {
            Some(axes) => axes
                .iter()
                .map(|a| node.axis(*a, view.rank()))
                .collect::<Result<Vec<_>, _>>()?,
            None => (0..dims.len()).filter(|axis| dims[*axis] == 1).collect(),
        };
        if axes.iter().any(|axis| dims[*axis] != 1) {
            return Err(node.attribute("axes", format!("{axes:?}"), "axes of one element"));
        }
        if self.batch.counts() && view.batch.is_some_and(|b| axes.contains(&b)) {
            return Err(node.refuse("it drops the batch axis", "name the axes behind the batch axis"));
        }
        Ok(Operand::Value(view.squeezed(&axes)))
    }

    pub(super) fn unsqueeze(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.any_value(node, 0)?;
        let axes = self.axes_of(node, 1)?.unwrap_or_default();
        let rank = view.rank() + axes.len();
        let axes = axes
            .iter()
            .map(|a| node.axis(*a, rank))
            .collect::<Result<Vec<_>, _>>()?;
        let mut old = view.dims().into_iter().enumerate();
        let (mut dims, mut batch) = (Vec::new(), None);
        for axis in 0..rank {
            if axes.contains(&axis) {
                dims.push(1);
                continue;
            }
            let (from, dim) = old
                .next()
                .ok_or_else(|| node.attribute("axes", format!("{axes:?}"), "axes that differ"))?;
            if view.batch == Some(from) {
                batch = Some(axis);
            }
            dims.push(dim);
        }
        if self.batch.counts() && batch.is_some_and(|b| b != 0) {
            return Err(node.refuse("it moves the batch axis", "leave the first axis in place"));
        }
        self.regrouped(node, &view, &dims, batch)
    }

    /// The value in memory with one axis per axis of the tensor that has more than one index, and those axes.
    fn in_order(&mut self, node: &Node<'_>, view: &View) -> Result<(usize, Vec<usize>), OnnxError> {
        let (view, order) = self.simple(node.at, view)?;
        let dims = view.dims();
        let memory: Vec<usize> = order.iter().map(|axis| dims[*axis]).collect();
        Ok((self.in_shape(node.at, view.value, &memory)?, order))
    }

    /// Stretches `(start, step, count)`, one per axis of the tensor.
    pub(super) fn stretch(
        &mut self,
        node: &Node<'_>,
        view: &View,
        stretches: &[(usize, i64, usize)],
    ) -> Result<View, OnnxError> {
        let dims = view.dims();
        let whole = |axis: usize| stretches[axis] == (0, 1, dims[axis]);
        let counts: Vec<usize> = stretches.iter().map(|s| s.2).collect();
        if (0..dims.len()).all(whole) {
            return Ok(view.clone());
        }
        if self.batch.counts() && view.batch.is_some_and(|b| !whole(b)) {
            return Err(node.refuse(
                "it takes inferences out of the batch",
                "slice the axes behind the batch axis",
            ));
        }
        if counts.contains(&0) {
            return Err(node.shape("the result", &counts, "at least one element"));
        }
        let (value, order) = self.in_order(node, view)?;
        let narrow = |axis: &usize| {
            let (start, step, count) = stretches[*axis];
            Some(Stretch {
                start: u32::try_from(start).ok()?,
                step: if count == 1 { 1 } else { i32::try_from(step).ok()? },
                count: u32::try_from(count).ok()?,
            })
        };
        let stretches = order.iter().map(narrow).collect::<Option<Vec<_>>>();
        let stretches = stretches.ok_or_else(|| node.shape("the result", &counts, "steps of 32 bits"))?;
        let memory: Vec<usize> = order.iter().map(|axis| counts[*axis]).collect();
        let value = self.push(
            node.at,
            FloatOp::Slice {
                input: value,
                stretches,
            },
            &memory,
        )?;
        Ok(View::new(value, &counts, &order, view.batch))
    }

    pub(super) fn slice(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let given = |index: usize, name: &str| match node.ints(name) {
            Some(values) => Ok(Some(values.to_vec())),
            None if node.has_input(index) => self.ints(node, index).map(Some),
            None => Ok(None),
        };
        let (starts, ends) = (
            given(1, "starts")?.unwrap_or_default(),
            given(2, "ends")?.unwrap_or_default(),
        );
        let axes = given(3, "axes")?.unwrap_or_else(|| (0..).take(starts.len()).collect());
        let steps = given(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(node.shape("starts", &[starts.len()], "as many as ends, axes and steps"));
        }
        let dims = view.dims();
        let mut stretches: Vec<(usize, i64, usize)> = dims.iter().map(|d| (0, 1, *d)).collect();
        for (i, axis) in axes.iter().enumerate() {
            let axis = node.axis(*axis, dims.len())?;
            let stretch = stretch(dims[axis], starts[i], ends[i], steps[i]);
            stretches[axis] = stretch.ok_or_else(|| {
                node.attribute(
                    "steps",
                    format!("{} from {} to {}", steps[i], starts[i], ends[i]),
                    "a stretch of at least one element",
                )
            })?;
        }
        Ok(Operand::Value(self.stretch(node, &view, &stretches)?))
    }

    pub(super) fn split(&mut self, node: &Node<'_>) -> Result<Vec<Operand>, OnnxError> {
        let view = self.value(node, 0)?;
        let axis = node.axis(node.int("axis", 0), view.rank())?;
        let dims = view.dims();
        let outputs = node.node.output.len().max(1);
        let parts = match node.ints("split") {
            Some(parts) => parts.to_vec(),
            None if node.has_input(1) => self.ints(node, 1)?,
            None => {
                let each = dims[axis].div_ceil(outputs);
                let size = |i| each.min(dims[axis].saturating_sub(i * each));
                (0..outputs)
                    .map(|i| i64::try_from(size(i)).unwrap_or(0))
                    .collect()
            }
        };
        let parts: Vec<usize> = parts.iter().map(|p| usize::try_from(*p).unwrap_or(0)).collect();
        let total = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(*part));
        if parts.len() != outputs || total != Some(dims[axis]) || parts.contains(&0) {
            return Err(node.shape(
                "the parts",
                &parts,
                &format!("{outputs} parts of {} elements", dims[axis]),
            ));
        }
        let mut start = 0;
        let mut all = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut stretches: Vec<(usize, i64, usize)> = dims.iter().map(|d| (0, 1, *d)).collect();
            stretches[axis] = (start, 1, *part);
            start += part;
            let name = node.node.output.get(index);
            // A part that nobody reads is not cut out.
            let read = name.is_some_and(|name| self.readers.contains_key(name));
            let part = if read {
                self.stretch(node, &view, &stretches)?
            } else {
                view.clone()
            };
            all.push(Operand::Value(part));
        }
        Ok(all)
    }

    pub(super) fn gather(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        if matches!(self.operand(node, 0)?, Operand::Constant(_)) {
            return Err(node.refuse(
                "its indices depend on inputs",
                "a lookup of rows; give the rows as an input",
            ));
        }
        let view = self.value(node, 0)?;
        let axis = node.axis(node.int("axis", 0), view.rank())?;
        let dims = view.dims();
        let indices = self.ints(node, 1)?;
        let shape = self.constant(node, 1)?.dims.clone();
        let length = i64::try_from(dims[axis]).unwrap_or(i64::MAX);
        let places: Option<Vec<usize>> = indices
            .iter()
            .map(|i| {
                usize::try_from(if *i < 0 { i.saturating_add(length) } else { *i })
                    .ok()
                    .filter(|i| *i < dims[axis])
            })
            .collect();
        let places = places.filter(|p| !p.is_empty());
        let places = places.ok_or_else(|| node.shape("the indices", &shape, "indices of the axis"))?;
        let runs = progressions(&places);
        if runs.len() > limit::OPERANDS {
            return Err(node.refuse(
                "its indices follow no pattern",
                "at most 16 stretches of evenly spaced indices",
            ));
        }
        let mut pieces = Vec::new();
        for run in &runs {
            let mut stretches: Vec<(usize, i64, usize)> = dims.iter().map(|d| (0, 1, *d)).collect();
            stretches[axis] = *run;
            pieces.push(self.stretch(node, &view, &stretches)?);
        }
        let joined = self.joined(node, &pieces, axis)?;
        let target = [&dims[..axis], &shape, &dims[axis + 1..]].concat();
        let batch = view.batch.map(|b| if b > axis { b + shape.len() - 1 } else { b });
        if view.batch == Some(axis) {
            return self.regrouped(node, &joined, &target, None);
        }
        self.regrouped(node, &joined, &target, batch)
    }

    pub(super) fn concat(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let mut pieces = Vec::new();
        for index in 0..node.node.input.len() {
            pieces.push(self.value(node, index)?);
        }
        let Some(first) = pieces.first() else {
            return Err(node.shape("the operands", &[0], "at least one"));
        };
        let axis = node.axis(node.int("axis", 0), first.rank())?;
        if self.batch.counts() && first.batch == Some(axis) {
            return Err(node.refuse("it joins inferences", "join along an axis behind the batch axis"));
        }
        let rest = |view: &View| {
            let mut dims = view.dims();
            if axis < dims.len() {
                dims.remove(axis);
            }
            dims
        };
        if let Some(other) = pieces
            .iter()
            .find(|p| p.rank() != first.rank() || rest(p) != rest(first))
        {
            return Err(node.shape(
                "an operand",
                &other.dims(),
                &format!("{:?} but for axis {axis}", first.dims()),
            ));
        }
        if pieces.len() > limit::OPERANDS {
            return Err(node.refuse("it joins more than 16 values", "join them in steps"));
        }
        Ok(Operand::Value(self.joined(node, &pieces, axis)?))
    }

    /// Tensors behind one another along an axis.
    fn joined(&mut self, node: &Node<'_>, pieces: &[View], axis: usize) -> Result<View, OnnxError> {
        if let [one] = pieces {
            return Ok(one.clone());
        }
        let (first, mut order) = self.simple(node.at, &pieces[0])?;
        if !order.contains(&axis) {
            let place = order
                .iter()
                .position(|other| *other > axis)
                .unwrap_or(order.len());
            order.insert(place, axis);
        }
        let mut inputs = Vec::new();
        let mut dims = first.dims();
        dims[axis] = 0;
        for piece in pieces {
            let groups: Vec<Vec<usize>> = order.iter().map(|a| piece.axis(*a).to_vec()).collect();
            inputs.push(self.arranged(node.at, piece, &groups)?);
            dims[axis] += piece.dims()[axis];
        }
        let memory: Vec<usize> = order.iter().map(|a| dims[*a]).collect();
        let place = order.iter().position(|a| *a == axis).unwrap_or(0);
        let value = self.push(node.at, FloatOp::Concat { inputs, axis: place }, &memory)?;
        Ok(View::new(value, &dims, &order, first.batch))
    }

    pub(super) fn pad(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let mode = node.text("mode", "constant");
        if mode != "constant" {
            return Err(node.attribute("mode", mode, "constant"));
        }
        let pads = match node.ints("pads") {
            Some(pads) => pads.to_vec(),
            None => self.ints(node, 1)?,
        };
        let constant = if node.has_input(2) {
            self.scalar(node, 2)?
        } else {
            node.float("value", 0.0)?
        };
        let rank = view.rank();
        let axes = if node.has_input(3) {
            let axes = self.ints(node, 3)?;
            axes.iter()
                .map(|a| node.axis(*a, rank))
                .collect::<Result<Vec<_>, _>>()?
        } else {
            (0..rank).collect()
        };
        if pads.len() != 2 * axes.len() {
            return Err(node.shape("pads", &[pads.len()], "two numbers per axis"));
        }
        let mut ends = vec![(0i64, 0i64); rank];
        for (i, axis) in axes.iter().enumerate() {
            ends[*axis] = (pads[i], pads[i + axes.len()]);
        }
        if self.batch.counts() && view.batch.is_some_and(|b| ends[b] != (0, 0)) {
            return Err(node.refuse("it pads the batch axis", "pad the axes behind the batch axis"));
        }
        self.padded(node, &view, &ends, constant)
    }

    /// Negative numbers cut elements off.
    fn padded(
        &mut self,
        node: &Node<'_>,
        view: &View,
        ends: &[(i64, i64)],
        constant: f32,
    ) -> Result<Operand, OnnxError> {
        let dims = view.dims();
        let wrong = || OnnxError::Shape {
            at: node.at.clone(),
            operand: "pads",
            found: ends.iter().flat_map(|(a, b)| [*a, *b]).collect(),
            expected: "at most 2^22 elements on each side, and at least one left".to_owned(),
        };
        let fits = |end: &i64| (-(1 << 22)..=1 << 22).contains(end);
        if !ends.iter().all(|(a, b)| fits(a) && fits(b)) {
            return Err(wrong());
        }
        let cut = |end: i64| usize::try_from(-end).unwrap_or(0);
        let mut stretches = Vec::new();
        for (dim, (a, b)) in dims.iter().zip(ends) {
            let left = dim.checked_sub(cut(*a) + cut(*b)).filter(|left| *left > 0);
            stretches.push((cut(*a), 1, left.ok_or_else(wrong)?));
        }
        let view = self.stretch(node, view, &stretches)?;
        let grow = |end: i64| usize::try_from(end).unwrap_or(0);
        if ends.iter().all(|(a, b)| *a <= 0 && *b <= 0) {
            return Ok(Operand::Value(view));
        }
        let (view, mut order) = self.simple(node.at, &view)?;
        for (axis, end) in ends.iter().enumerate() {
            if !order.contains(&axis) && (end.0 > 0 || end.1 > 0) {
                let place = order
                    .iter()
                    .position(|other| *other > axis)
                    .unwrap_or(order.len());
                order.insert(place, axis);
            }
        }
        let mut grown = view.dims();
        let memory: Vec<usize> = order.iter().map(|axis| grown[*axis]).collect();
        let input = self.in_shape(node.at, view.value, &memory)?;
        for (dim, (a, b)) in grown.iter_mut().zip(ends) {
            *dim += grow(*a) + grow(*b);
        }
        let wide = |end: i64| u32::try_from(end).unwrap_or(0);
        let op = FloatOp::Pad {
            input,
            before: order.iter().map(|axis| wide(ends[*axis].0)).collect(),
            after: order.iter().map(|axis| wide(ends[*axis].1)).collect(),
            value: constant,
        };
        let memory: Vec<usize> = order.iter().map(|axis| grown[*axis]).collect();
        let value = self.push(node.at, op, &memory)?;
        Ok(Operand::Value(View::new(value, &grown, &order, view.batch)))
    }

    pub(super) fn expand(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let mut target = self.ints(node, 1)?;
        if self.batch.counts() && view.batch == Some(0) && target.len() == view.rank() {
            // The batch as the file sees it.
            if let Some(first) = target
                .first_mut()
                .filter(|first| self.batch == Batch::Fixed(**first))
            {
                *first = 1;
            }
        }
        let dims: Option<Vec<usize>> = target.iter().map(|d| usize::try_from(*d).ok()).collect();
        let target = dims
            .and_then(|dims| super::elementwise::broadcast(&view.dims(), &dims))
            .filter(|dims| crate::initializer::element_count(dims).is_some())
            .ok_or_else(|| OnnxError::Shape {
                at: node.at.clone(),
                operand: "the target",
                found: target.clone(),
                expected: format!("a shape that broadcasts with {:?}", view.dims()),
            })?;
        Ok(Operand::Value(self.expanded(node, &view, &target, None)?))
    }
}

/// The permutation of a Transpose; the axes reversed where none is given.
pub(super) fn permutation(node: &Node<'_>, rank: usize) -> Result<Vec<usize>, OnnxError> {
    let Some(given) = node.ints("perm") else {
        return Ok((0..rank).rev().collect());
    };
    let order: Vec<usize> = given
        .iter()
        .map(|a| usize::try_from(*a).unwrap_or(rank))
        .collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted.iter().copied().eq(0..rank) {
        return Ok(order);
    }
    Err(node.attribute("perm", format!("{given:?}"), "a permutation of the axes"))
}

/// Start, step and count of a slice of ONNX; `None` when it is empty or the step is 0.
pub(super) fn stretch(length: usize, start: i64, end: i64, step: i64) -> Option<(usize, i64, usize)> {
    let n = i64::try_from(length).ok()?;
    let from_front = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (start, end) = (from_front(start), from_front(end));
    let (start, distance) = if step > 0 {
        let start = start.clamp(0, n);
        (start, end.clamp(0, n) - start)
    } else {
        let start = start.clamp(0, n - 1);
        (start, start - end.clamp(-1, n - 1))
    };
    if step == 0 || distance <= 0 {
        return None;
    }
    let count = (distance - 1) / step.checked_abs()? + 1;
    Some((usize::try_from(start).ok()?, step, usize::try_from(count).ok()?))
}

/// Indices as evenly spaced stretches, greedily.
fn progressions(places: &[usize]) -> Vec<(usize, i64, usize)> {
    let mut runs: Vec<(usize, i64, usize)> = Vec::new();
    let mut last = 0i64;
    for place in places {
        let here = i64::try_from(*place).unwrap_or(0);
        match runs.last_mut() {
            Some(run) if run.2 == 1 && here != last => *run = (run.0, here - last, 2),
            Some(run) if run.2 > 1 && here - last == run.1 => run.2 += 1,
            _ => runs.push((*place, 1, 1)),
        }
        last = here;
    }
    runs
}

/// Replaces 0 (as in the input) and -1 (what remains); `None` when the elements do not fit. A counted batch axis is
/// left out of the count.
pub(super) fn resolve(from: &[usize], target: &[i64], keep_zero: bool, counted: bool) -> Option<Vec<usize>> {
    let elements: usize = from.iter().product();
    let mut dims = Vec::new();
    let mut inferred = None;
    for (index, dim) in target.iter().enumerate() {
        match *dim {
            _ if counted && index == 0 => dims.push(1),
            0 if !keep_zero => dims.push(*from.get(index)?),
            -1 if inferred.is_none() => {
                inferred = Some(index);
                dims.push(1);
            }
            dim => dims.push(usize::try_from(dim).ok().filter(|d| *d > 0)?),
        }
    }
    let known = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    if let Some(index) = inferred {
        *dims.get_mut(index)? = elements.checked_div(known)?;
    }
    let product = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    (product == elements).then_some(dims)
}
