"""Writes accept.json and reject.json, the vectors of spec/graph.md.

An implementation of spec/graph.md with Python's integers, sharing no code with crates/haca-graph.
Needs Python 3.9 or later and nothing else. Run: python3 spec/vectors/graph/generate.py
"""

import copy
import json
import pathlib
import random
import struct

HERE = pathlib.Path(__file__).parent
TAG = {"int8": 1, "int16": 2, "int32": 3, "int64": 4}
I32 = (-(2**31), 2**31 - 1)


# ---- pieces of a graph -------------------------------------------------------------------------------------------


def spec(name, dtype, shape, mantissa=1, shift=0):
    return {"name": name, "dtype": dtype, "shape": shape, "mantissa": mantissa, "shift": shift}


def weights(n, k, low=-128, high=127):
    return {"dtype": "int8", "shape": [n, k], "low": low, "high": high}


def biases(n, low, high):
    return {"dtype": "int32", "shape": [n], "low": low, "high": high}


def linear(value, weight, bias):
    return {"op": "Linear", "input": value, "weight": weight, "bias": bias}


def requantise(value, multipliers, shift, low=-128, high=127):
    return {"op": "Requantise", "input": value, "multipliers": multipliers, "shift": shift, "low": low, "high": high}


def arg_max(value):
    return {"op": "ArgMax", "input": value}


def reshape(value, shape):
    return {"op": "Reshape", "input": value, "shape": shape}


def output(value, name, dtype, shape, mantissa=1, shift=0):
    return {"value": value, **spec(name, dtype, shape, mantissa, shift)}


def product(shape):
    total = 1
    for dim in shape:
        total *= dim
    return total


# ---- G3 to G6: static ranges ---------------------------------------------------------------------------------------


def quotient(acc, multiplier, shift):
    return (acc * multiplier + 2 ** (shift - 1)) // 2**shift


def clamp(x, low, high):
    return min(max(x, low), high)


def analyse(graph):
    """Shapes and static ranges of all values, and the quotient range of each node."""
    shapes = [i["shape"] for i in graph["inputs"]]
    ranges = [[-128, 127] for _ in graph["inputs"]]
    quotients = []
    for node in graph["nodes"]:
        shape, (low, high) = shapes[node["input"]], ranges[node["input"]]
        wide = None
        if node["op"] == "Linear":
            w, b = graph["params"][node["weight"]], graph["params"][node["bias"]]
            corners = [x * y for x in (low, high) for y in (w["low"], w["high"])]
            k = shape[0]
            shape, low, high = b["shape"], k * min(corners) + b["low"], k * max(corners) + b["high"]
        elif node["op"] == "Requantise":
            ends = [quotient(acc, m, node["shift"]) for acc in (low, high) for m in node["multipliers"]]
            wide = [min(ends), max(ends)]
            low, high = (clamp(end, node["low"], node["high"]) for end in wide)
        elif node["op"] == "ArgMax":
            shape, low, high = shape[:-1], 0, shape[-1] - 1
        else:
            shape = node["shape"]
        shapes.append(shape)
        ranges.append([low, high])
        quotients.append(wide)
    return shapes, ranges, quotients


# ---- G8: evaluation --------------------------------------------------------------------------------------------------


def evaluate(graph, parameters, inputs):
    shapes, ranges, _ = analyse(graph)
    values = [list(i) for i in inputs]
    for node in graph["nodes"]:
        x = values[node["input"]]
        if node["op"] == "Linear":
            w, b = parameters[node["weight"]], parameters[node["bias"]]
            k = len(x)
            y = [b[i] + sum(w[i * k + j] * x[j] for j in range(k)) for i in range(len(b))]
        elif node["op"] == "Requantise":
            ms = node["multipliers"]
            ms = ms * len(x) if len(ms) == 1 else ms
            y = [clamp(quotient(a, m, node["shift"]), node["low"], node["high"]) for a, m in zip(x, ms)]
        elif node["op"] == "ArgMax":
            n = shapes[node["input"]][-1]
            rows = [x[i : i + n] for i in range(0, len(x), n)]
            y = [row.index(max(row)) for row in rows]
        else:
            y = x
        low, high = ranges[len(values)]
        assert all(low <= v <= high for v in y)
        values.append(y)
    return values


