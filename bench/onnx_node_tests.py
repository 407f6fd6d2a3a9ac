"""Writes the node tests of the ONNX project as models that `haca-onnx` may import, and runs them.

    python3 -m venv venv && venv/bin/pip install numpy onnx
    venv/bin/python bench/onnx_node_tests.py [DIRECTORY] [--all]

The tests are those of `onnx.backend.test.case`. A node test passes weights, shapes and axes as inputs; here every input
of `CONSTANT` becomes an initializer, as do all inputs that are no floats. A MatMul by the identity stands before ops without
weights, since a graph has parameters, and an output is no input. The quantised ops of `DEQUANTISED` get float inputs and
outputs: QuantizeLinear before and DequantizeLinear behind them. The example `node_tests` of `haca-onnx`
imports each model, with its own input as calibration data, and compares; it says how. Without `--all`, only ops of
`SUPPORTED` are written.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

# Inputs that have to be constants, by op.
CONSTANT = {
    "Conv": [1, 2], "Gemm": [1, 2], "MatMul": [1], "BatchNormalization": [1, 2, 3, 4], "Clip": [1, 2], "PRelu": [1],
    "QLinearConv": [1, 2, 3, 4, 5, 6, 7, 8], "QLinearMatMul": [1, 2, 3, 4, 5, 6, 7], "Pad": [1, 2, 3], "Resize": [1, 2, 3],
    "Upsample": [1], "QuantizeLinear": [1, 2], "DequantizeLinear": [1, 2], "Div": [1], "Pow": [1], "Dropout": [1, 2],
}
# Ops whose data is integer: input and output go through QuantizeLinear and DequantizeLinear.
DEQUANTISED = {"QLinearConv": (0, 1, 2, 6, 7), "QLinearMatMul": (0, 1, 2, 6, 7), "DequantizeLinear": (0, 1, 2, None, None)}
SUPPORTED = set(
    "Add ArgMax AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv DepthToSpace DequantizeLinear "
    "Div Dropout Expand Flatten Gather Gelu Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity LeakyRelu "
    "LogSoftmax MatMul Max MaxPool Mean Min Mul Neg PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear ReduceMax "
    "ReduceMean ReduceSum Relu Reshape Resize Shape Sigmoid Size Slice Softmax Softplus SpaceToDepth Split Squeeze Sub Sum "
    "Swish Tanh Transpose Unsqueeze Upsample Where".split()
)
WEIGHTED = {"Conv", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "BatchNormalization"}
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
LEFT_OUT = {"Softmax", "LogSoftmax"}


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def rewrite(case, op):
    """The model with constants for what is no data, and its float inputs and outputs; None where it is no tensor test."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    inputs, outputs = case.data_sets[0]
    values = {info.name: array(v) for info, v in zip(graph.input, inputs)}
    # Random masks and indices are no data of an inference.
    data = [info for info in graph.input]
    node = graph.node[0]
    constant = {node.input[i] for i in CONSTANT.get(op, []) if i < len(node.input)}
    del graph.input[:]
    kept = []
    for info in data:
        value = values[info.name]
        kind = info.type.tensor_type.elem_type
        if info.name in constant or (kind not in FLOATS and not (op in DEQUANTISED and info.name == node.input[0])):
            graph.initializer.append(numpy_helper.from_array(value, info.name))
        else:
            graph.input.append(info)
            kept.append(info.name)
    feeds = [values[name].astype(np.float64) for name in kept]
    results = [array(v) for v in outputs]
    if op in DEQUANTISED:
        feeds, results = through_floats(graph, node, values, results, DEQUANTISED[op])
    if op == "QuantizeLinear" and results[0].dtype in (np.int8, np.uint8):
        results = dequantise_output(graph, node, values, results, 1, 2)
    if op not in WEIGHTED:
        behind_identity(graph)
    if op in LEFT_OUT:
        # The importer leaves a final Softmax out: its output is the operand.
        results = [feeds[0]]
    # Outputs that hold no reals, as masks and indices of MaxPool, are not asked for.
    wanted = [(info, r) for info, r in zip(list(graph.output), results) if info.type.tensor_type.elem_type in FLOATS or op == "ArgMax"]
    del graph.output[:]
    graph.output.extend(info for info, _ in wanted)
    return model, feeds, [np.asarray(r, dtype=np.float64) for _, r in wanted]


