//! Clamps and functions of one value.

use super::{Importer, Node, Operand, View};
use crate::OnnxError;
use crate::float_model::{FloatFunction, FloatOp};

impl Importer {
    pub(super) fn clamp(&mut self, node: &Node<'_>, low: f32, high: f32) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        self.clamped(node, &view, low, high)
    }

    fn clamped(&mut self, node: &Node<'_>, view: &View, low: f32, high: f32) -> Result<Operand, OnnxError> {
        if low == f32::NEG_INFINITY && high == f32::INFINITY {
            return Ok(Operand::Value(view.clone()));
        }
        if low.is_nan() || high.is_nan() || low > high {
            return Err(node.attribute(
                "min and max",
                format!("{low} and {high}"),
                "a range that is not empty",
            ));
        }
        let dims = self.memory(view.value);
        let op = FloatOp::Clamp {
            input: view.value,
            low,
            high,
        };
        let value = self.push(node.at, op, &dims)?;
        Ok(Operand::Value(view.with_value(value)))
    }

    pub(super) fn clip(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let mut ends = [f32::NEG_INFINITY, f32::INFINITY];
        for (index, (end, name)) in ends.iter_mut().zip(["min", "max"]).enumerate() {
            if node.has_input(index + 1) {
                *end = self.scalar(node, index + 1)?;
            } else if let Some(attribute) = node.find(name) {
                *end = attribute.f;
            }
        }
        // The defaults of old operator sets are the ends of float32.
        let [low, high] = ends;
        let low = if low <= f32::MIN { f32::NEG_INFINITY } else { low };
        let high = if high >= f32::MAX { f32::INFINITY } else { high };
        self.clamp(node, low, high)
    }

    /// Min and Max of one value and constants.
    pub(super) fn extreme(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let mut value = None;
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        for index in 0..node.node.input.len() {
            if matches!(self.operand(node, index)?, Operand::Constant(_)) {
                let bound = self.scalar(node, index)?;
                if node.at.op == "Max" {
                    low = low.max(bound);
                } else {
                    high = high.min(bound);
                }
            } else if value.replace(self.value(node, index)?).is_some() {
                return Err(node.refuse(
                    "it compares two values",
                    "a comparison; one value and constants are a clamp",
                ));
            }
        }
        let view = value.ok_or_else(|| node.refuse("it reads no value", "fold the constants"))?;
        self.clamped(node, &view, low, high)
    }

    pub(super) fn function(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let function = match node.at.op.as_str() {
            "LeakyRelu" => {
                let slope = node.float("alpha", 0.01)?;
                if slope < 0.0 {
                    return Err(node.attribute("alpha", slope.to_string(), "0 or more"));
                }
                if slope == 0.0 {
                    return self.clamped(node, &view, 0.0, f32::INFINITY);
                }
                FloatFunction::LeakyRelu { slope }
            }
            "Sigmoid" => FloatFunction::Sigmoid,
            "Tanh" => FloatFunction::Tanh,
            "Softplus" => FloatFunction::Softplus,
            "HardSwish" => FloatFunction::HardSwish,
            "Gelu" if node.text("approximate", "none") == "tanh" => FloatFunction::GeluTanh,
            "Gelu" => FloatFunction::Gelu,
            "HardSigmoid" => {
                let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
                if alpha <= 0.0 || beta <= 0.0 {
                    return Err(node.attribute("alpha and beta", format!("{alpha} and {beta}"), "above 0"));
                }
                FloatFunction::HardSigmoid { alpha, beta }
            }
            "Swish" if node.float("alpha", 1.0)? == 1.0 => FloatFunction::Silu,
            "Swish" => return Err(node.attribute("alpha", node.float("alpha", 1.0)?.to_string(), "1")),
            _ => FloatFunction::Erf,
        };
        self.apply(node, &view, function)
    }

    pub(super) fn apply(
        &mut self,
        node: &Node<'_>,
        view: &View,
        function: FloatFunction,
    ) -> Result<Operand, OnnxError> {
        let dims = self.memory(view.value);
        let op = FloatOp::Function {
            name: node.at.node.clone(),
            input: view.value,
            function,
        };
        let value = self.push(node.at, op, &dims)?;
        Ok(Operand::Value(view.with_value(value)))
    }
}
