"""What the tests of training share: a small data set that a small network can learn, and a small run on it."""

from __future__ import annotations

import numpy as np
import pytest

from allcnn.data.dataset import Dataset
from allcnn.training.run import TrainingResult, train


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def numbers() -> dict:
    return {
        "epochs": 7, "batch_size": 10, "preprocessing": "standardize", "augmentation": "flip-shift",
        "precision": "float32", "seed": 5,
    }  # fmt: skip


@pytest.fixture(scope="session")
def undisturbed(stripes, numbers, tmp_path_factory) -> TrainingResult:
    """A run of SPEC that nothing stopped. Tests only read its folder."""
    from small_runs import SPEC  # loads Keras

    return train(SPEC, dataset=stripes, run_dir=tmp_path_factory.mktemp("undisturbed") / "run", **numbers)
