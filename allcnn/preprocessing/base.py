"""The base class of preprocessings, and those that scale each channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from allcnn.data.streamed import Images, as_images
from allcnn.errors import InputError

if TYPE_CHECKING:
    import keras

#: Images in one step of fitting or applying. It bounds the memory used; it is fixed so that results are bit-identical.
BLOCK = 1000
# Of images larger than 64 x 64 fewer are summed at a time.
_BLOCK_VALUES = 1000 * 64 * 64 * 3


class Preprocessing:
    """Turns raw RGB images (n, height, width, 3), values 0..255, into a network's input of the same shape.

    `adapt` fits it to the training images, `layers` gives the stock Keras layers that apply it, `arrays` what was
    fitted. It refuses to be applied before `adapt` or `restore`, with an InputError.

    kind: its name. fitted: the attributes that are fitted, and their types.
    """

    kind: ClassVar[str]
    fitted: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.image_shape: tuple[int, int, int] | None = None

    def adapt(self, images: Images) -> Preprocessing:
        """Fit to the training images, (n, height, width, 3), raw values 0..255; gives itself back."""
        if images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
            raise InputError(
                f"cannot fit the preprocessing {self.kind} to an array of shape {images.shape}; "
                "expected (images, height, width, 3) with at least one image."
            )
        self._fit(images)
        _, height, width, channels = images.shape
        self.image_shape = (height, width, channels)
        return self

    def restore(self, image_shape: tuple[int, int, int], arrays: dict[str, np.ndarray]) -> Preprocessing:
        """Take up what `arrays` gave before, instead of fitting; gives itself back."""
        self.image_shape = image_shape
        for name, dtype in self.fitted.items():
            setattr(self, name, np.asarray(arrays[name], dtype))
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, by name: enough for `restore`."""
        return {name: getattr(self, name) for name in self.fitted}

    def layers(self) -> list[keras.layers.Layer]:
        """Fresh stock Keras layers, float32, to be applied one after the other to raw images."""
        return self._make_layers(self.fitted_shape())

    def fitted_shape(self) -> tuple[int, int, int]:
        """The shape (height, width, 3) of the images it was fitted to.

        Raises:
            InputError: nothing was fitted yet.
        """
        if self.image_shape is None:
            raise InputError(
                f"the preprocessing {self.kind} is not fitted yet; call adapt(training_images) before applying it."
            )
        return self.image_shape

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Preprocess on the accelerator in blocks: (n, height, width, 3) raw -> the same shape in float32."""
        import keras

        image_shape = self.fitted_shape()
        if images.ndim != 4 or images.shape[1:] != image_shape:
            raise InputError(
                f"cannot preprocess images of shape {images.shape[1:]}; this preprocessing was fitted to {image_shape}."
            )
        inputs = outputs = keras.Input(image_shape, dtype="float32")
        for layer in self.layers():
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
        result = np.empty(images.shape, np.float32)
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK].astype(np.float32)
            result[start : start + BLOCK] = model.predict_on_batch(block)
        return result

    def _fit(self, images: Images) -> None:
        """Where there is nothing to fit, no image is read."""

    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
        raise NotImplementedError


class ChannelScaling(Preprocessing):
    """Channel c becomes scale[c] * x + offset[c]: what the review's section 3.1 compares, and ImageNet's."""

    fitted: ClassVar[dict[str, Any]] = {"scale": np.float64, "offset": np.float64}

    def __init__(self) -> None:
        super().__init__()
        self.scale = np.ones(3)
        self.offset = np.zeros(3)

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


class Unchanged(ChannelScaling):
    """The raw values 0..255. The review (3.1.1): "NaN" losses."""

    kind = "none"

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

    def _fit(self, images: Images) -> None:
        mean, _ = channel_statistics(images)
        self.scale, self.offset = np.full(3, 1 / 255), -mean / 255


class Standardized(ChannelScaling):
    """Each channel with mean 0 and deviation 1 over the training images; a constant channel becomes 0."""

    kind = "standardize"

    def _fit(self, images: Images) -> None:
        mean, deviation = channel_statistics(images)
        self.scale = 1 / np.where(deviation > 0, deviation, 1.0)
        self.offset = -mean * self.scale


class ChannelMean(ChannelScaling):
    """0..255 minus the mean of each channel, as Caffe does for ImageNet."""

    kind = "channel-mean"

    def _fit(self, images: Images) -> None:
        mean, _ = channel_statistics(images)
        self.offset = -mean


def channel_statistics(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, (3,) float64 each, streaming over (n, height, width, 3)."""
    total = np.zeros(3)
    squares = np.zeros(3)
    size = max(1, min(BLOCK, _BLOCK_VALUES // math.prod(images.shape[1:])))
    for block in as_images(images).blocks(size):
        block = block.reshape(-1, 3).astype(np.float64)
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    # Damaged images that are passed over were black, and added nothing.
    values = np.count_nonzero(~as_images(images).is_damaged()) * images.shape[1] * images.shape[2]
    mean = total / values
    return mean, np.sqrt(np.maximum(squares / values - mean**2, 0.0))
