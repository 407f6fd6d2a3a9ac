"""Graphs of spec/graph.md as dictionaries: shapes and static ranges, evaluation, encoding."""

import functools
import itertools
import struct

from functions import KINDS, clamp, entry

TAG = {"int8": 1, "int16": 2, "int32": 3, "int64": 4}


# ---- pieces of a graph -------------------------------------------------------------------------------------------


def spec(name, dtype, shape, mantissa=1, shift=0):
    return {"name": name, "dtype": dtype, "shape": shape, "mantissa": mantissa, "shift": shift}


def output(value, name, dtype, shape, mantissa=1, shift=0):
    return {"value": value, **spec(name, dtype, shape, mantissa, shift)}


def param(dtype, shape, low, high):
    return {"dtype": dtype, "shape": shape, "low": low, "high": high}


def weights(n, k, low=-128, high=127):
    return param("int8", [n, k], low, high)


def biases(n, low, high):
    return param("int32", [n], low, high)


def linear(value, weight, bias):
    return {"op": "Linear", "input": value, "weight": weight, "bias": bias}


def requantise(value, multipliers, shift, low=-128, high=127):
    return {"op": "Requantise", "input": value, "multipliers": multipliers, "shift": shift, "low": low, "high": high}


def arg_max(value):
    return {"op": "ArgMax", "input": value}


def reshape(value, shape):
    return {"op": "Reshape", "input": value, "shape": shape}


def axis(kernel, stride=1, dilation=1, before=0, after=0):
    return [kernel, stride, dilation, before, after]


def convolve(value, weight, bias, window, groups=1):
    return {"op": "Convolve", "input": value, "weight": weight, "bias": bias, "window": window, "groups": groups}


def window_sum(value, window):
    return {"op": "WindowSum", "input": value, "window": window}


def window_max(value, window):
    return {"op": "WindowMax", "input": value, "window": window}


def weighted(*terms):
    return {"op": "Sum", "terms": [list(term) for term in terms]}


def product(left, right):
    return {"op": "Product", "left": left, "right": right}


def function(kind, argument, result, low, high, **own):
    return {"kind": kind, "argument": argument, "result": result, "low": low, "high": high, **own}


def digits(bits, low, high):
    """The two functions that make a wide integer of two int8 digits."""
    return [function(kind, [1, 0], [1, 0], low, high, bits=bits) for kind in ("HighDigit", "LowDigit")]


def activate(value, multipliers, shift, function):
    return {"op": "Activate", "input": value, "multipliers": multipliers, "shift": shift, "function": function}


def transpose(value, axes):
    return {"op": "Transpose", "input": value, "axes": axes}


def cut(value, *stretches):
    return {"op": "Slice", "input": value, "stretches": [list(stretch) for stretch in stretches]}


def concat(values, along):
    return {"op": "Concat", "inputs": values, "axis": along}


def pad(value, before, after, constant=0):
    return {"op": "Pad", "input": value, "before": before, "after": after, "value": constant}


def expand(value, shape):
    return {"op": "Expand", "input": value, "shape": shape}


def elements(shape):
    return functools.reduce(lambda a, b: a * b, shape, 1)


def operands(node):
    """The values a node reads."""
    if node["op"] == "Sum":
        return [value for value, _ in node["terms"]]
    if node["op"] == "Product":
        return [node["left"], node["right"]]
    return node["inputs"] if node["op"] == "Concat" else [node["input"]]


# ---- G4 to G7: shapes and static ranges ----------------------------------------------------------------------------


def quotient(acc, multiplier, shift):
    return (acc * multiplier + 2 ** (shift - 1)) // 2**shift


def window_count(length, kernel, stride, dilation, before, after):
    return (length + before + after - (kernel - 1) * dilation - 1) // stride + 1


def windowed(shape, window):
    return [window_count(length, *numbers) for length, numbers in zip(shape, window)]


def padded(bounds, window):
    if any(numbers[3] or numbers[4] for numbers in window):
        return min(bounds[0], 0), max(bounds[1], 0)
    return bounds


