"""Section P of zk.md: proofs of inferences."""

from zk import budget, gas, lookups, matrices, sums
from zk.field import ONE, ZERO, add, eq_vector, last, log, mul, power, sub, times, total
from zk.gather import verify_gather
from zk.opening import Claim, verify_opening
from zk.proof import Shape, read_inference
from zk.reader import whole
from zk.refusal import require
from zk.statement import Batch, check_tensors, padded_size
from zk.transcript import Transcript


class Run:
    """What the steps of one verification share."""

    def __init__(self, key, statement, batch, proof, shape):
        self.key, self.circuit, self.proof, self.shape = key, key.circuit, proof, shape
        self.witness, self.batch = shape.witness, Batch(statement, batch)
        self.transcript = Transcript("haca v1 zk inference", statement.digest(key.model))
        # Claims on the tables of the weight commitment by number: `(table, point, value)`, in the order of P11.
        self.asked = []

    def inner(self, point):
        """A point of a column without the inferences."""
        return point[: len(point) - self.batch.variables]


class Weighing:
    """P5: scale, position weights and row weights of a use; row weights are over real channels."""

    def __init__(self, scale, positions, rows, row_point):
        self.scale, self.positions, self.rows, self.row_point = scale, positions, rows, row_point


def draw_public(run):
    """P5: `(P, C, channel point)` of each public value by output, and `mu`."""
    circuit, t = run.circuit, run.transcript
    shapes = {output: circuit.public_shape(output) for output, _ in circuit.claimed}
    rows = t.draws(max((log(positions) for positions, _ in shapes.values()), default=0))
    channels = t.draws(max((log(c) for _, c in shapes.values()), default=0))
    mu = t.draw()
    public = {}
    for output, (positions, count) in shapes.items():
        high, low = last(rows, log(positions)), last(channels, log(count))
        public[output] = eq_vector(high)[:positions], eq_vector(low)[:count], low
    return public, mu


def weigh(run, public, mu):
    """The weighing of each use, in order."""
    circuit, w, out = run.circuit, run.witness, []
    blocks = w.cells.at(run.inner(run.z)) if w else []
    for use in circuit.uses:
        if use.requantisation is None:
            positions, rows, point = public[use.claim]
            out.append(Weighing(times(power(mu, use.output), use.coefficient), positions, rows, point))
            continue
        r = circuit.requantisations[use.requantisation]
        positions, rows = blocks[use.requantisation]
        scale = use.coefficient << (w.shift - r.shift)
        if r.shared:
            scale *= r.multipliers[0]
        else:
            rows = [times(c, m) for c, m in zip(rows, r.multipliers)]
        v = w.cells.widths[use.requantisation]
        out.append(Weighing(times(ONE, scale), positions, rows, last(run.inner(run.z), v)))
    return out


def outer(weighing):
    """`P(p) rows(o)` for all elements, row-major."""
    return [mul(p, c) for p in weighing.positions for c in weighing.rows]


def claim_of_products(run):
    """P6."""
    circuit, proof, claim = run.circuit, run.proof, run.identity
    for output, first in circuit.claimed:
        if first is not None:
            folded = run.batch.fold(run.lookup_batch, 1, output)
            scale = power(run.mu, circuit.uses[first].output)
            claim = add(claim, mul(scale, sums.dot(outer(run.weighings[first]), folded)))
    for use, beta in zip(run.shape.matrix_uses, proof.betas):
        weighing = run.weighing(use)
        claim = sub(claim, mul(mul(weighing.scale, total(weighing.positions)), beta))
    sent = ([proof.combinations] if run.shape.combinations else []) + ([proof.products] if run.shape.products else [])
    run.transcript.absorb(*proof.betas, *sent)
    return sub(claim, total(sent))


