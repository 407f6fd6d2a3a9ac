"""V1, V2 and P1 of zk.md: inferences and what follows from their tensors."""

import dataclasses

from zk.field import eq_vector, times, total
from zk.refusal import require
from zk.transcript import derive_key

import wire_format


@dataclasses.dataclass
class Statement:
    """`inferences` are pairs of lists of tensors of `wire_format.tensor`."""

    context: bytes
    inferences: list

    def digest(self, model):
        encoded = wire_format.listed([wire_format.inference(*pair) for pair in self.inferences])
        return derive_key("haca v1 zk inference statement", model + self.context + encoded)


def check_shapes(graph, inference):
    for tensors, specs in zip(inference, (graph["inputs"], graph["outputs"])):
        require(len(tensors) == len(specs), "zk.tensor_shape")
        for tensor, spec in zip(tensors, specs):
            require(tensor["dtype"] == spec["dtype"] and tensor["shape"] == spec["shape"], "zk.tensor_shape")


def arg_max(data, shape):
    rows = [data[i : i + shape[-1]] for i in range(0, len(data), shape[-1])]
    return [row.index(max(row)) for row in rows]


def check_derived(circuit, inference):
    """The outputs that follow from the others."""
    inputs, outputs = inference
    graph = circuit.graph
    at = {out["value"]: i for i, out in enumerate(graph["outputs"])}
    for i, same in circuit.derived.items():
        value = circuit.values[graph["outputs"][i]["value"]]
        if same is not None:
            expected = outputs[same]["data"]
        elif value.kind == "index":
            read = at[value.number]
            expected = arg_max(outputs[read]["data"], graph["outputs"][read]["shape"])
        else:
            expected = [e if isinstance(e, int) else inputs[e[1]]["data"][e[2]] for e in value.elements]
        require(outputs[i]["data"] == expected, "zk.derived_output", graph["outputs"][i]["name"])


class Batch:
    """The tensors of a padded batch, folded at a batch point."""

    def __init__(self, statement, variables):
        self.inferences, self.variables = statement.inferences, variables

    def fold(self, point, side, number):
        """The list of a tensor's elements: `side` 0 for inputs, 1 for outputs."""
        weights = eq_vector(point)
        count = len(self.inferences)
        weights = weights[: count - 1] + [total(weights[count - 1 :])]
        data = [pair[side][number]["data"] for pair in self.inferences]
        return [total(times(w, x) for w, x in zip(weights, column)) for column in zip(*data)]


def padded_size(key, statement):
    """V1: the padded size of the batch, as a logarithm."""
    count = len(statement.inferences)
    require(1 <= count <= 1 << (len(key.classes) - 1), "zk.batch_size")
    return (count - 1).bit_length()


def check_tensors(circuit, statement):
    """V2."""
    for inference in statement.inferences:
        check_shapes(circuit.graph, inference)
        check_derived(circuit, inference)
