//! What one inference costs: step G2 of `spec/graph.md`.

use super::at_most;
use crate::bound::ValueType;
use crate::{GraphError, Op, ParamSpec, limit};

/// Products of weights that the value of `op` takes; padding counts.
pub(super) fn products(op: &Op, value: &ValueType, params: &[ParamSpec]) -> u64 {
    let Some(weight) = op.params().and_then(|(weight, _)| params.get(weight.0 as usize)) else {
        return 0;
    };
    let filters = weight.shape.dims().first().map_or(1, |n| u64::from(*n));
    let filter = (weight.shape.elements() as u64).checked_div(filters).unwrap_or(0);
    filter.saturating_mul(value.shape.elements() as u64)
}

/// What one inference costs, summed up while nodes are checked, so that a hostile graph is refused early.
#[derive(Default)]
pub(super) struct Cost {
    elements: usize,
    work: u64,
}

impl Cost {
    pub(super) fn add_value(&mut self, value: &ValueType) -> Result<(), GraphError> {
        self.elements = self.elements.saturating_add(value.shape.elements());
        at_most("elements of values", self.elements, limit::VALUE_ELEMENTS)
    }

    pub(super) fn add_work(
        &mut self,
        op: &Op,
        value: &ValueType,
        params: &[ParamSpec],
    ) -> Result<(), GraphError> {
        let taps = match op {
            Op::WindowSum { window, .. } | Op::WindowMax { window, .. } => {
                u64::from(window.height.kernel).saturating_mul(u64::from(window.width.kernel))
            }
            _ => 0,
        };
        let taps = taps.saturating_mul(value.shape.elements() as u64);
        let work = products(op, value, params).saturating_add(taps);
        self.work = self.work.saturating_add(work);
        if self.work > limit::WORK {
            return Err(GraphError::Count {
                what: "products and window taps",
                found: usize::try_from(self.work).unwrap_or(usize::MAX),
                expected: usize::try_from(limit::WORK).unwrap_or(usize::MAX),
            });
        }
        Ok(())
    }
}
