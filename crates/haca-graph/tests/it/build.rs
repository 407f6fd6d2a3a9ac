//! Graphs from the JSON of the vectors.

use haca_graph::{Graph, GraphError, Op, ParamId, ParamSpec, ValueId};
use haca_wire::{DType, Name, Scale, Shape, Tensor, TensorSpec};
use serde_json::Value;

pub(crate) fn graph(json: &Value) -> Result<Graph, GraphError> {
    Graph::new(
        list(&json["inputs"]).iter().map(spec).collect(),
        list(&json["params"]).iter().map(param).collect(),
        list(&json["nodes"]).iter().map(node).collect(),
        list(&json["outputs"])
            .iter()
            .map(|o| (value(&o["value"]), spec(o)))
            .collect(),
    )
}

pub(crate) fn list(json: &Value) -> &[Value] {
    json.as_array().unwrap()
}

pub(crate) fn integers(json: &Value) -> Vec<i64> {
    list(json).iter().map(|v| v.as_i64().unwrap()).collect()
}

pub(crate) fn tensor(dtype: DType, shape: &Shape, json: &Value) -> Tensor {
    let mut values = integers(json);
    if values.len() == 1 {
        values = vec![values[0]; shape.elements()];
    }
    Tensor::new(dtype, shape.clone(), values).unwrap()
}

fn number(json: &Value) -> u32 {
    u32::try_from(json.as_u64().unwrap()).unwrap()
}

fn value(json: &Value) -> ValueId {
    ValueId(number(json))
}

fn shape(json: &Value) -> Shape {
    Shape::new(list(json).iter().map(number).collect()).unwrap()
}

fn dtype(json: &Value) -> DType {
    match json.as_str().unwrap() {
        "int8" => DType::I8,
        "int32" => DType::I32,
        other => unreachable!("element type {other}"),
    }
}

fn spec(json: &Value) -> TensorSpec {
    TensorSpec {
        name: Name::new(json["name"].as_str().unwrap()).unwrap(),
        dtype: dtype(&json["dtype"]),
        shape: shape(&json["shape"]),
        scale: Scale::new(
            number(&json["mantissa"]),
            u8::try_from(number(&json["shift"])).unwrap(),
        )
        .unwrap(),
    }
}

fn param(json: &Value) -> ParamSpec {
    ParamSpec {
        dtype: dtype(&json["dtype"]),
        shape: shape(&json["shape"]),
        low: json["low"].as_i64().unwrap(),
        high: json["high"].as_i64().unwrap(),
    }
}

fn node(json: &Value) -> Op {
    let input = value(&json["input"]);
    let clamp = |key: &str| i8::try_from(json[key].as_i64().unwrap()).unwrap();
    match json["op"].as_str().unwrap() {
        "Linear" => Op::Linear {
            input,
            weight: ParamId(number(&json["weight"])),
            bias: ParamId(number(&json["bias"])),
        },
        "Requantise" => Op::Requantise {
            input,
            multipliers: list(&json["multipliers"]).iter().map(number).collect(),
            shift: u8::try_from(number(&json["shift"])).unwrap(),
            low: clamp("low"),
            high: clamp("high"),
        },
        "ArgMax" => Op::ArgMax { input },
        "Reshape" => Op::Reshape {
            input,
            shape: shape(&json["shape"]),
        },
        other => unreachable!("op {other}"),
    }
}
