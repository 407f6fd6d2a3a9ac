"""Refused graphs, each with the code of the rule it breaks, and refused bytes."""

import copy

from dense import mlp, one_layer
from integer_graph import *
from wide import constants


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


def dense_graphs():
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
    yield "scalar-input", "graph.rank", c(at(["inputs", 0, "shape"], []))
    yield "matrix-input", "graph.shape", c(at(["inputs", 0, "shape"], [2, 2]))
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


# ---- one node that is refused ----------------------------------------------------------------------------------------


FILTERS = [param("int8", [4, 3, 3, 2], -128, 127), biases(4, -500, 500)]


def ending(*nodes, shapes=((4, 5, 2),), params=FILTERS):
    """A graph whose last node is wrong; nobody looks at the output."""
    return {
        "inputs": [spec(f"x{i}", "int8", list(shape)) for i, shape in enumerate(shapes)],
        "params": params,
        "nodes": list(nodes),
        "outputs": [output(len(shapes) + len(nodes) - 1, "y", "int32", [1])],
    }


def square(*numbers):
    return [axis(*numbers), axis(*numbers)]


def windows():
    """Windows that do not fit 4 rows of 5 elements."""
    one = axis(1)
    yield "kernel-0", [axis(0), one]
    yield "stride-0", [one, axis(1, 0)]
    yield "dilation-0", [axis(1, 1, 0), one]
    yield "kernel-1025", [axis(1025, 1, 1, 1023, 1023), one]
    yield "stride-1025", [one, axis(1, 1025)]
    yield "dilation-1025", [one, axis(1, 1, 1025)]
    yield "reach-1025", [axis(2, 1, 1024, 1023, 1023), one]
    yield "reach-huge", [axis(1024, 1, 1024), one]
    yield "numbers-huge", [[2**32 - 1] * 5, one]
    yield "kernel-above-height", [axis(5), one]
    yield "reach-above-width", [one, axis(3, 1, 3, 1)]
    yield "padding-of-reach", [axis(2, 1, 1, 2, 0), one]
    yield "padding-behind-of-reach", [one, axis(1, 1, 1, 0, 1)]
    yield "padding-huge", [axis(2, 1, 1, 0, 2**32 - 1), one]


def window_ops():
    for name, window in windows():
        yield f"window-{name}", "graph.window", ending(window_sum(0, window))
    kernel = [axis(3), axis(3, 1, 1, 3)]
    yield "convolve-padding-of-reach", "graph.window", ending(convolve(0, 0, 1, kernel))
    yield "max-kernel-above-width", "graph.window", ending(window_max(0, [axis(1), axis(6)]))
    # Taps 3 apart over one element, with 1 in front: the first window has both taps in padding.
    narrow = axis(2, 1, 3, 1, 2)
    yield "max-of-padding", "graph.window", ending(window_max(0, [narrow, axis(1)]), shapes=[[1, 1, 1]])
    yield "max-of-padding-width", "graph.window", ending(window_max(0, [axis(1), narrow]), shapes=[[1, 1, 1]])
    late = axis(3, 2, 4, 7, 8)
    assert analyse(ending(window_sum(0, [late, axis(1)]), shapes=[[3, 1, 1]]))[0][1] == [5, 1, 1]
    yield "max-of-padding-later", "graph.window", ending(window_max(0, [late, axis(1)]), shapes=[[3, 1, 1]])

    for name, op in (("sum", window_sum), ("max", window_max)):
        yield f"{name}-matrix", "graph.rank", ending(op(0, square(1)), shapes=[[4, 5]])
        yield f"{name}-four-axes", "graph.rank", ending(op(0, square(1)), shapes=[[1, 4, 5, 2]])
        yield f"{name}-accumulators", "graph.element_type", ending(window_sum(0, square(1)), op(1, square(1)))
        # 1023 windows more on each axis than elements.
        large = [[1025, 2048, 1]]
        yield f"{name}-too-large", "graph.too_large", ending(op(0, square(1024, 1, 1, 1023, 1023)), shapes=large)
        # 2^20 taps of 2^21 elements.
        work = ending(op(0, square(1024, 1, 1, 512, 511)), shapes=[[1024, 2048, 1]])
        yield f"{name}-work", "graph.count", work


