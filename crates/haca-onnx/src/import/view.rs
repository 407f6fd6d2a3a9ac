//! How a tensor of the file shows a value of the float model.
//!
//! Values of the float model lie in memory the way integer ops want them: channels last. A tensor of the file has its
//! own order of axes. A [`View`] relates the two, so that Transpose, Reshape, Flatten and Squeeze of the file cost
//! nothing: they change the view. Only an op whose operand must lie otherwise in memory moves elements.

/// A tensor of the file as a permutation of the factors of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The value.
    pub(crate) value: usize,
    /// What the value's elements factor into, outermost first; no factor is 1.
    factors: Vec<usize>,
    /// For each axis of the tensor, the factors that it runs over, outermost first. An axis without factors has one
    /// index.
    axes: Vec<Vec<usize>>,
    /// The axis that counts inferences, of which there is one here.
    pub(crate) batch: Option<usize>,
}

impl View {
    /// A value whose memory holds the axes of a tensor of shape `dims` in the order `order`.
    pub(crate) fn new(value: usize, dims: &[usize], order: &[usize], batch: Option<usize>) -> Self {
        let mut factors = Vec::new();
        let mut axes = vec![Vec::new(); dims.len()];
        for axis in order {
            if dims[*axis] != 1 {
                axes[*axis].push(factors.len());
                factors.push(dims[*axis]);
            }
        }
        Self {
            value,
            factors,
            axes,
            batch,
        }
    }

    /// A value that lies as the tensor does.
    pub(crate) fn plain(value: usize, dims: &[usize], batch: Option<usize>) -> Self {
        Self::new(value, dims, &(0..dims.len()).collect::<Vec<_>>(), batch)
    }

