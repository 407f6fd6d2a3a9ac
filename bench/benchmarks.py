#!/usr/bin/env python3
"""Measures HACA, onnxruntime and EZKL on the models of this repository, and writes docs/benchmarks.md.

    pip install numpy onnxruntime ezkl
    cargo build --release -p haca
    python models/mlp/train.py && python models/dense/make.py
    python bench/benchmarks.py --haca target/release/haca

Writes `benchmarks.json` (what was measured), `benchmarks.md` and `benchmarks.svg` into docs/, and the figures of
README.md, these only when the run has no `--note`. `--from-json` writes page, plot and figures from the JSON that is
there, without measuring; `--check` fails where they are not what the JSON gives. Neither needs more than Python's
standard library.

`--only` measures some models anew and leaves the others in the JSON as they are. EZKL is left out with `--skip-ezkl`,
and onnxruntime where it is not installed.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import benchmark_page
import benchmark_plot

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
# One inference of each model; `digits` also in a batch.
MODELS = ("digits", "digits-cnn", "lenet", "cnn32", "mlp", "dense")
MADE = {"mlp": "python models/mlp/train.py", "dense": "python models/dense/make.py"}
BATCHES = {"digits": (1, 32)}
EZKL_MODELS = ("digits", "digits-cnn", "lenet", "mlp", "cnn32")
FLAGS = {"AVX2": "avx2", "AVX-512": "avx512f", "AVX-512 VNNI": "avx512_vnni", "AMX": "amx_int8"}
# Of what `haca bench zk` prints.
KEPT = ("infer_ms", "infer_runs", "prove_ms", "verify_ms", "proof_bytes", "peak_rss_bytes", "register_ms",
        "security_bits", "security_bits_union")


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text, hint):
    sys.exit(f"error: {text}\n  {hint}")


def run(command, **more):
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          **more)
    if done.returncode != 0:
        fail(f"`{' '.join(map(str, command))}` ended with {done.returncode}", done.stderr.strip()[-600:])
    return done.stdout


def said(command):
    """First line of what a command prints, or None where there is no such command."""
    try:
        out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return None
    return out.stdout.strip().split("\n")[0] if out.returncode == 0 else None


class Files:
    """Where the files of a model lie."""

    def __init__(self, name, made):
        folder = made / name if name in MADE else ROOT / "models" / name
        self.onnx = folder / f"{name}.onnx"
        self.calibration = folder / "calibration.npz"
        self.test = folder / "test.npz"
        for path in (self.onnx, self.calibration):
            if not path.is_file():
                hint = f"`{MADE[name]}` makes it" if name in MADE else f"models/{name}/train.py makes it"
                fail(f"{name}: no file {path}", hint)
        self.test = self.test if self.test.is_file() else None
        # What is proved: held-back samples, where there are any.
        self.input = self.test or self.calibration


# HACA


def haca(options, files, batch, threads, test):
    """What `haca bench zk` measures with some threads."""
    command = [options.haca, "bench", "zk", "--json", "--quiet", "--onnx", files.onnx, "--input", files.input,
               "--calibration", files.calibration, "--batch", batch, "--runs", options.runs]
    if test and files.test:
        command += ["--test", files.test]
    return json.loads(run(command, env={**os.environ, "RAYON_NUM_THREADS": str(threads)}))


def measure_haca(options, name, files, batch):
    say(f"{name}: haca, {batch} in one proof")
    result, times = {}, {}
    most = options.threads[-1]
    for threads in options.threads:
        found = haca(options, files, batch, threads, test=threads == most)
        times[str(threads)] = {key: rounded(found[key]) for key in KEPT}
        result = found
    fidelity = result["fidelity"] or {}
    return {
        "params": result["params"],
        "macs": result["macs"],
        "runs": result["runs"],
        "argmax_agree": fidelity.get("argmax_agree"),
        "accuracy_float": rounded(fidelity.get("accuracy_float")),
        "accuracy_integer": rounded(fidelity.get("accuracy_integer")),
        "rows": fidelity.get("rows"),
        "threads": times,
    }


def sizes(options, name, files):
    """Bytes of what a verifier needs."""
    say(f"{name}: keys")
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model.haca"
        proof = pathlib.Path(folder) / "proof"
        run([options.haca, "model", "import", files.onnx, "--calibration", files.calibration, "--out", model, "-q"])
        params = json.loads(run([options.haca, "zk", "params", model, "--json"]))
        run([options.haca, "zk", "prove", "--model", model, "--input", files.input, "--out", proof, "-q"])
        return {
            "verifying_key_bytes": params["verifying_key_bytes"],
            "registration_bytes": (proof / "registration.bin").stat().st_size,
            "model_bytes": model.stat().st_size,
        }


# onnxruntime


def measure_onnxruntime(options, name, files, batch):
    """Milliseconds of the float network in onnxruntime, for each number of threads."""
    import numpy
    import onnxruntime

    say(f"{name}: onnxruntime, batch {batch}")
    with numpy.load(files.input) as file:
        rows = file["x"].astype(numpy.float32)
    samples = rows[numpy.arange(batch) % len(rows)]
    times = {}
    for threads in options.threads:
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = threads
        session_options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(files.onnx), session_options, ["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: samples}
        for _ in range(20):
            session.run(None, feed)
        taken, end = [], time.perf_counter() + 0.5
        while len(taken) < options.runs or time.perf_counter() < end:
            start = time.perf_counter()
            session.run(None, feed)
            taken.append((time.perf_counter() - start) * 1e3)
        times[str(threads)] = {"infer_ms": rounded(statistics.median(taken)), "runs": len(taken)}
    return times


# EZKL


def measure_ezkl(options, name, files):
    say(f"{name}: EZKL, at most {options.ezkl_limit_s:.0f} s and {options.ezkl_limit_gb} GB")
    done = subprocess.run(
        [options.ezkl_python, str(ROOT / "bench" / "time_ezkl.py"), "--onnx", str(files.onnx), "--input",
         str(files.input), "--runs", str(options.ezkl_runs), "--limit-s", str(options.ezkl_limit_s), "--limit-gb",
         str(options.ezkl_limit_gb)],
        stdout=subprocess.PIPE, text=True,
    )
    if done.returncode != 0:
        fail(f"{name}: bench/time_ezkl.py ended with {done.returncode}", "see above; --skip-ezkl leaves EZKL out")
    result = json.loads(done.stdout)
    # A message may name folders of this machine.
    if result["ended"]:
        result["ended"].pop("message", None)
    return result


# The machine


def cpu_info():
    fields = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    return fields


def machine():
    info = cpu_info()
    with open("/proc/meminfo") as file:
        memory = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemTotal:"))
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system()
    flags = set(info.get("flags", "").split())
    return {
        "cpu": info.get("model name", platform.machine()),
        "family": info.get("cpu family"),
        "model": info.get("model"),
        "extensions": {name: flag in flags for name, flag in FLAGS.items()},
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "system": system,
        "kernel": platform.release().split("-")[0],
    }


def commit():
    """The commit of this checkout, with `+` where tracked files other than the results differ from it."""
    name = said(["git", "rev-parse", "--short=12", "HEAD"])
    changed = said(["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/benchmarks.*",
                    ":!README.md"])
    return name and name + ("+" if changed else "")


def versions(options):
    found = {
        "haca": said([options.haca, "--version"]),
        "rustc": said(["rustc", "--version"]),
        "python": platform.python_version(),
    }
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime
        found["onnxruntime"] = onnxruntime.__version__
    return found


def rounded(value):
    return value if value is None else round(value, 5)


# The run


def measure(options, out):
    """Measures and returns the results, those of `out` among them for what is not measured now."""
    if not os.access(options.haca, os.X_OK):
        fail(f"no program {options.haca}", "`cargo build --release -p haca` makes target/release/haca")
    found = {name: Files(name, options.made) for name in options.only}
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"this machine is busy (load {load:.1f}): times will be too high")
    if not importlib.util.find_spec("numpy"):
        fail("numpy is not installed", "pip install numpy onnxruntime ezkl")
    inference = importlib.util.find_spec("onnxruntime") is not None
    if not inference:
        say("onnxruntime is not installed: left out (pip install onnxruntime)")
    ezkl = not options.skip_ezkl
    if ezkl and said([options.ezkl_python, "-c", "import ezkl, numpy; print(1)"]) != "1":
        say("EZKL is not installed: left out (pip install ezkl numpy, or name a --ezkl-python that has both)")
        ezkl = False
    results = {"models": {}}
    if (out / "benchmarks.json").is_file() and tuple(options.only) != MODELS:
        results = json.loads((out / "benchmarks.json").read_text())
    built_from = options.commit or commit()
    today = datetime.date.today().isoformat()
    results.update({
        "note": options.note,
        "machine": machine(),
        "versions": {**versions(options), "ezkl": results.get("versions", {}).get("ezkl")},
    })
    for name, files in found.items():
        entry = results["models"].setdefault(name, {})
        entry["date"], entry["commit"] = today, built_from
        entry["haca"] = {str(batch): measure_haca(options, name, files, batch) for batch in BATCHES.get(name, (1,))}
        entry["sizes"] = sizes(options, name, files)
        if inference:
            entry["onnxruntime"] = {
                str(batch): measure_onnxruntime(options, name, files, batch) for batch in BATCHES.get(name, (1,))
            }
        if ezkl and name in options.ezkl_models:
            entry["ezkl"] = {"date": today, **measure_ezkl(options, name, files)}
            results["versions"]["ezkl"] = entry["ezkl"].pop("peer", "ezkl").removeprefix("ezkl ")
        # What was measured stays when a later model fails.
        write_json(out, results)
    return results


def write_json(out, results):
    results["models"] = {name: results["models"][name] for name in MODELS if name in results["models"]}
    (out / "benchmarks.json").write_text(json.dumps(results, indent=1) + "\n")


def rendered(out, results):
    """What each written file should hold."""
    files = {
        out / "benchmarks.md": benchmark_page.page(results),
        out / "benchmarks.svg": benchmark_plot.plot(results),
    }
    # The first page that people read has no figures with reservations.
    if out == DOCS and not results.get("note"):
        files[README] = benchmark_page.readme(README.read_text(), results)
    return files


def load(out):
    path = out / "benchmarks.json"
    if not path.is_file():
        fail(f"no file {path}", "`python bench/benchmarks.py --haca target/release/haca` measures and writes it")
    return json.loads(path.read_text())


def check(out):
    """Compares the files with what the JSON gives. Ends like the other checks: counts in the last line."""
    failed = 0
    files = rendered(out, load(out))
    for path, text in files.items():
        if not path.is_file() or path.read_text() != text:
            failed += 1
            print(f"{path.name} is not what benchmarks.json gives: python3 bench/benchmarks.py --from-json")
    print(f"{len(files) - failed} passed, {failed} failed")
    return failed


def names(known):
    def read(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return [name for name in known if name in chosen]
    return read


def thread_counts(text):
    return sorted({int(part) for part in text.split(",")})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--haca", type=os.path.abspath, default=str(ROOT / "target" / "release" / "haca"),
                        help="the program to measure")
    parser.add_argument("--runs", type=int, default=20, help="proofs by HACA for each row and number of threads")
    parser.add_argument("--threads", type=thread_counts, default=[1, 2], help="of prover and inference, as 1,2")
    parser.add_argument("--only", type=names(MODELS), default=list(MODELS), help="models, with commas between")
    parser.add_argument("--made", type=pathlib.Path, default=ROOT / "target" / "models",
                        help="folder of the models that are made on demand")
    parser.add_argument("--skip-ezkl", action="store_true")
    parser.add_argument("--ezkl-python", type=os.path.abspath, default=sys.executable, help="a Python that has ezkl and numpy")
    parser.add_argument("--ezkl-models", type=names(MODELS), default=list(EZKL_MODELS))
    parser.add_argument("--ezkl-runs", type=int, default=5, help="proofs by EZKL, as many as fit the time")
    parser.add_argument("--ezkl-limit-s", type=float, default=600, help="for all stages of a model together")
    parser.add_argument("--ezkl-limit-gb", type=float, default=12, help="memory of a stage, 10^9 bytes")
    parser.add_argument("--commit", help="what the program was built from, when it is not this checkout")
    parser.add_argument("--note", help="a sentence about this run that a reader of the page has to know")
    parser.add_argument("--out", type=pathlib.Path, default=DOCS)
    parser.add_argument("--from-json", action="store_true", help="measure nothing; write page and plot anew")
    parser.add_argument("--check", action="store_true", help="measure and write nothing; compare")
    options = parser.parse_args()
    out = options.out.resolve()
    if options.check:
        return 1 if check(out) else 0
    out.mkdir(parents=True, exist_ok=True)
    results = load(out) if options.from_json else measure(options, out)
    for path, text in rendered(out, results).items():
        path.write_text(text)
        say(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
