"""Augmentations on the accelerator, given the draws that the host made (`allcnn.data.order`)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from allcnn.data import order
from allcnn.preprocessing.field import margins, network_shape


def augmentation_layer(augmentation: str, field: int | None = None) -> keras.layers.Layer:
    """The layer of an augmentation in `DRAWS`: preprocessed images and their draws -> images.

    "large" places them into the field itself; after the others `field_layers` does.
    """
    if augmentation == "large":
        return PlaceInField(field, dtype="float32", name="large")
    return FlipShift(reflect=augmentation == "flip-reflect", dtype="float32", name=augmentation.replace("-", "_"))


@keras.saving.register_keras_serializable(package="allcnn")
class FlipShift(keras.layers.Layer):
    """Shift each image by whole pixels, zeros moving in, then mirror it where asked (paper, section 3.2.1).

    With `reflect`, the image's own pixels move in instead, reflected at its edge; the edge is not repeated.

    Called on images (batch, height, width, channels) and integer draws (batch, 3): mirror (0 or 1), dy and
    dx. The output's pixel (y, x) of an unmirrored image is the input's (y + dy, x + dx), as pylearn2's
    zero-padding by p and cropping at (p + dy, p + dx) gives it; the mirror follows the shift. It moves whole
    values, so that eager, compiled and either backend give the same bits.
    """

    def __init__(self, reflect: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.reflect = reflect

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reflect": self.reflect}

    def call(self, images: keras.KerasTensor, draws: keras.KerasTensor) -> keras.KerasTensor:
        _, height, width, _ = images.shape
        draws = ops.cast(draws, "int32")
        flip, shift_y, shift_x = (draws[:, place, None] for place in (order.FLIP, order.SHIFT_Y, order.SHIFT_X))
        rows = ops.arange(height, dtype="int32")[None, :] + shift_y
        columns = ops.arange(width, dtype="int32")[None, :]
        columns = ops.where(flip > 0, width - 1 - columns, columns) + shift_x
        # Whole lines of an image at a time: to gather its pixels one by one takes three times as long.
        images = ops.transpose(self._lines(images, rows), (0, 2, 1, 3))
        return ops.transpose(self._lines(images, columns), (0, 2, 1, 3))

    def _lines(self, images: keras.KerasTensor, lines: keras.KerasTensor) -> keras.KerasTensor:
        """Lines (batch, height) of each image, by their numbers, some of which lie outside it."""
        _, height, width, channels = images.shape
        if self.reflect:
            lines = height - 1 - ops.abs(height - 1 - ops.abs(lines))
        first = height * ops.arange(ops.shape(images)[0], dtype="int32")[:, None]
        places = first + ops.clip(lines, 0, height - 1)
        found = ops.take(ops.reshape(images, (-1, width * channels)), places, axis=0)
        if not self.reflect:
            inside = ops.logical_and(lines >= 0, lines < height)
            found *= ops.cast(inside, found.dtype)[..., None]
        return ops.reshape(found, (-1, height, width, channels))

    def compute_output_shape(self, images_shape: tuple, draws_shape: tuple | None = None) -> tuple:
        return images_shape


@keras.saving.register_keras_serializable(package="allcnn")
class PlaceInField(keras.layers.Layer):
    """Colour each image, then place it scaled, mirrored, turned and moved into a field of zeros, by its draws.

    Called on preprocessed images (batch, height, width, 3) and draws (batch, 14), `allcnn.data.order.large_draws`;
    gives (batch, field, field, 3), or (batch, height, width, 3) where `field` is None. The colours come first, so that
    the field around the image stays zero. A point p of the image, seen from its middle, comes to lie at
    B diag(zoom * stretch) p + shift, seen from the field's middle, with B the shear or rotation; values between pixels
    are bilinear, and an image's edge runs out into the zeros over one pixel. Draws that change nothing give exactly the
    image in the middle of its field, as the saved model's own layer does.

    Keras has layers and an operation for nearly all of this. Its Random* layers draw for themselves; here the host
    draws, so that both backends, any resume and any number of devices see the same images. Its
    `ops.image.affine_transform`, whose backends do agree, has no kernel for XLA on TensorFlow, and steps run by XLA on
    a GPU. On JAX it finds places by a matrix product of default precision, which some accelerators round to ten bits.
    Places are computed here value by value in float32.
    """

    def __init__(self, field: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.field = field

    def call(self, images: keras.KerasTensor, draws: keras.KerasTensor) -> keras.KerasTensor:
        draws = ops.cast(draws, "float32")
        rows, columns = self._places(images.shape[1:], draws)
        return _bilinear(_coloured(ops.cast(images, "float32"), draws), rows, columns)

    def _places(
        self, image_shape: tuple[int, int, int], draws: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Row and column of the image, fractions too, that each pixel of the field shows: (batch, field, field)."""
        height, width, _ = network_shape(image_shape, self.field)
        (above, _), (left, _) = margins(image_shape, self.field)
        middle_y, middle_x = (image_shape[0] - 1) / 2, (image_shape[1] - 1) / 2

        def column(index: int) -> keras.KerasTensor:
            return draws[:, index, None, None]

        # From the field back to the image: first the shift.
        y = ops.arange(height, dtype="float32")[None, :, None] - (above + middle_y)
        x = ops.arange(width, dtype="float32")[None, None, :] - (left + middle_x)
        y = y - column(order.SHIFT_Y) * (order.MAX_SHIFT_OF_FIELD * height)
        x = x - column(order.SHIFT_X) * (order.MAX_SHIFT_OF_FIELD * width)
        # Then the inverse of B, one matrix for each image: [[1, -a], [0, 1]], [[1, 0], [-a, 1]] or the turn by -a.
        angle, bend = column(order.ANGLE), column(order.BEND)
        turned = bend == order.ROTATION
        across = ops.where(turned, ops.cos(angle), 1.0)
        from_x = -ops.where(turned, ops.sin(angle), ops.where(bend == order.SHEAR_Y, angle, 0.0))
        from_y = ops.where(turned, ops.sin(angle), ops.where(bend == order.SHEAR_X, -angle, 0.0))
        y, x = across * y + from_x * x, from_y * y + across * x
        # Then the scales, and the mirror, which is a scale of -1.
        zoom = ops.exp(column(order.ZOOM))
        y = y / (zoom * column(order.STRETCH_Y))
        x = x / (zoom * column(order.STRETCH_X) * (1 - 2 * column(order.FLIP)))
        return y + middle_y, x + middle_x

    def compute_output_shape(self, images_shape: tuple, draws_shape: tuple | None = None) -> tuple:
        return (images_shape[0], *network_shape(images_shape[1:], self.field))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "field": self.field}


