"""Section G of zk.md: proofs of registration."""

from zk import sums
from zk.field import ONE, ZERO, add, below, last, lift, log, mul, neg, sub, times, total
from zk.opening import Claim, verify_opening
from zk.proof import read_registration
from zk.reader import whole
from zk.refusal import require
from zk.tables import range_extension
from zk.transcript import Transcript


def ends_of_tile(graph, tile, point):
    """The extensions of `lo` and `hi`."""
    param, row, column = tile
    front = len(point) - row.variables - column.variables
    rows, columns = point[front : front + row.variables], last(point, column.variables)
    real = mul(below(1, point[:front]), mul(below(row.count, rows), below(column.count, columns)))
    spec = graph["params"][param]
    return times(real, spec["low"]), times(real, spec["high"])


def ends_of_biases(graph, weights, point):
    lo, hi = ZERO, ZERO
    for i, bias in enumerate(weights.biases):
        n = weights.bias_length[bias]
        real = mul(weights.placed.weight(i, point), below(n, last(point, log(n))))
        spec = graph["params"][bias]
        lo, hi = add(lo, times(real, spec["low"])), add(hi, times(real, spec["high"]))
    return lo, hi


def verify_registration(key, data):
    proof = whole(data, read_registration(key), "zk.encoding")
    weights, layout, graph = key.weights, key.registration, key.circuit.graph
    t = Transcript("haca v1 zk registration", key.model)
    t.absorb_string(b"witness" + proof.root)
    t.step("registration lookups")
    alpha = t.draw()
    sums.balance(proof.lookups, proof.tables)
    point, numerator, denominator = sums.tree(t, proof.lookups)
    range_point, range_numerator, range_denominator = sums.tree(t, proof.tables)
    t.absorb(*proof.values, *proof.limbs, proof.multiplicity)

    tree = layout.lookups
    leaves, inside = [], ONE
    for i, tile in enumerate(weights.tiles):
        lo, hi = ends_of_tile(graph, tile, last(point, weights.sizes[i]))
        leaves += [sub(proof.values[i], lo), sub(hi, proof.values[i])]
    leaves += proof.limbs
    expected = alpha
    for block, value in enumerate(leaves):
        expected = sub(expected, mul(tree.weight(block, point), value))
    require(numerator == inside and denominator == expected, "zk.lookup", "leaves")
    require(range_numerator == neg(proof.multiplicity), "zk.lookup", "multiplicity")
    require(range_denominator == sub(alpha, range_extension(None, range_point)), "zk.lookup", "range table")

    inner = [last(point, v) for v in weights.sizes]
    bias = proof.values[weights.bias_table]
    lo, hi = ends_of_biases(graph, weights, inner[weights.bias_table])
    for found, limbs in ((sub(bias, lo), proof.limbs[:5]), (sub(hi, bias), proof.limbs[5:])):
        require(found == total(mul(x, lift(1 << 8 * i)) for i, x in enumerate(limbs)), "zk.lookup", "limbs of biases")

    claims = [Claim(0, inner[weights.bias_table], proof.limbs), Claim(1, range_point, [proof.multiplicity])]
    verify_opening(t, "registration", proof.root, layout.stack, layout.whir, claims, proof.witness)
    claims = []
    for i, v in enumerate(weights.sizes):
        claims += [Claim(i, last(key.point, v), [key.answers[i]]), Claim(i, inner[i], [proof.values[i]])]
    verify_opening(t, "weight", key.root, weights.stack, weights.whir, claims, proof.weights)
