"""P10 of zk.md: all claims about values, read from the committed columns and the public tensors."""

from zk import sums
from zk.circuit import PADDING
from zk.field import ZERO, add, eq_vector, last, mul, power, sub, times
from zk.refusal import require

# The batch points.
LOOKUP, PRODUCT = 0, 1


class Weights:
    """The weights of a claim on elements; those of committed elements are kept, the others subtracted."""

    def __init__(self, run, claim, batch):
        self.run, self.claim, self.batch, self.committed = run, claim, batch, {}

    def add(self, element, weight):
        if element == PADDING:
            element = -128
        if isinstance(element, int):
            self.claim = sub(self.claim, times(weight, element))
        elif element[0] == "input":
            value = self.run.folded_input(self.batch, element[1])[element[2]]
            self.claim = sub(self.claim, mul(weight, value))
        else:
            self.committed[element] = add(self.committed.get(element, ZERO), weight)


def inputs_of_matrices(run):
    """Claim 1."""
    out = Weights(run, run.proof.folded, LOOKUP)
    for i, (use, span, groups, columns) in enumerate(run.shape.blocks):
        made, weighing = run.circuit.of(use), run.weighing(use)
        stretch = run.key.weights.columns[made.weight][span]
        outside = mul(weighing.scale, run.shape.block_space.weight(i, run.matrix_point))
        inner = last(run.matrix_point, groups + columns)
        group_weights, column_weights = eq_vector(inner[:groups]), eq_vector(inner[groups:])
        channels = made.read.shape[-1]
        each = channels // made.groups
        for p, under in enumerate(made.taps):
            at_window = mul(outside, weighing.positions[p])
            for g in range(made.groups):
                at_group = mul(at_window, group_weights[g])
                for j in range(stretch.count):
                    tap, inside = divmod(stretch.start + j, each)
                    if under[tap] is not None:
                        element = made.read.elements[under[tap] * channels + g * each + inside]
                        out.add(element, mul(at_group, column_weights[j]))
    return out


def combinations(run):
    """Claim 2."""
    out = Weights(run, run.proof.combinations, LOOKUP)
    for use in run.shape.combinations:
        made, weighing = run.circuit.of(use), run.weighing(use)
        for coefficient, taps, read in made.terms:
            scale = times(weighing.scale, coefficient)
            for p, under in enumerate(taps):
                for o in range(made.channels):
                    weight = mul(scale, mul(weighing.positions[p], weighing.rows[o]))
                    for at in under:
                        if at is not None:
                            out.add(read.elements[at * made.channels + o], weight)
    return out


def cells(out, blocks, elements_of_blocks):
    """Adds the elements of blocks of a cell space with the weights of their cells."""
    for (positions, channels), elements in zip(blocks, elements_of_blocks, strict=True):
        weights = (mul(p, c) for p in positions for c in channels)
        for element, weight in zip(elements, weights, strict=True):
            out.add(element, weight)
    return out


def operands(run, side):
    """Claims 3 and 4."""
    out = Weights(run, (run.proof.left, run.proof.right)[side], PRODUCT)
    blocks = run.shape.product_cells.at(run.product_inner)
    return cells(out, blocks, [run.circuit.of(use).terms[side].elements for use in run.shape.products])


def stage_operands(run, side):
    """Claims 5 and 6."""
    out = Weights(run, (run.proof.first, run.proof.second)[side], LOOKUP)
    blocks = run.witness.stage_cells.at(run.inner(run.stage_z))
    return cells(out, blocks, [(s.first, s.second)[side] for s in run.circuit.stages])


def output(run, number):
    """Claim 7."""
    positions, channels, _ = run.public[number]
    weights = [mul(p, c) for p in positions for c in channels]
    out = Weights(run, sums.dot(weights, run.batch.fold(run.lookup_batch, 1, number)), LOOKUP)
    value = run.circuit.values[run.circuit.graph["outputs"][number]["value"]]
    for element, weight in zip(value.elements, weights, strict=True):
        out.add(element, weight)
    return out


def claims(run):
    found = []
    if run.shape.matrix_uses:
        found.append(inputs_of_matrices(run))
    if run.shape.combinations:
        found.append(combinations(run))
    if run.shape.products:
        found += [operands(run, 0), operands(run, 1)]
    if run.circuit.stages:
        found += [stage_operands(run, 0), stage_operands(run, 1)]
    return found + [output(run, i) for i in run.circuit.claimed_values()]


def weights_at(run, found, mu, point):
    """The extension of `g` at the point of the sumcheck."""
    w, out = run.witness, ZERO
    spaces = [("requantisation", w.cells), ("stage", w.stage_cells)][: w.spaces]
    for block in range(len(w.gather.sizes)):
        batch, space = divmod(block, w.spaces)
        kind, space_cells = spaces[space]
        at = space_cells.at(w.gather.inner(block, point))
        part = ZERO
        for i, claim in enumerate(found):
            if claim.batch != batch:
                continue
            for (source, number, element), weight in claim.committed.items():
                if source == kind:
                    positions, channels = at[number]
                    p, o = divmod(element, len(channels))
                    part = add(part, mul(power(mu, i), mul(weight, mul(positions[p], channels[o]))))
        out = add(out, mul(w.gather.weight(block, point), part))
    return out


def verify_gather(run):
    t, proof, w = run.transcript, run.proof, run.witness
    t.step("gather")
    mu = t.draw()
    folds = {}

    def folded_input(batch, number):
        if (batch, number) not in folds:
            folds[batch, number] = run.batch.fold((run.lookup_batch, run.product_batch)[batch], 0, number)
        return folds[batch, number]

    run.product_batch = getattr(run, "product_batch", None)
    run.folded_input = folded_input
    found = claims(run)
    claim = ZERO
    for i, one in enumerate(found):
        claim = add(claim, mul(power(mu, i), one.claim))
    if not w:
        require(claim == ZERO, "zk.sumcheck", "public claims")
        return
    run.gather_point, value = sums.two_factors(t, proof.gather_rounds, claim)
    t.absorb(*proof.gathered)
    f = ZERO
    for block, sent in enumerate(proof.gathered):
        f = add(f, mul(w.gather.weight(block, run.gather_point), sent))
    sums.require_sum(value, mul(f, weights_at(run, found, mu, run.gather_point)), "gather")
