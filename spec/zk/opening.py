"""Sections O and J of zk.md: a run of WHIR as p3-whir 0.8.0 defines it, from what its verifier does."""

from blake3 import blake3

from zk import transcript as ts
from zk.field import ONE, P, ZERO, add, eq, eq_vector, lift, log, mul, powers, product, sub, total
from zk.johnson import SECURITY
from zk.refusal import Refused, require

# The generator of the subgroup of 2^32 elements in p3-goldilocks.
GENERATOR = 0x185629DCDA58878C


def generator(bits):
    return pow(GENERATOR, 1 << (32 - bits), P)


def univariate(y, count):
    """The point `y^(2^(count-1)), .., y^2, y`."""
    out = []
    for _ in range(count):
        out.append(y)
        y = mul(y, y)
    return out[::-1]


class Claim:
    """Columns of one table at one point, with their values."""

    def __init__(self, table, point, values, columns=None):
        self.table, self.point, self.values = table, point, values
        self.columns = list(range(len(values))) if columns is None else columns


class Stack:
    """Tables `(variables, columns)` stacked for the prefix prover: largest first, selectors last, bits reversed."""

    def __init__(self, tables):
        self.tables = tables
        self.variables = log(sum(columns << v for v, columns in tables))
        # Sorted by size, stable, and read backwards: of equal tables the later stands first.
        self.order = sorted(range(len(tables)), key=lambda i: tables[i][0])[::-1]
        self.selectors, offset = [None] * len(tables), 0
        for i in self.order:
            v, columns = tables[i]
            self.selectors[i] = [(offset >> v) + c for c in range(columns)]
            offset += columns << v

    def lift(self, table, column, point):
        count = self.variables - self.tables[table][0]
        index = self.selectors[table][column]
        return list(point) + [ONE if index >> i & 1 else ZERO for i in range(count)]

    def instance(self):
        out = [self.variables, b"\x01", b"\x00", len(self.tables)]
        for table in self.tables:
            out += table
        return out


def seed_run(transcript, whir, openings):
    pattern = ts.delegation("initial_fold")
    for i, p in enumerate(whir.phases):
        final = i + 1 == len(whir.phases)
        if final:
            pattern.append(ts.message("final_poly", 1 << p.variables))
        else:
            pattern.append(ts.interaction("Message", "commitment", "Scalar", "Opaque"))
            pattern += [ts.challenge("ood_point"), ts.message("ood_answer")] * p.samples
        pattern += ts.work("final_query_pow" if final else "query_pow", p.work)
        pattern += ts.indices("final_query_indices" if final else "query_indices", p.depth, p.draws)
        if not final:
            pattern += [ts.challenge("round_batching")] + ts.delegation("round_fold")
    if whir.final_rounds:
        pattern += ts.delegation("final_fold")
    schedule = whir.schedule
    instance = [whir.variables, whir.samples, openings, 1 << schedule.folds[0], SECURITY, schedule.grinding]
    instance += [schedule.rates[0], 1, 2, len(schedule.folds), *schedule.folds]
    instance += [schedule.folds[0], whir.initial_work, whir.final_rounds, 0, len(whir.phases) - 1]
    for fold, p in zip(schedule.folds[1:], whir.phases):
        instance += [p.next_rate, fold, p.folding_work]
    ts.seed(transcript, 3, b"p3-whir", pattern, instance)


def sumcheck(transcript, rounds, witnesses, work, claim):
    """The rounds of a quadratic sumcheck of p3-sumcheck: claim and point that are left."""
    if not rounds:
        return claim, []
    step = [ts.message("round_poly", 2)] + ts.work("round_pow", work) + [ts.challenge("round_challenge")]
    ts.seed(transcript, 1, b"p3-sumcheck-quadratic", step * len(rounds), [b"\x00"])
    point = []
    for i, (low, lead) in enumerate(rounds):
        transcript.absorb(low, lead)
        require(transcript.work(work, witnesses[i] if work else 0), "zk.opening", "work of a round")
        x = transcript.draw()
        slope = sub(sub(sub(claim, low), low), lead)
        claim = add(low, mul(x, add(slope, mul(x, lead))))
        point.append(x)
    return claim, point


def leaf(row):
    return blake3(b"".join(x.to_bytes(8, "little") for x in row)).digest()


def check_tree(root, depth, positions, rows, siblings):
    """The rows at the positions and the siblings, from the leaves up and from left to right, make the root.

    `siblings` stand in reverse; those that the tree needs are taken away.
    """
    nodes = {}
    for position, row in zip(positions, rows, strict=True):
        digest = leaf(row)
        require(nodes.setdefault(position, digest) == digest, "zk.opening", "two rows at one position")
    for _ in range(depth):
        parents = {}
        for position in sorted(nodes):
            if position >> 1 in parents:
                continue
            other = nodes.get(position ^ 1)
            if other is None:
                require(siblings, "zk.opening", "siblings")
                other = siblings.pop()
            pair = (other, nodes[position]) if position & 1 else (nodes[position], other)
            parents[position >> 1] = blake3(pair[0] + pair[1]).digest()
        nodes = parents
    require(nodes == {0: root}, "zk.opening", "Merkle tree")


def check_trees(roots, depth, positions, rows, siblings):
    """A row has a part under each of the roots; all siblings are needed."""
    left = siblings[::-1]
    for part, root in enumerate(roots):
        check_tree(root, depth, positions, [row[part] for row in rows], left)
    require(not left, "zk.opening", "siblings left over")


