//! The op set, and how ops name values and parameters.

mod encoding;

use haca_wire::{Shape, codec_struct};

use crate::{Function, limit};

/// A value by index: the inputs first, then the value of each node in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

/// A parameter by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub u32);

/// How a window moves along one spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAxis {
    /// Taps.
    pub kernel: u32,
    /// Distance between neighbouring windows.
    pub stride: u32,
    /// Distance between neighbouring taps.
    pub dilation: u32,
    /// Padding in front of the first element.
    pub before: u32,
    /// Padding behind the last element.
    pub after: u32,
}
codec_struct!(WindowAxis {
    kernel,
    stride,
    dilation,
    before,
    after
});

impl WindowAxis {
    /// Number of windows over `length` elements; `None` when a number is outside its limit, the padding on one side
    /// is not shorter than the reach of the taps, or no window fits.
    pub fn count(&self, length: u32) -> Option<u32> {
        let extent = limit::WINDOW;
        let sound = |v: u32| (1..=extent).contains(&v);
        if !sound(self.kernel) || !sound(self.stride) || !sound(self.dilation) {
            return None;
        }
        let reach = self
            .kernel
            .checked_sub(1)?
            .checked_mul(self.dilation)?
            .checked_add(1)?;
        if self.before >= reach || self.after >= reach || reach > extent {
            return None;
        }
        let padded = length.checked_add(self.before)?.checked_add(self.after)?;
        let room = padded.checked_sub(reach)?;
        room.checked_div(self.stride)?.checked_add(1)
    }

    /// The element under tap `tap` of window `window` over `length` elements; `None` in the padding.
    pub fn element(&self, window: u32, tap: u32, length: u32) -> Option<u32> {
        let from_start = window
            .checked_mul(self.stride)?
            .checked_add(tap.checked_mul(self.dilation)?)?;
        from_start
            .checked_sub(self.before)
            .filter(|index| *index < length)
    }

    /// Whether each of the [`WindowAxis::count`] windows over `length` elements has a tap on an element.
    pub(crate) fn has_no_empty_window(&self, length: u32) -> bool {
        // A window that starts at or behind the first element ends less than one reach of taps behind the last one,
        // and `after` is shorter than the reach: so its first tap is on an element.
        let windows = self.count(length).unwrap_or(0);
        let early = windows.min(self.before.div_ceil(self.stride.max(1)));
        (0..early).all(|window| {
            let start = window.saturating_mul(self.stride);
            // The first tap behind the padding, and no other, lies nearest to the first element.
            let tap = self.before.saturating_sub(start).div_ceil(self.dilation.max(1));
            tap < self.kernel && self.element(window, tap, length).is_some()
        })
    }
}

/// How a window moves over the two spatial axes of a value `[h, w, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Along the first axis.
    pub height: WindowAxis,
    /// Along the second axis.
    pub width: WindowAxis,
}
codec_struct!(Window { height, width });

/// One term of a weighted sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// An int8 value, or accumulators for which [`Op::makes_terms`] holds.
    pub value: ValueId,
    /// What it is multiplied by.
    pub coefficient: i32,
}
codec_struct!(Term { value, coefficient });

/// A stretch of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First index.
    pub start: u32,
    /// Distance between neighbouring indices; negative to walk backwards, never zero.
    pub step: i32,
    /// How many indices.
    pub count: u32,
}
codec_struct!(Stretch { start, step, count });