def convolutions():
    good = square(3)
    yield "convolve-matrix", "graph.rank", ending(convolve(0, 0, 1, good), shapes=[[4, 5]])
    twice = ending(convolve(0, 0, 1, good), convolve(1, 0, 1, good))
    yield "convolve-accumulators", "graph.element_type", twice
    swapped = ending(convolve(0, 1, 0, good))
    yield "convolve-weight-int32", "graph.element_type", swapped
    yield "convolve-bias-int8", "graph.element_type", ending(convolve(0, 0, 0, good))
    flat = ending(convolve(0, 0, 1, good), params=[weights(4, 18), FILTERS[1]])
    yield "convolve-flat-weight", "graph.rank", flat
    yield "convolve-no-weight", "graph.unknown_param", ending(convolve(0, 2, 1, good))
    yield "convolve-no-value", "graph.unknown_value", ending(convolve(1, 0, 1, good))
    yield "convolve-other-kernel", "graph.shape", ending(convolve(0, 0, 1, [axis(3), axis(2)]))
    yield "convolve-other-channels", "graph.shape", ending(convolve(0, 0, 1, good), shapes=[[4, 5, 3]])
    first = ending(convolve(0, 0, 1, good), params=[param("int8", [4, 2, 3, 3], 0, 1), FILTERS[1]])
    yield "convolve-channels-first", "graph.shape", first
    short = ending(convolve(0, 0, 1, good), params=[FILTERS[0], biases(3, 0, 1)])
    yield "convolve-short-bias", "graph.shape", short
    yield "convolve-depthwise-weight", "graph.shape", ending(convolve(0, 0, 1, good, 2))
    for groups in (0, 3, 4, 2**32 - 1):
        yield f"groups-{groups}", "graph.groups", ending(convolve(0, 0, 1, good, groups))
    odd = [param("int8", [3, 3, 3, 1], 0, 1), biases(3, 0, 1)]
    yield "groups-of-filters", "graph.groups", ending(convolve(0, 0, 1, good, 2), params=odd)
    exact = 2**31 - 1 - 18 * 128 * 128
    over = ending(convolve(0, 0, 1, good), params=[FILTERS[0], biases(4, 0, exact + 1)])
    assert analyse(over)[1][1][1] == 2**31
    yield "convolve-by-one", "graph.accumulator_overflow", over
    # 2^20 filters of 1024 positions.
    many = [param("int8", [2**20, 1, 1, 1], 0, 1), biases(2**20, 0, 1)]
    yield "convolve-too-large", "graph.too_large", ending(convolve(0, 0, 1, square(1)), shapes=[[32, 32, 1]], params=many)
    wide = [param("int8", [2**20, 1], 0, 1), biases(2**20, 0, 1)]
    yield "linear-too-large", "graph.too_large", ending(linear(0, 0, 1), shapes=[[5, 1]], params=wide)
    yield "linear-weight-too-large", "graph.too_large", ending(linear(0, 0, 1), shapes=[[5]], params=wide)
    # 2^22 weights at 2^18 positions and more.
    work = [param("int8", [1, 1024, 1024, 4], 0, 1), biases(1, 0, 1)]
    far = square(1024, 1, 1, 1000, 1000)
    yield "convolve-work", "graph.count", ending(convolve(0, 0, 1, far), shapes=[[512, 512, 4]], params=work)


