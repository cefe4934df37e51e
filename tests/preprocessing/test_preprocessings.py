"""Every preprocessing by hand, and what all of them refuse."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.preprocessing import PREPROCESSINGS, make_preprocessing
from allcnn.preprocessing.base import channel_statistics

# Two images of one pixel: (0, 0, 90) and (0, 90, 0). Channel means (0, 45, 45), deviations (0, 45, 45).
IMAGES = np.array([[[[0, 0, 90]]], [[[0, 90, 0]]]], np.uint8)
_GCN = 55 / np.sqrt(6)
_ZCA = np.sqrt(2268.75 / 2268.85 / 2)  # worked out in test_whitening.py
EXPECTED = {
    "none": [[0, 0, 90], [0, 90, 0]],
    "scale": [[0, 0, 6 / 17], [0, 6 / 17, 0]],
    "center": [[0, -3 / 17, 3 / 17], [0, 3 / 17, -3 / 17]],
    "standardize": [[0, -1, 1], [0, 1, -1]],
    "channel-mean": [[0, -45, 45], [0, 45, -45]],
    "gcn": [[-_GCN, -_GCN, 2 * _GCN], [-_GCN, 2 * _GCN, -_GCN]],
    "gcn-zca": [[0, -_ZCA, _ZCA], [0, _ZCA, -_ZCA]],
}


def test_all_are_worked_out() -> None:
    assert set(PREPROCESSINGS) == set(EXPECTED)


@pytest.mark.backends
@pytest.mark.parametrize("kind", EXPECTED)
def test_by_hand(kind) -> None:
    preprocessing = make_preprocessing(kind).adapt(IMAGES)
    result = preprocessing.apply(IMAGES)
    assert result.dtype == np.float32
    # Whitening stretches the roundings of an image of norm 55 by up to 1 / sqrt(0.1), nothing else does.
    stretched = 55 / np.sqrt(0.1) if kind == "gcn-zca" else 55
    np.testing.assert_allclose(result[:, 0, 0], EXPECTED[kind], rtol=1e-5, atol=16 * 2.0**-24 * stretched)
    restored = make_preprocessing(kind).restore((1, 1, 3), preprocessing.arrays())
    assert np.array_equal(restored.apply(IMAGES), result)


def test_channel_statistics_by_hand() -> None:
    # Red 1, 3, 5, 7: mean 4, squares from it 9 1 1 9, deviation sqrt(5). Green always 6. Blue 0, 0, 0, 8: 2, sqrt(12).
    images = np.array([[[[1, 6, 0], [3, 6, 0]]], [[[5, 6, 0], [7, 6, 8]]]], np.uint8)
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, [4, 6, 2], rtol=1e-12)
    np.testing.assert_allclose(deviation, [np.sqrt(5), 0, np.sqrt(12)], rtol=1e-12, atol=1e-7)


def test_channel_statistics_stream_over_blocks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2500, 3, 2, 3)).astype(np.uint8)
    mean, deviation = channel_statistics(images)
    values = images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-12)


def test_what_is_applied_is_held_once() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40_000, 8, 8, 3)).astype(np.uint8)
    scale = make_preprocessing("scale").adapt(images)
    tracemalloc.start()
    result = scale.apply(images)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5 * result.nbytes  # 31 MB, and a few that Keras takes to make the model


@pytest.mark.parametrize("kind", PREPROCESSINGS)
def test_unfitted_refuses(kind) -> None:
    message = f"the preprocessing {kind} is not fitted yet; call adapt(training_images) before applying it."
    for apply in (make_preprocessing(kind).layers, lambda: make_preprocessing(kind).apply(IMAGES)):
        with pytest.raises(InputError) as caught:
            apply()
        assert str(caught.value) == message


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4, 3), (2, 4, 4, 1)])
def test_what_is_no_images_cannot_be_fitted(shape) -> None:
    with pytest.raises(InputError) as caught:
        make_preprocessing("standardize").adapt(np.zeros(shape, np.uint8))
    assert str(caught.value) == (
        f"cannot fit the preprocessing standardize to an array of shape {shape}; "
        "expected (images, height, width, 3) with at least one image."
    )


def test_images_of_another_size_are_refused() -> None:
    scale = make_preprocessing("scale").adapt(np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(InputError) as caught:
        scale.apply(np.zeros((1, 5, 4, 3), np.uint8))
    assert str(caught.value) == (
        "cannot preprocess images of shape (5, 4, 3); this preprocessing was fitted to (4, 4, 3)."
    )


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError) as caught:
        make_preprocessing("zca")
    assert str(caught.value) == (
        'unknown preprocessing "zca"; expected one of: gcn-zca, none, scale, center, gcn, standardize, channel-mean. '
        "Did you mean gcn-zca?"
    )
