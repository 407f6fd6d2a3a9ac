"""R2 to R4 of zk.md: what is committed, and where it stands."""

import dataclasses

from zk.field import Cells, Placed, log
from zk.manifest import integer_graph
from zk.opening import Stack
from zk.refusal import require
from zk.tables import ends


@dataclasses.dataclass
class Span:
    """A stretch of rows or columns: `2^variables` cells from `start`, of which `count` are real."""

    start: int
    count: int
    variables: int

    @property
    def index(self):
        return self.start >> self.variables


def spans(length, pieces):
    """R2: the largest power of two that is left, again and again, at most `pieces` of them, the last one padded."""
    out, start = [], 0
    while start < length:
        left = length - start
        v = log(left) if len(out) + 1 >= pieces else left.bit_length() - 1
        out.append(Span(start, min(1 << v, left), v))
        start += 1 << v
    return out


class Weights:
    """R2: tables of the weight commitment; `tile(param, i, j)` is the number of the tile of row span i, column span j."""

    def __init__(self, circuit, pieces, schedule):
        graph, fold = circuit.graph, schedule.first_fold
        self.rows, self.columns, self.tiles, self.numbers = {}, {}, [], {}
        for param in circuit.matrices:
            n, k = circuit.matrix_size(param)
            self.rows[param], self.columns[param] = spans(n, pieces), spans(k, pieces)
            for i, row in enumerate(self.rows[param]):
                for j, column in enumerate(self.columns[param]):
                    self.numbers[param, i, j] = len(self.tiles)
                    self.tiles.append((param, row, column))
        self.biases = circuit.biases
        self.bias_length = {b: integer_graph.elements(graph["params"][b]["shape"]) for b in self.biases}
        self.placed = Placed(log(self.bias_length[b]) for b in self.biases)
        sizes = [max(row.variables + column.variables, fold) for _, row, column in self.tiles]
        self.sizes = sizes + [max(self.placed.variables, fold)]
        self.stack = Stack([(v, 1) for v in self.sizes])
        self.whir = schedule.whir(self.stack.variables)

    @property
    def bias_table(self):
        return len(self.tiles)

    def tile(self, param, row, column):
        return self.numbers[param, row, column]


class Witness:
    """R3, for batches padded to `2^batch` inferences."""

    def __init__(self, circuit, parameters, batch):
        self.limb_bits, self.limbs, self.window_bits, self.high_bits, schedule = parameters
        t, e, u, fold = self.limb_bits, self.window_bits, self.high_bits, schedule.first_fold
        require(1 <= self.limbs <= 12 and 1 <= e <= 16 and batch <= 10, "zk.parameter", "R3.8")
        self.shift, self.batch, self.stages, self.split = t * self.limbs, batch, bool(circuit.stages), u > 0
        self.cells = Cells((r.positions, r.channels) for r in circuit.requantisations)
        self.variables = max(self.cells.variables + batch, fold)
        self.stage_cells = Cells((s.positions, s.channels) for s in circuit.stages)
        self.stage_variables = max(self.stage_cells.variables + batch, fold)
        mapping = e + (2 if self.split else 0) + log(len(circuit.mappings))
        self.tables = {"range": t} | ({"side": u} if self.split else {}) | {"mapping": mapping}
        require(all(fold <= v <= 16 for v in self.tables.values()) and 1 <= fold <= 9, "zk.parameter", "tables")
        self.tables |= {"larger": 9} if self.stages else {}
        self.table_sizes = list(self.tables.values())
        self.window(circuit)
        for r in circuit.requantisations:
            require(r.shift <= self.shift, "zk.parameter", "shift")
            low, high = circuit.accumulators[r.accumulator].bounds
            most = max(abs(low), abs(high)) * max(r.multipliers)
            require((most << (self.shift - r.shift)) + (1 << self.shift) < 2**62, "zk.parameter", "R3.7")
        require(self.shift + e + u + 1 <= 62, "zk.parameter", "R3.7")
        a, m = self.variables, self.stage_variables
        self.columns = 1 + 2 * self.split + self.limbs
        self.lookups = Placed([a] * (1 + self.split + self.limbs) + ([m] if self.stages else []))
        self.table_tree = Placed(self.table_sizes)
        require(max(a, self.lookups.variables, m if self.stages else 0) <= 28, "zk.parameter", "trees")
        self.committed = [(a, self.columns)] + ([(m, 1)] if self.stages else [])
        self.stack = Stack(self.committed + [(v, 1) for v in self.table_sizes])
        self.whir = schedule.whir(self.stack.variables)
        spaces = [a - batch] + ([m - batch] if self.stages else [])
        self.points = 2 if circuit.uses_of("product") else 1
        self.gather = Placed(spaces * self.points)
        self.spaces = len(spaces)

    def window(self, circuit):
        """R3.3."""
        size = 1 << self.window_bits
        quotients = [q for r in circuit.requantisations for q in r.quotients] + [0]
        self.low, self.window_index = min(quotients), 0
        if self.split:
            all_ends = [end for mapping in circuit.mappings for end in ends(mapping)]
            self.low = min(all_ends)
            require(max(all_ends) < self.low + size, "zk.parameter", "ends")
            self.window_index = max(-((min(quotients) - self.low) // size), 0)
        self.offset = self.window_index * size - self.low
        for y in quotients:
            require(0 <= (y + self.offset) >> self.window_bits < 1 << self.high_bits, "zk.parameter", "quotients")


class Registration:
    """R4."""

    def __init__(self, weights, schedule):
        bias = weights.sizes[weights.bias_table]
        require(schedule.first_fold <= min(bias, 8), "zk.parameter", "first fold")
        self.lookups = Placed([v for v in weights.sizes[:-1] for _ in range(2)] + [bias] * 10)
        require(self.lookups.variables <= 29, "zk.parameter", "lookups")
        self.stack = Stack([(bias, 10), (8, 1)])
        self.whir = schedule.whir(self.stack.variables)
