"""P3 and P4 of zk.md: the lookups of a proof of inferences, and the identity of requantisation."""

from zk import sums
from zk.field import ONE, ZERO, add, last, lift, mul, sub, times, total
from zk.refusal import require
from zk.tables import denominators, fingerprint


def quotient_columns(run):
    """Result, high part and side; whole quotients have no high part and no side."""
    return run.proof.columns[:3] if run.witness.split else [run.proof.columns[0], ZERO, ZERO]


def limbs(run):
    return run.proof.columns[3 if run.witness.split else 1 :]


def lookup_leaves(run, alpha, b):
    """What is subtracted from `alpha` in each block of the lookup tree."""
    w, proof, circuit = run.witness, run.proof, run.circuit
    result, high, side = quotient_columns(run)
    mapping = ZERO
    # The mapping's number stands in all cells of a block, those of padded channels too.
    for r, (positions, _) in zip(circuit.requantisations, w.cells.at(run.inner(run.z))):
        mapping = add(mapping, times(total(positions), r.mapping))
    number = add(lift(3), mapping)
    leaves = [fingerprint(b, high, side, ZERO, 1)] if w.split else []
    leaves.append(add(fingerprint(b, proof.inside, side, result, 0), mul(mul(b, mul(b, b)), number)))
    leaves += limbs(run)
    if w.stages:
        leaves.append(fingerprint(b, sub(proof.first, proof.second), sub(proof.results, proof.second), ZERO, 2))
    return leaves


def verify_lookups(run):
    t, proof, w = run.transcript, run.proof, run.witness
    t.step("lookups")
    alpha, b = t.draw(), t.draw()
    sums.balance(proof.lookups, proof.tables)
    point, numerator, denominator = sums.tree(t, proof.lookups)
    table_point, table_numerator, table_denominator = sums.tree(t, proof.tables)
    stages = [proof.results, proof.first, proof.second] if w.stages else []
    t.absorb(*proof.columns, proof.inside, *stages, *proof.multiplicities)
    run.z, run.table_point = last(point, w.variables), table_point
    run.stage_z = last(point, w.stage_variables) if w.stages else None
    run.lookup_batch = last(run.z, run.batch.variables)

    expected = alpha
    for block, leaf in enumerate(lookup_leaves(run, alpha, b)):
        expected = sub(expected, mul(w.lookups.weight(block, point), leaf))
    require((numerator, denominator) == (ONE, expected), "zk.lookup", "leaves of the lookups")
    n, d = ZERO, ONE
    for block, found in enumerate(denominators(w, run.circuit, alpha, b, table_point)):
        weight = w.table_tree.weight(block, table_point)
        n = sub(n, mul(weight, proof.multiplicities[block]))
        d = add(d, mul(weight, sub(found, ONE)))
    require((table_numerator, table_denominator) == (n, d), "zk.lookup", "leaves of the tables")

    _, high, _ = quotient_columns(run)
    quotient = sub(add(times(high, 1 << w.window_bits), proof.inside), lift(w.offset))
    remainder = total(times(r, 1 << (w.limb_bits * i)) for i, r in enumerate(limbs(run)))
    run.identity = sub(add(times(quotient, 1 << w.shift), remainder), lift(1 << (w.shift - 1)))
