"""The short form of tests/studies/starts.py: some networks on small pictures, by the recipes `paper` and `fast`."""

import numpy as np
import pytest
from starts import Cell, start

from allcnn.data.load import load_data
from allcnn.device import find_device, resolve_precision
from allcnn.preprocessing import make_preprocessing
from allcnn.runs.recipe import RECIPES


@pytest.fixture(scope="module")
def pictures(request) -> tuple[np.ndarray, np.ndarray]:
    """A quarter of the pixels of CIFAR-10's first photographs, or where there are none the digits."""
    try:
        with np.load(request.getfixturevalue("photographs") / "cifar10-head.npz") as arrays:
            images, labels = arrays["x_train"][:, ::2, ::2], arrays["y_train"]
    except pytest.skip.Exception:
        digits = load_data("digits", image_size=16)
        images, labels = digits.train_images, digits.train_labels
    return images, labels


@pytest.mark.slow
@pytest.mark.stand_in
@pytest.mark.parametrize(
    ("name", "model", "learning_rate", "seed"),
    [("paper", "strided-c", 0.05, 0), ("fast", "a", 0.02, 1)],
)
def test_a_network_starts_at_the_first_try(name, model, learning_rate, seed, pictures) -> None:
    """By `paper`, LeCun's kernels with biases of 0 leave the network at a cross-entropy of 2.29 and more, or on digits
    with a dead class. By `fast`, classes' biases of 1 end with 4 to 10 dead classes.
    """
    recipe, (images, labels) = RECIPES[name], pictures
    images = make_preprocessing(recipe.preprocessing).adapt(images).apply(images)
    cell = Cell(name, model, learning_rate, seed, recipe.initializer, recipe.class_bias, 50, "tensorflow")
    result = start(cell, images, labels, resolve_precision("auto", find_device()))
    assert result["steps"], f"still at a cross-entropy of {result['cross_entropy']:.3f}"
    assert result["dead_percent"][-1] == 0, "dead classes"