# ---- G9: encoding ----------------------------------------------------------------------------------------------------


def u32(x):
    return struct.pack("<I", x)


def items(encoded):
    return u32(len(encoded)) + b"".join(encoded)


def encode_shape(shape):
    return items([u32(d) for d in shape])


def encode_name(name):
    return u32(len(name)) + name.encode()


def encode_spec(s):
    head = encode_name(s["name"]) + bytes([TAG[s["dtype"]]]) + encode_shape(s["shape"])
    return head + u32(s["mantissa"]) + bytes([s["shift"]])


def encode_param(p):
    return bytes([TAG[p["dtype"]]]) + encode_shape(p["shape"]) + struct.pack("<qq", p["low"], p["high"])


def encode_node(n):
    if n["op"] == "Linear":
        return b"\x01" + u32(n["input"]) + u32(n["weight"]) + u32(n["bias"])
    if n["op"] == "Requantise":
        multipliers = items([u32(m) for m in n["multipliers"]])
        return b"\x02" + u32(n["input"]) + multipliers + struct.pack("<Bbb", n["shift"], n["low"], n["high"])
    if n["op"] == "ArgMax":
        return b"\x03" + u32(n["input"])
    return b"\x04" + u32(n["input"]) + encode_shape(n["shape"])


def encode(graph):
    return (
        b"\x01"
        + items([encode_spec(s) for s in graph["inputs"]])
        + items([encode_param(p) for p in graph["params"]])
        + items([encode_node(n) for n in graph["nodes"]])
        + items([u32(o["value"]) + encode_spec(o) for o in graph["outputs"]])
    )


def encode_manifest(name, graph):
    return encode_name(name) + encode(graph) + struct.pack("<H", 1) + bytes(32)


# ---- accepted graphs ---------------------------------------------------------------------------------------------------


def mlp():
    return {
        "inputs": [spec("x", "int8", [4], 1, 7)],
        "params": [weights(3, 4), biases(3, -4096, 4095), weights(2, 3, -127, 127), biases(2, -1000, 1000)],
        "nodes": [
            linear(0, 0, 1),
            requantise(1, [1073741824, 1500000000, 7], 38, 0, 127),
            linear(2, 2, 3),
            arg_max(3),
        ],
        "outputs": [output(3, "logits", "int32", [2], 3, 10), output(4, "class", "int32", [])],
    }


def one_layer(n, k, bias_low, bias_high, multipliers, shift, low=-128, high=127):
    return {
        "inputs": [spec("x", "int8", [k])],
        "params": [weights(n, k), biases(n, bias_low, bias_high)],
        "nodes": [linear(0, 0, 1), requantise(1, multipliers, shift, low, high)],
        "outputs": [output(2, "y", "int8", [n])],
    }


def draw(rng, graph):
    def tensor(shape, least, most):
        return [rng.randint(least, most) for _ in range(product(shape))]

    parameters = [tensor(p["shape"], p["low"], p["high"]) for p in graph["params"]]
    runs = [[tensor(i["shape"], -128, 127) for i in graph["inputs"]] for _ in range(3)]
    for fill in (-128, 127, 0):
        runs.append([[fill] * product(i["shape"]) for i in graph["inputs"]])
    return parameters, runs


