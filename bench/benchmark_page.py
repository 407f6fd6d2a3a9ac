"""The words and tables of docs/benchmarks.md, and the figures of README.md, from what was measured."""

import textwrap

import chain_page
import full_node_page
import published

BEGIN = "<!-- figures -->"
END = "<!-- end of figures -->"
TITLES = {
    "digits": "MLP 64-32-10",
    "digits-cnn": "CNN on 8x8",
    "lenet": "LeNet-5 on 28x28",
    "cnn32": "CNN on 32x32x3",
    "mlp": "MLP 784-512-512-10",
    "dense": "MLP 1024-1536-1536-10",
}


def figure(value):
    """Three significant digits, thousands with commas."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 0.1:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.01 else f"{value:.5f}"


def size(value):
    """Bytes in the decimal unit that suits them."""
    if value is None:
        return "-"
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= step:
            return f"{figure(value / step)} {unit}"
    return f"{value} bytes"


def duration(ms):
    if ms is None:
        return "-"
    return f"{figure(ms / 1e3)} s" if ms >= 1000 else f"{figure(ms)} ms"


def percent(value):
    return "-" if value is None else f"{value * 100:.1f} %"


def table(head, rows, left=1):
    """A table whose first columns are words and whose others are figures."""
    align = ["---"] * left + ["---:"] * (len(head) - left)
    lines = [head, align, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


class Results:
    """What was measured, by model and batch."""

    def __init__(self, results):
        self.raw = results
        self.models = results["models"]
        self.machine = results["machine"]
        self.versions = results["versions"]
        self.rows = [
            Row(name, int(batch), measured, entry)
            for name, entry in self.models.items()
            for batch, measured in entry["haca"].items()
        ]
        self.threads = list(self.rows[0].measured["threads"])
        self.most = self.threads[-1]

    @property
    def date(self):
        """The day of the run, or first and last day where models were measured on several."""
        entries = list(self.models.values())
        days = sorted({entry["date"] for entry in [*entries, *(entry["ezkl"] for entry in entries if "ezkl" in entry)]})
        return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"

    @property
    def commits(self):
        return ", ".join(dict.fromkeys(entry["commit"] or "unknown" for entry in self.models.values()))

    @property
    def cpu(self):
        machine = self.machine
        return f"{machine['cpu']} (family {machine['family']}, model {machine['model']})"

    def has(self, what):
        return any(what in entry for entry in self.models.values())


class Row:
    """One model with one number of inferences in a proof."""

    def __init__(self, name, batch, measured, entry):
        self.name, self.batch, self.measured, self.entry = name, batch, measured, entry
        self.title = TITLES[name] + (f", {batch} inferences" if batch > 1 else "")

    def haca(self, key, threads):
        return self.measured["threads"][threads][key]

    @property
    def ezkl(self):
        return self.entry.get("ezkl") if self.batch == 1 else None


def ended(peer):
    """What happened to a run of EZKL that made no proof."""
    stage, why = peer["ended"]["stage"], peer["ended"]["why"]
    if stage == "srs":
        return f"2^{peer['logrows']} rows: no reference string in time"
    reasons = {
        "memory": f"killed at {limit(peer)} in {stage}",
        "time": f"killed after {peer['limit_s']:.0f} s in {stage}",
        "error": f"failed in {stage}",
    }
    return reasons[why]


def limit(peer):
    """The memory that a stage of EZKL may take."""
    return f"{peer['limit_bytes'] / 1e9:g} GB"


def peak(peer, *stages):
    found = [peer["peak_rss_bytes"][stage] for stage in stages if peer["peak_rss_bytes"].get(stage)]
    return max(found, default=None)


# Sections of the page


def measured(results):
    cores = results.machine["cores"]
    note = f" **{results.raw['note']}**" if results.raw.get("note") else ""
    return wrapped(f"Measured on {results.date} on {cores} cores of one machine: {results.cpu}. Times are medians, KB "
                   f"and MB are decimal, and a dash stands for what was not measured.{note}")


def haca_table(results):
    most = results.most
    head = ["model", "parameters", "infer, ms", f"prove, ms, {results.threads[0]} thread",
            f"prove, ms, {most} threads", "verify, ms", "proof, KB"]
    rows = [[
        row.title, f"{row.measured['params']:,}", figure(row.haca("infer_ms", most)),
        figure(row.haca("prove_ms", results.threads[0])), figure(row.haca("prove_ms", most)),
        figure(row.haca("verify_ms", most)), figure(row.haca("proof_bytes", most) / 1e3),
    ] for row in results.rows]
    return table(head, rows)


def security_table(results):
    most = results.most
    head = ["model", "multiply-accumulates", "peak memory, MB", "security, bits: round by round / union",
            "agrees with float"]
    rows = [[
        row.title, f"{row.measured['macs']:,}", figure(row.haca("peak_rss_bytes", most) / 1e6),
        f"{row.haca('security_bits', most):.1f} / {row.haca('security_bits_union', most):.1f}",
        percent(row.measured["argmax_agree"]),
    ] for row in results.rows]
    return table(head, rows)


def wrapped(text):
    """A paragraph or an entry of a list in lines of the page's width."""
    return textwrap.fill(text, 120, subsequent_indent="  " if text.startswith("* ") else "", break_on_hyphens=False)


