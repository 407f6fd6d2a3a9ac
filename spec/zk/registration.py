"""Section G of zk.md: proofs of registration."""

from zk import budget, gas, sums
from zk.field import ONE, ZERO, add, below, last, log, mul, neg, sub, times, total
from zk.opening import Claim, verify_opening
from zk.proof import read_registration
from zk.reader import whole
from zk.refusal import require
from zk.tables import range_extension
from zk.transcript import Transcript

LIMBS, LIMB_BITS = 5, 8


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


def check_leaves(key, proof, alpha, point, leaf):
    """G5 of the lookup tree."""
    weights, tree, blocks = key.weights, key.registration.lookups, []
    for value, tile, v in zip(proof.values, weights.tiles, weights.sizes):
        lo, hi = ends_of_tile(key.circuit.graph, tile, last(point, v))
        blocks += [sub(value, lo), sub(hi, value)]
    denominator = alpha
    for block, value in enumerate(blocks + proof.limbs):
        denominator = sub(denominator, mul(tree.weight(block, point), value))
    require(leaf == (ONE, denominator), "zk.lookup", "leaves of the lookups")


def check_range(proof, alpha, point, leaf):
    """G5 of the range table: the row is the value."""
    denominator = sub(alpha, range_extension(None, point))
    require(leaf == (neg(proof.multiplicity), denominator), "zk.lookup", "leaves of the range table")


def check_biases(key, proof, point):
    """G6."""
    bias = proof.values[key.weights.bias_table]
    lo, hi = ends_of_biases(key.circuit.graph, key.weights, point)
    for distance, limbs in ((sub(bias, lo), proof.limbs[:LIMBS]), (sub(hi, bias), proof.limbs[LIMBS:])):
        found = total(times(limb, 1 << LIMB_BITS * i) for i, limb in enumerate(limbs))
        require(found == distance, "zk.lookup", "limbs of biases")


def verify_registration(key, data):
    require(budget.registration(key)["union_bits"] >= budget.FLOOR, "zk.security")
    require(gas.registration(key) <= gas.LIMIT, "zk.work")
    proof = whole(data, read_registration(key), "zk.encoding")
    weights, layout = key.weights, key.registration
    # G1
    t = Transcript("haca v1 zk registration", key.model)
    t.absorb_string(b"witness" + proof.root)
    # G2
    t.step("registration lookups")
    alpha = t.draw()
    # G3
    sums.balance(proof.lookups, proof.tables)
    point, *leaf = sums.tree(t, proof.lookups)
    range_point, *range_leaf = sums.tree(t, proof.tables)
    # G4
    t.absorb(*proof.values, *proof.limbs, proof.multiplicity)
    inner = [last(point, v) for v in weights.sizes]
    check_leaves(key, proof, alpha, point, tuple(leaf))
    check_range(proof, alpha, range_point, tuple(range_leaf))
    check_biases(key, proof, inner[weights.bias_table])
    # G7
    claims = [Claim(0, inner[weights.bias_table], proof.limbs), Claim(1, range_point, [proof.multiplicity])]
    verify_opening(t, "registration", [proof.root], layout.stack, layout.whir, claims, proof.witness)
    # G8
    claims = []
    for table, v in enumerate(weights.sizes):
        claims.append(Claim(table, last(key.point, v), [key.answers[table]]))
        claims.append(Claim(table, inner[table], [proof.values[table]]))
    verify_opening(t, "weight", [key.root], weights.stack, weights.whir, claims, proof.weights)
