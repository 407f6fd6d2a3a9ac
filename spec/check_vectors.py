"""Checks that the committed vectors of wire and graph are what their generators write, to the byte.

Two independent implementations then agree on them: the generators here, and the crates, whose tests read the same
files. Ends with "N passed, M failed"; exit code 1 if any failed.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

SPEC = pathlib.Path(__file__).resolve().parent
# Each generator with the directory it writes.
GENERATORS = {
    "generate_wire_vectors.py": pathlib.Path("vectors", "wire"),
    "vectors/graph/generate.py": pathlib.Path("vectors", "graph"),
}


def vectors(directory):
    return {path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*.json"))}


def check(generator, directory):
    """Names of the vectors that agree and that differ."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = pathlib.Path(scratch, "spec")
        for script in [*SPEC.glob("*.py"), *(SPEC / generator).parent.glob("*.py")]:
            target = copy / script.relative_to(SPEC)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(script, target)
        (copy / directory).mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-B", copy / generator], check=True, stdout=sys.stderr)
        made, committed = vectors(copy / directory), vectors(SPEC / directory)
    if not made:
        return [], [f"{generator} wrote nothing"]
    names = sorted(made.keys() | committed.keys())
    differ = [f"{directory / name}" for name in names if made.get(name) != committed.get(name)]
    return [name for name in names if made.get(name) == committed.get(name)], differ


def main():
    passed, failed = [], []
    for generator, directory in GENERATORS.items():
        equal, differ = check(generator, directory)
        passed += equal
        failed += differ
    for name in failed:
        print(f"FAIL  {name}: differs from what its generator writes")
    print(f"{len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
