//! Graphs from the JSON of the vectors.

use haca_graph::{
    Function, FunctionKind, Graph, GraphError, Op, ParamId, ParamSpec, Stretch, Term, ValueId, Window,
    WindowAxis,
};
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

fn numbers(json: &Value) -> Vec<u32> {
    list(json).iter().map(number).collect()
}

fn narrow<T: TryFrom<i64>>(json: &Value) -> T {
    T::try_from(json.as_i64().unwrap()).ok().unwrap()
}

fn scale(json: &Value) -> Scale {
    let found = Scale::new(number(&json[0]), narrow(&json[1])).unwrap();
    assert_eq!(
        (found.mantissa(), found.shift()),
        (number(&json[0]), narrow(&json[1]))
    );
    found
}

fn axis(json: &Value) -> WindowAxis {
    let [kernel, stride, dilation, before, after] = numbers(json).try_into().unwrap();
    WindowAxis {
        kernel,
        stride,
        dilation,
        before,
        after,
    }
}

fn window(json: &Value) -> Window {
    Window {
        height: axis(&json[0]),
        width: axis(&json[1]),
    }
}

fn function(json: &Value) -> Function {
    let kind = match json["kind"].as_str().unwrap() {
        "Sigmoid" => FunctionKind::Sigmoid,
        "Tanh" => FunctionKind::Tanh,
        "Silu" => FunctionKind::Silu,
        "Gelu" => FunctionKind::Gelu,
        "GeluTanh" => FunctionKind::GeluTanh,
        "Softplus" => FunctionKind::Softplus,
        "LeakyRelu" => FunctionKind::LeakyRelu {
            slope: scale(&json["slope"]),
        },
        "HardSigmoid" => FunctionKind::HardSigmoid {
            alpha: scale(&json["alpha"]),
            beta: scale(&json["beta"]),
        },
        "HardSwish" => FunctionKind::HardSwish,
        "HighDigit" => FunctionKind::HighDigit {
            bits: json["bits"].as_u64().unwrap().try_into().unwrap(),
        },
        "LowDigit" => FunctionKind::LowDigit {
            bits: json["bits"].as_u64().unwrap().try_into().unwrap(),
        },
        other => unreachable!("function {other}"),
    };
    Function {
        kind,
        argument: scale(&json["argument"]),
        result: scale(&json["result"]),
        low: narrow(&json["low"]),
        high: narrow(&json["high"]),
    }
}

fn stretch(json: &Value) -> Stretch {
    Stretch {
        start: number(&json[0]),
        step: narrow(&json[1]),
        count: number(&json[2]),
    }
}

fn node(json: &Value) -> Op {
    let input = || value(&json["input"]);
    let (weight, bias) = (
        || ParamId(number(&json["weight"])),
        || ParamId(number(&json["bias"])),
    );
    match json["op"].as_str().unwrap() {
        "Linear" => Op::Linear {
            input: input(),
            weight: weight(),
            bias: bias(),
        },
        "Requantise" => Op::Requantise {
            input: input(),
            multipliers: numbers(&json["multipliers"]),
            shift: narrow(&json["shift"]),
            low: narrow(&json["low"]),
            high: narrow(&json["high"]),
        },
        "ArgMax" => Op::ArgMax { input: input() },
        "Convolve" => Op::Convolve {
            input: input(),
            weight: weight(),
            bias: bias(),
            window: window(&json["window"]),
            groups: number(&json["groups"]),
        },
        "WindowSum" => Op::WindowSum {
            input: input(),
            window: window(&json["window"]),
        },
        "WindowMax" => Op::WindowMax {
            input: input(),
            window: window(&json["window"]),
        },
        "Sum" => Op::Sum {
            terms: list(&json["terms"]).iter().map(term).collect(),
        },
        "Product" => Op::Product {
            left: value(&json["left"]),
            right: value(&json["right"]),
        },
        "Activate" => Op::Activate {
            input: input(),
            multipliers: numbers(&json["multipliers"]),
            shift: narrow(&json["shift"]),
            function: function(&json["function"]),
        },
        _ => arrangement(json),
    }
}

fn term(json: &Value) -> Term {
    Term {
        value: value(&json[0]),
        coefficient: narrow(&json[1]),
    }
}

fn arrangement(json: &Value) -> Op {
    let input = || value(&json["input"]);
    match json["op"].as_str().unwrap() {
        "Reshape" => Op::Reshape {
            input: input(),
            shape: shape(&json["shape"]),
        },
        "Transpose" => Op::Transpose {
            input: input(),
            axes: list(&json["axes"]).iter().map(narrow).collect(),
        },
        "Slice" => Op::Slice {
            input: input(),
            stretches: list(&json["stretches"]).iter().map(stretch).collect(),
        },
        "Concat" => Op::Concat {
            inputs: list(&json["inputs"]).iter().map(value).collect(),
            axis: narrow(&json["axis"]),
        },
        "Pad" => Op::Pad {
            input: input(),
            before: numbers(&json["before"]),
            after: numbers(&json["after"]),
            value: narrow(&json["value"]),
        },
        "Expand" => Op::Expand {
            input: input(),
            shape: shape(&json["shape"]),
        },
        other => unreachable!("op {other}"),
    }
}
