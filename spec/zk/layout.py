"""R2 to R4, J1 and J2 of zk.md: what is committed, and where it stands."""

import dataclasses

from zk.field import ONE, ZERO, Cells, Placed, log
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
        graph, fold, self.schedule = circuit.graph, schedule.first_fold, schedule
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


class Joined:
    """J1 and J2: the stacks of weights and witness as one polynomial; parts are 0 for the weights, 1 for the witness."""

    WEIGHTS, WITNESS = 0, 1

    def __init__(self, weights, stack, fold, schedule):
        self.stacks, self.folds = (weights.stack, stack), (weights.schedule.first_fold, fold)
        self.first_fold, self.column = 1 + max(self.folds), weights.stack.variables - weights.schedule.first_fold
        require(fold <= stack.variables <= self.column + fold, "zk.parameter", "J1: witness")
        require(schedule.first_fold == self.first_fold, "zk.parameter", "J1: first fold")
        require(schedule.rates[:1] == weights.schedule.rates[:1], "zk.parameter", "J1: first rate")
        self.whir = schedule.whir(self.column + self.first_fold)
        self.stack = Stack([(self.whir.variables, 1)])

    @property
    def widths(self):
        """The cells that a row of each part has."""
        return [1 << fold for fold in self.folds]

    def point(self, part, table, column, point):
        stack, fold = self.stacks[part], self.folds[part]
        at = stack.lift(table, column, point)
        part_bit = [ONE if part == self.WITNESS else ZERO] + [ZERO] * (self.first_fold - 1 - fold)
        return part_bit + at[:fold] + [ZERO] * (self.column - (stack.variables - fold)) + at[fold:]


class Witness:
    """R3, for batches padded to `2^batch` inferences; `joined` is None when the witness is opened by itself."""

    def __init__(self, circuit, weights, parameters, batch):
        self.limb_bits, self.limbs, self.window_bits, self.high_bits, joined_fold, schedule = parameters
        t, e, u = self.limb_bits, self.window_bits, self.high_bits
        fold = schedule.first_fold if joined_fold is None else joined_fold
        require(1 <= self.limbs <= 12 and 1 <= e <= 16 and batch <= 10, "zk.parameter", "R3.9")
        self.shift, self.batch, self.stages, self.split = t * self.limbs, batch, bool(circuit.stages), u > 0
        self.cells = Cells((r.positions, r.channels) for r in circuit.requantisations)
        self.variables = max(self.cells.variables + batch, fold)
        self.stage_cells = Cells((s.positions, s.channels) for s in circuit.stages)
        self.stage_variables = max(self.stage_cells.variables + batch, fold)
        mapping = e + (2 if self.split else 0) + log(len(circuit.mappings))
        self.tables = {"range": t} | ({"side": u} if self.split else {}) | {"mapping": mapping}
        least = max(fold, 1)
        require(all(least <= v <= 16 for v in self.tables.values()) and fold <= 9, "zk.parameter", "tables")
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
        self.joined = None if joined_fold is None else Joined(weights, self.stack, joined_fold, schedule)
        self.whir = self.joined.whir if self.joined else schedule.whir(self.stack.variables)
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
