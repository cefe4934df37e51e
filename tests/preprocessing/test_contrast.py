"""Global contrast normalisation against pylearn2's formula in float64."""

from __future__ import annotations

import numpy as np
import pytest

from allcnn.preprocessing import ContrastNormalization
from allcnn.preprocessing.whitening import contrast_normalize

pytestmark = pytest.mark.backends

# Eight values, so that the mean and the norm are easy: (-1, -1, 2) * 30 in a 1x1 image has norm 30 * sqrt(6).
THIRDS = 55 / np.sqrt(6) * np.array([-1, -1, 2])


def reference(images: np.ndarray) -> np.ndarray:
    """x - mean(x); d = ||x|| / 55; if d < 1e-8 then d = 1; x / d: in float64."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(rows, axis=1) / 55
    scale[scale < 1e-8] = 1
    return (rows / scale[:, None]).reshape(images.shape)


def test_by_hand() -> None:
    images = np.array([[[[0, 0, 90]]], [[[10, 10, 13]]]], np.uint8)
    gcn = ContrastNormalization().adapt(images).apply(images)
    # Offset and contrast go: both images become the same.
    np.testing.assert_allclose(gcn[:, 0, 0], [THIRDS, THIRDS], rtol=1e-5)
    np.testing.assert_allclose(contrast_normalize(images.reshape(2, 3)), [THIRDS, THIRDS], rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8, 3), (5, 6, 3)])
def test_layers_and_host_agree_with_float64(shape) -> None:
    images = np.random.default_rng(1).integers(0, 256, (50, *shape)).astype(np.uint8)
    expected = reference(images)
    np.testing.assert_allclose(np.linalg.norm(expected.reshape(50, -1), axis=1), 55, rtol=1e-12)
    np.testing.assert_allclose(ContrastNormalization().adapt(images).apply(images), expected, atol=1e-4)
    rows = contrast_normalize(images.reshape(50, -1))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.reshape(images.shape), expected, atol=1e-4)


@pytest.mark.parametrize("side", [8, 32])
def test_an_image_of_one_colour_stays_zero(side) -> None:
    greys = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (256, side, side, 3))
    assert not ContrastNormalization().adapt(images).apply(images).any()
    assert not contrast_normalize(images.reshape(256, -1)).any()


def test_one_pixel_one_step_brighter_is_still_scaled_to_norm_55() -> None:
    image = np.full((1, 32, 32, 3), 200, np.uint8)
    image[0, 3, 4, 1] = 201
    gcn = ContrastNormalization().adapt(image).apply(image)
    # 3071 values of -1/3072 and one of 3071/3072: norm sqrt(3071/3072), so that the pixel becomes 55 * that.
    assert gcn[0, 3, 4, 1] == pytest.approx(55 * np.sqrt(3071 / 3072), rel=2e-4)
    assert np.linalg.norm(gcn) == pytest.approx(55, rel=2e-4)
