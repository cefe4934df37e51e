"""The training images as a variable on the accelerator, so that a step brings only numbers from the host."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


class StoredImages(keras.layers.Layer):
    """Gathers the images of a batch on the accelerator: indices (batch,) int32 -> (batch, height, width, 3) float32.

    Made for images of a shape (n, height, width, 3) and a type, uint8 or float32; zeros until `store`. They are a
    frozen variable that the compiled step is handed, never a constant in it: compilers fold and copy constants. They
    are no part of the training state.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, name: str | None = None):
        super().__init__(trainable=False, dtype="float32", name=name)
        self.images = self.add_weight(
            shape=shape, dtype=dtype, initializer="zeros", trainable=False, autocast=False, name="images"
        )
        self.built = True

    def store(self, images: np.ndarray) -> None:
        """Bring the images to the accelerator, (n, height, width, 3) of the layer's own type."""
        self.images.assign(images)

    def call(self, indices: keras.KerasTensor) -> keras.KerasTensor:
        return ops.cast(ops.take(self.images, indices, axis=0), "float32")

    def compute_output_shape(self, indices_shape: tuple) -> tuple:
        return (*indices_shape, *self.images.shape[1:])
