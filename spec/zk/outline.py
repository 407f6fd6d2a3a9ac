"""W3 of zk.md: the price of a registration, of keys that decode."""

import math

from zk import gas
from zk.manifest import integer_graph

MOVES = ("Transpose", "Slice", "Concat", "Pad", "Expand")


def taps(node):
    """`[kernel, ...]` along height and width."""
    return math.prod(axis[0] for axis in node["window"])


def arguments(functions):
    return sum((f["high"] - f["low"] + 1) * (2 if f["kind"] == "Gelu" else 1) for f in functions)


def different(functions):
    return [f for i, f in enumerate(functions) if f not in functions[:i]]


class Outline:
    """What 2 to 4 count."""

    def __init__(self, key):
        graph = key.circuit.graph
        self.nodes, first = graph["nodes"], len(graph["inputs"])
        # Of each value: whether it is moved, and how many accumulators whoever reads it reads.
        self.is_moved, self.parts = [False] * first, [1] * first
        for node in self.nodes:
            self.add(node)
        moved = (i for i, is_moved in enumerate(self.is_moved) if is_moved)
        self.moved = sum(integer_graph.elements(key.circuit.shapes[i]) for i in moved)
        self.stages = sum(taps(node) - 1 for node in self.nodes if node["op"] == "WindowMax")
        read = [node["input"] for node in self.nodes if node["op"] in ("Requantise", "Activate")]
        read += [output["value"] for output in graph["outputs"]]
        self.uses = sum(self.parts[value] for value in read)
        self.records = len(self.nodes) + len(graph["params"])
        self.functions = [node["function"] for node in self.nodes if node["op"] == "Activate"]

    def add(self, node):
        op = node["op"]
        is_reshape = op == "Reshape"
        moved = op in MOVES or (op == "WindowMax" and taps(node) == 1)
        self.is_moved.append(moved or (is_reshape and self.is_moved[node["input"]]))
        terms = len(node["terms"]) if op == "Sum" else 1
        self.parts.append(self.parts[node["input"]] if is_reshape else terms)


def price(key):
    """W3."""
    outline, layout, tables = Outline(key), key.registration, len(key.weights.sizes)
    made, count = len(outline.nodes) + outline.stages, len(outline.nodes)
    total = 40000 + 500 * outline.records + 100 * outline.moved
    total += 400 * arguments(outline.functions) + 700 * arguments(different(outline.functions))
    total += 300 * len(key.classes) * (made + outline.uses * (key.pieces**2 + 1) + tables) + 10 * count * made
    if total + 2 * tables * (5000 + 80 * tables) > gas.LIMIT:
        return total + 2 * tables * (5000 + 80 * tables)
    total += gas.tree(layout.lookups.variables) + gas.tree(8) + gas.opening(layout.whir, 11, 2)
    return total + gas.opening(key.weights.whir, 2 * tables, tables)
