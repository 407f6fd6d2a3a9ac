//! Ops that only move elements: which element of which operand stands where. Step G7 of `spec/graph.md`.

use haca_wire::Shape;

use crate::{Op, Stretch};

/// What stands in one element of an arranged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// An element of an operand: the operand's place among [`Op::inputs`], the row-major index.
    Element(u8, u32),
    /// A constant.
    Constant(i8),
}

/// The dimensions of an arranged value, which may be too many elements for a shape; `None` when the op's numbers do
/// not fit its operands, or it is no arrangement.
pub(crate) fn dims(op: &Op, operands: &[&Shape]) -> Option<Vec<u32>> {
    let first = operands.first()?.dims();
    match op {
        Op::Reshape { shape, .. } => {
            (shape.elements() == operands.first()?.elements()).then(|| shape.dims().to_vec())
        }
        Op::Transpose { axes, .. } => {
            let mut seen = vec![false; first.len()];
            for axis in axes {
                let flag = seen.get_mut(usize::from(*axis))?;
                if core::mem::replace(flag, true) {
                    return None;
                }
            }
            let dims = axes.iter().map(|axis| first.get(usize::from(*axis)).copied());
            let dims = dims.collect::<Option<Vec<_>>>()?;
            (dims.len() == first.len()).then_some(dims)
        }
        Op::Slice { stretches, .. } => {
            let fits = stretches.len() == first.len()
                && stretches
                    .iter()
                    .zip(first)
                    .all(|(stretch, dim)| stretch.is_inside(*dim));
            fits.then(|| stretches.iter().map(|stretch| stretch.count).collect())
        }
        Op::Concat { axis, .. } => {
            let mut dims = first.to_vec();
            let axis = usize::from(*axis);
            let mut total = 0u32;
            for operand in operands {
                let mut other = operand.dims().to_vec();
                let along = other.get_mut(axis)?;
                total = total.saturating_add(*along);
                *along = *first.get(axis)?;
                if other != first {
                    return None;
                }
            }
            *dims.get_mut(axis)? = total;
            Some(dims)
        }
        Op::Pad { before, after, .. } => {
            if before.len() != first.len() || after.len() != first.len() {
                return None;
            }
            let sums = first.iter().zip(before).zip(after);
            Some(
                sums.map(|((dim, b), a)| dim.saturating_add(*b).saturating_add(*a))
                    .collect(),
            )
        }
        Op::Expand { shape, .. } => {
            let fits = shape.dims().len() == first.len()
                && shape
                    .dims()
                    .iter()
                    .zip(first)
                    .all(|(to, from)| to == from || *from == 1);
            fits.then(|| shape.dims().to_vec())
        }
        _ => None,
    }
}

impl Stretch {
    /// Whether every index lies below `length`.
    fn is_inside(&self, length: u32) -> bool {
        let steps = i64::from(self.count).saturating_sub(1).max(0);
        let last = i64::from(self.start).saturating_add(steps.saturating_mul(i64::from(self.step)));
        self.count > 0 && self.step != 0 && self.start < length && (0..i64::from(length)).contains(&last)
    }
}

/// What stands in each element of the value of `op`, row-major. The shapes have been checked.
pub(crate) fn cells(op: &Op, operands: &[&Shape], value: &Shape) -> Vec<Cell> {
    let dims = value.dims();
    let mut position = vec![0u32; dims.len()];
    let mut source = position.clone();
    let mut cells = Vec::with_capacity(value.elements());
    let strides: Vec<Vec<u32>> = operands.iter().map(|shape| row_major(shape)).collect();
    for index in 0..value.elements() {
        cells.push(match op {
            Op::Reshape { .. } => Cell::Element(0, u32::try_from(index).unwrap_or(u32::MAX)),
            _ => {
                source.copy_from_slice(&position);
                cell(op, operands, &strides, &position, &mut source)
            }
        });
        // The next position in row-major order.
        for (coordinate, dim) in position.iter_mut().zip(dims).rev() {
            *coordinate = coordinate.saturating_add(1);
            if *coordinate < *dim {
                break;
            }
            *coordinate = 0;
        }
    }
    cells
}

fn row_major(shape: &Shape) -> Vec<u32> {
    let (mut stride, mut strides) = (1u32, Vec::new());
    for dim in shape.dims().iter().rev() {
        strides.push(stride);
        stride = stride.saturating_mul(*dim);
    }
    strides.reverse();
    strides
}

/// What stands at `position`, of which `source` is a copy.
fn cell(op: &Op, operands: &[&Shape], strides: &[Vec<u32>], position: &[u32], source: &mut [u32]) -> Cell {
    let mut operand = 0usize;
    match op {
        Op::Transpose { axes, .. } => {
            for (coordinate, axis) in position.iter().zip(axes) {
                set(source, usize::from(*axis), *coordinate);
            }
        }
        Op::Slice { stretches, .. } => {
            for (coordinate, stretch) in source.iter_mut().zip(stretches) {
                let moved = i64::from(*coordinate).saturating_mul(i64::from(stretch.step));
                let index = i64::from(stretch.start).saturating_add(moved);
                *coordinate = u32::try_from(index).unwrap_or(0);
            }
        }
        Op::Concat { axis, .. } => {
            let axis = usize::from(*axis);
            let mut along = position.get(axis).copied().unwrap_or(0);
            for shape in operands {
                let length = shape.dims().get(axis).copied().unwrap_or(0);
                match along.checked_sub(length) {
                    Some(rest) => along = rest,
                    None => break,
                }
                operand = operand.saturating_add(1);
            }
            set(source, axis, along);
        }
        Op::Pad { before, value, .. } => {
            let dims = operands.first().map_or(&[][..], |shape| shape.dims());
            for ((coordinate, before), dim) in source.iter_mut().zip(before).zip(dims) {
                match coordinate.checked_sub(*before).filter(|inside| inside < dim) {
                    Some(inside) => *coordinate = inside,
                    None => return Cell::Constant(*value),
                }
            }
        }
        Op::Expand { .. } => {
            let dims = operands.first().map_or(&[][..], |shape| shape.dims());
            for (coordinate, dim) in source.iter_mut().zip(dims) {
                if *dim == 1 {
                    *coordinate = 0;
                }
            }
        }
        _ => {}
    }
    let strides = strides.get(operand).map_or(&[][..], Vec::as_slice);
    let terms = source.iter().zip(strides);
    let index = terms.fold(0u32, |sum, (c, s)| sum.saturating_add(c.saturating_mul(*s)));
    Cell::Element(u8::try_from(operand).unwrap_or(u8::MAX), index)
}

fn set(position: &mut [u32], axis: usize, value: u32) {
    if let Some(coordinate) = position.get_mut(axis) {
        *coordinate = value;
    }
}