def corners(a, b):
    products = [x * y for x in a for y in b]
    return min(products), max(products)


def products_and_bias(k, bounds, w, b):
    least, most = corners(bounds, (w["low"], w["high"]))
    return [k * least + b["low"], k * most + b["high"]]


def accumulator_type(node, params, shapes, ranges):
    """Shape and static range of a value of G4."""
    shape, bounds, op = shapes[0], ranges[0], node["op"]
    if op == "Linear":
        w, b = params[node["weight"]], params[node["bias"]]
        return shape[:-1] + b["shape"], products_and_bias(shape[-1], bounds, w, b)
    if op == "Convolve":
        w, b = params[node["weight"]], params[node["bias"]]
        shape = windowed(shape, node["window"]) + b["shape"]
        return shape, products_and_bias(elements(w["shape"][1:]), padded(bounds, node["window"]), w, b)
    if op == "WindowSum":
        taps = node["window"][0][0] * node["window"][1][0]
        ends = padded(bounds, node["window"])
        return windowed(shape, node["window"]) + shape[2:], [taps * end for end in ends]
    if op == "Product":
        return shape, list(corners(*ranges))
    each = [corners(r, (c, c)) for r, (_, c) in zip(ranges, node["terms"])]
    return shape, [sum(low for low, _ in each), sum(high for _, high in each)]


def quotient_ends(node, bounds):
    ends = [quotient(acc, m, node["shift"]) for acc in bounds for m in node["multipliers"]]
    return [min(ends), max(ends)]


def value_type(node, params, shapes, ranges):
    """Shape, static range and quotient range of the value of a node."""
    op, shape = node["op"], shapes[0]
    if op in ("Linear", "Convolve", "WindowSum", "Sum", "Product"):
        return *accumulator_type(node, params, shapes, ranges), None
    if op == "Requantise":
        wide = quotient_ends(node, ranges[0])
        return shape, [clamp(end, node["low"], node["high"]) for end in wide], wide
    if op == "Activate":
        wide, f = quotient_ends(node, ranges[0]), node["function"]
        first, last = (clamp(end, f["low"], f["high"]) for end in wide)
        reachable = [entry(f, y) for y in range(first, last + 1)]
        return shape, [min(reachable), max(reachable)], wide
    if op == "ArgMax":
        return shape[:-1], [0, shape[-1] - 1], None
    if op == "WindowMax":
        return windowed(shape, node["window"]) + shape[2:], ranges[0], None
    if op in ("Reshape", "Expand"):
        return node["shape"], ranges[0], None
    if op == "Transpose":
        return [shape[a] for a in node["axes"]], ranges[0], None
    if op == "Slice":
        return [count for _, _, count in node["stretches"]], ranges[0], None
    if op == "Concat":
        along = node["axis"]
        shape = shape[:along] + [sum(s[along] for s in shapes)] + shape[along + 1 :]
        return shape, [min(r[0] for r in ranges), max(r[1] for r in ranges)], None
    shape = [b + n + a for b, n, a in zip(node["before"], shape, node["after"])]
    return shape, [min(ranges[0][0], node["value"]), max(ranges[0][1], node["value"])], None


def analyse(graph):
    """Shapes and static ranges of all values, and the quotient range of each node."""
    shapes = [i["shape"] for i in graph["inputs"]]
    ranges = [[-128, 127] for _ in graph["inputs"]]
    quotients = []
    for node in graph["nodes"]:
        read = operands(node)
        found = value_type(node, graph["params"], [shapes[v] for v in read], [ranges[v] for v in read])
        shapes.append(found[0])
        ranges.append(found[1])
        quotients.append(found[2])
    return shapes, ranges, quotients


def macs(graph):
    shapes, total = analyse(graph)[0], 0
    for shape, node in zip(shapes[len(graph["inputs"]) :], graph["nodes"]):
        if node["op"] in ("Linear", "Convolve"):
            total += elements(shape) * elements(graph["params"][node["weight"]]["shape"][1:])
    return total


