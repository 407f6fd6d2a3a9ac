//! A node of the file with its attributes.

use crate::initializer::Constant;
use crate::proto::{AttributeProto, NodeProto};
use crate::{At, OnnxError};

/// A node with its attributes.
pub(crate) struct Node<'a> {
    pub(crate) at: &'a At,
    pub(crate) node: &'a NodeProto,
    /// Operator set of the file.
    pub(crate) opset: i64,
}

impl Node<'_> {
    pub(crate) fn find(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |a| a.i)
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.find(name).map(|a| a.ints.as_slice())
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.find(name).map_or_else(
            || default.to_owned(),
            |a| String::from_utf8_lossy(&a.s).into_owned(),
        )
    }

    pub(crate) fn float(&self, name: &'static str, default: f32) -> Result<f32, OnnxError> {
        let found = self.find(name).map_or(default, |a| a.f);
        if found.is_finite() {
            Ok(found)
        } else {
            Err(self.attribute(name, found.to_string(), "a finite number"))
        }
    }

    /// Whether the node has an input at `index`; optional ones may be left out or empty.
    pub(crate) fn has_input(&self, index: usize) -> bool {
        self.node.input.get(index).is_some_and(|name| !name.is_empty())
    }

    /// The value of a Constant node.
    pub(crate) fn constant(&self) -> Result<Constant, OnnxError> {
        let name = self.node.output.first().map_or("", String::as_str);
        let [attribute] = self.node.attribute.as_slice() else {
            return Err(self.attribute(
                "value",
                format!("one of {}", self.node.attribute.len()),
                "exactly one",
            ));
        };
        match attribute.name.as_str() {
            "value" => {
                let tensor = attribute.t.clone();
                let missing = OnnxError::Constant {
                    name: name.to_owned(),
                    reason: "it has no value",
                };
                Constant::read(name, tensor.ok_or(missing)?)
            }
            "value_float" => Ok(Constant::floats(name, vec![attribute.f])?.scalar()),
            "value_floats" => Constant::floats(name, attribute.floats.clone()),
            "value_int" => Ok(Constant::ints(vec![attribute.i]).scalar()),
            "value_ints" => Ok(Constant::ints(attribute.ints.clone())),
            other => Err(self.attribute("value", other.to_owned(), "a tensor, floats or ints")),
        }
    }

    /// An axis of a tensor of `rank` axes; negative ones count from behind.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, OnnxError> {
        let wide = i64::try_from(rank).unwrap_or(i64::MAX);
        let from_front = if axis < 0 { axis.saturating_add(wide) } else { axis };
        usize::try_from(from_front)
            .ok()
            .filter(|axis| *axis < rank)
            .ok_or_else(|| self.attribute("axis", axis.to_string(), "an axis of the input"))
    }

    pub(crate) fn refuse(&self, reason: &'static str, needed: &'static str) -> OnnxError {
        OnnxError::UnsupportedUse {
            at: self.at.clone(),
            reason,
            needed,
        }
    }

    pub(crate) fn attribute(
        &self,
        attribute: &'static str,
        found: String,
        expected: &'static str,
    ) -> OnnxError {
        OnnxError::Attribute {
            at: self.at.clone(),
            attribute,
            found,
            expected,
        }
    }

    pub(crate) fn shape(&self, operand: &'static str, found: &[usize], expected: &str) -> OnnxError {
        let found = found
            .iter()
            .map(|d| i64::try_from(*d).unwrap_or(i64::MAX))
            .collect();
        OnnxError::Shape {
            at: self.at.clone(),
            operand,
            found,
            expected: expected.to_owned(),
        }
    }
}
