"""G9 of graph.md, read: manifests as the dictionaries of `vectors/graph/integer_graph.py`, whose rules are those of
`vectors/graph/rules.py`.
"""

import math
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "vectors" / "graph"))

import integer_graph  # noqa: E402
import rules  # noqa: E402
from functions import KINDS  # noqa: E402

from zk.refusal import Refused, require  # noqa: E402

TYPES = {tag: name for name, tag in integer_graph.TAG.items()}
NAME_BYTES = frozenset(range(0x21, 0x7F)) - set(b'"\\')


def name(r):
    size = r.u32()
    require(size <= 64, "wire.too_long")
    data = r.take(size)
    require(size >= 1 and set(data) <= NAME_BYTES, "wire.invalid")
    return data.decode()


def dtype(r):
    tag = r.u8()
    require(tag in TYPES, "wire.bad_tag")
    return TYPES[tag]


def shape(r):
    axes = r.words(8)
    require(all(axes) and math.prod(axes) <= 2**22, "wire.invalid")
    return axes


def scale(r):
    mantissa, shift = r.u32(), r.u8()
    require(mantissa >= 1 and shift <= 62 and (mantissa % 2 or shift == 0), "wire.invalid")
    return [mantissa, shift]


def spec(r):
    out = {"name": name(r), "dtype": dtype(r), "shape": shape(r)}
    out["mantissa"], out["shift"] = scale(r)
    return out


def param(r):
    return {"dtype": dtype(r), "shape": shape(r), "low": r.number(8, True), "high": r.number(8, True)}


def window(r):
    return [[r.u32() for _ in range(5)] for _ in range(2)]


def function(r):
    kind = r.u8()
    require(1 <= kind <= len(KINDS), "wire.bad_tag")
    out = {"kind": KINDS[kind - 1]}
    for key in {"LeakyRelu": ["slope"], "HardSigmoid": ["alpha", "beta"]}.get(out["kind"], []):
        out[key] = scale(r)
    if out["kind"] in ("HighDigit", "LowDigit"):
        out["bits"] = r.u8()
    out["argument"], out["result"] = scale(r), scale(r)
    return out | {"low": r.number(2, True), "high": r.number(2, True)}


def int8(r):
    return r.number(1, True)


def i32(r):
    return r.number(4, True)


def multipliers(r):
    return r.words(2**22)


def fields(**readers):
    return lambda r: {key: read(r) for key, read in readers.items()}


def u32(r):
    return r.u32()


def axes(r):
    return r.listed(r.u8, 8)


def lengths(r):
    return r.words(8)


NODES = {
    1: ("Linear", fields(input=u32, weight=u32, bias=u32)),
    2: ("Requantise", fields(input=u32, multipliers=multipliers, shift=lambda r: r.u8(), low=int8, high=int8)),
    3: ("ArgMax", fields(input=u32)),
    4: ("Reshape", fields(input=u32, shape=shape)),
    5: ("Convolve", fields(input=u32, weight=u32, bias=u32, window=window, groups=u32)),
    6: ("WindowSum", fields(input=u32, window=window)),
    7: ("WindowMax", fields(input=u32, window=window)),
    8: ("Sum", fields(terms=lambda r: r.listed(lambda: [r.u32(), i32(r)], 16))),
    9: ("Product", fields(left=u32, right=u32)),
    10: ("Activate", fields(input=u32, multipliers=multipliers, shift=lambda r: r.u8(), function=function)),
    11: ("Transpose", fields(input=u32, axes=axes)),
    12: ("Slice", fields(input=u32, stretches=lambda r: r.listed(lambda: [r.u32(), i32(r), r.u32()], 8))),
    13: ("Concat", fields(inputs=lambda r: r.words(16), axis=lambda r: r.u8())),
    14: ("Pad", fields(input=u32, before=lengths, after=lengths, value=int8)),
    15: ("Expand", fields(input=u32, shape=shape)),
}


def node(r):
    tag = r.u8()
    require(tag in NODES, "wire.bad_tag")
    op, read = NODES[tag]
    return {"op": op, **read(r)}


def output(r):
    return {"value": r.u32(), **spec(r)}


def graph(r):
    require(r.u8() == 1, "wire.bad_tag", "version of the graph")
    out = {
        "inputs": r.listed(lambda: spec(r), 16),
        "params": r.listed(lambda: param(r), 1024),
        "nodes": r.listed(lambda: node(r), 1024),
        "outputs": r.listed(lambda: output(r), 16),
    }
    try:
        rules.check(out)
    except rules.Broken as broken:
        raise Refused("wire.invalid", broken.code) from None
    return out


def manifest(r):
    start = r.at
    out = {"name": name(r), "graph": graph(r), "render": r.number(2), "tokenizer": r.take(32)}
    out["bytes"] = r.data[start : r.at]
    return out