# ---- G10: evaluation -------------------------------------------------------------------------------------------------


def positions(shape):
    return itertools.product(*(range(n) for n in shape))


def grid(shape, flat):
    """The elements by position."""
    return dict(zip(positions(shape), flat))


def taps(window, y, x):
    """The positions under the taps of one window, with the number of the tap; padding has positions outside."""
    (kh, sh, dh, top, _), (kw, sw, dw, left, _) = window
    for a, b in itertools.product(range(kh), range(kw)):
        yield (a, b), (y * sh + a * dh - top, x * sw + b * dw - left)


def convolution(node, shape, x, out, w, b):
    """`w` and `x` by position."""
    per_group, filters = shape[2] // node["groups"], out[2] // node["groups"]
    for row, column, i in positions(out):
        first = i // filters * per_group
        yield b[i] + sum(
            w[i, a, c, j] * x.get((*at, first + j), 0)
            for (a, c), at in taps(node["window"], row, column)
            for j in range(per_group)
        )


def arranged(node, shapes, out, values):
    """The value of an op of G7, from the formulas."""
    op, x = node["op"], grid(shapes[0], values[0])
    if op == "Reshape":
        return list(values[0])
    if op == "Transpose":
        moved = {tuple(p[a] for a in node["axes"]): element for p, element in x.items()}
        return [moved[p] for p in positions(out)]
    if op == "Slice":
        source = lambda p: tuple(start + i * step for i, (start, step, _) in zip(p, node["stretches"]))
        return [x[source(p)] for p in positions(out)]
    if op == "Pad":
        source = lambda p: tuple(i - b for i, b in zip(p, node["before"]))
        return [x.get(source(p), node["value"]) for p in positions(out)]
    if op == "Expand":
        source = lambda p: tuple(0 if n == 1 else i for i, n in zip(p, shapes[0]))
        return [x[source(p)] for p in positions(out)]
    joined, offset, along = {}, 0, node["axis"]
    for shape, flat in zip(shapes, values):
        for p, element in grid(shape, flat).items():
            joined[p[:along] + (p[along] + offset,) + p[along + 1 :]] = element
        offset += shape[along]
    return [joined[p] for p in positions(out)]


def per_channel(node, x):
    multipliers = itertools.cycle(node["multipliers"])
    return [quotient(acc, m, node["shift"]) for acc, m in zip(x, multipliers)]


def node_value(node, graph, parameters, shapes, values, out):
    op, x, shape = node["op"], values[0], shapes[0]
    if op == "Linear":
        w, b, k = parameters[node["weight"]], parameters[node["bias"]], shape[-1]
        rows = [x[i : i + k] for i in range(0, len(x), k)]
        return [b[i] + sum(w[i * k + j] * row[j] for j in range(k)) for row in rows for i in range(len(b))]
    if op == "Convolve":
        w = grid(graph["params"][node["weight"]]["shape"], parameters[node["weight"]])
        return list(convolution(node, shape, grid(shape, x), out, w, parameters[node["bias"]]))
    if op in ("WindowSum", "WindowMax"):
        x, reduce = grid(shape, x), sum if op == "WindowSum" else max
        under = lambda r, c, i: [x[(*at, i)] for _, at in taps(node["window"], r, c) if (*at, i) in x]
        return [reduce(under(*p)) for p in positions(out)]
    if op == "Sum":
        return [sum(c * e for (_, c), e in zip(node["terms"], column)) for column in zip(*values)]
    if op == "Product":
        return [a * b for a, b in zip(*values)]
    if op == "Requantise":
        return [clamp(y, node["low"], node["high"]) for y in per_channel(node, x)]
    if op == "Activate":
        f = node["function"]
        return [entry(f, clamp(y, f["low"], f["high"])) for y in per_channel(node, x)]
    if op == "ArgMax":
        rows = [x[i : i + shape[-1]] for i in range(0, len(x), shape[-1])]
        return [row.index(max(row)) for row in rows]
    return arranged(node, shapes, out, values)


