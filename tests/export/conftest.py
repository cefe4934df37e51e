"""What the tests of exporting share: a saved model of a few weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allcnn.models.build import build_model
from allcnn.models.saved import ModelCard, save_model
from allcnn.preprocessing import make_preprocessing

SPEC = "4C3/2-NC1:linear-GAP"


@pytest.fixture(scope="session")
def saved_once(tmp_path_factory) -> bytes:
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3)).astype(np.uint8)
    model = build_model(SPEC, (6, 6, 3), 3, seed=0, preprocessing=make_preprocessing("standardize").adapt(images))
    card = ModelCard(
        model="spec", spec=SPEC, dataset="cifar10", digest="0123abcd",
        class_names=("cat", "dog", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"), image_shape=(6, 6, 3), resize="none",
        preprocessing="standardize", recipe="paper", parameters=127, data_dir="/home/somebody/cifar",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    save_model(model, card, path)
    return path.read_bytes()


@pytest.fixture
def saved(saved_once, tmp_path) -> Path:
    """The path of a .keras file of raw images, (6, 6, 3), and three classes, in a folder of its own."""
    path = tmp_path / "ckpt.keras"
    path.write_bytes(saved_once)
    return path