def behind_identity(graph):
    """The first input goes through a dense layer that changes nothing."""
    if not graph.input:
        return
    info = graph.input[0]
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    if not dims:
        return
    kind = info.type.tensor_type.elem_type
    identity = np.eye(dims[-1], dtype=helper.tensor_dtype_to_np_dtype(kind))
    graph.initializer.append(numpy_helper.from_array(identity, "haca_identity"))
    graph.node.insert(0, helper.make_node("MatMul", ["haca_in", "haca_identity"], [info.name], name="identity"))
    first = helper.make_tensor_value_info("haca_in", kind, dims)
    rest = list(graph.input)[1:]
    del graph.input[:]
    graph.input.extend([first, *rest])


def reals(integers, step, zero):
    return (np.asarray(integers, dtype=np.float64) - np.asarray(zero, dtype=np.float64)) * np.asarray(step, dtype=np.float64)


def through_floats(graph, node, values, results, places):
    data, step, zero, out_step, out_zero = places
    name = node.input[data]
    if values[name].dtype not in (np.int8, np.uint8):
        raise TypeError(f"integers of type {values[name].dtype}, not int8 or uint8")
    inputs = [node.input[i] for i in (data, step, zero) if i < len(node.input)]
    zero_of = values[inputs[2]] if len(inputs) > 2 else np.uint8(0)
    feed = reals(values[name], values[inputs[1]], zero_of)
    graph.node.insert(0, helper.make_node("QuantizeLinear", ["haca_x", *inputs[1:]], [name], name="quantise_input"))
    kept = [info for info in graph.input if info.name != name]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("haca_x", TensorProto.FLOAT, list(feed.shape)))
    graph.input.extend(kept)
    node = graph.node[1]
    if out_step is not None:
        results = dequantise_output(graph, node, values, results, out_step, out_zero)
    return [feed], results


def dequantise_output(graph, node, values, results, step, zero):
    steps = [node.input[i] for i in (step, zero) if i < len(node.input)]
    zero_of = values[steps[1]] if len(steps) > 1 else np.uint8(0)
    result = reals(results[0], values[steps[0]], zero_of)
    graph.node.append(helper.make_node("DequantizeLinear", [node.output[0], *steps], ["haca_y"], name="dequantise_output"))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("haca_y", TensorProto.FLOAT, list(result.shape)))
    return [result]


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    every = "--all" in sys.argv
    directory = pathlib.Path(arguments[0] if arguments else tempfile.mkdtemp(prefix="onnx-node-tests-"))
    directory.mkdir(parents=True, exist_ok=True)
    np.random.seed(0)
    written, expanded, skipped = 0, 0, {}
    for case in collect_testcases(None):
        nodes = case.model.graph.node
        op = nodes[0].op_type
        # Some tests come a second time with their function body spelled out.
        if len(nodes) != 1 or "_expanded" in case.name or not (every or op in SUPPORTED):
            expanded += op in SUPPORTED
            continue
        try:
            model, feeds, results = rewrite(case, op)
        except (TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
            print(f"not written {case.name}: {error}")
            continue
        if not feeds or not results or any(not np.isfinite(a).all() for a in feeds + results):
            skipped[op] = skipped.get(op, 0) + 1
            continue
        (directory / f"{case.name}.onnx").write_bytes(model.SerializeToString())
        flat = {"op": op, "inputs": [f.ravel().tolist() for f in feeds], "outputs": [r.ravel().tolist() for r in results]}
        (directory / f"{case.name}.json").write_text(json.dumps(flat))
        written += 1
    left = sum(skipped.values())
    print(f"{written} cases in {directory}; of supported ops {left} have no float data and {expanded} spell out their op")
    root = pathlib.Path(__file__).resolve().parent.parent
    run = ["cargo", "run", "--quiet", "--release", "-p", "haca-onnx", "--example", "node_tests", "--", str(directory)]
    sys.exit(subprocess.run(run, cwd=root, check=False).returncode)


if __name__ == "__main__":
    main()
