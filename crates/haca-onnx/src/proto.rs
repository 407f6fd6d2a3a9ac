//! The fields of `onnx.proto` that import reads, with their numbers there. Unknown fields are skipped.

use prost::Message;

use crate::{OnnxError, limit};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, tag = "2")]
    pub(crate) f: f32,
    #[prost(int64, tag = "3")]
    pub(crate) i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub(crate) t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub(crate) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(crate) ints: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(crate) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(crate) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(crate) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub(crate) double_data: Vec<f64>,
    #[prost(int32, tag = "14")]
    pub(crate) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub(crate) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub(crate) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) dim_param: Option<String>,
}

/// Element types of `TensorProto.DataType`.
pub(crate) mod data_type {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT8: i32 = 3;
    pub(crate) const INT32: i32 = 6;
    pub(crate) const INT64: i32 = 7;
    pub(crate) const BOOL: i32 = 9;
    pub(crate) const FLOAT16: i32 = 10;
    pub(crate) const DOUBLE: i32 = 11;
}

/// Reads a file after checking its size and the number of entries in each message.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    at_most("bytes in the ONNX file", bytes.len(), limit::ONNX_BYTES)?;
    count_entries(bytes, Kind::Model, &mut 0)?;
    ModelProto::decode(bytes).map_err(|error| OnnxError::Damaged {
        reason: error.to_string(),
    })
}

/// Messages whose entries are counted before anything is allocated for them: an empty entry takes two bytes in a
/// file and a hundred times that in memory.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Interface,
    /// Its entries are scalars, packed or not, which take a few times more in memory than in the file.
    Leaf,
}

impl Kind {
    /// The kind of an entry with the number `field`; `None` when it is one scalar or is skipped.
    const fn of(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 11 | 12) => Some(Self::Interface),
            (Self::Model, 8) | (Self::Graph, 5) | (Self::Node, 1 | 2 | 5) => Some(Self::Leaf),
            _ => None,
        }
    }
}

fn count_entries(mut message: &[u8], kind: Kind, found: &mut usize) -> Result<(), OnnxError> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let body = match tag & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => take(&mut message, 8)?,
            2 => {
                let len = varint(&mut message)?;
                take(&mut message, usize::try_from(len).unwrap_or(usize::MAX))?
            }
            5 => take(&mut message, 4)?,
            _ => {
                return Err(OnnxError::Damaged {
                    reason: "a field of unknown wire type".to_owned(),
                });
            }
        };
        let Some(inner) = kind.of(tag >> 3) else { continue };
        *found += 1;
        at_most("entries in the ONNX file", *found, limit::ENTRIES)?;
        match inner {
            Kind::Leaf => {}
            Kind::Interface => at_most("bytes in an input or output", body.len(), limit::INTERFACE_BYTES)?,
            Kind::Model | Kind::Graph | Kind::Node => count_entries(body, inner, found)?,
        }
    }
    Ok(())
}

fn at_most(what: &'static str, found: usize, expected: usize) -> Result<(), OnnxError> {
    if found <= expected {
        Ok(())
    } else {
        Err(OnnxError::TooLarge {
            what,
            found,
            expected,
        })
    }
}

fn varint(message: &mut &[u8]) -> Result<u64, OnnxError> {
    prost::encoding::decode_varint(message).map_err(|error| OnnxError::Damaged {
        reason: error.to_string(),
    })
}

fn take<'a>(message: &mut &'a [u8], len: usize) -> Result<&'a [u8], OnnxError> {
    let truncated = || OnnxError::Damaged {
        reason: "the file ends inside a field".to_owned(),
    };
    let (body, rest) = message.split_at_checked(len).ok_or_else(truncated)?;
    *message = rest;
    Ok(body)
}
