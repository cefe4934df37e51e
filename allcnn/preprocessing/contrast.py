"""Global contrast normalisation, as pylearn2 did it for Goodfellow et al. (2013), whom the paper follows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from allcnn.data.streamed import Images
from allcnn.preprocessing.base import Preprocessing

if TYPE_CHECKING:
    import keras

#: Every image is scaled to this Euclidean norm.
NORM = 55.0
#: An image whose norm over 55 is below this is left unscaled.
SMALLEST = 1e-8
# LayerNormalization adds this to the variance of an image. The smallest variance there is, one value one step off
# among 3,072, is 3e-4: such an image changes by 1e-4 of itself, a photograph by less than 1e-8. An even power of two,
# so that the scale of an image of one colour is exact and the image stays exactly 0 however XLA contracts the products;
# and no smaller, since XLA's mean of such an image can be off by 1.5e-5 at odd sizes.
EPSILON = 2.0**-24


class ContrastNormalization(Preprocessing):
    """Each image minus its own mean, scaled to norm 55 over all its values. Nothing is fitted but the shape."""

    kind = "gcn"

    def _fit(self, images: Images) -> None:
        pass

    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
        import keras

        return [
            *contrast_layers(),
            keras.layers.Rescaling(norm_per_value(image_shape), dtype="float32", name="gcn_scale"),
            keras.layers.Reshape(image_shape, dtype="float32", name="gcn_image"),
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        pass


def contrast_layers() -> list[keras.layers.Layer]:
    """Images to rows of mean 0 and mean square 1: contrast normalisation but for a constant factor."""
    import keras

    return [
        keras.layers.Flatten(dtype="float32", name="gcn_flatten"),
        keras.layers.LayerNormalization(center=False, scale=False, epsilon=EPSILON, dtype="float32", name="gcn"),
    ]


def norm_per_value(image_shape: tuple[int, int, int]) -> float:
    """The root mean square of a normalised image: 55 / sqrt(values); 0.992 for 32x32x3."""
    return NORM / math.sqrt(math.prod(image_shape))


def contrast_normalize(rows: np.ndarray) -> np.ndarray:
    """Normalise rows of raw values (n, values) on the host: x - mean, then to norm 55; float32."""
    rows = rows.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    scale = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)) / NORM
    scale[scale < SMALLEST] = 1.0
    rows /= scale[:, None].astype(np.float32)
    return rows
