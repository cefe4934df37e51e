"""What every preprocessing is: fitted on the training images, then a few stock Keras layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from allcnn.data.streamed import Images
from allcnn.errors import InputError

if TYPE_CHECKING:
    import keras

#: Images in one step of fitting or applying; bounds the memory used, and is fixed so that bits are.
BLOCK = 1000


class Preprocessing(ABC):
    """Raw RGB images (n, height, width, 3), values 0..255, to what a network is given, of the same shape.

    `adapt` fits it to the training images, `layers` gives the stock Keras layers that apply it, `arrays`
    what was fitted. Until `adapt` was called (or `restore`), applying it raises an InputError.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        self.image_shape: tuple[int, int, int] | None = None

    def adapt(self, images: Images) -> Preprocessing:
        """Fit to the training images, (n, height, width, 3), raw values 0..255; gives itself back."""
        if images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
            raise InputError(
                f"cannot fit the preprocessing {self.kind} to an array of shape {images.shape}; "
                "expected (images, height, width, 3) with at least one image."
            )
        _, height, width, channels = images.shape
        self.image_shape = (height, width, channels)
        self._fit(images)
        return self

    def restore(self, image_shape: tuple[int, int, int], arrays: dict[str, np.ndarray]) -> Preprocessing:
        """Take up what `arrays` gave before, instead of fitting; gives itself back."""
        self.image_shape = image_shape
        self._set_arrays(arrays)
        return self

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

    @abstractmethod
    def _fit(self, images: Images) -> None: ...

    @abstractmethod
    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]: ...

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, by name: enough for `restore`."""

    @abstractmethod
    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None: ...
