"""E2 and E3 of zk.md: what a proof holds, read by the lengths that follow from the key."""

import types

from zk.field import Cells, Placed, log


def blocks(key, use):
    """P8: `(column span number, group variables, column variables)` of each block of a matrix use."""
    made = key.circuit.of(use)
    groups = log(made.groups)
    return [(j, groups, span.variables) for j, span in enumerate(key.weights.columns[made.weight])]


class Shape:
    """The lengths of a proof of `2^batch` inferences."""

    def __init__(self, key, batch):
        circuit = key.circuit
        self.batch, self.witness = batch, key.classes[batch]
        self.matrix_uses = circuit.uses_of("matrix")
        self.combinations = circuit.uses_of("combination")
        self.products = circuit.uses_of("product")
        self.weighted = [use for use in self.matrix_uses if circuit.weighted(use)]
        self.product_cells = Cells((circuit.of(u).positions, circuit.of(u).channels) for u in self.products)
        self.blocks = [(use, *block) for use in self.matrix_uses for block in blocks(key, use)]
        self.block_space = Placed(groups + columns for _, _, groups, columns in self.blocks)
        # Entries of P9: `(use, block number)` for a block, `(use, None)` for the bias.
        self.entries = []
        for use in self.weighted:
            self.entries += [(use, i) for i, block in enumerate(self.blocks) if block[0] is use] + [(use, None)]
        self.entry_space = Placed(log(circuit.of(use).channels) for use, _ in self.entries)

    def row_spans(self, key, use):
        return key.weights.rows[key.circuit.of(use).weight]


def read_inference(key, shape):
    def read(r):
        w, circuit = shape.witness, key.circuit
        p = types.SimpleNamespace()
        if w:
            p.root = r.take(32)
            p.lookups, p.tables = r.tree(w.lookups.variables), r.tree(w.table_tree.variables)
            p.columns, p.inside = r.elements(w.columns), r.element()
            p.results, p.first, p.second = r.elements(3) if w.stages else (None, None, None)
            p.multiplicities = r.elements(len(w.table_sizes))
        p.betas = r.elements(len(shape.matrix_uses))
        p.combinations = r.element() if shape.combinations else None
        if shape.products:
            p.products = r.element()
            p.product_rounds = r.triples(shape.product_cells.variables + shape.batch)
            p.left, p.right = r.elements(2)
        if shape.matrix_uses:
            p.matrix_rounds, p.folded = r.pairs(shape.block_space.variables), r.element()
            rows = [1 if circuit.weighted(use) else len(shape.row_spans(key, use)) for use, *_ in shape.blocks]
            p.blocks = [r.elements(count) for count in rows]
        if shape.weighted:
            p.channel_rounds = r.pairs(shape.entry_space.variables)
            rows = [1 if i is None else len(shape.row_spans(key, use)) for use, i in shape.entries]
            p.entries = [r.elements(count) for count in rows]
        if w:
            p.gather_rounds, p.gathered = r.pairs(w.gather.variables), r.elements(len(w.gather.sizes))
        if w and w.joined:
            p.joined = r.opening(w.whir, w.joined.widths)
            return p
        if w:
            p.witness = r.opening(w.whir)
        p.weights = r.opening(key.weights.whir)
        return p

    return read


def read_registration(key):
    def read(r):
        p = types.SimpleNamespace(root=r.take(32))
        p.lookups, p.tables = r.tree(key.registration.lookups.variables), r.tree(8)
        p.values, p.limbs = r.elements(len(key.weights.sizes)), r.elements(10)
        p.multiplicity = r.element()
        p.witness = r.opening(key.registration.whir)
        p.weights = r.opening(key.weights.whir)
        return p

    return read
