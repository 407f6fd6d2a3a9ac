"""R1 of zk.md: the circuit of a graph.

An element of an int8 value is an integer (a constant) or a tuple `(kind, number, element)` with `kind` one of "input",
"requantisation" and "stage".
"""

import dataclasses
import itertools

from zk.field import log
from zk.manifest import integer_graph
from zk.refusal import require

PADDING = "padding"
ACCUMULATORS = ("Linear", "Convolve", "WindowSum", "Sum", "Product")


def split(shape):
    """Positions and channels of a value."""
    channels = shape[-1] if shape else 1
    return integer_graph.elements(shape[:-1]), channels


@dataclasses.dataclass
class Value:
    """`kind` is "value" with its elements, "accumulator" with its number, or "index" with the value read."""

    kind: str
    shape: list
    elements: list = None
    number: int = None
    whole: bool = False

    @property
    def channels(self):
        return split(self.shape)[1]


@dataclasses.dataclass
class Accumulator:
    """`kind` is "matrix", "combination", "product" or "sum"."""

    kind: str
    positions: int
    channels: int
    bounds: list
    weight: int = None
    bias: int = None
    groups: int = 1
    # `taps[p][t]` is the position under tap t of window p, or None.
    taps: list = None
    read: Value = None
    # Of combinations: `(coefficient, taps, read)`; of products: the two values read; of sums: `(coefficient, number)`
    # of other accumulators.
    terms: list = None


@dataclasses.dataclass
class Requantisation:
    accumulator: int
    multipliers: list
    shift: int
    mapping: int
    positions: int
    channels: int
    quotients: list

    @property
    def shared(self):
        return len(self.multipliers) == 1


@dataclasses.dataclass
class Stage:
    """The elements of both operands, and the values they are taken from."""

    positions: int
    channels: int
    first: list
    second: list
    read: tuple


@dataclasses.dataclass
class Use:
    """What a claim about accumulators has of one: of a requantisation, or of the j-th public claim, from 1."""

    accumulator: int
    coefficient: int = 1
    requantisation: int = None
    output: int = None
    claim: int = None


def window_taps(shape, window):
    """For each window the positions under its taps, row by row."""
    height, width = shape[0], shape[1]
    out = []
    for y, x in itertools.product(*(range(n) for n in integer_graph.windowed(shape, window))):
        under = (at for _, at in integer_graph.taps(window, y, x))
        out.append([a * width + b if 0 <= a < height and 0 <= b < width else None for a, b in under])
    return out


def one_tap(positions):
    return [[p] for p in range(positions)]


