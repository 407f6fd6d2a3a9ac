"""Trains the digits-cnn model and writes digits-cnn.onnx, calibration.npz and test.npz beside this file.

Two 3x3 convolutions, a max pool and a dense layer on the handwritten digits that come with scikit-learn: 1797 pictures
of 8x8 pixels, 0 to 16, scaled to 0 to 1, as [1, 8, 8]. The split is that of models/digits. Run in a virtual environment
with requirements.txt installed; it takes seconds:

    python models/digits-cnn/train.py
"""

import pathlib
import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

import classifier  # noqa: E402

LAYERS = [
    ("conv1", lambda: nn.Conv2d(1, 8, 3, padding=1)),
    ("relu1", nn.ReLU),
    ("conv2", lambda: nn.Conv2d(8, 16, 3, padding=1)),
    ("relu2", nn.ReLU),
    ("pool", lambda: nn.MaxPool2d(2)),
    ("flatten", nn.Flatten),
    ("fc", lambda: nn.Linear(16 * 4 * 4, 10)),
]


def data():
    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32)[:, None]
    y = digits.target.astype(np.int64)
    return train_test_split(x, y, test_size=0.25, random_state=classifier.SEED, stratify=y)


def main():
    x_train, x_test, y_train, y_test = data()
    network = classifier.seeded(LAYERS)
    classifier.fit(network, lambda: (x_train, y_train), epochs=40, rate=0.01)
    classifier.write(HERE, "digits-cnn", network, (x_train, y_train), (x_test, y_test))


if __name__ == "__main__":
    main()
