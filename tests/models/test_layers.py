"""p-norm pooling (the paper's Eq. 1) against loops in float64, its gradient by hand; the cheap masks of dropout."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from allcnn.errors import InputError
from allcnn.models.build import build_model
from allcnn.models.layers import BitDropout, NormPooling2D, mask_arithmetic

pytestmark = pytest.mark.backends
SHAPE = (40, 16, 16, 8)


def reference(images: np.ndarray, order: float, size: int, stride: int, padding: str) -> np.ndarray:
    """(sum |f|^p)^(1/p) of every window in float64; what a window has outside adds nothing."""
    images = np.abs(images.astype(np.float64))
    count, height, width, channels = images.shape
    if padding == "same":
        rows, columns = -(-height // stride), -(-width // stride)
        top = max((rows - 1) * stride + size - height, 0) // 2
        left = max((columns - 1) * stride + size - width, 0) // 2
    else:
        rows, columns, top, left = (height - size) // stride + 1, (width - size) // stride + 1, 0, 0
    result = np.zeros((count, rows, columns, channels))
    for row in range(rows):
        for column in range(columns):
            y, x = row * stride - top, column * stride - left
            window = images[:, max(y, 0) : y + size, max(x, 0) : x + size]
            result[:, row, column] = (window**order).sum(axis=(1, 2)) ** (1 / order)
    return result


@pytest.mark.parametrize("order", [1, 2, 3, 1.5])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_against_loops(order, size, stride, padding) -> None:
    images = np.random.default_rng(0).normal(size=(2, 6, 7, 3)).astype(np.float32)
    result = ops.convert_to_numpy(NormPooling2D(order, size, stride, padding)(images))
    np.testing.assert_allclose(result, reference(images, order, size, stride, padding), rtol=1e-5)


def test_by_hand() -> None:
    image = np.array([[3, -4], [0, 12]], np.float32).reshape(1, 2, 2, 1)
    values = [float(ops.convert_to_numpy(NormPooling2D(p, 2, 2)(image))[0, 0, 0, 0]) for p in (1, 2, 3)]
    # 3 + 4 + 12 = 19; 9 + 16 + 144 = 169; 27 + 64 + 1728 = 1819.
    assert values == pytest.approx([19, 13, 1819 ** (1 / 3)], rel=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_large_orders_near_the_largest_and_nothing_overflows(scale) -> None:
    image = (scale * np.array([3, -4, 0, 1], np.float64)).astype(np.float32).reshape(1, 2, 2, 1)
    value = float(ops.convert_to_numpy(NormPooling2D(200, 2, 2)(image))[0, 0, 0, 0])
    assert value == pytest.approx(4 * scale, rel=1e-5)
    value = float(ops.convert_to_numpy(NormPooling2D(2, 2, 2)(image))[0, 0, 0, 0])
    assert value == pytest.approx(np.sqrt(26) * scale, rel=1e-5)


def gradient(layer: Callable, image: np.ndarray) -> np.ndarray:
    """d (sum of the output) / d image on the running backend."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda values: layer(values).sum())(image))
    import tensorflow as tf

    values = tf.Variable(image)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(values))
    return np.asarray(tape.gradient(total, values))