def products_of_values(run):
    """P7."""
    t, proof, cells = run.transcript, run.proof, run.shape.product_cells
    t.step("products of values")
    point, value = sums.three_factors(t, proof.product_rounds, proof.products)
    t.absorb(proof.left, proof.right)
    run.product_inner, run.product_batch = run.inner(point), point[len(point) - run.batch.variables :]
    first = ZERO
    for use, (positions, channels) in zip(run.shape.products, cells.at(run.product_inner)):
        weighing = run.weighing(use)
        part = mul(sums.dot(weighing.positions, positions), sums.dot(weighing.rows, channels))
        first = add(first, mul(weighing.scale, part))
    folded = sums.dot(eq_vector(run.lookup_batch), eq_vector(run.product_batch))
    expected = mul(mul(first, folded), mul(proof.left, proof.right))
    sums.require_sum(value, expected, "products of values")


def witness_claims(run):
    """P11, first half."""
    w, proof = run.witness, run.proof
    batches = [run.lookup_batch] + ([run.product_batch] if w.points == 2 else [])
    gathered = dict(zip(range(len(w.gather.sizes)), proof.gathered))
    claims = [Claim(0, run.z, proof.columns)]
    for space in range(w.spaces):
        if space:
            claims.append(Claim(1, run.stage_z, [proof.results]))
        for i, batch in enumerate(batches):
            block = i * w.spaces + space
            point = w.gather.inner(block, run.gather_point) + batch
            claims.append(Claim(space, point, [gathered[block]], [0]))
    for i, (v, value) in enumerate(zip(w.table_sizes, proof.multiplicities)):
        claims.append(Claim(len(w.committed) + i, last(run.table_point, v), [value]))
    return claims


def weight_claims(run):
    """P11, second half."""
    key, weights, claims = run.key, run.key.weights, []
    for table, v in enumerate(weights.sizes):
        claims.append(Claim(table, last(key.point, v), [key.answers[table]]))
        for asked, point, value in run.asked:
            if asked == table:
                claims.append(Claim(table, [ZERO] * (v - len(point)) + point, [value]))
    return claims


def open_joined(run, joined):
    """J3."""
    claims = []
    for part, of_part in ((joined.WEIGHTS, weight_claims(run)), (joined.WITNESS, witness_claims(run))):
        for claim in of_part:
            for column, value in zip(claim.columns, claim.values, strict=True):
                claims.append(Claim(0, joined.point(part, claim.table, column, claim.point), [value]))
    roots = [run.key.root, run.proof.root]
    verify_opening(run.transcript, "joined", roots, joined.stack, joined.whir, claims, run.proof.joined)


def open_commitments(run):
    """P11."""
    w, weights, t, proof = run.witness, run.key.weights, run.transcript, run.proof
    if w and w.joined:
        return open_joined(run, w.joined)
    if w:
        verify_opening(t, "witness", [proof.root], w.stack, w.whir, witness_claims(run), proof.witness)
    claims = weight_claims(run)
    return verify_opening(t, "weight", [run.key.root], weights.stack, weights.whir, claims, proof.weights)


def verify_inference(key, statement, data):
    batch = padded_size(key, statement)
    require(budget.security(key, batch)["union_bits"] >= budget.FLOOR, "zk.security")
    require(gas.inferences(key, len(statement.inferences)) <= gas.LIMIT, "zk.work")
    check_tensors(key.circuit, statement)
    shape = Shape(key, batch)
    proof = whole(data, read_inference(key, shape), "zk.encoding")
    run = Run(key, statement, batch, proof, shape)
    t = run.transcript
    t.absorb_string(b"witness" + (proof.root if run.witness else b""))
    if run.witness:
        lookups.verify_lookups(run)
    t.step("public values")
    if not run.witness:
        run.identity, run.lookup_batch, run.z = ZERO, t.draws(batch), None
    public, mu = draw_public(run)
    run.public, run.mu, run.weighings = public, mu, weigh(run, public, mu)
    run.weighing = lambda use: run.weighings[run.circuit.uses.index(use)]
    claim = claim_of_products(run)
    if shape.products:
        products_of_values(run)
    matrices.verify_matrices(run, claim)
    verify_gather(run)
    open_commitments(run)
