"""What a saved model takes, and where its parts meet: preprocessing, field, network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allcnn.data.streamed import Images
from allcnn.errors import InputError
from allcnn.preprocessing.field import FIELD_LAYER
from allcnn.specs import parse
from allcnn.specs.shapes import layer_names

if TYPE_CHECKING:
    import keras

    from allcnn.models.saved import ModelCard


def preprocessing_end(model: keras.Model, card: ModelCard | None) -> str | None:
    """The name of the last layer of the preprocessing inside a saved model; None where it has none.

    At its output a unit's receptive field is a patch of the image; whitening before it mixes all pixels. A field of
    zeros that the image is placed in comes after it.
    """
    if card is None:
        return None
    network = set(layer_names(parse(card.spec)))
    before = None
    for layer in model.layers:
        if layer.name.removesuffix("_padding") in network:
            return before
        if layer.__class__.__name__ != "InputLayer" and layer.name != FIELD_LAYER:
            before = layer.name
    raise InputError("the model's layers are not those of the network that its card names.")


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


def takes_images(model: keras.Model) -> bool:
    """Whether the model takes one batch of images and gives one row of class values for each."""
    takes, gives = model.input_shape, model.output_shape
    return all(isinstance(shape, tuple) for shape in (takes, gives)) and len(takes) == 4 and len(gives) == 2
