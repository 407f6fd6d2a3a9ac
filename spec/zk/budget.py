"""Section B of zk.md: the security budget, in bits."""

from zk import johnson
from zk.field import log
from zk.gas import asked
from zk.proof import Shape

FIELD = 191
# What a union has to reach.
FLOOR = 100


def union(whir, claims):
    return max(johnson.union(whir.error_terms(claims)), 0.0)


def tree(v):
    return sum(3 * layer + 2 for layer in range(v))


def lists_of(*runs):
    return sum(johnson.list_size(whir.schedule.rates[0]) for whir in runs)


def binding(whir):
    return FIELD - log(whir.variables) - (2 * lists_of(whir) - 1)


def summed(terms):
    return {
        "round_by_round_bits": min(terms.values()),
        "union_bits": johnson.union(max(bits, 0.0) for bits in terms.values()),
        "terms": terms,
    }


def witness_claims(w):
    """Values that P11 opens in the witness."""
    return w.columns + w.points + (1 + w.points if w.stages else 0) + len(w.table_sizes)


def security(key, batch):
    shape, circuit, weights = Shape(key, batch), key.circuit, key.weights.whir
    w = shape.witness
    joined = bool(w and w.joined)
    lists = lists_of(w.whir) if joined else lists_of(weights, *([w.whir] if w else []))

    def bits(count):
        return FIELD - log(max(count, 1)) - lists

    terms = {}
    if w:
        trees = w.lookups.variables, w.table_tree.variables
        terms["lookup challenges"] = bits(3 * sum(1 << v for v in trees))
        terms["lookup sumchecks"] = bits(sum(map(tree, trees)))
        terms["requantisation identity"] = bits(w.variables)
        if not joined:
            terms["witness opening"] = union(w.whir, witness_claims(w))
    public = [circuit.public_shape(output) for output, _ in circuit.claimed]
    coordinates = sum(max((log(size) for size in sizes), default=0) for sizes in zip(*public))
    terms["public values"] = bits(batch + coordinates + len(circuit.uses))
    if shape.products:
        terms["products of values"] = bits(3 * (shape.product_cells.variables + batch))
    terms["matrix product sumcheck"] = bits(2 * shape.block_space.variables if shape.blocks else 0)
    if shape.weighted:
        sent = sum(1 if i is None else len(shape.row_spans(key, use)) for use, i in shape.entries)
        terms["channel sumcheck"] = bits(2 * shape.entry_space.variables + sent)
    rounds = w.gather.variables if w else 0
    terms["gather sumcheck"] = bits(2 * rounds + 6 + len(circuit.claimed_values()))
    if joined:
        terms["joined opening"] = union(w.whir, asked(key, shape) + witness_claims(w))
    else:
        terms["weight opening"] = union(weights, asked(key, shape))
    terms["model binding"] = binding(weights)
    terms["hash collisions"] = 128.0
    return summed(terms)


def registration(key):
    layout, weights = key.registration, key.weights
    lists = lists_of(weights.whir, layout.whir)

    def bits(count):
        return FIELD - log(max(count, 1)) - lists

    trees = layout.lookups.variables, 8
    return summed(
        {
            "lookup challenges": bits(sum(1 << v for v in trees)),
            "lookup sumchecks": bits(sum(map(tree, trees))),
            "bias limbs": bits(weights.sizes[weights.bias_table]),
            "registration opening": union(layout.whir, 11),
            "weight opening": union(weights.whir, 2 * len(weights.sizes)),
            "model binding": binding(weights.whir),
            "hash collisions": 128.0,
        }
    )
