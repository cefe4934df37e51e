"""The short form of tests/studies/starts.py: three networks on small pictures, by the recipe `paper`."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "studies"))
from starts import Cell, start

from allcnn.data.digits import load_digits
from allcnn.device import find_device, resolve_precision
from allcnn.models.build import DEFAULT_CLASS_BIAS, DEFAULT_INITIALIZER
from allcnn.preprocessing import make_preprocessing


@pytest.fixture(scope="module")
def pictures(request) -> tuple[np.ndarray, np.ndarray]:
    """A quarter of the pixels of CIFAR-10's first photographs, or where there are none the digits; whitened."""
    try:
        with np.load(request.getfixturevalue("photographs") / "cifar10-head.npz") as arrays:
            images, labels = arrays["x_train"][:, ::2, ::2], arrays["y_train"]
    except pytest.skip.Exception:
        digits = load_digits(16)
        images, labels = digits.train_images, digits.train_labels
    return make_preprocessing("gcn-zca").adapt(images).apply(images), labels


@pytest.mark.slow
@pytest.mark.stand_in
@pytest.mark.parametrize(("model", "learning_rate"), [("a", 0.01), ("b", 0.05), ("strided-c", 0.05)])
def test_a_network_starts_at_the_first_try(model, learning_rate, pictures) -> None:
    """LeCun's kernels with biases of 0 leave all three at a cross-entropy of 2.29 and more, or on digits with a dead
    class.
    """
    cell = Cell("paper", model, learning_rate, 0, DEFAULT_INITIALIZER, DEFAULT_CLASS_BIAS, 50, "tensorflow")
    result = start(cell, *pictures, resolve_precision("auto", find_device()))
    assert result["steps"], f"still at a cross-entropy of {result['cross_entropy']:.3f}"
    assert result["dead_percent"][-1] == 0, "dead classes"
