"""Running preprocessing layers over a whole data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from allcnn.errors import InputError
from allcnn.preprocessing.base import BLOCK

if TYPE_CHECKING:
    import keras


def apply_layers(
    layers: list[keras.layers.Layer], images: np.ndarray, image_shape: tuple[int, int, int]
) -> np.ndarray:
    """Apply layers to images (n, height, width, 3) block by block; float32, held once."""
    import keras

    if images.ndim != 4 or images.shape[1:] != image_shape:
        raise InputError(
            f"cannot preprocess images of shape {images.shape[1:]}; this preprocessing was fitted to {image_shape}."
        )
    inputs = outputs = keras.Input(image_shape, dtype="float32")
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    result = np.empty(images.shape, np.float32)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK].astype(np.float32)
        result[start : start + BLOCK] = model.predict_on_batch(block)
    return result