class Circuit:
    def __init__(self, graph):
        self.graph = graph
        self.shapes, self.ranges, self.quotients = integer_graph.analyse(graph)
        self.values, self.accumulators, self.requantisations, self.stages, self.mappings = [], [], [], [], []
        self.picked = 0
        for i, entry in enumerate(graph["inputs"]):
            elements = [("input", i, e) for e in range(integer_graph.elements(entry["shape"]))]
            self.values.append(Value("value", entry["shape"], elements, whole=True))
        for node in graph["nodes"]:
            self.values.append(self.value(node))
        self.mappings = self.mappings or [("clamp", 0, 0)]
        self.matrices = [p for p, spec in enumerate(graph["params"]) if spec["dtype"] == "int8"]
        self.biases = [p for p, spec in enumerate(graph["params"]) if spec["dtype"] == "int32"]
        self.make_uses()

    # ---- nodes ----------------------------------------------------------------------------------------------------

    def value(self, node):
        op, number = node["op"], len(self.values)
        shape = self.shapes[number]
        read = [self.values[v] for v in integer_graph.operands(node)]
        if op in ACCUMULATORS:
            self.accumulators.append(self.accumulator(node, number, read))
            return Value("accumulator", shape, number=len(self.accumulators) - 1)
        if op in ("Requantise", "Activate"):
            return self.requantise(node, number, read[0])
        if op == "ArgMax":
            return Value("index", shape, number=node["input"])
        if op == "WindowMax":
            return self.window_max(node, shape, read[0])
        if op == "Reshape":
            source = read[0]
            if source.kind == "value" and not source.whole:
                self.pick(len(source.elements))
            return dataclasses.replace(source, shape=shape)
        elements = integer_graph.arranged(node, [v.shape for v in read], shape, [v.elements for v in read])
        self.pick(len(elements))
        return Value("value", shape, elements, whole=self.is_whole(elements))

    def pick(self, count):
        self.picked += count
        require(self.picked <= 2**20, "zk.graph", "picked elements")

    def source_size(self, kind, number):
        if kind == "input":
            return integer_graph.elements(self.graph["inputs"][number]["shape"])
        block = (self.requantisations if kind == "requantisation" else self.stages)[number]
        return block.positions * block.channels

    def is_whole(self, elements):
        first = elements[0]
        if isinstance(first, int) or len(elements) != self.source_size(first[0], first[1]):
            return False
        return elements == [(first[0], first[1], e) for e in range(len(elements))]

    def accumulator(self, node, number, read):
        op, (positions, channels) = node["op"], split(self.shapes[number])
        made = Accumulator("", positions, channels, self.ranges[number])
        if op in ("Linear", "Convolve"):
            made.kind, made.weight, made.bias = "matrix", node["weight"], node["bias"]
            made.groups, made.read = node.get("groups", 1), read[0]
            made.taps = one_tap(positions) if op == "Linear" else window_taps(read[0].shape, node["window"])
        elif op == "WindowSum":
            made.kind, made.terms = "combination", [(1, window_taps(read[0].shape, node["window"]), read[0])]
        elif op == "Sum":
            self.sum(made, [(c, v) for (_, c), v in zip(node["terms"], read)])
        else:
            made.kind, made.terms = "product", read
        return made

    def sum(self, made, terms):
        """A combination of int8 values and sums over windows; other accumulators stay what they are."""
        values, others = [], []
        for c, value in terms:
            if value.kind == "value":
                values.append((c, one_tap(made.positions), value))
                continue
            term = self.accumulators[value.number]
            if term.kind == "combination":
                values += [(c * inner, taps, read) for inner, taps, read in term.terms]
            else:
                others.append((c, value.number))
        made.kind, made.terms = "combination", values
        if others:
            if values:
                self.accumulators.append(Accumulator("combination", made.positions, made.channels, None, terms=values))
                others.insert(0, (1, len(self.accumulators) - 1))
            made.kind, made.terms = "sum", others

    def requantise(self, node, number, source):
        multipliers, shift = list(node["multipliers"]), node["shift"]
        while shift > 1 and all(m % 2 == 0 for m in multipliers):
            multipliers, shift = [m // 2 for m in multipliers], shift - 1
        if len(set(multipliers)) == 1:
            multipliers = multipliers[:1]
        mapping = ("clamp", node["low"], node["high"]) if node["op"] == "Requantise" else ("table", node["function"])
        if mapping not in self.mappings:
            self.mappings.append(mapping)
        positions, channels = split(self.shapes[number])
        made = Requantisation(
            source.number, multipliers, shift, self.mappings.index(mapping), positions, channels,
            self.quotients[number - len(self.graph["inputs"])],
        )  # fmt: skip
        self.requantisations.append(made)
        r = len(self.requantisations) - 1
        elements = [("requantisation", r, e) for e in range(positions * channels)]
        return Value("value", self.shapes[number], elements, whole=True)

    def window_max(self, node, shape, source):
        taps = window_taps(source.shape, node["window"])
        positions, channels = split(shape)
        _, inner = split(source.shape)

        def under(t):
            places = ((row[t], o) for row in taps for o in range(channels))
            return [PADDING if p is None else source.elements[p * inner + o] for p, o in places]

        count = len(taps[0])
        require(count + len(self.stages) <= 4096, "zk.graph", "taps")
        current = Value("value", shape, under(0))
        if count == 1:
            self.pick(len(current.elements))
        else:
            stages = positions * (count - 1) + sum(stage.positions for stage in self.stages)
            require(stages <= 2**22, "zk.graph", "positions of stages")
        read = source
        for t in range(1, count):
            stage = Stage(positions, channels, current.elements, under(t), (read, source))
            self.stages.append(stage)
            elements = [("stage", len(self.stages) - 1, e) for e in range(positions * channels)]
            read = current = Value("value", shape, elements, whole=True)
        return current

    # ---- outputs and uses -----------------------------------------------------------------------------------------

    def make_uses(self):
        """R1.6, the outputs that V2 derives from others, and the public values of P5."""
        self.uses = []
        positions = sum(self.accumulators[r.accumulator].positions for r in self.requantisations)
        require(positions <= 2**22, "zk.graph", "positions of requantisations")
        for i, r in enumerate(self.requantisations):
            self.uses += [Use(part, c, requantisation=i) for c, part in self.parts(r.accumulator)]
        seen, self.derived, self.claimed = {}, {}, []
        for i, out in enumerate(self.graph["outputs"]):
            value = self.values[out["value"]]
            if value.kind == "accumulator":
                if value.number in seen:
                    self.derived[i] = seen[value.number]
                    continue
                seen[value.number] = i
                self.claimed.append((i, len(self.uses)))
                self.uses += [Use(part, c, output=len(seen), claim=i) for c, part in self.parts(value.number)]
            elif value.kind == "value" and any(self.committed(e) for e in value.elements):
                self.claimed.append((i, None))
            else:
                self.derived[i] = None
        require(len(self.uses) <= 2**12, "zk.graph", "uses")
        products = [self.of(use) for use in self.uses_of("product")]
        cells = sum(made.positions << log(made.channels) for made in products)
        require(cells <= 2**24, "zk.graph", "cells of products")
        matrices = [self.of(use) for use in self.uses_of("matrix")]
        columns = sum(self.matrix_size(made.weight)[1] * made.groups for made in matrices)
        require(columns <= 2**22, "zk.graph", "columns of matrices")

    def parts(self, number):
        """The accumulators that those of a claim are made of, with coefficients."""
        made = self.accumulators[number]
        return made.terms if made.kind == "sum" else [(1, number)]

    @staticmethod
    def committed(element):
        return isinstance(element, tuple) and element[0] != "input"

    @property
    def has_witness(self):
        return bool(self.requantisations or self.stages)

    def of(self, use):
        return self.accumulators[use.accumulator]

    def uses_of(self, kind):
        return [use for use in self.uses if self.of(use).kind == kind]

    def weighted(self, use):
        requantisation = None if use.requantisation is None else self.requantisations[use.requantisation]
        return self.of(use).groups > 1 or (requantisation is not None and not requantisation.shared)

    def claimed_values(self):
        """The outputs that are values with a committed element, in order."""
        return [i for i, use in self.claimed if use is None]

    def public_shape(self, output):
        """Positions and channels of a public value."""
        use = dict(self.claimed)[output]
        if use is not None:
            return self.of(self.uses[use]).positions, self.of(self.uses[use]).channels
        return split(self.graph["outputs"][output]["shape"])

    def matrix_size(self, param):
        shape = self.graph["params"][param]["shape"]
        return shape[0], integer_graph.elements(shape[1:])
