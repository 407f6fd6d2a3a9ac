#!/usr/bin/env python3
"""Reads the graphs of vectors/graph by the rules of graph.md, without a line of the crates.

Ends with "N passed, M failed"; exit code 1 if any failed.
"""

import json
import pathlib
import sys

from zk.manifest import graph, integer_graph, manifest, rules
from zk.reader import whole
from zk.refusal import Refused

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors" / "graph"


def load(name):
    return json.loads((VECTORS / name).read_text())


def accepted(vector):
    """What an accepted graph is, has and encodes to."""
    read = whole(bytes.fromhex(vector["encoding"]), graph)
    _, ranges, quotients = integer_graph.analyse(read)
    described = whole(bytes.fromhex(vector["manifest"]), manifest)
    yield "the graph", read, vector["graph"]
    yield "the encoding", integer_graph.encode(read).hex(), vector["encoding"]
    yield "the manifest", (described["name"], described["graph"]), (vector["name"], vector["graph"])
    yield "ranges", (ranges, quotients), (vector["ranges"], vector["quotients"])


def broken(one):
    """The code of the rule that a graph breaks."""
    try:
        rules.check(one)
    except rules.Broken as refusal:
        return refusal.code
    return None


def refused(encoding):
    try:
        whole(bytes.fromhex(encoding), graph)
    except Refused as refusal:
        return refusal.code
    return None


def comparisons():
    for vector in load("accept.json"):
        try:
            yield from ((f"{vector['name']}: {what}", *pair) for what, *pair in accepted(vector))
        except Refused as refusal:
            yield vector["name"], str(refusal), "a graph"
    rejected = load("reject.json")
    for vector in rejected["graphs"]:
        yield vector["name"], broken(vector["graph"]), vector["code"]
        yield f"{vector['name']}, encoded", refused(vector["encoding"]), vector["decode"]
    for vector in rejected["bytes"]:
        yield vector["name"], refused(vector["encoding"]), vector["code"]


def main():
    passed, failed = 0, 0
    for what, found, expected in comparisons():
        passed += found == expected
        if found != expected:
            failed += 1
            print(f"FAIL  {what}: {found}, expected {expected}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