def evaluate(graph, parameters, inputs):
    shapes, ranges, _ = analyse(graph)
    values = [list(i) for i in inputs]
    for node in graph["nodes"]:
        out, (low, high), read = shapes[len(values)], ranges[len(values)], operands(node)
        y = node_value(node, graph, parameters, [shapes[v] for v in read], [values[v] for v in read], out)
        assert len(y) == elements(out) and all(low <= v <= high for v in y)
        values.append(y)
    return values


# ---- G9: encoding ----------------------------------------------------------------------------------------------------


def u32(*numbers):
    return b"".join(struct.pack("<I", x) for x in numbers)


def items(encoded):
    encoded = list(encoded)
    return u32(len(encoded)) + b"".join(encoded)


def words(numbers):
    return items(u32(x) for x in numbers)


def encode_name(name):
    return u32(len(name)) + name.encode()


def encode_scale(mantissa, shift):
    return u32(mantissa) + bytes([shift])


def encode_spec(s):
    head = encode_name(s["name"]) + bytes([TAG[s["dtype"]]]) + words(s["shape"])
    return head + encode_scale(s["mantissa"], s["shift"])


def encode_param(p):
    return bytes([TAG[p["dtype"]]]) + words(p["shape"]) + struct.pack("<qq", p["low"], p["high"])


def encode_function(f):
    scales = [f[key] for key in ("slope", "alpha", "beta") if key in f] + [f["argument"], f["result"]]
    ends = struct.pack("<hh", f["low"], f["high"])
    kind = [1 + KINDS.index(f["kind"])] + ([f["bits"]] if "bits" in f else [])
    return bytes(kind) + b"".join(encode_scale(*s) for s in scales) + ends


def encode_window(window):
    return b"".join(u32(*numbers) for numbers in window)


ENCODERS = {
    "Linear": (1, lambda n: u32(n["input"], n["weight"], n["bias"])),
    "Requantise": (
        2,
        lambda n: u32(n["input"]) + words(n["multipliers"]) + struct.pack("<Bbb", n["shift"], n["low"], n["high"]),
    ),
    "ArgMax": (3, lambda n: u32(n["input"])),
    "Reshape": (4, lambda n: u32(n["input"]) + words(n["shape"])),
    "Convolve": (
        5,
        lambda n: u32(n["input"], n["weight"], n["bias"]) + encode_window(n["window"]) + u32(n["groups"]),
    ),
    "WindowSum": (6, lambda n: u32(n["input"]) + encode_window(n["window"])),
    "WindowMax": (7, lambda n: u32(n["input"]) + encode_window(n["window"])),
    "Sum": (8, lambda n: items(struct.pack("<Ii", *term) for term in n["terms"])),
    "Product": (9, lambda n: u32(n["left"], n["right"])),
    "Activate": (
        10,
        lambda n: u32(n["input"]) + words(n["multipliers"]) + bytes([n["shift"]]) + encode_function(n["function"]),
    ),
    "Transpose": (11, lambda n: u32(n["input"], len(n["axes"])) + bytes(n["axes"])),
    "Slice": (12, lambda n: u32(n["input"]) + items(struct.pack("<IiI", *s) for s in n["stretches"])),
    "Concat": (13, lambda n: words(n["inputs"]) + bytes([n["axis"]])),
    "Pad": (14, lambda n: u32(n["input"]) + words(n["before"]) + words(n["after"]) + struct.pack("<b", n["value"])),
    "Expand": (15, lambda n: u32(n["input"]) + words(n["shape"])),
}


def encode_node(node):
    tag, fields = ENCODERS[node["op"]]
    return bytes([tag]) + fields(node)


def encode(graph):
    return (
        b"\x01"
        + items(encode_spec(s) for s in graph["inputs"])
        + items(encode_param(p) for p in graph["params"])
        + items(encode_node(n) for n in graph["nodes"])
        + items(u32(o["value"]) + encode_spec(o) for o in graph["outputs"])
    )


def encode_manifest(name, graph):
    return encode_name(name) + encode(graph) + struct.pack("<H", 1) + bytes(32)
