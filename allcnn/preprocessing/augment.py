"""Augmentations on the accelerator, given the draws that the host made (`allcnn.data.order`); flip and shift."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from allcnn.data.order import FLIP, SHIFT_X, SHIFT_Y
from allcnn.preprocessing.large import PlaceInField


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
        _, height, width, channels = images.shape
        draws = ops.cast(draws, "int32")
        flip, shift_y, shift_x = draws[:, FLIP, None], draws[:, SHIFT_Y, None], draws[:, SHIFT_X, None]
        columns = ops.arange(width, dtype="int32")[None, :]
        rows = ops.arange(height, dtype="int32")[None, :] + shift_y
        columns = ops.where(flip > 0, width - 1 - columns, columns) + shift_x
        if self.reflect:
            rows = height - 1 - ops.abs(height - 1 - ops.abs(rows))
            columns = width - 1 - ops.abs(width - 1 - ops.abs(columns))
        inside_y = ops.logical_and(rows >= 0, rows < height)
        inside_x = ops.logical_and(columns >= 0, columns < width)
        inside = ops.logical_and(inside_y[:, :, None], inside_x[:, None, :])
        # One gather of whole pixels from the batch laid out as (batch * height * width, channels).
        image = ops.arange(ops.shape(images)[0], dtype="int32")[:, None, None]
        rows = ops.clip(rows, 0, height - 1)[:, :, None]
        columns = ops.clip(columns, 0, width - 1)[:, None, :]
        pixels = ops.take(ops.reshape(images, (-1, channels)), (image * height + rows) * width + columns, axis=0)
        return ops.where(inside[..., None], pixels, ops.zeros_like(pixels))

    def compute_output_shape(self, images_shape: tuple, draws_shape: tuple | None = None) -> tuple:
        return images_shape


def augmentation_layer(augmentation: str, field: int | None = None) -> keras.layers.Layer:
    """The layer of an augmentation in `DRAWS`: preprocessed images and their draws -> images.

    "large" places them into the field itself; after the others `field_layers` does.
    """
    if augmentation == "large":
        return PlaceInField(field, dtype="float32", name="large")
    return FlipShift(reflect=augmentation == "flip-reflect", dtype="float32", name=augmentation.replace("-", "_"))
