"""The two layers that Keras lacks: p-norm pooling, and a dropout with cheap masks for training."""

from __future__ import annotations

import keras
from keras import ops

from allcnn.device import random_integers
from allcnn.errors import InputError


@keras.saving.register_keras_serializable(package="allcnn")
class NormPooling2D(keras.layers.Layer):
    """The p-norm of each window of each channel: (sum |f|^p)^(1/p), the paper's Eq. 1.

    Args:
        order: p >= 1. With growing p it approaches max-pooling of the absolute values.
        pool_size: side of the window in pixels.
        strides: step between windows in pixels.
        padding: "same" or "valid"; padding adds nothing to a sum.

    Input (batch, height, width, channels); output the same with height and width divided by the stride.
    The gradient of an all-zero window is 0. Each window is scaled by its own largest value, so that no power
    overflows.
    """

    def __init__(self, order: float, pool_size: int, strides: int, padding: str = "same", **kwargs):
        super().__init__(**kwargs)
        if not order >= 1:
            raise InputError(f"the order of p-norm pooling must be at least 1; got {order}.")
        self.order = order
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        _, height, width, _ = inputs.shape
        rows, above, below = self._windows(height)
        columns, left, right = self._windows(width)
        values = ops.pad(ops.abs(inputs), ((0, 0), (above, below), (left, right), (0, 0)))
        last_row, last_column = (rows - 1) * self.strides + 1, (columns - 1) * self.strides + 1
        windows = ops.stack(
            [
                values[:, y : y + last_row : self.strides, x : x + last_column : self.strides, :]
                for y in range(self.pool_size)
                for x in range(self.pool_size)
            ],
            axis=-1,
        )
        largest = ops.stop_gradient(ops.max(windows, axis=-1))
        empty = largest == 0
        scale = ops.where(empty, ops.ones_like(largest), largest)
        total = ops.sum((windows / scale[..., None]) ** self.order, axis=-1)
        root = ops.where(empty, ops.ones_like(total), total) ** (1 / self.order)
        return ops.where(empty, ops.zeros_like(root), scale * root)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return batch, self._windows(height)[0], self._windows(width)[0], channels

    def get_config(self) -> dict:
        own = {"order": self.order, "pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **own}

    def _windows(self, length: int) -> tuple[int, int, int]:
        """How many windows fit along an axis, and the zeros before and after it."""
        if self.padding == "valid":
            return (length - self.pool_size) // self.strides + 1, 0, 0
        windows = -(-length // self.strides)
        zeros = max((windows - 1) * self.strides + self.pool_size - length, 0)
        return windows, zeros // 2, zeros - zeros // 2


@keras.saving.register_keras_serializable(package="allcnn")
class BitDropout(keras.layers.Dropout):
    """Dropout whose mask takes 8 random bits a value if the rate is a multiple of 1/256, else 16.

    Keras draws a 32-bit number a value: 28 % of a training step of Strided-CNN-A on two CPU cores (50 of 176 ms), of
    which this leaves 18 ms. A rate is met within 2^-17. Kept values are divided by the mask's own probability, so that
    the expected value stays the input. As in Keras, the mask is a function of the seed generator's state: (the layer's
    seed, masks drawn so far).
    """

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        if not training or not self.rate:
            return inputs
        dtype, kept, values = mask_arithmetic(self.rate)
        numbers = random_integers(ops.shape(inputs), dtype, self.seed_generator.next())
        # In the integers' own type, so that no backend widens a whole mask to compare it.
        mask = ops.cast(numbers < ops.convert_to_tensor(kept, dtype=dtype), inputs.dtype)
        return inputs * (mask * ops.cast(values / kept, inputs.dtype))


def mask_arithmetic(rate: float) -> tuple[str, int, int]:
    """How a mask is drawn: the integers' type, how many of its values keep an input, and how many values it has."""
    for dtype, values in (("uint8", 1 << 8), ("uint16", 1 << 16)):
        kept = values * (1 - rate)
        if kept == round(kept):
            return dtype, round(kept), values
    return dtype, min(max(round(kept), 1), values - 1), values