/// One op. The semantics are those of `spec/graph.md`; each makes exactly one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `acc_pi = bias_i + sum_j weight_ij * input_pj`, exact: int8 `[.., k]` to int32 `[.., n]`.
    Linear {
        /// An int8 value `[.., k]`.
        input: ValueId,
        /// An int8 matrix `[n, k]`.
        weight: ParamId,
        /// An int32 vector `[n]`.
        bias: ParamId,
    },
    /// `q_i = clamp((acc_i * M_i + 2^(shift-1)) >> shift, low, high)`: int32 accumulators to int8. The shift is
    /// arithmetic, so the rounding is half up. `low = 0` makes it a ReLU.
    Requantise {
        /// Accumulators: the value of an op for which [`Op::makes_accumulators`] holds.
        input: ValueId,
        /// One multiplier for all channels, or one per channel of the last axis; each below `2^31`.
        multipliers: Vec<u32>,
        /// Common right shift, 1 to 60.
        shift: u8,
        /// Smallest result.
        low: i8,
        /// Largest result.
        high: i8,
    },
    /// Index of the largest element along the last axis, the lowest index on a tie: `[.., n]` to int32 `[..]`.
    ArgMax {
        /// A value that is an output of the graph, so that a verifier recomputes the index from it.
        input: ValueId,
    },
    /// The same elements, row-major, under another shape.
    Reshape {
        /// Any value.
        input: ValueId,
        /// A shape with as many elements.
        shape: Shape,
    },
    /// `acc_(y,x,i) = bias_i + sum weight_(i,a,b,j) * input_(y',x',j')` over taps `(a, b)` and the channels `j` of the
    /// group of `i`; outside the input stands 0. int8 `[h, w, c]` to int32 `[oh, ow, n]`.
    Convolve {
        /// An int8 value `[h, w, c]`.
        input: ValueId,
        /// An int8 parameter `[n, kh, kw, c / groups]`.
        weight: ParamId,
        /// An int32 vector `[n]`.
        bias: ParamId,
        /// Kernel, stride, dilation and padding.
        window: Window,
        /// Groups of channels; `c` for a depthwise convolution.
        groups: u32,
    },
    /// The sum of each channel over each window; outside the input stands 0. int8 `[h, w, c]` to int32 `[oh, ow, c]`.
    WindowSum {
        /// An int8 value `[h, w, c]`.
        input: ValueId,
        /// Kernel, stride, dilation and padding.
        window: Window,
    },
    /// The largest element of each channel in each window; padding is ignored. int8 `[h, w, c]` to int8 `[oh, ow, c]`.
    WindowMax {
        /// An int8 value `[h, w, c]`.
        input: ValueId,
        /// Kernel, stride, dilation and padding.
        window: Window,
    },
    /// `sum_t coefficient_t * value_t`, element by element: int8 values and accumulators of one shape to int32.
    Sum {
        /// 1 to 16 terms.
        terms: Vec<Term>,
    },
    /// `left * right`, element by element: int8 values of one shape to int32.
    Product {
        /// An int8 value.
        left: ValueId,
        /// An int8 value of the same shape.
        right: ValueId,
    },
    /// A function of requantised accumulators, by a table: with `y = (acc * M + 2^(shift-1)) >> shift`,
    /// `q = table[clamp(y, low, high)]`.
    Activate {
        /// Accumulators, as for [`Op::Requantise`].
        input: ValueId,
        /// One multiplier for all channels, or one per channel of the last axis; each below `2^31`.
        multipliers: Vec<u32>,
        /// Common right shift, 1 to 60.
        shift: u8,
        /// The function, the scales of its argument and result, and the arguments it has a table for.
        function: Function,
    },
    /// Axis `i` of the value is axis `axes[i]` of the input.
    Transpose {
        /// An int8 value.
        input: ValueId,
        /// A permutation of the axes.
        axes: Vec<u8>,
    },
    /// A stretch of each axis.
    Slice {
        /// An int8 value.
        input: ValueId,
        /// One stretch per axis.
        stretches: Vec<Stretch>,
    },
    /// Values behind one another along one axis.
    Concat {
        /// 1 to 16 int8 values that differ in `axis` only.
        inputs: Vec<ValueId>,
        /// The axis.
        axis: u8,
    },
    /// A constant around the input.
    Pad {
        /// An int8 value.
        input: ValueId,
        /// Elements in front, per axis.
        before: Vec<u32>,
        /// Elements behind, per axis.
        after: Vec<u32>,
        /// The constant.
        value: i8,
    },
    /// Axes of one element repeated.
    Expand {
        /// An int8 value.
        input: ValueId,
        /// The shape: each axis is the input's, or any length where the input's is 1.
        shape: Shape,
    },
}

