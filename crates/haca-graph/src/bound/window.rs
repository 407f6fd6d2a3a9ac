//! Convolution and pooling.

use haca_wire::DType;

use super::{ValueType, accumulator_range, accumulators, mismatch, same_type};
use crate::graph::Scope;
use crate::{GraphError, ParamId, ParamSpec, Place, ValueId, Window};

/// Height, width and channels of an int8 value, and the number of windows along height and width.
struct Geometry {
    channels: u32,
    windows: [u32; 2],
    /// Range of an element, with the zero of the padding where there is padding.
    range: (i64, i64),
}

fn geometry(scope: &Scope<'_>, input: ValueId, window: &Window) -> Result<Geometry, GraphError> {
    let place = scope.place();
    let value = scope.value(input)?;
    same_type(place, value.dtype, DType::I8)?;
    let &[height, width, channels] = value.shape.dims() else {
        return Err(GraphError::Rank {
            place,
            found: value.shape.dims().len(),
            expected: 3,
        });
    };
    let count = |axis: &crate::WindowAxis, length| axis.count(length).ok_or(GraphError::Window { place });
    let windows = [count(&window.height, height)?, count(&window.width, width)?];
    let axes = [window.height, window.width];
    let is_padded = axes.iter().any(|axis| axis.before > 0 || axis.after > 0);
    let (low, high) = (value.low, value.high);
    Ok(Geometry {
        channels,
        windows,
        range: if is_padded {
            (low.min(0), high.max(0))
        } else {
            (low, high)
        },
    })
}

fn taps(window: &Window) -> i64 {
    i64::from(window.height.kernel).saturating_mul(i64::from(window.width.kernel))
}

pub(super) fn convolve(
    scope: &Scope<'_>,
    input: ValueId,
    (weight, bias): (ParamId, ParamId),
    window: &Window,
    groups: u32,
) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let geometry = geometry(scope, input, window)?;
    let (w, b) = (scope.param(weight)?, scope.param(bias)?);
    same_type(place, w.dtype, DType::I8)?;
    same_type(place, b.dtype, DType::I32)?;
    let n = filters(place, w)?;
    let per_group = geometry.channels.checked_div(groups).unwrap_or(0);
    let is_split =
        per_group.checked_mul(groups) == Some(geometry.channels) && n.checked_rem(groups) == Some(0);
    if !is_split {
        return Err(GraphError::Groups {
            place,
            found: groups,
            channels: geometry.channels,
            filters: n,
        });
    }
    let (height, width) = (window.height.kernel, window.width.kernel);
    if w.shape.dims() != [n, height, width, per_group] {
        return Err(mismatch(place, &w.shape, vec![n, height, width, per_group]));
    }
    if b.shape.dims() != [n] {
        return Err(mismatch(place, &b.shape, vec![n]));
    }
    let products = taps(window).saturating_mul(i64::from(per_group));
    let range = accumulator_range(products, geometry.range, w, b);
    let [rows, columns] = geometry.windows;
    accumulators(place, vec![rows, columns, n], range)
}

fn filters(place: Place, weight: &ParamSpec) -> Result<u32, GraphError> {
    match weight.shape.dims() {
        [n, _, _, _] => Ok(*n),
        dims => Err(GraphError::Rank {
            place,
            found: dims.len(),
            expected: 4,
        }),
    }
}

pub(super) fn sum(scope: &Scope<'_>, input: ValueId, window: &Window) -> Result<ValueType, GraphError> {
    let geometry = geometry(scope, input, window)?;
    let [rows, columns] = geometry.windows;
    let (low, high) = geometry.range;
    let range = (
        taps(window).saturating_mul(low),
        taps(window).saturating_mul(high),
    );
    accumulators(scope.place(), vec![rows, columns, geometry.channels], range)
}

pub(super) fn max(scope: &Scope<'_>, input: ValueId, window: &Window) -> Result<ValueType, GraphError> {
    let place = scope.place();
    let geometry = geometry(scope, input, window)?;
    let value = scope.value(input)?;
    let lengths = value.shape.dims().iter().copied();
    for (axis, length) in [window.height, window.width].iter().zip(lengths) {
        if !axis.has_no_empty_window(length) {
            return Err(GraphError::Window { place });
        }
    }
    let [rows, columns] = geometry.windows;
    let shape = haca_wire::Shape::new(vec![rows, columns, geometry.channels]);
    Ok(ValueType {
        shape: shape.ok_or(GraphError::TooLarge { place })?,
        ..value.clone()
    })
}