def accepted():
    yield "mlp", "two layers, ReLU, per-channel multipliers, logits and class", mlp(), None, None

    halves = list(range(-6, 7))
    graph = one_layer(len(halves), 1, -8, 7, [1], 1)
    yield "rounding-halves", "halves go up: -3/2 -> -1, 3/2 -> 2", graph, [[0] * len(halves), halves], [[[0]]]

    graph = one_layer(len(halves), 1, -8, 7, [3], 3)
    yield "rounding-eighths", "floor of (3a + 4) / 8", graph, [[0] * len(halves), halves], [[[0]]]

    # 16 * 128 * 128 = 2^18, so the bias takes the accumulator to the last int32 on either side.
    top, bottom = 2**31 - 1 - 2**18, -(2**31) + 16 * 128 * 127
    graph = one_layer(2, 16, bottom, top, [2**30], 55)
    extremes = [[-128] * 16 + [127] * 16, [top, bottom]]
    yield "int32-extremes", "accumulators reach both ends of int32", graph, extremes, [[[-128] * 16], [[127] * 16]]

    graph = one_layer(3, 2, -100, 100, [0, 1, 2**31 - 1], 47, -128, 127)
    yield "multiplier-ends", "multipliers 0, 1 and 2^31 - 1", graph, None, None

    graph = one_layer(2, 3, -100, 100, [2**29], 38, -5, 9)
    yield "narrow-clamp", "one multiplier for all channels, clamp inside int8", graph, None, None

    # acc in [-256, 2^24 - 257]: with M = 2, s = 1 the quotient is acc itself.
    graph = one_layer(1, 1, 0, 2**24 - 1 - 254 - 256, [2], 1)
    graph["params"][0].update(low=0, high=2)
    yield "widest-quotient", "the quotient spans 2^24 values", graph, None, None

    square = {
        "inputs": [spec("image", "int8", [2, 2])],
        "params": [weights(6, 4), biases(6, -500, 500)],
        "nodes": [reshape(0, [4]), linear(1, 0, 1), reshape(2, [3, 2]), arg_max(3)],
        "outputs": [output(3, "rows", "int32", [3, 2]), output(4, "classes", "int32", [3])],
    }
    yield "reshape", "reshape before and behind, ArgMax along the last axis", square, None, None

    ties = {
        "inputs": [spec("x", "int8", [3])],
        "params": [weights(4, 3), biases(4, -10, 10)],
        "nodes": [linear(0, 0, 1), arg_max(1)],
        "outputs": [output(1, "logits", "int32", [4]), output(2, "class", "int32", [])],
    }
    same = [[1, 0, 0] * 4, [-1, 5, 5, 5]]
    yield "argmax-ties", "ties go to the lowest index", ties, same, [[[9, 1, 2]], [[-128, 0, 0]]]

    two = {
        "inputs": [spec("a", "int8", [2]), spec("b", "int8", [3])],
        "params": [weights(2, 2), weights(2, 3), biases(2, -9, 9)],
        "nodes": [linear(0, 0, 2), linear(1, 1, 2), requantise(2, [1 << 20], 24), requantise(3, [1 << 20], 24, 0)],
        "outputs": [output(4, "p", "int8", [2]), output(5, "q", "int8", [2]), output(3, "raw", "int32", [2])],
    }
    yield "two-inputs", "two inputs, a bias that two nodes share, an accumulator read and shown", two, None, None

    shared = {
        "inputs": [spec("x", "int8", [3])],
        "params": [weights(3, 3, -1, 1), biases(3, 0, 0)],
        "nodes": [linear(0, 0, 1), requantise(1, [1], 1, 0), linear(2, 0, 1)],
        "outputs": [output(3, "y", "int32", [3])],
    }
    yield "shared-weights", "one matrix in two layers", shared, None, None


def accept_file():
    rng = random.Random(7)
    cases = []
    for name, note, graph, parameters, runs in accepted():
        drawn, inputs = draw(rng, graph)
        parameters = drawn if parameters is None else parameters
        inputs = inputs if runs is None else runs
        _, ranges, quotients = analyse(graph)
        macs = sum(product(graph["params"][n["weight"]]["shape"]) for n in graph["nodes"] if n["op"] == "Linear")
        cases.append(
            {
                "name": name,
                "note": note,
                "graph": graph,
                "encoding": encode(graph).hex(),
                "manifest": encode_manifest(name, graph).hex(),
                "macs": macs,
                "param_count": sum(product(p["shape"]) for p in graph["params"]),
                "ranges": ranges,
                "quotients": quotients,
                "parameters": parameters,
                "runs": [{"inputs": i, "values": evaluate(graph, parameters, i)} for i in inputs],
            }
        )
    return cases


# ---- refused graphs ----------------------------------------------------------------------------------------------------


def changed(change, base=None):
    graph = copy.deepcopy(base or mlp())
    change(graph)
    return graph


def at(path, value):
    """A change that sets the entry at `path`."""

    def change(graph):
        target = graph
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