impl Op {
    /// The values the op reads, in order.
    pub fn inputs(&self) -> Vec<ValueId> {
        match self {
            Self::Linear { input, .. }
            | Self::Requantise { input, .. }
            | Self::ArgMax { input }
            | Self::Reshape { input, .. }
            | Self::Convolve { input, .. }
            | Self::WindowSum { input, .. }
            | Self::WindowMax { input, .. }
            | Self::Activate { input, .. }
            | Self::Transpose { input, .. }
            | Self::Slice { input, .. }
            | Self::Pad { input, .. }
            | Self::Expand { input, .. } => vec![*input],
            Self::Product { left, right } => vec![*left, *right],
            Self::Sum { terms } => terms.iter().map(|term| term.value).collect(),
            Self::Concat { inputs, .. } => inputs.clone(),
        }
    }

    /// The parameters the op reads: weight and bias.
    pub const fn params(&self) -> Option<(ParamId, ParamId)> {
        match self {
            Self::Linear { weight, bias, .. } | Self::Convolve { weight, bias, .. } => Some((*weight, *bias)),
            _ => None,
        }
    }

    /// Whether the value is an int32 sum: what a requantisation reads.
    pub const fn makes_accumulators(&self) -> bool {
        matches!(
            self,
            Self::Linear { .. }
                | Self::Convolve { .. }
                | Self::WindowSum { .. }
                | Self::Sum { .. }
                | Self::Product { .. }
        )
    }

    /// Whether the value may be a term of a Sum without being int8: sums of sums are written as one.
    pub const fn makes_terms(&self) -> bool {
        self.makes_accumulators() && !matches!(self, Self::Sum { .. })
    }

    /// The name of the op in `spec/graph.md` and in messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "Linear",
            Self::Requantise { .. } => "Requantise",
            Self::ArgMax { .. } => "ArgMax",
            Self::Reshape { .. } => "Reshape",
            Self::Convolve { .. } => "Convolve",
            Self::WindowSum { .. } => "WindowSum",
            Self::WindowMax { .. } => "WindowMax",
            Self::Sum { .. } => "Sum",
            Self::Product { .. } => "Product",
            Self::Activate { .. } => "Activate",
            Self::Transpose { .. } => "Transpose",
            Self::Slice { .. } => "Slice",
            Self::Concat { .. } => "Concat",
            Self::Pad { .. } => "Pad",
            Self::Expand { .. } => "Expand",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WindowAxis;

    /// The windows that are looked at are enough: against every tap of every window.
    #[test]
    fn empty_windows_are_found() {
        let (mut empty, mut full) = (0, 0);
        let numbers = |most: u32| 0..=most;
        for (kernel, stride, dilation) in
            (1..5).flat_map(|k| (1..5).flat_map(move |s| (1..5).map(move |d| (k, s, d))))
        {
            for (before, after) in numbers(13).flat_map(|b| numbers(13).map(move |a| (b, a))) {
                for length in 1..7 {
                    let axis = WindowAxis {
                        kernel,
                        stride,
                        dilation,
                        before,
                        after,
                    };
                    let Some(windows) = axis.count(length) else {
                        continue;
                    };
                    let has_element = |w| (0..kernel).any(|tap| axis.element(w, tap, length).is_some());
                    let expected = (0..windows).all(has_element);
                    assert_eq!(
                        axis.has_no_empty_window(length),
                        expected,
                        "{axis:?} over {length}"
                    );
                    *(if expected { &mut full } else { &mut empty }) += 1;
                }
            }
        }
        assert!(
            empty > 100 && full > 100,
            "{empty} with an empty window, {full} without"
        );
    }
}