def assembled(row, width):
    """J3: the parts of a row in equal shares of the width, with zeros behind each."""
    share = width // len(row)
    return [x for part in row for x in part + [0] * (share - len(part))]


def base_row(row, extension):
    return [x for a in row for x in a] if extension else row


class Constraints:
    """The weighted claims of a run: `(variables, function that evaluates the weight at a point)` and their powers."""

    def __init__(self):
        self.items = []

    def add(self, claim, variables, challenge, first_power, evaluations):
        """Adds the evaluations `(value, weight function)` to the claim, by powers of the challenge."""
        series = powers(challenge)
        for _ in range(first_power):
            next(series)
        for value, weight in evaluations:
            factor = next(series)
            claim = add(claim, mul(factor, value))
            self.items.append((variables, factor, weight))
        return claim

    def at(self, point):
        return total(mul(factor, weight(point[len(point) - v :])) for v, factor, weight in self.items)


def equality(point):
    return lambda at: eq(point, at)


def selection(var):
    """`prod (r_i (var^(2^i) - 1) + 1)`, from the last coordinate."""

    def weight(at):
        out, power = ONE, var
        for r in reversed(at):
            out = mul(out, add(ONE, mul(r, lift(power - 1))))
            power = power * power % P
        return out

    return weight


def query(transcript, whir, index, roots, opened, folding):
    """The positions of a query phase and the values of the folded rows there."""
    phase = whir.phases[index]
    if phase.work == 0:
        require(opened.work == 0, "zk.opening", "a witness of work that is not asked for")
    require(transcript.work(phase.work, opened.work), "zk.opening", "work")
    draws = phase.draws
    positions = [transcript.bits(phase.depth) for _ in range(draws)] if draws else list(range(1 << phase.depth))
    extension = index > 0
    rows = [[base_row(part, extension) for part in row] for row in opened.rows]
    check_trees(roots, phase.depth, positions, rows, opened.siblings)
    weights = eq_vector(folding)
    rows = [assembled(row, 1 << phase.fold) for row in opened.rows]
    folded = [total(mul(w, x if extension else lift(x)) for w, x in zip(weights, row, strict=True)) for row in rows]
    return [pow(generator(phase.depth), p, P) for p in positions], folded


def verify_opening(transcript, name, roots, stack, whir, claims, proof):
    """O2 and O3; with the roots of weights and witness, J3. `proof` is what `Reader.opening` reads."""
    try:
        run(transcript, name, roots, stack, whir, claims, proof)
    except Refused as refusal:
        raise Refused("zk.opening", f"{name}: {refusal}") from None


def run(transcript, name, roots, stack, whir, claims, proof):
    transcript.step(name)
    virtual = []
    for answer in proof.samples:
        pattern = [ts.challenge("virtual_point"), ts.message("virtual_eval")]
        ts.seed(transcript, 1, b"p3-sumcheck-layout-ood", pattern, stack.instance())
        virtual.append((answer, equality(univariate(transcript.draw(), stack.variables))))
        transcript.absorb(answer)
    for c in claims:
        instance = stack.instance() + [c.table, stack.tables[c.table][0], len(c.columns), *c.columns, 0]
        pattern = [ts.message("current_evals", len(c.columns))]
        ts.seed(transcript, 1, b"p3-sumcheck-layout-opening", pattern, instance)
        transcript.absorb(*c.values)
    seed_run(transcript, whir, len(claims))

    concrete = []
    for table in stack.order:
        for c in (c for c in claims if c.table == table):
            for column, value in zip(c.columns, c.values, strict=True):
                concrete.append((value, equality(stack.lift(table, column, c.point))))
    instance = stack.instance() + [len(concrete), len(virtual)]
    ts.seed(transcript, 1, b"p3-sumcheck-layout-batching", [ts.challenge("batching")], instance)
    constraints = Constraints()
    claim = constraints.add(ZERO, stack.variables, transcript.draw(), 0, concrete + virtual)
    claim, folding = sumcheck(transcript, proof.rounds, proof.work, whir.initial_work, claim)
    point = list(folding)

    for i, (phase, part) in enumerate(zip(whir.phases[:-1], proof.phases)):
        transcript.absorb_bytes(part.root)
        answers = []
        for answer in part.samples:
            answers.append((answer, equality(univariate(transcript.draw(), phase.variables))))
            transcript.absorb(answer)
        positions, folded = query(transcript, whir, i, roots, part.opened, folding)
        selections = [(value, selection(p)) for p, value in zip(positions, folded)]
        claim = constraints.add(claim, phase.variables, transcript.draw(), 1, answers + selections)
        claim, folding = sumcheck(transcript, part.rounds, part.work, phase.folding_work, claim)
        point += folding
        roots = [part.root]

    transcript.absorb(*proof.final)
    positions, folded = query(transcript, whir, len(whir.phases) - 1, roots, proof.opened, folding)
    for position, value in zip(positions, folded):
        at = total(mul(lift(pow(position, k, P)), c) for k, c in enumerate(proof.final))
        require(at == value, "zk.opening", "final polynomial")
    claim, folding = sumcheck(transcript, proof.last, proof.last_work, 0, claim)
    value = product([constraints.at(point + folding), total(map(mul, eq_vector(folding), proof.final))])
    require(claim == value, "zk.opening", "the claims of the opening")