def refused():
    c = changed
    yield "no-inputs", "graph.count", c(at(["inputs"], []))
    yield "no-params", "graph.count", c(at(["params"], []))
    yield "no-nodes", "graph.count", c(at(["nodes"], []))
    yield "no-outputs", "graph.count", c(at(["outputs"], []))
    yield "seventeen-outputs", "graph.count", c(at(["outputs"], [output(3, f"o{i}", "int32", [2]) for i in range(17)]))
    yield "input-int32", "graph.element_type", c(at(["inputs", 0, "dtype"], "int32"))
    yield "weight-int32", "graph.element_type", c(at(["params", 0, "dtype"], "int32"))
    yield "bias-int8", "graph.element_type", c(at(["params", 3], {"dtype": "int8", "shape": [2], "low": 0, "high": 1}))
    yield "output-int8", "graph.element_type", c(at(["outputs", 0, "dtype"], "int8"))
    yield "empty-range", "graph.range", c(lambda g: g["params"][0].update(low=5, high=4))
    yield "range-outside-int8", "graph.range", c(at(["params", 0, "low"], -129))
    yield "range-outside-int32", "graph.range", c(at(["params", 1, "high"], 2**31))
    yield "forward-reference", "graph.unknown_value", c(at(["nodes", 0, "input"], 2))
    yield "self-reference", "graph.unknown_value", c(at(["nodes", 0, "input"], 1))
    yield "no-such-value", "graph.unknown_value", c(at(["nodes", 0, "input"], 2**32 - 1))
    yield "no-such-weight", "graph.unknown_param", c(at(["nodes", 0, "weight"], 4))
    yield "no-such-bias", "graph.unknown_param", c(at(["nodes", 0, "bias"], 2**32 - 1))
    yield "matrix-input", "graph.rank", c(at(["inputs", 0, "shape"], [2, 2]))
    yield "vector-weight", "graph.rank", c(at(["params", 0, "shape"], [12]))
    yield "transposed-weight", "graph.shape", c(at(["params", 0, "shape"], [4, 3]))
    yield "short-bias", "graph.shape", c(at(["params", 1, "shape"], [2]))
    yield "matrix-bias", "graph.shape", c(at(["params", 1, "shape"], [3, 1]))
    yield "output-shape", "graph.shape", c(at(["outputs", 0, "shape"], [1, 2]))
    yield "class-shape", "graph.shape", c(at(["outputs", 1, "shape"], [1]))

    # acc = bias + 4 products of at most 2^14.
    yield "accumulator-above-int32", "graph.accumulator_overflow", c(at(["params", 3, "high"], 2**31 - 3 * 127 * 127))
    yield "accumulator-below-int32", "graph.accumulator_overflow", c(at(["params", 3, "low"], -(2**31)))
    fits = 2**31 - 1 - 3 * 127 * 127
    exact = c(at(["params", 3, "high"], fits))
    assert analyse(exact)[1][3][1] == 2**31 - 1
    yield "accumulator-by-one", "graph.accumulator_overflow", c(at(["params", 3, "high"], fits + 1))

    huge = one_layer(1, 1, -(2**31) + 128 * 127, 2**31 - 1 - 128 * 128, [2**31 - 1], 60)
    yield "product-overflow", "graph.product_overflow", huge
    wide = one_layer(1, 1, 0, 2**24 - 254 - 256, [2], 1)
    wide["params"][0].update(low=0, high=2)
    assert analyse(wide)[2][1][1] - analyse(wide)[2][1][0] == 2**24
    yield "quotient-by-one", "graph.quotient_too_wide", wide
    yield "shift-zero", "graph.range", c(at(["nodes", 1, "shift"], 0))
    yield "shift-61", "graph.range", c(at(["nodes", 1, "shift"], 61))
    yield "multiplier-2-31", "graph.range", c(at(["nodes", 1, "multipliers", 0], 2**31))
    yield "two-multipliers", "graph.length", c(at(["nodes", 1, "multipliers"], [1, 2]))
    yield "no-multipliers", "graph.length", c(at(["nodes", 1, "multipliers"], []))
    yield "empty-clamp", "graph.range", c(lambda g: g["nodes"][1].update(low=5, high=4))
    yield "requantise-input", "graph.not_accumulator", c(at(["nodes", 1, "input"], 0))

    def behind_reshape(g):
        g["nodes"] = [linear(0, 0, 1), reshape(1, [3]), requantise(2, [1], 30), linear(3, 2, 3)]
        g["outputs"] = [output(4, "logits", "int32", [2])]

    yield "requantise-reshape", "graph.not_accumulator", c(behind_reshape)

    def hidden(g):
        g["outputs"] = [output(4, "class", "int32", [])]

    yield "hidden-argmax", "graph.hidden_argmax", c(hidden)

    def scalar(g):
        g["nodes"].append(arg_max(4))
        g["outputs"].append(output(5, "index", "int32", []))

    yield "argmax-of-scalar", "graph.rank", c(scalar)

    def accumulator_to_linear(g):
        g["nodes"] = [linear(0, 0, 1), linear(1, 2, 3)]
        g["outputs"] = [output(2, "logits", "int32", [2])]

    yield "accumulator-to-linear", "graph.element_type", c(accumulator_to_linear)

    def bad_reshape(g):
        g["nodes"] = [reshape(0, [5])] + g["nodes"]

    yield "reshape-count", "graph.shape", c(bad_reshape)
    yield "output-is-input", "graph.unknown_value", c(at(["outputs", 1], output(0, "x", "int8", [4])))
    yield "output-unknown", "graph.unknown_value", c(at(["outputs", 1, "value"], 5))
    yield "same-output-name", "graph.repeated", c(at(["outputs", 1, "name"], "logits"))
    yield "same-output-value", "graph.repeated", c(lambda g: g["outputs"].append(output(3, "again", "int32", [2])))
    yield "same-input-name", "graph.repeated", c(lambda g: one_more_input(g, "x"))
    yield "unused-input", "graph.unused", c(lambda g: one_more_input(g, "z"))
    yield "unused-param", "graph.unused", c(lambda g: g["params"].append(biases(1, 0, 0)))
    yield "unused-node", "graph.unused", c(lambda g: g["nodes"].append(reshape(0, [2, 2])))


