#!/usr/bin/env python3
"""Times EZKL on the model and sample that `haca bench zk` is given, and prints the medians as JSON.

    pip install ezkl numpy
    python bench/time_ezkl.py --onnx models/digits/digits.onnx --input models/digits/test.npz --runs 5

The structured reference string is generated locally, which is fit for timing only. Witness generation is part of
the proving time, as the integer run is in ours.
"""

import argparse
import asyncio
import inspect
import json
import os
import statistics
import tempfile
import time

import ezkl
import numpy as np


def call(function, *args, **kwargs):
    """Calls an EZKL function, which may be a coroutine, and returns its value and milliseconds."""
    start = time.perf_counter()
    value = function(*args, **kwargs)
    if inspect.isawaitable(value):
        async def wait():
            return await value
        value = asyncio.run(wait())
    return value, (time.perf_counter() - start) * 1e3


def sample(path, row):
    if path.endswith(".npz"):
        with np.load(path) as file:
            array = file["x"] if "x" in file else file[file.files[0]]
    elif path.endswith(".npy"):
        array = np.load(path)
    else:
        with open(path) as file:
            return json.load(file)["input_data"]
    return [array[row].astype(float).reshape(-1).tolist()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--row", type=int, default=0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--batch-dimension",
        action="append",
        default=["batch", "batch_size", "N"],
        help="a symbolic dimension of the model that is 1 here",
    )
    options = parser.parse_args()
    # EZKL prints reports of its own: stdout is kept for the result.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    onnx = os.path.abspath(options.onnx)
    data_row = sample(options.input, options.row)

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("input.json", "w") as file:
            json.dump({"input_data": data_row}, file)
        arguments = ezkl.PyRunArgs()
        arguments.input_visibility = "public"
        arguments.output_visibility = "public"
        arguments.param_visibility = "fixed"
        arguments.variables = [(name, 1) for name in options.batch_dimension]
        setup_ms = 0.0
        for step in (
            lambda: call(ezkl.gen_settings, onnx, "settings.json", py_run_args=arguments),
            lambda: call(ezkl.calibrate_settings, "input.json", onnx, "settings.json", "resources"),
            lambda: call(ezkl.compile_circuit, onnx, "model.compiled", "settings.json"),
        ):
            setup_ms += step()[1]
        with open("settings.json") as file:
            logrows = json.load(file)["run_args"]["logrows"]
        call(ezkl.gen_srs, "kzg.srs", logrows)
        setup_ms += call(ezkl.setup, "model.compiled", "vk.key", "pk.key", "kzg.srs")[1]
        prove, verify = [], []
        for _ in range(options.runs):
            _, witness_ms = call(ezkl.gen_witness, "input.json", "model.compiled", "witness.json")
            _, prove_ms = call(ezkl.prove, "witness.json", "model.compiled", "pk.key", "proof.json", "kzg.srs")
            accepted, verify_ms = call(ezkl.verify, "proof.json", "settings.json", "vk.key", "kzg.srs")
            assert accepted
            prove.append(witness_ms + prove_ms)
            verify.append(verify_ms)
        with open("proof.json") as file:
            proof = json.load(file)["proof"]
        size = len(proof) // 2 - 1 if isinstance(proof, str) else len(proof)
        print(json.dumps({
            "peer": f"ezkl {ezkl.__version__}",
            "logrows": logrows,
            "setup_ms": round(setup_ms, 1),
            "prove_ms": round(statistics.median(prove), 1),
            "verify_ms": round(statistics.median(verify), 2),
            "proof_bytes": size,
            "proving_key_bytes": os.path.getsize("pk.key"),
            "verifying_key_bytes": os.path.getsize("vk.key"),
        }, indent=2), file=result)


if __name__ == "__main__":
    main()
