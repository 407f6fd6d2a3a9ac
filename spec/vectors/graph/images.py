"""Accepted graphs of Convolve, WindowSum and WindowMax, and networks of them."""

from integer_graph import *
from net import Net


def square(*numbers):
    return [axis(*numbers), axis(*numbers)]


def one_convolution(shape, n, window, groups=1, **ranges):
    net = Net(shape)
    return net.out(net.conv(0, n, window, groups, **ranges))


def convolutions():
    net = Net([2, 3, 4])
    acc = net.linear(0, 5)
    net.add(requantise(acc, [1 << 20, 2 << 20, 0, 7, 2**31 - 1], 31))
    yield "linear-leading-axes", "one matrix at each position", net.out(acc, acc + 1), None, None

    graph = one_convolution([4, 5, 2], 3, square(3))
    yield "convolve", "no padding, all numbers 1", graph, None, None
    graph = one_convolution([9, 8, 1], 2, [axis(2, 2, 3), axis(3, 3, 2)])
    yield "convolve-stride-dilation", "strides and dilations that differ, elements left over", graph, None, None
    graph = one_convolution([3, 4, 2], 2, [axis(3, 1, 1, 2, 1), axis(2, 1, 1, 0, 1)])
    yield "convolve-padding", "padding that differs on all sides", graph, None, None
    graph = one_convolution([5, 4, 1], 1, [axis(3, 2, 2, 4, 3), axis(2, 3, 3, 1, 3)])
    yield "convolve-everything", "stride, dilation and padding together", graph, None, None
    graph = one_convolution([3, 2, 6], 4, [axis(2), axis(1)], groups=2)
    yield "convolve-groups", "two groups of three channels and two filters", graph, None, None
    graph = one_convolution([3, 3, 3], 3, square(2, 1, 1, 1, 0), groups=3)
    yield "convolve-depthwise", "one filter per channel", graph, None, None
    graph = one_convolution([3, 3, 3], 6, square(3, 1, 1, 1, 1), groups=3)
    yield "convolve-depthwise-twice", "two filters per channel", graph, None, None
    graph = one_convolution([4, 3, 3], 2, square(1, 2))
    yield "convolve-pointwise", "one tap, stride 2", graph, None, None
    graph = one_convolution([1, 7, 2], 2, [axis(1, 5, 9), axis(3, 2, 1, 1, 1)])
    yield "convolve-one-row", "a signal along the width; a stride and a dilation without meaning", graph, None, None
    graph = one_convolution([1, 1, 1], 2, [axis(2, 1, 3, 1, 3), axis(2, 1, 3, 3, 2)])
    yield "convolve-only-padding", "windows without any element give the bias", graph, None, None
    graph = one_convolution([3, 3, 1], 1, square(3))
    yield "convolve-whole", "one window", graph, None, None


def extremes():
    # Nine taps of two channels: 18 products from -128 * 127 to 128 * 128.
    bottom, top = -(2**31) + 18 * 128 * 127, 2**31 - 1 - 18 * 128 * 128
    graph = one_convolution([3, 3, 2], 2, square(3), bias=(bottom, top))
    parameters = [[-128] * 18 + [127] * 18, [top, bottom]]
    yield "convolve-int32-extremes", "both ends of int32", graph, parameters, [[[-128] * 18], [[127] * 18]]

    net = Net([4, 4, 2])
    acc = net.linear(0, 2)
    positive = net.int8(acc, low=5, high=100)
    inside, around = square(2), [axis(2), axis(2, 1, 1, 0, 1)]
    values = [
        net.add(window_sum(positive, inside)),
        net.add(window_sum(positive, around)),
        net.conv(positive, 1, inside, weight=(3, 9), bias=(0, 0)),
        net.conv(positive, 1, around, weight=(3, 9), bias=(0, 0)),
        net.add(window_max(positive, around)),
    ]
    yield "padding-in-ranges", "0 enters a positive range with padding only", net.out(*values), None, None

    net = Net([4, 4, 1])
    acc = net.linear(0, 1)
    negative = net.int8(acc, low=-100, high=-5)
    around = [axis(3, 1, 1, 2, 0), axis(3, 1, 1, 0, 2)]
    values = [net.add(window_sum(negative, around)), net.add(window_max(negative, around))]
    yield "padding-is-not-largest", "the largest of negative elements is not 0", net.out(*values), None, None


