"""One training step by hand: cross-entropy, weight decay as Caffe means it, momentum; dropout's masks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from allcnn.data.order import flip_shift_draws
from allcnn.models.build import build_model
from allcnn.preprocessing import make_preprocessing
from allcnn.runs.recipe import Recipe
from allcnn.specs import parse
from allcnn.training.network import (
    compile_for_training,
    copy_weights,
    dropout_seeds,
    make_training_model,
    preprocess_once,
    set_dropout_step,
)

backends = pytest.mark.backends
SHAPE = (2, 2, 3)


def make(text: str, shape=SHAPE, classes: int = 3, **changes) -> keras.Model:
    own = {key: changes.pop(key) for key in ("seed", "dtype", "preprocessing", "stored") if key in changes}
    recipe = Recipe("mine", **{"initializer": "glorot_uniform", "weight_decay": 0.0, **changes})
    return make_training_model(parse(text), shape, classes, recipe, **{"seed": 0, "dtype": "float32", **own})


def jit() -> bool:
    return keras.backend.backend() == "jax"


def data_gradient(images, labels, kernel, bias, smoothing=0.0):
    """Of the mean cross-entropy of softmax(x W + b), in float64: X^T (p - y) / n and the mean of p - y; and itself."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    values = rows @ kernel + bias
    chances = np.exp(values - values.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    wanted = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    slope = (chances - wanted) / len(images)
    return rows.T @ slope, slope.sum(axis=0), -(wanted * np.log(chances)).sum(axis=1).mean()


@backends
@pytest.mark.parametrize(("decay_biases", "smoothing"), [(True, 0.0), (False, 0.0), (True, 0.3)])
def test_two_steps_by_hand(decay_biases, smoothing) -> None:
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(5, *SHAPE)).astype(np.float32), np.array([0, 1, 2, 1, 1], np.int32)
    decay, rate, momentum = 0.1, 0.5, 0.9
    model = make("NFC", weight_decay=decay, decay_biases=decay_biases)
    compile_for_training(model, keras.optimizers.SGD(rate, momentum), jit(), label_smoothing=smoothing)
    start = [random.normal(size=(12, 3)).astype(np.float32), np.array([0.5, -1, 2], np.float32)]
    model.get_layer("fc1").set_weights(start)

    kernel, bias = (weight.astype(np.float64) for weight in start)
    speed, bias_speed = np.zeros_like(kernel), np.zeros_like(bias)
    for _ in range(2):
        model.train_on_batch({"images": images}, labels)
        slope, bias_slope, _ = data_gradient(images, labels, kernel, bias, smoothing)
        # v = 0.9 v - lr (gradient + lambda w); w += v.
        speed = momentum * speed - rate * (slope + decay * kernel)
        bias_speed = momentum * bias_speed - rate * (bias_slope + decay * bias * decay_biases)
        kernel, bias = kernel + speed, bias + bias_speed
        found_kernel, found_bias = model.get_layer("fc1").get_weights()
        np.testing.assert_allclose(found_kernel, kernel, atol=2e-6)
        np.testing.assert_allclose(found_bias, bias, atol=2e-6)
    # Keras's loss carries the penalty and the smoothing, the metric neither.
    model.reset_metrics()
    logs = model.test_on_batch({"images": images}, labels, return_dict=True)
    cross_entropy, smoothed = (data_gradient(images, labels, kernel, bias, part)[2] for part in (0.0, smoothing))
    penalty = decay / 2 * ((kernel**2).sum() + (bias**2).sum() * decay_biases)
    assert float(logs["cross_entropy"]) == pytest.approx(cross_entropy, rel=1e-5)
    assert float(logs["loss"]) == pytest.approx(smoothed + penalty, rel=1e-5)


def test_convolutions_decay_as_well() -> None:
    # Black images: no gradient reaches conv1's kernel, only its decay does.
    images, labels = np.zeros((2, 4, 4, 3), np.float32), np.array([0, 1], np.int32)
    for decay_biases in (True, False):
        model = make("2C3-NC1-GAP", (4, 4, 3), weight_decay=0.01, decay_biases=decay_biases)
        compile_for_training(model, keras.optimizers.SGD(0.5, 0.9), jit())
        before = model.get_layer("conv1").get_weights()[0]
        model.get_layer("conv1").set_weights([before, np.array([-3, -5], np.float32)])  # dead units: no gradient either
        model.train_on_batch({"images": images}, labels)
        kernel, bias = model.get_layer("conv1").get_weights()
        np.testing.assert_allclose(kernel, before * (1 - 0.5 * 0.01), rtol=1e-6)
        expected = np.array([-3, -5]) * (1 - 0.5 * 0.01 * decay_biases)
        np.testing.assert_allclose(bias, expected, rtol=1e-6)


@backends
def test_it_is_build_models_network_up_to_the_softmax() -> None:
    text = "D.5-4C3-BN-4C3/2p1:leaky_relu(0.1)-NC1-GAP"
    trained, whole = (
        make(text, (6, 6, 3), seed=5),
        build_model(text, (6, 6, 3), 3, seed=5, initializer="glorot_uniform"),
    )
    assert [layer.name for layer in trained.layers][1:] == [layer.name for layer in whole.layers][1:-1]
    images = np.random.default_rng(0).normal(size=(7, 6, 6, 3)).astype(np.float32)
    values = trained.predict_on_batch({"images": images}).astype(np.float64)
    chances = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(whole.predict_on_batch(images), chances, rtol=1e-5)