def elementwise():
    pair = [[2, 3], [2, 3]]
    yield "no-terms", "graph.length", ending(weighted())
    yield "sum-other-shape", "graph.shape", ending(weighted((0, 1), (1, 1)), shapes=[[2, 3], [3, 2]])
    yield "sum-no-value", "graph.unknown_value", ending(weighted((0, 1), (2, 1)), shapes=pair)
    yield "sum-of-sums", "graph.not_accumulator", ending(weighted((0, 1)), weighted((0, 1), (1, 1)))
    moved = ending(product(0, 0), reshape(1, [2, 3]), weighted((0, 1), (2, 1)), shapes=[[2, 3]])
    yield "sum-of-reshaped-accumulators", "graph.not_accumulator", moved
    indices = ending(product(0, 0), arg_max(1), weighted((2, 1)), shapes=[[2, 3]])
    indices["outputs"].append(output(1, "acc", "int32", [2, 3]))
    yield "sum-of-indices", "graph.not_accumulator", indices
    other = ending(product(0, 0), weighted((0, 1), (2, 1)), shapes=[[2, 3]])
    yield "sum-of-later-accumulators", "graph.unknown_value", other
    yield "sum-of-accumulators-of-other-shape", "graph.shape", ending(
        product(0, 0), weighted((1, 1), (2, 1)), shapes=[[2, 3], [3, 2]]
    )
    # Twice 2^14 times 2^16 is one more than int32 holds.
    squares = ending(product(0, 0), weighted((1, 2**16), (1, 2**16)), shapes=[[2, 3]])
    assert analyse(squares)[1][2][1] == 2**31
    yield "sum-of-accumulators-above-int32", "graph.accumulator_overflow", squares
    # 128 * 2^24 is one more than int32 holds; so is the least, with the other sign.
    yield "sum-above-int32", "graph.accumulator_overflow", ending(weighted((0, -(2**24))))
    below = ending(weighted((0, 2**24), (1, 1)), shapes=pair)
    assert analyse(below)[1][2] == [-(2**31) - 128, 127 * (2**24 + 1)]
    yield "sum-below-int32", "graph.accumulator_overflow", below
    yield "sum-far-outside", "graph.accumulator_overflow", ending(weighted(*[(0, -(2**31))] * 16))
    yield "product-other-shape", "graph.shape", ending(product(0, 1), shapes=[[2, 3], [1, 3]])
    yield "product-of-products", "graph.element_type", ending(product(0, 0), product(0, 1))
    yield "product-no-value", "graph.unknown_value", ending(product(0, 1))


def tables():
    acc = weighted((0, 1))

    def table(low, high, multipliers=(1,), shift=1, value=1):
        return activate(value, list(multipliers), shift, function("Gelu", [1, 4], [1, 4], low, high))

    for bits in (0, 8, 255):
        for f in digits(bits, 0, 100):
            yield f"{f['kind']}-{bits}", "graph.range", ending(acc, activate(1, [1], 1, f))
    yield "table-empty", "graph.range", ending(acc, table(1, 0))
    yield "table-4097", "graph.range", ending(acc, table(-2048, 2048))
    yield "table-of-int16", "graph.range", ending(acc, table(-32768, 32767))
    yield "activate-input", "graph.not_accumulator", ending(acc, table(0, 1, value=0))
    yield "activate-int8", "graph.not_accumulator", ending(acc, table(0, 1), table(0, 1, value=2))
    yield "activate-three-multipliers", "graph.length", ending(acc, table(0, 1, [1, 1, 1]))
    per_row = table(0, 1, [1, 1, 1, 1])
    yield "activate-multiplier-per-row", "graph.length", ending(acc, per_row)
    yield "activate-shift-0", "graph.range", ending(acc, table(0, 1, shift=0))
    yield "activate-multiplier-2-31", "graph.range", ending(acc, table(0, 1, [1, 2**31]))
    wide = ending(weighted((0, 2**17)), table(0, 1, [2]))
    assert analyse(wide)[2][1] == [-(2**24), 127 * 2**17]
    yield "activate-quotient-too-wide", "graph.quotient_too_wide", wide
    far = ending(weighted((0, 2**24 - 1)), table(0, 1, [2**31 - 1], 60))
    yield "activate-product-overflow", "graph.product_overflow", far
    yield "tables-2-17", "graph.count", ending(acc, *[table(-2048, 2047)] * 32, table(5, 5))
    # Six partial sums beyond 64 bits, and one short of what brings them back.
    terms = [(1, 2)] + [(1, -(2**31))] * 6 + [(1, 2**31 - 1)] * 2 + [(1, 2), (0, 1)]
    beyond = {**constants(), "outputs": [output(2, "acc", "int32", [4, 1])]}
    beyond["nodes"].append(weighted(*terms))
    yield "sum-beyond-64-bits", "graph.accumulator_overflow", beyond