def pools():
    for name, op in (("window-sum", window_sum), ("window-max", window_max)):
        net = Net([5, 6, 2])
        net.anchor()
        values = [
            net.add(op(0, square(2, 2))),
            net.add(op(0, [axis(3, 1, 2, 2, 1), axis(2, 2, 3, 3, 2)])),
            net.add(op(0, [axis(5), axis(6)])),
            net.add(op(0, square(1))),
            net.add(op(0, [axis(3, 3, 1, 2, 2), axis(1, 4)])),
        ]
        yield name, "strides, dilation, padding, the whole image, one tap", net.out(2, *values), None, None

    net = Net([1, 2048, 1])
    net.anchor()
    wide = [axis(1), axis(1024, 1024)]
    values = [net.add(window_sum(0, wide)), net.add(window_max(0, wide))]
    runs = [[[(i * 37) % 256 - 128 for i in range(2048)], [0]]]
    yield "widest-window", "1024 taps", net.out(2, *values), None, runs


def networks():
    net = Net([8, 8, 3])
    a = net.int8(net.conv(0, 4, square(3, 2, 1, 0, 1)), shift=30, low=0)
    b = net.int8(net.conv(a, 4, square(3, 1, 1, 1, 1), groups=4), shift=28, low=0)
    c = net.int8(net.conv(b, 6, square(1)), shift=29, low=0)
    d = net.add(window_max(c, square(2, 2)))
    e = net.add(reshape(d, [24]))
    logits = net.linear(e, 5)
    best = net.add(arg_max(logits))
    yield "cnn", "strided, depthwise and pointwise convolutions, pool, dense layer, class", net.out(logits, best), None, None

    net = Net([4, 4, 2])
    a = net.int8(net.conv(0, 2, square(3, 1, 1, 1, 1)), low=0)
    b = net.int8(net.conv(a, 2, square(3, 1, 1, 1, 1)))
    total = net.add(weighted((b, 5), (0, -3)))
    c = net.int8(total, 1 << 28, 30, low=0)
    mean = net.int8(net.add(window_sum(c, square(4))), 1 << 26, 30)
    gate = net.linear(mean, 2)
    sigmoid = function("Sigmoid", [1, 5], [1, 7], -256, 255)
    f = net.add(activate(gate, [1 << 22, 1 << 23], 28, sigmoid))
    wide = net.add(expand(f, [4, 4, 2]))
    yield "residual-gate", "a residual sum and a gate per channel", net.out(net.add(product(c, wide))), None, None

    net = Net([4, 4, 1])
    left = net.int8(net.conv(0, 2, square(2, 2)))
    right = net.add(concat([net.add(window_max(0, square(2, 2)))] * 2, 2))
    both = net.add(concat([left, right], 2))
    turned = net.add(transpose(both, [2, 0, 1]))
    flat = net.add(reshape(turned, [4, 4]))
    yield "two-branches", "branches joined, turned and flattened", net.out(net.linear(flat, 3)), None, None

    net = Net([3, 5, 2])
    padded = net.add(pad(0, [2, 1, 0], [1, 2, 0], -7))
    small = net.add(cut(padded, (5, -2, 3), (1, 2, 3), (1, -1, 2)))
    yield "pad-cut-convolve", "arrangements in front", net.out(net.conv(small, 2, square(2))), None, None


def accepted():
    yield from convolutions()
    yield from extremes()
    yield from pools()
    yield from networks()