def one_more_input(graph, name):
    """Adds an input that no node reads, and renumbers the values of nodes."""
    graph["inputs"].append(spec(name, "int8", [4]))
    for node in graph["nodes"]:
        node["input"] += 1 if node["input"] > 0 else 0
    for out in graph["outputs"]:
        out["value"] += 1


def refused_bytes():
    good = encode(mlp())
    yield "empty", "wire.truncated", b""
    yield "truncated", "wire.truncated", good[:-1]
    yield "trailing", "wire.trailing", good + b"\x00"
    yield "version-2", "wire.bad_tag", b"\x02" + good[1:]
    yield "inputs-huge", "wire.too_long", good[:1] + u32(2**32 - 1) + good[5:]
    yield "zero-dimension", "wire.invalid", encode(changed(at(["params", 1, "shape"], [0])))
    yield "nine-axes", "wire.too_long", encode(changed(at(["params", 1, "shape"], [1] * 9)))
    yield "even-mantissa", "wire.invalid", encode(changed(lambda g: g["inputs"][0].update(mantissa=2, shift=8)))
    yield "zero-mantissa", "wire.invalid", encode(changed(at(["inputs", 0, "mantissa"], 0)))
    yield "op-5", "wire.bad_tag", encode(mlp()).replace(encode_node(mlp()["nodes"][3]), b"\x05" + u32(3))
    yield "name-with-space", "wire.invalid", encode(changed(at(["inputs", 0, "name"], "a b")))
    yield "element-type-5", "wire.bad_tag", good.replace(encode_spec(mlp()["inputs"][0]), b"\x01\0\0\0x\x05" + good[11:25])


def reject_file():
    graphs = [{"name": n, "code": c, "graph": g, "encoding": encode(g).hex()} for n, c, g in refused()]
    raw = [{"name": n, "code": c, "encoding": b.hex()} for n, c, b in refused_bytes()]
    return {"graphs": graphs, "bytes": raw}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    write("accept.json", accept_file())
    write("reject.json", reject_file())
