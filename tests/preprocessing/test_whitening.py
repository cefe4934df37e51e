"""ZCA whitening against pylearn2's formulas in float64, and two images by hand."""

from __future__ import annotations

import tracemalloc

import keras
import numpy as np
import pytest

from allcnn.errors import InputError
from allcnn.models.build import build_model
from allcnn.preprocessing import ZCAWhitening, whitening
from allcnn.preprocessing.store import load_preprocessing, save_preprocessing

backends = pytest.mark.backends

# An image of norm 55 is stretched by up to 1 / sqrt(0.1). Rounding it once to float32 costs as much as this, in the
# directions that are stretched most; the layers round a few times: the image, the matrix, products and sums.
ROUNDING = 55 / np.sqrt(0.1) * 2.0**-24  # 1.0e-5
TOLERANCE = 16 * ROUNDING


def normalized(images: np.ndarray) -> np.ndarray:
    """Rows (n, values) of mean 0 and norm 55, in float64."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows * 55 / np.linalg.norm(rows, axis=1, keepdims=True)


def reference(train: np.ndarray, images: np.ndarray) -> np.ndarray:
    """C = (X - mu)^T (X - mu) / N + 0.1 I = V diag(l) V^T; (x - mu) V diag(l^-1/2) V^T: in float64, all at once."""
    rows = normalized(train)
    mean = rows.mean(axis=0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows) + 0.1 * np.eye(rows.shape[1])
    eigenvalues, vectors = np.linalg.eigh(covariance)
    return ((normalized(images) - mean) @ vectors / np.sqrt(eigenvalues) @ vectors.T).reshape(images.shape)


def noise(count: int, side: int) -> np.ndarray:
    """Images with structure: a random slope under random pixels, so that eigenvalues differ."""
    random = np.random.default_rng(count + side)
    slope = random.uniform(-60, 60, (count, 1, 1, 1)) * np.linspace(-1, 1, side)[None, :, None, None]
    return np.clip(slope + random.normal(128, 25, (count, side, side, 3)), 0, 255).astype(np.uint8)


@backends
@pytest.mark.parametrize("copies", [1, 2])  # two images: the Gram matrix; four: the covariance
def test_two_images_by_hand(copies) -> None:
    # Normalised they are 55 / sqrt(6) times (-1, -1, 2) and (-1, 2, -1). Around their mean that is +-u, with
    # u = 55 / sqrt(6) * (0, -1.5, 1.5) and ||u||^2 = 55^2 / 6 * 4.5 = 2268.75. The covariance is u u^T + 0.1 I,
    # so that P u = u / sqrt(2268.75 + 0.1).
    images = np.array([[[[0, 0, 90]]], [[[0, 90, 0]]]] * copies, np.uint8)
    expected = np.sqrt(2268.75 / 2268.85 / 2) * np.array([0, -1, 1])
    white = ZCAWhitening().adapt(images).apply(images)[:2, 0, 0]
    np.testing.assert_allclose(white, [expected, -expected], atol=TOLERANCE)


@backends
@pytest.mark.parametrize(
    ("count", "side"),
    [(12_000, 4), (500, 8), (100, 8), (192, 8)],
    ids=["three blocks", "one block", "fewer images than values", "as many images as values"],
)
def test_fit_and_layers_agree_with_float64(count, side) -> None:
    train, others = noise(count, side), noise(40, side)
    zca = ZCAWhitening().adapt(train)
    np.testing.assert_allclose(zca.apply(train), reference(train, train), atol=TOLERANCE)
    np.testing.assert_allclose(zca.apply(others), reference(train, others), atol=TOLERANCE)


@backends
@pytest.mark.parametrize("count", [1000, 150])
def test_small_photographs(cifar10_photographs, count) -> None:
    small = cifar10_photographs[:, ::4, ::4]
    train, others = small[:count], small[1000:1100]
    zca = ZCAWhitening().adapt(train)
    np.testing.assert_allclose(zca.apply(train), reference(train, train), atol=TOLERANCE)
    np.testing.assert_allclose(zca.apply(others), reference(train, others), atol=TOLERANCE)


def test_photographs_at_their_full_size(cifar10_photographs) -> None:
    # 300 images go through the 300 x 300 Gram matrix. The reference is in float64 and takes another way, since
    # decomposing 3072 x 3072 costs half a minute: X - mu = U diag(s) V^T gives the covariance the eigenvalues
    # s^2 / n + 0.1 along V's columns, and 0.1 in every direction across them.
    train, others = cifar10_photographs[:300], cifar10_photographs[1000:1050]
    images = np.concatenate([train[:50], others])
    mean = normalized(train).mean(axis=0)
    _, singular, directions = np.linalg.svd(normalized(train) - mean, full_matrices=False)
    rows = normalized(images) - mean
    along = rows @ directions.T
    expected = along / np.sqrt(singular**2 / 300 + 0.1) @ directions + (rows - along @ directions) / np.sqrt(0.1)
    white = ZCAWhitening().adapt(train).apply(images)
    np.testing.assert_allclose(white.reshape(100, -1), expected, atol=TOLERANCE)


def test_products_of_many_images_in_float32() -> None:
    """As CIFAR-10's 50,000 images are fitted. In whatever order n products are added, n roundings bound their sum."""
    count, side = 5_000, 19
    train = noise(count, side)
    rows = normalized(train)
    mean, covariance = whitening.streaming_covariance(train.reshape(count, -1))
    expected = rows.mean(axis=0)
    largest = np.abs(rows).mean(axis=0)
    products = np.abs(rows).T @ np.abs(rows) / count + 2 * np.outer(largest, largest)  # of the images, and of the means
    roundings = (count + 64) * 2.0**-24  # the images themselves are rounded a few times
    assert (np.abs(mean - expected) <= roundings * largest).all()
    assert (np.abs(covariance - (rows.T @ rows / count - np.outer(expected, expected))) <= roundings * products).all()


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    def peak(images: np.ndarray) -> int:
        tracemalloc.start()
        ZCAWhitening().adapt(images)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    images = noise(60_000, 4)
    # A block of 5,000 images of 48 values, in float32 and in float64, takes 2.9 MB; all of them, in float32, 11.5.
    assert peak(images) < images.size * np.dtype(np.float32).itemsize / 2
    assert peak(images) < 1.1 * peak(images[:20_000])


