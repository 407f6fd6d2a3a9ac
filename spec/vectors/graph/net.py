"""A graph that grows node by node."""

from integer_graph import *

ACCUMULATORS = ("Linear", "Convolve", "WindowSum", "Sum", "Product")


class Net:
    """Inputs of the given shapes; methods that add a node return its value."""

    def __init__(self, *shapes):
        inputs = [spec(f"x{i}", "int8", list(shape)) for i, shape in enumerate(shapes)]
        self.graph = {"inputs": inputs, "params": [], "nodes": [], "outputs": []}

    def shape(self, value):
        return analyse(self.graph)[0][value]

    def param(self, *args):
        self.graph["params"].append(param(*args))
        return len(self.graph["params"]) - 1

    def add(self, node):
        self.graph["nodes"].append(node)
        return len(self.graph["inputs"]) + len(self.graph["nodes"]) - 1

    def conv(self, value, n, window, groups=1, weight=(-128, 127), bias=(-500, 500)):
        channels = self.shape(value)[2]
        w = self.param("int8", [n, window[0][0], window[1][0], channels // groups], *weight)
        return self.add(convolve(value, w, self.param("int32", [n], *bias), window, groups))

    def linear(self, value, n, weight=(-128, 127), bias=(-500, 500)):
        w = self.param("int8", [n, self.shape(value)[-1]], *weight)
        return self.add(linear(value, w, self.param("int32", [n], *bias)))

    def int8(self, value, multiplier=1 << 20, shift=27, low=-128, high=127):
        return self.add(requantise(value, [multiplier], shift, low, high))

    def dtype(self, value):
        index = value - len(self.graph["inputs"])
        node = self.graph["nodes"][index] if index >= 0 else {"op": "input"}
        if node["op"] == "Reshape":
            return self.dtype(node["input"])
        return "int32" if node["op"] in (*ACCUMULATORS, "ArgMax") else "int8"

    def out(self, *values):
        """The finished graph, with outputs."""
        for i, value in enumerate(values):
            self.graph["outputs"].append(output(value, f"y{i}", self.dtype(value), self.shape(value)))
        return self.graph

    def anchor(self):
        """A dense layer on a new input, for graphs whose other nodes have no parameters."""
        name = f"x{len(self.graph['inputs'])}"
        assert not self.graph["nodes"]
        self.graph["inputs"].append(spec(name, "int8", [1]))
        return self.linear(len(self.graph["inputs"]) - 1, 1)
