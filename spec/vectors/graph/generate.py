"""Writes accept.json and reject.json, the vectors of spec/graph.md.

An implementation of spec/graph.md with Python's integers, sharing no code with crates/haca-graph: this file and those
beside it. Needs Python 3.9 or later and nothing else. Run: python3 spec/vectors/graph/generate.py
"""

import json
import pathlib
import random

import dense
import images
import moves
import refused
import tables
import wide
from integer_graph import analyse, elements, encode, encode_manifest, evaluate, macs

HERE = pathlib.Path(__file__).parent


def draw(rng, graph):
    def tensor(shape, least, most):
        return [rng.randint(least, most) for _ in range(elements(shape))]

    parameters = [tensor(p["shape"], p["low"], p["high"]) for p in graph["params"]]
    runs = [[tensor(i["shape"], -128, 127) for i in graph["inputs"]] for _ in range(3)]
    for fill in (-128, 127, 0):
        runs.append([[fill] * elements(i["shape"]) for i in graph["inputs"]])
    return parameters, runs


def accept_file():
    rng = random.Random(7)
    cases = []
    for chapter in (dense, images, moves, tables, wide):
        for name, note, graph, parameters, runs in chapter.accepted():
            drawn, inputs = draw(rng, graph)
            parameters = drawn if parameters is None else parameters
            inputs = inputs if runs is None else runs
            _, ranges, quotients = analyse(graph)
            assert all(-(2**31) <= low <= high < 2**31 for low, high in ranges), name
            cases.append(
                {
                    "name": name,
                    "note": note,
                    "graph": graph,
                    "encoding": encode(graph).hex(),
                    "manifest": encode_manifest(name, graph).hex(),
                    "macs": macs(graph),
                    "param_count": sum(elements(p["shape"]) for p in graph["params"]),
                    "ranges": ranges,
                    "quotients": quotients,
                    "parameters": parameters,
                    "runs": [{"inputs": i, "values": evaluate(graph, parameters, i)} for i in inputs],
                }
            )
    return cases


def reject_file():
    graphs = [
        {"name": name, "code": code, "decode": decode, "graph": graph, "encoding": encode(graph).hex()}
        for name, code, decode, graph in refused.graphs()
    ]
    raw = [{"name": n, "code": c, "encoding": b.hex()} for n, c, b in refused.raw()]
    return {"graphs": graphs, "bytes": raw}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    write("accept.json", accept_file())
    write("reject.json", reject_file())
