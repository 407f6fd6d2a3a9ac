"""Trains the digits model and writes digits.onnx, calibration.npz and test.npz beside this file.

A 64-32-10 MLP on the handwritten digits that come with scikit-learn: 1797 pictures of 8x8 pixels, 0 to 16, scaled
to 0 to 1. The split and the training are seeded. Run in a virtual environment with requirements.txt installed:

    python models/digits/train.py

digits.haca, the integer graph, is made from these files by
`cargo run --release -p haca-onnx --example quantise -- models/digits/digits.onnx models/digits/calibration.npz models/digits/digits.haca digits`.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = pathlib.Path(__file__).parent
SEED = 20260101


def data():
    digits = load_digits()
    x = (digits.data / 16.0).astype(np.float32)
    return train_test_split(x, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target)


def train(x, y):
    model = MLPClassifier(hidden_layer_sizes=(32,), alpha=1e-3, max_iter=2000, random_state=SEED)
    return model.fit(x, y)


def export(model):
    """Gemm, Relu, Gemm as PyTorch exports linear layers: weights [out, in], transB = 1."""
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    tensors = {"fc1.weight": w1.T, "fc1.bias": b1, "fc2.weight": w2.T, "fc2.bias": b2}
    initializers = [numpy_helper.from_array(t.astype(np.float32), name) for name, t in tensors.items()]
    nodes = [
        helper.make_node("Gemm", ["image", "fc1.weight", "fc1.bias"], ["hidden"], "fc1", transB=1),
        helper.make_node("Relu", ["hidden"], ["active"], "relu"),
        helper.make_node("Gemm", ["active", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 64])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "digits", [image], [logits], initializers)
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="haca-digits", ir_version=8
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


def main():
    x_train, x_test, y_train, y_test = data()
    model = train(x_train, y_train)
    print(f"train {model.score(x_train, y_train):.4f}  held back {model.score(x_test, y_test):.4f}")
    onnx.save(export(model), HERE / "digits.onnx")
    np.savez_compressed(HERE / "calibration.npz", x=x_train[:256], y=y_train[:256].astype(np.int64))
    np.savez_compressed(HERE / "test.npz", x=x_test, y=y_test.astype(np.int64))


if __name__ == "__main__":
    main()
