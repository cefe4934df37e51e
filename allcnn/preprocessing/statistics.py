"""Preprocessings that shift and scale each channel: what the review's section 3.1 compares, and ImageNet's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from allcnn.data.streamed import Images, as_images
from allcnn.preprocessing.base import BLOCK, Preprocessing

if TYPE_CHECKING:
    import keras


# Of images larger than 64 x 64 fewer are summed at a time than `BLOCK`.
_BLOCK_VALUES = 1000 * 64 * 64 * 3


class ChannelScaling(Preprocessing):
    """Channel c becomes scale[c] * x + offset[c], from the mean and deviation of the channel over all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = np.ones(3)
        self.offset = np.zeros(3)

    def _fit(self, images: Images) -> None:
        mean, deviation = channel_statistics(images)
        self.scale, self.offset = self._scale_and_offset(mean, deviation)

    def _scale_and_offset(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise TypeError(f"{type(self).__name__} does not say how it scales")

    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
        import keras

        return [
            keras.layers.Rescaling(
                scale=self.scale.tolist(), offset=self.offset.tolist(), dtype="float32", name=self.kind
            )
        ]

    def undo(self, images: np.ndarray) -> np.ndarray:
        """Preprocessed images of any height and width back on the raw scale, 0..255, in float64."""
        return (images.astype(np.float64) - self.offset) / self.scale

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scale": self.scale, "offset": self.offset}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.scale = np.asarray(arrays["scale"], np.float64)
        self.offset = np.asarray(arrays["offset"], np.float64)


class Unchanged(ChannelScaling):
    """The raw values 0..255. The review (3.1.1): "NaN" losses."""

    kind = "none"

    def _fit(self, images: Images) -> None:
        """There is nothing to fit, so no image is looked at."""

    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
        return []


class Scaled(ChannelScaling):
    """Values 0..1."""

    kind = "scale"

    def _fit(self, images: Images) -> None:
        self.scale = np.full(3, 1 / 255)


class Centered(ChannelScaling):
    """Values 0..1, minus the mean of each channel. The review (3.1.2): model A stops at 43 % error."""

    kind = "center"

    def _scale_and_offset(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3, 1 / 255), -mean / 255


class Standardized(ChannelScaling):
    """Each channel with mean 0 and deviation 1 over the training images; a constant channel becomes 0."""

    kind = "standardize"

    def _scale_and_offset(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = 1 / np.where(deviation > 0, deviation, 1.0)
        return scale, -mean * scale


class ChannelMean(ChannelScaling):
    """0..255 minus the mean of each channel: Caffe's way with ImageNet."""

    kind = "channel-mean"

    def _scale_and_offset(self, mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(3), -mean


def channel_statistics(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, (3,) float64 each, streaming over (n, height, width, 3)."""
    total = np.zeros(3)
    squares = np.zeros(3)
    size = max(1, min(BLOCK, _BLOCK_VALUES // math.prod(images.shape[1:])))
    for block in as_images(images).blocks(size):
        block = block.reshape(-1, 3).astype(np.float64)
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    values = images.shape[0] * images.shape[1] * images.shape[2]
    mean = total / values
    return mean, np.sqrt(np.maximum(squares / values - mean**2, 0.0))
