"""Section W of zk.md."""

from zk.field import log
from zk.manifest import integer_graph
from zk.proof import Shape

# The most that one verification may take.
LIMIT = 2**32


def tree(v):
    return 350 * (v * (v - 1) // 2 + 3 * v)


def opening(whir, claims, tables, joined=False):
    v, total = whir.variables, 0
    for i, phase in enumerate(whir.phases):
        width, depth = 1 << phase.fold, phase.depth * (2 if joined and i == 0 else 1)
        total += phase.rows * (120 * (-(-24 * width // 64) + depth) + 24 * (width + v))
    return total + 700 * v + claims * (5000 + 24 * v + 80 * tables)


def separable(circuit, value):
    """Whether a value has the channels of the cells that hold its elements, all of them and in order."""
    if not value.whole or value.elements[0][0] == "input":
        return False
    kind, number, _ = value.elements[0]
    cells = (circuit.requantisations if kind == "requantisation" else circuit.stages)[number]
    return cells.channels == value.channels


def reading(circuit, value, channels, windows, taps):
    """W1.3."""
    cost = 2 * windows * taps + 3 * taps * channels + 4 * len(value.elements)
    return cost + (0 if separable(circuit, value) else 2 * windows * taps * channels)


def functional(key, shape):
    """The units of functionals."""
    circuit, units = key.circuit, 0
    for use in circuit.uses:
        made = circuit.of(use)
        units += 2 * made.channels
        if made.kind == "matrix":
            n, k = circuit.matrix_size(made.weight)
            read = made.read
            units += reading(circuit, read, read.channels, len(made.taps), len(made.taps[0]))
            units += 4 * (n + k * made.groups)
        elif made.kind == "combination":
            for _, taps, read in made.terms:
                units += reading(circuit, read, read.channels, len(taps), len(taps[0]))
        else:
            for read in made.terms:
                units += reading(circuit, read, read.channels, made.positions, 1)
    for stage in circuit.stages:
        for read in stage.read:
            units += reading(circuit, read, stage.channels, stage.positions, 1)
    units += 5 * sum(1 << log(circuit.of(use).channels) for use, _ in shape.entries)
    for output in circuit.claimed_values():
        units += 6 * integer_graph.elements(circuit.graph["outputs"][output]["shape"])
    return 12 * units


def openings(key, shape):
    """W1.1 and W1.2: the openings of weights and witness, or the joined one."""
    w, weights, claims = shape.witness, key.weights, asked(key, shape)
    if not w:
        return opening(weights.whir, claims, len(weights.sizes))
    tables = len(w.table_sizes)
    witness_claims = w.columns + 2 * len(w.gather.sizes) + 1 + tables
    if w.joined:
        return opening(w.whir, claims + witness_claims, 1, joined=True)
    return opening(weights.whir, claims, len(weights.sizes)) + opening(w.whir, witness_claims, 2 + tables)


def witness(key, shape):
    """W1.2 without its opening."""
    w, circuit = shape.witness, key.circuit
    total = tree(w.lookups.variables) + tree(w.table_tree.variables)
    total += 350 * w.gather.variables
    for mapping in circuit.mappings:
        total += 720 + (36 << w.window_bits if mapping[0] == "table" else 0)
    for cells in (w.cells, w.stage_cells):
        for (positions, _), v in zip(cells.blocks, cells.widths):
            total += 96 * (positions + (1 << v) + 2 * w.variables)
    return total


def asked(key, shape):
    """Claims of P11 on the weights."""
    count = len(key.weights.sizes)
    for use, *_ in shape.blocks:
        if use not in shape.weighted:
            count += len(shape.row_spans(key, use))
    for use, block in shape.entries:
        count += 1 if block is None else len(shape.row_spans(key, use))
    return count + sum(use not in shape.weighted for use in shape.matrix_uses)


def decoding(circuit):
    """What decoding a key reads, looks up and makes."""
    arguments = lambda f: (f["high"] - f["low"] + 1) * (2 if f["kind"] == "Gelu" else 1)  # noqa: E731
    nodes = sum(400 * arguments(node["function"]) for node in circuit.graph["nodes"] if node["op"] == "Activate")
    nodes += 500 * (len(circuit.graph["nodes"]) + len(circuit.graph["params"])) + 100 * circuit.picked
    return nodes + sum(700 * arguments(mapping[1]) for mapping in circuit.mappings if mapping[0] == "table")


def inferences(key, count):
    """W1."""
    batch = (count - 1).bit_length()
    shape, graph = Shape(key, batch), key.circuit.graph
    inputs, outputs = (sum(integer_graph.elements(s["shape"]) for s in graph[side]) for side in ("inputs", "outputs"))
    total = 40000 + decoding(key.circuit) + openings(key, shape)
    rounds = shape.block_space.variables if shape.matrix_uses else 0
    rounds += shape.entry_space.variables if shape.weighted else 0
    rounds += 2 * (shape.product_cells.variables + batch) if shape.products else 0
    sent = len(shape.matrix_uses)
    for use, *_ in shape.blocks:
        sent += 1 if key.circuit.weighted(use) else len(shape.row_spans(key, use))
    for use, block in shape.entries:
        sent += 1 if block is None else len(shape.row_spans(key, use))
    total += 350 * (rounds + sent) + (1 << batch) * ((inputs + outputs) * 40 + 100 * outputs)
    if shape.witness:
        total += witness(key, shape)
    return total + functional(key, shape)


def registration(key):
    """W2."""
    layout, tables = key.registration, len(key.weights.sizes)
    total = 40000 + decoding(key.circuit) + tree(layout.lookups.variables) + tree(8) + opening(layout.whir, 11, 2)
    return total + opening(key.weights.whir, 2 * tables, tables)
