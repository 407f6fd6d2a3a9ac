"""Z1 to Z4 of zk.md: the fields, multilinear extensions, placed blocks and cell spaces.

An element of E is a tuple of three integers below P, constant first.
"""

P = 2**64 - 2**32 + 1
ZERO, ONE = (0, 0, 0), (1, 0, 0)


def lift(x):
    """An integer as an element of E."""
    return (x % P, 0, 0)


def add(a, b):
    return ((a[0] + b[0]) % P, (a[1] + b[1]) % P, (a[2] + b[2]) % P)


def sub(a, b):
    return ((a[0] - b[0]) % P, (a[1] - b[1]) % P, (a[2] - b[2]) % P)


def mul(a, b):
    a0, a1, a2 = a
    b0, b1, b2 = b
    # x^3 = x + 1 and x^4 = x^2 + x.
    c3 = a1 * b2 + a2 * b1
    c4 = a2 * b2
    return ((a0 * b0 + c3) % P, (a0 * b1 + a1 * b0 + c3 + c4) % P, (a0 * b2 + a1 * b1 + a2 * b0 + c4) % P)


def times(a, n):
    """An element of E times an integer."""
    return (a[0] * n % P, a[1] * n % P, a[2] * n % P)


def neg(a):
    return sub(ZERO, a)


def total(items):
    r0 = r1 = r2 = 0
    for a in items:
        r0, r1, r2 = r0 + a[0], r1 + a[1], r2 + a[2]
    return (r0 % P, r1 % P, r2 % P)


def product(items):
    out = ONE
    for a in items:
        out = mul(out, a)
    return out


def power(a, n):
    out = ONE
    for bit in bin(n)[2:]:
        out = mul(out, out)
        if bit == "1":
            out = mul(out, a)
    return out


def powers(a):
    out = ONE
    while True:
        yield out
        out = mul(out, a)


def half(a):
    return times(a, (P + 1) // 2)


def log(n):
    """The least v with 2^v >= n."""
    return (n - 1).bit_length() if n > 1 else 0


def eq(r, x):
    """Both are points of E."""
    out = ONE
    for a, b in zip(r, x, strict=True):
        ab = mul(a, b)
        out = mul(out, add(sub(sub(ONE, a), b), add(ab, ab)))
    return out


def eq_index(r, index):
    """`eq` of a point and the corner with this number."""
    out = ONE
    for i, a in enumerate(reversed(r)):
        out = mul(out, a if index >> i & 1 else sub(ONE, a))
    return out if index >> len(r) == 0 else ZERO


def eq_vector(r):
    """`eq` of a point and every corner."""
    out = [ONE]
    for a in r:
        b = sub(ONE, a)
        out = [mul(e, f) for e in out for f in (b, a)]
    return out


def extension(values, r):
    """The extension of a list of integers, zero past its end."""
    r0 = r1 = r2 = 0
    for n, e in zip(values, eq_vector(r)):
        if n:
            r0, r1, r2 = r0 + n * e[0], r1 + n * e[1], r2 + n * e[2]
    return (r0 % P, r1 % P, r2 % P)


def below(n, r):
    """The extension of `[x < n]`."""
    if n >= 1 << len(r):
        return ONE
    if n <= 0:
        return ZERO
    half_size = 1 << (len(r) - 1)
    if n <= half_size:
        return mul(sub(ONE, r[0]), below(n, r[1:]))
    return add(sub(ONE, r[0]), mul(r[0], below(n - half_size, r[1:])))


def last(point, count):
    return point[len(point) - count :]


class Placed:
    """Z3: blocks of the given numbers of variables behind one another, the largest first."""

    def __init__(self, sizes):
        self.sizes = list(sizes)
        self.offsets = [0] * len(self.sizes)
        end = 0
        for i in sorted(range(len(self.sizes)), key=lambda i: -self.sizes[i]):
            self.offsets[i] = end
            end += 1 << self.sizes[i]
        self.variables = log(end)

    def weight(self, block, point):
        v = self.sizes[block]
        return eq_index(point[: len(point) - v], self.offsets[block] >> v)

    def inner(self, block, point):
        return last(point, self.sizes[block])


class Cells:
    """Z4: blocks of `(positions, channels)`."""

    def __init__(self, blocks):
        self.blocks = list(blocks)
        self.widths = [log(channels) for _, channels in self.blocks]
        self.offsets = [0] * len(self.blocks)
        end = 0
        for i in sorted(range(len(self.blocks)), key=lambda i: -self.widths[i]):
            self.offsets[i] = end
            end += self.blocks[i][0] << self.widths[i]
        self.variables = log(end)

    def at(self, point):
        """For each block the list of `P(p)` and the list of `C(o)` over its real positions and channels."""
        out = []
        for (positions, channels), v, offset in zip(self.blocks, self.widths, self.offsets):
            high = point[: len(point) - v]
            first = offset >> v
            out.append(([eq_index(high, first + p) for p in range(positions)], eq_vector(last(point, v))[:channels]))
        return out

    def cell(self, block, element):
        """The cell of an element of a block, numbered row-major over positions and real channels."""
        position, channel = divmod(element, self.blocks[block][1])
        return self.offsets[block] + (position << self.widths[block]) + channel
