#!/usr/bin/env python3
"""Times EZKL on the model and sample that `haca bench zk` is given, and prints the medians as JSON.

    pip install ezkl numpy
    python bench/time_ezkl.py --onnx models/digits/digits.onnx --input models/digits/test.npz --runs 5

Each stage is a process of its own: its peak memory is its own, and it is killed at the limits, which are on the
seconds of all stages together and on the memory of each. What then ended the run is in `ended`; it is null when a
proof was made and verified.

The structured reference string is generated locally, which is fit for timing only: once for each size, kept in
target/srs, and outside the limit of time, for in earnest it is downloaded. The run of the network, which EZKL calls
the witness, has a time of its own, as inference has in ours. Proving and verifying read their keys from files each
time: the interface of EZKL has no other way. Verification runs on one thread.
"""

import argparse
import asyncio
import inspect
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SRS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "target", "srs")
SRS_LIMIT_S = 1800
PERIOD_S = 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Beyond this share of the time, calibration is given up and the default scale is taken.
CALIBRATION_SHARE = 1 / 3


class Ended(Exception):
    """A stage that did not end well: `why` is memory, time or error."""

    def __init__(self, stage, why, message=""):
        super().__init__(f"{why} in {stage} {message}")
        self.stage, self.why, self.message = stage, why, message


# The stages, each in a process that was started for it.


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
    if path.endswith(".json"):
        with open(path) as file:
            return json.load(file)["input_data"]
    import numpy
    if path.endswith(".npz"):
        with numpy.load(path) as file:
            array = file["x"] if "x" in file else file[file.files[0]]
    else:
        array = numpy.load(path)
    return [array[row].astype(float).reshape(-1).tolist()]


def logrows():
    with open("settings.json") as file:
        return json.load(file)["run_args"]["logrows"]


def rounds(stage, options, ezkl):
    """Yields what each call of a stage took."""
    onnx = options.onnx
    if stage == "settings":
        with open("input.json", "w") as file:
            json.dump({"input_data": sample(options.input, options.row)}, file)
        arguments = ezkl.PyRunArgs()
        arguments.input_visibility = "public"
        arguments.output_visibility = "public"
        arguments.param_visibility = "fixed"
        arguments.variables = [(name, 1) for name in dict.fromkeys(options.batch_dimension)]
        yield {"ms": call(ezkl.gen_settings, onnx, "settings.json", py_run_args=arguments)[1],
               "version": ezkl.__version__}
    elif stage == "calibrate":
        yield {"ms": call(ezkl.calibrate_settings, "input.json", onnx, "settings.json", "resources")[1]}
    elif stage == "compile":
        yield {"ms": call(ezkl.compile_circuit, onnx, "model.compiled", "settings.json")[1]}
    elif stage == "srs":
        yield {"ms": call(ezkl.gen_srs, "new.srs", logrows())[1]}
    elif stage == "setup":
        yield {"ms": call(ezkl.setup, "model.compiled", "vk.key", "pk.key", "kzg.srs")[1]}
    elif stage == "prove":
        for _ in range(options.runs):
            _, witness_ms = call(ezkl.gen_witness, "input.json", "model.compiled", "witness.json")
            _, ms = call(ezkl.prove, "witness.json", "model.compiled", "pk.key", "new.json", "kzg.srs")
            os.replace("new.json", "proof.json")
            yield {"witness_ms": witness_ms, "ms": ms}
    elif stage == "verify":
        for at in range(options.runs + 1):
            accepted, ms = call(ezkl.verify, "proof.json", "settings.json", "vk.key", "kzg.srs")
            if not accepted:
                raise ValueError("EZKL refuses its own proof")
            if at > 0:
                yield {"ms": ms}


def run_stage(options):
    """The program of a stage: one JSON object a line for each round, and one with the peak at the end."""
    # EZKL prints reports of its own: stdout is kept for the results.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import ezkl
    for line in rounds(options.stage, options, ezkl):
        print(json.dumps(line), file=result, flush=True)
    with open("/proc/self/status") as file:
        peak = next(line for line in file if line.startswith("VmHWM:"))
    print(json.dumps({"peak_rss_bytes": int(peak.split()[1]) * 1024}), file=result, flush=True)


# The process that starts them.


