"""Accepted graphs of Sum, Product and arrangements."""

from integer_graph import *
from net import Net


def elementwise():
    net = Net([2, 3], [2, 3])
    net.anchor()
    values = [
        net.add(weighted((0, 1))),
        net.add(weighted((0, 3), (1, -7))),
        net.add(weighted((1, 2), (1, -5), (0, 0))),
        net.add(weighted((0, 2**24 - 1), (1, 1))),
        net.add(weighted((0, -(2**24) + 1), (1, 1))),
        net.add(weighted(*[(i % 2, (-1) ** i * 10**i % 1000003) for i in range(16)])),
    ]
    yield "sum", "one term, one value twice, coefficient 0, ends of int32, 16 terms", net.out(3, *values), None, None

    net = Net([2, 3], [2, 3])
    net.anchor()
    positive = net.int8(net.add(product(0, 1)), low=3, high=50)
    negative = net.int8(net.add(product(1, 0)), low=-60, high=-2)
    values = [
        net.add(product(0, 0)),
        net.add(product(positive, negative)),
        net.add(product(positive, positive)),
        net.add(product(negative, negative)),
        net.add(product(negative, 0)),
    ]
    runs = [[[-128, 127, -128, 127, 0, -1], [-128, 127, 127, -128, 5, 1], [0]]]
    yield "product", "squares and ranges of either sign", net.out(3, *values), None, runs

    net = Net([])
    net.anchor()
    total = net.add(weighted((0, 3)))
    q = net.add(requantise(total, [1 << 20], 20))
    one = net.add(product(q, q))
    copies = [net.add(op) for op in (transpose(q, []), cut(q), pad(q, [], [], 5), expand(q, []))]
    yield "scalars", "values without axes", net.out(2, total, one, *copies), None, None


def turns():
    net = Net([2, 3, 4], [1, 1, 2, 1, 3, 1, 1, 2])
    net.anchor()
    values = [net.add(transpose(0, axes)) for axes in ([0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0])]
    values.append(net.add(transpose(1, [7, 3, 4, 0, 2, 6, 5, 1])))
    yield "transpose", "cycles, a reversal, eight axes", net.out(3, *values), None, None

    net = Net([4, 5])
    net.anchor()
    values = [
        net.add(cut(0, (0, 1, 4), (0, 1, 5))),
        net.add(cut(0, (3, -1, 4), (4, -2, 3))),
        net.add(cut(0, (1, 2, 2), (3, -3, 2))),
        net.add(cut(0, (2, -(2**31), 1), (4, 2**31 - 1, 1))),
        net.add(cut(0, (3, -3, 2), (0, 4, 2))),
    ]
    yield "slice", "steps forwards and backwards, one index with any step", net.out(2, *values), None, None

    net = Net([2, 3], [2, 1], [4, 3])
    net.anchor()
    values = [
        net.add(concat([0], 0)),
        net.add(concat([0, 1], 1)),
        net.add(concat([2, 0, 2], 0)),
        net.add(concat([1, 0, 0, 1], 1)),
        net.add(concat([1] * 16, 1)),
    ]
    yield "concat", "one operand, one value twice, 16 operands, either axis", net.out(4, *values), None, None

    net = Net([2, 3])
    net.anchor()
    values = [
        net.add(pad(0, [0, 0], [0, 0], 9)),
        net.add(pad(0, [1, 0], [0, 2], -128)),
        net.add(pad(0, [0, 3], [2, 0], 127)),
        net.add(pad(0, [1, 1], [1, 1])),
    ]
    yield "pad", "sides that differ, constants at the ends of int8", net.out(2, *values), None, None

    net = Net([1, 3, 1], [1, 1])
    net.anchor()
    values = [
        net.add(expand(0, [1, 3, 1])),
        net.add(expand(0, [4, 3, 2])),
        net.add(expand(0, [1, 3, 5])),
        net.add(expand(1, [3, 3])),
    ]
    yield "expand", "no axis, two axes, one axis", net.out(3, *values), None, None


def ranges():
    net = Net([2, 2])
    a = net.int8(net.linear(0, 2), low=10, high=20)
    b = net.int8(net.linear(0, 2), low=-30, high=-5)
    values = [
        net.add(concat([a, b], 0)),
        net.add(pad(a, [0, 0], [0, 0], 0)),
        net.add(pad(b, [0, 1], [0, 0], 7)),
        net.add(transpose(a, [1, 0])),
        net.add(cut(b, (0, 1, 1), (1, 1, 1))),
        net.add(weighted((a, -2), (b, 3))),
    ]
    yield "ranges-of-arrangements", "the union of operands, with the constant", net.out(*values), None, None

    net = Net([2, 3])
    acc = net.linear(0, 3)
    shown = net.add(reshape(acc, [3, 2]))
    flat = net.add(reshape(shown, [1, 6, 1]))
    best = net.add(arg_max(shown))
    yield "reshaped-accumulators", "int32 reshaped, and its largest", net.out(acc, shown, flat, best), None, None


def accepted():
    yield from elementwise()
    yield from turns()
    yield from ranges()