def arrangements():
    def wrong(name, node, code="graph.arrangement", shapes=((2, 3), (2, 3))):
        return name, code, ending(node, shapes=shapes)

    yield wrong("transpose-short", transpose(0, [0]))
    yield wrong("transpose-long", transpose(0, [0, 1, 2]))
    yield wrong("transpose-repeated", transpose(0, [1, 1]))
    yield wrong("transpose-no-axis", transpose(0, [0, 2]))
    yield wrong("transpose-255", transpose(0, [0, 255]))
    whole = (0, 1, 2)
    yield wrong("slice-short", cut(0, whole))
    yield wrong("slice-long", cut(0, whole, whole, whole))
    yield wrong("slice-count-0", cut(0, whole, (0, 1, 0)))
    yield wrong("slice-step-0", cut(0, whole, (0, 0, 2)))
    yield wrong("slice-start", cut(0, whole, (3, -1, 2)))
    yield wrong("slice-end", cut(0, whole, (0, 2, 3)))
    yield wrong("slice-below-0", cut(0, whole, (1, -1, 3)))
    yield wrong("slice-huge", cut(0, whole, (0, 2**31 - 1, 2**32 - 1)))
    yield wrong("slice-huge-back", cut(0, whole, (2, -(2**31), 2**32 - 1)))
    yield wrong("concat-nothing", concat([], 0), "graph.length")
    yield wrong("concat-axis", concat([0, 1], 2))
    yield wrong("concat-axis-255", concat([0, 1], 255))
    yield wrong("concat-scalars", concat([0, 1], 0), shapes=((), ()))
    yield wrong("concat-other-axis", concat([0, 1], 0), shapes=((2, 3), (2, 4)))
    yield wrong("concat-other-rank", concat([0, 1], 0), shapes=((2, 3), (2, 3, 1)))
    yield wrong("concat-no-value", concat([0, 2], 0), "graph.unknown_value")
    large = ((2**21, 1), (2**21, 1))
    yield wrong("concat-too-large", concat([0, 1, 0], 0), "graph.too_large", large)
    yield wrong("pad-short", pad(0, [1], [1, 1]))
    yield wrong("pad-long", pad(0, [1, 1], [1, 1, 1]))
    yield wrong("pad-too-large", pad(0, [0, 2**22], [0, 0]), "graph.too_large")
    yield wrong("pad-huge", pad(0, [0, 2**32 - 1], [0, 2**32 - 1]), "graph.too_large")
    yield wrong("expand-rank", expand(0, [2, 3, 1]), "graph.shape")
    yield wrong("expand-three", expand(0, [2, 6]), "graph.shape")
    yield wrong("expand-to-one", expand(0, [1, 3]), "graph.shape")
    nodes = {
        "transpose": transpose(1, [0, 1, 2]),
        "slice": cut(1, (0, 1, 1), (0, 1, 1), (0, 1, 1)),
        "concat": concat([0, 1], 0),
        "pad": pad(1, [0] * 3, [0] * 3),
        "expand": expand(1, [4, 5, 2]),
    }
    for name, node in nodes.items():
        yield f"{name}-accumulators", "graph.element_type", ending(weighted((0, 1)), node)
    # Five times 2^22 elements.
    many = [expand(0, [2**22])] * 5
    yield "values-2-24", "graph.count", ending(*many, shapes=[[1]])


# ---- graphs that break one rule and no other -------------------------------------------------------------------------


