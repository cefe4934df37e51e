"""Contrast normalisation and ZCA whitening: the paper's preprocessing (section 3.2.1), by pylearn2's formulas.

Contrast normalisation as for Goodfellow et al. (2013), whom the paper follows: each image minus its mean, to norm 55.
Then mu = column mean, C = (X - mu)^T (X - mu) / N + 0.1 I over the normalised training images, C = V diag(lambda) V^T,
P = V diag(lambda^-1/2) V^T; an image x becomes (x - mu) P.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from allcnn.data.streamed import Images
from allcnn.device import physical_memory
from allcnn.errors import InputError
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
#: Added to the covariance before it is decomposed.
REGULARIZATION = 0.1
# The saved model carries the matrix in float32; beyond this it is no longer a file that people can use.
LARGEST_MATRIX_BYTES = 2 << 30
# Up to here float64 products cost no time worth saving: 18x18 images.
_CHEAP_DIMENSIONS = 1000
# Images whose products are added up at a time. Each time costs as much as multiplying another thousand (numpy mirrors
# the half of the product that BLAS computes): with blocks of 1000 CIFAR-10's products took twice as long. Held in
# float32 they are 61 MB there, less than the decomposition needs afterwards.
_COVARIANCE_BLOCK = 5000


class ContrastNormalization(Preprocessing):
    """Each image minus its own mean, scaled to norm 55 over all its values. Nothing is fitted but the shape."""

    kind = "gcn"

    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
        import keras

        return [
            *_contrast_layers(),
            keras.layers.Rescaling(_norm_per_value(image_shape), dtype="float32", name="gcn_scale"),
            keras.layers.Reshape(image_shape, dtype="float32", name="gcn_image"),
        ]


class ZCAWhitening(Preprocessing):
    """Contrast normalisation, then ZCA whitening with 0.1 added to the covariance."""

    kind = "gcn-zca"
    fitted: ClassVar[dict[str, Any]] = {"mean": np.float64, "matrix": np.float32}
    mean: np.ndarray
    matrix: np.ndarray

    def _fit(self, images: Images) -> None:
        """Streaming: memory grows with the image's size only. Raises InputError if the matrix would not fit."""
        dimensions = math.prod(images.shape[1:])
        refuse_large(dimensions)
        images = images[:]
        if len(images) < dimensions:
            rows = contrast_normalize(images.reshape(len(images), -1))
            self.mean, matrix = whitening_from_few(rows)
        else:
            self.mean, covariance = streaming_covariance(images.reshape(len(images), -1))
            matrix = whitening_matrix(covariance)
        self.matrix = matrix.astype(np.float32)

    def _make_layers(self, image_shape: tuple[int, int, int]) -> list[keras.layers.Layer]:
        import keras

        scale = _norm_per_value(image_shape)
        values = math.prod(image_shape)
        # The mean goes through the same rounded matrix as the images do.
        bias = -(self.mean @ self.matrix.astype(np.float64))
        whitening = keras.layers.Dense(values, trainable=False, dtype="float32", name="zca")
        whitening.build((None, values))
        whitening.set_weights([self.matrix * np.float32(scale), bias.astype(np.float32)])
        return [
            *_contrast_layers(),
            whitening,
            keras.layers.Reshape(image_shape, dtype="float32", name="zca_image"),
        ]


def _contrast_layers() -> list[keras.layers.Layer]:
    """Images to rows of mean 0 and mean square 1: contrast normalisation but for a constant factor."""
    import keras

    return [
        keras.layers.Flatten(dtype="float32", name="gcn_flatten"),
        keras.layers.LayerNormalization(center=False, scale=False, epsilon=EPSILON, dtype="float32", name="gcn"),
    ]


def _norm_per_value(image_shape: tuple[int, int, int]) -> float:
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


def refuse_large(dimensions: int) -> None:
    """Refuse, with the figure, a whitening matrix that would not fit.

    Raises:
        InputError: the matrix is over 2 GiB, or its decomposition needs more than half of the memory.
    """
    # The covariance in float64, its eigenvectors, and LAPACK's working copy of both.
    needed = 4 * 8 * dimensions**2
    matrix = 4 * dimensions**2
    if matrix > LARGEST_MATRIX_BYTES or needed > physical_memory() // 2:
        raise InputError(
            f"whitening images of {dimensions} values needs a {dimensions} x {dimensions} matrix: "
            f"{matrix / 1e9:.1f} GB in the model and {needed / 1e9:.1f} GB to fit.\n"
            "Use smaller images (--image-size 32) or another preprocessing (--preprocessing standardize)."
        )


def streaming_covariance(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d), float64, of the contrast-normalised rows (n, d) of raw values.

    The whole set is never held in floats, only a block. With hardly more images than values small eigenvalues feel
    the rounding of a block's products: 3e-4 in whitened images, so they are float64 there, and wherever that is
    cheap. For CIFAR-10's 50,000 images float32 products leave 1.1e-5, and take a quarter of the time.
    """
    count, dimensions = rows.shape
    exact = dimensions <= _CHEAP_DIMENSIONS or count < 4 * dimensions
    total = np.zeros(dimensions)
    products = np.zeros((dimensions, dimensions))
    for start in range(0, count, _COVARIANCE_BLOCK):
        block = contrast_normalize(rows[start : start + _COVARIANCE_BLOCK])
        if exact:
            block = block.astype(np.float64)
        total += block.sum(axis=0)
        products += block.T @ block
    mean = total / count
    products /= count
    products -= np.outer(mean, mean)
    return mean, products


def whitening_matrix(covariance: np.ndarray) -> np.ndarray:
    """P = (C + 0.1 I)^(-1/2), (d, d) float64; the argument is overwritten."""
    covariance.flat[:: len(covariance) + 1] += REGULARIZATION
    eigenvalues, vectors = np.linalg.eigh(covariance)
    # Scaling by the fourth root lets one product of a matrix with its own transpose do: half the work.
    vectors *= eigenvalues**-0.25
    return vectors @ vectors.T


def whitening_from_few(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and P for fewer rows (n, d) than dimensions, through the n x n Gram matrix.

    With X = rows - mean and X X^T / n = U diag(lambda) U^T, the covariance has the eigenvectors
    X^T u / sqrt(n lambda), and 0.1 in every other direction, so that
    P = I / sqrt(e) + X^T U diag(((lambda + e)^-1/2 - e^-1/2) / (n lambda)) U^T X with e = 0.1.
    """
    count, dimensions = rows.shape
    mean = rows.mean(axis=0, dtype=np.float64)
    centered = rows - mean
    eigenvalues, vectors = np.linalg.eigh(centered @ centered.T / count)
    shifted = np.sqrt(np.maximum(eigenvalues, 0.0) + REGULARIZATION)
    root = math.sqrt(REGULARIZATION)
    # The bracket over lambda with the division carried out: no 0/0 where lambda is 0.
    weights = -1 / (shifted * root * (root + shifted)) / count
    projected = centered.T @ vectors
    matrix = (projected * weights) @ projected.T
    matrix.flat[:: dimensions + 1] += 1 / root
    return mean, matrix
