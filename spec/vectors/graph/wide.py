"""Accepted graphs of sums of accumulators, and of wide activations, which need them."""

from integer_graph import *


def dense():
    """A ReLU of 12 bits in two digits, and a layer that reads both."""
    high, low = digits(5, 0, 4095)
    scaling = ([3, 2, 3], 2)
    return {
        "inputs": [spec("x", "int8", [2, 4])],
        "params": [weights(3, 4), biases(3, -5000, 5000), weights(2, 3), biases(2, 0, 0), biases(2, -9000, 9000)],
        "nodes": [
            linear(0, 0, 1),
            activate(1, *scaling, high),
            activate(1, *scaling, low),
            linear(2, 2, 3),
            linear(3, 2, 4),
            weighted((4, 32), (5, 1)),
        ],
        "outputs": [output(6, "acc", "int32", [2, 2])],
    }


def image():
    """Digits of two's complement between convolutions, padding, and multipliers per channel behind the sum."""
    high, low = digits(4, -2048, 2047)
    window = [axis(3, 1, 1, 1, 1), axis(2, 2)]
    filters = [param("int8", [4, 3, 2, 2], -127, 127), biases(4, -3000, 3000)]
    return {
        "inputs": [spec("x", "int8", [3, 8, 2])],
        "params": [*filters, param("int8", [3, 3, 2, 4], -127, 127), biases(3, 0, 0), biases(3, -900, 900)],
        "nodes": [
            convolve(0, 0, 1, window),
            activate(1, [1], 6, high),
            activate(1, [1], 6, low),
            convolve(2, 2, 3, window),
            convolve(3, 2, 4, window),
            weighted((4, 16), (5, 1)),
            requantise(6, [70, 81, 64], 18),
        ],
        "outputs": [output(7, "y", "int8", [3, 2, 3])],
    }


def everything():
    """One matrix twice, a product, sums over windows and int8 values in sums; outputs not in the order of nodes."""
    one = [axis(1), axis(1)]
    return {
        "inputs": [spec("x", "int8", [2, 2, 3]), spec("z", "int8", [2, 2, 3])],
        "params": [weights(3, 3), biases(3, -100, 100), param("int8", [3, 1, 1, 1], -90, 90)],
        "nodes": [
            linear(0, 0, 1),
            linear(1, 0, 1),
            product(0, 1),
            window_sum(1, [axis(3, 1, 1, 1, 1), axis(3, 1, 1, 1, 1)]),
            convolve(0, 2, 1, one, 3),
            weighted((2, 7), (0, -300), (3, -2), (4, 3), (5, 11), (6, 5), (2, 1)),
            weighted((5, 2), (1, 9), (5, -1)),
            weighted((2, 1)),
            requantise(7, [90, 31, 77], 16),
            requantise(9, [200], 16),
        ],
        "outputs": [
            output(9, "last", "int32", [2, 2, 3]),
            output(7, "all", "int32", [2, 2, 3]),
            output(8, "values", "int32", [2, 2, 3]),
            output(2, "acc", "int32", [2, 2, 3]),
            output(10, "q", "int8", [2, 2, 3]),
            output(11, "r", "int8", [2, 2, 3]),
        ],
    }


def constants():
    """A constant at the end of int32, and what is needed to multiply it by coefficients at the ends of theirs."""
    end = biases(1, -(2**31), -(2**31))
    return {
        "inputs": [spec("x", "int8", [4, 1])],
        "params": [weights(1, 1, 0, 0), end],
        "nodes": [linear(0, 0, 1)],
    }


def far():
    """Partial sums beyond 64 bits whose sum is one int8 value."""
    terms = [(1, -(2**31))] * 2 + [(1, 2**31 - 1)] * 2 + [(1, 2), (0, 1)]
    graph = constants()
    graph["nodes"].append(weighted(*terms))
    return {**graph, "outputs": [output(2, "acc", "int32", [4, 1])]}


def accepted():
    graphs = {
        "wide-dense-layers": dense,
        "wide-image": image,
        "sums-of-accumulators": everything,
        "sums-beyond-64-bits": far,
    }
    for name, make in graphs.items():
        yield name, make.__doc__, make(), None, None
