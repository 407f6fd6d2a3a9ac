//! A writer of small ONNX files, straight from the field numbers of `onnx.proto`.

/// One protobuf field with a length.
fn field(number: u64, body: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(body.len() as u64), body.to_vec()].concat()
}

fn number(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A float tensor.
pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, dims, 1, &raw)
}

/// A tensor of int64.
pub(crate) fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, &[values.len() as i64], 7, &raw)
}

/// A tensor of any element type.
pub(crate) fn tensor(name: &str, dims: &[i64], kind: i64, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for dim in dims {
        out.extend(number(1, *dim));
    }
    out.extend(number(2, kind));
    out.extend(field(8, name.as_bytes()));
    out.extend(field(9, raw));
    out
}

/// An integer attribute.
pub(crate) fn int(name: &str, value: i64) -> Vec<u8> {
    [field(1, name.as_bytes()), number(3, value)].concat()
}

/// A float attribute.
pub(crate) fn float(name: &str, value: f32) -> Vec<u8> {
    [
        field(1, name.as_bytes()),
        varint(2 << 3 | 5),
        value.to_le_bytes().to_vec(),
    ]
    .concat()
}

/// An attribute of several integers.
pub(crate) fn list(name: &str, values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| number(8, *v)).collect();
    [field(1, name.as_bytes()), values].concat()
}

/// A text attribute.
pub(crate) fn text(name: &str, value: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), field(4, value.as_bytes())].concat()
}

/// A tensor attribute.
pub(crate) fn tensor_attribute(name: &str, tensor: &[u8]) -> Vec<u8> {
    [field(1, name.as_bytes()), field(5, tensor)].concat()
}

/// A node: inputs and outputs are separated by spaces.
pub(crate) fn node(op: &str, inputs: &str, outputs: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs.split(' ').filter(|i| !i.is_empty()) {
        out.extend(field(1, input.trim_matches('_').as_bytes()));
    }
    for output in outputs.split(' ') {
        out.extend(field(2, output.as_bytes()));
    }
    out.extend(field(3, format!("the_{}", op.to_lowercase()).as_bytes()));
    out.extend(field(4, op.as_bytes()));
    for attribute in attributes {
        out.extend(field(5, attribute));
    }
    out
}

/// An input or output; 0 stands for a dimension without a number.
pub(crate) fn value(name: &str, kind: i64, dims: &[i64]) -> Vec<u8> {
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|dim| {
            if *dim == 0 {
                field(1, &field(2, b"n"))
            } else {
                field(1, &number(1, *dim))
            }
        })
        .collect();
    let kind = [number(1, kind), field(2, &dims)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &kind))].concat()
}

/// The parts of a file.
#[derive(Clone, Default)]
pub(crate) struct OnnxFile {
    pub(crate) opset: i64,
    pub(crate) nodes: Vec<Vec<u8>>,
    pub(crate) initializers: Vec<Vec<u8>>,
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) outputs: Vec<Vec<u8>>,
}

impl OnnxFile {
    /// A network on `x [batch, 2]` with the output `y`.
    pub(crate) fn new(nodes: Vec<Vec<u8>>, initializers: Vec<Vec<u8>>) -> Self {
        let (inputs, outputs) = (vec![value("x", 1, &[0, 2])], vec![value("y", 1, &[0, 3])]);
        Self {
            opset: 17,
            nodes,
            initializers,
            inputs,
            outputs,
        }
    }

    /// A network on inputs `(name, dimensions behind the batch axis)` with the output `y`.
    pub(crate) fn of(nodes: Vec<Vec<u8>>, initializers: Vec<Vec<u8>>, inputs: &[(&str, &[i64])]) -> Self {
        let batched = |dims: &[i64]| [&[0], dims].concat();
        Self {
            inputs: inputs
                .iter()
                .map(|(name, dims)| value(name, 1, &batched(dims)))
                .collect(),
            ..Self::new(nodes, initializers)
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut graph = Vec::new();
        for (number, parts) in [
            (1, &self.nodes),
            (5, &self.initializers),
            (11, &self.inputs),
            (12, &self.outputs),
        ] {
            for part in parts {
                graph.extend(field(number, part));
            }
        }
        [number(1, 8), field(7, &graph), field(8, &number(2, self.opset))].concat()
    }
}
