"""P8 and P9 of zk.md: matrix products, and rows with weights of their own."""

from zk import sums
from zk.field import ZERO, add, eq_index, eq_vector, last, mul, power, total
from zk.refusal import require


def group_of(made, row):
    return row // (made.channels // made.groups)


def verify_matrices(run, claim):
    """P8; `run.matrix_point` and the blocks' weights are for P10."""
    proof, shape, t = run.proof, run.shape, run.transcript
    if not shape.matrix_uses:
        require(claim == ZERO, "zk.sumcheck", "a claim without matrices")
        return
    t.step("matrix product")
    point, value = sums.two_factors(t, proof.matrix_rounds, claim)
    run.matrix_point = point
    t.absorb(proof.folded, *(x for values in proof.blocks for x in values))
    expected = ZERO
    run.block_sums = []
    for i, (use, span, _, columns) in enumerate(shape.blocks):
        values = proof.blocks[i]
        made = run.circuit.of(use)
        if run.circuit.weighted(use):
            g = values[0]
        else:
            row_point = run.weighing(use).row_point
            g = ZERO
            for j, (row, sent) in enumerate(zip(shape.row_spans(run.key, use), values)):
                high = row_point[: len(row_point) - row.variables]
                g = add(g, mul(eq_index(high, row.index), sent))
                at = last(row_point, row.variables) + last(point, columns)
                run.asked.append((run.key.weights.tile(made.weight, j, span), at, sent))
        run.block_sums.append(g)
        expected = add(expected, mul(shape.block_space.weight(i, point), g))
    sums.require_sum(value, mul(proof.folded, expected), "matrix product")
    ask_biases(run)
    if shape.weighted:
        channels(run)


def bias_point(run, bias, rows):
    """The point of the table of biases at which it is the extension of one bias."""
    weights = run.key.weights
    number = weights.biases.index(bias)
    index = weights.placed.offsets[number] >> len(rows)
    count = weights.placed.variables - len(rows)
    return [(index >> i & 1, 0, 0) for i in range(count)][::-1] + rows


def ask_biases(run):
    for use, beta in zip(run.shape.matrix_uses, run.proof.betas):
        if not run.circuit.weighted(use):
            point = bias_point(run, run.circuit.of(use).bias, run.weighing(use).row_point)
            run.asked.append((run.key.weights.bias_table, point, beta))


def channels(run):
    """P9."""
    t, proof, shape = run.transcript, run.proof, run.shape
    t.step("channels")
    mu = t.draw()
    betas = dict(zip(map(id, shape.matrix_uses), proof.betas))
    known = [betas[id(use)] if i is None else run.block_sums[i] for use, i in shape.entries]
    claim = total(mul(power(mu, i), v) for i, v in enumerate(known))
    point, value = sums.two_factors(t, proof.channel_rounds, claim)
    t.absorb(*(x for values in proof.entries for x in values))
    f, g = ZERO, ZERO
    for i, (use, block) in enumerate(shape.entries):
        weight, rows = shape.entry_space.weight(i, point), shape.entry_space.inner(i, point)
        f = add(f, mul(weight, rows_at(run, use, block, rows)))
        g = add(g, mul(weight, mul(power(mu, i), entry_at(run, use, block, rows, proof.entries[i]))))
    sums.require_sum(value, mul(f, g), "channels")


def rows_at(run, use, block, rows):
    """The extension of `f` in its block."""
    made, weights = run.circuit.of(use), run.weighing(use).rows
    if block is not None:
        _, _, groups, columns = run.shape.blocks[block]
        inner = last(run.matrix_point, groups + columns)
        group = eq_vector(inner[:groups])
        weights = [mul(w, group[group_of(made, o)]) for o, w in enumerate(weights)]
    return total(mul(w, e) for w, e in zip(weights, eq_vector(rows)))


def entry_at(run, use, block, rows, values):
    """The extension of the entry's column of weights or of its bias, from what the prover sent; and what is asked."""
    made, weights = run.circuit.of(use), run.key.weights
    if block is None:
        run.asked.append((weights.bias_table, bias_point(run, made.bias, rows), values[0]))
        return values[0]
    _, span, _, columns = run.shape.blocks[block]
    out = ZERO
    for j, (row, sent) in enumerate(zip(run.shape.row_spans(run.key, use), values)):
        out = add(out, mul(eq_index(rows[: len(rows) - row.variables], row.index), sent))
        at = last(rows, row.variables) + last(run.matrix_point, columns)
        run.asked.append((weights.tile(made.weight, j, span), at, sent))
    return out
