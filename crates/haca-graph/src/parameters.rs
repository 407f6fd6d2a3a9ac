//! Declared and actual weights and biases.

use haca_wire::codec::put_list;
use haca_wire::{DType, DecodeError, Encode, Reader, Shape, Tensor, codec_struct};

use crate::{Graph, GraphError, Place, limit};

/// What is public about one parameter: element type, shape, and the range that registration proves its elements
/// to lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// Element type: int8 for weights, int32 for biases.
    pub dtype: DType,
    /// Shape: `[n, k]` or `[n, kh, kw, c / groups]` for weights, `[n]` for biases.
    pub shape: Shape,
    /// Smallest element.
    pub low: i64,
    /// Largest element.
    pub high: i64,
}
codec_struct!(ParamSpec {
    dtype,
    shape,
    low,
    high
});

impl ParamSpec {
    /// The declared range is not empty and lies in the element type.
    pub(crate) fn check(&self, place: Place) -> Result<(), GraphError> {
        let (low, high) = self.dtype.range();
        for found in [self.low, self.high] {
            if !(low..=high).contains(&found) {
                return Err(GraphError::Range {
                    place,
                    found,
                    low,
                    high,
                });
            }
        }
        if self.low > self.high {
            return Err(GraphError::Range {
                place,
                found: self.low,
                low,
                high: self.high,
            });
        }
        Ok(())
    }
}

/// The weights and biases of one graph, in the order of its [`ParamSpec`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters(Vec<Tensor>);

impl Parameters {
    /// Checks number, element types, shapes and declared ranges against `graph`.
    pub fn new(graph: &Graph, tensors: Vec<Tensor>) -> Result<Self, GraphError> {
        let parameters = Self(tensors);
        parameters.check_shapes(graph)?;
        for (index, (tensor, spec)) in parameters.0.iter().zip(graph.params()).enumerate() {
            let place = Place::Param(index);
            let (low, high) = (spec.low, spec.high);
            if let Some(found) = tensor
                .values()
                .iter()
                .copied()
                .find(|v| !(low..=high).contains(v))
            {
                return Err(GraphError::Range {
                    place,
                    found,
                    low,
                    high,
                });
            }
        }
        Ok(parameters)
    }

    /// Number, element types and shapes are those that `graph` declares.
    pub(crate) fn check_shapes(&self, graph: &Graph) -> Result<(), GraphError> {
        let (found, expected) = (self.0.len(), graph.params().len());
        if found != expected {
            let place = Place::Param(found.min(expected));
            return Err(GraphError::Length {
                place,
                what: "parameters",
                found,
                expected,
            });
        }
        for (index, (tensor, spec)) in self.0.iter().zip(graph.params()).enumerate() {
            check_tensor(Place::Param(index), tensor, spec.dtype, &spec.shape)?;
        }
        Ok(())
    }

    /// The tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    /// Reads the parameters of `graph` and checks them as [`Parameters::new`] does.
    pub fn decode_for(graph: &Graph, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tensors: Vec<Tensor> = reader.list("parameters", limit::PARAMS)?;
        Ok(Self::new(graph, tensors)?)
    }
}

impl Encode for Parameters {
    fn encode_into(&self, out: &mut Vec<u8>) {
        put_list(out, &self.0);
    }
}

/// Element type and shape are as asked for.
pub(crate) fn check_tensor(
    place: Place,
    tensor: &Tensor,
    dtype: DType,
    shape: &Shape,
) -> Result<(), GraphError> {
    if tensor.dtype() != dtype {
        return Err(GraphError::ElementType {
            place,
            found: tensor.dtype(),
            expected: dtype,
        });
    }
    if tensor.shape() != shape {
        let (found, expected) = (tensor.shape().clone(), shape.clone());
        return Err(GraphError::Shape {
            place,
            found,
            expected,
        });
    }
    Ok(())
}
