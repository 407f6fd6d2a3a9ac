#!/usr/bin/env python3
"""Puts what `haca bench chain` and `haca bench disk` said of a full node's memory and disk into docs/benchmarks.json;
`python3 bench/benchmarks.py --from-json` writes the page.

    cargo build --release -p haca -p haca-node
    haca --json bench chain --load transfers --build target/release/haca-node > memory.json
    haca --json bench disk --build target/release/haca-node > disk.json
    haca --json bench disk --in-process > in-process.json
    python3 bench/full_node.py --memory haca-node=memory.json --disk disk.json --disk in-process.json --note "..." \\
        --command "haca bench disk --in-process"

Needs Python's standard library.
"""

import argparse
import datetime
import json
import pathlib

import benchmarks
import chain

# Looks at the disk that the page shows of a run.
LOOKS = 8


def thinned(run):
    """The run with a few of its looks, the last among them."""
    looks = run["looks"]
    step = max(1, -(-len(looks) // LOOKS))
    return dict(run, looks=looks[::-1][::step][::-1])


def memory(argument):
    """The rows of `NAME=FILE`, each with the program's name."""
    name, _, path = argument.partition("=")
    rows = json.loads(pathlib.Path(path).read_text())["rows"]
    return [dict(row, program=name) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="append", default=[], metavar="NAME=FILE", help="of `haca bench chain`")
    parser.add_argument("--disk", action="append", default=[], metavar="FILE", help="of `haca bench disk`")
    parser.add_argument("--note", required=True, help="what else ran, and for how long")
    parser.add_argument("--command", action="append", default=[], help="a command that was run, for the page")
    parser.add_argument("--commit", help="what the programs were built from, when it is not this checkout")
    options = parser.parse_args()
    machine = benchmarks.machine()
    results = benchmarks.load(benchmarks.DOCS)
    results["full_node"] = chain.rounded({
        "date": datetime.date.today().isoformat(),
        "commit": options.commit or benchmarks.commit(),
        "cpu": f"{machine['cores']} cores of one machine: {machine['cpu']} (family {machine['family']}, model "
               f"{machine['model']})",
        "note": options.note,
        "memory": [row for argument in options.memory for row in memory(argument)],
        "commands": options.command,
        "disk": [thinned(json.loads(pathlib.Path(path).read_text())) for path in options.disk],
    })
    benchmarks.write_json(benchmarks.DOCS, results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
