"""Accepted graphs of Activate."""

import random

from functions import KINDS
from integer_graph import *

# Name, note, scale of the argument, of the result, ends of the table.
TABLES = [
    ("narrow", "x from -8 to 8", [1, 4], [1, 7], -128, 127),
    ("largest", "4096 arguments, odd scales", [77, 10], [51, 12], -2048, 2047),
    ("lopsided", "mostly below zero, coarse result", [3, 2], [5, 3], -100, 30),
    ("fine", "x from -1/4 to 1/4, every entry in use", [1, 10], [1, 10], -256, 255),
    ("tail", "steps of 1 around -64 and 64", [1, 0], [1, 1], -66, 66),
    ("ties", "halves of the result's unit", [1, 1], [1, 0], -20, 20),
    ("lowest", "the first 4096 of int16, the largest scales", [2**32 - 1, 0], [2**32 - 1, 0], -32768, -28673),
    ("highest", "the last 4096 of int16, the smallest result scale", [2**32 - 1, 0], [1, 62], 28672, 32767),
    ("smallest", "the smallest scales", [1, 62], [1, 62], -32768, -32700),
    ("one", "a table of one entry", [1, 1], [1, 6], 3, 3),
]

# Scales of the kinds that have some, by table.
SLOPES = {"ties": [1, 1], "lowest": [2**32 - 1, 0], "smallest": [1, 62]}
BITS = {"ties": 1, "largest": 5, "lowest": 7}
HARD = {"ties": ([1, 2], [1, 1]), "lowest": ([2**32 - 1, 0], [2**32 - 1, 0]), "narrow": ([1, 1], [3, 3])}


def scales(kind, table):
    if kind == "LeakyRelu":
        return {"slope": SLOPES.get(table, [13, 7])}
    if kind == "HardSigmoid":
        alpha, beta = HARD.get(table, ([51, 8], [1, 1]))
        return {"alpha": alpha, "beta": beta}
    return {"bits": BITS.get(table, 3)} if kind.endswith("Digit") else {}


def every_kind(table, argument, result, low, high, arguments):
    """All functions of arguments that stand in the bias: with multiplier 2 and shift 1 the quotient is the sum."""
    n = len(arguments)
    nodes = [linear(0, 0, 1)]
    for kind in KINDS:
        f = function(kind, argument, result, low, high, **scales(kind, table))
        nodes.append(activate(1, [2], 1, f))
    graph = {
        "inputs": [spec("x", "int8", [1])],
        "params": [weights(n, 1, 0, 0), biases(n, min(arguments), max(arguments))],
        "nodes": nodes,
        "outputs": [output(2 + i, kind, "int8", [n]) for i, kind in enumerate(KINDS)],
    }
    return graph, [[0] * n, arguments], [[[0]]]


def accepted():
    rng = random.Random(48)
    for name, note, argument, result, low, high in TABLES:
        if high - low < 600:
            arguments = list(range(low - 3, high + 4))
        else:
            ends = [*range(low - 3, low + 12), *range(high - 11, high + 4)]
            around = [y for y in range(-30, 31) if low <= y <= high]
            arguments = sorted({*ends, *around, *(rng.randint(low, high) for _ in range(120))})
        yield f"functions-{name}", note, *every_kind(name, argument, result, low, high, arguments)

    graph = {
        "inputs": [spec("x", "int8", [2, 2])],
        "params": [weights(3, 2), biases(3, -1000, 1000)],
        "nodes": [
            linear(0, 0, 1),
            activate(1, [1 << 24, 0, 3 << 22], 30, function("Silu", [1, 6], [1, 4], -300, 90)),
            activate(1, [1 << 20], 30, function("Tanh", [1, 1], [1, 7], -5, 5)),
        ],
        "outputs": [output(1, "acc", "int32", [2, 3]), output(2, "a", "int8", [2, 3]), output(3, "b", "int8", [2, 3])],
    }
    yield "activate-per-channel", "a multiplier per channel; a range from the reachable entries", graph, None, None
