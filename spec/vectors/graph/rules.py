"""The rules G1 to G8 of spec/graph.md: which graphs are graphs."""

from integer_graph import elements, operands, quotient_ends, value_type, windowed

MATRICES = ("Linear", "Convolve")
ACCUMULATORS = (*MATRICES, "WindowSum", "Sum", "Product")
COUNTS = {"inputs": 16, "params": 1024, "nodes": 1024, "outputs": 16}
ENDS = {"int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1)}
ENDS["int64"] = -(2**63), 2**63 - 1


class Broken(Exception):
    """A rule that does not hold, by its code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def require(holds, rule):
    if not holds:
        raise Broken("graph." + rule)


class Value:
    """`op` is that of the node, None for an input."""

    def __init__(self, dtype, shape, bounds, op=None):
        self.dtype, self.shape, self.bounds, self.op = dtype, shape, bounds, op


# ---- G4 to G7 ------------------------------------------------------------------------------------------------------


def check_axis(length, numbers):
    """G4.4."""
    kernel, stride, dilation, before, after = numbers
    reach = (kernel - 1) * dilation + 1
    require(all(1 <= n <= 1024 for n in (kernel, stride, dilation)) and reach <= 1024, "window")
    require(before < reach and after < reach and length + before + after >= reach, "window")


def check_image(read, window):
    require(read.dtype == "int8", "element_type")
    require(len(read.shape) == 3, "rank")
    for length, numbers in zip(read.shape, window):
        check_axis(length, numbers)


def check_param(found, dtype, shape):
    require(found["dtype"] == dtype, "element_type")
    require(elements(shape) <= 2**22, "too_large")
    require(found["shape"] == shape, "shape")


def check_linear(node, read, weight, bias):
    require(read.dtype == "int8", "element_type")
    require(read.shape and len(weight["shape"]) == 2, "rank")
    rows = weight["shape"][0]
    check_param(weight, "int8", [rows, read.shape[-1]])
    check_param(bias, "int32", [rows])


def check_convolve(node, read, weight, bias):
    check_image(read, node["window"])
    require(weight["dtype"] == "int8", "element_type")
    require(len(weight["shape"]) == 4, "rank")
    rows, groups, channels = weight["shape"][0], node["groups"], read.shape[2]
    require(groups >= 1 and channels % groups == 0 and rows % groups == 0, "groups")
    check_param(weight, "int8", [rows, *(numbers[0] for numbers in node["window"]), channels // groups])
    check_param(bias, "int32", [rows])


def check_sum(node, reads):
    require(1 <= len(reads) <= 16, "length")
    for read in reads:
        require(read.dtype == "int8" or read.op in ACCUMULATORS and read.op != "Sum", "not_accumulator")
        require(read.shape == reads[0].shape, "shape")


def check_product(node, left, right):
    require(left.dtype == right.dtype == "int8", "element_type")
    require(left.shape == right.shape, "shape")


def check_quotients(node, read):
    """G5.1 to G5.4."""
    require(read.op in ACCUMULATORS, "not_accumulator")
    channels = read.shape[-1] if read.shape else 1
    require(len(node["multipliers"]) in (1, channels), "length")
    require(all(0 <= m < 2**31 for m in node["multipliers"]) and 1 <= node["shift"] <= 60, "range")
    most = max(map(abs, read.bounds)) * max(node["multipliers"])
    require(most + 2 ** node["shift"] < 2**62, "product_overflow")
    low, high = quotient_ends(node, read.bounds)
    require(high - low < 2**24, "quotient_too_wide")


def check_requantise(node, read):
    check_quotients(node, read)
    require(-128 <= node["low"] <= node["high"] <= 127, "range")


def check_activate(node, read):
    check_quotients(node, read)
    function = node["function"]
    require(-(2**15) <= function["low"] <= function["high"] < 2**15, "range")
    require(function["high"] - function["low"] < 4096, "range")
    require(1 <= function.get("bits", 1) <= 7, "range")


def check_max(node, read):
    """G6.1: along each axis some tap of each window is an element."""
    check_image(read, node["window"])
    for length, count, numbers in zip(read.shape, windowed(read.shape, node["window"]), node["window"]):
        kernel, stride, dilation, before, _ = numbers
        for y in range(count):
            start = y * stride - before
            # The first tap that is not in front of the elements.
            tap = max(0, -(start // dilation))
            require(tap < kernel and start + tap * dilation < length, "window")


def check_transpose(node, read):
    require(sorted(node["axes"]) == list(range(len(read.shape))), "arrangement")


def check_slice(node, read):
    require(len(node["stretches"]) == len(read.shape), "arrangement")
    for length, (start, step, count) in zip(read.shape, node["stretches"]):
        ends = start, start + (count - 1) * step
        require(count >= 1 and step != 0 and all(0 <= end < length for end in ends), "arrangement")


def check_concat(node, reads):
    require(1 <= len(reads) <= 16, "length")
    along, first = node["axis"], reads[0].shape
    require(along < len(first), "arrangement")
    for read in reads:
        require(len(read.shape) == len(first), "arrangement")
        require(read.shape[:along] == first[:along] and read.shape[along + 1 :] == first[along + 1 :], "arrangement")


def check_pad(node, read):
    require(len(node["before"]) == len(node["after"]) == len(read.shape), "arrangement")


def check_expand(node, read):
    require(len(node["shape"]) == len(read.shape), "shape")
    require(all(n in (1, wanted) for n, wanted in zip(read.shape, node["shape"])), "shape")


ARRANGEMENTS = {
    "Transpose": check_transpose,
    "Slice": check_slice,
    "Pad": check_pad,
    "Expand": check_expand,
}


def check_node(node, reads, params, outputs):
    """The rules of the op, before its shape and its range are known."""
    op = node["op"]
    if op in MATRICES:
        weight, bias = params
        (check_linear if op == "Linear" else check_convolve)(node, reads[0], weight, bias)
    elif op == "WindowSum":
        check_image(reads[0], node["window"])
    elif op == "Sum":
        check_sum(node, reads)
    elif op == "Product":
        check_product(node, *reads)
    elif op == "Requantise":
        check_requantise(node, reads[0])
    elif op == "Activate":
        check_activate(node, reads[0])
    elif op == "WindowMax":
        check_max(node, reads[0])
    elif op == "ArgMax":
        require(node["input"] in outputs, "hidden_argmax")
        require(reads[0].shape, "rank")
    elif op == "Reshape":
        require(elements(node["shape"]) == elements(reads[0].shape), "shape")
    else:
        require(all(read.dtype == "int8" for read in reads), "element_type")
        check_concat(node, reads) if op == "Concat" else ARRANGEMENTS[op](node, reads[0])


def made(node, reads, params):
    """The value of a node."""
    shape, bounds, _ = value_type(node, params, [read.shape for read in reads], [read.bounds for read in reads])
    require(elements(shape) <= 2**22, "too_large")
    op = node["op"]
    if op in ACCUMULATORS:
        low, high = ENDS["int32"]
        require(low <= bounds[0] and bounds[1] <= high, "accumulator_overflow")
    dtype = "int32" if op in ACCUMULATORS or op == "ArgMax" else reads[0].dtype if op == "Reshape" else "int8"
    return Value(dtype, shape, bounds, op)


# ---- the graph -------------------------------------------------------------------------------------------------------


def work(node, shape, params):
    """G2.4."""
    op = node["op"]
    if op in MATRICES:
        return elements(shape) * elements(params[node["weight"]]["shape"][1:])
    if op in ("WindowSum", "WindowMax"):
        return elements(shape) * node["window"][0][0] * node["window"][1][0]
    return 0


def check_parts(graph):
    """G2.1, G2.2 of the parameters, G2.3 and G3."""
    for part, limit in COUNTS.items():
        require(1 <= len(graph[part]) <= limit, "count")
    require(sum(elements(p["shape"]) for p in graph["params"]) <= 2**26, "count")
    tables = [n["function"] for n in graph["nodes"] if n["op"] == "Activate"]
    require(sum(max(f["high"] - f["low"] + 1, 0) for f in tables) <= 2**17, "count")
    require(all(i["dtype"] == "int8" for i in graph["inputs"]), "element_type")
    for p in graph["params"]:
        low, high = ENDS[p["dtype"]]
        require(low <= p["low"] <= p["high"] <= high, "range")


def check_outputs(graph, values):
    """G8."""
    inputs, outputs = graph["inputs"], graph["outputs"]
    for names in ([i["name"] for i in inputs], [o["name"] for o in outputs], [o["value"] for o in outputs]):
        require(len(set(names)) == len(names), "repeated")
    for o in outputs:
        require(len(inputs) <= o["value"] < len(values), "unknown_value")
        require(o["dtype"] == values[o["value"]].dtype, "element_type")
        require(o["shape"] == values[o["value"]].shape, "shape")
    used = {v for node in graph["nodes"] for v in operands(node)} | {o["value"] for o in outputs}
    require(used == set(range(len(values))), "unused")
    used = {node[key] for node in graph["nodes"] if node["op"] in MATRICES for key in ("weight", "bias")}
    require(used == set(range(len(graph["params"]))), "unused")


def check(graph):
    """Raises `Broken` with the code of a rule that does not hold."""
    check_parts(graph)
    values = [Value("int8", i["shape"], ENDS["int8"]) for i in graph["inputs"]]
    params, outputs, total = graph["params"], {o["value"] for o in graph["outputs"]}, 0
    for node in graph["nodes"]:
        numbers = operands(node)
        require(all(0 <= v < len(values) for v in numbers), "unknown_value")
        reads, own = [values[v] for v in numbers], []
        if node["op"] in MATRICES:
            require(all(node[key] < len(params) for key in ("weight", "bias")), "unknown_param")
            own = [params[node["weight"]], params[node["bias"]]]
        check_node(node, reads, own, outputs)
        values.append(made(node, reads, params))
        total += work(node, values[-1].shape, params)
    require(total <= 2**40 and sum(elements(v.shape) for v in values) <= 2**24, "count")
    check_outputs(graph, values)
