"""Writes dense.onnx and calibration.npz to a folder, target/models/dense unless named: a network to time, not to use.

A chain of dense layers with ReLU between them, 1024-1536-1536-10 unless named: 3,950,602 params. Weights and samples
are random and seeded, so its answers mean nothing and it has no accuracy; the cost of proving depends on sizes alone.
Run in a virtual environment with requirements.txt installed; it takes seconds:

    python models/dense/make.py [--layers 1024,1536,1536,10] [FOLDER]
"""

import argparse
import itertools
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20260101
SAMPLES = 64


def network(sizes, rng):
    """Gemm and Relu in turn; weights [out, in] of variance 2 / in keep activations of one size through the layers."""
    nodes, initializers, value = [], [], "image"
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1):
        last = layer == len(sizes) - 1
        tensors = {
            f"fc{layer}.weight": rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs)),
            f"fc{layer}.bias": rng.normal(0, 0.1, outputs),
        }
        initializers += [numpy_helper.from_array(t.astype(np.float32), name) for name, t in tensors.items()]
        dense = "logits" if last else f"dense{layer}"
        nodes.append(helper.make_node("Gemm", [value, *tensors], [dense], f"fc{layer}", transB=1))
        if not last:
            value = f"active{layer}"
            nodes.append(helper.make_node("Relu", [dense], [value], f"relu{layer}"))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", sizes[0]])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", sizes[-1]])
    graph = helper.make_graph(nodes, "dense", [image], [logits], initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="haca-dense", ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=HERE.parent.parent / "target/models/dense")
    parser.add_argument("--layers", default="1024,1536,1536,10", help="sizes from input to output")
    options = parser.parse_args()
    sizes = [int(size) for size in options.layers.split(",")]
    rng = np.random.default_rng(SEED)
    model = network(sizes, rng)
    samples = (rng.integers(0, 256, (SAMPLES, sizes[0])) / 256).astype(np.float32)
    options.folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, options.folder / "dense.onnx")
    np.savez_compressed(options.folder / "calibration.npz", x=samples)
    count = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    print(f"{'-'.join(map(str, sizes))}, {count} params, in {options.folder}")


if __name__ == "__main__":
    main()
