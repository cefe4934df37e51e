"""The way back through every kind of Keras model."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import KINDS, PATCHES, models, splitting_model

from allcnn.visualize.attribution import Attributor, backpropagation, deconvnet, guided_backpropagation
from allcnn.visualize.graph import METHODS

FUNCTIONS = {"backpropagation": backpropagation, "deconvnet": deconvnet, "guided": guided_backpropagation}
#: What JAX compiles slowly is not tried there in every form.
ON_BOTH = ("shared ReLU", "nested", "ops.relu", "sequential")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.backends] * (kind in ON_BOTH)) for kind in KINDS]
)
def test_any_kind_of_model_works_and_is_untouched(kind) -> None:
    """What the three methods give differs. The model, its graph and Keras are what they were."""
    import keras
    from keras.src import backend

    model = models()[kind]
    images = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype(np.float32)
    before, keras_before = state_of(model, images), (backend.nn.relu, keras.layers.Layer.__call__)
    outputs, maps = np.asarray(model(images)), {}
    for method in METHODS:
        found = FUNCTIONS[method](model, images, [0, 3, 4])
        maps[method] = found.maps
        np.testing.assert_allclose(found.activations, outputs[np.arange(3), [0, 3, 4]], rtol=1e-5, atol=1e-6)
    for one, other in (METHODS[:2], METHODS[1:], METHODS[::2]):
        assert np.abs(maps[one] - maps[other]).max() > 0.05 * np.abs(maps[one]).max()
    assert all(np.array_equal(*pair) for pair in zip(before, state_of(model, images), strict=True))
    assert keras_before == (backend.nn.relu, keras.layers.Layer.__call__)


def state_of(model, images: np.ndarray) -> list:
    """What must be the same afterwards: outputs, weights, how often each layer was called, configuration."""
    calls = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()]
    return [np.asarray(model(images)), *model.get_weights(), np.array(calls), str(model.get_config()), model.compiled]


@pytest.mark.backends
def test_backpropagation_is_the_models_own_gradient() -> None:
    import keras

    model = models()["nested twice, shared"]
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    if keras.backend.backend() == "jax":
        import jax

        expected = jax.grad(lambda images: model(images)[:, 2].sum())(images)
    else:
        import tensorflow as tf

        watched = tf.convert_to_tensor(images)
        with tf.GradientTape() as tape:
            tape.watch(watched)
            total = tf.reduce_sum(model(watched)[:, 2])
        expected = tape.gradient(total, watched)
    found = backpropagation(model, images, 2).maps
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-4, atol=1e-6 * np.abs(found).max())


def test_layers_of_nested_models_are_found() -> None:
    model = models()["nested"]
    images = np.random.default_rng(0).normal(size=(1, 12, 12, 3)).astype(np.float32)
    full, short = (guided_backpropagation(model, images, 2, name) for name in ("inner/deep", "deep"))
    assert np.array_equal(full.maps, short.maps) and np.abs(full.maps).max() > 0
    down = Attributor(model, None, "guided", down_to="inner")(images, 2)
    assert down.maps.shape == (1, 8, 8, 6)


@pytest.mark.backends
def test_the_last_call_of_a_shared_layer_counts() -> None:
    """x -> conv -> relu -> conv -> relu, the same two layers both times, 1x1 with weight 2: 4x, the signal below 2."""
    import keras

    conv, relu = keras.layers.Conv2D(1, 1, name="conv"), keras.layers.ReLU(name="relu")
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, relu(conv(relu(conv(inputs)))))
    conv.set_weights([np.full((1, 1, 1, 1), 2.0), np.zeros(1)])
    ones = np.ones((1, 4, 4, 1), np.float32)
    found = guided_backpropagation(model, ones, 0, "conv", (1, 1))
    assert found.activations[0] == 4 and found.maps[0, 1, 1, 0] == 4
    found = Attributor(model, "relu", "guided", down_to="conv")(ones, 0, (1, 1))
    assert found.activations[0] == 4 and found.maps.sum() == 1


@pytest.mark.backends
def test_a_model_for_images_of_any_size() -> None:
    import keras

    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, activation="relu", name="conv")])
    attributor = Attributor(model, "conv")
    random = np.random.default_rng(0)
    for side in (16, 34, 16):
        images = random.normal(size=(2, side, side, 3)).astype(np.float32)
        found = attributor(images, 1)
        values = np.asarray(model(images))[..., 1].reshape(2, -1)
        assert found.maps.shape == images.shape and attributor.unit_shape == (side - 2, side - 2, 4)
        np.testing.assert_allclose(found.activations, values.max(axis=1), rtol=1e-6)
        assert (found.positions @ [side - 2, 1] == values.argmax(axis=1)).all()


def test_batches_of_any_size_and_images_of_whole_numbers() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1)).astype(np.uint8)
    attributor = Attributor(splitting_model(), "look", "guided")
    whole = attributor(images, 0)
    for batch_size in (1, 2, 3, 100):
        found = attributor(images.astype(np.float64), [0] * 7, "strongest", batch_size)
        for name in ("maps", "activations", "positions"):
            assert np.array_equal(getattr(found, name), getattr(whole, name))
    placed = attributor(images, 0, whole.positions)
    assert np.array_equal(placed.maps, whole.maps)


def test_weights_changed_afterwards_count() -> None:
    model = splitting_model()
    attributor = Attributor(model, "look")
    assert attributor(PATCHES, 0).activations[0] == 5
    model.set_weights([2 * weights for weights in model.get_weights()])
    assert attributor(PATCHES, 0).activations[0] == 20


def test_mixed_precision_gives_float32_maps() -> None:
    from allcnn.models.build import build_model

    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    mixed = build_model("8C3-8C3-NC1-GAP", (8, 8, 3), 3, seed=0, dtype="mixed_bfloat16")
    model = build_model("8C3-8C3-NC1-GAP", (8, 8, 3), 3, seed=0)
    model.set_weights(mixed.get_weights())
    for layer, down_to in ((None, None), ("conv2", None), (None, "conv1")):
        fine = Attributor(model, layer, "guided", down_to)(images, 1)
        place = "strongest" if fine.positions is None else fine.positions
        coarse = Attributor(mixed, layer, "guided", down_to)(images, 1, place)
        assert coarse.maps.dtype == np.float32 and coarse.activations.dtype == np.float32
        # A few ReLUs may be decided otherwise, which changes the maps there by any amount.
        assert 0.9 < np.corrcoef(coarse.maps.ravel(), fine.maps.ravel())[0, 1]
        assert not np.array_equal(coarse.maps, fine.maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("VGG16", "block3_conv3"),
        ("MobileNetV2", "block_3_expand_relu"),  # depthwise convolutions, residual blocks, ReLU6
        ("MobileNetV3Small", "expanded_conv_2_expand_bn"),
    ],
)
def test_networks_of_keras_applications(name, layer) -> None:
    """The values are the network's own, and each method gives another signal."""
    import keras

    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 32, 32, 3)).astype(np.float32)
    for weight in model.trainable_weights:  # of He's scale, and shifts that keep units alive
        kernel = len(weight.shape) > 1
        scale = np.sqrt(2 / np.prod(weight.shape[:-1])) if kernel else 0.5
        weight.assign(random.normal(0 if kernel else 1, scale, weight.shape))
    found = {method: Attributor(model, layer, method)(images, 1) for method in METHODS}
    for one, other in (METHODS[:2], METHODS[1:], METHODS[::2]):
        assert np.abs(found[one].maps - found[other].maps).max() > 0.01 * np.abs(found[one].maps).max()
    values = np.asarray(keras.Model(model.inputs, model.get_layer(layer).output)(images))[..., 1]
    np.testing.assert_allclose(found["guided"].activations, values.max(axis=(1, 2)), rtol=1e-4)
