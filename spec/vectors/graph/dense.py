"""Accepted graphs of Linear, Requantise, ArgMax and Reshape, and the pieces that other cases start from."""

from integer_graph import arg_max, biases, linear, output, requantise, reshape, spec, weights


def mlp():
    return {
        "inputs": [spec("x", "int8", [4], 1, 7)],
        "params": [weights(3, 4), biases(3, -4096, 4095), weights(2, 3, -127, 127), biases(2, -1000, 1000)],
        "nodes": [
            linear(0, 0, 1),
            requantise(1, [1073741824, 1500000000, 7], 38, 0, 127),
            linear(2, 2, 3),
            arg_max(3),
        ],
        "outputs": [output(3, "logits", "int32", [2], 3, 10), output(4, "class", "int32", [])],
    }


def one_layer(n, k, bias_low, bias_high, multipliers, shift, low=-128, high=127):
    return {
        "inputs": [spec("x", "int8", [k])],
        "params": [weights(n, k), biases(n, bias_low, bias_high)],
        "nodes": [linear(0, 0, 1), requantise(1, multipliers, shift, low, high)],
        "outputs": [output(2, "y", "int8", [n])],
    }


def accepted():
    yield "mlp", "two layers, ReLU, per-channel multipliers, logits and class", mlp(), None, None

    halves = list(range(-6, 7))
    graph = one_layer(len(halves), 1, -8, 7, [1], 1)
    yield "rounding-halves", "halves go up: -3/2 -> -1, 3/2 -> 2", graph, [[0] * len(halves), halves], [[[0]]]

    graph = one_layer(len(halves), 1, -8, 7, [3], 3)
    yield "rounding-eighths", "floor of (3a + 4) / 8", graph, [[0] * len(halves), halves], [[[0]]]

    # 16 * 128 * 128 = 2^18, so the bias takes the accumulator to the last int32 on either side.
    top, bottom = 2**31 - 1 - 2**18, -(2**31) + 16 * 128 * 127
    graph = one_layer(2, 16, bottom, top, [2**30], 55)
    extremes = [[-128] * 16 + [127] * 16, [top, bottom]]
    yield "int32-extremes", "accumulators reach both ends of int32", graph, extremes, [[[-128] * 16], [[127] * 16]]

    graph = one_layer(3, 2, -100, 100, [0, 1, 2**31 - 1], 47, -128, 127)
    yield "multiplier-ends", "multipliers 0, 1 and 2^31 - 1", graph, None, None

    graph = one_layer(2, 3, -100, 100, [2**29], 38, -5, 9)
    yield "narrow-clamp", "one multiplier for all channels, clamp inside int8", graph, None, None

    # acc in [-256, 2^24 - 257]: with M = 2, s = 1 the quotient is acc itself.
    graph = one_layer(1, 1, 0, 2**24 - 1 - 254 - 256, [2], 1)
    graph["params"][0].update(low=0, high=2)
    yield "widest-quotient", "the quotient spans 2^24 values", graph, None, None

    square = {
        "inputs": [spec("image", "int8", [2, 2])],
        "params": [weights(6, 4), biases(6, -500, 500)],
        "nodes": [reshape(0, [4]), linear(1, 0, 1), reshape(2, [3, 2]), arg_max(3)],
        "outputs": [output(3, "rows", "int32", [3, 2]), output(4, "classes", "int32", [3])],
    }
    yield "reshape", "reshape before and behind, ArgMax along the last axis", square, None, None

    ties = {
        "inputs": [spec("x", "int8", [3])],
        "params": [weights(4, 3), biases(4, -10, 10)],
        "nodes": [linear(0, 0, 1), arg_max(1)],
        "outputs": [output(1, "logits", "int32", [4]), output(2, "class", "int32", [])],
    }
    same = [[1, 0, 0] * 4, [-1, 5, 5, 5]]
    yield "argmax-ties", "ties go to the lowest index", ties, same, [[[9, 1, 2]], [[-128, 0, 0]]]

    two = {
        "inputs": [spec("a", "int8", [2]), spec("b", "int8", [3])],
        "params": [weights(2, 2), weights(2, 3), biases(2, -9, 9)],
        "nodes": [linear(0, 0, 2), linear(1, 1, 2), requantise(2, [1 << 20], 24), requantise(3, [1 << 20], 24, 0)],
        "outputs": [output(4, "p", "int8", [2]), output(5, "q", "int8", [2]), output(3, "raw", "int32", [2])],
    }
    yield "two-inputs", "two inputs, a bias that two nodes share, an accumulator read and shown", two, None, None

    shared = {
        "inputs": [spec("x", "int8", [3])],
        "params": [weights(3, 3, -1, 1), biases(3, 0, 0)],
        "nodes": [linear(0, 0, 1), requantise(1, [1], 1, 0), linear(2, 0, 1)],
        "outputs": [output(3, "y", "int32", [3])],
    }
    yield "shared-weights", "one matrix in two layers", shared, None, None
