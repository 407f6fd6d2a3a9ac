"""Sections F and S of zk.md: sums of fractions and sumchecks."""

from zk.field import ZERO, add, half, mul, sub, total
from zk.refusal import require


def line(at0, at1, x):
    return add(at0, mul(x, sub(at1, at0)))


def tree(transcript, proof):
    """F1 and F2: the point at the leaves, and numerator and denominator there."""
    n, d = proof.root
    transcript.absorb(n, d)
    point = []
    for rounds, (n0, d0, n1, d1) in proof.layers:
        m = transcript.draw()
        claim, drawn = add(n, mul(m, d)), []
        for z, (lead, slope) in zip(point, rounds, strict=True):
            transcript.absorb(lead, slope)
            x = transcript.draw()
            g0 = sub(claim, mul(z, slope))
            claim = add(g0, mul(x, add(sub(slope, lead), mul(lead, x))))
            drawn.append(x)
        crossed = add(mul(n0, d1), mul(n1, d0))
        require(claim == add(crossed, mul(m, mul(d0, d1))), "zk.lookup", "layer")
        transcript.absorb(n0, d0, n1, d1)
        y = transcript.draw()
        n, d, point = line(n0, n1, y), line(d0, d1, y), [y] + drawn
    return point, n, d


def balance(first, second):
    """F3."""
    (n1, d1), (n2, d2) = first.root, second.root
    require(d1 != ZERO and d2 != ZERO, "zk.lookup", "a denominator of zero")
    require(add(mul(n1, d2), mul(n2, d1)) == ZERO, "zk.lookup", "sums differ")


def two_factors(transcript, rounds, claim):
    """S2: the point and the value there."""
    point = []
    for low, lead in rounds:
        transcript.absorb(low, lead)
        x = transcript.draw()
        slope = sub(sub(sub(claim, low), low), lead)
        claim = add(low, mul(x, add(slope, mul(x, lead))))
        point.append(x)
    return point, claim


def three_factors(transcript, rounds, claim):
    """S3."""
    point = []
    for at0, below0, cubic in rounds:
        transcript.absorb(at0, below0, cubic)
        x = transcript.draw()
        at1 = sub(claim, at0)
        square = sub(half(add(at1, below0)), at0)
        linear = sub(half(sub(at1, below0)), cubic)
        claim = add(at0, mul(x, add(linear, mul(x, add(square, mul(x, cubic))))))
        point.append(x)
    return point, claim


def require_sum(value, factors, why):
    require(value == factors, "zk.sumcheck", why)


def dot(left, right):
    return total(mul(a, b) for a, b in zip(left, right, strict=True))