def _coloured(images: keras.KerasTensor, draws: keras.KerasTensor) -> keras.KerasTensor:
    """Saturation, contrast, brightness and tint, each written as a change, so that draws without one change no bit."""

    def column(index: int | slice) -> keras.KerasTensor:
        return ops.reshape(draws[:, index], (-1, 1, 1, 3 if index == order.TINT else 1))

    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(images - mean), axis=(1, 2, 3), keepdims=True))
    grey = ops.mean(images, axis=3, keepdims=True)
    images = images + (column(order.SATURATION) - 1) * (images - grey)
    images = images + (ops.exp(column(order.CONTRAST)) - 1) * (images - mean)
    return images + (column(order.BRIGHTNESS) + column(order.TINT)) * deviation


def _bilinear(images: keras.KerasTensor, rows: keras.KerasTensor, columns: keras.KerasTensor) -> keras.KerasTensor:
    """Values of images (batch, height, width, channels) at places (batch, rows, columns) between pixels; 0 outside."""
    _, height, width, channels = images.shape
    # One pixel of zeros on each side; whatever is further outside is brought there.
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pixels = ops.reshape(padded, (-1, channels))
    rows, columns = ops.clip(rows + 1, 0, height + 1), ops.clip(columns + 1, 0, width + 1)
    top, left = ops.floor(rows), ops.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    top, left = ops.cast(top, "int32"), ops.cast(left, "int32")
    bottom, beside = ops.minimum(top + 1, height + 1), ops.minimum(left + 1, width + 1)
    image = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None] * (height + 2)

    def at(row: keras.KerasTensor, column: keras.KerasTensor) -> keras.KerasTensor:
        return ops.take(pixels, (image + row) * (width + 2) + column, axis=0)

    above = at(top, left) * (1 - right) + at(top, beside) * right
    below = at(bottom, left) * (1 - right) + at(bottom, beside) * right
    return above * (1 - down) + below * down