def agreement(results):
    """What the agreement is, and over how many rows."""
    parts = [f"{row.title} {row.measured['rows']:,}" for row in results.rows
             if row.batch == 1 and row.measured["rows"]]
    return wrapped("* *Agrees with float*: the share of held-back samples for which the integer and the float network "
                   f"have the same largest output. Samples: {', '.join(parts)}. A dash stands for a network of random "
                   "weights that is there to time only.")


def inference_table(results):
    plural = lambda threads: f"{threads} thread" + ("s" if threads != "1" else "")
    head = ["model", "inferences"]
    head += [f"HACA int8, ms, {plural(threads)}" for threads in results.threads]
    head += [f"onnxruntime float, ms, {plural(threads)}" for threads in results.threads]
    rows = []
    for row in results.rows:
        times = row.entry.get("onnxruntime", {}).get(str(row.batch), {})
        rows.append([TITLES[row.name], row.batch]
                    + [figure(row.haca("infer_ms", threads)) for threads in results.threads]
                    + [figure(times.get(threads, {}).get("infer_ms")) for threads in results.threads])
    return table(head, rows)


def ezkl_table(results):
    head = ["model", "system", "prove", "verify, 1 thread", "proof", "peak memory: setup / prove", "setup", "proofs"]
    rows = []
    for row in results.rows:
        peer = row.ezkl
        if peer is None:
            continue
        most = results.most
        rows.append([row.title, "HACA", duration(row.haca("prove_ms", most)), duration(row.haca("verify_ms", most)),
                     size(row.haca("proof_bytes", most)), size(row.haca("peak_rss_bytes", most)) + ", both",
                     duration(row.haca("register_ms", most)), row.measured["runs"]])
        setup = peak(peer, "settings", "calibrate", "compile", "srs", "setup")
        memory = f"{size(setup)} / {size(peak(peer, 'prove'))}"
        if peer["ended"]:
            rows.append([row.title, "EZKL", ended(peer), "-", "-", memory, duration(peer.get("setup_ms")), 0])
        else:
            scale = "" if peer["calibrated"] else " (default scale)"
            rows.append([row.title, "EZKL" + scale, duration(peer["prove_ms"]), duration(peer["verify_ms"]),
                         size(peer["proof_bytes"]), memory, duration(peer["setup_ms"]), peer["runs"]])
    return table(head, rows, left=2)


def ratios(results):
    """How far apart the two are, over the models that EZKL proved."""
    done = [row for row in results.rows if row.ezkl and not row.ezkl["ended"]]
    if not done:
        return "EZKL made no proof in this run."
    most = results.most
    prove = [row.ezkl["prove_ms"] / row.haca("prove_ms", most) for row in done]
    verify = [row.ezkl["verify_ms"] / row.haca("verify_ms", most) for row in done]
    proof = [row.haca("proof_bytes", most) / row.ezkl["proof_bytes"] for row in done]
    span = lambda values: f"{figure(min(values))} to {figure(max(values))}" if len(values) > 1 else figure(values[0])
    return wrapped(f"Over the models that EZKL proved here, it takes {span(prove)} times as long as HACA to prove and "
                   f"{span(verify)} times as long to verify; HACA's proofs are {span(proof)} times as large as EZKL's.")


def published_table():
    head = ["system", "model", "prove", "verify", "proof", "hardware", "source"]
    stated = lambda text: text or "not stated"
    rows = [[line.system, line.model, stated(line.prove), stated(line.verify), stated(line.proof),
             stated(line.hardware), line.source] for line in published.FIGURES]
    return table(head, rows, left=len(head))


def needs_table(results):
    head = ["system", "weights", "trusted setup", "keys", "proofs hide the weights"]
    rows = [
        ["HACA", "no: a verifying key with the commitment", "none", "verifying key, below; no proving key beside the "
         "model", "no"],
        ["EZKL", "no: a verifying key with the commitment", "yes: powers of tau, as large as the circuit",
         "verifying key for the verifier, proving key for the prover; below", "as its user chooses"],
    ]
    stated = lambda text: text or "not stated"
    rows += [[line.system, stated(line.weights), stated(line.setup), stated(line.keys), stated(line.hides)]
             for line in published.NEEDS]
    return table(head, rows, left=len(head))