@backends
def test_saved_read_back_and_inside_a_saved_model(tmp_path) -> None:
    train, others = noise(100, 8), noise(30, 8)
    expected = reference(train, others)
    zca = ZCAWhitening().adapt(train)
    save_preprocessing(zca, tmp_path / "preprocessing.h5")
    restored = load_preprocessing(tmp_path / "preprocessing.h5")
    assert isinstance(restored, ZCAWhitening)
    assert {name: (array.shape, array.dtype.name) for name, array in restored.arrays().items()} == {
        "mean": ((192,), "float64"),
        "matrix": ((192, 192), "float32"),
    }
    np.testing.assert_allclose(restored.apply(others), expected, atol=TOLERANCE)
    assert np.array_equal(restored.apply(others), zca.apply(others))

    model = build_model("NC1-GAP", (8, 8, 3), preprocessing=restored)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    white = keras.Model(loaded.input, loaded.get_layer("zca_image").output).predict_on_batch(others)
    np.testing.assert_allclose(white, expected, atol=TOLERANCE)


def test_the_layers_are_stock_frozen_and_float32() -> None:
    zca = ZCAWhitening().adapt(noise(20, 4))
    model = build_model("NC1-GAP", (4, 4, 3), preprocessing=zca, dtype="mixed_bfloat16")
    front = model.layers[1:5]
    assert [layer.name for layer in front] == ["gcn_flatten", "gcn", "zca", "zca_image"]
    assert all(type(layer).__module__.startswith("keras.") for layer in front)
    assert {layer.dtype_policy.name for layer in front} == {"float32"}
    assert model.get_layer("zca").trainable_weights == []
    # 3 * 10 + 10 for the network; the 48 x 48 matrix and its bias do not train.
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 40


def test_a_matrix_that_would_not_fit_is_refused_with_its_size() -> None:
    # 224 * 224 * 3 = 150,528 values; squared and times 4 bytes 90.6 GB, times 32 bytes 725.1 GB.
    with pytest.raises(InputError) as caught:
        ZCAWhitening().adapt(np.zeros((1, 224, 224, 3), np.uint8))
    assert str(caught.value) == (
        "whitening images of 150528 values needs a 150528 x 150528 matrix: 90.6 GB in the model and 725.1 GB to fit.\n"
        "Use smaller images (--image-size 32) or another preprocessing (--preprocessing standardize)."
    )


def test_the_decomposition_may_take_half_of_the_memory(monkeypatch) -> None:
    needed = 32 * 192**2
    monkeypatch.setattr(whitening, "physical_memory", lambda: 2 * needed)
    whitening.refuse_large(192)
    monkeypatch.setattr(whitening, "physical_memory", lambda: 2 * needed - 2)
    with pytest.raises(InputError, match="whitening images of 192 values needs a 192 x 192 matrix"):
        whitening.refuse_large(192)
