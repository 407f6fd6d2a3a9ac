"""Trains the mlp model and writes mlp.onnx, calibration.npz and test.npz to a folder, target/models/mlp unless named.

A 784-512-512-10 MLP on the digits and the split of models/lenet, as vectors of 784 pixels. Its ONNX file has 2.7 MB and
is made when it is wanted, for benches. Run in a virtual environment with requirements.txt installed; it takes a minute:

    python models/mlp/train.py [FOLDER]
"""

import pathlib
import sys

import numpy as np
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import classifier  # noqa: E402
import mnist  # noqa: E402

LAYERS = [
    ("fc1", lambda: nn.Linear(784, 512)),
    ("relu1", nn.ReLU),
    ("fc2", lambda: nn.Linear(512, 512)),
    ("relu2", nn.ReLU),
    ("fc3", lambda: nn.Linear(512, 10)),
]


def flat(x):
    return x.reshape(len(x), -1)


def main():
    folder = pathlib.Path(sys.argv[1]) if sys.argv[1:] else HERE.parent.parent / "target/models/mlp"
    x_train, x_test, y_train, y_test = mnist.split(classifier.SEED)
    rng = np.random.default_rng(classifier.SEED)
    network = classifier.seeded(LAYERS)
    classifier.fit(network, lambda: (flat(mnist.moved(x_train, 2, rng)), y_train), epochs=30, rate=0.002)
    classifier.write(folder, "mlp", network, (flat(x_train), y_train), (flat(x_test), y_test))


if __name__ == "__main__":
    main()