def keys_table(results):
    head = ["model", "HACA: model file", "HACA: verifying key", "HACA: registration proof", "EZKL: verifying key",
            "EZKL: proving key", "EZKL: reference string"]
    rows = []
    for name, entry in results.models.items():
        ours, peer = entry["sizes"], entry.get("ezkl", {})
        rows.append([TITLES[name], size(ours["model_bytes"]), size(ours["verifying_key_bytes"]),
                     size(ours["registration_bytes"]), size(peer.get("verifying_key_bytes")),
                     size(peer.get("proving_key_bytes")), size(peer.get("srs_bytes"))])
    return table(head, rows)


def machine_table(results):
    machine, versions = results.machine, results.versions
    extensions = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in machine["extensions"].items())
    runs = sorted({row.measured["runs"] for row in results.rows})
    rows = [
        ["processor", results.cpu],
        ["extensions", extensions],
        ["cores", machine["cores"]],
        ["memory", size(machine["memory_bytes"])],
        ["system", f"{machine['system']}, Linux {machine['kernel']}"],
        ["HACA", f"{versions['haca']}, commit {results.commits}"],
        ["compiler", f"{versions['rustc']}, release profile, flags of `.cargo/config.toml`"],
        ["onnxruntime", versions.get("onnxruntime", "not measured")],
        ["EZKL", versions.get("ezkl") or "not measured"],
        ["Python", versions["python"]],
        ["proofs by HACA", f"{' or '.join(map(str, runs))} a row, after one to warm up"],
    ]
    return table(["", ""], rows, left=2)


def page(raw):
    results = Results(raw)
    inference = ""
    if results.has("onnxruntime"):
        inference = INFERENCE.format(table=inference_table(results))
    ezkl = EZKL.format(table=ezkl_table(results), ratios=ratios(results)) if results.has("ezkl") else ""
    return PAGE.format(
        measured=measured(results), haca=haca_table(results), security=security_table(results),
        agreement=agreement(results), inference=inference, ezkl=ezkl, most=results.most,
        chain=chain_page.section(raw) + full_node_page.section(raw), published=published_table(),
        needs=needs_table(results), keys=keys_table(results),
        machine=machine_table(results),
    )


PAGE = """\
# Benchmarks

{measured}

`bench/benchmarks.py` measures all of it in one run and writes this page; the raw results are in
[benchmarks.json](benchmarks.json). [How to repeat it](#repeat).

![Prove time and proof size against parameters, for HACA and EZKL, on logarithmic axes](benchmarks.svg)

## HACA

{haca}

{security}

* *Infer* is with {most} threads, and is not part of *prove*. *Verify* is on one thread, from the bytes of verifying
  key, statement and proof: the verifier holds neither the weights nor the ONNX file.
* *Peak memory* is that of the whole process: reading and quantising the ONNX file, registering the model, inferring,
  proving and verifying.
* *Security* is of the proof, [round by round and for the union of all terms](concepts/soundness.md), in the Johnson
  regime, without conjectures about capacity.
{agreement}
* The row of several inferences is one proof of all of them, with one opening of the weights. *Infer* is the time for
  all of them, *multiply-accumulates* are those of one.
{inference}{ezkl}{chain}
## What others publish

Nothing in this table was measured here. Models, inputs, precision, hardware and levels of security differ from line to
line and from ours, so that a ratio of two lines says little. *Not stated* means that the source named does not say it.

{published}

The models nearest to ours are DeepProve's CNN of 264k and dense network of 4M parameters; their sources name no
hardware. HACA proves no transformers yet, so it has no line beside GPT-2 or larger.

## What a verifier needs

{needs}

Sizes for the models measured here:

{keys}

HACA's verifying key holds the commitment to the weights, the integer graph and the parameters of the proof. The
registration proof shows once, when a model is registered, that the committed weights are in range; verifying an
inference does not need it. EZKL's prover needs its proving key and the reference string, its verifier the verifying
key and a part of the reference string.

## Where EZKL is the better choice

* **Proof size**: its proofs have a few KB and hardly grow with the model; ours have tens to hundreds of KB.
* **Ethereum**: it writes a verifier contract that checks its proofs in the EVM. HACA has none; its proofs are checked
  by its own chain, by `haca verify`, and in WebAssembly.
* **Hiding**: its proofs can be zero-knowledge in inputs, outputs and weights, each as its user chooses; measured here
  is its cheapest choice, with public input and output and weights fixed in the circuit. HACA's proofs hide nothing:
  each opening reveals a part of the codeword of the weights, and inputs and outputs are public.
* **Operators**: it reads more of ONNX, transformers included.

## What cannot be compared

* **Security.** EZKL's proofs rest on pairings over BN254, commonly put at about 100 bits, on a trusted setup and on
  discrete logarithms; HACA's rest on a hash function. The table gives bits for ours only.
* **The statement.** Each system proves its own integer or fixed-point version of the float network, with its own
  rounding. The agreement with float was measured for HACA's only.
* **Hiding costs time**, and HACA's provers do not pay for it.
* **Hardware.** What others publish ran on other machines, some of them on GPUs. On more cores than here, EZKL's prover
  and ours gain differently.

## Repeat

{machine}

```console
$ pip install -r models/mlp/requirements.txt
$ python models/mlp/train.py && python models/dense/make.py
$ cargo build --release -p haca
$ pip install numpy onnxruntime ezkl
$ python bench/benchmarks.py --haca target/release/haca
```

`--only digits,lenet` measures some models anew, `--skip-ezkl` leaves EZKL out, `--runs` and `--ezkl-runs` set the
repetitions, `--ezkl-limit-s` and `--ezkl-limit-gb` the limits, and `--from-json` writes this page from the results that
are there. One row by hand:

```console
$ cd models/lenet
$ haca bench zk --onnx lenet.onnx --input test.npz --calibration calibration.npz --test test.npz --runs 20
$ cd ../..
$ python bench/time_ezkl.py --onnx models/lenet/lenet.onnx --input models/lenet/test.npz --runs 5
```
"""

