"""The field of section 3.2.3: an image lies in the middle of a larger square of zeros, the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allcnn.errors import InputError

if TYPE_CHECKING:
    import keras

#: The layer of a saved model that puts the image into its field.
FIELD_LAYER = "field"


def network_shape(image_shape: tuple[int, int, int], field: int | None) -> tuple[int, int, int]:
    """What the network sees of images of a shape, (height, width, channels): the field where there is one.

    field: height and width in pixels; None: the images as they are.

    Raises:
        InputError: a field that does not hold the images.
    """
    height, width, channels = image_shape
    if field is None:
        return image_shape
    if field < max(height, width):
        raise InputError(
            f"a field of {field} x {field} pixels is smaller than the images, {height} x {width}; "
            f"expected one of at least {max(height, width)} (--field), or smaller images (--image-size)."
        )
    return field, field, channels


def margins(image_shape: tuple[int, int, int], field: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros ((above, below), (left, right)) of an image; of an odd number one more below and to the right."""
    shape = network_shape(image_shape, field)
    above, left = ((whole - side) // 2 for whole, side in zip(shape[:2], image_shape[:2], strict=True))
    return (above, shape[0] - image_shape[0] - above), (left, shape[1] - image_shape[1] - left)


def field_layers(image_shape: tuple[int, int, int], field: int | None) -> list[keras.layers.Layer]:
    """The stock Keras layer that puts preprocessed images into the field's middle; none where they fill it.

    After a preprocessing that takes the mean away, zero is the mean colour.
    """
    padding = margins(image_shape, field)
    if padding == ((0, 0), (0, 0)):
        return []
    import keras

    return [keras.layers.ZeroPadding2D(padding, dtype="float32", name=FIELD_LAYER)]