def test_weights_are_copied_by_name_and_the_preprocessing_kept() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3)).astype(np.uint8)
    standardize = make_preprocessing("standardize").adapt(images)
    text = "D.2-4C3-BN-NC1-GAP"
    trained = make(text, (4, 4, 3), seed=1, dtype="mixed_bfloat16")
    whole = build_model(text, (4, 4, 3), 3, seed=2, preprocessing=standardize)
    copy_weights(trained, whole)
    for name in ("conv1", "norm1", "conv2"):
        for there, here in zip(whole.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True):
            assert there.dtype == np.float32 and np.array_equal(there, here)
    inputs = keras.Model(whole.input, whole.get_layer("standardize").output).predict_on_batch(images)
    np.testing.assert_allclose(inputs.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axis=(0, 1, 2)), 1, atol=1e-5)


@backends
def test_preprocessing_and_augmentation_inside_the_step_are_those_outside() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    labels = np.zeros(20, np.int32)
    draws = flip_shift_draws(seed=1, epoch=0, step=0, batch_size=20)
    zca = make_preprocessing("gcn-zca").adapt(images)
    inside = make("4C3-NC1-GAP", (8, 8, 3), augmentation="flip-shift", preprocessing=zca)
    outside = make("4C3-NC1-GAP", (8, 8, 3), augmentation="flip-shift")
    assert set(inside.input) == {"images", "draws"}
    assert inside.count_params() - outside.count_params() == 192 * 192 + 192
    values = [
        model.predict_on_batch({"images": pixels, "draws": draws})
        for model, pixels in ((inside, images.astype(np.float32)), (outside, zca.apply(images)))
    ]
    np.testing.assert_allclose(values[0], values[1], atol=1e-4)
    unmoved = outside.predict_on_batch({"images": zca.apply(images), "draws": np.zeros_like(draws)})
    assert abs(unmoved - values[1]).max() > 1e-2
    # What was fitted does not train.
    compile_for_training(inside, keras.optimizers.SGD(0.1, 0.9), jit())
    before = inside.get_layer("zca").get_weights()
    inside.train_on_batch({"images": images.astype(np.float32), "draws": draws}, labels)
    assert all(np.array_equal(a, b) for a, b in zip(before, inside.get_layer("zca").get_weights(), strict=True))


def mask(model: keras.Model, name: str) -> np.ndarray:
    return keras.ops.convert_to_numpy(model.get_layer(name)(np.ones((4, 4, 4, 3), np.float32), training=True))


@backends
def test_dropout_scales_and_the_inputs_own() -> None:
    def rates(**scales: float) -> list[float]:
        model = make("D.2-4C3-D.5-4C3-NC1-GAP", (8, 8, 3), **scales)
        return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    assert rates() == [0.2, 0.5]
    assert rates(dropout_scale=0.5) == [0.1, 0.25]
    assert rates(dropout_scale=0.5, input_dropout_scale=0.0) == [0.0, 0.25]


def test_dropout_masks_depend_on_layer_and_step_alone() -> None:
    first, second = make("D.5-NC1-D.5-GAP", (4, 4, 3), seed=8), make("D.5-NC1-D.5-GAP", (4, 4, 3), seed=8)
    set_dropout_step(first, 7)
    at_7, at_8 = mask(first, "dropout1"), mask(first, "dropout1")
    assert set(np.unique(at_7)) == {0.0, 2.0}
    assert not np.array_equal(at_7, at_8)
    # Whatever ran before, in this model or another of the same seed.
    set_dropout_step(second, 8)
    assert np.array_equal(mask(second, "dropout1"), at_8)
    set_dropout_step(first, 7)
    assert np.array_equal(mask(first, "dropout1"), at_7)
    # Layers differ; so do seeds.
    set_dropout_step(first, 7)
    assert not np.array_equal(mask(first, "dropout2"), at_7)
    other = make("D.5-NC1-D.5-GAP", (4, 4, 3), seed=9)
    set_dropout_step(other, 7)
    assert not np.array_equal(mask(other, "dropout1"), at_7)


@backends
def test_a_training_step_draws_one_mask_a_layer() -> None:
    model = make("D.5-4C1-D0-D.25-NC1-GAP", (4, 4, 3))
    compile_for_training(model, keras.optimizers.SGD(0.1, 0.9), jit())
    assert len(dropout_seeds(model)) == 2  # D0 draws none
    set_dropout_step(model, 41)
    model.train_on_batch({"images": np.ones((2, 4, 4, 3), np.float32)}, np.array([0, 1], np.int32))
    assert [int(np.asarray(state)[1]) for state in dropout_seeds(model)] == [42, 42]


@backends
def test_the_same_seed_trains_to_the_same_bits() -> None:
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(16, 6, 6, 3)).astype(np.float32), random.integers(0, 3, 16).astype(np.int32)

    def train(seed: int) -> list[np.ndarray]:
        model = make("D.2-8C3-D.5-NC1-GAP", (6, 6, 3), seed=seed, weight_decay=0.001)
        compile_for_training(model, keras.optimizers.SGD(0.05, 0.9), jit())
        for _ in range(3):
            model.train_on_batch({"images": images}, labels)
        return [np.asarray(weight) for weight in model.trainable_weights]

    first, again, other = train(1), train(1), train(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_what_is_preprocessed_once_and_kept() -> None:
    # CIFAR-10: 50,000 * 3072 * 4 bytes = 614 MB. One gibibyte is the limit: 87,381 such images.
    assert preprocess_once((32, 32, 3), 50_000)
    assert preprocess_once((32, 32, 3), 87_381)
    assert not preprocess_once((32, 32, 3), 87_382)
    assert not preprocess_once((224, 224, 3), 1_200_000)
