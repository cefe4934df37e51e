"""What the tests of training share: a small data set that a small network can learn, and the numbers of a small run."""

from __future__ import annotations

import numpy as np
import pytest

from allcnn.data.dataset import Dataset


@pytest.fixture
def stripes() -> Dataset:
    """Horizontal and vertical stripes, 8x8, with noise: three classes that a small network can learn."""
    random = np.random.default_rng(3)
    images = random.integers(0, 60, (80, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(80, dtype=np.int32) % 3
    images[labels == 0, ::2] += 150
    images[labels == 1, :, ::2] += 150
    return Dataset(
        "stripes", images[:61], labels[:61], images[61:], labels[61:], ("horizontal", "vertical", "plain"),
        source="made up", layout="array", resize="none",
    )  # fmt: skip


@pytest.fixture
def numbers() -> dict:
    return {
        "epochs": 7, "batch_size": 10, "preprocessing": "standardize", "augmentation": "flip-shift",
        "precision": "float32", "seed": 5,
    }  # fmt: skip
