"""The one layer that Keras lacks: p-norm pooling."""

from __future__ import annotations

import keras
from keras import ops

from allcnn.errors import InputError


@keras.saving.register_keras_serializable(package="allcnn")
class NormPooling2D(keras.layers.Layer):
    """The p-norm of each window of each channel: (sum |f|^p)^(1/p), the paper's Eq. 1.

    Args:
        order: p >= 1. As p grows it nears max-pooling of the absolute values.
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
        rows, above, below = window_rows(height, self.pool_size, self.strides, self.padding)
        columns, left, right = window_rows(width, self.pool_size, self.strides, self.padding)
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
        rows, _, _ = window_rows(height, self.pool_size, self.strides, self.padding)
        columns, _, _ = window_rows(width, self.pool_size, self.strides, self.padding)
        return batch, rows, columns, channels

    def get_config(self) -> dict:
        own = {
            "order": self.order,
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }
        return {**super().get_config(), **own}


def window_rows(length: int, pool_size: int, strides: int, padding: str) -> tuple[int, int, int]:
    """How many windows fit along one axis, and the zeros before and after it."""
    if padding == "valid":
        return (length - pool_size) // strides + 1, 0, 0
    windows = -(-length // strides)
    zeros = max((windows - 1) * strides + pool_size - length, 0)
    return windows, zeros // 2, zeros - zeros // 2
