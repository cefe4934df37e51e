"""Several tests of each image: the mean of the probabilities over passes, augmented as in training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allcnn.data.order import DRAWS
from allcnn.data.streamed import Images, as_images
from allcnn.errors import InputError
from allcnn.models.parts import preprocessing_end
from allcnn.models.saved import ModelCard, SavedModel
from allcnn.preprocessing.field import FIELD_LAYER

if TYPE_CHECKING:
    import keras

# Beyond every seed that a run may have: a test never sees the draws that some training saw.
_TEST_SEED = 1 << 32
# The largest output of any layer that a whole batch may have. The paper's networks for CIFAR-10 and ImageNet stay far
# below it; large-all's first layers take 20 MB an image.
_LARGEST_OUTPUT_BYTES = 512 << 20


def check_tests(tests: int, path: Path, card: ModelCard | None) -> None:
    """Refuse what cannot be done, before Keras loads: no number of tests, or several without an augmentation.

    Raises:
        InputError: the message says what the model lacks.
    """
    if isinstance(tests, bool) or not isinstance(tests, int) or tests < 1:
        raise InputError(f"each image is tested 1, 2, ... times; got {tests} (--tests).")
    if tests == 1:
        return
    augmentation = card.augmentation if card else None
    if augmentation is None:
        raise InputError(
            f"{path}: does not say what it was augmented by in training, so each image can be tested once only; "
            f"got {tests} (--tests).\nTrain it anew, or leave --tests out."
        )
    if augmentation not in DRAWS:
        raise InputError(
            f"{path}: was trained without an augmentation that a test could repeat ({augmentation}), so {tests} tests "
            "of an image would all give the same.\n"
            "Train with --augment flip-shift, flip-reflect or large, or leave --tests out."
        )


def mean_of_tests(
    saved: SavedModel,
    images: Images,
    tests: int,
    predict: Callable[..., np.ndarray],
) -> np.ndarray:
    """Class probabilities (n, classes) float32 of raw images (n, height, width, 3), the mean of several passes.

    In every pass every image is augmented anew, by draws that follow from its number and the pass alone, so that the
    same call gives the same figures. The paper compares with Graham's 12 and 100 tests (Table 4).

    predict: `allcnn.evaluation.probabilities`, which takes a model, images and draws.
    """
    check_tests(tests, saved.path, saved.card)
    assert saved.card is not None and saved.card.augmentation is not None  # noqa: S101  (checked)
    kind = DRAWS[saved.card.augmentation]
    model = saved.model if kind.on_host else augmented_model(saved.model, saved.card)
    total = np.zeros((len(images), model.output_shape[-1]))
    for test in range(tests):
        draws = kind.draw(_TEST_SEED, test, 0, len(images))
        if kind.on_host:
            total += predict(model, as_images(images).crops(draws))
        else:
            total += predict(model, images, draws=draws)
    return (total / tests).astype(np.float32)


def augmented_model(model: keras.Model, card: ModelCard) -> keras.Model:
    """The same layers with the augmentation of the training between preprocessing and network.

    [raw images (batch, height, width, 3), draws (batch, ...)] -> class probabilities (batch, classes).
    """
    import keras

    from allcnn.preprocessing.augment import augmentation_layer

    assert card.augmentation is not None  # noqa: S101  (check_tests)
    kind, end = DRAWS[card.augmentation], preprocessing_end(model, card)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    field = next((layer.output.shape[1] for layer in layers if layer.name == FIELD_LAYER), None)
    inputs = outputs = keras.Input(model.input_shape[1:], dtype="float32", name="image")
    draws = keras.Input((kind.width,), dtype=kind.dtype, name="draws")
    before = 1 + next((index for index, layer in enumerate(layers) if layer.name == end), -1)
    for layer in layers[:before]:
        outputs = layer(outputs)
    outputs = augmentation_layer(card.augmentation, field)(outputs, draws)
    for layer in layers[before:]:
        if layer.name != FIELD_LAYER or outputs.shape[1] != field:  # "large" has placed them already
            outputs = layer(outputs)
    return keras.Model([inputs, draws], outputs, name="augmented")


def fitting_batch(model: keras.Model, most: int) -> int:
    """How many images a model sees at once: `most`, or fewer where its largest layer's output would take too much."""
    largest = 1
    for layer in model.layers:
        try:
            shape = layer.output.shape
        except (AttributeError, ValueError):  # a layer without one output, in a model of the user's
            continue
        sides = [side for side in shape[1:] if side is not None]
        largest = max(largest, 4 * int(np.prod(sides, dtype=np.int64)))
    return max(1, min(most, _LARGEST_OUTPUT_BYTES // largest))