def test_gradient_by_hand() -> None:
    # d y / d x = sign(x) (|x| / y)^(p - 1), and 0 in the window that holds only zeros.
    image = np.array([[3, -4, 0, 0], [0, 0, 0, 0]], np.float32).reshape(1, 2, 4, 1)
    slope = gradient(NormPooling2D(2, 2, 2), image)[0, ..., 0]
    np.testing.assert_allclose(slope, [[0.6, -0.8, 0, 0], [0, 0, 0, 0]], atol=1e-6)
    slope = gradient(NormPooling2D(3, 2, 2), image)[0, ..., 0]
    y = 91 ** (1 / 3)
    np.testing.assert_allclose(slope, [[9 / y**2, -16 / y**2, 0, 0], [0, 0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("order", [1, 1.5, 2, 50])
def test_the_gradient_at_zero_is_zero(order) -> None:
    slope = gradient(NormPooling2D(order, 3, 2), np.zeros((1, 5, 5, 2), np.float32))
    assert slope.shape == (1, 5, 5, 2) and not slope.any()


def test_windows_that_overlap_add_their_gradients() -> None:
    slope = gradient(NormPooling2D(1, 3, 2, "valid"), np.ones((1, 5, 5, 1), np.float32))[0, ..., 0]
    assert slope.tolist() == [[1, 1, 2, 1, 1], [1, 1, 2, 1, 1], [2, 2, 4, 2, 2], [1, 1, 2, 1, 1], [1, 1, 2, 1, 1]]


def test_in_a_model_saved_and_loaded(tmp_path) -> None:
    model = build_model("L3P3/2-L1P2v-NC1-GAP", (9, 9, 2), seed=0)
    assert [model.get_layer(name).output.shape for name in ("pool1", "pool2")] == [(None, 5, 5, 2), (None, 2, 2, 2)]
    images = np.random.default_rng(1).normal(size=(3, 9, 9, 2)).astype(np.float32)
    pooled = keras.Model(model.input, model.get_layer("pool2").output).predict_on_batch(images)
    np.testing.assert_allclose(pooled, reference(reference(images, 3, 3, 2, "same"), 1, 2, 2, "valid"), rtol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("pool1").get_config() == model.get_layer("pool1").get_config()
    assert loaded.get_layer("pool1").order == 3
    assert np.array_equal(loaded.predict_on_batch(images), model.predict_on_batch(images))


@pytest.mark.parametrize("order", [0.5, 0, float("nan")])
def test_an_order_below_one(order) -> None:
    with pytest.raises(InputError) as caught:
        NormPooling2D(order, 2, 2)
    assert str(caught.value) == f"the order of p-norm pooling must be at least 1; got {order}."


def drop(layer: keras.layers.Layer, inputs: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(inputs, training=True)).astype(np.float64)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.5, ("uint8", 128, 256)),
        (0.25, ("uint8", 192, 256)),
        (0.2, ("uint16", 52429, 65536)),
        (0.1, ("uint16", 58982, 65536)),
        (1e-9, ("uint16", 65535, 65536)),
        (1 - 1e-9, ("uint16", 1, 65536)),
    ],
)
def test_as_few_bits_as_the_rate_needs(rate, expected) -> None:
    assert mask_arithmetic(rate) == expected


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.1])
def test_share_and_scale(rate) -> None:
    outputs = drop(BitDropout(rate, seed=3), np.ones(SHAPE, np.float32))
    _, kept, values = mask_arithmetic(rate)
    assert np.unique(outputs).tolist() == [0.0, np.float32(values / kept)]
    share = (outputs == 0).mean()
    # Five standard deviations of a binomial share.
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / outputs.size)


def test_masks_are_a_function_of_the_generators_state_and_differ_from_step_to_step() -> None:
    inputs = np.ones(SHAPE, np.float32)
    layer, again, other = BitDropout(0.5, seed=3), BitDropout(0.5, seed=3), BitDropout(0.5, seed=4)
    first, second = drop(layer, inputs), drop(layer, inputs)
    np.testing.assert_array_equal(first, drop(again, inputs))
    again.seed_generator.state.assign(np.array([3, 1], "uint32"))
    np.testing.assert_array_equal(second, drop(again, inputs))
    for one, two in ((first, second), (first, drop(other, inputs))):
        agreement = (one == two).mean()
        assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(inputs.size)


def test_every_position_and_both_halves_of_a_word_are_dropped_alike() -> None:
    """The random bits are cut into bytes: none of the four places in a word may be more likely than another."""
    layer = BitDropout(0.2, seed=1)
    dropped = np.mean([drop(layer, np.ones((1000, 8), np.float32)) == 0 for _ in range(20)], axis=(0, 1))
    assert np.abs(dropped - 0.2).max() < 5 * np.sqrt(0.16 / 20_000)


def test_an_odd_number_of_values_and_an_unknown_batch() -> None:
    assert drop(BitDropout(0.5, seed=1), np.ones((3, 5, 1), np.float32)).shape == (3, 5, 1)
    model = keras.Sequential([keras.Input((5, 3)), BitDropout(0.5, seed=1)])
    assert model.predict(np.ones((2, 5, 3)), verbose=0).tolist() == np.ones((2, 5, 3)).tolist()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        traced = tf.function(lambda x: model(x, training=True), input_signature=[tf.TensorSpec((None, 5, 3))])
        assert set(np.unique(traced(np.ones((7, 5, 3), np.float32)))) == {0.0, 2.0}


def test_gradient_passes_where_values_did() -> None:
    inputs, layer = np.ones((50, 8), np.float32), BitDropout(0.5, seed=9)
    slope = gradient(lambda values: layer(values, training=True), inputs)
    np.testing.assert_array_equal(slope, drop(BitDropout(0.5, seed=9), inputs))
