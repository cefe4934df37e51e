"""The parts of a saved model (preprocessing, field, network), and what fits them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from allcnn.data.order import DRAWS
from allcnn.data.streamed import Images
from allcnn.errors import InputError, is_whole
from allcnn.models.saved import ModelCard
from allcnn.preprocessing.field import FIELD_LAYER
from allcnn.specs import parse
from allcnn.specs.shapes import layer_names

if TYPE_CHECKING:
    import keras

# The largest output that any layer may give for a whole batch. The paper's networks for CIFAR-10 and ImageNet stay far
# below it; large-all's first layers take 20 MB an image.
_LARGEST_OUTPUT_BYTES = 512 << 20


def takes_images(model: keras.Model) -> bool:
    """Whether the model takes one batch of images and gives one row of class values for each."""
    takes, gives = model.input_shape, model.output_shape
    return all(isinstance(shape, tuple) for shape in (takes, gives)) and len(takes) == 4 and len(gives) == 2


def check_images_fit(model: keras.Model, images: Images) -> None:
    """Refuse images of another shape than the model takes. Raises InputError."""
    if not takes_images(model):
        raise InputError(
            f"the model takes {model.input_shape} and gives {model.output_shape}; expected one that takes images, "
            "(None, height, width, 3), and gives class probabilities, (None, classes)."
        )
    expected = tuple(model.input_shape[1:])
    if images.ndim != 4 or any(want not in (None, came) for want, came in zip(expected, images.shape[1:], strict=True)):
        raise InputError(f"the images are {images.shape[1:]}; the model takes {expected}.")


def fitting_batch(model: keras.Model, most: int) -> int:
    """How many images a model sees at once: `most`, or fewer if its largest output would take too much memory."""
    largest = 1
    for layer in model.layers:
        try:
            shape = layer.output.shape
        except (AttributeError, ValueError):  # a layer without exactly one output, in a user's own model
            continue
        sides = [side for side in shape[1:] if side is not None]
        largest = max(largest, 4 * int(np.prod(sides, dtype=np.int64)))
    return max(1, min(most, _LARGEST_OUTPUT_BYTES // largest))


def preprocessing_end(model: keras.Model, card: ModelCard) -> str | None:
    """The name of the last layer of the preprocessing inside a saved model; None if it has none.

    At its output the receptive field of a unit is a patch of the image; whitening before it mixes all pixels. A field
    of zeros around the image comes after it.
    """
    network = set(layer_names(parse(card.spec)))
    before = None
    for layer in model.layers:
        # A network may begin with what goes with its first layer.
        if layer.name.removesuffix("_padding").removesuffix("_flatten") in network:
            return before
        if layer.__class__.__name__ != "InputLayer" and layer.name != FIELD_LAYER:
            before = layer.name
    raise InputError("the model's layers are not those of the network that its card names.")


def check_tests(tests: int, path: Path, card: ModelCard | None) -> None:
    """Refuse a number of tests of each image that cannot be done, before Keras loads.

    Raises:
        InputError: it is not a number of tests, or it is more than one and the model was trained without augmentation.
    """
    if not is_whole(tests) or tests < 1:
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
        if layer.name != FIELD_LAYER or outputs.shape[1] != field:  # "large" puts them into the field itself
            outputs = layer(outputs)
    return keras.Model([inputs, draws], outputs, name="augmented")
