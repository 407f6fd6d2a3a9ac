#!/usr/bin/env python3
"""A verifier of proofs written from zk.md, graph.md and wire.md alone, slow and without a line of the crates.

    zk_verify.py [NAME ...]         runs the vectors of vectors/zk, all or those of some models and registrations
    zk_verify.py KEY STATEMENT PROOF [REGISTRATION]
                                    verifies files: a statement is the context and the list of inferences

Openings follow what the verifier of p3-whir 0.8.0 does. Needs Python 3.10 and the package blake3. Ends with
"N accepted, M refused with the expected code"; exit code 1 when a vector disagrees.
"""

import gzip
import json
import operator
import pathlib
import sys
import time

from zk import budget, gas, manifest, outline
from zk.inference import verify_inference
from zk.key import VerifyingKey
from zk.reader import whole
from zk.refusal import Refused
from zk.registration import verify_registration
from zk.statement import Statement

import wire_format

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors" / "zk"
# Budgets are sums of floating point logarithms.
BITS = 1e-6


def tensor(r):
    dtype, shape = manifest.dtype(r), manifest.shape(r)
    size = wire_format.DTYPES[dtype][1] // 8
    return {"dtype": dtype, "shape": shape, "data": [r.number(size, True) for _ in range(wire_format.elements(shape))]}


def tensors(r):
    return r.listed(lambda: tensor(r), 16)


def inferences(r):
    return r.listed(lambda: (tensors(r), tensors(r)), 1024)


def load(name):
    vectors = json.loads(gzip.decompress((VECTORS / name).read_bytes()))
    for vector in vectors:
        for field in ("key", "model", "context", "inferences", "proof", "registration"):
            if field in vector:
                vector[field] = bytes.fromhex(vector[field])
    return vectors


def verify(vector):
    """Verifies key, registration and inferences; gives the key."""
    key = VerifyingKey(vector["key"])
    verify_registration(key, vector["registration"])
    statement = Statement(vector["context"], whole(vector["inferences"], inferences))
    verify_inference(key, statement, vector["proof"])
    return key, statement


def changed(vector, refusal):
    """The vector after the change that makes it refused."""
    field, change = refusal["field"], refusal["change"]
    data = vector[field]
    if "bytes" in change:
        data = bytes.fromhex(change["bytes"])
    elif "truncate" in change:
        data = data[: change["truncate"]]
    elif "append" in change:
        data += bytes.fromhex(change["append"])
    else:
        at = change["at"]
        data = data[:at] + bytes([data[at] ^ change["xor"]]) + data[at + 1 :]
    return vector | {field: data}


def differences(vector):
    """What disagrees with an accepted vector."""
    try:
        key, statement = verify(vector)
    except Refused as refusal:
        return [f"refused: {refusal}"]
    count = len(statement.inferences)
    bits = budget.security(key, (count - 1).bit_length())
    bits |= {f"registration_{name}": value for name, value in budget.registration(key).items()}
    found = {"gas": gas.inferences(key, count), "registration_gas": gas.registration(key), "model": key.model}
    found["registration_price"] = outline.price(key)
    out = [f"{name} {value}, expected {vector[name]}" for name, value in found.items() if value != vector[name]]
    for terms in "terms", "registration_terms":
        found, expected = bits.pop(terms), vector[terms]
        out += [f"{terms} {sorted(found)}, expected {sorted(expected)}"] if found.keys() != expected.keys() else []
        bits |= {f"{terms}: {name}": value for name, value in found.items()}
        vector = vector | {f"{terms}: {name}": value for name, value in expected.items()}
    return out + [
        f"{name} {value}, expected {vector.get(name)}"
        for name, value in bits.items()
        if name not in vector or abs(value - vector[name]) > BITS
    ]


def code(verification, *arguments):
    try:
        verification(*arguments)
    except Refused as refusal:
        return refusal.code, str(refusal)
    return None, "accepted"


def check_models(names):
    """How many vectors of models agree, accepted and refused; and what disagrees."""
    accepted, refused, failures = 0, 0, []
    vectors = {vector["name"]: vector for vector in load("accept.json.gz")}
    for name, vector in vectors.items():
        if names and name not in names:
            continue
        found = differences(vector)
        accepted += not found
        failures += [f"{name}: {difference}" for difference in found]
    for refusal in load("reject.json.gz"):
        if names and refusal["of"] not in names:
            continue
        found, why = code(verify, changed(vectors[refusal["of"]], refusal))
        refused += found == refusal["code"]
        if found != refusal["code"]:
            failures.append(f"{refusal['name']}: {why}, expected {refusal['code']}")
    return accepted, refused, failures


def check_registrations(names):
    """The same of the vectors of registration alone; those that are accepted have no code."""
    accepted, refused, failures = 0, 0, []
    for vector in load("registration.json.gz"):
        if names and vector["name"] not in names:
            continue
        found, why = code(verify_registration, VerifyingKey(vector["key"]), vector["registration"])
        if found != vector["code"]:
            failures.append(f"registration {vector['name']}: {why}, expected {vector['code'] or 'none'}")
        elif found is None:
            accepted += 1
        else:
            refused += 1
    return accepted, refused, failures


def check_vectors(names):
    """How many vectors of those names, or of all, agree, accepted and refused; and what disagrees."""
    return tuple(map(operator.add, check_models(names), check_registrations(names)))


def run_vectors(names):
    accepted, refused, failures = check_vectors(names)
    for failure in failures:
        print(f"FAIL  {failure}")
    print(f"{accepted} accepted, {refused} refused with the expected code")
    return 1 if failures or not accepted else 0


def run_files(paths):
    key, statement, proof, *registration = (pathlib.Path(path).read_bytes() for path in paths)
    start = time.monotonic()
    try:
        key = VerifyingKey(key)
        for data in registration:
            verify_registration(key, data)
        verify_inference(key, Statement(statement[:32], whole(statement[32:], inferences)), proof)
    except Refused as refusal:
        print(f"refused: {refusal}")
        return 1
    print(f"accepted for model {key.model.hex()}, {time.monotonic() - start:.1f} s")
    return 0


def main():
    arguments = sys.argv[1:]
    if arguments and "." in arguments[0]:
        return run_files(arguments)
    return run_vectors(arguments)


if __name__ == "__main__":
    sys.exit(main())