def only(node, shapes, dtype, shape):
    """A graph whose outputs are right, with a Linear beside the node that reads the parameters."""
    first = len(shapes)
    return {
        "inputs": [spec(f"x{i}", "int8", list(shape)) for i, shape in enumerate(shapes)],
        "params": [weights(1, shapes[0][-1]), biases(1, 0, 0)],
        "nodes": [linear(0, 0, 1), node],
        "outputs": [
            output(first, "acc", "int32", [*shapes[0][:-1], 1]),
            output(first + 1, "y", dtype, shape),
        ],
    }


def many_params():
    """Seventeen matrices of 2^22 elements."""
    rows = range(17)
    return {
        "inputs": [spec("x", "int8", [2**22])],
        "params": [*(weights(1, 2**22, 0, 0) for _ in rows), biases(1, 0, 0)],
        "nodes": [*(linear(0, i, 17) for i in rows), weighted(*((1 + i, 1) for i in rows[:16]))],
        "outputs": [output(17, "last", "int32", [1]), output(18, "sum", "int32", [1])],
    }


def alone():
    pair = [[2, 3], [3, 2]]
    yield "sum-of-two-shapes", "graph.shape", only(weighted((0, 1), (1, 1)), pair, "int32", [2, 3])
    yield "product-of-two-shapes", "graph.shape", only(product(0, 1), pair, "int32", [2, 3])
    yield "concat-of-two-ranks", "graph.arrangement", only(concat([0, 1], 1), [[2, 3], [2]], "int8", [2, 4])
    yield "transpose-of-accumulators", "graph.element_type", only(transpose(1, [1, 0]), [[2, 3]], "int8", [1, 2])
    yield "params-2-26", "graph.count", many_params()


def too_long():
    """Lists that the decoder refuses by their length."""
    yield "seventeen-terms", "graph.length", ending(weighted(*[(0, 1)] * 17))
    yield "seventeen-operands", "graph.length", ending(concat([0] * 17, 0))
    yield "nine-axes-transposed", "graph.arrangement", ending(transpose(0, list(range(9))))
    yield "nine-stretches", "graph.arrangement", ending(cut(0, *[(0, 1, 1)] * 9))
    yield "nine-paddings", "graph.arrangement", ending(pad(0, [0] * 9, [0] * 9))


def graphs():
    chapters = (dense_graphs, window_ops, convolutions, elementwise, tables, arrangements, alone)
    for name, code, graph in (case for chapter in chapters for case in chapter()):
        yield name, code, "wire.too_long" if name == "seventeen-outputs" else "wire.invalid", graph
    for name, code, graph in too_long():
        yield name, code, "wire.too_long", graph


def raw():
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
    yield "op-0", "wire.bad_tag", good.replace(encode_node(mlp()["nodes"][3]), b"\x00" + u32(3))
    yield "op-16", "wire.bad_tag", good.replace(encode_node(mlp()["nodes"][3]), b"\x10" + u32(3))
    yield "name-with-space", "wire.invalid", encode(changed(at(["inputs", 0, "name"], "a b")))
    yield "element-type-5", "wire.bad_tag", good.replace(encode_spec(mlp()["inputs"][0]), b"\x01\0\0\0x\x05" + good[11:25])

    acc, f = weighted((0, 1)), function("LeakyRelu", [1, 4], [1, 4], 0, 1, slope=[1, 3])
    active = encode(ending(acc, activate(1, [1], 1, f)))
    scales = encode_scale(1, 3) + encode_scale(1, 4) * 2
    assert active.count(b"\x07" + scales) == 1
    for kind in (0, 12, 255):
        yield f"function-{kind}", "wire.bad_tag", active.replace(b"\x07" + scales, bytes([kind]) + scales)
    zero = encode_scale(0, 0) + scales[5:]
    yield "slope-0", "wire.invalid", active.replace(scales, zero)
    even = scales[:5] + encode_scale(2, 5) + scales[10:]
    yield "even-argument-scale", "wire.invalid", active.replace(scales, even)
    deep = scales[:10] + encode_scale(1, 63)
    yield "result-shift-63", "wire.invalid", active.replace(scales, deep)
    grown = encode(ending(expand(0, [2**21, 3, 1]), shapes=[[1, 3, 1]]))
    yield "expand-2-22", "wire.invalid", grown