class Watch:
    """Runs stages in a folder, one after another, under limits."""

    def __init__(self, folder, arguments, limit_s, limit_bytes):
        self.folder, self.arguments = folder, arguments
        self.deadline = time.monotonic() + limit_s
        self.limit_bytes = limit_bytes
        self.peaks = {}

    def run(self, stage, until=None, threads=None):
        """Returns the lines of a stage's rounds; raises `Ended` when it was killed before the first or failed."""
        print(f"  ezkl {stage}", file=sys.stderr, flush=True)
        until = min(until or self.deadline, self.deadline)
        environment = dict(os.environ)
        if threads:
            environment["RAYON_NUM_THREADS"] = str(threads)
        out, log = os.path.join(self.folder, "out"), os.path.join(self.folder, "log")
        with open(out, "w") as stdout, open(log, "w") as stderr:
            child = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), *self.arguments, "--stage", stage],
                cwd=self.folder, stdout=stdout, stderr=stderr, env=environment,
            )
            why = self.wait(child, stage, until)
        with open(out) as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        for line in lines:
            self.peaks[stage] = max(self.peaks.get(stage, 0), line.pop("peak_rss_bytes", 0))
        lines = [line for line in lines if line]
        if why == "error" or (why and not lines):
            raise Ended(stage, why, last_line(log) if why == "error" else "")
        return lines

    def reference_string(self, store, logrows):
        """Links `kzg.srs` to the string of this size, which is made first when `store` has none."""
        kept = os.path.join(store, f"kzg{logrows}.srs")
        if not os.path.isfile(kept):
            start = time.monotonic()
            self.deadline += SRS_LIMIT_S
            self.run("srs")
            self.deadline += time.monotonic() - start - SRS_LIMIT_S
            os.makedirs(store, exist_ok=True)
            shutil.move(os.path.join(self.folder, "new.srs"), kept)
        os.symlink(kept, os.path.join(self.folder, "kzg.srs"))

    def wait(self, child, stage, until):
        """Waits for a child and kills it at a limit. Returns why it did not end well, or None."""
        try:
            while child.poll() is None:
                bytes_now = resident(child.pid)
                self.peaks[stage] = max(self.peaks.get(stage, 0), bytes_now)
                if bytes_now > self.limit_bytes:
                    return "memory"
                if time.monotonic() > until:
                    return "time"
                time.sleep(PERIOD_S)
            return None if child.returncode == 0 else "error"
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def resident(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def last_line(path):
    with open(path, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1][:200] if lines else ""


def proof_size(path):
    with open(path) as file:
        proof = json.load(file)["proof"]
    return len(proof) // 2 - 1 if isinstance(proof, str) else len(proof)


def median(lines, key="ms"):
    return statistics.median(line[key] for line in lines)


def measure(watch, options):
    """Runs all stages. What is known when one ends badly is returned as well."""
    path = lambda name: os.path.join(watch.folder, name)
    result = {"ended": None, "calibrated": True}
    try:
        first = watch.run("settings")[0]
        result["peer"] = f"ezkl {first['version']}"
        setup_ms = first["ms"]
        shutil.copy(path("settings.json"), path("default.json"))
        try:
            share = time.monotonic() + options.limit_s * CALIBRATION_SHARE
            setup_ms += watch.run("calibrate", until=share)[0]["ms"]
        except Ended as ended:
            result["calibrated"] = False
            result["calibration_ended"] = ended.why
            shutil.copy(path("default.json"), path("settings.json"))
        setup_ms += watch.run("compile")[0]["ms"]
        with open(path("settings.json")) as file:
            settings = json.load(file)["run_args"]
        result["logrows"], result["input_scale"] = settings["logrows"], settings["input_scale"]
        watch.reference_string(options.srs, settings["logrows"])
        result["srs_bytes"] = os.path.getsize(path("kzg.srs"))
        setup_ms += watch.run("setup")[0]["ms"]
        result["setup_ms"] = round(setup_ms, 1)
        result["proving_key_bytes"] = os.path.getsize(path("pk.key"))
        result["verifying_key_bytes"] = os.path.getsize(path("vk.key"))
        proofs = watch.run("prove")
        result["runs"] = len(proofs)
        result["witness_ms"] = round(median(proofs, "witness_ms"), 1)
        result["prove_ms"] = round(median(proofs), 1)
        result["proof_bytes"] = proof_size(path("proof.json"))
        # The proof is there: verification has time of its own.
        watch.deadline = max(watch.deadline, time.monotonic() + 60)
        result["verify_ms"] = round(median(watch.run("verify", threads=1)), 2)
    except Ended as ended:
        result["ended"] = {"stage": ended.stage, "why": ended.why, "message": ended.message}
    result["peak_rss_bytes"] = dict(watch.peaks)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", required=True, type=os.path.abspath)
    parser.add_argument("--input", required=True, type=os.path.abspath)
    parser.add_argument("--row", type=int, default=0)
    parser.add_argument("--runs", type=int, default=5, help="proofs, as many as fit the time")
    parser.add_argument("--limit-s", type=float, default=600, help="seconds for all stages together")
    parser.add_argument("--limit-gb", type=float, default=12, help="10^9 bytes of memory for each stage")
    parser.add_argument(
        "--batch-dimension",
        action="append",
        default=["batch", "batch_size", "N"],
        help="a symbolic dimension of the model that is 1 here",
    )
    parser.add_argument("--srs", default=SRS, type=os.path.abspath, help="folder of the reference strings")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        return run_stage(options)
    arguments = ["--onnx", options.onnx, "--input", options.input]
    arguments += ["--row", str(options.row), "--runs", str(options.runs)]
    for name in options.batch_dimension:
        arguments += ["--batch-dimension", name]
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(folder, arguments, options.limit_s, options.limit_gb * 1e9)
        result = measure(watch, options)
    result["limit_s"], result["limit_bytes"] = options.limit_s, round(options.limit_gb * 1e9)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