    /// Shape of the tensor.
    pub(crate) fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| self.size(axis)).collect()
    }

    /// Number of axes of the tensor.
    pub(crate) fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The factors of an axis.
    pub(crate) fn axis(&self, axis: usize) -> &[usize] {
        &self.axes[axis]
    }

    /// Elements of some factors.
    pub(crate) fn size(&self, factors: &[usize]) -> usize {
        factors.iter().map(|f| self.factors[*f]).product()
    }

    pub(crate) fn elements(&self) -> usize {
        self.factors.iter().product()
    }

    /// Number of factors.
    pub(crate) fn factor_count(&self) -> usize {
        self.factors.len()
    }

    /// Whether two tensors of one shape lie the same way.
    pub(crate) fn lies_as(&self, other: &Self) -> bool {
        self.factors == other.factors && self.axes == other.axes
    }

    /// The same layout for another value.
    pub(crate) fn with_value(&self, value: usize) -> Self {
        Self {
            value,
            ..self.clone()
        }
    }

    /// For each element in memory, its row-major index in the tensor.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let mut strides = vec![0; self.factors.len()];
        let mut stride = 1;
        for factor in self.axes.iter().flatten().rev() {
            strides[*factor] = stride;
            stride *= self.factors[*factor];
        }
        let mut positions = vec![0];
        for (size, stride) in self.factors.iter().zip(strides) {
            positions = positions
                .iter()
                .flat_map(|p| (0..*size).map(move |i| p + i * stride))
                .collect();
        }
        positions
    }

    /// For each element in memory of one axis alone, its index on the axis. `axis_factors` are sorted as in memory.
    pub(crate) fn axis_positions(&self, axis: usize) -> Vec<usize> {
        let mut sorted = self.axes[axis].clone();
        sorted.sort_unstable();
        let rank = |factor: &usize| sorted.iter().position(|f| f == factor).unwrap_or(0);
        let alone = Self {
            value: self.value,
            factors: sorted.iter().map(|f| self.factors[*f]).collect(),
            axes: vec![self.axes[axis].iter().map(rank).collect()],
            batch: None,
        };
        alone.positions()
    }

    /// The axes of the tensor as they follow one another in memory, those of one index left out; `None` when an axis
    /// is not one stretch of memory steps.
    pub(crate) fn order(&self) -> Option<Vec<usize>> {
        let mut order = Vec::new();
        let mut next = 0;
        while next < self.factors.len() {
            let axis = self.axes.iter().position(|axis| axis.first() == Some(&next))?;
            for factor in &self.axes[axis] {
                if *factor != next {
                    return None;
                }
                next += 1;
            }
            order.push(axis);
        }
        Some(order)
    }

    /// The axes in another order.
    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        Self {
            axes: order.iter().map(|axis| self.axes[*axis].clone()).collect(),
            batch: self.batch.and_then(|b| order.iter().position(|axis| *axis == b)),
            ..self.clone()
        }
    }

    /// The same elements under another shape; `None` when an axis of it would run over part of a factor that can't be
    /// split.
    pub(crate) fn reshaped(&self, dims: &[usize], batch: Option<usize>) -> Option<Self> {
        let merged = self.merged();
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); merged.factors.len()];
        // Axes as pairs of a factor and a part of it.
        let mut axes: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut rest = merged.axes.iter().flatten().map(|f| (*f, merged.factors[*f]));
        let mut current = rest.next();
        for dim in dims {
            let mut need = *dim;
            let mut axis = Vec::new();
            while need > 1 {
                let (factor, size) = current?;
                let taken = if need.is_multiple_of(size) {
                    size
                } else if size.is_multiple_of(need) {
                    need
                } else {
                    return None;
                };
                axis.push((factor, parts[factor].len()));
                parts[factor].push(taken);
                need /= taken;
                current = if taken == size {
                    rest.next()
                } else {
                    Some((factor, size / taken))
                };
            }
            axes.push(axis);
        }
        if current.is_some() {
            return None;
        }
        let mut starts = Vec::new();
        let mut count = 0;
        for part in &parts {
            starts.push(count);
            count += part.len();
        }
        let number = |axis: Vec<(usize, usize)>| axis.iter().map(|(f, p)| starts[*f] + p).collect();
        Some(Self {
            value: self.value,
            axes: axes.into_iter().map(number).collect(),
            factors: parts.concat(),
            batch,
        })
    }

    /// Neighbouring factors that follow one another in the tensor as in memory become one.
    fn merged(&self) -> Self {
        let sequence: Vec<usize> = self.axes.iter().flatten().copied().collect();
        let runs = runs(&sequence);
        let mut sorted: Vec<&(usize, usize)> = runs.iter().collect();
        sorted.sort_unstable();
        let size = |(start, len): &(usize, usize)| self.factors[*start..start + len].iter().product();
        let number = |run| sorted.iter().position(|other| *other == run).unwrap_or(0);
        Self {
            value: self.value,
            factors: sorted.iter().map(|run| size(run)).collect(),
            axes: vec![runs.iter().map(number).collect()],
            batch: None,
        }
    }

    /// How the value has to be moved so that its factors lie in the order `order`: shape before, permutation. `None`
    /// when they do.
    pub(crate) fn movement(&self, order: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
        let runs = runs(order);
        if runs.len() <= 1 {
            return None;
        }
        let mut sorted = runs.clone();
        sorted.sort_unstable();
        let shape = sorted
            .iter()
            .map(|(start, len)| self.factors[*start..start + len].iter().product());
        let axes = runs
            .iter()
            .map(|run| sorted.iter().position(|other| other == run).unwrap_or(0));
        Some((shape.collect(), axes.collect()))
    }

    /// The permutation of the axes of memory, of lengths `memory`, that brings the factors into the order `order`;
    /// `None` when an axis of memory would come apart.
    pub(crate) fn permutation(&self, memory: &[usize], order: &[usize]) -> Option<Vec<usize>> {
        // The factors of each axis of memory, by their first one.
        let mut starts = Vec::new();
        let mut next = 0;
        for length in memory {
            let start = next;
            while self.factors.get(start..next)?.iter().product::<usize>() < *length {
                next += 1;
            }
            if next == start || self.factors[start..next].iter().product::<usize>() != *length {
                return None;
            }
            starts.push(start);
        }
        starts.push(next);
        let mut axes = Vec::new();
        let mut place = 0;
        while place < order.len() {
            let axis = starts[..memory.len()]
                .iter()
                .position(|start| *start == order[place])?;
            for factor in starts[axis]..starts[axis + 1] {
                if order.get(place) != Some(&factor) {
                    return None;
                }
                place += 1;
            }
            axes.push(axis);
        }
        Some(axes)
    }

    /// The view of a value that holds `leading` factors of this one in memory order, then one axis of `n`.
    pub(crate) fn with_last(&self, value: usize, axis: usize, leading: &[usize], n: usize) -> Self {
        let mut factors: Vec<usize> = leading.iter().map(|f| self.factors[*f]).collect();
        let rank = |factor: &usize| leading.iter().position(|f| f == factor);
        let mut axes: Vec<Vec<usize>> = self
            .axes
            .iter()
            .map(|factors| factors.iter().filter_map(rank).collect())
            .collect();
        axes[axis] = Vec::new();
        if n != 1 {
            axes[axis].push(factors.len());
            factors.push(n);
        }
        Self {
            value,
            factors,
            axes,
            batch: self.batch,
        }
    }

    /// The view of a value that holds the factors `order` in that order, axes `gone` reduced to one index.
    pub(crate) fn without(&self, value: usize, gone: &[usize], order: &[usize]) -> Self {
        let rank = |factor: &usize| order.iter().position(|f| f == factor);
        let kept = |(axis, factors): (usize, &Vec<usize>)| {
            if gone.contains(&axis) {
                Vec::new()
            } else {
                factors.iter().filter_map(rank).collect()
            }
        };
        Self {
            value,
            factors: order.iter().map(|f| self.factors[*f]).collect(),
            axes: self.axes.iter().enumerate().map(kept).collect(),
            batch: self.batch,
        }
    }

    /// The view without some axes, all of one index.
    pub(crate) fn squeezed(&self, gone: &[usize]) -> Self {
        let keep: Vec<usize> = (0..self.rank()).filter(|axis| !gone.contains(axis)).collect();
        self.transposed(&keep)
    }
}

/// Maximal runs of consecutive numbers: first and length.
fn runs(sequence: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in sequence {
        match runs.last_mut() {
            Some((start, len)) if *start + *len == *number => *len += 1,
            _ => runs.push((*number, 1)),
        }
    }
    runs
}
