"""Section T of zk.md: the tables and the extensions of their fingerprints."""

from zk.manifest import integer_graph  # noqa: F401  (puts the modules of the graph vectors on the path)

from zk.field import P, add, eq_vector, extension, last, mul, neg, power, times, total, lift
from functions import clamp, entry  # noqa: E402


def ends(mapping):
    return mapping[1:] if mapping[0] == "clamp" else (mapping[1]["low"], mapping[1]["high"])


def result(mapping, y):
    """R1.4: the result of a quotient."""
    low, high = ends(mapping)
    y = clamp(y, low, high)
    return y if mapping[0] == "clamp" else entry(mapping[1], y)


def fingerprint(b, v1, v2, v3, number):
    return total([v1, mul(b, v2), mul(power(b, 2), v3), times(power(b, 3), number)])


def range_extension(b, point):
    return extension(range(1 << len(point)), point)


def side(h, middle):
    return 0 if h < middle else 1 if h == middle else 2


def side_extension(b, point, middle):
    rows = range(1 << len(point))
    d = extension([side(h, middle) for h in rows], point)
    return fingerprint(b, extension(rows, point), d, lift(0), 1)


def larger_extension(b, point):
    rows = range(-256, 256)
    return fingerprint(b, extension(rows, point), extension([max(x, 0) for x in rows], point), lift(0), 2)


def mapping_extension(b, point, mappings, window_bits, low, split):
    columns = [], [], [], []
    sides = 4 if split else 1
    for index in range((1 << (len(point) - window_bits)) // sides):
        number = min(index, len(mappings) - 1)
        mapping = mappings[number]
        least, most = ends(mapping)
        for d in range(sides):
            for inside in range(1 << window_bits):
                y = inside + low if d == 1 or not split else least if d == 0 else most
                for column, x in zip(columns, (inside, d, result_at(mapping, y), 3 + number)):
                    column.append(x)
    weights = eq_vector(point)
    v1, v2, v3, ids = (total(times(w, x % P) for w, x in zip(weights, column)) for column in columns)
    return total([v1, mul(b, v2), mul(power(b, 2), v3), mul(power(b, 3), ids)])


CACHE = {}


def result_at(mapping, y):
    key = (repr(mapping), y)
    if key not in CACHE:
        CACHE[key] = result(mapping, y)
    return CACHE[key]


def denominators(witness, circuit, alpha, b, point):
    """The extensions of `alpha - fingerprint` of the tables, in the order of the table tree."""
    found = []
    for name, v in witness.tables.items():
        inner = last(point, v)
        if name == "range":
            found.append(range_extension(b, inner))
        elif name == "side":
            found.append(side_extension(b, inner, witness.window_index))
        elif name == "mapping":
            numbers = witness.window_bits, witness.low, witness.split
            found.append(mapping_extension(b, inner, circuit.mappings, *numbers))
        else:
            found.append(larger_extension(b, inner))
    return [add(alpha, neg(f)) for f in found]