INFERENCE = """
## Inference, against onnxruntime

{table}

onnxruntime runs the float32 network of the same ONNX file through its Python interface, in a loop, so that caches are
warm and each call costs some microseconds of Python. Ours is timed by `haca bench zk` in such a loop too, as long and
as often warmed up, without Python: from input tensors to output tensors and the values that a proof needs, their
allocation and release included. HACA runs the integer graph, all inferences of a row together, and its result is the
same on every processor.
"""

EZKL = """
## EZKL, on the same models, samples and machine

{table}

{ratios}

* EZKL proves one inference, with public input and output and fixed parameters, the settings that its calibration for
  resources finds, or the default scale where calibration takes more than a third of the time. *Prove* is without the
  run of the network in both. EZKL's *setup* is settings, calibration, compilation and keys, without the reference
  string; HACA's is registration. Both provers have all cores.
* EZKL's reference string is made on the spot, which nobody may do in earnest: who makes it can forge proofs. That time
  counts nowhere, for in earnest the string is downloaded.
* Each stage of EZKL runs in a process of its own, whose peak memory is given; it reads its keys from files for each
  proof and each verification, as its interface has no other way, and that is in its times.
* A model whose stages together take more than the limit of time, or one of them more than the limit of memory, is
  killed and the table says where. A model without a row was not tried.
"""


def readme(text, raw):
    """README.md with its figures."""
    results = Results(raw)
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    most = results.most
    head = ["", "parameters", "prove", "verify, 1 thread", "proof", "EZKL: prove", "verify", "proof"]
    rows = []
    for row in results.rows:
        peer = row.ezkl
        theirs = ["-"] * 3
        if peer:
            theirs = [ended(peer), "-", "-"] if peer["ended"] else [
                duration(peer["prove_ms"]), duration(peer["verify_ms"]), size(peer["proof_bytes"])]
        rows.append([row.title, f"{row.measured['params']:,}", duration(row.haca("prove_ms", most)),
                     duration(row.haca("verify_ms", most)), size(row.haca("proof_bytes", most)), *theirs])
    bits = min(row.haca("security_bits", most) for row in results.rows)
    peer = results.versions.get("ezkl")
    beside = f"; beside it EZKL {peer} on the same files, samples and machine, where it was tried" if peer else ""
    cores = results.machine["cores"]
    first = wrapped(f"On {cores} cores of an {results.cpu}, at {bits:.1f} bits or more round by round, "
                    f"medians{beside}:")
    return before + README.format(
        begin=BEGIN, end=END, first=first, table=table(head, rows), agreement=in_short(results),
    ) + after


def in_short(results):
    """What there is to say below the figures."""
    shares = [row.measured["argmax_agree"] for row in results.rows if row.measured["argmax_agree"] is not None]
    ends = (min(shares, default=None), max(shares, default=None))
    span = " to ".join(dict.fromkeys(percent(share) for share in ends))
    return wrapped(f"Integer and float network give the same answer for {span} of the held-back samples. HACA needs no trusted setup; EZKL does, but its proofs are small and can hide the weights, which "
                   "ours do not. [Benchmarks](docs/benchmarks.md) has memory, onnxruntime, what other systems publish, "
                   "and what cannot be compared. Measure on your own machine:")


README = """\
{begin}
{first}

{table}

{agreement}

```console
$ haca bench zk --onnx models/digits/digits.onnx --input models/digits/test.npz --test models/digits/test.npz --runs 50
$ pip install numpy onnxruntime ezkl           # all of it, with EZKL and onnxruntime for comparison
$ python3 bench/benchmarks.py --haca target/release/haca
```
{end}"""
