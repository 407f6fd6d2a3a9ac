#!/usr/bin/env python3
"""Measures the chain and puts the results into docs/benchmarks.json; `python3 bench/benchmarks.py --from-json` writes the page.

    go install github.com/cometbft/cometbft/cmd/cometbft@v0.39.4
    go install github.com/cometbft/cometbft/abci/cmd/abci-cli@v0.39.4
    cargo build --release -p haca
    python3 bench/chain.py --haca target/release/haca

Runs `haca bench chain` several times and keeps, for each load, the run of median rate; then `haca bench ledger`. With
`--bundle` and `--trust`, also `haca bench light` on a bundle that `haca infer` wrote. Needs Python's standard library.
"""

import argparse
import datetime
import json
import os
import pathlib
import tempfile

import benchmarks

ROOT = benchmarks.ROOT
CNN = ROOT / "models" / "digits-cnn"
COMMANDS = [
    "haca model import models/digits-cnn/digits-cnn.onnx --calibration models/digits-cnn/calibration.npz --out cnn.haca",
    "haca bench chain --model cnn.haca",
    "haca bench ledger --onnx models/digits-cnn/digits-cnn.onnx --input models/digits-cnn/calibration.npz",
    "haca bench light bundle.haca --trust HASH",
    "python3 bench/chain.py --haca target/release/haca && python3 bench/benchmarks.py --from-json",
]


def median_row(rows):
    """The run of median rate."""
    return sorted(rows, key=lambda row: row["txs_per_s"])[len(rows) // 2]


def rounded(value):
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return value


def loads(options, model):
    """One row per load."""
    found = {}
    for number in range(options.runs):
        benchmarks.say(f"chain: run {number + 1} of {options.runs}")
        command = [options.haca, "bench", "chain", "--json", "--quiet", "--model", model, "--seconds", options.seconds]
        for row in json.loads(benchmarks.run(command))["rows"]:
            found.setdefault(row["load"], []).append(row)
    return [median_row(rows) for rows in found.values()]


def measure(options):
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "cnn.haca"
        benchmarks.run([options.haca, "model", "import", CNN / "digits-cnn.onnx", "--calibration",
                        CNN / "calibration.npz", "--out", model, "-q"])
        rows = loads(options, model)
    benchmarks.say("ledger")
    ledger = json.loads(benchmarks.run([options.haca, "bench", "ledger", "--json", "--quiet", "--onnx",
                                        CNN / "digits-cnn.onnx", "--input", CNN / "calibration.npz"]))
    light = None
    if options.bundle:
        benchmarks.say("light")
        light = json.loads(benchmarks.run([options.haca, "bench", "light", options.bundle, "--trust", options.trust,
                                           "--json"]))
    machine = benchmarks.machine()
    runs = f"median of {options.runs} runs of {options.seconds} s a load"
    idle = "nothing else ran" if busy < 0.5 else f"other work ran meanwhile (load average {busy:.0f} at the start)"
    return {
        "date": datetime.date.today().isoformat(),
        "commit": options.commit or benchmarks.commit(),
        "cpu": f"{machine['cores']} cores of one machine: {machine['cpu']} (family {machine['family']}, model "
               f"{machine['model']})",
        "note": f"{runs}; {idle}",
        "rows": rounded(rows),
        "ledger": rounded(ledger),
        "light": rounded(light),
        "commands": COMMANDS,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--haca", type=os.path.abspath, default=str(ROOT / "target" / "release" / "haca"),
                        help="the program to measure")
    parser.add_argument("--runs", type=int, default=3, help="runs of every load")
    parser.add_argument("--seconds", type=int, default=10, help="how long to send in each")
    parser.add_argument("--bundle", type=os.path.abspath, help="a bundle for `haca bench light`")
    parser.add_argument("--trust", help="the genesis hash of its network")
    parser.add_argument("--commit", help="what the program was built from, when it is not this checkout")
    options = parser.parse_args()
    out = benchmarks.DOCS
    results = benchmarks.load(out)
    results["chain"] = measure(options)
    benchmarks.write_json(out, results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
