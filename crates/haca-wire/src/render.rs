//! Render v1, for `/v1/infer`: the pure function from request bytes to input tensors, and from output tensors to
//! response bytes (`spec/wire.md`, step W8). Decimals are parsed exactly and quantised without floating point.

mod decimal;
mod json;

pub use decimal::Decimal;

use thiserror::Error;

use crate::id::{ModelId, RequestHash, ResponseHash};
use crate::limit;
use crate::quant::{Name, TensorSpec};
use crate::tensor::Tensor;
use json::Parser;

/// BLAKE3 of the request bytes as they crossed the wire.
pub fn request_hash(bytes: &[u8]) -> RequestHash {
    RequestHash(*blake3::hash(bytes).as_bytes())
}

/// BLAKE3 of the response bytes as they crossed the wire.
pub fn response_hash(bytes: &[u8]) -> ResponseHash {
    ResponseHash(*blake3::hash(bytes).as_bytes())
}

/// Why bytes are not a request that a model can answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// Longer than [`limit::BODY_BYTES`].
    #[error("the request has {found} bytes, at most {expected} are allowed")]
    TooLong {
        /// Length.
        found: usize,
        /// Limit.
        expected: usize,
    },
    /// Not the JSON that is expected at this place.
    #[error("expected {expected} at byte {offset}")]
    Syntax {
        /// Where.
        offset: usize,
        /// What.
        expected: &'static str,
    },
    /// A key without meaning here. Nothing is dropped silently.
    #[error("unknown key {found:?}; known here are {expected}")]
    UnknownKey {
        /// The key.
        found: String,
        /// The keys with a meaning.
        expected: &'static str,
    },
    /// A key or an input that stands twice.
    #[error("{found:?} stands twice")]
    Duplicate {
        /// Which.
        found: String,
    },
    /// A key or an input that is missing.
    #[error("{expected:?} is missing")]
    Missing {
        /// Which.
        expected: String,
    },
    /// An input that the model does not have.
    #[error("the model has no input {found:?}")]
    UnknownInput {
        /// Its name.
        found: String,
    },
    /// An input with another number of elements than its shape has.
    #[error("input {name:?} has {found} elements, expected {expected}")]
    ElementCount {
        /// Its name.
        name: String,
        /// Elements given.
        found: usize,
        /// Elements of the shape.
        expected: usize,
    },
}

impl RenderError {
    /// A stable identifier for programs and documentation.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "render.too_long",
            Self::Syntax { .. } => "render.syntax",
            Self::UnknownKey { .. } => "render.unknown_key",
            Self::Duplicate { .. } => "render.duplicate",
            Self::Missing { .. } => "render.missing",
            Self::UnknownInput { .. } => "render.unknown_input",
            Self::ElementCount { .. } => "render.element_count",
        }
    }

    /// What the sender can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "send fewer digits or a smaller input",
            Self::Syntax { .. } => {
                "send {\"model\":\"0x…\",\"inputs\":[{\"name\":\"…\",\"data\":[…]}]} with numbers of at most 19 \
                 significant digits"
            }
            Self::UnknownKey { .. } => "remove the key: a parameter that is not honoured is refused",
            Self::Duplicate { .. } => "send it once",
            Self::Missing { .. } => "add it",
            Self::UnknownInput { .. } => "see the inputs of the model under /v1/models",
            Self::ElementCount { .. } => "send one flat, row-major list per input",
        }
    }
}

/// A parsed request, before it is held against a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferRequest {
    /// The model.
    pub model: ModelId,
    /// Name and values of each input, as sent.
    pub inputs: Vec<(Name, Vec<Decimal>)>,
}

/// Parses the body of `/v1/infer`.
pub fn parse_request(bytes: &[u8]) -> Result<InferRequest, RenderError> {
    if bytes.len() > limit::BODY_BYTES {
        return Err(RenderError::TooLong {
            found: bytes.len(),
            expected: limit::BODY_BYTES,
        });
    }
    let mut parser = Parser::new(bytes);
    let (mut model, mut inputs) = (None, None);
    parser.object(|parser, key| match key {
        "model" => once("model", &mut model, model_id(parser)?),
        "inputs" => {
            let mut list = Vec::new();
            parser.array(limit::TENSORS, |parser| {
                list.push(input(parser)?);
                Ok(())
            })?;
            once("inputs", &mut inputs, list)
        }
        other => Err(RenderError::UnknownKey {
            found: other.to_owned(),
            expected: "model, inputs",
        }),
    })?;
    parser.finish()?;
    Ok(InferRequest {
        model: present("model", model)?,
        inputs: present("inputs", inputs)?,
    })
}

fn model_id(parser: &mut Parser<'_>) -> Result<ModelId, RenderError> {
    let offset = parser.offset();
    let text = parser.string()?;
    text.parse().map_err(|_| RenderError::Syntax {
        offset,
        expected: "a model id of 64 hexadecimal digits",
    })
}

fn input(parser: &mut Parser<'_>) -> Result<(Name, Vec<Decimal>), RenderError> {
    let (mut name, mut data) = (None, None);
    parser.object(|parser, key| match key {
        "name" => {
            let offset = parser.offset();
            let text = parser.string()?;
            let parsed = Name::new(&text).ok_or(RenderError::Syntax {
                offset,
                expected: "an input name",
            })?;
            once("name", &mut name, parsed)
        }
        "data" => {
            let mut values = Vec::new();
            parser.array(limit::TENSOR_ELEMENTS, |parser| {
                values.push(parser.decimal()?);
                Ok(())
            })?;
            once("data", &mut data, values)
        }
        other => Err(RenderError::UnknownKey {
            found: other.to_owned(),
            expected: "name, data",
        }),
    })?;
    Ok((present("name", name)?, present("data", data)?))
}

fn once<T>(key: &str, slot: &mut Option<T>, value: T) -> Result<(), RenderError> {
    if slot.replace(value).is_some() {
        return Err(RenderError::Duplicate {
            found: key.to_owned(),
        });
    }
    Ok(())
}

fn present<T>(key: &str, slot: Option<T>) -> Result<T, RenderError> {
    slot.ok_or_else(|| RenderError::Missing {
        expected: key.to_owned(),
    })
}

/// Quantises a request's inputs to a model's input tensors, in the model's order.
pub fn to_tensors(request: &InferRequest, specs: &[TensorSpec]) -> Result<Vec<Tensor>, RenderError> {
    for (index, (name, _)) in request.inputs.iter().enumerate() {
        if request
            .inputs
            .iter()
            .take(index)
            .any(|(earlier, _)| earlier == name)
        {
            return Err(RenderError::Duplicate {
                found: name.to_string(),
            });
        }
        if !specs.iter().any(|spec| spec.name == *name) {
            return Err(RenderError::UnknownInput {
                found: name.to_string(),
            });
        }
    }
    specs.iter().map(|spec| to_tensor(request, spec)).collect()
}

fn to_tensor(request: &InferRequest, spec: &TensorSpec) -> Result<Tensor, RenderError> {
    let (_, data) = request
        .inputs
        .iter()
        .find(|(name, _)| *name == spec.name)
        .ok_or_else(|| RenderError::Missing {
            expected: spec.name.to_string(),
        })?;
    let count = || RenderError::ElementCount {
        name: spec.name.to_string(),
        found: data.len(),
        expected: spec.shape.elements(),
    };
    let values = data
        .iter()
        .map(|decimal| decimal.quantise(spec.scale, spec.dtype))
        .collect();
    Tensor::new(spec.dtype, spec.shape.clone(), values).ok_or_else(count)
}

/// The response bytes for a model's outputs: JSON without white space, keys in this order, integers in full.
pub fn response(model: ModelId, specs: &[TensorSpec], outputs: &[Tensor]) -> Vec<u8> {
    let outputs: Vec<_> = specs
        .iter()
        .zip(outputs)
        .map(|(spec, tensor)| output(spec, tensor))
        .collect();
    format!("{{\"model\":\"{model}\",\"outputs\":[{}]}}", outputs.join(",")).into_bytes()
}

fn output(spec: &TensorSpec, tensor: &Tensor) -> String {
    format!(
        "{{\"name\":\"{}\",\"dtype\":\"{}\",\"shape\":[{}],\"scale\":{{\"mantissa\":{},\"shift\":{}}},\
         \"data\":[{}]}}",
        spec.name,
        tensor.dtype().name(),
        list(tensor.shape().dims()),
        spec.scale.mantissa(),
        spec.scale.shift(),
        list(tensor.values())
    )
}

fn list<T: core::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
